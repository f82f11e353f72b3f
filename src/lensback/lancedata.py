"""Opening Lance datasets; who writes what into them is the business of `vectors` and `indexes`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from lensback.errors import MissingExtra


def connect(root: Path) -> Any:
    """A LanceDB connection whose reads see at once what another process has written."""
    try:
        import lancedb
    except ImportError as error:
        raise MissingExtra("lancedb", "all") from error
    return lancedb.connect(root, read_consistency_interval=timedelta(0))


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
