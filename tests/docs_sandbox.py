"""What the tests of the documentation share: its code blocks, and a folder in which every command of it can run.

A block of Markdown is run as it stands, but small: recipes train in their method's `tiny` form for a few images, the
folders that the text names (photos/, pairs/, runs/mine, ...) hold a few images of 16 or 32 pixels, and published data
sets and models lie in the cache in a tiny form. A comment on the line before a block says what it needs beyond that:

    <!-- needs: network -->    only checked: the words are parsed, but nothing is run
    <!-- needs: gpu -->        the same; also `needs: cluster`, `needs: page` (gradio), `needs: git`
    <!-- slow -->              run by the slow tests only
    <!-- exit: 1 -->           the block's last command ends with this exit code
    <!-- file: name.py -->     the block is the content of that file, which later blocks use
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import typer
from PIL import Image

from i2i.cli import program
from i2i.cli.train import recipe_and_data
from i2i.methods import load_method
from i2i.models.zoo import shipped
from i2i.training import recipes
from tests.cli.program import i2i, make_pairs, picture

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
NEEDS = ("network", "gpu", "cluster", "page", "git")
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.M | re.S)
MARK = re.compile(r"<!-- (.*?) -->")
SHELL = re.compile(r"(?<![\w'\"])[|<>]|&&|\$\(")  # what only a shell understands


@dataclass
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    needs: set[str] = field(default_factory=set)
    slow: bool = False
    exit: int = 0
    file: str = ""

    @property
    def where(self) -> str:
        """The block's place, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The lines of a block in bash, without comments; a backslash joins lines."""
        lines = re.sub(r"\\\n\s*", " ", self.text).splitlines()
        return [line for line in (re.sub(r"(^|\s+)#.*$", "", x).strip() for x in lines) if line]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        indent, language, body = match.groups()
        body = re.sub(f"^{indent}", "", body, flags=re.M)
        block = Block(page, text.count("\n", 0, match.start()) + 1, language, body)
        before = text[: match.start()].rstrip().splitlines()
        mark = MARK.fullmatch(before[-1].strip()) if before else None
        for part in mark[1].split(",") if mark else ():
            key, _, value = part.strip().partition(": ")
            if key == "needs":
                assert value in NEEDS, f"{block.where}: {value!r} is none of {NEEDS}"
                block.needs.add(value)
            elif key == "slow":
                block.slow = True
            elif key == "exit":
                block.exit = int(value)
            elif key == "file":
                block.file = value
            else:
                raise AssertionError(f"{block.where}: the mark {part!r} is unknown")
        yield block


# ---- the words of a command ----------------------------------------------------------------------------------------


def split(line: str) -> list[str]:
    """The words of `NAME=value i2i ...` without variables."""
    words = shlex.split(line)
    while words and re.fullmatch(r"[A-Z_0-9]+=.*", words[0]):
        words.pop(0)
    return words


def parsed(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """(names of the command, its parameters) of the words after `i2i`; fails as the program does for unknown ones."""
    command: Any = typer.main.get_command(program())
    context = command.make_context("i2i", list(words))
    names: list[str] = []
    while rest := [*context._protected_args, *context.args]:
        if not hasattr(command, "commands"):
            break
        name, command, rest = command.resolve_command(context, rest)
        names.append(name)
        context = command.make_context(name, rest, parent=context)
    return names, dict(context.params)


def commands() -> list[tuple[str, set[str]]]:
    """All commands, groups among them: (name, options)."""

    def walk(command: Any, name: str) -> Iterator[tuple[str, set[str]]]:
        yield name, {option for parameter in command.params for option in parameter.opts}
        for key, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{name} {key}")

    return list(walk(typer.main.get_command(program()), "i2i"))


def shrunk(words: list[str]) -> list[str]:
    """The words of a command, so that it takes a second: a method's tiny form, few images, few frames."""
    if "--dry-run" in words:
        return words
    names, values = parsed(words)
    if names == ["generate"]:
        less = {"-n": "4", "--number": "4", "--frames": "4", "--interpolate": "2"}
        return [less.get(before, word) for before, word in zip(["", *words], words)]
    if names != ["plan"] and (names != ["train"] or values["resume"] is not None):
        return words
    recipe, sources = recipe_and_data([values["recipe"], *values["folders"]], values["data"] or [], False)
    assert recipe is not None
    tiny = tiny_settings(recipe)
    if any(text.split("=")[0].strip() == "scale" for text in values["settings"] or ()):
        tiny.pop("scale", None)  # networks that keep the size refuse another scale
    size = tiny.pop("size", 32)
    made = [*names, recipe, "--size", str(size), "--images", "4", "--workers", "0", "--device", "cpu"]
    made += ["--batch", values["batch"] if values["batch"] == "auto" else "2"]
    made += [word for source in sources for word in ("--data", source)]
    for option in ("memory", "hours", "price"):
        made += [f"--{option}", str(values[option])] if values.get(option) is not None else []
    if values.get("out") is not None:
        shutil.rmtree(values["out"], ignore_errors=True)  # the sandbox may have it already
        made += ["--out", str(values["out"])]
    if values.get("processes", 1) > 1:
        made += ["--processes", "2"]
    for flag, key in (("--json", "as_json"), ("--quiet", "quiet")):
        made += [flag] if values.get(key) else []
    start = values.get("init_from")
    if start and not (shipped() / f"{start}.safetensors").is_file():  # too large for the form
        made += ["--init-from", str(start)]
    for option in ("direction", "labels", "precision", "seed"):
        made += [f"--{option}", str(values[option])] if values.get(option) is not None else []
    for text in values["settings"] or ():
        if text.split("=")[0].strip() not in {*tiny, "load", "batch", "epochs", "images", "accumulate"}:
            made += ["--set", text]
    return made + [word for pair in {**tiny, "load": 0}.items() for word in ("--set", "{}={}".format(*pair))]


def tiny_settings(recipe: str) -> dict[str, Any]:
    """The settings of a recipe's method in its smallest form, and "size"."""
    values = recipes.recipe(recipe)
    fitted = {"depth": 0} if "depth" in values else {}  # the U-Net's levels that a recipe asks for need larger images
    kept = {"scale": 1} if values.get("scale") == 1 else {}
    tiny = {**fitted, **load_method(str(values["method"])).tiny, **kept}
    return {k: ",".join(map(str, v)) if isinstance(v, tuple) else v for k, v in tiny.items()}


# ---- the folder ----------------------------------------------------------------------------------------------------


def furnish(folder: Path) -> None:
    """Puts into `folder` what the pages name: images, folders of them, trained runs; and fills the cache."""
    for seed, name in enumerate(("photo.jpg", "map.png", "drawing.png")):
        picture(folder / name, seed, 40, 32)
    picture(folder / "scan.tif", 9, 112, 96)
    for name in ("photos", "satellite", "paintings", "faces", "holiday", "in", "archive/a", "archive/b"):
        for i in range(6):
            picture(folder / name / f"{i}.jpg", hash(name) % 1000 + i, 32, 32)
    for i in range(3):
        picture(folder / "archive/a" / f"{i}.png", i, 32, 32)
    make_pairs(folder / "pairs")
    for split in ("train", "test"):  # label maps beside photos
        for i in range(4):
            photo = np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8)
            labels = np.array([[70, 130, 180], [0, 0, 142], [128, 64, 128]], np.uint8)[
                (np.indices((32, 32))[0] + i) // 8 % 3
            ]
            (folder / "labels" / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.hstack([labels, photo])).save(folder / "labels" / split / f"{i}.png")
    (folder / "instances").mkdir()
    for i in range(6):  # maps of things in 16 bits, for the photos
        things = np.array([[7, 26001, 26002, 24003]], np.uint16).repeat(8, 1).repeat(32, 0)
        Image.fromarray(np.roll(things, i, 1)).save(folder / "instances" / f"{i}.png")
    for name in ("digits", "emoji"):
        for label, title in enumerate(("smileys", "symbols", "travel", "food")):
            for i in range(4):
                picture(folder / name / title / f"{i}.png", 10 * label + i)
    rows = "".join(f"{i}.jpg,{i % 2},{1 - i % 2},{i // 3},{int(i % 3 > 0)}\n" for i in range(6))
    (folder / "attributes.csv").write_text(f"file,Black_Hair,Blond_Hair,Male,Young\n{rows}", encoding="utf-8")
    (folder / "files.txt").write_text("holiday/0.jpg\nholiday/1.jpg\n", encoding="utf-8")
    for kind in ("before", "after"):
        for i in range(6):
            picture(folder / "shots" / kind / f"{i}.png", i, 32, 32)
    for name, sources in (("mine", ["pairs"]), ("night", ["photos", "paintings"]), ("faces", ["faces"])):
        method = {"mine": "pix2pix", "night": "cyclegan", "faces": "dcgan"}[name]
        i2i(
            *shrunk(
                ["train", method, "--data", *(str(folder / s) for s in sources), "--out", str(folder / "runs" / name)]
            )
        )
    i2i(*shrunk(["train", "biggan_small", "--data", str(folder / "digits"), "--out", str(folder / "runs" / "digits")]))
    cache = folder / "cache"
    make_pairs(cache / "datasets" / "maps")
    for i in range(4):
        for part in ("trainA", "trainB", "testA", "testB"):
            picture(cache / "datasets" / "horse2zebra" / part / f"{i}.jpg", i, 32, 32)
    for name, run in (("cyclegan_horse2zebra", "night"), ("pix2pix_sat2map", "mine")):
        (cache / "models").mkdir(exist_ok=True)
        shutil.copy(folder / "runs" / run / "model.safetensors", cache / "models" / f"{name}.safetensors")


def write_video(path: Path) -> None:
    """Half a second of noise."""
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width = stream.height = 32
        for i in range(5):
            frame = np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(frame)):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)


def shim(folder: Path) -> Path:
    """A folder with programs called i2i and python, for the shell."""
    folder.mkdir(exist_ok=True)
    for name, words in (("i2i", "-m i2i "), ("python", "")):
        file = folder / name
        file.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words}"$@"\n', encoding="utf-8")
        file.chmod(0o755)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """The variables of a shell in the sandbox `folder`."""
    path = os.pathsep.join([str(shim(folder / ".bin")), os.environ["PATH"]])
    python = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": python,
        "I2I_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }


def is_image(path: Path) -> bool:
    """Whether Pillow can open a file."""
    try:
        with Image.open(path) as image:
            image.load()
        return True
    except OSError:
        return False
