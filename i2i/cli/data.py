"""`i2i data`: lists, shows and fetches data sets, checks a folder of images for faults, and makes pairs and labels."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from i2i.cli.group import add_group
from i2i.cli.output import echo, fact_rows, print_json, print_table, progress_bar
from i2i.core.format import format_bytes


def register(app: typer.Typer) -> None:
    """Adds `i2i data` to the program."""
    add_group(app, "data", _list, show=show, get=get, check=check, make=make, labels=labels)


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
        ["data", "layout", "download", "on this disk", "about", "terms"],
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
    print_table(fact_rows(facts))


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
    data: Annotated[
        list[str],
        typer.Argument(
            help="A folder in any layout, two folders (A and B), one image, or the name of a data set.",
            show_default=False,
            metavar="DATA",
        ),
    ],
    labels: Annotated[
        str, typer.Option(help="Table of the images' attributes, a CSV or CelebA's list (layout attributes).")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show progress.")] = False,
) -> None:
    """Check images for faults that spoil training: unreadable files, images without a partner, odd sizes and channels,
    copies, and the same image in two splits. The exit code is 1 if there are errors.

    \b
    Examples:
      i2i data check photos/
      i2i data check photos/ paintings/
      i2i data check faces/ --labels attributes.csv
      i2i data check earth
    """
    from i2i.data.check_sources import check_sources

    with progress_bar(" ".join(data), quiet or as_json) as progress:
        result = check_sources(data, progress, labels)
    errors = sum(finding.serious for finding in result.findings)
    if as_json:
        print_json([{**vars(f), "severity": f.severity} for f in result.findings])
    else:
        for finding in result.findings:
            echo(f"{finding.severity:<8} {finding}")
        warnings = len(result.findings) - errors
        counts = f"Errors: {errors}. Warnings: {warnings}." if result.findings else "Nothing is wrong."
        echo(f"{result.summary}. {counts}" if result.summary else counts)
    if errors:
        raise typer.Exit(1)


def make(
    folder: Annotated[str, typer.Argument(help="Folder of images, or the name of a data set.", metavar="DATA")],
    chain: Annotated[
        str,
        typer.Option(
            "--make",
            help="What is done to each image: grey, x2, x3, x4, x8, real, jpeg, noise, blur, mask, edges, pixelate, "
            "hed, or several of them joined by +.",
            show_default=False,
        ),
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="New folder for the pairs.", show_default=False)],
    size: Annotated[int, typer.Option(help="Side of the square images, in pixels.")] = 256,
    scale: Annotated[int, typer.Option(help="How many times smaller the images in A are: 1, 2, 3, 4 or 8.")] = 1,
    most: Annotated[int, typer.Option(help="Pairs at most; 0: all images.")] = 0,
    hed: Annotated[str, typer.Option(help="File with weights of HED. [default: their address]")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show progress.")] = False,
) -> None:
    """Write pairs that are made from one folder of good images: the worse image into A/, the good one into B/.

    Training makes the same kind of pairs by itself with `--set make=CHAIN`; this command shows them.

    \b
    Examples:
      i2i data make photos/ --make real -o pairs/
      i2i data make photos/ --make blur+x4+jpeg -o pairs/ --most 20
      i2i data make photos/ --make real --scale 4 -o pairs/
    """
    from i2i.data.make_pairs import make_pairs

    with progress_bar(folder, quiet or as_json) as progress:
        count = make_pairs(folder, chain, output, size, most, progress, scale, hed)
    if as_json:
        print_json({"folder": output, "pairs": count})
    else:
        echo(f"{count} pairs written to {output}: A is made from B.")


def labels(
    folder: Annotated[str, typer.Argument(help="Folder of gray images of 8 or 16 bits.", metavar="FOLDER")],
    output: Annotated[str, typer.Option("-o", "--output", help="New folder for the label maps.", show_default=False)],
    each: Annotated[
        int, typer.Option(help="Numbers of a class: from this number on, a number is class * EACH + thing.")
    ] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show progress.")] = False,
) -> None:
    """Write label maps in colors from instance maps, whose 16-bit numbers say class and thing (Cityscapes), and their
    palette, colors.txt. Each thing gets a color, so that `--set label_edges=yes` finds the borders between them.

    \b
    Examples:
      i2i data labels instances/ -o labels/
      i2i train pix2pixhd labels/ photos/ --set palette=labels/colors.txt --set label_edges=yes
    """
    from i2i.data.instances import FILE, label_maps

    with progress_bar(folder, quiet or as_json) as progress:
        count, classes = label_maps(folder, output, each, progress)
    if as_json:
        print_json({"folder": output, "images": count, "classes": classes, "palette": f"{output.rstrip('/')}/{FILE}"})
    else:
        echo(f"{count} label maps of {classes} classes written to {output}, their palette to {FILE} there.")


def _facts(card: Any) -> dict[str, Any]:
    return {**vars(card), "here": _here(card.name)}


def _here(name: str) -> bool:
    from i2i.data import source

    return source.where(name).is_dir()


def _size(card: Any) -> str:
    if not card.urls:
        return "shipped"
    return format_bytes(card.bytes) if card.bytes else f"about {format_bytes(card.about)}" if card.about else "unknown"
