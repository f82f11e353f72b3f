"""Offers by words: full text over titles, brands, categories and colours.

What is kept are the stems of `stems`, so that both databases find the same: FTS5 in SQLite, a tsvector in
PostgreSQL. `refresh` brings them to what the offers say; `publish` calls it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    TextClause,
    bindparam,
    column,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.sql import ColumnElement

from lensback import colors
from lensback.catalogue.filtered import restrict
from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.stems import color_term, stems_of
from lensback.types import Filter

BATCH = 500
MAX_DESCRIPTION = 400
"""Characters of a description that are looked up: a thing is named at its beginning."""

Terms = Sequence[Sequence[str]]
"""All of the terms must be met, each by any of its words; only letters and digits (`stems.terms_of`)."""

_PUT = {
    "sqlite": "INSERT INTO offer_words (rowid, said, beside) VALUES (:id, :said, :beside)",
    "postgresql": "INSERT INTO offer_words (offer_id, words) VALUES (:id,"
    " setweight(to_tsvector('simple', :said), 'A') || setweight(to_tsvector('simple', :beside), 'C'))",
}
_DROP = {
    "sqlite": "DELETE FROM offer_words WHERE rowid IN :ids",
    "postgresql": "DELETE FROM offer_words WHERE offer_id IN :ids",
}
_BM25 = "bm25(offer_words, 4.0, 1.0)"
"""Okapi BM25, smaller the better; what is said of the thing itself counts four times what stands beside."""
DEEP = 2000
"""Offers that are looked at for one question, the best matches first."""


def refresh(db: Database) -> int:
    """Words of offers on sale that are new or changed since, and no words of offers that are gone. How
    many were written; running it again writes nothing."""
    n = 0
    for part in chunks(_stale(db), BATCH):
        with db.write() as c:
            n += _write(db, c, part)
    with db.write() as c:
        _forget(db, c)
    return n


def _stale(db: Database) -> Iterator[int]:
    o, w = t.offers.c, t.worded_offers.c
    last = 0
    while True:
        query = (
            select(o.id)
            .outerjoin(t.worded_offers, w.offer_id == o.id)
            .where(
                o.active, o.id > last, or_(w.offer_id.is_(None), w.content_hash != o.content_hash)
            )
            .order_by(o.id)
            .limit(BATCH)
        )
        with db.read() as c:
            ids = list(c.scalars(query))
        if not ids:
            return
        yield from ids
        last = ids[-1]


def _write(db: Database, c: Connection, ids: Sequence[int]) -> int:
    o = t.offers.c
    kind = c.dialect.name
    names = ("title", "brand", "color", "category", "material", "pattern", "mpn", "description")
    rows = c.execute(
        select(o.id, o.content_hash, *(o[name] for name in names)).where(o.id.in_(ids))
    ).all()
    known = [row.id for row in rows]
    if not known:
        return 0
    c.execute(text(_DROP[kind]).bindparams(bindparam("ids", expanding=True)), {"ids": known})
    c.execute(
        text(_PUT[kind]),
        [
            {
                "id": row.id,
                "said": _line(row.title, row.brand, row.color, tags=colors.basic(row.color)),
                "beside": _line(
                    row.category,
                    row.material,
                    row.pattern,
                    row.mpn,
                    row.description[:MAX_DESCRIPTION],
                ),
            }
            for row in rows
        ],
    )
    done = [{"offer_id": row.id, "content_hash": row.content_hash} for row in rows]
    db.upsert(c, t.worded_offers, done, ["offer_id"], ["content_hash"])
    return len(rows)


def _line(*texts: str, tags: frozenset[str] = frozenset()) -> str:
    return " ".join([*stems_of(" ".join(texts)), *map(color_term, sorted(tags))])


def _forget(db: Database, c: Connection) -> None:
    """Words of offers that went with their store; PostgreSQL forgets them with the offer."""
    if not db.shared:
        c.execute(text("DELETE FROM offer_words WHERE rowid NOT IN (SELECT id FROM offers)"))
    o, w = t.offers.c, t.worded_offers.c
    off = [w.offer_id == o.id, ~o.active]
    gone = exists(select(o.id).where(*off))
    ids = list(c.scalars(select(w.offer_id).where(gone)))
    for part in chunks(ids):
        drop = text(_DROP[c.dialect.name]).bindparams(bindparam("ids", expanding=True))
        c.execute(drop, {"ids": part})
        c.execute(delete(t.worded_offers).where(w.offer_id.in_(part)))


def best(db: Database, terms: Terms, where: Filter, most: int) -> list[str]:
    """Products with an offer on sale that meets all terms and passes the filter, the best match first."""
    return _products(db, terms, where, None, DEEP)[:most]


def meeting(db: Database, terms: Terms, where: Filter, product_ids: Sequence[str]) -> set[str]:
    """Those of the products of which one offer on sale meets all terms and passes the filter."""
    kept: set[str] = set()
    for part in chunks(product_ids):
        kept.update(_products(db, terms, where, part, 1 << 20))
    return kept


def _products(
    db: Database, terms: Terms, where: Filter, among: Sequence[str] | None, most: int
) -> list[str]:
    o = t.offers.c
    limits = [o.product_id.is_not(None), *restrict(where)]
    limits += [] if among is None else [o.product_id.in_(among)]
    passing = select(o.id).select_from(t.offers.join(t.stores)).where(*limits)
    query, key = _ranked(db, terms)
    if among is not None or not where.empty:  # else the words of what is on sale are all there are
        query = query.where(key.in_(passing))
    with db.read() as c:
        far = {row.id: row.far for row in c.execute(query.limit(most))}
        products: dict[str, float] = {}
        for part in chunks(far):
            for row in c.execute(passing.add_columns(o.product_id).where(o.id.in_(part))):
                products[row.product_id] = min(far[row.id], products.get(row.product_id, 0.0))
    return sorted(products, key=lambda product_id: (products[product_id], product_id))


def _ranked(db: Database, terms: Terms) -> tuple[Select[Any], ColumnElement[int]]:
    """Ids of offers that meet the terms and how far they are from meeting them best, the nearest
    first; and the column of the ids."""
    far: ColumnElement[Any]
    met: ColumnElement[Any] | TextClause
    key = literal_column("offer_id" if db.shared else "rowid", BigInteger)
    if db.shared:
        asked = func.to_tsquery(literal_column("'simple'"), _asked(terms, shared=True))
        far, met = -func.ts_rank(column("words"), asked), column("words").op("@@")(asked)
    else:
        far = literal_column(_BM25)
        met = text("offer_words MATCH :asked").bindparams(asked=_asked(terms, shared=False))
    query = select(key.label("id"), far.label("far")).select_from(table("offer_words"))
    return query.where(met).order_by(literal_column("far"), key), key


def _asked(terms: Terms, *, shared: bool) -> str:
    """The question in the engine's own language. Terms are letters and digits, in quotes all the same."""
    quote, either, every = ("'", " | ", " & ") if shared else ('"', " OR ", " AND ")
    return every.join(
        "(" + either.join(f"{quote}{word}{quote}" for word in term) + ")" for term in terms
    )
