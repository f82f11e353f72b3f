"""Pictures with all that a search and a leak check need of them: files, or a workspace's images."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import select

from lensback.db import tables as t
from lensback.encoders import Encoder
from lensback.errors import BadImage, BadQuery, Error, TooLarge
from lensback.evaluate.leaks import Checked, Look, Picture, check
from lensback.images import decode, inspect
from lensback.likeness import Signature, signature
from lensback.types import Progress, Vectors
from lensback.workspace import Workspace

POLICIES = ("drop", "refuse", "keep")
"""What becomes of a query that is in the gallery: left out and counted; the evaluation is
refused; or kept, and then the verdict trusts no figure."""


@dataclass(frozen=True, slots=True)
class Album:
    """Pictures in order, one row of `vectors` each."""

    pictures: tuple[Picture, ...]
    vectors: Vectors
    look: Look
    unreadable: frozenset[str] = frozenset()
    """Keys of the files that are no pictures."""
    spent_ms: Mapping[str, float] = field(default_factory=dict)
    """Of files: to decode and encode one picture."""

    def only(self, keys: frozenset[str]) -> Album:
        """The part with these keys."""
        at = [n for n, picture in enumerate(self.pictures) if picture.key in keys]
        return Album(tuple(self.pictures[n] for n in at), self.vectors[at], self.look)


def of_files(
    paths: Sequence[Path], encoder: Encoder, *, batch: int = 32, progress: Progress | None = None
) -> Album:
    """Files as they are, whole pictures; a key is the path as text. Raises BadQuery where one is
    not there. With `batch=1` the time of each is that of one query."""
    pictures: list[Picture] = []
    parts: list[Vectors] = [np.zeros((0, encoder.dim), np.float32)]
    unreadable: set[str] = set()
    spent_ms: dict[str, float] = {}
    files = list(dict.fromkeys(paths))
    for at in range(0, len(files), batch):
        begin = time.perf_counter()
        some, images = [], []
        for path in files[at : at + batch]:
            try:
                info, image = inspect(_bytes(path), side_px=encoder.side_px)
            except (BadImage, TooLarge):
                unreadable.add(str(path))
                continue
            some.append(Picture(str(path), info.hash, info.phash))
            images.append(image)
        if images:
            parts.append(encoder.encode(images))
        each_ms = (time.perf_counter() - begin) * 1000 / max(1, len(some))
        spent_ms |= dict.fromkeys((picture.key for picture in some), each_ms)
        pictures += some
        if progress:
            progress(min(at + batch, len(files)), len(files))
    vectors = np.concatenate(parts)
    return Album(tuple(pictures), vectors, file_look(), frozenset(unreadable), spent_ms)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadQuery(
            f"cannot read {path}: {error.strerror}", hint="check the folder of images"
        ) from error


def file_look() -> Look:
    """Signatures of files, each made once."""
    known: dict[str, Signature | None] = {}

    def look(key: str) -> Signature | None:
        if key not in known:
            try:
                known[key] = signature(decode(Path(key).read_bytes(), side_px=64))
            except (Error, OSError):
                known[key] = None
        return known[key]

    return look


def of_workspace(workspace: Workspace, encoder: Encoder, *, on_sale: bool = False) -> Album:
    """Stored images that have a vector; with `on_sale` only those of an offer on sale."""
    place: dict[str, int] = {}
    parts: list[Vectors] = [np.zeros((0, encoder.dim), np.float32)]
    for names, part in workspace.vectors.scan(encoder.fingerprint):
        place |= {name: len(place) + n for n, name in enumerate(names)}
        parts.append(part)
    pictures = [p for p in _stored(workspace, on_sale=on_sale) if p.key in place]
    rows = np.concatenate(parts)[[place[p.key] for p in pictures]]
    return Album(tuple(pictures), rows, stored_look(workspace))


def _stored(workspace: Workspace, *, on_sale: bool) -> list[Picture]:
    i = t.images.c
    query = select(i.hash, i.phash).order_by(i.hash)
    if on_sale:
        shown = (
            select(t.image_urls.c.image_hash)
            .join(t.offer_images, t.offer_images.c.image_url_id == t.image_urls.c.id)
            .join(t.offers, t.offers.c.id == t.offer_images.c.offer_id)
            .where(t.offers.c.active)
        )
        query = query.where(i.hash.in_(shown))
    with workspace.db.read() as c:
        # SQLite and PostgreSQL keep the 64 bits as a signed number.
        return [Picture(row.hash, row.hash, row.phash % (1 << 64)) for row in c.execute(query)]


def stored_look(workspace: Workspace) -> Look:
    """Signatures of stored images by hash, each made once; None where the file is gone."""
    known: dict[str, Signature | None] = {}

    def look(image_hash: str) -> Signature | None:
        if image_hash not in known:
            try:
                known[image_hash] = signature(workspace.images.open(image_hash, 64))
            except Error:
                known[image_hash] = None
        return known[image_hash]

    return look


def compare(queries: Album, gallery: Album, *, progress: Progress | None = None) -> Checked:
    """The leak check of one album against another."""
    mine = {picture.key for picture in queries.pictures}

    def look(key: str) -> Signature | None:
        return queries.look(key) if key in mine else gallery.look(key)

    return check(
        queries.pictures,
        gallery.pictures,
        queries.vectors,
        gallery.vectors,
        look,
        progress=progress,
    )


def leaked(checked: Checked, policy: str) -> frozenset[str]:
    """Keys of the queries to leave out. Raises BadQuery where leaks are refused."""
    names = frozenset(leak.query for leak in checked.leaks)
    if policy not in POLICIES:
        raise BadQuery(f"unknown way with leaks: {policy!r}", hint=f"use {', '.join(POLICIES)}")
    if names and policy == "refuse":
        first = checked.leaks[0]
        raise BadQuery(
            f"{len(names)} query photos are in the gallery, the first is {first.query}",
            hint="take them out, or use --leaks drop to leave them out and count them",
        )
    return names if policy == "drop" else frozenset()
