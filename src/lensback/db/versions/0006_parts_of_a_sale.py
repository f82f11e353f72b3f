"""Parts of a sale that add up; how the pulls of each network went"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # Not in batch: SQLite would copy the table, and its triggers would be gone.
    column = sa.Column("part", sa.String(200), nullable=False, server_default="")
    op.add_column("conversion_events", column)
    op.create_table(
        "network_pulls",
        sa.Column("network", sa.String(80), nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=False),
        sa.Column("good_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("network", name=op.f("pk_network_pulls")),
    )
    op.create_table(
        "refused_rows",
        sa.Column("network", sa.String(80), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("network", "digest", name=op.f("pk_refused_rows")),
    )
