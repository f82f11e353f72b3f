"""What another item of the same photo costs: `python bench/second_item.py`.

A catalogue of 5,000 pictures (as in bench/latency.py), one thread. Each photo is searched, then
its second region as a click on the page would: what was decoded and found is remembered.
Milliseconds of the processor (of this process, all threads) and by the clock.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from latency import percentiles, pictures, published
from lensback.search import Query, Tools, search
from lensback.settings import Settings
from lensback.types import WHOLE, Answer
from lensback.workspace import Workspace, init
from record import DATA, write

SIZE = 5_000
STAGES = ("decode", "regions", "encode", "search", "rank", "total")


def timed(photo: bytes, query: Query, tools: Tools) -> tuple[Answer, float]:
    begin = time.process_time()
    answer = search(photo, query, tools)
    return answer, 1000 * (time.process_time() - begin)


def figures(answers: list[tuple[Answer, float]]) -> dict[str, Any]:
    by_clock = {stage: percentiles([a.timings_ms[stage] for a, _ in answers]) for stage in STAGES}
    return {"processor": percentiles([spent for _, spent in answers]), "by the clock": by_clock}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    folder = DATA / "street" / "photos"
    photos = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))[: arguments.photos]]
    first, second = [], []
    with tempfile.TemporaryDirectory() as temporary:
        init(Path(temporary))
        with Workspace(Path(temporary), Settings(threads=1)) as workspace:
            published(workspace, pictures(600), SIZE)
            tools = workspace.tools()
            for photo in photos[:5]:
                search(photo, Query(), tools)
            for photo in photos[5:]:
                one = timed(photo, Query(), tools)
                first.append(one)
                others = [r.box for r in one[0].regions[1:] if r.box != WHOLE]
                if others:
                    second.append(timed(photo, Query(box=others[0]), tools))
    made = {"photos": len(first), "first item": figures(first), "second item": figures(second)}
    write("second_item", made, arguments.out)


if __name__ == "__main__":
    main()
