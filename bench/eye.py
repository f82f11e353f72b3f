"""Encoders on three kinds of other photos, beside each other: `python bench/eye.py NAME ... [--models DIR]`.

What helps in the studio may hurt in the street: no edition of an encoder may trade one for the
other unseen. Every photo is searched whole, itself taken out, among others of its set and 2,500
things of closet:
- studio: other views, of luma and of demo shops, where the ground is plain and colour is identity;
- places: one thing in different places, lights and angles, what shoppers take: wearables, other
  things, and things that no edition may be fitted on, for their licence;
- phone pairs: second-hand things photographed twice;
- copies: luma's main pictures distorted as a phone would, which are a poor stand-in for all of these.
R@1 and R@5, each with an interval that counts photos of one thing as what they are, and the paired
differences from the first encoder, by thing. An encoder that was fitted on some of these pictures
is flattered; tools/train_eye.py judges the shipped one on things held out of its fit.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lensback import metrics
from lensback.distort import distort
from lensback.encoders import Encoder, open_encoder
from lensback.images import decode
from lensback.train.data import Bond, Example, Rows, views
from lensback.train.validate import Score, score
from lensback.types import Vectors
from rig import DATA, arguments, opened, write

BYSTANDERS = 2500
COPIES = 300
DEMO_SHOPS = ("saleor", "solidus", "abo-sample")
MAY_FIT = "choose and fit"
"""What `places` says of photos that a fit may see."""
WEARABLES, OTHERS = "places: wearables", "places: other things"
NEVER_FITTED, PAIRS = "places: never fitted on", "phone pairs"
PLACE_SETS = (WEARABLES, OTHERS, NEVER_FITTED, PAIRS)
"""Photos of things in places that a fit may see, of other things that none may, and of second-hand
things that were photographed twice."""


# ---- the pictures


def luma() -> list[Example]:
    """Studio pictures of one shop: a colourway is a thing, all colours of a model are a family."""
    found = []
    for path in sorted((DATA / "shops" / "luma" / "images").glob("*.jpg")):
        colourway = path.stem.partition("_")[0].removesuffix("-0")
        found.append(Example(str(path), f"luma:{colourway}", f"luma:{colourway.partition('-')[0]}"))
    return found


def multiview() -> list[Example]:
    """Views of demo shops. Solidus repeats its pictures under several names; two bagisto products
    are one."""
    with (DATA / "multiview" / "manifest.csv").open(newline="", encoding="utf-8") as lines:
        return [_view(row) for row in csv.DictReader(lines)]


def _view(row: dict[str, str]) -> Example:
    apart, family, weight = "", row["product"], 1.0
    if row["source"] == "solidus":
        apart = family = "solidus"
    if row["source"] == "bagisto":
        weight = 0.3
        twins = ("bagisto:bg442", "bagisto:bg443")
        apart = family = "bagisto twins" if row["product"] in twins else ""
        family = family or row["product"]
    return Example(str(DATA / "multiview" / row["image"]), row["variant"], family, apart, weight)


def closet() -> list[Example]:
    """Second-hand things, one phone photo each."""
    paths = sorted((DATA / "shops" / "closet" / "images").iterdir())
    return [Example(str(p), f"closet:{p.stem}", f"closet:{p.stem}") for p in paths]


@dataclass(frozen=True, slots=True)
class Place:
    """A photo of a thing that was photographed in several places."""

    example: Example
    set: str
    """The one of PLACE_SETS that it belongs to."""

    @property
    def may_fit(self) -> bool:
        """Whether its licence lets a fit see it."""
        return self.set != NEVER_FITTED


def places() -> list[Place]:
    """Photos of things in different places, in a fixed order."""
    with (DATA / "places" / "items.csv").open(newline="", encoding="utf-8") as lines:
        return [_place(row) for row in csv.DictReader(lines)]


def _place(row: dict[str, str]) -> Place:
    thing = f"places:{row['thing']}"
    name = OTHERS if row["use"] == MAY_FIT else NEVER_FITTED
    if row["kind"] == "wearable":
        name = PAIRS if row["thing"].startswith("item") else WEARABLES
    return Place(Example(str(DATA / "places" / "photos" / row["photo"]), thing, thing), name)


# ---- the questions


@dataclass(frozen=True, slots=True)
class Question:
    """One set: the photos to ask with, as places in `shown`, which are searched, too."""

    name: str
    shown: list[Example]
    asked: Rows
    copied: int = 0
    """So many of `asked` are searched for by distorted copies, themselves staying; 0: by
    themselves, taken out."""


def questions(bystanders: int) -> list[Question]:
    """Every set with the same bystanders."""
    rest = sorted(random.Random(0).sample(closet(), bystanders), key=lambda e: e.key)
    studio, shops = luma(), multiview()
    shops = [e for e in shops if e.product.partition(":")[0] in DEMO_SHOPS]
    there = places()
    photos = [place.example for place in there]
    made = [
        Question("studio: luma", [*studio, *rest], _several(studio)),
        Question("studio: demo shops", [*shops, *rest], _several(shops)),
    ]
    for name in PLACE_SETS:
        asked = [row for row, place in enumerate(there) if place.set == name]
        made.append(Question(name, [*photos, *rest], np.array(asked, np.int64)))
    mains = [n for n, e in enumerate(studio) if Path(e.key).stem.partition("_")[2] in ("", "main")]
    drawn = np.array(sorted(random.Random(1).sample(mains, min(COPIES, len(mains)))), np.int64)
    return [*made, Question("copies: luma", [*studio, *rest], drawn, len(drawn))]


def _several(examples: Sequence[Example]) -> Rows:
    """Rows of the pictures that have another view."""
    rows = [row for found in views(examples).values() if len(found) > 1 for row in found]
    return np.array(sorted(rows), np.int64)


def answered(question: Question, vectors: Callable[[str, int], Vectors]) -> Score:
    """Ranks of the right picture; `vectors(key, seed)` is of a picture, with a seed of its copy."""
    shown = np.concatenate([vectors(e.key, 0) for e in question.shown])
    if not question.copied:
        return score(shown, Bond.of(question.shown), question.asked, np.arange(len(shown)))
    copies = np.concatenate(
        [vectors(question.shown[row].key, int(row) + 1) for row in question.asked]
    )
    right = question.asked[:, None] == np.arange(len(shown))[None]
    return Score(metrics.ranks(copies @ shown.T, right, ~right), question.asked)


def things(question: Question, found: Score) -> list[str]:
    """The thing that each query shows: its photos succeed and fail together."""
    return [question.shown[row].product for row in found.query.tolist()]


class Seen:
    """Vectors of an encoder, each picture encoded once."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._kept: dict[tuple[str, int], Vectors] = {}

    def __call__(self, key: str, seed: int) -> Vectors:
        if (key, seed) not in self._kept:
            self._kept[key, seed] = self.encoder.encode([self._image(key, seed)])
        return self._kept[key, seed]

    def _image(self, key: str, seed: int) -> Image.Image:
        if seed:
            return distort(opened(Path(key)), seed)
        return decode(Path(key).read_bytes(), side_px=self.encoder.side_px)


# ---- the figures


def figure(flags: list[bool], clusters: list[str]) -> dict[str, Any]:
    """A share with its interval (Wilson, photos of one thing going together) and sample sizes."""
    n, worth = len(flags), metrics.effective(clusters, flags)
    share = sum(flags) / n if n else None
    low, high = metrics.wilson((share or 0) * worth, worth) or (0.0, 1.0)
    return {
        "share": None if share is None else round(share, 4),
        "n": n,
        "things": len(set(clusters)),
        "interval95": [round(low, 4), round(high, 4)],
    }


def difference(mine: list[bool], first: list[bool], clusters: list[str]) -> dict[str, Any]:
    """Mine minus the first, by thing, with who alone is right."""
    gain, only = metrics.paired_difference(mine, first, clusters), metrics.mcnemar(mine, first)
    rounded = [None if v is None else round(v, 4) for v in (gain.value, gain.low, gain.high)]
    return {"value": rounded[0], "interval95": rounded[1:], "only": [only.better, only.worse]}


def compared(question: Question, found: Sequence[Score]) -> list[dict[str, Any]]:
    """Each encoder's figures on the set, and its difference from the first."""
    clusters = things(question, found[0])
    rows = []
    for at, mine in enumerate(found):
        row: dict[str, Any] = {}
        for k in (1, 5):
            flags = mine.hits_at(k)
            row[f"R@{k}"] = figure(flags, clusters)
            if at:
                row[f"R@{k}"]["minus_first"] = difference(flags, found[0].hits_at(k), clusters)
        rows.append(row)
    return rows


def main() -> None:
    parser = arguments(__doc__, models=Path("workspace/models"), bystanders=BYSTANDERS, sets="")
    parser.add_argument("names", nargs="*", default=["eye"])
    asked = parser.parse_args()
    encoders = [open_encoder(name, asked.models, threads=1) for name in asked.names]
    seen = [Seen(encoder) for encoder in encoders]
    sets: dict[str, Any] = {}
    for question in questions(asked.bystanders):
        if question.name.startswith(asked.sets):
            rows = compared(question, [answered(question, vectors) for vectors in seen])
            sets[question.name] = dict(zip(asked.names, rows, strict=True))
    about = [{"encoder": e.name, "fingerprint": e.fingerprint, "dim": e.dim} for e in encoders]
    write("eye", {"bystanders": asked.bystanders, "encoders": about, "sets": sets}, asked.out)


if __name__ == "__main__":
    main()
