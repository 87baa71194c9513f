"""`i2i train`: from a recipe and images to a model."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from i2i.cli import launch
from i2i.cli.output import echo, print_json, progress_bar
from i2i.cli.setting_words import SettingsCommand, showing
from i2i.cli.train_plan import print_plan
from i2i.core.device import DEVICE_NAMES
from i2i.core.files import kind_of
from i2i.core.reading import read_json
from i2i.core.suggest import same_name

if TYPE_CHECKING:
    from i2i.training.run import Run

# ---- arguments and options -----------------------------------------------------------------------------------------

RecipeWord = Annotated[
    str | None,
    typer.Argument(help="A name of `i2i recipes`, or a .yaml or .py file.", metavar="RECIPE", show_default=False),
]
DataWords = Annotated[
    list[str] | None,
    typer.Argument(
        help="A folder, two folders (A and B), or a name of `i2i data`.", metavar="DATA", show_default=False
    ),
]
DataOption = Annotated[
    list[str] | None,
    typer.Option("--data", help="The same as DATA: --data A B.", metavar="DIR|NAME", show_default=False),
]
ResumeOption = Annotated[
    Path | None, typer.Option(help="Resume the run in this folder.", metavar="DIR", show_default=False)
]
OutOption = Annotated[
    Path | None,
    typer.Option(help="The run's folder. [default: runs/RECIPE-DATA-TIME]", metavar="DIR", show_default=False),
]
InitFromOption = Annotated[
    str | None,
    typer.Option(
        help="Start from the weights of a model, a run, a name of `i2i models`, or the authors' .pth files.",
        metavar="MODEL",
        show_default=False,
    ),
]
SizeOption = Annotated[int | None, typer.Option(help="Side of the square training images, in pixels.", metavar="N")]
EpochsOption = Annotated[float | None, typer.Option(help="Passes over the data.", metavar="N")]
ImagesOption = Annotated[int | None, typer.Option(help="Length of the run in images, instead of epochs.", metavar="N")]
BatchOption = Annotated[
    str | None,
    typer.Option(help="Images in a step, all processes together; auto: as many as fit into the memory.", metavar="N"),
]
DirectionOption = Annotated[
    str | None, typer.Option(help="Which side of the pairs is the input: AtoB or BtoA.", metavar="AtoB|BtoA")
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        help="Table of the images' attributes, for methods of many domains: a CSV, or CelebA's list.", metavar="FILE"
    ),
]
PrecisionOption = Annotated[str | None, typer.Option(help="auto, fp32, bf16 or fp16.", metavar="NAME")]
DeviceOption = Annotated[str | None, typer.Option(help=f"Device to train on: {DEVICE_NAMES}.", metavar="NAME")]
SeedOption = Annotated[int | None, typer.Option(help="The same seed gives the same run.", metavar="N")]
WorkersOption = Annotated[int | None, typer.Option(help="Threads that prepare images.", metavar="N")]
ProcessesOption = Annotated[int, typer.Option(help="Processes on this machine, one per GPU.", metavar="N", min=1)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Any setting of `i2i recipes show RECIPE`; can be repeated.", metavar="KEY=VALUE"),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what the run would do, its time, memory and disk, and stop.")
]
AllOption = Annotated[bool, typer.Option("--all", help="With --dry-run: print every setting with its value.")]
TrustOption = Annotated[
    bool,
    typer.Option("--trust", help="With --dry-run: run the Python file that a recipe or a run names as its method."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result, or the plan, as JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")]

# ---- the command ---------------------------------------------------------------------------------------------------


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="train", cls=SettingsCommand)(train)


def train(
    context: typer.Context,
    recipe: RecipeWord = None,
    folders: DataWords = None,
    data: DataOption = None,
    resume: ResumeOption = None,
    out: OutOption = None,
    init_from: InitFromOption = None,
    size: SizeOption = None,
    epochs: EpochsOption = None,
    images: ImagesOption = None,
    batch: BatchOption = None,
    direction: DirectionOption = None,
    labels: LabelsOption = None,
    precision: PrecisionOption = None,
    device: DeviceOption = None,
    seed: SeedOption = None,
    workers: WorkersOption = None,
    processes: ProcessesOption = 1,
    settings: SetOption = None,
    dry_run: DryRunOption = False,
    show_all: AllOption = False,
    trust: TrustOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a model on your images, or resume a run that stopped.

    A run leaves a folder with the model, a report to open in a browser, sample grids and checkpoints. Ctrl-C saves the
    run and stops it; --resume continues it as if it had never stopped.

    \b
    Examples:
      i2i train pix2pix maps
      i2i train cyclegan photos/ paintings/
      i2i train pix2pix --data pairs/ --size 256 --epochs 200 --out runs/mine
      i2i train pix2pix pairs/ --set score_every=5000 --set patience=5
      i2i train stargan faces/ --labels attributes.csv
      i2i train --resume runs/mine
      i2i train --resume runs/faces --epochs 400
      i2i train cyclegan horse2zebra --init-from cyclegan_horse2zebra --epochs 20
      i2i train runs/mine/config.yaml --data elsewhere/pairs/
      i2i train cyclegan horse2zebra --processes 4 --set pool=0
      i2i train ./my_method.py photos/ --dry-run
      i2i train cyclegan photos/ paintings/ --dry-run --all
    """
    named = {"size": size, "epochs": epochs, "images": images, "batch": batch, "direction": direction}
    named |= {"precision": precision, "device": device, "seed": seed, "workers": workers, "init_from": init_from}
    named |= {"labels": labels}
    overrides = {k: v for k, v in named.items() if v is not None} | pairs(settings or [])
    words = [*([recipe] if recipe is not None else []), *(folders or [])]
    recipe, sources = recipe_and_data(words, data or [], resume is not None)
    _check_words(recipe, resume, out, show_all and not dry_run, sources)
    if processes > 1 and not dry_run:
        raise typer.Exit(launch.launch(launch.without_processes(context.find_root().obj), processes))

    from i2i.training.train import execute, resolve_resume, resolve_run

    with showing(context.find_root().obj):
        if recipe is None:
            assert resume is not None
            run = resolve_resume(resume, overrides, sources)
        else:
            with progress_bar(" ".join(sources), quiet or as_json) as progress:
                run = resolve_run(recipe, sources, out, overrides, progress)
    if dry_run:
        _print_plan(run, processes, as_json, show_all)
        return
    folder = execute(run, quiet=quiet or as_json, resumed=resume is not None)
    if launch.is_first():
        _print_result(folder, as_json, quiet)


def _check_words(
    recipe: str | None, resume: Path | None, out: Path | None, all_alone: bool, folders: list[str]
) -> None:
    """Raises BadParameter if the words do not go together. all_alone: --all without --dry-run. folders: the data."""
    if recipe is None and resume is None:
        if run := next((word for word in folders if (Path(word) / "config.yaml").is_file()), ""):
            raise typer.BadParameter(f"{run} is the folder of a run. To go on with it: i2i train --resume {quote(run)}")
        raise typer.BadParameter(
            "Name a recipe of `i2i recipes` and images: i2i train cyclegan photos/ paintings/. "
            "Or --resume the folder of a run"
        )
    if resume is not None and (recipe or out):
        raise typer.BadParameter("A run is resumed with its own recipe and in its own folder: give --resume alone")
    if all_alone:
        raise typer.BadParameter("--all belongs to --dry-run")


def _print_plan(run: Run, processes: int, as_json: bool, show_all: bool) -> None:
    """Prints what a run would do."""
    from i2i.training.dry_run import describe

    plan = describe(run)
    if processes > 1:
        plan["warnings"].insert(0, f"The time is that of one process; {processes} processes share the work.")
    if launch.is_first():
        print_json(plan) if as_json else print_plan(plan, show_all)


def recipe_and_data(words: list[str], data: list[str], resumed: bool) -> tuple[str | None, list[str]]:
    """(the recipe, all data) of the words that belong to no option and the values of --data.

    `--data A B` leaves B among the words, so the recipe may come after it: it is the first word that names a recipe or
    has the ending of one, or else the first word that is not a folder. A resumed run needs no recipe."""
    from i2i.training import recipes

    if any(
        value.startswith("-") for value in data
    ):  # `--data --size 3`: the parser takes the next word, whatever it is
        raise typer.BadParameter("Option '--data' requires an argument")
    known = recipes.recipes()
    by_name = [w for w in words if w in known or w.endswith((".yaml", ".yml", ".py"))]
    by_name += [w for w in words if same_name(w, known) and kind_of(w) != "folder"]
    others = [] if resumed and data else [w for w in words if kind_of(w) != "folder"]
    recipe = next(iter([*by_name, *others]), None)
    rest = list(words)
    if recipe is not None:
        rest.remove(recipe)
    return recipe, [*data, *rest]


def pairs(words: list[str]) -> dict[str, Any]:
    """{key: value} of words KEY=VALUE. The values stay text; `i2i.core.config` knows their types."""
    values = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key.strip():
            raise typer.BadParameter(f"--set takes KEY=VALUE, not {word!r}")
        values[key.strip()] = value.strip()
    return values


def _print_result(folder: Path, as_json: bool, quiet: bool) -> None:
    """Prints the scores, and where the run left what."""
    path = folder / "metrics.json"
    metrics = read_json(path, {str: object}) if path.is_file() else None
    best, best_words = _best(folder)
    if as_json:
        model = str(folder / "model.safetensors")
        print_json({"folder": str(folder), "model": model, "metrics": metrics, **({"best": best} if best else {})})
        return
    if quiet:
        return
    if metrics:
        from i2i.cli.scores import print_scores

        print_scores(metrics)
    echo(f"Report:  {folder / 'report.html'}")
    echo(f"Model:   {folder / 'model.safetensors'}")
    if best:
        echo(f"Best:    {best['model']} ({best_words})")
    if (folder / "test.png").is_file():
        echo(f"Samples: {folder / 'test.png'}")
    from i2i.models.use import use_of_run

    echo(f"Use it:  {use_of_run(folder)}")


def _best(folder: Path) -> tuple[dict[str, Any], str]:
    """The best model of a run, with its score and that of the last model; and the same in words. Empty without one."""
    from i2i.inference.metric_choice import title
    from i2i.models.format import read_header

    path, last = folder / "best.safetensors", folder / "model.safetensors"
    if not path.is_file() or not last.is_file():
        return {}, ""
    headers = [read_header(file) for file in (path, last)]
    metrics = [header.get("metrics") or {} for header in headers]
    name = next(iter(metrics[0]), "")
    if not name:
        return {}, ""
    metric, images, score = name.removeprefix("val_"), int(headers[0].get("images") or 0), float(metrics[0][name])
    best: dict[str, Any] = {"model": str(path), "metric": metric, "score": score, "images": images}
    words = f"{title(metric)} {score:.4g} at {images:,} images"
    if name in metrics[1]:
        best["last score"] = float(metrics[1][name])
        same = headers[1].get("images") == images
        words += ", the last" if same else f"; the last model has {metrics[1][name]:.4g}"
    return best, words
