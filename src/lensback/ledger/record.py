"""News -> events -> entries, in one transaction: idempotent, and in whatever order they come.

An event is added once (its digest is unique). Then the sale's balances are computed from all its
events, and what is missing is posted as one more balanced transaction. Nothing is ever changed.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, tuple_, update

from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import PostbackError
from lensback.ledger import corrections, holds, reasons, seals, sold
from lensback.ledger.corrections import Click
from lensback.ledger.expected import (
    RULES,
    ExpectedSale,
    believed,
    booked_for,
    decision_event,
    differences,
    expected_sales,
    readable_sales,
)
from lensback.ledger.holds import Cause, SaleFacts
from lensback.ledger.sale import (
    Accounts,
    checked,
    digest,
    state_of,
    tells,
)
from lensback.types import Conversion, Converter, Money

Key = tuple[str, str, str]

_EMPTY = {
    "subid": "",
    "status": "pending",
    "currency": "",
    "commission_minor": 0,
    "cashback_minor": 0,
    "paid_out_minor": 0,
    "order_id": "",
    "order_currency": "",
    "reason": "",
    "reason_text": "",
    "store": "",
    "review": "",
    "review_code": "",
    "review_text": "",
    "rules": RULES,
}


@dataclass(slots=True)
class Recorded:
    """What became of a batch of news."""

    new: int = 0
    repeated: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


def record(
    db: Database,
    news: Sequence[Conversion],
    *,
    at: int,
    source: str,
    rates: Converter | None = None,
) -> Recorded:
    """Records what a network told, in transactions of at most 500. Sales whose amounts are of two
    currencies are looked at by `rates`."""
    total = Recorded()
    for part in chunks(news):
        good, refused = _sorted_out(part, at)
        with seals.writing(db, at) as c:
            done = record_in(db, c, [(one, at, source) for one in good], rates)
        total.new += done.new
        total.repeated += done.repeated
        total.rejected += done.rejected + refused
    return total


def observe(
    db: Database, news: Sequence[Conversion], *, at: int, rates: Converter | None = None
) -> Recorded:
    """Records what a network's report shows at the time `at`, in transactions of at most 500.

    A report tells how things are now. So a row that tells nothing new is no news. One that does
    stands where its time of change puts it; where the network gives none, or the one we know
    already, it stands behind everything known: amounts are raised and declines taken back so.
    """
    total = Recorded()
    for part in chunks(news):
        with seals.writing(db, at) as c:
            fresh, known, refused = _changes(c, part, at)
            done = record_in(db, c, [(one, at, "poll") for one in fresh], rates)
        total.new += done.new
        total.repeated += done.repeated + known
        total.rejected += done.rejected + refused
    return total


def _changes(
    c: Connection, news: Iterable[Conversion], at: int
) -> tuple[list[Conversion], int, Counter[str]]:
    """The news that change what is known, how many do not, and those that make no sense."""
    clean, refused = _sorted_out(news, at)
    told = known_news(c, {(one.network, one.external_id, one.item) for one in clean})
    fresh: list[Conversion] = []
    for one in clean:
        rows = told[one.network, one.external_id, one.item, one.part]
        state = state_of(rows)
        if rows and not tells(state, one):
            continue
        when = one.changed_at
        pending = one.status == "pending"
        if when is None or (_told_anew(one, rows) and not pending):
            when = max(at, (state.changed_at or 0) + 1)  # a tie would be decided by the status
        news_now = replace(one, changed_at=when)
        if pending and rows:
            then = state_of([*rows, news_now])
            if replace(then, changed_at=state.changed_at) == state:
                continue  # a report that lags behind a call
        rows.append(news_now)
        fresh.append(news_now)
    return fresh, len(clean) - len(fresh), refused


def _sorted_out(news: Iterable[Conversion], at: int) -> tuple[list[Conversion], Counter[str]]:
    """The news that can be believed at the time `at`, and how many cannot, by reason."""
    clean: list[Conversion] = []
    refused: Counter[str] = Counter()
    for one in news:
        try:
            clean.append(checked(one, at=at))
        except PostbackError as error:
            refused[error.message] += 1
    return clean, refused


def _told_anew(one: Conversion, rows: Sequence[Conversion]) -> bool:
    """Whether the network's time of change is one that we know, of other news: it did not touch it.
    The same news at the same time are no change but an old page of a report."""
    known = [row for row in rows if row.changed_at == one.changed_at]
    return bool(known) and all(
        (row.status, row.commission) != (one.status, one.commission) for row in known
    )


def known_news(
    c: Connection, wanted: set[Key]
) -> defaultdict[tuple[str, str, str, str], list[Conversion]]:
    """What is known of each part of these sales, by network, external id, item and part."""
    v, e = t.conversions.c, t.conversion_events.c
    found: defaultdict[tuple[str, str, str, str], list[Conversion]] = defaultdict(list)
    for part in chunks(sorted(wanted), 300):
        where = tuple_(v.network, v.external_id, v.item).in_(part)
        joined = select(t.conversion_events, v.network, v.external_id, v.item).join(
            t.conversions, v.id == e.conversion_id
        )
        for row in c.execute(joined.where(where, e.kind == "news")).mappings():
            key = (row["network"], row["external_id"], row["item"], row["part"])
            found[key].append(believed(row))
    return found


def record_in(
    db: Database,
    c: Connection,
    news: Iterable[tuple[Conversion, int, str]],
    rates: Converter | None = None,
) -> Recorded:
    """Records what a network told within the caller's `seals.writing`; each of the news with its
    time and source."""
    done = Recorded()
    fresh: dict[str, tuple[Conversion, int, str]] = {}
    for one, at, source in news:
        try:
            clean = checked(one)
        except PostbackError as error:
            done.rejected[error.message] += 1
            continue
        if fresh.setdefault(digest(clean), (clean, at, source))[0] is not clean:
            done.repeated += 1
    for known in _known(c, list(fresh)):
        del fresh[known]
        done.repeated += 1
    if fresh:
        ids = _ids(db, c, [(one, at) for one, at, _ in fresh.values()])
        rows = [_event(ids, name, *one) for name, one in fresh.items()]
        db.upsert(c, t.conversion_events, rows, ["digest"])
        last = max(at for _, at, _ in fresh.values())
        settle(c, sorted(set(ids.values())), last, rates)
        done.new += len(fresh)
    return done


def settle(c: Connection, ids: Sequence[int], at: int, rates: Converter | None = None) -> None:
    """Brings rows and accounts of these sales to what their events tell, and sets those aside that
    have a cause (`holds`), the other sales that it concerns too."""
    parts = _booked(c, ids, at)
    concerned: set[int] = set()
    for sales in parts:
        concerned |= _hold(c, sales, at, rates)
    if rest := sorted(concerned - set(ids)):
        settle(c, rest, at, rates)


def renew(db: Database, *, at: int) -> int:
    """Books the sales anew that were booked by rules of before; how many there were. What was decided
    of them stays."""
    v, done = t.conversions.c, 0
    old = select(v.id).where(v.rules < RULES).order_by(v.id).limit(500)
    while True:
        with db.read() as c:
            ids = list(c.scalars(old))
        if not ids:
            return done
        with seals.writing(db, at) as c:
            _booked(c, ids, at)
        done += len(ids)


def rebook(db: Database, *, at: int) -> int:
    """Books the sales anew that are not as their events say, whoever wrote into the database; how many
    there were. What an event or a click holds stays as it is, and what cannot be read is left alone."""
    v, done, after = t.conversions.c, 0, seals.BEFORE_ALL
    query = select(t.conversions).order_by(v.id).limit(500)
    while True:
        with seals.writing(db, at) as c:
            rows = c.execute(query.where(v.id > after)).mappings().all()
            ids = [row["id"] for row in rows]
            expected, booked = readable_sales(c, ids), booked_for(c, ids)
            wrong = [
                row["id"]
                for row in rows
                if row["id"] in expected
                and any(differences(row, expected[row["id"]], booked[row["id"]]))
            ]
            _booked(c, wrong, at)
        done += len(wrong)
        if not rows:
            return done
        after = ids[-1]


def _booked(c: Connection, ids: Sequence[int], at: int) -> list[list[SaleFacts]]:
    """Posts what is missing for these sales, then for those that a correction among them is of, or was;
    by parts, those that may be set aside."""
    corrected: set[Click] = set()
    parts = [_book(c, part, at, corrected) for part in chunks(ids)]
    others = sorted(corrections.sales_of_clicks(c, corrected)) if corrected else []
    return parts + [_book(c, part, at, set()) for part in chunks(others)]


def _book(c: Connection, ids: Sequence[int], at: int, corrected: set[Click]) -> list[SaleFacts]:
    """Posts what is missing; the sales that may be set aside. Adds clicks with a correction, which there
    is now or was before, to `corrected`."""
    v = t.conversions.c
    rows = c.execute(select(t.conversions).where(v.id.in_(ids)).order_by(v.id)).mappings().all()
    expected, booked = expected_sales(c, ids), booked_for(c, ids)
    sold.keep(c, (now.click for now in expected.values() if now.click), at)
    changed: list[dict[str, Any]] = []
    postings: list[dict[str, Any]] = []
    for row in rows:
        now = expected[row["id"]]
        told = now.row
        if now.corrected or row["reason"] == reasons.CORRECTION:
            corrected |= {(row["network"], one["subid"]) for one in (row, told)}
        if any(row[name] != value for name, value in told.items()):
            changed.append({**told, "sale": row["id"]})
        postings += _posting(row["id"], now.accounts, booked[row["id"]], at)
    if changed:
        c.execute(update(t.conversions).where(v.id == bindparam("sale")), changed)
    if postings:
        c.execute(insert(t.entries), postings)
    return [
        _facts(row["id"], row["network"], row["external_id"], now)
        for row in rows
        if (now := expected[row["id"]]).review.state != "refused" and now.click_id is not None
    ]


def _hold(c: Connection, sales: Sequence[SaleFacts], at: int, rates: Converter | None) -> set[int]:
    """Adds the holds that are new and takes back those whose cause is gone; the other sales that
    this concerns."""
    found = holds.causes(c, [sale for sale in sales if sale.status != "declined"], rates)
    events, concerned = [], set[int]()
    for sale in sales:
        cause, code = found.get(sale.id), sale.review.code
        if (cause.code if cause else "") != code:
            events.append(_hold_event(sale, cause, at))
            concerned |= set(cause.others) if cause else set()
        if code == holds.TWO_NETWORKS and cause is None:
            concerned |= holds.partners(c, sale)
    if events:
        c.execute(insert(t.conversion_events), events)
        _book(c, [event["conversion_id"] for event in events], at, set())
    return concerned


def _facts(key: int, network: str, external_id: str, one: ExpectedSale) -> SaleFacts:
    sale = one.sale
    value = sale.order_value or Money(0, "")
    order = sale.order_id
    return SaleFacts(
        key,
        network,
        external_id,
        sale.status,
        one.store,
        order,
        sale.commission,
        value,
        one.terms,
        one.review,
    )


def _hold_event(sale: SaleFacts, cause: Cause | None, at: int) -> dict[str, Any]:
    if cause:
        return decision_event("hold", sale.id, cause.code, cause.text, at, "rule")
    return decision_event("release", sale.id, sale.review.code, "its cause is gone", at, "rule")


def _posting(key: int, wanted: Accounts, booked: Accounts, at: int) -> list[dict[str, Any]]:
    """One balanced transaction: what is wanted less what is held."""
    name = secrets.token_hex(12)
    missing = {k: wanted[k] - booked[k] for k in sorted({*wanted, *booked})}
    return [
        {
            "transaction_id": name,
            "conversion_id": key,
            "account": account,
            "currency": currency,
            "minor": minor,
            "at": at,
        }
        for (account, currency), minor in missing.items()
        if minor
    ]


def _known(c: Connection, digests: list[str]) -> list[str]:
    column = t.conversion_events.c.digest
    return [
        name
        for part in chunks(digests)
        for name in c.scalars(select(column).where(column.in_(part)))
    ]


def _ids(db: Database, c: Connection, news: Iterable[tuple[Conversion, int]]) -> dict[Key, int]:
    """Database ids of the sales; a row for each that is not there yet."""
    first = {(n.network, n.external_id, n.item): at for n, at in reversed(list(news))}
    rows = [
        {"network": key[0], "external_id": key[1], "item": key[2], **_EMPTY}
        | {"first_at": at, "updated_at": at}
        for key, at in sorted(first.items())
    ]
    db.upsert(c, t.conversions, rows, ["network", "external_id", "item"])
    v = t.conversions.c
    found: dict[Key, int] = {}
    for part in chunks(sorted(first), 300):
        where = tuple_(v.network, v.external_id, v.item).in_(part)
        for row in c.execute(select(v.id, v.network, v.external_id, v.item).where(where)):
            found[row.network, row.external_id, row.item] = row.id
    return found


def _event(
    ids: Mapping[Key, int], name: str, news: Conversion, at: int, source: str
) -> dict[str, Any]:
    commission, value = news.commission, news.order_value
    return {
        "digest": name,
        "conversion_id": ids[news.network, news.external_id, news.item],
        "kind": "news",
        "part": news.part,
        "status": news.status,
        "subid": news.subid,
        "commission_minor": commission.minor if commission else None,
        "commission_currency": commission.currency if commission else "",
        "order_value_minor": value.minor if value else None,
        "order_currency": value.currency if value else "",
        "order_id": news.order_id,
        "reason": news.reason,
        "ordered_at": news.ordered_at,
        "changed_at": news.changed_at,
        "source": source[:20],
        "received_at": at,
    }
