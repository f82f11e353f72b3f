"""What it gains that the codes of a photo begin to be read while it is decoded.

    python bench/codes_ahead.py [--photos 150] [--rounds 2]

Whole searches over 5,000 invented offers (encoder and detector that are the default), of photos as large as the stores'
pictures and as large as the page sends them: each photo once with its codes begun ahead and once with them begun after
decoding, which comes first in turn, in one process. Milliseconds by the clock, p50 and p99; the difference is that of
each pair, its median with a 95 % interval by bootstrap; below 0 is a gain.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from latency import photo_of
from lensback.distort import distort
from lensback.search import Query, search
from lensback.search.looking import AHEAD
from lensback.settings import Settings
from lensback.workspace import Workspace, init
from rig import arguments, percentiles, pictures, published, write

SIDES = {"as the stores' pictures": 0, "1,600 pixels": 1600}
DRAWS = 2000


def timed(workspace: Workspace, photos: list[bytes], rounds: int) -> dict[str, Any]:
    """Both ways for each photo, in turns."""
    places, tools = workspace.looks.ahead, workspace.tools()
    spent: dict[str, list[float]] = {"ahead": [], "after": []}
    for photo in photos[:10]:
        search(photo, Query(), tools)
    for turn in range(rounds):
        for n, photo in enumerate(photos):
            for way in sorted(spent, reverse=bool((n + turn) % 2)):
                taken = AHEAD if way == "after" else 0
                for _ in range(taken):  # no place to begin in
                    places.acquire()
                spent[way].append(search(photo, Query(), tools).timings_ms["total"])
                for _ in range(taken):
                    places.release()
    gains = np.subtract(spent["ahead"], spent["after"])
    drawn = np.random.default_rng(0).integers(0, len(gains), (DRAWS, len(gains)))
    low, high = np.percentile(np.median(gains[drawn], axis=1), [2.5, 97.5])
    return {
        **{way: percentiles(each) for way, each in spent.items()},
        "difference_ms": round(float(np.median(gains)), 2),
        "interval95": [round(float(low), 2), round(float(high), 2)],
        "pairs": len(gains),
    }


def main() -> None:
    asked = arguments(__doc__, photos=150, rounds=2, size=5_000).parse_args()
    load, images = os.getloadavg()[0], pictures(300)
    with tempfile.TemporaryDirectory() as name:
        init(Path(name))
        with Workspace(Path(name), Settings(photo_memory_s=0)) as workspace:
            published(workspace, images, asked.size)
            figures = {
                kind: timed(
                    workspace,
                    [
                        photo_of(distort(image, n), n, side)
                        for n, image in enumerate(images[: asked.photos])
                    ],
                    asked.rounds,
                )
                for kind, side in SIDES.items()
            }
    write("codes_ahead", {"load_average": round(load, 1), "photos": figures}, asked.out)


if __name__ == "__main__":
    main()
