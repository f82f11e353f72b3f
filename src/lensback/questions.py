"""The question engine: pictures whose product is known, asked of a catalogue, and what became of each.

Whoever wants to know how good answers are asks in one way, and keeps one record:

    Question        a picture of a product; asked as it is, or as a phone would take it
       |            held out: nothing (a copy must find its original), the picture with all that
       |            are the same photograph (another view must be found), or the whole product
       v            (nothing is right any more)
    similarity of the nearest picture of each product that is left
       |            from a `Gallery` in memory, from the stored vectors, or from a whole search
       v  nearest
    Outcome         first product, similarity, margin, rank of the right one
       |  said      by a calibration: match probability, verdict
       v  judge     against what is right: the kind of error, whether "exact" was right
    Outcome         what is fitted on, promised by, counted and shown

`calibrate` fits on outcomes, `promise` chooses thresholds by them, `evaluate` counts them on a
folder and on the live service, `train` asks its held-out families. Pure: no database, no model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensback import metrics
from lensback.rank import Calibration
from lensback.types import Vectors

VIEWS, COPIES = "other views", "distorted copies"
COPIED_VIEWS = "other views, distorted"
"""How is asked. The last is the hardest: another view, as a phone would take it."""
GONE = -2.0
"""Similarity of a product whose pictures are all held out: below every cosine."""
SHOWN = 5
"""Products of an answer that an outcome keeps."""

RIGHT = ""
MISSED, WRONG_COLOUR, WRONG_PRODUCT = "missed", "wrong colour", "wrong product"
UNDETECTED, MISLED, LOOKALIKES = "not detected", "misled", "look-alikes"
UNREADABLE = "unreadable"
ERRORS = (MISSED, WRONG_COLOUR, WRONG_PRODUCT, UNDETECTED, MISLED, LOOKALIKES, UNREADABLE)
"""Why an answer is not the right one. The thing is sold: `missed` (none was said), `wrong colour`
or `wrong product` (what was shown first), `not detected` (the region searched is not the item's).
Nobody sells it: `misled` (something was called exact), `look-alikes` (similar things were shown,
nothing was claimed). `unreadable`: the photo was refused, which counts as a miss."""


@dataclass(frozen=True, slots=True)
class ShownProduct:
    """One product of an answer, as the report shows it."""

    product: str
    title: str
    image: str
    """Path of the picture, absolute; empty where there is none."""
    similarity: float
    probability: float | None
    exact: bool
    right: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question."""

    photo: str = ""
    """Path, absolute; empty where a stored picture was asked."""
    product: str = ""
    """Relevance group that is right; empty: nobody sells it, or all of it was held out."""
    verdict: str = ""
    """`exact`, `similar`, `none`; empty where there is no calibration or the photo was refused."""
    probability: float | None = None
    """Match probability of the first hit; None without a calibration."""
    similarity: float | None = None
    """Of the first hit; None where nothing was found at all."""
    rank: int | None = None
    """1-based place of the first right product among those shown; None: not among them."""
    relevant: int = 0
    """Right items in the gallery."""
    average_precision: float | None = None
    """None for a question without an answer."""
    error: str = RIGHT
    """One of ERRORS, or empty: right first (or honestly none)."""
    exact_right: bool | None = None
    """Whether what was called exact is right; None: nothing was called exact."""
    exact_wrong_colour: bool = False
    first_right: bool = False
    """The first product shown is right; False for a question without an answer."""
    cluster: str = ""
    """Questions of one cluster go together, in a draw of the bootstrap or one for all: the product
    asked with, held out or not, else the photo."""
    iou: float | None = None
    """Of the region searched with the box given; None where no box was given."""
    total_ms: float | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    slices: Mapping[str, str] = field(default_factory=dict)
    """`category`, `store`, `kind` (of photo), `price` (band); only those that are known."""
    title: str = ""
    """Of the right product, where it is known."""
    image: str = ""
    """A picture of the right product in the gallery; absolute path, or empty."""
    hits: tuple[ShownProduct, ...] = ()
    """The first five products of the answer."""
    first: str = ""
    """Product that is nearest, shown or not; empty: nothing was found, or a search did not tell."""
    margin: float = 0.0
    """Lead of the first over the second in similarity; 0 without a second, or not known."""

    @property
    def present(self) -> bool:
        """Whether the thing in the photo is there to be found."""
        return bool(self.product)


# ---- what is held out


def with_copies(pictures: Iterable[str], copies: Mapping[str, Collection[str]]) -> set[str]:
    """The pictures, and every other picture that is the same photograph.

    >>> sorted(with_copies(["a", "b"], {"a": {"a at another store"}}))
    ['a', 'a at another store', 'b']
    """
    return {each for picture in pictures for each in (picture, *copies.get(picture, ()))}


def held_out(picture: str, kind: str, copies: Mapping[str, Collection[str]]) -> set[str]:
    """What goes for a question of this kind: nothing for a distorted copy, which must find its
    original; else the picture with its copies at other stores, so that another view must be found.

    >>> held_out("a", COPIES, {"a": {"b"}}), sorted(held_out("a", VIEWS, {"a": {"b"}}))
    (set(), ['a', 'b'])
    """
    return set() if kind == COPIES else with_copies([picture], copies)


def askable(
    views: Mapping[str, Collection[str]], copies: Mapping[str, Collection[str]]
) -> dict[str, list[str]]:
    """Product -> its pictures that leave another view behind when they go with all their copies.

    Where another store shows the same photograph, two pictures are one view: taken out together
    they would leave nothing that could be found.

    >>> askable({"shoe": ["front", "front again", "side"], "hat": ["one"]}, {
    ...     "front": {"front again"}, "front again": {"front"}})
    {'shoe': ['front', 'front again', 'side']}
    >>> askable({"shoe": ["front", "front again"]}, {"front": {"front again"}})
    {'shoe': ['front again']}
    """
    left = {
        product: sorted(p for p in pictures if set(pictures) - with_copies([p], copies))
        for product, pictures in views.items()
    }
    return {product: pictures for product, pictures in left.items() if pictures}


# ---- what is near


@dataclass(frozen=True)
class Gallery:
    """Pictures in memory, to be searched in whole."""

    vectors: Vectors
    """[pictures, dim], unit vectors."""
    product: Sequence[str]
    """Of each picture."""

    @cached_property
    def _numbered(self) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
        names, place = np.unique(np.asarray(self.product, dtype=str), return_inverse=True)
        return names, place.astype(np.int64)

    @cached_property
    def products(self) -> list[str]:
        """Every product, in order of name."""
        return [str(name) for name in self._numbered[0]]

    @property
    def place(self) -> NDArray[np.int64]:
        """Picture -> place of its product among `products`."""
        return self._numbered[1]

    @cached_property
    def _by_product(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pictures in order of product, and where each product begins."""
        order = np.argsort(self.place, kind="stable")
        return order, np.searchsorted(self.place[order], np.arange(len(self.products)))

    def best(self, queries: Vectors, hidden: NDArray[np.bool_] | None = None) -> Vectors:
        """[queries, products]: similarity of the nearest picture of each product; GONE where all of
        its pictures are `hidden` ([queries, pictures])."""
        similar = queries @ self.vectors.T
        if hidden is not None:
            similar[hidden] = GONE
        order, starts = self._by_product
        return np.asarray(np.maximum.reduceat(similar[:, order], starts, axis=1), np.float32)


def nearest(best: ArrayLike, names: Sequence[str], product: str, asked: str = "") -> Outcome:
    """The outcome of one question, before anything is said: what is first, and where the right one is.

    `best` is the similarity of each of the products `names`, GONE where it is held out. `product`
    is the right one, empty where nothing is; it need not be among those found. `asked` names the
    product of the picture, where it is not the right one because all of it was held out.

    >>> found = nearest([0.5, 0.9, GONE], ["hat", "shoe", "bag"], "hat")
    >>> found.first, found.margin, found.rank, found.first_right
    ('shoe', 0.4, 2, False)
    >>> nearest([0.9, 0.9], ["hat", "shoe"], "hat").rank  # a tie counts against us
    2
    >>> nearest([GONE], ["hat"], "").similarity is None
    True
    """
    values = np.asarray(best)
    left = values > GONE
    known = Outcome(product=product, relevant=int(bool(product)), cluster=asked or product)
    if not left.any():
        return known
    first = int(values.argmax())
    others = np.delete(values, first)
    lead = float(values[first]) - float(others.max()) if left.sum() > 1 else 0.0
    rank = None
    right = names.index(product) if product in names else -1
    if right >= 0 and left[right]:
        itself = np.arange(len(values)) == right
        rank = int(metrics.ranks(values[None], itself[None], (left & ~itself)[None])[0])
    return replace(
        known,
        first=names[first],
        similarity=float(values[first]),
        margin=lead,
        rank=rank,
        first_right=rank == 1,
    )


def twice(best: Vectors, names: Sequence[str], right: int) -> list[Outcome]:
    """The question with its product there, and with the whole product held out: the match
    probability must be right where half of the shoppers photograph what nobody sells."""
    without = best.copy()
    without[right] = GONE
    return [nearest(best, names, names[right]), nearest(without, names, "", names[right])]


# ---- what is said, and whether it is right


def said(outcome: Outcome, calibration: Calibration | None, exact_from: float = 1.0) -> Outcome:
    """The outcome with the match probability and verdict that a search gives; unchanged without a
    calibration."""
    if calibration is None:
        return outcome
    similarity = outcome.similarity
    if similarity is None or similarity < calibration.none_below:
        return replace(outcome, probability=0.0, verdict="none")
    sure = calibration.probability(similarity, outcome.margin)
    return replace(outcome, probability=sure, verdict="exact" if sure >= exact_from else "similar")


def judge(
    outcome: Outcome,
    hits: Sequence[ShownProduct],
    places: Sequence[int],
    *,
    other_colours: Collection[str] = (),
    undetected: bool = False,
) -> Outcome:
    """The outcome with what its answer was worth.

    `hits` are all products shown, best first, each with whether it is right; `places` the ranks of
    the right ones, also where nothing is shown; `other_colours` the products that are the right
    model in another colour. `undetected`: the region searched is not the item's.
    """
    right = bool(hits and hits[0].right)
    claimed = next((hit for hit in hits if hit.exact), None)
    return replace(
        outcome,
        rank=min(places, default=None),
        average_precision=metrics.average_precision(places, outcome.relevant),
        first_right=bool(places) and min(places) == 1,
        error=_error(outcome, hits, other_colours, right=right, undetected=undetected),
        exact_right=None if claimed is None else claimed.right,
        exact_wrong_colour=claimed is not None
        and not claimed.right
        and claimed.product in other_colours,
        hits=tuple(hits[:SHOWN]),
    )


def _error(
    outcome: Outcome,
    hits: Sequence[ShownProduct],
    other_colours: Collection[str],
    *,
    right: bool,
    undetected: bool,
) -> str:
    if not outcome.present:
        if outcome.verdict == "exact":
            return MISLED
        return LOOKALIKES if hits else RIGHT
    if undetected:
        return UNDETECTED
    if not hits:
        return MISSED
    if right:
        return RIGHT
    return WRONG_COLOUR if hits[0].product in other_colours else WRONG_PRODUCT
