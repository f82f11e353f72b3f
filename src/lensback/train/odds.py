"""The match probability that goes with an encoder, from the questions that its training held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lensback.calibrate import TOO_FEW, Case, fit
from lensback.rank import Calibration
from lensback.train.data import Bond, Rows
from lensback.train.fit import Floats

PAGE = 512


def cases(queries: Floats, shown: Rows, vectors: Floats, bond: Bond, *, views: bool) -> list[Case]:
    """Two cases a question, with its product there and with all its pictures taken out.

    `queries[n]` is of the picture `shown[n]`. With `views` that picture is taken out, too, so that
    another view must be found; else the question is a copy, which must find it.
    """
    order = np.argsort(bond.product, kind="stable")
    names, starts = np.unique(bond.product[order], return_index=True)
    found = []
    for at in range(0, len(queries), PAGE):
        rows = shown[at : at + PAGE]
        similar = queries[at : at + PAGE] @ vectors.T
        similar[_others(bond, rows)] = -1.0
        if views:
            similar[np.arange(len(rows)), rows] = -1.0
        best = np.maximum.reduceat(similar[:, order], starts, axis=1)
        for row, line in zip(rows.tolist(), best, strict=True):
            found += _two(line, int(np.searchsorted(names, bond.product[row])), str(row))
    return found


def _others(bond: Bond, rows: Rows) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """What says nothing: pictures kept apart from the asked one, and not of its product."""
    same = bond.product[rows][:, None] == bond.product[None]
    return np.asarray(bond.forbidden(rows, np.arange(len(bond.product))) & ~same)


def _two(best: Floats, product: int, asked: str) -> list[Case]:
    made = []
    for absent in (False, True):
        line = best.copy()
        if absent:
            line[product] = -2.0
        second, first = np.partition(line, -2)[-2:]
        right = not absent and bool(line[product] >= first)
        made.append(Case(float(first), float(first - second), right, absent, asked))
    return made


def calibration(found: Sequence[Case], *, kind: str, images: int) -> Calibration | None:
    """The odds, without a fingerprint yet; None where there were too few questions."""
    if len(found) < 2 * TOO_FEW:
        return None
    return replace(fit(found, fingerprint="", kind=kind), images=images)
