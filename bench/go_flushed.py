"""What it costs that commits are flushed: `python bench/go_flushed.py [--rate 200] [--pairs 3]`.

The same `serve` with SQLite, once as it is (`synchronous=FULL`) and once with NORMAL, in turns, so
that what else the machine does meets both: clicks at a fixed rate, as in `bench/go_load.py`.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from go_load import level, program
from lensback.showcase import showcase
from rig import Served, arguments, write

NORMAL = """
from sqlalchemy import event, pool
event.listen(pool.Pool, "checkout", lambda raw, *_: raw.execute("PRAGMA synchronous=NORMAL"))
"""
"""A `sitecustomize` of the server's Python: every connection that is taken is set so."""


def main() -> None:
    asked = arguments(__doc__, rate=200, seconds=5.0, pairs=3, name="go_flushed")
    given = asked.parse_args()
    figures: dict[str, list[dict[str, Any]]] = {"full": [], "normal": []}
    before = os.environ.get("PYTHONPATH", "")
    with tempfile.TemporaryDirectory() as name:
        folder, lax = Path(name) / "w", Path(name) / "lax"
        lax.mkdir()
        (lax / "sitecustomize.py").write_text(NORMAL)
        showcase(folder, watch=lambda _stage: lambda _done, _total: None)
        ids = program(folder)
        for turn in range(2 * given.pairs):
            kind = ("full", "normal")[(turn + turn // 2) % 2]
            os.environ["PYTHONPATH"] = f"{lax}:{before}" if kind == "normal" else before
            with Served(folder) as served:
                level(served, ids, 20, 2.0)
                figures[kind].append(level(served, ids, given.rate, given.seconds)[0])
    middle = {
        kind: {
            "ms": {p: statistics.median(run["ms"][p] for run in runs) for p in runs[0]["ms"]},
            "server_cpu_ms_each": statistics.median(run["server_cpu_ms_each"] for run in runs),
        }
        for kind, runs in figures.items()
    }
    write(given.name, {"median": middle, "runs": figures}, given.out)


if __name__ == "__main__":
    main()
