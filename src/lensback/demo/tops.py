"""Shapes of tops: T-shirt, long sleeve, hoodie, shirt, jacket."""

from __future__ import annotations

import numpy as np

from lensback.demo.outline import (
    Cut,
    Line,
    Part,
    Point,
    Pose,
    band,
    box,
    curve,
    ellipse,
    flip,
    flipped_part,
    mirrored,
    straight,
    turned_part,
)


def _sleeve(length: float, wide: float) -> Line:
    """The right sleeve; `length` 0 is a cap sleeve, 1 reaches the hip."""
    x, y = 0.86 + 0.05 * (1 - length), 0.335 + 0.46 * length
    bend = (0.825, 0.27) if length < 0.4 else (0.85, 0.42)
    inner = (x - wide - 0.02 * (1 - length), y + 0.045 + 0.035 * (1 - length))
    return curve([(0.66, 0.145, 1), (0.745, 0.165), bend, (x, y, 1), (*inner, 1), (0.69, 0.36, 1)])


def _cuff(sleeve_length: float, wide: float, height: float) -> Line:
    sleeve = _sleeve(sleeve_length, wide)
    outer, inner = sleeve[30], sleeve[40]
    moves = [[-0.004, 0.0], [0.004, 0.0], [-0.006 + 0.012, height], [-0.016 + 0.012, height]]
    cuff: Line = np.array([outer, inner, inner, outer]) + np.array(moves)
    return cuff


def _sleeves(
    length: float, wide: float, pose: Pose, cuff: float = 0.0
) -> tuple[list[Part], list[Part]]:
    """Sleeves behind the body, and the one folded over it."""
    edge = _sleeve(length, wide)
    seam = straight(tuple(edge[30] - [0.004, 0.022]), tuple(edge[40] - [-0.006, 0.024]))
    right = [Part(edge, turn=-28, seams=() if cuff else (seam,))]
    if cuff:
        right.append(Part(_cuff(length, wide, cuff), "trim", puff=0.012, shadow=0.1))
    left = [flipped_part(part) for part in right]
    if not pose.folded:
        return [*left, *right], []
    angle = 66 if length > 0.4 else 96
    return left, [turned_part(part, (0.70, 0.225), angle) for part in right]


def _torso(neck: float, depth: float, hem: float, flare: float, *, point: bool = False) -> Line:
    """The body of a top; `neck` half its opening, `point` makes it a V."""
    low: Point = (0.5, 0.135 + depth, 1) if point else (0.5, 0.135 + depth)
    curved: list[Point] = [] if point else [(0.5 + neck * 0.72, 0.135 + depth * 0.68)]
    return mirrored(
        [
            low, *curved, (0.5 + neck, 0.12, 1), (0.735, 0.165, 1), (0.715, 0.26), (0.705, 0.37),
            (0.695, 0.6), (0.70 + flare, hem, 1), (0.5, hem + 0.012),
        ]
    )  # fmt: skip


def _collar_rib(neck: float, depth: float, *, point: bool) -> Line:
    top: list[Point] = [(0.5 - neck, 0.12, 1), (0.5, 0.135 + depth, 1), (0.5 + neck, 0.12, 1)]
    if not point:
        bend = 0.72 * neck
        low = 0.135 + depth * 0.68
        top = [
            (0.5 - neck, 0.12, 1),
            (0.5 - bend, low),
            (0.5, 0.135 + depth),
            (0.5 + bend, low),
            (0.5 + neck, 0.12, 1),
        ]
    return band(curve(top, closed=False), 0.026)


def _back_neck(neck: float) -> Part:
    shape = curve(
        [
            (0.5 - neck, 0.12, 1),
            (0.5, 0.135),
            (0.5 + neck, 0.12, 1),
            (0.5 + neck, 0.26, 1),
            (0.5 - neck, 0.26, 1),
        ]
    )
    return Part(shape, "inside", puff=0.02)


def _tee(cut: Cut, pose: Pose, length: float, cuff: float) -> list[Part]:
    neck, depth = cut.between(0, 0.075, 0.115), cut.between(1, 0.045, 0.12)
    point = cut.pick(2, 3) == 0
    hem, flare = cut.between(3, 0.80, 0.9), cut.between(4, -0.015, 0.03)
    behind, over = _sleeves(length, cut.between(5, 0.085, 0.125), pose, cuff)
    hem_seam = straight((0.305 - flare, hem - 0.022), (0.695 + flare, hem - 0.022))
    body = Part(_torso(neck, depth, hem, flare, point=point), seams=(hem_seam,), front=True)
    rib = Part(_collar_rib(neck, depth, point=point), "trim", puff=0.01, shadow=0.12)
    pocket = (
        [Part(box(0.56, 0.33, 0.655, 0.44), puff=0.008, shadow=0.3)] if cut.pick(6, 4) == 0 else []
    )
    return [_back_neck(neck), *behind, body, rib, *pocket, *over]


def t_shirt(cut: Cut, pose: Pose) -> list[Part]:
    return _tee(cut, pose, cut.between(7, 0.02, 0.22), 0)


def longsleeve(cut: Cut, pose: Pose) -> list[Part]:
    return _tee(cut, pose, cut.between(7, 0.86, 1.0), 0.035 if cut.pick(6, 2) else 0)


def hoodie(cut: Cut, pose: Pose) -> list[Part]:
    hem = cut.between(3, 0.80, 0.86)
    behind, over = _sleeves(cut.between(7, 0.9, 1.0), 0.11, pose, 0.05)
    body = Part(_torso(0.11, 0.10, hem, 0.0), front=True)
    waist = Part(curve([(0.31, hem - 0.008, 1), (0.5, hem + 0.006), (0.69, hem - 0.008, 1), (0.675, hem + 0.05, 1), (0.5, hem + 0.06), (0.325, hem + 0.05, 1)]), "trim", puff=0.014, shadow=0.15)  # fmt: skip
    hood = Part(curve([(0.35, 0.17), (0.385, 0.075), (0.5, 0.045), (0.615, 0.075), (0.65, 0.17), (0.59, 0.235), (0.5, 0.265), (0.41, 0.235)]), puff=0.04)  # fmt: skip
    opening = Part(curve([(0.42, 0.13), (0.5, 0.075), (0.58, 0.13), (0.555, 0.19), (0.5, 0.235, 1), (0.445, 0.19)]), "inside", puff=0.03)  # fmt: skip
    pocket = Part(curve([(0.40, 0.60, 1), (0.60, 0.60, 1), (0.655, 0.70, 1), (0.655, 0.77, 1), (0.345, 0.77, 1), (0.345, 0.70, 1)]), puff=0.012)  # fmt: skip
    long = cut.between(1, 0.08, 0.16)
    strings = [Part(band(straight((x, 0.225), (x + dx, 0.225 + long / 2), (x, 0.225 + long)), 0.012), "accent", puff=0.004) for x, dx in ((0.465, -0.006), (0.535, 0.006))]  # fmt: skip
    zip_line = (
        [Part(box(0.494, 0.255, 0.506, hem + 0.05, 0.001), "metal", puff=0.003)]
        if cut.pick(2, 3) == 0
        else []
    )
    return [*behind, body, waist, pocket, hood, opening, *zip_line, *strings, *over]


def shirt(cut: Cut, pose: Pose) -> list[Part]:
    short = cut.pick(7, 3) == 0
    hem = cut.between(3, 0.82, 0.9)
    behind, over = _sleeves(
        0.2 if short else 0.95, 0.11 if short else 0.085, pose, 0 if short else 0.04
    )
    body = Part(_torso(0.085, 0.10, hem, 0.01, point=True))
    placket = Part(box(0.482, 0.225, 0.518, hem + 0.008, 0.002), puff=0.006, shadow=0.25)
    buttons = [
        Part(ellipse(0.5, y, 0.0085, 0.0085, 16), "button", puff=0.004)
        for y in np.linspace(0.27, hem - 0.06, 6)
    ]
    wing = curve([(0.412, 0.112, 1), (0.5, 0.232, 1), (0.452, 0.262, 1), (0.372, 0.165, 1)])
    collar = [Part(wing, puff=0.012, turn=35), Part(flip(wing), puff=0.012, turn=-35)]
    pocket = [
        Part(
            curve(
                [
                    (0.57, 0.34, 1),
                    (0.665, 0.34, 1),
                    (0.665, 0.43, 1),
                    (0.617, 0.452, 1),
                    (0.57, 0.43, 1),
                ]
            ),
            puff=0.008,
        )
    ]
    return [
        _back_neck(0.09),
        *behind,
        body,
        placket,
        *buttons,
        *collar,
        *(pocket if cut.pick(6, 2) else []),
        *over,
    ]


def jacket(cut: Cut, pose: Pose) -> list[Part]:
    hem = cut.between(3, 0.76, 0.88)
    behind, over = _sleeves(0.95, 0.12, pose, 0.045)
    rows = np.linspace(0.34, hem - 0.06, 5).tolist() if cut.pick(1, 2) else []
    quilts = tuple(
        curve([(0.30, y), (0.4, y + 0.012), (0.5, y), (0.6, y + 0.012), (0.70, y)], closed=False)
        for y in rows
    )
    body = Part(_torso(0.10, 0.05, hem, 0.005), seams=quilts, puff=0.045)
    collar = Part(
        curve(
            [
                (0.385, 0.15, 1),
                (0.40, 0.07),
                (0.5, 0.052),
                (0.60, 0.07),
                (0.615, 0.15, 1),
                (0.5, 0.205),
            ]
        ),
        "trim",
        puff=0.025,
    )
    inner = Part(
        curve([(0.425, 0.095), (0.5, 0.078), (0.575, 0.095), (0.5, 0.15)]), "inside", puff=0.02
    )
    waist = Part(
        box(0.312, hem - 0.012, 0.688, hem + 0.035, 0.012), "trim", puff=0.012, shadow=0.15
    )
    zip_line = Part(box(0.492, 0.16, 0.508, hem + 0.03, 0.001), "metal", puff=0.003)
    slant = band(straight((0.385, hem - 0.22), (0.35, hem - 0.10)), 0.016)
    pockets = [Part(slant, "trim", puff=0.005), Part(flip(slant), "trim", puff=0.005)]
    return [*behind, body, waist, *pockets, collar, inner, zip_line, *over]
