"""The Telegram bot: bot."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from lensback.cli.face import HERE, Folder, app, err, opened_workspace


@app.command("bot")
def bot_command(
    api: Annotated[str, typer.Option(help="A Bot API server other than Telegram's own.")] = "",
    workspace: Folder = HERE,
) -> None:
    """Answer photos in Telegram. The token comes from LENSBACK_BOT_TOKEN."""
    from lensback.bot import run_bot

    with opened_workspace(workspace) as opened:
        token = os.environ.get("LENSBACK_BOT_TOKEN", "")
        run_bot(opened, token, api, _told_ready)


def _told_ready() -> None:
    err.print("the bot answers until Ctrl-C", highlight=False)
