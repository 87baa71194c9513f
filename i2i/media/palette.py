"""Palettes of label maps: which colors stand for which class.

A palette is a file of lines with a name and one or more colors, or the colors that label maps themselves have:

    sky    #4682b4
    car    #00008e #00008f      # two cars: one class, and an edge where they touch
    road   128 64 128           # also: road,128,64,128, as class_dict.csv files have it
    7                           # gray label maps: one level each

As text, in settings and in saved models: `colors:sky=4682b4,car=00008e|00008f`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from i2i.core.errors import I2IError
from i2i.core.files import open_regular

PREFIX = "colors:"
MOST = 1024  # colors; auto finds at most 256
MOST_FOUND = 256
OUTSIDE = re.compile(
    r"([\d,]+) of ([\d,]+) pixels \([^)]*\) have colors that the palette lacks, such as (#\w+): [^.]*\."
)
_HEX = re.compile(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{2})\Z")
_LEVEL = re.compile(r"[0-9]{1,3}")  # a part of a color, 0 to 255


@dataclass(frozen=True)
class Palette:
    """Colors of classes. colors: levels 0 to 255, all of one number (gray) or of three; classes: the class of each
    color; names: of the classes, in their order, which may be empty.

    Raises I2IError if there are fewer than two classes, more than `MOST` colors, or a color twice."""

    colors: tuple[tuple[int, ...], ...]
    classes: tuple[int, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) < 2 or len(self.colors) > MOST:
            raise I2IError(
                f"The palette has {len(self.names)} classes and {len(self.colors)} colors.",
                f"Allowed: 2 classes or more, and up to {MOST} colors.",
            )
        if len({len(color) for color in self.colors}) > 1:
            raise I2IError("The palette has gray levels and colors.", "Give one number for each color, or three.")
        if len(set(self.colors)) < len(self.colors):
            twice = next(c for c in self.colors if self.colors.count(c) > 1)
            raise I2IError(f"The palette has the color {shown(twice)} twice.", "Give each color to one class.")

    @property
    def channels(self) -> int:
        """1 for gray label maps, 3 for colored ones."""
        return len(self.colors[0])

    @property
    def count(self) -> int:
        """The number of classes."""
        return len(self.names)

    @property
    def text(self) -> str:
        """The palette as text, which `of_text` reads."""
        parts = []
        for number, name in enumerate(self.names):
            own = "|".join(shown(c)[1:] for c, k in zip(self.colors, self.classes, strict=True) if k == number)
            parts.append(f"{name}={own}" if name else own)
        return PREFIX + ",".join(parts)

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[str, list[tuple[int, ...]]]]) -> Palette:
        """A palette of (name, colors) of each class."""
        listed = list(rows)
        colors = tuple(color for _, own in listed for color in own)
        classes = tuple(k for k, (_, own) in enumerate(listed) for _ in own)
        return cls(colors, classes, tuple(re.sub(r"[,=|\s]+", "_", name)[:60] for name, _ in listed))

    @classmethod
    def of_text(cls, text: str) -> Palette:
        """The palette that `text` names. Raises I2IError if it is none."""
        rows = []
        for part in text.removeprefix(PREFIX).split(","):
            name, _, own = part.rpartition("=")
            colors = [_HEX.match(f"#{value}") for value in own.split("|")]
            if not all(colors):
                raise I2IError(f"{part[:40]!r} describes no class.", "Write NAME=RRGGBB or NAME=RRGGBB|RRGGBB.")
            rows.append((name, [_levels(c[1]) for c in colors if c]))
        return cls.of_rows(rows)

    @classmethod
    def read(cls, path: str | Path) -> Palette:
        """The palette in a file. Raises I2IError naming the line that is none."""
        try:
            with open_regular(Path(path)) as file:
                lines = file.read(1 << 20).decode().splitlines()
        except FileNotFoundError:
            raise I2IError(f"The palette {path} does not exist.", "Give a text file, or palette=auto.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise I2IError(
                f"The palette {path} cannot be read: {error}.", "Give a text file, or palette=auto."
            ) from None
        rows = []
        for number, line in enumerate(lines, 1):
            words = [w for w in re.split(r"[,;:\s]+", re.sub(r"(^|\s)(//|#\s|#$).*", "", line)) if w]
            if not words:
                continue
            found = [m for w in words if (m := _HEX.match(w))]
            levels = [int(w) for w in words if _LEVEL.fullmatch(w)]
            name = " ".join(w for w in words if not _HEX.match(w) and not _LEVEL.fullmatch(w))
            colors = [_levels(m[1]) for m in found] or ([tuple(levels)] if len(levels) in (1, 3) else [])
            if number == 1 and not colors:
                continue  # a heading, such as name,r,g,b
            if not colors or max(max(c) for c in colors) > 255:
                raise I2IError(
                    f"Line {number} of {path} names no color: {line.strip()[:60]!r}.",
                    "Write a name and colors as #rrggbb, or three numbers from 0 to 255.",
                )
            rows.append((name, colors))
        return cls.of_rows(rows)

    @classmethod
    def of_images(cls, arrays: Iterable[tuple[str, np.ndarray]]) -> Palette:
        """The palette of all colors in label maps, given as (name of the file, uint8 [H, W, 1 or 3]), ascending.

        Raises I2IError naming the file with which they are more than `MOST_FOUND`."""
        codes: set[int] = set()
        channels = 3
        for name, array in arrays:
            channels = array.shape[2]
            codes |= set(np.unique(_codes(array)).tolist())
            if len(codes) > MOST_FOUND:
                raise I2IError(
                    f"The sources have more than {MOST_FOUND} colors (seen at {name}), so they are no label maps, or "
                    "JPEG has changed their colors.",
                    "Give their colors in a file, palette=FILE, or save them as PNG.",
                )
        shifts = (16, 8, 0) if channels == 3 else (0,)
        return cls.of_rows(("", [tuple(code >> s & 255 for s in shifts)]) for code in sorted(codes))

    @cached_property
    def _known(self) -> np.ndarray:
        """The codes of all colors, ascending."""
        return np.unique(_codes(np.array(self.colors, np.uint8)[None]))

    def outside(self, array: np.ndarray) -> tuple[int, str]:
        """How many pixels of a label map, uint8 [H, W, channels], have no color of the palette, and one such color."""
        codes = _codes(array)
        at = np.searchsorted(self._known, codes).clip(max=len(self._known) - 1)
        wrong = self._known[at] != codes
        count = int(wrong.sum())
        if not count:
            return 0, ""
        row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
        return count, shown(tuple(array[row, column].tolist()))


def shown(color: tuple[int, ...]) -> str:
    """A color as #rrggbb, a gray level as #rr."""
    return "#" + "".join(f"{level:02x}" for level in color)


def outside_note(count: int, total: int, example: str, images: int = 1) -> str:
    """The sentence about pixels that have no color of the palette."""
    where = f" of {images:,} images" if images > 1 else ""
    share = 100 * count / total
    percent = f"{share:.1f}" if share >= 0.1 else "under 0.1"
    return (
        f"{count:,} of {total:,} pixels{where} ({percent} %) have colors that the palette lacks, such as {example}: "
        "the nearest color was taken."
    )


def _levels(digits: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(digits))


def _codes(array: np.ndarray) -> np.ndarray:
    """Levels [H, W, 1 or 3] as one number each, [H, W]."""
    wide = array.astype(np.int32)
    return wide[..., 0] if array.shape[-1] == 1 else wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
