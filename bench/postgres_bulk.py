"""Offers written to SQLite, and to PostgreSQL by statements and by COPY.

    python bench/postgres_bulk.py [--offers 20000]

All offers are new, in batches of 1,000 as a sync writes them; a private PostgreSQL without fsync.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from lensback.catalogue import offers, stores
from lensback.db import Database, chunks, postgres, sqlite_url
from lensback.types import Money, Offer
from record import write
from servers import Postgres  # type: ignore[import-not-found]


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
            offers.write_batch(db, c, key, "shop", part, offers.Seen())
    spent_s = time.perf_counter() - begin
    db.close()
    return round(len(rows) / spent_s)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--offers", type=int, default=20_000)
    rows = some(parser.parse_args().offers)
    server = Postgres()
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            figures = {"sqlite_per_s": per_s(sqlite_url(Path(folder, "x.db")), rows)}
        figures["postgresql_copy_per_s"] = per_s(server.url(server.database()), rows)
        postgres.COPY_ROWS = len(rows) + 1
        figures["postgresql_statements_per_s"] = per_s(server.url(server.database()), rows)
    finally:
        server.close()
    write("postgres_bulk", {"offers": len(rows), **figures})


if __name__ == "__main__":
    main()
