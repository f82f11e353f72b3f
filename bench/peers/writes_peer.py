"""One store on disk, changed and looked at: `python writes_peer.py PEER FOLDER build|change|look`, in an environment of its own.

FOLDER holds vectors.npy [n, dim], changed.npy [m] (the rows that change) and after.npy [m, dim] (their new vectors); the
store is made beside them. `build` makes it; `change` opens it, prints `ready`, waits for a line, gives the rows their new vectors
and leaves them on disk; `look` opens it again and tells what is there. The last line is one JSON. Nothing of the project is
imported here, but this module's `run` serves the project's own index, too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Protocol

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np

LOOKED_AT = 100
"""Changed rows whose old and new vectors are searched for."""
NEAR = 0.99


class Store(Protocol):
    """Vectors by the number of their row, in files of `folder`."""

    def build(self, vectors: Any) -> None:
        """Makes the store; it is on disk afterwards."""

    def open(self) -> None:
        """Raises whatever comes where the store cannot be read."""

    def change(self, rows: Any, vectors: Any) -> None:
        """Gives rows other vectors; on disk and searchable afterwards."""

    def rows(self) -> int: ...

    def nearest(self, vector: Any) -> tuple[int, float]:
        """Number of the nearest row, and the cosine."""


class Faiss:
    """An inverted file of single bytes, written whole into its file."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "index.faiss")

    def build(self, vectors: Any) -> None:
        import faiss

        n, dim = vectors.shape
        split = max(1, min(n // 400, 1024))
        self._index = faiss.index_factory(dim, f"IVF{split},SQ8", faiss.METRIC_INNER_PRODUCT)
        self._index.train(vectors[: split * 256])
        self._index.add_with_ids(vectors, np.arange(n))
        faiss.write_index(self._index, self._path)

    def open(self) -> None:
        import faiss

        self._index = faiss.read_index(self._path)

    def change(self, rows: Any, vectors: Any) -> None:
        import faiss

        self._index.remove_ids(rows)
        self._index.add_with_ids(vectors, rows)
        faiss.write_index(self._index, self._path)

    def rows(self) -> int:
        return int(self._index.ntotal)

    def nearest(self, vector: Any) -> tuple[int, float]:
        self._index.nprobe = self._index.nlist
        found, rows = self._index.search(vector[None], 1)
        return int(rows[0][0]), float(found[0][0])


class Usearch:
    """A graph of half-precision vectors, written whole into its file."""

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "index.usearch")

    def build(self, vectors: Any) -> None:
        from usearch.index import Index

        self._index = Index(ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=16,
                            expansion_add=128, expansion_search=128)  # fmt: skip
        self._index.add(np.arange(len(vectors)), vectors, threads=1)
        self._index.save(self._path)

    def open(self) -> None:
        from usearch.index import Index

        found = Index.restore(self._path)
        if found is None:
            raise ValueError("not an index")
        self._index = found

    def change(self, rows: Any, vectors: Any) -> None:
        self._index.remove(rows)
        self._index.add(rows, vectors, threads=1)
        self._index.save(self._path)

    def rows(self) -> int:
        return len(self._index)

    def nearest(self, vector: Any) -> tuple[int, float]:
        found = self._index.search(vector, 1, threads=1)
        return int(found.keys[0]), 1 - float(found.distances[0])


class Lance:
    """A table of LanceDB with an index of its vectors and one of its numbers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "lance"

    def build(self, vectors: Any) -> None:
        import lancedb
        from lancedb.index import BTree, IvfSq

        table = lancedb.connect(self._folder).create_table(
            "t", _rows(np.arange(len(vectors)), vectors)
        )
        split = max(1, len(vectors) // 2048)
        table.create_index("vector", config=IvfSq(distance_type="cosine", num_partitions=split))
        table.create_index("row", config=BTree())

    def open(self) -> None:
        import lancedb

        self._table = lancedb.connect(self._folder).open_table("t")

    def change(self, rows: Any, vectors: Any) -> None:
        merge = self._table.merge_insert("row").when_matched_update_all()
        merge.when_not_matched_insert_all().execute(_rows(rows, vectors))
        self._table.optimize()

    def rows(self) -> int:
        return int(self._table.count_rows())

    def nearest(self, vector: Any) -> tuple[int, float]:
        asked = self._table.search(vector).distance_type("cosine").select(["row", "_distance"])
        found = asked.nprobes(20).refine_factor(4).limit(1).to_arrow()
        return int(found["row"][0].as_py()), 1 - float(found["_distance"][0].as_py())


def _rows(numbers: Any, vectors: Any) -> Any:
    import pyarrow as pa

    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    return pa.table({"row": numbers, "vector": flat})


STORES: dict[str, Any] = {
    "faiss, inverted file": Faiss,
    "usearch, HNSW": Usearch,
    "LanceDB": Lance,
}


def run(store: Store, folder: Path, what: str) -> dict[str, Any]:
    """One of the three deeds in this process, and what came of it."""
    if what == "build":
        begin = time.process_time()
        store.build(np.load(folder / "vectors.npy"))
        return {"cpu_s": round(time.process_time() - begin, 2)}
    rows, after = np.load(folder / "changed.npy"), np.load(folder / "after.npy")
    if what == "look":
        return looked(store, folder, rows, after)
    store.open()
    print("ready", flush=True)
    sys.stdin.readline()
    begin, spent = time.perf_counter(), time.process_time()
    store.change(rows, after)
    cpu_s, seconds = time.process_time() - spent, time.perf_counter() - begin
    return {"cpu_s": round(cpu_s, 2), "s": round(seconds, 2)}


def looked(store: Store, folder: Path, rows: Any, after: Any) -> dict[str, Any]:
    """How many rows there are, and of changed ones how many are found by their old and by their new vector."""
    try:
        store.open()
        before = np.load(folder / "vectors.npy", mmap_mode="r")
        some = range(0, len(rows), max(1, len(rows) // LOOKED_AT))
        old = sum(_found(store, before[rows[i]], int(rows[i])) for i in some)
        new = sum(_found(store, after[i], int(rows[i])) for i in some)
        return {"rows": store.rows(), "asked": len(some), "old": old, "new": new}
    except Exception as error:  # noqa: BLE001 - whatever a peer raises of a broken file
        return {"unreadable": f"{type(error).__name__}: {error}"[:200]}


def _found(store: Store, vector: Any, row: int) -> bool:
    number, similarity = store.nearest(np.array(vector))
    return number == row and similarity > NEAR


if __name__ == "__main__":
    print(json.dumps(run(STORES[sys.argv[1]](Path(sys.argv[2])), Path(sys.argv[2]), sys.argv[3])))
