"""A saved model as images, sheets and videos: seeds, labels, truncation, walks, and what is refused."""

from __future__ import annotations

import importlib
import json
import sys
import types

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

import i2i
from i2i import nets
from i2i.cli import generate as command
from i2i.core.errors import I2IError
from i2i.data.batch import Batch, Shape
from i2i.media import pixels
from i2i.methods.acgan import ACGAN
from i2i.methods.dcgan import DCGAN
from i2i.methods.infogan import InfoGAN
from i2i.models import format as model_file
from i2i.models.generator import load_generator
from i2i.nets.latent import Latent, slerp

generate = importlib.import_module("i2i.inference.generate")  # `i2i.generate` itself is the function
NAMES = ["cat", "dog", "10"]


def settled(method):
    """Batch norm with statistics of its own noise, so that eval mode makes images with some contrast."""
    with torch.no_grad():
        for m in method.G.modules():
            if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                m.weight.mul_(5)
            elif isinstance(m, nn.modules.batchnorm._BatchNorm):
                m.momentum = None  # the plain average
        method.train()
        for k in range(8):
            method.infer(Batch(torch.zeros(32, 1, 16, 16), ids=torch.arange(32) + 32 * k))
    return method.eval()


def made(kind, folder, name, **facts):
    torch.manual_seed(1)
    config = kind.Config(**{k: v for k, v in kind.tiny.items() if k != "size"})
    method = settled(kind(config, Shape(1, 1, 16, classes=3)))
    header = {"method": name, "size": 16, **kind.facts(config), **facts}
    model_file.save(folder / f"{name}.safetensors", {"G": method.G}, header)
    return folder / f"{name}.safetensors", method


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def dcgan(folder):
    return made(DCGAN, folder, "dcgan")


@pytest.fixture(scope="module")
def acgan(folder):
    return made(ACGAN, folder, "acgan", class_names=NAMES)


@pytest.fixture(scope="module")
def infogan(folder):
    return made(InfoGAN, folder, "infogan")


def some(path, seeds, **kwargs):
    return torch.stack(list(load_generator(path).images(seeds, **kwargs)))


# ---- seeds ---------------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_bits_however_many_are_made_at_once(dcgan):
    path, _ = dcgan
    alone = torch.cat([some(path, [s]) for s in (3, 17, 18, 40)])
    among = some(path, range(64))[[3, 17, 18, 40]]
    mixed = some(path, [40, 3, 18, 17])[[1, 3, 2, 0]]
    assert torch.equal(alone, among)
    assert torch.equal(alone, mixed)
    assert among.std() > 0.05
    assert (among[0] - among[1]).abs().mean() > 0.02


def test_seeds_are_the_ids_that_training_previews(dcgan):
    path, method = dcgan
    shown = method.infer(Batch(torch.zeros(4, 1, 16, 16), ids=torch.arange(5, 9))).detach()
    torch.testing.assert_close(some(path, range(5, 9)), shown, rtol=0, atol=1e-5)


def test_noise_is_a_function_of_seed_salt_and_id_and_looks_random():
    latent = Latent((("normal", 40),))
    ids = torch.arange(5000)
    z = latent.draw(ids)
    assert torch.equal(latent.draw(ids.flip(0)[:7]), z.flip(0)[:7])
    assert not torch.equal(latent.draw(ids[:4], salt="other"), z[:4])
    assert not torch.equal(latent.draw(ids[:4], seed=1), z[:4])
    assert abs(float(z.mean())) < 0.01
    assert abs(float(z.std()) - 1) < 0.01
    assert abs(float(z.pow(4).mean()) - 3) < 0.1
    correlation = torch.corrcoef(z.T) - torch.eye(40)
    assert float(correlation.abs().max()) < 0.08
    assert abs(float((z[1:] * z[:-1]).mean())) < 0.01


def test_parts_of_the_noise_have_their_distributions():
    z = Latent((("uniform", 3), ("code", 4), ("cube", 2))).draw(torch.arange(4000))
    flat, code, cube = z[:, :3], z[:, 3:7], z[:, 7:]
    assert float(flat.abs().max()) <= 1
    assert abs(float(flat.var()) - 1 / 3) < 0.01
    assert set(code.unique().tolist()) == {0, 1}
    assert torch.equal(code.sum(1), torch.ones(4000))
    assert float((code.mean(0) - 0.25).abs().max()) < 0.03
    assert abs(float(cube.var()) - 1) < 0.03


# ---- truncation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("t", "std"), [(2.0, 0.880), (1.0, 0.540), (0.5, 0.284)])
def test_truncated_noise_is_the_truncated_normal_not_a_clipped_one(t, std):
    z = Latent((("normal", 50),)).draw(torch.arange(4000), truncation=t)
    assert float(z.abs().max()) <= t
    assert float(z.std()) == pytest.approx(std, abs=0.004)
    assert float((z.abs() > 0.999 * t).double().mean()) < 0.002  # clipping would heap numbers up at t


def test_truncation_makes_images_more_alike(dcgan):
    spread = [float(some(dcgan[0], range(32), truncation=t).std(0).mean()) for t in (0.1, 0.5, 1.0, 0.0)]
    assert spread == sorted(spread)
    assert spread[0] < 0.5 * spread[-1]


def test_statistics_are_made_anew_for_a_truncation_and_put_back(tmp_path):
    path, _ = made(DCGAN, tmp_path, "dcgan", standing=2)
    found = load_generator(path)
    before = torch.stack(list(found.images(range(3))))
    norms = [m for m in found.network.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = norms[0].running_var.clone()
    list(found.images(range(3), truncation=0.5))
    assert float((norms[0].running_var / kept).mean()) == pytest.approx(0.0806, rel=0.2)  # the variance of z
    assert all(not m.training for m in norms)
    assert torch.equal(torch.stack(list(found.images(range(3)))), before)


def test_only_normal_noise_can_be_truncated(infogan):
    with pytest.raises(I2IError, match="no normally distributed noise"):
        some(infogan[0], [0], truncation=0.5)


@pytest.mark.parametrize("truncation", [-1.0, float("nan"), float("inf")])
def test_a_truncation_is_a_number(dcgan, truncation):
    with pytest.raises(
        I2IError, match=f"truncation is {truncation:g}. Give a number such as 0.5 or 1, or 0 for no limit"
    ):
        some(dcgan[0], [0], truncation=truncation)


# ---- labels --------------------------------------------------------------------------------------------------------


def test_a_label_goes_by_name_first_then_by_number(acgan):
    found = load_generator(acgan[0])
    assert [found.label(x) for x in ("cat", "dog", "10", 0, "1", 2)] == [0, 1, 2, 0, 1, 2]
    for label, text in (("dgo", "Did you mean dog"), ("7", r"0 \(cat\), 1 \(dog\), 2 \(10\)"), ("-1", "no label")):
        with pytest.raises(I2IError, match=text):
            found.label(label)


def test_names_that_are_numbers_win_over_numbers(tmp_path_factory):
    path, _ = made(ACGAN, tmp_path_factory.mktemp("numbers"), "acgan", class_names=["7", "2", "0"])
    found = load_generator(path)
    assert [found.label(x) for x in ("7", "2", "0", "1", 2)] == [0, 1, 2, 1, 1]
    with pytest.raises(I2IError, match=r"no label '3'. It has: 0 \(7\), 1 \(2\), 2 \(0\)\."):
        found.label("3")


def test_labels_go_round_with_the_seed_or_are_asked_for(acgan):
    path, method = acgan
    in_turn, asked = some(path, range(6)), some(path, range(6), label=1)
    assert torch.equal(in_turn[[1, 4]], asked[[1, 4]])
    assert not torch.equal(in_turn[0], asked[0])
    shown = method.infer(Batch(torch.zeros(6, 1, 16, 16), c=torch.ones(6, dtype=torch.int64), ids=torch.arange(6)))
    torch.testing.assert_close(asked, shown.detach(), rtol=0, atol=1e-5)


def test_a_model_without_labels_says_so(dcgan):
    with pytest.raises(I2IError, match="has no labels"):
        load_generator(dcgan[0]).label("3")


def test_the_code_of_infogan_is_its_label(infogan):
    found = load_generator(infogan[0])
    assert found.labels == ["code 0", "code 1", "code 2"]
    z = found.latent.draw(torch.arange(5), code=torch.full((5,), 2))
    assert torch.equal(z[:, 6:9], torch.tensor([0.0, 0, 1]).expand(5, 3))
    free = found.latent.draw(torch.arange(5))
    assert torch.equal(free[:, :6], z[:, :6])
    assert torch.equal(free[:, 9:], z[:, 9:])
    assert not torch.equal(*(some(infogan[0], [0], label=k) for k in (0, 1)))


# ---- walks ---------------------------------------------------------------------------------------------------------


def test_slerp_keeps_the_norm_and_turns_evenly():
    p, q = torch.randn(2, 4, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q = q / q.norm(dim=1, keepdim=True) * p.norm(dim=1, keepdim=True)
    angle = torch.nn.functional.cosine_similarity(p, q).acos()
    for t in (0.0, 0.25, 0.5, 1.0):
        m = slerp(p, q, t)
        torch.testing.assert_close(m.norm(dim=1), p.norm(dim=1), rtol=1e-9, atol=0)
        turned = torch.nn.functional.cosine_similarity(p, m).clamp(max=1).acos()
        torch.testing.assert_close(turned, t * angle, atol=1e-6, rtol=0)
    assert torch.equal(slerp(p, p, 0.3), p)


def test_a_walk_passes_its_seeds_and_moves_in_small_steps(dcgan):
    found = load_generator(dcgan[0])
    frames = torch.stack(list(found.walk(range(3), 60)))
    ends = torch.stack(list(found.images(range(3))))
    torch.testing.assert_close(frames[[0, 20, 40]], ends, rtol=0, atol=1e-5)
    steps = (frames - frames.roll(1, 0)).abs().mean((1, 2, 3))
    assert float(steps.max()) < 0.25 * float((ends[0] - ends[1]).abs().mean())
    assert float(steps.min()) > 0


def test_a_walk_keeps_its_class(acgan):
    found = load_generator(acgan[0])
    at_start = [float((p - q).abs().max()) for p, q in zip(found.walk([1, 4], 4), found.images([1], label=1))]
    assert at_start[0] < 1e-5
    assert len(list(found.walk([1, 4], 4, label=2))) == 4


# ---- files ---------------------------------------------------------------------------------------------------------


def test_a_folder_a_sheet_and_their_names(acgan, tmp_path):
    result = generate.generate(acgan[0], 5, 3, output=tmp_path / "out", grid=tmp_path / "all.png", columns=3)
    names = {p.name for p in (tmp_path / "out").iterdir()}
    labels = ("cat", "dog", "10", "cat", "dog")
    assert names == {f"{label}-seed00000{seed}.png" for seed, label in enumerate(labels, 3)}
    assert result.count == 5
    assert len(result.files) == 6
    single = pixels.read(tmp_path / "out" / "dog-seed000004.png", None)
    assert single.shape == (16, 16, 1)
    whole = pixels.read(tmp_path / "all.png", None)
    assert whole.shape == (2 * 18 + 2, 3 * 18 + 2, 1)
    assert np.array_equal(whole[2:18, 20:36], single)
    with pytest.raises(I2IError, match=r"cat-seed000003\.png and 4 more exist already"):
        generate.generate(acgan[0], 5, 3, output=tmp_path / "out")
    with pytest.raises(I2IError, match=r"cat-seed000003\.png exists already"):
        generate.generate(acgan[0], 1, 3, output=tmp_path / "out")
    generate.generate(acgan[0], 5, 3, output=tmp_path / "out", overwrite=True)


def test_the_names_of_labels_cannot_leave_the_folder(tmp_path_factory, tmp_path):
    path, _ = made(ACGAN, tmp_path_factory.mktemp("odd"), "acgan", class_names=["../up", "a/b", "."])
    generate.generate(path, 3, output=tmp_path / "out")
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"up-seed000000.png", "a_b-seed000001.png", "-seed000002.png"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_walk_becomes_an_animation(dcgan, tmp_path):
    generate.generate(dcgan[0], seed=2, output=tmp_path / "walk.gif", interpolate=3, frames=12, fps=10)
    with Image.open(tmp_path / "walk.gif") as video:
        assert (video.n_frames, video.size, video.info["duration"], video.info["loop"]) == (12, (128, 128), 100, 0)
    generate.generate(dcgan[0], output=tmp_path / "slow.gif", interpolate=2, frames=2, fps=generate.MIN_FPS)
    with Image.open(tmp_path / "slow.gif") as video:
        assert video.info["duration"] == 1000 / generate.MIN_FPS
    result = generate.generate(dcgan[0], output=tmp_path / "frames", interpolate=2, frames=4)
    assert [p.name for p in result.files] == [f"frame0000{i}.png" for i in range(4)]


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_walk_becomes_a_video(dcgan, tmp_path, suffix):
    av = pytest.importorskip("av")
    generate.generate(dcgan[0], seed=2, output=tmp_path / f"walk{suffix}", interpolate=3, frames=12, fps=10)
    generate.generate(dcgan[0], seed=2, output=tmp_path / "frames", interpolate=3, frames=12)
    with av.open(str(tmp_path / f"walk{suffix}")) as video:
        stream = video.streams.video[0]
        frames = list(video.decode(stream))
    assert [round(f.time * 10) for f in frames] == list(range(12))
    assert (stream.average_rate, stream.width, stream.height) == (10, 128, 128)
    for i, frame in enumerate(frames):
        still = Image.open(tmp_path / "frames" / f"frame{i:05d}.png").convert("RGB").resize((128, 128), 0)
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - np.asarray(still)).mean() < 4


def test_videos_without_pyav_are_refused_before_anything_is_made(dcgan, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(I2IError, match="PyAV"):
        generate.generate(dcgan[0], output=tmp_path / "walk.mp4", interpolate=3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({}, "No output was given"),
        ({"n": 0, "grid": "a.png"}, "n is 0"),
        ({"seed": -1, "grid": "a.png"}, "seed is -1"),
        ({"seed": 1 << 70, "grid": "a.png"}, "2\\^60"),
        ({"interpolate": 1, "grid": "a.png"}, "at least 2"),
        ({"interpolate": 8, "frames": 3, "grid": "a.png"}, "too few"),
        ({"interpolate": 2, "fps": 0, "output": "a.gif"}, "fps is 0"),
        (
            {"interpolate": 2, "fps": 1e-4, "output": "a.gif"},
            "fps is 0.0001. Allowed: 0.002 to 100; .* 1 to 65535 hund",
        ),
        ({"interpolate": 2, "fps": float("nan"), "output": "a.mp4"}, "fps is nan"),
        ({"output": "a.png"}, "neither a folder nor a video"),
        ({"grid": "a.png", "size": 64}, "makes 16"),
        ({"grid": "a.png", "label": "x"}, "no labels"),
    ],
)
def test_what_makes_no_sense_is_refused(dcgan, tmp_path, monkeypatch, asked, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(I2IError, match=text):
        generate.generate(dcgan[0], **asked)
    assert not list(tmp_path.iterdir())


# ---- models --------------------------------------------------------------------------------------------------------


class Growing(nn.Module):
    """A generator that makes images of several sizes."""

    registered_as = "growing"

    def __init__(self, z: int = 4) -> None:
        super().__init__()
        self.arguments = {"z": z}
        self.tone = nn.Linear(z, 1)

    def forward(self, z: Tensor, size: int = 16) -> Tensor:
        return self.tone(z).tanh()[..., None, None].expand(-1, 1, size, size)


def test_a_growing_model_makes_any_of_its_sizes(tmp_path, monkeypatch):
    monkeypatch.setitem(nets.NETWORKS, "growing", Growing)
    monkeypatch.setattr(Growing, "registered_as", "growing", raising=False)
    header = {"kind": "generate", "latent": [["normal", 4]], "sizes": [4, 8, 16], "size": 16}
    path = model_file.save(tmp_path / "m.safetensors", {"G": Growing()}, header)
    assert some(path, [0, 1]).shape == (2, 1, 16, 16)
    assert some(path, [0, 1], size=8).shape == (2, 1, 8, 8)
    with pytest.raises(I2IError, match="makes 4, 8, 16"):
        some(path, [0], size=32)


def test_a_networks_own_method_is_imported_to_rebuild_it_and_nothing_else(acgan, tmp_path, monkeypatch):
    monkeypatch.delitem(nets.NETWORKS, "acgan_g")
    monkeypatch.delitem(sys.modules, "i2i.methods.acgan")
    assert type(load_generator(acgan[0]).network).__module__ == "i2i.methods.acgan"

    trap = types.ModuleType("trap")
    (tmp_path / "trap.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(tmp_path)
    method = ACGAN(ACGAN.Config(z=8, width=16), Shape(1, 1, 16, classes=3))
    monkeypatch.setitem(nets.NETWORKS, "trap_g", type(method.G))
    for name in ("trap", "..trap", "trap.py", str(tmp_path / "trap.py"), "os"):
        monkeypatch.setattr(nets, "network_name", lambda net: "nobody_knows")
        path = model_file.save(
            tmp_path / "m.safetensors", {"G": method.G}, {"method": name, **ACGAN.facts(ACGAN.Config())}
        )
        with pytest.raises(I2IError, match=r"no installed method defines|was trained by a method of its author's own"):
            load_generator(path)
    assert trap.__name__ not in sys.modules


def test_two_networks_of_one_name_are_refused():
    with pytest.raises(I2IError, match="acgan_g"):
        nets.register("acgan_g")(Growing)


def test_the_library_has_it_by_name():
    assert {"generate", "load_generator"} <= set(dir(i2i))
    assert i2i.generate is generate.generate
    assert i2i.generator is i2i.load_generator is load_generator


def test_a_model_that_translates_does_not_generate_and_the_other_way_round(dcgan, tmp_path, monkeypatch):
    from i2i import load
    from i2i.models.export import export

    path = model_file.save(tmp_path / "t.safetensors", {"G": nets.UNet(3, 3, 2, 4)}, {"channels_in": 3})
    with pytest.raises(I2IError, match=r"i2i translate photo\.jpg --model"):
        load_generator(path)
    monkeypatch.setattr("i2i.models.onnx.imported", lambda name: None)
    for use in (load, lambda model: export(model, tmp_path / "m.onnx")):
        with pytest.raises(I2IError) as caught:
            use(dcgan[0])
        assert caught.value.what.endswith("makes images from noise and cannot translate yours.")
        assert caught.value.hint.startswith("Make images with it: i2i generate --grid images.png --model ")
    with pytest.raises(I2IError, match="no model"):
        load_generator(tmp_path / "none.safetensors")


# ---- the command ---------------------------------------------------------------------------------------------------


def run(*arguments):
    app = typer.Typer()
    command.register(app)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_command(acgan, tmp_path):
    result = run("--model", acgan[0], "-n", 4, "--seed", 1, "--grid", tmp_path / "g.png", "--label", "dog")
    assert result.exit_code == 0, result.output
    assert "4 images" in result.stderr
    assert (tmp_path / "g.png").is_file()
    result = run("-m", acgan[0], "--label", "fish", "--grid", tmp_path / "h.png")
    assert isinstance(result.exception, I2IError)
    assert "cat" in str(result.exception)
    assert run("-m", acgan[0], "-n", "0").exit_code == 2


def test_a_method_file_is_run_only_if_it_is_given(dcgan, tmp_path, monkeypatch):
    imported = []
    monkeypatch.setattr("i2i.core.plugins.import_file", lambda file, networks: imported.append(file))
    run("-m", dcgan[0], "-n", 1, "--grid", tmp_path / "a.png")
    assert imported == []
    run("-m", dcgan[0], "-n", 1, "--grid", tmp_path / "b.png", "--method", "mine.py")
    assert [str(path) for path in imported] == ["mine.py"]


def test_the_header_holds_only_what_json_can(infogan):
    header = model_file.read_header(infogan[0])
    assert json.loads(json.dumps(header["latent"])) == [["uniform", 6], ["code", 3], ["uniform", 2]]
