"""Pictures are asked for again; which index the database knows"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name in ("etag", "last_modified"):
        column = sa.Column(name, sa.Text(), nullable=False, server_default="")
        op.add_column("image_urls", column)
    for name in ("failing_since", "due_at"):
        op.add_column("image_urls", sa.Column(name, sa.BigInteger(), nullable=True))
    op.drop_index("ix_image_urls_status", "image_urls")
    op.create_index("ix_image_urls_status_due_at", "image_urls", ["status", "due_at"])
    # What was fetched so far comes due over the week after its day, not all at once.
    op.execute(
        "UPDATE image_urls SET due_at = tried_at + 604800 + (id * 7919) % 604800 "
        "WHERE status = 'ok' AND tried_at IS NOT NULL"
    )
    # Given up for good is nothing any more: each gets a try, and then its growing pauses.
    op.execute(
        "UPDATE image_urls SET due_at = tried_at, failing_since = tried_at, "
        "attempts = CASE WHEN attempts > 3 THEN 3 ELSE attempts END WHERE status = 'failed'"
    )
    op.create_table(
        "publications",
        sa.Column("id", KEY, nullable=False),
        sa.Column("snapshot", sa.String(120), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publications")),
    )
