"""The arguments and options of `i2i compare`, each declared once with its help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Candidates = Annotated[
    list[str],
    typer.Argument(
        help="Two or more models (files, run folders, names of `i2i models`) or folders with outputs.",
        metavar="A B ...",
        show_default=False,
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        help="Where the inputs and the true images lie: a folder or the name of a data set; for two folders write "
        "--data twice. [default: what the models were trained on]",
        metavar="DIR|NAME",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="The page, an HTML file. [default: none]", metavar="FILE.html")
]
Limit = Annotated[int | None, typer.Option(help="Compare only the first N images. [default: all]", metavar="N", min=1)]
Show = Annotated[int, typer.Option(help="Images on the page: 1 to 500.", metavar="N", min=1, max=500)]
Metrics = Annotated[
    str | None,
    typer.Option(help="Metrics, with commas; see `i2i evaluate --help`. [default: all that fit]", metavar="NAMES"),
]
Features = Annotated[
    str,
    typer.Option(help="Network by which sets of images are compared; see `i2i evaluate --help`.", metavar="NETWORK"),
]
Seed = Annotated[int, typer.Option(help="Seed of intervals and of random subsets.", metavar="N")]
