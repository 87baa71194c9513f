"""Plain help with options in groups: those of a panel, such as "Advanced", stand under a heading of their own."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

ADVANCED = "Advanced"  # the rich_help_panel of options that few users need


class PanelCommand(TyperCommand):
    """Typer's command; its options are listed by their rich_help_panel, first those without one."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the lists of arguments and options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is not None:
                panel = getattr(parameter, "rich_help_panel", None) or "Options"
                title = "Arguments" if parameter.param_type_name == "argument" else panel
                sections.setdefault(title, []).append(row)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
