"""The run that trains a compressed generator: its length, precision and average, and which weights are kept."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn

from i2i.core import fast_conv
from i2i.data.batch import Batch
from i2i.data.dataset import Data
from i2i.methods._method import Method
from i2i.models import format as model_file
from i2i.training.compress.distilled import Distilled
from i2i.training.compress.original import Original
from i2i.training.compress.pruned import Pruned
from i2i.training.loop import Loop
from i2i.training.precision import settle
from i2i.training.report import Observer, Report
from i2i.training.report.observer import ProgressObserver, TrainProgress
from i2i.training.run import Run
from i2i.training.scorer import BATCH, LEAST_SECONDS, PAIRS, Scorer
from i2i.training.signals import Interrupted

BEST = "best.safetensors"  # in the state's folder: the student with the best score so far
EMA = 500.0  # half-life in images of the average of a student's weights, where the original was trained without one


class TeacherScorer(Scorer):
    """Scores a student without pairs: the mean LPIPS between what it and its teacher make of held-out images.

    A student is to look like its teacher, and KID of so few images would be uncertain."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.metric, self.count, self.predicted = "lpips", min(PAIRS, self._data().count), LEAST_SECONDS["lpips"]

    def _data(self) -> Data:
        return self.run.held_out or self.run.data

    def seconds(self, method: Method, allowed: float) -> float:
        """As for other runs; what the teacher makes, which is needed once, does not count."""
        if self.fixed is None and self.predicted <= allowed:
            self.fixed = self.pairs(method)
        return super().seconds(method, allowed)

    def pairs(self, method: Method) -> Batch:
        """Held-out images (training images, if there are none) and what the teacher makes of them."""
        assert isinstance(method, Distilled)
        weight, x = next(method.parameters()), self._data().fixed(self.count).x
        made = [method.taught(Batch(part.to(weight.device, weight.dtype))) for part in x.split(BATCH)]
        return Batch(x, torch.cat([part.float().cpu() for part in made]))


def train(
    method: Pruned | Distilled,
    original: Original,
    folder: Path,
    facts: dict[str, Any],
    quiet: bool = True,
    progress: TrainProgress | None = None,
) -> tuple[nn.Module, str]:
    """Trains to the end, from the newest checkpoint in `folder` if there is one.

    Returns the compressed generator with averaged weights, and a note for the user. A student is that of the best score
    on held-out images; that of a way back and a pruned generator, whose weights go as it is trained, of the end."""
    run, best = original.run, folder / BEST
    is_scored = isinstance(method, Distilled) and not method.back  # scores are those of the way from x to y
    scorer = TeacherScorer(run) if is_scored and run.method.needs == "unpaired" else Scorer(run)

    def save_best(averaged: Method, images: int) -> None:
        model_file.save(best, {original.network: averaged.get_submodule(original.network)}, {"images": images})

    folder.mkdir(parents=True, exist_ok=True)
    observer: Observer = Report(folder, f"compress-{folder.stem}", run.settings, run.total, live=not quiet)
    if progress is not None:
        observer = ProgressObserver(observer, progress, run.total)
    loop = Loop(
        method,
        run.data,
        run.training,
        folder,
        observer,
        total=run.total,
        facts=facts,
        preview=run.held_out,
        judge=scorer if scorer.metric and is_scored else None,
        save_best=save_best,
    )
    reason = ""
    try:
        loop.run()
    except Interrupted as error:
        reason = error.what
        error.hint = "Go on with the same command."
        raise
    except BaseException as error:
        reason = str(error) or type(error).__name__
        raise
    finally:
        observer.close(reason)
    with loop.ema.applied(method) as averaged:
        network = fast_conv.slow_down(copy.deepcopy(averaged.get_submodule(original.network))).float().eval()
    chosen = loop.saver.record.best()
    if chosen is None or chosen[0] == run.total or not best.is_file():
        return network, ""
    network.load_state_dict(model_file.read(best)[1][original.network])
    return network, f"The weights are those after {chosen[0]:,} images: their {scorer.metric} was the lowest."


def set_for_student(original: Original, precision: str = "auto") -> None:
    """Averages the weights of a student, and computes it in the precision of a new run unless the user says otherwise.

    (The gaps of terms that pruning makes small need float32.)"""
    run = original.run
    run.training = dataclasses.replace(run.training, precision=precision, ema=run.training.ema or EMA)
    settle(run)


def set_default_length(original: Original, share: float) -> None:
    """Trains on a share of the images that the original has seen."""
    seen = int(original.header.get("images") or 0) or original.run.data.count
    images = max(original.run.training.batch, round(share * seen))
    original.run.training = dataclasses.replace(original.run.training, images=images)
    original.run.total = original.run.training.length(original.run.data.count)
