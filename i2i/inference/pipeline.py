"""Images through the network at its own speed: reading and writing run in threads beside it.

Everything that waits is bounded in number and in pixels, so memory does not grow with the number of files. Images of
one padded size share a batch. A batch that does not fit the memory is halved, and the limit stays lower from then on;
a single image that does not fit is cut into tiles (batches). A file that cannot be read, translated or written is
reported and never stops the others. Videos come last, one after the other, each in one pass (video_job).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from i2i.core import storage
from i2i.core.device import keep_memory
from i2i.inference.batches import BatchRunner, Output
from i2i.inference.jobs import Job, Part, Tell
from i2i.inference.lanes import lane_count, side_by_side
from i2i.inference.record import Record
from i2i.inference.video_job import translate_video
from i2i.media import codec, reader, video
from i2i.media.codec import WriteSettings
from i2i.models.translator import Translator

AHEAD = 4  # batches that are read ahead, and that wait to be written, at most
PIXELS = 1 << 26  # pixels that wait before the network, and behind it, at most
READERS, WRITERS = 2, 2  # threads
# Bytes of freed memory that wait for the next image, and of a block that does not: without a limit, glibc gives what
# an image has freed back to the system, and asks for it again: 1.6 ms of processor time for an image of 128 pixels.
FREED, BLOCK = 1 << 26, 1 << 25


class Pipeline:
    """One model and one way of writing. batch: most images in a pass; 0 chooses (1 on a CPU, 32 elsewhere). others: the
    same model with further choices, for a job's `answer` of 1 and more."""

    def __init__(
        self,
        translator: Translator,
        settings: WriteSettings,
        batch: int = 0,
        record: Record | None = None,
        others: Sequence[Translator] = (),
    ) -> None:
        self.settings, self.record = settings, record
        self.runner = BatchRunner(translator, batch, others)
        keep_memory(FREED, BLOCK)

    def run(self, jobs: Iterable[Job], tell: Tell) -> None:
        """Translates the jobs. Calls `tell(job, error or None)` once for each job, in this thread."""
        readers, writers = ThreadPoolExecutor(READERS, "read"), ThreadPoolExecutor(WRITERS, "write")
        writing: deque[tuple[Job, Future[None]]] = deque()
        videos: list[Job] = []
        try:
            # images: read ahead, grouped by size, run through the network
            groups = self._groups(self._read_ahead(readers, _set_videos_aside(jobs, videos), tell))
            lanes = lane_count(self.runner, jobs)
            results = side_by_side(self.runner, groups, lanes) if lanes > 1 else map(self.runner.outputs, groups)
            for job, error in _completed(results):
                if error is not None:
                    tell(job, error)
                    continue
                # written behind the network; what waits is bounded, and what is written is reported at once
                writing.append((job, writers.submit(self._write, job)))
                while writing and (self._too_much(writing) or writing[0][1].done()):
                    _finish(*writing.popleft(), tell)
            while writing:
                _finish(*writing.popleft(), tell)
            # videos
            for job in videos:
                tell(job, translate_video(job, self.runner, self.settings, self.record))
        finally:
            readers.shutdown(cancel_futures=True)
            writers.shutdown(cancel_futures=True)

    def _too_much(self, waiting: deque[tuple[Job, Future[None]]]) -> bool:
        return len(waiting) > AHEAD * self.runner.most or sum(job.pixels for job, _ in waiting) > PIXELS

    # ---- before the network ----------------------------------------------------------------------------------------

    def _read_ahead(self, pool: ThreadPoolExecutor, jobs: Iterable[Job], tell: Tell) -> Iterator[Job]:
        """The jobs in order, with their files read; unreadable ones are reported and left out."""
        rest = iter(jobs)
        reading: deque[tuple[Job, Future[None]]] = deque()
        while True:
            while len(reading) < AHEAD * self.runner.most and sum(job.pixels for job, _ in reading) < PIXELS:
                following = next(rest, None)
                if following is None:
                    break
                reading.append((following, pool.submit(self._read, following)))
            if not reading:
                return
            job, future = reading.popleft()
            error = future.exception()
            if error is None:
                yield job
            else:
                tell(job, error)

    def _read(self, job: Job) -> None:
        source, suffix = storage.decoder_input(job.source), job.target.suffix.lower()
        translator = self.runner.translator
        palette = translator.palette
        document = reader.read(source, translator.channels_in, self.settings, suffix, translator.scale, palette)
        document.parts = [translator.adapt(part) for part in document.parts]
        job.outputs = [None] * len(document.parts)
        job.document, job.note = document, document.note

    def _groups(self, jobs: Iterable[Job]) -> Iterator[list[Part]]:
        """Batches of parts of one padded size, answer and depth; few parts wait for others of their kind."""
        waiting: dict[tuple[int, int, int, bool], list[Part]] = {}
        for job in jobs:
            assert job.document is not None
            parts = job.document.parts
            for number, prepared in enumerate(parts):
                translator = self.runner.translators[job.answer]
                side = translator.padded_size(prepared)
                whole = translator.tiling.fits(side)
                key = (*side, job.answer, prepared.has_bytes)
                pixels = prepared.pixels if whole and len(parts) == 1 else None
                group = waiting.setdefault(key, [])
                group.append(Part(job, number, prepared, pixels))
                if len(group) >= self.runner.most or not whole:
                    yield waiting.pop(key)
                elif sum(map(len, waiting.values())) > AHEAD * self.runner.most:
                    yield waiting.pop(max(waiting, key=lambda k: len(waiting[k])))
        yield from waiting.values()

    # ---- behind the network ----------------------------------------------------------------------------------------

    def _write(self, job: Job) -> None:
        """Encodes a job's output and lands it by rename; the record knows its digest before that."""
        document = job.document
        assert document is not None
        levels = [
            part.sized(part.to_levels(output) if isinstance(output, Tensor) else output)
            for part, output in zip(document.parts, job.outputs)
            if output is not None
        ]
        data = codec.encode(document, levels, job.target.suffix, self.settings)
        job.note = document.note
        job.drop()
        if self.record is not None:
            self.record.done(job.name, job.source, job.target, data)
        storage.write_bytes(job.target, data)


def _set_videos_aside(jobs: Iterable[Job], videos: list[Job]) -> Iterator[Job]:
    """The jobs that are no videos; those that are go into `videos`."""
    for job in jobs:
        if video.is_video(job.source):
            videos.append(job)
        else:
            yield job


def _completed(results: Iterable[Iterable[Output]]) -> Iterator[tuple[Job, BaseException | None]]:
    """Each job when the last of its parts has come through the network, or why one of them failed."""
    for outputs in results:
        for part, output, error in outputs:
            job = part.job
            if job.document is None:
                continue  # another part of it has failed
            if error is not None:
                job.drop()
                yield job, error
                continue
            job.outputs[part.number] = output
            part.pixels = None
            if all(o is not None for o in job.outputs):
                yield job, None


def _finish(job: Job, future: Future[None], tell: Tell) -> None:
    """Waits until a job is written, and reports it."""
    error = future.exception()
    job.drop()
    tell(job, error)
