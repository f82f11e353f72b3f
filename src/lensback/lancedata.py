"""Opening Lance datasets; who writes what into them is the business of `vectors` and `indexes`."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from lensback.errors import ConfigError, MissingExtra, StateError

_REMOTE = re.compile(r"(s3|gs|az)://[^/]+.*")


class Shelf:
    """Where the tables of a dataset lie: a local folder, or `s3://bucket/prefix` (gs://, az://).

    Keys and endpoint of an object store come from its usual environment variables
    (AWS_ACCESS_KEY_ID, AWS_ENDPOINT, …).
    """

    def __init__(self, place: Path | str) -> None:
        text = str(place)
        remote = "://" in text
        if remote and not _REMOTE.fullmatch(text):
            raise ConfigError(
                f"not a place for datasets: {text!r}", hint="use a folder or s3://bucket/prefix"
            )
        self._place: Path | str = text.rstrip("/") if remote else Path(place)

    def connect(self) -> Any:
        """A connection; makes a local folder."""
        if isinstance(self._place, Path):
            self._place.mkdir(parents=True, exist_ok=True)
        return connect(self._place)

    def has(self, name: str) -> bool:
        """Whether the table is there; a local folder is not made."""
        folder = self.folder(name)
        return folder.is_dir() if folder else name in table_names(self.connect())

    def names(self) -> list[str]:
        """Names of all tables of the folder."""
        there = not isinstance(self._place, Path) or self._place.is_dir()
        return table_names(self.connect()) if there else []

    def folder(self, name: str) -> Path | None:
        """The table's own folder, where it has one."""
        return self._place / f"{name}.lance" if isinstance(self._place, Path) else None


def connect(root: Path | str) -> Any:
    """A LanceDB connection whose reads see at once what another process has written."""
    try:
        import lancedb
    except ImportError as error:
        raise MissingExtra("lancedb", "all") from error
    return lancedb.connect(root, read_consistency_interval=timedelta(0))


def opened(db: Any, name: str) -> Any:
    """The table; None where there is only its folder: a full disk or a kill broke its making off."""
    try:
        return db.open_table(name)
    except ValueError as error:
        if "was not found" not in str(error):
            raise
        return None


def unusable(what: str, error: Exception, hint: str) -> StateError:
    """An error of Lance as ours."""
    if "os error 28" in str(error):  # ENOSPC
        return StateError(
            f"the disk is full: {what} cannot be written", hint="free some space, then sync again"
        )
    return StateError(f"{what} cannot be used: {str(error)[:300]}", hint=hint)


def table_names(db: Any) -> list[str]:
    """Every table of the folder."""
    names: list[str] = []
    page = None
    while True:
        answer = db.list_tables(page_token=page)
        names += answer.tables
        page = answer.page_token
        if not page:
            return names
