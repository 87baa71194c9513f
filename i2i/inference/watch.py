"""A watched folder: each image in it is translated as soon as its file has stopped changing."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.inference.outputs import must_be_folder
from i2i.inference.results import Outcome
from i2i.inference.settings import NetworkSettings, TranslateOptions, TranslateSettings
from i2i.inference.translate import translate
from i2i.inference.workers import Work
from i2i.media import images
from i2i.models.load import ModelFile
from i2i.models.translator import Translator

POLL = 1.0  # seconds between two looks at the folder
SETTLE = 2.0  # seconds for which a file must be unchanged

Version = tuple[int, int]  # a file's size in bytes and its time of change in nanoseconds


def watch(
    folder: Path | str,
    output: Path | str,
    model: str | Path | ModelFile | Translator,
    *,
    format: str | None = None,
    tell: Callable[[Outcome], None] | None = None,
    ready: Callable[[], None] | None = None,
    leave_out: Callable[[list[Path]], None] | None = None,
    stop: threading.Event | None = None,
    poll: float = POLL,
    settle: float = SETTLE,
    settings: TranslateSettings | None = None,
    **options: Unpack[TranslateOptions],
) -> None:
    """Translates the images of `folder` into `output`, and each that is added later, until `stop` is set.

    A file is translated once its size and time of change have stayed the same for `settle` seconds, and again whenever
    it changes later; so is a file that failed. tell(outcome): called after each image. ready(): called once, when
    watching begins. leave_out(files): called with files that are no readable images, once for each. poll: seconds
    between two looks at the folder. format, settings, options: see `translate`.

    Raises I2IError if `folder` is not a folder of this machine, or an option makes no sense here (dry_run, processes,
    ray)."""
    settings = (settings or TranslateSettings()).with_options(**options)
    if storage.is_address(folder):
        raise I2IError(f"{folder} is an address; only a folder of this machine can be watched.")
    folder = Path(folder)
    if not folder.is_dir():
        raise I2IError(f"{folder} is not a folder.", "Give a folder to watch.")
    must_be_folder(output)
    if settings.run.dry_run:
        raise I2IError("A dry run stops at once; watching does not.", "Give only one of --dry-run and --watch.")
    if settings.run.ray or settings.run.processes > 1:
        raise I2IError("A watched folder is translated by one process.", "Leave out --ray and --processes.")

    # the model: loaded, cut into tiles and compiled once for all images
    translator = Work(model, settings.write, settings.tiling, settings.network).translator()
    if settings.network.compile:
        translator = translator.compile()
    # what remains of these settings is in the record; old records of watched folders hold no precision or direction
    settings = dataclasses.replace(settings, network=NetworkSettings(batch=settings.network.batch))

    stop = stop or threading.Event()
    files = _SettledFiles(folder, Path(output), settle)
    if ready:
        ready()
    while not stop.is_set():
        new, changed, others = files.look(time.monotonic())
        if others and leave_out:
            leave_out(others)
        for paths, overwrite in ((new, settings.run.overwrite), (changed, True)):
            run = dataclasses.replace(settings.run, overwrite=overwrite, resume=not overwrite)
            for outcome in _translate(
                paths, folder, output, translator, format, dataclasses.replace(settings, run=run)
            ):
                if tell:
                    tell(outcome)
        stop.wait(poll)


class _SettledFiles:
    """Tells which files of a folder have stopped changing; each image is named once for each of its versions."""

    def __init__(self, folder: Path, output: Path, settle: float) -> None:
        self.folder, self.settle = folder, settle
        inside = output.resolve()
        self.output = inside if inside != folder.resolve() else None  # where outputs are left alone
        self.seen: dict[Path, tuple[Version, float]] = {}  # each file's version, and since when
        self.named: dict[Path, Version] = {}  # the version that was named last

    def look(self, now: float) -> tuple[list[Path], list[Path], list[Path]]:
        """(images that are new, images that were named before and have changed since, other files that are new).

        now: seconds."""
        new: list[Path] = []
        changed: list[Path] = []
        others: list[Path] = []
        rest: list[Path] = []
        paths = images.find_images(self.folder, others=rest)
        readable = {*paths}
        for path in [*paths, *rest]:
            if self.output is not None and path.resolve().is_relative_to(self.output):
                continue
            try:
                status = path.stat()
            except OSError:
                continue  # deleted meanwhile
            version = (status.st_size, status.st_mtime_ns)
            if self.seen.get(path, (None, 0.0))[0] != version:
                self.seen[path] = (version, now)
            if now - self.seen[path][1] >= self.settle and self.named.get(path) != version:
                if path in readable:
                    (changed if path in self.named else new).append(path)
                elif path not in self.named:
                    others.append(path)
                self.named[path] = version
        return new, changed, others


def _translate(
    paths: list[Path],
    folder: Path,
    output: Path | str,
    model: Translator,
    format: str | None,
    settings: TranslateSettings,
) -> list[Outcome]:
    """Translates files and keeps their tree below `folder`; one by one if they cannot be translated together."""
    if not paths:
        return []
    try:
        return translate([], output, model, listed=paths, root=folder, format=format, settings=settings).outcomes
    except I2IError as error:
        if len(paths) == 1:
            target = Path(output) / paths[0].relative_to(folder)
            return [Outcome(paths[0], target, "failed", str(error))]
    return [o for path in paths for o in _translate([path], folder, output, model, format, settings)]
