"""The customer's report: one run, the live use, and what both mean in money, brought together.

`page` turns it into HTML; here nothing is laid out and nothing is put into words.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import StateError
from lensback.evaluate import runs
from lensback.evaluate.business import Business, OfferPrices, reckon
from lensback.evaluate.inputs import GIVEN, MEASURED, Assumptions
from lensback.evaluate.runs import Run
from lensback.evaluate.usage import Usage, usage
from lensback.evaluate.verdict import Verdict, judge
from lensback.types import Money
from lensback.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Wanted:
    """A report that is wanted."""

    given: Assumptions
    since: int | None = None
    """Unix seconds; None: all live use."""
    run: Path | None = None
    language: str = "en"
    title: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the page says."""

    run: Run | None
    usage: Usage | None
    business: Business
    verdict: Verdict
    given: Assumptions
    language: str
    title: str

    def as_json(self) -> dict[str, Any]:
        """Everything but the page itself, as `report --json` prints it."""
        return {
            "verdict": self.verdict.as_json(),
            "business": self.business.as_json(),
            "usage": self.usage.as_json() if self.usage else None,
            "run": {"name": self.run.name, "created_at": self.run.created_at} if self.run else None,
        }


def report(want: Wanted, workspace: Workspace | None) -> Report:
    """Judges the last evaluation and the ledger by the customer's own figures and rules.

    Raises BadQuery where the run cannot be read, StateError where there is nothing at all.
    """
    path = want.run or (workspace.path / runs.FOLDER if workspace else None)
    run = runs.read(path) if path and (want.run or (path / runs.RUN_FILE).exists()) else None
    seen = usage(workspace, want.since) if workspace else None
    if run is None and not (seen and seen.searches):
        raise StateError(
            "there is nothing to report on: no evaluation, and no searches yet",
            hint="run: lensback evaluate --workspace DIR --queries Q.csv",
        )
    on_sale = prices_of(workspace.db) if workspace else OfferPrices()
    outcomes = run.outcomes if run else ()
    business = reckon(outcomes, want.given, seen.funnel if seen else None, on_sale)
    verdict = judge(run, want.given.rules, settled(business))
    return Report(run, seen, business, verdict, want.given, want.language, want.title)


MONEY_INPUTS = ("sold", "order_value", "commission_rate", "cashback_share")


def settled(business: Business) -> tuple[float, float] | None:
    """What stays, where the inputs that make it are measured or the customer's; guesses of
    ours decide no verdict."""
    kinds = {each.name: each.kind for each in business.inputs}
    clicks = ("ordered",) if "ordered" in kinds else ("click_first", "order_right")
    own = all(kinds.get(name) in {MEASURED, GIVEN} for name in (*MONEY_INPUTS, *clicks))
    line = business.lines.get("stays")
    return (line.low, line.high) if own and line else None


def prices_of(db: Database) -> OfferPrices:
    """Prices on sale, one a product, in the most frequent currency."""
    o = t.offers.c
    query = (
        select(o.currency, func.min(o.price_minor).label("minor"))
        .where(o.active, o.product_id.is_not(None))
        .group_by(o.product_id, o.currency)
    )
    with db.read() as c:
        rows = c.execute(query).all()
    currency = next(iter(Counter(row.currency for row in rows).most_common(1)), ("", 0))[0]
    values = (Money(row.minor, currency).amount for row in rows if row.currency == currency)
    return OfferPrices(tuple(map(float, values)), currency)
