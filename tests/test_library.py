"""The names of the library, its types as mypy sees them, and following a run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import i2i
from i2i import nets
from i2i.models import format as model_file

TINY = {"size": 16, "width": 4, "d_width": 4, "layers": 1, "depth": 3, "images": 8, "device": "cpu", "workers": 0}
TYPES = """
from pathlib import Path
import i2i, numpy, torch
from PIL import Image
model = i2i.load("m")
reveal_type(model(Image.new("RGB", (1, 1))))
reveal_type(model(numpy.zeros((1, 1, 3))))
reveal_type(model(torch.zeros(3, 1, 1)))
reveal_type(model("a.jpg"))
reveal_type(model(Path("a.jpg")))
reveal_type(model([Image.new("RGB", (1, 1))]))
reveal_type(model([torch.zeros(3, 1, 1)]))
reveal_type(model(["a.jpg", "b.jpg"]))
"""
REVEALED = ["Image", "ndarray", "Tensor", "Image", "Image", "list[Image]", "list[Tensor]", "list[Image]"]


def pairs(folder):
    for i in range(4):
        array = np.random.default_rng(i).integers(0, 256, (16, 32, 3), np.uint8)
        (folder / "train").mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / "train" / f"{i}.png")
    return folder


def test_every_public_name_exists():
    assert all(getattr(i2i, name) is not None for name in i2i.__all__)
    assert {"Interrupted", "resume", "export", "train", "load"} <= set(dir(i2i))
    assert issubclass(i2i.Interrupted, i2i.I2IError)
    with pytest.raises(AttributeError):
        i2i.nothing  # noqa: B018


def test_a_run_can_be_followed_stopped_and_resumed(tmp_path):
    seen = []
    folder = i2i.train(
        "pix2pix", pairs(tmp_path / "in"), tmp_path / "run", progress=lambda *a: seen.append(a), log_every=2, **TINY
    )
    assert [images for images, _, _ in seen] == [2, 4, 6, 8]
    assert {total for _, total, _ in seen} == {8}
    assert set(seen[-1][2]) >= {"G/adv", "G/l1"}

    def stop(images, total, losses):
        if images >= 4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        i2i.train("pix2pix", tmp_path / "in", tmp_path / "half", progress=stop, save_every=2, log_every=2, **TINY)
    seen.clear()
    i2i.resume(tmp_path / "half", progress=lambda *a: seen.append(a))
    assert seen[-1][0] == 8
    whole, half = (
        model_file.load(f / "model.safetensors").networks["G"].state_dict() for f in (folder, tmp_path / "half")
    )
    assert all(torch.equal(whole[name], half[name]) for name in whole)


@pytest.mark.slow
def test_a_model_has_types(tmp_path):
    pytest.importorskip("mypy")
    file = tmp_path / "use.py"
    file.write_text(TYPES)
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context", f"--cache-dir={tmp_path}"]
    done = subprocess.run(
        [*command, "--follow-imports=silent", "--ignore-missing-imports", "--no-pretty", str(file)],
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if "Revealed type" in line]
    assert len(lines) == len(REVEALED), done.stdout
    for line, kind in zip(lines, REVEALED, strict=True):
        revealed = line.partition('"')[2]
        for part in kind.replace("]", "").split("["):
            assert part in revealed
        assert "Any]" not in revealed or "ndarray" in revealed


def test_models_of_other_formats_are_shown(tmp_path):
    from tests.cli.program import i2i as program

    torch.manual_seed(0)
    net = nets.build("resnet", blocks=1, width=4)
    torch.save(net.state_dict(), tmp_path / "latest_net_G.pth")
    out, _ = program("models", "show", tmp_path / "latest_net_G.pth")
    assert "resnet" in out
    assert "channels_in" in out
    assert program("models", "show", tmp_path)[0] == out  # a folder of checkpoints of the authors
    (tmp_path / "text.pth").write_text("hello")
    _, err = program("models", "show", tmp_path / "text.pth", code=1)
    assert "105" not in err
    assert err.count("\n") == 1
    (tmp_path / "notes.txt").write_text("hello")
    assert "is not a model" in program("models", "show", tmp_path / "notes.txt", code=1)[1]
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    path = model_file.save(tmp_path / "m.safetensors", {"G": net})
    i2i.export(path, tmp_path / "m.onnx")
    out, _ = program("models", "show", tmp_path / "m.onnx")
    assert "ONNX" in out
    assert "direction" in out
