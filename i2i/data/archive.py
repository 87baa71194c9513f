"""Archives unpacked with limits: no path out of the folder, no links, no bombs."""

from __future__ import annotations

import errno
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from i2i.core.errors import I2IError
from i2i.core.files import atomic_folder
from i2i.core.progress import Progress
from i2i.data.connection import CHUNK

MAX_FILES = 5_000_000  # and folders
MAX_BYTES = 200 * 10**9  # of an unpacked archive
MAX_RATIO = 200  # unpacked bytes for each packed byte, above RATIO_FREE
RATIO_FREE = 100 * 10**6
MAX_DEPTH = 32  # folders within each other
MAX_HEADER = 1 << 20  # bytes of a tar header that holds long names; they are read at once
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
        reason = str(error) or type(error).__name__
        raise DamagedArchive(f"{archive} cannot be unpacked: {reason}.", "It is damaged or hostile.") from error
    return dest


class _Limits:
    """Counts files and bytes while an archive is unpacked, and refuses it above the limits."""

    def __init__(
        self, archive: Path, max_files: int, max_bytes: int, max_ratio: float, progress: Progress | None
    ) -> None:
        self.archive, self.progress = archive, progress
        self.packed = archive.stat().st_size
        self.max_files = max_files
        self.max_bytes = min(max_bytes, max(int(self.packed * max_ratio), RATIO_FREE))
        self.files = self.bytes = 0
        self.names: set[str] = set()
        self.folders: set[PurePosixPath] = set()

    def file(self, path: PurePosixPath) -> None:
        """Counts a file and the folders that it lies in."""
        folded = str(path).casefold()
        if folded in self.names:
            self.refuse(f"it holds {str(path)!r} twice")
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

    def path(self, name: str) -> PurePosixPath:
        """The entry's path inside the target, checked."""
        path = PurePosixPath(name.replace("\\", "/"))
        odd = path.is_absolute() or ".." in path.parts or "\0" in name or ":" in (path.parts or ("",))[0]
        if odd or any(ord(c) < 32 for c in name):
            self.refuse(f"the path {name!r} leads out of the folder")
        if len(path.parts) > MAX_DEPTH:
            self.refuse(f"the path {name[:60]!r}... has more than {MAX_DEPTH} parts")
        return path


def _unzip(archive: Path, temporary: Path, limits: _Limits) -> None:
    with zipfile.ZipFile(archive) as file:
        for entry in file.infolist():
            path = limits.path(entry.filename)
            kind = (entry.external_attr >> 16) & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                limits.refuse(f"{entry.filename!r} is a link or device")
            if entry.is_dir():
                limits.folder(path)
                (temporary / path).mkdir(parents=True, exist_ok=True)
                continue
            limits.file(path)
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            with file.open(entry) as source, open(temporary / path, "xb") as target:
                while chunk := source.read(CHUNK):
                    limits.add(len(chunk))
                    target.write(chunk)


def _untar(archive: Path, temporary: Path, limits: _Limits) -> None:
    try:
        opened = tarfile.open(archive, "r:*", tarinfo=_BoundedEntry)  # noqa: SIM115 (closed by the with below)
    except tarfile.ReadError as error:
        raise DamagedArchive(f"{archive} is no zip or tar archive.") from error
    with opened as file:
        while (entry := file.next()) is not None:
            file.members.clear()  # type: ignore[attr-defined]  # each holds its headers
            path = limits.path(entry.name)
            if not (entry.isreg() or entry.isdir()):
                limits.refuse(f"{entry.name!r} is a link or device")
            if entry.issparse():
                limits.refuse(f"{entry.name!r} is a sparse file")
            if entry.isreg():
                limits.file(path)
                limits.add(entry.size)
            else:
                limits.folder(path)
            file.extract(entry, temporary, filter="data")
        # The rest: the checksum of a compressed file stands at its end.
        while file.fileobj is not None and (chunk := file.fileobj.read(CHUNK)):
            limits.add(len(chunk))


class _BoundedEntry(tarfile.TarInfo):
    """An entry whose headers of long names are limited; tarfile reads each of them at once, whatever size it states."""

    def _proc_member(self, file: tarfile.TarFile) -> tarfile.TarInfo:
        long = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
        if self.type in (*long, tarfile.SOLARIS_XHDTYPE) and self.size > MAX_HEADER:
            what = f"{file.name!s} is refused: a header in it has {self.size:,} bytes."
            raise DamagedArchive(what, "Nothing was unpacked.")
        member: tarfile.TarInfo = super()._proc_member(file)  # type: ignore[misc]
        return member
