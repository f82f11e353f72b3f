"""The recipe run of the shipped encoder: `python bench/train_eye.py --work DIR [--out MODEL_DIR]`.

Learns from `shops/closet`, `shops/luma` and `multiview` of LENSBACK_DATA, and from nothing else.
Features are made once and kept in `--work`. Then every variant of the recipe is judged by five
folds over families (all colours of one model, all of one shop where its pictures must stay
apart): each held-out picture that has another view is searched among all pictures. With `--out`
the chosen recipe is fitted on everything and written as a model folder.
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

from lensback.encoders.shelf import SHIPPED
from lensback.images import decode
from lensback.train import Recipe
from lensback.train.data import Bond, Example, Rows, fold_of, load
from lensback.train.fit import Floats, Map, unit
from lensback.train.validate import Score, paired, pooled, score
from record import DATA, write

FOLDS = 5
LICENCE = "Apache-2.0; trained on pictures under CC0, OSL-3.0/AFL-3.0, MIT, BSD-3-Clause, CC-BY-4.0"
SOURCE = "lensback eye: MobileNetV2 (ImageNet, Apache-2.0) and colour, head trained by bench/train_eye.py"
# Steps that go further than the default: what a bolder training costs.
BOLD = {"steps": 200, "learning_rate": 1e-3, "temperature": 0.07, "drift": 1.0, "real_share": 0.5}
VARIANTS: dict[str, dict[str, Any]] = {
    "fit": {"steps": 0},
    "fit, ridge 0.3": {"steps": 0, "ridge": 0.3},
    "fit, ridge 3": {"steps": 0, "ridge": 3.0},
    "fit, power 1": {"steps": 0, "power": 1.0},
    "fit, no copies": {"steps": 0, "copy_weight": 0.0},
    "fit, copies weigh 1": {"steps": 0, "copy_weight": 1.0},
    "fit, 256 components": {"steps": 0, "reduced": 256},
    "fit, 900 components": {"steps": 0, "reduced": 900},
    "fit + gentle steps, seed 0": {},
    "fit + gentle steps, seed 1": {"seed": 1},
    "fit + gentle steps, seed 2": {"seed": 2},
    "fit + bold steps, seed 0": BOLD,
    "fit + bold steps, seed 1": {**BOLD, "seed": 1},
    "fit + bold steps, seed 2": {**BOLD, "seed": 2},
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
    """Scores a variant by folds; keeps what all of them share."""

    def __init__(self, kept: list[Example], raw: Floats, picture: Rows) -> None:
        from lensback.train import run
        from lensback.train.model import Head

        everyone = np.arange(len(kept))
        self.kept, self.picture = kept, picture
        self.head = run.standardised(raw, picture, everyone, Head())
        self.z = run.joined(self.head, raw)
        self.originals = self.z[run.firsts(picture, len(kept))]
        self.bond = Bond.of(kept)
        self.folds = np.array([fold_of(e.family, FOLDS) for e in kept])
        self.source = np.array([e.product.partition(":")[0] for e in kept])

    def held(self, fold: int) -> Rows:
        from lensback.train.run import split

        return split(self.kept, self.folds, fold)[1]

    def untrained(self, columns: slice | None = None) -> list[Score]:
        vectors = unit(self.originals[:, columns] if columns else self.originals)
        return [self.score(vectors, fold) for fold in range(FOLDS)]

    def trained(self, recipe: Recipe) -> tuple[list[Score], list[float]]:
        from lensback.train.loop import Samples, tune
        from lensback.train.run import fitted

        scores, losses = [], []
        for fold in range(FOLDS):
            learn = np.flatnonzero(self.folds != fold)
            samples = Samples(self.z, self.picture, self.kept, learn)
            last = fitted(samples, recipe)
            if recipe.steps:
                # The last map counts, not the best one: these folds must choose nothing.
                last, course = self._last(samples, last, recipe, tune)
                losses += [np.mean(course[:10]), np.mean(course[-10:])]
            scores.append(self.score(last.apply(self.originals), fold))
        return scores, [
            float(np.mean(losses[0::2])),
            float(np.mean(losses[1::2])),
        ] if losses else []

    def _last(self, samples: Any, start: Map, recipe: Recipe, tune: Any) -> tuple[Map, list[float]]:
        seen: list[Map] = []

        def nothing(candidate: Map) -> Score:
            seen.append(candidate)
            return Score(np.zeros(1, np.int64))

        course = tune(samples, start, replace(recipe, patience=10**6), nothing)
        return seen[-1], course.losses

    def score(self, vectors: Floats, fold: int) -> Score:
        return score(vectors, self.bond, self.held(fold), np.arange(len(self.kept)))

    def by_source(self, scores: list[Score]) -> dict[str, Score]:
        whole = pooled(scores)
        source = np.concatenate([self.source[self.held(fold)] for fold in range(FOLDS)])
        groups = {"luma": ("luma",), "demo shops": ("saleor", "solidus", "abo-sample")}
        groups["bagisto"] = ("bagisto",)
        return {
            name: Score(whole.ahead[np.isin(source, members)]) for name, members in groups.items()
        }


def line(judge: Judge, name: str, scores: list[Score], first: list[Score]) -> dict[str, Any]:
    row: dict[str, Any] = {"variant": name}
    for group, found in judge.by_source(scores).items():
        row[group] = {f"r{k}": round(found.recall(k), 4) for k in (1, 5)} | {"n": len(found.ahead)}
    luma, before = judge.by_source(scores)["luma"], judge.by_source(first)["luma"]
    row["luma"]["interval95"] = [[round(v, 3) for v in luma.interval(k)] for k in (1, 5)]
    row["luma"]["gain"] = [[round(v, 3) for v in paired(before, luma, k)] for k in (1, 5)]
    print(row, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description="The recipe run of the shipped encoder.")
    parser.add_argument("--work", type=Path, required=True, help="where features are kept")
    parser.add_argument("--weights", type=Path, default=DATA / "weights" / "mobilenetv2_bn_npy")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--out", type=Path, help=f"model folder to write, for example {SHIPPED / 'eye'}"
    )
    arguments = parser.parse_args()

    import torch

    from lensback.train import run
    from lensback.train.export import export
    from lensback.train.loop import Samples
    from lensback.train.model import DIM, PARTS, Eye, read_imagenet

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
        float("inf"),
        arguments.threads,
        lambda stage, done, total: print(
            stage, done, total, round(time.monotonic() - begin), flush=True
        ),
    )
    features_s = time.monotonic() - begin
    judge = Judge(kept, raw, picture)
    colour = slice(sum(part.width for part in PARTS[:-1]), None)
    late = slice(sum(part.width for part in PARTS[:-2]), None)
    first = judge.untrained(late)
    rows = [
        line(judge, "untrained: colour alone", judge.untrained(colour), first),
        line(judge, "untrained: last feature and colour", first, first),
        line(judge, "untrained: all parts", judge.untrained(), first),
    ]
    for name, changed in VARIANTS.items():
        scores, losses = judge.trained(replace(recipe, **changed))
        rows.append(line(judge, name, scores, first) | {"loss": losses})
    figures: dict[str, Any] = {"pictures": len(kept), "rows": len(raw), "recipe": asdict(recipe)}
    if arguments.out:
        everything = Samples(judge.z, picture, kept, np.arange(len(kept)))
        run.put(judge.head, run.fitted(everything, recipe))
        eye.head = judge.head
        parity = export(eye, arguments.out, dim=DIM, licence=LICENCE, source=SOURCE)
        figures["parity"] = parity
    figures |= {"features_s": round(features_s), "seconds": round(time.monotonic() - begin)}
    write("train_eye", {**figures, "runs": rows})


if __name__ == "__main__":
    main()
