"""The match probability that goes with an encoder, from the questions that its training held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lensback.calibrate import TOO_FEW, fit
from lensback.questions import Gallery, Outcome, twice
from lensback.rank import Calibration
from lensback.train.data import Bond, Rows
from lensback.train.fit import Floats

PAGE = 512


def cases(
    queries: Floats, shown: Rows, vectors: Floats, bond: Bond, *, views: bool
) -> list[Outcome]:
    """Two outcomes a question, with its product there and with all its pictures taken out.

    `queries[n]` is of the picture `shown[n]`. With `views` that picture is taken out, too, so that
    another view must be found; else the question is a copy, which must find it.
    """
    gallery = Gallery(vectors, bond.product.tolist())
    found: list[Outcome] = []
    for at in range(0, len(queries), PAGE):
        rows = shown[at : at + PAGE]
        hidden = _others(bond, rows)
        if views:
            hidden[np.arange(len(rows)), rows] = True
        for row, best in zip(rows, gallery.best(queries[at : at + PAGE], hidden), strict=True):
            found += twice(best, gallery.products, gallery.place[row])
    return found


def _others(bond: Bond, rows: Rows) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """What says nothing: pictures kept apart from the asked one, and not of its product."""
    same = bond.product[rows][:, None] == bond.product[None]
    return np.asarray(bond.forbidden(rows, np.arange(len(bond.product))) & ~same)


def calibration(outcomes: Sequence[Outcome], *, kind: str, images: int) -> Calibration | None:
    """The odds, without a fingerprint yet; None where there were too few questions."""
    if len(outcomes) < 2 * TOO_FEW:
        return None
    return replace(fit(outcomes, fingerprint="", kind=kind), images=images)
