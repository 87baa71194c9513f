"""Faults of a folder of images, found before training: `i2i data check`."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from i2i.core.errors import I2IError
from i2i.core.machine import cpu_count
from i2i.core.progress import Progress
from i2i.data import folder_names, layouts
from i2i.media import images, pixels

TWO_PILES = "train with cyclegan, cut or unsb"
NEAR = 6  # of 128 bits that may differ between near duplicates


@dataclass(frozen=True)
class Finding:
    """One fault. An error (`serious`) stops training or spoils its result; a warning is worth a look."""

    kind: str  # unreadable, partner, labels, empty, left out, size, channels, duplicate, near duplicate, split
    text: str
    files: tuple[str, ...] = ()
    serious: bool = True

    @property
    def severity(self) -> str:
        """ "error" or "warning"."""
        return "error" if self.serious else "warning"

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass
class _Image:
    path: Path
    name: str
    split: str
    size: tuple[int, int] = (0, 0)
    channels: int = 0
    digest: bytes = b""  # of the decoded pixels: a copy in another format or with other EXIF is the same image
    hash: int = 0  # perceptual hash, 128 bits
    raster: np.ndarray | None = None  # 16 x 16 grey levels, which confirm or reject what the hash suspects
    error: str = ""


def check(folder: str | Path, progress: Progress | None = None) -> list[Finding]:
    """Reads every image under `folder` and returns its faults, the gravest first; [] if there are none.

    progress: called with (images read, images in all). Raises I2IError if there is no such folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise I2IError(f"The folder {folder} does not exist.")
    others: list[Path] = []
    paths = images.find_images(folder, others=others)
    line = layouts.left_out(others)
    if not paths:
        return [Finding("empty", f"{folder} holds no images. {line}".strip())]
    checked: list[_Image] = []
    with ThreadPoolExecutor(min(8, cpu_count())) as pool:
        for one in pool.map(lambda p: _read(p, folder), paths):
            checked.append(one)
            if progress:
                progress(len(checked), len(paths))
    findings = [Finding("unreadable", s.error, (s.name,)) for s in checked if s.error]
    good = [s for s in checked if not s.error]
    findings += [Finding("left out", line, serious=False)] if line else []
    return findings + _partners(folder) + _splits_and_copies(good) + _surprises(good)


def _read(path: Path, folder: Path) -> _Image:
    name = path.relative_to(folder).as_posix()
    checked = _Image(path, name, _split(name))
    try:
        with images.open_image(path, load=False) as image:
            checked.channels = images.natural_channels(image)
            plain = pixels.plain(path, image, 3)
            checked.size = plain.size
            checked.digest = hashlib.sha256(repr(plain.size).encode() + plain.tobytes()).digest()
            checked.hash, checked.raster = _hash(plain)
    except I2IError as error:
        checked.error = str(error)
    return checked


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
        if split := folder_names.split_of(part)[0]:
            return split
    return ""


def _side(name: str) -> str:
    """The folders of a path without its split: images of A and B may look alike on purpose."""
    sides = [folder_names.split_of(part) for part in name.split("/")[:-1]]
    parts = [side if split else part for part, (split, side) in zip(name.split("/")[:-1], sides, strict=True)]
    return "/".join(part for part in parts if part)


def _partners(folder: Path) -> list[Finding]:
    """Images of A without one of the same name in B, where the names are meant to agree."""
    findings = [Finding("split", note, serious=False) for note in folder_names.split_notes(folder)]
    for split in folder_names.splits_of(folder):
        sides = folder_names.sides_of(folder, split)
        if sides is not None:
            findings += check_partners(sides)
    return findings


def check_partners(sides: tuple[Path, Path]) -> list[Finding]:
    """Images of the folder A without one of the same name in B, or the other way round, if most names agree."""
    findings = []
    a, b = images.find_images(sides[0]), images.find_images(sides[1])
    for side, paths in zip(sides, (a, b), strict=True):
        if not paths:
            findings.append(Finding("empty", f"{side} holds no images."))
    names = [{layouts.pair_key(p, s) for p in ps} for s, ps in zip(sides, (a, b), strict=True)]
    if len(names[0] & names[1]) * 2 < max(1, min(map(len, names))):
        return findings  # hardly a name in common: an unpaired set
    fault = layouts.match(a, b, sides)
    if isinstance(fault, I2IError):
        alone = tuple(sorted(names[0] ^ names[1]))
        text = f"{fault.what} If A and B are two piles of images without pairs, this is no fault: {TWO_PILES}."
        findings.append(Finding("partner", text, alone))
    return findings


def _splits_and_copies(checked: list[_Image]) -> list[Finding]:
    findings = []
    exact: dict[bytes, list[_Image]] = defaultdict(list)
    for s in checked:
        exact[s.digest].append(s)
    for group in exact.values():
        if len(group) > 1:
            findings.append(_copy(group, "the same image"))
    firsts = [g[0] for g in exact.values() if g[0].raster is not None]
    for group in _near(firsts):
        findings.append(_copy(group, "nearly the same image", near=True))
    return sorted(findings, key=lambda f: (f.kind != "split", not f.serious))


def _copy(group: list[_Image], what: str, near: bool = False) -> Finding:
    names = tuple(s.name for s in group)
    splits = sorted({s.split for s in group if s.split})
    listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    if len(splits) > 1:
        return Finding("split", f"{what} in {' and '.join(splits)}: {listed}", names, serious=not near)
    return Finding("near duplicate" if near else "duplicate", f"{what}: {listed}", names, serious=False)


def _near(checked: list[_Image]) -> list[list[_Image]]:
    """Groups of images of one side whose hashes differ in at most NEAR bits.

    Two such hashes agree in at least one of NEAR + 1 bands of bits, so only images that share a band are compared."""
    edges = np.linspace(0, 128, NEAR + 2).astype(int)
    bands: dict[tuple[str, int, int], list[int]] = defaultdict(list)
    for i, s in enumerate(checked):
        side = _side(s.name)
        for k, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
            bands[side, k, (s.hash >> low) & ((1 << (high - low)) - 1)].append(i)
    parent = list(range(len(checked)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    looks = np.array([[s.hash >> 64, s.hash & (2**64 - 1)] for s in checked], np.uint64).reshape(-1, 2)
    for members in bands.values():
        for n, i in enumerate(members[:-1]):
            rest = members[n + 1 :]
            distance = np.bitwise_count(looks[rest] ^ looks[i]).sum(1)
            for j in np.flatnonzero(distance <= NEAR).tolist():
                if _alike(checked[i], checked[rest[j]]):
                    parent[root(rest[j])] = root(i)
    groups: dict[int, list[_Image]] = defaultdict(list)
    for i, s in enumerate(checked):
        groups[root(i)].append(s)
    return [g for g in groups.values() if len(g) > 1]


def _alike(a: _Image, b: _Image) -> bool:
    """Whether two rasters differ by less than three levels on the average."""
    return a.raster is not None and b.raster is not None and bool(np.abs(a.raster - b.raster).mean() < 3)


def _surprises(checked: list[_Image]) -> list[Finding]:
    """Images whose size, shape or channels differ from nearly all others of their side."""
    findings = []
    sides: dict[str, list[_Image]] = defaultdict(list)
    for s in checked:
        sides[_side(s.name)].append(s)
    for group in sides.values():
        sizes = [f"{s.size[0]}x{s.size[1]}" for s in group]
        for kind, values in (("size", sizes), ("channels", [str(s.channels) for s in group])):
            usual, often = Counter(values).most_common(1)[0]
            if often < 0.8 * len(group):
                continue  # the group has no usual value
            for s, value in zip(group, values, strict=True):
                if value != usual:
                    text = f"{s.name} has {kind} {value}, nearly all others {usual}."
                    findings.append(Finding(kind, text, (s.name,), serious=False))
        for s in group:
            if min(s.size) < 8:
                text = f"{s.name} has {s.size[0]}x{s.size[1]} pixels: too few to learn from."
                findings.append(Finding("size", text, (s.name,), serious=False))
            elif max(s.size) > 8 * min(s.size):
                text = f"{s.name} has {s.size[0]}x{s.size[1]} pixels: too narrow to be squeezed into a square."
                findings.append(Finding("size", text, (s.name,), serious=False))
    return findings
