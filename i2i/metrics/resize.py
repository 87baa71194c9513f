"""The resize in front of a feature network. It changes FID and its kin by points, so a score names its rule.

clean              Pillow's bicubic filter on each channel as 32-bit numbers, not rounded (Parmar et al. 2021,
                   arXiv 2104.11222); clean_bilinear and clean_lanczos have the other filters
quantized          the same filter on 8-bit images, rounded to 8 bits
legacy_pytorch     torch's bilinear filter without antialiasing, as in many implementations of FID
legacy_tensorflow  bilinear at floor(i * in / out) without antialiasing, as inside the Inception network of 2015
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from i2i.core.errors import I2IError, nearest

FILTERS = {
    "clean": Image.Resampling.BICUBIC,
    "clean_bilinear": Image.Resampling.BILINEAR,
    "clean_lanczos": Image.Resampling.LANCZOS,
}
RULES = (*FILTERS, "quantized", "legacy_pytorch", "legacy_tensorflow")


def resize(image: Tensor, size: int, rule: str = "clean") -> Tensor:
    """A uint8 image [C, H, W] -> [C, size, size] with levels 0 to 255, float32; the aspect ratio is not kept.

    rule: one of RULES. Raises I2IError for another rule or another kind of tensor."""
    if image.dtype != torch.uint8 or image.ndim != 3:
        raise I2IError(f"A uint8 image [C, H, W] is needed, but {image.dtype} {list(image.shape)} was given.")
    if rule in FILTERS:
        channels = [_pillow(c.float().numpy(), size, FILTERS[rule]) for c in image.cpu()]
        return torch.stack(channels).clamp(0, 255)
    if rule == "quantized":
        return torch.stack([_pillow(c.numpy(), size, Image.Resampling.BICUBIC) for c in image.cpu()]).float()
    if rule == "legacy_pytorch":
        resized = F.interpolate(image[None].float(), (size, size), mode="bilinear", align_corners=False)
        return resized[0].clamp(0, 255)
    if rule == "legacy_tensorflow":
        return resize_tensorflow(image[None].float(), size)[0]
    raise I2IError(f"No resize rule is called {rule!r}.", nearest(rule, RULES))


def resize_tensorflow(images: Tensor, size: int) -> Tensor:
    """Images [B, C, H, W] -> [B, C, size, size] as TensorFlow 1 did it: no shift by half a pixel, no antialiasing."""
    for axis in (2, 3):
        side = images.shape[axis]
        at = torch.arange(size, dtype=torch.float32, device=images.device) * (side / size)
        low = at.floor().long()
        high = (low + 1).clamp_max(side - 1)
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(4)])
        first, second = images.index_select(axis, low), images.index_select(axis, high)
        images = first + (second - first) * share
    return images


def _pillow(channel: np.ndarray, size: int, filter_: Image.Resampling) -> Tensor:
    return torch.from_numpy(np.array(Image.fromarray(channel).resize((size, size), filter_)))
