"""`i2i train`: from a recipe and images to a model."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from i2i.cli import launch
from i2i.cli.output import format_value, print_json, print_table, progress_bar
from i2i.core.device import DEVICES
from i2i.core.format import format_bytes


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="train")(train)


def train(
    context: typer.Context,
    recipe: Annotated[
        str | None,
        typer.Argument(help="A name of `i2i recipes`, or a .yaml or .py file.", metavar="RECIPE", show_default=False),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="A folder, two folders (A and B), or a name of `i2i data`.",
            metavar="DIR|NAME",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this folder.", metavar="DIR", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run's folder. [runs/RECIPE-DATA-TIME]", metavar="DIR", show_default=False)
    ] = None,
    size: Annotated[int | None, typer.Option(help="Pixels, side of the square training images.", metavar="N")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.", metavar="N")] = None,
    images: Annotated[int | None, typer.Option(help="Length in images, instead of epochs.", metavar="N")] = None,
    batch: Annotated[int | None, typer.Option(help="Images in a step, all processes together.", metavar="N")] = None,
    direction: Annotated[str | None, typer.Option(help="AtoB or BtoA.", metavar="AtoB|BtoA")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.", metavar="NAME")] = None,
    device: Annotated[
        str | None, typer.Option(help=f"Device to train on: {', '.join(DEVICES)}.", metavar="NAME")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same run.", metavar="N")] = None,
    workers: Annotated[int | None, typer.Option(help="Threads that prepare images.", metavar="N")] = None,
    processes: Annotated[int, typer.Option(help="Processes of this machine: one a GPU.", metavar="N", min=1)] = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting of the recipe; may be repeated.", metavar="KEY=VALUE"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the whole plan and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The result, or the plan, as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train a model on your images, or go on with a run that stopped.

    A run leaves a folder with the model, a report to open in a browser, sample grids and checkpoints. Ctrl-C stops it
    after saving; --resume goes on as if nothing had happened.

    \b
    Examples:
      i2i train pix2pix --data maps
      i2i train cyclegan --data photos/ paintings/
      i2i train pix2pix --data pairs/ --size 256 --epochs 200 --out runs/mine
      i2i train --resume runs/mine
      i2i train cyclegan --data horse2zebra --processes 4 --set pool=0
      i2i train ./my_method.py --data photos/ --dry-run
    """
    named = {"size": size, "epochs": epochs, "images": images, "batch": batch, "direction": direction}
    named |= {"precision": precision, "device": device, "seed": seed, "workers": workers}
    overrides = {k: v for k, v in named.items() if v is not None} | pairs(settings or [])
    if recipe is None and resume is None:
        raise typer.BadParameter("Name a recipe of `i2i recipes`, or --resume the folder of a run")
    if resume is not None and (recipe or out):
        raise typer.BadParameter("A run is resumed with its own recipe and in its own folder: give --resume alone")
    if processes > 1 and not dry_run:
        raise typer.Exit(launch.launch(launch.without_processes(context.find_root().obj), processes))

    from i2i.training.train import execute, resolve_resume, resolve_run

    if resume is not None:
        run = resolve_resume(resume, overrides, data)
    else:
        assert recipe is not None
        with progress_bar(" ".join(data or []), quiet or as_json) as progress:
            run = resolve_run(recipe, data, out, overrides, progress)
    if dry_run:
        from i2i.training.dry_run import describe

        plan = describe(run)
        if launch.alone():
            print_json(plan) if as_json else _print(plan)
        return
    folder = execute(run, quiet=quiet or as_json, resumed=resume is not None)
    if launch.alone():
        _conclude(folder, as_json, quiet)


def pairs(words: list[str]) -> dict[str, Any]:
    """{key: value} of words KEY=VALUE; the values stay text until the settings' types are known."""
    made = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key.strip():
            raise typer.BadParameter(f"--set takes KEY=VALUE, not {word!r}")
        made[key.strip()] = value.strip()
    return made


def _conclude(folder: Path, as_json: bool, quiet: bool) -> None:
    path = folder / "metrics.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if as_json:
        print_json({"folder": str(folder), "model": str(folder / "model.safetensors"), "metrics": found})
        return
    if quiet:
        return
    if found:
        from i2i.cli.evaluate import print_scores

        print_scores(found)
    typer.echo(f"Report:  {folder / 'report.html'}")
    typer.echo(f"Model:   {folder / 'model.safetensors'}")
    if (folder / "test.png").is_file():
        typer.echo(f"Samples: {folder / 'test.png'}")
    use = "generate" if _from_noise(folder) else "translate photo.jpg"
    typer.echo(f"Use it:  i2i {use} --model {shlex.quote(str(folder))}")


def _from_noise(folder: Path) -> bool:
    from i2i.methods import load_method
    from i2i.methods._bases import Generate
    from i2i.models.format import read_header

    return issubclass(load_method(str(read_header(folder / "model.safetensors")["method"])), Generate)


def _print(plan: dict[str, Any]) -> None:
    """The plan in words."""
    shown = (
        "recipe",
        "method",
        "data",
        "layout",
        "pictures",
        "held out",
        "channels",
        "epochs",
        "images",
        "steps",
        "out",
    )
    rows = [[key, _text(plan[key])] for key in shown]
    rows += [["parameters", f"{plan['parameters']:,}"], ["memory", f"about {format_bytes(plan['memory_mib'] << 20)}"]]
    if plan.get("seconds"):
        rows.append(["time", f"about {plan['seconds'] / 60:.0f} minutes here"])
    print_table(rows)
    typer.echo("\nnetworks")
    print_table([[f"  {n}", f["type"], f"{f['parameters']:,} parameters"] for n, f in plan["networks"].items()])
    for note in plan["notes"]:
        typer.echo(f"\nNote: {note}")
    typer.echo("\nsettings (* differs from the method's default)")
    changed = set(plan["changed"])
    print_table([[f"{'*' if k in changed else ' '} {k}", _text(v)] for k, v in plan["settings"].items()])


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return format_value(value)
