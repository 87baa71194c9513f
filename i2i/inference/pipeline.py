"""Images through the network at its own speed: reading and writing run in threads beside it.

Everything that waits is bounded in number and in pixels, so memory does not grow with the number of files. Images of
one padded size share a batch. A batch that does not fit the device's memory is halved, and the limit stays lower from
then on; a single image that does not fit is cut into windows. A file that cannot be read or written is told and never
stops the rest. Videos come last, one after the other, each in one pass (i2i.video).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.inference.manifest import Manifest
from i2i.media import codec, video
from i2i.media.adapt import Prepared
from i2i.media.codec import Document, WriteSettings
from i2i.models.translator import Translator

AHEAD = 4  # batches read, and outputs being written, at any time
PIXELS = 1 << 26  # that may wait before the network, and behind it
MOST = 32  # images in a batch of automatic size
READERS, WRITERS = 2, 2
SMALLEST_WINDOW = 128
SMALL = 1 << 19  # pixels up to which images go side by side on a CPU


@dataclass
class Job:
    """One image to translate."""

    number: int
    source: Path
    target: Path
    name: str
    document: Document | None = None
    made: list[Tensor | np.ndarray | None] = field(default_factory=list)  # the network's output of each part

    @property
    def pixels(self) -> int:
        """Of the image, once it is read."""
        document = self.document  # a writer may drop it meanwhile
        return document.pixels if document else 0


@dataclass
class _Part:
    job: Job
    number: int
    taken: Prepared
    ready: Tensor | None  # pixels of an image that goes through whole


_Output = tuple[_Part, Tensor | np.ndarray | None, BaseException | None]
Tell = Callable[[Job, BaseException | None], None]


class Pipeline:
    """One model and one way of writing. batch: most images in a pass; 0 chooses (1 on a CPU)."""

    def __init__(
        self, translator: Translator, options: WriteSettings, batch: int = 0, record: Manifest | None = None
    ) -> None:
        self.translator, self.options, self.batch, self.record = translator, options, batch, record
        self.most = batch or (1 if translator.device.type == "cpu" else MOST)  # steps down when memory runs out

    def run(self, jobs: Iterable[Job], tell: Tell) -> None:
        """Translates the jobs; `tell(job, error or None)` once for each, in this thread."""
        readers, writers = ThreadPoolExecutor(READERS, "read"), ThreadPoolExecutor(WRITERS, "write")
        writing: list[tuple[Job, Future[None]]] = []
        films: list[Job] = []

        def pictures() -> Iterator[Job]:
            for job in jobs:
                if video.is_video(job.source):
                    films.append(job)
                else:
                    yield job

        try:
            groups = self._batches(self._read_ahead(readers, pictures(), tell))
            lanes = self._lanes(jobs)
            for group in self._side_by_side(groups, lanes) if lanes > 1 else map(self._through, groups):
                for job, error in group:
                    if error is not None:
                        tell(job, error)
                        continue
                    writing.append((job, writers.submit(self._write, job)))
                while len(writing) > AHEAD * self.most or sum(j.pixels for j, _ in writing) > PIXELS:
                    _finish(*writing.pop(0), tell)
                while writing and writing[0][1].done():
                    _finish(*writing.pop(0), tell)
            for job, future in writing:
                _finish(job, future, tell)
            for job in films:
                tell(job, self._film(job))
        finally:
            readers.shutdown(cancel_futures=True)
            writers.shutdown(cancel_futures=True)

    # ---- reading ---------------------------------------------------------------------------------------------------

    def _read_ahead(self, pool: ThreadPoolExecutor, jobs: Iterable[Job], tell: Tell) -> Iterator[Job]:
        """The jobs in order, their images read ahead; unreadable ones are told and left out."""
        rest = iter(jobs)
        waiting: list[tuple[Job, Future[None]]] = []
        while True:
            while len(waiting) < AHEAD * self.most and sum(j.pixels for j, _ in waiting) < PIXELS:
                following = next(rest, None)
                if following is None:
                    break
                waiting.append((following, pool.submit(self._read, following)))
            if not waiting:
                return
            job, future = waiting.pop(0)
            error = future.exception()
            if error is None:
                yield job
            else:
                tell(job, error)

    def _read(self, job: Job) -> None:
        source, suffix = storage.decoder_input(job.source), job.target.suffix.lower()
        found = codec.read(source, self.translator.channels_in, self.options, suffix)
        job.made = [None] * len(found.parts)
        job.document = found

    def _batches(self, jobs: Iterable[Job]) -> Iterator[list[_Part]]:
        """Groups of parts of one padded size; few wait at any time."""
        groups: dict[tuple[int, int], list[_Part]] = {}
        for job in jobs:
            assert job.document is not None
            for i, taken in enumerate(job.document.parts):
                side = self.translator.padded_size(taken)
                whole = self.translator.tiling.fits(side)
                group = groups.setdefault(side, [])
                group.append(_Part(job, i, taken, taken.pixels if whole and len(job.document.parts) == 1 else None))
                if len(group) >= self.most or not whole:
                    yield groups.pop(side)
                elif sum(map(len, groups.values())) > AHEAD * self.most:
                    yield groups.pop(max(groups, key=lambda k: len(groups[k])))
        yield from groups.values()

    # ---- the network -----------------------------------------------------------------------------------------------

    def _lanes(self, jobs: Iterable[Job]) -> int:
        """How many images go side by side, a thread each: on a CPU, where the threads of one image gain less."""
        lanes = torch.get_num_threads() if self.translator.device.type == "cpu" and self.most == 1 else 1
        return lanes if isinstance(jobs, Sequence) and len(jobs) > 2 * lanes else 1

    def _side_by_side(
        self, groups: Iterable[list[_Part]], lanes: int
    ) -> Iterator[Iterator[tuple[Job, BaseException | None]]]:
        """`_through` of each group in its order, small images in `lanes` threads, large ones with all threads."""
        before = torch.get_num_threads()
        pool = ThreadPoolExecutor(lanes, "network", torch.set_num_threads, (1,))
        going: deque[tuple[list[_Part], Future[list[_Output]]]] = deque()
        try:
            for group in groups:
                height, width = self.translator.padded_size(group[0].taken)
                small = height * width <= SMALL and self.translator.tiling.fits((height, width * lanes))
                while going and (not small or len(going) > lanes or going[0][1].done()):
                    done, future = going.popleft()
                    yield self._through(done, future.result())
                if small:
                    going.append((group, pool.submit(lambda g=group: list(self._outputs(g)))))  # type: ignore[misc]
                else:
                    yield self._through(group)
            while going:
                done, future = going.popleft()
                yield self._through(done, future.result())
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(before)  # some of torch's libraries have one number for all threads

    def _through(
        self, group: list[_Part], outputs: Iterable[_Output] | None = None
    ) -> Iterator[tuple[Job, BaseException | None]]:
        """Runs the parts; gives each job whose last part is done, or why it failed."""
        for part, made, error in self._outputs(group) if outputs is None else outputs:
            job = part.job
            if job.document is None:
                continue  # another part of it has failed
            if error is not None:
                job.document = None
                yield job, error
                continue
            job.made[part.number] = made
            part.ready = None
            if all(m is not None for m in job.made):
                yield job, None

    def _outputs(self, group: list[_Part]) -> Iterator[_Output]:
        """Each part's output, or why there is none; a batch that fails is tried again in halves."""
        model = self.translator
        side = model.padded_size(group[0].taken)
        try:
            if model.tiling.fits(side):
                given = [p.taken.pixels if p.ready is None else p.ready for p in group]
                made: Sequence[Tensor | np.ndarray] = model.run(given, side)
            else:
                made = [model.run_in_tiles(p.taken) for p in group]
        except (RuntimeError, MemoryError, I2IError) as error:
            if len(group) > 1:
                if out_of_memory(error):
                    self.most = max(1, min(self.most, len(group) // 2))
                half = len(group) // 2
                yield from self._outputs(group[:half])
                yield from self._outputs(group[half:])
            elif out_of_memory(error) and (smaller := self._smaller(group[0].taken)) is not None:
                yield group[0], smaller, None
            else:
                yield group[0], None, error
            return
        for part, one in zip(group, made):
            yield part, one, None

    def _smaller(self, taken: Prepared) -> np.ndarray | None:
        """One image that ran out of memory, in smaller and smaller windows; None if none is small enough."""
        height, width = self.translator.padded_size(taken)
        window = max(height, width) // 2
        if not self.translator.tiling.fits((height, width)):
            window = self.translator.tiling.grid().height // 2
        while window >= SMALLEST_WINDOW:
            try:
                return self.translator.run_in_tiles(taken, window)
            except (RuntimeError, MemoryError, I2IError) as error:
                if not out_of_memory(error):
                    raise
                window //= 2
        return None

    def _film(self, job: Job) -> BaseException | None:
        """Translates a video; gives why it failed."""
        own = self.options

        def run(frames: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
            for frame in frames[:1]:
                codec.check_output_size(job.source, frame.shape[1], frame.shape[0], 1, own)
            try:
                made: Sequence[np.ndarray] = self.translator(list(frames), size=self.options.size, batch=self.most)
                return made
            except (RuntimeError, MemoryError) as error:
                if self.most == 1 or not out_of_memory(error):
                    raise
                self.most //= 2
                return run(frames)

        def landing(file: Path) -> None:
            if self.record is not None:
                self.record.done(job.name, job.source, job.target, file)

        try:
            with storage.local_copy(job.source) as source, storage.local_output(job.target) as target:
                video.translate(
                    source,
                    target,
                    run,
                    quality=own.quality,
                    batch=self.most,
                    max_pixels=own.max_pixels,
                    before_landing=landing,
                )
        except (RuntimeError, MemoryError, I2IError, OSError) as error:
            return error
        return None

    # ---- writing ---------------------------------------------------------------------------------------------------

    def _write(self, job: Job) -> None:
        """Encodes a job's output and lands it by rename; the record knows its digest before that."""
        document = job.document
        assert document is not None
        levels = [
            part.level(made) if isinstance(made, Tensor) else made
            for part, made in zip(document.parts, job.made)
            if made is not None
        ]
        data = codec.encode(document, levels, job.target.suffix, self.options)
        job.document, job.made = None, []
        if self.record is not None:
            self.record.done(job.name, job.source, job.target, data)
        storage.write_bytes(job.target, data)


def _finish(job: Job, future: Future[None], tell: Tell) -> None:
    error = future.exception()
    job.document, job.made = None, []
    tell(job, error)


def out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the main memory, has no more room."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text


def reason(error: BaseException) -> str:
    """One line that says what went wrong with a file."""
    if isinstance(error, I2IError):
        return str(error)
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
