"""What can be chosen here and now: models by name, and the runs in this folder."""

from __future__ import annotations

import shlex
from pathlib import Path

MOST = 5  # names of a kind in one sentence


def of_models(kind: str = "translate") -> str:
    """A hint for a command without --model: names of models of a kind (see `zoo.names`), and the finished runs here."""
    from i2i.models import zoo

    names = zoo.names(kind)
    names = sorted(names, key=lambda name: (not zoo.path_of(name).is_file(), name))  # those on this disk first
    runs = newest_runs()
    listed = f"{', '.join(names[:MOST])}{', ...' if len(names) > MOST else ''}"
    hint = f"Give --model with a name of `i2i models` ({listed}) or the folder of a run"
    return f"{hint} (here: {', '.join(map(shlex.quote, runs))})." if runs else f"{hint}."


def newest_runs(folder: Path = Path("runs")) -> list[str]:
    """The run folders in `folder` that hold a model, the newest first; at most MOST."""
    try:
        files = [(file.stat().st_mtime, file.parent) for file in folder.glob("*/model.safetensors")]
    except OSError:
        return []
    return [str(parent) for _, parent in sorted(files, reverse=True)[:MOST]]
