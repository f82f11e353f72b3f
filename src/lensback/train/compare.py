"""Two encoders on a workspace's own other views: figures, paired difference, and pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from lensback.counted import counted
from lensback.db import Database
from lensback.encoders import Encoder
from lensback.encoders.shelf import LEARNT_FILE, SHELF
from lensback.errors import DataError, Error
from lensback.images import ImageStore
from lensback.train.data import Bond, Example, Rows, of_workspace, views
from lensback.train.fit import Floats
from lensback.train.validate import Score, paired, score
from lensback.vectors import VectorStore

DEPTHS = (1, 5)
PICTURES = 20
THUMBNAIL_PX = 160
BATCH = 32

Watch = Callable[[str, int, int], None]
"""Called with (encoder's name, done, total)."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One question that one encoder answers and the other does not. Hashes of pictures."""

    asked: str
    right: str
    first_a: str
    first_b: str
    ahead_a: int
    """Wrong pictures before the first right one."""
    ahead_b: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two encoders on the same questions, figure by figure."""

    a: str
    b: str
    gallery: int
    queries: int
    products: int
    learnt: int
    """Queries left out, because one of the two learnt from a picture of their product's family."""
    recall_a: dict[int, float]
    recall_b: dict[int, float]
    difference: dict[int, tuple[float, float, float]]
    """k -> b minus a, with its 95 % interval by bootstrap over products."""
    disagreements: list[Disagreement]

    def as_json(self) -> dict[str, object]:
        """The comparison by name, as it stands in the model's card."""
        return asdict(self)


def compare(
    db: Database,
    images: ImageStore,
    vectors: VectorStore,
    a: Encoder,
    b: Encoder,
    *,
    models: Path,
    stores: Sequence[str] = (),
    limit: int = 1000,
    watch: Watch = lambda *_: None,
) -> Comparison:
    """Asks both for other views of the products of these stores, among all their pictures.

    At most `limit` products are asked for, chosen by chance. Vectors that the workspace keeps are
    used, others are made and not kept. Raises DataError where nothing is left to ask.
    """
    found = of_workspace(db, stores)
    seen = [_encoded(encoder, found, images, vectors, watch) for encoder in (a, b)]
    both = seen[0].keys() & seen[1].keys()  # what could be read
    examples = [e for e in found if e.key in both]
    learnt = {key for encoder in (a, b) for key in _learnt(encoder.name, models)}
    queries, left_out = _asked(examples, learnt, limit)
    if not len(queries):
        raise DataError(
            f"none of {counted(len(examples), 'picture')} has another view that neither encoder learnt from",
            hint="sync stores whose feeds have additional images, and were not trained on",
        )
    bond, gallery = Bond.of(examples), np.arange(len(examples))
    rows = [np.stack([each[e.key] for e in examples]) for each in seen]
    scores = [score(each, bond, queries, gallery) for each in rows]
    asked = scores[0].query
    groups = bond.product[asked]
    return Comparison(
        a.name,
        b.name,
        len(examples),
        len(asked),
        len(set(groups.tolist())),
        left_out,
        {k: round(scores[0].recall(k), 4) for k in DEPTHS},
        {k: round(scores[1].recall(k), 4) for k in DEPTHS},
        {k: _rounded(paired(scores[0], scores[1], k, groups=groups)) for k in DEPTHS},
        _disagreements(examples, bond, asked, scores, rows),
    )


def _rounded(values: tuple[float, float, float]) -> tuple[float, float, float]:
    middle, low, high = (round(v, 4) for v in values)
    return middle, low, high


def _encoded(
    encoder: Encoder,
    examples: Sequence[Example],
    images: ImageStore,
    vectors: VectorStore,
    watch: Watch,
) -> dict[str, Floats]:
    """Key -> vector, without the pictures that cannot be read."""
    kept = {key for part in vectors.hashes(encoder.fingerprint) for key in part}
    stored = [e.key for e in examples if e.key in kept]
    found = dict(zip(stored, vectors.get(encoder.fingerprint, stored), strict=True))
    missing = [e.key for e in examples if e.key not in kept]
    for at in range(0, len(missing), BATCH):
        opened: dict[str, Image.Image] = {}
        for key in missing[at : at + BATCH]:
            try:
                opened[key] = images.open(key, encoder.side_px)
            except Error:  # lost or broken: left out for both
                continue
        found |= zip(opened, encoder.encode(list(opened.values())), strict=True)
        watch(encoder.name, min(at + BATCH, len(missing)), len(missing))
    return found


def _learnt(name: str, models: Path) -> list[str]:
    path = SHELF.beside_model(name, models, LEARNT_FILE)
    return path.read_text("utf-8").split() if path else []


def _asked(examples: Sequence[Example], learnt: set[str], limit: int) -> tuple[Rows, int]:
    """Rows to ask with, and how many were left out for having been learnt from."""
    known = {e.family for e in examples if e.key in learnt}
    several = {p: rows for p, rows in views(examples).items() if len(rows) > 1}
    fresh = sorted(p for p, rows in several.items() if examples[rows[0]].family not in known)
    gone = sum(len(rows) for rows in several.values()) - sum(len(several[p]) for p in fresh)
    chosen = np.random.default_rng(0).permutation(len(fresh))[:limit]
    return np.array(sorted(r for at in chosen for r in several[fresh[at]]), np.int64), gone


def _disagreements(
    examples: Sequence[Example],
    bond: Bond,
    asked: Rows,
    scores: Sequence[Score],
    vectors: Sequence[Floats],
) -> list[Disagreement]:
    """Questions that one answers first and the other does not, widest apart first, and as many
    of either kind as there are."""
    apart = [each.ranks - 1 for each in scores]
    differ = np.log1p(apart[0]) - np.log1p(apart[1])
    either = [
        [
            n
            for n in np.argsort(-sign * differ, kind="stable")
            if apart[winner][n] == 0 < apart[1 - winner][n]
        ]
        for sign, winner in ((1, 1), (-1, 0))
    ]
    half = PICTURES // 2
    counts = [max(half, PICTURES - len(other)) for other in either[::-1]]
    chosen = [n for kind, count in zip(either, counts, strict=True) for n in kind[:count]]
    return [
        _disagreement(examples, bond, int(asked[n]), [int(x[n]) for x in apart], vectors)
        for n in chosen
    ]


def _disagreement(
    examples: Sequence[Example],
    bond: Bond,
    row: int,
    ahead: Sequence[int],
    vectors: Sequence[Floats],
) -> Disagreement:
    everyone = np.arange(len(examples))
    right = (bond.product == bond.product[row]) & (everyone != row)
    hidden = bond.forbidden(np.array([row]), everyone)[0] & ~right
    similar = [np.where(hidden, -2.0, each @ each[row]) for each in vectors]
    best = np.where(right, np.maximum(*similar), -2.0).argmax()
    first = [examples[int(line.argmax())].key for line in similar]
    keys = (examples[row].key, examples[int(best)].key, first[0], first[1])
    return Disagreement(*keys, ahead[0], ahead[1])


def page(comparison: Comparison, images: ImageStore) -> str:
    """The comparison as one HTML file that needs nothing else."""
    a, b = escape(comparison.a), escape(comparison.b)
    figures = "".join(
        f"<tr><td>R@{k}</td><td>{comparison.recall_a[k]:.3f}</td><td>{comparison.recall_b[k]:.3f}</td>"
        f"<td>{d:+.3f} [{low:+.3f}, {high:+.3f}]</td></tr>"
        for k, (d, low, high) in comparison.difference.items()
    )
    told = "".join(
        f"<tr><td>{_thumb(d.asked, images)}</td><td>{_thumb(d.right, images)}</td>"
        f"<td>{_thumb(d.first_a, images)}<br>{_place(d.ahead_a)}</td>"
        f"<td>{_thumb(d.first_b, images)}<br>{_place(d.ahead_b)}</td></tr>"
        for d in comparison.disagreements
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{a} and {b}</title><style>body{{font-family:sans-serif;margin:2em}}"
        "td,th{padding:.3em 1em;text-align:left;vertical-align:top}</style>"
        f"<h1>{a} and {b}</h1><p>{counted(comparison.queries, 'picture')} of {counted(comparison.products, 'product')}, each "
        f"searched among {counted(comparison.gallery, 'picture')} without itself. Left out: {comparison.learnt}, as one "
        "of the two learnt from their family. Difference with its 95 % interval by bootstrap over "
        f"products.</p><table><tr><th></th><th>{a}</th><th>{b}</th><th>{b} minus {a}</th></tr>"
        f"{figures}</table><h2>Where they disagree</h2><table><tr><th>asked</th><th>right</th>"
        f"<th>first of {a}</th><th>first of {b}</th></tr>{told}</table></html>\n"
    )


def _place(ahead: int) -> str:
    return "right" if ahead == 0 else f"the right one is number {ahead + 1}"


def _thumb(key: str, images: ImageStore) -> str:
    file = io.BytesIO()
    small = images.open(key, THUMBNAIL_PX).convert("RGB")
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    small.save(file, "JPEG", quality=80)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="" src="data:image/jpeg;base64,{data}">'
