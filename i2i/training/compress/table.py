"""The lecture's table on one's own model: every row trains for equally many images, and all are scored alike."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from i2i.core.errors import I2IError, among
from i2i.core.files import atomic_path
from i2i.models import format as model_file
from i2i.nets import narrow
from i2i.nets.blocks import init_weights
from i2i.training.compress import compress as use_case
from i2i.training.compress import measures
from i2i.training.compress.original import OF_DATA, Original, open_original
from i2i.training.compress.page import Curve, write_page
from i2i.training.compress.plan import ROWS, Plan
from i2i.training.compress.pruned import Pruned
from i2i.training.compress.training import train
from i2i.training.signals import Interrupted

TEXT = (
    "Every row has trained on the same number of images, from the start that it names. Lower is better in all scores. "
    "± is half of the distance between the lowest and the highest score of several seeds. "
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
    seeds: int = 1,
    direction: str = "AtoB",
    limit: int | None = 200,
    tell: Callable[[str], None] | None = None,
) -> TableResult:
    """Trains and scores the rows (None: all of ROWS) into `folder`, which keeps a model and the scores of each; rows
    that are there are not trained or scored again. The page is written anew after each row.

    seeds: trainings of a row, from the request's seed on. limit: images that a row is scored on. Raises I2IError for an
    unknown row and a model without discriminators."""
    chosen = list(rows or ROWS)
    for row in chosen:
        if row not in ROWS:
            raise I2IError(f"There is no row {row!r}.", among(row, ROWS))
    request.plan.check()
    if folder.is_file():
        raise I2IError(f"{folder} is a file.", "Give a folder for -o.")
    tell = tell or (lambda sentence: None)
    original = open_original(model, data, direction=direction, training=use_case.settings_of(request))
    use_case.set_length(original, request)
    if missing := original.missing(original.build()):
        raise I2IError(
            f"{original.name} holds no discriminator ({', '.join(missing)}), and most rows of the table need it.",
            "Give its run's folder, or a model trained with --set keep_discriminators=yes.",
        )

    # The original.
    folder.mkdir(parents=True, exist_ok=True)
    held_out = original.run.held_out or original.run.data
    example = original.build()
    inputs = original.example(example)
    teacher = example.get_submodule(original.network)
    scored = Scored(original, folder, direction, limit)
    results = {"original": [scored.scores("original", teacher, {})]}
    sizes: dict[str, dict[str, float]] = {}
    images = measures.inputs_of(original.header, held_out)
    images["original"] = measures.images_of(teacher, original.header, held_out)

    # Every row of each seed: trained, or found; then scored, or found.
    first = original.run.training.seed
    for seed in range(first, first + seeds):
        original.run.training = dataclasses.replace(original.run.training, seed=seed)
        for row in chosen:
            plan = dataclasses.replace(ROWS[row], sparsity=request.plan.sparsity)
            stem = row if seed == first else f"{row}-seed{seed}"
            tell(f"Row {row}: {plan.title}." if seeds == 1 else f"Row {row}, seed {seed}: {plan.title}.")
            facts = facts_of(original, plan)
            try:
                network = row_network(original, stem, plan, facts, folder)
            except Interrupted:  # Ctrl-C stops the table, not a row of it
                raise
            except I2IError as error:
                tell(f"Row {row} is left out: {error.what}")
                continue
            results.setdefault(row, []).append(scored.scores(stem, network, facts))
            if row not in images:
                sizes[row] = measures.Size.of(network, inputs, folder / f"{stem}.safetensors").row()
                images[row] = measures.images_of(network, original.header, held_out)
            result = _write(original, folder, first, results, sizes, images)
    return result if len(results) > 1 else _write(original, folder, first, results, sizes, images)


@dataclass(frozen=True)
class Scored:
    """The scores of generators on held-out images, each kept in a file of the folder as soon as it is known."""

    original: Original
    folder: Path
    direction: str
    limit: int | None

    def scores(self, stem: str, network: nn.Module, facts: dict[str, Any]) -> dict[str, float]:
        """The scores of `network`, from STEM.json if that was written for the same facts."""
        path, own = self.folder / f"{stem}.json", self.original
        facts = {**facts, "model": own.start.digest, "scored on": [*own.run.sources], "limit": self.limit}
        facts["size"] = own.run.shape.size
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(path.read_text(encoding="utf-8"))
            if known["facts"] == facts:
                return {m: float(known["scores"][m]) for m in known["scores"]}
        scores = measures.quality(network, own.network, own.header, own.run.sources, self.direction, self.limit)
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps({"scores": scores, "facts": facts}, indent=1), encoding="utf-8")
        return scores


def facts_of(original: Original, plan: Plan) -> dict[str, Any]:
    """What must be the same for a row that is there to be taken as it is."""
    facts = {"plan": dataclasses.asdict(plan), "model": original.start.digest, "length": original.run.total}
    settings = original.run.data_settings
    facts |= {"data": original.run.sources, "batch": original.run.training.batch}
    facts |= {name: getattr(settings, name) for name in OF_DATA}
    return {**json.loads(json.dumps(facts)), "seed": original.run.training.seed}


def row_network(original: Original, stem: str, plan: Plan, facts: dict[str, Any], folder: Path) -> nn.Module:
    """The generator of a row, from the file STEM.safetensors, or trained."""
    path = folder / f"{stem}.safetensors"
    if path.is_file() and model_file.read_header(path).get("compressed") == facts:
        return model_file.load(path).networks[original.network]
    method = row_method(original, plan)
    network, _ = train(method, original, folder / f"{stem}.run", facts)
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
        own = narrow.width_of(network)
        width = max(1, round(own * math.sqrt(1 - plan.sparsity)))
        network = narrow.narrow(network, width)
        if plan.init_g == "random":
            init_weights(network)
    return Pruned(inner, original.network, network, plan)


def _write(
    original: Original,
    folder: Path,
    first: int,
    results: dict[str, list[dict[str, float]]],
    sizes: dict[str, dict[str, float]],
    images: dict[str, Tensor],
) -> TableResult:
    """Writes table.json, index.html and images.png. results: of each row, the scores of its seeds."""
    metrics = [m for m in measures.METRICS if m in results["original"][0]]
    values: dict[str, Any] = {}
    for row, found in results.items():
        columns = {m: [scores[m] for scores in found] for m in metrics}
        means = {m: sum(column) / len(column) for m, column in columns.items()}
        values[row] = {"title": ROWS[row].title if row in ROWS else "", **means, **sizes.get(row, {})}
        values[row] |= {"seeds": columns} if len(found) > 1 else {}
    titles = ["row", "", *(measures.METRICS[m] for m in metrics)]
    rows = [[row, found["title"], *(_with_spread(found, m) for m in metrics)] for row, found in values.items()]
    facts = {"images": original.run.total, "seed": first, "rows": values}
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


def _with_spread(values: dict[str, Any], metric: str) -> str:
    """The mean over the seeds, and half of the distance between the lowest and the highest."""
    seeds = values.get("seeds", {}).get(metric)
    text = f"{values[metric]:.4g}"
    return text if seeds is None else f"{text} ± {(max(seeds) - min(seeds)) / 2:.2g}"
