"""One HTML page, without any other file: a table of compressed models, curves, and their images side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from torch import Tensor

from i2i.core.files import atomic_path
from i2i.inference.html_pages import image_uri
from i2i.media import grids

STYLE = """body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}
table{border-collapse:collapse}td,th{padding:.25rem .7rem;border-bottom:1px solid #ccc;text-align:right}
td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}img{max-width:100%}
figure{display:inline-block;margin:0 1rem 1rem 0}svg{background:#fafafa;border:1px solid #ddd}"""
WIDTH, HEIGHT, MARGIN = 420, 300, 55


@dataclass(frozen=True)
class Curve:
    """Points (x, y) by name, with the titles of both axes."""

    x: str
    y: str
    points: Mapping[str, tuple[float, float]]


def write_page(
    path: Path,
    title: str,
    text: str,
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    images: Mapping[str, Tensor],
    curves: Sequence[Curve] = (),
) -> None:
    """Writes the page, and images.png beside it. images: columns of a grid, [B, C, H, W] in [-1, 1] by title."""
    head = "".join(f"<th>{escape(t)}</th>" for t in titles)
    body = "".join("<tr>" + "".join(f"<td>{escape(v)}</td>" for v in row) + "</tr>" for row in rows)
    drawn = "".join(f"<figure>{_svg(curve)}</figure>" for curve in curves)
    drawn_images = grids.draw_grid(dict(images))
    grid = image_uri(np.asarray(drawn_images), quality=90)
    with atomic_path(path.with_name("images.png")) as temporary:
        drawn_images.save(temporary, format="PNG")
    html = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{escape(title)}</h1><p>{escape(text)}</p><table><tr>{head}</tr>{body}</table>{drawn}"
        f"<h2>Images</h2><img src='{grid}' alt='The same inputs through all models'></html>"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _svg(curve: Curve) -> str:
    """A scatter plot; the horizontal axis is logarithmic."""
    known = {k: p for k, p in curve.points.items() if p[0] > 0}
    if not known:
        return ""
    xs, ys = np.log10([p[0] for p in known.values()]), np.array([p[1] for p in known.values()])

    def scaled(values: np.ndarray, start: float, end: float) -> np.ndarray:
        low, high = float(values.min()), float(values.max())
        room = (high - low) * 0.1 or 0.1 * abs(high) or 1.0
        return start + (values - low + room) / (high - low + 2 * room) * (end - start)

    across, down = scaled(xs, MARGIN, WIDTH - 10), scaled(ys, HEIGHT - MARGIN, 10)
    parts = [f"<svg width={WIDTH} height={HEIGHT} font-size=11>"]
    parts += [f"<text x={WIDTH / 2} y={HEIGHT - 8} text-anchor=middle>{escape(curve.x)} (logarithmic)</text>"]
    parts += [f"<text x=12 y={HEIGHT / 2} transform='rotate(-90 12 {HEIGHT / 2})' text-anchor=middle>"]
    parts += [f"{escape(curve.y)}</text>"]
    for (name, (x, y)), left, top in zip(known.items(), across, down, strict=True):
        label = f"{name}: {curve.x} {x:,.4g}, {curve.y} {y:.4g}"
        anchor = "end" if left > WIDTH * 0.7 else "start"
        shift = -7 if anchor == "end" else 7
        parts += [f"<circle cx={left:.1f} cy={top:.1f} r=4 fill='#2563eb'><title>{escape(label)}</title></circle>"]
        parts += [f"<text x={left + shift:.1f} y={top - 5:.1f} text-anchor={anchor}>{escape(name)} {y:.4g}</text>"]
    return "".join([*parts, "</svg>"])
