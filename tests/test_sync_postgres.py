"""The main job on PostgreSQL: the same catalogue as on SQLite, with several syncs at once."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from forked import Forked
from lensback.db import tables as t
from lensback.sync import sync
from lensback.workspace import Workspace, open_workspace
from servers import Postgres
from test_sync import THINGS, opened, state
from world import World

pytestmark = pytest.mark.slow

CHILD = """
from pathlib import Path
from lensback.retry import retried
from lensback.sync import sync
from lensback.workspace import open_workspace
retried.__kwdefaults__["for_s"] = 600  # a busy machine's server takes long to start
with open_workspace(Path({folder!r})) as workspace:
    print("started", flush=True)
    assert not sync(workspace, jobs=2).failed
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world")) as made:
        made.store("harbour", "google", THINGS[:12], sizes=("S", "M"), views=(0, 1))
        made.store("lavka", "yml", THINGS[6:16], sizes=("S", "M"), marker=True)
        yield made


@pytest.fixture(scope="module")
def clean(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one sync on SQLite makes."""
    with opened(tmp_path_factory.mktemp("sqlite"), world, encoder="pixels") as workspace:
        assert not sync(workspace).failed
        return state(workspace)


def on_postgres(folder: Path, world: World, url: str) -> Workspace:
    """A workspace whose file says it all, so that other processes can open it."""
    workspace = opened(folder, world, encoder="pixels", database=url)
    lines = [f'database = "{url}"', 'encoder = "pixels"', "retries = 0",
             'allow_hosts = ["127.0.0.1"]', ""]  # fmt: skip
    (folder / "lensback.toml").write_text("\n".join(lines), "utf-8")
    return workspace


def test_the_same_as_on_sqlite(
    world: World, clean: dict[str, Any], postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.url(postgres.database("migrated"))
    with on_postgres(tmp_path, world, url) as workspace:
        assert not sync(workspace).failed
        assert state(workspace) == clean
        again = sync(workspace)
        assert (
            sum(tally.done for tally in again.tallies if tally.stage in {"download", "embed"}) == 0
        )


@pytest.fixture(scope="module")
def two() -> Iterator[list[Forked]]:
    with Forked() as one, Forked() as other:
        yield [one, other]


def start(folder: Path, forked: Forked) -> None:
    """A sync that has begun."""
    forked.start(CHILD.format(folder=str(folder)))
    assert forked.line() == "started"


def test_a_sync_waits_for_a_database_that_is_away(
    world: World, clean: dict[str, Any], two: list[Forked], tmp_path: Path
) -> None:
    """Whatever stage it is in; it ends well and has done everything."""
    with contextlib.closing(Postgres()) as server:
        server.start()
        for turn, moment_s in enumerate((0.2, 0.9, 1.6)):
            server.execute(f"CREATE DATABASE shop{turn}")
            with on_postgres(tmp_path / str(turn), world, server.url(f"shop{turn}")):
                pass
            start(tmp_path / str(turn), two[0])
            time.sleep(moment_s)
            server.stop(signal.SIGQUIT)
            time.sleep(1)
            server.start()
            assert two[0].finished()[0] == 0
            with open_workspace(tmp_path / str(turn)) as workspace:
                assert state(workspace) == clean


def test_two_syncs_at_once_killed_at_random_and_the_server_restarted(
    world: World, clean: dict[str, Any], two: list[Forked], tmp_path: Path
) -> None:
    """Nothing lost, nothing twice: the state at the end is that of one undisturbed sync."""
    draw = random.Random(5)
    with contextlib.closing(Postgres()) as server:
        server.start()
        server.execute("CREATE DATABASE shop")
        with on_postgres(tmp_path, world, server.url("shop")):
            pass
        for turn in range(4):
            for forked in two:
                start(tmp_path, forked)
            time.sleep(draw.uniform(0, 1.5))
            if turn % 2:
                server.stop(signal.SIGQUIT)
                server.start()
            else:
                two[draw.randrange(2)].kill()
            codes = sorted(forked.finished()[0] for forked in two)
            assert codes in ([0, 0], [-9, 0]), "who was not killed ends well"
        for forked in two:
            start(tmp_path, forked)
        assert [forked.finished()[0] for forked in two] == [0, 0]
        with open_workspace(tmp_path) as workspace:
            assert state(workspace) == clean
            with workspace.db.read() as c:
                twice = select(t.feed_runs.c.feed_id).where(t.feed_runs.c.status == "running")
                assert c.execute(select(func.count()).select_from(twice.subquery())).scalar() == 0
