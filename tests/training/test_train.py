"""The use case "train" below the command line: what is refused before anything is made, what is said of the images,
and runs that go on although their images moved."""

import io
import json
import os
import signal
from importlib.metadata import version
from typing import ClassVar

import numpy as np
import pytest
import torch
import yaml
from accelerate.utils import LoggerType
from PIL import Image
from safetensors.torch import load_file

import i2i
from i2i import data
from i2i.core.errors import I2IError
from i2i.models.format import read_header
from i2i.training import loop
from i2i.training.dry_run import describe
from i2i.training.train import resolve_resume, resolve_run, resume

PIX2PIX = {"size": 16, "width": 4, "d_width": 4, "layers": 1, "depth": 3, "images": 8, "device": "cpu", "workers": 0}
CYCLEGAN = {"size": 16, "width": 4, "d_width": 4, "layers": 1, "blocks": 1, "images": 2, "device": "cpu", "workers": 0}


def picture(path, width=16, height=16, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, width, height]).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def fill(folder, count, width=16, height=16):
    for i in range(count):
        picture(folder / f"{folder.name} {i}.png", width, height, i)
    return folder


@pytest.fixture
def pairs(tmp_path):
    fill(tmp_path / "my pairs" / "train", 12, 32)
    return tmp_path / "my pairs"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch": 0}, "batch is 0. Allowed: 1 to 1000000."),
        ({"batch": -1}, "batch is -1."),
        ({"accumulate": 0}, "accumulate is 0."),
        ({"batch": 3, "accumulate": 2}, "batch 3 is not a multiple of accumulate 2."),
        ({"images": -4}, "images is -4."),
        ({"images": 0, "epochs": 0}, "epochs is 0, and so is images."),
        ({"keep": 0}, "keep is 0."),
        ({"log_every": 0}, "log_every is 0."),
        ({"lr": "nan"}, "lr is 'nan'."),
        ({"device": "gpu"}, "There is no device 'gpu'. Allowed: auto, cpu, cuda, cuda:1, mps."),
        ({"precision": "fp8"}, "precision is 'fp8'."),
        ({"channels_last": "perhaps"}, "channels_last is 'perhaps'."),
        ({"trackers": "tensorbord"}, "There is no tracker 'tensorbord'. Did you mean tensorboard? Allowed: aim, "),
        ({"trackers": "tensorboard,nonsense"}, "There is no tracker 'nonsense'. Allowed: aim, clearml, comet_ml, "),
        ({"trackers": "comet_ml"}, "The tracker comet_ml is not installed. pip install comet-ml"),
        ({"trackers": "mlflow"}, "The tracker mlflow is not installed. pip install mlflow"),
        ({"trackers": "wandb"}, "The tracker wandb is not installed. pip install 'i2i-toolkit[wandb]'"),
        ({"generator": "unett"}, "generator is 'unett'. Did you mean unet"),
        ({"loss": "foo"}, "loss is 'foo'. Allowed: vanilla, minimax, lsgan, wasserstein, hinge."),
        ({"loss": "higne"}, "loss is 'higne'. Did you mean hinge? Allowed: vanilla, "),
        ({"direction": "BA"}, "direction is 'BA'. Allowed: AtoB, BtoA."),
        ({"sise": 3}, "There is no setting 'sise'. Did you mean size"),
    ],
)
def test_settings_that_cannot_be_leave_nothing_behind(pairs, tmp_path, settings, said):
    with pytest.raises(I2IError) as caught:
        i2i.train("pix2pix", pairs, tmp_path / "run", **{**PIX2PIX, **settings})
    assert said in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my pairs"]


def test_networks_that_cannot_be_built_are_one_sentence(pairs, tmp_path, monkeypatch):
    from i2i.methods.pix2pix import Pix2Pix

    def fail(self, config, shape):
        raise RuntimeError("a size\nof -1")

    monkeypatch.setattr(Pix2Pix, "__init__", fail)
    with pytest.raises(I2IError, match=r"cannot be built with these settings: a size of -1\. i2i recipes show pix2pix"):
        i2i.train("pix2pix", pairs, tmp_path / "run", **PIX2PIX)
    assert not (tmp_path / "run").exists()


def test_places_where_no_run_can_be(pairs, tmp_path):
    (tmp_path / "file").write_text("x")
    fill(tmp_path / "full", 1)
    for out, said in (("full", "exists and is not empty"), ("file", "is a file"), ("file/run", "cannot be created")):
        with pytest.raises(I2IError, match=said):
            i2i.train("pix2pix", pairs, tmp_path / out, **PIX2PIX)
    assert (tmp_path / "file").read_text() == "x"
    assert len(list((tmp_path / "full").iterdir())) == 1


def notes(*sources, recipe="cyclegan", **settings):
    run = resolve_run(recipe, [str(s) for s in sources], None, {**CYCLEGAN, **settings})
    return "\n".join(describe(run)["notes"])


def test_few_and_small_pictures_are_told_before_the_run(tmp_path):
    a, b = fill(tmp_path / "a", 12, 40, 30), fill(tmp_path / "b", 10, 16, 50)
    assert notes(a, b) == ""
    one, few = fill(tmp_path / "one", 1), fill(tmp_path / "few", 3)
    assert "There is only 1 training image: hardly enough." in notes(a, one)
    assert "There are only 3 training images: hardly enough." in notes(few, a)
    picture(b / "small.png", 40, 7)
    said = notes(a, b)
    assert "1 of 23 images looked at are smaller than the 16 pixels of training (the smallest is 40x7)" in said


@pytest.mark.parametrize("count", [1, 2])
def test_what_depends_on_the_number_of_processes_is_told_before_the_run(tmp_path, monkeypatch, count):
    run = resolve_run("progressive", [str(fill(tmp_path / "a", 12))], None, {"size": 16, "base": 64, "device": "cpu"})
    monkeypatch.setenv("WORLD_SIZE", str(count))
    said = "\n".join(describe(run)["notes"])
    told = "2 processes train together, and each computes the deviation over groups of images over its own share"
    assert (told in said) == (count == 2)
    assert run.notes(run.build()) == describe(run)["notes"]


def test_halves_of_a_file_are_measured_by_themselves(pairs):
    run = resolve_run("pix2pix", [str(pairs)], None, {**PIX2PIX, "size": 32})
    assert "12 of 24" not in "".join(describe(run)["notes"])
    assert "24 of 24 images looked at are smaller than the 32 pixels" in "".join(describe(run)["notes"])
    assert "enlarged" not in "".join(describe(resolve_run("pix2pix", [str(pairs)], None, PIX2PIX))["notes"])


def test_folders_as_people_have_them_are_trained_on(tmp_path, monkeypatch):
    a = fill(tmp_path / "my photos", 3, 40, 30)
    fill(tmp_path / "my paintings", 2, 17, 60)
    picture(a / "deeper" / "grey.png")
    Image.open(a / "deeper" / "grey.png").convert("L").save(a / "deeper" / "grey.png")
    (a / "notes.txt").write_text("not an image")
    (a / ".DS_Store").write_bytes(b"\0")
    monkeypatch.chdir(tmp_path)
    folder = i2i.train("cyclegan", ["my photos", "my paintings"], **CYCLEGAN)
    assert folder.parent.name == "runs"
    assert folder.name.startswith("cyclegan-my photos-")
    assert (folder / "model.safetensors").is_file()
    assert not (folder / "metrics.json").exists()  # without pairs nothing tells right from wrong


def test_classes_have_their_names_in_the_sample_grids(tmp_path):
    for name in ("cats", "dogs"):
        fill(tmp_path / "pets" / name, 4)
    settings = {"size": 16, "units": 0.02, "images": 4, "batch": 4, "device": "cpu", "workers": 0}
    folder = i2i.train("cgan", tmp_path / "pets", tmp_path / "run", **settings)
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    assert [line["columns"] for line in lines if line["kind"] == "samples"] == [["cats", "dogs"]] * 2


def test_a_file_that_is_no_picture_is_named(tmp_path):
    a, b = fill(tmp_path / "a", 2), fill(tmp_path / "b", 2)
    (a / "torn.jpg").write_bytes(b"no image")
    with pytest.raises(I2IError, match=r"torn\.jpg is not an image.*i2i data check FOLDER"):
        i2i.train("cyclegan", [a, b], tmp_path / "run", **CYCLEGAN)
    assert not (tmp_path / "run").exists()


def stopped(monkeypatch, folder, pairs, at, number=signal.SIGTERM, **settings):
    """A run that gets a signal in the step at `at` images."""
    step = loop.Loop.step

    def signalled(self, batch, now):
        if now.images == at:
            os.kill(os.getpid(), number)
        step(self, batch, now)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "step", signalled)
        with pytest.raises(loop.Interrupted) as caught:
            i2i.train("pix2pix", pairs, folder, **{**PIX2PIX, **settings})
    return caught.value


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_goes_on_bit_by_bit_though_its_pictures_moved(pairs, tmp_path, monkeypatch, number):
    monkeypatch.chdir(tmp_path)
    whole = i2i.train("pix2pix", pairs, tmp_path / "whole", **PIX2PIX)
    error = stopped(monkeypatch, tmp_path / "my run", "my pairs", 4, number)
    assert error.code == 128 + number
    assert error.hint == f"Go on with: i2i train --resume '{tmp_path / 'my run'}'"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # the folder of images was named relative to another place
    assert resolve_resume(tmp_path / "my run").sources == [str(pairs)]
    moved = pairs.rename(tmp_path / "moved")
    with pytest.raises(I2IError, match=r"which does not exist.*--resume .* --data DIR$"):
        resume(tmp_path / "my run", quiet=True)
    from i2i.training.train import execute

    execute(resolve_resume(tmp_path / "my run", sources=[str(moved)]), quiet=True, resumed=True)
    names = [p.name for p in (whole / "checkpoints").iterdir() if p.is_dir()]
    states = [load_file(f / "checkpoints" / max(names) / "state.safetensors") for f in (whole, tmp_path / "my run")]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_the_model_of_a_resumed_run_is_that_of_a_whole_one_byte_by_byte(pairs, tmp_path, monkeypatch):
    fill(pairs / "val", 2, 32)
    monkeypatch.chdir(tmp_path)
    whole = i2i.train("pix2pix", "my pairs", tmp_path / "whole", **PIX2PIX)
    stopped(monkeypatch, tmp_path / "run", "my pairs", 4)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    resume(tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert read_header(whole / "model.safetensors")["data"] == ["my pairs"]
    pairs.rename(tmp_path / "moved")
    assert resolve_resume(tmp_path / "run", sources=["../moved"]).named == ["../moved"]


def test_a_model_that_was_not_written_is_written_when_the_finished_run_is_resumed(pairs, tmp_path):
    folder = i2i.train("pix2pix", pairs, tmp_path / "run", **PIX2PIX)
    model = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    resume(folder, quiet=True)
    assert (folder / "model.safetensors").read_bytes() == model


@pytest.mark.parametrize("ema", [0, 4])
def test_the_model_in_memory_is_judged_as_the_saved_one_is(pairs, tmp_path, ema):
    fill(pairs / "test", 3, 32)
    folder = i2i.train("pix2pix", pairs, tmp_path / "run", **PIX2PIX, ema=ema)
    scores = json.loads((folder / "metrics.json").read_text())
    again = i2i.evaluate(folder, device="cpu")
    assert scores["count"] == again["count"]
    for row in ("model", "mean image"):  # training scores by fewer metrics
        assert set(scores[row]) == {"l1", "psnr", "ssim"}
        assert scores[row] == {metric: again[row][metric] for metric in scores[row]}


@pytest.mark.parametrize("splits", [("test",), ("val",), ("val", "test")])
def test_a_split_is_listed_once(pairs, tmp_path, monkeypatch, splits):
    """With one held-out split the run is judged on the images that it has opened already."""
    for split in splits:
        fill(pairs / split, 2, 32)
    opened, plain = [], data.open
    monkeypatch.setattr(data, "open", lambda *args, **more: opened.append(args[2]) or plain(*args, **more))
    folder = i2i.train("pix2pix", pairs, tmp_path / "run", **{**PIX2PIX, "images": 2})
    assert sorted(opened) == sorted(["train", *splits])
    assert json.loads((folder / "metrics.json").read_text())["split"] == splits[-1]


def test_what_changed_is_named(pairs, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    stopped(monkeypatch, folder, pairs, 2)
    with pytest.raises(I2IError, match=r"recipe changed since the checkpoint: lr was 0\.0002 and is 0\.1"):
        resume(folder, overrides={"lr": "0.1"}, quiet=True)
    with pytest.raises(I2IError, match="no setting 'workrs'"):
        resolve_resume(folder, {"workrs": 2})
    picture(pairs / "train" / "new.png", 32)
    with pytest.raises(I2IError, match="data set changed since the checkpoint: count was 12 and is 13"):
        resume(folder, quiet=True)
    (pairs / "train" / "new.png").unlink()
    resume(folder, overrides={"workers": 1, "log_every": 1}, quiet=True)
    assert json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["kind"] == "ended"


def test_a_config_that_is_none(tmp_path):
    (tmp_path / "config.yaml").write_text("width: 3\n")
    with pytest.raises(I2IError, match=r"not the config\.yaml of a run"):
        resolve_resume(tmp_path)
    (tmp_path / "config.yaml").write_text("a: [")
    with pytest.raises(I2IError, match="not readable as YAML: while parsing"):
        resolve_resume(tmp_path)


def test_config_yaml_is_enough_to_repeat_a_run(pairs, tmp_path):
    first = i2i.train("pix2pix", pairs, tmp_path / "first", **PIX2PIX)
    values = yaml.safe_load((first / "config.yaml").read_text())
    assert values["versions"]["torch"] == version("torch")
    kept = {k: v for k, v in values.items() if k not in ("recipe", "method", "data", "data_named", "versions")}
    second = i2i.train(values["method"], values["data"], tmp_path / "second", **kept)
    made = [load_file(f / "model.safetensors") for f in (first, second)]
    assert all(torch.equal(t, made[1][n]) for n, t in made[0].items())


def test_a_run_is_judged_from_any_folder(pairs, tmp_path, monkeypatch):
    fill(pairs / "test", 2, 32)
    monkeypatch.chdir(tmp_path)
    i2i.train("pix2pix", "my pairs", "run", **PIX2PIX)
    judged = json.loads((tmp_path / "run" / "metrics.json").read_text())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for model in ("../run", "../run/model.safetensors"):
        found = i2i.evaluate(model, device="cpu")
        assert found["count"] == 2
        assert found["model"]["l1"] == pytest.approx(judged["model"]["l1"], rel=1e-5)


def test_trackers_write_into_the_run(pairs, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = i2i.train("pix2pix", pairs, tmp_path / "run", **{**PIX2PIX, "trackers": "tensorboard", "log_every": 4})
    events = EventAccumulator(str(folder / "i2i-pix2pix"))
    events.Reload()
    assert {"G/l1", "lr/G", "images/s"} <= set(events.Tags()["scalars"])
    assert [e.step for e in events.Scalars("G/l1")] == [4, 8]
    logged = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    values = [line["terms"]["G/l1"] for line in logged if line["kind"] == "losses"]
    assert [e.value for e in events.Scalars("G/l1")] == pytest.approx(values, rel=1e-6)

    # The sample grids are there, too, as the report has them.
    assert events.Tags()["images"] == ["samples/image/0"] or events.Tags()["images"] == ["samples"]
    shown = events.Images(events.Tags()["images"][0])
    assert [e.step for e in shown] == [0, 8]
    for event in shown:
        image = Image.open(io.BytesIO(event.encoded_image_string)).convert("RGB")
        drawn = Image.open(folder / "samples" / f"{event.step:08d}.png").convert("RGB")
        assert np.array_equal(np.asarray(image), np.asarray(drawn))


@pytest.mark.parametrize("form", ["wandb", "aim"])
def test_other_trackers_get_the_samples_in_their_own_form(pairs, tmp_path, monkeypatch, form):
    from accelerate import tracking

    class Tracker(tracking.GeneralTracker):
        name = form
        requires_logging_directory = False
        got: ClassVar[list] = []

        def __init__(self, run_name, **options):
            super().__init__()

        @property
        def tracker(self):
            return self

        def store_init_configuration(self, values):
            pass

        def log(self, values, step=None, **options):
            pass

        def log_images(self, values, step=None, **options):
            self.got.append((step, values["samples"]))

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, form, Tracker)
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType(form)])
    i2i.train("pix2pix", pairs, tmp_path / "run", **{**PIX2PIX, "trackers": form})
    assert [step for step, _ in Tracker.got] == [0, 8]
    for _, value in Tracker.got:
        image = value[0] if form == "wandb" else value
        assert isinstance(image, Image.Image)


def test_all_trackers_of_accelerate_are_in_the_help():
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    from i2i.core import config
    from i2i.training.settings import TrainSettings

    comment = next(s.comment for s in config.settings(TrainSettings) if s.name == "trackers")
    assert set(LOGGER_TYPE_TO_CLASS) == set(comment.partition(";")[0].split(", "))


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_switches_convolutions_and_products_alike(pairs, tmp_path, tf32):
    i2i.train("pix2pix", pairs, tmp_path / "run", **{**PIX2PIX, "images": 1, "tf32": tf32})
    assert torch.backends.cuda.matmul.allow_tf32 is tf32
    assert torch.backends.cudnn.allow_tf32 is tf32


def test_a_plan_for_a_device_that_is_not_here_is_refused(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(I2IError, match="'cuda' cannot be used: no CUDA device is available here"):
        resolve_run("pix2pix", [str(pairs)], tmp_path / "run", {**PIX2PIX, "device": "cuda"})


def test_the_report_explains_each_curve_and_tells_no_path_in_its_heading(pairs, tmp_path, capfd):
    fill(tmp_path / "my pairs" / "test", 3, 32)
    run = i2i.train("pix2pix", pairs, tmp_path / "run", quiet=False, **PIX2PIX)
    page = (run / "report.html").read_text()
    charts = page.split('<figure class="chart')[1:]
    assert len(charts) >= 7
    assert all("<p>" in one.partition("<svg")[0] for one in charts)
    assert "Mean absolute distance to the true image, times its weight. Lower is better." in page
    heading = page[page.index("<h1>") : page.index("</h1>")]
    assert heading == "<h1>pix2pix <small>on my pairs</small>"
    # The terminal and the report tell one speed.
    speed = capfd.readouterr().err.rpartition(" images/s)")[0].rpartition("(")[2]
    assert f"<span>Speed</span><b>{speed}</b>" in page


def test_a_method_explains_its_terms_in_the_log_that_the_page_is_made_of(tmp_path):
    pile = fill(tmp_path / "pile", 4)
    values = {"size": 16, "width": 4, "d_width": 4, "images": 4, "batch": 4, "device": "cpu", "workers": 0}
    run = i2i.train("wgan", pile, tmp_path / "run", critic_steps=1, first=0, **values)
    environment = json.loads(next(line for line in (run / "log.jsonl").open() if '"environment"' in line))
    assert environment["terms"]["adv"].startswith("Minus the critic's mean score of generated images.")
    assert "Scores have no fixed zero" in (run / "report.html").read_text()


def test_large_sample_grids_are_no_large_files(tmp_path):
    from i2i.training.report import Report

    def columns(side):
        noise = torch.rand(8, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
        smooth = torch.nn.functional.interpolate(noise, size=(side, side), mode="bicubic").clamp(-1, 1)
        fine = 0.02 * torch.randn(smooth.shape, generator=torch.Generator().manual_seed(1))
        return {name: (smooth + fine).clamp(-1, 1) for name in "abcdef"}

    report = Report(tmp_path, "cyclegan", {}, total=10, live=False)
    report.samples(0, columns(32))
    report.samples(5, columns(256))
    report.samples(5, columns(256))  # drawn again after a resume
    report.losses(10, {"G/adv": 1.0}, {"G": 0.1}, 1.0)
    report.close()
    names = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert names == ["00000000.png", "00000005.jpg"]
    assert (tmp_path / "samples" / "00000005.jpg").stat().st_size < 2_000_000
    files = [line["file"] for line in map(json.loads, (tmp_path / "log.jsonl").open()) if line["kind"] == "samples"]
    assert files == ["samples/00000000.png", "samples/00000005.jpg", "samples/00000005.jpg"]
    assert (tmp_path / "report.html").read_text().count('alt="Samples after') == 2


def test_networks_that_grow_are_not_compiled(tmp_path, monkeypatch):
    """torch would compile them anew for each value of the fading, and give up after eight."""
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, *args, **options: compiled.append(type(self).__name__))
    pile = fill(tmp_path / "pile", 4)
    values = {"size": 16, "images": 4, "batch": 4, "device": "cpu", "workers": 0, "compile": True}
    run = i2i.train("progressive", pile, tmp_path / "grows", base=64, most=8, train=4, fade=8, z=8, **values)
    assert not compiled
    assert "The networks grow, so they are not compiled." in (run / "log.jsonl").read_text()
    i2i.train("dcgan", pile, tmp_path / "plain", width=4, d_width=4, **values)
    assert len(compiled) == 2
