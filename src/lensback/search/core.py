"""Decode, find the region, encode, search, rank."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from PIL import Image

from lensback import log, rank
from lensback.catalogue import for_sale, offers
from lensback.catalogue.pictured import Pictured, pictured
from lensback.db import Database
from lensback.detectors import Detector
from lensback.detectors.taxonomy import LABELS
from lensback.encoders import Encoder
from lensback.errors import Away, StaleIndex
from lensback.images import Decode, ReadCodes, ReadTexts, TextLine, decoded
from lensback.indexes import Index
from lensback.promise import Promise
from lensback.rank import Calibration
from lensback.search.answers import hit_of, in_order
from lensback.search.coded import (
    NOTHING,
    Coded,
    articles,
    counting,
    looked_up,
    other_numbers,
    together,
    with_looks,
)
from lensback.search.facets import facets_of
from lensback.search.kinds import Kinds, decided, kinds_of, of_kind, sunk
from lensback.search.looking import (
    Look,
    Looks,
    chosen,
    look,
    named,
    nothing_in,
    offered,
    searched,
    unlikely,
    withdrawn,
)
from lensback.search.prices import CashbackBasis, Prices, rates_day
from lensback.search.printed import printed
from lensback.search.query import MAX_LIMIT, MIN_BOX, Query, currencies, filter_of
from lensback.search.recolor import WIDE, Recolored, group_first, thing, wider
from lensback.search.worded import alone, asked, named_by
from lensback.types import (
    WHOLE,
    Candidate,
    Filter,
    Region,
    Snapshot,
    StoredOffer,
    Vector,
    Vectors,
    top_category,
)
from lensback.wire import Answer, By, Code, Facets, Hit, Offer, Photo, Verdict
from lensback.wire import Region as Shown

COLOR_DEPTH = 10
"""How many times more images are ranked where a colour is asked for: one in ten has it."""
MAX_READ = 8
"""Words of the photo that are told."""
RIVALS = 24
"""Best images of the whole catalogue against which a filtered search is held."""


NOTHING_SEEN = Region(WHOLE)
NO_CASHBACK = CashbackBasis()


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything opened that one search needs."""

    db: Database
    index: Index
    snapshot: Snapshot
    encoder: Encoder
    detector: Detector
    calibration: Calibration | None
    exact_precision: float
    candidates: int
    currency: str
    max_bytes: int
    max_pixels: int
    promise: Promise | None = None
    """Certified thresholds of "exact" that hold for this encoder and catalogue."""
    no_promise: str = ""
    """Why there is none."""
    cashback: CashbackBasis = NO_CASHBACK
    looks: Looks = field(default_factory=Looks)
    """Photos that were looked at just now."""
    decode: Decode = decoded
    """What decodes the photo: here, or in a process of its own."""
    codes: ReadCodes | None = None
    """What reads the photo's codes, if they are to be read."""
    texts: ReadTexts | None = None
    """What reads the photo's words, if they are to be read."""
    text_wait_s: float = 30.0
    """How long an answer that is ready otherwise waits for them."""
    still: Callable[[], object] = lambda: None
    """Is asked between two stages; raises where nobody waits for the answer any more."""
    compared: Callable[[str, Vectors], object] | None = None
    """Is told the vectors [n, dim] of what was searched, by the answer's id, if somebody wants to know."""
    pictured: Callable[[Image.Image], object] = lambda _: None
    """Is told the photo's pixels, as many as the search needs."""


def search(photo: bytes, query: Query, tools: Tools) -> Answer:
    """Answers one photo. Raises BadImage, TooLarge, BadQuery, UnknownName, StaleIndex."""
    _check_encoder(tools)
    timings: dict[str, float] = {}
    search_id = secrets.token_hex(8)
    with log.timed("total", timings):
        where = filter_of(tools.db, query, tools.currency, tools.snapshot.id, tools.cashback.rates)
        side_px, limits = _side_px(query, tools.encoder), (tools.max_bytes, tools.max_pixels)
        readers = (tools.decode, tools.codes, tools.texts)
        looking = (photo, tools.looks, tools.detector, side_px, limits, timings)
        sight = look(*looking, readers, tools.still)
        tools.pictured(sight.picture)
        regions = chosen(sight.regions, query.box)
        tools.still()
        with log.timed("encode", timings):
            boxes = searched(regions[0], query.box)
            vectors = sight.parts.vectors(boxes, tools.encoder)
        if tools.compared:
            tools.compared(search_id, vectors)
        tools.still()
        said = _coded(sight, query, where, tools, timings)
        region = named(regions[0], regions)
        lines = partial(_lines, sight, query, tools, timings)
        found = _verdict(
            vectors, where, query, tools, timings, region, search_id, said=said, lines=lines
        )
    far = found.verdict == "none" and not found.left_out
    if nothing := far and nothing_in(sight.regions, query.box):
        regions = withdrawn(regions)
    end = query.offset + query.limit
    hits = tuple(rank.hits_in_order(found.hits, query.order)[query.offset : end])
    return Answer(
        search_id=search_id,
        verdict=found.verdict,
        by=_basis(hits),
        probability=max((hit.probability for hit in hits), default=0.0),
        calibrated=tools.calibration is not None,
        certified=_certified(hits, tools),
        photo=Photo(width=sight.size[0], height=sight.size[1]),
        region=regions[0].box,
        regions=tuple(map(_shown, offered(regions))),
        more_regions=tuple(map(_shown, unlikely(regions))),
        nothing_to_search=nothing,
        left_out=found.left_out,
        codes=found.codes,
        read=found.read,
        reading=found.reading,
        hits=hits,
        total=found.total,
        facets=found.facets,
        rates_on=rates_day(hits, tools.cashback.rates),
        timings_ms=timings,
        encoder=tools.encoder.fingerprint,
        snapshot=tools.snapshot.id,
    )


def _shown(region: Region) -> Shown:
    return Shown(box=region.box, label=region.label, score=region.score)


def search_live(photo: bytes, query: Query, tools: Callable[[], Tools]) -> Answer:
    """Answers one photo by what is published now, which `tools` opens: once more where a sync replaced
    the index, or a server that is needed was started anew, in between. Raises what `search` raises."""
    try:
        return search(photo, query, tools())
    except (StaleIndex, Away):
        return search(photo, query, tools())


def search_words(query: Query, tools: Tools) -> Answer:
    """Answers words without a photo: `query.words`, with the filters. Raises BadQuery, UnknownName."""
    timings: dict[str, float] = {}
    search_id = secrets.token_hex(8)
    with log.timed("total", timings):
        where = filter_of(tools.db, query, tools.currency, tools.snapshot.id, tools.cashback.rates)
        with log.timed("search", timings):
            worded = alone(asked(query.words), where, tools.db, query.offset + MAX_LIMIT)
        by, target = worded.by, _target(query, tools)
        named = _hits(worded.ranked, where, tools, search_id, target, query.language, NOTHING, by)
        facets = facets_of(tools.db, list(by)) if query.facets and named else None
    end = query.offset + query.limit
    hits = tuple(rank.hits_in_order(tuple(named), query.order)[query.offset : end])
    return Answer(
        search_id=search_id,
        verdict="similar" if hits else "none",
        by="words",
        probability=0.0,
        calibrated=tools.calibration is not None,
        certified=False,
        photo=Photo(width=0, height=0),
        region=WHOLE,
        regions=(Shown(box=WHOLE, label="whole", score=1.0),),
        hits=hits,
        total=len(named),
        facets=facets,
        rates_on=rates_day(hits, tools.cashback.rates),
        timings_ms=timings,
        encoder=tools.encoder.fingerprint,
        snapshot=tools.snapshot.id,
    )


def _basis(hits: Sequence[Hit]) -> By:
    """What a verdict rests on: what made a hit exact, else what found the hits."""
    if any(hit.exact for hit in hits):
        return next(hit.by for hit in hits if hit.exact)
    return "words" if hits and all(hit.by == "words" for hit in hits) else "looks"


def similar(stored: StoredOffer, vector: Vector, query: Query, tools: Tools) -> list[Hit]:
    """Other products that look like an offer, by the vector of one of its images.

    None of them is called exact: what is the same product has been grouped already.
    Raises BadQuery, UnknownName, StaleIndex.
    """
    _check_encoder(tools)
    where = filter_of(tools.db, query, tools.currency, tools.snapshot.id)
    one_more = replace(query, limit=min(query.limit + 1, MAX_LIMIT))
    found = _verdict(vector[None], where, one_more, tools, {})
    others = [hit for hit in found.hits if hit.product_id != stored.product_id]
    return [hit.model_copy(update={"exact": False}) for hit in others[: query.limit]]


def _check_encoder(tools: Tools) -> None:
    if tools.encoder.fingerprint != tools.snapshot.fingerprint:
        raise StaleIndex(
            f"the index was made by another version of encoder {tools.snapshot.encoder!r}",
            hint="run: lensback sync",
        )


@dataclass(frozen=True, slots=True)
class _Finding:
    """What was found, as far as it must be read, and what is told of all of it."""

    verdict: Verdict
    hits: tuple[Hit, ...]
    codes: tuple[Code, ...] = ()
    read: tuple[str, ...] = ()
    reading: bool = False
    total: int = 0
    facets: Facets | None = None
    left_out: bool = False
    """Whether something was near enough, and the filters or the words left nothing of it."""


def _coded(
    seen: Look, query: Query, where: Filter, tools: Tools, timings: dict[str, float]
) -> Coded:
    """What the photo's codes say, if codes are read."""
    if tools.codes is None:
        return NOTHING
    with log.timed("codes", timings):
        codes = counting(seen.codes(), query.box, seen.regions[0])
        return looked_up(tools.db, codes, where)


def _lines(
    seen: Look, query: Query, tools: Tools, timings: dict[str, float]
) -> tuple[list[TextLine], bool]:
    """What stands in the photo and speaks for what is searched: words, if they are read, and article numbers in
    codes. And whether words are still being read, which will be there for the next question."""
    said = articles(counting(seen.codes(), query.box, seen.regions[0])) if tools.codes else []
    if tools.texts is None:
        return said, False
    with log.timed("texts", timings):
        lines = seen.texts(tools.text_wait_s)
    if lines is None:
        return said, tools.looks.keep_s > 0
    return [*said, *counting(lines, query.box, seen.regions[0])], False


def _no_lines() -> tuple[list[TextLine], bool]:
    return [], False


def _verdict(
    vectors: Vectors,
    where: Filter,
    query: Query,
    tools: Tools,
    timings: dict[str, float],
    region: Region = NOTHING_SEEN,
    search_id: str = "",
    *,
    said: Coded = NOTHING,
    lines: Callable[[], tuple[list[TextLine], bool]] = _no_lines,
) -> _Finding:
    """Verdict and hits for one or several vectors [n, dim], the nearest counting; they show `region`.
    What codes say stands above what it looks like, and so does what `lines` of text say that waits for them."""
    with log.timed("search", timings):
        found = _nearest(tools.index, vectors, _candidates(query, where, tools.candidates), where)
        # What the filter leaves out still competes for being the very product.
        others = [] if where.empty else _nearest(tools.index, vectors, RIVALS, Filter())
        _check_snapshot(tools)
    text, reading = lines()
    with log.timed("rank", timings), tools.db.reads_together():
        told = _said_of([*found, *others], where, tools.db)
        kinds = kinds_of(told.categories)
        rivals = rank.by_product(others, told.products)
        ranked = rank.by_product(found, told.passing, rivals)
        seen = thing(rivals, _line(rivals, kinds, tools))
        shown = seen if query.color else None
        if shown and not ranked:
            wide = _nearest(tools.index, vectors, WIDE, wider(shown, where, tools.db))
            told = _said_of(wide, where, tools.db)
            kinds = {**kinds, **kinds_of(told.categories)}
            ranked = rank.by_product(wide, told.passing, rivals)
        nearest = (others or found) if region.label in LABELS else []
        ranked = _by_kind(ranked, region, nearest, kinds)
        near_from = _line(ranked, kinds, tools)
        line = -1.0 if shown else near_from
        if shown:
            again = group_first(ranked, shown, where, tools.db)
        else:
            again = Recolored(_near(ranked, line))
        written = printed(tools.db, text, again.ranked, where, near_from)
        ranked, said = written.ranked, together(said, written.said)
        codes = with_looks(said, (one.product_id for one in ranked))
        worded = named_by(ranked, query.words, where, tools.db, query.offset + MAX_LIMIT, line)
        ranked = _named_first(worded.ranked, said, tools.db)
        by = {**again.by, **worded.by, **said.first}
        end = query.offset + query.limit
        pool = ranked if query.whole else ranked[: end + rank.LOOK_AHEAD]
        target = _target(query, tools)
        hits = tuple(_hits(pool, where, tools, search_id, target, query.language, said, by))
        near = tools.calibration is not None and bool(again.ranked or seen)
        counted = {one.product_id: None for one in (*ranked, *rivals)} if query.facets else {}
        facets = facets_of(tools.db, list(counted)) if query.facets and (hits or near) else None
    verdict: Verdict = "none"
    if hits:
        first = rank.hits_in_order(hits, query.order)[:end]
        verdict = "exact" if any(hit.exact for hit in first) else "similar"
    total = len(ranked) if hits else 0
    read = written.words[:MAX_READ] if hits else ()
    left_out = near and not hits
    return _Finding(verdict, hits, codes, read, reading, total, facets, left_out)


def _target(query: Query, tools: Tools) -> str:
    """The currency that all prices are told in beside their own, or "": the one that was asked for, else
    the service's, else the rates' own where the stores sell in several."""
    said = query.currency or tools.currency
    rates = tools.cashback.rates
    if said or rates is None:
        return said
    return rates.base if len(currencies(tools.db, tools.snapshot.id)) > 1 else ""


def _line(ranked: Sequence[rank.Ranked], kinds: Kinds, tools: Tools) -> float:
    """The similarity from which something is shown, where the nearest is of the kind that it is."""
    if tools.calibration is None:
        return -1.0
    nearest = max(ranked, key=lambda one: one.similarity, default=None)
    return tools.calibration.line(kinds.get(nearest.image_hash, ()) if nearest else ())


def _near(ranked: list[rank.Ranked], line: float) -> list[rank.Ranked]:
    """All of them where the best is near enough to be shown; else none."""
    nearest = max((one.similarity for one in ranked), default=-1.0)
    return [] if nearest < line else ranked


def _named_first(ranked: list[rank.Ranked], said: Coded, db: Database) -> list[rank.Ranked]:
    """What codes name, then the others; what is named without looking like it has similarity 0."""
    if not said.first:
        return ranked
    known = {one.product_id: one for one in ranked}
    images_of = offers.images_of_products(db, [one for one in said.first if one not in known])
    named = [
        known.get(one) or rank.Ranked(one, images_of.get(one, ""), 0.0, 0.0) for one in said.first
    ]
    return [*named, *(one for one in ranked if one.product_id not in said.first)]


def _nearest(index: Index, vectors: Vectors, count: int, where: Filter) -> list[Candidate]:
    return rank.nearer(index.search(vector, count, where) for vector in vectors)


def _by_kind(
    ranked: list[rank.Ranked], region: Region, nearest: Sequence[Candidate], kinds: Kinds
) -> list[rank.Ranked]:
    """In the order of their similarity, but for what is of another kind than the region."""
    label = decided(region, nearest, kinds)
    return of_kind(sunk(ranked, kinds, label), kinds, label)


def _candidates(query: Query, where: Filter, usual: int) -> int:
    """Images to rank. What the index does not know is looked at after it, so more of them must come."""
    wanted = 4 * (query.offset + query.limit)
    return max(usual, wanted) * (COLOR_DEPTH if where.beside_index or query.words else 1)


def _check_snapshot(tools: Tools) -> None:
    """Raises StaleIndex where a sync published another encoder's index since `tools` was made."""
    now = tools.index.snapshot
    if now is None or now.fingerprint != tools.snapshot.fingerprint:
        raise StaleIndex("the index was just replaced", hint="search again")


def _said_of(candidates: Sequence[Candidate], where: Filter, db: Database) -> Pictured:
    return pictured(db, list({one.image_hash: None for one in candidates}), where)


def _side_px(query: Query, encoder: Encoder) -> int:
    """Pixels worth decoding: a small box of a photo still has to fill the encoder's input."""
    share = min(query.box[2] - query.box[0], query.box[3] - query.box[1]) if query.box else 0.5
    return round(encoder.side_px / max(share, MIN_BOX))


def _hits(
    ranked: list[rank.Ranked],
    where: Filter,
    tools: Tools,
    search_id: str,
    currency: str,
    language: str,
    said: Coded,
    by: Mapping[str, By],
) -> list[Hit]:
    """The hits. By its looks nothing is exact without a calibration, nor against what a code says."""
    calibration = tools.calibration
    found = for_sale.rows(tools.db, [r.product_id for r in ranked], where)
    rows_of_all = (row for rows in found.values() for row in rows)
    prices = Prices.of(tools.db, rows_of_all, tools.cashback, currency)
    refuted = other_numbers(tools.db, [r.product_id for r in ranked], said) if said.codes else set()
    hits = []
    for r in ranked:
        rows = found.get(r.product_id)
        if rows is None:  # taken off sale between two statements
            continue
        # What was found without its looks has no likeness that a probability could be made of.
        likely = None if r.product_id in by and not r.similarity else calibration
        probability = likely.probability(r.similarity, r.margin) if likely else 0.0
        ordered = in_order(rows, prices, currency=currency, search_id=search_id)
        alike = likely is not None and probability >= _exact_from(ordered, tools)
        certain = r.product_id in said.certain
        hits.append(
            hit_of(
                r.product_id,
                rows,
                ordered,
                image_hash=r.image_hash,
                similarity=r.similarity,
                probability=1.0 if certain else probability,
                exact=certain or (alike and r.product_id not in refuted),
                by=by.get(r.product_id, "looks"),
                language=language,
            )
        )
    return hits


def _exact_from(ordered: Sequence[Offer], tools: Tools) -> float:
    """Match probability from which a product is called exact: the promise's, else the settings'."""
    if tools.promise is None:
        return tools.exact_precision
    return tools.promise.exact_from(_kinds(ordered), tools.exact_precision)


def _certified(hits: Sequence[Hit], tools: Tools) -> bool:
    """Whether a promise stands behind every hit called exact (all hits, where none is)."""
    claimed = [hit for hit in hits if hit.exact and hit.by == "looks"] or hits
    return tools.promise is not None and all(
        tools.promise.certified_for(_kinds(hit.offers)) for hit in claimed
    )


def _kinds(ordered: Sequence[Offer]) -> set[str]:
    return {top_category(offer.category) for offer in ordered}
