"""The one exception type that users meet, and its "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable

from i2i.core.suggest import did_you_mean, similar

LONGEST = 2000  # characters of each part of a message; what stands between its ends is left out


class I2IError(Exception):
    """Bad input or an impossible request.

    what: what was wrong and what was given; of a very long text only both ends. hint: what is allowed, or the command
    that helps. The CLI prints both without a traceback and exits with `code` (1 by default)."""

    code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        what, hint = shortened(what), shortened(hint)
        super().__init__(what, hint)
        self.what, self.hint = what, hint

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".strip()


class I2IWarning(FutureWarning):
    """Something that works, but not as the user may expect. The CLI prints it as one sentence."""


class FileNeeded(I2IError):
    """Something that needs a Python file, which is not run without the user's word. `file` is its name."""

    def __init__(self, what: str, hint: str, file: str) -> None:
        super().__init__(what, hint)
        self.args = (what, hint, file)  # by which the error travels between processes
        self.file = file


class NoDirection(I2IError):
    """A model that holds no network for the direction of translation that was asked for."""


class MethodNeeded(FileNeeded):
    """A saved model whose networks are defined in a method file that the user has not named."""


class TrustNeeded(FileNeeded):
    """A Python file that a recipe or a run names, and that would be run only to show something."""


def shortened(text: str) -> str:
    """A text without its middle if it is longer than LONGEST: names and values come from files of anybody."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def among(name: str, allowed: Iterable[str]) -> str:
    """A hint after a wrong `name` where few are allowed: the nearest one, if one is near, and all of them."""
    names = list(allowed)
    return f"{did_you_mean(similar(str(name), names))} Allowed: {', '.join(names)}.".lstrip()


def nearest(name: str, allowed: Iterable[str], most: int = 3) -> str:
    """A hint after an unknown `name`: allowed names that are near or contain it, or all of them if none is near.

    most: of the names that differ in a few letters."""
    names = sorted(allowed)
    close = similar(str(name), names)
    if close:
        return did_you_mean(close, most)
    return f"Known: {', '.join(names)}." if names else "None is known."
