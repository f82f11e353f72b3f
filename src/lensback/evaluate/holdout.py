"""A workspace with some of its own pictures left out, and those pictures as questions.

Further views of a product become photos of a thing that is sold; pictures of products taken out
as a whole become photos of a thing that nobody sells. What is hidden is hidden at every store:
all pictures that are the same photograph go with it. The copy is grouped, published and
calibrated anew, so nothing of the hidden pictures is left in it.
"""

from __future__ import annotations

import csv
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import delete, func, or_, select, update

from lensback.calibrate import calibrate
from lensback.catalogue import products
from lensback.counted import counted
from lensback.db import Database, chunks
from lensback.db import tables as t
from lensback.errors import BadQuery, DataError
from lensback.evaluate.albums import of_workspace
from lensback.evaluate.leaks import Picture, check
from lensback.group import group
from lensback.publish import publish
from lensback.questions import with_copies
from lensback.settings import FILE_NAME
from lensback.types import Progress
from lensback.workspace import Workspace, open_workspace, save_calibration

VIEW, NOBODY = "held-out view", "held-out product"
Watch = Callable[[str], Progress]


@dataclass(frozen=True, slots=True)
class Wish:
    """What to hold out."""

    views: int = 150
    """Products that lose further views."""
    absent: int = 0
    """Products lost as a whole."""
    one_view: bool = False
    """One further view a product, so that the others stay for the calibration."""
    stores: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class HoldoutPlan:
    """What becomes a photo, and what is hidden for it."""

    views: dict[str, tuple[str, ...]]
    """Product -> its pictures that are asked with."""
    absent: dict[str, str]
    """Product taken out as a whole -> the picture that is asked with."""
    hidden: dict[str, str]
    """Image hash -> why it is hidden."""


@dataclass(frozen=True, slots=True)
class Holdout:
    """What was written: the files, and how many questions of which kind."""

    folder: Path
    queries: Path
    workspace: Path
    products: int
    views: int
    absent: int
    hidden: int
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The counts and paths by name, as `holdout --json` prints them."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


@dataclass(slots=True)
class SplitProduct:
    """A product as the split sees it."""

    offers: list[str] = field(default_factory=list)
    images: dict[str, int] = field(default_factory=dict)
    """Image hash -> its lowest position in any offer."""


def hold_out(
    workspace: Workspace,
    folder: Path,
    wish: Wish,
    watch: Watch = lambda _stage: lambda _done, _total: None,
) -> Holdout:
    """Makes `folder` with `queries.csv`, `holdout.csv`, `photos/` and `workspace/`.

    Raises BadQuery where the catalogue has too few, or the folder is there.
    """
    if workspace.settings.database:
        raise BadQuery(
            "only a workspace with its own SQLite catalogue can be copied",
            hint="sync the same feeds into a workspace without the setting `database`",
        )
    if folder.exists() and any(folder.iterdir()):
        raise BadQuery(f"{folder} is not empty", hint="give a new folder")
    with workspace.locked():
        plan, things = plan_of(workspace, wish, watch)
        _write_files(workspace, folder, plan, things)
        _copy(workspace, folder / "workspace")
    notes = _without(folder / "workspace", plan, workspace.settings.encoder, watch)
    return Holdout(
        folder,
        folder / "queries.csv",
        folder / "workspace",
        len(plan.views),
        sum(map(len, plan.views.values())),
        len(plan.absent),
        len(plan.hidden),
        notes,
    )


# ---- the plan


def things_of(db: Database, stores: Sequence[str] = ()) -> dict[str, SplitProduct]:
    """Products on sale with their offers and pictures, of these stores (all by default)."""
    o, oi, u = t.offers.c, t.offer_images.c, t.image_urls.c
    query = (
        select(o.product_id, o.offer_id, u.image_hash, func.min(oi.position).label("position"))
        .select_from(t.offers)
        .join(t.stores)
        .join(t.offer_images, oi.offer_id == o.id)
        .join(t.image_urls, u.id == oi.image_url_id)
        .where(o.active, o.product_id.is_not(None), u.image_hash.is_not(None))
        .group_by(o.product_id, o.offer_id, u.image_hash)
        .order_by(o.product_id, o.offer_id)
    )
    if stores:
        query = query.where(t.stores.c.name.in_(stores))
    found: dict[str, SplitProduct] = {}
    with db.read() as c:
        for row in c.execute(query):
            thing = found.setdefault(row.product_id, SplitProduct())
            if row.offer_id not in thing.offers[-1:]:
                thing.offers.append(row.offer_id)
            known = thing.images.get(row.image_hash, row.position)
            thing.images[row.image_hash] = min(known, row.position)
    return found


def plan_of(
    workspace: Workspace, wish: Wish, watch: Watch
) -> tuple[HoldoutPlan, dict[str, SplitProduct]]:
    """Chooses products by chance, and hides with each picture all that are the same photograph."""
    things = things_of(workspace.db)
    source = things_of(workspace.db, wish.stores)
    random = np.random.default_rng(wish.seed)
    views, hidden = _views(workspace, wish, things, source, random, watch)
    left = [product for product in sorted(source) if product not in views]
    taken = [left[at] for at in random.permutation(len(left))[: wish.absent]]
    if len(taken) < wish.absent:
        raise BadQuery(f"only {counted(len(taken), 'product')} left", hint="ask for fewer")
    copies = _copies(workspace, [i for p in taken for i in things[p].images], watch)
    for product in taken:
        for image in with_copies(things[product].images, copies):
            hidden.setdefault(image, f"product {product}")
    absent = {product: in_order(things[product])[0] for product in taken}
    return HoldoutPlan(views, absent, hidden), things


def _views(
    workspace: Workspace,
    wish: Wish,
    things: dict[str, SplitProduct],
    source: dict[str, SplitProduct],
    random: np.random.Generator,
    watch: Watch,
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Product -> views asked with, and what is hidden for them."""
    shown = Counter(image for thing in things.values() for image in thing.images)
    further = {
        product: [i for i in in_order(thing) if thing.images[i] > 0 and shown[i] == 1]
        for product, thing in source.items()
    }
    several = sorted(product for product, images in further.items() if images)
    order = [several[at] for at in random.permutation(len(several))]
    copies = _copies(workspace, [i for p in order for i in further[p]], watch)
    chosen: dict[str, tuple[str, ...]] = {}
    hidden: dict[str, str] = {}
    for product in order:
        if len(chosen) == wish.views:
            break
        kept = further[product][:1] if wish.one_view else further[product]
        asked = _distinct(kept, copies)
        gone = with_copies(kept, copies)
        if gone >= things[product].images.keys():  # nothing would be left to find
            continue
        chosen[product] = tuple(asked)
        hidden |= dict.fromkeys(gone, f"view of {product}")
    if len(chosen) < wish.views:
        raise BadQuery(
            f"only {counted(len(chosen), 'product')} with a further view that can be held out",
            hint=f"ask for at most {len(chosen)}",
        )
    return chosen, hidden


def in_order(thing: SplitProduct) -> list[str]:
    """Its images as a store shows them."""
    return sorted(thing.images, key=lambda image: (thing.images[image], image))


def _distinct(images: Iterable[str], copies: dict[str, set[str]]) -> list[str]:
    """One of each photograph: the copy at another store is not asked a second time."""
    kept: list[str] = []
    for image in images:
        if not copies.get(image, set()) & set(kept):
            kept.append(image)
    return kept


def _copies(workspace: Workspace, images: Sequence[str], watch: Watch) -> dict[str, set[str]]:
    """Image -> every other picture of the catalogue that is the same photograph."""
    with workspace.db.read() as c:
        found = products.copies_of(c, images)
    gallery = of_workspace(workspace, workspace.encoder())
    asked = gallery.only(frozenset(images))
    # A picture is always its own copy: bytes that differ are what is looked for.
    marked = [Picture(p.key, f"query {p.hash}", p.phash) for p in asked.pictures]
    every = (marked, gallery.pictures, asked.vectors, gallery.vectors, gallery.look)
    for leak in check(*every, progress=watch("copies")).leaks:
        if leak.query != leak.gallery:
            found.setdefault(leak.query, set()).add(leak.gallery)
    return found


# ---- files


def _write_files(
    workspace: Workspace, folder: Path, plan: HoldoutPlan, things: dict[str, SplitProduct]
) -> None:
    photos = folder / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    rows = [(image, p, VIEW) for p, images in plan.views.items() for image in images]
    rows += [(image, p, NOBODY) for p, image in plan.absent.items()]
    with (folder / "queries.csv").open("w", newline="", encoding="utf-8") as lines:
        out = csv.writer(lines)
        out.writerow(["photo", "offer_id", "box", "kind"])
        for image, product, kind in rows:
            data = workspace.images.read(image)
            (photos / image).write_bytes(data)
            right = ";".join(things[product].offers) if kind == VIEW else ""
            out.writerow([f"photos/{image}", right, "", kind])
    with (folder / "holdout.csv").open("w", newline="", encoding="utf-8") as lines:
        out = csv.writer(lines)
        out.writerow(["image", "why"])
        out.writerows(sorted(plan.hidden.items()))


def _copy(workspace: Workspace, folder: Path) -> None:
    """Settings, catalogue, pictures (linked where the disk can) and vectors; no index."""
    folder.mkdir()
    source = workspace.path
    shutil.copy2(source / FILE_NAME, folder / FILE_NAME)
    workspace.db.migrate()
    with (
        sqlite3.connect(source / "catalogue.db") as old,
        sqlite3.connect(folder / "catalogue.db") as new,
    ):
        old.backup(new)
    old.close()
    new.close()
    for name, how in (("images", _linked), ("vectors", shutil.copy2), ("models", _linked)):
        if (source / name).is_dir():
            shutil.copytree(source / name, folder / name, copy_function=how)


def _linked(source: str, target: str) -> str:
    """A hard link: stored pictures are never written to again."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _without(folder: Path, plan: HoldoutPlan, encoder_name: str, watch: Watch) -> tuple[str, ...]:
    """Takes the hidden pictures and products out of the copy, then groups, publishes, calibrates."""
    notes: list[str] = []
    with open_workspace(folder) as copy:
        encoder = copy.encoder(encoder_name)
        _forget(copy.db, plan)
        copy.vectors.forget(encoder.fingerprint, sorted(plan.hidden))
        group(copy.db)
        publish(
            copy.db,
            copy.vectors,
            copy.staging(encoder),
            fingerprint=encoder.fingerprint,
            encoder=encoder.name,
            progress=watch("publish"),
        )
        try:
            made = calibrate(
                copy.db,
                copy.images,
                copy.vectors,
                encoder,
                detector=copy.detector,
                exact_from=copy.settings.exact_precision,
                progress=watch("calibrate"),
            )
            save_calibration(copy, made)
            notes.append(f"calibrated anew on {counted(made.cases, 'case')} of {made.kind}")
        except DataError as error:
            notes.append(f"not calibrated: {error.message}")
    return tuple(notes)


def _forget(db: Database, plan: HoldoutPlan) -> None:
    hidden = sorted(plan.hidden)
    u, oi, p, e = t.image_urls.c, t.offer_images.c, t.image_pairs.c, t.embeddings.c
    with db.write() as c:
        for part in chunks(hidden):
            urls = select(u.id).where(u.image_hash.in_(part))
            c.execute(delete(t.offer_images).where(oi.image_url_id.in_(urls)))
            c.execute(delete(t.image_pairs).where(or_(p.hash_a.in_(part), p.hash_b.in_(part))))
            c.execute(delete(t.embeddings).where(e.image_hash.in_(part)))
        for part in chunks(sorted(plan.absent)):
            c.execute(update(t.offers).where(t.offers.c.product_id.in_(part)).values(active=False))
