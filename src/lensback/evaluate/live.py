"""End to end on a workspace: photo -> the real search -> outcome, nothing left out of the way.

Detector, filter of duplicates, grouping, calibration and verdict are those of the service. What
the detector does not find is a miss, as in DeepFashion2's consumer-to-shop protocol.
"""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from lensback.catalogue import named, offers, products
from lensback.counted import counted
from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import BadImage, BadQuery, NotFound, TooLarge
from lensback.evaluate import measure, runs
from lensback.evaluate.albums import compare, leaked, of_files, of_workspace
from lensback.evaluate.benchmark import Watch, unseen
from lensback.evaluate.promise import kept
from lensback.evaluate.runs import Run
from lensback.questions import UNREADABLE, Outcome, ShownProduct, judge
from lensback.search import Query, Tools, check_box, parse_box, search
from lensback.types import Box, Filter, Progress, StoredOffer, top_category
from lensback.wire import Answer, Hit
from lensback.workspace import Workspace

DEPTH = 20
DETECTED = 0.5
"""Overlap (IoU) of the region searched with the item's box from which the item was detected."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One line of a queries file."""

    photo: Path
    offers: tuple[str, ...]
    """Ids of the offers that are right; none: nobody sells it."""
    box: Box | None = None
    kind: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Truth:
    """What is right for one query, as the catalogue has it now."""

    products: frozenset[str] = frozenset()
    styles: frozenset[tuple[str, str]] = frozenset()
    """(store, item group): products that share one but are not right are another colour."""
    slices: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    image_hash: str = ""


def read_queries(path: Path) -> list[Asked]:
    """`photo,offer_id[,box][,kind]`; photos beside the file; several offers joined by `;`.

    Raises BadQuery naming the line that is wrong.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if not {"photo", "offer_id"} <= set(rows.fieldnames or ()):
                raise BadQuery(
                    f"{path} has no columns photo and offer_id",
                    hint="write a first line: photo,offer_id,box,kind; kind: shopper, street, phone or real where people took it",
                )
            return [_asked(row, path, rows.line_num) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise BadQuery(f"cannot read {path}: {why}", hint="give a CSV file in UTF-8") from error


def _asked(row: dict[str, str | None], path: Path, line: int) -> Asked:
    cells = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
    if not cells["photo"]:
        raise BadQuery(f"{path}, line {line}: no photo", hint="name a picture in every line")
    try:
        box = parse_box(cells.get("box", ""))
        check_box(box)
    except BadQuery as error:
        raise BadQuery(f"{path}, line {line}: {error.message}", hint=error.hint) from error
    named = tuple(part.strip() for part in cells["offer_id"].split(";") if part.strip())
    photo = path.parent / cells["photo"]
    if not photo.is_file():
        raise BadQuery(f"{path}, line {line}: there is no {photo}", hint="paths start at the CSV")
    return Asked(photo.resolve(), named, box, cells.get("kind", ""), line)


# ---- truth


def truths(db: Database, asked: Sequence[Asked]) -> tuple[list[Truth | None], int]:
    """What is right per query, None where none of its offers is on sale any more; and how many.

    Raises BadQuery for an offer the catalogue never had.
    """
    asked = [_by_public_id(db, one) for one in asked]
    wanted = sorted({offer for one in asked for offer in one.offers})
    known = _offers(db, wanted)
    strangers = [f"line {one.line}: {o}" for one in asked for o in one.offers if o not in known]
    if strangers:
        raise BadQuery(
            f"{counted(len(strangers), 'offer')} unknown in this workspace: {'; '.join(strangers[:3])}",
            hint="use the offer ids of this catalogue (lensback search PHOTO --json shows them)",
        )
    bands = _bands([known[one.offers[0]] for one in asked if one.offers])
    found: list[Truth | None] = []
    for one in asked:
        on_sale = [known[o] for o in one.offers if known[o].active and known[o].product_id]
        if one.offers and not on_sale:
            found.append(None)
            continue
        found.append(_truth(on_sale, one.kind, bands))
    return found, sum(truth is None for truth in found)


def _by_public_id(db: Database, one: Asked) -> Asked:
    """The query with `STORE:SKU` of its file as the offer's id; one that is not there stays."""
    ids = []
    for offer in one.offers:
        try:
            ids.append(named.public_id(db, offer))
        except NotFound:
            ids.append(offer)
    return replace(one, offers=tuple(ids))


def _offers(db: Database, wanted: Sequence[str]) -> dict[str, StoredOffer]:
    """The offers by public id, on sale or not."""
    found: dict[str, StoredOffer] = {}
    o = t.offers.c
    with db.read() as c:
        keys = {
            row.product_id
            for part in chunks(wanted)
            for row in c.execute(select(o.product_id).where(o.offer_id.in_(part)))
        }
    for part in chunks(sorted(key for key in keys if key)):
        for stored in offers.of_products(db, part, Filter()).values():
            found |= {one.offer_id: one for one in stored}
    for offer in wanted:
        if offer not in found and _exists(db, offer):
            found[offer] = offers.get(db, offer)
    return {offer: found[offer] for offer in wanted if offer in found}


def _exists(db: Database, offer: str) -> bool:
    with db.read() as c:
        query = select(t.offers.c.id).where(t.offers.c.offer_id == offer)
        return c.execute(query).first() is not None


Bands = tuple[str, int, int]
"""Currency, and the prices (minor units) up to which a thing is cheap, and middling."""


def _bands(stored: Sequence[StoredOffer]) -> Bands | None:
    """Thirds of the prices in the most frequent currency; None with too few to cut."""
    by_currency: dict[str, list[int]] = {}
    for one in stored:
        by_currency.setdefault(one.offer.price.currency, []).append(one.offer.price.minor)
    if not by_currency:
        return None
    currency, prices = max(by_currency.items(), key=lambda pair: (len(pair[1]), pair[0]))
    prices.sort()
    low, high = prices[len(prices) // 3], prices[2 * len(prices) // 3]
    return (currency, low, high) if low < high else None


def _band(stored: StoredOffer, bands: Bands | None) -> str:
    price = stored.offer.price
    if bands is None or price.currency != bands[0]:
        return ""
    currency, low, high = bands
    amounts = [f"{replace(price, minor=edge).amount} {currency}" for edge in (low, high)]
    if price.minor <= low:
        return f"1: up to {amounts[0]}"
    return f"2: up to {amounts[1]}" if price.minor <= high else f"3: above {amounts[1]}"


def _truth(on_sale: Sequence[StoredOffer], kind: str, bands: Bands | None) -> Truth:
    slices = {"kind": kind}
    if not on_sale:
        return Truth(slices={k: v for k, v in slices.items() if v})
    first = on_sale[0]
    stores = sorted({one.store for one in on_sale})
    slices |= {
        "category": top_category(first.offer.category),
        "store": stores[0] if len(stores) == 1 else " and ".join(stores),
        "price": _band(first, bands),
    }
    return Truth(
        products=frozenset(one.product_id for one in on_sale),
        styles=frozenset(
            (one.store, one.offer.item_group_id) for one in on_sale if one.offer.item_group_id
        ),
        slices={k: v for k, v in slices.items() if v},
        title=first.offer.title,
        image_hash=next((h for one in on_sale for h in one.image_hashes), ""),
    )


# ---- one query


def outcome(asked: Asked, truth: Truth, workspace: Workspace, tools: Tools) -> Outcome:
    """Searches one photo as a shopper would and judges the answer."""
    empty = Outcome(
        photo=str(asked.photo),
        product=min(truth.products, default=""),
        relevant=len(truth.products),
        average_precision=0.0 if truth.products else None,
        error=UNREADABLE,
        cluster=min(truth.products, default=str(asked.photo)),
        iou=0.0 if asked.box else None,
        slices=truth.slices,
        title=truth.title,
        image=stored_path(workspace, truth.image_hash),
    )
    try:
        answer = search(asked.photo.read_bytes(), Query(limit=DEPTH), tools)
    except (BadImage, TooLarge):
        return empty
    except OSError as error:
        raise BadQuery(f"cannot read {asked.photo}: {error.strerror}", hint="check it") from error
    return _judged(empty, answer, asked, truth, workspace)


def _judged(
    empty: Outcome, answer: Answer, asked: Asked, truth: Truth, workspace: Workspace
) -> Outcome:
    overlap = measure.iou(answer.region, asked.box) if asked.box else None
    missed = overlap is not None and overlap < DETECTED
    known = answer.calibrated
    hits = [
        _shown(hit, workspace, known=known, right=hit.product_id in truth.products)
        for hit in answer.hits
    ]
    if missed:
        hits = [replace(hit, right=False) for hit in hits]
    first = hits[0] if hits else None
    answered = replace(
        empty,
        verdict=answer.verdict if known else "",
        probability=(first.probability if first else 0.0) if known else None,
        similarity=first.similarity if first else None,
        first=first.product if first else "",
        iou=overlap,
        total_ms=answer.timings_ms.get("total"),
        timings_ms=dict(answer.timings_ms),
    )
    places = [n for n, hit in enumerate(hits, 1) if hit.right]
    kin = other_colours(workspace.db, answer.hits, truth)
    return judge(answered, hits, places, other_colours=kin, undetected=missed)


def other_colours(db: Database, hits: Sequence[Hit], truth: Truth) -> set[str]:
    """The products that are of the right model (a store's item group) but not the right product."""
    others = [hit for hit in hits if hit.product_id not in truth.products]
    if not truth.styles:
        return set()
    shown = _offers(db, [offer.offer_id for hit in others for offer in hit.offers]).values()
    kin = {one.product_id for one in shown if (one.store, one.offer.item_group_id) in truth.styles}
    return kin - truth.products


def _shown(hit: Hit, workspace: Workspace, *, known: bool, right: bool) -> ShownProduct:
    return ShownProduct(
        product=hit.product_id,
        title=hit.title,
        image=stored_path(workspace, hit.image_hash),
        similarity=hit.similarity,
        probability=hit.probability if known else None,
        exact=hit.exact,
        right=right,
    )


def stored_path(workspace: Workspace, image_hash: str) -> str:
    """Where a stored image lies, for the pages that show it; "" for none."""
    if not image_hash:
        return ""
    folder = workspace.path.resolve() / "images" / image_hash[:2] / image_hash[2:4]
    return str(folder / image_hash)


# ---- all queries


@dataclass(frozen=True, slots=True)
class Answered:
    """All outcomes, and what they cost."""

    outcomes: tuple[Outcome, ...]
    left_out: int
    """Queries whose offers are no longer on sale."""
    processor_s: float | None
    """Per query, of those searched now; None where all came from an earlier run."""


def answer_all(
    workspace: Workspace,
    asked: Sequence[Asked],
    *,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> Answered:
    """Every outcome, in the order asked. With `keep` a run that was stopped goes on."""
    tools = workspace.tools()
    known, left_out = truths(workspace.db, asked)
    todo = [(one, truth) for one, truth in zip(asked, known, strict=True) if truth is not None]
    kept = _Kept(keep, _state(tools)) if keep else None
    outcomes: list[Outcome] = []
    begin, searched = time.process_time(), 0
    for n, (one, truth) in enumerate(todo, 1):
        key = _key(one, truth)
        found = kept.get(key) if kept else None
        if found is None:
            found = outcome(one, truth, workspace, tools)
            searched += 1
            if kept:
                kept.add(key, found)
        outcomes.append(found)
        if progress:
            progress(n, len(todo))
    spent = time.process_time() - begin
    return Answered(tuple(outcomes), left_out, spent / searched if searched else None)


def _state(tools: Tools) -> str:
    """What an outcome depends on beside the query."""
    parts = (tools.snapshot, tools.calibration, tools.exact_precision)
    more = (tools.candidates, tools.promise, tools.detector.fingerprint)
    return hashlib.sha256(repr((*parts, *more)).encode()).hexdigest()


def _key(asked: Asked, truth: Truth) -> str:
    data = hashlib.sha256(asked.photo.read_bytes()).hexdigest()
    said = (str(asked.photo), data, sorted(truth.products), asked.box, asked.kind)
    return hashlib.sha256(repr(said).encode()).hexdigest()


class _Kept:
    """Outcomes of this very state on disk, one line each; a torn last line is forgotten."""

    def __init__(self, path: Path, state: str) -> None:
        self._path = path
        self._known: dict[str, Outcome] = {}
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        if lines[:1] == [state]:
            for line in lines[1:]:
                try:
                    row: dict[str, Any] = json.loads(line)
                    self._known[row["key"]] = runs.outcome_of(row["outcome"])
                except (ValueError, KeyError, TypeError):
                    continue
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(state + "\n", "utf-8")

    def get(self, key: str) -> Outcome | None:
        return self._known.get(key)

    def add(self, key: str, outcome: Outcome) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "outcome": asdict(outcome)}) + "\n")


def gallery_of(workspace: Workspace) -> dict[str, Any]:
    """What was searched in."""
    tools = workspace.tools()
    count = offers.counts(workspace.db)
    return {
        "images": workspace.vectors.count(tools.snapshot.fingerprint),
        "products": products.count(workspace.db),
        "offers": sum(count.values()),
        "stores": sorted(count),
        "snapshot": tools.snapshot.id,
        "detector": tools.detector.name,
        "workspace": str(workspace.path.resolve()),
    }


def evaluate_live(
    workspace: Workspace,
    queries: Path,
    out: Path | None = None,
    *,
    name: str = "",
    leaks: str = "drop",
    machine_hour: str = "",
    notes: Sequence[str] = (),
    watch: Watch = unseen,
) -> Run:
    """The run of a queries file on a workspace as it is. With `out` it can be stopped and goes on.

    `machine_hour` is what an hour of one core costs, e.g. "0.04 USD". Raises BadQuery for a file
    that cannot be used or leaks where they are refused, StateError where nothing is published.
    """
    tools = workspace.tools()
    asked = read_queries(queries)
    photos = of_files([one.photo for one in asked], tools.encoder, progress=watch("photos"))
    gallery = of_workspace(workspace, tools.encoder, on_sale=True)
    found = compare(photos, gallery, progress=watch("leaks"))
    dropped = leaked(found, leaks)
    asked = [one for one in asked if str(one.photo) not in dropped]
    keep = out / ".answered.jsonl" if out else None
    done = answer_all(workspace, asked, keep=keep, progress=watch("queries"))
    said = [*notes]
    if done.left_out:
        said.append(f"off_sale: {done.left_out}")
    about = measure.About(
        kind="live",
        name=name or queries.stem,
        encoder=measure.encoder_of(tools.encoder),
        gallery=gallery_of(workspace),
        depth=DEPTH,
        calibration=measure.calibration_of(tools.calibration, tools.exact_precision),
        promise=kept(tools, workspace.settings.promised_wrong, done.outcomes),
        leaks=found.as_json(len(dropped)),
        cost=measure.cost(done.processor_s, machine_hour),
        notes=tuple(said),
    )
    return measure.run_of(about, done.outcomes)
