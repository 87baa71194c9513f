"""How the checks of a method name what they speak of."""

from __future__ import annotations

from typing import Any

from i2i.core.user_code import place_of
from i2i.methods._method import Method

EXAMPLES = {
    "optimizers": 'return {"G": adam(self.G, lr=2e-4, beta1=0.5)}',
    "step": 'yield "G", {"l1": l1(self.G(batch.x), batch.y)}',
    "infer": "return self.G(batch.x)",
}


def titled(kind: type[Method], member: str = "") -> str:
    """ "Toy (mine.py, line 9)": a class with the place of the class, or of a member of it."""
    function = getattr(kind, member, None) if member else None
    function = getattr(function, "__func__", function)
    return f"{kind.__name__} ({place_of(function or kind)})"


def typed(value: Any) -> str:
    """A value's type in words: "a list", "an Adam", "None"."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
