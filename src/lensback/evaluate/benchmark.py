"""Evaluation of an encoder on a benchmark folder: whole pictures, the truth in two CSV files.

`gallery.csv` and `queries.csv` have the columns `image,product`; an empty product in the queries
is a thing that is not in the gallery, in the gallery a picture of something else. More columns
are welcome: `model` (products of one model are its colours), and `category`, `store`, `kind`,
`price`, by which the figures are sliced.

There is no catalogue here, so the match probability is fitted on the gallery itself, as
`lensback calibrate` does it on a catalogue: the queries take no part in it.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lensback import metrics
from lensback.calibrate import COPIES, ENOUGH, TOO_FEW, VIEWS, Case, fit
from lensback.distort import distort
from lensback.encoders import Encoder
from lensback.errors import BadQuery
from lensback.evaluate import measure, runs
from lensback.evaluate.albums import Album, compare, leaked, of_files
from lensback.evaluate.runs import Outcome, Run, Shown
from lensback.images import decode
from lensback.rank import Calibration
from lensback.types import Progress

SHOWN = 5
MOST_ASKED = 300
"""Gallery pictures that the match probability is fitted on."""
Watch = Callable[[str], Progress]
Scores = NDArray[np.float32]


def unseen(_stage: str) -> Progress:
    """A watch that shows nothing."""
    return lambda _done, _total: None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a benchmark's CSV file."""

    path: Path
    product: str
    model: str = ""
    slices: dict[str, str] = field(default_factory=dict)


def read_rows(file: Path, images: Path) -> list[Row]:
    """Raises BadQuery where the file or a column is missing."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            if not {"image", "product"} <= set(rows.fieldnames or ()):
                raise BadQuery(
                    f"{file} has no columns image and product",
                    hint="write a first line: image,product",
                )
            return [_row(row, images) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadQuery(f"cannot read {file}: {error}", hint="give a CSV file in UTF-8") from error


def _row(row: dict[str, str], images: Path) -> Row:
    cells = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
    slices = {by: cells[by] for by in measure.SLICED if cells.get(by)}
    return Row(images / cells["image"], cells["product"], cells.get("model", ""), slices)


@dataclass(frozen=True)
class Gallery:
    """What is searched in."""

    rows: Sequence[Row]
    """One for each picture of the album."""
    album: Album

    @cached_property
    def products(self) -> list[str]:
        """In order; a picture without a product is one of its own, named by its file."""
        return sorted({name_of(row) for row in self.rows})

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Picture -> place of its product."""
        at = {name: n for n, name in enumerate(self.products)}
        return np.array([at[name_of(row)] for row in self.rows], dtype=np.int64)

    @cached_property
    def models(self) -> dict[str, str]:
        """Product -> the model of which it is one colour; empty where the file does not say."""
        return {name_of(row): row.model for row in self.rows}

    @cached_property
    def pictures(self) -> dict[str, str]:
        """Product -> its first picture."""
        return {name_of(row): str(row.path) for row in reversed(self.rows)}

    def scores(self, vector: Scores, hidden: NDArray[np.bool_] | None = None) -> Scores:
        """Similarity of the best picture of each product; -2 where all its pictures are hidden."""
        similar = self.album.vectors @ vector
        if hidden is not None:
            similar = np.where(hidden, np.float32(-2), similar)
        best = np.full(len(self.products), -2, np.float32)
        np.maximum.at(best, self.places, similar)
        return best


def name_of(row: Row) -> str:
    """The product that a row shows; a picture of no product is one of its own."""
    return row.product or f"picture {row.path.name}"


def top_two(best: Scores) -> tuple[int, float, float]:
    """Place and similarity of the best product, and its lead over the second."""
    if len(best) == 1:
        return 0, float(best[0]), 0.0
    first = int(best.argmax())
    second = float(np.delete(best, first).max())
    lead = float(best[first]) - second if second > -2 else 0.0
    return first, float(best[first]), lead


# ---- the match probability


def calibrated(
    gallery: Gallery, encoder: Encoder, *, seed: int = 0, progress: Progress | None = None
) -> Calibration | None:
    """Fitted on the gallery's own pictures, each asked with its product there and without it;
    None where there are too few."""
    named = [n for n, row in enumerate(gallery.rows) if row.product]
    if len({gallery.rows[n].product for n in named}) < TOO_FEW:
        return None
    random = np.random.default_rng(seed)
    asked = sorted(random.permutation(named)[:MOST_ASKED].tolist())
    cases = _copies(gallery, encoder, asked, progress)
    counts = np.bincount(gallery.places)
    several = [n for n in named if counts[gallery.places[n]] > 1]
    real = len({gallery.places[n] for n in several}) >= ENOUGH
    if real:
        for n in sorted(random.permutation(several)[:MOST_ASKED].tolist()):
            hidden = np.arange(len(gallery.rows)) == n
            cases += _pair(gallery, gallery.album.vectors[n], n, hidden)
    kind = f"{VIEWS} and {COPIES}" if real else COPIES
    return fit(cases, fingerprint=encoder.fingerprint, kind=kind)


def _copies(
    gallery: Gallery, encoder: Encoder, asked: Sequence[int], progress: Progress | None
) -> list[Case]:
    """Pictures as a phone would take them."""
    cases: list[Case] = []
    for at in range(0, len(asked), 32):
        part = asked[at : at + 32]
        copies = [
            distort(decode(gallery.rows[n].path.read_bytes(), side_px=2 * encoder.side_px), n)
            for n in part
        ]
        for n, vector in zip(part, encoder.encode(copies), strict=True):
            cases += _pair(gallery, vector, n, np.zeros(len(gallery.rows), bool))
        if progress:
            progress(at + len(part), len(asked))
    return cases


def _pair(gallery: Gallery, vector: Scores, n: int, hidden: NDArray[np.bool_]) -> list[Case]:
    """The question with the product there, and with all of its pictures gone."""
    place = gallery.places[n]
    cases = []
    for absent in (False, True):
        gone = hidden | (gallery.places == place) if absent else hidden
        first, similarity, lead = top_two(gallery.scores(vector, gone))
        cases.append(Case(similarity, lead, first == place, absent))
    return cases


# ---- one query


@dataclass(frozen=True, slots=True)
class Judge:
    """Answers a query and judges the answer."""

    gallery: Gallery
    calibration: Calibration | None
    exact_from: float

    def outcome(self, row: Row, vector: Scores, spent_ms: float) -> Outcome:
        """What became of one query, whose vector took `spent_ms` to make."""
        begin = time.perf_counter()
        best = self.gallery.scores(vector)
        order = np.argsort(-best, kind="stable")[: max(SHOWN, measure.DEPTHS[-1])]
        first, similarity, lead = top_two(best)
        search_ms = (time.perf_counter() - begin) * 1000
        names = [self.gallery.products[at] for at in order]
        sure, verdict = self._said(similarity, lead)
        found = self._rank(row, best)
        shown = [] if verdict == "none" else names
        right = found == 1
        return replace(
            unanswered(row, self.gallery),
            verdict=verdict,
            probability=sure,
            similarity=similarity,
            rank=found,
            average_precision=metrics.average_precision([found] if found else [], 1)
            if row.product
            else None,
            error=self._error(row, verdict, shown, right=right),
            exact_right=right if verdict == "exact" else None,
            exact_wrong_colour=verdict == "exact" and not right and self._colour(row, names[0]),
            first_right=right,
            total_ms=spent_ms + search_ms,
            timings_ms={"encode": spent_ms, "search": search_ms},
            hits=tuple(
                Shown(name, name, self.gallery.pictures[name], float(best[at]),
                      sure if at == first else None, at == first and verdict == "exact",
                      name == row.product)
                for at, name in list(zip(order.tolist(), names, strict=True))[:SHOWN]
                if shown
            ),
        )  # fmt: skip

    def _said(self, similarity: float, lead: float) -> tuple[float | None, str]:
        """Match probability and verdict, as a search gives them."""
        if self.calibration is None:
            return None, ""
        if similarity < self.calibration.none_below:
            return 0.0, "none"
        sure = self.calibration.probability(similarity, lead)
        return sure, "exact" if sure >= self.exact_from else "similar"

    def _rank(self, row: Row, best: Scores) -> int | None:
        """Place of the right product; with equal similarity the others stand before it."""
        if row.product not in self.gallery.pictures:
            return None
        right = np.array(self.gallery.products) == row.product
        return int(metrics.ranks(best[None], right[None], ~right[None])[0])

    def _colour(self, row: Row, name: str) -> bool:
        return bool(row.model) and self.gallery.models.get(name) == row.model

    def _error(self, row: Row, verdict: str, shown: Sequence[str], *, right: bool) -> str:
        if not row.product:
            if verdict == "exact":
                return runs.MISLED
            return runs.LOOKALIKES if shown else runs.RIGHT
        if not shown:
            return runs.MISSED
        if right:
            return runs.RIGHT
        return runs.WRONG_COLOUR if self._colour(row, shown[0]) else runs.WRONG_PRODUCT


def unanswered(row: Row, gallery: Gallery) -> Outcome:
    """What becomes of a photo that cannot be read: a miss."""
    return Outcome(
        photo=str(row.path),
        product=row.product,
        verdict="",
        probability=None,
        similarity=None,
        rank=None,
        relevant=int(bool(row.product)),
        average_precision=0.0 if row.product else None,
        error=runs.UNREADABLE,
        exact_right=None,
        cluster=row.product or str(row.path),
        slices=row.slices,
        title=row.product,
        image=gallery.pictures.get(row.product, ""),
    )


# ---- the whole folder


def evaluate_folder(
    gallery_file: Path,
    queries_file: Path,
    images: Path,
    encoder: Encoder,
    *,
    name: str = "",
    exact_from: float = 0.95,
    leaks: str = "drop",
    machine_hour: str = "",
    notes: Sequence[str] = (),
    watch: Watch = unseen,
) -> Run:
    """The run of an encoder on a benchmark folder.

    Raises BadQuery for files that cannot be used, and for leaks where they are refused.
    """
    gallery = _gallery(read_rows(gallery_file, images), encoder, watch)
    asked = read_rows(queries_file, images)
    _check_truth(asked, gallery, queries_file)
    begin = time.process_time()
    album = of_files([row.path for row in asked], encoder, batch=1, progress=watch("queries"))
    encoded_s = time.process_time() - begin
    found = compare(album, gallery.album, progress=watch("leaks"))
    dropped = leaked(found, leaks)
    calibration = calibrated(gallery, encoder, progress=watch("calibrate"))
    judge = Judge(gallery, calibration, exact_from)
    begin = time.process_time()
    outcomes = _outcomes([row for row in asked if str(row.path) not in dropped], album, judge)
    spent = encoded_s + time.process_time() - begin
    about = measure.About(
        kind="benchmark",
        name=name or queries_file.parent.name,
        encoder=measure.encoder_of(encoder),
        gallery={"images": len(gallery.rows), "products": len(gallery.products)},
        depth=len(gallery.products),
        calibration=measure.calibration_of(calibration, exact_from),
        leaks=found.as_json(len(dropped)),
        cost=measure.cost(spent / len(asked) if asked else None, machine_hour),
        notes=(*notes, "whole_pictures", *(["fitted_on_gallery"] if calibration else [])),
    )
    return measure.run_of(about, outcomes)


def _gallery(rows: Sequence[Row], encoder: Encoder, watch: Watch) -> Gallery:
    kept = {str(row.path): row for row in rows}
    album = of_files([row.path for row in kept.values()], encoder, progress=watch("gallery"))
    if album.unreadable:
        raise BadQuery(
            f"{len(album.unreadable)} pictures of the gallery cannot be read, "
            f"one is {min(album.unreadable)}",
            hint="take them out of the file: a search never sees them",
        )
    if not kept:
        raise BadQuery("the gallery is empty", hint="list its pictures: image,product")
    return Gallery([kept[picture.key] for picture in album.pictures], album)


def _check_truth(asked: Sequence[Row], gallery: Gallery, file: Path) -> None:
    gone = sorted({row.product for row in asked if row.product} - set(gallery.products))
    if gone:
        raise BadQuery(
            f"{file}: {len(gone)} products are not in the gallery, the first is {gone[0]!r}",
            hint="leave the product empty where the gallery does not have it",
        )


def _outcomes(asked: Sequence[Row], album: Album, judge: Judge) -> list[Outcome]:
    place = {picture.key: n for n, picture in enumerate(album.pictures)}
    outcomes = []
    for row in asked:
        key = str(row.path)
        if key in album.unreadable:
            outcomes.append(unanswered(row, judge.gallery))
        else:
            vector = album.vectors[place[key]]
            outcomes.append(judge.outcome(row, vector, album.spent_ms[key]))
    return outcomes
