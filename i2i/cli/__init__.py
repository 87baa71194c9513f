"""The command line: every module of this package that has a function `register(app)` adds its commands.

Parsing and printing only. torch is imported inside the commands, so that help answers at once. Errors are one sentence
on stderr (with --json an object on stdout), never a traceback, unless the variable I2I_DEBUG is 1.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from i2i.cli import launch
from i2i.cli.output import print_error
from i2i.core.errors import I2IError, nearest

ORDER = ("train", "translate", "evaluate", "generate", "recipes", "models", "data")  # of the help; the rest by name
FLAGS = ("--dry-run", "--json", "--quiet", "-q", "--help", "-h")  # options of train and evaluate without a value
USAGE, INTERRUPTED = 2, 130
ParserError: Any = typer.BadParameter.__mro__[2]  # ClickException, of whichever click this typer brings along

HELP = """Image-to-image translation: train pix2pix, CycleGAN and their family on your own images, and translate with
them.

\b
  i2i train pix2pix --data maps
  i2i train cyclegan --data photos/ paintings/
  i2i translate photo.jpg --model cyclegan_horse2zebra

i2i COMMAND --help explains a command."""


class _Commands(TyperGroup):
    """Typer's group, but an interrupt is told as such, and output that nobody reads any more is no failure."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Abort from error
        except BrokenPipeError as error:
            raise typer.Exit(0) from error


def program() -> typer.Typer:
    """The program with all its commands."""
    app = typer.Typer(
        name="i2i",
        cls=_Commands,
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    found = [m.name for m in pkgutil.iter_modules(__path__)]
    for name in sorted(found, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n)):
        register = getattr(importlib.import_module(f"i2i.cli.{name}"), "register", None)
        if register is not None:
            register(app)
    return app


def _version(asked: bool) -> None:
    if asked:
        from i2i import __version__

        typer.echo(f"i2i {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_version, is_eager=True)
    ] = False,
) -> None: ...


_root.__doc__ = HELP


def main(words: Sequence[str] | None = None) -> None:
    """Runs the program with `words` (default: as typed) and ends the process with its exit code."""
    given = list(sys.argv[1:] if words is None else words)
    for name, way in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by who started the program
            setattr(sys, name, open(os.devnull, way))  # noqa: SIM115
    code = run(given)
    try:
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # that is `| head`, which has read enough
            print_error(f"The output cannot be written: {error.strerror}.")
            code = code or 1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be written
    sys.exit(code)


def run(words: list[str]) -> int:
    """Runs the program with `words` and returns its exit code: 0 done, 1 error, 2 usage, 3 some images failed,
    128 + the signal's number when interrupted."""
    machine = "--json" in words
    launch.bound()
    try:
        command: Any = typer.main.get_command(program())
        code = command.main(args=spread(words), prog_name="i2i", standalone_mode=False, obj=words)
        return code if isinstance(code, int) else 0
    except I2IError as error:
        if os.environ.get("I2I_DEBUG") == "1":
            traceback.print_exc()
        print_error(error.what, error.hint, machine, plain=error.code >= 128)
        return error.code
    except ParserError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(error.format_message())
            return USAGE
        print_error(*_usage(error, words), machine)
        return int(error.exit_code)
    except typer.Abort:
        print_error("Interrupted.", "", machine, plain=True)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 (a defect, or something outside such as a full disk: one sentence all the same)
        if os.environ.get("I2I_DEBUG") == "1":
            traceback.print_exc()
        if isinstance(error, OSError) and error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            print_error(f"{where}{error.strerror}.", "", machine)
        elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            hint = "A smaller --batch or --size takes less; more --set accumulate too, for training."
            print_error("The memory is full.", hint, machine)
        else:
            text = " ".join(str(error).split())[:400]
            print_error(f"Unexpected {type(error).__name__}: {text.rstrip('.')}.", "I2I_DEBUG=1 shows where.", machine)
        return 1


def _usage(error: Any, words: list[str]) -> tuple[str, str]:
    """What was wrong with the words, and what helps."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "i2i"
    if context is None and words and not words[0].startswith("-"):  # the parser tells not always of which command
        path = f"i2i {words[0]}"
    hint = f"See {path} --help."
    text = error.format_message().rstrip(".").replace("\n", " ")
    text = (
        re.split(r" \(Possible| Did you mean|, unable to parse", text)[0].removeprefix("Invalid value: ").rstrip(".")
        + "."
    )
    refused = re.match(r"Invalid value for '(--[\w-]+)'[^:]*: (.*)", text)
    if refused and (given := _given(refused[1], words)) is not None:
        text = f"{refused[1]} is {given!r}. {refused[2]}"
    known = getattr(getattr(context, "command", None), "commands", None)
    if type(error).__name__ == "NoSuchOption":
        options = [o for p in context.command.params for o in p.opts] if context is not None else []
        hint = f"{nearest(error.option_name, options)} {hint}"
    elif known and "No such command" in text:
        hint = f"{nearest(text.split(chr(39))[1], known)} {hint}"
    return text, hint


def _given(option: str, words: list[str]) -> str | None:
    """The last value that `words` give an option."""
    found = None
    for word, after in zip(words, [*words[1:], None]):
        if word == option:
            found = after
        elif word.startswith(f"{option}="):
            found = word.removeprefix(f"{option}=")
    return found


def spread(words: list[str]) -> list[str]:
    """`--data A B` as `--data A --data B`, which is what the parser understands.

    Where no word stands alone, the last one after --data is the recipe, unless it is a folder: `i2i train --data A B
    cyclegan`."""
    if not words or words[0] not in ("train", "evaluate"):
        return words
    rest = [part for word in words[1:] for part in (word.split("=", 1) if word.startswith("--data=") else [word])]
    made, data, alone, without = [words[0]], list[str](), False, False
    while rest:
        word = rest.pop(0)
        if word == "--data":
            start = len(data)
            while rest and not rest[0].startswith("-"):
                data.append(rest.pop(0))
            without = without or len(data) == start
            continue
        made.append(word)
        if word == "--":
            made, rest, alone = [*made, *rest], [], alone or bool(rest)
        elif not word.startswith("-"):
            alone = True
        elif word not in FLAGS and "=" not in word and rest:
            made.append(rest.pop(0))
    alone = alone or words[0] == "evaluate" or any(word.split("=")[0] == "--resume" for word in made)
    recipe = [data.pop()] if not alone and len(data) > 1 and not os.path.isdir(data[-1]) else []
    given = [part for value in data for part in ("--data", value)]
    return [made[0], *recipe, *given, *made[1:], *(["--data"] if without else [])]  # the last: the parser complains
