"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lensback.db import Database, sqlite_url

DATA = Path(
    os.environ.get("LENSBACK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")
).resolve()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees the defaults, whatever the shell that runs it exports."""
    for name in list(os.environ):
        if name.startswith("LENSBACK_") and name != "LENSBACK_DATA":
            monkeypatch.delenv(name)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(sqlite_url(tmp_path / "catalogue.db"))
    database.migrate()
    yield database
    database.close()


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data, or a skip that says why."""
    if not (DATA / "shops").is_dir():
        pytest.skip(f"no real data at {DATA}: set LENSBACK_DATA")
    return DATA
