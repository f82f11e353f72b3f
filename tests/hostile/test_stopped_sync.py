"""SIGTERM ends a sync within five seconds in every one of its stages, even where it is caught in native
code within a transaction, and the next sync goes on from there: in the end nothing tells of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy import Table, func, select

from garments import items
from lensback.catalogue import stores
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.sync import STAGES
from lensback.workspace import init, open_workspace
from world import World

CAUGHT = """
import ctypes, sys
from contextlib import contextmanager
from lensback import cli, sync
from lensback.db import Database
stage, here = sys.argv.pop(1), ""

def within(real, name):
    def work(*given, **named):
        global here
        here = name or given[0]
        return real(*given, **named)
    return work

sync._feeds = within(sync._feeds, "ingest")
sync._download = within(sync._download, "download")
sync._later = within(sync._later, "")
real_write = Database.write

@contextmanager
def write(self):
    with real_write(self) as connection:
        yield connection
        if here == stage:  # not committed yet
            print("caught", flush=True)
            for _ in range(60):
                ctypes.CDLL(None).sleep(60)

Database.write = write
cli.main()
"""


def syncing(folder: Path, *code: str) -> subprocess.Popen[str]:
    command = [sys.executable, *code, "sync", "--json", "--workspace", str(folder)]
    env = {**os.environ, "LENSBACK_ALLOW_HOSTS": "127.0.0.1", "LENSBACK_ENCODER": "pixels"}
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def count(database: Database, *conditions: object, table: Table) -> int:
    with database.read() as c:
        found = c.execute(select(func.count()).select_from(table).where(*conditions))  # type: ignore[arg-type]
        return int(found.scalar_one())


def test_sigterm_ends_each_stage_and_nothing_is_lost(tmp_path: Path) -> None:
    folder, things = tmp_path / "w", items(3)
    with World(tmp_path / "world") as world:
        init(folder)
        database = Database(sqlite_url(folder / "catalogue.db"))
        database.migrate()
        for name, form in (("harbour", "google"), ("lavka", "yml")):  # the same things, with codes
            store = world.store(name, form, things, marker=True)
            stores.add(database, name, store.feed_url, base=world.base)
        for stage in STAGES[1:]:  # reading: test_hostile_feeds.py
            with syncing(folder, "-c", CAUGHT, stage) as process:
                try:
                    assert process.stdout
                    assert process.stdout.readline() == "caught\n", stage
                    begin = time.monotonic()
                    process.send_signal(signal.SIGTERM)
                    assert process.wait(30) == 128 + signal.SIGTERM, stage
                    assert time.monotonic() - begin < 5 + 1, stage  # the machine is busy
                finally:
                    process.kill()
        with syncing(folder, "-m", "lensback") as process:
            assert process.wait(120) == 0
        pictures = {name for offer in store.offers for name in offer.images}
    try:
        images = count(database, table=t.images)
        assert images >= len(pictures) > 0
        assert count(database, t.image_urls.c.image_hash.is_(None), table=t.image_urls) == 0
        assert count(database, t.embeddings.c.status == "ok", table=t.embeddings) == images
        assert count(database, t.offers.c.product_id.is_(None), table=t.offers) == 0
    finally:
        database.close()
    with open_workspace(folder) as workspace:
        assert workspace.index.snapshot
        assert workspace.index.snapshot.rows == images
