"""The head without gradient: what differs between views of one thing is turned down.

Within-class covariance normalisation (Hatch, Kajarekar and Stolcke 2006) at half strength, with a
ridge, on the leading components of the features, then the leading components of what comes out.
It needs seconds, has no seed that matters, and is the start of every training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every number of a training. The defaults were chosen by docs/training.md."""

    copies: int = 1
    """Photo-like copies of each picture; one that has another view gets four times as many."""
    reduced: int = 512
    """Components of the features that are kept."""
    ridge: float = 1.0
    """Added to the within-product variance, in units of its mean: how timid the map is."""
    power: float = 0.5
    """0.5 makes views of one thing round, 0 changes nothing."""
    copy_weight: float = 0.3
    """Weight of the differences between a picture and its copies, real views counting 1."""
    steps: int = 100
    """Gradient steps after the fit; 0 leaves the fit as it is."""
    batch: int = 128
    learning_rate: float = 2e-4
    temperature: float = 0.1
    drift: float = 3.0
    """Penalty on turning vectors away from where the fit put them."""
    real_share: float = 0.9
    """Share of a batch that are real other views, where there are any."""
    teacher_weight: float = 10.0
    """Weight of a teacher's distances in the steps, where there is a teacher."""
    patience: int = 4
    """Validations without a gain after which it stops."""
    held_out: int = 5
    """One family in so many is held out to choose by."""
    everything: bool = False
    """Where the fit is chosen, make it once more with what was held out: a little better, but
    nothing is left to compare it on."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Map:
    """z -> (z - centre) @ basis @ turn, of which the cosine is taken."""

    centre: Floats
    basis: Floats
    """[features, reduced], orthonormal columns."""
    turn: Floats
    """[reduced, dim], columns by falling variance, so that the first ones are a vector too."""

    def reduce(self, z: Floats) -> Floats:
        return np.asarray((z - self.centre) @ self.basis, np.float32)

    def apply(self, z: Floats) -> Floats:
        """[n, features] -> [n, dim], rows of unit length."""
        return unit(self.reduce(z) @ self.turn)

    def matrix(self) -> tuple[Floats, Floats]:
        """Weight [dim, features] and bias [dim] of the one linear layer that does the same."""
        weight = (self.basis @ self.turn).T
        return np.asarray(weight, np.float32), np.asarray(-weight @ self.centre, np.float32)


def fit(
    originals: Floats,
    classes: Sequence[Sequence[int]],
    copies: Floats,
    copied: Rows,
    recipe: Recipe,
    dim: int,
) -> Map:
    """The map, from joined features.

    originals: [n, features], every picture to learn from. classes: rows of one product each.
    copies: [m, features], photo-like copies; copied: [m], the row each is a copy of.
    """
    centre = originals.mean(axis=0)
    basis = leading(originals - centre, min(recipe.reduced, *originals.shape))
    reduced = (originals - centre) @ basis
    spread = within(reduced, classes)
    if len(copies) and recipe.copy_weight:
        apart = (copies - centre) @ basis - reduced[copied]
        spread = spread + recipe.copy_weight * (apart.T @ apart) / (2 * len(apart))
    even = softened(spread, recipe.ridge, recipe.power)
    turned = reduced @ even
    _, axes = np.linalg.eigh((turned.T @ turned).astype(np.float64))
    turn = even @ axes[:, ::-1][:, :dim]
    if turn.shape[1] < dim:  # fewer components than the vector is long: the rest is silent
        turn = np.pad(turn, ((0, 0), (0, dim - turn.shape[1])))
    return Map(centre.astype(np.float32), basis, turn.astype(np.float32))


def within(points: Floats, classes: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Covariance [d, d] of points around the mean of their class; classes of one say nothing."""
    total = np.zeros((points.shape[1],) * 2)
    count = 0
    for rows in classes:
        if len(rows) < 2:
            continue
        rest = points[list(rows)] - points[list(rows)].mean(axis=0)
        total += rest.T @ rest * (len(rows) / (len(rows) - 1))
        count += len(rows)
    return total / max(1, count)


def softened(covariance: NDArray[np.float64], ridge: float, power: float) -> NDArray[np.float64]:
    """(covariance / mean variance + ridge) ** -power, as a symmetric matrix."""
    values, axes = np.linalg.eigh(covariance)
    mean = max(float(values.mean()), 1e-12)
    return np.asarray((axes * (values.clip(0) / mean + ridge) ** -power) @ axes.T)


def leading(points: Floats, count: int) -> Floats:
    """The leading principal axes [d, count] of centred points, by a randomised range finder with
    one power iteration (Halko, Martinsson and Tropp 2011)."""
    random = np.random.default_rng(0)
    width = min(count + 40, *points.shape)
    probe = points @ random.standard_normal((points.shape[1], width)).astype(np.float32)
    range_, _ = np.linalg.qr(probe)
    range_, _ = np.linalg.qr(points @ (points.T @ range_))
    small = range_.T @ points
    values, axes = np.linalg.eigh((small @ small.T).astype(np.float64))
    order = np.argsort(-values)[: min(count, width)]
    # A direction without any variance would be divided by zero.
    order = order[values[order] > 1e-9 * max(float(values.max()), 1e-30)]
    found = small.T @ axes[:, order] / np.sqrt(values[order])
    return np.asarray(found, np.float32)


def unit(points: Floats) -> Floats:
    """Rows at unit length; a row of zeros stays."""
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / np.maximum(lengths, 1e-9), np.float32)
