"""A user's own Python file: importing it, and telling its errors in one sentence with the file and the line.

Code of a file runs only where it is to be used. While something is only shown (`only_showing`), a file that the user
has not named is refused: it may have come with a recipe or a run of somebody else's.

A file is imported once for each content, wherever it lies: two copies of a file are one module, and an edited file is a
new one. Nothing is written beside it (no `__pycache__`).
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.util
import linecache
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType

from i2i.core.errors import I2IError, TrustNeeded, nearest
from i2i.core.files import open_regular

PREFIX = "i2i_method_"  # of the names of modules that were imported here

_files: set[str] = set()  # files whose errors are reported with their line, as tracebacks name them
_latest: dict[str, Path] = {}  # such a file -> the file with the same content that was imported last
_named: ContextVar[frozenset[Path] | None] = ContextVar("named", default=None)  # while something is only shown


@contextmanager
def only_showing(named: Iterable[str | Path]) -> Iterator[None]:
    """Inside, `import_file` runs no file but those in `named`, which the user has named; it raises TrustNeeded."""
    token = _named.set(frozenset(Path(path).resolve() for path in named))
    try:
        yield
    finally:
        _named.reset(token)


def import_file(path: Path) -> ModuleType:
    """The module of a Python file, which runs unless the same content was imported before.

    Raises I2IError naming file and line if the file does not exist or does not run to its end, and TrustNeeded inside
    `only_showing`."""
    if not path.is_file():
        raise I2IError(f"There is no file {path}.", "Give the name of a method, or a file that defines one.")
    try:
        with open_regular(path) as file:
            source = file.read()
    except OSError as error:
        raise I2IError(f"{path} cannot be read: {error.strerror}.") from error
    full, digest = path.resolve(), hashlib.sha256(source).hexdigest()
    name = PREFIX + digest[:16]
    if name in sys.modules:
        module = sys.modules[name]
        module.__i2i_file__ = full  # type: ignore[attr-defined]
        _latest[str(module.__file__)] = full
        return module
    named = _named.get()
    if named is not None and full not in named:
        raise TrustNeeded(
            f"The method is the Python file {shown(full)}, and its code would be run to show this.",
            "Read the file. If you trust it, name it yourself.",
            str(full),
        )
    spec = importlib.util.spec_from_file_location(name, full)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__i2i_file__, module.__i2i_sha256__ = full, digest  # type: ignore[attr-defined]
    module.__i2i_source__ = source  # type: ignore[attr-defined]
    linecache.cache.pop(str(full), None)
    _latest.pop(str(full), None)
    watch(full)
    sys.modules[name] = module
    try:
        exec(compile(source, str(full), "exec"), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _import_error(error, full) from error
    return module


def file_of(module: ModuleType | None) -> Path | None:
    """The file that `import_file` was last given for a module; None for any other module."""
    path = getattr(module, "__i2i_file__", None)
    return path if isinstance(path, Path) else None


def digest_of(module: ModuleType | None) -> str:
    """The SHA-256 of the file that `import_file` imported as this module; empty for any other module."""
    return str(getattr(module, "__i2i_sha256__", ""))


def source_of(module: ModuleType | None) -> bytes:
    """The content of the file that was imported as this module; empty for any other module."""
    return bytes(getattr(module, "__i2i_source__", b""))


def watch(path: Path | str) -> None:
    """Reports errors that come from this file with their line from now on."""
    _files.add(str(path))


def watched(path: str) -> bool:
    """True if errors that come from this file are reported with their line."""
    return path in _files


def shown(path: Path | str) -> str:
    """A path as a message names it: relative if it lies below the working folder."""
    full = _latest.get(str(path), Path(path))
    try:
        return str(full.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(full)


def place_of(kind: type | object, line: int = 0) -> str:
    """ "mine.py, line 9": where a class or function begins, or a line of its file. Without a line if it is unknown."""
    import inspect

    file: str
    try:
        file = inspect.getsourcefile(kind) or ""  # type: ignore[arg-type]
        line = line or inspect.getsourcelines(kind)[1]  # type: ignore[arg-type]
    except (OSError, TypeError):
        module = sys.modules.get(getattr(kind, "__module__", ""))
        file = str(getattr(module, "__file__", None) or getattr(kind, "__module__", ""))
    return f"{shown(file)}, line {line}" if line else shown(file)


# ---- errors --------------------------------------------------------------------------------------------------------


@contextmanager
def told_with_line() -> Iterator[None]:
    """Turns errors of the user's code into an I2IError with file and line; lets every other error pass."""
    try:
        yield
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise sentence from error


def explain(error: BaseException) -> I2IError | None:
    """One sentence with the file and line of the user's code that `error` comes from; None if it comes from elsewhere.

    The line is that of the last frame in a file of the user's, although torch or i2i may have raised the error."""
    if isinstance(error, I2IError | MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return None
    last, trace = None, error.__traceback__
    while trace is not None:
        if watched(trace.tb_frame.f_code.co_filename):
            last = trace
        trace = trace.tb_next
    if last is None:
        return None
    code = last.tb_frame.f_code
    where = f"{shown(code.co_filename)}, line {last.tb_lineno}, in {code.co_name}"
    source = linecache.getline(code.co_filename, last.tb_lineno).strip()
    return I2IError(f"{where}: {_text(error)}.", _advice(error) or (f"The line is: {source}" if source else ""))


def _text(error: BaseException) -> str:
    """The kind of an error and its message on one line, without a full stop."""
    message = " ".join(str(error).split())[:400].rstrip(".")
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _advice(error: BaseException) -> str:
    """The hint for the most frequent errors; empty for others."""
    if "before Module.__init__() call" in str(error):
        return "Call super().__init__(config, shape) first."
    if isinstance(error, AttributeError) and dataclasses.is_dataclass(error.obj):
        fields = [f.name for f in dataclasses.fields(error.obj)]
        close = nearest(error.name or "", fields)
        guess = f" {close}" if close.startswith("Did you mean") else ""
        return f"A {type(error.obj).__name__} has {', '.join(fields)}.{guess}"
    return ""


# ---- errors of the import ------------------------------------------------------------------------------------------

# Modules of version 0.1 and where their contents are now.
MOVED = {
    "method": "i2i.methods",
    "kinds": "i2i.methods",
    "registry": "i2i.methods",
    "errors": "i2i.core.errors",
    "config": "i2i.core.config",
    "ops": "i2i.core.random",
    "winograd": "i2i.core.fast_conv",
    "images": "i2i.media.images",
    "bundle": "i2i.models.format",
    "loading": "i2i.models.load",
    "craft": "i2i.training.tricks",
    "plan": "i2i.training.settings",
}
RENAMED = {"Swap": "TwoWay", "curve": "schedule", "numbers": "sample_ids", "tested": "eval_forward"}  # of i2i.kinds
USUAL = ("Batch", "Method", "Now", "Terms")


def _import_error(error: BaseException, path: Path) -> I2IError:
    """Why a file could not be imported, with the line."""
    name = shown(path)
    if isinstance(error, I2IError):
        return error
    if isinstance(error, SyntaxError):
        return I2IError(
            f"{name}, line {error.lineno}: {type(error).__name__}: {error.msg}.", "Correct this line, then try again."
        )
    if isinstance(error, SystemExit):
        return I2IError(
            f"{name} ends the program while it is imported.", 'Put such code below `if __name__ == "__main__":`.'
        )
    sentence = explain(error)
    if sentence is None:
        return I2IError(f"{name} cannot be imported: {_text(error)}.")
    line = _line_of(error, path)
    if isinstance(error, ImportError) and (old := _old_module(error)) is not None:
        return I2IError(
            f"{name}, line {line}: i2i.{old} is {MOVED[old]} since version 0.2.",
            f"Write `{_new_import(path, line, old)}`.",
        )
    if isinstance(error, ModuleNotFoundError) and error.name and (path.parent / f"{error.name}.py").is_file():
        return I2IError(
            f"{name}, line {line}: {error.name}.py beside it cannot be imported, because a method is a single file.",
            f"Move the code of {error.name}.py into {path.name}, or make both a package and install it.",
        )
    return sentence


def _line_of(error: BaseException, path: Path) -> int:
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _old_module(error: ImportError) -> str | None:
    """The module of version 0.1 that an import asked for: of `import i2i.kinds`, or of `from i2i import kinds`."""
    if isinstance(error, ModuleNotFoundError):
        package, _, old = (error.name or "").partition(".")
        old = old.partition(".")[0]
    else:
        package, old = error.name or "", str(error).partition("cannot import name '")[2].partition("'")[0]
    return old if package == "i2i" and old in MOVED else None


def _new_import(path: Path, line: int, old: str) -> str:
    """The import statement to write instead of the one in this line."""
    home = MOVED[old]
    if home != "i2i.methods":
        return f"import {home}" if "from i2i." not in linecache.getline(str(path), line) else f"from {home} import ..."
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.lineno == line and node.module == f"i2i.{old}":
            names = [RENAMED.get(alias.name, alias.name) for alias in node.names]
    return f"from {home} import {', '.join(names or USUAL)}"
