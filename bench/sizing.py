"""Machines and money for 1 million to 1 billion pictures, from what was measured.

    python bench/sizing.py

Nothing is run: the figures below are bytes and milliseconds per picture and per search measured
by the other benchmarks (their names beside them) and assumptions (marked so). Change them for
your own. Memory decides the size of an index, processors decide the rate of searches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rig import arguments, write

DIM = 256
ROWS_PER_PICTURE = 1.25  # bench/search_index.py: one picture in four is sold at two stores


@dataclass(frozen=True, slots=True)
class Kind:
    """An index: memory and disk of a row in bytes, processor time of a search in ms."""

    name: str
    memory_b: float
    disk_b: float
    search_cpu_ms: float
    limit_rows: float


# Milvus's HNSW holds 4 bytes a number, 2 * M links of 8 bytes and the row's other fields; it was
# 682 and 954 MB for 200,000 rows in two runs, the server's own 220 MB and a growing segment in it,
# and kept the raw and the indexed copy on disk (bench/search_index.py). The other kinds follow from their formulas: not measured here.
KINDS = [
    Kind("embedded, partitions", DIM + 60, 6 * DIM, 12.0, 20e6),
    Kind("Milvus HNSW", 4 * DIM + 2 * 16 * 8 + 160, 6 * 4 * DIM, 8.0, 1e12),
    Kind("Milvus IVF_SQ8 (formula)", DIM + 120, 6 * 4 * DIM, 12.0, 1e12),
    Kind("Milvus DISKANN (formula)", DIM / 4 + 60, 9 * 4 * DIM, 15.0, 1e12),
]
ENCODE_CPU_MS = 21.0  # 1.6 times the first edition of eye, 13.0 in bench/encoders.py on one core
# Decode, regions, two crops encoded, ranking; no index: 50 in bench/second_item.py with the first
# edition of eye, and 13 more for two crops.
ANSWER_CPU_MS = 63.0
PICTURE_DISK_B = 60_000  # assumption: the store's pictures as they come
CATALOGUE_B = 2_500  # assumption: offer, image address, price, product, their indexes
PRICE_CORE_MONTH = 20.0  # assumption: US dollars for a rented core with 4 GB, a month
PRICE_GB_MONTH = 3.0  # assumption: a GB of memory beyond that
PRICE_DISK_GB_MONTH = 0.1  # assumption
USED = 0.5  # share of a core that may be busy, so that the 99th percentile stays near the median
REPLICAS = 2


def plan(pictures: float, per_s: float, kind: Kind) -> dict[str, Any]:
    """What one size needs. cores = rate * time of a search / share that may be busy."""
    rows = pictures * ROWS_PER_PICTURE
    copies = 1 if kind.name.startswith("embedded") else REPLICAS
    memory_gb = rows * kind.memory_b * copies / 1e9
    # A search meets every shard; its work grows with the logarithm of the rows (graph) at most.
    deeper = max(1.0, math.log2(rows / 200_000) / 4 + 1)
    index_cores = math.ceil(per_s * kind.search_cpu_ms * deeper / 1000 / USED)
    web_cores = math.ceil(per_s * ANSWER_CPU_MS / 1000 / USED)
    disk_gb = pictures * (PICTURE_DISK_B + CATALOGUE_B + 4 * DIM) / 1e9 + rows * kind.disk_b / 1e9
    cores = max(index_cores, copies) + max(web_cores, copies) + 2
    extra_gb = max(0.0, memory_gb - 4 * index_cores)
    month = cores * PRICE_CORE_MONTH + extra_gb * PRICE_GB_MONTH + disk_gb * PRICE_DISK_GB_MONTH
    return {
        "index_memory_gb": round(memory_gb, 1),
        "index_cores": index_cores,
        "web_cores": web_cores,
        "disk_gb": round(disk_gb),
        "first_embedding_core_days": round(pictures * ENCODE_CPU_MS / 1000 / 86_400, 1),
        "usd_a_month": round(month, -1),
        "fits": rows <= kind.limit_rows,
    }


def main() -> None:
    asked = arguments(__doc__).parse_args()
    sizes = {"1M": 1e6, "10M": 1e7, "100M": 1e8, "1B": 1e9}
    found = {
        size: {
            f"{rate}/s": {kind.name: plan(n, rate, kind) for kind in KINDS} for rate in (10, 1000)
        }
        for size, n in sizes.items()
    }
    write("sizing", {"rows_per_picture": ROWS_PER_PICTURE, "dim": DIM, "sizes": found}, asked.out)


if __name__ == "__main__":
    main()
