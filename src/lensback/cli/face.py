"""What every command shares: the app, its streams, and how results and errors are shown.

Whoever only asks for help, or for the end of a word, waits for all that this room imports at its
top: a command imports what it works with when it runs (tests/test_start.py).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lensback import log
from lensback.cli.panels import Panels
from lensback.cli.streams import writes_all
from lensback.console import Terminal
from lensback.errors import BadQuery, ConfigError, Error, Stopped
from lensback.legible import legible_json

if TYPE_CHECKING:
    from lensback.workspace import Workspace

BOXED = 100
"""Columns from which help stands in boxes. In a narrower terminal these would cut names and values off; the
plain form breaks lines and nothing else."""

app = typer.Typer(
    name="lensback",
    cls=Panels,
    help="Find the thing in a photo among the offers of many stores.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if shutil.get_terminal_size().columns >= BOXED else None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
store_app = typer.Typer(help="Connected stores.", no_args_is_help=True)
encoder_app = typer.Typer(help="Encoders: picture -> vector.", no_args_is_help=True)
detector_app = typer.Typer(help="Detectors: photo -> regions.", no_args_is_help=True)
app.add_typer(store_app, name="store")
app.add_typer(encoder_app, name="encoder")
app.add_typer(detector_app, name="detector")

out = Terminal(width=None if sys.stdout and sys.stdout.isatty() else 120)
err = Terminal(stderr=True)

HERE = Path("workspace")
NAMED: ContextVar[Path] = ContextVar("workspace that the running command was told", default=HERE)


def found_upward(folder: Path) -> Path:
    """The folder, or where none was named and none is here, the workspace above the current one: a
    command in a folder below must not lead to a second, empty workspace."""
    from lensback.settings import FILE_NAME

    NAMED.set(folder)
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
        readable=False,  # told with what to do about it when it is opened
        callback=found_upward,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
EightBitName = Annotated[str, typer.Option("--as", help="Its name; unless said NAME-8bit.")]
RangePictures = Annotated[
    int, typer.Option(min=8, help="Pictures from which the range of each layer is taken.")
]


Completion = Callable[[typer.Context, str], list[str]]


def names_of(kind: str) -> Completion:
    """What the shell offers for a name of this kind in the workspace: `store`, `encoder`, `detector`,
    `network`, `language`; no name of a store where there is no workspace."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        from lensback.cli import completing

        folder = ctx.params.get("workspace") or found_upward(HERE)
        names: list[str] = getattr(completing, f"{kind}_names")(folder)
        return [name for name in names if name.startswith(incomplete)]

    return complete


def one_of(*words: str) -> Completion:
    """What the shell offers where one of a few words is meant."""

    def complete(_ctx: typer.Context, incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


connected = names_of("store")
Connected = Annotated[str, typer.Argument(autocompletion=connected)]
EncoderName = Annotated[str, typer.Argument(autocompletion=names_of("encoder"))]
NetworkName = Annotated[str, typer.Argument(autocompletion=names_of("network"))]


def refuse(name: str, error: Error) -> None:
    """A line and a hint. What they quote may hold signs that Rich takes for its own."""
    hint = f"\n  hint: {escape(pasted(error.hint))}" if error.hint else ""
    line = f"[bold red]{escape(name)}[/]: {escape(pasted(error.message))}{hint}"
    err.print(line, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line as it is: no markup, and no path broken in two."""
    out.print(pasted(text), markup=False, highlight=False, soft_wrap=True)


def say_aside(text: str) -> None:
    """A line as it is, on stderr: what is no part of the result, and must not stand in its JSON."""
    err.print(pasted(text), markup=False, highlight=False, soft_wrap=True)


def command(text: str, folder: Path) -> str:
    """A command as it can be pasted: with the workspace, unless that is the usual one here."""
    usual = os.environ.get("LENSBACK_WORKSPACE") or str(HERE)
    return f"lensback {text}" + (
        "" if str(folder) == usual else f" --workspace {shlex.quote(str(folder))}"
    )


def pasted(text: str) -> str:
    """A hint whose commands can be pasted: they go to the workspace that this command was told."""
    place = command("", NAMED.get()).removeprefix("lensback ")
    if not place or "--workspace" in text:
        return text
    paths = [each.name for each in app.registered_commands]
    for group in app.registered_groups:
        below = group.typer_instance.registered_commands if group.typer_instance else ()
        paths += [f"{group.name} {each.name}" for each in below]
    known = "|".join(sorted(filter(None, paths), key=len, reverse=True))
    return re.sub(rf"\blensback ({known})(?![\w-])", rf"\g<0>{place}", text)


def confirmed(deed: str, yes: bool) -> None:
    """Asks on a terminal before something is lost. `deed`: what would be done, as `forget the store
    hats`. Raises BadQuery where nobody can be asked, and Stopped for a no."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadQuery(
            f"nothing was done: it would {deed}, and nobody can be asked here",
            hint="if that is meant, add --yes",
        )
    if not typer.confirm(f"{deed[0].upper()}{deed[1:]}?", err=True):
        raise Stopped("nothing was done", hint="")


def opened_workspace(folder: Path) -> Workspace:
    """The workspace in a folder, closed when the command ends."""
    from lensback.workspace import open_workspace

    workspace = open_workspace(folder)
    log.setup(workspace.settings.log_level)
    return workspace


def on_shelves(folder: Path) -> Workspace:
    """The workspace in a folder; where none was named and none is here, one with nothing of its own,
    whose shelves hold what is shipped. Nothing is written."""
    from lensback import settings, workspace

    if folder == HERE and not (folder / settings.FILE_NAME).exists():
        return workspace.Workspace(folder, settings.load(folder))
    return opened_workspace(folder)


def print_json(value: Any) -> None:
    """Prints a value as indented JSON on the standard output."""
    print(json_text(value, indent=2))


def print_json_line(value: Any) -> None:
    """Prints a value as one line of JSON, at once: what a service tells round by round is read so."""
    print(json_text(value), flush=True)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON that its reader gets whole: in a terminal's encoding that lacks letters these are
    written as `\\u00e4`."""
    bare = not writes_all(sys.stdout.encoding)
    return legible_json(json.dumps(value, ensure_ascii=bare, indent=indent))


def read_text_file(path: Path) -> str:
    """The text of a UTF-8 file. Raises ConfigError where it cannot be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read {path}: {why}", hint="check the path") from error
