"""The interface between the training loop and whoever follows a run, and three small implementations of it.

`Report` (log, page, progress) is the main one; `CollapseMonitor` and `TrackerObserver` each wrap another observer and
add to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from i2i.media import grids

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor

TrainProgress = Callable[[int, int, dict[str, float]], None]
"""Called as progress(images seen, images in all, mean losses by "optimizer/term")."""


class Observer(Protocol):
    """What the training loop calls. `images` is always the number of training images seen so far."""

    def losses(self, images: int, terms: dict[str, float], rates: dict[str, float], speed: float) -> None:
        """Receives mean losses since the last call by "optimizer/term", learning rates by optimizer, images/s."""

    def event(self, images: int, kind: str, **facts: Any) -> None:
        """Receives something that happened; `Report.event` lists the kinds."""

    def samples(self, images: int, columns: dict[str, Tensor]) -> None:
        """Receives the sample grid: {column title: images [B, C, H, W] in [-1, 1]}."""

    def lines(self) -> Iterable[dict[str, Any]]:
        """Returns the lines of the run's log so far, those of earlier sessions included."""

    def close(self, reason: str = "") -> None:
        """Ends the report. reason: why the run stops before its end; empty if it does not."""


class SilentObserver:
    """Ignores everything: the observer of every process but the first."""

    def losses(self, images: int, terms: dict[str, float], rates: dict[str, float], speed: float) -> None:
        """Does nothing."""

    def event(self, images: int, kind: str, **facts: Any) -> None:
        """Does nothing."""

    def samples(self, images: int, columns: dict[str, Tensor]) -> None:
        """Does nothing."""

    def lines(self) -> Iterable[dict[str, Any]]:
        """Returns no lines."""
        return ()

    def close(self, reason: str = "") -> None:
        """Does nothing."""


class ForwardingObserver:
    """Passes every call on to `inner`; subclasses override the calls to which they add something."""

    def __init__(self, inner: Observer) -> None:
        self.inner = inner

    def losses(self, images: int, terms: dict[str, float], rates: dict[str, float], speed: float) -> None:
        """Passes the losses on."""
        self.inner.losses(images, terms, rates, speed)

    def event(self, images: int, kind: str, **facts: Any) -> None:
        """Passes the event on."""
        self.inner.event(images, kind, **facts)

    def samples(self, images: int, columns: dict[str, Tensor]) -> None:
        """Passes the sample grid on."""
        self.inner.samples(images, columns)

    def lines(self) -> Iterable[dict[str, Any]]:
        """Returns the lines of the inner observer."""
        return self.inner.lines()

    def close(self, reason: str = "") -> None:
        """Closes the inner observer."""
        self.inner.close(reason)


class ProgressObserver(ForwardingObserver):
    """Also tells the caller of `i2i.train` how far the run has come, whenever losses are logged."""

    def __init__(self, inner: Observer, progress: TrainProgress, total: int) -> None:
        super().__init__(inner)
        self.progress, self.total = progress, total

    def losses(self, images: int, terms: dict[str, float], rates: dict[str, float], speed: float) -> None:
        """Passes the losses on and calls the function."""
        self.inner.losses(images, terms, rates, speed)
        self.progress(images, self.total, dict(terms))


class TrackerObserver(ForwardingObserver):
    """Also sends losses, learning rates, speed and sample grids to Accelerate's trackers (TensorBoard, W&B, ...)."""

    def __init__(self, inner: Observer, accelerator: Accelerator) -> None:
        super().__init__(inner)
        self.accelerator = accelerator

    def losses(self, images: int, terms: dict[str, float], rates: dict[str, float], speed: float) -> None:
        """Passes the losses on and logs them with the trackers."""
        self.inner.losses(images, terms, rates, speed)
        extra = {f"lr/{name}": rate for name, rate in rates.items()}
        self.accelerator.log({**terms, **extra, "images/s": speed}, step=images)

    def samples(self, images: int, columns: dict[str, Tensor]) -> None:
        """Passes the sample grid on and sends it, as the image "samples", to the trackers that take images."""
        self.inner.samples(images, columns)
        trackers = [t for t in self.accelerator.trackers if hasattr(t, "log_images")]
        if not trackers or not self.accelerator.is_main_process:
            return
        grid = grids.draw_grid(columns)
        for tracker in trackers:
            if tracker.name == "tensorboard":
                tracker.log_images({"samples": np.asarray(grid)[None]}, step=images, dataformats="NHWC")
            elif tracker.name in ("aim", "clearml"):  # which take one image, no list
                tracker.log_images({"samples": grid}, step=images)
            else:
                tracker.log_images({"samples": [grid]}, step=images)
