"""Self-contained HTML pages: templates with their style, script and images inside, which work from the disk."""

from __future__ import annotations

import base64
import functools
import io
import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from i2i.media import images

FOLDER = Path(__file__).parent
LOSSLESS = 0  # quality: WebP without loss


def render(name: str, script_data: Any, **values: Any) -> str:
    """The template NAME.html.j2 as text, with NAME.css and NAME.js inside, and `script_data` for the script."""
    text = json.dumps(script_data, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
    return (
        _templates()
        .get_template(f"{name}.html.j2")
        .render(
            css=Markup((FOLDER / f"{name}.css").read_text(encoding="utf-8")),
            js=Markup((FOLDER / f"{name}.js").read_text(encoding="utf-8")),
            script_data=Markup(text),
            **values,
        )
    )


def image_uri(image: np.ndarray, quality: int = LOSSLESS) -> str:
    """An image uint8 [H, W, C] as the data URI of a WebP file without metadata. quality: 1 to 100, or LOSSLESS."""
    file = io.BytesIO()
    pil = images.to_pil(image).convert("RGB")
    if quality == LOSSLESS:
        pil.save(file, "WEBP", lossless=True, quality=60, method=4)
    else:
        pil.save(file, "WEBP", quality=quality, method=4)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
