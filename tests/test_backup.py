"""Backups: whole while everything runs, never half, put back only where nothing is lost by it."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from garments import items
from lensback import backup, doctor, ledger
from lensback.backup import places
from lensback.catalogue import offers, stores
from lensback.db import copying, sqlite_url
from lensback.db import tables as t
from lensback.errors import BadQuery, Busy, ConfigError, DataError, NotFound, StateError, Stopped
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace, init, open_workspace, set_setting
from servers import Postgres, free_port
from test_cli import lensback
from tiny import Row, write
from world import World

SECRET = "s3cret"
PROGRAM = {
    "network": "generic",
    "domains": ["shop.example"],
    "share": "0.7",
    "currency": "EUR",
    "hold_days": 30,
    "rates": [{"percent": "10"}],
    "link": {"template": "https://track.example/c?s={subid}&to={url}"},
}
SOLD = Row("shop", "a1", "dress", ("one",))


def made(folder: Path, migrated: Path | None = None) -> Path:
    """A workspace with an offer whose clicks are paid for, without pictures or an index."""
    init(folder)
    set_setting(folder, "encoder", "pixels")
    with (folder / "lensback.toml").open("a") as file:
        file.write("rate_limit = 0\nwrite_limit = 0\n")
    (folder / "networks.toml").write_text(f'[generic]\npostback_secret = "{SECRET}"\n')
    (folder / "networks.toml").chmod(0o600)
    if migrated:
        shutil.copy(migrated, folder / "catalogue.db")
    with open_workspace(folder) as opened:
        write(opened.db, [SOLD], "none", {"shop": PROGRAM})
    return folder


def run(
    workspace: Path,
    to: Path | str,
    contents: backup.Contents | None = None,
    stop: Event | None = None,
) -> backup.Made:
    with open_workspace(workspace) as opened:
        return backup.back_up(
            workspace,
            opened.db_url,
            str(to),
            backup.open_place(str(to)),
            contents or backup.Contents(),
            watch=lambda *_: None,
            stop=stop or Event(),
        )


def url_of(folder: Path) -> str:
    with open_workspace(folder) as opened:
        return opened.db_url


def restore(source: Path | str, folder: Path, wanted: str = "") -> backup.Restored:
    place = backup.open_place(str(source))
    return backup.restore(place, wanted, folder, url_of, watch=lambda *_: None, stop=Event())


def verified(to: Path | str) -> list[str]:
    """The fault of each backup there, empty for one that is whole."""
    place = backup.open_place(str(to))
    return [one.fault for one in backup.verify(place, watch=lambda *_: None, stop=Event())]


def picture(workspace: Path) -> Path:
    """Some bytes where a picture of this hash lies."""
    data = os.urandom(500)
    name = hashlib.sha256(data).hexdigest()
    path = workspace / "images" / name[:2] / name[2:4] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def workspace(tmp_path: Path, migrated_sqlite: Path) -> Path:
    return made(tmp_path / "workspace", migrated_sqlite)


# ---- under load


@dataclass
class Load:
    """Clicks and sales against a real server; `clicks` and `sales` were answered, so they count."""

    base: str
    offer_id: str = SOLD.offer_id
    clicks: list[str] = field(default_factory=list)
    sales: list[str] = field(default_factory=list)
    stop: Event = field(default_factory=Event)

    def run(self) -> None:
        headers = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
        with httpx.Client(base_url=self.base, headers=headers, timeout=240) as client:
            while not self.stop.is_set():
                with suppress(httpx.TransportError):
                    gone = client.get(f"/go/{self.offer_id}")
                    assert gone.status_code == 302, gone.text
                    found = re.search(r"[?&]s=([0-9A-Za-z]+)", gone.headers["location"])
                    assert found
                    self.clicks.append(found[1])
                    if len(self.clicks) % 3 == 0:
                        self._sale(client, found[1])

    def _sale(self, client: httpx.Client, click: str) -> None:
        told = {"external_id": f"s{click}", "status": "pending", "commission": "1.00"}
        sent = {**told, "currency": "EUR", "subid": click, "secret": SECRET}
        answer = client.post("/postback/generic", data=sent)
        assert answer.status_code == 200, answer.text
        self.sales.append(f"s{click}")

    def answered(
        self, times: int, back_up: Callable[[], str]
    ) -> list[tuple[str, set[str], set[str]]]:
        """Backs up so many times meanwhile: what `back_up` gives, and the clicks and sales that were
        answered before it began."""
        thread, asked = threading.Thread(target=self.run), []
        thread.start()
        try:
            for _ in range(times):
                size, end = len(self.clicks), time.monotonic() + 240
                while len(self.clicks) < size + 25 and thread.is_alive() and time.monotonic() < end:
                    time.sleep(0.02)
                before = set(self.clicks), set(self.sales)
                asked.append((back_up(), *before))
        finally:
            self.stop.set()
            thread.join()
        return asked


@pytest.fixture
def served(workspace: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "lensback", "serve", "--port", str(port)]
    environment = {**os.environ, "LENSBACK_WORKSPACE": str(workspace)}
    server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 240
        while time.monotonic() < end:
            with suppress(httpx.TransportError):
                if httpx.get(f"{base}/healthz").status_code == 200:
                    break
            time.sleep(0.1)
        yield base
    finally:
        server.terminate()
        server.wait(240)


def test_nothing_answered_before_a_backup_began_is_missing(
    workspace: Path, served: str, tmp_path: Path
) -> None:
    load = Load(served)
    asked = load.answered(4, lambda: run(workspace, tmp_path / "to").manifest.id)
    assert verified(tmp_path / "to") == [""] * 4
    assert len(load.clicks) > 90
    for n, (wanted, clicks, sales) in enumerate(asked):
        folder = tmp_path / f"back{n}"
        restore(tmp_path / "to", folder, wanted)
        with open_workspace(folder) as opened:
            opened.drain()
            with opened.db.read() as c:
                kept = set(c.scalars(select(t.clicks.c.click_id)))
                told = set(c.scalars(select(t.conversions.c.external_id)))
            assert ledger.audit(opened.db).proven
        assert clicks - kept == set()
        assert sales - told == set()
    assert clicks
    assert sales


@pytest.mark.parametrize("first", [True, False])
def test_a_drain_in_the_middle_takes_nothing_away(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """A click leaves the journal for the database while the database is copied."""
    copy_sqlite, click = copying.copy_sqlite, "c" * 20
    with open_workspace(workspace) as opened:
        stored = offers.get(opened.db, SOLD.offer_id)
        opened.journal.append("click", ledger.click_body(click, stored, at=5, source="page"))

        def drained(*arguments: Any) -> None:
            if first:
                opened.drain()
            copy_sqlite(*arguments)
            opened.drain()

        monkeypatch.setattr(copying, "copy_sqlite", drained)
        run(workspace, tmp_path / "to")
    restore(tmp_path / "to", tmp_path / "back")
    with open_workspace(tmp_path / "back") as opened:
        opened.drain()
        with opened.db.read() as c:
            assert list(c.scalars(select(t.clicks.c.click_id))) == [click]


def test_a_writer_that_never_rests_holds_no_copy_up(tmp_path: Path) -> None:
    """SQLite's backup begins anew when somebody writes between two of its steps: ours does not."""
    source = tmp_path / "a.db"
    with closing(sqlite3.connect(source, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE x (n INTEGER, filler BLOB)")
        writer.execute("BEGIN")
        writer.executemany(
            "INSERT INTO x VALUES (?, randomblob(3000))", [(n,) for n in range(20000)]
        )
        writer.execute("COMMIT")
        steps = []

        def step(done: int, total: int) -> None:
            steps.append(done)
            writer.execute("INSERT INTO x VALUES (-1, NULL)")

        copying.copy_sqlite(source, tmp_path / "b.db", step)
    assert len(steps) > 5
    assert steps == sorted(steps)
    with closing(sqlite3.connect(tmp_path / "b.db")) as copy:
        assert copy.execute("SELECT count(*), min(n) FROM x").fetchone() == (20000, 0)


# ---- what is in it


def test_what_is_put_back_is_what_was_there(workspace: Path, tmp_path: Path) -> None:
    (workspace / "networks").mkdir()
    (workspace / "networks" / "own.toml").write_text("title = 'Own'\n")
    (workspace / "models" / "mine").mkdir(parents=True)
    (workspace / "models" / "mine" / "model.onnx").write_bytes(os.urandom(2_500_000))
    (workspace / "keys.json").write_text("[]")
    (workspace / "empty.toml").write_text("")
    for name in ("photos", "images/ab/cd", "index", "spool"):
        (workspace / name).mkdir(parents=True, exist_ok=True)
        (workspace / name / "x").write_text("not in it")
    run(workspace, tmp_path / "to")
    back = tmp_path / "deep" / "back"
    done = restore(tmp_path / "to", back)
    assert done.kept == 0
    same = ("lensback.toml", "networks.toml", "networks/own.toml", "models/mine/model.onnx",
            "keys.json", "empty.toml", "database.json")  # fmt: skip
    for name in same:
        assert (back / name).read_bytes() == (workspace / name).read_bytes(), name
    for name in ("photos", "images", "index", "spool"):
        assert not (back / name).exists()
    with open_workspace(back) as opened:
        assert stores.names(opened.db) == ["shop"]
    for root in (tmp_path / "to", back):
        for path in root.rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_second_one_costs_what_changed(workspace: Path, tmp_path: Path) -> None:
    (workspace / "models" / "mine").mkdir(parents=True)
    (workspace / "models" / "mine" / "model.onnx").write_bytes(os.urandom(3_000_000))
    first = run(workspace, tmp_path / "to")
    assert first.new_bytes > 3_000_000
    objects = {p: p.stat().st_mtime_ns for p in (tmp_path / "to" / "objects").rglob("*")}
    with open_workspace(workspace) as opened:
        stores.add(opened.db, "other", "https://other.example/feed.xml")
    second = run(workspace, tmp_path / "to")
    assert 0 < second.new_bytes < 1_500_000
    for path, changed in objects.items():
        assert path.is_dir() or path.stat().st_mtime_ns == changed, "written again"
    third = run(workspace, tmp_path / "to")
    assert third.new_pieces <= 1  # its list of files names backup.json's neighbour anew at most
    assert verified(tmp_path / "to") == [""] * 3
    assert restore(tmp_path / "to", tmp_path / "a", first.manifest.id).manifest == first.manifest
    with open_workspace(tmp_path / "a") as opened:
        assert stores.names(opened.db) == ["shop"]
    restore(tmp_path / "to", tmp_path / "b")
    with open_workspace(tmp_path / "b") as opened:
        assert stores.names(opened.db) == ["other", "shop"]


def test_a_synced_workspace_comes_back_and_a_sync_makes_the_rest(tmp_path: Path) -> None:
    """With pictures and vectors nothing is fetched or made again; without, both are."""
    folder = tmp_path / "workspace"
    init(folder)
    set_setting(folder, "encoder", "pixels")
    settings = Settings(allow_hosts=("127.0.0.1",), encoder="pixels")
    with World(tmp_path / "world") as world, Workspace(folder, settings) as opened:
        store = world.store("harbour", "google", items(4))
        stores.add(opened.db, "harbour", store.feed_url, base=world.base)
        assert not sync(opened).failed
    whole = run(folder, tmp_path / "to", backup.Contents(pictures=True, vectors=True))
    again = run(folder, tmp_path / "to", backup.Contents(pictures=True, vectors=True))
    assert again.new_bytes < whole.new_bytes / 20
    plain = run(folder, tmp_path / "plain")
    assert plain.manifest.bytes < whole.manifest.bytes
    pictures = {p.name for p in (folder / "images").rglob("*") if len(p.name) == 64}
    back = tmp_path / "back"
    restore(tmp_path / "to", back)
    assert {p.name for p in (back / "images").rglob("*") if p.is_file()} == pictures
    for path in (back / "images").rglob("*"):
        assert path.is_dir() or hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    with open_workspace(folder) as old, open_workspace(back) as opened:
        print_ = opened.encoder().fingerprint
        assert opened.vectors.count(print_) == old.vectors.count(print_) > 0
        report = sync(opened, only="embed")
        assert sum(tally.done for tally in report.tallies) == 0
        sync(opened, only="publish")
        assert opened.index.snapshot is not None
        assert old.index.snapshot is not None
        assert opened.index.snapshot.rows == old.index.snapshot.rows


def test_forgetting_leaves_what_the_newest_need(workspace: Path, tmp_path: Path) -> None:
    contents = backup.Contents(pictures=True)
    for n in range(4):
        (workspace / "own.bin").write_bytes(os.urandom(10_000))
        path = picture(workspace)
        if n == 1:
            path.unlink()
        run(workspace, tmp_path / "to", contents)
    before = sum(1 for p in (tmp_path / "to" / "objects").rglob("*") if p.is_file())
    assert backup.forget_old(backup.open_place(str(tmp_path / "to")), 2) == 2
    assert verified(tmp_path / "to") == ["", ""]
    after = sum(1 for p in (tmp_path / "to" / "objects").rglob("*") if p.is_file())
    assert after < before - 2
    restore(tmp_path / "to", tmp_path / "back")
    assert (tmp_path / "back" / "own.bin").read_bytes() == (workspace / "own.bin").read_bytes()
    assert backup.forget_old(backup.open_place(str(tmp_path / "to")), 2) == 0


# ---- killed, damaged, in the wrong place


class Dies(places.FolderPlace):
    """A place whose disk, or whose process, ends after so many writes."""

    def __init__(self, root: Path, left: int) -> None:
        super().__init__(root)
        self.left = left

    def put(self, name: str, data: bytes) -> None:
        if self.left == 0:
            raise StateError("killed")
        self.left -= 1
        super().put(name, data)


def test_broken_off_anywhere_there_is_a_whole_backup_or_none(
    workspace: Path, tmp_path: Path
) -> None:
    for left in range(50):
        to = tmp_path / f"to{left}"
        try:
            backup.back_up(
                workspace, url_of(workspace), str(to), Dies(to, left), backup.Contents(),
                watch=lambda *_: None, stop=Event(),
            )  # fmt: skip
        except StateError:
            with pytest.raises(NotFound):
                verified(to)
            with pytest.raises(NotFound):
                restore(to, tmp_path / "back")
            assert not (tmp_path / "back").exists()
            assert list((workspace / "spool").iterdir()) == []
            run(workspace, to)  # goes on with what is there
            assert verified(to) == [""]
        else:
            break
    assert 3 < left < 49


def test_killed_for_good_it_leaves_no_half_backup(workspace: Path, tmp_path: Path) -> None:
    """A real process, ended at many moments."""
    to = tmp_path / "to"
    for n in range(10):
        (workspace / f"own{n}.bin").write_bytes(os.urandom(300_000))
    command = [sys.executable, "-m", "lensback", "backup", str(to), "--workspace", str(workspace)]
    for n in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 240
        wanted = 9 * n
        while process.poll() is None and time.monotonic() < end:
            if sum(1 for p in to.rglob("*") if p.is_file()) > wanted:
                break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with suppress(NotFound):
            assert set(verified(to)) == {""}
    run(workspace, to)
    assert set(verified(to)) == {""}


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_every_damaged_byte_is_seen(workspace: Path, tmp_path: Path) -> None:
    to = tmp_path / "to"
    run(workspace, to)
    files = [p for p in to.rglob("*") if p.is_file() and p.name != ".lock"]
    assert len(files) > 4
    for path in files:
        kept = path.read_bytes()
        for wrong in (damage, Path.unlink, lambda p: p.write_bytes(b"")):
            wrong(path)
            if path.parent.name == "backups" and not path.exists():
                with pytest.raises(NotFound):
                    verified(to)
            else:
                assert [bool(fault) for fault in verified(to)] == [True], path
                with pytest.raises(DataError):
                    restore(to, tmp_path / "back")
                assert not (tmp_path / "back" / "catalogue.db").exists()
            path.write_bytes(kept)
            shutil.rmtree(tmp_path / "back", ignore_errors=True)
    assert verified(to) == [""]


def test_a_workspace_with_a_ledger_is_left_alone(
    workspace: Path, tmp_path: Path, migrated_sqlite: Path
) -> None:
    run(workspace, tmp_path / "to")
    other = made(tmp_path / "other", migrated_sqlite)
    before = {p: p.read_bytes() for p in other.rglob("*") if p.is_file()}
    with pytest.raises(StateError, match="nothing was restored") as told:
        restore(tmp_path / "to", other)
    assert "stores" in told.value.message
    after = {p: p.read_bytes() for p in other.rglob("*") if p.is_file() and p in before}
    assert after == before


def test_into_a_workspace_that_init_made(workspace: Path, tmp_path: Path) -> None:
    run(workspace, tmp_path / "to")
    back = tmp_path / "back"
    assert lensback("init", "--workspace", back).code == 0
    assert restore(tmp_path / "to", back).aside == ""
    assert (back / "lensback.toml").read_bytes() == (workspace / "lensback.toml").read_bytes()
    with open_workspace(back) as opened:
        assert stores.names(opened.db) == ["shop"]


@pytest.mark.parametrize("lost", ["gone", "empty", "damaged"])
def test_where_only_the_database_was_lost(workspace: Path, tmp_path: Path, lost: str) -> None:
    """What is newer there stays: settings, and clicks that wait in the journal."""
    run(workspace, tmp_path / "to")
    set_setting(workspace, "currency", "USD")
    click = "c" * 20
    with open_workspace(workspace) as opened:
        stored = offers.get(opened.db, SOLD.offer_id)
        opened.journal.append("click", ledger.click_body(click, stored, at=5, source="page"))
    file = workspace / "catalogue.db"
    for end in ("-wal", "-shm"):
        file.with_name(f"catalogue.db{end}").unlink(missing_ok=True)
    if lost == "gone":
        file.unlink()
    else:
        file.write_bytes(b"" if lost == "empty" else b"no database at all" * 1000)
    done = restore(tmp_path / "to", workspace)
    assert bool(done.aside) == (lost == "damaged")
    if done.aside:
        assert Path(done.aside).read_bytes() == b"no database at all" * 1000
    with open_workspace(workspace) as opened:
        assert opened.settings.currency == "USD"
        opened.drain()
        with opened.db.read() as c:
            assert click in set(c.scalars(select(t.clicks.c.click_id)))


def test_it_can_be_stopped_and_told_where_not_to(workspace: Path, tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Stopped):
        run(workspace, tmp_path / "to", stop=stop)
    with pytest.raises(NotFound):
        verified(tmp_path / "to")
    with pytest.raises(BadQuery, match="in the workspace"):
        run(workspace, workspace / "backups")
    (tmp_path / "link").symlink_to(workspace)
    with pytest.raises(BadQuery, match="in the workspace"):
        run(workspace, tmp_path / "link" / "backups")
    with pytest.raises(ConfigError, match="not a place"):
        backup.open_place("ftp://host/x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StateError):
        run(workspace, tmp_path / "file")
    with backup.open_place(str(tmp_path / "to")).locked(), pytest.raises(Busy):
        run(workspace, tmp_path / "to")


def test_a_database_that_is_lost_is_not_backed_up_as_an_empty_one(
    workspace: Path, tmp_path: Path
) -> None:
    for end in ("", "-wal", "-shm"):
        (workspace / f"catalogue.db{end}").unlink(missing_ok=True)
    with pytest.raises(StateError, match="is not there"):
        run(workspace, tmp_path / "to")
    assert not (workspace / "catalogue.db").exists()


# ---- the command


def test_the_commands(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to, here = tmp_path / "to", ("--workspace", workspace)
    with open_workspace(workspace) as opened:
        assert [c for c in doctor.examine(opened) if c.part == "backup"] == []
        stored = offers.get(opened.db, SOLD.offer_id)
        opened.journal.append("click", ledger.click_body("c" * 20, stored, at=5, source="page"))
        opened.drain()
        (none,) = [c for c in doctor.examine(opened) if c.part == "backup"]
        assert (none.state, none.hint) == ("warn", "run: lensback backup TO")
    first = lensback("backup", *here, "--json")
    assert (first.code, first.error["type"]) == (2, "BadQuery")
    assert lensback("backup", to, "--verify", *here).code == 2
    monkeypatch.setenv("LENSBACK_CURRENCY", "EUR")
    told = lensback("backup", to, *here)
    assert told.code == 0
    assert "LENSBACK_CURRENCY" in told.out
    assert "pictures and vectors" in told.out
    again = lensback("backup", *here, "--json", "--keep", 1)
    assert (again.code, again.json["forgotten"]) == (0, 1)
    seen = lensback("backup", "--verify", "--json", *here)
    assert [one["whole"] for one in seen.json] == [True]
    assert seen.json[0]["id"] == again.json["id"]
    done = lensback("restore", to, "--workspace", tmp_path / "back", "--json")
    assert done.json["written"] == again.json["files"] - 1  # and the database
    assert lensback("restore", to, "--workspace", tmp_path / "back").code == 2
    (victim,) = [p for p in to.glob("objects/*/*") if p.stat().st_size > 200_000]
    damage(victim)
    bad = lensback("backup", to, "--verify", *here)
    assert bad.code == 1
    assert "damaged" in bad.out
    with open_workspace(workspace) as opened:
        assert [c.state for c in doctor.examine(opened) if c.part == "backup"] == ["ok"]
    monkeypatch.setattr(time, "time", lambda: 4e9)
    with open_workspace(workspace) as opened:
        (old,) = [c for c in doctor.examine(opened) if c.part == "backup"]
    assert (old.state, old.hint) == ("warn", "run: lensback backup")


# ---- other places, other databases


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    moto = pytest.importorskip("moto.server", reason="moto[s3] and flask are not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    known = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    for name, value in {**known, "AWS_ENDPOINT": f"http://{host}:{port}"}.items():
        monkeypatch.setenv(name, value)
    import boto3

    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket="kept")
    client.close()
    yield "s3://kept/lensback"
    server.stop()


def test_a_bucket(workspace: Path, bucket: str, tmp_path: Path) -> None:
    picture(workspace)
    (workspace / "own.bin").write_bytes(os.urandom(1_500_000))
    contents = backup.Contents(pictures=True)
    first = run(workspace, bucket, contents)
    second = run(workspace, bucket, contents)
    assert second.new_pieces <= 1
    assert verified(bucket) == ["", ""]
    assert backup.forget_old(backup.open_place(bucket), 1) == 1
    assert verified(bucket) == [""]
    assert first.manifest.id != restore(bucket, tmp_path / "back").manifest.id
    for name in ("own.bin", "lensback.toml"):
        assert (tmp_path / "back" / name).read_bytes() == (workspace / name).read_bytes()
    with pytest.raises(StateError, match="s3://nobodys"):
        run(workspace, "s3://nobodys/x")


def test_postgresql_by_its_own_programs(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "workspace"
    init(folder)
    url = postgres.url(postgres.database("migrated"))
    set_setting(folder, "database", url)
    with open_workspace(folder) as opened:
        write(opened.db, [SOLD], "none", {"shop": PROGRAM})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="pg_dump is not on the PATH"):
        run(folder, tmp_path / "to")
    without = run(folder, tmp_path / "to", backup.Contents(database=False))
    assert without.manifest.database == "none"
    monkeypatch.setenv("PATH", f"{postgres.programs}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert run(folder, tmp_path / "to").manifest.database == "postgresql"
    with pytest.raises(StateError, match=r"holds .*stores"):
        restore(tmp_path / "to", tmp_path / "back")
    for template in ("template0", "migrated"):
        back = tmp_path / f"back-{template}"
        monkeypatch.setenv("LENSBACK_DATABASE", postgres.url(postgres.database(template)))
        restore(tmp_path / "to", back)
        with open_workspace(back) as opened:
            assert stores.names(opened.db) == ["shop"]
    monkeypatch.setenv("LENSBACK_DATABASE", sqlite_url(tmp_path / "x.db"))
    with pytest.raises(StateError, match="the backup is of postgresql"):
        restore(tmp_path / "to", tmp_path / "third")


def test_a_dump_that_fails_is_no_backup(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "workspace"
    init(folder)
    url = postgres.url(postgres.database("migrated"))
    set_setting(folder, "database", url)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "pg_dump").write_text("#!/bin/sh\nprintf PGDMP\necho 'no space' >&2\nexit 1\n")
    (programs / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")
    with pytest.raises(StateError, match="pg_dump failed: no space"):
        run(folder, tmp_path / "to")
    with pytest.raises(NotFound):
        verified(tmp_path / "to")
