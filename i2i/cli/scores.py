"""The tables that `i2i evaluate` prints, and `i2i train` at its end."""

from __future__ import annotations

from typing import Any

import typer

from i2i.cli.output import print_table

ROWS = ("model", "mean image", "input copied", "gray", "mean color", "bicubic", "true images", "real images")


def print_scores(result: dict[str, Any]) -> None:
    """Prints what `i2i.evaluate` returns as tables."""
    if result.get("note"):
        typer.echo(result["note"])
    kind = "images from noise" if "generated" in result else "images" if "unpaired" in result else "pairs"
    where = f" {'beside' if 'generated' in result else 'of'} {result.get('split') or 'the data'}"
    size = f", at {result['size']} pixels" if "size" in result else ""
    steps = f", in {result['steps']} step{'s' * (result['steps'] != 1)}" if "steps" in result else ""
    typer.echo(f"Scores on {result['count']} {kind}{where}{size}{steps}:")
    if "unpaired" in result:
        names = {"changed": "mean change, |G(x) - x|", "way back": "error of the way back, |F(G(x)) - x|"}
        names["colors"] = "difference of mean colors to the other side"
        print_table([[names[key], f"{value:.4f}"] for key, value in result["unpaired"].items()])
    rows = {title: values for title, values in result.items() if title in ROWS}
    if rows:
        typer.echo()
        _print_rows(rows, result.get("intervals", {}).get("model", {}))
    answers = result.get("diversity")
    if answers:
        typer.echo(
            f"Diversity: mean LPIPS ({answers['network']}) of {answers['pairs']} random pairs of {answers['answers']} "
            f"answers for each of {answers['inputs']} inputs."
        )
    facts = result.get("features")
    if facts:
        typer.echo(
            f"Sets are compared by {facts['network']} (resize: {facts['resize']}): {facts['images']} outputs and "
            f"{facts['real images']} real images, seed {facts['seed']}."
        )
        if "labels" in result.get("generated", {}):
            typer.echo(f"Asked labels: {result['generated']['labels']}.")
        for warning in facts["warnings"]:
            typer.echo(f"Note: {warning}")


def _print_rows(rows: dict[str, dict[str, float]], intervals: dict[str, list[float]]) -> None:
    """One line a metric: the model's score with its 95 % interval, and the score of each guess."""
    from i2i.inference.metric_choice import has_best, higher_is_better, title

    metrics = list(dict.fromkeys(metric for values in rows.values() for metric in values))
    lines = []
    for metric in metrics:
        edges = intervals.get(metric)
        interval = f"{_short(edges[0])} to {_short(edges[1])}" if edges else "-"
        better = ("higher" if higher_is_better(metric) else "lower") if has_best(metric) else "as true"
        scores = [_short(values[metric]) if metric in values else "-" for values in rows.values()]
        lines.append([title(metric), better, scores[0], interval, *scores[1:]])
    first, *others = rows
    print_table(lines, ["", "better", first, "95 % interval", *others])


def _short(value: float) -> str:
    """Four digits after the point for small numbers, fewer for large ones."""
    value = 0.0 if abs(value) < 5e-5 else value  # never -0.0000
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 1000 else f"{value:,.0f}"
