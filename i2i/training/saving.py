"""What a run saves: a checkpoint to resume from, and the model to use. Says what could not be written."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from i2i.core.errors import I2IError
from i2i.core.random import seed_of
from i2i.methods._method import Method
from i2i.training import checkpoint as checkpoints
from i2i.training.ema import EMA
from i2i.training.report import Observer
from i2i.training.run import check_same_run
from i2i.training.score_record import ScoreRecord
from i2i.training.settings import MAX_IMAGES
from i2i.training.state import pack_state, restore_state
from i2i.training.step import TrainStep

LISTS = "best model, or the list of checkpoints,"
# the form of a checkpoint's state.json (core.reading.has_form)
FACTS: dict[str, Any] = {
    "images": int,
    "run": dict,
    "optimizers": {str: {str: float | bool | None}},
    "scalers": {str: dict},
}
SaveModel = Callable[[Method, int], None]  # (method with averaged weights, images seen): writes the model
ModelImages = Callable[[], int]  # images seen by the model that was written last; -1 if there is none
Judge = Callable[[Method], float | None]  # the score of a method with averaged weights, lower is better; None: no score


class Saver:
    """Writes checkpoints and models into a run's folder, keeps the best and the newest ones, and tells the observer.

    A part that cannot be written, for example to a full disk, does not keep the others from being written."""

    def __init__(
        self,
        folder: Path,
        keep: int,
        observer: Observer,
        save_model: SaveModel | None,
        judge: Judge | None,
        model_images: ModelImages | None = None,
        save_best: SaveModel | None = None,
        score_every: int = 0,
        total: int = MAX_IMAGES,
    ) -> None:
        self.folder, self.checkpoints, self.keep = folder, folder / "checkpoints", keep
        self.observer, self.save_model, self.judge, self.model_images = observer, save_model, judge, model_images
        self.save_best, self.total = save_best, total
        clock = getattr(judge, "clock", time.monotonic)
        self.record = ScoreRecord(self.checkpoints, getattr(judge, "metric", "score"), score_every, clock)

    def save(
        self, images: int, step: TrainStep, ema: EMA, run_facts: dict[str, Any], score: bool = True
    ) -> dict[str, Exception]:
        """Writes the checkpoint and the model. Returns the errors by the part that was not written; empty if none.

        run_facts: JSON values that must be the same when the checkpoint is restored. score: this moment is one of those
        that are scored, if there is time for it."""
        errors: dict[str, Exception] = {}
        checkpoint = None
        try:
            tensors, numbers = pack_state(step, ema)
            # safetensors refuses tensors that share memory and drops strides; plain copies avoid both.
            tensors = {name: value.detach().to("cpu").contiguous() for name, value in tensors.items()}
            facts = {"images": images, "run": run_facts, **numbers}
            checkpoint = checkpoints.save(self.checkpoints, images, tensors, facts)
        except (OSError, I2IError) as error:
            errors["checkpoint"] = error
        return self._finish(images, step, ema, checkpoint, errors, score)

    def complete(self, images: int, step: TrainStep, ema: EMA, score: bool = True) -> dict[str, Exception]:
        """Writes what follows the checkpoint of `images` images, if a crash or a full disk kept it from being written.

        Returns the errors by the part that was not written; empty if all is there."""
        if self.model_images is None:
            return {}
        if self.model_images() >= images:
            with contextlib.suppress(OSError):  # the last part, which the next save makes up for
                checkpoints.rotate(self.checkpoints, self.keep)
            return {}
        return self._finish(images, step, ema, checkpoints.path_of(self.checkpoints, images), {}, score)

    @torch.no_grad()
    def _finish(
        self,
        images: int,
        step: TrainStep,
        ema: EMA,
        checkpoint: Path | None,
        errors: dict[str, Exception],
        score: bool,
    ) -> dict[str, Exception]:
        """Scores the method with averaged weights, marks the best checkpoint, writes the models, and removes old
        checkpoints. The model comes after the mark, so that a model of this moment says that the mark is there, too."""
        try:
            with ema.applied(step.method) as averaged, torch.random.fork_rng(devices=[]):
                if score and self.judge:
                    torch.manual_seed(seed_of("judge", images))  # the same score after a resume
                    self._score(self.judge, images, averaged, checkpoint, errors)
                if self.save_model:
                    self.save_model(averaged, images)
        except (OSError, I2IError) as error:
            errors["model"] = error
        if checkpoint is not None:
            try:
                checkpoints.rotate(self.checkpoints, self.keep)
            except OSError as error:
                errors[LISTS] = error
            self.observer.event(images, "saved", checkpoint=checkpoint.name)
        if errors:
            self.observer.event(images, "save failed", error=_sentence(errors))
        return errors

    def _score(
        self, judge: Judge, images: int, averaged: Method, checkpoint: Path | None, errors: dict[str, Exception]
    ) -> None:
        """Scores the method, if there is time for it, and keeps it if it is the best one so far."""
        start, last = self.record.clock(), images >= self.total
        predict = getattr(judge, "seconds", None)
        is_due = self.record.may_be_due(images)
        if is_due and not self.record.every and predict is not None:
            is_due = self.record.is_due(images, predict(averaged, self.record.allowed(last)), last)
        score = judge(averaged) if is_due else None
        self.record.spent += self.record.clock() - start
        if score is None or not math.isfinite(score):
            return
        self.observer.event(
            images, "score", score=score, metric=self.record.metric, share=round(self.record.share(), 4)
        )
        try:
            self.record.add(images, score)
            best = self.record.best()
            if best is not None and best[0] == images and self.save_best:
                self.save_best(averaged, images)
            self._mark_best(checkpoint)
        except (OSError, I2IError) as error:
            errors[LISTS] = error

    def _mark_best(self, checkpoint: Path | None) -> None:
        """Names the best checkpoint in best.json: the one with the best score, of those that are still there."""
        marked = checkpoints.best_of(self.checkpoints)
        names = {path.name for path in (*checkpoints.listed(self.checkpoints), *([checkpoint] if checkpoint else []))}
        scores = {
            path: (score, moment)
            for moment, score in self.record.scores.items()
            if (path := checkpoints.path_of(self.checkpoints, moment)).name in names
        }
        if not scores:
            return
        path = min(scores, key=lambda p: scores[p])
        facts = {"score": scores[path][0], "images": scores[path][1], "metric": self.record.metric}
        if marked != {"checkpoint": path.name, **facts}:
            checkpoints.mark_best(self.checkpoints, path, **facts)

    def restore(self, step: TrainStep, ema: EMA, run_facts: dict[str, Any]) -> int:
        """Restores the newest intact checkpoint and returns its images; 0 if there is none.

        Raises I2IError if it belongs to a run with other facts, or to other networks."""

        def warn(text: str) -> None:
            self.observer.event(0, "warning", text=text)

        checkpoint = checkpoints.newest(self.checkpoints, warn, FACTS)
        if checkpoint is None:
            return 0
        tensors, facts = checkpoint
        check_same_run(facts["run"], json.loads(json.dumps(run_facts)))  # as the facts of a checkpoint are read
        try:
            restore_state(step, ema, tensors, facts)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            path = checkpoints.path_of(self.checkpoints, facts["images"])
            raise I2IError(
                f"The checkpoint {path} does not fit this run: {error!r}.",
                "Remove it to go on from an older one, or start a new run with --out.",
            ) from error
        return int(facts["images"])

    def error(self, images: int, errors: dict[str, Exception]) -> I2IError:
        """The error that ends a run whose last state could not be saved, with a hint by its cause."""
        causes = set(map(_cause, errors.values()))
        where = self.folder
        if errno.ENOSPC in causes or errno.EDQUOT in causes:
            remedy = f"Free some space in {where}."
        elif causes & {errno.EACCES, errno.EPERM, errno.EROFS}:
            remedy = f"Make {where} writable."
        else:
            remedy = " ".join(e.hint for e in errors.values() if isinstance(e, I2IError) and e.hint)
        command = f"i2i train --resume {shlex.quote(str(where))}"
        hint = f"{remedy} Then run: {command}" if remedy else f"Try again: {command}"
        return I2IError(f"At {images:,} images {_sentence(errors)}", hint)


def _sentence(errors: dict[str, Exception]) -> str:
    """What was not written, and why: "the checkpoint and the model could not be written: No space left on device."."""
    parts = " and ".join(f"the {part}" for part in errors)
    reasons = dict.fromkeys(_reason(error) for error in errors.values())
    rest = "; the checkpoint was written" if "checkpoint" not in errors else ""
    return f"{parts} could not be written{rest}: {'; '.join(reasons)}."


def _reason(error: Exception) -> str:
    what = error.what if isinstance(error, I2IError) else str(error)
    return what.rstrip(".")


def _cause(error: BaseException | None) -> int | None:
    """The system's number of the error behind `error`; None if the system did not refuse anything."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        if "No space left" in str(error):  # safetensors gives only the words
            return errno.ENOSPC
        error = error.__cause__
    return None
