"""The doctor afterwards: all signs of a run, from its log and its model, or of any model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from i2i import data as datasets
from i2i.core.errors import I2IError
from i2i.core.reading import has_form, read_yaml
from i2i.data import folder_names, source
from i2i.data.batch import Batch
from i2i.inference.evaluate_data import settings_of
from i2i.methods import load_method
from i2i.methods._method import Method
from i2i.models import content
from i2i.models import format as model_file
from i2i.models.generator import load_generator
from i2i.models.load import ModelFile, find, load
from i2i.training.collapse import MAX_VALUES, MIN_NEAREST, MIN_SPREAD, CollapseMonitor, shrunk
from i2i.training.doctor.curves import Curves
from i2i.training.doctor.finding import UNKNOWN, Finding, judged, unknown
from i2i.training.doctor.pixels import Real, judge_outputs
from i2i.training.doctor.remedy import remedy
from i2i.training.doctor.table import PIXELS, SIGNS
from i2i.training.report import SilentObserver
from i2i.training.report.log import records
from i2i.training.run import DEFAULTS

LIMIT = 64  # images of a split that are looked at
BATCH = 8  # images in one pass of the network
CLASS_SAMPLES = 8  # images of each class of a generator
LEARNED = 3.0  # error on held-out pairs, as a multiple of that on training pairs, from which pairs are learned by heart
NOISE = "The model makes images from noise."
TRANSLATES = "The model translates; only images from noise are compared with the training images."


@dataclass
class Diagnosis:
    """What `diagnose` says of a model: a finding for every sign, in the order of the table."""

    model: str
    findings: list[Finding]
    data: list[str] = field(default_factory=list)  # where the images were that it was tried on
    split: str = ""
    count: int = 0  # images

    @property
    def found(self) -> list[Finding]:
        """The signs that are there."""
        return [finding for finding in self.findings if finding.found]

    def as_dict(self) -> dict[str, Any]:
        """The diagnosis as JSON values."""
        signs = [{**finding.as_dict(), "about": SIGNS[finding.sign]} for finding in self.findings]
        return {**vars(self), "findings": signs, "found": [finding.sign for finding in self.found]}


@dataclass(frozen=True)
class Patient:
    """What is known of a model before it is tried. settings: of its run, or the defaults of its method."""

    name: str
    file: ModelFile | None  # None: a run that has saved no model
    header: dict[str, Any]
    kind: type[Method] | None
    settings: dict[str, Any]
    sources: list[str]
    log: list[dict[str, Any]]


def diagnose(
    model: str | Path,
    data: str | Path | list[str] | None = None,
    *,
    limit: int = LIMIT,
    device: str = "auto",
    method: str | Path | None = None,
) -> Diagnosis:
    """Looks for every sign in a run's folder, or in any model.

    data: where images lie; None: those that the model was trained on, if they are on this disk. limit: images that it
    is tried on, at most. method: the user's own method file that defines the network; **its code is run**.

    Raises I2IError if there is neither a model nor a run, or the given data cannot be used."""
    patient = _admit(str(model), device, method)
    sources = [str(s) for s in ([data] if isinstance(data, str | Path) else data or patient.sources)]
    opened, split, why = _open(patient, sources, given=bool(data))
    curves = Curves.of(patient.log, int(patient.settings.get("batch") or 1)).judge()
    if patient.file is None:
        outputs, count = [unknown(sign, "The run has saved no model yet.") for sign in (*PIXELS, "copies")], 0
    elif patient.header.get("kind") == "generate":
        outputs, count = _of_generator(patient.file, opened, why, device, method)
    else:
        outputs, count, learned = _of_translator(patient, opened, why, limit, device, method)
        curves = [learned if f.sign == "overfitting" and f.state == UNKNOWN else f for f in curves]

    # In the order of the table, with what helps.
    by_sign = {finding.sign: finding for finding in [*outputs, *curves]}
    tricks = patient.kind is not None and bool(patient.kind.discriminators)
    findings = [
        f.with_remedy(remedy(sign, patient.settings, tricks)) if (f := by_sign[sign]).found else f for sign in SIGNS
    ]
    used = opened is not None
    return Diagnosis(patient.name, findings, sources if used else [], split if used else "", count)


def _admit(model: str, device: str, method: str | Path | None) -> Patient:
    """Reads what is known of a model or run. Raises I2IError if it is neither."""
    folder = Path(model)
    config: dict[str, Any] = {}
    if (folder / "config.yaml").is_file():
        config = read_yaml(folder / "config.yaml")
        if not has_form(config, {"method": str, "data": [str]}):
            raise I2IError(f"{folder / 'config.yaml'} is not the config.yaml of a run.", "Give another folder.")
    try:
        file: ModelFile | None = find(model)
    except I2IError:
        if not config:
            raise
        file = None
    header: dict[str, Any] = {}
    if file is not None and content.kind_of(file.path) == content.SAFETENSORS:
        header = model_file.read_header(file.path)
    elif file is not None:
        header = dict(load(file, device, "fp32", method=method).header)
    name = str(method or config.get("method") or header.get("method") or "")
    kind: type[Method] | None = None
    if name and (method is not None or not name.endswith(".py")):  # code of others is not run unasked
        try:
            kind = load_method(name)
        except I2IError:
            kind = None
    defaults = {f.name: f.default for f in dataclasses.fields(kind.Config)} if kind is not None else {}
    built = header.get("networks", {}).get(header.get("generator") or "G", {}).get("arguments", {})
    known = {key: value for key, value in built.items() if key in defaults}
    settings = config or {**DEFAULTS, **defaults, **known}
    sources = list(config.get("data") or header.get("data") or [])
    return Patient(model, file, header, kind, settings, sources, list(records(folder / "log.jsonl")) if config else [])


def _open(patient: Patient, sources: list[str], given: bool) -> tuple[datasets.Data | None, str, str]:
    """The images to try the model on, the name of their split, and why there are none."""
    header = {**patient.settings, **patient.header}
    needs = patient.kind.needs if patient.kind is not None else ""
    layouts = [needs or str(patient.settings.get("layout") or ""), "paired", "unpaired"]
    if header.get("kind") == "generate":
        layouts = [needs or "images", "images"]
    error = I2IError("The model does not say which data it was trained on.", "Give some with --data DIR.")
    for layout in dict.fromkeys(name for name in layouts if name and name != "auto") if sources else ():
        settings = settings_of(header, layout)
        try:
            folders = source.folders(sources)
            splits = set.intersection(*(set(folder_names.splits_of(f)) for f in folders))
            split = next((s for s in ("test", "val", "train") if s in splits), "train")
            return datasets.open(sources, settings, split=split), split, ""
        except I2IError as failure:
            error = failure
    if given:
        raise error
    return None, "", f"{error.what} --data DIR names images."


def _sample(data: datasets.Data, limit: int) -> Batch:
    """Images of a split, spread over all of it, as many as fit into a bounded memory."""
    return data.fixed(max(2, min(limit, MAX_VALUES // (3 * data.size**2), data.count)))


def _of_translator(
    patient: Patient, data: datasets.Data | None, why: str, limit: int, device: str, method: str | Path | None
) -> tuple[list[Finding], int, Finding]:
    """The signs in the outputs of a translator, the number of images, and whether pairs are learned by heart."""
    copies = unknown("copies", TRANSLATES)
    assert patient.file is not None
    translator = load(patient.file, device, "fp32", method=method)
    if data is None:
        missing = [unknown(sign, why) for sign in PIXELS]
        return [*missing, copies], 0, unknown("overfitting", why)
    batch = _sample(data, limit)
    outputs = torch.stack(translator([*batch.x], batch=BATCH))
    real = Real.of(batch.y) if batch.y is not None and len(batch.y) > 1 else None
    paired = data.layout == "paired"
    findings = judge_outputs(batch.x, outputs, real, batch.y if paired else None)
    learned = unknown("overfitting", "Without pairs there is no error to compare.")
    if paired and "train" in data.splits and len(data.splits) > 1 and batch.y is not None:
        training = _sample(datasets.open(data.roots, data.spec, split="train"), limit)
        assert training.y is not None
        held_out = float((outputs - batch.y).abs().mean())
        known = float((torch.stack(translator([*training.x], batch=BATCH)) - training.y).abs().mean())
        ratio = held_out / max(known, 1e-9)
        learned = judged(
            "overfitting",
            ratio > LEARNED,
            {"held-out": held_out, "training": known},
            f"The error on held-out pairs, {held_out:.3f}, is {ratio:.1f} times that on training pairs.",
        )
    elif paired:
        learned = unknown("overfitting", "The pairs are not divided into training and test.")
    return [*findings, copies], len(outputs), learned


def _of_generator(
    file: ModelFile, data: datasets.Data | None, why: str, device: str, method: str | Path | None
) -> tuple[list[Finding], int]:
    """The signs in images from noise, and their number."""
    generator = load_generator(file, device, method)
    labels = range(min(10, len(generator.labels))) if generator.conditional else [None]
    each = CLASS_SAMPLES if generator.conditional else LIMIT
    columns = [torch.stack([image.cpu() for image in generator.images(range(each), label)]) for label in labels]
    samples = torch.cat(columns)
    others = [
        unknown(sign, NOISE) for sign in PIXELS if sign not in ("alike", "black", "white", "flat", "checkerboard")
    ]
    if data is None:
        missing = ("alike", "copies", "black", "white", "flat", "checkerboard")
        return [*others, *(unknown(sign, why) for sign in missing)], len(samples)
    real = Real.of(_sample(data, LIMIT).x)
    held_out = data if "train" in data.splits and len(data.splits) > 1 else None
    train = datasets.open(data.roots, data.spec, split="train") if held_out is not None else data
    monitor = CollapseMonitor(SilentObserver(), train, held_out)
    spread, nearest = monitor.look(1, [shrunk(column) for column in columns]).values()
    return [
        *others,
        *judge_outputs(None, samples, real),
        judged(
            "alike",
            spread < MIN_SPREAD,
            {"spread": spread},
            f"The samples differ from each other {spread:.0%} as much as real images do.",
        ),
        judged(
            "copies",
            nearest < MIN_NEAREST,
            {"nearest": nearest},
            f"The samples are {nearest:.0%} as far from the nearest training image as held-out images are.",
        ),
    ], len(samples)
