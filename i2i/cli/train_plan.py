"""Printing of the plan of a run: `i2i train --dry-run`."""

from __future__ import annotations

from typing import Any

from i2i.cli.output import echo, format_value, print_table
from i2i.core.format import format_about, format_bytes, format_number


def print_plan(plan: dict[str, Any], show_all: bool) -> None:
    """Prints the plan that `i2i.training.dry_run.describe` returns; show_all: with every setting."""
    print_table(_head(plan))
    echo("\nnetworks")
    print_table([network_row(name, facts) for name, facts in plan["networks"].items()])
    for note in [*plan["warnings"], *plan["notes"]]:
        echo(f"\nNote: {note}")
    if show_all:
        echo("\nsettings (* differs from the method's default)")
        marked = set(plan["changed"])
        print_table([[f"{'*' if key in marked else ' '} {key}", _setting(plan, key)] for key in plan["settings"]])
    elif plan["changed"]:
        echo("\nsettings that differ from the method's defaults (--all shows every setting)")
        print_table([[f"* {key}", _setting(plan, key)] for key in plan["changed"]])
    else:
        echo("\nAll settings are the method's defaults (--all shows them).")


def _head(plan: dict[str, Any]) -> list[list[str]]:
    """The rows about data, length, device, time, memory and disk."""
    titles = {key: key for key in ("recipe", "method", "data", "layout")}
    titles |= {"pictures": "training images", "held out": "held-out images", "channels": "channels in, out"}
    titles |= {"images": "length in images", "epochs": "epochs", "steps": "steps", "out": "out"}
    plan = {**plan, "epochs": int(plan["epochs"]) if plan["epochs"] == int(plan["epochs"]) else plan["epochs"]}
    nothing = {"held out": " (nothing to score by)"} if plan["held out"] == 0 else {}
    rows = [[title, _text(plan[key]) + nothing.get(key, "")] for key, title in titles.items()]
    rows.insert(7, ["size", f"{plan['size']} x {plan['size']} pixels"])
    rows += [["parameters", f"{plan['parameters']:,}"], ["device", f"{plan['device']}, {plan['precision']}"]]
    if plan["seconds"] is not None and plan["step_seconds"] is not None:
        known = {"log": "; the speed is that of its log", "scaled": ", estimated from smaller steps"}
        step = f"{plan['step_seconds']:.3g} s a step{known.get(plan['seconds_source'], '')}"
        rows.append(["time", f"{format_about(plan['seconds'])} ({step})"])
    rows.append(["memory", f"about {format_bytes(plan['memory_mib'] << 20)}"])
    if plan["disk_bytes"] is not None:
        free = "" if plan["disk_free_bytes"] is None else f" of {format_bytes(plan['disk_free_bytes'])} that are free"
        rows.append(["disk", f"about {format_bytes(plan['disk_bytes'])}{free}"])
    return rows


def network_row(name: str, facts: dict[str, Any]) -> list[str]:
    """The row of a network in the table of networks."""
    macs = "" if facts["macs"] is None else f"{format_number(facts['macs'])} MACs an image"
    return [f"  {name}", facts["type"], f"{facts['parameters']:,} parameters", macs]


def _setting(plan: dict[str, Any], key: str) -> str:
    """The value of a setting as it will be used; what its 0 or `none` means, where it has no other value."""
    if key in plan["resolved"]:
        return format_value(plan["resolved"][key])
    text = _text(plan["settings"][key])
    return f"{text} ({plan['meanings'][key]})" if key in plan["meanings"] else text


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return format_value(value)
