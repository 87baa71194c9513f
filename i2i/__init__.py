"""i2i: image-to-image translation. Train pix2pix, CycleGAN and their family on your own images; translate with them.

    import i2i
    folder = i2i.train("pix2pix", data="earth", size=64, epochs=5)
    image = i2i.load(folder)("photo.jpg")
    i2i.generate("runs/dcgan-faces", 64, grid="faces.png")

Names are imported on first use, so that `import i2i` costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from i2i.core.machine import share_processors
from i2i.core.memory import guard_torch
from i2i.core.plugins import register_importer

if TYPE_CHECKING:
    from i2i.core.errors import I2IError as I2IError
    from i2i.inference.evaluate import evaluate as evaluate
    from i2i.inference.generate import generate as generate
    from i2i.inference.translate import translate as translate
    from i2i.methods import Method as Method
    from i2i.models.export import export as export
    from i2i.models.generator import load_generator as load_generator
    from i2i.models.load import load as load
    from i2i.training.recipes import recipes as recipes
    from i2i.training.signals import Interrupted as Interrupted
    from i2i.training.train import resume as resume
    from i2i.training.train import train as train

__version__ = "0.2.0"

share_processors()  # before anything loads torch
guard_torch()

_HOME = {
    "I2IError": "i2i.core.errors",
    "Interrupted": "i2i.training.signals",
    "Method": "i2i.methods",
    "evaluate": "i2i.inference.evaluate",
    "export": "i2i.models.export",
    "generate": "i2i.inference.generate",
    "load": "i2i.models.load",
    "load_generator": "i2i.models.generator",
    "recipes": "i2i.training.recipes",
    "resume": "i2i.training.train",
    "train": "i2i.training.train",
    "translate": "i2i.inference.translate",
}
__all__ = [
    "I2IError",
    "Interrupted",
    "Method",
    "evaluate",
    "export",
    "generate",
    "load",
    "load_generator",
    "recipes",
    "resume",
    "train",
    "translate",
]


@register_importer
def _import_method(method: str, *, own_file: bool, networks: Sequence[str]) -> bool:
    """Lets saved models find the networks of a method: of an installed one, or of a file the user has named."""
    from i2i.methods import load_method, method_names, use_networks

    if own_file or method in method_names():
        return use_networks(load_method(method), networks)
    return False


def __getattr__(name: str) -> Any:
    name = {"generator": "load_generator"}.get(name, name)  # the name until version 0.1
    if name not in _HOME:
        raise AttributeError(f"module 'i2i' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOME[name]), name)
    except (ImportError, OSError, RuntimeError, MemoryError) as error:
        from i2i.core.memory import shortage

        if (short := shortage(error)) is not None:  # PyTorch does not fit into the address space
            raise short from error
        raise


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
