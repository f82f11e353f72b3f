"""Former names of stores: they are in the ids of their offers"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("stores", sa.Column("former", sa.JSON(), nullable=False, server_default="[]"))
