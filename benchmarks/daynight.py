"""Makes the data set `daynight` from NASA's world images: A by day, B by night, tiles of 64 pixels, or of 128.

Both images are in the public domain (NASA asks for credit). They come from a Debian package; `apt-get` needs no rights
for this. The second line makes the tiles that are shipped as `datasets/daynight`, the third larger ones:

    apt-get download marble-qt-data
    python benchmarks/daynight.py marble-qt-data_*.deb tiles64/
    python benchmarks/daynight.py marble-qt-data_*.deb tiles128/ --side 128

The longitude decides the split: 24.8 to 41.9 E is test, 93.3 to 110.4 E is val, and the rest is train. Val and test
hold the same places in A and B, under the same names. Train is divided like a chessboard: white squares give tiles of
A, black ones tiles of B, so that no place is in both. Tiles lie between 60 N and 50 S and hold at least a quarter of
land and some lights. South America is left out. The name of a file is the center of its tile.
"""

from __future__ import annotations

import argparse
import io
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = "./usr/share/marble/data/maps/earth"
PER_DEGREE = 7.5  # pixels
TOP, BOTTOM = 225, 1050  # 60 N to 50 S, in pixels
TEST, VAL = (1536, 1664), (2048, 2176)  # 24.8 to 41.9 E and 93.3 to 110.4 E
# Columns of the chessboard, between val and test: start, end, and how many squares wide.
TRAIN = {64: ((0, 1536, 12), (1664, 2048, 3), (2176, 2688, 4)), 128: ((0, 1536, 8), (1664, 2048, 2), (2176, 2700, 3))}
ROWS = {64: [TOP + 128 * row for row in range(7)], 128: [TOP + 165 * row for row in range(6)]}
STRIDE = {64: 16, 128: 8}  # pixels between tiles
SOUTH_AMERICA = (640, 1152, 608)  # left, right and top
LAND, LIT = 0.25, 0.004  # least shares of a tile

Cell = tuple[str, tuple[int, int], tuple[int, int]]  # name; left and right; top and bottom, in pixels


def load(package: Path) -> dict[str, Image.Image]:
    """The world by day (A) and by night (B), 2700 x 1350 pixels, from a .deb: an ar archive with a tar inside."""
    with package.open("rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise SystemExit(f"{package} is not a Debian package. Get it: apt-get download marble-qt-data")
        while len(header := file.read(60)) == 60:
            name, size = header[:16].decode().strip(), int(header[48:58])
            data = file.read(size + size % 2)[:size]
            if name.startswith("data.tar"):
                break
    images = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for side, name in (("A", "bluemarble"), ("B", "citylights")):
            member = tar.extractfile(f"{FOLDER}/{name}/{name}.jpg")
            assert member is not None
            images[side] = Image.open(io.BytesIO(member.read())).convert("RGB")
    return images


def cells(side: int) -> Iterator[Cell]:
    """Rectangles that tiles of `side` pixels must not leave: "trainA", "trainB", or "val" and "test" for both sides."""
    yield "test", TEST, (TOP, BOTTOM)
    yield "val", VAL, (TOP, BOTTOM)
    # An odd gap between two runs of squares is one column of the board.
    first = 0
    for left, right, count in TRAIN[side]:
        edges = [left + (right - left) * i // count for i in range(count + 1)]
        for i in range(count):
            for row, (top, bottom) in enumerate(zip(ROWS[side], ROWS[side][1:], strict=False)):
                yield f"train{'AB'[(first + i + row) % 2]}", (edges[i], edges[i + 1]), (top, bottom)
        first += count + (side == 64)


def tiles(side: int, night: np.ndarray) -> Iterator[tuple[str, int, int]]:
    """The cell's name, and the left and top pixel of each tile."""
    land = night[..., 2] > 40  # land is dark violet by night, the sea is black
    lit = night.min(2) > 130
    left, right, top = SOUTH_AMERICA
    for name, columns, rows in cells(side):
        for x in range(columns[0], columns[1] - side + 1, STRIDE[side]):
            for y in range(rows[0], rows[1] - side + 1, STRIDE[side]):
                if x + side > left and x < right and y + side > top:
                    continue
                tile = slice(y, y + side), slice(x, x + side)
                if land[tile].mean() >= LAND and lit[tile].mean() >= LIT:
                    yield name, x, y


def make(package: Path, output: Path, side: int) -> Counter[str]:
    """Writes the tiles as JPEG files; how many there are in each folder."""
    images = load(package)
    count: Counter[str] = Counter()
    for cell, x, y in tiles(side, np.asarray(images["B"])):
        lat, lon = 90 - (y + side / 2) / PER_DEGREE, (x + side / 2) / PER_DEGREE - 180
        name = f"{abs(lat):04.1f}{'N' if lat >= 0 else 'S'}_{abs(lon):05.1f}{'E' if lon >= 0 else 'W'}.jpg"
        for folder in [cell] if cell.startswith("train") else [f"{cell}A", f"{cell}B"]:
            count[folder] += 1
            (output / folder).mkdir(parents=True, exist_ok=True)
            tile = images[folder[-1]].crop((x, y, x + side, y + side))
            tile.save(output / folder / name, quality=92, subsampling=0, optimize=True)
    return count


def main() -> None:
    """Reads the package, writes the tiles, and says how many there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the file marble-qt-data_*.deb")
    parser.add_argument("output", type=Path, help="folder for the tiles")
    parser.add_argument("--side", type=int, choices=(64, 128), default=64, help="of a tile, in pixels; default: 64")
    words = parser.parse_args()
    count = make(words.package, words.output, words.side)
    print(", ".join(f"{folder}: {count[folder]}" for folder in sorted(count)))


if __name__ == "__main__":
    main()
