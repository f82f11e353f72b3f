"""Keeping a service: settings that say where they come from, what nobody needs taken away, honest words."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from behaviour.test_encoders import describe, make_model
from lensback import settings
from lensback.cli import encoders as encoders_cli
from lensback.console import answer_table
from lensback.errors import ConfigError
from lensback.evaluate import promise as certifying
from lensback.promise import BROKEN, CERTIFIED, OPEN, Promise, Threshold
from lensback.rank import sizes
from lensback.settings import load, strangers
from lensback.wire import Answer
from lensback.workspace import init, open_workspace
from test_cli import lensback

GOLDEN = (Path(__file__).parent / "golden" / "answer.json").read_text("utf-8")
ANSWER = Answer.model_validate_json(re.sub(r":MS\b", ":1", GOLDEN))


@pytest.fixture
def fresh(tmp_path: Path, migrated_sqlite: Path) -> Path:
    folder = tmp_path / "workspace"
    init(folder)
    shutil.copy(migrated_sqlite, folder / "catalogue.db")
    return folder


# ---- settings


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LENSBACK_ENCODR", "LENSBACK_ENCODER"),
        ("lensback_encodr", "LENSBACK_ENCODER"),
        ("LENSBACK_ALLOWED_HOSTS", "LENSBACK_ALLOW_HOSTS"),
        ("LENSBACK_WORKSPACES", "LENSBACK_WORKSPACE"),
        ("LENSBACK_QQQQQQ", ""),
    ],
)
def test_an_unknown_name_in_the_environment_is_told(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "x")
    refused = lensback("store", "list", "--workspace", fresh)
    assert refused.code == 2
    assert name in refused.err
    assert f"did you mean {meant}?" in refused.err if meant else "unset" in refused.err


@pytest.mark.parametrize(
    "name",
    [
        "LENSBACK_BOT_TOKEN",
        "LENSBACK_NETWORK_AWIN_TOKEN",
        "LENSBACK_DATA",
        "LENSBACK_RETRIES",
        "OTHER",
    ],
)
def test_known_names_are_fine(name: str) -> None:
    assert strangers([name]) == {}


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('encodr = "eye"', "did you mean encoder?"),
        ('currency = "roubles"', "code of three letters"),
        ('currency = "E1R"', "code of three letters"),
        ('public_url = "shop.example"', "https://"),
        ('public_url = "https://"', "https://"),
        ('cors_origins = ["https://shop.example/path"]', "origin"),
        ('cors_origins = ["shop.example"]', "origin"),
        ('host_key_hash = "secret"', "64 hex digits"),
        ("timeout_s = 0", "timeout_s"),
        ("timeout_s = nan", "timeout_s"),
        ("min_rate = inf", "min_rate"),
        ("retries = -1", "retries"),
        ('threads = "many"', "threads"),
        ('log_level = "loud"', "log_level"),
        ("exact_precision = 1", "exact_precision"),
        ("search_needs_key = 3", "search_needs_key"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, line: str, word: str) -> None:
    (tmp_path / "lensback.toml").write_text(f"{line}\n")
    with pytest.raises(ConfigError) as told:
        load(tmp_path)
    assert word in f"{told.value.message} {told.value.hint}"


def test_values_that_make_sense_are_taken(tmp_path: Path) -> None:
    (tmp_path / "lensback.toml").write_text(
        'currency = "eur"\npublic_url = "https://shop.example/find"\n'
        'cors_origins = ["https://shop.example", "http://localhost:3000", "*"]\n'
    )
    assert load(tmp_path).currency == "EUR"


def test_config_show_says_where_each_comes_from(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fresh / "lensback.toml").write_text('currency = "EUR"\nretries = 1\nencoder = "pixels"\n')
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "lensback_rates").write_text("https://user:hidden@rates.example/x")
    monkeypatch.delenv("LENSBACK_OCR")
    monkeypatch.setenv("LENSBACK_SECRETS", str(secrets))
    monkeypatch.setenv("LENSBACK_RETRIES", "5")
    monkeypatch.setenv("LENSBACK_DATABASE", "postgresql+psycopg://u:hidden@db.example/x")
    shown = lensback("config", "show", "--json", "--workspace", fresh)
    rows = shown.json
    assert set(rows) == set(settings.Settings.model_fields)
    assert {
        name: (r["value"], r["origin"]) for name, r in rows.items() if r["origin"] != "default"
    } == {
        "currency": ("EUR", "file"),
        "encoder": ("pixels", "file"),
        "retries": (5, "environment"),
        "database": ("postgresql://db.example/x", "environment"),
        "rates": (rows["rates"]["value"], "secret"),
    }
    assert "hidden" not in shown.out
    changed = lensback("config", "show", "--changed", "--json", "--workspace", fresh)
    assert set(changed.json) == {"currency", "encoder", "retries", "database", "rates"}
    assert "hidden" not in lensback("config", "show", "--workspace", fresh).out


# ---- prune, encoder remove


def old(path: Path, data: bytes = b"x" * 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    long_ago = time.time() - 3 * 86_400
    os.utime(path, (long_ago, long_ago))
    os.utime(path.parent, (long_ago, long_ago))
    return path


def test_prune_takes_what_nobody_needs(fresh: Path) -> None:
    (fresh / "lensback.toml").write_text('encoder = "pixels"\n')
    with open_workspace(fresh) as opened:
        own = opened.encoder().fingerprint
        opened.db.revision()
    name = "ab" + "0" * 62
    gone = [
        old(fresh / "images" / "ab" / "00" / name),
        old(fresh / "images" / "thumbnails" / "320" / "ab" / "00" / f"{name}.jpg"),
        old(fresh / "vectors" / "v_other.lance" / "data"),
        old(fresh / "vectors" / "v_x.lance.damaged" / "data"),
        old(fresh / "index" / "lance" / "v_other.lance" / "data"),
        old(fresh / "spool" / "7.feed"),
        old(fresh / "images" / "tmp" / "1234"),
        # A killed process had not renamed these yet.
        old(fresh / ".keys.json.12.tmp"),
        old(fresh / "vectors" / f".v_{own}.noted.npz.12.tmp"),
        old(fresh / "vectors" / f"v_{own}.lance" / "_versions" / ".tmpZtpAMj"),
        old(fresh / "index" / "lance" / f".v_{own}@3.12.part" / "vectors.f32"),
        old(fresh / "photos" / ".0123456789abcdef.jpg.12.tmp"),
        old(fresh / "models" / ".adding-x_y" / "model.onnx"),
    ]
    stays = [
        old(fresh / "vectors" / f"v_{own}.lance" / "data"),
        old(fresh / "index" / "lance" / f"v_{own}.lance" / "data"),
        old(fresh / "networks.toml"),
        old(fresh / "models" / "mine" / "model.onnx"),
    ]
    young = [fresh / "spool" / "8.feed", fresh / "calibration" / ".x.toml.12.tmp"]
    for path in young:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    tried = lensback("prune", "--dry-run", "--json", "--workspace", fresh)
    assert all(path.exists() for path in [*gone, *stays, *young])
    done = lensback("prune", "--json", "--workspace", fresh)
    assert done.json == tried.json
    assert sum(each["count"] for each in done.json) == len(gone)
    assert [path for path in gone if path.exists()] == []
    assert all(path.exists() for path in [*stays, *young])
    assert lensback("prune", "--json", "--workspace", fresh).json == []


def test_an_encoder_is_removed_only_where_nobody_uses_it(fresh: Path, tmp_path: Path) -> None:
    where = ("--workspace", fresh)
    describe(make_model(tmp_path / "m"))
    for name in ("one", "two"):
        assert lensback("encoder", "add", name, tmp_path / "m", *where).code == 0
    assert lensback("encoder", "use", "one", *where).code == 0
    for name, word in (("one", "next sync"), ("eye", "unknown added encoder"), ("x", "unknown")):
        refused = lensback("encoder", "remove", name, "--yes", *where)
        assert (refused.code, word in refused.err) == (2, True), refused.err
    assert lensback("encoder", "remove", "two", *where).code == 2, "nobody can be asked"
    assert lensback("encoder", "remove", "two", "--yes", *where).code == 0
    assert not (fresh / "models" / "two").exists()
    assert (fresh / "models" / "one").exists()


# ---- honest words


def promise_of(state: str) -> Promise:
    bar = 0.9 if state == CERTIFIED else None
    overall = Threshold("", state, bar, 100, 1, 0.04)
    return Promise(0.05, 0.95, "f", "cal", ("a",), 10, "s", "views", 300, overall)


@pytest.mark.parametrize(
    ("state", "code", "first"),
    [(CERTIFIED, 0, "CERTIFIED:"), (OPEN, 1, "NOT CERTIFIED:"), (BROKEN, 1, "NOT CERTIFIED:")],
)
def test_a_promise_says_its_outcome_first(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, state: str, code: int, first: str
) -> None:
    """And keeps nothing unless it is certified."""
    kept: list[Any] = []
    tools = SimpleNamespace(
        encoder=None, detector=None, snapshot=SimpleNamespace(id="s", fingerprint="f")
    )
    monkeypatch.setattr("lensback.workspace.Workspace.tools", lambda _: tools)
    monkeypatch.setattr("lensback.workspace.Workspace.promise", lambda *_: (None, "none"))
    monkeypatch.setattr(certifying, "certified", lambda *_, **__: (None, promise_of(state)))
    monkeypatch.setattr(certifying, "save_calibration", lambda *_: kept.append("calibration"))
    monkeypatch.setattr(certifying, "save_promise", lambda *_: kept.append("promise"))
    told = lensback("promise", "--workspace", fresh)
    assert told.code == code
    assert told.out.startswith(first)
    assert kept == (["calibration", "promise"] if state == CERTIFIED else [])
    assert lensback("promise", "--json", "--workspace", fresh).code == code


def test_an_evaluation_of_nothing_leaves_the_last_one(fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("image,product\n")
    empty = tmp_path / "asked.csv"
    run = fresh / "evaluation" / "run.json"
    run.parent.mkdir()
    run.write_text("the last good one")
    for text in ("photo,offer_id\n", "photo,offer_id", ""):
        empty.write_text(text)
        refused = lensback("evaluate", "--queries", empty, "--workspace", fresh)
        assert refused.code == 2
        assert run.read_text() == "the last good one"


@pytest.mark.parametrize(
    ("before", "after", "kept", "queries", "first"),
    [
        (0.5, 0.6, "steps", 100, "GAINED on 100"),
        (0.5, 0.5, "start", 100, "GAINED NOTHING, do not use it"),
        (0.5, 0.5, "fit", 100, "GAINED NOTHING, do not use it"),
        (0.6, 0.5, "fit", 100, "GAINED NOTHING, do not use it"),
        (0.0, 0.0, "start", 0, "NOT KNOWN"),
    ],
)
def test_a_training_says_whether_to_use_it(
    capsys: pytest.CaptureFixture[str],
    before: float,
    after: float,
    kept: str,
    queries: int,
    first: str,
) -> None:
    done = SimpleNamespace(
        before=before, after=after, kept=kept, queries=queries, pictures=9, several=3,
        folder=Path("out"), calibrated_on=5,
    )  # fmt: skip
    encoders_cli._show_trained(done, Path("workspace"))  # type: ignore[arg-type]
    told = capsys.readouterr().out
    assert told.startswith(first)
    assert ("next: lensback encoder add" in told) == first.startswith("GAINED on")


def test_sizes_go_from_small_to_large() -> None:
    class Sized(SimpleNamespace):
        pass

    offers = [
        Sized(size=s)
        for s in ("XL", "S", "40", "", "M", "39,5", "XXS", "2XL", "S", "one size", "EU 38")
    ]
    assert sizes(offers) == "XXS, S, M, XL, 2XL, EU 38, 39,5, 40, one size"  # type: ignore[arg-type]


def test_a_search_shows_no_rows_of_nothing() -> None:
    from rich.console import Console

    hit = ANSWER.hits[0].model_copy(update={"probability": 0.5})
    unlikely = hit.model_copy(
        update={"probability": 0.004, "exact": False, "title": "Nothing like it"}
    )
    console = Console(width=200)

    def shown(calibrated: bool) -> str:
        told = {"hits": [hit, unlikely], "calibrated": calibrated}
        with console.capture() as printed:
            console.print(answer_table(ANSWER.model_copy(update=told)))
        return printed.get()

    assert "Nothing like it" in shown(False), "where no probability is known, all are shown"
    assert "%" not in shown(False)
    told = shown(True)
    assert hit.title in told
    assert "Nothing like it" not in told
    assert "1 more are not shown" in told
    assert "50%" in told
    assert " 0%" not in told


def test_no_library_speaks_on_the_terminal(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; import numpy as np; from lensback.vectors import VectorStore\n"
        f"VectorStore(Path({str(tmp_path)!r})).append('f', ['a' * 64], np.ones((1, 3), np.float32))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
