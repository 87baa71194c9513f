"""What a run says while it goes on, on stderr: a bar in a terminal, now and then a line elsewhere, or nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterable
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from i2i.core.format import format_duration

PAUSE = 10.0  # seconds between two plain lines of a kind


class Voice(Protocol):
    """Where a run speaks."""

    def start(self, images: int) -> None:
        """Training begins at `images`."""

    def losses(self, images: int, terms: dict[str, float], speed: float) -> None:
        """Images seen, the losses by "optimizer/term", images a second."""

    def saved(self, images: int) -> None:
        """A checkpoint lies on the disk."""

    def say(self, text: str, serious: bool = False) -> None:
        """A sentence of its own; a serious one is heard in every case."""

    def end(self, text: str) -> None:
        """The last sentence."""


def voice(name: str, total: int, folder: str, live: bool) -> Voice:
    """The voice that fits stderr: Bar in a terminal, Lines in pipes and CI, Mute if not `live`."""
    if not live:
        return Mute()
    console = Console(stderr=True, highlight=False)
    if sys.stderr.isatty() and console.is_interactive and not os.environ.get("CI"):
        return Bar(name, total, console)
    return Lines(name, total, folder)


class Mute:
    """Says only what is serious, as a warning of the logger "i2i"."""

    def start(self, images: int) -> None:
        """Nothing."""

    def losses(self, images: int, terms: dict[str, float], speed: float) -> None:
        """Nothing."""

    def saved(self, images: int) -> None:
        """Nothing."""

    def say(self, text: str, serious: bool = False) -> None:
        """Serious sentences only."""
        if serious:
            logging.getLogger("i2i").warning(text)

    def end(self, text: str) -> None:
        """Nothing."""


class Lines:
    """A plain line at the start, at the end, and at most every PAUSE seconds for progress and for checkpoints."""

    def __init__(self, name: str, total: int, folder: str) -> None:
        self.name, self.total, self.folder = name, total, folder
        self.spoken = {"losses": 0.0, "saved": 0.0}

    def start(self, images: int) -> None:
        """The first line."""
        since = f", from {images:,} on" if images else ""
        self.say(f"{self.name}: {self.total:,} images{since}, into {self.folder}")
        self.spoken["losses"] = time.monotonic()

    def losses(self, images: int, terms: dict[str, float], speed: float) -> None:
        """A line of progress, if the last one is PAUSE seconds old."""
        if self._due("losses"):
            left = format_duration((self.total - images) / speed) if speed > 0 else "?"
            share = f"{images / max(1, self.total):.0%}"
            told = f"{images:,} of {self.total:,} images ({share}), {speed:.3g} images/s, {left} left"
            self.say("; ".join([told, *(f"{o} {words}" for o, words in grouped(terms))]))

    def saved(self, images: int) -> None:
        """A line, if the last one of its kind is PAUSE seconds old."""
        if self._due("saved"):
            self.say(f"saved at {images:,} images")

    def _due(self, kind: str) -> bool:
        now = time.monotonic()
        if self.spoken[kind] and now - self.spoken[kind] < PAUSE:
            return False
        self.spoken[kind] = now
        return True

    def say(self, text: str, serious: bool = False) -> None:
        """Prints a line; a pipe that nobody reads any more ends no training."""
        with contextlib.suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)

    def end(self, text: str) -> None:
        """The last line."""
        self.say(text)


class Bar:
    """A bar with images, images/s and time left, and the losses under it."""

    def __init__(self, name: str, total: int, console: Console) -> None:
        self.console, self.name, self.total = console, name, total
        self.bar: _Progress | None = None

    def start(self, images: int) -> None:
        """Shows the bar. It is not shown before training begins, so that an error before that prints plainly."""
        if self.bar is None:
            self.bar = _Progress(self.name, self.total, images, self.console)
            self.bar.start()
            # A second Ctrl-C ends the process at once; the terminal must not be left without its cursor then.
            self.console.show_cursor(True)

    def losses(self, images: int, terms: dict[str, float], speed: float) -> None:
        """Moves the bar and shows the losses."""
        if self.bar is not None:
            self.bar.tell(images, terms, speed)

    def saved(self, images: int) -> None:
        """Noted under the bar."""
        if self.bar is not None:
            self.bar.saved = images

    def say(self, text: str, serious: bool = False) -> None:
        """A line above the bar."""
        self.console.print(Text(text, "yellow" if serious else ""))

    def end(self, text: str) -> None:
        """Takes the bar away and prints the last line."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
        self.console.print(Text(text))


class _Progress(Progress):
    """Rich's progress with the losses in lines of their own. Between two reports of the loop the bar goes on at the
    speed of the last one, at most as far as the next is expected."""

    def __init__(self, name: str, total: int, images: int, console: Console) -> None:
        self.total, self.seen, self.step, self.speed, self.at = total, images, 0, 0.0, time.monotonic()
        self.terms: dict[str, float] = {}
        self.saved: int | None = None
        columns = (TextColumn("[bold]{task.description}"), BarColumn(None), _Numbers())
        # Output of this process to a terminal goes above the bar; to a file or pipe it stays what it is.
        redirect = sys.stdout.isatty()
        super().__init__(
            *columns, console=console, refresh_per_second=4, expand=True, redirect_stdout=redirect, transient=True
        )
        self.number = self.add_task(name, total=total, completed=images)

    def tell(self, images: int, terms: dict[str, float], speed: float) -> None:
        """New facts."""
        self.step, self.seen = max(0, images - self.seen), images
        self.terms, self.speed, self.at = terms, speed, time.monotonic()

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar and the losses."""
        if not self.tasks:  # Rich asks once before there is any
            return
        task = self.tasks[0]
        ahead = min(self.speed * (time.monotonic() - self.at), max(0, self.step - 1))
        task.completed = min(self.seen + int(ahead), self.total)
        task.fields["speed"] = self.speed
        lines = [Text.assemble((f"  {o} ", "bold cyan"), words) for o, words in grouped(self.terms)]
        if self.saved is not None:
            lines.append(Text(f"  saved at {self.saved:,} images", "dim"))
        for line in lines:
            line.truncate(self.console.width, overflow="ellipsis")
        yield Group(self.make_tasks_table(self.tasks), *lines)


class _Numbers(ProgressColumn):
    """Images, speed and time left."""

    max_refresh = None

    def render(self, task: Task) -> Text:
        """As text; "starting" before the first report."""
        speed, total = task.fields.get("speed", 0.0), int(task.total or 0)
        done = f"{int(task.completed):,}/{total:,} images"
        if speed <= 0:
            return Text.assemble(done, ("  starting", "dim"))
        left = format_duration((total - task.completed) / speed)
        return Text.assemble(done, f"  {speed:.3g}/s  ", (left, "bold green"), " left")


def grouped(terms: dict[str, Any]) -> list[tuple[str, str]]:
    """{"G/adv": 0.7, "G/l1": 12.3} as [("G", "adv 0.700  l1 12.3")], for people."""
    groups: dict[str, list[str]] = {}
    for name, value in terms.items():
        owner, _, term = name.rpartition("/")
        groups.setdefault(owner, []).append(f"{term} {value:#.3g}".rstrip("."))
    return [(owner, "  ".join(words)) for owner, words in groups.items()]
