# ruff: noqa: E402 - what reads the number of threads is imported after it was set
"""Fixtures of the whole suite."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sys

# What thirteen thousand tests are made of stays: looking for garbage among it takes longer than the rest of
# collecting. On again in `pytest_collection_finish`.
gc.disable()

# Each worker has a processor of its own at best: the threads of numpy and torch would spin on that
# of the other. Set before either is imported; processes that tests start inherit it.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# What one process compiles the next ones read, whatever the shell says of bytecode: tests start hundreds.
# As the Makefile says it, for who calls pytest without it.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode, sys.pycache_prefix = False, f"{sys.prefix}/bytecode"
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Words in photos: a process more for each server, and a fifth of a second for each photo. Who tests it
# switches it on.
os.environ["LENSBACK_OCR"] = "off"

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from lensback.__main__ import BETWEEN_COLLECTIONS
from lensback.db import Database, sqlite_url
from milvus_server import MilvusServer
from servers import Postgres

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

DATA = Path(
    os.environ.get("LENSBACK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")
).resolve()

# How long an example takes says what else the machine does. The suite tries the same examples each time:
# what chance finds is found by who looks for it (`make explore`), not by who changed something else.
SUITE = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, database=None
)
settings.register_profile("suite", SUITE)
settings.register_profile("explore", SUITE, derandomize=False, max_examples=2000, print_blob=True)
settings.load_profile("suite")


TOGETHER = {"tests/behaviour/test_indexes.py": "tests/test_milvus.py"}
"""Files that share a server which takes long to start: one worker runs both."""


def unit_of(nodeid: str) -> str:
    """What one worker runs from its beginning to its end: a file, or files that belong together.

    >>> unit_of("tests/test_rank.py::test_order[a::b]"), unit_of("tests/behaviour/test_indexes.py::x")
    ('tests/test_rank.py', 'tests/test_milvus.py')
    """
    path = nodeid.partition("::")[0]
    return TOGETHER.get(path, path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Whole files to each worker: what a file sets up is set up once, not once in every worker."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False  # the order of `pytest_collection_modifyitems`
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where workers share the work, the files with most slow tests come first: what comes last must
    be short, or one worker ends long after the others."""
    if not hasattr(config, "workerinput"):
        return
    slow = Counter(unit_of(item.nodeid) for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (-slow[unit_of(item.nodeid)], unit_of(item.nodeid)))


def pytest_collection_finish() -> None:
    """What is loaded by now stays to the end: no collection of garbage need look at it again. Later ones
    are as rare as in our commands."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(BETWEEN_COLLECTIONS)
    gc.enable()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees the defaults, whatever the shell that runs it exports; words in photos are not read."""
    for name in list(os.environ):
        if name.startswith("LENSBACK_") and name not in {"LENSBACK_DATA", "LENSBACK_OCR"}:
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
    """A real Milvus in one process. One worker runs all of its tests: it is started once."""
    server = MilvusServer(lease_s=300)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TRY_S", "WRITE_S"):  # on a busy machine a search takes seconds
            patch.setattr(f"lensback.indexes.milvus.{name}", 600.0)
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
