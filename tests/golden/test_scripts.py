"""Whole runs of the reference's test script, option by option, done again with `i2i.load` on its checkpoints."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import i2i
from i2i.data import preprocess
from i2i.media import images
from i2i.models.pth import load_pth
from tests.golden.reading import Case, cases, cut_uint8, network, to_tensor


def options_of(case: Case) -> argparse.Namespace:
    """The reference's options with its defaults for testing; those that change no image are taken and ignored."""
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--model", default="cut" if case.cut else "test")
    parser.add_argument("--model_suffix", default="")
    parser.add_argument("--direction", default="AtoB")
    parser.add_argument("--preprocess", default="resize_and_crop")
    parser.add_argument("--crop_size", type=int, default=256)
    parser.add_argument("--load_size", type=int, default=256)  # its default is that of the crop: to cut nothing
    parser.add_argument("--input_nc", type=int, default=3)
    parser.add_argument("--output_nc", type=int, default=3)
    parser.add_argument("--num_test", type=int, default=50)
    parser.add_argument("--max_dataset_size", type=float, default=float("inf"))
    parser.add_argument("--epoch", default="latest")
    parser.add_argument("--eval", action="store_true")
    for name in ("no_dropout", "no_flip", "serial_batches", "no_antialias", "no_antialias_up", "use_wandb"):
        parser.add_argument(f"--{name}", action="store_true")
    for name in ("netG", "norm", "normG", "ngf", "netD", "ndf", "n_layers_D", "init_type", "init_gain", "phase"):
        parser.add_argument(f"--{name}")
    for name in ("dataset_mode", "dataroot", "checkpoints_dir", "results_dir", "num_threads", "batch_size", "gpu_ids"):
        parser.add_argument(f"--{name}")
    for name in ("name", "aspect_ratio", "display_winsize", "CUT_mode", "load_iter", "suffix"):
        parser.add_argument(f"--{name}")
    options, unknown = parser.parse_known_args(case.manifest["command_options"])
    assert not unknown, f"options not understood: {unknown}"
    return options


def generator(case: Case, name: str, options: argparse.Namespace) -> Callable[[Tensor], Tensor]:
    """A checkpoint's generator as a function of [C, H, W]."""
    model = i2i.load(case.folder / "checkpoint" / name, "cpu", statistics="stored" if options.eval else "picture")

    def apply(x: Tensor) -> Tensor:
        if x.shape[-2] % model.multiple or x.shape[-1] % model.multiple:
            with torch.inference_mode():  # the reference does not pad; its network may give another size
                return model.network(x[None])[0].float()
        made: Tensor = model(x)
        return made

    return apply


def opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def samples(case: Case, options: argparse.Namespace) -> Iterator[tuple[str, list[Tensor]]]:
    """(name, [source] or [source, target]) in the order of the reference."""
    back = options.direction == "BtoA"
    grey = [options.input_nc == 1, options.output_nc == 1]  # of source and target

    def ready(picture: Image.Image, side: int) -> Tensor:
        fitted = preprocess.fit(
            images.convert(picture, 1 if grey[side] else 3), options.preprocess, options.load_size, options.crop_size
        )
        return to_tensor(images.to_array(fitted))

    folder = case.folder / "input"
    layout = case.manifest.get("layout", "single")
    if layout == "single":
        if back:
            grey.reverse()
        for path in images.find_images(folder):
            yield path.stem, [ready(opened(path), 0)]
    elif layout == "aligned":
        for path in images.find_images(folder):
            both = opened(path)
            half = both.width // 2
            parts = [both.crop((0, 0, half, both.height)), both.crop((half, 0, both.width, both.height))]
            source, target = parts[::-1] if back else parts
            yield path.stem, [ready(source, 0), ready(target, 1)]
    else:
        assert layout == "unaligned", f"unknown layout {layout!r}"
        places = {side: next(p for p in folder.rglob(f"*{side}") if p.is_dir()) for side in "AB"}
        a, b = images.find_images(places["A"]), images.find_images(places["B"])
        for i in range(max(len(a), len(b))):
            pair = [a[i % len(a)], b[i % len(b)]]
            source, target = [opened(p) for p in (pair[::-1] if back else pair)]
            yield pair[back].stem, [ready(source, 0), ready(target, 1)]


def pictures(case: Case, options: argparse.Namespace) -> Iterator[tuple[str, Tensor, bool]]:
    """(file name, image [C, H, W], whether it is made by a network) for every file of the run."""

    def net(suffix: str) -> Callable[[Tensor], Tensor]:
        return generator(case, f"{options.epoch}_net_G{suffix}.pth", options)

    both = options.model == "cycle_gan"
    to_b = net("_A" if both else options.model_suffix)
    to_a = net("_B") if both else None
    for i, (name, parts) in enumerate(samples(case, options)):
        if i >= min(options.num_test, options.max_dataset_size):
            return
        fake = to_b(parts[0])
        made = {"real": (parts[0], False), "fake": (fake, True)}
        if len(parts) > 1:
            made = {"real_A": (parts[0], False), "fake_B": (fake, True), "real_B": (parts[1], False)}
        if to_a is not None:
            fake_a = to_a(parts[1])
            made |= {"fake_A": (fake_a, True), "rec_A": (to_a(fake), True), "rec_B": (to_b(fake_a), True)}
        for title, (picture, by_network) in made.items():
            yield f"{name}_{title}.png", picture, by_network


@pytest.mark.parametrize("case", cases("end_to_end_test"))
def test_run(case: Case) -> None:
    options = options_of(case)
    described = case.manifest.get("networks", {}).values()
    if any(n.get("use_dropout") for n in described) and not options.eval:
        pytest.skip("dropout draws random numbers at test time: no image of it can be repeated")
    if "crop" in options.preprocess and options.load_size > options.crop_size:
        pytest.skip("the window is cut at a random place: no image of it can be repeated")
    limits = case.manifest["tolerance"]
    expected = {p.name: p for p in (case.folder / "output").rglob("*.png")}
    seen = set()
    for name, picture, by_network in pictures(case, options):
        if name not in expected and "real" in name:
            continue
        seen.add(name)
        ours, theirs = cut_uint8(picture), np.asarray(opened(expected[name]))
        assert ours.shape == theirs.shape, name
        off = np.abs(ours.astype(int) - theirs)
        if by_network:
            assert off.max() <= limits["pixel_max_abs"], name
            assert (off > 0).mean() <= limits["fraction_of_values_that_may_differ"], name
        else:
            assert not off.any(), name
    assert expected
    assert seen == set(expected)


@pytest.mark.parametrize("case", cases("end_to_end_test"))
def test_recognised(case: Case) -> None:
    """The architecture comes out of keys and shapes alone."""
    for name, described in case.manifest["networks"].items():
        arguments = load_pth(case.folder / "checkpoint" / name).arguments
        expected = dict(network(described, case.cut).arguments)  # type: ignore[arg-type]
        if "depth" in expected:
            expected["dropout"] = False  # leaves no trace in the keys of a U-Net
        assert arguments == expected
