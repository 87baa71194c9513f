"""What of a translation is to do: outputs that exist, and that the record of the output folder knows, stay."""

from __future__ import annotations

from pathlib import Path

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.inference.outputs import FilePair
from i2i.inference.record import Record, record_in
from i2i.inference.settings import RunSettings


def todo_of(pairs: list[FilePair], record: Record | None, run: RunSettings) -> list[bool]:
    """For each pair, whether it is to be translated; if not, its output stays as it is."""
    leaves_others = run.overwrite or run.skip_existing  # whoever made the outputs that exist
    entries = record.entries() if record is not None and (run.resume or not leaves_others) else {}
    sizes = storage.file_sizes(p.target for p in pairs)  # of outputs that exist
    todo, other_settings = [], 0
    for pair in pairs:
        entry = entries.get(record.name(pair.target)) if record is not None else None
        if pair.target not in sizes:
            todo.append(True)
        elif record is None or entry is None:  # an output that no record knows
            todo.append(run.overwrite)
        elif not run.resume:
            is_output = entry.get("state") == "done" and entry.get("size") == sizes[pair.target]
            other_settings += is_output and entry.get("settings") != record.settings
            todo.append(False)
        else:
            intact = record.intact(entry, pair.source, pair.target, sizes[pair.target])
            if not (intact or run.overwrite) and entry.get("state") == "done" and entry.get("input") != pair.name:
                raise I2IError(
                    f"{pair.target} was made from {entry.get('input')}, and {pair.source} would replace it.",
                    "Give another output folder, or --overwrite.",
                )
            other_settings += not intact and entry.get("settings") != record.settings
            todo.append(not intact)
    if other_settings and not run.overwrite:
        raise I2IError(
            f"{other_settings:,} outputs were made with another model or other settings.",
            "Give another output folder, --overwrite to replace them, or --skip-existing to leave them.",
        )
    return todo


def record_for(folder: Path | None, run: RunSettings, several: bool, settings: str) -> Record | None:
    """The record of the output folder, if one is asked for, or is of use."""
    wanted = run.record if run.record is not None else folder is not None and (several or run.shard is not None)
    if not (wanted or run.resume):
        return None
    if folder is None:
        raise I2IError("A record needs an output folder.", "Give one with --output.")
    return record_in(folder, settings)
