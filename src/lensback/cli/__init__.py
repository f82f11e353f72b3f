"""The command line: arguments -> one verb -> text or JSON. One file per group of commands."""

from __future__ import annotations

import sys
from contextlib import suppress
from copy import copy
from typing import Annotated, NoReturn

import typer

from lensback import __version__
from lensback.cli import (
    backups,
    bot,
    claims,
    cluster,
    detectors,
    encoders,
    evaluation,
    keys,
    ledger,
    logos,
    offers,
    paying,
    people,
    programs,
    searching,
    stores,
    syncing,
    upkeep,
    watching,
)
from lensback.cli.face import app, json_text, pasted, refuse
from lensback.cli.panels import in_panels
from lensback.cli.stopping import Interrupted, again, interruptible
from lensback.cli.streams import flush, mend_streams, of_system, unread
from lensback.errors import BadQuery, Error, Stopped

GROUPS = (
    stores,
    offers,
    watching,
    syncing,
    searching,
    evaluation,
    encoders,
    detectors,
    cluster,
    ledger,
    logos,
    paying,
    claims,
    people,
    programs,
    keys,
    backups,
    upkeep,
    bot,
)
"""Imported for the commands they add to `app`."""
in_panels(app)

USAGE_ERROR: type[typer.BadParameter] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError"
)
"""Of whichever click the command line's library brings."""

__all__ = ["GROUPS", "app", "main"]


def main() -> None:
    """Runs a command; our errors become one line, a hint, and an exit code. So does what the system
    refuses (a full disk, rights), and Ctrl-C: 130."""
    mend_streams()
    try:
        with interruptible():
            try:
                _run()
            finally:
                flush()
    except Interrupted as interrupted:
        _refuse(interrupted.as_error())
    except Error as error:
        if isinstance(error, Stopped) and error.hint:
            error.hint = again()
        _refuse(error)
    except BrokenPipeError:  # `| head` has seen enough
        sys.exit(1)
    except OSError as error:
        _refuse(of_system(error))
    except UnicodeEncodeError as error:
        _refuse(unread(error))


def _run() -> None:
    """The command that was asked for. With `--json` a wrong line, too, is told as JSON."""
    asked = of_word(sys.argv[1] if len(sys.argv) > 1 else "")
    if not _as_json():
        asked()
        return
    try:
        sys.exit(asked(standalone_mode=False))
    except USAGE_ERROR as error:
        where = f"{error.ctx.command_path} --help" if error.ctx else "lensback --help"
        raise BadQuery(error.format_message(), hint=f"{where} lists what it takes") from error


def of_word(word: str) -> typer.Typer:
    """The command line with the one command or group of that name, with all of them where there is none:
    the options of each command that is in it are worked out before any runs."""
    commands = [each for each in app.registered_commands if each.name == word]
    groups = [each for each in app.registered_groups if each.name == word]
    if not commands and not groups:
        return app
    asked = copy(app)
    asked.registered_commands, asked.registered_groups = commands, groups
    return asked


def _as_json() -> bool:
    return "--json" in sys.argv


def _refuse(error: Error) -> NoReturn:
    if _as_json():
        error.hint = pasted(error.hint)
        with suppress(OSError):  # nowhere to say it
            print(json_text(error.as_json()), flush=True)
    else:
        refuse(type(error).__name__, error)
    sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def version_option(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Find the thing in a photo among the offers of many stores."""
    if version:
        print(__version__)
        raise typer.Exit
