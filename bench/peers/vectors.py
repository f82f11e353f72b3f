"""One peer on vectors that were written before: `python vectors.py PEER FOLDER`, in an environment of its own.

FOLDER holds vectors.npy [n, dim], queries.npy, share.npy [n] (a number from 0 to 1 for each row: a filter
keeps the rows below it) and truth_SHARE.npy [queries, 10]. Prints one JSON: seconds of processor time to
build, MB, and for each filter recall@10 and milliseconds of processor time of a query (median, 99th
percentile), or `left_out` where the peer does not start. One thread, k = 100. Nothing of the project is imported here.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np

SHARES = (1.0, 0.1, 0.01, 0.001)
K = 100
Search = Callable[[Any, float], Any]
"""(query [dim], share) -> row numbers, best first."""


def faiss_ivf(_folder: Path, vectors: Any, share: Any) -> Search:
    import faiss

    n, dim = vectors.shape
    split = max(1, min(n // 400, 1024))
    index = faiss.index_factory(dim, f"IVF{split},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    bits = {s: np.packbits(share < s, bitorder="little") for s in SHARES}

    def search(query: Any, s: float) -> Any:
        kept = faiss.IDSelectorBitmap(bits[s]) if s < 1 else None
        probes = min(split, int(np.ceil(16 / s)))
        asked = faiss.SearchParametersIVF(sel=kept, nprobe=probes)
        return index.search(query[None], K, params=asked)[1][0]

    return search


def faiss_hnsw(_folder: Path, vectors: Any, share: Any) -> Search:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 128
    index.add(vectors)
    bits = {s: np.packbits(share < s, bitorder="little") for s in SHARES}

    def search(query: Any, s: float) -> Any:
        kept = faiss.IDSelectorBitmap(bits[s]) if s < 1 else None
        asked = faiss.SearchParametersHNSW(sel=kept, efSearch=min(4096, int(128 / s)))
        return index.search(query[None], K, params=asked)[1][0]

    return search


def usearch(_folder: Path, vectors: Any, share: Any) -> Search:
    """Its Python door has no filter: more is asked for, and what does not match is dropped."""
    from usearch.index import Index

    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=16,
                  expansion_add=128, expansion_search=128)  # fmt: skip
    index.add(np.arange(len(vectors)), vectors, threads=1)

    def search(query: Any, s: float) -> Any:
        found = index.search(query, min(4096, int(K / s)), threads=1).keys
        return found[share[found] < s][:K]

    return search


def lance(folder: Path, vectors: Any, share: Any) -> Search:
    import lancedb
    import pyarrow as pa
    from lancedb.index import BTree, IvfSq

    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    rows = pa.table({"row": np.arange(len(vectors)), "share": share, "vector": flat})
    table = lancedb.connect(folder / "lance").create_table("t", rows, mode="overwrite")
    split = max(1, len(vectors) // 2048)
    table.create_index("vector", config=IvfSq(distance_type="cosine", num_partitions=split))
    table.create_index("share", config=BTree())

    def search(query: Any, s: float) -> Any:
        asked = table.search(query).distance_type("cosine").select(["row", "_distance"]).limit(K)
        asked = asked.nprobes(min(split, int(np.ceil(8 / s)))).refine_factor(1)
        asked = asked.where(f"share < {s}", prefilter=True) if s < 1 else asked
        return asked.to_arrow()["row"].to_numpy()

    return search


def autofaiss(_folder: Path, vectors: Any, share: Any) -> Search:
    """What clip-retrieval searches in. It has no filter: more is asked for, and what does not match is dropped."""
    from autofaiss import build_index

    index, _ = build_index(vectors, save_on_disk=False, metric_type="ip", nb_cores=1, verbose=50,
                           max_index_memory_usage="1G", current_memory_available="6G",
                           max_index_query_time_ms=10, should_be_memory_mappable=False)  # fmt: skip

    def search(query: Any, s: float) -> Any:
        found = index.search(query[None], min(4096, int(K / s)))[1][0]
        found = found[found >= 0]
        return found[share[found] < s][:K]

    return search


def pgvector(_folder: Path, vectors: Any, share: Any) -> Search:
    """A server of its own: a table, a graph of its vectors, an index of the shares."""
    import pgserver
    import psycopg

    place = Path("/tmp/lensback-pgvector")  # where its own user reaches it
    shutil.rmtree(place, ignore_errors=True)
    server = pgserver.get_server(place, cleanup_mode="delete")
    c = psycopg.connect(server.get_uri(), autocommit=True)
    c.execute("CREATE EXTENSION vector")
    c.execute("SET maintenance_work_mem = '1GB'")
    c.execute("SET max_parallel_maintenance_workers = 0")
    c.execute("SET max_parallel_workers_per_gather = 0")
    c.execute("SET jit = off")
    _servers.append((server, c.info.backend_pid))
    c.execute(f"CREATE TABLE t (row int, share float8, vector vector({vectors.shape[1]}))")
    with c.cursor().copy("COPY t FROM STDIN") as copy:
        for number, (part, one) in enumerate(zip(share, vectors, strict=True)):
            copy.write_row((number, float(part), "[" + ",".join(map(repr, one.tolist())) + "]"))
    c.execute(
        "CREATE INDEX ON t USING hnsw (vector vector_ip_ops) WITH (m = 16, ef_construction = 128)"
    )
    c.execute("CREATE INDEX ON t (share)")
    c.execute("ANALYZE t")
    c.execute("SET hnsw.ef_search = 128")

    def search(query: Any, s: float) -> Any:
        words = "[" + ",".join(map(repr, query.tolist())) + "]"
        where = "" if s >= 1 else f"WHERE share < {s}"
        asked = f"SELECT row FROM t {where} ORDER BY vector <#> %s::vector LIMIT {K}"
        return np.array([row for (row,) in c.execute(asked, (words,), prepare=True)], int)

    return search


_servers: list[tuple[Any, int]] = []
"""Servers that work for this process, and the process of each that does."""


def spent_s() -> float:
    """Processor seconds of this process and of what works for it elsewhere."""
    theirs = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for _, pid in _servers)
    return time.process_time() + theirs / 1e9


def peak_mb() -> float:
    """The most that this process and its servers' processes held. (`ru_maxrss` would be the parent's.)"""
    pids = ["self", *(str(pid) for _, pid in _servers)]
    told = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(one.partition("VmHWM:")[2].split()[0]) for one in told) / 1024


PEERS = {
    "faiss IVF": faiss_ivf,
    "faiss HNSW": faiss_hnsw,
    "usearch HNSW": usearch,
    "LanceDB": lance,
    "autofaiss": autofaiss,
    "pgvector, HNSW": pgvector,
}


def measured(
    search: Search, folder: Path, most: int = 10**9, rows_of: Callable[[Any], Any] = np.asarray
) -> dict[str, dict[str, float]]:
    """Recall and processor time by filter, of so many queries at most. `rows_of`: numbers of rows of what a search
    returns; that is not timed."""
    queries, found = np.load(folder / "queries.npy")[:most], {}
    for share in SHARES:
        truth = np.load(folder / f"truth_{share}.npy")[:most]
        for query in queries[:20]:
            search(query, share)  # warm
        spent, hits, wanted = [], 0, 0
        for query, best in zip(queries, truth, strict=True):
            begin = spent_s()
            rows = search(query, share)
            spent.append((spent_s() - begin) * 1000)
            real = set(best[best >= 0].tolist())
            hits, wanted = (
                hits + len(real & set(rows_of(rows)[:10].tolist())),
                wanted + len(real),
            )
        p50, p99 = np.percentile(spent, (50, 99))
        found[str(share)] = {"recall_at_10": round(hits / max(1, wanted), 4),
                             "cpu_p50_ms": round(p50, 2), "cpu_p99_ms": round(p99, 2)}  # fmt: skip
    return found


def main() -> None:
    peer, folder = sys.argv[1], Path(sys.argv[2])
    vectors, share = np.load(folder / "vectors.npy"), np.load(folder / "share.npy")
    before = peak_mb()
    begin = spent_s()
    try:
        search = PEERS[peer](folder, vectors, share)
    except Exception as error:  # noqa: BLE001 - whatever a peer raises that does not start here
        print(json.dumps({"left_out": f"{type(error).__name__}: {error}"[:300]}))
        return
    build = spent_s() - begin
    print(json.dumps({"build_cpu_s": round(build, 1), "peak_above_data_mb": round(peak_mb() - before),
                      "filters": measured(search, folder)}))  # fmt: skip


if __name__ == "__main__":
    main()
