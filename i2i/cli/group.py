"""Groups of commands: `i2i` itself, and `i2i data`, `i2i models`, ... whose bare name lists."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from i2i.cli import habits, other_lines
from i2i.core.errors import I2IError
from i2i.core.suggest import did_you_mean, similar

LIST_WORDS = ("list", "ls", "all")  # `i2i models list` is `i2i models`


class UsageError(I2IError):
    """Words that the program does not understand."""

    code = 2


class CommandGroup(TyperGroup):
    """Typer's group, with our sentence for an unknown command.

    A group with the command `show` lists by `i2i GROUP list`, and shows by `i2i GROUP NAME`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the list of commands, each with its whole first sentence."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(1000)) for name, one in commands if one is not None and not one.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parses the words of the group: those before the command."""
        if "show" in self.commands and args and args[0] not in self.commands:
            plain = [word for word in args if not word.startswith("-")]
            near_command = similar(args[0], self.commands)
            if args[0] in LIST_WORDS:
                args = args[1:]
            elif args[0] == "help":
                args = [*args[1:], "--help"]
            elif len(plain) == 1 and plain[0] == args[0] and not near_command:
                args = ["show", *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Returns the command that `args` begin with. Raises UsageError if there is none of that name."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            commands = self.list_commands(ctx)
            known = habits.instead_of_command(args) if ctx.parent is None else ""
            if ctx.parent is None and (command := habits.command_of(name)) in self.commands:
                options = habits.options_of(self.commands[command])
                if other_lines.is_foreign(args[1:], options):
                    line = other_lines.as_ours(command, args[1:], options)
                    known = f"It is called {command}. Type: {line}" if line else known
            if known:
                raise UsageError(f"There is no command {name!r}.", known)
            hint = did_you_mean([f"{ctx.command_path} {command}" for command in similar(name, commands)])
            hint = hint or f"Known: {', '.join(sorted(commands))}."
            raise UsageError(f"There is no command {name!r}.", f"{hint} See {ctx.command_path} --help.")
        resolved = super().resolve_command(ctx, args)
        if resolved[1] is not None and not isinstance(resolved[1], TyperGroup):
            _check_values(f"{ctx.command_path} {name}", resolved[1], resolved[2])
        return resolved


def _check_values(path: str, command: Any, words: list[str]) -> None:
    """Raises UsageError for an option without its value: the parser takes the next option (`--ray --model X`)."""
    takes_value = habits.options_of(command)
    for word, following in itertools.pairwise(words):
        if word == "--":
            return
        if takes_value.get(word) and following.partition("=")[0] in takes_value:
            option = next(p for p in command.params if word in p.opts)
            text = " ".join((option.help or "").split())
            raise UsageError(
                f"Option '{word}' requires an argument.",
                f"{following} follows it. {word}: {text} See {path} --help.",
            )


def add_group(app: typer.Typer, name: str, listing: Callable[..., Any], **commands: Callable[..., Any]) -> typer.Typer:
    """Adds the group `name` to `app` and returns it: `i2i NAME` calls `listing`, `i2i NAME WORD` calls commands[WORD].

    `listing` gives the group its help text. It is called before each command, too, and must return at once if its
    context has an invoked_subcommand."""
    group = typer.Typer(cls=CommandGroup, help=listing.__doc__, invoke_without_command=True)
    group.callback()(listing)
    for word, command in commands.items():
        group.command(name=word)(command)
    app.add_typer(group, name=name)
    return group
