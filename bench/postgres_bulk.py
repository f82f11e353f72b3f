"""Offers written to SQLite, and to PostgreSQL by statements and by COPY.

    python bench/postgres_bulk.py [--offers 20000]

All offers are new, in batches of 1,000 as a sync writes them; a private PostgreSQL without fsync.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from lensback.catalogue import offers, stores
from lensback.db import Database, chunks, sqlite_url
from lensback.db import postgres as bulk
from lensback.types import Money, Offer
from rig import arguments, postgres, write


def some(count: int) -> list[Offer]:
    return [
        Offer(
            f"id{n}", f"Thing {n} of a good length", f"https://s.example/{n}", Money(100 + n, "EUR"),
            (f"https://s.example/{n}.jpg",), description="words " * 80, brand="Brand",
            color="red", category="A > B > C",
        )
        for n in range(count)
    ]  # fmt: skip


def per_s(url: str, rows: list[Offer]) -> float:
    """Offers a second."""
    db = Database(url)
    db.migrate()
    key = stores.add(db, "shop", "https://s.example").id
    begin = time.perf_counter()
    for part in chunks(rows, 1000):
        with db.write() as c:
            offers.write_batch(db, c, key, "shop", part, offers.SeenIds())
    spent_s = time.perf_counter() - begin
    db.close()
    return round(len(rows) / spent_s)


def main() -> None:
    asked = arguments(__doc__, offers=20_000).parse_args()
    rows = some(asked.offers)
    with postgres() as server, tempfile.TemporaryDirectory() as folder:
        figures = {"sqlite_per_s": per_s(sqlite_url(Path(folder, "x.db")), rows)}
        figures["postgresql_copy_per_s"] = per_s(server.url(server.database()), rows)
        bulk.COPY_ROWS = len(rows) + 1
        figures["postgresql_statements_per_s"] = per_s(server.url(server.database()), rows)
    write("postgres_bulk", {"offers": len(rows), **figures}, asked.out)


if __name__ == "__main__":
    main()
