"""How colorful images are: a score of colorization."""

from __future__ import annotations

from torch import Tensor

from i2i.core.errors import I2IError


def colorfulness(images: Tensor) -> Tensor:
    """Colorfulness of RGB images [B, 3, H, W] in [-1, 1], [B], float64 (Hasler and Suesstrunk 2003).

    0 for gray images; about 15 is slightly colorful, 45 clearly, 109 extremely. The scale is that of levels 0 to 255.
    Raises I2IError for images without three channels."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise I2IError(f"Colorfulness needs RGB images, but their shape is {list(images.shape)}.", "Give [B, 3, H, W].")
    r, g, b = ((images.detach().double() + 1) * 127.5).unbind(1)
    red_green, yellow_blue = r - g, (r + g) / 2 - b
    spread = (red_green.var((1, 2), correction=0) + yellow_blue.var((1, 2), correction=0)).sqrt()
    return spread + 0.3 * (red_green.mean((1, 2)).square() + yellow_blue.mean((1, 2)).square()).sqrt()
