"""`i2i bench`: published protocols and numbers, and a model of yours beside them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from i2i.cli import common_options as common
from i2i.cli.output import echo, print_json, print_table, progress_bar

NAMES = {"pixel_accuracy": "per-pixel", "class_accuracy": "per-class", "mean_iou": "class IoU"}
ROWS = {"input copied": "input, handed back", "real images": "floor: real images"}
SEGMENTED = {"ceiling": "ceiling: real photographs", "floor": "floor: photographs of other label maps"}


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="bench")(bench)


def bench(
    name: Annotated[
        str | None, typer.Argument(help="Protocol. [default: all are listed]", metavar="NAME", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Model to measure: a file, a run's folder, or a name of `i2i models`. [default: none]",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="Where the images of the protocol lie; for two folders give --data twice. [default: the "
            "protocol's data set, downloaded if it is not here]",
            metavar="DIR|NAME",
            show_default=False,
        ),
    ] = None,
    split: common.Split = None,
    limit: Annotated[
        int | None, typer.Option(help="Score N images at most. [default: all]", metavar="N", min=2)
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="Feature network; see `i2i evaluate --help`. [default: inception if it is here, else effnet]",
            metavar="NETWORK",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side in pixels. [default: the protocol's]", metavar="PIXELS", min=8)
    ] = None,
    steps: Annotated[
        int, typer.Option(help="Training steps of the segmenter that gives FCN scores.", metavar="N", min=1)
    ] = 400,
    seed: Annotated[int, typer.Option(help="Seed of intervals, subsets and of the segmenter.", metavar="N", min=0)] = 0,
    device: common.Device = "auto",
    method: common.Method = None,
    as_json: common.AsJson = False,
) -> None:
    """List published protocols, show one with its published numbers, or measure a model by it.

    What differs from the protocol is said below the numbers: another feature network, fewer images, another split.

    \b
    Examples:
      i2i bench
      i2i bench horse2zebra
      i2i bench horse2zebra --model cyclegan_horse2zebra --features inception
      i2i bench cityscapes_fcn --model runs/streets --data cityscapes/ --steps 2000
      i2i bench map2aerial --model runs/mine --data pairs/ --limit 100 --json
    """
    from i2i.inference.bench import bench as run

    if name is None:
        _list(as_json)
        return
    _fetch(name, model, data)
    with progress_bar("", as_json, "images") as progress:
        result = run(
            name, model, data or None, split=split, limit=limit, features=features, size=size, steps=steps, seed=seed,
            device=device, method=method, progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(result)
    else:
        _print(result, model)


def _list(as_json: bool) -> None:
    from i2i.data.protocols import names, protocol

    cards = [protocol(name) for name in names()]
    if as_json:
        print_json([card.facts() for card in cards])
        return
    rows = [(card.name, ", ".join(card.metrics), len(card.published), card.summary) for card in cards]
    print_table(rows, ["protocol", "metrics", "published", "what is made of what"])
    echo("\ni2i bench NAME shows one; i2i bench NAME --model MODEL measures a model.")


def _fetch(name: str, model: str | None, data: list[str] | None) -> None:
    """Downloads the images and the model, with progress, if they are not here."""
    from i2i.core.files import kind_of
    from i2i.core.suggest import same_name
    from i2i.data import cards, source
    from i2i.data.protocols import protocol
    from i2i.models.load import find

    card = protocol(name)
    if model is None:
        return
    with progress_bar(model, False) as progress:
        find(model, progress)
    for one in data or ([card.data] if card.data else []):
        if same_name(one, cards.names()) and kind_of(one) != "folder":
            with progress_bar(one, False) as progress:
                source.get(one, progress)


def _print(result: dict[str, Any], model: str | None) -> None:
    card, measured = result["protocol"], result["measured"]
    echo(f"{card['name']}: {card['summary']}")
    facts = [("paper", card["paper"]), ("images", card["data"] or "no card; --data DIR"), ("split", card["split"])]
    facts += [("size", f"{card['size']} pixels"), ("pre-processing", card["preprocess"])]
    facts += [("compared", card["compared"]), ("network", card["features"])]
    print_table(facts)
    for note in card["notes"]:
        echo(note)
    own = _own_names(result)
    metrics = [*own.values(), *(m for m in card["metrics"] if m not in own.values())]
    titles = [_title(metric) for metric in metrics]
    rows = []
    if measured is not None:
        names = SEGMENTED if "segmenter" in measured else ROWS
        for title, scores in measured["scores"].items():
            scores = {own.get(metric, metric): value for metric, value in scores.items()}
            label = f"{model} (measured)" if title == "model" else f"{names.get(title, title)} (measured)"
            rows.append([label, *(_value(scores.get(m)) for m in metrics), f"here, {measured['count']:,} images"])
    for row in result["published"]:
        label = row["method"] + (f" ({row['note']})" if row.get("note") else "")
        spread = f" +- {row['spread']}" if row.get("spread") else ""
        values = [f"{row[m]:g}" if m in row else "-" for m in metrics]
        rows.append([label, *values, f"{row['source']}{f'; spread{spread}' if spread else ''}"])
    echo("")
    print_table(rows, ["", *titles, "source"])
    if result["differs"]:
        echo("\nWhat differs from the protocol:")
    for sentence in result["differs"]:
        echo(f"- {sentence}")


def _own_names(result: dict[str, Any]) -> dict[str, str]:
    """The columns of what was measured: on another network than the protocol's, KID has a column of its own, too."""
    measured = result["measured"]
    if measured is None:
        return {}
    network = measured.get("features", {}).get("network")
    is_other = network is not None and network != result["protocol"]["features"]
    return {m: f"KID ({network}) x 1000" if m == "kid" and is_other else m for m in measured["scores"]["model"]}


def _title(metric: str) -> str:
    from i2i.inference.metric_choice import title

    return NAMES.get(metric) or title(metric)


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
