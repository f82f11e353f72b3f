"""What another item of the same photo costs: `python bench/second_item.py [--photos 200]`.

A catalogue of 5,000 pictures (as in bench/latency.py), one thread. Each street photo is searched,
then its second region as a click on the page would: what was decoded and found is remembered.
Milliseconds of the processor (of this process, all threads) and by the clock.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from lensback.search import Query, Tools, search
from lensback.settings import Settings
from lensback.types import WHOLE
from lensback.wire import Answer
from lensback.workspace import Workspace, init
from rig import DATA, STAGES, arguments, percentiles, pictures, published, write

SIZE = 5_000


def timed(photo: bytes, query: Query, tools: Tools) -> tuple[Answer, float]:
    begin = time.process_time()
    answer = search(photo, query, tools)
    return answer, 1000 * (time.process_time() - begin)


def figures(answers: list[tuple[Answer, float]]) -> dict[str, Any]:
    by_clock = {stage: percentiles([a.timings_ms[stage] for a, _ in answers]) for stage in STAGES}
    return {"processor": percentiles([spent for _, spent in answers]), "by the clock": by_clock}


def main() -> None:
    asked = arguments(__doc__, photos=200).parse_args()
    paths = sorted((DATA / "street" / "photos").glob("*.jpg"))[: asked.photos]
    first, second = [], []
    with tempfile.TemporaryDirectory() as folder:
        init(Path(folder))
        with Workspace(Path(folder), Settings(threads=1)) as workspace:
            published(workspace, pictures(600), SIZE)
            tools = workspace.tools()
            for n, photo in enumerate(path.read_bytes() for path in paths):
                one = timed(photo, Query(), tools)
                others = [region.box for region in one[0].regions[1:] if region.box != WHOLE]
                if n >= 5:  # the first ones warm it up
                    first.append(one)
                    second += [timed(photo, Query(box=others[0]), tools)] if others else []
    made = {"photos": len(first), "first item": figures(first), "second item": figures(second)}
    write("second_item", made, asked.out)


if __name__ == "__main__":
    main()
