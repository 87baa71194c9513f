"""The training methods, one file each, and what they are made of: the contract, thin bases, optimizers, a registry.

A method's file imports what it needs from here: `from i2i.methods import Batch, Method, Now, Shape, Terms`. Names are
imported on first use, so that listing methods needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.data.batch import Batch as Batch
    from i2i.data.batch import Shape as Shape
    from i2i.methods._bases import Generate as Generate
    from i2i.methods._bases import Translate as Translate
    from i2i.methods._bases import TwoWay as TwoWay
    from i2i.methods._bases import eval_forward as eval_forward
    from i2i.methods._bases import sample_ids as sample_ids
    from i2i.methods._method import Method as Method
    from i2i.methods._method import Now as Now
    from i2i.methods._method import Terms as Terms
    from i2i.methods._optim import adam as adam
    from i2i.methods._optim import constant as constant
    from i2i.methods._optim import cosine as cosine
    from i2i.methods._optim import linear as linear
    from i2i.methods._optim import schedule as schedule
    from i2i.methods._optim import steps as steps
    from i2i.methods._registry import builtin_methods as builtin_methods
    from i2i.methods._registry import load_method as load_method
    from i2i.methods._registry import method_name as method_name
    from i2i.methods._registry import method_names as method_names

_HOME = {
    "Batch": "i2i.data.batch",
    "Generate": "i2i.methods._bases",
    "Method": "i2i.methods._method",
    "Now": "i2i.methods._method",
    "Shape": "i2i.data.batch",
    "TwoWay": "i2i.methods._bases",
    "Terms": "i2i.methods._method",
    "Translate": "i2i.methods._bases",
    "adam": "i2i.methods._optim",
    "builtin_methods": "i2i.methods._registry",
    "schedule": "i2i.methods._optim",
    "load_method": "i2i.methods._registry",
    "method_name": "i2i.methods._registry",
    "sample_ids": "i2i.methods._bases",
    "eval_forward": "i2i.methods._bases",
    "linear": "i2i.methods._optim",
    "cosine": "i2i.methods._optim",
    "steps": "i2i.methods._optim",
    "constant": "i2i.methods._optim",
    "method_names": "i2i.methods._registry",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'i2i.methods' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
