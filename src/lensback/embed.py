"""images -> vectors: one vector of the encoder for every image that an offer on sale shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice

import numpy as np
from PIL import Image

from lensback import log
from lensback.catalogue import decodings, pictures
from lensback.db import Database
from lensback.encoders import Encoder
from lensback.errors import Error, NotFound
from lensback.images import ImageStore, recoloured
from lensback.types import Progress, Tally, Vectors
from lensback.vectors import VectorStore

COMMIT = 512
"""Images written at once: what a kill can cost."""
TOGETHER = 8
"""Images decoded in one go."""
UNIT = 1e-3
"""How far a vector's length may be from 1: the rounding of half precision."""

Look = Callable[[], Iterator[str]]
"""Finds the hashes of images that have no vector now."""
Keys = Callable[[Look], Iterator[str]]
"""Which images are to be encoded, by looking as often as they come."""

GONE = "file lost, to be fetched again"
AGAIN = "to be fetched again"

Decoded = tuple[str, Image.Image | None, str]
"""Hash, picture, or the reason why there is none."""
Encoded = tuple[list[str], Vectors, dict[str, str]]
"""Hashes with their vectors, and the reasons why other images have none."""


def once(look: Look) -> Iterator[str]:
    """The images that a single look finds."""
    return look()


def embed(
    db: Database,
    images: ImageStore,
    vectors: VectorStore,
    encoder: Encoder,
    *,
    batch: int = 32,
    decoders: int = 2,
    keys: Keys = once,
    progress: Progress | None = None,
    into: Tally | None = None,
) -> Tally:
    """Encodes what has no vector yet. Decoding runs ahead in threads while the encoder works. `keys`: where
    more are still coming (`headstart`); `into`: counts there what was kept, also where it breaks off."""

    def encode(todo: Iterator[str]) -> Iterator[Encoded]:
        decoded = decode(todo, images, encoder.side_px, decoders, ahead=2 * batch)
        return encode_batches(decoded, encoder, batch)

    return fill(
        db, images, vectors, encoder.fingerprint, encode, keys=keys, progress=progress, into=into
    )


def review(db: Database, images: ImageStore, vectors: VectorStore) -> None:
    """Forgets the vectors of images that are decoded otherwise than when they were made: those
    with a colour profile that counts. Each image is looked at once."""
    for hashes in decodings.to_review(db):
        changed = [image_hash for image_hash in hashes if _recoloured(images, image_hash)]
        for fingerprint in vectors.fingerprints() if changed else ():
            vectors.forget(fingerprint, changed)
        decodings.reviewed(db, hashes, changed)


def _recoloured(images: ImageStore, image_hash: str) -> bool:
    try:
        return recoloured(images.read(image_hash))
    except NotFound:
        return False


def fill(
    db: Database,
    images: ImageStore,
    vectors: VectorStore,
    fingerprint: str,
    encode: Callable[[Iterator[str]], Iterator[Encoded]],
    *,
    keys: Keys = once,
    progress: Progress | None = None,
    into: Tally | None = None,
) -> Tally:
    """Gives every image without a vector to `encode`, wherever that runs, and keeps the results:
    vectors of length 1. Any other, such as zeros of a picture that shows nothing, is a reject.

    Vectors are durable before the catalogue calls an image done; `reconcile` settles what a
    kill left between the two. One process writes vectors at a time. What is kept is counted at once, in `into`
    where that is given, so that the counts are there where this breaks off.
    """
    begin, tally = time.perf_counter(), Tally("embed") if into is None else into
    try:
        _filled(tally, db, images, vectors, fingerprint, encode, keys, progress)
    finally:
        tally.seconds = time.perf_counter() - begin
    log.event("embedded", **tally.as_json())
    return tally


def _filled(
    tally: Tally,
    db: Database,
    images: ImageStore,
    vectors: VectorStore,
    fingerprint: str,
    encode: Callable[[Iterator[str]], Iterator[Encoded]],
    keys: Keys,
    progress: Progress | None,
) -> None:
    review(db, images, vectors)
    with db.claim(f"vectors {fingerprint}"):
        vectors.check(fingerprint)
        if lost := reconcile(db, vectors, fingerprint):
            tally.notes["vectors lost"] = lost
    total = pictures.count_to_embed(db, fingerprint)
    for parts in db.rounds(f"embed {fingerprint}"):
        looks = (partial(pictures.to_embed, db, fingerprint, part) for part in parts)
        todo = (key for look in looks for key in keys(look))
        for hashes, encoded, reasons in _commits(map(_usable, encode(todo))):
            with db.claim(f"vectors {fingerprint}"):
                again = _keep(db, vectors, fingerprint, hashes, encoded, reasons)
            tally.done += len(hashes)
            tally.rejected.update(reason.split(":")[0] for reason in reasons.values())
            if again:
                tally.notes[AGAIN] = int(tally.notes.get(AGAIN, 0)) + again
            if progress:
                done = tally.done + tally.rejects
                progress(done, max(total, done))
    if tally.done:
        with db.claim(f"vectors {fingerprint}"):
            vectors.check(fingerprint)  # and the next sync, with nothing to do, need not


def _keep(
    db: Database,
    vectors: VectorStore,
    fingerprint: str,
    hashes: list[str],
    encoded: Vectors,
    reasons: dict[str, str],
) -> int:
    """How many addresses of pictures that are gone are to be fetched again."""
    if hashes:
        vectors.append(fingerprint, hashes, encoded)
    gone = [image_hash for image_hash, reason in reasons.items() if reason == GONE]
    again = pictures.fetch_again(db, gone)
    failed = {image_hash: reason for image_hash, reason in reasons.items() if reason != GONE}
    pictures.record_embeddings(db, fingerprint, {**dict.fromkeys(hashes, ""), **failed})
    return again


def reconcile(db: Database, vectors: VectorStore, fingerprint: str) -> int:
    """Makes the catalogue's account agree with the vectors that are really there; returns how many
    it had of which there are none."""
    there, expected = vectors.count(fingerprint), pictures.count_embedded(db, fingerprint)
    if there == expected:
        return 0
    pictures.forget_embeddings(db, fingerprint)
    for hashes in vectors.hashes(fingerprint):
        known = pictures.known(db, hashes)
        pictures.record_embeddings(db, fingerprint, dict.fromkeys(known, ""))
        # Vectors of another database's images: left over when it was replaced.
        if strangers := [image_hash for image_hash in hashes if image_hash not in known]:
            vectors.forget(fingerprint, strangers)
    return max(0, expected - there)


def decode(
    todo: Iterator[str], images: ImageStore, side_px: int, decoders: int, ahead: int
) -> Iterator[Decoded]:
    """Pictures in order, at most `ahead` of them decoded in advance."""

    def work(hashes: list[str]) -> list[Decoded]:
        return list(map(_decoded, hashes, images.open_many(hashes, side_px)))

    parts = iter(lambda: list(islice(todo, TOGETHER)), [])
    with ThreadPoolExecutor(decoders, thread_name_prefix="decode") as pool:
        first = islice(parts, max(1, ahead // TOGETHER))
        queue: list[Future[list[Decoded]]] = [pool.submit(work, part) for part in first]
        while queue:
            yield from queue.pop(0).result()
            queue.extend(pool.submit(work, part) for part in islice(parts, 1))


def _decoded(image_hash: str, image: Image.Image | Error) -> Decoded:
    if isinstance(image, NotFound):
        return image_hash, None, GONE
    if isinstance(image, Error):
        return image_hash, None, f"{type(image).__name__}: {image.message}"[:300]
    return image_hash, image, ""


def encode_batches(decoded: Iterator[Decoded], encoder: Encoder, batch: int) -> Iterator[Encoded]:
    """Pictures -> vectors as the encoder makes them, `batch` at a time."""
    while part := list(islice(decoded, batch)):
        good = [(image_hash, image) for image_hash, image, _ in part if image is not None]
        reasons = {image_hash: reason for image_hash, _, reason in part if reason}
        yield [h for h, _ in good], encoder.encode([image for _, image in good]), reasons


def _usable(batch: Encoded) -> Encoded:
    """The same without vectors that are not of length 1, which no search could compare."""
    hashes, encoded, reasons = batch
    with np.errstate(over="ignore"):  # a number whose square is infinite is not of length 1 either
        usable = np.abs(np.linalg.norm(encoded, axis=1) - 1) <= UNIT
    whys = {h: "no usable vector" for h, ok in zip(hashes, usable, strict=True) if not ok}
    kept = [h for h, ok in zip(hashes, usable, strict=True) if ok]
    return kept, encoded[usable], reasons | whys


def _commits(batches: Iterator[Encoded]) -> Iterator[Encoded]:
    """Joins small batches, so that the vectors dataset gets few, larger writes."""
    hashes: list[str] = []
    parts: list[Vectors] = []
    reasons: dict[str, str] = {}
    for more, encoded, why in batches:
        hashes += more
        parts.append(encoded)
        reasons |= why
        if len(hashes) + len(reasons) >= COMMIT:
            yield hashes, np.concatenate(parts), reasons
            hashes, parts, reasons = [], [], {}
    if hashes or reasons:
        yield hashes, np.concatenate(parts), reasons
