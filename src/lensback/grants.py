"""What lets a browser in for a while: sessions of operators and passes of users, listed and ended.

Kept as digests: who reads the list cannot use it. Whose a pass is stands there as a digest, too, made
with the workspace's own key, so that it says nothing without the token.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import delete, select, update

from lensback import tokens
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import NotFound

PASS_S = 30 * 86_400
"""A pass is good for as long."""
SAME_S = 86_400
"""Within this a user gets the pass of before, so that a page that is opened often fills no list."""
SHOWN = 12
"""Characters of an id that are shown, and are enough to name it."""
MOST = 500

Kind = Literal["session", "pass"]


@dataclass(frozen=True, slots=True)
class Grant:
    """One session or pass. `name` is the key of a session; times are UTC epoch seconds."""

    id: str
    kind: Kind
    name: str
    made_at: int
    until: int
    ended_at: int | None

    def as_json(self) -> dict[str, Any]:
        """The grant as `grant list --json` prints it; the id is cut, so that it is a name only."""
        return {**asdict(self), "id": self.id[:SHOWN]}


def owner_of(folder: Path, token: str) -> str:
    """What stands for a user in the list: a keyed digest of the token."""
    return tokens.signature(tokens.own_key(folder), f"user {token}")


def give_session(db: Database, name: str, owner: str, now: int, seconds: int) -> str:
    """A new session of a key (`owner`: its hash); returns its secret, which is kept nowhere."""
    secret = tokens.new_secret()
    _add(db, tokens.digest(secret), "session", name, owner, now, now + seconds)
    return secret


def give_pass(db: Database, folder: Path, token: str, now: int) -> str:
    """A pass of a user: the one of before if it is fresh, else a new one."""
    own, owner, g = tokens.own_key(folder), owner_of(folder, token), t.grants.c
    fresh = select(g.until).where(g.owner == owner, g.kind == "pass", g.ended_at.is_(None))
    with db.read() as c:
        until = c.execute(
            fresh.where(g.made_at.between(now - SAME_S, now)).order_by(g.until.desc())
        ).scalar()
    if until is not None and until > now:
        return tokens.issued(own, token, int(until))
    text = tokens.issued(own, token, now + PASS_S)
    _add(db, tokens.digest(text), "pass", "", owner, now, now + PASS_S)
    return text


def owner_of_session(db: Database, secret: str, now: int) -> str:
    """The owner (hash of the key) of a session that is good now, else empty."""
    return _owner(db, "session", secret, now) if secret else ""


def is_good_pass(db: Database, folder: Path, text: str, token: str, now: int) -> bool:
    """Whether a pass, whose signature is right, is on the list and was not ended."""
    return tokens.same(_owner(db, "pass", text, now), owner_of(folder, token))


def listed(db: Database, *, owner: str = "", kind: str = "", now: int = 0) -> list[Grant]:
    """Grants that are good now, newest first, at most MOST; of one owner or one kind if said."""
    g = t.grants.c
    wanted = select(g.id, g.kind, g.name, g.made_at, g.until, g.ended_at)
    wanted = wanted.where(g.until > now, g.ended_at.is_(None))
    wanted = wanted.where(g.owner == owner) if owner else wanted
    wanted = wanted.where(g.kind == kind) if kind else wanted
    with db.read() as c:
        return [Grant(*row) for row in c.execute(wanted.order_by(g.made_at.desc()).limit(MOST))]


def end(db: Database, beginning: str, now: int) -> Grant:
    """Ends the one whose id begins so. Raises NotFound for none or several."""
    g = t.grants.c
    with db.write() as c:
        like = g.id.startswith(beginning, autoescape=True)
        found = c.execute(
            select(g.id, g.kind, g.name, g.made_at, g.until, g.ended_at).where(like).limit(2)
        ).all()
        if len(found) != 1 or len(beginning) < SHOWN:
            raise NotFound("no such session or pass", hint="see: lensback grant list")
        c.execute(update(t.grants).where(g.id == found[0].id).values(ended_at=now))
    return Grant(*found[0])


def end_session(db: Database, secret: str, now: int) -> None:
    """Ends a session: its secret is worth nothing any more, wherever it is kept."""
    with db.write() as c:
        mine = t.grants.c.id == tokens.digest(secret)
        c.execute(update(t.grants).where(mine).values(ended_at=now))


def end_all(db: Database, owner: str, now: int) -> int:
    """Ends every grant of one owner; says how many."""
    g = t.grants.c
    with db.write() as c:
        mine = update(t.grants).where(g.owner == owner, g.ended_at.is_(None))
        return int(c.execute(mine.values(ended_at=now)).rowcount)


def sweep(db: Database, now: int) -> int:
    """Forgets those whose time is over; says how many."""
    with db.write() as c:
        return int(c.execute(delete(t.grants).where(t.grants.c.until < now)).rowcount)


def _add(db: Database, key: str, kind: Kind, name: str, owner: str, now: int, until: int) -> None:
    row = {"id": key, "kind": kind, "name": name, "owner": owner, "made_at": now, "until": until}
    with db.write() as c:
        db.upsert(c, t.grants, [row], ["id"])


def _owner(db: Database, kind: Kind, secret: str, now: int) -> str:
    g = t.grants.c
    wanted = select(g.owner).where(g.id == tokens.digest(secret), g.kind == kind)
    with db.read() as c:
        found = c.execute(wanted.where(g.until >= now, g.ended_at.is_(None))).scalar()
    return str(found or "")
