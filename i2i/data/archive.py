"""Archives unpacked with limits: no path out of the folder, no links, no bombs."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from i2i.core.errors import I2IError
from i2i.core.files import atomic_folder
from i2i.core.progress import Progress
from i2i.data.download import CHUNK

MAX_FILES = 5_000_000
MAX_BYTES = 200 * 10**9  # of an unpacked archive
MAX_RATIO = 200  # unpacked bytes for each packed byte, above RATIO_FREE
RATIO_FREE = 100 * 10**6


def extract(
    archive: str | Path,
    dest: str | Path,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
    progress: Progress | None = None,
) -> Path:
    """Unpacks a .zip or .tar file (any compression) into the new folder `dest`, which appears when all is unpacked.

    Refuses paths that lead out of the folder, links, devices, two entries of one name, and more files, bytes or bytes
    for each packed byte than the limits. Raises I2IError; nothing is left at `dest` then.
    """
    archive, dest = Path(archive), Path(dest)
    if dest.exists():
        raise I2IError(f"{dest} exists already.")
    limits = _Limits(archive, max_files, max_bytes, max_ratio, progress)
    try:
        with atomic_folder(dest, sync=False) as temporary:  # thousands of files, which can be unpacked again
            if zipfile.is_zipfile(archive):
                _unzip(archive, temporary, limits)
            elif tarfile.is_tarfile(archive):
                _untar(archive, temporary, limits)
            else:
                raise I2IError(f"{archive} is no zip or tar archive.")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise I2IError(f"{archive} cannot be unpacked: {error}.", "It is damaged or hostile.") from error
    except OSError as error:
        raise I2IError(f"{archive} cannot be unpacked to {dest}: {error.strerror or error}.") from error
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

    def file(self, name: str) -> None:
        self.files += 1
        if self.files > self.max_files:
            self.refuse(f"it holds more than {self.max_files:,} files")
        folded = name.casefold()
        if folded in self.names:
            self.refuse(f"it holds {name!r} twice")
        self.names.add(folded)

    def add(self, n: int) -> None:
        self.bytes += n
        if self.bytes > self.max_bytes:
            self.refuse(f"it unpacks to more than {self.max_bytes:,} bytes")
        if self.progress:
            self.progress(self.bytes, 0)

    def refuse(self, why: str) -> None:
        raise I2IError(f"{self.archive} is refused: {why}.", "Nothing was unpacked.")

    def path(self, name: str) -> PurePosixPath:
        """The entry's path inside the target, checked."""
        path = PurePosixPath(name.replace("\\", "/"))
        odd = path.is_absolute() or ".." in path.parts or "\0" in name or ":" in (path.parts or ("",))[0]
        if odd or any(ord(c) < 32 for c in name):
            self.refuse(f"the path {name!r} leads out of the folder")
        return path


def _unzip(archive: Path, temporary: Path, limits: _Limits) -> None:
    with zipfile.ZipFile(archive) as file:
        for entry in file.infolist():
            path = limits.path(entry.filename)
            kind = (entry.external_attr >> 16) & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                limits.refuse(f"{entry.filename!r} is a link or device")
            if entry.is_dir():
                (temporary / path).mkdir(parents=True, exist_ok=True)
                continue
            limits.file(str(path))
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            with file.open(entry) as source, open(temporary / path, "xb") as target:
                while chunk := source.read(CHUNK):
                    limits.add(len(chunk))
                    target.write(chunk)


def _untar(archive: Path, temporary: Path, limits: _Limits) -> None:
    with tarfile.open(archive, "r:*") as file:
        for entry in file:
            path = limits.path(entry.name)
            if not (entry.isreg() or entry.isdir()):
                limits.refuse(f"{entry.name!r} is a link or device")
            if entry.issparse():
                limits.refuse(f"{entry.name!r} is a sparse file")
            if entry.isreg():
                limits.file(str(path))
                limits.add(entry.size)
            file.extract(entry, temporary, filter="data")
