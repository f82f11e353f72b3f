"""How much disk each thing takes: `python bench/disk_growth.py [--offers 20000] [--clicks 5000]`.

A feed of generated offers (as long as real ones: a title, 300 characters of description, three sizes a
thing, one picture's address) is read; each price changes once; then clicks with the terms of a program,
searches of twelve hits each, and sales. After each step SQLite's file is written anew and measured.
Pictures, vectors and rows of the index are those of the demo's two stores.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from lensback import ledger
from lensback.catalogue import named, stores
from lensback.settings import Settings
from lensback.showcase import showcase
from lensback.sync import sync
from lensback.types import Conversion, Money
from lensback.workspace import Workspace, init
from rig import arguments, write

HITS = 12


def feed(path: Path, offers: int, cents: int) -> None:
    """A table of offers, three sizes a thing."""
    words = "A shirt of washed cotton with a small collar, buttons of shell, and a long back. " * 4
    lines = ["id,title,link,price,image_link,description,product_type,size,item_group_id,brand"]
    for n in range(offers):
        thing = n // 3
        address = f"https://harbour.example/things/shirt-of-washed-cotton-{thing}"
        lines.append(
            f"h{n},Shirt of washed cotton in colour {thing},{address}?size={n % 3},{thing % 90 + 9}.{cents:02} EUR,"
            f'https://images.harbour.example/shirts/{thing}.jpg,"{words[:300]}",Men > Shirts > Casual,{"SML"[n % 3]},g{thing},Harbour'
        )
    path.write_text("\n".join(lines) + "\n")


def size(workspace: Workspace) -> int:
    """Bytes of the database, written anew."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "copy.db"
        with closing(sqlite3.connect(workspace.path / "catalogue.db")) as c:
            c.execute("VACUUM INTO ?", (str(copy),))
        return copy.stat().st_size


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    given = arguments(__doc__, offers=20_000, clicks=5_000, name="disk_growth").parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        init(root / "w")
        feed(root / "feed.csv", given.offers, 50)
        with Workspace(root / "w", Settings(encoder="pixels", max_drop=1)) as workspace:
            empty = size(workspace)
            stores.add(workspace.db, "harbour", str(root / "feed.csv"))
            report = sync(workspace, only="ingest")
            assert not report.failed, report.failed
            last = size(workspace)
            figures["offer"] = (last - empty) / given.offers
            feed(root / "feed.csv", given.offers, 75)
            sync(workspace, only="ingest")
            now = size(workspace)
            figures["change of a price"] = (now - last) / given.offers
            some = list(named.every(workspace.db, "harbour", sold_only=True))[:100]
            terms = {"network": "awin", "domains": ["harbour.example"], "share": 0.6, "rates": [{"percent": 8.5}, {"percent": 2}]}  # fmt: skip
            last, at = now, int(time.time())
            clicks = [ledger.new_click_id() for _ in range(given.clicks)]
            for n, click in enumerate(clicks):
                body = ledger.click_body(click, some[n % 100], at=at, source="go", search_id=click, user_token=f"member-{n % 900:08}", network="awin", program_id="1", terms=terms)  # fmt: skip
                workspace.journal.append("click", body, durable=False)
            workspace.drain()
            now = size(workspace)
            figures["click"] = (now - last) / given.clicks
            last = now
            ids = [each.offer_id for each in some[:2]]
            hits = [["p" * 22, ids, rank, 0.4321, False, "h" * 16] for rank in range(HITS)]
            region = [0.1234] * 4
            photo = {
                "width": 1000,
                "height": 1300,
                "region_share": 0.5,
                "calibrated": True,
                "regions": 4,
                "total": 60,
                "region": region,
                "things": [[*region, "top", 0.8123]] * 4,
            }
            for click in clicks:
                body = {"search_id": click, "at": at, "source": "page", "encoder": "f" * 16, "snapshot": "s" * 22, "verdict": "similar", "probability": 0.4321, "similarity": 0.8123, "latency_ms": 53.0, "shown": HITS, "hits": hits, "filters": {}, "photo": photo, "variant": ""}  # fmt: skip
                workspace.journal.append("search", body, durable=False)
            workspace.drain()
            now = size(workspace)
            figures["search"] = (now - last) / given.clicks
            last = now
            sale = Conversion(
                "awin", "", "pending", subid="", commission=Money(500, "EUR"), changed_at=at
            )
            sold = clicks[: given.clicks // 10]
            for state in ("pending", "approved"):
                news = [replace(sale, external_id=f"{n}", status=state, subid=c, changed_at=at + len(state)) for n, c in enumerate(sold)]  # fmt: skip
                ledger.record(workspace.db, news, at=at, source="postback")
            figures["sale, told of twice"] = (size(workspace) - last) / len(sold)
        showcase(root / "demo", watch=lambda _stage: lambda _done, _total: None)
        pictures = len([p for p in (root / "demo" / "images").rglob("*") if len(p.stem) == 64])
        for part in ("images", "vectors", "index"):
            figures[f"{part}, of a picture"] = folder_bytes(root / "demo" / part) / pictures
    shown = {what: round(value) for what, value in figures.items()}
    write(
        given.name,
        {"offers": given.offers, "clicks": given.clicks, "pictures": pictures, "bytes": shown},
    )
    for what, value in shown.items():
        print(f"{what}: {value} bytes")


if __name__ == "__main__":
    main()
