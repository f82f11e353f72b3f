"""The clicks that sales came from, as they stood when their network first told of a sale.

What a click decides of the money is copied once and sealed: its time, its network, its terms. Whose it
is stands there as a digest made with the click's salt. So a click that is given to somebody else later
is seen, and a person can be forgotten: with the salt gone, the digest says nothing of anybody.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from lensback.db import chunks
from lensback.db import tables as t

PART = 500


@dataclass(frozen=True, slots=True)
class SoldClick:
    """The click of a sale. `kept`: whether it is copied already."""

    click_id: str
    at: int
    network: str
    terms: Mapping[str, Any]
    store: str
    """As it is called now."""
    kept: bool


def new_salt() -> str:
    """What makes the digest of a click's user; 32 hex digits."""
    return secrets.token_hex(16)


def owner_of(user_token: str, salt: str) -> str:
    """The digest of a click's user, 64 hex digits; "" for nobody."""
    if not user_token:
        return ""
    return hashlib.blake2b(user_token.encode(), key=salt.encode(), digest_size=32).hexdigest()


def clicks_of(c: Connection, wanted: Iterable[str]) -> dict[str, SoldClick]:
    """The clicks with these ids: as they were copied, or as they are where they were not yet."""
    k, s = t.clicks.c, t.sold_clicks.c
    now = select(k.click_id, k.at, k.network, k.terms, k.store)
    found: dict[str, SoldClick] = {}
    for part in chunks(sorted(set(wanted))):
        there = {row.click_id: row for row in c.execute(now.where(k.click_id.in_(part)))}
        copied = c.execute(select(t.sold_clicks).where(s.click_id.in_(part))).all()
        for row in there.values():
            found[row.click_id] = SoldClick(*row, kept=False)
        for row in copied:
            store = there[row.click_id].store if row.click_id in there else ""
            found[row.click_id] = SoldClick(
                row.click_id, row.clicked_at, row.network, json.loads(row.terms), store, kept=True
            )
    return found


def keep(c: Connection, clicks: Iterable[SoldClick], at: int) -> None:
    """Copies the clicks that are not copied yet, within the caller's `seals.writing`."""
    k = t.clicks.c
    wanted = sorted({click.click_id for click in clicks if not click.kept})
    query = select(k.click_id, k.at, k.network, k.terms, k.user_token, k.salt)
    for part in chunks(wanted):
        rows = c.execute(query.where(k.click_id.in_(part)).order_by(k.click_id)).mappings().all()
        copies, salted = [], []
        for row in rows:
            salt = row["salt"]
            if row["user_token"] and not salt:  # a click of before there were salts
                salt = new_salt()
                salted.append({"click": row["click_id"], "new_salt": salt})
            copies.append(
                {
                    "click_id": row["click_id"],
                    "clicked_at": row["at"],
                    "network": row["network"],
                    "terms": _written(row["terms"]),
                    "owner": owner_of(row["user_token"], salt),
                    "at": at,
                }
            )
        if salted:
            mine = update(t.clicks).where(k.click_id == bindparam("click"))
            c.execute(mine.values(salt=bindparam("new_salt")), salted)
        c.execute(insert(t.sold_clicks), copies)


def differences(c: Connection) -> Iterator[str]:
    """What was changed of the clicks of sales since their sale was told: nothing where they stand as
    they stood, a person forgotten since."""
    s, k = t.sold_clicks.c, t.clicks.c
    now = (k.at.label("at_now"), k.network.label("network_now"), k.terms.label("terms_now"))
    query = (
        select(t.sold_clicks, *now, k.user_token, k.salt)
        .outerjoin(t.clicks, k.click_id == s.click_id)
        .order_by(s.id)
        .limit(PART)
    )
    after = -1 << 63
    while rows := c.execute(query.where(s.id > after)).mappings().all():
        for row in rows:
            if what := _changed(row):
                yield f"click {row['click_id']} of a sale {what}"
        after = rows[-1]["id"]


def given_away(c: Connection, user_token: str) -> list[str]:
    """The clicks of sales that stand under this user's token and were another's when their sale was
    told."""
    s, k = t.sold_clicks.c, t.clicks.c
    query = select(k.click_id, k.salt, s.owner).join(t.clicks, k.click_id == s.click_id)
    rows = c.execute(query.where(k.user_token == user_token).order_by(k.click_id))
    return [row.click_id for row in rows if owner_of(user_token, row.salt) != row.owner]


def _changed(row: RowMapping) -> str:
    if row["user_token"] is None:
        return "is lost"
    if row["user_token"] and owner_of(row["user_token"], row["salt"]) != row["owner"]:
        return "is another user's now"
    told = (
        ("time", row["at_now"], row["clicked_at"]),
        ("network", row["network_now"], row["network"]),
        ("terms", _written(row["terms_now"]), row["terms"]),
    )
    wrong = [name for name, has, had in told if has != had]
    return f"was changed since: its {', '.join(wrong)}" if wrong else ""


def _written(terms: Mapping[str, Any]) -> str:
    return json.dumps(terms, sort_keys=True)
