"""Shapes of shoes, bags, hats and watches."""

from __future__ import annotations

import numpy as np

from lensback.demo.outline import (
    Cut,
    Line,
    Part,
    Pose,
    band,
    box,
    curve,
    ellipse,
    flipped_part,
    mirrored,
    straight,
)
from lensback.demo.prints import star


def sneakers(cut: Cut, _pose: Pose) -> list[Part]:
    lift = cut.between(0, 0.0, 0.05)
    high = cut.between(1, 0.0, 0.12)
    upper = curve([(0.15, 0.40 - high, 1), (0.30, 0.405 - high), (0.36, 0.40 - high, 1), (0.50, 0.50), (0.68, 0.575), (0.85, 0.61), (0.90, 0.665), (0.89, 0.71, 1), (0.12, 0.71, 1), (0.115, 0.60), (0.135, 0.50)])  # fmt: skip
    sole = curve(
        [
            (0.105, 0.685, 1),
            (0.5, 0.70),
            (0.905, 0.685, 1),
            (0.925, 0.72),
            (0.88, 0.775 + lift, 1),
            (0.5, 0.765 + lift),
            (0.13, 0.775 + lift, 1),
            (0.095, 0.74),
        ]
    )
    tread = straight((0.12, 0.745 + lift / 2), (0.9, 0.745 + lift / 2))
    toe = curve(
        [
            (0.72, 0.585, 1),
            (0.85, 0.61),
            (0.90, 0.665),
            (0.895, 0.70, 1),
            (0.70, 0.705, 1),
            (0.725, 0.65),
        ]
    )
    heel = curve(
        [
            (0.15, 0.41 - high, 1),
            (0.235, 0.42 - high, 1),
            (0.25, 0.56),
            (0.23, 0.705, 1),
            (0.118, 0.705, 1),
            (0.115, 0.60),
        ]
    )
    tongue = curve(
        [
            (0.30, 0.42 - high, 1),
            (0.345, 0.345 - high),
            (0.40, 0.36 - high),
            (0.45, 0.48, 1),
            (0.36, 0.46, 1),
        ]
    )
    opening = curve(
        [(0.16, 0.405 - high), (0.25, 0.385 - high), (0.355, 0.40 - high), (0.26, 0.425 - high)]
    )
    marks = [
        [band(curve([(0.30, 0.66), (0.42, 0.67), (0.62, 0.57)], closed=False), 0.035)],
        [
            band(straight((0.36 + k, 0.53 + k * 0.3), (0.42 + k, 0.69)), 0.026)
            for k in (0, 0.06, 0.12)
        ],
        [ellipse(0.33, 0.60, 0.05, 0.05)],
        [],
    ][cut.pick(2, 4)]
    laces = [band(straight((0.405 + k, 0.425 - high * (1 - i / 4) + k * 0.52), (0.36 + k, 0.475 - high * (1 - i / 4) + k * 0.45)), 0.014) for i, k in enumerate((0.0, 0.055, 0.11, 0.165))]  # fmt: skip
    return [
        Part(tongue, "trim", puff=0.015), Part(opening, "inside", puff=0.01), Part(upper, puff=0.04),
        Part(toe, "trim", puff=0.02, shadow=0.2), Part(heel, "accent", puff=0.02, shadow=0.2),
        *(Part(mark, "accent", puff=0.006, shadow=0.2) for mark in marks),
        *(Part(lace, "lace", puff=0.004, shadow=0.3) for lace in laces),
        Part(sole, "sole", puff=0.015, seams=(tread,)),
    ]  # fmt: skip


def boots(cut: Cut, _pose: Pose) -> list[Part]:
    top = cut.between(0, 0.12, 0.32)
    upper = curve([(0.24, top, 1), (0.35, top - 0.008), (0.47, top, 1), (0.475, 0.42), (0.53, 0.55), (0.68, 0.61), (0.81, 0.66), (0.85, 0.74), (0.845, 0.79, 1), (0.215, 0.79, 1), (0.20, 0.66), (0.235, 0.48)])  # fmt: skip
    heel_high = cut.between(1, 0.0, 0.03)
    sole = curve(
        [
            (0.195, 0.775, 1),
            (0.5, 0.785),
            (0.86, 0.775, 1),
            (0.87, 0.815),
            (0.83, 0.835, 1),
            (0.42, 0.835, 1),
            (0.40, 0.86 + heel_high, 1),
            (0.20, 0.86 + heel_high, 1),
            (0.19, 0.81),
        ]
    )
    inside = Part(ellipse(0.355, top + 0.006, 0.113, 0.022), "inside", puff=0.01)
    rim = Part(box(0.237, top, 0.474, top + 0.05, 0.006), "trim", puff=0.012, shadow=0.15)
    elastic = Part(
        curve(
            [(0.30, top + 0.05, 1), (0.40, top + 0.05, 1), (0.385, 0.5), (0.35, 0.56), (0.315, 0.5)]
        ),
        "accent",
        puff=0.012,
        shadow=0.15,
    )
    steps = np.linspace(top + 0.08, 0.56, 5)
    laces = [
        Part(
            band(
                straight(
                    (0.475 + max(0.0, y - 0.40) * 0.36, y),
                    (0.40 + max(0.0, y - 0.40) * 0.4, y - 0.015),
                ),
                0.014,
            ),
            "lace",
            puff=0.004,
        )
        for y in steps
    ]
    toe = [
        Part(
            curve(
                [
                    (0.70, 0.615, 1),
                    (0.81, 0.66),
                    (0.85, 0.74),
                    (0.845, 0.785, 1),
                    (0.67, 0.785, 1),
                    (0.685, 0.70),
                ]
            ),
            "trim",
            puff=0.02,
            shadow=0.2,
        )
    ]
    details = [elastic] if cut.pick(2, 2) else laces
    return [
        inside,
        Part(upper, puff=0.045),
        rim,
        *(toe if cut.pick(3, 2) else []),
        *details,
        Part(sole, "dark", puff=0.012),
    ]


def bag(cut: Cut, pose: Pose) -> list[Part]:
    wide, tall = cut.between(0, 0.25, 0.36), cut.between(1, 0.30, 0.44)
    top = 0.86 - tall
    taper = cut.between(2, -0.05, 0.06)
    rise = 0.12 if pose.folded else cut.between(3, 0.18, 0.30)
    body = curve(
        [
            (0.5 - wide + taper, top, 1),
            (0.5 + wide - taper, top, 1),
            (0.5 + wide, 0.82),
            (0.5 + wide - 0.04, 0.865),
            (0.5 - wide + 0.04, 0.865),
            (0.5 - wide, 0.82),
        ]
    )
    arc = curve(
        [
            (0.5 - wide * 0.5, top + 0.06),
            (0.5 - wide * 0.42, top - rise * 0.7),
            (0.5, top - rise),
            (0.5 + wide * 0.42, top - rise * 0.7),
            (0.5 + wide * 0.5, top + 0.06),
        ],
        closed=False,
    )
    back = Part(band(arc + np.array([0.02, -0.015]), 0.026), "strap", puff=0.008)
    front = Part(band(arc, 0.028), "strap", puff=0.008)
    flap = Part(curve([(0.5 - wide + taper, top - 0.005, 1), (0.5 + wide - taper, top - 0.005, 1), (0.5 + wide * 0.93, top + tall * 0.42), (0.5, top + tall * 0.58), (0.5 - wide * 0.93, top + tall * 0.42)]), "trim", puff=0.03)  # fmt: skip
    clasp = Part(box(0.47, top + tall * 0.48, 0.53, top + tall * 0.62, 0.01), "metal", puff=0.01)
    stitched = straight(
        (0.5 - wide + taper + 0.015, top + 0.03), (0.5 + wide - taper - 0.015, top + 0.03)
    )
    flapped = cut.pick(4, 2) == 1
    face = Part(body, puff=0.035, seams=(stitched,), front=not flapped)
    return [back, face, front, *((flap, clasp) if flapped else ())]


def backpack(cut: Cut, _pose: Pose) -> list[Part]:
    wide = cut.between(0, 0.22, 0.28)
    top = cut.between(1, 0.14, 0.2)
    loop = Part(
        band(
            curve(
                [(0.45, top + 0.02), (0.46, top - 0.06), (0.54, top - 0.06), (0.55, top + 0.02)],
                closed=False,
            ),
            0.022,
        ),
        "strap",
        puff=0.007,
    )
    side = Part(
        curve(
            [
                (0.5 + wide - 0.01, 0.56),
                (0.5 + wide + 0.06, 0.58),
                (0.5 + wide + 0.06, 0.80),
                (0.5 + wide - 0.01, 0.82),
            ]
        ),
        "accent",
        puff=0.02,
    )
    body = Part(curve([(0.5 - wide, 0.45), (0.5 - wide + 0.03, top + 0.05), (0.5 - wide * 0.4, top), (0.5 + wide * 0.4, top), (0.5 + wide - 0.03, top + 0.05), (0.5 + wide, 0.45), (0.5 + wide + 0.01, 0.80), (0.5 + wide - 0.06, 0.87), (0.5 - wide + 0.06, 0.87), (0.5 - wide - 0.01, 0.80)]), puff=0.045)  # fmt: skip
    arch = curve(
        [
            (0.5 - wide + 0.025, 0.48),
            (0.5 - wide + 0.06, top + 0.09),
            (0.5, top + 0.055),
            (0.5 + wide - 0.06, top + 0.09),
            (0.5 + wide - 0.025, 0.48),
        ],
        closed=False,
    )
    zip_line = Part(band(arch, 0.011), "metal", puff=0.003, shadow=0.2)
    pocket = Part(curve([(0.5 - wide + 0.045, 0.58, 1), (0.5 + wide - 0.045, 0.58, 1), (0.5 + wide - 0.035, 0.78), (0.5 + wide - 0.08, 0.825), (0.5 - wide + 0.08, 0.825), (0.5 - wide + 0.035, 0.78)]), "trim", puff=0.025)  # fmt: skip
    pull = Part(
        band(straight((0.5 - wide + 0.07, 0.615), (0.5 + wide - 0.07, 0.615)), 0.010),
        "metal",
        puff=0.003,
        shadow=0.2,
    )
    badge = Part(ellipse(0.5, 0.42, 0.04, 0.04), "accent", puff=0.01)
    return [
        loop,
        side,
        flipped_part(side),
        body,
        zip_line,
        pocket,
        pull,
        *([badge] if cut.pick(2, 2) else []),
    ]


def cap(cut: Cut, _pose: Pose) -> list[Part]:
    tall = cut.between(0, 0.26, 0.32)
    crown = curve(
        [
            (0.17, 0.62, 1),
            (0.19, 0.62 - tall * 0.62),
            (0.30, 0.62 - tall),
            (0.45, 0.60 - tall * 1.05),
            (0.58, 0.62 - tall * 0.8),
            (0.655, 0.62 - tall * 0.35),
            (0.67, 0.63, 1),
            (0.42, 0.66),
        ]
    )
    reach = cut.between(1, 0.86, 0.93)
    brim = curve(
        [
            (0.40, 0.63, 1),
            (0.66, 0.595),
            (reach - 0.04, 0.62),
            (reach, 0.665),
            (reach - 0.06, 0.69),
            (0.62, 0.68),
            (0.42, 0.675, 1),
        ]
    )
    seams = (
        curve([(0.43, 0.62 - tall * 1.03), (0.385, 0.5), (0.38, 0.64)], closed=False),
        curve([(0.45, 0.62 - tall * 1.03), (0.56, 0.5), (0.60, 0.62)], closed=False),
    )
    knob = Part(ellipse(0.435, 0.60 - tall * 1.04, 0.022, 0.013), "accent", puff=0.006)
    badge = [
        ellipse(0.50, 0.51, 0.05, 0.05),
        box(0.44, 0.46, 0.57, 0.55),
        star(0.505, 0.505, 0.06),
    ][cut.pick(2, 3)]
    return [
        knob,
        Part(crown, seams=seams, puff=0.05),
        Part(badge, "accent", puff=0.006, shadow=0.1),
        Part(brim, "trim", puff=0.018),
    ]


def beanie(cut: Cut, _pose: Pose) -> list[Part]:
    tall = cut.between(0, 0.36, 0.46)
    crown = mirrored(
        [
            (0.5, 0.66 - tall),
            (0.62, 0.68 - tall),
            (0.71, 0.76 - tall),
            (0.755, 0.66, 1),
            (0.5, 0.68),
        ]
    )
    fold = cut.between(1, 0.10, 0.16)
    cuff = mirrored([(0.5, 0.65), (0.765, 0.63, 1), (0.775, 0.63 + fold, 1), (0.5, 0.66 + fold)])
    ribs = tuple(
        straight((x, 0.655), (x + (x - 0.5) * 0.02, 0.635 + fold))
        for x in np.linspace(0.28, 0.72, 14)
    )
    pompon = (
        [Part(ellipse(0.5, 0.65 - tall, 0.085, 0.08), "fluff", puff=0.04)] if cut.pick(2, 2) else []
    )
    return [*pompon, Part(crown, puff=0.06), Part(cuff, "trim", puff=0.03, seams=ribs)]


def watch(cut: Cut, pose: Pose) -> list[Part]:
    round_face = cut.pick(0, 3) > 0
    size = cut.between(1, 0.155, 0.195)
    wide = cut.between(2, 0.075, 0.10)
    upper = mirrored(
        [(0.5, 0.07), (0.5 + wide * 0.72, 0.075, 1), (0.5 + wide, 0.40, 1), (0.5, 0.42)]
    )
    lower = mirrored([(0.5, 0.58), (0.5 + wide, 0.60, 1), (0.5 + wide * 0.68, 0.92), (0.5, 0.935)])
    holes = [
        Part(ellipse(0.5, y, 0.008, 0.008, 14), "dark", puff=0.003, shadow=0)
        for y in (0.79, 0.825, 0.86)
    ]
    crown = Part(
        box(0.5 + size - 0.005, 0.48, 0.5 + size + 0.028, 0.52, 0.008), "metal", puff=0.008
    )

    def face(scale: float) -> Line:
        r = size * scale
        return (
            ellipse(0.5, 0.5, r, r, 72)
            if round_face
            else box(0.5 - r, 0.5 - r * 1.1, 0.5 + r, 0.5 + r * 1.1, 0.04)
        )

    ticks = [Part(band(straight((0.5 + np.sin(a) * size * 0.62, 0.5 - np.cos(a) * size * 0.62), (0.5 + np.sin(a) * size * 0.72, 0.5 - np.cos(a) * size * 0.72)), 0.009), "lace", puff=0.002, shadow=0) for a in np.linspace(0, 2 * np.pi, 12, endpoint=False)]  # fmt: skip
    angles = (2.2, 4.6) if pose.folded else (5.2, 1.05)
    hands = [
        Part(
            band(
                straight(
                    (0.5, 0.5), (0.5 + np.sin(a) * size * reach, 0.5 - np.cos(a) * size * reach)
                ),
                0.012,
            ),
            "lace",
            puff=0.002,
        )
        for a, reach in zip(angles, (0.36, 0.55), strict=True)
    ]
    return [
        Part(upper, puff=0.02),
        Part(lower, puff=0.02),
        *holes,
        crown,
        Part(face(1.0), "metal", puff=0.018),
        Part(face(0.84), "accent", puff=0.02, shadow=0.1),
        *ticks,
        *hands,
    ]
