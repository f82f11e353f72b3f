"""Fits how similarity and margin become a match probability, on held-out views of the catalogue.

Two kinds of questions are asked. "Other views": one image of a product is taken out, with its
copies at other stores, and another view of the product must be found. "Distorted copies": an
image as a phone would take it must find itself. Each question is asked twice, with the product
there and with all of its images held out, so that the probability is right where half of the
shoppers photograph a thing that nobody sells. Where too few products have several views,
distorted copies stand alone, which makes the probability optimistic; the calibration says so.

A picture is asked as a shopper's photo is searched: by the region that the detector finds in it,
and whole, the nearer counting. The lines of "none" (`lensback.lines`) are drawn by what is on sale:
the same distorted copies, each without the picture that it was made of, so that another view is the
nearest. Nothing in a catalogue is as far from it as what other people wear in the street, so
strangers of its own would draw them too low.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lensback import rank
from lensback.catalogue import products
from lensback.catalogue.pictured import pictured
from lensback.counted import counted
from lensback.db import Connection, Database, chunks
from lensback.detectors import Detector
from lensback.detectors.whole import WholeDetector
from lensback.distort import distort
from lensback.encoders import Encoder
from lensback.errors import DataError, Error
from lensback.images import ImageStore, crop
from lensback.lines import OnSale, drawn
from lensback.mapped import NameLists, in_name_order
from lensback.questions import (
    COPIED_VIEWS,
    COPIES,
    VIEWS,
    Outcome,
    askable,
    held_out,
    nearest,
    said,
)
from lensback.rank import Calibration, HeldOut, nearer
from lensback.search.kinds import kinds_of
from lensback.search.looking import likeliest
from lensback.session import processors
from lensback.types import WHOLE, Candidate, Progress, Vectors
from lensback.vectors import VectorStore

TOO_FEW = 10
"""Products below which nothing is fitted."""
ENOUGH = 60
"""Products with several views from which real views are asked for too."""
NEIGHBOURS = 60
TOGETHER = 16
"""Rounds of 64 pictures that are asked in one go through all vectors."""
FAR = 150
"""Pictures of products with a single view that are asked, at most, for their part of the lines of "none"."""
COPY_NEARER = 0.85
"""Similarity of the farthest distorted other views as a share of that of the farthest distorted copies:
.85 to .88 on luma, wherever the farthest begin (docs/measured.md)."""
AS_IT_IS, DISTORTED = "as it is", "distorted"
"""How a picture is asked."""
Seen = Mapping[str, Vectors]
"""What is compared of one picture, for each way of asking: vectors [n, dim]."""


def calibrate(
    db: Database,
    images: ImageStore,
    vectors: VectorStore,
    encoder: Encoder,
    *,
    detector: Detector | None = None,
    exact_from: float = 0.95,
    limit: int = 400,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Fits a calibration for photos in which `detector` finds what is searched (without one they are
    searched whole). Raises DataError where the catalogue has too few products for one."""
    with db.read() as c:
        views = products.views(c, encoder.fingerprint)
        several = further_views(c, views)
    if len(views) < TOO_FEW:
        raise DataError(
            f"too few to calibrate on: {counted(len(views), 'product')} with images",
            hint="sync more stores; until then no answer is called exact",
        )
    real = len(several) >= ENOUGH
    kinds = [VIEWS, COPIES] if real else [COPIES]
    asked = _pictures(several if real else views, limit, seed)
    things = Things(db, images, vectors, encoder, detector or WholeDetector())
    found = ask(things, asked, kinds, several, seed=seed, progress=progress)
    sold = found.sold
    if real:
        sold = [*sold, *single(things, views, several, len(asked), seed)]
    made = fit(
        found.cases,
        fingerprint=encoder.fingerprint,
        kind=" and ".join(kinds),
        sold=sold,
        exact_from=exact_from,
    )
    return replace(made, images=vectors.count(encoder.fingerprint))


@dataclass(frozen=True, slots=True)
class Things:
    """What questions are asked with."""

    db: Database
    images: ImageStore
    vectors: VectorStore
    encoder: Encoder
    detector: Detector = field(default_factory=WholeDetector)


def further_views(c: Connection, views: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """Product -> its images that leave another view behind when they go with all their copies."""
    several = (each for each in in_name_order(views) if len(each[1]) > 1)
    return NameLists(
        pair
        for part in chunks(several)
        for pair in askable(
            dict(part), products.copies_of(c, sorted({h for _, own in part for h in own}))
        ).items()
    )


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of pictures that were asked."""

    cases: list[Outcome]
    """Two a question and kind: with the product there, and with all its images held out."""
    sold: list[OnSale]
    """What is nearest to each distorted copy, the hardest questions: without the picture itself, so that
    another view is found; of pictures without another view the copy's own, nearer by COPY_NEARER."""


def ask(
    things: Things,
    asked: Sequence[tuple[str, str]],
    kinds: Sequence[str],
    several: Mapping[str, Sequence[str]],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Answers:
    """Asks (product, image) by (product, image), each once as it is and once distorted, as `kinds` want it:
    VIEWS, COPIES and COPIED_VIEWS. `several` are the images that leave another view behind (`further_views`)."""
    copied, found = [kind for kind in kinds if kind != VIEWS], Answers([], [])
    ways = [way for way, wanted in ((AS_IT_IS, VIEWS in kinds), (DISTORTED, copied)) if wanted]
    parts = list(chunks(asked, 64))
    with _seen(things, parts, ways, seed) as seen:
        for rounds in chunks(_rounds(parts, ways, seen, progress), TOGETHER):
            for one, near in zip(rounds, _near(things, rounds), strict=True):
                answered = _asked(things, one.part, near)
                for kind in copied if one.way == DISTORTED else [VIEWS]:
                    found.cases.extend(_cases(answered, one.part, kind))
                if one.way == DISTORTED:
                    found.sold.extend(_on_sale(things.db, answered, one.part, several))
    return found


@dataclass(frozen=True, slots=True)
class _Round:
    """Pictures that are asked in one way."""

    part: Sequence[tuple[str, str]]
    way: str
    queries: Sequence[Vectors]
    """[n, dim] for each picture: what it compares, the nearer counting."""


def _rounds(
    parts: Sequence[Sequence[tuple[str, str]]],
    ways: Sequence[str],
    seen: Iterator[list[Seen]],
    progress: Progress | None,
) -> Iterator[_Round]:
    done, total = 0, sum(map(len, parts))
    for part, queries in zip(parts, seen, strict=True):
        for way in ways:
            yield _Round(part, way, [one[way] for one in queries])
        done += len(part)
        if progress:
            progress(done, total)


def single(
    things: Things,
    views: Mapping[str, Sequence[str]],
    several: Mapping[str, Sequence[str]],
    asked: int,
    seed: int = 0,
) -> list[OnSale]:
    """What is nearest to copies of products without another view, as many of them to the `asked` products
    with `several` as are on sale, FAR at most: nothing else would draw the line of their kinds."""
    alone = NameLists(each for each in in_name_order(views) if each[0] not in several)
    many = min(FAR, round(asked * len(alone) / max(1, len(several))))
    return ask(things, _pictures(alone, many, seed), [COPIES], several, seed=seed).sold


def _pictures(views: Mapping[str, Sequence[str]], limit: int, seed: int) -> list[tuple[str, str]]:
    """Products drawn by chance, each with one of its images."""
    chosen = set(np.random.default_rng(seed).permutation(len(views))[:limit].tolist())
    drawn = (each for at, each in enumerate(in_name_order(views)) if at in chosen)
    return [(product, images[seed % len(images)]) for product, images in drawn]


@contextmanager
def _seen(
    things: Things, parts: Sequence[Sequence[tuple[str, str]]], ways: Sequence[str], seed: int
) -> Iterator[Iterator[list[Seen]]]:
    """What is compared of the pictures of each part, made ahead: pictures side by side, each model on one
    thread, are done sooner than one after the other."""
    pool = ThreadPoolExecutor(processors(), thread_name_prefix="ask")
    try:
        made = [
            [
                pool.submit(_compared, things, ways, 1000 * (seed + n) + at, image)
                for at, (_, image) in enumerate(part)
            ]
            for n, part in enumerate(parts)
        ]
        yield (_with_stored(things, *each) for each in zip(parts, made, strict=True))
    finally:
        pool.shutdown(cancel_futures=True)


def _with_stored(
    things: Things, part: Sequence[tuple[str, str]], made: Sequence[Future[Seen]]
) -> list[Seen]:
    """The vectors [n, dim] that each question compares, the nearer counting: the picture's own, stored one is
    the whole of one that is asked as it is, and stands for one whose file is gone: an easier case, and a
    rare one."""
    stored = things.vectors.get(things.encoder.fingerprint, [image for _, image in part])
    return [
        {
            way: own
            if way == DISTORTED and len(own)
            else np.concatenate([own, stored[at : at + 1]])
            for way, own in one.result().items()
        }
        for at, one in enumerate(made)
    ]


def _compared(things: Things, ways: Sequence[str], seed: int, image_hash: str) -> Seen:
    """What a search compares of a picture, asked in each of the ways, without its whole where that is stored;
    nothing where the file is gone."""
    nothing = np.empty((0, things.encoder.dim), np.float32)
    crops: list[list[Image.Image]] = []
    try:
        picture = things.images.open(image_hash, 2 * things.encoder.side_px)
    except Error:
        return dict.fromkeys(ways, nothing)
    for way in ways:
        shown = distort(picture, seed) if way == DISTORTED else picture
        boxes = likeliest(things.detector.find(shown))
        crops.append([crop(shown, box) for box in boxes if way == DISTORTED or box != WHOLE])
    shown_parts = [one for each in crops for one in each]
    vectors = things.encoder.encode(shown_parts) if shown_parts else nothing
    ends = np.cumsum([len(each) for each in crops])
    return dict(zip(ways, np.split(vectors, ends[:-1]), strict=True))


def _near(things: Things, rounds: Sequence[_Round]) -> Iterator[list[list[Candidate]]]:
    """What is near each picture of each round, the nearest first; all are asked in one go through the vectors."""
    every = np.concatenate([own for one in rounds for own in one.queries])
    found = iter(things.vectors.neighbours(things.encoder.fingerprint, every, NEIGHBOURS))
    for one in rounds:
        yield [nearer(list(islice(found, len(own)))) for own in one.queries]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Pictures that were asked, all with what is known of them."""

    near: list[list[Candidate]]
    """What is near each, the nearest first."""
    shows: Mapping[str, Sequence[str]]
    """Products of each image that is near one of them."""
    copies: Mapping[str, Collection[str]]
    """The same photograph at other stores, of each picture."""


def _asked(things: Things, part: Sequence[tuple[str, str]], near: list[list[Candidate]]) -> _Asked:
    hashes = sorted({candidate.image_hash for found in near for candidate in found})
    with things.db.read() as c:
        shows = products.of_images(c, hashes)
        copies = products.copies_of(c, [image for _, image in part])
    return _Asked(near, shows, copies)


def _cases(asked: _Asked, part: Sequence[tuple[str, str]], kind: str) -> list[Outcome]:
    return [
        outcome
        for (product, image), found in zip(part, asked.near, strict=True)
        for outcome in both(found, asked.shows, product, held_out(image, kind, asked.copies))
    ]


def _on_sale(
    db: Database,
    asked: _Asked,
    part: Sequence[tuple[str, str]],
    several: Mapping[str, Sequence[str]],
) -> list[OnSale]:
    first: list[tuple[Candidate | None, float]] = []
    for (product, image), found in zip(part, asked.near, strict=True):
        further = image in several.get(product, ())
        hidden = held_out(image, COPIED_VIEWS if further else COPIES, asked.copies)
        left = (one for one in found if one.image_hash not in hidden)
        nearest = next((one for one in left if asked.shows.get(one.image_hash)), None)
        first.append((nearest, 1.0 if further else COPY_NEARER))
    told = pictured(db, [one.image_hash for one, _ in first if one])
    kinds = kinds_of(told.categories)
    return [
        OnSale(worth * one.similarity, kinds.get(one.image_hash, frozenset()))
        if one
        else OnSale(0.0)
        for one, worth in first
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


def fit(
    cases: Sequence[Outcome],
    *,
    fingerprint: str,
    kind: str,
    sold: Sequence[OnSale] = (),
    exact_from: float = 0.95,
) -> Calibration:
    """Logistic regression on similarity and margin, and the similarity that is still near; with what it
    says of questions held out, by twofold cross-validation over products.

    `sold` is what is nearest to photos of what is on sale (`ask`), if known.
    """
    made = _fitted(cases, fingerprint, kind, sold)
    sure = [said(case, made).probability or 0.0 for case in cases]
    reference = tuple(np.histogram(sure, 10, (0, 1))[0].tolist())
    return replace(made, reference=reference, held_out=_held_out(cases, sold, exact_from))


def _held_out(
    cases: Sequence[Outcome], sold: Sequence[OnSale], exact_from: float
) -> HeldOut | None:
    halves = [[case for case in cases if _half(case.cluster) == half] for half in (0, 1)]
    if min(len({case.cluster for case in half}) for half in halves) < TOO_FEW:
        return None
    told: list[Outcome] = []
    none = 0
    for half in (0, 1):
        other = _fitted(halves[1 - half], "", "", sold[1 - half :: 2])
        told += [said(case, other, exact_from) for case in halves[half]]
        none += sum(one.similarity < other.line(one.kinds) for one in sold[half::2])
    exact = [case for case in told if case.verdict == "exact"]
    return HeldOut(
        exact_from=exact_from,
        sold=sum(case.present for case in told),
        exact=len(exact),
        exact_right=sum(case.first_right for case in exact),
        far=len(sold),
        far_none=none,
    )


def _half(product: str) -> int:
    """Stable, and even over many products."""
    return zlib.crc32(product.encode()) % 2


def _fitted(
    cases: Sequence[Outcome], fingerprint: str, kind: str, sold: Sequence[OnSale]
) -> Calibration:
    features = np.array([[1.0, case.similarity or 0.0, case.margin] for case in cases])
    right = np.array([case.first_right for case in cases], dtype=np.float64)
    bias, similarity, margin = logistic(features, right)
    lines = drawn(sold, [case.similarity or 0.0 for case in cases if not case.present])
    return Calibration(
        fingerprint=fingerprint,
        bias=float(bias),
        similarity_weight=float(similarity),
        margin_weight=float(margin),
        none_below=lines.common,
        none_below_of=dict(lines.of_kind),
        cases=len(cases),
        kind=kind,
        created_at=datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
    )


def logistic(
    features: NDArray[np.float64],
    right: NDArray[np.float64],
    *,
    ridge: float = 1e-2,
    towards: Sequence[float] = (),
) -> NDArray[np.float64]:
    """Weights [d] of a ridge-penalised logistic regression, by Newton's method (IRLS); the ridge draws
    them `towards` these, 0 unless said, but for the first.

    Targets are Platt's (1999): (n+ + 1) / (n+ + 2) and 1 / (n- + 2) instead of 1 and 0, so
    that data that can be separated do not make the probability certain.
    """
    positive = right.sum()
    negative = len(right) - positive
    target = np.where(right > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    drawn_to = np.asarray(towards or np.zeros(features.shape[1]), float)
    weights = drawn_to.copy()
    penalty = ridge * np.eye(features.shape[1])
    penalty[0, 0] = 1e-9

    def loss(at: NDArray[np.float64]) -> float:
        z, away = features @ at, at - drawn_to
        return float((np.logaddexp(0, z) - target * z).sum() + away @ penalty @ away / 2)

    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(features @ weights, -60, 60)))
        gradient = features.T @ (p - target) + penalty @ (weights - drawn_to)
        curvature = (features.T * np.maximum(p * (1 - p), 1e-9)) @ features + penalty
        step = np.linalg.solve(curvature, gradient)
        # A full Newton step can overshoot where p saturates.
        step *= min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        while np.abs(step).max() >= 1e-8 and loss(weights - step) > loss(weights):
            step /= 2
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return weights
