"""The unit of work of a translation: one file, the parts of it that go through the network, and how it ended."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, overload

import numpy as np
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.core.memory import shortage
from i2i.inference.outputs import FilePair
from i2i.media.adapt import PreparedImage
from i2i.media.codec import Document


class TellNumber(Protocol):
    """Called once for each job."""

    def __call__(self, number: int, error: str | None, note: str = "") -> None:
        """number: of the job. error: why it failed, or None. note: what the user should know of its file."""
        ...


@dataclass
class Job:
    """One file to translate. `name` is its path below what the user gave, with / on every system."""

    number: int
    source: Path
    target: Path
    name: str
    answer: int = 0  # which of the answers of a model with several: an index of the pipeline's translators
    document: Document | None = None  # the file's content: from when it is read until it is written, or has failed
    note: str = ""  # sentences about the file that the user should read
    outputs: list[Tensor | np.ndarray | None] = field(default_factory=list)  # the network's, one for each part

    @property
    def pixels(self) -> int:
        """How many pixels of the file are in memory now."""
        document = self.document  # a writer may drop it meanwhile
        return document.pixels if document else 0

    def drop(self) -> None:
        """Frees the pixels."""
        self.document, self.outputs = None, []


class Jobs(Sequence[Job]):
    """The jobs of some of the pairs, each made when it is asked for: none is in memory before its turn."""

    def __init__(self, pairs: Sequence[FilePair], numbers: Iterable[int]) -> None:
        self._pairs, self._numbers = pairs, array("q", numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> list[Job]: ...
    def __getitem__(self, index: int | slice) -> Job | list[Job]:
        numbers = self._numbers[index]
        return self._job(numbers) if isinstance(numbers, int) else [self._job(n) for n in numbers]

    def _job(self, number: int) -> Job:
        pair = self._pairs[number]
        return Job(number, pair.source, pair.target, pair.name, pair.answer)


Tell = Callable[[Job, BaseException | None], None]  # (job, error or None), once for each job


@dataclass
class Part:
    """One frame of a job's file, or one frame's alpha, on its way through the network."""

    job: Job
    number: int  # among the parts of the job
    prepared: PreparedImage
    pixels: Tensor | None  # float32 [C, H, W], decoded ahead; None: decoded when the network takes it


def reason(error: BaseException) -> str:
    """One line that says what went wrong with a file."""
    if isinstance(error, I2IError):
        return str(error)
    lines = str(error).strip().splitlines()
    if (short := shortage(error)) is not None:
        return short.what
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
