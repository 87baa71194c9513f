"""CIE Lab (D65, 2 degree observer) of sRGB images, as scikit-image has it, in torch: it can be differentiated.

L is the lightness, 0 to 100; a runs from green to red and b from blue to yellow, both about -110 to 110.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

RGB_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
XYZ_TO_RGB = tuple(tuple(row) for row in np.linalg.inv(np.array(RGB_TO_XYZ)).tolist())
WHITE = (0.95047, 1.0, 1.08883)
L_HALF, AB_MAX = 50.0, 110.0  # what networks see: L / 50 - 1 and ab / 110


def rgb_to_lab(x: Tensor) -> Tensor:
    """RGB [B, 3, H, W] in [0, 1] -> L, a, b [B, 3, H, W]."""
    linear = torch.where(x > 0.04045, ((x.clamp(min=0) + 0.055) / 1.055) ** 2.4, x / 12.92)
    xyz = _mixed(linear, x.new_tensor(RGB_TO_XYZ)) / x.new_tensor(WHITE)[:, None, None]
    f = torch.where(xyz > 0.008856, xyz.clamp(min=0.008856) ** (1 / 3), 7.787 * xyz + 16 / 116)
    fx, fy, fz = f.unbind(1)
    return torch.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], 1)


def lab_to_rgb(x: Tensor) -> Tensor:
    """L, a, b [B, 3, H, W] -> RGB [B, 3, H, W] in [0, 1]; colors that sRGB does not have are cut off."""
    lightness, a, b = x.unbind(1)
    fy = (lightness + 16) / 116
    f = torch.stack([a / 500 + fy, fy, (fy - b / 200).clamp(min=0)], 1)
    xyz = torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787) * x.new_tensor(WHITE)[:, None, None]
    linear = _mixed(xyz, x.new_tensor(XYZ_TO_RGB))
    rgb = torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055, 12.92 * linear)
    return rgb.clamp(0, 1)


def _mixed(x: Tensor, matrix: Tensor) -> Tensor:
    """Each pixel of [B, 3, H, W] times a matrix [3, 3]."""
    return torch.einsum("ij,bjhw->bihw", matrix, x)


def lightness(x: Tensor) -> Tensor:
    """RGB [B, 3, H, W] in [-1, 1] -> L / 50 - 1, [B, 1, H, W] in [-1, 1]: the input of networks that color."""
    return rgb_to_lab((x + 1) / 2)[:, :1] / L_HALF - 1


def chroma(x: Tensor) -> Tensor:
    """RGB [B, 3, H, W] in [-1, 1] -> ab / 110, [B, 2, H, W] in about [-1, 1]: their target."""
    return rgb_to_lab((x + 1) / 2)[:, 1:] / AB_MAX


def joined(lightness: Tensor, chroma: Tensor) -> Tensor:
    """The way back from `lightness` and `chroma`: RGB [B, 3, H, W] in [-1, 1]."""
    lab = torch.cat([(lightness + 1) * L_HALF, chroma * AB_MAX], 1)
    return 2 * lab_to_rgb(lab) - 1
