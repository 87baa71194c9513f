"""Whole runs of the reference's test script: its checkpoint, its input pictures, the pictures it wrote."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from i2i import images
from i2i.legacy import load_pth
from i2i.nets.blocks import as_tested
from tests.golden.reading import Case, cases, network
from tests.golden.test_images import processed

FLAGS = ("--no_dropout", "--eval", "--no_flip", "--no_antialias", "--no_antialias_up", "--serial_batches")


def parsed(words: list[str]) -> dict[str, Any]:
    """The command line as {option: value}, numbers as numbers, over the script's defaults."""
    options: dict[str, Any] = {"preprocess": "resize_and_crop", "crop_size": 256, "direction": "AtoB"}
    at = iter(words)
    for word in at:
        if word in FLAGS:
            options[word[2:]] = True
        else:
            value = next(at)
            options[word[2:]] = int(value) if value.lstrip("-").isdigit() else value
    options.setdefault("load_size", 256)
    return options


def generators(case: Case, evaluate: bool) -> dict[str, nn.Module]:
    """The networks of checkpoint/ by the last part of their file names: {"G": ..., "A": ..., "B": ...}."""
    found = {}
    for name, described in case.manifest["networks"].items():
        net, arguments = load_pth(case.folder / "checkpoint" / name)
        expected = dict(network(described, case.cut).arguments)  # type: ignore[arg-type]
        if "depth" in expected:
            expected["dropout"] = False  # leaves no trace in the keys of a U-Net
        assert arguments == expected
        found[Path(name).stem.split("_")[-1]] = as_tested(net, own=not evaluate, dropout=False)
    return found


def tensor(image: Image.Image, options: dict[str, Any], channels: int) -> Tensor:
    options = {k: v for k, v in options.items() if k != "input_nc"} | {"grayscale": channels == 1}
    return images.to_tensor(images.to_array(processed(image, options)))[None]


def opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB")


def visuals(case: Case, options: dict[str, Any]) -> dict[str, Tensor]:
    """{file name without suffix: picture} as the script would write them, by our parts."""
    nets = generators(case, bool(options.get("eval")))
    first = next(iter(nets.values()))
    channels_in, channels_out = first.arguments["channels_in"], first.arguments["channels_out"]  # type: ignore[index]
    made: dict[str, Tensor] = {}
    layout = case.manifest.get("layout", "single")
    if layout == "single":
        for path in images.find(case.folder / "input"):
            real = tensor(opened(path), options, channels_in)
            made |= {f"{path.stem}_real": real, f"{path.stem}_fake": first(real)}
    elif layout == "aligned":
        for path in images.find(case.folder / "input"):
            image = opened(path)
            half = image.width // 2
            parts = [image.crop((0, 0, half, image.height)), image.crop((half, 0, image.width, image.height))]
            if options["direction"] == "BtoA":
                parts.reverse()
            x, y = tensor(parts[0], options, channels_in), tensor(parts[1], options, channels_out)
            made |= {f"{path.stem}_real_A": x, f"{path.stem}_fake_B": first(x), f"{path.stem}_real_B": y}
    elif layout == "unaligned":
        folders = [sorted(p for p in (case.folder / "input").iterdir() if p.name.endswith(s)) for s in ("A", "B")]
        a, b = (images.find(f[0]) for f in folders)
        for i, path in enumerate(a):
            x = tensor(opened(path), options, channels_in)
            y = tensor(opened(b[i % len(b)]), options, channels_out)
            fake_y, fake_x = nets["A"](x), nets["B"](y)
            made |= {f"{path.stem}_real_A": x, f"{path.stem}_fake_B": fake_y, f"{path.stem}_rec_A": nets["B"](fake_y)}
            made |= {f"{path.stem}_real_B": y, f"{path.stem}_fake_A": fake_x, f"{path.stem}_rec_B": nets["A"](fake_x)}
    else:
        pytest.skip(f"layout {layout!r} is not one of single, aligned, unaligned")
    return made


@pytest.mark.parametrize("case", cases("end_to_end_test"))
@torch.no_grad()
def test_run(case: Case) -> None:
    limits = case.manifest["tolerance"]
    made = visuals(case, parsed(case.manifest["command_options"]))
    written = sorted((case.folder / "output").rglob("*.png"))
    assert written
    for path in written:
        ours, theirs = images.cut_uint8(made[path.stem]), np.asarray(opened(path))
        assert ours.shape == theirs.shape, path.name
        off = np.abs(ours.astype(int) - theirs)
        if "_real" in path.stem:
            assert off.max() == 0, path.name
        assert off.max() <= limits["pixel_max_abs"], path.name
        assert (off > 0).mean() <= limits["fraction_of_values_that_may_differ"], path.name
