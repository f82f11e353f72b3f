"""Search latency by stage at 5,000 and 200,000 pictures; start and memory of `serve`.

    python bench/latency.py [--sizes 5000 200000] [--photos 150] [--seeds 1500] [--encoder NAME] [--detector NAME] [--models WORKSPACE] [--side 1600]

A catalogue of invented offers whose vectors are those of real pictures replicated with noise;
everything else is the real thing: SQLite, LanceDB, the planner, ranking, the HTTP server. Both
sizes in one run: the ratio says more than the milliseconds. Models of one's own (`lensback encoder quantize`) are
taken from the shelves of the workspace that is named. The photos are as large as the stores' pictures, some 200 pixels;
`--side` makes them as large as the page sends them, which costs decoding and reading codes.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from lensback.distort import distort
from lensback.search import Query, search
from lensback.settings import Settings
from lensback.workspace import Workspace, init, set_setting
from rig import (
    STAGES,
    Served,
    arguments,
    enlarged,
    grainy,
    jpeg,
    memory_mb,
    percentiles,
    pictures,
    published,
    write,
)

FILTERS = {
    "no filter": Query(),
    "one store of ten": Query(stores=("store3",)),
    "one store, in stock, cheap": Query(
        stores=("store3",), in_stock=True, price_max="20", currency="USD"
    ),
}


def photo_of(image: Image.Image, n: int, side_px: int) -> bytes:
    """A JPEG, as large as the picture or with so many pixels and a sensor's noise."""
    if side_px:
        image = grainy(enlarged(image, side_px), np.random.default_rng(n))
    return jpeg(image, 88)


def measure(workspace: Workspace, photos: list[bytes]) -> dict[str, Any]:
    """Milliseconds by filter and stage; `rest` is everything but decode and encode."""
    for photo in photos[:10]:
        search(photo, Query(), workspace.tools())
    figures: dict[str, Any] = {}
    for name, query in FILTERS.items():
        spent = [search(photo, query, workspace.tools()).timings_ms for photo in photos]
        rest = [ms["total"] - ms["decode"] - ms["encode"] for ms in spent]
        figures[name] = {stage: percentiles([ms[stage] for ms in spent]) for stage in STAGES}
        figures[name]["rest"] = percentiles(rest)
    return figures


def served(folder: Path, photo: bytes) -> dict[str, Any]:
    """`lensback serve` as a process: start to the first answer, memory after 200 searches."""
    with Served(folder) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        spent = [
            client.post("/api/search", files={"photo": photo}).raise_for_status().elapsed
            for _ in range(200)
        ]
        return {
            "start_to_first_answer_s": round(server.start_s + spent[0].total_seconds(), 2),
            "resident_mb": memory_mb(server.process.pid),
            "peak_mb": memory_mb(server.process.pid, "VmHWM"),
        }


def main() -> None:
    asked = arguments(
        __doc__,
        sizes=[5_000, 200_000],
        photos=150,
        seeds=1_500,
        encoder="",
        detector="",
        models="",
        side=0,
    ).parse_args()
    own = {key: getattr(asked, key) for key in ("encoder", "detector") if getattr(asked, key)}
    images = pictures(asked.seeds)
    photos = [
        photo_of(distort(image, n), n, asked.side) for n, image in enumerate(images[: asked.photos])
    ]
    figures: dict[str, Any] = {}
    for size in asked.sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            init(folder)
            for key, value in own.items():
                set_setting(folder, key, value)
            if asked.models:
                for shelf in ("models", "detectors"):
                    shutil.copytree(Path(asked.models) / shelf, folder / shelf, dirs_exist_ok=True)
            with Workspace(folder, Settings(photo_memory_s=0, **own)) as workspace:
                encoder, seconds = workspace.encoder(), published(workspace, images, size)
                detector = workspace.settings.detector
                figures[str(size)] = {"publish_s": seconds, "ms": measure(workspace, photos)}
            figures[str(size)]["serve"] = served(folder, photos[0])
    rest = [figures[str(size)]["ms"]["no filter"]["rest"]["p50"] for size in asked.sizes]
    about = {
        "encoder": encoder.name,
        "detector": detector,
        "dim": encoder.dim,
        "photos": len(photos),
        "photo_px": asked.side or "as the stores' pictures",
    }
    ratio = {"rest_p50_large_over_small": round(rest[-1] / rest[0], 2)}
    write("latency", {**about, **ratio, "sizes": figures}, asked.out)


if __name__ == "__main__":
    main()
