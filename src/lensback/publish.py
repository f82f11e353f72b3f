"""vectors -> index: brings the index to what the catalogue says and publishes it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lensback import log, mapped
from lensback.catalogue import pictures, words
from lensback.catalogue.findable import rows_by_store
from lensback.checked import checked
from lensback.db import Database, chunks
from lensback.durable import replace_file
from lensback.errors import Away, StateError
from lensback.indexes import Fillable, Index, row_digest, row_id
from lensback.types import IndexRow, Progress, Snapshot, Tally, Vectors
from lensback.vectors import VectorStore

BATCH = 4000
ROWS_FILE = "published.json"
"""In the workspace, beside the index: what each store has in it. Not in the database, because a lost
database is one of the things it must tell."""
TOLD = 5
"""Stores named in the warning of an index that is held back."""


@dataclass(frozen=True, slots=True)
class StoreRows:
    """How many rows of a snapshot are each store's."""

    snapshot: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)


def read_rows(path: Path) -> StoreRows:
    """What the file says; nothing where there is none, or one that is damaged."""
    try:
        return checked(StoreRows, path.read_bytes(), f"{path}: ", hint="", error=StateError)
    except (OSError, StateError) as error:
        if not isinstance(error, FileNotFoundError):
            log.event("rows of stores not known", 30, message=str(error))
        return StoreRows()


def write_rows(path: Path, rows: StoreRows) -> None:
    """Durable when it returns."""
    replace_file(path, lambda partial: partial.write_text(json.dumps(asdict(rows), indent=1)))


def forget_store(path: Path, store: str) -> None:
    """The store was removed on purpose: that its rows go is no loss."""
    known = read_rows(path)
    if store in known.rows:
        left = {name: n for name, n in known.rows.items() if name != store}
        write_rows(path, replace(known, rows=left))


def rename_store(path: Path, old: str, new: str) -> None:
    """The store has another name from now on: its rows are still its own."""
    known = read_rows(path)
    if old in known.rows:
        named = {(new if name == old else name): n for name, n in known.rows.items()}
        write_rows(path, replace(known, rows=named))


@dataclass(frozen=True, slots=True)
class LossGuard:
    """What a publish may take from the searched index: of each store's rows, and of all together,
    a share of `max_drop`. `path`: the file of StoreRows. `meant`: stores whose loss is meant;
    None: any."""

    path: Path
    max_drop: float
    meant: frozenset[str] | None = frozenset()

    def losses(self, live: Snapshot | None, coming: Counter[str]) -> list[tuple[str, int, int]]:
        """Stores that would lose too much, the largest losses first: name, rows before, rows after.
        The name is "" for all together. Empty where there is nothing to lose."""
        if live is None or self.meant is None:
            return []
        known = read_rows(self.path)
        before = dict(known.rows) if known.snapshot == live.id else {"": live.rows}
        after = Counter(coming) if "" not in before else Counter({"": coming.total()})
        for name in self.meant:
            before.pop(name, None)
            after.pop(name, None)
        if "" not in before:
            before[""], after[""] = sum(before.values()), sum(after[name] for name in before)
        lost = [(name, n, after[name]) for name, n in before.items()]
        over = [(name, n, now) for name, n, now in lost if n - now > self.max_drop * n]
        return sorted(over, key=lambda loss: loss[2] - loss[1])


def publish(
    db: Database,
    vectors: VectorStore,
    index: Index,
    *,
    fingerprint: str,
    encoder: str,
    guard: LossGuard | None = None,
    progress: Progress | None = None,
) -> Tally:
    """Writes the rows that differ, forgets those nobody sells, and swaps the snapshot.

    done = rows written, skipped = rows that were right already. A search sees the old
    snapshot until the new one is complete and its recall is measured. Where the searched index
    would lose more than `guard` allows it stays as it is: the tally's `warning` says why, and what
    was written waits, unseen, for the next publish.
    """
    begin = time.perf_counter()
    tally, found = Tally("publish"), Counter[str]()
    words.refresh(db)
    staged = _Staged(*index.staged())

    def differing() -> Iterator[tuple[list[IndexRow], Vectors]]:
        for rows in chunks(pictures.searchable(c, fingerprint, row_id), BATCH):
            changed = [rows[at] for at in staged.changed(rows)]
            if changed:
                yield changed, vectors.get(fingerprint, [row.image_hash for row in changed])
            found.update(row.store for row in rows)
            tally.done += len(changed)
            tally.skipped += len(rows) - len(changed)
            if progress:
                progress(tally.done + tally.skipped, 0)

    with db.read() as c:
        _stage(index, differing(), anew=not len(staged))
    if guard and (losses := guard.losses(searched(index), found)):
        tally.notes |= _held_back(losses)
        tally.seconds = time.perf_counter() - begin
        log.event("not published", 40, **tally.as_json())
        return tally
    gone = staged.unseen()
    for part in chunks(gone, BATCH):
        index.delete(part)
    if tally.done or gone:
        db.analyze()
    snapshot = index.publish(encoder)
    if guard:
        write_rows(guard.path, StoreRows(snapshot.id, dict(sorted(found.items()))))
    tally.notes = {"removed": len(gone), "rows": snapshot.rows, "recall": round(snapshot.recall, 4)}
    tally.notes["snapshot"] = snapshot.id
    tally.seconds = time.perf_counter() - begin
    log.event("published", **tally.as_json())
    return tally


def _stage(
    index: Index, differing: Iterable[tuple[list[IndexRow], Vectors]], *, anew: bool
) -> None:
    """`anew`: nothing is staged yet."""
    if anew and isinstance(index, Fillable):
        index.fill(differing)
        return
    for rows, vectors in differing:
        index.upsert(rows, vectors)


def foretold(db: Database, index: Index, guard: LossGuard) -> str:
    """Why the next publish would be held back, as things stand now; empty where it would not."""
    live = searched(index)
    if live is None:
        return ""
    losses = guard.losses(live, rows_by_store(db, live.fingerprint))
    return (
        f"the next sync would hold its index back: of its rows it would keep {_named(losses)}"
        if losses
        else ""
    )


def searched(index: Index) -> Snapshot | None:
    """The snapshot that searches see; None where there is none, or none that can be read."""
    try:
        return index.snapshot
    except Away:
        raise
    except StateError as error:
        log.event("no index can be read", 30, message=error.message)
        return None


def _held_back(losses: list[tuple[str, int, int]]) -> dict[str, str]:
    warning = (
        "held back, searches go on in the old index: the new one would keep of its rows "
        f"{_named(losses)}"
    )
    hint = "lensback doctor says what is missing; if it is meant so: lensback sync --force"
    return {"warning": warning, "hint": hint}


def _named(losses: list[tuple[str, int, int]]) -> str:
    named = [f"{name or 'all together'} {now} of {before}" for name, before, now in losses[:TOLD]]
    more = f" and {len(losses) - TOLD} more" if len(losses) > TOLD else ""
    return f"{', '.join(named)}{more}"


class _Staged:
    """The index's rows as two sorted arrays that wait in files, 17 bytes a row. A digest is of the row's id, too."""

    def __init__(self, row_ids: NDArray[np.int64], digests: NDArray[np.int64]) -> None:
        self._ids, self._digests = mapped.in_order(row_ids), mapped.in_order(digests)
        self._seen = mapped.zeros(len(row_ids), np.bool_)

    def __len__(self) -> int:
        return len(self._ids)

    def changed(self, rows: list[IndexRow]) -> list[int]:
        """Positions of rows that are new or differ. All whose id is there are marked as seen."""
        there, places = _places_of(self._ids, [row.row_id for row in rows])
        self._seen[places[there]] = True
        same, _ = _places_of(self._digests, list(map(row_digest, rows)))
        return np.flatnonzero(~same).tolist()

    def unseen(self) -> list[int]:
        """Ids of rows that the catalogue did not name."""
        found: list[int] = self._ids[~self._seen].tolist()
        return found


def _places_of(
    ascending: NDArray[np.int64], wanted: list[int]
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which of the numbers are there, and the place of each."""
    numbers = np.array(wanted, np.int64)
    if not len(ascending):
        return np.zeros(len(numbers), bool), np.zeros(len(numbers), np.intp)
    places = np.minimum(np.searchsorted(ascending, numbers), len(ascending) - 1)
    return ascending[places] == numbers, places
