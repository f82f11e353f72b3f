"""Shapes of dresses, trousers, shorts and skirts."""

from __future__ import annotations

import numpy as np

from lensback.demo.outline import (
    Cut,
    Part,
    Point,
    Pose,
    band,
    curve,
    ellipse,
    flip,
    flipped_part,
    mirrored,
    straight,
    turned_part,
)


def dress(cut: Cut, pose: Pose) -> list[Part]:
    waist, hem = cut.between(0, 0.36, 0.44), cut.between(1, 0.78, 0.94)
    flare, depth = cut.between(2, 0.16, 0.31), cut.between(3, 0.05, 0.12)
    strap = cut.pick(4, 3) == 0
    shoulder = 0.575 if strap else 0.635
    top: list[Point] = [(0.5, 0.12 + depth), (0.555, 0.07, 1), (shoulder, 0.075, 1)]
    bodice = Part(
        mirrored([*top, (0.615, 0.20), (0.605, waist, 1), (0.5, waist + 0.012)]), front=True
    )
    skirt_part = Part(
        mirrored([(0.5, waist - 0.006), (0.603, waist - 0.012, 1), (0.55 + flare * 0.62, waist + 0.22), (0.5 + flare, hem, 1), (0.5 + flare * 0.5, hem + 0.028), (0.5, hem + 0.02)]),
        puff=0.05,
        seams=tuple(straight((0.5 + k * 0.055, waist + 0.02), (0.5 + k * flare * 0.55, hem - 0.04)) for k in (-1, 0.15, 1)),
    )  # fmt: skip
    belt = Part(curve([(0.395, waist - 0.018, 1), (0.5, waist - 0.006), (0.605, waist - 0.018, 1), (0.607, waist + 0.018, 1), (0.5, waist + 0.03), (0.393, waist + 0.018, 1)]), "accent", puff=0.01)  # fmt: skip
    sleeve = curve(
        [(0.62, 0.075, 1), (0.70, 0.13), (0.735, 0.22, 1), (0.665, 0.255, 1), (0.61, 0.20, 1)]
    )
    sleeves = [] if strap else [Part(sleeve, turn=-25), Part(flip(sleeve), turn=25)]
    swing = 10 if pose.folded else 0
    parts = [
        *sleeves,
        bodice,
        turned_part(skirt_part, (0.5, waist), swing) if swing else skirt_part,
    ]
    return [*parts, belt] if cut.pick(5, 2) else parts


def trousers(cut: Cut, pose: Pose) -> list[Part]:
    return _legs(cut, pose, hem=cut.between(0, 0.90, 0.95), ankle=cut.between(1, 0.085, 0.15))


def shorts(cut: Cut, pose: Pose) -> list[Part]:
    return _legs(
        cut, pose, hem=cut.between(0, 0.56, 0.70), ankle=cut.between(1, 0.15, 0.175), top=0.2
    )


def _legs(cut: Cut, pose: Pose, *, hem: float, ankle: float, top: float = 0.07) -> list[Part]:
    crotch, out = top + 0.27, 0.5 + 0.05 + ankle
    edge = curve(
        [
            (0.497, top + 0.03, 1), (0.64, top + 0.03, 1), (0.685, top + 0.16), (0.69, crotch),
            ((out + 0.69) / 2, (crotch + hem) / 2), (out, hem, 1), (out - ankle, hem + 0.006, 1), (0.515, crotch + 0.05), (0.497, crotch, 1),
        ]
    )  # fmt: skip
    cuff = straight((out - ankle + 0.004, hem - 0.024), (out - 0.004, hem - 0.028))
    crease = straight(((out + 0.53) / 2 - 0.01, crotch + 0.08), (out - ankle / 2, hem - 0.04))
    right = Part(edge, seams=(cuff, crease) if cut.pick(2, 2) else (cuff,), turn=-3, puff=0.035)
    left = flipped_part(right)
    if pose.folded:
        left = turned_part(left, (0.42, top + 0.1), -7)
    waist = Part(curve([(0.357, top, 1), (0.5, top + 0.012), (0.643, top, 1), (0.652, top + 0.05, 1), (0.5, top + 0.06), (0.348, top + 0.05, 1)]), "trim", puff=0.01, shadow=0.2)  # fmt: skip
    button = Part(ellipse(0.5, top + 0.034, 0.012, 0.012, 18), "button", puff=0.004)
    slant = straight((0.585, top + 0.06), (0.665, top + 0.15))
    pockets = [
        Part(band(line, 0.007), "seam", puff=0.002, shadow=0.1) for line in (slant, flip(slant))
    ]
    fly = Part(
        band(straight((0.527, top + 0.06), (0.525, top + 0.16), (0.503, top + 0.2)), 0.004),
        "seam",
        puff=0.002,
        shadow=0,
    )
    return [left, right, waist, button, *pockets, fly]


def skirt(cut: Cut, pose: Pose) -> list[Part]:
    top, hem = 0.17, cut.between(0, 0.62, 0.86)
    flare = cut.between(1, 0.17, 0.34)
    folds = cut.pick(2, 3) * 2
    sway = 0.03 if pose.folded else 0.0
    edge = [
        (0.5, top + 0.03), (0.615, top + 0.02, 1), (0.55 + flare * 0.55, top + 0.2), (0.5 + flare + sway, hem, 1),
        (0.5 + flare * 0.5, hem + 0.03), (0.5, hem + 0.022),
        (0.5 - flare * 0.5, hem + 0.03), (0.5 - flare + sway, hem, 1), (0.45 - flare * 0.55, top + 0.2), (0.385, top + 0.02, 1),
    ]  # fmt: skip
    seams = (
        tuple(
            straight((0.5 + k * 0.09, top + 0.05), (0.5 + k * flare * 0.86, hem - 0.01))
            for k in np.linspace(-1, 1, folds + 2)[1:-1]
        )
        if folds
        else ()
    )
    waist = Part(curve([(0.383, top - 0.03, 1), (0.5, top - 0.018), (0.617, top - 0.03, 1), (0.62, top + 0.028, 1), (0.5, top + 0.04), (0.38, top + 0.028, 1)]), "trim", puff=0.012, shadow=0.25)  # fmt: skip
    return [Part(curve(edge), puff=0.05, seams=seams), waist]
