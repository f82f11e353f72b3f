"""What a network has paid us, by the operator's word: many networks' reports do not tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select

from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import BadQuery, NotFound
from lensback.ledger.expected import OPERATOR, check_as_told
from lensback.ledger.record import known_news, record_in
from lensback.ledger.sale import state_of
from lensback.ledger.seals import writing
from lensback.types import Conversion, Converter, Money

_DECIDES = ("status", "currency", "commission_minor", "ordered_at", "first_at")
"""Columns of a sale that say whether it is among those of a statement, and with what."""


@dataclass(frozen=True, slots=True)
class Received:
    """What was marked as received from a network: commission by currency, of how many sales."""

    amounts: tuple[Money, ...]
    sales: int


def received(
    db: Database,
    network: str,
    *,
    until: int,
    at: int,
    expect: Collection[Money] | None = None,
    rates: Converter | None = None,
) -> Received:
    """Marks the approved sales of a network that were ordered before `until` (UTC epoch seconds) as
    paid to us, all or nothing: their cashback is payable then. `expect`: only where their commission
    is exactly this.

    Raises NotFound where no sale of the network is known, BadQuery where the sum is another one,
    StateError where one of the sales is not what its events say.
    """
    v = t.conversions.c
    ordered = func.coalesce(v.ordered_at, v.first_at)
    with writing(db, at) as c:
        if c.execute(select(v.id).where(v.network == network).limit(1)).first() is None:
            raise NotFound(
                f"no sale of {network[:40]!r} is known", hint="see lensback network list"
            )
        query = select(v.id, v.network, v.external_id, v.item, v.currency, v.commission_minor)
        query = query.where(v.network == network, v.status == "approved", ordered < until)
        rows = c.execute(query.order_by(v.id)).all()
        check_as_told(c, [row.id for row in rows], _DECIDES)
        sums: Counter[str] = Counter()
        for row in rows:
            sums[row.currency] += row.commission_minor
        amounts = tuple(Money(minor, name) for name, minor in sorted(sums.items()) if minor)
        if expect is not None and set(amounts) != set(expect):
            says = " and ".join(map(str, amounts)) or "nothing"
            raise BadQuery(
                f"the approved sales come to {says}; nothing was marked",
                hint="compare with the network's statement, perhaps with another --until",
            )
        for part in chunks(rows, 200):
            told = known_news(c, {(row.network, row.external_id, row.item) for row in part})
            news = [
                Conversion(*key[:2], "paid", item=key[2], part=key[3], changed_at=when)
                for key, news_of_part in sorted(told.items())
                if (state := state_of(news_of_part)).status == "approved"
                and (when := max(at, (state.changed_at or 0) + 1))
            ]
            record_in(db, c, [(one, at, OPERATOR) for one in news], rates)
    return Received(amounts, len(rows))
