"""The colours of a model, found by the store's item group without reading all offers"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_index("ix_offers_item_group", "offers", ["store_id", "item_group_id"])
