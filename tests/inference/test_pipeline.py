"""The pipeline: batches, memory that runs out, bounded waiting, bytes that depend on nothing, what is imported."""

import subprocess
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from i2i import nets
from i2i.core.errors import I2IError
from i2i.inference import pipeline
from i2i.inference.batches import BatchRunner
from i2i.inference.jobs import Job, Part
from i2i.inference.pipeline import Pipeline
from i2i.inference.translate import translate
from i2i.inference.video_job import translate_video
from i2i.media import video
from i2i.media.codec import WriteSettings
from i2i.models.tiling import TileSettings
from i2i.models.translator import Translator


class Limited(nn.Module):
    """Runs out of memory above a number of pixels in one pass."""

    multiple = 1

    def __init__(self, most):
        super().__init__()
        self.arguments = {"channels_in": 3, "channels_out": 3}
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.most, self.seen = most, []

    def forward(self, x):
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        self.seen.append(tuple(x.shape))
        if pixels > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return torch.tanh(self.conv(x))


def folder_of(tmp_path, count, size=(16, 16)):
    folder = tmp_path / "in"
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        array = np.random.default_rng(i).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(array).save(folder / f"{i:03}.png")
    return folder


def test_a_batch_that_does_not_fit_is_halved_and_stays_so(tmp_path):
    torch.manual_seed(0)
    net = Limited(3 * 16 * 16)
    # in fp16, as on a GPU: otherwise a CPU takes one by one
    result = translate(folder_of(tmp_path, 24), tmp_path / "out", Translator(net, {}, dtype=torch.float16), batch=8)
    assert len(result.done) == 24
    sizes = [s[0] for s in net.seen]
    assert sizes[0] == 8
    assert sizes.count(8) == 1
    assert max(sizes[4:]) <= 4
    assert sizes[-1] == 2


def test_an_image_that_does_not_fit_is_cut(tmp_path):
    torch.manual_seed(0)
    net = Limited(200 * 200)
    result = translate(folder_of(tmp_path, 1, (300, 280)), tmp_path / "out", Translator(net, {}))
    assert result.failed == []
    whole = Translator(net, {}, tiling=TileSettings(0))
    net.most = 10**9
    expected = whole(Image.open(tmp_path / "in" / "000.png"))
    assert np.abs(np.asarray(Image.open(result.done[0])).astype(int) - np.asarray(expected)).max() <= 1


def test_one_that_never_fits_fails_alone(tmp_path):
    folder = folder_of(tmp_path, 2)
    Image.new("RGB", (400, 300)).save(folder / "large.png")
    result = translate(folder, tmp_path / "out", Translator(Limited(1500), {}))
    assert [p.name for p, _ in result.failed] == ["large.png"]
    assert "The memory is full." in result.failed[0][1]
    assert len(result.done) == 2


def test_a_tile_that_cannot_be_fails_that_image_alone(tmp_path):
    """An overlap that leaves no core in the smaller tiles is an error of the image that needs them."""
    folder = folder_of(tmp_path, 2)
    Image.new("RGB", (300, 300)).save(folder / "large.png")
    result = translate(folder, tmp_path / "out", Translator(Limited(200 * 200), {}), overlap=80)
    assert [p.name for p, _ in result.failed] == ["large.png"]
    assert "leave nothing in the middle" in result.failed[0][1]
    assert len(result.done) == 2


class Held(Translator):
    """Runs out of memory twice, with a tensor in the frames of the failed call; sees whether it is gone in the next."""

    def __init__(self, failures, cause=None):
        super().__init__(Limited(10**9), {}, dtype=torch.bfloat16)
        self.failures, self.cause, self.refs, self.sizes = failures, cause, [], []

    def fail_or_pass(self, count):
        assert [ref() for ref in self.refs] == [None] * len(self.refs), "the failed batch is still held"
        self.sizes.append(count)
        if self.failures:
            self.failures -= 1
            batch = torch.zeros(1000)
            self.refs.append(weakref.ref(batch))
            try:
                raise self.cause or torch.OutOfMemoryError("out of memory")
            except ValueError as error:
                raise torch.OutOfMemoryError("out of memory") from error

    def run(self, images, padded):
        self.fail_or_pass(len(images))
        return super().run(images, padded)

    def run_in_tiles(self, image, side=None):
        self.fail_or_pass(-side)
        return super().run_in_tiles(image, side)

    def __call__(self, images, *, size=None, batch=8):
        self.fail_or_pass(batch)
        return images


@pytest.mark.parametrize("cause", [None, ValueError("why")])
def test_memory_of_a_failed_batch_is_free_before_it_is_tried_again(tmp_path, cause):
    model = Held(2, cause)
    result = translate(folder_of(tmp_path / "small", 4), tmp_path / "out", model, batch=4)
    assert len(result.done) == 4
    assert model.sizes == [4, 2, 1, 1, 2]
    model = Held(2, cause)
    runner = BatchRunner(model)
    part = Part(Job(0, tmp_path, tmp_path, ""), 0, model.prepare(np.zeros((600, 520, 3), np.uint8)), None)
    ((_, output, error),) = runner.outputs([part])
    assert error is None
    assert output.shape == (600, 520, 3)
    assert model.sizes == [1, -300, -150]  # whole, then in tiles of half the size, and of a quarter


def test_memory_of_failed_video_frames_is_free_before_they_are_tried_again(tmp_path, monkeypatch):
    model = Held(2)
    runner = BatchRunner(model, 8)
    frames = [np.zeros((4, 4, 3), np.uint8)] * 8
    monkeypatch.setattr(video, "translate", lambda source, target, run, **_: run(frames))
    job = Job(0, tmp_path / "a.mp4", tmp_path / "b.mp4", "a.mp4")
    assert translate_video(job, runner, WriteSettings(), None) is None
    assert model.sizes == [8, 4, 2]
    assert runner.most == 2


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_bytes_do_not_depend_on_batch_or_workers(tmp_path, norm, monkeypatch):
    torch.manual_seed(0)
    net = nets.init_weights(nets.build("resnet", blocks=2, width=16, norm=norm))
    folder = folder_of(tmp_path, 5, (64, 64))
    outputs = []
    for batch, workers in ((1, 1), (3, 2), (8, 4)):
        monkeypatch.setattr(pipeline, "READERS", workers)
        monkeypatch.setattr(pipeline, "WRITERS", workers)
        made = translate(folder, tmp_path / f"out{batch}", Translator(net, {"train_mode_norm": True}), batch=batch)
        outputs.append([p.read_bytes() for p in made.done])
    assert len(outputs[0]) == 5
    assert outputs[0] == outputs[1] == outputs[2]


def test_few_images_wait_at_any_time(tmp_path):
    folder = folder_of(tmp_path, 60, (8, 8))
    model = Translator(Limited(10**9), {})
    line = Pipeline(model, WriteSettings(), batch=2)
    jobs = [Job(i, p, tmp_path / "out" / p.name, p.name) for i, p in enumerate(sorted(folder.iterdir()))]
    most, told, lock = 0, [], threading.Lock()
    kept = line._read

    def read(job):
        nonlocal most
        kept(job)
        with lock:
            most = max(most, sum(j.document is not None for j in jobs))

    line._read = read
    line.run(iter(jobs), lambda job, error: told.append((job.number, error)))
    assert sorted(told) == [(i, None) for i in range(60)]
    assert most <= 3 * pipeline.AHEAD * 2 + 4
    assert all(j.document is None and not j.outputs for j in jobs)


def test_an_image_of_an_archive_takes_few_bytes(tmp_path, monkeypatch):
    """What stays of an image until the end: its names and how it ended. The images themselves are left out."""
    for i in range(1500):
        (tmp_path / "in" / f"{i:06}.png").parent.mkdir(exist_ok=True)
        (tmp_path / "in" / f"{i:06}.png").touch()
    monkeypatch.setattr(Pipeline, "run", lambda self, jobs, tell: [tell(job, None) for job in jobs] and None)
    monkeypatch.chdir(tmp_path)
    model = Translator(Limited(10**9), {})
    translate("in", "warm", model)
    tracemalloc.start()
    result = translate("in", "out", model)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(result.done) == 1500
    assert kept / 1500 < 300
    assert most / 1500 < 400


def test_large_images_wait_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "PIXELS", 100)
    result = translate(folder_of(tmp_path, 6), tmp_path / "out", Translator(Limited(10**9), {}))
    assert len(result.done) == 6


def test_an_interrupt_ends_it_and_leaves_whole_files(tmp_path):
    def stop(done, total, path):
        if done == 3:
            raise KeyboardInterrupt

    folder = folder_of(tmp_path, 30)
    with pytest.raises(KeyboardInterrupt):
        translate(folder, tmp_path / "out", Translator(Limited(10**9), {}), progress=stop)
    left = [p for p in (tmp_path / "out").iterdir() if p.suffix == ".png"]
    assert 3 <= len(left) < 30
    assert all(Image.open(p).load() for p in left)
    resumed = translate(folder, tmp_path / "out", Translator(Limited(10**9), {}), resume=True, overwrite=True)
    assert len(resumed.done) + len(resumed.skipped) == 30


def test_errors_before_work_begins(tmp_path):
    model = Translator(Limited(10), {})
    with pytest.raises(I2IError, match="batch is -1"):
        translate(folder_of(tmp_path, 1), tmp_path / "out", model, batch=-1)
    with pytest.raises(I2IError, match="No model was given"):
        translate(tmp_path / "in", tmp_path / "out")
    with pytest.raises(I2IError, match="needs an output folder"):
        translate(tmp_path / "in" / "000.png", None, model, resume=True)


def test_compiled_networks_are_used(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda net: lambda x: -net(x))
    model = Translator(Limited(10**9), {})
    plain = translate(folder_of(tmp_path, 1), tmp_path / "a", model).done[0]
    compiled = translate(tmp_path / "in", tmp_path / "b", model, compile=True).done[0]
    total = np.asarray(Image.open(plain)).astype(int) + np.asarray(Image.open(compiled))
    assert np.abs(total - 255).max() <= 1


def test_translating_an_image_imports_nothing_of_training_and_no_compiler(tmp_path):
    """torch._dynamo takes more than a second of a core; torchvision and `torch.compiler.disable` import it."""
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "photo.jpg")
    heavy = ("accelerate", "albumentations", "kornia", "cv2", "skimage", "torchvision", "torch._dynamo", "sympy")
    code = (
        "import sys, i2i.inference.watch; from i2i.cli import run; "
        "assert run(['translate', 'photo.jpg', '-o', 'out.jpg', '--model', 'cyclegan_daynight', '-q']) == 0; "
        "from i2i import load; from i2i.models import zoo; "
        "[load(path, device='cpu') for path in zoo.shipped().glob('*.safetensors') if 'digits' not in path.stem]; "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"
    assert (tmp_path / "out.jpg").stat().st_size
