"""What became of the images of a translation."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

from i2i.inference.outputs import FilePair
from i2i.media import formats


@functools.lru_cache(maxsize=1024)
def _told(state: str, error: str, note: str) -> tuple[str, str, str]:
    """What outcomes of one end share, as one object."""
    return state, error, note


class Outcome:
    """What became of one image.

    state: done, skipped, failed, or planned (by a dry run). error: why it failed. note: what the user should know of
    the input, although it was translated."""

    __slots__ = ("_pair", "_told")  # an archive has 100,000 of them, and nearly all are told the same

    def __init__(self, source: Path, target: Path, state: str, error: str = "", note: str = "") -> None:
        self._pair = FilePair(source, target, source.name)
        self._told = _told(state, error, note)

    @classmethod
    def of(cls, pair: FilePair, state: str, error: str = "", note: str = "") -> Outcome:
        """The outcome of a pair, which it shares."""
        outcome = cls.__new__(cls)
        outcome._pair, outcome._told = pair, _told(state, error, note)
        return outcome

    @property
    def state(self) -> str:
        """done, skipped, failed or planned."""
        return self._told[0]

    @property
    def error(self) -> str:
        """Why it failed."""
        return self._told[1]

    @property
    def note(self) -> str:
        """What the user should know of it."""
        return self._told[2]

    @property
    def source(self) -> Path:
        """The input."""
        return self._pair.source

    @property
    def target(self) -> Path:
        """The output."""
        return self._pair.target

    def with_note(self, note: str) -> Outcome:
        """The same with another note."""
        return Outcome.of(self._pair, self.state, self.error, note)

    def __repr__(self) -> str:
        return f"Outcome({str(self.source)!r}, {str(self.target)!r}, {self.state!r}, {self.error!r}, {self.note!r})"


@dataclass
class Result:
    """What became of each input, in the order of the inputs."""

    outcomes: list[Outcome] = field(default_factory=list)
    record: str = ""  # error because of which the record is incomplete; empty without one
    unlike: str = ""  # a sentence if the inputs are unlike the images that the model was trained on
    precision: str = ""  # that the network ran in
    why: str = ""  # why, if precision=auto chose it: the end of a sentence
    left_out_files: list[Path] = field(default_factory=list)  # of folders and patterns: no readable images

    @property
    def left_out(self) -> str:
        """A line that counts the files that were left out, by suffix; empty if there are none."""
        return formats.left_out(self.left_out_files)

    def _with_state(self, state: str) -> list[Outcome]:
        return [o for o in self.outcomes if o.state == state]

    @property
    def done(self) -> list[Path]:
        """Outputs that were written."""
        return [o.target for o in self._with_state("done")]

    @property
    def failed(self) -> list[tuple[Path, str]]:
        """(input, reason) of images that could not be read, translated or written."""
        return [(o.source, o.error) for o in self._with_state("failed")]

    @property
    def skipped(self) -> list[Path]:
        """Outputs that existed before."""
        return [o.target for o in self._with_state("skipped")]

    @property
    def planned(self) -> list[tuple[Path, Path]]:
        """(input, output) of what a dry run would translate."""
        return [(o.source, o.target) for o in self._with_state("planned")]
