"""Images in and out: pre-processing pixel by pixel, and how an output becomes 8 bits."""

import random
from typing import Any

import pytest
import torch
from PIL import Image

from i2i.data import preprocess
from i2i.data.preprocess import Preprocess
from i2i.media import images
from tests.golden.reading import Case, cases, cut_uint8, to_tensor


def processed(image: Image.Image, options: dict[str, Any], params: dict[str, Any] | None = None) -> Image.Image:
    """The image as the reference's transforms give it, by our `fit`."""
    grey = options.get("grayscale") or options.get("input_nc") == 1
    params = params or {}
    position = params.get("crop_pos")
    return preprocess.fit(
        images.convert(image, 1 if grey else 3),
        options.get("preprocess", "resize_and_crop"),
        options.get("load_size", 256),
        options.get("crop_size", 256),
        None if position is None else (position[0], position[1]),
        bool(params.get("flip", False)),
    )


@pytest.mark.parametrize("case", cases("preprocess"))
def test_preprocess(case: Case) -> None:
    for row in case.manifest["rows"]:
        (path,) = case.folder.rglob(row["image"])
        image = Image.open(path).convert("RGB")
        if row["through"] == "AlignedDataset":
            half = image.width // 2
            left = row["tensor"].endswith("/A")
            image = image.crop((0, 0, half, image.height) if left else (half, 0, image.width, image.height))
        options = row["options"]
        if row["tensor"].endswith("/B") and "output_nc" in options:
            options = {**options, "input_nc": options["output_nc"]}
        array = images.to_array(processed(image, options, row.get("params")))
        ours = torch.from_numpy(array).permute(2, 0, 1)
        assert torch.equal(ours, case.tensors[row["tensor"]]), row["tensor"]
        prefix, _, name = row["tensor"].rpartition("/")
        exact = f"float32_of_{prefix}_{name}"
        if exact in case.tensors:
            torch.testing.assert_close(to_tensor(array), case.tensors[exact], rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", cases("preprocess"))
def test_room_for_the_window(case: Case) -> None:
    """The recorded draws come out when made within the room that our sizes leave."""
    recorded = case.manifest.get("get_params_draws")
    if recorded is None:
        pytest.skip("no draws recorded")
    for row in recorded["draws"]:
        draw = random.Random(recorded["python_random_seed"])
        crop = row["crop_size"]
        width, height = Preprocess.named(row["preprocess"]).size(*row["image_size_wh"], row["load_size"], crop)
        for theirs in row["three_draws"]:
            position = [draw.randint(0, max(0, width - crop)), draw.randint(0, max(0, height - crop))]
            assert position == theirs["crop_pos"]
            assert (draw.random() > 0.5) == theirs["flip"]


@pytest.mark.parametrize("case", cases("image_output"))
def test_output(case: Case) -> None:
    for name in [n for n in case.tensors if f"{n}_im" in case.tensors]:
        ours = torch.from_numpy(cut_uint8(case.tensors[name]))
        assert torch.equal(ours, case.tensors[f"{name}_im"]), name
