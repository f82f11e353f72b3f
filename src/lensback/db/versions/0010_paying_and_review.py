"""Payouts by reference, seals over the ledger, sales that are set aside"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from alembic import op

from lensback.db.chain import SEALED, Chain

revision = "0010"
down_revision = "0009"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

APPEND_ONLY = ("payouts", "seals")
SQLITE_GUARD = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""
PART = 5000


def upgrade() -> None:
    op.create_table(
        "payouts",
        sa.Column("id", KEY, nullable=False),
        sa.Column("reference", sa.String(120), nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("amounts", sa.Text(), nullable=False),
        sa.Column("sales", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payouts")),
        sa.UniqueConstraint("reference", name=op.f("uq_payouts_reference")),
    )
    op.create_table(
        "seals",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_event", sa.BigInteger(), nullable=False),
        sa.Column("last_entry", sa.BigInteger(), nullable=False),
        sa.Column("last_payout", sa.BigInteger(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_seals")),
    )
    # Not in batch: SQLite would copy the table, and what refers to it.
    for name, kind in (
        ("store", sa.String(80)),
        ("review", sa.String(10)),
        ("review_code", sa.String(20)),
        ("review_text", sa.Text()),
    ):
        op.add_column("conversions", sa.Column(name, kind, nullable=False, server_default=""))
    op.execute(
        "UPDATE conversions SET store = COALESCE((SELECT k.store FROM clicks k"
        " WHERE k.click_id = conversions.click_id), '')"
    )
    op.create_index(op.f("ix_conversions_store_id"), "conversions", ["store", "id"])
    op.create_index(op.f("ix_conversions_order_id"), "conversions", ["order_id"])
    op.create_index(op.f("ix_conversions_review"), "conversions", ["review"])
    _payouts_of_before()
    _attached_of_before()
    _first_seal()
    _guard()


def _payouts_of_before() -> None:
    """A row for each payment that was made so far. The same reference was good once for each user."""
    bind = op.get_bind()
    paid = bind.execute(
        sa.text(
            "SELECT e.order_id, k.user_token, e.commission_currency, SUM(e.commission_minor),"
            " COUNT(DISTINCT e.conversion_id), MIN(e.received_at) FROM conversion_events e"
            " JOIN conversions v ON v.id = e.conversion_id"
            " LEFT JOIN clicks k ON k.click_id = v.click_id WHERE e.kind = 'payout'"
            " GROUP BY e.order_id, k.user_token, e.commission_currency"
            " ORDER BY MIN(e.received_at), e.order_id, k.user_token, e.commission_currency"
        )
    ).all()
    payments: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for reference, user, currency, minor, sales, at in paid:
        payments[reference, user or ""].append((currency, int(minor), sales, at))
    used: set[str] = set()
    for (reference, user), parts in payments.items():
        name = reference if reference not in used else f"{reference} ({len(used)})"
        used.add(name)
        amounts = [[minor, currency] for currency, minor, _, _ in parts if minor > 0]
        bind.execute(
            sa.text(
                "INSERT INTO payouts (reference, request, amounts, sales, at)"
                " VALUES (:reference, :request, :amounts, :sales, :at)"
            ),
            {
                "reference": name,
                "request": _request(name, user),
                "amounts": json.dumps(amounts),
                "sales": sum(part[2] for part in parts),
                "at": min(part[3] for part in parts),
            },
        )


def _request(reference: str, user: str) -> str:
    """As `ledger/pay.py` names a request that says nothing but the user."""
    import hashlib

    said = json.dumps([reference, user, False, None])
    return hashlib.blake2b(said.encode(), digest_size=32).hexdigest()


def _attached_of_before() -> None:
    """From now on a network confirms only clicks that went through it. What was attached before
    stays so, and an event says that it was let through."""
    op.execute(
        "INSERT INTO conversion_events (digest, conversion_id, kind, part, status, subid,"
        " commission_minor, commission_currency, order_value_minor, order_currency, order_id, reason,"
        " ordered_at, changed_at, source, received_at)"
        " SELECT 'attached before 0010: ' || CAST(v.id AS VARCHAR(20)), v.id, 'release', '', '', '',"
        " NULL, '', NULL, '', 'other_network', 'attached before the rule', NULL, NULL, 'upgrade', v.updated_at"
        " FROM conversions v JOIN clicks k ON k.click_id = v.click_id"
        " WHERE k.network <> v.network ORDER BY v.id"
    )


def _first_seal() -> None:
    bind = op.get_bind()
    chain = Chain("")
    last = {}
    for table in ("conversion_events", "entries", "payouts"):
        columns, last[table] = SEALED[table], 0
        query = sa.text(
            f"SELECT {', '.join(columns)} FROM {table} WHERE id > :after ORDER BY id LIMIT {PART}"  # noqa: S608 - our own names
        )
        while rows := bind.execute(query, {"after": last[table]}).all():
            chain.add(table, (list(row) for row in rows))
            last[table] = rows[-1][0]
    bind.execute(
        sa.text(
            "INSERT INTO seals (number, last_event, last_entry, last_payout, added, hash, at)"
            " VALUES (1, :event, :entry, :payout, :added, :hash, :at)"
        ),
        {
            "event": last["conversion_events"],
            "entry": last["entries"],
            "payout": last["payouts"],
            "added": sum(chain.counts.values()),
            "hash": chain.seal(),
            "at": int(time.time()),
        },
    )


def _guard() -> None:
    """Nothing changes or takes away a row, not even a statement of ours."""
    for table in APPEND_ONLY:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "EXECUTE FUNCTION append_only()"
            )
            continue
        for verb in ("UPDATE", "DELETE"):
            op.execute(SQLITE_GUARD.format(table=table, verb=verb))
