"""Which images were decoded in an older way, and what of them is to be made anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import delete, or_, select, update

from lensback.catalogue.pictures import PAGE
from lensback.db import Database, chunks
from lensback.db import tables as t


def to_review(db: Database) -> Iterator[list[str]]:
    """Hashes of images that were decoded in an older way, in batches; mark each with `reviewed`."""
    i, last = t.images.c, ""
    while True:
        query = select(i.hash).where(i.decoding < t.DECODING, i.hash > last)
        with db.read() as c:
            page = list(c.scalars(query.order_by(i.hash).limit(PAGE)))
        if not page:
            return
        yield page
        last = page[-1]


def reviewed(db: Database, hashes: Sequence[str], changed: Sequence[str]) -> None:
    """Notes the present way of decoding; what it changed is to be embedded and compared anew."""
    e, p, q, i = t.embeddings.c, t.paired_images.c, t.image_pairs.c, t.images.c
    with db.write() as c:
        for part in chunks(changed):
            c.execute(delete(t.embeddings).where(e.image_hash.in_(part)))
            c.execute(delete(t.paired_images).where(p.image_hash.in_(part)))
            c.execute(delete(t.image_pairs).where(or_(q.hash_a.in_(part), q.hash_b.in_(part))))
        for part in chunks(hashes):
            c.execute(update(t.images).where(i.hash.in_(part)).values(decoding=t.DECODING))
