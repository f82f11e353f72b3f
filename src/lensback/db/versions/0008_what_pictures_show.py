"""Which pictures show no thing, and how pictures were decoded"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "image_doubts",
        sa.Column("image_hash", sa.String(64), nullable=False),
        sa.Column("drawn", sa.Boolean(), nullable=False),
        sa.Column("doubt", sa.String(20), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_hash"], ["images.hash"], name=op.f("fk_image_doubts_image_hash")
        ),
        sa.PrimaryKeyConstraint("image_hash", name=op.f("pk_image_doubts")),
    )
    with op.batch_alter_table("images") as images:
        images.add_column(sa.Column("decoding", sa.Integer(), nullable=False, server_default="0"))
