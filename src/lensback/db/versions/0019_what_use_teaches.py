"""What use teaches: the vectors of what was searched, and whose a vote was"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "searched_vectors",
        sa.Column("search_id", sa.String(32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("halves", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("search_id", name=op.f("pk_searched_vectors")),
    )
    op.create_index(op.f("ix_searched_vectors_at"), "searched_vectors", ["at"])
    voter = sa.Column("voter", sa.String(64), nullable=False, server_default="")
    op.add_column("feedback", voter)
    op.create_index(op.f("ix_feedback_voter"), "feedback", ["voter"])
