"""`i2i data`: lists, shows and fetches data sets, and checks a folder of images for faults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from i2i.cli.group import add_group
from i2i.cli.output import print_json, print_table, progress_bar
from i2i.core.format import format_bytes


def register(app: typer.Typer) -> None:
    """Adds `i2i data` to the program."""
    add_group(app, "data", _list, show=show, get=get, check=check)


def _list(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the data sets. Give a name as --data to use one; it is fetched once, on first use."""
    if context.invoked_subcommand:
        return
    from i2i.data import cards

    listed = [cards.card(name) for name in cards.names()]
    if as_json:
        print_json([_facts(card) for card in listed])
        return
    print_table(
        [(c.name, c.layout, _size(c), "yes" if _here(c.name) else "no", c.summary, c.licence) for c in listed],
        ["data", "layout", "download", "here", "about", "terms"],
        wrapped=2,
    )


def show(
    name: Annotated[str, typer.Argument(help="Name of a data set, as `i2i data` lists it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a data set's card: its content, its licence, and where it comes from."""
    from i2i.data import cards

    facts = _facts(cards.card(name))
    if as_json:
        print_json(facts)
        return
    rows = [(k, "\n".join(v) if isinstance(v, tuple) else v) for k, v in facts.items()]
    print_table([(k, v) for k, v in rows if v not in ("", 0, ())])


def get(
    name: Annotated[str, typer.Argument(help="Name of a data set, as `i2i data` lists it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show progress.")] = False,
) -> None:
    """Fetch a data set, verify and unpack it. Prints its folder."""
    from i2i.data import source

    with progress_bar(name, quiet or as_json) as progress:
        folder = source.get(name, progress)
    if as_json:
        print_json({"name": name, "folder": str(folder)})
    else:
        typer.echo(folder)


def check(
    folder: Annotated[Path, typer.Argument(help="Folder of images, in any layout.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show progress.")] = False,
) -> None:
    """Check a folder of images for faults that spoil training: unreadable files, images without a partner, odd sizes
    and channels, copies, and the same image in two splits. The exit code is 1 if there are errors."""
    from i2i.data import check

    with progress_bar(str(folder), quiet or as_json) as progress:
        findings = check(folder, progress)
    errors = sum(finding.serious for finding in findings)
    if as_json:
        print_json([{**vars(f), "severity": f.severity} for f in findings])
    else:
        for finding in findings:
            typer.echo(f"{finding.severity:<8} {finding}")
        typer.echo(f"Errors: {errors}. Warnings: {len(findings) - errors}." if findings else "No faults found.")
    if errors:
        raise typer.Exit(1)


def _facts(card: Any) -> dict[str, Any]:
    return {**vars(card), "here": _here(card.name)}


def _here(name: str) -> bool:
    from i2i.data import source

    return source.where(name).is_dir()


def _size(card: Any) -> str:
    if not card.urls:
        return "shipped"
    return format_bytes(card.bytes) if card.bytes else f"about {format_bytes(card.about)}" if card.about else "unknown"
