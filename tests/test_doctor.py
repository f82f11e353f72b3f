"""Every check of the doctor, healthy and ill."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import delete, update

from garments import items
from lensback import doctor
from lensback.catalogue import products, stores
from lensback.db import tables as t
from lensback.doctor import Check, _pictures, examine
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace, init, save_calibration
from world import World

THINGS = items(12)


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Path]]:
    """A synced workspace; each test works on a copy."""
    root = tmp_path_factory.mktemp("doctor")
    init(root / "workspace")
    with World(root / "world") as world:
        store = world.store("harbour", "google", THINGS, side_px=64)
        with Workspace(root / "workspace", chosen()) as workspace:
            stores.add(workspace.db, store.name, store.feed_url)
            assert not sync(workspace).failed
        yield world, root / "workspace"


def chosen(**settings: object) -> Settings:
    values = {"allow_hosts": ("127.0.0.1",), "retries": 0, "index": "exact", **settings}
    return Settings.model_validate(values)


@pytest.fixture
def folder(synced: tuple[World, Path], tmp_path: Path) -> Path:
    shutil.copytree(synced[1], tmp_path / "copy")
    return tmp_path / "copy"


def found(folder: Path, **settings: object) -> dict[str, Check]:
    with Workspace(folder, chosen(**settings)) as workspace:
        return {check.part: check for check in examine(workspace)}


def test_a_healthy_workspace(folder: Path) -> None:
    checks = found(folder)
    assert list(checks) == [
        "disk", "folder", "database", "store harbour", "images", "files", "encoder", "detector", "words",
        "index", "calibration", "search of harbour",
    ]  # fmt: skip
    assert {c.state for part, c in checks.items() if part != "calibration"} == {"ok"}
    assert "12 offers, 12 products" in checks["database"].message
    assert checks["store harbour"].message == "12 offers, 12 images"
    assert "12 rows, recall 1.000" in checks["index"].message


def test_words_of_stock_that_nobody_knows(folder: Path) -> None:
    with Workspace(folder, chosen()) as workspace, workspace.db.write() as c:
        c.execute(update(t.offers).where(t.offers.c.id <= 3).values(availability="unknown"))
    check = found(folder)["store harbour"]
    assert (check.state, check.message.split()[:3]) == ("warn", ["3", "of", "12"])
    assert "store show harbour" in check.hint


def test_an_empty_workspace_says_what_comes_next(tmp_path: Path) -> None:
    init(tmp_path)
    checks = found(tmp_path)
    hints = {part: check.hint for part, check in checks.items() if check.state == "warn"}
    assert hints == {
        "stores": "run: lensback store add NAME --feed URL",
        "index": "run: lensback sync",
        "calibration": "run: lensback sync",
    }


def test_every_ill_line_has_a_hint(folder: Path) -> None:
    (folder / "index" / "lance" / "CURRENT.json").write_text("{}")
    for check in found(folder, encoder="nothing").values():
        assert (check.state == "ok") == (not check.hint), "ok asks for nothing"
        assert check.as_json() == {
            "part": check.part, "state": check.state, "message": check.message, "hint": check.hint,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "mode", "want"),
    [("lensback.toml", 0o644, "600"), ("catalogue.db", 0o660, "600"), ("secret.key", 0o604, "600"),
     ("keys.json", 0o640, "600"), ("journal", 0o755, "700"), ("photos", 0o750, "700")],
)  # fmt: skip
def test_what_others_can_read(folder: Path, name: str, mode: int, want: str) -> None:
    path = folder / name
    if name in {"journal", "photos"}:
        path.mkdir(exist_ok=True)
    path.touch()
    path.chmod(mode)
    check = found(folder)["rights"]
    assert (check.state, check.message) == ("warn", f"others can read {path}")
    assert check.hint == f"run: chmod {want} {shlex.quote(str(path))}"
    path.chmod(int(want, 8))
    assert "rights" not in found(folder)


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=doctor.LOW_DISK_BYTES - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    check = found(folder)["disk"]
    hint = "run: lensback prune; if that is not enough, make room"
    assert (check.state, check.hint) == ("fail", hint)


def test_a_store_that_was_never_or_long_ago_synced(folder: Path) -> None:
    with Workspace(folder, chosen()) as workspace:
        stores.add(workspace.db, "new", "https://new.example/feed.xml")
        week_ago = int(time.time()) - 7 * 86_400
        with workspace.db.write() as c:
            c.execute(update(t.feed_runs).values(finished_at=week_ago))
    checks = found(folder)
    assert checks["store new"].hint == "run: lensback sync new"
    assert checks["store harbour"].message == "synced 7 days ago"
    assert {checks["store new"].state, checks["store harbour"].state} == {"warn"}


def test_a_store_whose_feed_failed(folder: Path, synced: tuple[World, Path]) -> None:
    world, _ = synced
    world.fail("/harbour/feed.xml", 500)
    try:
        with Workspace(folder, chosen()) as workspace:
            assert sync(workspace, only="ingest").failed
    finally:
        world.heal()
    check = found(folder)["store harbour"]
    assert check.state == "fail"
    assert check.message.startswith("failed: ")
    assert check.hint == "look at the feed"


def test_images_that_wait_or_failed(folder: Path) -> None:
    u = t.image_urls
    with Workspace(folder, chosen()) as workspace, workspace.db.write() as c:
        c.execute(update(u).where(u.c.id == 1).values(status="new"))
        c.execute(update(u).where(u.c.id == 2).values(status="failed", reason="HTTP 404"))
    with Workspace(folder, chosen()) as workspace:
        lines = [check for check in examine(workspace) if check.part == "images"]
    assert [check.state for check in lines] == ["warn", "warn"]
    assert "1 not fetched yet" in lines[0].message
    assert "1 could not be had: 1 × HTTP 404" in lines[1].message


def test_what_to_do_about_missing_pictures_depends_on_why(folder: Path) -> None:
    reasons = {
        "FetchRefused: cdn.example has a private address: 10.0.0.7": "allow_hosts",
        "FetchRefused: robots.txt of cdn.example forbids it": "robots_exempt",
        "FetchRefused: not a web address: 'img/1.jpg'": "--base",
        "FetchRefused: not a host name: 'a b'": "tell the store",
        "FetchFailed: 404 Not Found": "store show",
        "TooLarge: more than 9 bytes": "store show",
    }
    u = t.image_urls
    with Workspace(folder, chosen()) as workspace:
        for reason, hint in reasons.items():
            with workspace.db.write() as c:
                c.execute(update(u).where(u.c.id == 2).values(status="failed", reason=reason))
            (line,) = (each for each in _pictures(workspace) if "could not be had" in each.message)
            assert hint in line.hint, reason
            assert ("allow_hosts" in line.hint) == ("private" in reason)


def test_another_encoder_than_the_index_has(folder: Path) -> None:
    checks = found(folder, encoder="pixels*0.5")
    assert "12 images without a vector" in checks["encoder"].message
    assert "still of eye" in checks["index"].message
    assert {checks["encoder"].hint, checks["index"].hint} == {"run: lensback sync"}


def test_an_index_of_another_version_of_its_encoder(folder: Path) -> None:
    file = folder / "index" / "lance" / "CURRENT.json"
    with Workspace(folder, chosen()) as workspace:
        fingerprint = workspace.encoder().fingerprint
    file.write_text(
        file.read_text().replace(f'"fingerprint": "{fingerprint}"', '"fingerprint": "00"')
    )
    check = found(folder)["index"]
    assert check.state == "fail"
    assert "made by another eye" in check.message


def test_calibrations(folder: Path) -> None:
    assert "optimistic" in found(folder)["calibration"].message
    with Workspace(folder, chosen()) as workspace:
        fingerprint = workspace.encoder().fingerprint
        known = workspace.calibration(fingerprint)
        assert known
        save_calibration(workspace, replace(known, kind="other views and distorted copies"))
    assert found(folder)["calibration"].state == "ok"
    (folder / "calibration" / f"{fingerprint}.json").write_text("{")
    check = found(folder)["calibration"]
    assert (check.state, check.hint) == ("fail", "run: lensback calibrate")


@pytest.mark.parametrize("precision", [0.95, 0.5, 0.8])
def test_few_things_are_those_that_can_show_no_sureness(folder: Path, precision: float) -> None:
    """95 % is shown by 59 things at least, 80 % by 14, 50 % by 5; the catalogue has 12."""
    message = found(folder, exact_precision=precision)["calibration"].message
    with Workspace(folder, chosen()) as workspace:
        assert products.count(workspace.db) == 12
    told = {0.95: "12 things are few, 59 at least", 0.8: "12 things are few, 14 at least"}.get(
        precision, "optimistic"
    )
    assert told in message
    assert ("are few" in message) == (precision > 0.5)


def test_after_a_restore_the_calibration_is_there_and_the_index_is_not(folder: Path) -> None:
    """A backup brings no index: what was fitted counts from the next sync on, and asks for nothing."""
    with Workspace(folder, chosen()) as workspace:
        known = workspace.calibration(workspace.encoder().fingerprint)
        assert known
        save_calibration(workspace, replace(known, kind="other views and distorted copies"))
    shutil.rmtree(folder / "index")
    checks = found(folder)
    assert (checks["index"].state, checks["index"].hint) == ("warn", "run: lensback sync")
    assert checks["calibration"].state == "ok"
    shutil.rmtree(folder / "calibration")
    assert found(folder)["calibration"].hint == "run: lensback sync"


def test_a_store_without_an_image(folder: Path) -> None:
    with Workspace(folder, chosen()) as workspace, workspace.db.write() as c:
        c.execute(delete(t.offer_images))
    check = found(folder)["store harbour"]
    assert (check.state, check.message) == ("warn", "12 offers, no image")
    assert "lensback store add harbour --dry-run" in check.hint


@pytest.mark.parametrize(
    ("file", "text", "part", "told"),
    [
        ("networks/mine.toml", "link = [", "file of network mine", "not valid TOML"),
        ("networks/awin.toml", "[link]\nsubid_max = 'many'", "file of network awin", "subid_max"),
        ("networks/My Net.toml", "", "file of network My Net", "My Net"),
        ("networks.toml", "[awin\n", "accounts of networks", "not valid TOML"),
        ("networks.toml", "[awin]\ntoken = [1]\n", "accounts of networks", "token"),
        ("keys.json", "{", "keys", "keys.json"),
        ("keys.json", '[{"name": "site"}]', "keys", "keys.json"),
        ("rates.json", "{}", "exchange rates", "rates"),
        ("secret.key", "short", "key of passes", "secret.key"),
    ],
)
def test_files_that_are_broken(folder: Path, file: str, text: str, part: str, told: str) -> None:
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    check = found(folder)[part]
    assert check.state == "fail"
    assert told in check.message
    assert check.hint
    path.unlink()
    assert part not in found(folder)


def test_a_promise_that_is_broken(folder: Path) -> None:
    with Workspace(folder, chosen()) as workspace:
        file = workspace.promise_path(workspace.encoder().fingerprint)
    file.write_text("{")
    check = found(folder)["promise"]
    assert (check.state, check.hint) == ("fail", "run: lensback promise")


def test_programs_and_their_accounts(folder: Path) -> None:
    terms = {"network": "generic", "domains": ["harbour.example"], "share": "0.5"}
    link = {"link": {"template": "https://t.example/?s={subid}&u={url}"}}
    with Workspace(folder, chosen()) as workspace:

        def said(program: dict[str, object]) -> tuple[str, str]:
            url = stores.feed(workspace.db, "harbour").feed.url
            stores.add(workspace.db, "harbour", url, program=program)
            line = next(check for check in examine(workspace) if check.part == "program harbour")
            assert line.state == "ok" or line.hint
            return line.state, line.message

        assert said({**terms, **link}) == ("warn", "generic has no way to tell of sales")
        secrets = folder / "networks.toml"
        secrets.write_text('[generic]\npostback_secret = "sesame"\n')
        secrets.chmod(0o600)
        assert said({**terms, **link}) == ("ok", "through generic")
        elsewhere = said({**terms, **link, "domains": ["my.shop.example"]})
        assert elsewhere == (
            "warn",
            "offers lead to harbour.example, none of the program's domains: their links lead nowhere",
        )
        hints = [check.hint for check in examine(workspace) if check.part == "program harbour"]
        assert 'domains = ["my.shop.example", "harbour.example"]' in hints[0]
        assert said(terms)[0] == "fail"
        secrets.chmod(0o644)
        state, message = said({**terms, **link})
        assert (state, "others can read" in message) == ("fail", True)


def test_a_journal_that_nobody_drains(folder: Path) -> None:
    with Workspace(folder, chosen(journal_max_bytes=3000)) as workspace:
        for _ in range(5):
            workspace.journal.append("click", {"text": "x" * 400})
        line = next(check for check in examine(workspace) if check.part == "journal")
        assert line.state == "warn"


def test_a_detector_that_is_not_there(folder: Path) -> None:
    check = found(folder, detector="nobody")["detector"]
    assert (check.state, "nobody" in check.message) == ("fail", True)
