"""The recipe run of the shipped encoder: `python tools/train_eye.py [--work DIR] [--model MODEL_DIR]`.

Learns from `shops/closet`, `shops/luma` and `multiview` of LENSBACK_DATA, and from nothing else.
Features are made once and kept in `--work`. The fit that ships is judged by five folds over
families (all colours of one model, all of one shop where its pictures must stay apart), and on
luma by what was learnt from the other sources, as a new shop would see it: each held-out picture
that has another view is searched among all pictures. With `--model` it is then fitted on
everything and written as a model folder (the shipped one lies in encoders/models/eye), with the
match probability of the held-out views. What else was tried: docs/research.md.
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
from lensback.train.validate import Score, paired, pooled, score

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))
from eye import closet, luma, multiview
from rig import DATA, arguments, write

FOLDS = 5
LICENCE = "Apache-2.0; trained on pictures under CC0, OSL-3.0/AFL-3.0, MIT, BSD-3-Clause, CC-BY-4.0"
SOURCE = "lensback eye: MobileNetV2 (ImageNet, Apache-2.0) and colour, head trained by tools/train_eye.py"
LAST_AND_COLOUR = (0, 0, 0, 0, 1.0, 1.5, 0)
"""Weights of the head's parts: the last feature and colour alone, what the fit is held against."""
RECIPE = Recipe(steps=0)  # steps were tried and gain nothing here


def examples() -> list[Example]:
    """Every picture that may be learnt from, in a fixed order."""
    return [*luma(), *multiview(), *closet()]


def open_image(path: str) -> Image.Image:
    return decode(Path(path).read_bytes(), side_px=256)


Result = tuple[list[Score], Score]
"""Scores of the folds, and of luma unseen."""


class Judge:
    """Scores a map by folds and by whole sources; keeps what all of them share."""

    def __init__(
        self,
        kept: list[Example],
        raw: Floats,
        picture: Rows,
        weights: tuple[float, ...] | None = None,
    ) -> None:
        from lensback.train import run
        from lensback.train.model import DIM, PARTS, Head

        everyone = np.arange(len(kept))
        self.kept, self.picture = kept, picture
        self.head = run.standardised(raw, picture, everyone, Head())
        if weights:
            changed = (replace(p, weight=w) for p, w in zip(PARTS, weights, strict=True))
            other = Head(DIM, tuple(changed))
            other.load_state_dict(self.head.state_dict())
            self.head = other
        self.z = run.joined(self.head, raw)
        self.originals = self.z[run.firsts(picture, len(kept))]
        self.bond = Bond.of(kept)
        self.folds = np.array([fold_of(e.family, FOLDS) for e in kept])
        self.source = np.array([e.product.partition(":")[0] for e in kept])
        self.family = codes([e.family for e in kept])
        self._maps: dict[int, Map] = {}

    def held(self, fold: int) -> Rows:
        from lensback.train.run import split

        return split(self.kept, self.folds, fold)[1]

    def plain(self) -> Result:
        """Scores of the parts as they are, without a map."""
        vectors = unit(self.originals)
        folds = [self.score(vectors, self.held(fold)) for fold in range(FOLDS)]
        return folds, self.score(vectors, self.of_luma)

    @property
    def of_luma(self) -> Rows:
        held = np.concatenate([self.held(fold) for fold in range(FOLDS)])
        return np.sort(held[self.source[held] == "luma"])

    def fitted(self) -> Result:
        """Scores of each fold, and of luma by what was learnt from the others."""
        scores = [
            self.score(self.of_fold(fold).apply(self.originals), self.held(fold))
            for fold in range(FOLDS)
        ]
        unseen = self._learnt(np.flatnonzero(self.source != "luma"))
        return scores, self.score(unseen.apply(self.originals), self.of_luma)

    def of_fold(self, fold: int) -> Map:
        """What is learnt without the families of a fold. Made once."""
        if fold not in self._maps:
            self._maps[fold] = self._learnt(np.flatnonzero(self.folds != fold))
        return self._maps[fold]

    def _learnt(self, learn: Rows) -> Map:
        from lensback.train.loop import Samples
        from lensback.train.run import fitted

        return fitted(Samples(self.z, self.picture, self.kept, learn), RECIPE)

    def score(self, vectors: Floats, queries: Rows) -> Score:
        return score(vectors, self.bond, queries, np.arange(len(self.kept)))

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

    def by_source(self, scores: list[Score]) -> dict[str, Score]:
        whole = pooled(scores)
        source = np.concatenate([self.source[self.held(fold)] for fold in range(FOLDS)])
        groups = {"luma": ("luma",), "demo shops": ("saleor", "solidus", "abo-sample")}
        groups["bagisto"] = ("bagisto",)
        return {
            name: Score(whole.ranks[np.isin(source, members)]) for name, members in groups.items()
        }


def line(judge: Judge, name: str, found: Result, first: Result) -> dict[str, Any]:
    row: dict[str, Any] = {"variant": name}
    groups, before = judge.by_source(found[0]), judge.by_source(first[0])
    groups["luma, learnt from others"], before["luma, learnt from others"] = found[1], first[1]
    for group, mine in groups.items():
        row[group] = {f"r{k}": round(mine.recall(k), 4) for k in (1, 5)} | {"n": len(mine.ranks)}
        if group.startswith("luma"):
            gains = [paired(before[group], mine, k) for k in (1, 5)]
            row[group]["interval95"] = [interval(mine, k) for k in (1, 5)]
            row[group]["gain"] = [[round(v, 3) for v in gain] for gain in gains]
    print(row, flush=True)
    return row


def interval(mine: Score, k: int) -> list[float] | None:
    """95 % bootstrap interval of R@k over queries."""
    hits = np.array(mine.hits_at(k))
    found = metrics.bootstrap(range(len(hits)), lambda rows: float(hits[rows].mean()))
    return [round(v, 3) for v in found] if found else None


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

    from imagenet_trunk import read_imagenet
    from lensback.train import run
    from lensback.train.export import export
    from lensback.train.loop import Samples
    from lensback.train.model import DIM, Eye
    from lensback.train.records import write_calibration

    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    until = begin + 60 * given.minutes if given.minutes else float("inf")  # then no more copies
    eye = Eye()
    read_imagenet(eye.features.trunk, given.weights)
    kept, pile = load(examples(), open_image)
    raw, picture = run.features(
        kept, pile, eye.features, given.work, Recipe(), until, given.threads,
        lambda stage, done, total: print(stage, done, total, flush=True),
    )  # fmt: skip
    features_s = round(time.monotonic() - begin)
    judge = Judge(kept, raw, picture)
    first = Judge(kept, raw, picture, LAST_AND_COLOUR).plain()
    rows = [
        line(judge, "untrained: last feature and colour", first, first),
        line(judge, "untrained: all parts", judge.plain(), first),
        line(judge, "fit", judge.fitted(), first),
    ]
    figures: dict[str, Any] = {"pictures": len(kept), "rows": len(raw), "recipe": asdict(RECIPE)}
    figures["siblings"] = judge.siblings()
    if given.model:
        everything = Samples(judge.z, picture, kept, np.arange(len(kept)))
        run.put(judge.head, run.fitted(everything, RECIPE))
        eye.head = judge.head
        figures["parity"] = export(eye, given.model, dim=DIM, licence=LICENCE, source=SOURCE)
        odds = judge.odds()
        write_calibration(given.model, odds)
        figures["calibration"] = odds.as_json() if odds else {}
    figures |= {"features_s": features_s, "seconds": round(time.monotonic() - begin)}
    write("train_eye", {**figures, "runs": rows}, given.out)


if __name__ == "__main__":
    main()
