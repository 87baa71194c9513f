"""The training data under watch: how long training waits for images, and whether they are images at all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import torch

from i2i.data.batch import Batch, TrainingData

LOOK_EVERY = 16  # batches between two looks at the images themselves
LOOK_IMAGES = 8  # of a batch, at most: training waits while 64 of 256 pixels are looked at for 0.1 s
SAME_LOOKS = 3  # looks in a row at equal images, after which the images count as dead
STALLED = 60.0  # seconds without images after which the user is told


class WatchedData:
    """Passes on what training asks of a data set, and measures it. `waited` and `dead` are read by the doctor."""

    def __init__(self, data: TrainingData) -> None:
        self.data = data
        self.waited = 0.0  # seconds that training waited for images
        self.dead = ""  # what is wrong with the images, a sentence; empty if nothing is
        self.asked_at: float | None = None  # when training began to wait for the batch that has not come yet
        self._looks: list[tuple[float, float]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)

    @property
    def count(self) -> int:
        """Samples in an epoch."""
        return self.data.count

    def fixed(self, n: int) -> Batch:
        """The n samples of previews."""
        return self.data.fixed(n)

    def augment_on_device(self, batch: Batch, seed: int) -> Batch:
        """The batch, augmented on its device if the settings say so."""
        return self.data.augment_on_device(batch, seed)

    def batches(self, start: int, batch: int, rank: int, world: int, seed: int) -> Iterator[Batch]:
        """The batches of the data; the time until each has come is added up."""
        batches = self.data.batches(start, batch, rank, world, seed)
        ended = threading.Event()
        threading.Thread(target=self._tell_if_stalled, args=(ended,), name="i2i-doctor", daemon=True).start()
        try:
            number = 0
            while True:
                self.asked_at = begun = time.monotonic()
                images = next(batches, None)
                self.asked_at = None
                self.waited += time.monotonic() - begun
                if images is None:
                    return
                if number % LOOK_EVERY == 0:
                    self._look(images)
                number += 1
                yield images
        finally:
            ended.set()
            self.asked_at = None
            close = getattr(batches, "close", None)
            if close is not None:
                close()

    def _look(self, batch: Batch) -> None:
        """Compares the images with each other and with those of earlier looks."""
        images = batch.x[:LOOK_IMAGES]
        low, high = map(float, images.aminmax())
        flat = high - low < 1e-6
        deviation, mean = map(float, torch.std_mean(images))
        self._looks = [*self._looks[1 - SAME_LOOKS :], (mean, deviation)]
        same = len(self._looks) == SAME_LOOKS and len(set(self._looks)) == 1
        self.dead = ""
        if same and flat:
            self.dead = f"All images that come have one color, of value {low:g}."
        elif same and self.data.count > len(batch):
            self.dead = "The same images come again and again."

    def _tell_if_stalled(self, ended: threading.Event) -> None:
        """Warns, once, when training waits for a batch for STALLED seconds."""
        while not ended.wait(min(5.0, STALLED / 4)):
            asked = self.asked_at
            if asked is not None and time.monotonic() - asked > STALLED:
                self.dead = f"No images came for {STALLED:.0f} seconds."
                logging.getLogger("i2i").warning(
                    "%s Training waits. Check that the disk or network folder that holds them still answers.", self.dead
                )
                return
