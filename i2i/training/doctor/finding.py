"""What the doctor says about one sign."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

FOUND, NOT_FOUND, UNKNOWN = "found", "not found", "cannot be judged"


@dataclass(frozen=True)
class Finding:
    """One sign: its name in `table.SIGNS`, its state, the numbers behind it, and a sentence.

    text: what is seen, if the sign is found; why not, if it cannot be judged; else empty. remedy: one sentence that
    names what to change; empty unless the sign is found."""

    sign: str
    state: str
    numbers: dict[str, float] = field(default_factory=dict)
    text: str = ""
    remedy: str = ""

    @property
    def found(self) -> bool:
        """Whether the sign is there."""
        return self.state == FOUND

    def with_remedy(self, remedy: str) -> Finding:
        """The same finding with what helps."""
        return replace(self, remedy=remedy)

    def as_dict(self) -> dict[str, Any]:
        """The finding as JSON values."""
        return dict(vars(self))


def judged(sign: str, found: bool, numbers: dict[str, float], text: str) -> Finding:
    """The finding of a sign that can be judged. text: what is seen if it is there."""
    rounded = {name: float(f"{value:.4g}") for name, value in numbers.items()}
    return Finding(sign, FOUND if found else NOT_FOUND, rounded, text if found else "")


def unknown(sign: str, why: str) -> Finding:
    """The finding of a sign that cannot be judged, and why."""
    return Finding(sign, UNKNOWN, text=why)
