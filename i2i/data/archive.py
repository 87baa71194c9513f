"""Archives unpacked with limits: no path out of the folder, no links, no bombs."""

from __future__ import annotations

import errno
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from i2i.core.errors import I2IError
from i2i.core.files import atomic_folder
from i2i.core.progress import Progress
from i2i.data.connection import CHUNK

MAX_FILES = 5_000_000  # and folders
MAX_BYTES = 200 * 10**9  # of an unpacked archive
MAX_RATIO = 200  # unpacked bytes for each packed byte, above RATIO_FREE
RATIO_FREE = 100 * 10**6
MAX_DEPTH = 32  # folders within each other
FILES_FREE = 10_000  # files and folders, above which each must take some room in the archive:
BYTES_PER_FILE = 50  # packed
MAX_HEADER = 1 << 20  # bytes of the tar headers that hold the long names of an entry, or of all; they are read at once
MAX_DIRECTORY = 1 << 25  # bytes of the directory of a zip file, which is read at once
SHOWN = 60  # characters of a name in a message
# What a new, empty folder refuses because of the names in an archive, and not because of the disk.
OF_NAMES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


class DamagedArchive(I2IError):
    """An archive that is damaged or hostile: it helps to fetch it again, but not to read it again."""


def extract(
    archive: str | Path,
    dest: str | Path,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
    progress: Progress | None = None,
) -> Path:
    """Unpacks a .zip or .tar file (any compression) into the new folder `dest`, which appears when all is unpacked.

    Refuses paths that lead out of the folder, links, devices, two entries of one name, and more files and folders,
    bytes, bytes for each packed byte, or folders within each other than the limits. Raises DamagedArchive for what is
    wrong with the archive, and I2IError for what is wrong with the disk; nothing is left at `dest` then.
    """
    archive, dest = Path(archive), Path(dest)
    if dest.exists():
        raise I2IError(f"{dest} exists already.")
    limits = _Limits(archive, max_files, max_bytes, max_ratio, progress)
    try:
        with atomic_folder(dest, sync=False) as temporary:  # thousands of files, which can be unpacked again
            if zipfile.is_zipfile(archive):
                _unzip(archive, temporary, limits)
            else:
                _untar(archive, temporary, limits)
    except I2IError:
        raise
    except Exception as error:  # unpackers raise errors of many kinds on damaged data
        if isinstance(error, OSError) and error.errno and error.errno not in OF_NAMES:
            raise I2IError(f"{archive} cannot be unpacked to {dest}: {error.strerror}.") from error
        reason = getattr(error, "strerror", None) or str(error)[:200] or type(error).__name__
        raise DamagedArchive(f"{archive} cannot be unpacked: {reason}.", "It is damaged or hostile.") from error
    return dest


class _Limits:
    """Counts files and bytes while an archive is unpacked, and refuses it above the limits."""

    def __init__(
        self, archive: Path, max_files: int, max_bytes: int, max_ratio: float, progress: Progress | None
    ) -> None:
        self.archive, self.progress = archive, progress
        self.packed = archive.stat().st_size
        self.max_files = min(max_files, max(FILES_FREE, self.packed // BYTES_PER_FILE))
        self.max_bytes = min(max_bytes, max(int(self.packed * max_ratio), RATIO_FREE))
        self.files = self.bytes = 0
        self.names: set[str] = set()
        self.folders: set[PurePosixPath] = set()

    def file(self, path: PurePosixPath) -> None:
        """Counts a file and the folders that it lies in."""
        folded = str(path).casefold()
        if folded in self.names:
            self.refuse(f"it holds {_short(str(path))} twice")
        self.names.add(folded)
        self._count()
        self.folder(path.parent)

    def folder(self, path: PurePosixPath) -> None:
        """Counts a folder and those that it lies in, each once."""
        while path.parts and path not in self.folders:
            self.folders.add(path)
            self._count()
            path = path.parent

    def _count(self) -> None:
        self.files += 1
        if self.files > self.max_files:
            self.refuse(f"it holds more than {self.max_files:,} files and folders")

    def add(self, n: int) -> None:
        self.bytes += n
        if self.bytes > self.max_bytes:
            self.refuse(f"it unpacks to more than {self.max_bytes:,} bytes")
        if self.progress:
            self.progress(self.bytes, 0)

    def refuse(self, why: str) -> None:
        raise DamagedArchive(f"{self.archive} is refused: {why}.", "Nothing was unpacked.")

    def entry(self, name: str, is_folder: bool, is_allowed: bool) -> PurePosixPath:
        """Checks and counts an entry; returns its path inside the target. is_allowed: it is a file or a folder."""
        path = self._path(name)
        if not is_allowed:
            self.refuse(f"{_short(name)} is a link or device")
        if is_folder:
            self.folder(path)
        else:
            self.file(path)
        return path

    def _path(self, name: str) -> PurePosixPath:
        path = PurePosixPath(name.replace("\\", "/"))
        odd = path.is_absolute() or ".." in path.parts or "\0" in name or ":" in (path.parts or ("",))[0]
        if odd or any(ord(c) < 32 for c in name):
            self.refuse(f"the path {_short(name)} leads out of the folder")
        if len(path.parts) > MAX_DEPTH:
            self.refuse(f"the path {_short(name)} has more than {MAX_DEPTH} parts")
        return path


def _short(name: str) -> str:
    """A name from an archive, as a message shows it."""
    return repr(name[:SHOWN]) + ("..." if len(name) > SHOWN else "")


def _write(path: Path, source: IO[bytes], count: Callable[[int], None] = lambda size: None) -> None:
    """Writes an entry as a new file, with the modes of this process; links that are there are not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb") as target:
        while chunk := source.read(CHUNK):
            count(len(chunk))
            target.write(chunk)


# ---- zip -----------------------------------------------------------------------------------------------------------


def _unzip(archive: Path, temporary: Path, limits: _Limits) -> None:
    with _BoundedFile(archive) as raw, zipfile.ZipFile(raw) as file:
        for entry in file.infolist():
            kind = (entry.external_attr >> 16) & 0o170000  # 0: not stated
            path = limits.entry(entry.filename, entry.is_dir(), kind in (0, stat.S_IFREG, stat.S_IFDIR))
            if entry.is_dir():
                (temporary / path).mkdir(parents=True, exist_ok=True)
                continue
            with file.open(entry) as source:
                _write(temporary / path, source, limits.add)


class _BoundedFile(io.BufferedReader):
    """A file that is read in parts of a limited size: zipfile reads the directory at once, whatever size it states."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.path, self.size = path, path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        rest = max(0, self.size - self.tell())
        if (rest if size is None or size < 0 else min(size, rest)) > MAX_DIRECTORY:
            what = f"{self.path} is refused: its directory has more than {MAX_DIRECTORY:,} bytes."
            raise DamagedArchive(what, "Nothing was unpacked.")
        return super().read(size)


# ---- tar -----------------------------------------------------------------------------------------------------------


def _untar(archive: Path, temporary: Path, limits: _Limits) -> None:
    try:
        opened = _BoundedTar.open(archive, "r:*")
    except tarfile.ReadError as error:
        raise DamagedArchive(f"{archive} is no zip or tar archive.") from error
    with opened as file:
        while (entry := file.next()) is not None:
            file.members.clear()  # type: ignore[attr-defined]  # each holds its headers
            path = limits.entry(entry.name, entry.isdir(), entry.isdir() or entry.isreg())
            if entry.issparse():
                limits.refuse(f"{_short(entry.name)} is a sparse file")
            if entry.size < 0:
                limits.refuse(f"{_short(entry.name)} has a negative size")
            if entry.isdir():
                (temporary / path).mkdir(parents=True, exist_ok=True)
                continue
            limits.add(entry.size)
            source = file.extractfile(entry)
            assert source is not None
            with source:
                _write(temporary / path, source)
        # The rest: the checksum of a compressed file stands at its end.
        while file.fileobj is not None and (chunk := file.fileobj.read(CHUNK)):
            limits.add(len(chunk))


class _BoundedEntry(tarfile.TarInfo):
    """An entry whose headers are limited before they are read: long names, and the maps of sparse files.

    tarfile reads each header of long names at once, whatever size it states; those for all entries stay in memory."""

    LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)

    def _proc_member(self, file: _BoundedTar) -> tarfile.TarInfo:
        if self.size < 0:
            file.refuse("a header in it has a negative size")
        if self.type == tarfile.GNUTYPE_SPARSE:
            file.refuse(f"{_short(self.name)} is a sparse file")
        if self.type == tarfile.XGLTYPE:
            file.global_bytes += self.size
        elif self.type in self.LONG:  # several may stand before one entry
            file.header_bytes += self.size
        else:
            file.header_bytes = 0
        most = max(file.global_bytes, file.header_bytes)
        if most > MAX_HEADER:
            file.refuse(f"a header in it has {most:,} bytes")
        member: tarfile.TarInfo = super()._proc_member(file)  # type: ignore[misc]
        return member

    def _refuse_sparse(self, *words: object) -> None:
        raise DamagedArchive(f"{_short(self.name)} is a sparse file.", "Nothing was unpacked.")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


class _BoundedTar(tarfile.TarFile):
    """A tar file that counts the bytes of its headers."""

    tarinfo = _BoundedEntry
    header_bytes = global_bytes = 0

    def refuse(self, why: str) -> None:
        raise DamagedArchive(f"{self.name!s} is refused: {why}.", "Nothing was unpacked.")
