"""The arguments and options of `i2i study new`, each declared once with its help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Candidates = Annotated[
    list[str],
    typer.Argument(
        help="Models (files, run folders, names of `i2i models`) or folders with outputs.",
        metavar="A [B ...]",
        show_default=False,
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The page.", metavar="FILE.html")]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        help="Where the inputs and the real images lie; for two folders write --data twice. "
        "[default: what the models were trained on]",
        metavar="DIR|NAME",
        show_default=False,
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(
        help="real: which of two images is real? A page for each candidate. ab: which output of two candidates is "
        "better? [default: real for one candidate, ab for more]",
        metavar="real|ab",
        show_default=False,
    ),
]
Trials = Annotated[int, typer.Option(help="Scored pairs of a page.", metavar="N", min=1)]
Practice = Annotated[
    int, typer.Option(help="Pairs for practice before them, with feedback; never scored.", metavar="N", min=0)
]
Vigilance = Annotated[
    int, typer.Option(help="Obvious pairs among them, which show who does not look.", metavar="N", min=0)
]
Seconds = Annotated[
    float | None,
    typer.Option(
        help="Time that a pair is shown, 0 to 60; 0: until the answer. [default: 1 for real, 0 for ab]",
        metavar="SECONDS",
        show_default=False,
    ),
]
ShowInput = Annotated[
    bool | None,
    typer.Option(
        "--input/--no-input", help="Show the input above the pair. [default: for ab only]", show_default=False
    ),
]
Limit = Annotated[int | None, typer.Option(help="Use only the first N inputs.", metavar="N", min=1)]
Seed = Annotated[int, typer.Option(help="Seed of the choice of pairs.", metavar="N")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a page and a key that exist.")]
