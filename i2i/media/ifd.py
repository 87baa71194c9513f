"""The directories (IFD) of TIFF files and of EXIF blocks, which have the same structure: fields copied byte by byte.

No text is decoded, so none can lose letters; a field with a bad type or place costs nothing but itself.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

ORIENTATION, EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x0112, 0x8769, 0x8825, 0xA005  # tags
POINTERS = (EXIF_IFD, GPS_IFD, INTEROP_IFD)  # tags whose value is the place of another directory
XMP, IPTC, PHOTOSHOP = 700, 33723, 34377  # tags whose values are bytes, whatever type is stated
BYTE, SHORT, LONG, UNDEFINED = 1, 3, 4, 7  # types
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
UNITS = {5: 4, 10: 4}  # bytes of a number, where a value is two of them
BIG_TYPES = (16, 17, 18)  # only BigTIFF has them
MOST_FIELDS, MOST_DIRECTORIES = 4096, 10_000  # of a directory, of a file
MOST_BYTES = 1 << 26  # of all values that are read; in a hostile file many fields share the same long value


@dataclass(frozen=True)
class Field:
    """One field: its TIFF type, the number of its values, and their bytes, little-endian."""

    kind: int
    count: int
    value: bytes = b""
    directory: Directory | None = None  # of a pointer: the fields of the directory that it leads to


Directory = dict[int, Field]  # tag -> field
Read = Callable[[int, int], bytes]  # (place, number of bytes) -> bytes, fewer at the end of the file


class Entry(NamedTuple):
    """Where a field stands."""

    tag: int
    kind: int
    values: int
    at: int  # place of its entry in the directory
    value_at: int  # place of its value: in the entry, or behind the directory
    size: int  # bytes of its value; 0 if the type is unknown


class Structure:
    """A TIFF file or an EXIF block, read at places. Raises ValueError if it is neither.

    most: bytes of all values that are read, of all directories together; later fields are left out."""

    def __init__(self, read: Read, most: float = MOST_BYTES) -> None:
        self.read = read
        self.room = most
        head = read(0, 16)
        self.order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        if len(head) < 8 or not self.order or self.number(head[2:4]) not in (42, 43):
            raise ValueError("no TIFF structure")
        self.is_big = self.number(head[2:4]) == 43
        self.first = self.number(head[8:16] if self.is_big else head[4:8])

    def number(self, data: bytes) -> int:
        """An unsigned number in the byte order of the file."""
        return int.from_bytes(data, "little" if self.order == "<" else "big")

    def entries(self, at: int) -> tuple[list[Entry], int]:
        """The entries of the directory at a place, and the place where that of the next directory is written.

        Entries behind the end of the file are left out. Raises ValueError if there is no directory."""
        start, width, inline = (8, 20, 8) if self.is_big else (2, 12, 4)
        head = self.read(at, start)
        count = self.number(head)
        if at < 8 or len(head) < start or count > MOST_FIELDS:
            raise ValueError("no directory")
        data = self.read(at + start, count * width)
        entries = []
        for i in range(len(data) // width):
            entry = data[i * width : (i + 1) * width]
            tag, kind, number = self.number(entry[:2]), self.number(entry[2:4]), self.number(entry[4:-inline])
            size = SIZES.get(kind, 0) * number
            entry_at = at + start + i * width
            value_at = entry_at + width - inline if size <= inline else self.number(entry[-inline:])
            entries.append(Entry(tag, kind, number, entry_at, value_at, size))
        return entries, at + start + count * width

    def directory(self, at: int, wanted: Callable[[int], bool] = lambda tag: True, depth: int = 0) -> Directory:
        """The readable fields of the directory at a place; pointers lead to the directories below it."""
        fields: Directory = {}
        for tag, kind, count, _, value_at, size in self.entries(at)[0]:
            if not wanted(tag) or not size or tag in fields:
                continue
            value = self.read(value_at, size) if size <= self.room else b""
            if len(value) < size:
                continue
            self.room -= size
            if tag in POINTERS:
                try:
                    below = self.directory(self.number(value), depth=depth + 1) if depth < len(POINTERS) else {}
                except ValueError:
                    below = {}
                if below:
                    fields[tag] = Field(LONG, 1, directory=below)
            elif tag in (XMP, IPTC, PHOTOSHOP):
                fields[tag] = Field(UNDEFINED, size, value)
            elif kind not in BIG_TYPES:
                fields[tag] = Field(kind, count, self._little(kind, value))
        return fields

    def pages(self) -> Iterator[int]:
        """The places of the directories of all pages."""
        at, seen = self.first, set[int]()
        while at and at not in seen and len(seen) < MOST_DIRECTORIES:
            seen.add(at)
            yield at
            try:
                place = self.entries(at)[1]
            except ValueError:
                return
            at = self.number(self.read(place, 8 if self.is_big else 4))

    def _little(self, kind: int, value: bytes) -> bytes:
        unit = UNITS.get(kind, SIZES[kind])
        if self.order == "<" or unit == 1:
            return value
        return b"".join(value[i : i + unit][::-1] for i in range(0, len(value), unit))


def reader_of(data: bytes | bytearray | memoryview) -> Read:
    """Reads at places of bytes in memory."""
    return lambda place, size: bytes(data[place : place + size]) if place >= 0 else b""


# ---- writing -------------------------------------------------------------------------------------------------------


def written(directory: Directory, at: int, following: int = 0) -> bytes:
    """A little-endian directory that stands at an even place, with its values and the directories below it behind it.

    following: the place of the next directory."""
    entries, behind = b"", b""
    end = at + 2 + 12 * len(directory) + 4
    for tag, field in sorted(directory.items()):
        value = field.value
        if field.directory is not None:
            place = end + len(behind)
            value = struct.pack("<I", place)
            behind += written(field.directory, place)
        elif len(value) > 4:
            behind, value = behind + value + bytes(len(value) % 2), struct.pack("<I", end + len(behind))
        entries += struct.pack("<HHI", tag, field.kind, field.count) + value.ljust(4, b"\0")
    return struct.pack("<H", len(directory)) + entries + struct.pack("<I", following) + behind


def block(directory: Directory) -> bytes:
    """An EXIF block that holds a directory."""
    return b"II*\0" + struct.pack("<I", 8) + written(directory, 8)


def with_fields(data: bytes, pages: Sequence[Directory]) -> bytes:
    """A little-endian TIFF file whose pages have more fields; those that they have stay as they are."""
    if not any(pages):
        return data
    file = Structure(reader_of(data), most=math.inf)  # the file is our own: no field of it may be left out
    result = bytearray(data)
    link = 4  # where the place of the next page's directory is written
    for at, more in zip(list(file.pages()), pages):
        place = file.entries(at)[1]
        if more:
            result += bytes(len(result) % 2)
            following = file.number(bytes(result[place : place + 4]))
            struct.pack_into("<I", result, link, len(result))
            fields = {**more, **file.directory(at)}
            link = len(result) + 2 + 12 * len(fields)
            result += written(fields, len(result), following)
        else:
            link = place
    return bytes(result)


# ---- changes in place ----------------------------------------------------------------------------------------------


def set_number(data: bytearray, file: Structure, entry: Entry, value: int) -> None:
    """Makes an entry hold one unsigned number, whatever it held before."""
    kind = LONG if value > 0xFFFF or (entry.kind == LONG and entry.values == 1) else SHORT
    number = struct.pack(file.order + ("I" if kind == LONG else "H"), value).ljust(4, b"\0")
    struct.pack_into(f"{file.order}HHI4s", data, entry.at, entry.tag, kind, 1, number)


def remove(data: bytearray, file: Structure, at: int, tag: int) -> None:
    """Removes the entry of a tag from the directory at a place; all values stay where they are."""
    entries, end = file.entries(at)
    for entry in entries:
        if entry.tag == tag:
            data[entry.at : end + 4] = data[entry.at + 12 : end + 4] + bytes(12)
            struct.pack_into(f"{file.order}H", data, at, len(entries) - 1)
            return
