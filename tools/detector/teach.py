"""The detector's training: scenes, steps, the choice by held-out pictures, and the file."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from finder import CLASSES, Finder, loss, targets
from finder_file import HARD, MOST, SOFT, write
from lensback.detectors.boxes import suppress
from lensback.detectors.measure import Judged, mean_average_precision, share_met
from lensback.log import event
from lensback.train.export import read_weights
from lensback.train.model import DIM, Eye
from lensback.types import Region
from recipe import DetectorRecipe, TrainedDetector, Watch
from scenes import PERSON, gather
from stems import Stems, closet_words, composed, held, joined, photos, stems_of

EVERY = 250
"""Steps between validations, each of which is a checkpoint."""
FIRST = 8
"""Regions by which a held-out picture is judged."""
MIN_AREA = 0.004
"""Of a photo; smaller boxes are not asked for."""
CLIP = 10.0


def teach(
    shops: Path,
    out: Path,
    start: Path,
    work: Path,
    recipe: DetectorRecipe,
    minutes: float,
    threads: int,
    watch: Watch,
) -> TrainedDetector:
    """Trains a detector on scenes made of the folders' photos; see `train.train_detector`."""
    begin = time.monotonic()
    torch.set_num_threads(max(1, threads))
    torch.manual_seed(recipe.seed)
    work.mkdir(parents=True, exist_ok=True)
    finder = started(start)
    learn, judge = material(shops, finder, work, recipe, minutes * 60, watch)
    course = Course(finder, learn, judge, recipe, work / "course.pt")
    course.run(minutes * 60 - (time.monotonic() - begin) if minutes else 0.0, watch)
    part = out.with_name(f".{out.name}.part")
    parity = write(course.best, part)
    met, precision = judged(course.best, judge)
    done = TrainedDetector(
        folder=out,
        scenes=len(learn),
        steps=course.state.step,
        met=met,
        precision=precision,
        parity=parity,
        seconds=round(time.monotonic() - begin, 1),
        losses=course.state.losses,
        validations=course.state.validations,
    )
    record = {**done.as_json(), "folder": out.name, "recipe": asdict(recipe)}
    (part / "training.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    part.replace(out)
    event("train.detector.done", scenes=done.scenes, met=met, precision=precision)
    return done


def started(start: Path) -> Finder:
    """A new detector on the trunk of an eye."""
    eye, finder = Eye(DIM), Finder()
    read_weights(eye, start / "model.onnx")
    trunk = eye.features.mobilenet
    del trunk.last
    finder.trunk.load_state_dict(trunk.state_dict())
    return finder.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


def material(
    shops: Path, finder: Finder, work: Path, recipe: DetectorRecipe, seconds: float, watch: Watch
) -> tuple[Stems, Stems]:
    """What to learn from, and what to judge by: scenes and photos of held-out pictures."""
    begin, words = time.monotonic(), closet_words(shops)

    def source(training: bool) -> Any:
        return gather(shops, words, held, training)

    finder.eval()
    aside = composed(
        lambda: source(False), finder, work, recipe.held_scenes, recipe.seed + 1, lambda _: True
    )
    real = stems_of(list(photos(source(False).whole)), finder)

    def keep_going(made: int) -> bool:
        watch("scenes", made, recipe.scenes)
        return not seconds or time.monotonic() - begin < recipe.scene_share * seconds

    learn = composed(lambda: source(True), finder, work, recipe.scenes, recipe.seed, keep_going)
    return learn, joined([aside, real])


@dataclass(slots=True)
class State:
    """What of a course is told afterwards."""

    step: int = 0
    elapsed: float = 0.0
    losses: list[float] = field(default_factory=list)
    validations: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def value(self) -> float:
        """The best validation so far: the mean of both figures decides."""
        return max(((met + ap) / 2 for _, met, ap in self.validations), default=-1.0)


class Course:
    """The state of one training: the detector, its average, its optimiser."""

    def __init__(
        self, finder: Finder, learn: Stems, judge: Stems, recipe: DetectorRecipe, path: Path
    ) -> None:
        self.finder, self.learn, self.judge = finder, learn, judge
        self.recipe, self.path, self.state = recipe, path, State()
        slowly = get_ema_multi_avg_fn(recipe.average)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(finder, multi_avg_fn=slowly, use_buffers=True)
        # The averaged weights; in the end, the best of them.
        self.best = cast("Finder", self.average.module)
        self.kept: dict[str, Any] = {}
        trunk = [*finder.trunk.parameters()]
        mine = {id(value) for value in trunk}
        head = [value for value in finder.parameters() if id(value) not in mine]
        groups = [{"params": trunk, "share": recipe.trunk_rate}, {"params": head, "share": 1.0}]
        self.optimiser = torch.optim.AdamW(groups, 1e-9, weight_decay=recipe.weight_decay)
        self.total = recipe.epochs * math.ceil(len(learn) / recipe.batch)
        if path.is_file():
            self._resume()

    def run(self, seconds: float, watch: Watch) -> None:
        """Steps until the epochs, or the seconds where there are any, are over."""
        begin, before = time.monotonic(), self.state.elapsed
        while self.state.step < self.total:
            self.state.elapsed = before + time.monotonic() - begin
            done = self.state.step / self.total
            if seconds:
                done = max(done, (self.state.elapsed - before) / seconds)
            if done >= 1:
                break
            self._advance(done)
            watch("steps", self.state.step, self.total)
            if self.state.step % EVERY == 0:
                self._validate()
        if self.state.step % EVERY or not self.kept:
            self._validate()
        self.best.load_state_dict(self.kept)

    def _advance(self, done: float) -> None:
        """One step; `done` is how much of the training is over, 0 to 1."""
        recipe, state = self.recipe, self.state
        warm = min(1.0, (state.step + 1) / recipe.warm_up)
        rate = recipe.learning_rate * warm * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        rows = self._rows(state.step)
        self.finder.train()
        wanted = targets([self.learn.boxes[row] for row in rows])
        value = loss(self.finder, *self.finder.maps(self.learn.batch(rows)), wanted)
        self.optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.finder.parameters(), CLIP)
        self.optimiser.step()
        self.average.update_parameters(self.finder)
        state.step += 1
        if state.step % 25 == 0:
            state.losses.append(round(float(value), 4))

    def _rows(self, step: int) -> list[int]:
        """The scenes of a step: every epoch in another order, the same in every run."""
        epoch, at = divmod(step * self.recipe.batch, len(self.learn))
        order = np.random.default_rng([self.recipe.seed, epoch]).permutation(len(self.learn))
        return [int(row) for row in order[at : at + self.recipe.batch]]

    def _validate(self) -> None:
        best = self.state.value
        met, precision = judged(self.best, self.judge)
        self.state.validations.append((self.state.step, round(met, 4), round(precision, 4)))
        if not self.kept or self.state.value > best:
            weights = self.best.state_dict()
            self.kept = {name: value.clone() for name, value in weights.items()}
        event("train.detector.judged", step=self.state.step, met=met, precision=precision)
        self._save()

    def _save(self) -> None:
        part = self.path.with_suffix(".part")
        torch.save(
            {
                "finder": self.finder.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "kept": self.kept,
                "state": asdict(self.state),
            },
            part,
        )
        part.replace(self.path)

    def _resume(self) -> None:
        stored = torch.load(self.path, weights_only=True)
        self.finder.load_state_dict(stored["finder"])
        self.average.load_state_dict(stored["average"])
        self.optimiser.load_state_dict(stored["optimiser"])
        self.kept = stored["kept"]
        self.state = replace(self.state, **stored["state"])


def judged(finder: Finder, judge: Stems) -> tuple[float, float]:
    """Share of held-out boxes met by the first regions, and mean average precision."""
    finder.eval()
    labels = [label for label in CLASSES if label != PERSON]
    found = []
    for at in range(0, len(judge), 16):
        rows = range(at, min(at + 16, len(judge)))
        with torch.no_grad():
            peaks = finder.peaks(*finder.maps(judge.batch(list(rows))))
        for place, row in enumerate(rows):
            truth = [
                (CLASSES[label], box)
                for label, box in judge.boxes[row]
                if CLASSES[label] != PERSON and _large(box)
            ]
            found.append(Judged(truth, regions([value[place] for value in peaks])))
    return share_met(found, FIRST), mean_average_precision(found, labels)


def regions(peaks: Sequence[Tensor]) -> list[Region]:
    """Labels, boxes and scores of one picture -> its regions, as the detector in use makes them."""
    labels, boxes, scores = (value.numpy() for value in peaks)
    keep = labels != CLASSES.index(PERSON)
    labels, boxes, scores = labels[keep], boxes[keep], scores[keep]
    rows, left = suppress(boxes, scores, MOST, soft=SOFT, hard=HARD)
    return [
        Region(tuple(boxes[row].tolist()), CLASSES[labels[row]], float(score))
        for row, score in zip(rows, left, strict=True)
    ]


def _large(box: Sequence[float]) -> bool:
    return (box[2] - box[0]) * (box[3] - box[1]) >= MIN_AREA
