"""Check sums of studies and their answers: against accidents and edits by hand, not against forgers.

study.js computes the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

PRIME, FIRST, SECOND = 0x01000193, 0x811C9DC5, 0x9747B28C


def check_of(text: str) -> str:
    """16 hexadecimal digits: FNV-1a of 32 bits over the UTF-8 bytes of a text, from two starts."""
    a, b = FIRST, SECOND
    for byte in text.encode("utf-8", "replace"):
        a = ((a ^ byte) * PRIME) & 0xFFFFFFFF
        b = ((b ^ byte) * PRIME) & 0xFFFFFFFF
    return f"{a:08x}{b:08x}"


def answers_text(study: str, page: int, person: str, name: str, answers: Iterable[Mapping[str, Any]]) -> str:
    """All that counts of an answer file, in the form that its check is taken of."""
    lines = [
        f"{a['trial']} {a['left']} {a['right']} {a['choice']} {a['ms']} {a['views']} {int(a['practice'])}"
        for a in answers
    ]
    return "\n".join([f"{study} {page} {person}", name, *lines])
