"""A seal covers the seals up to itself: their times and where they end"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

from lensback.db.chain import SEALED, Chain

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    column = sa.Column("last_seal", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("seals", column)  # not in batch: SQLite would copy the table
    _seal_over_those_of_before()


def _seal_over_those_of_before() -> None:
    """One seal vouches for the times of all seals so far. Of one that stands alone nothing hangs."""
    bind = op.get_bind()
    last = (
        bind.execute(sa.text("SELECT * FROM seals ORDER BY number DESC LIMIT 1")).mappings().first()
    )
    if last is None or last["number"] <= 1:
        return
    number = last["number"] + 1
    own = {**last, "number": number, "added": 0, "at": int(time.time()), "last_seal": number}
    columns = SEALED["seals"]
    chain = Chain(last["hash"])
    query = sa.text(f"SELECT {', '.join(columns)} FROM seals WHERE number > 0 ORDER BY number")  # noqa: S608 - our own names
    chain.add("seals", (list(row) for row in bind.execute(query)))
    chain.add("seals", [[own[name] for name in columns]])
    own["hash"] = chain.seal()
    names = ", ".join(own)
    values = ", ".join(f":{name}" for name in own)
    bind.execute(sa.text(f"INSERT INTO seals ({names}) VALUES ({values})"), own)  # noqa: S608 - our own names
