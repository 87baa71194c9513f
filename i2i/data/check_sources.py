"""`i2i data check` of whatever a user names: a folder, two folders, one image, or a data set; and what they hold."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from i2i.core.errors import I2IError
from i2i.core.progress import Progress
from i2i.data import attributes, folder_names, layouts, source
from i2i.data.checks import Finding, check, check_partners
from i2i.media import images

MEASURED = 2000  # images whose sizes are read for the summary, at most


@dataclass(frozen=True)
class CheckResult:
    """The faults of some images, and in words what they are: number, sizes, layout."""

    findings: list[Finding]
    summary: str  # such as "30 images of 240x200 to 400x320 pixels, layout unpaired"


def check_sources(sources: Sequence[str | Path], progress: Progress | None = None, labels: str = "") -> CheckResult:
    """Checks a folder in any layout, two folders (A and B), one image file, or a data set by its name.

    progress: called with (images read, images in all). labels: a table of attributes of the (first) folder; what does
    not fit it is a finding. Raises I2IError if there is no such folder, file or data set."""
    if len(sources) > 2:
        raise I2IError(f"{len(sources)} folders were given.", "Give one folder, or two: A and B.")
    if len(sources) == 1 and Path(sources[0]).is_file():
        if labels:
            raise I2IError(f"labels is {labels!r}, and {sources[0]} is one image.", "Give its folder.")
        return _check_file(Path(sources[0]))
    folders = source.folders(sources, progress)
    findings: list[Finding] = []
    for folder in folders:
        findings += [_named(f, folder, len(folders) > 1) for f in check(folder, progress)]
    is_empty = any(f.kind == "empty" for f in findings)
    if len(folders) == 2 and not labels and not is_empty:
        findings += check_partners((folders[0], folders[1]))
    paths = [path for folder in folders for path in images.find_images(folder)]
    unreadable = {name for f in findings if f.kind == "unreadable" for name in f.files}
    if not labels:
        return CheckResult(findings, _summary(paths, len(unreadable)) + _layout(folders) if paths else "")
    layout = ""
    if not is_empty:
        try:
            found = attributes.find(folders, _first_split(folders), labels)
            layout = ", layout attributes"
            findings += [Finding("labels", note, serious=False) for note in found.notes if "are not in" in note]
        except I2IError as error:
            findings.append(Finding("labels", str(error)))
    return CheckResult(findings, _summary(paths, len(unreadable)) + layout if paths else "")


def _check_file(path: Path) -> CheckResult:
    try:
        with images.open_image(path) as image:
            size = image.size
    except I2IError as error:
        return CheckResult([Finding("unreadable", str(error), (path.name,))], "")
    return CheckResult([], f"1 image of {size[0]}x{size[1]} pixels")


def _named(finding: Finding, folder: Path, with_folder: bool) -> Finding:
    """The finding, saying in which of two folders it is."""
    if not with_folder or str(folder) in finding.text:
        return finding
    return dataclasses.replace(finding, text=f"in {folder}: {finding.text}")


def _summary(paths: list[Path], unreadable: int) -> str:
    """Number and sizes of images."""
    sizes = []
    for path in paths[:: max(1, len(paths) // MEASURED)]:
        with contextlib.suppress(I2IError):
            width, height, _ = layouts.header(path)
            sizes.append((width * height, f"{width}x{height}"))
    count = f"{len(paths):,} image{'' if len(paths) == 1 else 's'}"
    if unreadable:
        count += f" ({unreadable:,} unreadable)"
    smallest, largest = (min(sizes)[1], max(sizes)[1]) if sizes else ("", "")
    span = f" of {smallest} to {largest} pixels" if smallest != largest else f" of {smallest} pixels" if sizes else ""
    return f"{count}{span}"


def _layout(folders: list[Path]) -> str:
    """ ", layout paired (train 683, val 56, test 70)"; empty if the images lie in no layout."""
    try:
        splits = layouts.find(folders, split=_first_split(folders)).splits
        found = {split: layouts.find(folders, split=split) for split in splits}
    except I2IError:
        return ""
    counts = []
    for split, layout in found.items():
        sides = f"A {len(layout.a):,} and B {len(layout.b):,}" if layout.name == "unpaired" else f"{len(layout.a):,}"
        counts.append(f"{split} {sides}" if len(found) > 1 else sides)
    first = next(iter(found.values()))
    one = first.name == "images" and counts[-1] == "1"
    unit = (
        "image"
        if one
        else {"paired": "pairs", "labelled": f"images in {len(first.class_names)} classes"}.get(first.name, "images")
    )
    return f", layout {first.name}: {', '.join(counts)} {unit}"


def _first_split(folders: list[Path]) -> str:
    return folder_names.splits_of(folders[0])[0]
