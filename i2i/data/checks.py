"""What may be wrong with a folder of images, found before a night of training is spent on it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from i2i.core.errors import I2IError
from i2i.core.progress import Progress
from i2i.data import layouts
from i2i.media import images

NEAR = 6  # of 128 bits that may differ between near duplicates


@dataclass(frozen=True)
class Finding:
    """One fault. `serious` ones stop training or spoil its result; the others are worth a look."""

    kind: str  # unreadable, partner, empty, size, channels, duplicate, near duplicate, split
    text: str
    files: tuple[str, ...] = ()
    serious: bool = True

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass
class _Seen:
    path: Path
    name: str
    split: str
    size: tuple[int, int] = (0, 0)
    channels: int = 0
    digest: bytes = b""  # of the decoded pixels: a copy in another format or with other EXIF is the same image
    look: int = 0  # perceptual hash, 128 bits
    raster: np.ndarray | None = None  # 16 x 16 grey levels, which settle what the hash suspects
    error: str = ""


def check(folder: str | Path, progress: Progress | None = None) -> list[Finding]:
    """Looks at every image under `folder` and returns what is wrong, in the order of weight; [] if nothing is.

    progress: called with (images looked at, images in all). Raises I2IError if there is no such folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise I2IError(f"The folder {folder} does not exist.")
    paths = images.find(folder)
    if not paths:
        return [Finding("empty", f"{folder} holds no images.")]
    seen: list[_Seen] = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for one in pool.map(lambda p: _look(p, folder), paths):
            seen.append(one)
            if progress:
                progress(len(seen), len(paths))
    found = [Finding("unreadable", s.error, (s.name,)) for s in seen if s.error]
    good = [s for s in seen if not s.error]
    return found + _partners(folder) + _splits_and_copies(good) + _surprises(good)


def _look(path: Path, folder: Path) -> _Seen:
    name = path.relative_to(folder).as_posix()
    seen = _Seen(path, name, _split(name))
    try:
        with images.opened(path) as image:
            seen.size, seen.channels = image.size, images.natural_channels(image)
            plain = images.convert(image, 3, source=path)
            seen.digest = hashlib.sha256(repr(plain.size).encode() + plain.tobytes()).digest()
            seen.look, seen.raster = _hash(plain)
    except I2IError as error:
        seen.error = str(error)
    return seen


def _hash(image: Image.Image) -> tuple[int, np.ndarray | None]:
    """128 bits that change little when an image is scaled or compressed again: whether brightness rises from left to
    right (64) and from top to bottom (64) on a 9 x 9 raster; and a 16 x 16 raster, None for an image of one colour."""
    grey = image.convert("L")
    raster = np.asarray(grey.resize((9, 9), Image.Resampling.BOX), np.int16)
    bits = np.concatenate([(np.diff(raster, axis=1)[:8] > 0).ravel(), (np.diff(raster, axis=0)[:, :8] > 0).ravel()])
    fine = np.asarray(grey.resize((16, 16), Image.Resampling.BOX), np.int16)
    return int.from_bytes(np.packbits(bits).tobytes(), "big"), fine if raster.std() >= 4 else None


def _split(name: str) -> str:
    """train, val or test, from the folders in a path; "" if none is named."""
    for part in name.split("/")[:-1]:
        for split in layouts.SPLITS:
            if part in (split, f"{split}A", f"{split}B"):
                return split
    return ""


def _side(name: str) -> str:
    """The folders of a path without its split: images of A and B may look alike on purpose."""
    parts = [p[-1] if p in {f"{s}{x}" for s in layouts.SPLITS for x in "AB"} else p for p in name.split("/")[:-1]]
    return "/".join(p for p in parts if p not in layouts.SPLITS)


def _partners(folder: Path) -> list[Finding]:
    """Images of A without one of the same name in B, where the names are meant to agree."""
    found = []
    for split in layouts.splits_of(folder):
        sides = layouts.sides_of(folder, split)
        if sides is None:
            continue
        a, b = images.find(sides[0]), images.find(sides[1])
        for side, pictures in zip(sides, (a, b), strict=True):
            if not pictures:
                found.append(Finding("empty", f"{side} holds no images."))
        names = [{p.relative_to(s).with_suffix("").as_posix() for p in ps} for s, ps in zip(sides, (a, b), strict=True)]
        if len(names[0] & names[1]) * 2 < max(1, min(map(len, names))):
            continue  # hardly a name in common: an unpaired set
        fault = layouts.match(a, b, sides)
        if isinstance(fault, I2IError):
            alone = tuple(sorted(names[0] ^ names[1]))
            found.append(Finding("partner", fault.what, alone))
    return found


def _splits_and_copies(seen: list[_Seen]) -> list[Finding]:
    found = []
    exact: dict[bytes, list[_Seen]] = defaultdict(list)
    for s in seen:
        exact[s.digest].append(s)
    for group in exact.values():
        if len(group) > 1:
            found.append(_copy(group, "the same image"))
    firsts = [g[0] for g in exact.values() if g[0].raster is not None]
    for group in _near(firsts):
        found.append(_copy(group, "nearly the same image", near=True))
    return sorted(found, key=lambda f: (f.kind != "split", not f.serious))


def _copy(group: list[_Seen], what: str, near: bool = False) -> Finding:
    names = tuple(s.name for s in group)
    splits = sorted({s.split for s in group if s.split})
    listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    if len(splits) > 1:
        return Finding("split", f"{what} in {' and '.join(splits)}: {listed}", names, serious=not near)
    return Finding("near duplicate" if near else "duplicate", f"{what}: {listed}", names, serious=False)


def _near(seen: list[_Seen]) -> list[list[_Seen]]:
    """Groups of images of one side whose hashes differ in at most NEAR bits.

    Two such hashes agree in at least one of NEAR + 1 bands of bits, so only images that share a band are compared."""
    edges = np.linspace(0, 128, NEAR + 2).astype(int)
    bands: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for i, s in enumerate(seen):
        side = _side(s.name)
        for k, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
            bands[side, k, (s.look >> low) & ((1 << (high - low)) - 1)].append(i)
    parent = list(range(len(seen)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    looks = np.array([[s.look >> 64, s.look & (2**64 - 1)] for s in seen], np.uint64).reshape(-1, 2)
    for members in bands.values():
        for n, i in enumerate(members[:-1]):
            rest = members[n + 1 :]
            distance = np.bitwise_count(looks[rest] ^ looks[i]).sum(1)
            for j in np.flatnonzero(distance <= NEAR).tolist():
                if _alike(seen[i], seen[rest[j]]):
                    parent[root(rest[j])] = root(i)
    groups: dict[int, list[_Seen]] = defaultdict(list)
    for i, s in enumerate(seen):
        groups[root(i)].append(s)
    return [g for g in groups.values() if len(g) > 1]


def _alike(a: _Seen, b: _Seen) -> bool:
    """Whether two rasters differ by less than three levels on the average."""
    return a.raster is not None and b.raster is not None and bool(np.abs(a.raster - b.raster).mean() < 3)


def _surprises(seen: list[_Seen]) -> list[Finding]:
    """Images whose size, shape or channels differ from nearly all others of their side."""
    found = []
    sides: dict[str, list[_Seen]] = defaultdict(list)
    for s in seen:
        sides[_side(s.name)].append(s)
    for group in sides.values():
        for kind, of in (("size", lambda s: s.size), ("channels", lambda s: s.channels)):
            counts: Counter[object] = Counter(of(s) for s in group)
            usual, often = counts.most_common(1)[0]
            if often < 0.8 * len(group):
                continue  # no size is usual here
            for s in group:
                if of(s) != usual:
                    value, norm = (f"{v[0]}x{v[1]}" if isinstance(v, tuple) else f"{v}" for v in (of(s), usual))
                    text = f"{s.name} has {kind} {value}, nearly all others {norm}."
                    found.append(Finding(kind, text, (s.name,), serious=False))
        for s in group:
            if min(s.size) < 8:
                text = f"{s.name} has {s.size[0]}x{s.size[1]} pixels: nothing can be learnt from it."
                found.append(Finding("size", text, (s.name,), serious=False))
            elif max(s.size) > 8 * min(s.size):
                text = f"{s.name} has {s.size[0]}x{s.size[1]} pixels: squeezed to a square, it is unrecognisable."
                found.append(Finding("size", text, (s.name,), serious=False))
    return found
