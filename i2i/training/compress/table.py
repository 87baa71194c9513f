"""The lecture's table on one's own model: every row trains for equally many images, and all are scored alike."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from i2i.core.errors import I2IError, among
from i2i.core.files import atomic_path
from i2i.models import format as model_file
from i2i.nets import narrow
from i2i.nets.blocks import init_weights
from i2i.training.compress import compress as use_case
from i2i.training.compress import measures
from i2i.training.compress.original import Original, open_original
from i2i.training.compress.page import Curve, write_page
from i2i.training.compress.plan import ROWS, Plan
from i2i.training.compress.pruned import Pruned

TEXT = (
    "Every row has trained on the same number of images, from the start that it names. Lower is better in all scores. "
    "Rows j to m quote other methods, of which the paper gives marks and no details: they are our reading."
)


@dataclass(frozen=True)
class TableResult:
    """The table as text, as values, and as a page."""

    titles: list[str]
    rows: list[list[str]]
    values: dict[str, Any]
    page: Path


def run_table(
    model: str | Path,
    folder: Path,
    data: list[str] | None,
    request: use_case.Request,
    rows: Sequence[str] | None = None,
    *,
    direction: str = "AtoB",
    limit: int | None = 200,
    tell: Callable[[str], None] | None = None,
) -> TableResult:
    """Trains and scores the rows (None: all of ROWS) into `folder`, which keeps a model of each; rows that are there
    are not trained again.

    limit: images that a row is scored on. Raises I2IError for an unknown row and a model without discriminators."""
    chosen = list(rows or ROWS)
    for row in chosen:
        if row not in ROWS:
            raise I2IError(f"There is no row {row!r}.", among(row, ROWS))
    request.plan.check()
    if folder.is_file():
        raise I2IError(f"{folder} is a file.", "Give a folder for -o.")
    tell = tell or (lambda sentence: None)
    original = open_original(model, data, direction=direction, training=use_case.settings_of(request))
    use_case.set_default_length(original, request)
    if missing := original.missing(original.build()):
        raise I2IError(
            f"{original.name} holds no discriminator ({', '.join(missing)}), and most rows of the table need it.",
            "Give its run's folder, or a model trained with --set keep_discriminators=yes.",
        )

    # Every row: trained, or found; then scored.
    folder.mkdir(parents=True, exist_ok=True)
    held_out = original.run.held_out or original.run.data
    example = original.build()
    inputs = example.example(original.run.shape)
    teacher = example.get_submodule(original.network)
    values: dict[str, Any] = {"original": _scored(original, teacher, "", direction, limit)}
    images = measures.inputs_of(original.header, held_out)
    images["original"] = measures.images_of(teacher, original.header, held_out)
    for row in chosen:
        plan = dataclasses.replace(ROWS[row], sparsity=request.plan.sparsity)
        tell(f"Row {row}: {plan.title}.")
        try:
            network = row_network(original, row, plan, folder)
        except I2IError as error:
            tell(f"Row {row} is left out: {error.what}")
            continue
        values[row] = (
            _scored(original, network, plan.title, direction, limit) | measures.Size.of(network, inputs, None).row()
        )
        images[row] = measures.images_of(network, original.header, held_out)
    return _write(original, folder, values, images)


def row_network(original: Original, row: str, plan: Plan, folder: Path) -> nn.Module:
    """The generator of a row, from its file, or trained."""
    path = folder / f"{row}.safetensors"
    facts = {"plan": dataclasses.asdict(plan), "model": original.start.digest, "length": original.run.total}
    facts = {**json.loads(json.dumps(facts)), "seed": original.run.training.seed}
    if path.is_file() and model_file.read_header(path).get("compressed") == facts:
        return model_file.load(path).networks[original.network]
    method = row_method(original, plan)
    network = use_case.train(method, original, folder / f"{row}.run", facts)
    if method.pruning is not None:
        method.pruning.apply_to(network)
    header = {**use_case.kept(original.header), "compressed": facts}
    model_file.save(path, {original.network: network}, header, sparse=True)
    return network


def row_method(original: Original, plan: Plan) -> Pruned:
    """What trains a row: generator and discriminators start as its plan says."""
    inner, fresh = original.build(), original.fresh()
    if plan.init_d == "random":
        use_case.renew(inner, original, every=True)
    source = inner if plan.init_g == "dense" else fresh
    network = copy.deepcopy(source.get_submodule(original.network))
    if plan.form == "narrow":  # as many weights as stay: they grow with the square of the width
        own = use_case.width_of(network)
        width = max(1, round(own * math.sqrt(1 - plan.sparsity)))
        network = narrow.narrow(network, width)
        if plan.init_g == "random":
            init_weights(network)
    return Pruned(inner, original.network, network, plan)


def _scored(original: Original, network: nn.Module, title: str, direction: str, limit: int | None) -> dict[str, Any]:
    scores = measures.quality(network, original.network, original.header, original.run.sources, direction, limit)
    return {"title": title, **scores}


def _write(original: Original, folder: Path, values: dict[str, Any], images: dict[str, Any]) -> TableResult:
    """Writes table.json and index.html."""
    metrics = [m for m in measures.METRICS if m in values["original"]]
    titles = ["row", "", *(measures.METRICS[m] for m in metrics)]
    rows = [[row, found["title"], *(f"{found[m]:.4g}" for m in metrics)] for row, found in values.items()]
    facts = {"images": original.run.total, "seed": original.run.training.seed, "rows": values}
    with atomic_path(folder / "table.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    curves = [
        Curve(
            "non-zero weights", measures.METRICS[m], {r: (v["nonzero"], v[m]) for r, v in values.items() if r in ROWS}
        )
        for m in metrics[:1]
    ]
    title = f"Compressions of {Path(original.name).name}, {original.run.total:,} images a row"
    write_page(folder / "index.html", title, TEXT, titles, rows, images, curves)
    return TableResult(titles, rows, facts, folder / "index.html")
