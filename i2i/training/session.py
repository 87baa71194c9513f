"""A training run in this process: the run's folder is prepared, the loop runs, and the finished model is judged."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate.utils import broadcast_object_list

from i2i import __version__, data
from i2i.core.device import device_of
from i2i.core.errors import I2IError
from i2i.core.files import atomic_folder, atomic_write, sweep
from i2i.core.reading import read_yaml
from i2i.inference.evaluate import conclude
from i2i.methods import WASSERSTEIN
from i2i.methods._bases import Generate
from i2i.methods._method import Method
from i2i.models import format as model_file
from i2i.models.load import translator_of
from i2i.training.check import check_on_data
from i2i.training.collapse import CollapseMonitor
from i2i.training.doctor.loader import WatchedData
from i2i.training.doctor.monitor import EARLY_STEPS, Doctor
from i2i.training.domain import domain_facts
from i2i.training.length import why_fixed
from i2i.training.loop import Loop
from i2i.training.lowered import measure_lowered
from i2i.training.precision import sentence
from i2i.training.report import Observer, Report, SilentObserver, TrackerObserver
from i2i.training.report.observer import ProgressObserver, TrainProgress
from i2i.training.resolve import METHOD_COPY, check_new_folder
from i2i.training.run import Run
from i2i.training.run_lock import RunLock
from i2i.training.scorer import Scorer
from i2i.training.settings import TrainSettings, accelerator_for

BEST = "best.safetensors"  # the model with the best score so far, in a run's folder


class Session:
    """One process's part of a run, in three steps: `prepare`, `train`, `conclude`.

    The constructor builds everything in memory and raises I2IError for settings that do not go together; nothing is
    written before `prepare`."""

    def __init__(self, run: Run, *, quiet: bool, resumed: bool, progress: TrainProgress | None = None) -> None:
        _check_device_count(run.training)
        self.run, self.resumed = run, resumed
        self.lock = RunLock(run)
        self.accelerator = accelerator_for(run.training, run.folder)
        self.is_main = self.accelerator.is_main_process
        if self.accelerator.num_processes > 1:  # the time in the folder's name may differ between processes
            run.folder = Path(broadcast_object_list([str(run.folder)])[0])
        self.method = run.build()
        run.start = None  # its weights are in the networks now
        self.notes = run.notes(self.method)
        self.scorer = Scorer(run)
        self.domain: dict[str, Any] | None = None  # what the model's header says of the training images
        self.data = WatchedData(run.data)
        self.doctor: Doctor | None = None
        self.observer = self._observer(not quiet, progress)
        self.loop = Loop(
            self.method,
            self.data,
            run.training,
            run.folder,
            self.observer,
            total=run.total,
            facts=run.facts(any_length=not why_fixed(self.method, run.tricks)),
            accelerator=self.accelerator,
            save_model=self._save_model,
            judge=self.scorer if self.scorer.metric else None,
            save_best=self._save_best,
            model_images=self._model_images,
            preview=run.held_out,
        )
        self.loop.stop_signal.announces = self.is_main and not quiet
        if self.doctor is not None:
            self.doctor.gradients = self.loop.train_step.gradients
        if not resumed:
            self._check_method()

    def _observer(self, live: bool, progress: TrainProgress | None) -> Observer:
        """The observers of the loop: the report, the caller, trackers, the doctor, and of noise a monitor."""
        run = self.run
        observer: Observer = SilentObserver()
        if self.is_main:
            observer = Report(run.folder, run.recipe, run.settings, run.total, live=live)
        if progress is not None and self.is_main:
            observer = ProgressObserver(observer, progress, run.total)
        if run.training.tracked:
            observer = TrackerObserver(observer, self.accelerator)
        if isinstance(self.method, Generate) and self.is_main:
            early = max(run.total // 20, EARLY_STEPS * run.training.batch)  # samples of new networks look alike
            observer = CollapseMonitor(observer, run.data, run.held_out, early)
        if self.is_main:
            real = run.held_out if run.held_out is not None and run.held_out.count > 1 else run.data
            observer = self.doctor = Doctor(observer, self.method, run.settings, run.total, real, self.data)
        return observer

    def _check_method(self) -> None:
        """Raises I2IError if the method breaks its contract, on the device and before anything is written."""
        check_on_data(self.method, self.run, self.loop.train_step.move)

    def prepare(self) -> None:
        """Makes the folder of a new run, starts the trackers, and reports the environment and the notes.

        Raises I2IError, in every process, if the folder cannot be created, or if another process trains this run."""
        failure: list[I2IError | None] = [None]
        if self.is_main:
            try:
                if not self.resumed:
                    _make_folder(self.run)
                self.lock.take()
                sweep([self.run.folder, self.run.folder / "samples", self.run.folder / "checkpoints"])
            except I2IError as error:
                failure = [error]
        everywhere = broadcast_object_list(failure)[0]
        if everywhere is not None:
            raise everywhere
        if self.run.training.tracked:
            flat = {k: v if isinstance(v, int | float | str | bool) else str(v) for k, v in self.run.settings.items()}
            self.accelerator.init_trackers(f"i2i-{self.run.recipe}".replace("/", "-"), config=flat)
        self.observer.event(0, "environment", **self._environment())
        for note in self.notes:
            self.observer.event(0, "note", text=note)

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Closes the report and the trackers at the end; an exception becomes the reason in the report."""
        reason = ""
        try:
            yield
        except BaseException as error:
            reason = str(error) or type(error).__name__
            raise
        finally:
            self.observer.close(reason or self.loop.early)
            self.lock.release()
            if self.run.training.tracked:
                self.accelerator.end_training()

    def train(self) -> None:
        """Runs the loop to its end. Raises what `Loop.run` raises."""
        self.loop.run(restored=lambda: _note_length(self.run) if self.is_main and self.resumed else None)

    def conclude(self) -> None:
        """Measures the finished model in bf16, and evaluates that of a paired run on its test images, or else on its
        validation images."""
        run = self.run
        if self.is_main:
            measure_lowered(run, self._model_path)
        split = next((s for s in ("test", "val") if s in run.data.splits), None)
        if not self.is_main or split is None or not run.method.needs == run.data.layout == "paired":
            return
        held_out = run.held_out
        if held_out is None or {"test", "val"} <= set(run.data.splits):  # then the run has seen `val`
            settings = dataclasses.replace(run.data_settings, palette=run.shape.palette)
            held_out = data.open(run.sources, settings, split, cropped=True)
        with self.loop.ema.applied(self.method) as averaged:
            # a copy in float32, as the saved model is: the translator changes the network that it gets
            network = copy.deepcopy(averaged.generator).float().to(memory_format=torch.contiguous_format)
        translator = translator_of(
            {run.method.averaged[0]: network}, run.header(run.total, self.scorer.metrics), run.folder.name
        )
        scores = conclude(translator, held_out, split, run.folder)
        self.observer.event(run.total, "evaluation", **scores)

    # ---- what the loop calls at each save ----------------------------------------------------------------------

    def _save_model(self, method: Method, images: int) -> None:
        networks = {name: getattr(method, name) for name in method.averaged}
        others = {}
        if self.run.training.keep_discriminators:
            trained = {n: net for n, net in method.networks().items() if next(net.parameters(), None) is not None}
            others = {name: net for name, net in trained.items() if name not in networks}
        model_file.save(self._model_path, networks, self._header(images), others=others)
        self.scorer.metrics = {}  # the next model may have no score

    def _save_best(self, method: Method, images: int) -> None:
        networks = {name: getattr(method, name) for name in method.averaged}
        model_file.save(self.run.folder / BEST, networks, self._header(images))

    def _header(self, images: int) -> dict[str, Any]:
        if self.domain is None:
            self.domain = domain_facts(self.run)  # read once, at the first save
        return {**self.run.header(images, self.scorer.metrics), **self.domain}

    # ---- facts -------------------------------------------------------------------------------------------------

    @property
    def _model_path(self) -> Path:
        return self.run.folder / "model.safetensors"

    def _model_images(self) -> int:
        """Images seen by the saved model; -1 if there is none, or if it is damaged."""
        try:
            images = model_file.read_header(self._model_path).get("images")
        except I2IError:
            return -1
        return images if isinstance(images, int) else -1

    def _environment(self) -> dict[str, Any]:
        """What the report says about the machine, and how the run differs from the defaults."""
        device = self.accelerator.device
        name = f"{device}, threads: {torch.get_num_threads()}"
        if device.type == "cuda":
            name = torch.cuda.get_device_name(device)
        is_wasserstein = getattr(self.run.config, "loss", "") == "wasserstein"
        documentation = sys.modules[self.run.method.__module__].__doc__ or self.run.method.__doc__ or ""
        return {
            "about": documentation.strip().split("\n")[0],
            "device": name,
            "processes": self.accelerator.num_processes,
            "training images": self.run.data.count,
            "system": platform.platform(),
            "versions": versions(),
            "changed": self.run.changed(),
            "terms": {**(WASSERSTEIN if is_wasserstein else {}), **self.method.term_notes},
        }


def versions() -> dict[str, str]:
    """Versions of the packages on which a run's numbers depend."""
    names = ("torch", "torchvision", "accelerate", "albumentations", "kornia", "pillow", "numpy")
    return {"i2i": __version__, "python": platform.python_version(), **{n: version(n) for n in names}}


def _make_folder(run: Run) -> None:
    """Makes the run's folder with its config.yaml by one rename, so that any run's folder can be resumed."""
    check_new_folder(run.folder)
    values = {**run.settings, "data_named": run.named, "versions": versions()}
    if run.method_file is not None:
        values["method_sha256"] = run.method_sha256
    if run.start_digest:
        values["init_sha256"] = run.start_digest
    try:
        with atomic_folder(run.folder) as folder:
            text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
            if why := sentence(run):
                text = f"# {why}\n{text}"
            (folder / "config.yaml").write_text(text, encoding="utf-8")
            if run.method_file is not None:
                (folder / METHOD_COPY).write_bytes(run.method_source)
    except OSError as error:
        raise I2IError(
            f"The folder {run.folder} cannot be created: {error.strerror}.", "Give another --out."
        ) from error


def _note_length(run: Run) -> None:
    """Writes the length of a resumed run into its config.yaml, if it has another one now.

    Raises I2IError if the file cannot be written."""
    path = run.folder / "config.yaml"
    values = read_yaml(path, "Restore the original file.")
    length = {"epochs": run.training.epochs, "images": run.training.images}
    if all(values.get(key) == value for key, value in length.items()):
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    comment = "".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    with atomic_write(path) as file:
        file.write((comment + yaml.safe_dump({**values, **length}, sort_keys=False, allow_unicode=True)).encode())


def _check_device_count(settings: TrainSettings) -> None:
    """Raises I2IError if this host has fewer GPUs than processes."""
    count, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if device_of(settings.device).type == "cuda" and 0 < gpus < count:
        raise I2IError(
            f"{count} processes need a GPU each, but this machine has {gpus}.",
            f"Give --processes {gpus}, or --device cpu.",
        )
