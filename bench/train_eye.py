"""The recipe run of the shipped encoder: `python bench/train_eye.py --work DIR [--out MODEL_DIR]`.

Learns from `shops/closet`, `shops/luma` and `multiview` of LENSBACK_DATA, and from nothing else.
Features are made once and kept in `--work`. Then every variant of the recipe is judged by five
folds over families (all colours of one model, all of one shop where its pictures must stay
apart), and by leaving out a whole source, as a new shop would be: each held-out picture that has
another view is searched among all pictures. With `--out` the chosen recipe is fitted on
everything and written as a model folder, with the match probability of the held-out views.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lensback import metrics
from lensback.encoders.shelf import SHIPPED
from lensback.images import decode
from lensback.rank import Calibration
from lensback.train import Recipe
from lensback.train.data import Bond, Example, Rows, codes, fold_of, load
from lensback.train.fit import Floats, Map, unit
from lensback.train.odds import calibration
from lensback.train.validate import Score, paired, pooled, score
from record import DATA, write

FOLDS = 5
LICENCE = "Apache-2.0; trained on pictures under CC0, OSL-3.0/AFL-3.0, MIT, BSD-3-Clause, CC-BY-4.0"
SOURCE = "lensback eye: MobileNetV2 (ImageNet, Apache-2.0) and colour, head trained by bench/train_eye.py"
# Steps that go further than the default: what a bolder training costs.
BOLD = {"steps": 200, "learning_rate": 1e-3, "temperature": 0.07, "drift": 1.0, "real_share": 0.5}
FIT = {"steps": 0}
BEFORE = (0.3, 0.3, 0.3, 0.5, 1.0, 1.5, 0.0)
"""Weights of the parts in the first round, without fine colour."""
VARIANTS: dict[str, tuple[dict[str, Any], tuple[float, ...] | None]] = {
    "fit": (FIT, None),
    "fit, weights of the first round": (FIT, BEFORE),
    "fit, no fine colour": (FIT, (0.2, 0.2, 0.2, 0.5, 1.0, 1.5, 0)),
    "fit, twice the fine colour": (FIT, (0.2, 0.2, 0.2, 0.5, 1.0, 1.0, 1.4)),
    "fit, no copies": ({**FIT, "copy_weight": 0.0}, None),
    "fit + gentle steps, seed 0": ({}, None),
    "fit + gentle steps, seed 1": ({"seed": 1}, None),
    "fit + bold steps, seed 0": (BOLD, None),
}


def examples() -> list[Example]:
    """Every picture that may be learnt from, in a fixed order."""
    found = []
    for path in sorted((DATA / "shops" / "luma" / "images").glob("*.jpg")):
        colourway = path.stem.partition("_")[0].removesuffix("-0")
        model = colourway.partition("-")[0]
        found.append(Example(str(path), f"luma:{colourway}", f"luma:{model}"))
    with (DATA / "multiview" / "manifest.csv").open(newline="", encoding="utf-8") as lines:
        found += [_multiview(row) for row in csv.DictReader(lines)]
    for path in sorted((DATA / "shops" / "closet" / "images").iterdir()):
        name = f"closet:{path.stem}"
        found += [Example(str(path), name, name)]
    return found


def _multiview(row: dict[str, str]) -> Example:
    """Solidus repeats its pictures under several names; two bagisto products are one."""
    apart, family, weight = "", row["product"], 1.0
    if row["source"] == "solidus":
        apart = family = "solidus"
    if row["source"] == "bagisto":
        weight = 0.3
        twins = ("bagisto:bg442", "bagisto:bg443")
        apart = family = "bagisto twins" if row["product"] in twins else ""
        family = family or row["product"]
    path = str(DATA / "multiview" / row["image"])
    return Example(path, row["variant"], family, apart, weight)


def open_image(path: str) -> Image.Image:
    return decode(Path(path).read_bytes(), side_px=256)


class Judge:
    """Scores a variant by folds and by whole sources; keeps what all of them share."""

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
        self._maps: dict[tuple[bytes, str], tuple[Map, list[float]]] = {}

    def held(self, fold: int) -> Rows:
        from lensback.train.run import split

        return split(self.kept, self.folds, fold)[1]

    def plain(self) -> tuple[list[Score], Score]:
        vectors = unit(self.originals)
        folds = [self.score(vectors, self.held(fold)) for fold in range(FOLDS)]
        return folds, self.score(vectors, self.luma)

    @property
    def luma(self) -> Rows:
        held = np.concatenate([self.held(fold) for fold in range(FOLDS)])
        return np.sort(held[self.source[held] == "luma"])

    def trained(self, recipe: Recipe) -> tuple[list[Score], Score, list[list[float]]]:
        """Scores of each fold, of luma by what was learnt from the others, and the losses."""
        scores, losses = [], []
        for fold in range(FOLDS):
            last, course = self._learnt(np.flatnonzero(self.folds != fold), recipe)
            losses.append(course)
            scores.append(self.score(last.apply(self.originals), self.held(fold)))
        last, _ = self._learnt(np.flatnonzero(self.source != "luma"), recipe)
        return scores, self.score(last.apply(self.originals), self.luma), losses

    def _learnt(self, learn: Rows, recipe: Recipe) -> tuple[Map, list[float]]:
        """The last map, not the best one: these folds must choose nothing. Made once."""
        key = (learn.tobytes(), str(recipe))
        if key not in self._maps:
            self._maps[key] = self._learn(learn, recipe)
        return self._maps[key]

    def _learn(self, learn: Rows, recipe: Recipe) -> tuple[Map, list[float]]:
        from lensback.train.loop import Samples, tune
        from lensback.train.run import fitted

        samples = Samples(self.z, self.picture, self.kept, learn)
        start = fitted(samples, recipe)
        if not recipe.steps:
            return start, []
        seen: list[Map] = []

        def nothing(candidate: Map) -> Score:
            seen.append(candidate)
            return Score(np.ones(1, np.int64))

        course = tune(samples, start, replace(recipe, patience=10**6), nothing)
        return seen[-1], course.losses

    def score(self, vectors: Floats, queries: Rows) -> Score:
        return score(vectors, self.bond, queries, np.arange(len(self.kept)))

    def odds(self, recipe: Recipe) -> Calibration | None:
        """The match probability, each picture asked by a map that never saw its family."""
        from lensback.train.run import questions

        asked = []
        for fold in range(FOLDS):
            last, _ = self._learnt(np.flatnonzero(self.folds != fold), recipe)
            vectors = last.apply(self.z)
            asked += questions(vectors, self.picture, self.bond, self.held(fold))
        return calibration(asked, kind="other views and distorted copies", images=len(self.kept))

    def siblings(self, recipe: Recipe) -> dict[str, float]:
        """Areas under the ROC curve of the top similarity on held-out luma: right first answers
        against the same questions with the product, or its whole model, taken out."""
        right: list[Floats] = []
        none: dict[str, list[Floats]] = {"product out": [], "model out": []}
        everyone = np.arange(len(self.kept))
        for fold in range(FOLDS):
            asked = self.held(fold)
            asked = asked[self.source[asked] == "luma"]
            last, _ = self._learnt(np.flatnonzero(self.folds != fold), recipe)
            vectors = last.apply(self.originals)
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


Result = tuple[list[Score], Score]


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
    hits = np.array(mine.found(k))
    found = metrics.bootstrap(range(len(hits)), lambda rows: float(hits[rows].mean()))
    return [round(v, 3) for v in found] if found else None


def ends(losses: list[list[float]]) -> list[float]:
    """Mean loss of the first and of the last ten steps."""
    if not losses[0]:
        return []
    return [float(np.mean([each[cut] for each in losses])) for cut in (slice(10), slice(-10, None))]


def main() -> None:
    parser = argparse.ArgumentParser(description="The recipe run of the shipped encoder.")
    parser.add_argument("--work", type=Path, required=True, help="where features are kept")
    parser.add_argument("--weights", type=Path, default=DATA / "weights" / "mobilenetv2_bn_npy")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), help="which to judge")
    parser.add_argument(
        "--minutes", type=float, default=0, help="after which no more copies are made"
    )
    parser.add_argument(
        "--out", type=Path, help=f"model folder to write, for example {SHIPPED / 'eye'}"
    )
    arguments = parser.parse_args()

    import torch

    from lensback.train import run
    from lensback.train.export import export
    from lensback.train.loop import Samples
    from lensback.train.model import DIM, Eye, read_imagenet
    from lensback.train.records import write_calibration

    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    begin, recipe = time.monotonic(), Recipe()
    eye = Eye()
    read_imagenet(eye.features.trunk, arguments.weights)
    kept, pile = load(examples(), open_image)
    raw, picture = run.features(
        kept,
        pile,
        eye.features,
        arguments.work,
        recipe,
        begin + 60 * arguments.minutes if arguments.minutes else float("inf"),
        arguments.threads,
        lambda stage, done, total: print(
            stage, done, total, round(time.monotonic() - begin), flush=True
        ),
    )
    features_s = time.monotonic() - begin
    judge = Judge(kept, raw, picture)
    first = Judge(kept, raw, picture, (0, 0, 0, 0, 1.0, 1.5, 0)).plain()
    rows = [line(judge, "untrained: last feature and colour", first, first)]
    colour = Judge(kept, raw, picture, (0, 0, 0, 0, 1.0, 1.0, 0.7)).plain()
    rows.append(line(judge, "untrained: last feature, colour both ways", colour, first))
    rows.append(line(judge, "untrained: all parts", judge.plain(), first))
    for name in arguments.variants:
        changed, weights = VARIANTS[name]
        mine = Judge(kept, raw, picture, weights) if weights else judge
        folds, unseen, losses = mine.trained(replace(recipe, **changed))
        rows.append(line(mine, name, (folds, unseen), first) | {"loss": ends(losses)})
    figures: dict[str, Any] = {"pictures": len(kept), "rows": len(raw), "recipe": asdict(recipe)}
    if arguments.out:
        everything = Samples(judge.z, picture, kept, np.arange(len(kept)))
        run.put(judge.head, run.fitted(everything, recipe))
        eye.head = judge.head
        figures["parity"] = export(eye, arguments.out, dim=DIM, licence=LICENCE, source=SOURCE)
        odds = judge.odds(replace(recipe, steps=0))
        write_calibration(arguments.out, odds)
        figures["siblings"] = judge.siblings(replace(recipe, steps=0))
        figures["calibration"] = odds.as_json() if odds else {}
    figures |= {"features_s": round(features_s), "seconds": round(time.monotonic() - begin)}
    write("train_eye", {**figures, "runs": rows})


if __name__ == "__main__":
    main()
