"""The precision of a translation: one for all its images, in every process and on every machine that shares it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from i2i.core.device import device_of
from i2i.core.errors import I2IError
from i2i.inference.record import Record
from i2i.inference.settings import RunSettings
from i2i.inference.workers import Work
from i2i.models import content
from i2i.models import format as model_file
from i2i.models.load import ModelFile, find
from i2i.models.precision import MIXED, choose, may_lower
from i2i.models.translator import Translator

BEGUN = "the outputs in this folder were made so"
SHARED = "parts of a job may run on machines of other kinds, which must agree"


def settled(work: Work, run: RunSettings) -> tuple[Work, str]:
    """The work with a precision in place of auto, and why that one; "" if the user named it or loaded the model.

    A loaded model keeps its own. Parts of a job array and nodes of a cluster take fp32."""
    network = work.network
    if isinstance(work.model, Translator):
        name = MIXED if work.model.precision == MIXED else "fp32"  # records of loaded models say fp32 for others
        return _with(work, name) if network.precision == "auto" else work, ""
    if network.precision != "auto":
        return work, ""
    if run.shard or run.ray:
        return _with(work, "fp32"), SHARED
    if network.compile:
        return _with(work, "fp32"), "bf16 was not measured for compiled networks"
    name, why = choose(_header(work.model), network.direction, network.statistics, device_of(network.device))
    return _with(work, name), why


def kept(work: Work, record: Record | None, digest: Callable[[Work], str]) -> Work:
    """The work in the precision in which an earlier part of it was done, as the record of the output folder says.

    digest: of all that changes outputs. Only for work whose precision was settled, and models that may be lowered."""
    network, model = work.network, work.model
    header = model.header if isinstance(model, Translator) else _header(model)
    if record is None or not may_lower(header, network.direction, network.statistics)[0]:
        return work
    known = {entry.get("settings") for entry in record.entries().values()}
    names = [network.precision, *(name for name in ("fp32", MIXED, "bf16") if name != network.precision)]
    forms = (_with(work, name) for name in names)
    return next((form for form in forms if known and digest(form) in known), work)


def _with(work: Work, name: str) -> Work:
    model = work.model
    if isinstance(model, Translator) and work.network.precision != "auto" and model.precision != name:
        model = model.with_precision(name)
    return dataclasses.replace(work, model=model, network=dataclasses.replace(work.network, precision=name))


def _header(model: str | Path | ModelFile) -> dict[str, object]:
    """The header of a model's file; {} for files of others, and for those that cannot be read, as loading will say."""
    try:
        path = find(model).path
        return model_file.read_header(path) if content.kind_of(path) == content.SAFETENSORS else {}
    except I2IError:
        return {}
