"""A hot folder: what is put into it is translated as soon as it has settled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from i2i.core.errors import I2IError
from i2i.inference.inputs import must_be_folder
from i2i.inference.translate import Outcome, Translator, load, translate
from i2i.media import images
from i2i.models.load import ModelFile

POLL = 1.0  # seconds between looks at the folder
SETTLE = 2.0  # seconds for which a file must not have changed


def watch(
    folder: Path | str,
    output: Path | str,
    model: str | Path | ModelFile | Translator,
    *,
    tell: Callable[[Outcome], None] | None = None,
    ready: Callable[[], None] | None = None,
    stop: threading.Event | None = None,
    poll: float = POLL,
    settle: float = SETTLE,
    **options: Any,
) -> None:
    """Translates the images of `folder` into `output`, and each that comes later, until `stop` is set.

    A file is taken once its size and time have stayed the same for `settle` seconds; one that changes later is
    translated again. Failures are told and tried again only when the file changes. ready: called when watching begins.
    options: see `translate`. Raises I2IError if `folder` is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise I2IError(f"{folder} is not a folder.", "Only a folder can be watched.")
    must_be_folder(output)
    names = ("device", "precision", "direction", "statistics")
    if not isinstance(model, Translator):
        model = load(model, **{n: options.pop(n) for n in names if n in options})
    stop = stop or threading.Event()
    seen: dict[Path, tuple[tuple[int, int], float]] = {}  # what it was like, and since when
    known: dict[Path, tuple[int, int]] = {}  # what it was like when it was translated
    inside = Path(output).resolve()
    if ready:
        ready()
    while not stop.is_set():
        now = time.monotonic()
        rested, changed = [], set()
        for path in images.find_images(folder):
            if inside != folder.resolve() and path.resolve().is_relative_to(inside):
                continue
            try:
                status = path.stat()
            except OSError:
                continue  # gone again
            state = (status.st_size, status.st_mtime_ns)
            if seen.get(path, (None, 0.0))[0] != state:
                seen[path] = (state, now)
            if now - seen[path][1] >= settle and known.get(path) != state:
                rested.append(path)
                if path in known:
                    changed.add(path)
        for again, some in ((False, [p for p in rested if p not in changed]), (True, sorted(changed))):
            if some:
                _some(some, folder, output, model, again, tell, options)
        known.update({p: seen[p][0] for p in rested})
        stop.wait(poll)


def _some(
    paths: list[Path],
    folder: Path,
    output: Path | str,
    model: Translator,
    again: bool,
    tell: Callable[[Outcome], None] | None,
    options: dict[str, Any],
) -> None:
    """Translates those files; their tree below `folder` is kept. What cannot be begun together is tried one by one."""
    overwrite = again or bool(options.get("overwrite"))
    own = {**options, "overwrite": overwrite, "resume": not overwrite}
    try:
        outcomes = translate([], output, model, listed=paths, root=folder, **own).outcomes
    except I2IError as error:
        if len(paths) > 1:
            for path in paths:
                _some([path], folder, output, model, again, tell, options)
            return
        outcomes = [Outcome(paths[0], Path(output) / paths[0].relative_to(folder), "failed", str(error))]
    for outcome in outcomes:
        if tell:
            tell(outcome)
