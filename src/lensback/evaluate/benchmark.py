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

from lensback.calibrate import ENOUGH, TOO_FEW, fit
from lensback.counted import counted
from lensback.distort import distort
from lensback.encoders import Encoder
from lensback.errors import BadQuery
from lensback.evaluate import measure
from lensback.evaluate.albums import Album, compare, leaked, of_files
from lensback.evaluate.runs import Run
from lensback.images import decode
from lensback.questions import (
    COPIES,
    SHOWN,
    UNREADABLE,
    VIEWS,
    Gallery,
    Outcome,
    ShownProduct,
    judge,
    nearest,
    said,
    twice,
)
from lensback.rank import Calibration
from lensback.types import Progress, Vectors

MOST_ASKED = 300
"""Gallery pictures that the match probability is fitted on."""
Watch = Callable[[str], Progress]


def unseen(_stage: str) -> Progress:
    """Progress that shows nothing."""
    return lambda _done, _total: None


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """One line of a benchmark's CSV file."""

    path: Path
    product: str
    style: str = ""
    slices: dict[str, str] = field(default_factory=dict)


def read_rows(file: Path, images: Path) -> list[BenchmarkRow]:
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
        why = getattr(error, "strerror", None) or error
        raise BadQuery(f"cannot read {file}: {why}", hint="give a CSV file in UTF-8") from error


def _row(row: dict[str, str], images: Path) -> BenchmarkRow:
    cells = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
    slices = {by: cells[by] for by in measure.SLICED if cells.get(by)}
    return BenchmarkRow(images / cells["image"], cells["product"], cells.get("model", ""), slices)


@dataclass(frozen=True)
class Searched:
    """What is searched in: the rows of the gallery's file, and their pictures."""

    rows: Sequence[BenchmarkRow]
    """One for each picture of the album."""
    album: Album

    @cached_property
    def gallery(self) -> Gallery:
        """The vectors that are searched in, each with the product that it shows."""
        return Gallery(self.album.vectors, [name_of(row) for row in self.rows])

    @cached_property
    def styles(self) -> dict[str, str]:
        """Product -> the style of which it is one colour; empty where the file does not say."""
        return {name_of(row): row.style for row in self.rows}

    @cached_property
    def pictures(self) -> dict[str, str]:
        """Product -> its first picture."""
        return {name_of(row): str(row.path) for row in reversed(self.rows)}


def name_of(row: BenchmarkRow) -> str:
    """Its product; a picture without one is a product of its own, named by its file."""
    return row.product or f"picture {row.path.name}"


# ---- the match probability


def calibrated(
    searched: Searched, encoder: Encoder, *, seed: int = 0, progress: Progress | None = None
) -> Calibration | None:
    """Fitted on the gallery's own pictures, each asked with its product there and without it;
    None where there are too few."""
    named = [n for n, row in enumerate(searched.rows) if row.product]
    if len({searched.rows[n].product for n in named}) < TOO_FEW:
        return None
    gallery = searched.gallery
    random = np.random.default_rng(seed)
    asked = sorted(random.permutation(named)[:MOST_ASKED].tolist())
    outcomes = _copies(searched, encoder, asked, progress)
    counts = np.bincount(gallery.place)
    several = [n for n in named if counts[gallery.place[n]] > 1]
    real = len({gallery.place[n] for n in several}) >= ENOUGH
    if real:
        for n in sorted(random.permutation(several)[:MOST_ASKED].tolist()):
            itself = np.arange(len(searched.rows)) == n
            best = gallery.best(gallery.vectors[n : n + 1], itself[None])[0]
            outcomes += twice(best, gallery.products, gallery.place[n])
    kind = f"{VIEWS} and {COPIES}" if real else COPIES
    return fit(outcomes, fingerprint=encoder.fingerprint, kind=kind)


def _copies(
    searched: Searched, encoder: Encoder, asked: Sequence[int], progress: Progress | None
) -> list[Outcome]:
    """Pictures as a phone would take them."""
    outcomes: list[Outcome] = []
    gallery = searched.gallery
    for at in range(0, len(asked), 32):
        part = asked[at : at + 32]
        copies = [
            distort(decode(searched.rows[n].path.read_bytes(), side_px=2 * encoder.side_px), n)
            for n in part
        ]
        for n, best in zip(part, gallery.best(encoder.encode(copies)), strict=True):
            outcomes += twice(best, gallery.products, gallery.place[n])
        if progress:
            progress(at + len(part), len(asked))
    return outcomes


# ---- one query


def outcome(
    row: BenchmarkRow,
    vector: Vectors,
    spent_ms: float,
    searched: Searched,
    calibration: Calibration | None,
    exact_from: float,
) -> Outcome:
    """Searches one vector [dim] and judges the answer."""
    begin = time.perf_counter()
    gallery = searched.gallery
    best = gallery.best(vector[None])[0]
    found = said(nearest(best, gallery.products, row.product), calibration, exact_from)
    search_ms = (time.perf_counter() - begin) * 1000
    # A right product that is as near as others stands behind them, here as in its rank.
    right = np.array([name == row.product for name in gallery.products])
    order = np.lexsort((right, -best))[:SHOWN].tolist() if found.verdict != "none" else []
    hits = [
        ShownProduct(
            name := gallery.products[at],
            name,
            searched.pictures[name],
            float(best[at]),
            found.probability if n == 0 else None,
            n == 0 and found.verdict == "exact",
            bool(right[at]),
        )
        for n, at in enumerate(order)
    ]
    answered = replace(
        unanswered(row, searched),
        verdict=found.verdict,
        probability=found.probability,
        similarity=found.similarity,
        margin=found.margin,
        first=found.first,
        total_ms=spent_ms + search_ms,
        timings_ms={"encode": spent_ms, "search": search_ms},
    )
    kin = {name for name, style in searched.styles.items() if style and style == row.style}
    return judge(answered, hits, [found.rank] if found.rank else [], other_colours=kin)


def unanswered(row: BenchmarkRow, searched: Searched) -> Outcome:
    """What becomes of a photo that cannot be read: a miss."""
    return Outcome(
        photo=str(row.path),
        product=row.product,
        relevant=int(bool(row.product)),
        average_precision=0.0 if row.product else None,
        error=UNREADABLE,
        cluster=row.product or str(row.path),
        slices=row.slices,
        title=row.product,
        image=searched.pictures.get(row.product, ""),
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
    searched = _searched(read_rows(gallery_file, images), encoder, watch)
    asked = read_rows(queries_file, images)
    _check_truth(asked, searched, queries_file)
    begin = time.process_time()
    album = of_files([row.path for row in asked], encoder, batch=1, progress=watch("queries"))
    encoded_s = time.process_time() - begin
    found = compare(album, searched.album, progress=watch("leaks"))
    dropped = leaked(found, leaks)
    calibration = calibrated(searched, encoder, progress=watch("calibrate"))
    begin = time.process_time()
    kept = [row for row in asked if str(row.path) not in dropped]
    place = {picture.key: n for n, picture in enumerate(album.pictures)}
    outcomes = [
        outcome(
            row, album.vectors[place[key]], album.spent_ms[key], searched, calibration, exact_from
        )
        if (key := str(row.path)) in place
        else unanswered(row, searched)
        for row in kept
    ]
    spent = encoded_s + time.process_time() - begin
    about = measure.About(
        kind="benchmark",
        name=name or queries_file.parent.name,
        encoder=measure.encoder_of(encoder),
        gallery={"images": len(searched.rows), "products": len(searched.gallery.products)},
        depth=len(searched.gallery.products),
        calibration=measure.calibration_of(calibration, exact_from),
        leaks=found.as_json(len(dropped)),
        cost=measure.cost(spent / len(asked) if asked else None, machine_hour),
        notes=(*notes, "whole_pictures", *(["fitted_on_gallery"] if calibration else [])),
    )
    return measure.run_of(about, outcomes)


def _searched(rows: Sequence[BenchmarkRow], encoder: Encoder, watch: Watch) -> Searched:
    kept = {str(row.path): row for row in rows}
    album = of_files([row.path for row in kept.values()], encoder, progress=watch("gallery"))
    if album.unreadable:
        raise BadQuery(
            f"{counted(len(album.unreadable), 'picture')} of the gallery cannot be read, "
            f"one is {min(album.unreadable)}",
            hint="take them out of the file: a search never sees them",
        )
    if not kept:
        raise BadQuery("the gallery is empty", hint="list its pictures: image,product")
    return Searched([kept[picture.key] for picture in album.pictures], album)


def _check_truth(asked: Sequence[BenchmarkRow], searched: Searched, file: Path) -> None:
    gone = sorted({row.product for row in asked if row.product} - set(searched.gallery.products))
    if gone:
        raise BadQuery(
            f"{file}: {counted(len(gone), 'product')} missing in the gallery, the first is {gone[0]!r}",
            hint="leave the product empty where the gallery does not have it",
        )
