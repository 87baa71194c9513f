"""The use case "compress": a trained model becomes a smaller or faster one, in one file."""

from __future__ import annotations

import copy
import dataclasses
import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from i2i.core.errors import I2IError, among
from i2i.core.files import atomic_path
from i2i.methods._method import Method
from i2i.models import format as model_file
from i2i.nets import narrow
from i2i.nets.blocks import init_weights
from i2i.nets.choice import Choosing
from i2i.nets.patches import PatchHeads
from i2i.nets.trunks import ALEX_LEAST
from i2i.training.compress import masks
from i2i.training.compress.distilled import Distilled, Weights
from i2i.training.compress.measures import Size
from i2i.training.compress.original import Original, open_original
from i2i.training.compress.plan import Plan
from i2i.training.compress.pruned import Pruned, judging_networks
from i2i.training.compress.student import Budget, start_from, student_of
from i2i.training.compress.training import set_default_length, set_for_student, train
from i2i.training.lowered import measure_lowered
from i2i.training.report.observer import TrainProgress

METHODS = ("distill", "prune")
GRANULARITIES = (*masks.GRANULARITIES, "filters")
DISCRIMINATORS = ("trained", "new", "none")
REAL = ("auto", "data", "teacher")
DTYPES = {"fp16": torch.float16, "fp32": torch.float32}
RESULT = "result.json"  # in the state's folder, once the compression is over
SHARE = 0.1  # of the images that the original was trained on: the length of a compression by default
DISTILL_SHARE = 0.5


@dataclass(frozen=True)
class Request:
    """What is asked of a compression."""

    method: str = "distill"  # distill, prune
    plan: Plan = field(default_factory=Plan)  # of pruning; granularity may be "filters"
    budget: Budget = field(default_factory=Budget)  # of the student
    form: str = "narrow"  # of the student: narrow, mobile
    discriminator: str = "trained"  # trained, new, none
    real: str = "auto"  # what a student's discriminator learns to be real, and for pairs the truth: data, teacher, auto
    adversarial: float = 1.0  # weight of the adversarial terms of a student
    perceptual: float = 0.0  # without pairs: weight of the student's distance to the teacher's image in AlexNet
    init_from: str = ""  # the model file of an earlier student, with whose weights this one starts
    dtype: str = "fp16"  # of the weights in the file: fp16, fp32
    training: dict[str, Any] = field(default_factory=dict)  # of the run: images, epochs, batch, seed, device, load, ...

    def check(self) -> None:
        """Raises I2IError for a value that is not allowed."""
        choices = (("method", METHODS), ("discriminator", DISCRIMINATORS), ("real", REAL), ("dtype", tuple(DTYPES)))
        for name, allowed in choices:
            if getattr(self, name) not in allowed:
                raise I2IError(f"--{name} is {getattr(self, name)!r}.", among(getattr(self, name), allowed))
        if self.plan.granularity not in GRANULARITIES:
            raise I2IError(f"--granularity is {self.plan.granularity!r}.", among(self.plan.granularity, GRANULARITIES))
        self.plan.check()
        of_students = self.real != "auto" or self.init_from or self.perceptual or self.adversarial != 1
        if self.method == "prune" and of_students:
            raise I2IError(
                "--real, --adversarial, --perceptual and --init-from are for students.",
                "Leave them out, or give --method distill.",
            )


@dataclass(frozen=True)
class Compressed:
    """What came of a compression."""

    path: Path
    side: int  # pixels of the image that the sizes are for
    before: Size
    after: Size
    images: int  # training images seen
    notes: list[str]
    comparisons: list[str]  # commands that compare it with the original


def compress(
    model: str | Path,
    output: str | Path,
    data: list[str] | None = None,
    request: Request | None = None,
    *,
    direction: str = "AtoB",
    overwrite: bool = False,
    quiet: bool = True,
    progress: TrainProgress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Compressed:
    """Compresses a model and writes it to `output`.

    model: a run's folder, or a model file or name with discriminators. data: default: what the model was trained on.
    While it trains, its state lies beside `output` in a folder with the suffix .run; after an interruption the same
    call goes on. tell: called with a sentence before each step that takes time. Raises I2IError for a model that cannot
    be compressed so, and Interrupted after Ctrl-C."""
    request, path = request or Request(), Path(output)
    request.check()
    check_output(path, overwrite)
    folder = path.with_suffix(".run")
    # The state of the compression that wrote the old file; not of one to go on with.
    if overwrite and (folder / RESULT).exists():
        shutil.rmtree(folder, ignore_errors=True)
    original = open_original(model, data, direction=direction, training=settings_of(request))
    set_length(original, request)
    if request.method == "distill":
        set_for_student(original, request.training.get("precision") or "auto")
    method, notes = build(original, request)
    if tell is not None:
        tell(f"Training on {original.run.total:,} images. The state and a report lie in {folder}.")
    network, note = train(method, original, folder, _facts(original, request), quiet, progress)
    notes += [note] if note else []
    if isinstance(method, Pruned) and method.pruning is not None:
        method.pruning.apply_to(network)  # the average remembers weights that are gone
    header = {**kept(original.header), "compressed": _described(original, request)}
    sparse = isinstance(method, Pruned)
    model_file.save(path, {original.network: network}, header, DTYPES[request.dtype], sparse=sparse)
    measure_lowered(original.run, path)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    inputs = original.example(method.inner)
    device = next(network.parameters()).device
    teacher = method.inner.get_submodule(original.network).to(device)
    before = Size.of(teacher, inputs, original.file)
    after = Size.of(network, inputs, path)
    notes += time_notes(before, after, request)
    compared = original.comparisons(str(path), data, request.training.get("size"))
    result = Compressed(path, original.run.shape.size, before, after, original.run.total, notes, compared)
    _write_result(folder, result)
    return result


def time_notes(before: Size, after: Size, request: Request) -> list[str]:
    """What the user should know about the measured times."""
    notes, asked = [], request.budget.latency
    if before.disturbed or after.disturbed:
        notes.append(
            "Other programs kept the processor busy while times were measured. The times are processor time of one "
            "thread; on a free machine an image takes as long or less."
        )
    elif asked and after.seconds > asked * 1.05:
        notes.append(
            f"The student takes {after.seconds * 1e3:.3g} ms now, and {asked * 1e3:.3g} ms were asked for: the machine "
            "was faster when the width was chosen."
        )
    return notes


def check_output(path: Path, overwrite: bool) -> None:
    """Raises I2IError for an output that cannot be written."""
    if path.suffix != ".safetensors":
        raise I2IError(f"The output {path} does not end in .safetensors.", "Give a name such as small.safetensors.")
    if path.exists() and not overwrite:
        raise I2IError(f"{path} exists.", "Give --overwrite to replace it.")
    if path.is_dir():
        raise I2IError(f"{path} is a folder.", "Give a name such as small.safetensors.")


# ---- the method that trains it -------------------------------------------------------------------------------------


def build(original: Original, request: Request) -> tuple[Pruned | Distilled, list[str]]:
    """The method that trains the compressed generator, and notes for the user.

    Raises I2IError if discriminators are missing, and if the student does not fit."""
    inner = original.build()
    check_method(inner, original, request)
    missing, notes = original.missing(inner), []
    if request.discriminator == "trained" and missing:
        raise I2IError(
            f"{original.name} holds no discriminator ({', '.join(missing)}). Compressing needs it.",
            "Give its run's folder, or a model trained with --set keep_discriminators=yes. Or begin with a new one: "
            "--discriminator new",
        )
    if request.discriminator == "new":
        renew(inner, original)
        notes.append("The discriminator is a new one: the first images teach it, too.")
    teacher = inner.get_submodule(original.network)
    if request.method == "prune":
        plan, network = request.plan, copy.deepcopy(teacher)
        if plan.granularity == "filters":
            network = narrow.narrow(teacher, max(1, round((1 - plan.sparsity) * narrow.width_of(teacher))))
            plan = dataclasses.replace(plan, masks="none", granularity="elements")
            notes.append("Whole filters are removed: the network is smaller, and loses more than by single weights.")
        plan = dataclasses.replace(plan, init_d=request.discriminator)
        if request.discriminator == "none":
            plan = dataclasses.replace(plan, objective="match")
        return Pruned(inner, original.network, network, plan), notes
    student = init_weights(student_of(teacher, original.example(inner), request.budget, request.form))
    narrow.copy_channels(teacher, student)
    if request.init_from:
        start_from(student, request.init_from, original.network)
    own = bool(original.header.get("train_mode_norm"))
    weights = dataclasses.replace(Weights.of(inner.needs), gan=request.adversarial, perceptual=request.perceptual)
    adversarial = request.discriminator != "none"
    real = request.real
    if real == "auto":  # real images hold what no input tells: a student would learn few pairs by heart
        settings, shape = original.run.data_settings, inner.shape
        made = settings.make or settings.degrade or shape.size != shape.size_in
        one_answer = "answers" not in choices_of(inner, original.network)
        real = "teacher" if inner.needs == "paired" and one_answer and not made else "data"
    return Distilled(inner, original.network, student, weights, own=own, adversarial=adversarial, real=real), notes


def check_method(inner: Method, original: Original, request: Request) -> None:
    """Raises I2IError for a method whose generator cannot be compressed as asked."""
    kind = original.run.method.__name__
    if request.method == "prune" and not judging_networks(inner, original.network):
        raise I2IError(
            f"{original.name} was trained by {kind}, without a discriminator. Pruning compares what one says.",
            "Halve the file instead: i2i models pack",
        )
    if request.method == "distill" and any(isinstance(net, PatchHeads) for net in inner.networks().values()):
        raise I2IError(
            f"{original.name} was trained by {kind}, whose loss reads the layers of its generator at their width. A "
            "student has other widths.",
            "Give --method prune.",
        )
    paired, size, choices = inner.needs == "paired", inner.shape.size, choices_of(inner, original.network)
    if request.method == "distill" and "steps" in choices:
        raise I2IError(
            f"{original.name} was trained by {kind}, which answers in steps. A student learns from one step.",
            f"Give the model fewer steps: i2i translate photo.jpg --model {shlex.quote(original.name)} --steps 2",
        )
    if request.real == "teacher" and "answers" in choices:
        raise I2IError(
            f"{original.name} has several answers for an image, and --real teacher knows one.",
            "Give --real data.",
        )
    if request.real == "teacher" and not paired and len(inner.averaged) < 2:
        raise I2IError(
            f"{original.name} was trained by {kind}. --real teacher is for methods of pairs and for CycleGAN.",
            "Leave it out: the discriminator learns the real images.",
        )
    if request.perceptual and paired:
        raise I2IError(
            f"{original.name} was trained on pairs. --perceptual is for models without pairs.",
            "Leave it out: the student learns by the terms that the model was trained by.",
        )
    if request.perceptual and size < ALEX_LEAST:
        raise I2IError(
            f"--perceptual compares in AlexNet, which needs {ALEX_LEAST} pixels a side. These images have {size}.",
            "Leave it out.",
        )


def renew(inner: Method, original: Original, every: bool = False) -> None:
    """Replaces the discriminators that the model does not hold, or every one, by new ones of the seed."""
    fresh = original.fresh()
    for name in judging_networks(inner, original.network) if every else original.missing(inner):
        setattr(inner, name, fresh.get_submodule(name))


def choices_of(inner: Method, name: str) -> tuple[str, ...]:
    """What the user may choose of the answers of a method's generator: keys of `i2i.nets.choice.PARTS`."""
    network = inner.get_submodule(name)
    return network.choices if isinstance(network, Choosing) else ()


def settings_of(request: Request) -> dict[str, Any]:
    """The settings of the run that the user has given."""
    return {k: v for k, v in request.training.items() if v is not None}


def set_length(original: Original, request: Request) -> None:
    """Trains on a share of the images that the original has seen, unless the user says how many."""
    if not (request.training.get("images") or request.training.get("epochs")):
        set_default_length(original, DISTILL_SHARE if request.method == "distill" else SHARE)


# ---- what is written ----------------------------------------------------------------------------------------------


def _facts(original: Original, request: Request) -> dict[str, Any]:
    """What must be the same when the state in the folder is used again."""
    asked: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(request)))
    return {"compression": asked, "model": original.start.digest, "length": original.run.total}


def kept(header: dict[str, Any]) -> dict[str, Any]:
    """The entries of the original's header that hold for the compressed model, too."""
    gone = ("networks", "sha256", "format", "multiple", "others", "sparse", "metrics", "choices", "bf16")
    return {k: v for k, v in header.items() if k not in gone}


def _described(original: Original, request: Request) -> dict[str, Any]:
    """The entry `compressed` of the header."""
    described: dict[str, Any] = {"of": Path(original.name).name, "by": request.method, "images": original.run.total}
    if request.method == "prune":
        described |= {"sparsity": request.plan.sparsity, "granularity": request.plan.granularity}
    return described


def _write_result(folder: Path, result: Compressed) -> None:
    values = {"before": dataclasses.asdict(result.before), "after": dataclasses.asdict(result.after)}
    with atomic_path(folder / RESULT) as temporary:
        temporary.write_text(json.dumps({"model": str(result.path), **values}, indent=1), encoding="utf-8")
