"""`i2i train cyclegan --lr 1e-4` and `lr=1e-4`: settings that are typed like options, or without --set."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

from typer.core import TyperCommand

from i2i.cli import habits, other_lines
from i2i.cli.group import UsageError
from i2i.core import user_code
from i2i.core.errors import I2IError, TrustNeeded

HELP = {"--help", "-h"}


class SettingsCommand(TyperCommand):
    """Typer's command; what is no option of it but a setting of the recipe is read as --set SETTING=VALUE."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parses the words, after rewriting the settings among them."""
        options = habits.options_of(self)
        named = other_lines.recipe_by_key(args)
        line = other_lines.as_ours(str(ctx.info_name), args, options) if named else ""
        if line:
            raise UsageError(f"There is no recipe {named!r}.", f"Type: {line}")
        return super().parse_args(ctx, with_set(args, options))


def with_set(args: list[str], options: Mapping[str, bool]) -> list[str]:
    """The words, with `--set KEY=VALUE` for each setting typed as --KEY VALUE, --KEY=VALUE, --KEY, --no-KEY, KEY=VALUE.

    options: as of `habits.options_of`; they go first. Nothing is looked up (and torch is not imported) while
    all words are options, values of them, and plain words."""
    known: dict[str, Any] | None = None
    rewritten: list[str] = []
    words = iter(enumerate(args))
    for i, word in words:
        name, sign, value = word.partition("=")
        is_option = word.startswith("--") and len(word) > 2
        is_pair = not word.startswith("-") and bool(sign) and (i == 0 or args[i - 1] not in options)
        if word == "--" or (is_option and name in options) or not (is_option or is_pair):
            rewritten.append(word)
            continue
        if known is None:
            known = settings_of(args)
        key = name.lstrip("-").replace("-", "_")
        is_off = key.startswith("no_") and known.get(key[3:]) is bool
        if is_pair and key not in known and options.get(f"--{key.replace('_', '-')}"):
            rewritten += [f"--{key.replace('_', '-')}", value]
        elif is_off and not sign:
            rewritten += ["--set", f"{key[3:]}=no"]
        elif key not in known:
            rewritten.append(word)
        elif sign:
            rewritten += ["--set", f"{key}={value}"]
        elif _has_value(args[i + 1 : i + 2], known[key]):
            rewritten += ["--set", f"{key}={next(words)[1]}"]
        elif known[key] is bool:
            rewritten += ["--set", f"{key}=yes"]
        else:
            rewritten.append(word)
    return rewritten


def showing(words: list[str]) -> contextlib.AbstractContextManager[None]:
    """Where a command only shows something: no Python file runs inside but those among its words, or with --trust."""
    if "--trust" in words or not {"--dry-run", *HELP} & set(words):
        return contextlib.nullcontext()
    named = [part for word in words for part in (word, word.partition("=")[2]) if part.endswith(".py")]
    return user_code.only_showing(named)


def settings_of(args: list[str]) -> dict[str, Any]:
    """{setting: its type} of training, data and tricks, and of the method of the recipe that `args` name, if any."""
    import typing

    from i2i.data import DataSettings
    from i2i.methods import load_method
    from i2i.training import recipes
    from i2i.training.settings import TrainSettings
    from i2i.training.tricks import TrickSettings

    parts: list[type] = [TrainSettings, DataSettings, TrickSettings]
    for word in args:
        if word.endswith((".yaml", ".yml", ".py")) or recipes.canonical(word) in recipes.recipes():
            try:
                with showing(args):
                    parts.append(load_method(str(recipes.recipe(word)["method"])).Config)
                break
            except TrustNeeded:
                if not HELP & set(args):
                    raise
            except I2IError:  # training says what is wrong with the file
                continue
    hints: dict[str, Any] = {}
    for part in parts:
        types = typing.get_type_hints(part)
        hints |= {field.name: types[field.name] for field in dataclasses.fields(part)}
    return hints


def _has_value(following: list[str], kind: object) -> bool:
    """Whether the word that follows a setting of the type `kind` is its value; of yes or no it may be left out."""
    if not following or following[0].startswith("--"):
        return False
    return kind is not bool or following[0].lower() in ("yes", "no", "true", "false", "on", "off", "1", "0")
