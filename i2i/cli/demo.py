"""`i2i demo`: a web page that translates images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from i2i.cli.output import print_json, progress_bar
from i2i.core.device import DEVICE_NAMES
from i2i.core.optional import install_hint


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="demo", help=HELP)(demo)


HELP = f"""Show a web page: drop an image, and compare it with its translation by a slider.

The page can be opened on this machine only, unless --host says otherwise; other web pages cannot use it. Uploads and
results are removed after half an hour, and when Ctrl-C ends the page.
Needs the extra: {install_hint("demo")}.

\b
Examples:
  i2i demo
  i2i demo --model runs/mine --model cyclegan_daynight --open
"""


ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="Model to choose on the page; may be repeated. [default: the published models on this disk]",
        show_default=False,
    ),
]
HostOption = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines open the page.")]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Another name of this machine that browsers may use; may be repeated. [default: its names and addresses]",
        show_default=False,
        metavar="NAME",
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=65535,
        help="Port to listen on. [default: 7860, or the next free one]",
        show_default=False,
        metavar="PORT",
    ),
]
MaxUploadOption = Annotated[
    float, typer.Option(min=0.001, metavar="MB", help="Largest file that can be uploaded, in MB.")
]
MaxStoredOption = Annotated[
    float, typer.Option(min=0.001, metavar="MB", help="Room for all uploads and results together, in MB.")
]
MaxPixelsOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Refuse images with more than N pixels. [default: 100 million]", show_default=False, metavar="N"
    ),
]


def demo(
    model: ModelOption = None,
    host: HostOption = "127.0.0.1",
    allow_host: AllowHostOption = None,
    port: PortOption = None,
    max_upload: MaxUploadOption = 20,
    max_stored: MaxStoredOption = 500,
    max_pixels: MaxPixelsOption = None,
    method: Annotated[
        Path | None,
        typer.Option(help="Your own method file, if a model was trained with one. Its code is run.", metavar="FILE"),
    ] = None,
    device: Annotated[str, typer.Option(help=f"Device to run on: {DEVICE_NAMES}.")] = "auto",
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the address and the models as JSON when the page is ready.")
    ] = False,
) -> None:
    """Loads the models and serves the page (see HELP)."""
    from i2i.inference.demo import Studio
    from i2i.inference.demo_guard import allowed_hosts
    from i2i.inference.demo_server import free_port, serve
    from i2i.media.images import MAX_PIXELS
    from i2i.models.load import find

    free_port(host, port)  # before the seconds that loading takes
    allowed_hosts(host, allow_host or ())
    for name in model or ():
        with progress_bar(name, quiet or as_json) as progress:
            find(name, progress)
    studio = Studio(model or (), device, max_pixels or MAX_PIXELS, method)

    def ready(address: str) -> None:
        if as_json:
            print_json({"address": address, "models": list(studio.models)})
        elif not quiet:
            typer.echo(f"The page is at {address}. Press Ctrl-C to stop.")

    serve(studio, host, port, max_upload, show, ready, max_stored, allow_host or ())
