"""Clicks, searches, conversions, the ledger"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

INDEXES = {
    "searches": ["at"],
    "clicks": ["at", "store", "search_id", "user_token"],
    "conversions": ["subid", "click_id"],
    "conversion_events": ["conversion_id"],
    "entries": ["transaction_id", "conversion_id"],
}

APPEND_ONLY = ("conversion_events", "entries")

FUNNEL = """
CREATE VIEW funnel AS
SELECT s.search_id, s.at AS searched_at, s.source, s.verdict, s.variant, s.encoder, s.shown,
       k.click_id, k.at AS clicked_at, k.store, k.network, k.rank,
       v.id AS conversion_id, v.status, v.currency, v.commission_minor, v.cashback_minor
FROM searches s
LEFT JOIN clicks k ON k.search_id = s.search_id
LEFT JOIN conversions v ON v.click_id = k.click_id
"""

BY_VERDICT = """
CREATE VIEW funnel_by_verdict AS
SELECT s.verdict, s.variant, s.encoder, COUNT(*) AS searches,
       SUM(CASE WHEN c.clicks > 0 THEN 1 ELSE 0 END) AS searches_clicked,
       COALESCE(SUM(c.clicks), 0) AS clicks,
       COALESCE(SUM(c.conversions), 0) AS conversions,
       COALESCE(SUM(c.approved), 0) AS approved
FROM searches s
LEFT JOIN (
    SELECT k.search_id, COUNT(DISTINCT k.click_id) AS clicks, COUNT(v.id) AS conversions,
           SUM(CASE WHEN v.status IN ('approved', 'paid') THEN 1 ELSE 0 END) AS approved
    FROM clicks k LEFT JOIN conversions v ON v.click_id = k.click_id
    GROUP BY k.search_id
) c ON c.search_id = s.search_id
GROUP BY s.verdict, s.variant, s.encoder
"""

BY_RANK = """
CREATE VIEW funnel_by_rank AS
SELECT s.verdict, r.rank, COUNT(*) AS shown,
       SUM(CASE WHEN c.clicks > 0 THEN 1 ELSE 0 END) AS searches_clicked,
       COALESCE(SUM(c.clicks), 0) AS clicks
FROM (SELECT DISTINCT rank FROM clicks WHERE rank IS NOT NULL) r
JOIN searches s ON s.shown >= r.rank
LEFT JOIN (
    SELECT search_id, rank, COUNT(*) AS clicks FROM clicks GROUP BY search_id, rank
) c ON c.search_id = s.search_id AND c.rank = r.rank
GROUP BY s.verdict, r.rank
"""

BY_STORE = """
CREATE VIEW funnel_by_store AS
SELECT k.store, k.clicks, COALESCE(v.currency, '') AS currency,
       COALESCE(v.conversions, 0) AS conversions, COALESCE(v.pending, 0) AS pending,
       COALESCE(v.approved, 0) AS approved, COALESCE(v.declined, 0) AS declined,
       COALESCE(v.commission_minor, 0) AS commission_minor,
       COALESCE(v.cashback_minor, 0) AS cashback_minor,
       CAST(COALESCE(v.commission_minor, 0) AS DOUBLE PRECISION) / k.clicks AS epc_minor,
       CAST(COALESCE(v.conversions, 0) AS DOUBLE PRECISION) / k.clicks AS conversion_rate,
       CAST(v.approved AS DOUBLE PRECISION) / NULLIF(v.approved + v.declined, 0) AS approval_rate
FROM (SELECT store, COUNT(*) AS clicks FROM clicks GROUP BY store) k
LEFT JOIN (
    SELECT c.store, o.currency, COUNT(*) AS conversions,
           SUM(CASE WHEN o.status = 'pending' THEN 1 ELSE 0 END) AS pending,
           SUM(CASE WHEN o.status IN ('approved', 'paid') THEN 1 ELSE 0 END) AS approved,
           SUM(CASE WHEN o.status = 'declined' THEN 1 ELSE 0 END) AS declined,
           SUM(CASE WHEN o.status <> 'declined' THEN o.commission_minor ELSE 0 END)
               AS commission_minor,
           SUM(CASE WHEN o.status <> 'declined' THEN o.cashback_minor ELSE 0 END)
               AS cashback_minor
    FROM conversions o JOIN clicks c ON c.click_id = o.click_id
    GROUP BY c.store, o.currency
) v ON v.store = k.store
"""

SQLITE_GUARD = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""

POSTGRES_GUARD = """
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$
"""


def upgrade() -> None:
    _searches()
    _clicks()
    _conversions()
    _ledger()
    for table, columns in INDEXES.items():
        for column in columns:
            op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    for view in (FUNNEL, BY_VERDICT, BY_RANK, BY_STORE):
        op.execute(view)
    _guard()


def _searches() -> None:
    op.create_table(
        "searches",
        sa.Column("search_id", sa.String(32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("encoder", sa.String(64), nullable=False),
        sa.Column("snapshot", sa.String(120), nullable=False),
        sa.Column("verdict", sa.String(10), nullable=False),
        sa.Column("probability", sa.Float(), nullable=False),
        sa.Column("similarity", sa.Float(), nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("hits", sa.JSON(), nullable=False),
        sa.Column("filters", sa.JSON(), nullable=False),
        sa.Column("photo", sa.JSON(), nullable=False),
        sa.Column("variant", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("search_id", name=op.f("pk_searches")),
    )
    op.create_table(
        "feedback",
        sa.Column("search_id", sa.String(32), nullable=False),
        sa.Column("product_id", sa.String(17), nullable=False),
        sa.Column("vote", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("search_id", "product_id", name=op.f("pk_feedback")),
    )


def _clicks() -> None:
    op.create_table(
        "clicks",
        sa.Column("click_id", sa.String(32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("offer_id", sa.String(16), nullable=False),
        sa.Column("product_id", sa.String(17), nullable=False),
        sa.Column("store", sa.String(80), nullable=False),
        sa.Column("search_id", sa.String(32), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=True),
        sa.Column("network", sa.String(80), nullable=False),
        sa.Column("program_id", sa.String(80), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("estimate_minor", sa.BigInteger(), nullable=True),
        sa.Column("user_token", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("click_id", name=op.f("pk_clicks")),
    )


def _conversions() -> None:
    op.create_table(
        "conversions",
        sa.Column("id", KEY, nullable=False),
        sa.Column("network", sa.String(80), nullable=False),
        sa.Column("external_id", sa.String(200), nullable=False),
        sa.Column("item", sa.String(200), nullable=False),
        sa.Column("subid", sa.String(200), nullable=False),
        sa.Column("click_id", sa.String(32), nullable=True),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("commission_minor", sa.BigInteger(), nullable=False),
        sa.Column("cashback_minor", sa.BigInteger(), nullable=False),
        sa.Column("paid_out_minor", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.String(200), nullable=False),
        sa.Column("order_currency", sa.String(3), nullable=False),
        sa.Column("order_value_minor", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("reason_text", sa.Text(), nullable=False),
        sa.Column("ordered_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=True),
        sa.Column("expected_at", sa.BigInteger(), nullable=True),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversions")),
        sa.ForeignKeyConstraint(
            ["click_id"], ["clicks.click_id"], name=op.f("fk_conversions_click_id")
        ),
        sa.UniqueConstraint(
            "network", "external_id", "item", name=op.f("uq_conversions_network_external_id_item")
        ),
    )


def _ledger() -> None:
    op.create_table(
        "conversion_events",
        sa.Column("id", KEY, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("conversion_id", KEY, nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("subid", sa.String(200), nullable=False),
        sa.Column("commission_minor", sa.BigInteger(), nullable=True),
        sa.Column("commission_currency", sa.String(3), nullable=False),
        sa.Column("order_value_minor", sa.BigInteger(), nullable=True),
        sa.Column("order_currency", sa.String(3), nullable=False),
        sa.Column("order_id", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ordered_at", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversion_events")),
        sa.ForeignKeyConstraint(
            ["conversion_id"], ["conversions.id"], name=op.f("fk_conversion_events_conversion_id")
        ),
        sa.UniqueConstraint("digest", name=op.f("uq_conversion_events_digest")),
    )
    op.create_table(
        "entries",
        sa.Column("id", KEY, nullable=False),
        sa.Column("transaction_id", sa.String(32), nullable=False),
        sa.Column("conversion_id", KEY, nullable=False),
        sa.Column("account", sa.String(40), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("minor", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entries")),
        sa.ForeignKeyConstraint(
            ["conversion_id"], ["conversions.id"], name=op.f("fk_entries_conversion_id")
        ),
    )
    op.create_table(
        "pulls",
        sa.Column("network", sa.String(80), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("news", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("network", "since", "until", name=op.f("pk_pulls")),
    )


def _guard() -> None:
    """Nothing changes or takes away a row of the ledger, not even a statement of ours."""
    if op.get_bind().dialect.name != "postgresql":
        for table in APPEND_ONLY:
            for verb in ("UPDATE", "DELETE"):
                op.execute(SQLITE_GUARD.format(table=table, verb=verb))
        return
    op.execute(POSTGRES_GUARD)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "EXECUTE FUNCTION append_only()"
        )
