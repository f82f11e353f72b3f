"""Gradient steps from the fit on: a contrast of other views against every other picture.

Only `lensback.train` opens this file: it imports torch at its top. The validation decides, and the
start is a candidate like any other: a training that does not find held-out views better than
the fit gives the fit back.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lensback.durable import replace_file
from lensback.train.data import ALIKE, Bond, Example, Rows
from lensback.train.fit import Floats, Map, Recipe
from lensback.train.model import PREFIXES
from lensback.train.validate import Score

EVERY = 20
"""Steps between validations."""
REFRESH = 5
"""Steps for which the vectors of all pictures are good enough as negatives."""
BLENDS = (0.25, 0.5, 1.0)
"""Shares of the way from the fit to the trained map that are tried (Wortsman et al. 2022)."""
MASKED = -9.0


@dataclass(frozen=True, slots=True)
class Samples:
    """Rows of joined features to learn from: `z[row]` shows picture `picture[row]`."""

    z: Floats
    picture: Rows
    examples: list[Example]
    learn: Rows
    """Pictures that may be learnt from."""
    teacher: Floats | None = None
    """[pictures, any]: another encoder's vectors, whose distances are to be imitated."""


@dataclass(slots=True)
class Course:
    """How a training went."""

    map: Map
    start: float
    best: float
    steps: int = 0
    losses: list[float] = field(default_factory=list)
    validations: list[tuple[int, float, float]] = field(default_factory=list)
    """(step, blend, value), the start first."""


def pairs(samples: Samples, recipe: Recipe, random: np.random.Generator) -> Iterator[Rows]:
    """Endless batches [batch, 2] of rows: two pictures of one product, one product once.

    Real other views where the product has them, a picture and its copy elsewhere.
    """
    rows: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    allowed = set(samples.learn.tolist())
    for row, picture in enumerate(samples.picture.tolist()):
        if picture in allowed:
            rows[samples.examples[picture].product][picture].append(row)
    several = [views for views in rows.values() if len(views) > 1]
    weights = np.array([samples.examples[next(iter(views))].weight for views in several])
    single = [
        next(iter(views.values()))
        for views in rows.values()
        if len(views) == 1 and len(next(iter(views.values()))) > 1
    ]
    while True:
        wanted = round(recipe.batch * recipe.real_share) if single else recipe.batch
        real = min(wanted, len(several))
        batch = []
        for at in random.choice(len(several), real, replace=False, p=weights / weights.sum()):
            one, other = random.choice(list(several[at]), 2, replace=False)
            batch.append([random.choice(several[at][int(n)]) for n in (one, other)])
        others = random.permutation(len(single))[: recipe.batch - real]
        batch += [random.choice(single[at], 2, replace=False).tolist() for at in others]
        yield np.array(batch, np.int64)


def contrast(
    one: torch.Tensor,
    other: torch.Tensor,
    bank: torch.Tensor,
    masks: tuple[torch.Tensor, torch.Tensor],
    temperature: float,
) -> torch.Tensor:
    """InfoNCE (van den Oord et al. 2018) both ways, averaged over the Matryoshka prefixes.

    `masks` are True where a column may not be a negative: of the batch [b, b], whose diagonal is
    the positive, and of the bank [b, n].
    """
    target = torch.arange(len(one), device=one.device)
    total = one.new_zeros(())
    for width in PREFIXES:
        a, b, rest = (functional.normalize(x[:, :width], dim=1) for x in (one, other, bank))
        for query, key in ((a, b), (b, a)):
            batch = (query @ key.T).masked_fill(masks[0], MASKED)
            stored = (query @ rest.T).masked_fill(masks[1], MASKED)
            logits = torch.cat([batch, stored], dim=1) / temperature
            total = total + functional.cross_entropy(logits, target)
    return total / (2 * len(PREFIXES))


def relation(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """How differently two encoders see the same pictures [n, any] and [n, any]: relational
    distillation (Park et al. 2019), Huber loss of all distances, each in units of their mean,
    averaged over the Matryoshka prefixes."""

    def distances(x: torch.Tensor) -> torch.Tensor:
        x = functional.normalize(x, dim=1)
        above = torch.triu_indices(len(x), len(x), 1, device=x.device)
        # A root has no slope at 0: two equal pictures are a hair apart.
        found = (2 - 2 * (x @ x.T)[above[0], above[1]]).clamp(min=1e-6).sqrt()
        return found / found.mean()

    wanted = distances(theirs)
    lost = [functional.smooth_l1_loss(distances(ours[:, :width]), wanted) for width in PREFIXES]
    return torch.stack(lost).mean()


class Tuning:
    """The state of one run: the map being trained, its optimiser, and what to contrast with."""

    def __init__(self, samples: Samples, start: Map, recipe: Recipe, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.samples, self.recipe, self.device = samples, recipe, device
        self.reduced = torch.from_numpy(start.reduce(samples.z)).to(device)
        scale = float(np.linalg.norm(start.reduce(samples.z) @ start.turn, axis=1).mean())
        self.first = torch.from_numpy(start.turn / max(scale, 1e-9)).to(device)
        self.turn = torch.nn.Parameter(self.first.clone())
        self.optimiser = torch.optim.AdamW([self.turn], recipe.learning_rate, weight_decay=0.0)
        self.bond = Bond.of(samples.examples)
        self.bank = np.array(list(_firsts(samples)), np.int64)
        self._stored_z = samples.z[self.bank]
        self.batches = pairs(samples, recipe, np.random.default_rng(recipe.seed))
        self.teacher = None
        if samples.teacher is not None and recipe.teacher_weight:
            self.teacher = torch.from_numpy(samples.teacher).to(device)
        self.step = 0
        self._stored: torch.Tensor | None = None

    def advance(self) -> float:
        """One step; returns the loss."""
        batch = next(self.batches)
        rows = torch.from_numpy(batch).to(self.device)
        one, other = (self.reduced[rows[:, side]] @ self.turn for side in (0, 1))
        if self._stored is None or self.step % REFRESH == 0:
            with torch.no_grad():
                self._stored = self.reduced[self.bank] @ self.turn
        loss = contrast(one, other, self._stored, self.masks(batch), self.recipe.temperature)
        before = self.reduced[rows[:, 0]] @ self.first
        loss = loss + self.recipe.drift * (1 - functional.cosine_similarity(one, before).mean())
        if self.teacher is not None:
            shown = torch.from_numpy(self.samples.picture[batch.T.ravel()]).to(self.device)
            apart = relation(torch.cat([one, other]), self.teacher[shown])
            loss = loss + self.recipe.teacher_weight * apart
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._pace()
        self.optimiser.step()
        self.step += 1
        return float(loss.detach())

    def masks(self, batch: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """Who may not be a negative: the same product, rows kept apart, likely one photograph."""
        rows = self.samples.picture[batch]
        stored = self.samples.picture[self.bank]
        within = np.zeros((len(batch),) * 2, bool)
        outside = np.zeros((len(batch), len(stored)), bool)
        for side in (0, 1):
            outside |= self.bond.forbidden(rows[:, side], stored)
            outside |= self._alike(batch[:, side])
            for other in (0, 1):
                within |= self.bond.forbidden(rows[:, side], rows[:, other])
        np.fill_diagonal(within, val=False)
        return (
            torch.from_numpy(within).to(self.device),
            torch.from_numpy(outside).to(self.device),
        )

    def _alike(self, asked: Rows) -> NDArray[np.bool_]:
        """[asked, bank]: likely one photograph."""
        return np.asarray(self.samples.z[asked] @ self._stored_z.T > ALIKE)

    def blended(self, share: float) -> Floats:
        """The turn at that share of the way from the start."""
        with torch.no_grad():
            mixed = self.first + share * (self.turn - self.first)
        return np.asarray(mixed.cpu().numpy(), np.float32)

    def _pace(self) -> None:
        """Warm-up over 10 steps, then half a cosine down to a twentieth."""
        done = min(1.0, self.step / max(1, self.recipe.steps))
        factor = min(1.0, (self.step + 1) / 10) * (0.525 + 0.475 * math.cos(math.pi * done))
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * factor

    def save(self, path: Path, course: Course) -> None:
        """Writes everything that `load` needs, whole or not at all."""
        state: dict[str, Any] = {
            "turn": self.turn.detach(),
            "optimiser": self.optimiser.state_dict(),
        }
        state["course"] = [course.losses, course.validations, course.best]
        state["best"] = torch.from_numpy(course.map.turn)
        state["step"] = self.step
        replace_file(path, lambda part: torch.save(state, part))

    def load(self, path: Path, course: Course) -> None:
        """Goes on where `save` left off; the batches already seen are drawn and dropped."""
        state: dict[str, Any] = torch.load(path, weights_only=True)
        course.losses, course.validations, course.best = state["course"]
        if course.best > course.start:
            course.map = replace(course.map, turn=state["best"].numpy())
        with torch.no_grad():
            self.turn.copy_(state["turn"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])
        for _ in range(self.step):
            next(self.batches)


def tune(
    samples: Samples,
    start: Map,
    recipe: Recipe,
    judge: Callable[[Map], Score],
    *,
    checkpoint: Path | None = None,
    device: str = "cpu",
    keep_going: Callable[[int], bool] = lambda _: True,
) -> Course:
    """Trains the map's turn and returns the best seen by `judge`, the start included.

    `keep_going(step)` is asked after every validation; False ends the run.
    """
    course = Course(start, judge(start).value, 0.0)
    course.best = course.start
    course.validations.append((0, 0.0, course.start))
    run = Tuning(samples, start, recipe, device)
    if checkpoint and checkpoint.is_file():
        run.load(checkpoint, course)
    waited = _waited(course)
    while run.step < recipe.steps and waited < recipe.patience:
        course.losses.append(run.advance())
        if run.step % EVERY and run.step != recipe.steps:
            continue
        waited = 0 if _validate(run, start, course, judge) else waited + 1
        if checkpoint:
            run.save(checkpoint, course)
        if not keep_going(run.step):
            break
    course.steps = run.step
    return course


def _validate(run: Tuning, start: Map, course: Course, judge: Callable[[Map], Score]) -> bool:
    """Whether any blend beats the best so far."""
    better = False
    for share in BLENDS:
        candidate = Map(start.centre, start.basis, run.blended(share))
        value = judge(candidate).value
        course.validations.append((run.step, share, value))
        if value > course.best:
            course.best, course.map, better = value, candidate, True
    return better


def _waited(course: Course) -> int:
    """Validations since the last gain."""
    values = [value for _, _, value in course.validations]
    return (len(values) - 1 - values.index(max(values))) // len(BLENDS)


def _firsts(samples: Samples) -> Iterator[int]:
    """For every picture to learn from, its first row: the picture itself."""
    seen: set[int] = set()
    allowed = set(samples.learn.tolist())
    for row, picture in enumerate(samples.picture.tolist()):
        if picture in allowed and picture not in seen:
            seen.add(picture)
            yield row
