"""An extension of griffe, which reads the docstrings for the site.

Explanations `name: what it is` start lines of their own, lists get the blank line that Markdown wants before them, and
the comment beside a field of a dataclass is its docstring.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

NAMED = re.compile(r"(?<=[^\n\s])\n(?=[a-z_*][\w*]*(?:, [a-z_*][\w*]*)*(?: \([^)\n]*\))?: )")
COMMENT = re.compile(r"  # (?!type:|noqa)(.+)$")
LIST = re.compile(r"(?m)^(?!- |  |\n)(.+)\n(?=- )")


def readable(text: str) -> str:
    """The docstring as Markdown that keeps its lines."""
    return LIST.sub(r"\1\n\n", NAMED.sub("  \n", text))


class Lines(griffe.Extension):
    """Applies `readable` to every docstring."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called for each object that was read."""
        if obj.is_attribute and obj.docstring is None and (comment := COMMENT.search("\n".join(obj.lines))):
            obj.docstring = griffe.Docstring(comment[1][0].upper() + comment[1][1:], parent=obj)
        if obj.docstring is not None:
            obj.docstring.value = readable(obj.docstring.value)
