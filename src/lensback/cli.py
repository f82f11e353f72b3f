"""The command line: arguments -> one verb -> text or JSON."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lensback import __version__, log
from lensback.console import Watcher, answer_table, tally_table
from lensback.errors import BadQuery, ConfigError, Error
from lensback.types import Progress
from lensback.workspace import Workspace, init, open_workspace, set_setting

app = typer.Typer(
    name="lensback",
    help="Find the thing in a photo among the offers of many stores.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
store_app = typer.Typer(help="Connected stores.", no_args_is_help=True)
encoder_app = typer.Typer(help="Encoders: picture -> vector.", no_args_is_help=True)
app.add_typer(store_app, name="store")
app.add_typer(encoder_app, name="encoder")

out = Console(width=None if sys.stdout.isatty() else 120)
err = Console(stderr=True)

Folder = Annotated[
    Path,
    typer.Option(
        "--workspace", envvar="LENSBACK_WORKSPACE", help="The folder that is the service."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
HERE = Path("workspace")


def main() -> None:
    """Runs a command; our errors become one line, a hint, and an exit code."""
    try:
        app()
    except Error as error:
        if "--json" in sys.argv:
            print(json.dumps(error.as_json(), ensure_ascii=False))
        else:
            _refuse(type(error).__name__, error)
        sys.exit(error.exit_code)


def _refuse(name: str, error: Error) -> None:
    """A line and a hint. What they quote may hold signs that Rich takes for its own."""
    hint = f"\n  hint: {escape(error.hint)}" if error.hint else ""
    line = f"[bold red]{escape(name)}[/]: {escape(error.message)}{hint}"
    err.print(line, highlight=False, soft_wrap=True)


def _say(text: str) -> None:
    """A line as it is: no markup, and no path broken in two."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _opened(folder: Path) -> Workspace:
    workspace = open_workspace(folder)
    log.setup(workspace.settings.log_level)
    return workspace


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


@app.callback(invoke_without_command=True)
def version_option(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Find the thing in a photo among the offers of many stores."""
    if version:
        print(__version__)
        raise typer.Exit


@app.command("init")
def init_command(workspace: Folder = HERE) -> None:
    """Make a workspace with a commented lensback.toml."""
    made = init(workspace)
    with _opened(workspace) as opened:
        opened.db.revision()
    _say(f"{'made' if made else 'already there:'} {workspace}")
    if made:
        out.print("next: lensback store add NAME --feed URL", highlight=False)


@store_app.command("add")
def store_add(
    name: str,
    feed: Annotated[str, typer.Option(help="URL or path of the feed.")],
    format: Annotated[str, typer.Option(help="auto, google, yml or table.")] = "auto",  # noqa: A002
    columns: Annotated[
        Path | None, typer.Option(help="TOML column map of an unusual table.")
    ] = None,
    base: Annotated[str, typer.Option(help="What {BASE} in the feed stands for.")] = "",
    program: Annotated[Path | None, typer.Option(help="TOML of the affiliate programme.")] = None,
    title: Annotated[str, typer.Option(help="Name that shoppers see.")] = "",
    workspace: Folder = HERE,
) -> None:
    """Connect a store. The same name again changes its feed."""
    from lensback.catalogue import stores
    from lensback.feeds import FORMATS, ColumnMap
    from lensback.net import redact

    if format not in FORMATS:
        raise BadQuery(f"no such format: {format!r}", hint=f"use one of {', '.join(FORMATS)}")
    columns_text = _text(columns) if columns else ""
    if columns_text:
        ColumnMap.parse(columns_text)
    terms = _toml(program) if program else None
    scheme, mark, _ = feed.partition("://")
    if not mark:
        feed = str(Path(feed).absolute())
    elif scheme.lower() not in {"http", "https", "file"}:
        raise BadQuery(f"cannot fetch {scheme}:// feeds", hint="use http, https, or a path")
    with _opened(workspace) as opened:
        options = {"format": format, "columns": columns_text, "base": base, "title": title}
        stores.add(opened.db, name, feed, **options, program=terms)
    _say(f"connected {name}: {redact(feed)}")
    if not mark and not Path(feed).exists():
        _say("that file is not there yet")
    _say(f"next: lensback sync {name}")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}", hint="check the path") from error


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", hint="mend that line") from error


@store_app.command("list")
def store_list(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Connected stores, and how their last sync went."""
    from dataclasses import asdict

    from lensback.catalogue import stores
    from lensback.console import ago
    from lensback.net import redact

    with _opened(workspace) as opened:
        states = stores.overview(opened.db)
    if as_json:
        _print_json([asdict(s) | {"feed_url": redact(s.feed_url)} for s in states])
        return
    table = Table("store", "offers", "in stock", "images", "failed", "last sync", "status", "feed")
    for s in states:
        numbers = (str(s.offers), str(s.in_stock), str(s.images), str(s.images_failed))
        status = f"{s.status}: {s.message}" if s.message else s.status
        table.add_row(
            *map(escape, (s.name, *numbers, ago(s.last_sync), status, redact(s.feed_url)))
        )
    out.print(table if states else "no stores yet: lensback store add NAME --feed URL")


@store_app.command("remove")
def store_remove(name: str, workspace: Folder = HERE) -> None:
    """Disconnect a store and forget its offers; the next sync takes them out of the index."""
    from lensback.catalogue import stores

    with _opened(workspace) as opened, opened.locked():
        stores.remove(opened.db, name)
    _say(f"removed {name}; run lensback sync to take it out of the index")


@app.command("sync")
def sync_command(
    names: Annotated[list[str] | None, typer.Argument(help="Stores; all by default.")] = None,
    only: Annotated[str, typer.Option(help="ingest, download, embed, group or publish.")] = "",
    jobs: Annotated[int, typer.Option(min=0, help="Images fetched at once.")] = 0,
    force: Annotated[
        bool, typer.Option(help="Let a feed that shrank take offers off sale.")
    ] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Bring offers, images, vectors, products and index up to date. Resumable."""
    from lensback.sync import sync

    with _opened(workspace) as opened, Watcher(err) as watcher:
        report = sync(opened, names or [], only=only, jobs=jobs, force=force, watch=watcher.stage)
        over = report.guarded(opened.settings.reject_guard)
    if as_json:
        _print_json(report.as_json())
    else:
        out.print(tally_table(report.tallies))
        for tally in report.tallies:
            for note in ("warning", "hint"):
                if note in tally.notes:
                    _refuse(tally.stage, Error(str(tally.notes[note])))
        for name, error in report.failed.items():
            _refuse(name, error)
    if over:
        err.print(f"to look at: {', '.join(over)}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1)


@app.command("search")
def search_command(
    photo: Path,
    box: Annotated[str, typer.Option(help="x0,y0,x1,y1 as fractions of width and height.")] = "",
    limit: Annotated[int, typer.Option(help="Most products to show.")] = 12,
    store: Annotated[list[str] | None, typer.Option(help="Only this store; repeatable.")] = None,
    category: Annotated[str, typer.Option(help="Only this category or what lies under it.")] = "",
    price_max: Annotated[str, typer.Option(help="Highest price.")] = "",
    currency: Annotated[str, typer.Option(help="Currency of the price limit.")] = "",
    in_stock: Annotated[bool, typer.Option("--in-stock", help="Only what is in stock.")] = False,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Find the thing in a photo."""
    from lensback.search import Query, answer_json, parse_box, search

    query = Query(
        parse_box(box), limit, tuple(store or ()), category, price_max, currency, in_stock
    )
    try:
        data = photo.read_bytes()
    except OSError as error:
        raise BadQuery(f"cannot read {photo}: {error.strerror}", hint="check the path") from error
    with _opened(workspace) as opened:
        answer = search(data, query, opened.tools())
    if as_json:
        _print_json(answer_json(answer))
    else:
        out.print(answer_table(answer))


@app.command("serve")
def serve_command(
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64)] = 1,
    workspace: Folder = HERE,
) -> None:
    """Serve the page and the API."""
    from lensback.web import run

    open_workspace(workspace).close()
    run(workspace, host=host, port=port, workers=workers)


@app.command("calibrate")
def calibrate_command(
    limit: Annotated[int, typer.Option(min=10, help="Most products to ask for.")] = 600,
    seed: int = 0,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Fit match probability on held-out views of the catalogue."""
    from lensback.calibrate import COPIES, calibrate
    from lensback.workspace import save_calibration

    with _opened(workspace) as opened, Watcher(err) as watcher:
        encoder = opened.encoder()
        things = (opened.db, opened.images, opened.vectors, encoder)
        watch = watcher.stage("calibrate")
        calibration = calibrate(*things, limit=limit, seed=seed, progress=watch)
        path = save_calibration(opened, calibration)
    if as_json:
        _print_json(calibration.as_json())
        return
    _say(f"{calibration.cases} cases of {calibration.kind} -> {path}")
    if calibration.kind == COPIES:
        out.print("too few products have several images: these probabilities are optimistic")


@app.command("train")
def train_command(
    out: Annotated[Path, typer.Option(help="Model folder to write; must not be there yet.")],
    stores: Annotated[
        list[str] | None, typer.Option(help="Only this store's images; repeatable.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="Most minutes to take; 0: as long as it needs.")
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Train an encoder on the workspace's own images. Resumable."""
    from lensback.catalogue.stores import check_names
    from lensback.train import train

    if device not in {"auto", "cpu", "cuda"}:
        raise BadQuery(f"no such device: {device!r}", hint="use auto, cpu or cuda")
    with _opened(workspace) as opened, Watcher(err) as watcher:
        names = check_names(opened.db, stores or [])
        bars: dict[str, Progress] = {}

        def watch(stage: str, done: int, total: int) -> None:
            bars.setdefault(stage, watcher.stage(stage))(done, total)

        done = train(
            opened.db,
            opened.images,
            out,
            stores=names,
            minutes=minutes,
            device=device,
            threads=opened.settings.threads or os.cpu_count() or 1,
            watch=watch,
        )
    if as_json:
        _print_json(done.as_json())
        return
    _say(f"{done.pictures} pictures, {done.several} products with several of them -> {done.folder}")
    _say(
        f"held-out products' other views: {done.before:.3f} before, {done.after:.3f} after ({done.kept})"
    )
    _say(f"next: lensback encoder add NAME {done.folder}")


@encoder_app.command("list")
def encoder_list(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Encoders that are built in, added, and known by description."""
    from dataclasses import asdict

    from lensback.encoders import list_encoders

    with _opened(workspace) as opened:
        infos = list_encoders(opened.models)
        used = opened.settings.encoder
    if as_json:
        _print_json([asdict(info) | {"used": info.name == used} for info in infos])
        return
    table = Table("", "encoder", "numbers", "kind", "licence", "fingerprint")
    for info in infos:
        mark = "*" if info.name == used else ""
        table.add_row(
            mark, info.name, str(info.dim or ""), info.kind, info.licence, info.fingerprint
        )
    out.print(table)
    if used not in {info.name for info in infos}:
        _say(f"in use: {used}")


@encoder_app.command("add")
def encoder_add(
    name: str,
    source: Annotated[str, typer.Argument(help=".onnx file, folder, URL, or Hugging Face repo.")],
    description: Annotated[Path | None, typer.Option(help="An encoder.toml of your own.")] = None,
    workspace: Folder = HERE,
) -> None:
    """Add an ONNX encoder; `encoder list` shows those with a ready description."""
    from lensback.encoders import add_encoder

    limit = 4 << 30
    with _opened(workspace) as opened:
        if source.endswith(".onnx") and source.count("/") < 2 and "://" not in source:
            _check_file(Path(source))
        path = add_encoder(
            name,
            source,
            opened.models,
            description=description,
            fetch=lambda url, to: opened.fetcher.download(url, to, max_bytes=limit),
        )
    _say(f"added {name}: {path}")
    _say(f"next: lensback encoder use {name}")


def _check_file(path: Path) -> None:
    if not path.exists():
        raise ConfigError(f"there is no file {path}", hint="check the path of the model")


@encoder_app.command("use")
def encoder_use(name: str, workspace: Folder = HERE) -> None:
    """Use another encoder: the next sync re-embeds, searches switch over when it is done."""
    with _opened(workspace) as opened:
        opened.encoder(name)
        set_setting(workspace, "encoder", name)
    _say(f"{name} from the next sync on: run lensback sync")
    if "LENSBACK_ENCODER" in os.environ:
        err.print("LENSBACK_ENCODER is set and stands above this setting")


@app.command("doctor")
def doctor_command(workspace: Folder = HERE, as_json: AsJson = False) -> None:
    """Check workspace, database, index, encoder and disk; say what to do."""
    from lensback.doctor import examine

    with _opened(workspace) as opened:
        checks = examine(opened)
    if as_json:
        _print_json([check.as_json() for check in checks])
    else:
        colors = {"ok": "green", "warn": "yellow", "fail": "red"}
        table = Table("part", "state", "found", "do")
        for check in checks:
            state = f"[{colors[check.state]}]{check.state}[/]"
            table.add_row(check.part, state, escape(check.message), escape(check.hint))
        out.print(table)
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(2)


@app.command("demo")
def demo_command(
    workspace: Folder = Path("demo-workspace"),
    count: Annotated[int, typer.Option(min=60, help="Things in the demo catalogue.")] = 300,
    serve: Annotated[bool, typer.Option(help="Serve the page afterwards.")] = True,
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
) -> None:
    """Make two small stores, sync them, search a photo, and serve the page."""
    from lensback.showcase import showcase

    with Watcher(err) as watcher:
        shown = showcase(workspace, count=count, watch=watcher.stage)
    out.print(shown.note, highlight=False)
    out.print(tally_table(shown.report.tallies))
    _say(f"photo: {shown.photo}")
    out.print(answer_table(shown.answer))
    verdict = "found" if shown.found else "NOT found"
    _say(
        f"the demo knows the answer: the very thing was {verdict} first; {shown.seconds:.1f} s in all"
    )
    if serve:
        _say(f"open http://127.0.0.1:{port} (Ctrl-C stops)")
        serve_command(port=port, workers=1, workspace=workspace)
