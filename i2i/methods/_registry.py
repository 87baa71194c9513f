"""Methods by name: which there are, and the class that a name or a file stands for.

A method is a file: `i2i/methods/NAME.py`, an entry point of the group `i2i.methods`, or any path to a .py file. Listing
the names imports no method, and no torch.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from i2i.core import user_code
from i2i.core.errors import I2IError, nearest
from i2i.core.suggest import same_name
from i2i.core.user_code import place_of

if TYPE_CHECKING:
    from i2i.methods._method import Method

GROUP = "i2i.methods"  # of entry points
HELP = "`i2i methods new NAME` writes a method to start from."


def method_names() -> list[str]:
    """Names of all installed methods, sorted."""
    return sorted({*builtin_methods(), *(point.name for point in _installed())})


def builtin_methods() -> list[str]:
    """Names of the methods that come with i2i."""
    folder = importlib.import_module("i2i.methods").__path__
    return [m.name for m in pkgutil.iter_modules(folder) if not m.name.startswith("_")]


def _installed() -> tuple[EntryPoint, ...]:
    """The methods of other packages. They are read again only if Python's folders have changed."""
    return _entry_points(tuple((folder, _changed_at(folder)) for folder in sys.path))


@functools.lru_cache(maxsize=1)
def _entry_points(folders: tuple[tuple[str, float], ...]) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


def _changed_at(folder: str) -> float:
    try:
        return os.stat(folder or ".").st_mtime
    except OSError:
        return 0.0


def load_method(name: str) -> type[Method]:
    """The class of a method by its name, or by the path of its file, which is run. Networks of the file get a name in
    `i2i.nets`, so that saved models can be built again.

    Raises I2IError if the name is unknown, and if the file cannot be imported or does not define one method."""
    from i2i.methods._check_config import check_config

    if name.endswith(".py"):
        module = user_code.import_file(Path(name))
        kind = _only_method(module, Path(name).name)
        _register_networks(module, "method")
        check_config(kind)
        return kind
    name = same_name(name, method_names()) or name
    if name in builtin_methods():
        return _only_method(importlib.import_module(f"i2i.methods.{name}"), name)
    for point in _installed():
        if point.name == name:
            try:
                loaded = point.load()
            except Exception as error:  # the code of another package may raise anything
                raise I2IError(
                    f"The method {name!r} of {point.value} cannot be imported: {type(error).__name__}: {error}.",
                    "Update or remove the package that it belongs to.",
                ) from error
            kind = loaded if isinstance(loaded, type) else _only_method(loaded, name)
            user_code.watch(getattr(sys.modules.get(kind.__module__), "__file__", None) or "")
            _register_networks(sys.modules[kind.__module__], name)
            check_config(kind)
            return kind
    raise I2IError(f"There is no method {name!r}.", nearest(name, method_names()))


def method_name(kind: type[Method]) -> str:
    """The name of a method's class, or the full path of its file: what `load_method` takes.

    Raises I2IError for a class that neither a name nor a file leads to."""
    home = kind.__module__
    if home.startswith("i2i.methods."):
        return home.removeprefix("i2i.methods.")
    path = user_code.file_of(sys.modules.get(home))
    if path is not None:
        return str(path)
    for point in _installed():
        if point.value.split(":")[0] == home:
            return point.name
    raise I2IError(f"{kind.__name__} belongs to no registered method.", "Give the path of its file.")


def is_builtin(kind: type[Method]) -> bool:
    """True for a method that comes with i2i."""
    return kind.__module__.startswith("i2i.methods.")


# ---- the class in a module -----------------------------------------------------------------------------------------


def _only_method(module: ModuleType, name: str) -> type[Method]:
    """The one class in a module that derives from Method and whose name has no underscore in front."""
    from i2i.methods._method import Method

    own = [v for k, v in vars(module).items() if _defined_in(module, v) and not k.startswith("_")]
    methods = list(dict.fromkeys(v for v in own if issubclass(v, Method)))
    if not methods:
        like = next((v for v in own if callable(getattr(v, "step", None))), None)
        if like is not None:
            raise I2IError(
                f"{like.__name__} ({place_of(like)}) does not derive from i2i.methods.Method.",
                f"Write `class {like.__name__}(Method):`, and `from i2i.methods import Batch, Method, Now, Terms`.",
            )
        raise I2IError(f"{name} defines no method: no class in it derives from i2i.methods.Method.", HELP)
    if len(methods) > 1:
        listed = " and ".join(f"{v.__name__} (line {inspect.getsourcelines(v)[1]})" for v in methods)
        raise I2IError(
            f"{name} defines {len(methods)} methods, {listed}, but a method is a file.",
            "Move the others into files of their own, or begin the name of a base class with an underscore.",
        )
    if not hasattr(methods[0], "Config"):
        raise I2IError(
            f"{methods[0].__name__} ({place_of(methods[0])}) has no Config.",
            "Add `Config = Settings`, a frozen dataclass with its settings.",
        )
    return methods[0]


def _defined_in(module: ModuleType, value: object) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__


def _register_networks(module: ModuleType, home: str) -> None:
    """Gives each network class of a user's module a name in saved models, unless `i2i.nets.register` has done so.

    home: "method" for a file, whose content then is part of the name: method.Generator@0123456789abcdef, so that no
    saved model is ever built from another file; the name of the method for an installed package."""
    from torch import nn

    from i2i import nets
    from i2i.methods._method import Method

    content = f"@{user_code.digest_of(module)[:16]}" if user_code.file_of(module) else ""
    for value in list(vars(module).values()):
        is_network = _defined_in(module, value) and issubclass(value, nn.Module) and not issubclass(value, Method)
        if is_network and "registered_as" not in vars(value):
            nets.register(f"{home}.{value.__qualname__}{content}")(value)


def use_networks(kind: type[Method], wanted: Sequence[str]) -> bool:
    """Lets the networks `wanted` of a saved model be built from the file of `kind`, if its content is another now.

    Returns True if it is. Classes are found by their names."""
    from i2i import nets

    module = sys.modules[kind.__module__]
    changed = False
    for name in wanted:
        if name in nets.NETWORKS or not name.startswith("method."):
            continue
        value = vars(module).get(name.removeprefix("method.").partition("@")[0])
        if isinstance(value, type) and "registered_as" in vars(value):
            nets.NETWORKS[name], changed = value, True
    return changed
