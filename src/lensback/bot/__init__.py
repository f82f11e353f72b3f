"""The Telegram bot: a photo in a chat, the answer as cards with buttons to the stores."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from lensback.errors import ConfigError, MissingExtra
from lensback.workspace import Workspace

__all__ = ["run_bot"]


def run_bot(
    workspace: Workspace,
    token: str,
    api: str = "",
    ready: Callable[[], None] = lambda: None,
    stop: Event | None = None,
) -> None:
    """Answers photos until `stop` is set.

    `api` is another Bot API server than Telegram's own; `ready` is called once it took the token.
    Raises ConfigError (no token, a token that Telegram refuses, no `public_url`, an `api` that is no
    address), FetchFailed where Telegram does not answer, MissingExtra.
    """
    if not token:
        raise ConfigError(
            "there is no bot token", hint="get one from @BotFather and set LENSBACK_BOT_TOKEN"
        )
    public_url = workspace.settings.public_url
    if not public_url.startswith(("https://", "http://")):
        raise ConfigError(
            "the buttons need an address that shoppers can open",
            hint="set public_url, for example https://find.example.com",
        )
    if api and not api.startswith(("https://", "http://")):
        raise ConfigError(
            f"not an address of a Bot API server: {api!r}", hint="write it as http://127.0.0.1:8081"
        )
    try:
        from lensback.bot.chat import serve
    except ImportError as error:
        raise MissingExtra("aiogram", "bot") from error
    serve(workspace, token, public_url.rstrip("/"), api, ready, stop or Event())
