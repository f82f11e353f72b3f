"""A catalogue of a few rows, each image's vector chosen by hand, in a real database and a real exact index.

The encoder reads a picture's mean colour, so a plain photo of one colour asks for exactly one
direction: what a search must find, and how near, is a sum that fits on a thumbnail.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import insert, update

from lensback.catalogue import offers, pictures, stores
from lensback.catalogue.offers import SeenIds
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.detectors.whole import WholeDetector
from lensback.indexes import Index, open_index, row_id
from lensback.rank import Calibration
from lensback.search import Tools
from lensback.types import Money, Offer, Region, Vectors

TEN_EURO = Money(1000, "EUR")


class ColourEncoder:
    """The mean colour of a picture, as a vector of three numbers."""

    name, dim, side_px, fingerprint = "colour", 3, 32, "c0107"

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        means = np.array([np.asarray(image, np.float32).mean(axis=(0, 1)) for image in images])
        return unit(means)


@dataclass(frozen=True)
class FixedDetector:
    """Says the same regions of every photo."""

    regions: tuple[Region, ...]
    name: str = "fixed"
    fingerprint: str = "fixed 1"

    def find(self, photo: Image.Image) -> list[Region]:
        return list(self.regions)


@dataclass(frozen=True)
class Row:
    """One offer with one image or several; the rest as `lensback.types.Offer` has it."""

    store: str
    sku: str
    product: str
    images: tuple[str, ...]
    price: Money = TEN_EURO
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def offer_id(self) -> str:
        return offers.offer_id(self.store, self.sku)

    def offer(self) -> Offer:
        plain = {"title": self.sku, "url": f"https://{self.store}.example/{self.sku}"}
        urls = tuple(f"https://{self.store}.example/{image}.jpg" for image in self.images)
        return Offer(self.sku, price=self.price, image_urls=urls, **{**plain, **self.fields})


def unit(values: Any) -> Vectors:
    rows = np.asarray(values, np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def hash_of(image: str) -> str:
    """Images are called by short names; stored ones have 64 hex digits."""
    return image.encode().hex().rjust(64, "0")


def product_of(name: str) -> str:
    return "p" + name.ljust(16, "a")


def photo(colour: Sequence[float], size: tuple[int, int] = (40, 40)) -> bytes:
    """A PNG of one colour, its channels 0 to 1."""
    return png(Image.new("RGB", size, tuple(round(255 * channel) for channel in colour)))


def png(image: Image.Image) -> bytes:
    image.save(sink := io.BytesIO(), "PNG")
    return sink.getvalue()


def write(
    db: Database,
    rows: Sequence[Row],
    fingerprint: str,
    programs: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """The offers as a sync leaves them: downloaded, embedded, grouped."""
    for name in dict.fromkeys(row.store for row in rows):
        feed, program = f"https://{name}.example/feed.xml", (programs or {}).get(name)
        store_id = stores.add(db, name, feed, program=program).id
        own = [row for row in rows if row.store == name]
        with db.write() as c:
            offers.write_batch(db, c, store_id, name, [row.offer() for row in own], SeenIds())
            _finish(db, c, own, fingerprint)


def _finish(db: Database, c: Any, rows: Sequence[Row], fingerprint: str) -> None:
    images = sorted({image for row in rows for image in row.images})
    sizes = {"width": 40, "height": 40, "bytes": 100, "phash": 0, "mime": "image/png"}
    known = [{"hash": hash_of(image), "created_at": 0, **sizes} for image in images]
    db.upsert(c, t.images, known, ["hash"])
    done = {"fingerprint": fingerprint, "status": "ok"}
    embedded = [{"image_hash": hash_of(image), **done} for image in images]
    db.upsert(c, t.embeddings, embedded, ["fingerprint", "image_hash"])
    for row in rows:
        for image, url in zip(row.images, row.offer().image_urls, strict=True):
            values = {"image_hash": hash_of(image), "status": "ok"}
            c.execute(update(t.image_urls).where(t.image_urls.c.url == url).values(**values))
        named = {"product_id": product_of(row.product)}
        c.execute(update(t.offers).where(t.offers.c.offer_id == row.offer_id).values(**named))


def link(db: Database, a: Row, b: Row, reason: str, score: float) -> None:
    """Keeps why two offers are one product."""
    with db.write() as c:
        known = dict(c.execute(t.offers.select().with_only_columns(t.offers.c.offer_id, t.offers.c.id)).all())  # fmt: skip
        values = {"offer_a": known[a.offer_id], "offer_b": known[b.offer_id]}
        c.execute(insert(t.product_links).values(**values, reason=reason, score=score))


def fill(index: Index, db: Database, fingerprint: str, vectors: Mapping[str, Any]) -> None:
    """Stages what the catalogue sells."""
    by_hash = {hash_of(image): vector for image, vector in vectors.items()}
    with db.read() as c:
        rows = list(pictures.searchable(c, fingerprint, row_id))
    index.upsert(rows, unit([by_hash[row.image_hash] for row in rows]))


@dataclass(frozen=True)
class Tiny:
    """One catalogue, opened."""

    db: Database
    index: Index
    tools: Tools


def opened(
    folder: Path,
    rows: Sequence[Row],
    vectors: Mapping[str, Any],
    *,
    programs: Mapping[str, Mapping[str, Any]] | None = None,
    **tools: Any,
) -> Tiny:
    """The rows in a database and an index under `folder`; `tools` changes what a search gets."""
    encoder = ColourEncoder()
    db = Database(sqlite_url(folder / "catalogue.db"))
    with db.engine.begin() as c:
        t.metadata.create_all(c)
    write(db, rows, encoder.fingerprint, programs)
    index = open_index("exact", folder / "index", fingerprint=encoder.fingerprint, dim=3)
    fill(index, db, encoder.fingerprint, vectors)
    snapshot = index.publish(encoder.name)
    plain: dict[str, Any] = {
        "db": db,
        "index": index,
        "snapshot": snapshot,
        "encoder": encoder,
        "detector": WholeDetector(),
        "calibration": None,
        "exact_precision": 0.95,
        "candidates": 100,
        "currency": "",
        "max_bytes": 1 << 20,
        "max_pixels": 1 << 20,
    }
    return Tiny(db, index, Tools(**{**plain, **tools}))


def even(none_below: float = -1.0, *, bias: float = 0.0, margin: float = 0.0) -> Calibration:
    """A calibration that looks at the margin only: p = 1 / (1 + exp(-(bias + margin * lead)))."""
    return Calibration("any", bias, 0.0, margin, none_below)
