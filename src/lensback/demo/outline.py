"""Outlines and parts: how the demo's shapes are put together, in a unit square, y down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, ...]
"""x, y; a third number makes the point a corner instead of a bend."""
Line = NDArray[np.float64]
"""float64 [n, 2], points in the unit square."""


@dataclass(frozen=True, slots=True)
class Part:
    """One filled outline. `paint` is cloth, accent, trim, inside, or the name of a material."""

    outline: Line
    paint: str = "cloth"
    puff: float = 0.03
    """Radius of the soft edge, as a fraction of the side."""
    turn: float = 0.0
    """Degrees the pattern is turned by."""
    seams: tuple[Line, ...] = ()
    front: bool = False
    """Carries the print, where the thing has one."""
    shadow: float = 0.35


@dataclass(frozen=True, slots=True)
class Pose:
    """How a thing lies: `folded` brings a sleeve over the front, or shuts a bag's handles."""

    folded: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """The numbers that make one thing of a kind differ from another, each 0 to 1."""

    numbers: tuple[float, ...] = field(default_factory=tuple)

    @classmethod
    def of(cls, seed: int) -> Cut:
        return cls(tuple(np.random.default_rng([seed, 11]).random(8).tolist()))

    def between(self, which: int, low: float, high: float) -> float:
        return low + (high - low) * self.numbers[which]

    def pick(self, which: int, count: int) -> int:
        return min(count - 1, int(self.numbers[which] * count))


def curve(points: Sequence[Point], *, closed: bool = True, steps: int = 10) -> Line:
    """A smooth line through the points (cubic Hermite with Catmull-Rom tangents, none at corners)."""
    at = np.array([p[:2] for p in points], dtype=np.float64)
    tangents = (np.roll(at, -1, axis=0) - np.roll(at, 1, axis=0)) / 2
    if not closed:
        tangents[0] = tangents[-1] = 0
    tangents[[i for i, p in enumerate(points) if len(p) > 2]] = 0
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    spans = range(len(points) if closed else len(points) - 1)
    pieces = [_span(at, tangents, i, (i + 1) % len(points), t) for i in spans]
    return np.concatenate(pieces if closed else [*pieces, at[-1:]])


def _span(at: Line, tangents: Line, i: int, j: int, t: NDArray[np.float64]) -> Line:
    squared, cubed = t**2, t**3
    start: Line = (2 * cubed - 3 * squared + 1) * at[i] + (cubed - 2 * squared + t) * tangents[i]
    line: Line = start + (3 * squared - 2 * cubed) * at[j] + (cubed - squared) * tangents[j]
    return line


def mirrored(right: Sequence[Point]) -> Line:
    """A closed outline from its right half, given from the top centre to the bottom centre."""
    left = [(1 - p[0], *p[1:]) for p in reversed(right) if abs(p[0] - 0.5) > 1e-9]
    return curve([*right, *left])


def flip(line: Line) -> Line:
    return np.column_stack([1 - line[:, 0], line[:, 1]])


def turned(line: Line, centre: tuple[float, float], degrees: float) -> Line:
    """Turned clockwise on screen about `centre`."""
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    moved: Line = (line - centre) @ np.array([[cos, sin], [-sin, cos]]) + np.asarray(centre)
    return moved


def ellipse(x: float, y: float, rx: float, ry: float, points: int = 40) -> Line:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.column_stack([x + rx * np.cos(angle), y + ry * np.sin(angle)])


def box(x0: float, y0: float, x1: float, y1: float, r: float = 0.01) -> Line:
    """A rectangle with its corners cut by `r`."""
    return curve(
        [
            (x0 + r, y0, 1), (x1 - r, y0, 1), (x1, y0 + r, 1), (x1, y1 - r, 1),
            (x1 - r, y1, 1), (x0 + r, y1, 1), (x0, y1 - r, 1), (x0, y0 + r, 1),
        ],
        steps=2,
    )  # fmt: skip


def band(line: Line, width: float) -> Line:
    """The outline of a strip of `width` along an open line."""
    along = np.gradient(line, axis=0)
    normal = np.column_stack([-along[:, 1], along[:, 0]])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    half = normal * width / 2
    return np.concatenate([line + half, (line - half)[::-1]])


def straight(*points: tuple[float, float]) -> Line:
    return np.array(points, dtype=np.float64)


def flipped_part(part: Part) -> Part:
    seams = tuple(flip(seam) for seam in part.seams)
    return replace(part, outline=flip(part.outline), seams=seams, turn=-part.turn)


def tilted(parts: Sequence[Part], degrees: float) -> list[Part]:
    """All of them turned about the middle."""
    return [replace(turned_part(p, (0.5, 0.5), degrees), shadow=p.shadow) for p in parts]


def turned_part(part: Part, centre: tuple[float, float], degrees: float) -> Part:
    seams = tuple(turned(seam, centre, degrees) for seam in part.seams)
    outline = turned(part.outline, centre, degrees)
    return replace(part, outline=outline, seams=seams, turn=part.turn - degrees, shadow=0.5)


def fitted(parts: Sequence[Part], fill: float) -> tuple[list[Part], float]:
    """The parts moved to the middle, their longer side `fill` of the picture; and how much they grew."""
    everything = np.concatenate([part.outline for part in parts])
    low, high = everything.min(axis=0), everything.max(axis=0)
    scale = fill / float(max(high - low))

    def fit(line: Line) -> Line:
        moved: Line = (line - (low + high) / 2) * scale + 0.5
        return moved

    grown = [
        replace(
            part,
            outline=fit(part.outline),
            seams=tuple(fit(seam) for seam in part.seams),
            puff=part.puff * scale,
        )
        for part in parts
    ]
    return grown, scale
