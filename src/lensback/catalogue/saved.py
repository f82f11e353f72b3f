"""Things that people saved, and what became of them: cheaper, back in stock, sold out, gone.

An owner is a user of the host service (his opaque token) or a chat of the bot (`chat_of`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, delete, func, select, update

from lensback.catalogue import for_sale
from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import BadQuery
from lensback.types import Filter, Money

MOST = 200
"""Things of one owner."""
BATCH = 500
Reachable = Callable[[Sequence[for_sale.ForSale]], list[for_sale.ForSale]]
"""Leaves of some offers those that somebody can be sent to."""
_CHAT = re.compile(r"telegram:(-?\d{1,20})")


def owner_of_chat(chat_id: int) -> str:
    """The owner that a chat of the bot is; no user's token holds a colon."""
    return f"telegram:{chat_id}"


def chat_of(owner: str) -> int | None:
    """The chat that an owner is; None where it is a user."""
    found = _CHAT.fullmatch(owner)
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class SavedThing:
    """A product as it was when somebody saved it."""

    owner: str
    product_id: str
    title: str
    image: str
    """Hash of its picture, or empty."""
    price: Money
    here: bool
    """Whether it was in stock."""
    language: str
    """In which its owner read it."""
    saved_at: int
    """UTC epoch seconds."""
    told_price: Money
    """The lowest price that its owner knows of."""
    told_here: bool
    """Whether its owner knows it in stock."""


@dataclass(frozen=True, slots=True)
class ThingNow:
    """What is asked for a product now."""

    price: Money | None
    """The lowest of the offers in stock (of all, where none is) in the currency that it was saved in; None
    where no offer is in it. What nobody can be sent to counts only where there is nothing else."""
    here: bool
    on_sale: bool


@dataclass(frozen=True, slots=True)
class ThingNews:
    """A saved thing that became cheaper, or is there again."""

    thing: SavedThing
    kind: Literal["cheaper", "back"]
    price: Money

    @property
    def id(self) -> str:
        """What a receiver knows this piece of news by, however often it comes."""
        return f"{self.thing.product_id}-{self.thing.saved_at}-{self.kind}-{self.price.minor}"


def save(db: Database, thing: SavedThing) -> None:
    """Keeps a thing; one that is saved already stays as it was. Raises BadQuery beyond MOST."""
    s = t.saved_things.c
    with db.write() as c:
        mine = c.execute(select(s.product_id).where(s.owner == thing.owner)).scalars().all()
        if thing.product_id in mine:
            return
        if len(mine) >= MOST:
            raise BadQuery(f"{MOST} things are saved already", hint="take one away first")
        c.execute(t.saved_things.insert().values(**_row(thing)))


def drop(db: Database, owner: str, product_id: str) -> bool:
    """Forgets a thing; says whether it was saved."""
    s = t.saved_things.c
    with db.write() as c:
        gone = delete(t.saved_things).where(s.owner == owner, s.product_id == product_id)
        return bool(c.execute(gone).rowcount)


def of_owner(db: Database, owner: str) -> list[SavedThing]:
    """What somebody saved, the latest first."""
    with db.read() as c:
        return saved_by(c, owner)


def saved_by(c: Connection, owner: str) -> list[SavedThing]:
    """What somebody saved, the latest first, within a transaction of the caller."""
    s = t.saved_things.c
    query = select(t.saved_things).where(s.owner == owner)
    return [_thing(row) for row in c.execute(query.order_by(s.saved_at.desc(), s.product_id))]


def is_saved(db: Database, owner: str, product_id: str) -> bool:
    """Whether somebody saved this product."""
    s = t.saved_things.c
    with db.read() as c:
        query = select(func.count()).where(s.owner == owner, s.product_id == product_id)
        return bool(c.execute(query).scalar_one())


def forget(c: Connection, owner: str) -> int:
    """Takes away all that somebody saved; how many things that were."""
    return int(c.execute(delete(t.saved_things).where(t.saved_things.c.owner == owner)).rowcount)


def now_of(db: Database, things: Sequence[SavedThing], reachable: Reachable) -> dict[str, ThingNow]:
    """What became of products, by the id they were saved by; a later grouping may have given a product another
    one. Currencies are those of the things."""
    wanted = {thing.product_id: thing.price.currency for thing in things}
    renamed = _renamed(db, list(wanted))
    found: dict[str, ThingNow] = {}
    for part in chunks(list(wanted)):
        rows = for_sale.rows(db, [renamed.get(one, one) for one in part], Filter())
        reaching = {
            row.offer_id for row in reachable([row for each in rows.values() for row in each])
        }
        for one in part:
            found[one] = _now(rows.get(renamed.get(one, one), []), reaching, wanted[one])
    return found


def _renamed(db: Database, product_ids: Sequence[str]) -> dict[str, str]:
    """A product is called by one of its offers: where that one went to another product, that is it."""
    o = t.offers.c
    found = {}
    with db.read() as c:
        for part in chunks([one[1:] for one in product_ids]):
            query = select(o.offer_id, o.product_id).where(o.offer_id.in_(part), o.product_id != "")
            found.update({f"p{row.offer_id}": str(row.product_id) for row in c.execute(query)})
    return found


def _now(rows: Sequence[for_sale.ForSale], reaching: Collection[str], currency: str) -> ThingNow:
    within_reach = [row for row in rows if row.offer_id in reaching]
    here = [row for row in within_reach if row.availability == "in_stock"]
    prices = [row.price_minor for row in here or within_reach or rows if row.currency == currency]
    price = Money(min(prices), currency) if prices else None
    return ThingNow(price, bool(here), bool(rows))


def news(
    db: Database, reachable: Reachable, *, chats: bool, each: int = BATCH
) -> Iterator[tuple[list[ThingNews], list[SavedThing]]]:
    """News that are not told yet, in batches of the things of some owners: chats of the bot, or users. With
    each batch the things as they are to be remembered (`remember`) once its news are told."""
    s = t.saved_things.c
    last = ("", "")
    kind = s.owner.like("telegram:%")
    while True:
        beyond = (s.owner > last[0]) | ((s.owner == last[0]) & (s.product_id > last[1]))
        query = select(t.saved_things).where(kind if chats else ~kind, beyond)
        things = _page(db, query.order_by(s.owner, s.product_id).limit(each))
        if not things:
            return
        last = (things[-1].owner, things[-1].product_id)
        states = now_of(db, things, reachable)
        told = [_news(thing, states[thing.product_id]) for thing in things]
        changed = [_known(thing, states[thing.product_id]) for thing in things]
        yield (
            [one for one in told if one],
            [now for now, thing in zip(changed, things, strict=True) if now != thing],
        )


def _page(db: Database, query: Select[Any]) -> list[SavedThing]:
    with db.read() as c:
        return [_thing(row) for row in c.execute(query)]


def _news(thing: SavedThing, now: ThingNow) -> ThingNews | None:
    """One piece of news at most: that it is there again says the price, too."""
    if not now.here or now.price is None:
        return None
    if not thing.told_here:
        return ThingNews(thing, "back", now.price)
    return (
        ThingNews(thing, "cheaper", now.price) if now.price.minor < thing.told_price.minor else None
    )


def _known(thing: SavedThing, now: ThingNow) -> SavedThing:
    """The thing as its owner knows it after the news. A higher price is no news, and what falls from it to
    what was known before is none either."""
    lower = now.here and now.price is not None and now.price.minor < thing.told_price.minor
    return SavedThing(
        thing.owner, thing.product_id, thing.title, thing.image, thing.price, thing.here,
        thing.language, thing.saved_at, now.price if lower and now.price else thing.told_price, now.here,
    )  # fmt: skip


def remember(db: Database, things: Sequence[SavedThing]) -> None:
    """Writes down what the owners of these things know now."""
    s = t.saved_things.c
    with db.write() as c:
        for thing in things:
            mine = (s.owner == thing.owner) & (s.product_id == thing.product_id)
            known = {"told_minor": thing.told_price.minor, "told_here": thing.told_here}
            c.execute(update(t.saved_things).where(mine).values(known))


def _row(thing: SavedThing) -> dict[str, Any]:
    return {
        "owner": thing.owner,
        "product_id": thing.product_id,
        "title": thing.title,
        "image": thing.image,
        "price_minor": thing.price.minor,
        "currency": thing.price.currency,
        "here": thing.here,
        "language": thing.language,
        "saved_at": thing.saved_at,
        "told_minor": thing.told_price.minor,
        "told_here": thing.told_here,
    }


def _thing(row: Any) -> SavedThing:
    return SavedThing(
        owner=row.owner,
        product_id=row.product_id,
        title=row.title,
        image=row.image,
        price=Money(row.price_minor, row.currency),
        here=row.here,
        language=row.language,
        saved_at=row.saved_at,
        told_price=Money(row.told_minor, row.currency),
        told_here=row.told_here,
    )
