"""A data set: samples in an order that depends on nothing but the seed and the number of images seen."""

from __future__ import annotations

import functools
import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from i2i.core.errors import I2IError
from i2i.core.files import sha256_of
from i2i.data import cache, crops, decode, device, hed, labels, make, sampler
from i2i.data.augment import Augment
from i2i.data.batch import Batch
from i2i.data.collate import Raw, batch_of, stacked
from i2i.data.layouts import WHOLE, Layout, Source, header
from i2i.data.preprocess import Preprocess
from i2i.data.spec import HED, DataSettings
from i2i.media import images

SAMPLED = 64  # files whose contents enter the fingerprint, and whose headers tell the channels


class Data:
    """One split of a data set, as batches; images are float32 [B, C, H, W] in [-1, 1].

    Layout paired: x and its target y, with the same crop and flip; unpaired: x from one side in the order of the epoch,
    y drawn from the other side by the seed; images: x; labelled: x and the class c (int64 [B]);
    attributes: x with its attributes or its class c, and with two data sets y, drawn by the seed; see Batch.
    """

    def __init__(
        self,
        layout: Layout,
        spec: DataSettings,
        roots: Sequence[Path],
        *,
        flip: bool = True,
        licence: str = "",
        cache_folder: Path | None = None,
    ) -> None:
        spec.check()
        spec.check_augment()
        self.spec = spec
        self.roots = [Path(r) for r in roots]
        self.layout = layout.name
        self.splits = layout.splits
        self.notes = list(layout.notes)
        self.licence = licence
        self.size = spec.size
        self.class_names = layout.class_names
        self.classes = len(layout.class_names)
        self.labels, self.rows, self.domains = layout.labels, layout.rows, layout.domains
        sides = [layout.a, layout.b] if layout.b else [layout.a]
        if spec.makes:
            sides, self.layout = [layout.a, layout.a], "paired"  # y is in the files, and x is made from it
        if spec.direction == "BtoA" and len(sides) == 2:
            sides.reverse()
        if spec.center:
            sides = [[replace(source, center=spec.center) for source in side] for side in sides]
        # sides of a target's file divided by those of a file of each side
        self.smaller = (spec.scale, 1) if self.layout == "paired" and not spec.makes else (1, 1)
        self.sides: list[list[Source]] = sides
        self.count = max(len(s) for s in sides)
        self.palette = labels.palette_of(spec, self.layout, sides[0]) if spec.palette else None
        self.channels_in = self.palette.channels if self.palette else spec.channels_in or _channels(sides[0])
        self.channels_out = spec.channels_out or (_channels(sides[1]) if len(sides) == 2 else self.channels_in)
        if self.layout == "attributes":
            self.channels_out = self.channels_in  # images of both data sets go through one network
        self.channels = (self.channels_in, self.channels_out)
        self.flip = flip if spec.flip is None else spec.flip
        varied = spec.augment if spec.augment_on == "cpu" else ""
        self.augment = Augment(varied, paired=self.layout == "paired", labels=self.palette is not None)
        self.caches = self._caches(cache_folder)
        self._hed = hed.detector(spec.hed) if HED in spec.makes else None
        if self.palette and (note := labels.outside_of(self.palette, self.sides[0])):
            self.notes.append(note)

    # ---- facts -------------------------------------------------------------------------------------------------

    @cached_property
    def names(self) -> list[str]:
        """The name of each sample: the path of its x file relative to the given folder."""
        return [self._name(self.sides[0][i % len(self.sides[0])]) for i in range(self.count)]

    def _name(self, source: Source) -> str:
        for root in self.roots:
            if source.path.is_relative_to(root):
                return source.path.relative_to(root).as_posix()
        return source.path.name

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """Identifies the data: the number of samples and a SHA-256 over names, sizes and sampled contents.

        It does not change when the folder moves."""
        files = list(dict.fromkeys(source.path for side in self.sides for source in side))
        digest = hashlib.sha256(self.layout.encode())
        for path in files:
            digest.update(f"{self._name(Source(path))}|{path.stat().st_size}\n".encode(errors="surrogateescape"))
        if self.domains is not None:
            names = (self.domains.bits, self.domains.classes, self.domains.exclusive)
            digest.update(repr((names, self.rows)).encode())
        for path in files[:: max(1, len(files) // SAMPLED)][:SAMPLED]:
            digest.update(bytes.fromhex(sha256_of(path)))
        return {"count": self.count, "files": len(files), "sha256": digest.hexdigest()}

    # ---- samples -----------------------------------------------------------------------------------------------

    def item(self, index: int) -> Batch:
        """The whole sample without augmentation, as a batch of one: the papers' pre-processing with load = crop = size.

        With preprocess crop or none the images keep their size, rounded to a multiple of 4. Where y is larger than x,
        nothing is resized then: y loses up to scale - 1 pixels at the right and the bottom."""
        return self._plain([index], self._whole)

    @property
    def _whole(self) -> Preprocess:
        whole = self.spec.rule.whole
        return Preprocess() if whole.round_sides and self.spec.scale > 1 else whole

    def whole_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the target that `item` makes of a file of width x height pixels."""
        wide, high = self._whole.size(width, height, self.spec.size, self.spec.size)
        return wide // self.spec.scale * self.spec.scale, high // self.spec.scale * self.spec.scale

    def fixed(self, n: int) -> Batch:
        """n samples spread evenly over all (all, if there are fewer), without augmentation, each of size x size.

        Neighbours in the order of names are often alike: frames of a video, tiles of one place."""
        n = min(n, self.count)
        return self._plain([i * self.count // n for i in range(n)], self.spec.rule.square)

    def _plain(self, indices: list[int], rule: Preprocess) -> Batch:
        sides: list[list[np.ndarray]] = []
        for side, sources in enumerate(self.sides):
            if self.spec.makes and not sides:
                sides.append([])  # x is made below
                continue
            size, grid = self._cut(side)
            wanted = functools.partial(rule.size, load=size, crop=size)
            rows = []
            for i in indices:
                image = decode.exact(sources[i % len(sources)], self.channels[side], wanted, self._has_labels(side))
                rows.append(crops.middle(image, size, grid) if rule.crop else crops.whole(image, grid))
            sides.append(rows)
        if self.spec.makes:
            sides[0] = [self._make_source(y, 0, i) for i, y in zip(indices, sides[1], strict=True)]
        elif self.spec.scale > 1 and self.layout == "paired":
            for i, x, y in zip(indices, *sides, strict=True):
                self._check_pair(i, x, y)
        labels = [self._answer(i, i) for i in indices] if self.labels or self.rows else None
        x, y = stacked(sides[0]), stacked(sides[1]) if len(sides) == 2 else None
        return batch_of((x, y, labels, indices))

    def _cut(self, side: int) -> tuple[int, int]:
        """The size of a side's crops, and of which its positions and whole images are multiples, in pixels."""
        return self.spec.size // self.smaller[side], self.spec.scale // self.smaller[side] if side else 1

    def batches(self, start: int = 0, batch: int = 1, rank: int = 0, world: int = 1, seed: int = 0) -> Iterator[Batch]:
        """Endless batches on the CPU for the process `rank` of `world`, from sample number `start` of the run on.

        x and y are float32 [B, C, size, size] in [-1, 1] (x is `scale` times smaller), c and ids int64 [B]. Row j of
        process r, in the step that starts at s, is sample s + r * batch + j. Which image that is, and how it is
        augmented, is a pure function of (seed, number). Raises I2IError naming a file that cannot be read.
        """
        step = batch * world
        first = (sampler.sample_numbers(s, batch, rank) for s in range(start, 1 << 62, step))
        if not self.spec.workers:
            for numbers in first:
                yield batch_of(self._raw(numbers, seed))
        pool = ThreadPoolExecutor(self.spec.workers, thread_name_prefix="i2i-data")
        ahead: deque[Future[Raw]] = deque()
        try:
            while True:
                while len(ahead) < self.spec.workers + 2:
                    ahead.append(pool.submit(self._raw, next(first), seed))
                yield batch_of(ahead.popleft().result())
        finally:  # also when the caller stops iterating
            pool.shutdown(wait=False, cancel_futures=True)

    def augment_on_device(self, batch: Batch, seed: int = 0) -> Batch:
        """The batch, which is on its device already, augmented there if augment_on is "device"; else unchanged."""
        if self.spec.augment_on != "device" or not self.spec.parts:
            return batch
        return device.vary(batch, seed, self.spec.parts, paired=self.layout == "paired")

    def _raw(self, numbers: list[int], seed: int) -> Raw:
        rows = [self._sample(number, seed) for number in numbers]
        x = stacked([r[0] for r in rows])
        ys = [r[1] for r in rows if r[1] is not None]
        y = stacked(ys) if ys else None
        return x, y, [r[2] for r in rows] if self.labels or self.rows else None, numbers

    def _sample(self, number: int, seed: int) -> tuple[np.ndarray, np.ndarray | None, Any]:
        """The augmented sample: uint8 x [H, W, C], y or None, and its class or attributes, or 0."""
        index = sampler.index_of(number, self.count, seed)
        label = self._answer(index)
        if len(self.sides) == 1:
            x = self._crop(self._prepared(0, index), 0, index, sampler.Draws(seed, number))
            return self.augment.one(x, seed, number), None, label
        if self.spec.makes:
            y = self._crop(self._prepared(1, index), 1, index, sampler.Draws(seed, number))
            if self.spec.scale > 1:  # the geometry comes first, because both cannot be varied alike
                y = self.augment.geometry_of(y, seed, number)
                return self.augment.color_of(self._make_source(y, seed, number), seed, number), y, label
            return *self.augment.pair(self._make_source(y, seed, number), y, seed, number), label
        if self.layout == "paired":
            x, y = self._prepared_pair(index)
            self._check_pair(index, x, y)
            x = self._crop(x, 0, index, sampler.Draws(seed, number))
            y = self._crop(y, 1, index, sampler.Draws(seed, number))
            if self.spec.scale > 1:
                return self.augment.color_of(x, seed, number), y, label
            return *self.augment.pair(x, y, seed, number), label
        index %= len(self.sides[0])
        partner = sampler.Draws(seed, number, "partner").below(len(self.sides[1]))
        x = self._crop(self._prepared(0, index), 0, index, sampler.Draws(seed, number))
        y = self._crop(self._prepared(1, partner), 1, partner, sampler.Draws(seed, number, "y"))
        return self.augment.one(x, seed, number), self.augment.one(y, seed, number, "y"), self._answer(index, partner)

    def _answer(self, index: int, partner: int = 0) -> Any:
        """The class of a sample, 0 without any; or its attributes, and after them the one-hot class of its partner."""
        if not self.rows:
            return self.labels[index] if self.labels else 0
        row, classes = self.rows[index % len(self.rows)], self.domains.classes if self.domains else ()
        if not classes:
            return row
        partner = self.labels[partner % len(self.labels)]
        return [*row, *(float(k == partner) for k in range(len(classes)))]

    def _check_pair(self, index: int, x: np.ndarray, y: np.ndarray) -> None:
        """Raises I2IError unless the images of a pair have sizes that fit: equal, or y `scale` times as large."""
        crops.check_pair(self.sides[0][index].path, self.sides[1][index].path, x.shape, y.shape, self.spec.scale)

    def _make_source(self, y: np.ndarray, seed: int, number: int) -> np.ndarray:
        """The source that is made from a target, both uint8 [H, W, C]."""
        x = make.make_source(y, self.spec.makes, seed, number, self.spec.scale, self._hed)
        wanted = self.channels_in
        return x if x.shape[2] == wanted else images.to_array(images.convert(images.to_pil(x), wanted))

    def _crop(self, image: np.ndarray, side: int, index: int, draws: sampler.Draws) -> np.ndarray:
        """The random crop and flip, as a view."""
        size, grid = self._cut(side)
        if self.spec.rule.crop and image.shape[:2] != (size, size):
            if min(image.shape[:2]) < size:
                raise crops.too_small(self._name(self.sides[side][index]), image.shape, size)
            image = crops.drawn(image, size, grid, draws)
        if self.flip and draws.below(2):
            image = cv2.flip(image, 1).reshape(image.shape)  # a view with a negative stride is far slower later
        return image

    # ---- decoded images --------------------------------------------------------------------------------------

    def _has_labels(self, side: int) -> bool:
        """Whether a side holds label maps, whose colors must not be blended."""
        return side == 0 and self.palette is not None

    def _size(self, side: int) -> decode.Size:
        """The size before the crop, as a function of the size of a file of a side."""
        load, crop = self._load(side), self._cut(side)[0]
        return lambda width, height: self.spec.rule.size(width, height, load, crop)

    def _load(self, side: int) -> int:
        load = self.spec.size if self.spec.rule == Preprocess(resize=True) else self.spec.loaded
        return load // self.spec.scale * (self.spec.scale // self.smaller[side])

    def _prepared(self, side: int, index: int) -> np.ndarray:
        """The image before the random crop, uint8 [H, W, C]; from the cache if it is there."""
        image = self.caches[side].get(index) if self.caches else None
        if image is None:
            read = decode.exact if self.spec.exact else decode.fast
            image = read(self.sides[side][index], self.channels[side], self._size(side), self._has_labels(side))
            if self.caches:
                self.caches[side].put(index, image)
        return image

    def _prepared_pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        a, b = self.sides[0][index], self.sides[1][index]
        if self.caches or self.spec.exact or self.palette or a.part == WHOLE or a.path != b.path:
            return self._prepared(0, index), self._prepared(1, index)
        left, right = decode.fast_pair(a.path, self.channels if a.part == 0 else self.channels[::-1], self._size(0))
        return (left, right) if a.part == 0 else (right, left)

    def _caches(self, folder: Path | None) -> list[cache.Cache]:
        if self.spec.cache == "none":
            return []
        if self.spec.cache == "disk" and folder is None:
            raise I2IError("The cache is on disk, but no folder was given for it.")
        caches = []
        limit = self.spec.cache_gb * 1e9 / len(self.sides)
        for side, (sources, channels) in enumerate(zip(self.sides, self.channels, strict=False)):
            shape = (self._load(side), self._load(side), channels)
            kind = ("sRGB", "labels") if self._has_labels(side) else ("sRGB",)
            path = None
            if self.spec.cache == "disk" and folder is not None:
                path = folder / f"{cache.key(sources, shape, self.spec.exact, *kind)}.pictures"
            caches.append(cache.Cache(len(sources), shape, limit, path))
        return caches


def _channels(sources: Sequence[Source]) -> int:
    """1 if all sampled images are gray, else 3; transparent images get a white background."""
    sampled = sources[:: max(1, len(sources) // SAMPLED)][:SAMPLED]
    return 1 if all(header(p.path)[2] == 1 for p in sampled) else 3
