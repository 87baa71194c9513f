"""i2i: image-to-image translation. Train pix2pix, CycleGAN and their family on your own pictures; translate with them.

    import i2i
    folder = i2i.train("pix2pix", data="earth", size=64, epochs=5)
    picture = i2i.load(folder)("photo.jpg")
    i2i.generate("runs/dcgan-faces", 64, grid="faces.png")

Names are imported on first use, so that `import i2i` costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.errors import I2IError as I2IError
    from i2i.evaluate import evaluate as evaluate
    from i2i.generate import generate as generate
    from i2i.generator import load as generator
    from i2i.loading import load as load
    from i2i.method import Method as Method
    from i2i.registry import recipes as recipes
    from i2i.train import train as train
    from i2i.translate import translate as translate

_PUBLIC = {
    "I2IError": "i2i.errors",
    "Method": "i2i.method",
    "evaluate": "i2i.evaluate",
    "generate": "i2i.generate",
    "generator": "i2i.generator",
    "load": "i2i.loading",
    "recipes": "i2i.registry",
    "train": "i2i.train",
    "translate": "i2i.translate",
}
_RENAMED = {"generator": "load"}  # of a module that calls it so
__all__ = [
    "I2IError",
    "Method",
    "evaluate",
    "generate",
    "generator",
    "load",
    "recipes",
    "train",
    "translate",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("i2i")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'i2i' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), _RENAMED.get(name, name))


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Package(ModuleType):
    """`i2i.train` is the function, although a module of that name exists: importing it must not hide the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in _PUBLIC):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
