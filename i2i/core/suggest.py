"""What a user may have meant by a name that is not known: another spelling, a part of a name, a folder beside it."""

from __future__ import annotations

import difflib
import itertools
import os
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

CUTOFF = 0.7  # share of letters that two names must have in common, from 0 to 1
MOST = 6  # choices in a question
SHORTEST_PART = 3  # letters that a part of a name must have to stand for the name


def same_name(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that equals `name` if case, -, _ and blanks are ignored; None if there is none."""
    by_folded = {_folded(known): known for known in reversed(list(names))}
    return by_folded.get(_folded(name))


def similar(name: str, names: Iterable[str]) -> list[str]:
    """The `names` that `name` may stand for, the best first; [] if none is near.

    Names that contain `name`, or are contained in it, come before names with a few other letters."""
    by_folded = {_folded(known): known for known in sorted(names)}
    wanted = _folded(name)
    if wanted in by_folded:
        return [by_folded[wanted]]
    if not wanted:
        return []
    swapped = [key for key in by_folded if sorted(key) == sorted(wanted)]  # too few equal letters in short words
    close = list(dict.fromkeys([*difflib.get_close_matches(wanted, by_folded, n=3, cutoff=CUTOFF), *swapped]))
    parts = [key for key in by_folded if len(wanted) >= SHORTEST_PART and wanted in key]
    wholes = [key for key in by_folded if len(key) >= SHORTEST_PART and key in wanted]
    typing_errors = [key for key in close if len(close) and difflib.SequenceMatcher(None, wanted, key).ratio() >= 0.85]
    ranked = dict.fromkeys([*typing_errors, *parts, *wholes, *([] if parts or wholes else close)])
    return [by_folded[key] for key in ranked]


def neighbors(
    path: str | Path, folders_only: bool = False, accept: Callable[[Path], bool] = lambda path: True
) -> list[str]:
    """Existing files and folders whose names are near that of `path`, which does not exist; at most 3.

    accept: which of them may be meant.

    They are quoted as a shell takes them. Looks in the deepest folder of `path` that exists."""
    path = Path(path)
    missing = path
    while not os.path.exists(missing.parent) and missing.parent != missing:
        missing = missing.parent
    try:
        entries = [e.name for e in os.scandir(missing.parent) if not e.name.startswith(".")
                   and (e.is_dir() or not folders_only)]  # fmt: skip
    except (OSError, ValueError):  # ValueError: a name with a NUL byte
        return []
    near = map(missing.with_name, similar(missing.name, [name for name in entries if len(name) >= 2]))
    return [shlex.quote(str(p)) for p in itertools.islice(filter(accept, near), 3)]


def did_you_mean(choices: list[str], most: int = 3) -> str:
    """The question after a wrong name: "Did you mean A or B?"; empty if there is no choice."""
    if not choices:
        return ""
    if len(choices) <= most:
        return f"Did you mean {' or '.join(choices)}?"
    if len(choices) > MOST:
        return f"Did you mean one of {', '.join(choices[:MOST])}, or one of {len(choices) - MOST} others?"
    return f"Did you mean one of {', '.join(choices)}?"


def _folded(name: str) -> str:
    return re.sub(r"[-_\s]", "", str(name)).casefold()
