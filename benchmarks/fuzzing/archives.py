"""Archives of data sets, as `i2i data get` unpacks them: nothing may leave the folder, and no link may come out."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path
from random import Random

from fuzzing.mutate import mutate
from fuzzing.target import Case, Target, removed, rewritten
from i2i.data.archive import extract

NAMES = [
    *(
        "a.png",
        "b/c.png",
        "b/d/e.png",
        "../out.png",
        "/abs.png",
        "b/../../x",
        ".",
        "..",
        "",
        "./a.png",
        "b",
        "A.PNG",
        "c:x",
    ),
    *(
        "a\\..\\b",
        "x" * 300,
        "d/" * 40 + "e",
        "nul\0l",
        "\x1b[31m",
        "é",
        "\ud800",
        "b/c.png/d",
        "CON",
        " ",
        "a.png/",
        "~",
    ),
]
MODES = [0o100644, 0o040755, 0o120777, 0o020666, 0o060666, 0o010644, 0o140755, 0o104755, 0]
TYPES = [
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
    b"S",
    b"9",
]
PACKERS = {
    "tar": bytes,
    "tar.gz": lambda d: gzip.compress(d, mtime=0),
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}
MAX_BYTES = 50_000_000  # of an unpacked archive here


class Archives(Target):
    """Zip and tar archives, of any compression."""

    memory = 256

    def __init__(self) -> None:
        super().__init__()
        random = Random(0)
        self.zips = [zipped(random, NAMES[:3], [MODES[0]]) for _ in range(3)]
        self.tars = [
            tarred(random, NAMES[:3], [tarfile.REGTYPE], form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
        ]

    def case(self, random: Random) -> Case:
        kind = random.choice(("zip", *PACKERS))
        if random.random() < 0.3:  # entries that should not be there
            data = (
                zipped(random, NAMES, MODES)
                if kind == "zip"
                else tarred(random, NAMES, TYPES, random.choice((0, 1, 2)))
            )
        else:
            data = random.choice(self.zips if kind == "zip" else self.tars)
        if kind == "zip":
            return Case(kind, mutate(data, random, self.zips) if random.random() < 0.8 else data)
        if random.random() < 0.6:
            data = mutate(data, random, self.tars)
            data = with_checksums(data) if random.random() < 0.7 else data
        data = PACKERS[kind](data)
        return Case(kind, mutate(data, random) if random.random() < 0.5 else data)

    def run(self, case: Case) -> None:
        folder, archive = Path("a"), Path("a") / f"set.{case.kind}"
        removed(folder)
        folder.mkdir()
        rewritten(archive, case.data)
        try:
            extract(archive, folder / "set", max_bytes=MAX_BYTES)
        finally:
            others = {path.name for path in folder.iterdir()} - {archive.name, "set"}
            if others:
                raise AssertionError(f"left beside the archive: {sorted(others)}")
            for path in (folder / "set").rglob("*"):
                if path.is_symlink() or not (path.is_file() or path.is_dir()) or path.stat().st_mode & 0o7000:
                    raise AssertionError(f"{path} is no plain file")
            if Path("out.png").exists() or Path("/abs.png").exists() or Path("x").exists():
                raise AssertionError("a file came out of the folder")


def zipped(random: Random, names: list[str], modes: list[int]) -> bytes:
    """A zip archive with some of the names."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in random.choices(names, k=random.randrange(1, 6)):
            entry = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
            entry.external_attr = random.choice(modes) << 16
            entry.compress_type = random.choice(
                (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
            )
            file.writestr(entry, random.randbytes(20) * random.choice((1, 1, 1, 500)))
    return stream.getvalue()


def tarred(random: Random, names: list[str], types: list[bytes], form: int) -> bytes:
    """A tar archive with some of the names."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as file:
        for name in random.choices(names, k=random.randrange(1, 6)):
            entry = tarfile.TarInfo(
                name.encode("utf-8", "replace").decode().replace("\0", "")[: 99 if form == 0 else 400]
            )
            entry.type, entry.mode = random.choice(types), random.choice((0o644, 0o4755, 0, 0o7777))
            entry.linkname = random.choice(("", "/etc/passwd", "a.png", "..", "../.."))
            content = random.randbytes(20) * random.choice((1, 1, 1, 500)) if entry.isreg() else b""
            entry.size = len(content)
            if form == tarfile.PAX_FORMAT and random.random() < 0.2:
                key = random.choice(("path", "size", "mtime", "GNU.sparse.size", "GNU.sparse.map", "uid", "charset"))
                entry.pax_headers = {key: random.choice(("0", "-1", "9" * 30, "nan", "../x", "1,2,3"))}
            file.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def with_checksums(data: bytes) -> bytes:
    """A tar archive whose headers have the checksums that their content asks for."""
    array = bytearray(data)
    for at in range(0, len(array) - 511, 512):
        block = array[at : at + 512]
        if block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            array[at + 148 : at + 156] = b"%06o\0 " % sum(block)
    return bytes(array)
