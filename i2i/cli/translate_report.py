"""What `i2i translate` prints: lines for people on stderr, or JSON on stdout; and the exit code."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.core.escape import printable

if TYPE_CHECKING:
    from i2i.inference.results import Outcome, Result

SOME_FAILED = 3  # the exit code if images of a batch failed
STATES = ("done", "skipped", "failed", "planned")


@dataclass(frozen=True)
class Report:
    """How much is printed, and how. expects_skips: outputs that exist are what the user asked to skip."""

    as_json: bool
    quiet: bool
    expects_skips: bool

    @property
    def may_draw(self) -> bool:
        """Whether a progress bar may be shown."""
        return not (self.as_json or self.quiet)

    def note(self, text: str) -> None:
        """A line for people, on stderr."""
        if not self.quiet:
            _print(text)

    def print_outcome(self, outcome: Outcome) -> None:
        """One image of a watched folder."""
        if self.as_json:
            _print_json(_as_dict(outcome))
        elif outcome.state == "failed":
            _print(f"failed: {_sentence(outcome)}")
        else:
            self.note(f"{outcome.state}: {outcome.target}")
            self._print_notes([outcome])

    def _print_notes(self, outcomes: list[Outcome]) -> None:
        """What the user should know of images that were translated; one line for all that have the same note."""
        by_note: dict[str, list[Outcome]] = {}
        for outcome in outcomes:
            if outcome.note:
                by_note.setdefault(outcome.note, []).append(outcome)
        for note, same in by_note.items():
            others = "" if len(same) == 1 else f" and {len(same) - 1:,} more"
            self.note(f"note: {same[0].source}{others}: {note}")

    def print_result(self, result: Result, seconds: float, alone: bool = False, hint: str = "") -> None:
        """All images of a run. Raises typer.Exit with the exit code if something failed.

        alone: the only input was one image; then its failure is raised as I2IError. hint: what to do about files that
        were left out."""
        from i2i.media import formats

        counts = {state: sum(o.state == state for o in result.outcomes) for state in STATES}
        if self.as_json:
            for outcome in result.outcomes:
                _print_json(_as_dict(outcome))
            more = {"left_out": formats.count_kinds(result.left_out_files), "record": result.record}
            more |= {"unlike": result.unlike, "precision": result.precision, "precision_why": result.why}
            _print_json(
                {**counts, "seconds": round(seconds, 3), **{key: value for key, value in more.items() if value}}
            )
        elif alone and result.failed:
            raise I2IError(_sentence(result.outcomes[0]))
        else:
            for source, target in result.planned:
                typer.echo(printable(f"{source} -> {target}"))
            self.note(self._summary(result, counts, seconds))
            self._print_notes(result.outcomes)
            if result.precision not in ("", "fp32") and result.why:
                what = "mixed (bf16 for images of 8 bits)" if result.precision == "mixed" else result.precision
                self.note(f"precision=auto took {what}: {result.why}. --precision fp32 turns it off.")
            if result.failed:
                _print(f"{_count(counts['failed'], result)} failed:")
            for outcome in result.outcomes:
                if outcome.state == "failed":
                    _print(f"  {_sentence(outcome)}")
        if result.left_out:
            self.note(f"{result.left_out} {hint}".rstrip())
        if result.unlike and not self.as_json:
            self.note(f"note: {result.unlike}")
        if result.record:
            self.note(f"The record in the output folder is incomplete. {result.record}")
        if result.failed or result.record:
            raise typer.Exit(I2IError.code if alone or not result.failed else SOME_FAILED)

    def _summary(self, result: Result, counts: dict[str, int], seconds: float) -> str:
        """One line: 3 images translated in 1.2 s; 2 skipped because they exist (--overwrite replaces them)."""
        if counts["planned"] or (counts["skipped"] and not counts["done"] + counts["failed"]):
            parts = [f"{_count(counts['planned'], result)} to translate"]
        elif counts["done"] == 1:
            parts = [f"{_shown(result.done[0])} written in {seconds:.1f} s"]
        else:
            where = f" into {shlex.quote(_common_folder(result.done))}" if result.done else ""
            parts = [f"{_count(counts['done'], result)} translated{where} in {seconds:.1f} s"]
        if counts["skipped"]:
            hint = "" if self.expects_skips else " (--overwrite replaces them)"
            exist = "it exists" if counts["skipped"] == 1 else "they exist"
            parts.append(f"{counts['skipped']:,} skipped because {exist}{hint}")
        return "; ".join(parts) + "."


def _common_folder(files: list[Path]) -> str:
    """The deepest folder that holds all files, with a slash at its end."""
    folders = [str(file.parent) for file in files]
    if any(storage.is_address(file) for file in files):
        parts = [folder.split("/") for folder in folders]
        common = "/".join(first for first, *rest in zip(*parts) if all(part == first for part in rest))
        return f"{common}/"
    return os.path.join(_shown(Path(os.path.commonpath(folders) or ".")), "")


def _shown(path: Path) -> str:
    """A path as a user reads it: relative if it is absolute and under the working directory."""
    inside = path.is_absolute() and path.is_relative_to(Path.cwd())
    return os.path.relpath(path) if inside else str(path)


def _as_dict(outcome: Outcome) -> dict[str, Any]:
    entry = {"input": str(outcome.source), "output": str(outcome.target), "state": outcome.state}
    texts = {"error": outcome.error, "note": outcome.note}
    return entry | {key: text for key, text in texts.items() if text}


def _sentence(outcome: Outcome) -> str:
    """The error of a failed image, with the image's name in front unless it is in it."""
    is_named = str(outcome.source) in outcome.error or str(outcome.target) in outcome.error
    return outcome.error if is_named else f"{outcome.source}: {outcome.error}"


def _count(count: int, result: Result) -> str:
    """How many images, or files if there are videos among them."""
    from i2i.media import video

    noun = "file" if any(video.is_video(o.source) for o in result.outcomes) else "image"
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _print(text: str) -> None:
    typer.echo(printable(text), err=True)


def _print_json(entry: dict[str, Any]) -> None:
    typer.echo(json.dumps(entry))
