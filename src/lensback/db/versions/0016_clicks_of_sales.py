"""The clicks that sales came from, as they stood; by which rules a sale was booked"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SQLITE_GUARD = """
CREATE TRIGGER sold_clicks_no_{verb} BEFORE {verb} ON sold_clicks
BEGIN SELECT RAISE(ABORT, 'sold_clicks is append-only'); END
"""


def upgrade() -> None:
    op.create_table(
        "sold_clicks",
        sa.Column("id", KEY, nullable=False),
        sa.Column("click_id", sa.String(32), nullable=False),
        sa.Column("clicked_at", sa.BigInteger(), nullable=False),
        sa.Column("network", sa.String(80), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sold_clicks")),
        sa.UniqueConstraint("click_id", name=op.f("uq_sold_clicks_click_id")),
    )
    # Not in batch: SQLite would copy the table, and what refers to it. The sales of before get a row of
    # `sold_clicks` where they are booked anew by the rules of now (`ledger.record.renew`).
    for table, name, kind, default in (
        ("clicks", "salt", sa.String(32), ""),
        ("conversions", "rules", sa.Integer(), "0"),
        ("seals", "last_click", sa.BigInteger(), "0"),
    ):
        op.add_column(table, sa.Column(name, kind, nullable=False, server_default=default))
    op.create_index(op.f("ix_conversions_rules"), "conversions", ["rules"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER sold_clicks_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sold_clicks "
            "EXECUTE FUNCTION append_only()"
        )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(SQLITE_GUARD.format(verb=verb))
