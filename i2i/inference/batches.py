"""Batches through the network, in smaller and smaller pieces when the memory runs out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from i2i.core.errors import I2IError
from i2i.inference.jobs import Part
from i2i.models.translator import Translator

AUTOMATIC_BATCH = 32  # images in a batch on a GPU, if the user does not choose
SMALLEST_TILE = 128  # pixels a side

Pixels = Tensor | np.ndarray  # what the network made: float32 [C, H, W] in [-1, 1], or [H, W, C] in the file's values
Output = tuple[Part, Pixels | None, BaseException | None]  # part, and either what the network made of it or an error


class BatchRunner:
    """Runs parts of files through a translator, or through that of the job's answer: `others` are the further answers.

    batch: most images in one pass of the network; 0 chooses 1 on a CPU and 32 elsewhere. `most` is the current limit:
    it falls when the memory runs out, and stays lower from then on."""

    def __init__(self, translator: Translator, batch: int = 0, others: Sequence[Translator] = ()) -> None:
        self.translator, self.translators = translator, (translator, *others)
        self.most = batch or (1 if self.translator.device.type == "cpu" else AUTOMATIC_BATCH)

    def outputs(self, parts: list[Part]) -> Iterator[Output]:
        """The output of each part, in order. All parts have one padded size and one answer, and either all
        have 8 bits or none has.

        A batch that fails is tried again in halves, so that an error belongs to one image. A single image that does not
        fit the memory is tried again in tiles."""
        pixels, error = self._attempt(parts)
        if pixels is not None:
            for part, one in zip(parts, pixels):
                yield part, one, None
            return
        assert error is not None
        full = out_of_memory(error)
        if full:
            self.release_memory()
        if len(parts) > 1:
            half = len(parts) // 2
            if full:
                self.most = max(1, min(self.most, half))
            yield from self.outputs(parts[:half])
            yield from self.outputs(parts[half:])
        elif full:
            yield parts[0], *self._in_smaller_tiles(parts[0], error)
        else:
            yield parts[0], None, error

    def _attempt(self, parts: list[Part]) -> tuple[Sequence[Pixels] | None, BaseException | None]:
        """The network's output for the parts, or why there is none. An error does not keep the failed batch alive."""
        translator = self.translators[parts[0].job.answer].suited(parts[0].prepared)
        side = translator.padded_size(parts[0].prepared)
        try:
            if translator.tiling.fits(side):
                return translator.run([p.prepared.pixels if p.pixels is None else p.pixels for p in parts], side), None
            return [translator.run_in_tiles(p.prepared) for p in parts], None
        except (RuntimeError, MemoryError, I2IError) as error:
            return None, forget_frames(error)

    def _in_smaller_tiles(self, part: Part, error: BaseException) -> tuple[Pixels | None, BaseException | None]:
        """An image that ran out of memory, in tiles of half the size, a quarter, ...; or why that failed too."""
        prepared = part.prepared
        translator = self.translators[part.job.answer].suited(prepared)
        height, width = translator.padded_size(prepared)
        tile = max(height, width) // 2
        if not translator.tiling.fits((height, width)):  # it was cut into tiles already
            tile = translator.tiling.grid().height // 2
        while tile >= SMALLEST_TILE:
            try:
                return translator.run_in_tiles(prepared, tile), None
            except (RuntimeError, MemoryError, I2IError) as failure:
                error = forget_frames(failure)
            if not out_of_memory(error):
                break
            self.release_memory()
            tile //= 2
        return None, error

    def release_memory(self) -> None:
        """Gives memory that torch holds free back to the GPU, so that pieces of another size find room."""
        if self.translator.device.type == "cuda":
            torch.cuda.empty_cache()


def forget_frames(error: BaseException) -> BaseException:
    """The error without its traceback, and without those of the errors that led to it.

    A traceback keeps the frames of the failed call alive, and with them the tensors of the batch: a retry would find
    the memory still full."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def out_of_memory(error: BaseException) -> bool:
    """Whether the memory of the device, or the main memory, is full."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text
