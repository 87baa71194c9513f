"""The report of a run: log.jsonl, sample grids, report.html, and progress on stderr."""

from __future__ import annotations

import contextlib
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from i2i.core.errors import I2IError
from i2i.core.files import atomic_write
from i2i.core.format import format_count, format_duration
from i2i.media import grids
from i2i.media.images import save
from i2i.training.report import page
from i2i.training.report.console import progress_printer
from i2i.training.report.history import RunHistory
from i2i.training.report.log import Log, json_safe

PAGE_INTERVAL = 30.0  # seconds between two versions of report.html, at least
PAGE_SHARE = 50  # ... and at least 50 times as long as writing it takes
PAGE_GRIDS = 16  # sample grids in report.html, at most
PAGE_GRID_BYTES = 4_000_000  # size of all sample grids in report.html, about
PNG_PIXELS = 1_000_000  # pixels of a sample grid above which it is a JPEG file: one of 256 pixels took 7.5 MB as PNG
JPEG_QUALITY = 92  # ... of this quality
ANIMATION_FRAMES = 32  # frames of the animation, at most
ANIMATION_GRIDS = 5  # no animation is shown for fewer sample grids

Item = TypeVar("Item")


class Report:
    """The `Observer` that writes a run's files into `folder` and prints its progress.

    log.jsonl              one line per call, flushed at once; `i2i.training.report.log` says what a resumed run changes
    samples/<images>.png   the sample grids; .jpg if they are large
    report.html            one self-contained page; rewritten at samples and checkpoints, at most every PAGE_INTERVAL
                           seconds, and by `close`

    recipe: name or path of the recipe; settings: shown in the page; total: images of the whole run; live: print
    progress on stderr. Nothing is written before the first call; a log of an earlier session in `folder` is continued.
    A full or read-only disk never stops training: the user is warned once, and what cannot be written is left out.
    """

    def __init__(self, folder: Path, recipe: str, settings: dict[str, Any], total: int, live: bool) -> None:
        self.folder, self.recipe, self.settings, self.total = Path(folder), recipe, settings, total
        self.name = Path(recipe).stem
        self.printer = progress_printer(self.name, total, str(folder), live)
        self.log: Log | None = None  # opened at the first line
        self.history = RunHistory()
        self.seconds, self.since = 0.0, time.monotonic()  # training time of earlier sessions; start of this one
        self.started = self.closed = False
        self.first_images = 0  # images seen at the start of this session
        self.reported_failures: set[str] = set()  # what could not be written and the user knows of
        self.page_due = 0.0  # time from which the page may be written again
        self.stills: dict[int, str] = {}  # data URIs of sample grids by images seen

    # ---- what the loop calls -----------------------------------------------------------------------------------

    def losses(self, images: int, terms: dict[str, float], rates: dict[str, float], speed: float) -> None:
        """Logs mean losses since the last call by "optimizer/term", learning rates by optimizer, and images/s."""
        self._begin(images)
        self._write(images, "losses", {"terms": terms, "rates": rates, "speed": speed})
        self.printer.losses(images, terms, self.history.speed() or speed)

    def event(self, images: int, kind: str, **facts: Any) -> None:
        """Logs something that happened. These kinds are also shown in the page:

        note, warning (text); save failed (error); resumed; saved (checkpoint); score (score, metric; lower is better);
        environment (device, versions={name: version}, changed=[settings that differ from the method's defaults],
        about=a sentence, and any other facts); evaluation ({"model": {"l1": 0.1, ...}, "mean image": {...}, ...}).
        """
        self._open()
        if kind == "resumed":
            self._begin(images, resumed=True)
        if kind == "note" and facts.get("text") in self.history.notes:
            return
        self._write(images, kind, facts)

        # Print what the user should read at once.
        text = str(facts.get("text") or facts.get("error") or "")
        if kind == "note":
            self.printer.message(f"Note: {text}")
        elif kind == "warning":
            self.printer.message(f"Warning: {text}", warning=True)
        elif kind == "save failed":
            self.printer.message(f"Warning: Saving at {format_count(images, 'image')} failed: {text}", warning=True)
        elif kind == "saved":
            self.printer.saved(images)
        if kind in ("saved", "evaluation") or self.closed:
            self._write_page(now=kind == "evaluation" or self.closed)

    def samples(self, images: int, columns: dict[str, Tensor]) -> None:
        """Draws the images [B, C, H, W] in [-1, 1] of each column as samples/<images>.png (.jpg if they are large)."""
        self._begin(images)
        with self._warn_on_failure("sample grid"):
            grid = grids.draw_grid(columns)
            self.grid_path(images).unlink(missing_ok=True)
            if grid.width * grid.height > PNG_PIXELS:
                path = self.grid_path(images).with_suffix(".jpg")
                save(path, grid, quality=JPEG_QUALITY, subsampling=0)
            else:
                path = self.grid_path(images).with_suffix(".png")
                save(path, grid)
            self.stills.pop(images, None)
            self._write(images, "samples", {"file": f"{path.parent.name}/{path.name}", "columns": list(columns)})
        self._write_page()

    def lines(self) -> Iterable[dict[str, Any]]:
        """Returns the lines of log.jsonl, those of earlier sessions included."""
        self._open()
        return () if self.log is None else self.log

    def close(self, reason: str = "") -> None:
        """Writes the final page and prints the last line. reason: why the run stops before its end, if it does."""
        if self.closed:
            return
        if self.started:
            self._write(self.history.images, "ended", {"reason": reason} if reason else {})
        self.closed = True
        if self.started:
            self._write_page(now=True)
            images, seconds = self.history.images - self.first_images, time.monotonic() - self.since
            state = "finished" if self.history.images >= self.total else "stopped"
            speed = f" ({self.history.mean_speed():.3g} images/s)" if images > 0 else ""
            self.printer.finish(
                f"{self.name}: {state} at {format_count(self.history.images, 'image')} after "
                f"{format_duration(seconds)}{speed}; "
                f"see {self.folder / 'report.html'}"
            )

    def grid_path(self, images: int) -> Path:
        """Returns the path of the sample grid drawn at `images`; if there is none yet, that of a small one."""
        path = self.folder / "samples" / f"{images:08d}.png"
        large = path.with_suffix(".jpg")
        return large if large.is_file() and not path.is_file() else path

    # ---- the log -----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Opens the log at the first call, and reads what an earlier session wrote."""
        if self.log is not None:
            return
        with self._warn_on_failure("log"):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.log = Log(self.folder / "log.jsonl")
            if self.log.damaged:
                text = f"{self.log.damaged} damaged lines were removed from {self.log.path}."
                self.printer.message(f"Warning: {text}", warning=True)
            self.history = RunHistory.of(self.log)
            self.seconds, self.since = self.history.seconds, time.monotonic()

    def _begin(self, images: int, resumed: bool = False) -> None:
        """At the first sign of training, drops what an earlier session logged and drew after `images`."""
        self._open()
        if self.started:
            return
        self.started, self.first_images = True, images
        with self._warn_on_failure("log"):
            # A run that starts anew repeats the lines at `images` itself, so the old ones are dropped, too.
            dropped = self.log.rewind(images if resumed else images - 1) if self.log is not None else []
            for record in dropped:
                if record["kind"] == "samples":
                    self.grid_path(record["images"]).unlink(missing_ok=True)
            if dropped and self.log is not None:
                self.history = RunHistory.of(self.log)
        self.seconds, self.since = self.history.seconds, time.monotonic()
        self.printer.start(images)

    def _write(self, images: int, kind: str, facts: dict[str, Any]) -> None:
        """Adds a line to the log and to the history."""
        training = self.started and not self.closed
        seconds = self.seconds + time.monotonic() - self.since if training else self.history.seconds
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"kind": kind, "images": int(images), "time": stamp, "seconds": round(seconds, 3)}
        record = json_safe({**head, **facts, **head})
        self.history.add(record)
        with self._warn_on_failure("log"):
            if self.log is not None:
                self.log.write(record)

    @contextlib.contextmanager
    def _warn_on_failure(self, what: str) -> Iterator[None]:
        """Turns a failure to write `what` into one warning, so that training goes on."""
        try:
            yield
        except (OSError, I2IError) as error:
            if what not in self.reported_failures:
                self.reported_failures.add(what)
                self.printer.message(f"Warning: The {what} could not be written: {error}", warning=True)

    # ---- the page ----------------------------------------------------------------------------------------------

    def _write_page(self, now: bool = False) -> None:
        """Writes report.html, unless it was written a moment ago and `now` is false."""
        start = time.monotonic()
        if start < self.page_due and not now:
            return
        with self._warn_on_failure("report"):
            text = page.render(
                self.history,
                recipe=self.recipe,
                settings=self.settings,
                folder=self.folder,
                total=self.total,
                running=not self.closed,
                stills=self._select_stills(),
                animation=self._animation(),
            )
            with atomic_write(self.folder / "report.html") as file:
                file.write(text.encode("utf-8", "xmlcharrefreplace"))
        self.page_due = start + max(PAGE_INTERVAL, PAGE_SHARE * (time.monotonic() - start))

    def _select_stills(self) -> list[tuple[int, str]]:
        """Returns (images, data URI) of the first sample grid, the last one, and evenly spaced ones between."""
        drawn = [images for images in self.history.grids if self.grid_path(images).exists()]
        if not drawn:
            return []
        size = len(self._still(drawn[-1])) * 3 // 4  # base64 takes 4 bytes for 3
        most = max(6, min(PAGE_GRIDS, PAGE_GRID_BYTES // max(1, size)))
        self.stills = {images: self._still(images) for images in evenly_spaced(drawn, most)}
        return [(images, uri) for images, uri in self.stills.items() if uri]

    def _still(self, images: int) -> str:
        """Returns the data URI of a sample grid; empty if its file cannot be read."""
        if images not in self.stills:
            try:
                self.stills[images] = _data_uri("jpeg", grids.thumbnail(self.grid_path(images)))
            except OSError:
                self.stills[images] = ""
        return self.stills[images]

    def _animation(self) -> str:
        """Returns the data URI of a GIF of the sample grids; empty while there are only a few grids."""
        paths = [path for path in map(self.grid_path, self.history.grids) if path.exists()]
        if len(paths) < ANIMATION_GRIDS:
            return ""
        try:
            return _data_uri("gif", grids.timelapse(evenly_spaced(paths, ANIMATION_FRAMES)))
        except OSError:
            return ""


def evenly_spaced(items: Sequence[Item], most: int) -> list[Item]:
    """Returns at most `most` of the items: the first, the last, and evenly spaced ones between."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
