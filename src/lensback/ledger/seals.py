"""The ledger is written by one at a time, and every transaction of it ends with a seal.

A seal hashes the one before it and all rows that were added since, so that a row which is lost or
changed anywhere shows. A ledger cut at its end has good seals: therefore the workspace remembers,
beside the database, how far it has come (`remember`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import Connection, insert, select, text

from lensback.counted import counted
from lensback.db import Database
from lensback.db import tables as t
from lensback.db.chain import SEALED, Chain
from lensback.durable import replace_file, what_mends
from lensback.errors import StateError

FILE_NAME = "ledger.seal"
"""In the workspace, and in no backup of the database: the last seal that was seen here."""
PART = 2000
BEFORE_ALL = -(1 << 63)
"""Smaller than every id: a row that somebody adds may have an id below the first."""
LAST = {
    "conversion_events": "last_event",
    "entries": "last_entry",
    "payouts": "last_payout",
    "sold_clicks": "last_click",
    "seals": "last_seal",
}
"""Table -> the seal's column of its last row; of seals, that is the seal itself. 0: it covers none."""
_ONE_AT_A_TIME = Lock()
"""Threads of a process would write one temporary file."""


@contextmanager
def writing(db: Database, at: int) -> Iterator[Connection]:
    """A transaction of the ledger: nobody else writes to it meanwhile, and it is sealed when the
    block ends. Raises what `Database.write` does."""
    with db.write() as c:
        if db.shared:  # SQLite has one writer anyway
            c.execute(text("LOCK TABLE seals IN EXCLUSIVE MODE"))
        yield c
        seal(c, at)


def seal(c: Connection, at: int) -> None:
    """Adds a seal over the rows since the last one; none where there are none."""
    last = dict(c.execute(_seals().limit(1)).mappings().one())
    chain, number = Chain(last["hash"]), last["number"] + 1
    for table, column in LAST.items():
        for rows in _parts(c, table, last[column]):
            chain.add(table, rows)
            last[column] = rows[-1][0]
    if added := _added(chain):
        said = {**last, "number": number, "added": added, "at": at, "last_seal": number}
        chain.add("seals", [[said[name] for name in SEALED["seals"]]])
        c.execute(insert(t.seals), [{**said, "hash": chain.seal()}])


def _added(chain: Chain) -> int:
    """The rows of the ledger that a seal covers; seals are none."""
    return sum(chain.counts.values()) - chain.counts["seals"]


def differences(c: Connection) -> Iterator[str]:
    """What is wrong between the seals and the rows: nothing where every row is as it was added."""
    rows = {table: _Ahead(c, table) for table in LAST}
    before, hash_before = 0, ""
    for one in _oldest_first(c):
        if one.number <= 0:
            yield f"there is a seal {one.number}, before the first"
            continue
        if one.number != before + 1:
            yield f"seals {before + 1} to {one.number - 1} are lost"
        chain = Chain(hash_before)
        for table, column in LAST.items():
            chain.add(table, rows[table].until(getattr(one, column)))
        if wrong := _wrong(one, chain, rows, follows=one.number == before + 1):
            yield f"seal {one.number} of {_day(one.at)}: {wrong}"
        before, hash_before = one.number, one.hash
    if not before:
        yield "the ledger has no seal"
    for table, ahead in rows.items():
        more = sum(1 for _ in ahead.until(None))
        if more and table != "seals":  # those of before cover no seal
            yield f"{counted(more, 'row')} of {table} added past the seals"


def remember(db: Database, folder: Path, *, accept_loss: bool = False) -> None:
    """Keeps the last seal beside the database, durable when this returns. What is kept there already
    stays where the database does not hold it, so that a loss is told until it is accepted. Raises
    StateError where the disk refuses."""
    path = folder / FILE_NAME
    with _ONE_AT_A_TIME:
        with db.read() as c:
            last = c.execute(_seals().limit(1)).mappings().one()
            lost = not accept_loss and forgotten(c, folder)
        told = {"number": last["number"], "hash": last["hash"], "at": last["at"]}
        if lost or _remembered(path) == told:
            return
        text = json.dumps(told) + "\n"
        try:
            replace_file(path, lambda file: file.write_text(text, "utf-8"), private=True)
        except OSError as error:
            message = f"cannot write {path}: {error.strerror}"
            raise StateError(message, hint=what_mends(error)) from error


def _wrong(one: Any, chain: Chain, rows: Mapping[str, _Ahead], *, follows: bool) -> str:
    """What is wrong between a seal and its rows; "" where nothing is. Where it does not follow the seal
    before it, its hash says nothing."""
    found = _added(chain)
    if found != one.added:
        return f"added: {counted(one.added, 'row')}, there: {found}"
    if follows and chain.seal() != one.hash:
        return "a row of it was changed"
    ends = all(getattr(one, column) == rows[table].last for table, column in LAST.items())
    return "" if ends else "where it ends was changed"


def _day(at: Any) -> str:
    """The day of a seal, in whatever way its time was changed."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
    except (OSError, OverflowError, TypeError, ValueError):
        return f"no day ({at!r})"


def forgotten(c: Connection, folder: Path) -> str:
    """What the workspace has seen and this database does not hold, in words; "" where nothing is
    missing, or nothing was remembered."""
    told = _remembered(folder / FILE_NAME)
    if told is None:
        return ""
    s = t.seals.c
    here = c.execute(select(s.hash).where(s.number == told["number"])).scalar()
    if here == told["hash"]:
        return ""
    last = c.execute(_seals().limit(1)).mappings().one()
    seen = f"{datetime.fromtimestamp(told['at'], UTC):%Y-%m-%d %H:%M} UTC"
    what = "another one" if here else f"the last one here is {last['number']}"
    return (
        f"this workspace has seen seal {told['number']} of {seen}, {what}: "
        "what was added until then is lost, payouts too (an older backup?)"
    )


def _remembered(path: Path) -> dict[str, Any] | None:
    try:
        told = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    good = isinstance(told, dict) and set(told) == {"number", "hash", "at"}
    return told if good and all(isinstance(told[name], int) for name in ("number", "at")) else None


def _seals() -> Any:
    return select(t.seals).order_by(t.seals.c.number.desc())


def _oldest_first(c: Connection) -> Iterator[Any]:
    s, after = t.seals.c, BEFORE_ALL
    query = select(t.seals).order_by(s.number).limit(PART)
    while rows := c.execute(query.where(s.number > after)).all():
        yield from rows
        after = rows[-1].number


def _parts(c: Connection, table: str, after: int) -> Iterator[list[list[Any]]]:
    """The sealed columns of all rows after one, by the first of them, in parts."""
    columns = [t.metadata.tables[table].c[name] for name in SEALED[table]]
    key = columns[0]
    wanted = select(*columns).order_by(key).limit(PART)
    while rows := [list(row) for row in c.execute(wanted.where(key > after))]:
        yield rows
        after = rows[-1][0]


class _Ahead:
    """Rows of a table in order, taken up to an id at a time."""

    def __init__(self, c: Connection, table: str) -> None:
        self._rows = (row for part in _parts(c, table, BEFORE_ALL) for row in part)
        self._next = next(self._rows, None)
        self.last = 0
        """The id of the row that was taken last."""

    def until(self, last: int | None) -> Iterator[list[Any]]:
        """The rows that were not taken yet, to this id; to the end where there is None."""
        end = last if last is None or isinstance(last, int) else BEFORE_ALL  # SQLite holds anything
        while self._next is not None and (end is None or self._next[0] <= end):
            self.last = self._next[0]
            yield self._next
            self._next = next(self._rows, None)
