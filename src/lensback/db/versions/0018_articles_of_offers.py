"""Article numbers as they look, so that one read in a photo is found without reading all offers"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from lensback import letters

revision = "0018"
down_revision = "0017"

PAGE = 2000


def upgrade() -> None:
    op.add_column("offers", sa.Column("article", sa.String(40), nullable=False, server_default=""))
    offers = sa.table("offers", *map(sa.column, ("id", "mpn", "article")))
    o, last, c = offers.c, 0, op.get_bind()
    put = sa.update(offers).where(o.id == sa.bindparam("one")).values(article=sa.bindparam("said"))
    wanted = sa.select(o.id, o.mpn).where(o.mpn != "").order_by(o.id).limit(PAGE)
    while rows := c.execute(wanted.where(o.id > last)).all():
        found = [{"one": r.id, "said": said} for r in rows if (said := letters.article(r.mpn))]
        if found:
            c.execute(put, found)
        last = rows[-1].id
    op.create_index("ix_offers_article", "offers", ["article"])
