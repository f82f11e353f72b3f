"""Fits how similarity and margin become a match probability, on held-out views of the catalogue.

Two kinds of questions are asked. "Other views": one image of a product is taken out, with its
copies at other stores, and another view of the product must be found. "Distorted copies": an
image as a phone would take it must find itself. Each question is asked twice, with the product
there and with all of its images held out, so that the probability is right where half of the
shoppers photograph a thing that nobody sells. Where too few products have several views,
distorted copies stand alone, which makes the probability optimistic; the calibration says so.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from lensback import rank
from lensback.catalogue import products
from lensback.db import Connection, Database, chunks
from lensback.distort import distort
from lensback.encoders import Encoder
from lensback.errors import DataError, Error
from lensback.images import ImageStore
from lensback.questions import (
    COPIES,
    VIEWS,
    Outcome,
    askable,
    held_out,
    nearest,
    said,
)
from lensback.rank import Calibration
from lensback.types import Candidate, Progress, Vectors
from lensback.vectors import VectorStore

TOO_FEW = 10
"""Products below which nothing is fitted."""
ENOUGH = 60
"""Products with several views from which real views are asked for too."""
NEIGHBOURS = 60
NONE_QUANTILE = 0.01


def calibrate(
    db: Database,
    images: ImageStore,
    vectors: VectorStore,
    encoder: Encoder,
    *,
    limit: int = 600,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Fits a calibration. Raises DataError where the catalogue has too few products for one."""
    with db.read() as c:
        views = products.views(c, encoder.fingerprint)
        several = further_views(c, views)
    if len(views) < TOO_FEW:
        raise DataError(
            f"{len(views)} products with images are too few to calibrate on",
            hint="sync more stores; until then no answer is called exact",
        )
    kinds = [COPIES]
    if len(several) >= ENOUGH:
        kinds = [VIEWS, COPIES]
    chosen = _sample(several if VIEWS in kinds else views, limit, seed)
    asked = [(p, hashes[seed % len(hashes)]) for p, hashes in chosen]
    things = Things(db, images, vectors, encoder)
    cases = ask(things, asked, kinds, seed=seed, progress=progress)
    made = fit(cases, fingerprint=encoder.fingerprint, kind=" and ".join(kinds))
    return replace(made, images=vectors.count(encoder.fingerprint))


@dataclass(frozen=True, slots=True)
class Things:
    """What questions are asked with."""

    db: Database
    images: ImageStore
    vectors: VectorStore
    encoder: Encoder


def further_views(c: Connection, views: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Product -> its images that leave another view behind when they go with all their copies."""
    several = {product: hashes for product, hashes in views.items() if len(hashes) > 1}
    return askable(several, products.copies_of(c, sorted({h for v in several.values() for h in v})))


def ask(
    things: Things,
    asked: Sequence[tuple[str, str]],
    kinds: Sequence[str],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Two outcomes a question and kind, (product, image) by (product, image): with the product there,
    and with all its images held out. Kinds are VIEWS, COPIES and COPIED_VIEWS."""
    cases: list[Outcome] = []
    for n, part in enumerate(chunks(asked, 64)):
        for kind in kinds:
            queries = _queries(things, part, kind, seed + n)
            cases += _cases(things, part, queries, kind)
        if progress:
            progress(min(64 * (n + 1), len(asked)), len(asked))
    return cases


def _sample(views: dict[str, list[str]], limit: int, seed: int) -> list[tuple[str, list[str]]]:
    keys = sorted(views)
    chosen = np.random.default_rng(seed).permutation(len(keys))[:limit]
    return [(keys[at], views[keys[at]]) for at in sorted(chosen)]


def _queries(things: Things, part: Sequence[tuple[str, str]], kind: str, seed: int) -> Vectors:
    """Vectors [n, dim] of the questions."""
    queries = things.vectors.get(things.encoder.fingerprint, [image for _, image in part])
    if kind == VIEWS:
        return queries
    side_px = 2 * things.encoder.side_px
    copies = {}
    for at, (_, image_hash) in enumerate(part):
        # Where the file is gone its own vector stays: an easier case, and a rare one.
        with suppress(Error):
            copies[at] = distort(things.images.open(image_hash, side_px), seed * 1000 + at)
    queries = queries.copy()
    queries[list(copies)] = things.encoder.encode(list(copies.values()))
    return queries


def _cases(
    things: Things, part: Sequence[tuple[str, str]], queries: Vectors, kind: str
) -> list[Outcome]:
    near = things.vectors.neighbours(things.encoder.fingerprint, queries, NEIGHBOURS)
    hashes = sorted({candidate.image_hash for found in near for candidate in found})
    with things.db.read() as c:
        shows = products.of_images(c, hashes)
        copies = products.copies_of(c, [image for _, image in part])
    return [
        outcome
        for (product, image), found in zip(part, near, strict=True)
        for outcome in both(found, shows, product, held_out(image, kind, copies))
    ]


def both(
    candidates: Sequence[Candidate],
    shows: Mapping[str, Sequence[str]],
    product: str,
    hidden: Collection[str],
) -> list[Outcome]:
    """Two outcomes of what is near a picture of a product: with the product there, but without the
    images that are hidden; and with all images that show the product held out.

    `shows` are the products of each image.
    """
    there = [each for each in candidates if each.image_hash not in hidden]
    without = [each for each in candidates if product not in shows.get(each.image_hash, ())]
    return [_outcome(there, shows, product, product), _outcome(without, shows, "", product)]


def _outcome(
    candidates: Sequence[Candidate], shows: Mapping[str, Sequence[str]], right: str, asked: str
) -> Outcome:
    ranked = rank.by_product(candidates, shows)
    names = [each.product_id for each in ranked]
    return nearest([each.similarity for each in ranked], names, right, asked)


def fit(cases: Sequence[Outcome], *, fingerprint: str, kind: str) -> Calibration:
    """Logistic regression on similarity and margin, and the similarity that is still near."""
    features = np.array([[1.0, case.similarity or 0.0, case.margin] for case in cases])
    right = np.array([case.first_right for case in cases], dtype=np.float64)
    bias, similarity, margin = logistic(features, right)
    strangers = [case.similarity or 0.0 for case in cases if not case.present]
    made = Calibration(
        fingerprint=fingerprint,
        bias=float(bias),
        similarity_weight=float(similarity),
        margin_weight=float(margin),
        none_below=float(np.quantile(strangers, NONE_QUANTILE)) if strangers else -1.0,
        cases=len(cases),
        kind=kind,
        created_at=datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
    )
    sure = [said(case, made).probability or 0.0 for case in cases]
    return replace(made, reference=tuple(np.histogram(sure, 10, (0, 1))[0].tolist()))


def logistic(
    features: NDArray[np.float64], right: NDArray[np.float64], *, ridge: float = 1e-2
) -> NDArray[np.float64]:
    """Weights [d] of a ridge-penalised logistic regression, by Newton's method (IRLS).

    Targets are Platt's (1999): (n+ + 1) / (n+ + 2) and 1 / (n- + 2) instead of 1 and 0, so
    that data that can be separated do not make the probability certain.
    """
    positive = right.sum()
    negative = len(right) - positive
    target = np.where(right > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    weights = np.zeros(features.shape[1])
    penalty = ridge * np.eye(features.shape[1])
    penalty[0, 0] = 1e-9
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(features @ weights, -60, 60)))
        gradient = features.T @ (p - target) + penalty @ weights
        curvature = (features.T * np.maximum(p * (1 - p), 1e-9)) @ features + penalty
        step = np.linalg.solve(curvature, gradient)
        # A full Newton step can overshoot where p saturates.
        step *= min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return weights
