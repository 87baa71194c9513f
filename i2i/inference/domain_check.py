"""Whether the images of a translation are like those that the model was trained on: a look at a few of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.core.reading import has_form
from i2i.data.layouts import header as file_header
from i2i.data.preprocess import Preprocess, fit
from i2i.media import images, luma, pixels, video
from i2i.models import content
from i2i.models import format as model_file
from i2i.models.load import ModelFile
from i2i.models.translator import Translator

LOOKS = 8  # images that are looked at, spread over all
LARGER = 4  # times the size of training: far from the shapes that the model knows
T = TypeVar("T")
MAX_BYTES = 30_000_000  # of a file; larger ones take long to decode


def unlike_training(model: Translator | ModelFile, direction: str, sources: Sequence[Path]) -> str:
    """A sentence if most of the images looked at are far from the training images of the model; else "".

    Nothing is said of a model that does not know its training images, and an image that cannot be read is passed over:
    its translation says why. sources: files; addresses and videos are left out."""
    header = model.header if isinstance(model, Translator) else _header(model)
    facts = header.get("domain")
    if not has_form(facts, {str: dict}) or not facts:
        return ""
    from i2i.metrics.domain import Domain, describe  # only where it is needed

    domain = Domain.from_facts(facts.get(direction))
    files = [path for path in sources if has_pixels(path)]
    if domain is None or not files:
        return ""
    rows = []
    for path in spread(files):
        with contextlib.suppress(I2IError, OSError):
            if path.stat().st_size <= MAX_BYTES:
                square = _square(path, header)[None]
                rows.append(describe(luma.gray(square) if header.get("colorizes") else square))
    if not rows:
        return ""
    distances = domain.distance(torch.cat(rows))
    far = int((distances > domain.limit).sum())
    if 2 * far <= len(rows):
        return ""
    what = "The image is" if len(rows) == len(files) == 1 else f"{far} of {len(rows)} images looked at are"
    return (
        f"{what} unlike the {domain.images} training images that the model remembers (distance "
        f"{float(distances.median()):.1f}, usual: up to {domain.limit:.1f}), so the result may be poor. "
        "--no-domain-check turns this note off."
    )


def larger_than_training(model: Translator | ModelFile, direction: str, sources: Sequence[Path]) -> str:
    """A sentence if most of the images looked at have sides of LARGER times those of the training or more; else "".

    Sizes are read from the files' headers. Nothing is said of a model that does not know its training images, nor of
    one that was trained on crops at the full size, whose images may have any size."""
    header = model.header if isinstance(model, Translator) else _header(model)
    facts, size = header.get("domain"), header.get("size")
    rule = Preprocess.named(str(header.get("preprocess") or "resize_and_crop"))
    if not isinstance(facts, dict) or direction not in facts or not isinstance(size, int) or not rule.resize:
        return ""
    sides = []
    for path in spread([path for path in sources if has_pixels(path)]):
        with contextlib.suppress(I2IError, OSError):
            sides.append(min(file_header(path)[:2]))
    large = sum(side >= LARGER * size for side in sides)
    if 2 * large <= len(sides):
        return ""
    what = "The image is" if len(sides) == 1 else f"{large} of {len(sides)} images looked at are"
    return (
        f"{what} at least {LARGER} times as large as the {size} pixels that the model was trained at, so it may miss "
        f"large shapes. Try --size {size}, or --no-domain-check to turn this note off."
    )


def has_pixels(path: Path) -> bool:
    """Whether a file can be looked at: it is no video and lies on this machine."""
    return not storage.is_address(path) and not video.is_video(path)


def spread(files: Sequence[T]) -> list[T]:
    """At most LOOKS of the files, spread over all."""
    looks = min(LOOKS, len(files))
    return [files[i * len(files) // looks] for i in range(looks)]


def _square(path: Path, header: Mapping[str, Any]) -> torch.Tensor:
    """An image as the model saw those of its training: float32 [C, size, size] in [-1, 1]."""
    size = int(header.get("size") or 256)
    channels = 1 if header.get("channels_in") == 1 else 3
    with pixels.opened(path, channels) as image:
        rule = Preprocess.named(str(header.get("preprocess") or "resize_and_crop")).square
        array = images.to_array(fit(image, rule, size, size))
    return torch.from_numpy(array).permute(2, 0, 1).float() / 127.5 - 1


def _header(model: ModelFile) -> dict[str, Any]:
    try:
        return model_file.read_header(model.path) if content.kind_of(model.path) == content.SAFETENSORS else {}
    except I2IError:
        return {}
