"""Words of strangers on their way to a terminal or into Markdown: shown as they are, without doing anything.

Names of files in archives, and texts in the headers of models, in recipes and in config.yaml, are written by whoever
made them. A terminal obeys control characters, some characters turn the direction of a line around, and Markdown takes
HTML, links and images. (The report is HTML; its templates escape by themselves.)
"""

from __future__ import annotations

import re
import unicodedata

# Characters that change how the text around them is laid out: bidirectional controls, line separators, annotations.
LAYOUT = {0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF, *range(0xFFF9, 0xFFFC)}
MARKS = re.compile(r"([\\`*_{}\[\]()#!|~$^=+])")  # what Markdown and its extensions read as marks
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", '"': "&quot;"}


def printable(text: str, keep: str = "") -> str:
    """`text` for a terminal: control characters and those that turn a line around are escaped (\\n, \\u202e).

    keep: control characters that stay. Bytes that are no valid text become "?"."""
    if text.isascii() and text.isprintable():
        return text
    escaped = "".join(repr(c)[1:-1] if _is_odd(c) and c not in keep else c for c in text)
    return escaped.encode("utf-8", "replace").decode("utf-8")


def json_printable(text: str) -> str:
    """A JSON text whose strings hold no such characters any more; its value is the same."""
    return "".join(f"\\u{ord(c):04x}" if _is_odd(c) and c != "\n" else c for c in text)


def _is_odd(character: str) -> bool:
    return ord(character) in LAYOUT or unicodedata.category(character) == "Cc"


def markdown(text: object, most: int = 200) -> str:
    """A text as one line of Markdown that shows it, cut after `most` characters: no HTML, links, images, marks."""
    line = printable(" ".join(str(text).split()))
    line = line if len(line) <= most else f"{line[:most]}..."
    line = MARKS.sub(r"\\\1", line)
    for character, entity in ENTITIES.items():
        line = line.replace(character, entity)
    line = line.replace("://", "&#58;//")
    line = re.sub(r"(?i)\b(www)\.", r"\1&#46;", line)
    return re.sub(r"^([-:]|\d+(?=[.)]))", lambda m: "".join(f"&#{ord(c)};" for c in m[1]), line)


def fenced(text: str, language: str = "") -> list[str]:
    """The lines of a Markdown block that shows a text as it is, whatever fences stand in it."""
    shown = printable(text, keep="\n\t").rstrip()
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", shown, fence]
