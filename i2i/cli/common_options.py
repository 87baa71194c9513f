"""Options that several commands share, each declared once with its help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from i2i.core.device import DEVICE_NAMES

Device = Annotated[str, Option(help=f"Device to run on: {DEVICE_NAMES}.")]
Method = Annotated[
    Path | None,
    Option(help="Your own method file, if the model was trained with one. Its code is run.", metavar="FILE"),
]
Split = Annotated[
    str | None,
    Option(
        help="Split of the data: train, val or test. [default: test, or all if there are no splits]",
        metavar="NAME",
        show_default=False,
    ),
]
Size = Annotated[
    int | None,
    Option(
        help="Side in pixels at which all candidates are run. [default: the models'; of several the largest]",
        metavar="PIXELS",
        min=8,
    ),
]
Steps = Annotated[
    int | None,
    Option(
        help="Steps of models that answer in several: more take longer. [default: the model's own number]",
        metavar="K",
        min=1,
        show_default=False,
    ),
]
AsJson = Annotated[bool, Option("--json", help="Print the result as JSON.")]
