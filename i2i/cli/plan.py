"""`i2i plan`: what fits into a memory and a time, from a short probe on the real device."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from i2i.cli import train as training
from i2i.cli.output import print_json, print_table
from i2i.cli.setting_words import SettingsCommand
from i2i.cli.train_plan import network_row
from i2i.core.format import format_about, format_bytes

if TYPE_CHECKING:
    from i2i.training.plan import Plan

MemoryOption = Annotated[
    str | None,
    typer.Option(help="Memory that training may take: 8GB, 7.5GiB. [default: what is free]", metavar="SIZE"),
]
HoursOption = Annotated[float | None, typer.Option(help="Hours that training may take.", metavar="N")]
PriceOption = Annotated[float | None, typer.Option(help="Price of an hour, to print the cost.", metavar="N")]


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="plan", cls=SettingsCommand)(plan)


def plan(
    recipe: training.RecipeWord = None,
    folders: training.DataWords = None,
    data: training.DataOption = None,
    memory: MemoryOption = None,
    hours: HoursOption = None,
    price: PriceOption = None,
    size: training.SizeOption = None,
    epochs: training.EpochsOption = None,
    images: training.ImagesOption = None,
    batch: training.BatchOption = None,
    direction: training.DirectionOption = None,
    precision: training.PrecisionOption = None,
    device: training.DeviceOption = None,
    workers: training.WorkersOption = None,
    settings: training.SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Measure a few steps on this device, and print what fits: batch, memory, hours, cost.

    The probe runs in a process of its own for up to a minute (longer for slow networks) and changes nothing. The plan
    ends with the command that trains.

    \b
    Examples:
      i2i plan cyclegan --data photos/ paintings/ --memory 8GB --hours 6
      i2i plan pix2pix maps --device cuda --price 2.5
      i2i plan pix2pix --data pairs/ --batch auto --size 128
    """
    named = {"size": size, "epochs": epochs, "images": images, "batch": batch, "direction": direction}
    named |= {"precision": precision, "device": device, "workers": workers}
    overrides = {k: v for k, v in named.items() if v is not None} | training.pairs(settings or [])
    words = [*([recipe] if recipe is not None else []), *(folders or [])]
    name, sources = training.recipe_and_data(words, data or [], False)
    if name is None:
        raise typer.BadParameter("Name a recipe of `i2i recipes` and images: i2i plan cyclegan photos/ paintings/")

    from i2i.training.plan import plan as make_plan

    def tell(sentence: str) -> None:
        if not as_json:
            print(sentence, file=sys.stderr, flush=True)

    planned = make_plan(name, sources, memory=memory, hours=hours, price=price, overrides=overrides, tell=tell)
    print_json(planned.as_dict()) if as_json else _print(planned)


def _print(planned: Plan) -> None:
    """Prints a plan as tables and sentences."""
    facts = planned.as_dict()
    base, image = format_bytes(facts["memory_base_bytes"]), format_bytes(facts["memory_image_bytes"])
    points = ", ".join(f"{p['batch']}: {format_bytes(p['bytes'])}, {p['seconds']:.3g} s" for p in facts["probes"])
    rows = [
        ["recipe", f"{facts['recipe']} on {', '.join(facts['data'])}"],
        ["device", f"{facts['device']}, {facts['precision']}"],
        ["size", f"{facts['size']} x {facts['size']} pixels"],
        ["measured", f"{points} (batch: memory, time of a step)"],
        ["memory", f"{base} + {image} an image; limit {format_bytes(facts['memory_limit_bytes'])}"],
        ["largest batch", str(facts["largest_batch"])],
    ]
    if facts["full_at"]:
        rows.append(["memory full", f"at a batch of {facts['full_at']}"])
    parts = "" if facts["accumulate"] == 1 else f" in {facts['accumulate']} parts"
    rows += [
        ["batch", f"{facts['batch']}{parts}, about {format_bytes(facts['memory_bytes'])}"],
        ["length", f"{facts['epochs']:g} epochs, {facts['steps']:,} steps of {facts['step_seconds']:.3g} s"],
        ["time", format_about(facts["seconds"])],
    ]
    if facts["cost"] is not None:
        rows.append(["cost", f"{facts['cost']:.2f} at {planned.price:g} an hour"])
    print_table(rows)
    typer.echo("\nnetworks")
    print_table([network_row(name, network) for name, network in facts["networks"].items()])
    for sentence in _sentences(facts):
        typer.echo(f"\n{sentence}")
    typer.echo(f"\nTrain it:  {facts['command']}")


def _sentences(facts: dict[str, Any]) -> list[str]:
    """What differs from what was asked, and what to do about a time that is too long."""
    sentences = []
    if facts["size"] != facts["asked_size"]:
        asked = facts["asked_size"]
        sentences.append(f"Images of {asked} x {asked} pixels do not fit; {facts['size']} x {facts['size']} do.")
    if facts["batch"] != facts["asked_batch"] and facts["asked_batch"] > facts["largest_batch"]:
        sentences.append(f"A batch of {facts['asked_batch']} does not fit, not even in parts.")
    if facts["epochs_in_time"] is not None:
        sentences.append(f"In {facts['asked_hours']:g} h: {facts['epochs_in_time']:.3g} epochs of {facts['epochs']:g}.")
    if facts["lighter"] is not None:
        sentences.append(f"Lighter, {format_about(facts['lighter']['seconds'])}: {facts['lighter']['command']}")
    return sentences
