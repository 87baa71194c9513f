"""From names to things: methods, recipes, and what is known of them without importing torch.

A method is a file: `i2i/methods/NAME.py`, an entry point of the group `i2i.methods`, or any path to a .py file. A
recipe is `recipes/NAME.yaml` or any path to a .yaml file: the method and the values that differ from its defaults; its
opening comment holds the command, the paper and the numbers to expect. The name of a method is a recipe of defaults.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from i2i.core.errors import I2IError, nearest

if TYPE_CHECKING:
    from i2i.methods._method import Method

GROUP = "i2i.methods"


def method_names() -> list[str]:
    """Names of all methods that are installed, sorted; nothing is imported."""
    return sorted({*builtin_methods(), *(point.name for point in entry_points(group=GROUP))})


def builtin_methods() -> list[str]:
    folder = importlib.import_module("i2i.methods").__path__
    return [m.name for m in pkgutil.iter_modules(folder) if not m.name.startswith("_")]


def load_method(name: str) -> type[Method]:
    """The class of a method by its name or the path of its file.

    Raises I2IError for an unknown name, and for a file that cannot be loaded or defines no method."""
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name in builtin_methods():
        return _only_method(importlib.import_module(f"i2i.methods.{name}"), name)
    for point in entry_points(group=GROUP):
        if point.name == name:
            loaded = point.load()
            return loaded if isinstance(loaded, type) else _only_method(loaded, name)
    raise I2IError(f"There is no method {name!r}.", nearest(name, method_names()))


def _from_file(path: Path) -> type[Method]:
    if not path.is_file():
        raise I2IError(f"There is no file {path}.", "Give the name of a method, or a file that defines one.")
    full = path.resolve()
    for module in list(sys.modules.values()):  # one class a file, however often it is asked for
        if getattr(module, "__i2i_file__", None) == full:
            return _only_method(module, str(path))
    spec = importlib.util.spec_from_file_location(f"i2i_method_{full.stem}", full)
    if spec is None or spec.loader is None:
        raise I2IError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    module.__i2i_file__ = full  # type: ignore[attr-defined]
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own code may raise anything; what it was belongs to the message
        del sys.modules[spec.name]
        raise I2IError(f"{path} cannot be loaded: {type(error).__name__}: {error}.", "Mend the file.") from error
    return _only_method(module, str(path))


def _only_method(module: Any, name: str) -> type[Method]:
    from i2i.methods._method import Method

    found = [
        value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
        and not key.startswith("_")
    ]
    if len(found) != 1 or not hasattr(found[0], "Config"):
        what = ", ".join(v.__name__ for v in found) or "no subclass of i2i.Method"
        raise I2IError(f"{name} must define one method with its Config; it defines {what}.")
    return found[0]


def method_name(kind: type[Method]) -> str:
    """The name of a method's class, or the path of its file: what `method` takes."""
    home = kind.__module__
    if home.startswith("i2i.methods."):
        return home.removeprefix("i2i.methods.")
    module = sys.modules.get(home)
    path = getattr(module, "__i2i_file__", None)
    if path is not None:
        return str(path)
    for point in entry_points(group=GROUP):
        if point.value.split(":")[0] == home:
            return point.name
    raise I2IError(f"{kind.__name__} belongs to no registered method.", "Give the path of its file.")
