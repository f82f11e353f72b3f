"""Article numbers as they look, so that one read in a photo is found without reading all offers"""

from __future__ import annotations

import re
import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

PAGE = 2000
_ALIKE = str.maketrans("OQILSBZАВЕЁКМНОРСТУХІЅЈЗ", "0011582A8EEKMH0PCTYX15J3")
_NO_SIGN = re.compile(r"[\W_]+")


def article(raw: str) -> str:
    """As `letters.article` was at this revision: what is written here stays, whatever becomes of that."""
    plain = unicodedata.normalize("NFKC", raw)
    key = _NO_SIGN.sub("", plain.upper()).translate(_ALIKE)
    least = 6 if any(sign.isalpha() for sign in plain) else 7
    enough = sum(sign.isdecimal() for sign in plain) >= 3
    return key if least <= len(key) <= 40 and enough else ""


def upgrade() -> None:
    op.add_column("offers", sa.Column("article", sa.String(40), nullable=False, server_default=""))
    offers = sa.table("offers", *map(sa.column, ("id", "mpn", "article")))
    o, last, c = offers.c, 0, op.get_bind()
    put = sa.update(offers).where(o.id == sa.bindparam("one")).values(article=sa.bindparam("said"))
    wanted = sa.select(o.id, o.mpn).where(o.mpn != "").order_by(o.id).limit(PAGE)
    while rows := c.execute(wanted.where(o.id > last)).all():
        found = [{"one": r.id, "said": said} for r in rows if (said := article(r.mpn))]
        if found:
            c.execute(put, found)
        last = rows[-1].id
    op.create_index("ix_offers_article", "offers", ["article"])
