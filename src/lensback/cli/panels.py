"""The commands as a person needs them: in panels, in the order in which they come up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer import Typer

PANELS: Mapping[str, tuple[str, ...]] = {
    "First steps": ("demo", "init", "store", "sync", "search", "serve", "doctor"),
    "Running": ("config", "key", "bot", "offers", "user", "grant", "audit"),
    "Money": ("network", "program", "click", "conversions", "ledger", "claim"),
    "What it sees": (
        *("evaluate", "report", "holdout", "promise", "calibrate"),
        *("encoder", "detector", "embed", "train"),
    ),
    "Upkeep": ("backup", "restore", "prune"),
}
"""Every command and group of commands, once."""
_PLACE = {name: n for n, name in enumerate(name for names in PANELS.values() for name in names)}


class Panels(TyperGroup):
    """The command line, its help by panels also where that stands in no boxes."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names in the order of the panels."""
        return sorted(super().list_commands(ctx), key=lambda name: _PLACE.get(name, len(_PLACE)))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """A section for each panel, the names of all as wide as the longest."""
        wide = max(map(len, self.commands), default=0)
        for panel, names in PANELS.items():
            here = [one for name in names if (one := self.get_command(ctx, name))]
            room = formatter.width - 6 - wide
            rows = [(f"{one.name:{wide}}", one.get_short_help_str(room)) for one in here]
            if rows:
                with formatter.section(panel):
                    formatter.write_dl(rows)


def in_panels(app: Typer) -> None:
    """Tells each command of the app, and each group, the panel that it stands in."""
    panel_of = {name: panel for panel, names in PANELS.items() for name in names}
    for command in app.registered_commands:
        command.rich_help_panel = panel_of.get(str(command.name))
    for group in app.registered_groups:
        group.rich_help_panel = panel_of.get(str(group.name))
