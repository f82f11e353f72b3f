"""SIGTERM ends a sync within five seconds in every one of its stages, even where it is caught in native
code within a transaction, and the next sync goes on from there: in the end nothing tells of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Table, func, select

from forked import Forked
from garments import items
from lensback.catalogue import stores
from lensback.cli import stopping
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.sync import STAGES
from lensback.workspace import init, open_workspace
from world import World

pytestmark = pytest.mark.slow

ENV = {"LENSBACK_ALLOW_HOSTS": "127.0.0.1", "LENSBACK_ENCODER": "pixels"}
CAUGHT = """
import ctypes, os, sys
from contextlib import contextmanager
from lensback import cli, sync
from lensback.cli import stopping
from lensback.db import Database
stage, here = {stage!r}, ""
stopping.GRACE_S = {grace_s!r}
os.environ.update({env!r})
sys.argv[1:] = ["sync", "--json", "--workspace", {folder!r}]

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


def count(database: Database, *conditions: object, table: Table) -> int:
    with database.read() as c:
        found = c.execute(select(func.count()).select_from(table).where(*conditions))  # type: ignore[arg-type]
        return int(found.scalar_one())


def test_sigterm_ends_each_stage_and_nothing_is_lost(tmp_path: Path) -> None:
    """It would sleep for an hour: the grace ends it, or the stop."""
    assert stopping.GRACE_S <= 5
    folder, things = tmp_path / "w", items(3)
    with World(tmp_path / "world") as world:
        init(folder)
        database = Database(sqlite_url(folder / "catalogue.db"))
        database.migrate()
        for name, form in (("harbour", "google"), ("lavka", "yml")):  # the same things, with codes
            store = world.store(name, form, things, marker=True)
            stores.add(database, name, store.feed_url, base=world.base)
        with Forked() as forked:
            for number, stage in enumerate(STAGES[1:]):  # reading: test_hostile_feeds.py
                grace_s = 0.3 if number else stopping.GRACE_S  # one of them as it is
                forked.start(
                    CAUGHT.format(stage=stage, grace_s=grace_s, env=ENV, folder=str(folder))
                )
                assert forked.line() == "caught", stage
                forked.kill(signal.SIGTERM)
                assert forked.finished()[0] == 128 + signal.SIGTERM, stage
        command = [sys.executable, "-m", "lensback", "sync", "--json", "--workspace", str(folder)]
        quiet = subprocess.DEVNULL
        done = subprocess.run(
            command, check=False, env=os.environ | ENV, stdout=quiet, stderr=quiet, timeout=400
        )
        assert done.returncode == 0
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
