"""Search latency by stage at 5,000 and 200,000 pictures; memory and start of `serve`.

`python bench/latency.py`: a catalogue of invented offers whose vectors are those of real (or,
without LENSBACK_DATA, drawn) pictures replicated with noise; everything else is the real thing:
SQLite, LanceDB, the planner, ranking, the HTTP server. Both sizes in one run: the ratio says more
than the milliseconds.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import insert

from lensback.catalogue import offers, stores
from lensback.db import chunks
from lensback.db import tables as t
from lensback.demo.draw import draw, items
from lensback.distort import distort
from lensback.publish import publish
from lensback.search import Query, search
from lensback.settings import Settings
from lensback.workspace import Workspace, init
from record import DATA, write

SIZES = (5_000, 200_000)
SEEDS = 1_500
NOISE = 0.35
PHOTOS = 150
FILTERS = {
    "no filter": Query(),
    "one store of ten": Query(stores=("store3",)),
    "one store, in stock, cheap": Query(
        stores=("store3",), in_stock=True, price_max="20", currency="USD"
    ),
}
STAGES = ("decode", "regions", "encode", "search", "rank", "total")


def pictures(n: int) -> list[Image.Image]:
    paths = sorted((DATA / "shops").glob("*/images/*"))[:: max(1, 5900 // n)][:n]
    if paths:
        return [Image.open(path).convert("RGB") for path in paths]
    return [draw(item, side_px=320) for item in items(n)]


def published(workspace: Workspace, images: Sequence[Image.Image], n: int) -> float:
    """A searched catalogue of n offers; the seconds that its publish took."""
    encoder = workspace.encoder()
    fill(workspace, encoder.encode(images), n)
    begin = time.perf_counter()
    staging = workspace.staging(encoder)
    publish(
        workspace.db,
        workspace.vectors,
        staging,
        fingerprint=encoder.fingerprint,
        encoder=encoder.name,
    )
    return round(time.perf_counter() - begin, 1)


def fill(workspace: Workspace, seeds: np.ndarray[Any, Any], n: int) -> None:
    """n offers at ten stores, one picture each, its vector a noisy copy of a real one."""
    random = np.random.default_rng(n)
    encoder, db = workspace.encoder(), workspace.db
    ids = [stores.add(db, f"store{k}", f"https://store{k}.example/feed.xml").id for k in range(10)]
    for part in chunks(range(n), 5_000):
        at = random.integers(len(seeds), size=len(part))
        noise = random.normal(size=(len(part), encoder.dim)).astype(np.float32)
        noise *= NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
        vectors = seeds[at] + noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        hashes = [f"{k:064x}" for k in part]
        workspace.vectors.append(encoder.fingerprint, hashes, vectors)
        with db.write() as c:
            c.execute(insert(t.images), [image_row(h) for h in hashes])
            urls = [
                {"id": k + 1, "url": f"https://i.example/{k}", "image_hash": h, "status": "ok"}
                for k, h in zip(part, hashes, strict=True)
            ]
            c.execute(insert(t.image_urls), urls)
            c.execute(insert(t.offers), [offer_row(k, ids[k % 10], random) for k in part])
            shows = [{"offer_id": k + 1, "position": 0, "image_url_id": k + 1} for k in part]
            c.execute(insert(t.offer_images), shows)
            done = [
                {"fingerprint": encoder.fingerprint, "image_hash": h, "status": "ok"}
                for h in hashes
            ]
            c.execute(insert(t.embeddings), done)


def image_row(image_hash: str) -> dict[str, Any]:
    sizes = {"width": 400, "height": 500, "bytes": 20_000, "phash": 0}
    return {"hash": image_hash, **sizes, "mime": "image/jpeg", "created_at": 0}


def offer_row(k: int, store_id: int, random: np.random.Generator) -> dict[str, Any]:
    offer_id = offers.offer_id(f"store{k % 10}", str(k))
    return {
        "id": k + 1,
        "offer_id": offer_id,
        "product_id": "p" + offer_id,
        "store_id": store_id,
        "external_id": str(k),
        "title": f"Thing {k}",
        "url": f"https://store{k % 10}.example/{k}",
        "price_minor": int(random.integers(500, 20_000)),
        "currency": "USD",
        "availability": "in_stock" if random.random() < 0.9 else "out_of_stock",
        "category": f"Clothes > Kind {k % 40}",
        "content_hash": "",
        "created_at": 0,
        "updated_at": 0,
    }


def jpeg(image: Image.Image) -> bytes:
    image.save(buffer := io.BytesIO(), "JPEG", quality=88)
    return buffer.getvalue()


def percentiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (50, 95, 99)}


def measure(workspace: Workspace, photos: list[bytes]) -> dict[str, Any]:
    """Milliseconds by filter and stage; `rest` is everything but decode and encode."""
    tools = workspace.tools()
    for photo in photos[:10]:
        search(photo, Query(), tools)
    figures: dict[str, Any] = {}
    for name, query in FILTERS.items():
        answers = [search(photo, query, workspace.tools()) for photo in photos]
        timings = {s: [answer.timings_ms[s] for answer in answers] for s in STAGES}
        rest = [
            a.timings_ms["total"] - a.timings_ms["decode"] - a.timings_ms["encode"] for a in answers
        ]
        figures[name] = {s: percentiles(timings[s]) for s in STAGES} | {"rest": percentiles(rest)}
    return figures


def served(folder: Path, photo: bytes) -> dict[str, Any]:
    """`lensback serve` as a process: start to first answer, memory after 200 searches."""
    command = [
        sys.executable,
        "-m",
        "lensback",
        "serve",
        "--port",
        "8197",
        "--workspace",
        str(folder),
    ]
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            first_s = 0.0
            while not first_s:
                try:
                    ask(photo)
                    first_s = time.perf_counter() - begin
                except OSError:
                    if process.poll() is not None or time.perf_counter() - begin > 60:
                        raise SystemExit("serve did not start") from None
                    time.sleep(0.02)
            for _ in range(200):
                ask(photo)
            status = Path(f"/proc/{process.pid}/status").read_text()
        finally:
            process.terminate()
    memory = {
        name: round(int(line.split()[1]) / 1024)
        for line in status.splitlines()
        for name, key in (("resident_mb", "VmRSS"), ("peak_mb", "VmHWM"))
        if line.startswith(key)
    }
    return {"start_to_first_answer_s": round(first_s, 2), **memory}


def ask(photo: bytes) -> dict[str, Any]:
    head = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="p.jpg"\r\n\r\n'
    request = urllib.request.Request(
        "http://127.0.0.1:8197/api/search",
        data=head + photo + b"\r\n--b--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        body: dict[str, Any] = json.load(answer)
    return body


def main() -> None:
    images = pictures(SEEDS)
    photos = [jpeg(distort(image, n)) for n, image in enumerate(images[:PHOTOS])]
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for size in SIZES:
            folder = Path(temporary) / str(size)
            init(folder)
            with (folder / "lensback.toml").open("a") as file:
                file.write("rate_limit = 0\n")  # one client asks as often as it can
            with Workspace(folder, Settings(photo_memory_s=0)) as workspace:
                encoder, seconds = workspace.encoder(), published(workspace, images, size)
                figures[str(size)] = {"publish_s": seconds, "ms": measure(workspace, photos)}
            figures[str(size)]["serve"] = served(folder, photos[0])
    small, large = (figures[str(size)]["ms"]["no filter"]["rest"]["p50"] for size in SIZES)
    write(
        "latency",
        {
            "encoder": encoder.name,
            "dim": encoder.dim,
            "photos": PHOTOS,
            "rest_p50_large_over_small": round(large / small, 2),
            "sizes": figures,
        },
    )


if __name__ == "__main__":
    main()
