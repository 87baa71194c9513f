"""Files by other programs with both generators of a CycleGAN, or with one that is named by its direction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# G_A2B, netG_A2B, G_AB, gen_AtoB, ... and the same from B to A.
_KEY = re.compile(r"(?:net_?)?(?:G|gen|generator)_?(?:(A_?(?:2|to)?_?B)|B_?(?:2|to)?_?A)", re.IGNORECASE)
_FILE = re.compile(r"(.*G_?)(A2B|B2A)(\..+)", re.DOTALL)


def ways(state: Any) -> dict[str, Any]:
    """{"AtoB": ..., "BtoA": ...} of what a file holds, if it holds two generators by such names; {} if not.

    Discriminators, optimizers and numbers beside them are left out."""
    found: dict[str, Any] = {}
    for key, value in state.items() if isinstance(state, Mapping) else ():
        match = _KEY.fullmatch(key) if isinstance(key, str) else None
        if match is not None and isinstance(value, Mapping):
            found["AtoB" if match[1] else "BtoA"] = value
    return found if len(found) == 2 else {}


def file_back(path: Path) -> Path | None:
    """The file of the way back from B to A for netG_A2B.pth: netG_B2A.pth beside it, which may not exist; for this one
    the file itself. None for files of other names."""
    match = _FILE.fullmatch(path.name)
    return path.with_name(f"{match[1]}B2A{match[3]}") if match else None
