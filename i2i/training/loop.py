"""The only training loop: it knows the contract of `Method` and nothing of any GAN.

Time is counted in images seen by all processes. Everything random is seeded by that count, so a resumed run cannot
differ from an uninterrupted one.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor

from i2i.core import distributed
from i2i.data.batch import Batch, TrainingData
from i2i.methods._method import Method, Now
from i2i.training.ema import EMA
from i2i.training.loss_buffer import LossBuffer
from i2i.training.report import Observer
from i2i.training.saving import Judge, ModelImages, SaveModel, Saver
from i2i.training.settings import TrainSettings, accelerator_for
from i2i.training.signals import Interrupted, StopSignal
from i2i.training.state import pack_state
from i2i.training.step import TrainStep

MAX_SAVES = 200  # checkpoints and sample grids of a run by default; an epoch of a few images takes only seconds
LOG_INTERVAL = 15.0  # seconds after which losses are logged, however few steps that were
SAVE_INTERVAL = 600.0  # seconds after which a checkpoint is saved, unless the settings say when
CHECK_EVERY = 500  # steps between two comparisons of the weights of several processes


class Loop:
    """One training run: `Loop(...).run()` trains the method until `total` images were seen.

    folder: receives the checkpoints. observer: receives losses, events and sample grids, from the first process only.
    facts: JSON values that must be the same when the run is resumed. save_model: called at each save with the
    method, averaged weights in place. judge: the same, at moments that are scored; its score (lower is better) chooses
    the best checkpoint, and save_best is called at each better one. model_images:
    tells of which moment the model is, so that a resumed run writes one that is missing or older than its checkpoint.
    preview: data of the sample grids; default: the training data.
    """

    def __init__(
        self,
        method: Method,
        data: TrainingData,
        settings: TrainSettings,
        folder: Path,
        observer: Observer,
        *,
        total: int,
        facts: dict[str, Any],
        accelerator: Accelerator | None = None,
        save_model: SaveModel | None = None,
        judge: Judge | None = None,
        model_images: ModelImages | None = None,
        preview: TrainingData | None = None,
        save_best: SaveModel | None = None,
    ) -> None:
        self.accelerator = accelerator or accelerator_for(settings)
        self.device, self.rank = self.accelerator.device, self.accelerator.process_index
        self.world = self.accelerator.num_processes
        self.method, self.data, self.preview = method, data, preview or data
        self.settings, self.folder, self.observer = settings, folder, observer
        self.total, self.facts = total, facts
        self.train_step = TrainStep(method, settings, self.accelerator)
        self.ema = EMA(method, settings.ema)
        self.train_step.compile_networks()  # after the EMA has copied them
        self.losses = LossBuffer(self.world, may_skip=bool(self.train_step.precision.scalers))
        self.saver = Saver(
            folder, settings.keep, observer, save_model, judge, model_images, save_best, settings.score_every, total
        )
        self.early = ""  # why the run stopped before its end without being asked to
        self.stop_signal = StopSignal()

    def run(self, restored: Callable[[], None] = lambda: None) -> int:
        """Trains from the newest checkpoint, or from the start, and returns the images seen.

        restored: called when the checkpoint, if there is one, has been found to fit the run.

        Raises Interrupted after SIGINT or SIGTERM, and I2IError if a loss is not finite, the last state cannot be
        saved, or the checkpoint belongs to another run."""
        images = self.restore()
        restored()
        if self.world > 1:
            distributed.check_same_step(images, self.device)
        with self.stop_signal.remembered():
            if images == 0 < self.total:
                self._draw_samples(0)
            self.log_time = self.save_time = time.monotonic()  # the speed is that of steps
            self.log_images = images
            if images:
                self._complete(images)
            if images < self.total and not self._out_of_patience(images):
                images = self._train(images)
        return images

    def _train(self, start: int) -> int:
        """Makes the steps from `start` images to the end."""
        settings = self.settings
        save_every = settings.save_every or default_interval(settings, self.total, self.data.count)
        sample_every = settings.sample_every or default_interval(settings, self.total, self.data.count)
        # Reading losses waits for the device and the other processes, unless there is nothing to wait for.
        flush_every = 1 if self.device.type == "cpu" and self.world == 1 else settings.log_every
        self.method.train()
        now = self._now(start)
        share = settings.batch // self.world
        if self.world == 1 and self.stop_signal.number:  # it came during the first samples
            raise self._stopped(self.stop_signal.number, began=start > 0)
        for batch in self.data.batches(start, share, self.rank, self.world, settings.seed):
            # One step, and everything that follows the weights.
            self.step(self._prepare(batch), now)
            before, now = now.images, self._now(now.images + settings.batch)
            self.ema.update(self.method, now.images, settings.batch)
            self.train_step.average_batch_norm()
            ended = now.images >= self.total

            # Losses: a value that is not finite stops the run here.
            late = self.world == 1 and time.monotonic() - self.log_time > LOG_INTERVAL
            log = now.step % settings.log_every == 0 or late or ended
            if log or now.step % flush_every == 0:
                self.losses.flush()
            if log:
                self._log(now.images)
            if now.step % CHECK_EVERY == 0 and self.world > 1:
                distributed.check_same_weights(self.method.parameters(), self.world, now.images)

            # Sample grids and checkpoints, then the end or a stop that was asked for.
            stop, save_due = self._sync_stop(now.step)
            if crossed(before, now.images, sample_every) or ended:
                self._draw_samples(now.images)
            scored = self._is_scored(before, now.images)
            if crossed(before, now.images, save_every) or scored or save_due or stop:
                self.save(now.images, needed=bool(stop) or ended, score=scored)
            if ended or (scored and self._out_of_patience(now.images)):
                break
            if stop:
                raise self._stopped(stop)
        return now.images

    def _stopped(self, number: int, began: bool = True) -> Interrupted:
        """The error that ends a run after a signal."""
        return Interrupted(number, f"Go on with: i2i train --resume {shlex.quote(str(self.folder))}", began)

    def _now(self, images: int) -> Now:
        return Now(images=images, total=self.total, batch=self.settings.batch, seed=self.settings.seed)

    def step(self, batch: Batch, now: Now) -> None:
        """Makes one step of the method on a batch that is on the device."""
        self.losses.add(self.train_step(batch, now))

    def _prepare(self, batch: Batch) -> Batch:
        """The batch on the device, augmented there if the data asks for it."""
        batch = self.data.augment_on_device(self.train_step.move(batch), self.settings.seed)
        return batch.to(self.device, memory_format=self.train_step.layout)

    def _sync_stop(self, step: int) -> tuple[int, bool]:
        """(signal that asks to stop, or 0; whether a checkpoint is due by time), the same in every process."""
        save_due = not self.settings.save_every and time.monotonic() - self.save_time > SAVE_INTERVAL
        if self.world == 1:
            return self.stop_signal.number, save_due
        if self.device.type == "cuda" and step % 10:  # reading the flags waits for the device
            return 0, False
        flags = torch.tensor([self.stop_signal.number, int(save_due)], device=self.device)
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return int(flags[0]), bool(flags[1])

    def _log(self, images: int) -> None:
        elapsed = max(1e-9, time.monotonic() - self.log_time)
        speed = (images - self.log_images) / elapsed
        self.log_time, self.log_images = time.monotonic(), images
        means = self.losses.pop_means()
        if self.rank == 0 and means:
            lrs = {name: o.param_groups[0]["lr"] for name, o in self.train_step.optimizers.items()}
            self.observer.losses(images, means, lrs, speed)

    @torch.no_grad()
    def _draw_samples(self, images: int) -> None:
        if self.rank:
            return
        random_state = torch.get_rng_state()
        with self.ema.applied(self.method) as method:
            columns = method.preview(self.train_step.move(self.preview.fixed(8)))
        torch.set_rng_state(random_state)
        self.observer.samples(images, {title: x.detach().float().cpu() for title, x in columns.items()})

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values of everything that is no pure function of the images seen."""
        return pack_state(self.train_step, self.ema)

    def _is_scored(self, before: int, images: int) -> bool:
        """True if the moment at `images` may be scored: a pure function of the images, the same in every process."""
        settings = self.settings
        every = settings.score_every or settings.save_every or default_interval(settings, self.total, self.data.count)
        return crossed(before, images, every) or images >= self.total

    def _out_of_patience(self, images: int) -> bool:
        """True if the run stops here, because its scores get no better; the same in every process."""
        patience = self.settings.patience
        if not patience or images >= self.total:
            return False
        count = torch.tensor([self.saver.record.stale(images)], device=self.device)
        if self.world > 1:
            dist.broadcast(count, src=0)
        if int(count) < patience:
            return False
        command = f"i2i train --resume {shlex.quote(str(self.folder))} --set patience=0"
        best = self.saver.record.best(images)
        best_words = f" The best one was at {best[0]:,} images." if best is not None else ""
        self.early = f"stopped early: {patience} scores in a row were no better than the best one."
        self.observer.event(
            images, "note", text=f"The run {self.early.rstrip('.')}.{best_words} To go on, run: {command}"
        )
        return True

    def save(self, images: int, needed: bool = False, score: bool = False) -> None:
        """Writes a checkpoint and the model, and scores it if `score` and there is time for it.

        A failure is reported to the observer, and training goes on. If `needed`, because training ends here, it raises
        I2IError."""
        self.losses.flush()
        self.save_time = time.monotonic()
        errors: dict[str, Exception] = {}
        if self.rank == 0:
            errors = self.saver.save(images, self.train_step, self.ema, self.facts, score)
        self._after_save(images, errors, needed)

    def _complete(self, images: int) -> None:
        """Writes the model of the restored checkpoint, if the session that wrote the checkpoint did not get so far."""
        errors = {}
        if self.rank == 0:
            score = self._is_scored(images - self.settings.batch, images)
            errors = self.saver.complete(images, self.train_step, self.ema, score)
        self._after_save(images, errors, needed=images >= self.total)

    def _after_save(self, images: int, errors: dict[str, Exception], needed: bool) -> None:
        self.accelerator.wait_for_everyone()
        if errors and needed:
            raise self.saver.error(images, errors) from next(iter(errors.values()))

    def restore(self) -> int:
        """Restores the newest intact checkpoint and returns its images; 0 if there is none.

        Raises I2IError if it belongs to other settings, other data or other networks."""
        images = self.saver.restore(self.train_step, self.ema, self.facts)
        if images:
            self.observer.event(images, "resumed")
        return images


def default_interval(settings: TrainSettings, total: int, count: int) -> int:
    """Images between checkpoints, and between sample grids, of a run of `total` images on `count` images."""
    return max(settings.batch, count, -(-total // MAX_SAVES))


def crossed(before: int, after: int, every: int) -> bool:
    """True if a multiple of `every` lies in (before, after]."""
    return after // every > before // every
