"""What codes in a photo lead to: numbers of offers, and their pages, found without reading all offers"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from lensback import storepage

revision = "0009"
down_revision = "0008"

PAGE = 2000


def upgrade() -> None:
    op.add_column("offers", sa.Column("page_key", sa.String(16), nullable=False, server_default=""))
    offers = sa.table("offers", *map(sa.column, ("id", "url", "target_url", "page_key")))
    o, last, c = offers.c, 0, op.get_bind()
    put = sa.update(offers).where(o.id == sa.bindparam("one")).values(page_key=sa.bindparam("page"))
    while rows := c.execute(
        sa.select(o.id, o.url, o.target_url).where(o.id > last).order_by(o.id).limit(PAGE)
    ).all():
        c.execute(put, [{"one": r.id, "page": storepage.key(r.target_url or r.url)} for r in rows])
        last = rows[-1].id
    op.create_index("ix_offers_gtin", "offers", ["gtin"])
    op.create_index("ix_offers_page_key", "offers", ["page_key"])
