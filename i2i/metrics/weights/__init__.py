"""Trained weights that come with i2i: AlexNet with the heads of LPIPS, and EfficientNet-Lite0, as 16-bit numbers.

LICENCES.md beside them names authors and terms.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(__file__).parent
LPIPS_ALEX = FOLDER / "lpips_alex.safetensors"
EFFNET_LITE0 = FOLDER / "efficientnet_lite0.safetensors"


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file by name, as 32-bit numbers."""
    return {name: value.float() for name, value in load_file(path).items()}
