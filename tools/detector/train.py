"""Trains the shipped detector on scenes composed of two stores' pictures.

`python tools/detector/train.py --shops FOLDER --out MODEL_DIR [--minutes N] [--threads N] [--json]`

FOLDER holds `luma/images`, `closet/images` and `closet/feed.csv.gz`. Needs the extra `train`.
Killed, it goes on where it was; docs/detectors.md says what it learns from and how well.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from lensback.console import StageProgress
from lensback.errors import ConfigError
from lensback.session import processors
from lensback.train import SHIPPED_EYE
from recipe import DetectorRecipe, TrainedDetector, Watch
from teach import teach

RECIPE = DetectorRecipe()


def train_detector(
    shops: Path,
    out: Path,
    *,
    start: Path = SHIPPED_EYE,
    work: Path | None = None,
    recipe: DetectorRecipe = RECIPE,
    minutes: float = 0,
    threads: int = 1,
    watch: Watch = lambda *_: None,
) -> TrainedDetector:
    """Trains on scenes composed of the pictures in `shops/luma` and `shops/closet` into `out`.

    `out` becomes a folder with `model.onnx`, `detector.toml` and `training.json`; it must not be
    there yet. The trunk of the eye in `start`, MobileNetV2 as trained on ImageNet, is where the
    detector's starts. Run again after a kill, it goes on from what is in `work` (default:
    `out`.work). `minutes` bounds the time: fewer scenes are made, and the learning rate falls to
    nothing by the end. `watch(stage, done, total)` is told of `scenes` and `steps`. Raises
    DataError where a store's pictures are missing, ConfigError for an `out` that is there.
    """
    if out.exists():
        raise ConfigError(f"{out} is there already", hint="name another folder, or remove it")
    work = work or out.with_name(f"{out.name}.work")
    return teach(shops, out, start, work, recipe, minutes, threads, watch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shops", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=0, help="most minutes; 0: no bound")
    parser.add_argument("--threads", type=int, default=processors())
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    given = parser.parse_args()
    with StageProgress(Console(stderr=True)) as progress:
        done = train_detector(
            given.shops,
            given.out,
            minutes=given.minutes,
            threads=given.threads,
            watch=progress.watch,
        )
    if given.json:
        print(json.dumps(done.as_json()))
        return
    print(f"{done.scenes} scenes, {done.steps} steps -> {done.folder}")
    print(f"held-out boxes met by the first 8 regions: {done.met:.3f}, AP50 {done.precision:.3f}")
    print(f"next: lensback detector add NAME {done.folder}")


if __name__ == "__main__":
    main()
