"""A thousand stores on loopback, three syncs: `python bench/thousand_stores.py [--stores N]`.

First everything is new, then nothing changed, then one offer in a hundred has another price. One
store in twenty is broken, each in another way (`broken_web.WAYS`), some are slow, some lead into
private networks. Each sync is a process of its own and runs the ingest stage; after each, the
catalogue is held against what the good stores sell, offer by offer and price by price.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from lensback.catalogue import stores
from lensback.db import tables as t
from lensback.sync import sync
from lensback.types import Money
from lensback.workspace import Workspace, init, open_workspace
from rig import arguments, child, memory_mb, write

# Of the tests, in whose folder `rig` lets us look.
from broken_web import Shop, Web  # type: ignore[import-not-found,unused-ignore]  # isort: skip

SETTINGS = {
    "LENSBACK_ALLOW_HOSTS": "127.0.0.0/8",
    "LENSBACK_TIMEOUT_S": "10",
    "LENSBACK_MAX_FEED_BYTES": str(64 << 20),
    "LENSBACK_FEED_BUDGET_S": "120",
}
CURRENCIES = ("RUB", "EUR", "EUR", "EUR", "GBP", "EUR", "EUR", "EUR", "RUB", "EUR")
"""Of the formats of `broken_web`, in their order."""


def one(folder: Path) -> None:
    """One sync; prints its figures."""
    begin = time.perf_counter()
    with open_workspace(folder) as workspace:
        began_at = time.time()
        report = sync(workspace, only="ingest")
        figures = _written(workspace, began_at)
    notes = [tally.notes for tally in report.tallies]
    figures |= {
        "seconds": round(time.perf_counter() - begin, 1),
        "cpu_s": round(time.process_time(), 1),
        "peak_mb": round(memory_mb(field="VmHWM")),  # of this process alone
        "stores_read": sum("changed" in note for note in notes),
        "stores_unchanged": sum(note.get("feed") == "unchanged" for note in notes),
        "stores_failed": len(report.failed),
        "stores_left_alone": len(report.skipped),
    }
    print(json.dumps(figures))


def _written(workspace: Workspace, began_at: float) -> dict[str, Any]:
    r = t.feed_runs.c
    ours = r.started_at >= int(began_at)
    good = ours & r.status.in_(("ok", "unchanged"))
    with workspace.db.read() as c:
        total = c.execute(select(func.sum(r.changed), func.sum(r.removed)).where(ours)).one()
        last = c.execute(select(func.max(r.finished_at)).where(good)).scalar() or 0
        prices = c.execute(select(func.count()).select_from(t.prices)).scalar()
    return {
        "offers_written": int(total[0] or 0),
        "offers_taken_off_sale": int(total[1] or 0),
        "price_history_rows_so_far": prices,
        "last_good_store_after_s": round(max(0.0, last - began_at)),
    }


def synced(folder: Path, web: Web) -> dict[str, Any]:
    """One sync in a process of its own, with what the web saw of it."""
    requests, size = sum(web.requests.values()), web.bytes
    figures = child(__file__, "--one", folder, **SETTINGS)
    return {
        **figures,
        "requests": sum(web.requests.values()) - requests,
        "mb_sent": round((web.bytes - size) / 1e6, 1),
    }


def differences(folder: Path, web: Web) -> list[str]:
    """Good stores whose offers on sale are not exactly those of their feed, and broken ones that
    have others than what was whole in theirs. Must be none."""
    o, wrong = t.offers.c, list[str]()
    query = select(o.external_id, o.price_minor, o.currency).join(t.stores).where(o.active)
    with open_workspace(folder) as workspace, workspace.db.read() as c:
        for shop in web.shops:
            rows = c.execute(query.where(t.stores.c.name == shop.name)).all()
            found = {tuple(row) for row in rows}
            wanted = _wanted(web, shop)
            if found != wanted and not (shop.way in HALF and found < wanted):
                wrong.append(f"{shop.name} {shop.way}: {len(found)}, not {len(wanted)}")
    return wrong


HALF = ("cut xml", "gzip cut")
"""What was whole in a feed that breaks off is kept."""


def _wanted(web: Web, shop: Shop) -> set[tuple[str, int, str]]:
    if shop.way:
        return {(str(n), 500, "EUR") for n in range(500)} if shop.way in HALF else set()
    code = CURRENCIES[shop.number % len(CURRENCIES)]
    return {(key, Money.of(Decimal(price), code).minor, code) for key, _, price in web.rows(shop)}


def main() -> None:
    parser = arguments(__doc__, stores=1000, folder=None)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one)
        return
    n = options.stores
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as temporary,
        Web(n, n // 20) as web,
    ):
        folder = Path(temporary) / "workspace"
        init(folder)
        with open_workspace(folder) as workspace:
            for shop in web.shops:
                stores.add(workspace.db, shop.name, web.url(shop))
        good = [shop for shop in web.shops if not shop.way]
        figures: dict[str, Any] = {
            "stores": n,
            "broken": n - len(good),
            "slow": sum(shop.slow for shop in good),
            "offers": sum(shop.offers for shop in good),
            "settings": SETTINGS,
            "load_of_the_machine": os.getloadavg()[0],
        }
        for name, version in (("first", 0), ("unchanged", 0), ("one_percent", 1)):
            web.version = version
            for shop in good:
                web.body(shop)
            if version:
                figures["offers_changed_at_the_stores"] = web.changed()
            figures[name] = {**synced(folder, web), "stores_that_differ": differences(folder, web)}
            print(name, figures[name], file=sys.stderr)
        figures["what_became_of_the_broken"] = _told(folder, web)
    write("thousand_stores", figures, options.out)


def _told(folder: Path, web: Web) -> dict[str, str]:
    """How a store is broken -> status and message that the operator reads."""
    with open_workspace(folder) as workspace:
        states = {state.name: state for state in stores.overview(workspace.db)}
    return {
        shop.way: f"{states[shop.name].status}: {states[shop.name].message[:160]}"
        for shop in web.shops
        if shop.way
    }


if __name__ == "__main__":
    main()
