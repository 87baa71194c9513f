"""A video as a job: its frames through the network in batches, in one pass over the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from i2i.core import storage
from i2i.core.errors import I2IError
from i2i.inference.batches import BatchRunner, forget_frames, out_of_memory
from i2i.inference.jobs import Job
from i2i.inference.record import Record
from i2i.media import reader, video
from i2i.media.codec import WriteSettings


def translate_video(
    job: Job, runner: BatchRunner, settings: WriteSettings, record: Record | None
) -> BaseException | None:
    """Translates a video onto the disk, or to its address. Returns why it failed; None if it did not."""

    translator = runner.translators[job.answer]

    def translate_frames(frames: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """uint8 [H, W, 3] of some frames -> the same of their translations, in smaller batches if memory runs out."""
        for frame in frames[:1]:
            height, width = frame.shape[:2]
            reader.check_output_size(job.source, width, height, 1, settings, translator.scale)
        while True:
            try:
                translated: list[np.ndarray] = translator(list(frames), size=settings.size, batch=runner.most)
                return translated
            except (RuntimeError, MemoryError) as error:
                if runner.most == 1 or not out_of_memory(error):
                    raise
                forget_frames(error)
            # the except block is left, so nothing holds the failed batch any more
            runner.release_memory()
            runner.most //= 2

    def before_rename(file: Path) -> None:
        if record is not None:
            record.done(job.name, job.source, job.target, file)

    notes: list[str] = []
    try:
        with storage.local_copy(job.source) as source, storage.local_output(job.target) as target:
            video.translate(
                source,
                target,
                translate_frames,
                quality=settings.quality,
                batch=runner.most,
                max_pixels=settings.max_pixels,
                before_rename=before_rename,
                notes=notes,
            )
        job.note = " ".join(notes)
    except (RuntimeError, MemoryError, I2IError, OSError) as error:
        return forget_frames(error)
    return None
