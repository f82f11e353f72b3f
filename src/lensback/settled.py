"""What the last whole sync left settled: offers that are grouped and published need neither again.

A file in the workspace says for which catalogue, by its revision, and what the stages said. It is only
believed where all that decides them is as it was: what stores say and pictures show, what grouping made
of it, encoder, settings, this program's own files, and the index with the rows staged for it. Where it is
lost or damaged, all is looked at once more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

from lensback import __version__, log
from lensback.catalogue import revision
from lensback.checked import checked
from lensback.db import HEAD, Database
from lensback.durable import files_below, replace_file
from lensback.encoders import Encoder
from lensback.errors import Damaged, StateError
from lensback.indexes import Index
from lensback.publish import read_rows, searched
from lensback.types import Tally

FILE = "settled.json"
"""In the workspace."""


@dataclass(frozen=True, slots=True)
class IdleTally:
    """What a stage says where it finds nothing to do."""

    stage: str
    done: int
    skipped: int
    rejected: Mapping[str, int]
    notes: Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Settled:
    """A catalogue that is grouped and published. Empty texts are never equal to anything."""

    said: str = ""
    """The revision that was grouped and published."""
    grouped: str = ""
    """What came of it in the database."""
    index: str = ""
    """What came of it in the index: the searched snapshot, the rows staged for the next one."""
    by: str = ""
    """With which encoder, settings and program."""
    tallies: tuple[IdleTally, ...] = ()


@dataclass(frozen=True, slots=True)
class Settling:
    """Where what a sync settles can be seen. `index`: the one that is written, for the vectors of the
    encoder; `rows`: the file of publish.StoreRows; `settings`: those that decide what is published."""

    file: Path
    db: Database
    encoder: Encoder
    index: Index
    rows: Path
    settings: tuple[object, ...]

    def before(self) -> Settled:
        """What is to be grouped and published now."""
        return Settled(said=revision.said(self.db, self.encoder.fingerprint), by=self._by())

    def tallies(self, now: Settled) -> list[Tally]:
        """What the stages would say, where the last sync settled all of this; else nothing."""
        known = _read(self.file)
        if (known.said, known.by) != (now.said, now.by) or known != self._after(known):
            return []
        return [
            Tally(one.stage, one.done, one.skipped, Counter(one.rejected), notes=dict(one.notes))
            for one in known.tallies
        ]

    def note(self, now: Settled, tallies: Sequence[Tally]) -> None:
        """Keeps what was settled: `now` as it was before, and what came of it."""
        came = self._after(replace(now, tallies=tuple(map(_idle, tallies))))
        if came.index:
            with suppress(OSError):  # it spares time, that is all
                text = json.dumps(asdict(came), indent=1)
                replace_file(self.file, lambda partial: partial.write_text(text))

    def _after(self, now: Settled) -> Settled:
        return replace(now, grouped=revision.grouped(self.db), index=self._index_now())

    def _index_now(self) -> str:
        """Empty where what is searched, or staged, cannot be read, or is not known store by store."""
        snapshot = searched(self.index)
        if snapshot is None or read_rows(self.rows).snapshot != snapshot.id:
            return ""
        try:
            staged = self.index.staged()
        except Damaged as error:  # publishing mends it
            log.event("the staged index cannot be read", 30, message=error.message)
            return ""
        digest = blake2b(digest_size=16)
        for numbers in staged:
            digest.update(np.ascontiguousarray(numbers).data)
        return f"{snapshot.id} {digest.hexdigest()}"

    def _by(self) -> str:
        said = (self.encoder.fingerprint, self.encoder.name, *self.settings, HEAD, _program())
        return blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()


def _read(path: Path) -> Settled:
    try:
        return checked(Settled, path.read_bytes(), f"{path}: ", hint="", error=StateError)
    except (OSError, StateError) as error:
        if not isinstance(error, FileNotFoundError):
            log.event("not known what is settled", 30, message=str(error))
        return Settled()


def _idle(tally: Tally) -> IdleTally:
    """What the stage will say of the same catalogue when it has nothing to do."""
    notes = {**tally.notes} | {n: 0 for n in ("reassigned", "removed") if n in tally.notes}
    done, skipped = tally.done, tally.skipped
    if tally.stage == "publish":
        done, skipped = 0, done + skipped
    elif tally.stage == "pair":
        done, notes = 0, {}
    return IdleTally(tally.stage, done, skipped, dict(tally.rejected), notes)


@cache
def _program() -> str:
    """Identity of the program's own files, by their times: whoever changes how offers are grouped has
    them grouped anew."""
    digest = blake2b(__version__.encode(), digest_size=16)
    for path, size, written_ns in sorted(files_below(str(Path(__file__).parent))):
        if path.endswith((".py", ".toml")):
            digest.update(f"{path} {size} {written_ns}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()
