"""The training methods, one file each, and what they share: the contract, base classes, optimizers, a registry.

A method's file imports what it needs from here: `from i2i.methods import Batch, Method, Now, Shape, Terms`. Names are
imported on first use, so that listing the methods imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.data.batch import Batch as Batch
    from i2i.data.batch import Shape as Shape
    from i2i.methods._bases import Enlarge as Enlarge
    from i2i.methods._bases import Generate as Generate
    from i2i.methods._bases import Translate as Translate
    from i2i.methods._bases import TwoWay as TwoWay
    from i2i.methods._bases import eval_forward as eval_forward
    from i2i.methods._bases import sample_ids as sample_ids
    from i2i.methods._content import Content as Content
    from i2i.methods._method import Judge as Judge
    from i2i.methods._method import Method as Method
    from i2i.methods._method import Now as Now
    from i2i.methods._method import Terms as Terms
    from i2i.methods._optim import adam as adam
    from i2i.methods._optim import adam_pair as adam_pair
    from i2i.methods._optim import adamw as adamw
    from i2i.methods._optim import constant as constant
    from i2i.methods._optim import cosine as cosine
    from i2i.methods._optim import linear as linear
    from i2i.methods._optim import one_cycle as one_cycle
    from i2i.methods._optim import schedule as schedule
    from i2i.methods._optim import sgd_or_adam_pair as sgd_or_adam_pair
    from i2i.methods._optim import steps as steps
    from i2i.methods._registry import builtin_methods as builtin_methods
    from i2i.methods._registry import is_builtin as is_builtin
    from i2i.methods._registry import load_method as load_method
    from i2i.methods._registry import method_name as method_name
    from i2i.methods._registry import method_names as method_names
    from i2i.methods._registry import use_networks as use_networks
    from i2i.methods._terms import WASSERSTEIN as WASSERSTEIN

_NAMES = {
    "i2i.data.batch": ("Batch", "Shape"),
    "i2i.methods._bases": ("Enlarge", "Generate", "Translate", "TwoWay", "eval_forward", "sample_ids"),
    "i2i.methods._content": ("Content",),
    "i2i.methods._method": ("Judge", "Method", "Now", "Terms"),
    "i2i.methods._optim": (
        *("adam", "adam_pair", "adamw", "one_cycle", "sgd_or_adam_pair"),
        *("constant", "cosine", "linear", "schedule", "steps"),
    ),
    "i2i.methods._registry": (
        *("builtin_methods", "load_method", "method_name", "method_names"),
        *("is_builtin", "use_networks"),
    ),
    "i2i.methods._terms": ("WASSERSTEIN",),
}
_HOME = {name: home for home, names in _NAMES.items() for name in names}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'i2i.methods' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
