"""What is printed on a front."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from lensback.demo.outline import (
    Line,
    band,
    box,
    curve,
    ellipse,
    turned,
)

MOTIFS = 12


def star(x: float, y: float, r: float, points: int = 5, inner: float = 0.45) -> Line:
    angle = np.linspace(-np.pi / 2, 1.5 * np.pi, points * 2, endpoint=False)
    radius = np.where(np.arange(points * 2) % 2 == 0, r, r * inner)
    return np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])


def heart(x: float, y: float, r: float) -> Line:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    across = 16 * np.sin(t) ** 3
    up = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.column_stack([x + across * r / 17, y - up * r / 17])


def motif(which: int, x: float, y: float, r: float) -> list[Line]:
    """One of twelve prints, as outlines around (x, y) of radius r."""
    mountain = np.array(
        [
            [x - r, y + r * 0.6],
            [x - r * 0.3, y - r * 0.6],
            [x + r * 0.1, y],
            [x + r * 0.4, y - r * 0.35],
            [x + r, y + r * 0.6],
        ]
    )
    bolt = np.array(
        [
            [x + 0.2 * r, y - r],
            [x - 0.6 * r, y + 0.15 * r],
            [x - 0.05 * r, y + 0.15 * r],
            [x - 0.25 * r, y + r],
            [x + 0.6 * r, y - 0.25 * r],
            [x + 0.05 * r, y - 0.25 * r],
        ]
    )
    moon = np.concatenate(
        [ellipse(x, y, r, r)[10:31], ellipse(x - r * 0.0, y, r * 0.45, r)[10:31][::-1]]
    )
    waves = [
        band(
            curve(
                [
                    (x + k * r / 2, y + dy * r + (0.12 if k % 2 else -0.12) * r)
                    for k in range(-2, 3)
                ],
                closed=False,
            ),
            r * 0.16,
        )
        for dy in (-0.5, 0, 0.5)
    ]
    petals = [
        turned(ellipse(x, y - r * 0.58, r * 0.26, r * 0.42), (x, y), k * 60) for k in range(6)
    ]
    rings = [
        band(ellipse(x, y, r * k, r * k, 60)[[*range(60), 0]], r * 0.13) for k in (0.9, 0.6, 0.3)
    ]
    drawn: list[Iterable[Line]] = [
        [star(x, y, r)], [heart(x, y, r)], [mountain, ellipse(x + r * 0.55, y - r * 0.62, r * 0.2, r * 0.2)], [bolt],
        [moon], waves, petals, [star(x, y, r, 12, 0.6)], rings,
        [ellipse(x - r * 0.35, y, r * 0.6, r * 0.6), star(x + r * 0.55, y - r * 0.4, r * 0.4)],
        [box(x - r, y - r * 0.9 + k * r * 0.7, x + r * (0.9 - 0.35 * k), y - r * 0.5 + k * r * 0.7) for k in range(3)],
        [np.array([[x, y - r], [x + r, y + r * 0.75], [x - r, y + r * 0.75]])],
    ]  # fmt: skip
    return list(drawn[which % len(drawn)])
