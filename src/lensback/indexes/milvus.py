"""An index in Milvus: one collection per fingerprint, searched through an alias.

A row is kept in versions, each with the generation that first shows it (`since`) and the one
that no longer does (`until`). Staging writes versions of the next generation, which no search
sees, because searches ask for the published generation only. The published state (snapshot,
collection, generation) is the description of a small empty collection of its own, made by
`publish`, to which the alias is moved: one atomic step. Readers on any machine ask Milvus what
the alias means, so nothing about the index lies in the workspace. (Properties would be the
natural place, but Milvus 2.3 forgets altered ones when it restarts.) That collection was made
after the last write of the generation: its time is what searches ask replicas to have seen.
"""

from __future__ import annotations

import json
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lensback.errors import Away, StaleIndex, StateError
from lensback.indexes import unknown
from lensback.indexes.milvus_link import (
    KINDS,
    Address,
    MilvusLink,
    missing,
    name_part,
    translated,
    width_of,
)
from lensback.indexes.milvus_recall import Sample, sample_condition, stored_vectors
from lensback.indexes.milvus_rows import OPEN, compared, condition, entities, schema
from lensback.indexes.milvus_state import MINE, NOW, Published, seeing, visible
from lensback.indexes.plan import NOTHING
from lensback.indexes.pointer import new_snapshot
from lensback.indexes.rows import SAMPLE
from lensback.indexes.rows import query as unit_query
from lensback.log import event
from lensback.retry import retried
from lensback.types import Candidate, Filter, IndexRow, Snapshot, Vector, Vectors

FOLLOW_S = 0.5
"""How long a reader goes on with the snapshot it has seen last."""
LATE_S = 1.0
"""A search may take this long in what was published before, from when its reader last looked."""
BATCH_ROWS = 2000
PAGE_ROWS = 4000
PAUSE_S = 0.2
FLUSH_ROWS = 2000
"""Written rows from which `publish` has Milvus seal them and build its index; fewer stay in its
memory, where Milvus looks through them less thoroughly the more they are."""
UNINDEXED, PATIENCE_S = 0.01, 600.0
"""This share of the rows may be published without an index when it is not built in so many seconds."""
BUILD_S = 6 * 3600
WRITE_S = 120
TRY_S = 3.0
"""One try of a search: longer means that a query node was lost, and another one answers."""
FETCH = 64
MOST = 16_384
"""Rows that Milvus gives for one search, and the highest `ef`."""
EF = 64
WIDEST = 4096
"""The `ef` at which tuning gives up."""
T = TypeVar("T")
_LIVE = f"until == {OPEN}"


def open_milvus(
    url: str, _root: Path, *, fingerprint: str, dim: int, min_recall: float
) -> MilvusIndex:
    """`milvus://host:19530/collection`; nothing of it lies on this machine."""
    if "://" not in url:
        raise unknown(url)
    return MilvusIndex(Address.parse(url), fingerprint, dim, min_recall)


class MilvusIndex:
    """An `Index` in a Milvus. See `indexes.Index` for what each verb promises.

    A reader sees a new snapshot within FOLLOW_S, not at its very next search.
    """

    def __init__(self, address: Address, fingerprint: str, dim: int, min_recall: float) -> None:
        self._address = address
        self._link = MilvusLink(address)
        self._fingerprint = fingerprint
        self._dim = dim
        self._min_recall = min_recall
        self._lock = threading.Lock()
        self._seen: tuple[float, Published | None] = (-math.inf, None)
        self._written = 0
        self._shown_at = -math.inf
        self._ready = False
        self._count = lru_cache(maxsize=4096)(self._rows_where)

    @property
    def snapshot(self) -> Snapshot | None:
        found = retried(self._published, for_s=self._address.timeout_s)
        return found.snapshot if found else None

    def health(self) -> tuple[str, bool]:
        """What the Milvus says of itself and of the index, and whether all replicas are there.

        Raises Away or StateError where it cannot serve.
        """
        client, wanted = self._link.client, self._address.replicas
        with translated():
            text = f"Milvus {client.get_server_version()}"
        found = self._published(fresh=True)
        if not found:
            return text, True
        with translated():
            replicas = client.describe_replica(found.snapshot.location)
        nodes = sum(len(replica.group_nodes) for replica in replicas)
        text += f", {len(replicas)} of {wanted} replicas on {nodes} query nodes"
        return text, len(replicas) >= wanted

    # --- searching ---

    def search(self, vector: Vector, k: int, where: Filter) -> list[Candidate]:
        def once() -> list[Candidate]:
            found = self._published()
            try:
                return self._search(found, vector, k, where)
            except Away as error:
                if not missing(error):
                    raise
                # Dropped since we looked: something newer is published.
                return self._search(self._published(fresh=True), vector, k, where)

        return retried(once, for_s=self._address.timeout_s)

    def _search(
        self, shown: Published | None, vector: Vector, k: int, where: Filter
    ) -> list[Candidate]:
        if shown is None:
            raise StateError("nothing is published yet", hint="run lensback sync")
        query = unit_query(vector, shown.snapshot.dim)
        limits = condition(where)
        if k < 1 or limits == NOTHING or not shown.snapshot.rows:
            return []
        matches = (
            self._count(shown.snapshot.location, f"{shown.visible} and {limits}", shown.at)
            if limits
            else shown.snapshot.rows
        )
        return self._distinct(shown, query, k, limits, matches) if matches else []

    def _distinct(
        self, shown: Published, query: Vector, k: int, limits: str, matches: int
    ) -> list[Candidate]:
        """k distinct images: rows are fetched as often as images repeat, and more where that was
        not enough; `ef` grows as the filter leaves fewer rows to meet on the way."""
        repeat = shown.parameters.get("repeat", 1.0)
        most = min(matches, MOST)
        fetch = min(most, max(FETCH, math.ceil(k * repeat) + 8))
        ef = shown.parameters.get("ef", EF) * shown.snapshot.rows / matches
        where = f"{shown.visible} and {limits}" if limits else shown.visible
        while True:
            width = int(min(MOST, max(ef, 2 * fetch)))  # the last of k are to be right, too
            rows = self._nearest(shown.snapshot.location, [query], where, fetch, width, shown.at)[0]
            best: dict[str, float] = {}
            for image_hash, similarity in rows:
                best.setdefault(image_hash, similarity)
            full = len(rows) >= fetch
            missed = not full and width >= MOST
            if missed and len(best) < k and matches <= PAGE_ROWS:
                return self._compared(shown, query, where)[:k]
            if missed or len(best) >= k or (full and fetch >= most):
                return [Candidate(name, value) for name, value in best.items()][:k]
            fetch, ef = (min(most, fetch * 4), ef) if full else (fetch, MOST)

    def _compared(self, shown: Published, query: Vector, where: str) -> list[Candidate]:
        """Every image under a condition: Milvus misses most while an index is not loaded."""
        with translated():
            rows = self._link.client.query(
                shown.snapshot.location, filter=where, output_fields=["image_hash", "vector"],
                limit=PAGE_ROWS, timeout=WRITE_S, **seeing(shown.at),
            )  # fmt: skip
        return compared(rows, query)

    def _nearest(
        self, name: str, queries: Sequence[Vector], where: str, limit: int, ef: int, at: int = MINE
    ) -> list[list[tuple[str, float]]]:
        """(image hash, cosine) of the nearest rows of each query, with all written up to `at`.
        Away while Milvus shows two versions of a row, as for a moment of an erasure it does."""
        client = self._link.client
        with translated():
            answers = client.search(
                name,
                data=[np.asarray(query, np.float32) for query in queries],
                filter=where,
                limit=limit,
                output_fields=["image_hash", "row_id"],
                search_params={"params": width_of(self._address.kind, ef)},
                **seeing(at),
                timeout=TRY_S if len(queries) == 1 else BUILD_S,
            )
        if any(len({hit["entity"]["row_id"] for hit in one}) < len(one) for one in answers):
            raise Away("Milvus shows two versions of a row", hint="search again")
        return [
            [(hit["entity"]["image_hash"], min(1.0, max(-1.0, hit["distance"]))) for hit in one]
            for one in answers
        ]

    def _published(self, *, fresh: bool = False) -> Published | None:
        """What the alias means, asked every FOLLOW_S at most."""
        seen_at, found = self._seen
        if not fresh and time.monotonic() - seen_at < FOLLOW_S:
            return found
        with self._lock:
            now = time.monotonic()
            found = self._current()
            if found != self._seen[1]:
                self._count.cache_clear()
            self._seen = (now, found)
            return found

    def _current(self) -> Published | None:
        client = self._link.client
        try:
            with translated():
                told = client.describe_collection(self._address.collection, timeout=TRY_S)
        except Away as error:
            if missing(error):
                return None
            raise
        return Published.read(told["description"], int(told["created_timestamp"]))

    # --- staging ---

    def staged(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        name = self._staging()
        if not name:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        fields = ["row_id", "since", "digest"]
        pages = self._pages(name, _LIVE, fields, lambda page: _table(page, fields))
        table = np.concatenate([np.empty((0, 3), np.int64), *pages])
        table = table[np.lexsort((table[:, 1], table[:, 0]))]
        newest = np.append(table[1:, 0] != table[:-1, 0], True)[: len(table)]
        # A kill came between the new version and the end of the old one.
        self._end(name, table[~newest, 0].tolist(), self._generation(name))
        return table[newest, 0].copy(), table[newest, 2].copy()

    def upsert(self, rows: Sequence[IndexRow], vectors: Vectors) -> None:
        if not rows:
            return
        dim = int(np.shape(vectors)[-1])
        name = self._staging(dim)
        if dim != self._dim:
            raise StaleIndex(
                f"vectors of {dim} numbers in an index of {self._dim}",
                hint="an encoder's fingerprint must change with its dimension",
            )
        generation = self._generation(name)
        made = entities(rows, vectors, generation)
        for start in range(0, len(made), BATCH_ROWS):
            part = made[start : start + BATCH_ROWS]
            self._write(name, part)
            if generation > 1:  # the new version is there before the old one ends
                self._end(name, [row["row_id"] for row in part], generation)

    def delete(self, row_ids: Sequence[int]) -> None:
        name = self._staging()
        if not name or not len(row_ids):
            return
        generation = self._generation(name)
        for start in range(0, len(row_ids), BATCH_ROWS):
            part = [int(row_id) for row_id in row_ids[start : start + BATCH_ROWS]]
            self._end(name, part, generation)
            self._erase(name, f"{_among(part)} and {_LIVE} and since == {generation}")

    def _end(self, name: str, row_ids: Sequence[int], generation: int) -> None:
        """Ends the published versions of rows with the staged generation."""
        for start in range(0, len(row_ids), BATCH_ROWS):
            part = _among(row_ids[start : start + BATCH_ROWS])
            found = self._rows(name, f"{part} and {_LIVE} and since < {generation}", ["*"])
            for row in found:
                row["until"] = generation
                row["vector"] = np.asarray(row["vector"], np.float32)
            if found:
                self._write(name, found)

    def _write(self, name: str, rows: list[dict[str, Any]]) -> None:
        client = self._link.client
        with translated():
            client.upsert(name, rows, timeout=WRITE_S)
        self._written += len(rows)

    def _erase(self, name: str, where: str) -> None:
        client = self._link.client
        with translated():
            client.delete(name, filter=where, timeout=WRITE_S, consistency_level="Strong")
        self._written += 1

    def _rows(self, name: str, where: str, fields: list[str]) -> list[dict[str, Any]]:
        """Rows under a condition, with all that was written so far."""
        return [row for page in self._pages(name, where, fields, list) for row in page]

    def _pages(
        self, name: str, where: str, fields: list[str], keep: Callable[[list[Any]], T]
    ) -> list[T]:
        """What `keep` makes of each page. Milvus pages through what one replica has seen so far,
        so this is done until it is as many rows as there are by its strongest consistency."""
        client, end = self._link.client, time.monotonic() + WRITE_S
        while True:
            wanted, got, kept = self._rows_where(name, where), 0, []
            with translated():
                pages = client.query_iterator(
                    name, filter=where, output_fields=fields, batch_size=PAGE_ROWS, timeout=WRITE_S
                )
                while page := pages.next():
                    got += len(page)
                    kept.append(keep(page))
                pages.close()
            if got == wanted:
                return kept
            if time.monotonic() > end:
                raise Away(f"Milvus shows rows: {got} of {wanted}", hint="run: lensback doctor")
            time.sleep(PAUSE_S)

    def _rows_where(self, name: str, where: str, at: int = NOW) -> int:
        client = self._link.client
        with translated():
            told = client.query(
                name, filter=where, output_fields=["count(*)"],
                timeout=WRITE_S if at == NOW else TRY_S, **seeing(at),
            )  # fmt: skip
        return int(told[0]["count(*)"])

    def _generation(self, name: str) -> int:
        """The staged one: the next after the published."""
        found = self._current()
        if found and found.snapshot.location == name:
            return found.generation + 1
        return found.previous_generation + 1 if found and found.previous == name else 1

    def _staging(self, dim: int = 0) -> str:
        """The collection that is written; "" where there is none and `dim` is unknown."""
        if not self._fingerprint:
            raise StateError(
                "this index is open for reading only", hint="open it with an encoder's fingerprint"
            )
        name = f"{self._address.collection}__v_{name_part(self._fingerprint)}"
        if not self._ready:
            self._ready = self._open(name, dim or self._dim)
        return name if self._ready else ""

    def _open(self, name: str, dim: int) -> bool:
        """Makes the collection where `dim` is given; whether it is there, and loaded."""
        client = self._link.client
        with translated():
            if not client.has_collection(name):
                if not dim:
                    return False
                self._create(name, dim)
            fields = client.describe_collection(name)["fields"]
            self._dim = next(f["params"]["dim"] for f in fields if f["name"] == "vector")
            client.load_collection(name, replica_number=self._address.replicas, timeout=BUILD_S)
        return True

    def _create(self, name: str, dim: int) -> None:
        client, address = self._link.client, self._address
        client.create_collection(
            name,
            schema=schema(client, dim),
            num_shards=address.shards,
            consistency_level="Bounded",
        )
        index = client.prepare_index_params()
        index.add_index(
            "vector", index_type=address.kind, metric_type="IP", params=KINDS[address.kind]
        )
        client.create_index(name, index, sync=False)

    # --- publishing ---

    def publish(self, encoder: str) -> Snapshot:
        name = self._staging(self._dim)
        if not name:
            raise StateError("nothing is staged", hint="run lensback sync")
        old = self._published(fresh=True)
        generation = self._generation(name)
        mine = old if old and old.snapshot.location == name else None
        changed = self._rows_where(name, f"since == {generation} or until == {generation}")
        if mine and not changed and mine.snapshot.encoder == encoder:
            return mine.snapshot
        # What ended with the published generation no reader can still ask for, after a while.
        time.sleep(max(0.0, self._shown_at + FOLLOW_S + LATE_S - time.monotonic()))
        self._erase(name, f"until < {generation}")
        self._build(name)
        shown = visible(generation)
        rows = self._rows_where(name, shown)
        recall, parameters = self._measured(name, shown, rows)
        if recall < self._min_recall:
            raise StateError(
                f"recall@10 is {recall:.3f}, below {self._min_recall}: not published",
                hint="lower min_recall, or use kind=HNSW",
            )
        snapshot = new_snapshot(
            generation, name, encoder=encoder, fingerprint=self._fingerprint, dim=self._dim,
            rows=rows, recall=recall,
        )  # fmt: skip
        kept = (old.previous, old.previous_generation) if mine and old else ("", 0)
        if old and not mine:
            kept = (old.snapshot.location, old.generation)
        elif changed:
            kept = ("", 0)
        self._show(Published(snapshot, generation, parameters, *kept), old)
        self._shown_at = time.monotonic()
        self._seen = (-math.inf, None)
        return snapshot

    def _build(self, name: str) -> None:
        """Has Milvus seal what came and build its index, and waits for that.

        Not for `pending_index_rows`: those are also of segments that it writes anew by itself,
        while the old ones go on answering: an hour at a million rows on one core.
        """
        if self._written < FLUSH_ROWS:
            return
        client = self._link.client
        with translated():
            client.flush(name, timeout=BUILD_S)
            begin = time.monotonic()
            while left := _unindexed(told := client.describe_index(name, "vector")):
                waited = time.monotonic() - begin
                if waited > PATIENCE_S and left <= UNINDEXED * told["total_rows"]:
                    event("index.unindexed", logging.WARNING, rows=left, of=told["total_rows"])
                    break
                if waited > BUILD_S:
                    raise StateError("Milvus does not finish its index", hint="look at its log")
                time.sleep(0.5)
        self._written = 0

    def _measured(self, name: str, shown: str, rows: int) -> tuple[float, dict[str, float]]:
        """Recall and query parameters: the least `ef` that leaves a margin above min_recall."""
        if not rows:
            return 1.0, {"ef": EF, "repeat": 1.0}
        some = list(
            self._rows(name, f"{shown} and {sample_condition(rows)}", ["image_hash", "vector"])
        )
        some = some or self._rows(name, shown, ["image_hash", "vector"])[:SAMPLE]
        sample = Sample(stored_vectors(some), partial(self._similarities, name, shown))
        good, ef = (1 + min(1.0, self._min_recall)) / 2, EF
        while (recall := sample.recall(ef)) < good and ef < WIDEST:
            ef *= 2
        return recall, {"ef": ef, "repeat": self._repeat(name, shown, some)}

    def _repeat(self, name: str, shown: str, some: Sequence[dict[str, Any]]) -> float:
        """Rows of an image on average, or more: images of many rows are more often in `some`."""
        images = sorted({row["image_hash"] for row in some})
        listed = ", ".join(json.dumps(image, ensure_ascii=False) for image in images)
        return self._rows_where(name, f"{shown} and image_hash in [{listed}]") / len(images)

    def _similarities(
        self, name: str, shown: str, queries: Vectors, where: str, limit: int, ef: int
    ) -> list[NDArray[np.float32]]:
        limits = f"{shown} and {where}" if where else shown
        answers = self._nearest(name, list(queries), limits, limit, ef)
        return [np.array([value for _, value in answer], np.float32) for answer in answers]

    def _show(self, state: Published, old: Published | None) -> None:
        """The switch-over; then what neither the new state nor late readers need is dropped."""
        client, alias = self._link.client, self._address.collection
        mark = f"{alias}__at_{re.sub('[^A-Za-z0-9]', '_', state.snapshot.id)}"
        with translated():
            empty = schema(client, state.snapshot.dim, state.text())
            client.create_collection(mark, schema=empty, num_shards=1)
            if old is None:
                client.create_alias(mark, alias)
            else:
                client.alter_alias(mark, alias)
            kept = {mark, state.snapshot.location, state.previous}
            for name in client.list_collections():
                if name.startswith((f"{alias}__at_", f"{alias}__v_")) and name not in kept:
                    client.drop_collection(name)


def _unindexed(state: Mapping[str, Any]) -> int:
    """Sealed rows without an index, by what Milvus tells of it: its `state` is "Finished" all along."""
    return max(0, int(state["total_rows"]) - int(state["indexed_rows"]))


def _table(rows: Sequence[Mapping[str, int]], fields: Sequence[str]) -> NDArray[np.int64]:
    return np.array([[row[name] for name in fields] for row in rows], np.int64)


def _among(row_ids: Sequence[int]) -> str:
    return f"row_id in [{', '.join(str(int(row_id)) for row_id in row_ids)}]"
