"""What every command shares: the app, its streams, and how results and errors are shown."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from lensback import log
from lensback.console import Terminal
from lensback.errors import BadQuery, ConfigError, Error, Stopped
from lensback.legible import legible_json
from lensback.settings import FILE_NAME
from lensback.workspace import Workspace, open_workspace

app = typer.Typer(
    name="lensback",
    help="Find the thing in a photo among the offers of many stores.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
store_app = typer.Typer(help="Connected stores.", no_args_is_help=True)
encoder_app = typer.Typer(help="Encoders: picture -> vector.", no_args_is_help=True)
detector_app = typer.Typer(help="Detectors: photo -> regions.", no_args_is_help=True)
app.add_typer(store_app, name="store")
app.add_typer(encoder_app, name="encoder")
app.add_typer(detector_app, name="detector")

out = Terminal(width=None if sys.stdout.isatty() else 120)
err = Terminal(stderr=True)

HERE = Path("workspace")


def found_upward(folder: Path) -> Path:
    """The folder, or where none was named and none is here, the workspace above the current one: a
    command in a folder below must not lead to a second, empty workspace."""
    if folder != HERE:
        return folder
    here = Path.cwd()
    for above in (here, *here.parents):
        for place in (above / HERE, above):
            if (place / FILE_NAME).is_file():
                return folder if place == here / HERE else place
    return folder


Folder = Annotated[
    Path,
    typer.Option(
        "--workspace",
        envvar="LENSBACK_WORKSPACE",
        help="The folder that is the service; unnamed, it is looked for from here upward.",
        callback=found_upward,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def refuse(name: str, error: Error) -> None:
    """A line and a hint. What they quote may hold signs that Rich takes for its own."""
    hint = f"\n  hint: {escape(error.hint)}" if error.hint else ""
    line = f"[bold red]{escape(name)}[/]: {escape(error.message)}{hint}"
    err.print(line, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line as it is: no markup, and no path broken in two."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def command(text: str, folder: Path) -> str:
    """A command as it can be pasted: with the workspace, unless that is the usual one here."""
    usual = os.environ.get("LENSBACK_WORKSPACE") or str(HERE)
    return f"lensback {text}" + (
        "" if str(folder) == usual else f" --workspace {shlex.quote(str(folder))}"
    )


def confirmed(question: str, yes: bool) -> None:
    """Asks on a terminal before something is lost. Raises BadQuery where nobody can be asked, and
    Stopped for a no."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadQuery(f"{question} Nobody can be asked here", hint="say it with --yes")
    if not typer.confirm(question, err=True):
        raise Stopped("nothing was done", hint="")


def opened_workspace(folder: Path) -> Workspace:
    """The workspace in a folder, closed when the command ends."""
    workspace = open_workspace(folder)
    log.setup(workspace.settings.log_level)
    return workspace


def print_json(value: Any) -> None:
    """Prints a value as indented JSON on the standard output."""
    print(legible_json(json.dumps(value, ensure_ascii=False, indent=2)))


def read_text_file(path: Path) -> str:
    """The text of a UTF-8 file. Raises ConfigError where it cannot be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}", hint="check the path") from error
