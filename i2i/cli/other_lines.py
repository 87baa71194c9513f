"""Whole command lines as other programs take them, turned into lines that work here.

The reference implementation of pix2pix and CycleGAN has options only (`train.py --dataroot maps --model pix2pix`);
others take words such as `model=pix2pix data=maps`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from i2i.cli import habits
from i2i.core.files import kind_of
from i2i.core.other_names import SETTINGS
from i2i.core.suggest import same_name

RECIPE_WORDS = ("model", "recipe", "method", "arch", "network")  # keys whose value is a recipe
INPUT_WORDS = ("data", "dataroot", "source", "input", "inputs", "path", "src")
RECIPE = "cyclegan"  # what the reference implementation trains if its --model is left out


def without_command(words: list[str], commands: Mapping[str, Any]) -> str:
    """The line for words that begin with an option instead of a command; empty if it cannot be known."""
    from i2i.models import zoo

    keys = dict(_split(words))
    model = keys.get("model") or keys.get("m") or ""
    has_images = any(key in INPUT_WORDS for key in keys)
    names_recipe = bool(_recipe(model)) and (has_images or same_name(model, zoo.names()) is None)
    if "resume" in keys or names_recipe or (has_images and not model):
        return as_ours("train", words, habits.options_of(commands["train"]))
    if not model:
        return ""
    command = "generate" if same_name(model, zoo.names("generate")) else "translate"
    line = as_ours(command, words, habits.options_of(commands[command]))
    has_output = {"grid", "output", "o"} & keys.keys()
    return f"{line} --grid images.png" if command == "generate" and not has_output else line


def is_foreign(words: list[str], options: Mapping[str, bool]) -> bool:
    """Whether the words that follow a command have options that it does not have, or pairs KEY=VALUE."""
    return any(
        key and not {f"--{key.replace('_', '-')}", f"-{key}"} & options.keys() for key, _ in _split(words)
    ) or any("=" in word and not word.startswith("-") and not kind_of(word) for word in words)


def recipe_by_key(words: list[str]) -> str:
    """The first word such as model=pix2pix, whose value is a recipe; empty if there is none."""
    parts = ((word, *word.partition("=")) for word in words if not word.startswith("-") and not kind_of(word))
    return next((word for word, key, _, value in parts if key in RECIPE_WORDS and _recipe(value)), "")


def as_ours(command: str, words: list[str], options: Mapping[str, bool]) -> str:
    """The line `i2i train ...` or `i2i translate ...` for the words of another program; empty if it cannot be known.

    words: those after the command. options: those of the command, as of `habits.options_of`. What i2i does not have is
    left out."""
    keys = dict(_split(words))
    trains = command == "train"
    recipe = next((r for key in RECIPE_WORDS if (r := _recipe(keys.get(key) or ""))), "")
    recipe = recipe or next((r for key, word in _split(words) if not key and (r := _recipe(word or ""))), "")
    inputs: list[str] = []
    others: list[str] = []
    for key, value in _split(words):
        if not key and value is not None:
            if not (trains and _recipe(value) == recipe != ""):
                inputs.append(value)
        elif (trains or "name" in keys) and key in RECIPE_WORDS and _recipe(value or ""):
            continue
        elif key in INPUT_WORDS and value is not None:
            inputs.append(value)
        elif key not in ("name", "checkpoints_dir"):
            others += _option(key, value, options, recipe)

    # The reference implementation's folder of a run: its --name in its --checkpoints_dir.
    run = keys.get("name") or ""
    if run and "/" not in run:
        theirs = "checkpoints" if not trains and kind_of(f"checkpoints/{run}") else "runs"
        run = f"{(keys.get('checkpoints_dir') or theirs).rstrip('/')}/{run}"
    if run and trains:
        others += ["--out", run]
    elif run and "--model" in options and "--model" not in others:
        others += ["--model", run]

    if trains and "--resume" in others:
        return shlex.join(["i2i", command, *others])
    if trains:
        return shlex.join(["i2i", command, recipe or RECIPE, "--data", *inputs, *others]) if inputs else ""
    return shlex.join(["i2i", command, *inputs, *others]) if {"--model", "-m"} & set(others) else ""


def _option(key: str, value: str | None, options: Mapping[str, bool], recipe: str) -> list[str]:
    """The words for one option of another program; [] if i2i has nothing like it."""
    own = next((name for name in (f"--{key.replace('_', '-')}", f"-{key}") if name in options), None)
    if own is not None:
        return [own, *([value] if value is not None and options[own] else [])]
    instead = next((o for o in habits.OPTIONS.get(key.lower(), ()) if o.split()[0] in options), None)
    if instead is not None and (" " in instead or not options[instead]):
        return instead.split()
    if instead is not None:
        return [instead, value] if value is not None else []
    from i2i.cli.setting_words import settings_of

    setting = SETTINGS.get(key.lower(), key)
    is_setting = value is not None and "--set" in options and setting in settings_of([recipe])
    return ["--set", f"{setting}={habits.VALUES.get(value or '', value)}"] if is_setting else []


def _split(words: list[str]) -> Iterator[tuple[str, str | None]]:
    """(key, value) of --key VALUE, --key=VALUE, --key, key=VALUE; ("", word) of any other word."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, sign, value = word.partition("=")
        key = name.lstrip("-").replace("-", "_")
        if not key or (not word.startswith("-") and (not sign or kind_of(word))):
            yield "", word
        elif sign:
            yield key, value
        elif rest and not (rest[0].startswith("-") and len(rest[0]) > 1):
            yield key, rest.pop(0)
        else:
            yield key, None


def _recipe(word: str) -> str:
    """The name of the recipe that a word means; empty if it means none."""
    from i2i.training import recipes

    return same_name(word, recipes.recipes()) or "" if word else ""
