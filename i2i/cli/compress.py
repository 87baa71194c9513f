"""`i2i compress`: a smaller or faster model out of a trained one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from i2i.cli import common_options as common
from i2i.cli import translate_options as option
from i2i.cli.output import echo, print_json, print_table, progress_bar
from i2i.cli.panels import PanelCommand
from i2i.core.errors import I2IError

if TYPE_CHECKING:
    from i2i.training.compress.compress import Compressed
    from i2i.training.compress.table import TableResult

HELP = """Make a smaller or faster model out of a trained one.

distill (the default) trains a student with fewer channels beside the model, its teacher. prune removes weights, and
keeps training under the discriminator: the file shrinks, and the speed stays, unless whole filters are removed.

\b
Examples:
  i2i compress --model runs/mine -o small.safetensors
  i2i compress --model runs/mine -o small.safetensors --macs 8x --epochs 20
  i2i compress --model runs/mine -o small.safetensors --latency 20ms
  i2i compress --model runs/mine -o sparse.safetensors --method prune --sparsity 0.5
  i2i compress --model pix2pix_earth -o small.safetensors --discriminator new
  i2i compress --model runs/mine -o table --table --images 2000 --seeds 2
  i2i compress --model runs/mine -o curve --curve small.safetensors --curve sparse.safetensors
"""

Output = Annotated[
    Path,
    typer.Option("--output", "-o", help="The .safetensors file to write; with --table a folder.", show_default=False),
]
Data = Annotated[
    list[str] | None,
    typer.Option(help="Images to train on. [default: those of the model]", metavar="DIR|NAME", show_default=False),
]
By = Annotated[str, typer.Option("--method", help="distill or prune.", metavar="NAME")]
Sparsity = Annotated[float, typer.Option(help="prune: share of the weights to remove, between 0 and 1.", metavar="S")]
Granularity = Annotated[
    str, typer.Option(help="prune: elements, 2:4 (two of four) or filters (a smaller dense network).", metavar="NAME")
]
Masks = Annotated[str, typer.Option("--schedule", help="prune: gradual or one-shot.", metavar="NAME")]
MacsOption = Annotated[
    str | None,
    typer.Option("--macs", help="distill: how many times fewer multiply-accumulates. [default: 4x]", metavar="Nx"),
]
Latency = Annotated[
    str | None,
    typer.Option(help="distill: time for one image on this device, which is measured: 20ms.", metavar="TIME"),
]
WidthOption = Annotated[
    int | None, typer.Option(help="distill: channels of the student's first layer.", metavar="N", min=1)
]
DetailOption = Annotated[
    int | None,
    typer.Option(
        "--detail",
        help="distill: channels of a U-Net's convolutions at the full size. [default: by the width]",
        metavar="N",
        min=1,
    ),
]
Form = Annotated[str, typer.Option(help="distill: narrow, or mobile (separable convolutions).", metavar="NAME")]
Discriminator = Annotated[
    str, typer.Option(help="trained (the model's), new, or none: what judges the images.", metavar="NAME")
]
Real = Annotated[
    str,
    typer.Option(
        help="distill: what the discriminator learns to be real, and for pairs the truth: data, or teacher (what the "
        "model makes; for pairs and CycleGAN). [default: teacher for given pairs, else data]",
        metavar="NAME",
        show_default=False,
    ),
]
Adversarial = Annotated[
    float, typer.Option(help="distill: weight of the adversarial terms of the student.", metavar="WEIGHT", min=0)
]
Perceptual = Annotated[
    float,
    typer.Option(
        help="distill, without pairs: weight of the distance to what the model makes, in AlexNet; 0: none.",
        metavar="WEIGHT",
        min=0,
    ),
]
InitFrom = Annotated[
    str | None, typer.Option(help="distill: begin with the weights of this earlier student.", metavar="MODEL")
]
Dtype = Annotated[str, typer.Option(help="Numbers in the file: fp16 or fp32.", metavar="NAME")]
Size = Annotated[
    int | None,
    typer.Option(
        help="Side of training images, in pixels; with --curve, of the compared ones. [default: the model's]",
        metavar="PIXELS",
        min=4,
    ),
]
Load = Annotated[
    int | None,
    typer.Option(
        help="Side of training images before their random crops, in pixels. [default: as the model was trained]",
        metavar="PIXELS",
        min=1,
    ),
]
Augment = Annotated[
    str | None,
    typer.Option(
        help="Random changes of training images, as in training: rotate90, vflip, ..., joined by +. "
        "They keep a student from learning few images by heart. [default: as the model was trained]",
        metavar="NAMES",
    ),
]
Epochs = Annotated[float | None, typer.Option(help="Passes over the data.", metavar="N")]
Images = Annotated[
    int | None,
    typer.Option(
        help="Length in images. [default: half (distill) or a tenth (prune) of the model's training]", metavar="N"
    ),
]
Batch = Annotated[int | None, typer.Option(help="Images in a step. [default: the model's]", metavar="N", min=1)]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same model.", metavar="N")]
Precision = Annotated[
    str | None,
    typer.Option(help="distill: auto, fp32, bf16 or fp16, as in training. [default: auto]", metavar="NAME"),
]
Table = Annotated[
    bool, typer.Option("--table", help="Train all rows of the table in docs/compress.md, and compare them.")
]
Rows = Annotated[str | None, typer.Option(help="With --table: which rows, such as a,b,d.", metavar="LIST")]
Seeds = Annotated[
    int, typer.Option(help="With --table: trainings of each row; printed are the mean and the spread.", min=1)
]
CurveOption = Annotated[
    list[str] | None,
    typer.Option(
        "--curve", help="Train nothing: score and measure MODEL beside these models, as a page.", metavar="MODEL"
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")]


OF_LOSS = ("real", "adversarial", "perceptual")
OF_STUDENTS = ("macs", "latency", "width", "detail", "form", *OF_LOSS, "init_from", "precision")
NOT_OF_TABLE = (*OF_STUDENTS, "by", "granularity", "schedule", "discriminator", "dtype", "overwrite")
OF_TRAINING = ("epochs", "images", "batch", "seed", "load", "augment", "device")
NOT_OF_CURVE = (*NOT_OF_TABLE, "sparsity", "direction", *OF_TRAINING, "table", "rows", "seeds")


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="compress", cls=PanelCommand, help=HELP)(compress)


def compress(
    context: typer.Context,
    model: option.Model,
    output: Output,
    data: Data = None,
    by: By = "distill",
    macs: MacsOption = None,
    latency: Latency = None,
    width: WidthOption = None,
    detail: DetailOption = None,
    form: Form = "narrow",
    sparsity: Sparsity = 0.5,
    granularity: Granularity = "elements",
    schedule: Masks = "gradual",
    discriminator: Discriminator = "trained",
    real: Real = "auto",
    adversarial: Adversarial = 1.0,
    perceptual: Perceptual = 0.0,
    init_from: InitFrom = None,
    direction: option.Direction = "AtoB",
    dtype: Dtype = "fp16",
    epochs: Epochs = None,
    images: Images = None,
    batch: Batch = None,
    seed: Seed = None,
    size: Size = None,
    load: Load = None,
    augment: Augment = None,
    precision: Precision = None,
    device: common.Device = "auto",
    table: Table = False,
    rows: Rows = None,
    seeds: Seeds = 1,
    curve: CurveOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
    quiet: Quiet = False,
    as_json: common.AsJson = False,
) -> None:
    """Parses the options of `i2i compress` (see HELP), and prints what the model costs before and after."""
    tell = None if as_json or quiet else lambda sentence: echo(sentence, err=True)
    _check_options(context, "--curve" if curve else "--table" if table else "")
    if curve:
        from i2i.training.compress.curve import run_curve

        _print_table(run_curve([model, *curve], output, data, size=size, tell=tell), as_json)
        return
    _check_budget({"--macs": macs, "--latency": latency, "--width": width})
    budget = (width or 0, _seconds(latency) if latency else 0.0, _times(macs) if macs else 4.0, detail or 0)
    masks = {"gradual": "gradual", "one-shot": "one-shot"}.get(schedule)
    if masks is None:
        raise I2IError(f"--schedule is {schedule!r}.", "Allowed: gradual, one-shot.")
    if precision and by != "distill":
        raise I2IError("--precision is an option of a student.", "Leave it out: pruning computes in float32.")
    training = {"epochs": epochs, "images": images, "batch": batch, "seed": seed, "device": device}
    training |= {"precision": precision, "size": size, "load": load, "augment": augment}
    if epochs and images is None:
        training["images"] = 0

    from i2i.models.load import find
    from i2i.training.compress.compress import Request
    from i2i.training.compress.compress import compress as run
    from i2i.training.compress.plan import Plan
    from i2i.training.compress.student import Budget

    plan = Plan(sparsity=sparsity, granularity=granularity, masks=masks)
    start, parts = init_from or "", (adversarial, perceptual)
    request = Request(by, plan, Budget(*budget), form, discriminator, real, *parts, start, dtype, training)
    with progress_bar(model, as_json or quiet) as progress:
        if not Path(model).exists():
            find(model, progress)
    if table:
        from i2i.training.compress.table import run_table

        chosen = [row.strip() for row in rows.split(",")] if rows else None
        _print_table(
            run_table(model, output, data, request, chosen, seeds=seeds, direction=direction, tell=tell), as_json
        )
        return
    hush = quiet or as_json
    result = run(model, output, data, request, direction=direction, overwrite=overwrite, quiet=hush, tell=tell)
    _print(result, as_json)


def _check_options(context: typer.Context, mode: str) -> None:
    """Raises BadParameter for options that the mode (--table, --curve or "") would not use."""
    names = {p.name or "": p.opts[0] for p in context.command.params}
    unused = {"--curve": NOT_OF_CURVE, "--table": NOT_OF_TABLE, "": ("rows", "seeds")}[mode]
    given = [names[n] for n in unused if str(context.get_parameter_source(n)).endswith("COMMANDLINE")]
    if given and mode:
        why = "trains nothing" if mode == "--curve" else "says itself how every row is trained"
        raise typer.BadParameter(f"{mode} {why}: leave out {', '.join(given)}.")
    if given:
        raise typer.BadParameter(f"{given[0]} is an option of the table: give --table, too.")


def _check_budget(budgets: dict[str, object]) -> None:
    """Raises BadParameter if more than one budget of a student was given."""
    used = [name for name, value in budgets.items() if value is not None]
    if len(used) > 1:
        raise typer.BadParameter(f"{used[0]} and {used[1]} exclude each other: give one budget.")


def _print_table(result: TableResult, as_json: bool) -> None:
    """Prints what a table or a curve found."""
    if as_json:
        print_json(result.values)
        return
    print_table(result.rows, result.titles)
    echo(f"The images and the table are in {result.page}.")


def _print(result: Compressed, as_json: bool) -> None:
    """Prints what the model costs before and after, and the commands that compare both."""
    import dataclasses

    if as_json:
        sizes = {"before": dataclasses.asdict(result.before), "after": dataclasses.asdict(result.after)}
        print_json(
            {"path": str(result.path), "images": result.images, "size": result.side, **sizes, "notes": result.notes}
        )
        return
    for note in result.notes:
        echo(f"Note: {note}")
    before, after = result.before, result.after

    def row(title: str, form: str, one: float, other: float) -> list[str]:
        ratio = f"{one / other:.2f}x" if one and other else ""
        return [title, format(one, form) if one else "-", format(other, form), ratio]

    rows = [
        row("parameters", ",.0f", before.parameters, after.parameters),
        row("weights that are not 0", ",.0f", before.parameters * before.nonzero, after.parameters * after.nonzero),
        row(f"M MACs, {result.side} pixels", ",.1f", before.macs / 1e6, after.macs / 1e6),
        row("file, MB", ".3f", before.bytes / 1e6, after.bytes / 1e6),
        row("ms for an image, here", ".1f", before.seconds * 1e3, after.seconds * 1e3),
    ]
    print_table(rows, ["", "before", "after", "less"])
    echo(f"{result.path} was trained on {result.images:,} images.")
    for number, command in enumerate(result.comparisons):
        echo(f"{'' if number else 'Compare both:':15}{command}")


def _times(text: str) -> float:
    """4x or 4 -> 4.0. Raises I2IError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*x?", text.strip().lower())
    if not match or float(match[1]) <= 1:
        raise I2IError(f"--macs is {text!r}.", "Give a number above 1: how many times fewer, such as 4x.")
    return float(match[1])


def _seconds(text: str) -> float:
    """20ms or 0.02s -> 0.02. Raises I2IError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s)", text.strip().lower())
    if not match or float(match[1]) <= 0:
        raise I2IError(f"--latency is {text!r}.", "Give a time with its unit, such as 20ms.")
    return float(match[1]) * (1e-3 if match[2] == "ms" else 1.0)
