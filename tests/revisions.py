"""A database as an earlier version left it."""

from __future__ import annotations

from lensback import db as room
from lensback.db import Database


def database_at(revision: str, url: str) -> Database:
    """An empty catalogue of that revision; the caller writes rows of then into it and migrates it."""
    database = Database(url)
    with database._writing() as connection:
        room._upgrade(connection, revision)
        connection.commit()
    return database
