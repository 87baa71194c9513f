"""Whole runs of the reference's test script, option by option, done again with `i2i.load` on its checkpoints."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from i2i import images, translate
from tests.golden.reading import Case, cases


def ready(picture: Image.Image, grey: bool, options: dict[str, Any]) -> Tensor:
    """The network's input [C, H, W] for a picture, as the options say."""
    picture = images.convert(picture, 1 if grey else 3)
    fitted = images.fit(
        picture,
        options.get("preprocess", "resize_and_crop"),
        options["load_size"],
        options["crop_size"],
    )
    return images.to_tensor(images.to_array(fitted))


def options_of(case: Case) -> argparse.Namespace:
    """The reference's options with its defaults for testing; those that change no picture are taken and ignored."""
    given = case.manifest["command_options"]
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--model", default="test")
    parser.add_argument("--model_suffix", default="")
    parser.add_argument("--direction", default="AtoB")
    parser.add_argument("--preprocess", default="resize_and_crop")
    parser.add_argument("--crop_size", type=int, default=256)
    parser.add_argument("--load_size", type=int, default=None)
    parser.add_argument("--input_nc", type=int, default=3)
    parser.add_argument("--output_nc", type=int, default=3)
    parser.add_argument("--num_test", type=int, default=50)
    parser.add_argument("--max_dataset_size", type=float, default=float("inf"))
    parser.add_argument("--epoch", default="latest")
    parser.add_argument("--eval", action="store_true")
    parser.add_argument("--no_dropout", action="store_true")
    parser.add_argument("--no_flip", action="store_true")
    for name in ("netG", "norm", "ngf", "netD", "ndf", "n_layers_D", "init_type", "init_gain", "name", "phase"):
        parser.add_argument(f"--{name}")
    for name in ("dataset_mode", "dataroot", "checkpoints_dir", "results_dir", "num_threads", "batch_size", "gpu_ids"):
        parser.add_argument(f"--{name}")
    options, unknown = parser.parse_known_args(given)
    if unknown:
        pytest.fail(f"options not understood: {unknown}")
    options.load_size = options.load_size or 256  # the script's default is that of the crop: to cut nothing
    return options


def generator(case: Case, suffix: str, options: argparse.Namespace) -> Callable[[Tensor], Tensor]:
    """A checkpoint's generator as a function of [C, H, W]."""
    path = case.folder / "checkpoint" / f"{options.epoch}_net_G{suffix}.pth"
    model = translate.load(path, "cpu", statistics="stored" if options.eval else "picture")

    def apply(x: Tensor) -> Tensor:
        if model.padded(x) == tuple(x.shape[-2:]):
            made: Tensor = model(x)
            return made
        with torch.inference_mode():  # the reference does not pad; its network may give another size
            return model.network(x[None])[0].float()

    return apply


def samples(case: Case, options: argparse.Namespace) -> Iterator[tuple[str, list[Tensor]]]:
    """(name, [input] or [A, B]) in the order of the reference; A and B are swapped by the direction."""
    folder = case.folder / "input"
    back = options.direction == "BtoA"
    grey_in = (options.output_nc if back else options.input_nc) == 1
    grey_out = (options.input_nc if back else options.output_nc) == 1
    settings = vars(options)

    def opened(path: Path) -> Image.Image:
        with Image.open(path) as picture:
            return picture.convert("RGB")

    def listed(name: str = "") -> list[Path]:
        place = next((p for p in folder.rglob(name) if p.is_dir()), folder) if name else folder
        return images.find(place)

    if case.manifest.get("layout", "single") == "single":
        for path in listed():
            yield path.stem, [ready(opened(path), grey_in, settings)]
    elif options.model == "cycle_gan" or "unaligned" in case.manifest["layout"]:
        found = {side: listed(f"*{side}") for side in "AB"}
        for i in range(max(map(len, found.values()))):
            a, b = found["A"][i % len(found["A"])], found["B"][i % len(found["B"])]
            source, target = (b, a) if back else (a, b)
            pair = [ready(opened(source), grey_in, settings), ready(opened(target), grey_out, settings)]
            yield source.stem, pair
    else:
        for path in listed():
            pair_ = opened(path)
            middle = pair_.width // 2
            halves = [
                pair_.crop((0, 0, middle, pair_.height)),
                pair_.crop((middle, 0, pair_.width, pair_.height)),
            ]
            source_, target_ = halves[::-1] if back else halves
            yield path.stem, [ready(source_, grey_in, settings), ready(target_, grey_out, settings)]


def pictures(case: Case, options: argparse.Namespace) -> Iterator[tuple[str, Tensor, bool]]:
    """(file name, picture [C, H, W], whether it is made by a network) for every file of the run."""
    limit = int(min(options.num_test, options.max_dataset_size))
    if options.model == "cycle_gan":
        to_b, to_a = generator(case, "_A", options), generator(case, "_B", options)
    else:
        to_b = generator(case, options.model_suffix, options)
    for i, (name, parts) in enumerate(samples(case, options)):
        if i == limit:
            return
        made = {"real": (parts[0], False), "fake": (to_b(parts[0]), True)}
        if options.model != "test":
            made = {"real_A": made["real"], "fake_B": made["fake"], "real_B": (parts[1], False)}
        if options.model == "cycle_gan":
            fake_a = to_a(parts[1])
            made["fake_A"] = (fake_a, True)
            made["rec_A"] = (to_a(made["fake_B"][0]), True)
            made["rec_B"] = (to_b(fake_a), True)
        for title, (picture, by_network) in made.items():
            yield f"{name}_{title}.png", picture, by_network


@pytest.mark.parametrize("case", cases("end_to_end_test"))
def test_whole_run(case: Case) -> None:
    options = options_of(case)
    described = case.manifest.get("networks", {}).values()
    if any(n.get("use_dropout") for n in described) and not options.eval:
        pytest.skip("dropout draws random numbers at test time: no picture of it can be repeated")
    if "crop" in options.preprocess and options.load_size > options.crop_size:
        pytest.skip("the window is cut at a random place: no picture of it can be repeated")
    tolerance = case.manifest["tolerance"]
    expected = {p.name: p for p in (case.folder / "output").rglob("*.png")}
    seen = set()
    for name, picture, by_network in pictures(case, options):
        assert name in expected
        seen.add(name)
        ours, theirs = images.cut_uint8(picture), np.asarray(Image.open(expected[name]).convert("RGB"))
        assert ours.shape == theirs.shape, name
        difference = np.abs(ours.astype(int) - theirs)
        if by_network:
            assert difference.max() <= tolerance["pixel_max_abs"], name
            assert (difference > 0).mean() <= tolerance["fraction_of_values_that_may_differ"], name
        else:
            assert not difference.any(), name
    assert seen == set(expected)
