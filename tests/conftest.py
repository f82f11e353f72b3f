# ruff: noqa: E402 - what reads the number of threads is imported after it was set
"""Fixtures of the whole suite."""

from __future__ import annotations

import logging
import os
import shutil

# Each worker has a processor of its own at best: the threads of numpy and torch would spin on that
# of the other. Set before either is imported; processes that tests start inherit it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lensback.db import Database, sqlite_url
from milvus_server import MilvusServer
from servers import Postgres

DATA = Path(
    os.environ.get("LENSBACK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")
).resolve()

# How long an example takes says what else the machine does.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees the defaults, whatever the shell that runs it exports."""
    for name in list(os.environ):
        if name.startswith("LENSBACK_") and name != "LENSBACK_DATA":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _a_logger_as_new() -> Iterator[None]:
    """Commands that run in this process send our lines to their own stderr, and no further."""

    def reset() -> None:
        logger = logging.getLogger("lensback")
        logger.handlers[:], logger.propagate = [], True
        logger.setLevel(logging.NOTSET)

    reset()
    yield
    reset()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A private PostgreSQL; `migrated` is an empty catalogue to copy from."""
    server = Postgres()
    server.start()
    try:
        server.execute("CREATE DATABASE migrated")
        database = Database(server.url("migrated"))
        database.migrate()
        database.close()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def milvus() -> Iterator[MilvusServer]:
    """A real Milvus in one process. Its tests run in one group: it is started once."""
    server = MilvusServer()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty catalogue in a file, to copy from: the migrations take longer than most tests."""
    path = Path(os.environ.get("MIGRATED_SQLITE", ""))  # made once by tools/mutate.py
    if path.is_file():
        return path
    path = tmp_path_factory.mktemp("migrated") / "catalogue.db"
    database = Database(sqlite_url(path))
    database.migrate()
    database.close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty catalogue on either database: one suite for both."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "catalogue.db")
        return sqlite_url(tmp_path / "catalogue.db")
    server: Postgres = request.getfixturevalue("postgres")
    return server.url(server.database("migrated"))


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data, or a skip that says why."""
    if not (DATA / "shops").is_dir():
        pytest.skip(f"no real data at {DATA}: set LENSBACK_DATA")
    return DATA
