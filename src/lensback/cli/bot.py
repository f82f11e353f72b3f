"""The Telegram bot: bot."""

from __future__ import annotations

import os
from threading import Event
from typing import Annotated

import typer

from lensback.cli.face import HERE, Folder, app, err, opened_workspace, say_aside
from lensback.cli.stopping import CTRL_C, stoppable


@app.command("bot")
def bot_command(
    api: Annotated[str, typer.Option(help="A Bot API server other than Telegram's own.")] = "",
    workspace: Folder = HERE,
) -> None:
    """Answer photos in Telegram. The token comes from LENSBACK_BOT_TOKEN."""
    from lensback.bot import run_bot

    token = os.environ.get("LENSBACK_BOT_TOKEN", "")
    with opened_workspace(workspace) as opened, stoppable(Event()) as stop:
        run_bot(opened, token, api, _told_ready, stop)
    say_aside("stopped; what is sent meanwhile is answered when it runs again")
    if stop.by_hand:
        raise typer.Exit(CTRL_C)


def _told_ready() -> None:
    err.print("the bot answers until Ctrl-C", highlight=False)
