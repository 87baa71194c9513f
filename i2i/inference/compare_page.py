"""compare.html: the same images side by side, with zoom and difference maps. One file that works from the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from i2i.inference import metric_choice
from i2i.inference.html_pages import image_uri
from i2i.inference.html_pages import render as render_page
from i2i.inference.lineup import Item, Lineup
from i2i.media import images

MOST = 500  # images on a page
LARGEST = 60 << 20  # bytes of a page


@dataclass(frozen=True)
class Shown:
    """An input with its outputs as uint8 [H, W, C]. apart: distance of the outputs; scores: by candidate and metric."""

    name: str
    apart: float
    input: np.ndarray
    truth: np.ndarray | None
    outputs: list[np.ndarray]
    scores: dict[str, dict[str, float]]


def shown(item: Item, apart: float, scores: dict[str, dict[str, float]]) -> Shown:
    """What the page keeps of an item."""
    truth = None if item.truth is None else images.to_uint8(item.truth)
    outputs = [images.to_uint8(output) for output in item.outputs]
    return Shown(item.name, apart, images.to_uint8(item.x), truth, outputs, scores)


def render(lineup: Lineup, rows: Sequence[Shown], apart_by: str, result: dict[str, Any]) -> tuple[str, int]:
    """(the page, the number of rows on it): the first rows that fit into LARGEST bytes."""
    has_truth = lineup.data.layout == "paired"
    titles = ["input", *(["real"] if has_truth else []), *lineup.names]
    cards: list[dict[str, Any]] = []
    bytes_so_far = 0
    for row in rows:
        pixels = [row.input, *([] if row.truth is None else [row.truth]), *row.outputs]
        uris = [image_uri(image) for image in pixels]
        bytes_so_far += sum(map(len, uris))
        if cards and bytes_so_far > LARGEST:
            break
        height, width = pixels[-1].shape[:2]
        name = PurePosixPath(row.name).with_suffix("").as_posix()
        cards.append({"name": name, "apart": row.apart, "uris": uris, "width": width, "height": height,
                      "scores": [_line(row.scores.get(title, {})) for title in titles]})  # fmt: skip
    orders = [("apart", f"outputs differ most ({metric_choice.title(apart_by)})"), ("name", "name")]
    measures = _measures(rows)
    for candidate in lineup.names:
        orders += [(f"{candidate}/{m}", f"{candidate}: worst {metric_choice.title(m)}") for m in measures]
    values = [
        {"apart": -row.apart, "name": row.name, **_order_values(row, lineup.names, measures)}
        for row in rows[: len(cards)]
    ]
    text = render_page(
        "compare",
        {"orders": values},
        titles=titles,
        cards=cards,
        orders=orders,
        table=table(result),
        differences=difference_lines(result),
        result=result,
        network=result.get("features", {}).get("network", ""),
        notes=[*result["notes"], *result.get("features", {}).get("warnings", [])],
        apart_title=metric_choice.title(apart_by),
        has_truth=has_truth,
    )
    return text, len(cards)


def table(result: dict[str, Any]) -> list[list[str]]:
    """Rows of text: the metric, which way is better, and each candidate's score with its interval."""
    names = list(result["scores"])
    metrics = list(dict.fromkeys(metric for name in names for metric in result["scores"][name]))
    rows = []
    for metric in metrics:
        better = "higher" if metric_choice.higher_is_better(metric) else "lower"
        cells = []
        for name in names:
            value, edges = result["scores"][name].get(metric), result["intervals"][name].get(metric)
            spread = f" ({short(edges[0])} to {short(edges[1])})" if edges else ""
            cells.append("-" if value is None else f"{short(value)}{spread}")
        rows.append([metric_choice.title(metric), better, *cells])
    return rows


def difference_lines(result: dict[str, Any]) -> list[list[str]]:
    """Rows of text: the two candidates, the metric, the difference, its interval, and what it says."""
    rows = []
    for row in result["differences"]:
        interval = f"{short(row['interval'][0])} to {short(row['interval'][1])}"
        verdict = f"{row['better']} is better" if row["clear"] else "not clear"
        pair = f"{row['a']} - {row['b']}"
        rows.append([pair, metric_choice.title(row["metric"]), short(row["difference"]), interval, verdict])
    return rows


def short(value: float) -> str:
    """Four digits after the point for small numbers, fewer for large ones."""
    if abs(value) < 0.00005:
        return "0.0000"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 1000 else f"{value:,.0f}"


def _measures(rows: Sequence[Shown]) -> list[str]:
    """Metrics by which rows can be sorted."""
    first = next(iter(rows[0].scores.values()), {}) if rows else {}
    return [metric for metric in ("lpips", "l1", "ssim") if metric in first]


def _order_values(row: Shown, names: Sequence[str], measures: Sequence[str]) -> dict[str, float]:
    """Numbers to sort by, the worst first."""
    values = {}
    for name in names:
        for metric in measures:
            value = row.scores.get(name, {}).get(metric)
            sign = 1 if metric_choice.higher_is_better(metric) else -1
            if value is not None:
                values[f"{name}/{metric}"] = sign * value
    return values


def _line(scores: dict[str, float]) -> str:
    """Some scores of one image in a line."""
    wanted = [metric for metric in ("lpips", "l1", "psnr") if metric in scores]
    return ", ".join(f"{metric_choice.title(metric)} {short(scores[metric])}" for metric in wanted)
