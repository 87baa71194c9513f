"""`i2i demo`: a web page that translates images."""

from __future__ import annotations

from typing import Annotated

import typer

from i2i.cli.output import print_json, progress_bar
from i2i.core.device import DEVICE_NAMES


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="demo")(demo)


def demo(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="To choose from; may be repeated. [those on this disk]", show_default=False),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="[7860, or the next that is free]", show_default=False)
    ] = None,
    max_upload: Annotated[float, typer.Option(min=0.001, metavar="MB", help="Largest file taken.")] = 20,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="Most pixels of an image. [100 million]", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help=f"Device to run on: {DEVICE_NAMES}.")] = "auto",
    show: Annotated[bool, typer.Option("--open", help="Open the browser.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The address and the models as JSON, when ready.")] = False,
) -> None:
    """Show a web page: drop an image, see it and its translation with a slider between.

    Only this machine sees the page unless --host says otherwise. Ctrl-C ends it, and removes what was uploaded. Needs
    the extra: pip install 'i2i-toolkit[demo]'.

    \b
    Examples:
      i2i demo
      i2i demo --model runs/mine --model cyclegan_daynight --open
    """
    from i2i.inference import demo as use
    from i2i.media import images
    from i2i.models.load import find

    use.free_port(host, port)  # before the seconds that the rest takes
    for one in model or ():
        with progress_bar(one, quiet or as_json) as progress:
            find(one, progress)
    studio = use.Studio(model or (), device, max_pixels or images.MAX_PIXELS)

    def ready(address: str) -> None:
        if as_json:
            print_json({"address": address, "models": list(studio.models)})
        elif not quiet:
            typer.echo(f"The page is at {address} (Ctrl-C ends it).")

    use.serve(studio, host, port, max_upload, show, ready)
