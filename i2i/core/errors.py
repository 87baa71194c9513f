"""The one exception type that users meet, and the "did you mean" helper."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class I2IError(Exception):
    """Bad input or an impossible request. `what` says what was wrong and what was given, `hint` what is allowed.

    The CLI prints it as one sentence without a traceback and ends with `code` (1 by default)."""

    code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.what, self.hint = what, hint

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".strip()


def among(name: str, allowed: Iterable[str]) -> str:
    """The sentence that helps after a `name` that is not one of a few: the nearest, if one is near, and all of them."""
    names = list(allowed)
    close = f"{found} " if (found := nearest(name, names)).startswith("Did you mean") else ""
    return f"{close}Allowed: {', '.join(names)}."


def nearest(name: str, allowed: Iterable[str], most: int = 3) -> str:
    """The sentence that helps after an unknown `name`: the nearest allowed names, or all of them if none is near."""
    names = sorted(allowed)
    close = difflib.get_close_matches(str(name), names, n=most, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(names)}." if names else "None is known."
