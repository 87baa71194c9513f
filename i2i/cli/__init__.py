"""The command line: every module of this package that has a function `register(app)` adds its commands.

Parsing and printing only. torch is imported inside the commands, so that help answers at once. Errors are one sentence
on stderr (with --json an object on stdout), never a traceback, unless the variable I2I_DEBUG is 1.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import shlex
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from i2i.cli import choices, habits, launch, other_lines, setting_words
from i2i.cli.group import CommandGroup
from i2i.cli.output import print_error
from i2i.core import user_code
from i2i.core.errors import I2IError, I2IWarning, MethodNeeded, TrustNeeded
from i2i.core.escape import printable
from i2i.core.memory import shortage

ORDER = (
    "train",
    "plan",
    "translate",
    "evaluate",
    "compare",
    "bench",
    "doctor",
    "generate",
    "recipes",
    "models",
    "data",
)  # in the help; others follow
USAGE, INTERRUPTED = 2, 130

HELP = """Image-to-image translation: train pix2pix, CycleGAN and their family on your own images, and translate with
them.

\b
  i2i train pix2pix --data maps
  i2i train cyclegan --data photos/ paintings/
  i2i translate photo.jpg --model cyclegan_horse2zebra

i2i COMMAND --help explains a command."""


class _Program(CommandGroup):
    """The top group. Exits cleanly on Ctrl-C and on a closed pipe; knows `i2i help [COMMAND]` and `i2i version`."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parses the words before the command."""
        if args and args[0] == "help":
            args = [*args[1:], "--help"]
        elif args and args[0] == "version":
            args = ["--version"]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Abort from error
        except BrokenPipeError as error:
            raise typer.Exit(0) from error


def program() -> typer.Typer:
    """Returns the program with all its commands."""
    app = typer.Typer(
        name="i2i",
        cls=_Program,
        help=HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    modules = [module.name for module in pkgutil.iter_modules(__path__)]
    for name in sorted(modules, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n)):
        register = getattr(importlib.import_module(f"i2i.cli.{name}"), "register", None)
        if register is not None:
            register(app)
    return app


def _version(requested: bool) -> None:
    if requested:
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
    """Runs the program with `words` (default: the command line) and ends the process with its exit code."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the parent process closed it
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    code = run(list(sys.argv[1:] if words is None else words))
    try:
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # a broken pipe is no error: `| head` has read enough
            print_error(f"The output cannot be written: {error.strerror}.")
            code = code or 1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it exits
    sys.exit(code)


def run(words: list[str]) -> int:
    """Runs the program with `words` and returns its exit code.

    0 done, 1 error, 2 wrong usage, 3 some images of a batch failed, 128 + the signal's number if interrupted."""
    as_json = "--json" in words
    launch.end_with_parent()
    warnings.formatwarning = _one_line  # type: ignore[assignment]
    try:
        command: Any = typer.main.get_command(program())
        code = command.main(args=list(words), prog_name="i2i", standalone_mode=False, obj=words)
        return code if isinstance(code, int) else 0
    except I2IError as error:
        if os.environ.get("I2I_DEBUG") == "1":
            traceback.print_exc()
        hint = error.hint
        if isinstance(error, MethodNeeded):
            again = shlex.join(["i2i", *words, "--method", error.file])
            hint = f"If you trust that file, name it, and its code is run: {again}"
        if isinstance(error, TrustNeeded):
            hint = f"If you trust that file, allow it: {shlex.join(['i2i', *words, '--trust'])}"
        print_error(error.what, hint, as_json, plain=error.code >= 128)
        return error.code
    except typer.TyperException as error:
        if not words or error.exit_code != USAGE:
            typer.echo(error.format_message())  # without any word this is the help
        else:
            print_error(*_explain(error, words), as_json)
        return error.exit_code
    except typer.Abort:
        print_error("Stopped by Ctrl-C.", "", as_json, plain=True)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 (a defect, or trouble outside such as a full disk, is one sentence, too)
        if os.environ.get("I2I_DEBUG") == "1":
            traceback.print_exc()
        sentence = shortage(error) or user_code.explain(error)
        if sentence is not None:  # too little memory, or a method file of the user's own
            print_error(sentence.what, sentence.hint, as_json)
        elif isinstance(error, OSError) and error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            print_error(f"{where}{error.strerror}.", "", as_json)
        else:
            text = " ".join(str(error).split())[:400]
            what = f"Unexpected {type(error).__name__}: {text.rstrip('.')}."
            print_error(what, "Set I2I_DEBUG=1 to see where.", as_json)
        return 1


def _one_line(message: Warning | str, category: type[Warning], file: str, line: int, source: str | None = None) -> str:
    """A warning as the user sees it: those of i2i without the line of code that gave them."""
    if issubclass(category, I2IWarning):
        return f"Warning: {printable(str(message))}\n"
    return f"{file}:{line}: {category.__name__}: {message}\n"


def _explain(error: Any, words: list[str]) -> tuple[str, str]:
    """Returns what is wrong with the words, and what helps. error: a TyperException."""
    context = getattr(error, "ctx", None)
    if context is not None:
        command = context.command_path
    else:  # the parser does not always say which command it was parsing
        command = f"i2i {words[0]}" if not words[0].startswith("-") else "i2i"
    hint = f"See {command} --help."
    if hasattr(error, "possibilities"):  # an unknown option
        if (
            command == "i2i"
            and context is not None
            and (line := other_lines.without_command(words, context.command.commands))
        ):
            return f"There is no command before {error.option_name}.", f"Type: {line}"
        options = [name for parameter in context.command.params for name in parameter.opts] if context else []
        settings = setting_words.settings_of(words) if "--set" in options else {}
        near = habits.instead_of_option(error.option_name, options, list(settings))
        if near and context is not None and command in ("i2i train", "i2i translate", "i2i evaluate"):
            line = other_lines.as_ours(words[0], words[1:], habits.options_of(context.command))
            hint = f"Type: {line}" if line and "--data" not in words else hint
        return f"There is no option {error.option_name}.", f"{near} {hint}".strip()
    if type(error).__name__ == "MissingParameter" and "--model" in (error.param.opts if error.param else ()):
        if command == "i2i export" and len(words) > 1 and not words[1].startswith("-"):
            output = next((word for word in words[2:] if word.endswith(".onnx")), "model.onnx")
            return "No model was given.", f"Type: {shlex.join(['i2i', 'export', '--model', words[1], '-o', output])}"
        line = (
            other_lines.as_ours(command.split()[-1], words[1:], habits.options_of(context.command)) if context else ""
        )
        if line:
            return "No model was given.", f"Type: {line}"
        kind = "generate" if command.split()[-1] == "generate" else "translate"
        return "No model was given.", f"{choices.of_models(kind)} {hint}"
    if type(error).__name__ == "MissingParameter" and "--output" in (error.param.opts if error.param else ()):
        return "No output was given.", f"Give --output FILE (or -o FILE). {hint}"
    if isinstance(error, typer.BadParameter) and error.message:
        return _explain_value(error), hint
    what = " ".join(error.format_message().split()).rstrip(".") + "."
    if what.startswith("Got unexpected extra argument"):
        what = f"Too many words: {what.rpartition(' (')[2].rstrip(').')}."
    return what, hint


def _explain_value(error: typer.BadParameter) -> str:
    """Returns what is wrong with the value of an option or argument."""
    message = error.message.rstrip(".") + "."
    if error.param is None:  # raised by one of our commands
        return message
    name = error.param.opts[0]
    for detail in getattr(error.__cause__, "errors", list)():  # pydantic's
        limits = detail.get("ctx", {})
        allowed = {
            "int_parsing": "Give a whole number.",
            "float_parsing": "Give a number.",
            "greater_than_equal": f"Give at least {limits.get('ge')}.",
            "greater_than": f"Give more than {limits.get('gt')}.",
            "less_than_equal": f"Give at most {limits.get('le')}.",
            "less_than": f"Give less than {limits.get('lt')}.",
        }
        return f"{name} is {detail['input']!r}. {allowed.get(detail['type'], detail['msg'].rstrip('.') + '.')}"
    return f"{name}: {message}"
