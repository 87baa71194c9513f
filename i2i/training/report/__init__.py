"""How a run is watched: log.jsonl, sample grids, report.html, and a bar or lines on stderr."""

from __future__ import annotations

import contextlib
import time
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from i2i.core.errors import I2IError
from i2i.core.files import atomic_write
from i2i.core.format import format_duration
from i2i.media import grids
from i2i.media.images import save
from i2i.training.report import console, page
from i2i.training.report.history import RunHistory
from i2i.training.report.log import Log, plain

__all__ = ["Report"]

EVERY = 30.0  # seconds between two writings of the page, at least
SHARE = 50  # ... and at least so many times as long as a writing takes
STILLS = 16  # sample grids in the page, at most
FRAMES = 32  # of the video, at most
WEIGHT = 4_000_000  # bytes of all sample grids in the page, about


class Report:
    """Takes what the loop tells (i2i.loop.Watch) and leaves in `folder`:

    log.jsonl              every line flushed at once; see i2i.report.log for what a resumed run does to it
    samples/<images>.png   the grids
    report.html            one file that needs no other and no network; rewritten at samples and checkpoints, at most
                           every EVERY seconds, and by `close`

    settings are shown in the page; total: images of the run; live: whether to speak on stderr. A run of an earlier
    session in `folder` is taken up. Nothing here stops training: what the disk refuses is said, and left out.
    """

    def __init__(self, folder: Path, recipe: str, settings: dict[str, Any], total: int, live: bool) -> None:
        self.folder, self.recipe, self.settings, self.total = Path(folder), recipe, settings, total
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = Log(self.folder / "log.jsonl")
        self.history = RunHistory.of(self.log)
        self.seconds, self.since = self.history.seconds, time.monotonic()
        self.voice = console.voice(Path(recipe).stem, total, str(self.folder), live)
        self.started = self.closed = False
        self.refused: set[str] = set()  # what the disk refused and the user was told
        self.due = 0.0  # when the page may be written again
        self.stills: dict[int, str] = {}
        self.first = 0  # images at the start of this session

    # ---- what the loop calls -----------------------------------------------------------------------------------

    def losses(self, images: int, terms: dict[str, float], rates: dict[str, float], speed: float) -> None:
        """A line of the log: mean losses since the last one by "optimizer/term", learning rates, images a second."""
        self._begin(images)
        self._write(images, "losses", {"terms": terms, "rates": rates, "speed": speed})
        self.voice.losses(images, terms, self.history.speed() or speed)

    def event(self, images: int, kind: str, **facts: Any) -> None:
        """Something that happened. Kinds with a place in the page:

        note, warning (text); save failed (error); resumed; saved (checkpoint); score (score, lower is better);
        environment (device, versions={name: version}, changed=[settings that differ from the method's defaults],
        about=a sentence, and whatever else); evaluation ({"model": {"l1": 0.1, ...}, "mean image": {...}, ...}).
        """
        if kind == "resumed":
            self._begin(images, resumed=True)
        if kind == "note" and facts.get("text") in self.history.notes:
            return
        self._write(images, kind, facts)
        text = str(facts.get("text") or facts.get("error") or "")
        if kind == "note":
            self.voice.say(f"Note: {text}")
        elif kind == "warning":
            self.voice.say(f"Warning: {text}", serious=True)
        elif kind == "save failed":
            self.voice.say(f"Warning: the checkpoint at {images:,} images could not be saved: {text}", serious=True)
        elif kind == "saved":
            self.voice.saved(images)
        if kind in ("saved", "evaluation") or self.closed:
            self._page(now=kind == "evaluation" or self.closed)

    def samples(self, images: int, columns: dict[str, Tensor]) -> None:
        """Draws the images [B, C, H, W] in [-1, 1] of each column as samples/<images>.png."""
        self._begin(images)
        path = self.grid_path(images)
        with self._refusing("sample grid"):
            save(path, grids.draw(columns), compress_level=3)
            self.stills.pop(images, None)
            self._write(images, "samples", {"file": f"{path.parent.name}/{path.name}", "columns": list(columns)})
        self._page()

    def close(self, reason: str = "") -> None:
        """Writes the last state. reason: why the run stops before its end, if it does."""
        if self.closed:
            return
        if self.started:
            self._write(self.history.images, "ended", {"reason": reason} if reason else {})
        self.closed = True
        if self.started:
            self._page(now=True)
            made, spent = self.history.images - self.first, time.monotonic() - self.since
            done = "finished" if self.history.images >= self.total else "stopped"
            rate = f" ({made / spent:.3g} images/s)" if made > 0 else ""
            name, page_at = Path(self.recipe).stem, self.folder / "report.html"
            told = f"{name}: {done} at {self.history.images:,} images after {format_duration(spent)}{rate}"
            self.voice.end(f"{told}; see {page_at}")

    def grid_path(self, images: int) -> Path:
        """Where the sample grid drawn at `images` lies."""
        return self.folder / "samples" / f"{images:08d}.png"

    # ---- within ------------------------------------------------------------------------------------------------

    def _begin(self, images: int, resumed: bool = False) -> None:
        """At the first sign of training: drops what an earlier session logged after the point this one starts from,
        and that session's grids."""
        if self.started:
            return
        self.started, self.first = True, images
        with self._refusing("log"):
            # A run that is not resumed makes this moment itself, so the old lines of the moment go, too.
            dropped = self.log.rewind(images if resumed else images - 1)
            for record in dropped:
                if record["kind"] == "samples":
                    self.grid_path(record["images"]).unlink(missing_ok=True)
            if dropped:
                self.history = RunHistory.of(self.log)
        self.seconds, self.since = self.history.seconds, time.monotonic()
        self.voice.start(images)

    def _write(self, images: int, kind: str, facts: dict[str, Any]) -> None:
        training = self.started and not self.closed
        seconds = self.seconds + time.monotonic() - self.since if training else self.history.seconds
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"kind": kind, "images": int(images), "time": stamp, "seconds": round(seconds, 3)}
        record = plain({**head, **facts, **head})
        self.history.add(record)
        with self._refusing("log"):
            self.log.write(record)

    @contextlib.contextmanager
    def _refusing(self, what: str) -> Any:
        """Training goes on without what the disk refuses; the user is told once."""
        try:
            yield
        except (OSError, I2IError) as error:
            if what not in self.refused:
                self.refused.add(what)
                self.voice.say(f"Warning: the {what} could not be written: {error}", serious=True)

    def _page(self, now: bool = False) -> None:
        """Writes report.html, unless that was done a moment ago."""
        begun = time.monotonic()
        if begun < self.due and not now:
            return
        with self._refusing("report"):
            text = page.render(
                self.history,
                recipe=self.recipe,
                settings=self.settings,
                folder=self.folder,
                total=self.total,
                running=not self.closed,
                stills=self._stills(),
                film=self._film(),
            )
            with atomic_write(self.folder / "report.html") as file:
                file.write(text.encode("utf-8", "xmlcharrefreplace"))
        spent = time.monotonic() - begun
        self.due = begun + max(EVERY, SHARE * spent)

    def _stills(self) -> list[tuple[int, str]]:
        """(images, data URI) of the first grid, the last one, and some evenly spaced between them."""
        grids = [n for n in self.history.grids if self.grid_path(n).exists()]
        if not grids:
            return []
        size = len(self._still(grids[-1])) * 3 // 4
        chosen = spaced(grids, max(6, min(STILLS, WEIGHT // max(1, size))))
        self.stills = {n: self._still(n) for n in chosen}
        return [(n, uri) for n, uri in self.stills.items() if uri]

    def _still(self, images: int) -> str:
        """The data URI of a grid; empty if its file cannot be read."""
        if images not in self.stills:
            try:
                self.stills[images] = _uri("jpeg", grids.still(self.grid_path(images)))
            except OSError:
                self.stills[images] = ""
        return self.stills[images]

    def _film(self) -> str:
        """The data URI of the video; empty while there are only a few grids."""
        paths = [p for p in map(self.grid_path, self.history.grids) if p.exists()]
        if len(paths) < 5:
            return ""
        try:
            return _uri("gif", grids.film(spaced(paths, FRAMES)))
        except OSError:
            return ""


def spaced(items: list[Any], most: int) -> list[Any]:
    """At most `most` of the items: the first, the last, and evenly spaced ones between."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
