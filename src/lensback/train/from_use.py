"""An encoder's head turned by what use teaches: what differs between members' photos of a thing and the
store's pictures of it counts less.

The vectors that searches compared are learnt from, no photo: one map [dim, dim] behind the head, the same
sum as in `fit` (within-class covariance, half strength, a ridge), whose numbers are fixed beforehand, so that
nothing is chosen by what it is judged by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lensback import metrics
from lensback.calibrate import further_views
from lensback.catalogue import products
from lensback.counted import counted
from lensback.db import Database
from lensback.encoders.shelf import LEARNT_FILE
from lensback.errors import ConfigError, DataError, MissingExtra
from lensback.lessons import WORTH, Lesson, check_enough, folds, gain, heard
from lensback.questions import Gallery, nearest, with_copies
from lensback.shelves import MODEL_FILE
from lensback.train.data import joined
from lensback.train.fit import Floats, softened, unit
from lensback.vectors import VectorStore

if TYPE_CHECKING:
    from lensback.train.model import Head

RIDGE, POWER = 1.0, 0.5
PICTURES = 20_000
"""Pictures of the catalogue that are searched in, those of all lessons among them."""
VIEWS = 400
"""Other views of the catalogue that must not be found worse."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What use taught an encoder. Values are the mean of R@1 and R@5 over lessons that were not learnt from."""

    folder: Path
    lessons: int
    people: int
    things: int
    """Products that the lessons are about."""
    by: dict[str, int]
    pictures: int
    """Those that were searched in."""
    asked: int
    """Votes and purchases that were judged by; a click teaches a little, and is no truth to judge by."""
    before: float
    after: float
    difference: tuple[float, float, float]
    """After less before over the same lessons, and its 95 % interval by members."""
    views: int
    """Other views of the catalogue, which nothing was learnt from."""
    views_difference: tuple[float, float, float]
    gained: bool
    """The interval of the lessons lies above nothing, and that of the catalogue's views not below it."""

    def as_json(self) -> dict[str, object]:
        """Figures and folder by name, as `train --from-use --json` prints them."""
        return asdict(self) | {"folder": str(self.folder)}


@dataclass(frozen=True, slots=True)
class SearchedPictures:
    """The catalogue's pictures in memory, and the lessons among them."""

    gallery: Gallery
    hashes: list[str]
    rows: dict[str, list[int]]
    """Product -> its pictures."""


def train_from_use(
    db: Database,
    store: VectorStore,
    model: Path,
    fingerprint: str,
    taught: Sequence[Lesson],
    out: Path,
    *,
    learning: bool = True,
    seed: int = 0,
) -> Learnt:
    """Learns from lessons that say what a photo shows, judges by members and products that were not learnt
    from, and writes the model folder `out` where that gained something. `model` is the folder of the encoder
    whose vectors are `fingerprint`; its file must be one that `lensback train` wrote.

    Raises DataError where there are too few lessons, ConfigError where `out` is there or the model is another's,
    MissingExtra without torch and onnx.
    """
    if out.exists():
        raise ConfigError(f"{out} is there already", hint="name another folder, or remove it")
    with db.read() as c:
        views = products.views(c, fingerprint)
        known = heard([one for one in taught if one.right and one.product in views])
        check_enough(known, learning=learning)
        family = _families(db, views, known)
        several = further_views(c, views)
        asked = _chosen(several, VIEWS, seed)
        copies = products.copies_of(c, [picture for _, picture in asked])
    shown = _shown(
        store, fingerprint, views, [*(x.product for x in known), *(p for p, _ in asked)], seed
    )
    before, after, people = judged(known, shown, family)
    difference = gain(after, before, people)
    turn = learnt_map(known, shown)
    hidden = [with_copies([picture], copies) for _, picture in asked]
    plain, turned = (_views(asked, hidden, shown, each) for each in (None, turn))
    kept = gain(turned, plain, [product for product, _ in asked])
    done = Learnt(
        folder=out,
        lessons=len(known),
        people=len({one.person for one in known}),
        asked=len(people),
        things=len({one.product for one in known}),
        by={by: sum(one.by == by for one in known) for by in WORTH},
        pictures=len(shown.hashes),
        before=float(np.mean(before)),
        after=float(np.mean(after)),
        difference=difference,
        views=len(asked),
        views_difference=kept,
        gained=difference[1] > 0 and kept[2] >= 0,
    )
    if done.gained:
        learnt = [shown.hashes[row] for one in known for row in shown.rows[one.product]]
        _write(model, out, leading_first(turn, shown.gallery.vectors), done, learnt)
    return done


def learnt_map(taught: Sequence[Lesson], shown: SearchedPictures) -> Floats:
    """[dim, dim], symmetric: vectors @ it count less along what differs between photos and pictures of one thing."""
    apart, weights = [], []
    for one in taught:
        own = shown.gallery.vectors[shown.rows[one.product]]
        similar = one.vectors @ own.T
        query, picture = np.unravel_index(int(similar.argmax()), similar.shape)
        apart.append(one.vectors[query] - own[picture])
        weights.append(WORTH[one.by])
    rows, worth = np.stack(apart).astype(np.float64), np.asarray(weights)
    spread = (rows.T * worth) @ rows / worth.sum()
    return np.asarray(softened(spread, RIDGE, POWER), np.float32)


def leading_first(turn: Floats, vectors: Floats) -> Floats:
    """The map, turned so that the numbers that tell most of these vectors apart come first: no similarity
    changes, and the first 64 or 128 numbers are a vector, too."""
    mapped = vectors @ turn
    _, axes = np.linalg.eigh((mapped.T @ mapped).astype(np.float64))
    return np.asarray(turn @ axes[:, ::-1], np.float32)


def judged(
    taught: Sequence[Lesson], shown: SearchedPictures, family: dict[str, str]
) -> tuple[list[float], list[float], list[str]]:
    """Each vote and purchase: the mean of "found first" and "among the first five", as vectors are and by a
    map that learnt from neither its member nor its model; and its member."""
    before: list[float] = []
    after: list[float] = []
    people: list[str] = []
    models = [family.get(one.product, one.product) for one in taught]
    for learn, rows in folds([one.person for one in taught], models):
        turn = learnt_map([taught[n] for n in learn], shown) if learn else None
        held = [taught[n] for n in rows if taught[n].by != "click"]
        before += _lessons(held, shown, None)
        after += _lessons(held, shown, turn)
        people += [one.person for one in held]
    return before, after, people


def _lessons(taught: Sequence[Lesson], shown: SearchedPictures, turn: Floats | None) -> list[float]:
    if not taught:
        return []
    names = shown.gallery.products
    mapped = _mapped(shown.gallery, turn)
    found = mapped.best(_turned(np.concatenate([one.vectors for one in taught]), turn))
    starts = np.cumsum([0, *(len(one.vectors) for one in taught[:-1])])
    best = np.maximum.reduceat(found, starts, axis=0)
    return [
        _worth(nearest(row, names, one.product).rank) for row, one in zip(best, taught, strict=True)
    ]


def _views(
    asked: Sequence[tuple[str, str]],
    hidden: Sequence[set[str]],
    shown: SearchedPictures,
    turn: Floats | None,
) -> list[float]:
    if not asked:
        return []
    mapped, names = _mapped(shown.gallery, turn), shown.gallery.products
    place = {key: row for row, key in enumerate(shown.hashes)}
    mask = np.zeros((len(asked), len(shown.hashes)), bool)
    for n, gone in enumerate(hidden):
        mask[n, [place[key] for key in gone if key in place]] = True
    best = mapped.best(mapped.vectors[[place[picture] for _, picture in asked]], mask)
    return [
        _worth(nearest(row, names, product).rank)
        for row, (product, _) in zip(best, asked, strict=True)
    ]


def _worth(rank: int | None) -> float:
    return (metrics.within(rank, 1) + metrics.within(rank, 5)) / 2


def _mapped(gallery: Gallery, turn: Floats | None) -> Gallery:
    return gallery if turn is None else Gallery(_turned(gallery.vectors, turn), gallery.product)


def _turned(vectors: Floats, turn: Floats | None) -> Floats:
    return vectors if turn is None else unit(vectors @ turn)


def _families(
    db: Database, views: Mapping[str, Sequence[str]], taught: Sequence[Lesson]
) -> dict[str, str]:
    """Product -> the model that it is a colour of."""
    names = sorted({one.product for one in taught})
    with db.read() as c:
        members = products.showing(c, [views[name][0] for name in names])
    styles = {
        name: {f"{m.store} {m.group}" for m in members.get(views[name][0], ()) if m.group} or {name}
        for name in names
    }
    return joined([], styles)


def _chosen(several: Mapping[str, Sequence[str]], count: int, seed: int) -> list[tuple[str, str]]:
    names = sorted(several)
    order = np.random.default_rng(seed).permutation(len(names))[:count]
    return [(names[at], several[names[at]][0]) for at in sorted(order.tolist())]


def _shown(
    store: VectorStore,
    fingerprint: str,
    views: Mapping[str, Sequence[str]],
    needed: Sequence[str],
    seed: int,
) -> SearchedPictures:
    names = sorted(views)
    first = [name for name in dict.fromkeys(needed) if name in views]
    others = [names[at] for at in np.random.default_rng(seed).permutation(len(names)).tolist()]
    hashes: list[str] = []
    of: list[str] = []
    for name in dict.fromkeys([*first, *others]):
        if name not in first and len(hashes) >= PICTURES:
            break
        hashes += views[name]
        of += [name] * len(views[name])
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(of):
        rows.setdefault(name, []).append(row)
    return SearchedPictures(Gallery(store.get(fingerprint, hashes), of), hashes, rows)


def turn_head(head: Head, turn: Floats) -> None:
    """Puts the map behind the head's own, in place: what it gives is what it gave, @ turn."""
    import torch

    with torch.no_grad():
        by = torch.from_numpy(turn)
        head.project.weight.copy_(by.T @ head.project.weight)
        head.project.bias.copy_(head.project.bias @ by)


def _write(
    model: Path, out: Path, turn: NDArray[np.float32], done: Learnt, learnt: Sequence[str]
) -> None:
    """The model with the map behind its head, in a folder of its own."""
    try:
        import onnx  # noqa: F401  (both are used in export)
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    from lensback.train.export import export, read_weights
    from lensback.train.model import DIM, Eye

    if len(turn) != DIM:
        raise DataError(
            f"vectors of {counted(len(turn), 'number')}, the head gives {DIM}",
            hint="use the encoder eye",
        )
    eye = Eye(DIM)
    read_weights(eye, model / MODEL_FILE)
    turn_head(eye.head, turn)
    part = out.with_name(f".{out.name}.part")
    source = f"{model.name}, turned by {done.lessons} lessons of use"
    export(eye, part, dim=DIM, licence="", source=source)
    (part / "training.json").write_text(json.dumps(done.as_json(), indent=1) + "\n", "utf-8")
    (part / LEARNT_FILE).write_text("".join(f"{key}\n" for key in sorted(set(learnt))), "utf-8")
    part.replace(out)
