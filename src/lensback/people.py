"""A person's data: given out, erased, and let go when its time is over. The money stays.

A person is an opaque token of the host service. It stands with clicks, and through them with the
searches they came from; what a sale paid, and to which click, is kept without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, or_, select, update

from lensback import grants, ledger
from lensback.catalogue.saved import forget, saved_by
from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import Busy
from lensback.ledger import claims

DAY_S = 86_400
UNUSED_S = DAY_S
"""How long the vectors of an answer are kept that nobody voted on and no member left for a store from."""
WAIT_S = 20.0
"""How long `erase` waits for a serve that runs to hand over what it has written down just now."""
BATCH = 2000
SETTLED = ("paid", "declined")
_VOTE = [column for column in t.feedback.c if column.name != "voter"]


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased of one person, by kind."""

    clicks: int
    searches: int
    votes: int
    photos: int
    passes: int
    saved: int
    vectors: int = 0
    """Searches whose vectors were kept to learn from."""

    def as_json(self) -> dict[str, int]:
        """The counts as `user erase --json` prints them."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Outdated:
    """What was let go because its time was over."""

    clicks: int
    anonymous: int
    """Clicks with a sale: they stay for the money, without the person."""
    searches: int
    vectors: int = 0
    """Of answers that nothing came of (UNUSED_S), beside those that went with their search."""


def data_of(db: Database, folder: Path, token: str, now: int) -> dict[str, Any]:
    """Everything that is kept of a user, as JSON: sales, claims, clicks, the searches they came from,
    votes on them, which of them have vectors to learn from, saved things, passes, and the names of kept photos."""
    k, s, f, kept = t.clicks.c, t.searches.c, t.feedback.c, t.searched_vectors.c
    own_votes = f.voter == grants.owner_of(folder, token)
    with db.read() as c:
        clicks = [
            {name: value for name, value in row.items() if name != "salt"}
            for row in c.execute(
                select(t.clicks).where(k.user_token == token).order_by(k.at)
            ).mappings()
        ]
        claimed = claims.of_clicks(c, [row["click_id"] for row in clicks])
        things = saved_by(c, token)
        searches, votes = [], []
        learnt: list[str] = []
        voted = c.scalars(select(f.search_id).where(own_votes))
        ids = {row["search_id"] for row in clicks if row["search_id"]} | set(voted)
        for part in chunks(sorted(ids)):
            searches += [
                dict(row)
                for row in c.execute(select(t.searches).where(s.search_id.in_(part))).mappings()
            ]
            votes += [
                dict(row)
                for row in c.execute(select(*_VOTE).where(f.search_id.in_(part))).mappings()
            ]
            learnt += c.scalars(select(kept.search_id).where(kept.search_id.in_(part)))
    photos = [path.name for row in searches if (path := _photo(folder, row["search_id"])).exists()]
    own = grants.listed(db, owner=grants.owner_of(folder, token), now=now)
    return {
        "user": token,
        "cashback": ledger.sales_of(db, token, now=now),
        "clicks": clicks,
        "claims": [{"click_id": key, **claim} for key, claim in claimed.items()],
        "searches": searches,
        "votes": votes,
        "vectors": learnt,
        "saved": [
            {"product_id": one.product_id, "title": one.title, "saved_at": one.saved_at}
            for one in things
        ],
        "photos": photos,
        "passes": [grant.as_json() for grant in own],
    }


def erase(db: Database, folder: Path, token: str, now: int, drain: Callable[[], object]) -> Erased:
    """Takes the person out of clicks, searches, votes, their vectors, claims, saved things, kept photos, the journal
    and passes.
    Sales and what was paid stay, with nobody's name. Raises Busy where a serve keeps a click of the
    person to itself for too long."""
    _handed_over(folder, (token, grants.owner_of(folder, token)), drain)
    with db.write() as c:
        mine = t.clicks.c.user_token == token
        voted = t.feedback.c.voter == grants.owner_of(folder, token)
        own = [*c.scalars(select(t.clicks.c.search_id).where(mine)),
               *c.scalars(select(t.feedback.c.search_id).where(voted))]  # fmt: skip
        ids = sorted({text for text in own if text})
        claims.forget(c, c.scalars(select(t.clicks.c.click_id).where(mine)))
        things = forget(c, token)
        gone = update(t.clicks).where(mine).values(user_token="", salt="", search_id="", rank=None)
        clicks = c.execute(gone).rowcount
        searches = sum(
            c.execute(delete(t.searches).where(t.searches.c.search_id.in_(part))).rowcount
            for part in chunks(ids)
        )
        votes = sum(
            c.execute(delete(t.feedback).where(t.feedback.c.search_id.in_(part))).rowcount
            for part in chunks(ids)
        )
        vectors = sum(_drop_vectors(c, part) for part in chunks(ids))
    photos = 0
    for search_id in ids:
        path = _photo(folder, search_id)
        photos += path.exists()
        path.unlink(missing_ok=True)
    passes = grants.end_all(db, grants.owner_of(folder, token), now)
    db.scrub()
    return Erased(clicks, searches, votes, photos, passes, things, vectors)


def let_go(db: Database, now: int, *, search_days: int, click_days: int) -> Outdated:
    """Removes searches with their votes and vectors, and clicks, that are older than that; 0 days: keeps them. A
    click with a sale stays, without the person as soon as all of its sales are settled. Vectors of answers that
    nothing came of go after UNUSED_S."""
    clicks = anonymous = searches = 0
    k, v, s, f = t.clicks.c, t.conversions.c, t.searches.c, t.feedback.c
    if click_days:
        old = k.at < now - click_days * DAY_S
        sale = select(v.id).where(v.click_id == k.click_id)
        unsold = select(k.click_id).where(old, ~sale.exists())
        clicks = _in_parts(
            db,
            unsold,
            _drop_clicks,
        )
        waits = and_(
            v.status != "declined", or_(v.cashback_minor > v.paid_out_minor, v.review == "held")
        )
        open_sale = sale.where(or_(v.status.not_in(SETTLED), waits))
        sold = select(k.click_id).where(old, k.user_token != "", sale.exists(), ~open_sale.exists())
        nobody = update(t.clicks).values(user_token="", salt="", search_id="")

        def let_go_of(c: Connection, ids: list[str]) -> int:
            claims.forget(c, ids)
            return int(c.execute(nobody.where(k.click_id.in_(ids))).rowcount)

        anonymous = _in_parts(db, sold, let_go_of)
    if search_days:
        old_searches = select(s.search_id).where(s.at < now - search_days * DAY_S)
        searches = _in_parts(db, old_searches, _drop_searches)
        late = delete(t.feedback).where(f.at < now - search_days * DAY_S)
        with db.write() as c:
            c.execute(late)
    return Outdated(clicks, anonymous, searches, _in_parts(db, _unused(now), _drop_vectors))


def _unused(now: int) -> Select[Any]:
    """Searches whose vectors teach nothing: no member voted on their answer, or went from it to a store."""
    f, k, kept = t.feedback.c, t.clicks.c, t.searched_vectors.c
    voted = select(f.search_id).where(f.search_id == kept.search_id, f.voter != "")
    left = select(k.click_id).where(k.search_id == kept.search_id, k.user_token != "")
    old = kept.at < now - UNUSED_S
    return select(kept.search_id).where(old, ~voted.exists(), ~left.exists())


def _drop_clicks(c: Connection, ids: list[str]) -> int:
    claims.forget(c, ids)
    return int(c.execute(delete(t.clicks).where(t.clicks.c.click_id.in_(ids))).rowcount)


def _drop_vectors(c: Connection, ids: list[str]) -> int:
    own = t.searched_vectors.c.search_id.in_(ids)
    return int(c.execute(delete(t.searched_vectors).where(own)).rowcount)


def _drop_searches(c: Connection, ids: list[str]) -> int:
    _drop_vectors(c, ids)
    c.execute(delete(t.feedback).where(t.feedback.c.search_id.in_(ids)))
    return int(c.execute(delete(t.searches).where(t.searches.c.search_id.in_(ids))).rowcount)


def _in_parts(
    db: Database, wanted: Select[Any], work: Callable[[Connection, list[str]], int]
) -> int:
    """Small transactions, so that nobody waits for a large one."""
    done = 0
    while True:
        with db.write() as c:
            ids = list(c.scalars(wanted.limit(BATCH)))
            done += sum(work(c, part) for part in chunks(ids))
        if len(ids) < BATCH:
            return done


def _photo(folder: Path, search_id: str) -> Path:
    return folder / "photos" / f"{search_id}.jpg"


def _handed_over(folder: Path, names: Iterable[str], drain: Callable[[], object]) -> None:
    """Waits until no file of the journal names the person: a process that runs brings its own into
    the database every second."""
    end, wanted = time.monotonic() + WAIT_S, [f'"{name}"'.encode() for name in names]
    while True:
        drain()
        written = [_bytes(path) for path in (folder / "journal").glob("*.log")]
        if not any(name in text for name in wanted for text in written):
            return
        if time.monotonic() > end:
            raise Busy("the journal still names this user", hint="try again, or stop serve first")
        time.sleep(0.2)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # drained meanwhile
        return b""
