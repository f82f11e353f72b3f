"""What the benchmarks share: data, figures, a catalogue to search, servers to start, one JSON a script."""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import insert, select

from lensback import __version__, metrics
from lensback.catalogue import offers, stores
from lensback.db import chunks
from lensback.db import tables as t
from lensback.metrics import wilson
from lensback.publish import publish
from lensback.rank import Ranked
from lensback.search import Looks, Tools, core
from lensback.search.query import Query
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace, init, set_setting

if TYPE_CHECKING:  # the first edition, which runs these parts too, had it elsewhere
    from lensback.wire import Hit

REPOSITORY = Path(__file__).resolve().parents[1]
# What one process compiles the next ones read, whatever the shell says of bytecode: as the Makefile says it,
# for who runs a script by hand. An installation has its bytecode.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode, sys.pycache_prefix = False, f"{sys.prefix}/bytecode"
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Words in photos: a process more, and a fifth of a second for each photo.
os.environ.setdefault("LENSBACK_OCR", "off")
DATA = Path(os.environ.get("LENSBACK_DATA", REPOSITORY / ".." / "shared" / "data")).resolve()
RESULTS = REPOSITORY / "bench" / "results"
STORES = {"luma": "feed.xml", "outlet": "feed.yml", "closet": "feed.csv.gz"}
"""The three real stores in LENSBACK_DATA/shops, each with its feed."""
LOOPBACK = {"LENSBACK_ALLOW_HOSTS": '["127.0.0.1"]'}
NOISE = 0.35
START_S = 300
STAGES = ("decode", "regions", "encode", "search", "rank", "total")
sys.path.append(str(REPOSITORY))
sys.path.append(str(REPOSITORY / "tests"))  # its PostgreSQL, Milvus and broken web serve here, too


# ---- arguments and results


def arguments(doc: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """A parser with `--name value` for each default, of its type, and `--out`; help is the docstring."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in defaults.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, (list, tuple)):
            parser.add_argument(option, type=type(value[0]), nargs="*", default=list(value))
        else:
            kind = Path if value is None else type(value)
            parser.add_argument(option, type=kind, default=value)
    parser.add_argument("--out", type=Path, help="the JSON, if not bench/results/NAME.json")
    return parser


def tested(path: str, **environ: str) -> tuple[bool, list[str]]:
    """Whether the test at `path`, with these variables, passed, and the lines that it printed: how
    the long form of a test is run."""
    command = [sys.executable, "-m", "pytest", "-q", "-s", "--durations=9", path]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return not done.returncode, done.stdout.splitlines()


def revision() -> str:
    """The commit that was measured, with `+` where the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip() or __version__


def write(name: str, figures: Mapping[str, Any], out: Path | None = None) -> Path:
    """Writes and prints `bench/results/NAME.json`: the figures with machine, revision and date."""
    record = {
        "name": name,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "revision": revision(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **figures,
    }
    path = out or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(record, indent=2, ensure_ascii=False))
    return path


# ---- figures


def share(right: int, n: int) -> dict[str, Any]:
    """A share with its 95 % interval (Wilson) and sample size; None and (0, 1) of nothing."""
    low, high = wilson(right, n) or (0.0, 1.0)
    return {
        "share": round(right / n, 4) if n else None,
        "n": n,
        "interval95": [round(low, 4), round(high, 4)],
    }


def percentiles(values: Sequence[float], at: Sequence[int] = (50, 95, 99)) -> dict[str, float]:
    """`p50` and so on of the values, in their unit; zeros of nothing."""
    return {f"p{q}": round(float(np.percentile(values or [0.0], q)), 2) for q in at}


def memory_mb(pid: int | str = "self", field: str = "VmRSS") -> float:
    """Megabytes of a process: `VmRSS` now, `VmHWM` at its peak; 0 where it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
        if line.startswith(field):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


def cpu_s(pid: int) -> float:
    """Processor seconds of a process and of its children that run."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(cpu_s(int(child)) for child in children)


def child(script: str, *options: object, **environment: str) -> dict[str, Any]:
    """One step of a script in a process of its own; the JSON of its last line."""
    command = [sys.executable, script, *map(str, options)]
    env = {**os.environ, **environment}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# ---- pictures and catalogues


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    image.save(buffer := io.BytesIO(), "JPEG", quality=quality)
    return buffer.getvalue()


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def enlarged(image: Image.Image, side_px: int) -> Image.Image:
    """The picture with a longer side of that many pixels: as many as a phone's photo has, with less in it."""
    factor = side_px / max(image.size)
    size = round(image.width * factor), round(image.height * factor)
    return image.resize(size, Image.Resampling.BICUBIC)


def grainy(image: Image.Image, draw: np.random.Generator, levels: float = 3.0) -> Image.Image:
    """The picture with a sensor's noise, so that its JPEG is as large as a photo's."""
    noise = draw.normal(0, levels, (image.height, image.width, 3))
    pixels = np.clip(np.asarray(image, np.float32) + noise, 0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def pictures(n: int) -> list[Image.Image]:
    """About n pictures of the three stores, evenly picked."""
    paths = sorted((DATA / "shops").glob("*/images/*"))
    if not paths:
        raise SystemExit(f"no real data at {DATA}: set LENSBACK_DATA")
    return [opened(path) for path in paths[:: max(1, len(paths) // n)][:n]]


def connected(
    folder: Path, base: str, names: Sequence[str] = tuple(STORES), **settings: Any
) -> Workspace:
    """A workspace, made where it is missing, with these stores of `base` connected."""
    init(folder)
    if encoder := settings.get("encoder"):
        set_setting(folder, "encoder", encoder)  # for commands in processes of their own
    workspace = Workspace(folder, Settings(allow_hosts=("127.0.0.1",), **settings))
    connect(workspace, base, names)
    return workspace


def shelve(workspace: Workspace, model: Path | None) -> None:
    """Links a model's folder, if one is given, into the workspace's shelf under its own name."""
    if model and not (link := workspace.models / model.name).exists():
        workspace.models.mkdir(exist_ok=True)
        link.symlink_to(model.resolve())


def second_hand(base: str, most: int) -> list[str]:
    """Addresses of the first phone photos of closet, served at `base`."""
    with gzip.open(DATA / "shops" / "closet" / STORES["closet"], "rt", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        return [row["merchant_image_url"].replace("{BASE}", base) for row in islice(rows, most)]


def shop_of(workspace: Workspace, addresses: Sequence[str]) -> None:
    """Connects a store that sells a thing for each address of a picture, and reads its feed."""
    path = workspace.path / "feed.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "title", "link", "price", "image_link"])
        for n, address in enumerate(addresses):
            rows.writerow([n, f"Thing {n}", f"https://shop.example/{n}", "10.00 EUR", address])
    stores.add(workspace.db, "shop", str(path))
    sync(workspace, only="ingest")


def connect(workspace: Workspace, base: str, names: Sequence[str]) -> None:
    for name in names:
        stores.add(workspace.db, name, f"{base}/{name}/{STORES[name]}", base=base)


def images_of(workspace: Workspace, store: str, *, first_only: bool) -> list[tuple[str, str]]:
    """Hash and product of a store's pictures, in a fixed order; only main pictures if wanted."""
    u, o, oi = t.image_urls.c, t.offers.c, t.offer_images.c
    query = (
        select(u.image_hash, o.product_id)
        .distinct()
        .join(t.offer_images, oi.image_url_id == u.id)
        .join(t.offers, o.id == oi.offer_id)
        .join(t.stores, t.stores.c.id == o.store_id)
        .where(t.stores.c.name == store)
        .order_by(u.image_hash)
    )
    query = query.where(oi.position == 0) if first_only else query
    with workspace.db.read() as c:
        return [(row.image_hash, row.product_id) for row in c.execute(query)]


def published(workspace: Workspace, images: Sequence[Image.Image], n: int) -> float:
    """Fills a catalogue with n invented offers at ten stores, one picture each, whose vectors are
    those of the images with noise, and publishes it; the seconds that the publish took."""
    encoder = workspace.encoder()
    _fill(workspace, encoder.encode(images), n)
    begin = time.perf_counter()
    publish_all(workspace)
    return round(time.perf_counter() - begin, 1)


def publish_all(workspace: Workspace) -> None:
    """All that is embedded with the encoder in use, made searchable."""
    encoder = workspace.encoder(deferred=True)
    publish(
        workspace.db,
        workspace.vectors,
        workspace.staging(encoder),
        fingerprint=encoder.fingerprint,
        encoder=encoder.name,
    )


def _fill(workspace: Workspace, seeds: NDArray[np.float32], n: int) -> None:
    random = np.random.default_rng(n)
    encoder, db = workspace.encoder(), workspace.db
    ids = [stores.add(db, f"store{k}", f"https://store{k}.example/feed.xml").id for k in range(10)]
    for part in chunks(range(n), 5_000):
        noise = random.normal(size=(len(part), encoder.dim)).astype(np.float32)
        noise *= NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
        vectors = seeds[random.integers(len(seeds), size=len(part))] + noise
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        hashes = [f"{k:064x}" for k in part]
        workspace.vectors.append(encoder.fingerprint, hashes, vectors)
        rows = {
            t.images: [image_row(h) for h in hashes],
            t.image_urls: [
                {"id": k + 1, "url": f"https://i.example/{k}", "image_hash": h, "status": "ok"}
                for k, h in zip(part, hashes, strict=True)
            ],
            t.offers: [_offer_row(k, ids[k % 10], random) for k in part],
            t.offer_images: [
                {"offer_id": k + 1, "position": 0, "image_url_id": k + 1} for k in part
            ],
            t.embeddings: [
                {"fingerprint": encoder.fingerprint, "image_hash": h, "status": "ok"}
                for h in hashes
            ],
        }
        with db.write() as c:
            for table, many in rows.items():
                c.execute(insert(table), many)


def image_row(image_hash: str) -> dict[str, Any]:
    """A row of the table of images for a picture that is not there."""
    sizes = {"width": 400, "height": 500, "bytes": 20_000, "phash": 0}
    return {"hash": image_hash, **sizes, "mime": "image/jpeg", "created_at": 0}


def _offer_row(k: int, store_id: int, random: np.random.Generator) -> dict[str, Any]:
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


# ---- hits of another kind

KINDS = ("left out", "sunk", "as near as they are")
"""What may become of hits of another kind than the region's; the first is what search does."""


@contextmanager
def other_kinds(rule: str) -> Iterator[None]:
    """Searches with one of KINDS instead of the rule of lensback.search."""
    rules = {"of_kind": rule != KINDS[0], "sunk": rule == KINDS[2]}
    with ExitStack() as stack:
        for name, off in rules.items():
            if off:
                stack.enter_context(patch.object(core, name, _as_it_is))
        yield


def _as_it_is(ranked: Sequence[Ranked], *_: object) -> list[Ranked]:
    return list(ranked)


def by_rule(photos: Sequence[bytes], tools: Tools) -> dict[str, list[list[Hit]]]:
    """The hits of each photo by each of KINDS."""
    tools = replace(tools, looks=Looks(keep_s=600))
    found: dict[str, list[list[Hit]]] = {rule: [] for rule in KINDS}
    for photo in photos:
        for rule in KINDS:
            with other_kinds(rule):
                found[rule].append(list(core.search(photo, Query(limit=12), tools).hits))
    return found


def compared(places: Mapping[str, Sequence[int]], things: Sequence[str]) -> dict[str, Any]:
    """R@1, R@5 and R@12 by each rule, from 0-based places (12: not there), and what the first rule gains or
    loses against each other one, by thing."""
    told: dict[str, Any] = {}
    for rule, mine in places.items():
        told[rule] = {f"R@{k}": share(sum(p < k for p in mine), len(mine)) for k in (1, 5, 12)}
        if rule == KINDS[0]:
            continue
        for k in (1, 5, 12):
            ours, theirs = [p < k for p in places[KINDS[0]]], [p < k for p in mine]
            gain, only = metrics.paired_difference(ours, theirs, things), metrics.mcnemar(ours, theirs)  # fmt: skip
            told[rule][f"R@{k}"]["left_out_minus_this"] = {
                "value": [None if v is None else round(v, 4) for v in (gain.value, gain.low, gain.high)],
                "only": [only.better, only.worse],
            }  # fmt: skip
    return told


# ---- processes


def lensback(*options: object, **environment: str) -> subprocess.Popen[bytes]:
    """A `lensback` command in a process of its own, silent."""
    command = [sys.executable, "-m", "lensback", *map(str, options)]
    quiet = subprocess.DEVNULL
    env = {**os.environ, **environment}
    return subprocess.Popen(command, env=env, stdout=quiet, stderr=quiet)


class Served:
    """`lensback serve` on a free port, ready; `start_s` is how long that took. `limited`: with the limits
    of searches and writes that it has by itself."""

    def __init__(self, folder: Path, *options: str, limited: bool = False) -> None:
        import httpx

        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        begin = time.perf_counter()
        settings = {"LENSBACK_WORKSPACE": str(folder)}
        if not limited:
            settings |= {"LENSBACK_RATE_LIMIT": "0", "LENSBACK_WRITE_LIMIT": "0"}
        self.process = lensback("serve", "--port", self.port, *options, **settings)
        while True:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=30).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if self.process.poll() is not None or time.perf_counter() - begin > START_S:
                self.process.kill()
                raise SystemExit("serve did not get ready")
            time.sleep(0.05)
        self.start_s = round(time.perf_counter() - begin, 2)

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(60)


@contextmanager
def postgres() -> Iterator[Any]:
    """The tests' private PostgreSQL (`servers.Postgres`), started."""
    from servers import Postgres  # type: ignore[import-not-found,unused-ignore]

    server = Postgres()
    server.start()
    try:
        yield server
    finally:
        server.close()


@contextmanager
def milvus() -> Iterator[Any]:
    """The tests' standalone Milvus (`milvus_server.MilvusServer`), started."""
    from milvus_server import MilvusServer  # type: ignore[import-not-found,unused-ignore]

    server = MilvusServer()
    server.start()
    try:
        yield server
    finally:
        server.close()


def killed_at(command: list[str], progress: Path, places: list[int]) -> list[int]:
    """Runs a command, which writes into `progress` how far it has come, to its end; kills it with -9 as
    soon as it has come to each of the places. Returns where each kill found it."""
    found: list[int] = []
    while True:
        process = subprocess.Popen(command, env=dict(os.environ))
        while (code := process.poll()) is None:
            at = int((progress.read_text() if progress.exists() else "") or 0)
            if len(found) < len(places) and at >= places[len(found)]:
                process.send_signal(signal.SIGKILL)
                process.wait()
                found.append(at)
                break
            time.sleep(0.005)
        else:
            if code:
                raise SystemExit(f"{command[1]} stopped with {code}")
            return found
