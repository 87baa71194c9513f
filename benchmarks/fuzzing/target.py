"""What a target of the fuzzer is, and the commands of i2i in this process."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import io
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import typer

from fuzzing import mutate
from i2i.cli import program
from i2i.core.errors import I2IError

PART = 1000  # inputs that share the values that hypothesis draws


@dataclass(frozen=True)
class Case:
    """One input. kind: a word that says how the target reads it; data: all the rest."""

    kind: str
    data: bytes


class Target(ABC):
    """A kind of input, and the functions of i2i that read it, as the commands call them.

    The constructor makes the seeds in the current folder, which is empty and the target's own."""

    memory = 512  # MiB that one input may take
    draws_values = False  # whether `odd` gets values by hypothesis, too

    def __init__(self) -> None:
        self.odd: list[Any] = list(mutate.ODD)

    def cases(self, seed: int, number: int = 0) -> Iterator[tuple[int, Case]]:
        """Endless inputs with their numbers, from `number` on: each depends on the seed and its number alone.

        What cannot be made, such as a tensor of a type that another change does not know, is left out."""
        drawn = -1
        while True:
            if self.draws_values and number // PART != drawn:
                drawn = number // PART
                values = mutate.examples(mutate.json_values(), seed * 1_000_000 + drawn)
                self.odd = [*mutate.ODD, *values]
            with contextlib.suppress(Exception):
                yield number, self.case(Random(f"{type(self).__name__} {seed} {number}"))
            number += 1

    @abstractmethod
    def case(self, random: Random) -> Case:
        """An input that depends on `random` and `odd` alone."""

    @abstractmethod
    def run(self, case: Case) -> None:
        """Reads an input. Raises I2IError if it is refused; anything else that it raises is a finding."""


# The packages of this machine stay as they are; looking through them takes longer than most inputs.
importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)

_program = typer.main.get_command(program())


def command(*words: str) -> str:
    """Runs `i2i WORDS` in this process and returns what it prints. Raises I2IError also for wrong usage."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            code: Any = _program.main(args=list(words), prog_name="i2i", standalone_mode=False, obj=list(words))
        except typer.TyperException as error:
            raise I2IError(error.format_message()) from error
        except typer.Abort as error:
            raise I2IError("Stopped.") from error
    if isinstance(code, int) and code:
        raise I2IError(f"Exit code {code}.")
    return printed.getvalue()


def rewritten(path: Path, data: bytes) -> Path:
    """The path of a file with that content, in place of whatever was there."""
    removed(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def removed(*paths: Path) -> None:
    """Removes files and folders that a run may have left."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
