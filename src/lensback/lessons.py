"""What use teaches: which product the photo of an answer shows, by what members did with the answer.

    vote        "this is it", "this is not it"
    purchase    a sale that the store confirmed, from a click on the answer
    click       a member went from the answer to the store

A lesson is told by the vectors that the search compared; no photo is needed. Nobody bends what is learnt by
himself: only members count, whom the host service knows, and no member and no product has more than
SHARE of all lessons (docs/decisions/014-what-use-teaches.md).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, exists, func, select

from lensback import grants, metrics, rank
from lensback.catalogue import products
from lensback.counted import counted
from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import DataError
from lensback.questions import Outcome, nearest
from lensback.types import Vectors
from lensback.vectors import VectorStore

By = Literal["vote", "purchase", "click"]
STRONGEST: tuple[By, ...] = ("vote", "purchase", "click")
"""What says a lesson, the surest first. A purchase may be of another thing of the store, and a click says that
something was worth a look."""
WORTH: dict[By, float] = {"vote": 1.0, "purchase": 1.0, "click": 0.2}
"""What a lesson counts where it is learnt from."""
PEOPLE, THINGS, ENOUGH = 20, 20, 60
"""Members, products and lessons under which nothing is learnt."""
SHARE = 0.05
"""Most of the lessons that are one member's, or of one product."""
FOLDS = 5
MOST, MOST_OF_ONE = 50_000, 200
"""Newest votes, and clicks, that are looked at: in all, and of one member."""
NEIGHBOURS = 60
_CONFIRMED = ("approved", "paid")
_OTHERWISE = ("color", "words")
"""What a search may ask for beside the photo so that what is shown need not be what it shows."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What use says of one product of one answer."""

    search_id: str
    product: str
    right: bool
    """Whether the photo shows it; False: it does not."""
    by: By
    person: str
    """The member as a keyed digest, the same in votes and clicks."""
    at: int
    vectors: Vectors
    """[n, dim], of what was searched; the nearer counts."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """The lessons of one encoder, and what was left out on the way."""

    taught: tuple[Lesson, ...] = ()
    """As many as may be learnt from, newest first."""
    left_out: dict[str, int] = field(default_factory=dict)
    """By why: `again` (the same member of the same product), `contradicted`, `asked otherwise` (for another
    colour, or with words), `too many of one`."""

    def of(self, *kinds: By, right: bool | None = None) -> list[Lesson]:
        """The lessons of these kinds; only the right or the wrong ones, if said."""
        return [x for x in self.taught if x.by in kinds and right in {None, x.right}]


@dataclass(frozen=True, slots=True)
class _Said:
    """One thing that a member did with a product of an answer."""

    search_id: str
    product: str
    by: By
    right: bool
    person: str
    at: int


def lessons(db: Database, folder: Path, fingerprint: str) -> Lessons:
    """What members' votes, purchases and clicks teach of the vectors of this encoder, whose workspace is `folder`."""
    with db.read() as c:
        said = [*_votes(c, fingerprint), *_clicks(c, folder, fingerprint)]
        otherwise = _asked_otherwise(c, {one.search_id for one in said})
        left_out: Counter[str] = Counter()
        settled = _settled(said, otherwise, left_out)
        kept = heard(settled)
        left_out["too many of one"] += len(settled) - len(kept)
        vectors = _vectors(c, {one.search_id for one in kept})
    taught = tuple(
        Lesson(x.search_id, x.product, x.right, x.by, x.person, x.at, vectors[x.search_id])
        for x in kept
    )
    return Lessons(taught, dict(+left_out))


def _votes(c: Connection, fingerprint: str) -> list[_Said]:
    f = t.feedback.c
    wanted = select(f.search_id, f.product_id, f.vote, f.voter, f.at).where(f.voter != "")
    rows = _newest(c, _of_encoder(wanted, f.search_id, fingerprint), f.voter, f.at)
    return [_Said(r.search_id, r.product_id, "vote", r.vote > 0, r.voter, r.at) for r in rows]


def _clicks(c: Connection, folder: Path, fingerprint: str) -> list[_Said]:
    k, v = t.clicks.c, t.conversions.c
    sold = exists().where(
        v.click_id == k.click_id, v.status.in_(_CONFIRMED), v.review.not_in(("held", "refused"))
    )
    wanted = select(k.search_id, k.product_id, k.user_token, k.at, sold.label("sold")).where(
        k.user_token != "", k.rank.is_not(None), k.product_id != ""
    )
    rows = _newest(c, _of_encoder(wanted, k.search_id, fingerprint), k.user_token, k.at)
    who = {token: grants.owner_of(folder, token) for token in {row.user_token for row in rows}}
    return [
        _Said(
            r.search_id,
            r.product_id,
            "purchase" if r.sold else "click",
            True,
            who[r.user_token],
            r.at,
        )
        for r in rows
    ]


def _newest(c: Connection, wanted: Any, person: Any, at: Any) -> Sequence[Any]:
    """The newest rows, of one member at most MOST_OF_ONE: nobody pushes the others out of sight."""
    place = func.row_number().over(partition_by=person, order_by=at.desc()).label("place")
    numbered = wanted.add_columns(place).subquery()
    mine = select(numbered).where(numbered.c.place <= MOST_OF_ONE)
    return c.execute(mine.order_by(numbered.c.at.desc()).limit(MOST)).all()


def _of_encoder(wanted: Any, search_id: Any, fingerprint: str) -> Any:
    kept = t.searched_vectors.c
    joined = wanted.join(t.searched_vectors, kept.search_id == search_id)
    return joined.where(kept.fingerprint == fingerprint)


def _asked_otherwise(c: Connection, ids: Iterable[str]) -> set[str]:
    s = t.searches.c
    return {
        row.search_id
        for part in chunks(sorted(ids))
        for row in c.execute(select(s.search_id, s.filters).where(s.search_id.in_(part)))
        if any((row.filters or {}).get(name) for name in _OTHERWISE)
    }


def _vectors(c: Connection, ids: Iterable[str]) -> dict[str, Vectors]:
    kept, found = t.searched_vectors.c, dict[str, Vectors]()
    for part in chunks(sorted(ids)):
        query = select(kept.search_id, kept.dim, kept.halves).where(kept.search_id.in_(part))
        for row in c.execute(query):
            numbers = np.frombuffer(row.halves, "<f2").astype(np.float32).reshape(-1, row.dim)
            found[row.search_id] = numbers / np.maximum(
                np.linalg.norm(numbers, axis=1, keepdims=True), 1e-9
            )
    return found


def _settled(said: Sequence[_Said], otherwise: set[str], left_out: Counter[str]) -> list[_Said]:
    """One thing said of each product of each answer, the surest; one of each member and product, the newest.
    Where one says yes and another no, neither counts."""
    of_hit: dict[tuple[str, str], list[_Said]] = defaultdict(list)
    for one in said:
        if one.search_id in otherwise:
            left_out["asked otherwise"] += 1
        else:
            of_hit[one.search_id, one.product].append(one)
    found: dict[tuple[str, str], _Said] = {}
    for each in of_hit.values():
        surest = min(each, key=lambda one: (STRONGEST.index(one.by), -one.at))
        if any(one.right != surest.right for one in each if one.person != surest.person):
            left_out["contradicted"] += 1
            continue
        before = found.get((surest.person, surest.product))
        left_out["again"] += before is not None
        found[surest.person, surest.product] = max(
            filter(None, (before, surest)), key=lambda one: (-STRONGEST.index(one.by), one.at)
        )
    return sorted(found.values(), key=lambda one: (-one.at, one.search_id, one.product))


def heard(said: Sequence[Any]) -> list[Any]:
    """Those that may be learnt from, in their order: no member and no product has more than SHARE of votes and
    purchases, nor of clicks. Each apart, since a click is worth less, and many of them would leave room for one
    member's votes. Whoever learns from a choice of lessons asks again: of fewer a twentieth is less."""
    kept = {
        id(one)
        for clicks in (False, True)
        for one in fair(
            [one for one in said if (one.by == "click") is clicks],
            lambda one: (one.person, one.product),
            SHARE,
        )
    }
    return [one for one in said if id(one) in kept]


def fair(rows: Sequence[Any], keys: Callable[[Any], tuple[str, ...]], share: float) -> list[Any]:
    """The first of the rows, so many that no key has more than `share` of them; every place of `keys` is
    held to that. Too few different keys leave nothing.

    >>> len(fair(["a"] * 50 + list("bcdefghijk"), lambda one: (one,), share=0.25))
    13
    """
    kept = list(rows)
    while kept:
        before = len(kept)
        for place in range(len(keys(kept[0]))):
            kept = _capped(kept, [keys(one)[place] for one in kept], share)
            if not kept:
                return []
        if len(kept) == before:
            break
    return kept


def _capped(rows: list[Any], names: list[str], share: float) -> list[Any]:
    counts = Counter(names).values()
    # What is left grows slower than the limit: from some limit on no larger one is kept to.
    most = bisect_left(
        range(1, max(counts) + 1),
        True,
        key=lambda limit: limit > share * sum(min(n, limit) for n in counts),
    )
    seen: Counter[str] = Counter()
    kept = []
    for row, name in zip(rows, names, strict=True):
        seen[name] += 1
        if seen[name] <= most:
            kept.append(row)
    return kept


def check_enough(taught: Sequence[Lesson], *, learning: bool) -> None:
    """Raises DataError where these lessons are too few to learn from, or all are clicks, which nothing is judged
    by; `learning`: the setting is on."""
    people, things = {x.person for x in taught}, {x.product for x in taught}
    judges = sum(x.by != "click" for x in taught)
    if len(taught) >= ENOUGH and len(people) >= PEOPLE and len(things) >= THINGS and judges:
        return
    has = (
        f"{counted(len(taught), 'lesson')} of {counted(len(people), 'member')} about {counted(len(things), 'product')}, "
        f"{counted(judges, 'vote or purchase', 'votes and purchases')} among them"
    )
    wait = (
        "wait until members voted and bought"
        if learning
        else "set learn_from_use = true in lensback.toml, and restart serve"
    )
    raise DataError(
        f"too few to learn from: {has}",
        hint=f"{ENOUGH} of {PEOPLE} members about {THINGS} products are needed, and votes or purchases of "
        f"{PEOPLE} members among them: {wait}",
    )


def folds(people: Sequence[str], things: Sequence[str]) -> Iterator[tuple[list[int], list[int]]]:
    """Rows to learn from and rows to judge by, for each of FOLDS times FOLDS parts; each row is judged once, by what
    was learnt from neither its member nor its thing.

    >>> held = [row for _, rows in folds(["a", "b", "b"], ["x", "x", "y"]) for row in rows]
    >>> sorted(held)
    [0, 1, 2]
    """
    by_person, by_thing = _numbered(people), _numbered(things)
    places = list(zip(by_person, by_thing, strict=True))
    for cell in sorted(set(places)):
        held = [row for row, place in enumerate(places) if place == cell]
        learn = [n for n, (a, b) in enumerate(places) if a != cell[0] and b != cell[1]]
        yield learn, held


def gain(
    after: Sequence[float], before: Sequence[float], people: Sequence[str]
) -> tuple[float, float, float]:
    """After less before, and its 95 % interval by members; where none can be drawn, all that it may be. All
    nothing where nobody was asked."""
    found = metrics.paired_difference(after, before, people)
    if found.value is None:
        return 0.0, 0.0, 0.0
    low, high = (-1.0, 1.0) if found.low is None or found.high is None else (found.low, found.high)
    return found.value, low, high


def _numbered(names: Sequence[str]) -> list[int]:
    place = {name: n % FOLDS for n, name in enumerate(sorted(set(names)))}
    return [place[name] for name in names]


def outcomes(
    db: Database, store: VectorStore, fingerprint: str, taught: Sequence[Lesson]
) -> list[Outcome]:
    """What a search of the whole catalogue would make of each lesson now. Where a lesson says that its product
    is not it, and another one is nearest by now, nothing is known: such ones are left out, and so are those
    whose product is not on sale under that name any more. Each outcome's `cluster` is its member, its slice
    `kind` what said it."""
    made: list[Outcome] = []
    for part in chunks(taught, 64):
        found = store.neighbours(
            fingerprint, np.concatenate([one.vectors for one in part]), NEIGHBOURS
        )
        ends = np.cumsum([len(one.vectors) for one in part]).tolist()
        near = [
            rank.nearer(found[end - len(one.vectors) : end])
            for one, end in zip(part, ends, strict=True)
        ]
        hashes = sorted({candidate.image_hash for each in near for candidate in each})
        with db.read() as c:
            shows = products.of_images(c, hashes)
            sold = products.on_sale(c, {one.product for one in part})
        for one, each in zip(part, near, strict=True):
            if one.product not in sold:
                continue
            ranked = rank.by_product(each, shows)
            names = [r.product_id for r in ranked]
            outcome = nearest([r.similarity for r in ranked], names, one.product)
            if not one.right and outcome.first != one.product:
                continue
            if not one.right:
                outcome = replace(outcome, product="", rank=None, first_right=False, relevant=0)
            made.append(replace(outcome, cluster=one.person, slices={"kind": one.by}))
    return made
