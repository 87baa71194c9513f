"""Progress of a run on stderr: a live bar in a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterable
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from i2i.core.escape import printable
from i2i.core.format import format_count, format_duration

LINE_INTERVAL = 10.0  # seconds between two plain lines of a kind, at least


class ProgressPrinter(Protocol):
    """Prints the progress of a run."""

    def start(self, images: int) -> None:
        """Says that training starts, with `images` seen in earlier sessions."""

    def losses(self, images: int, terms: dict[str, float], speed: float) -> None:
        """Shows the images seen, the losses by "optimizer/term" and the speed in images/s."""

    def saved(self, images: int) -> None:
        """Says that a checkpoint was saved."""

    def message(self, text: str, warning: bool = False) -> None:
        """Prints a sentence. Warnings are never suppressed."""

    def finish(self, text: str) -> None:
        """Prints the last line."""


def progress_printer(name: str, total: int, folder: str, live: bool) -> ProgressPrinter:
    """Returns the printer that fits stderr: LiveBar in a terminal, PlainLines in pipes and CI, Silent if not `live`."""
    if not live:
        return Silent()
    console = Console(stderr=True, highlight=False)
    if sys.stderr.isatty() and console.is_interactive and not os.environ.get("CI"):
        return LiveBar(name, total, console)
    return PlainLines(name, total, folder)


class Silent:
    """Prints nothing; warnings go to the logger "i2i"."""

    def start(self, images: int) -> None:
        """Does nothing."""

    def losses(self, images: int, terms: dict[str, float], speed: float) -> None:
        """Does nothing."""

    def saved(self, images: int) -> None:
        """Does nothing."""

    def message(self, text: str, warning: bool = False) -> None:
        """Logs warnings only."""
        if warning:
            logging.getLogger("i2i").warning(text)

    def finish(self, text: str) -> None:
        """Does nothing."""


class PlainLines:
    """Prints a line at the start and at the end, and at most every LINE_INTERVAL seconds progress and checkpoints."""

    def __init__(self, name: str, total: int, folder: str) -> None:
        self.name, self.total, self.folder = name, total, folder
        self.printed = {"losses": 0.0, "saved": 0.0}  # time of the last line by kind

    def start(self, images: int) -> None:
        """Prints the first line."""
        resumed = f", continuing at {images:,}" if images else ""
        self.message(f"{self.name}: {format_count(self.total, 'image')}{resumed}, into {self.folder}")
        self.printed["losses"] = time.monotonic()

    def losses(self, images: int, terms: dict[str, float], speed: float) -> None:
        """Prints a line of progress, if one is due."""
        if self._due("losses"):
            left = format_duration((self.total - images) / speed) if speed > 0 else "?"
            share = f"{images / max(1, self.total):.0%}"
            progress = f"{images:,} of {self.total:,} images ({share}), {speed:.3g} images/s, {left} left"
            self.message("; ".join([progress, *(f"{owner} {losses}" for owner, losses in grouped(terms))]))

    def saved(self, images: int) -> None:
        """Prints a line about the checkpoint, if one is due."""
        if self._due("saved"):
            self.message(f"saved at {format_count(images, 'image')}")

    def _due(self, kind: str) -> bool:
        now = time.monotonic()
        if self.printed[kind] and now - self.printed[kind] < LINE_INTERVAL:
            return False
        self.printed[kind] = now
        return True

    def message(self, text: str, warning: bool = False) -> None:
        """Prints a line. A closed pipe does not stop training."""
        with contextlib.suppress(OSError, ValueError):
            print(printable(text), file=sys.stderr, flush=True)

    def finish(self, text: str) -> None:
        """Prints the last line."""
        self.message(text)


class LiveBar:
    """Shows a bar with images, images/s and time left, and the losses under it."""

    def __init__(self, name: str, total: int, console: Console) -> None:
        self.console, self.name, self.total = console, name, total
        self.bar: _LossProgress | None = None

    def start(self, images: int) -> None:
        """Shows the bar. It does not appear earlier, so that an error before training prints plainly."""
        if self.bar is None:
            self.bar = _LossProgress(self.name, self.total, images, self.console)
            self.bar.start()
            # A second Ctrl-C ends the process at once; the terminal must not be left without its cursor then.
            self.console.show_cursor(True)

    def losses(self, images: int, terms: dict[str, float], speed: float) -> None:
        """Moves the bar and shows the losses."""
        if self.bar is not None:
            self.bar.show(images, terms, speed)

    def saved(self, images: int) -> None:
        """Shows the last checkpoint under the bar."""
        if self.bar is not None:
            self.bar.saved = images

    def message(self, text: str, warning: bool = False) -> None:
        """Prints a line above the bar."""
        self.console.print(Text(printable(text), "yellow" if warning else ""))

    def finish(self, text: str) -> None:
        """Removes the bar and prints the last line."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
        self.console.print(Text(printable(text)))


class _LossProgress(Progress):
    """Rich's progress bar with a line of losses per optimizer under it."""

    def __init__(self, name: str, total: int, images: int, console: Console) -> None:
        self.terms: dict[str, float] = {}
        self.saved: int | None = None
        columns = (TextColumn("[bold]{task.description}"), BarColumn(None), _Numbers())
        # What this process prints to a terminal appears above the bar; output to a file or pipe is left alone.
        redirect = sys.stdout.isatty()
        super().__init__(
            *columns, console=console, refresh_per_second=4, expand=True, redirect_stdout=redirect, transient=True
        )
        self.task = self.add_task(name, total=total, completed=images, speed=0.0)

    def show(self, images: int, terms: dict[str, float], speed: float) -> None:
        """Moves the bar to `images` and replaces the losses."""
        self.terms = terms
        self.update(self.task, completed=images, speed=speed)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yields the bar and the lines under it."""
        if not self.tasks:  # Rich asks once before there is any
            return
        lines = [Text.assemble((f"  {owner} ", "bold cyan"), losses) for owner, losses in grouped(self.terms)]
        if self.saved is not None:
            lines.append(Text(f"  saved at {format_count(self.saved, 'image')}", "dim"))
        for line in lines:
            line.truncate(self.console.width, overflow="ellipsis")
        yield Group(self.make_tasks_table(self.tasks), *lines)


class _Numbers(ProgressColumn):
    """The column with images, speed and time left; "starting" before the first losses."""

    max_refresh = None

    def render(self, task: Task) -> Text:
        """Returns the column's text."""
        speed, total = task.fields["speed"], int(task.total or 0)
        images = f"{int(task.completed):,}/{total:,} images"
        if speed <= 0:
            return Text.assemble(images, ("  starting", "dim"))
        left = format_duration((total - task.completed) / speed)
        return Text.assemble(images, f"  {speed:.3g}/s  ", (left, "bold green"), " left")


def grouped(terms: dict[str, float]) -> list[tuple[str, str]]:
    """Formats {"G/adv": 0.7, "G/l1": 12.3} as [("G", "adv 0.700  l1 12.3")]."""
    groups: dict[str, list[str]] = {}
    for name, value in terms.items():
        owner, _, term = name.rpartition("/")
        groups.setdefault(owner, []).append(f"{term} {value:#.3g}".rstrip("."))
    return [(owner, "  ".join(losses)) for owner, losses in groups.items()]
