"""Groups of commands: `i2i` itself, and `i2i data`, `i2i models`, ... whose bare name lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from i2i.core.errors import I2IError, nearest


class UsageError(I2IError):
    """Words that the program does not understand."""

    code = 2


class CommandGroup(TyperGroup):
    """Typer's group, with our sentence for an unknown command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Returns the command that `args` begin with. Raises UsageError if there is none of that name."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = f"{nearest(name, self.list_commands(ctx))} See {ctx.command_path} --help."
            raise UsageError(f"No such command {name!r}.", hint)
        return super().resolve_command(ctx, args)


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
