"""offers -> products: offers of the same thing (same colour, any size, any store) become one.

A conservative union. Inside a store, sizes of one colourway join by item group and colour.
Across stores, GTIN, then brand and manufacturer's number, then the very same photograph link
what is left, and only where the evidence is unambiguous: a number or a photograph that one
store uses for two different things proves nothing. Every link keeps its reason.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from lensback import colors, log, mapped
from lensback.catalogue import products
from lensback.catalogue.products import Link, Member
from lensback.db import Connection, Database, chunks
from lensback.errors import Error
from lensback.images import ImageStore
from lensback.indexes.nearby import nearby
from lensback.likeness import (
    SAME_PHOTOGRAPH,
    SIGNATURE_BYTES,
    Signature,
    drawn,
    likeness,
    signature,
)
from lensback.mapped import Records
from lensback.showings import Doubt, Showings, agreed
from lensback.types import Candidate, Progress, Tally, Vectors
from lensback.vectors import VectorStore

NEIGHBOURS = 10
NEAR = 0.6
"""Cosine under which two images are not even compared."""
REMEMBERED = 20_000
"""Pictures whose signatures are made once."""
MANY = 3000
"""From so many new images on, all are sorted into partitions first: that costs what comparing these with each costs."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Which evidence counts. `codes` off hides GTIN and MPN, to measure what pictures do alone."""

    codes: bool = True
    pictures: bool = True


@dataclass(slots=True)
class _Variant:
    """What a component already says of itself, so that a link cannot contradict it."""

    colors: dict[tuple[int, str], str] = field(default_factory=dict)
    stores: set[int] = field(default_factory=set)
    brands: set[str] = field(default_factory=set)

    def text(self) -> str:
        """All of it as text, a tenth of its size: there is one for each thing that several stores sell."""
        colors = [[store, group, color] for (store, group), color in self.colors.items()]
        return json.dumps([colors, [*self.stores], [*self.brands]])

    @classmethod
    def of(cls, text: str) -> _Variant:
        """What `text` says."""
        told, stores, brands = json.loads(text)
        return cls({(store, group): color for store, group, color in told}, {*stores}, {*brands})


class _Links:
    """Links in the order they were made, in a file: there are nearly as many as offers."""

    def __init__(self) -> None:
        self._kept, self._reasons = Records("=iibd"), list[str]()

    def add(self, link: Link) -> None:
        if link.reason not in self._reasons:
            self._reasons.append(link.reason)
        self._kept.add(link.a, link.b, self._reasons.index(link.reason), link.score)

    def __iter__(self) -> Iterator[Link]:
        for a, b, why, score in self._kept:
            yield Link(a, b, self._reasons[why], score)


class _Union:
    """Union-find over database ids, in a file, plus the facts of linked components."""

    def __init__(self, size: int) -> None:
        steps = (
            np.arange(at, min(at + mapped.BLOCK, size + 1))
            for at in range(0, size + 1, mapped.BLOCK)
        )
        self._parent = mapped.collected(steps, np.int32).data
        self._facts: dict[int, str] = {}
        self.links = _Links()

    def root(self, key: int) -> int:
        parent = self._parent
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def join(self, a: int, b: int, reason: str, score: float = 1.0) -> None:
        """Makes two components one; they are different ones."""
        low, high = sorted((self.root(a), self.root(b)))
        self._parent[high] = low
        self.links.add(Link(min(a, b), max(a, b), reason, score))
        if (facts := self._facts.pop(high, None)) is not None:
            self._merge(low, _Variant.of(facts))

    def note(self, member: Member) -> None:
        """Takes down what a member says, before its component is linked."""
        facts = _Variant({}, {member.store}, {member.brand} - {""})
        if member.color:
            facts.colors[member.store, member.group] = member.color
        self._merge(self.root(member.id), facts)

    def _merge(self, root: int, more: _Variant) -> None:
        known = self._facts.get(root)
        facts = _Variant.of(known) if known is not None else _Variant()
        facts.colors |= more.colors
        facts.stores |= more.stores
        facts.brands |= more.brands
        self._facts[root] = facts.text()

    def contradiction(self, a: int, b: int, *, one_per_store: bool, names: bool) -> str:
        """Why two components cannot be one thing; "" if nothing speaks against it.

        `names` compares the stores' words for colours too: a number may stand for a model in
        all its colours, a photograph shows its own. Both have been noted before.
        """
        one, two = (_Variant.of(self._facts[self.root(key)]) for key in (a, b))
        shared = one.colors.keys() & two.colors.keys()
        if any(one.colors[key] != two.colors[key] for key in shared):
            return "two colours of one item group"
        if names and colors.differ(one.colors.values(), two.colors.values()):
            return "two colours"
        if one_per_store and one.stores & two.stores:
            return "two things of one store"
        if one_per_store and one.brands and two.brands and not one.brands & two.brands:
            return "two brands"
        return ""


def group(
    db: Database, *, images: ImageStore | None = None, evidence: Evidence | None = None
) -> Tally:
    """Groups all offers on sale anew and writes what changed. done = products.

    Of pictures that things show which have nothing to do with each other, the pixels are looked at
    in `images`; without it, such a picture is taken for a photograph.
    """
    begin = time.perf_counter()
    evidence = evidence or Evidence()
    tally = Tally("group")
    doubts = _doubts(db, images)
    products.replace_doubts(db, doubts)
    with db.read() as c:
        size = products.max_id(c)
        union = _Union(size)
        for members, reason in _within_stores(c):
            for member in members[1:]:
                union.join(members[0].id, member.id, reason)
        for found, reason, score in _across_stores(c, evidence, doubts, tally):
            if refused := _link(union, found, reason, score):
                tally.rejected[refused] += 1
        assigned, changes, tally.done = _assignment(c, union, size)
    tally.notes = {"offers": assigned, "reassigned": products.assign(db, changes)}
    if empty := sum(doubt == Doubt.PLACEHOLDER for _, doubt in doubts.values()):
        tally.notes["placeholders"] = empty
    products.replace_links(db, union.links)
    tally.seconds = time.perf_counter() - begin
    log.event("grouped", **tally.as_json())
    return tally


def _within_stores(c: Connection) -> Iterator[tuple[list[Member], str]]:
    for members in products.by_variant(c):
        yield members, "item group and colour"
    for members in products.by_group_and_image(c):
        yield members, "item group and picture"
    for members in products.by_title_and_image(c):
        yield members, "title and picture"


def _doubts(db: Database, images: ImageStore | None) -> dict[str, tuple[bool, str]]:
    """Image hash -> whether it is drawn, and the doubt, for images that are shown under several
    titles. Copies of one picture are judged as one."""
    found: dict[str, tuple[bool, str]] = {}
    copied: dict[str, tuple[Showings, list[str]]] = {}
    with db.read() as c:
        known = products.doubts(c)

        def judge(showings: Showings, several: Sequence[str]) -> None:
            if showings.several():
                drawn = {h: known[h][0] if h in known else _drawn(images, h) for h in several}
                doubt = str(showings.doubt(drawn=any(drawn.values())))
                found.update((image_hash, (drawn[image_hash], doubt)) for image_hash in several)

        first = _families(products.image_pairs(c, SAME_PHOTOGRAPH))
        for image_hash, things in products.shown_twice(c):
            name = first.get(image_hash)
            showings, several = (
                copied.setdefault(name, (Showings(), [])) if name else (Showings(), [])
            )
            several.append(image_hash)
            for thing in things:
                showings.add(thing)
            if name is None:
                judge(showings, several)
        for showings, several in copied.values():
            judge(showings, several)
    return found


def _families(pairs: Sequence[tuple[str, str, float]]) -> dict[str, str]:
    """Image hash -> one hash that stands for all copies of the picture."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for a, b, _ in pairs:
        parent[root(a)] = root(b)
    return {key: root(key) for key in parent}


def _drawn(images: ImageStore | None, image_hash: str) -> bool:
    if images is None:
        return False
    try:
        return drawn(images.open(image_hash, 160))
    except Error:
        return False


def _across_stores(
    c: Connection, evidence: Evidence, doubts: Mapping[str, tuple[bool, str]], tally: Tally
) -> Iterator[tuple[Sequence[Member], str, float]]:
    """Sets of offers that some evidence calls one thing, the surest evidence first. Of a picture
    that shows no thing nothing is said; of a doubtful one, what words call one thing."""
    if evidence.codes:
        for members in products.by_gtin(c):
            yield members, "GTIN", 1.0
        for members in products.by_mpn(c):
            yield members, "brand and MPN", 1.0
    if evidence.pictures:
        for image_hash, members in products.by_image(c):
            for agreed in _agreed(members, doubts.get(image_hash), tally, "same picture"):
                yield agreed, "same picture", 1.0
        for part in chunks(products.image_pairs(c, SAME_PHOTOGRAPH)):
            shown = products.showing(c, sorted({h for pair in part for h in pair[:2]}))
            for a, b, score in part:
                members = [*shown.get(a, []), *shown.get(b, [])]
                for agreed in _agreed(members, doubts.get(a), tally, "same photograph"):
                    yield agreed, "same photograph", score


def _agreed(
    members: Sequence[Member], doubt: tuple[bool, str] | None, tally: Tally, reason: str
) -> Iterator[Sequence[Member]]:
    """The offers that show a picture, parted where nothing says that they are one thing. It says so
    itself of those that show it first; what somebody shows among others, such as a picture of the
    brand, says so only where the words agree."""
    sets: list[list[Member]] = []
    apart = set[str]()
    if doubt and doubt[1] == Doubt.PLACEHOLDER:
        tally.rejected[f"{reason}: shows no thing"] += 1
    else:
        sure = not doubt or doubt[1] == Doubt.NONE
        first = [member for member in members if sure and member.main]
        sets += [first] if first else []
        for member in members:
            if sure and member.main:
                continue
            for known in sets:
                if _alike(known[0], member):
                    known.append(member)
                    break
            else:
                dear = any(_alike(known[0], member, any_price=True) for known in sets)
                apart |= {"prices" if dear else "words"} if sets else set()
                sets.append([member])
    if len(sets) > 1:
        tally.rejected[f"{reason}: {' and '.join(sorted(apart))} that disagree"] += 1
    yield from (each for each in sets if len(each) > 1)


def _alike(one: Member, two: Member, *, any_price: bool = False) -> bool:
    a, b = one.thing, two.thing
    return a is not None and b is not None and agreed(a, b, any_price=any_price)


def _link(union: _Union, members: Sequence[Member], reason: str, score: float) -> str:
    """Joins the stores' variants where each store has just one; returns why not, or ""."""
    first: dict[int, Member] = {}
    for member in members:
        union.note(member)
        known = first.setdefault(member.store, member)
        if union.root(known.id) != union.root(member.id):
            return f"{reason}: ambiguous in one store"
    offers = sorted(first.values(), key=lambda member: member.id)
    refused = ""
    for member in offers[1:]:
        if union.root(offers[0].id) == union.root(member.id):
            continue
        why = union.contradiction(
            offers[0].id, member.id, one_per_store=reason != "GTIN", names=reason == "brand and MPN"
        )
        if why:
            refused = f"{reason}: {why}"
        else:
            union.join(offers[0].id, member.id, reason, score)
    return refused


def _assignment(
    c: Connection, union: _Union, size: int
) -> tuple[int, Iterable[tuple[int, int]], int]:
    """Offers seen, (offer, naming offer) where it changed, and the number of products. What is kept
    meanwhile waits in files: 12 bytes an id up to `size`, and 8 for each that changed."""
    naming, named = mapped.zeros(size + 1, np.int32).data, mapped.zeros(size + 1, np.int64).data
    changed = Records("=ii")
    seen = found = 0
    for key, offer_id, now in products.active_ids(c):
        seen += 1
        root = union.root(key)
        if not naming[root]:
            found += 1
            naming[root], named[root] = key, hash("p" + offer_id)
        if hash(now) != named[root]:
            changed.add(key, naming[root])
    return seen, changed, found


def pair_images(
    db: Database,
    images: ImageStore,
    vectors: VectorStore,
    fingerprint: str,
    *,
    progress: Progress | None = None,
) -> Tally:
    """Finds images of different stores that are one photograph; each image is compared once.

    The vectors say which pairs are worth a look, the pixels decide.
    """
    begin = time.perf_counter()
    tally = Tally("pair")
    look = _signatures(images)
    total = vectors.count(fingerprint)
    with _neighbours(db, vectors, fingerprint) as neighbours:
        for batch in products.to_pair(db, fingerprint):
            near = neighbours(vectors.get(fingerprint, batch), NEIGHBOURS)
            wanted = {
                (min(a, c.image_hash), max(a, c.image_hash))
                for a, candidates in zip(batch, near, strict=True)
                for c in candidates
                if c.image_hash != a and c.similarity >= NEAR
            }
            pairs = [(a, b, _likeness(look, a, b)) for a, b in _between_stores(db, wanted)]
            found = [pair for pair in pairs if pair[2] >= SAME_PHOTOGRAPH]
            products.record_pairs(db, batch, found)
            tally.done += len(batch)
            tally.notes["pairs"] = int(tally.notes.get("pairs", 0)) + len(found)
            if progress:
                progress(tally.done, total)
    tally.seconds = time.perf_counter() - begin
    return tally


@contextmanager
def _neighbours(
    db: Database, vectors: VectorStore, fingerprint: str
) -> Iterator[Callable[[Vectors, int], list[list[Candidate]]]]:
    """How the nearest images of many are asked for: of few new ones by comparing with all, of many in
    partitions, so that twice as many cost twice as much and not four times."""
    if products.count_to_pair(db, fingerprint) < MANY:
        yield partial(vectors.neighbours, fingerprint)
    else:
        with nearby(vectors.scan(fingerprint)) as near:
            yield near.of


def _between_stores(db: Database, wanted: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs whose images are shown by different stores."""
    with db.read() as c:
        shown = products.showing(c, sorted({h for pair in wanted for h in pair}))
    stores = {h: {member.store for member in members} for h, members in shown.items()}
    none: set[int] = set()
    return sorted((a, b) for a, b in wanted if len(stores.get(a, none) | stores.get(b, none)) > 1)


def _signatures(images: ImageStore) -> Callable[[str], Signature | None]:
    """Pictures as `likeness` compares them; what was made last waits in a file."""
    made = mapped.Latest(REMEMBERED, SIGNATURE_BYTES + 2)

    def look(image_hash: str) -> Signature | None:
        data = made.get(image_hash)
        if data is None:
            made.put(image_hash, data := _bytes_of(images, image_hash))
        if not data:
            return None
        return np.frombuffer(data, np.uint8, offset=2).reshape(data[0], data[1], 3)

    return look


def _bytes_of(images: ImageStore, image_hash: str) -> bytes:
    """A picture's height and width, a byte each, and its signature's own; nothing where it cannot be opened."""
    try:
        found = signature(images.open(image_hash, 64))
    except Error:
        return b""
    return bytes(found.shape[:2]) + found.tobytes()


def _likeness(look: Callable[[str], Signature | None], a: str, b: str) -> float:
    one, two = look(a), look(b)
    return 0.0 if one is None or two is None else likeness(one, two)
