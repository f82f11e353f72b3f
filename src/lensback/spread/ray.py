"""Embedding on a Ray cluster: any number of workers, one writer here.

Pictures travel to the workers as bytes and vectors come back, so workers share no disk with the
workspace; they only need Lensback installed. Each worker process opens the encoder once. A batch
that was lost with its worker or its node is done by another one. This process alone writes, as a
local embedding does: killed at any moment, the next run goes on from what is kept.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from lensback.db import Database
from lensback.embed import GONE, Decoded, Encoded, encode_batches, fill
from lensback.encoders import Encoder, open_encoder
from lensback.errors import Away, ConfigError, Error, MissingExtra, NotFound, StateError
from lensback.images import ImageStore, decode, shared
from lensback.retry import retried
from lensback.types import Progress, Tally
from lensback.vectors import VectorStore

AHEAD = 2
"""Batches under way for each GPU or processor: one is encoded while the next one travels."""
SILENCE_S = 300
"""Without any batch coming back in this time the cluster is taken for lost."""
KNOCK_S = 5.0
LOOK_S = 5.0
"""Between looks at how large the cluster is now."""

_HINT = "use auto, HOST:6379, ray://HOST:10001, or local"

Batch = list[tuple[str, bytes]]
"""Hashes and bytes of pictures."""
Models = Mapping[str, bytes]
"""Files of model folders by relative path."""


def embed_on_ray(
    db: Database,
    images: ImageStore,
    vectors: VectorStore,
    encoder: Encoder,
    models: Path,
    *,
    address: str,
    threads: int = 1,
    batch: int = 32,
    progress: Progress | None = None,
) -> Tally:
    """Encodes what has no vector yet, on the Ray cluster at `address` ("local": one made here).

    Each batch takes a GPU, or `threads` processors; nodes that join meanwhile are used, too. The notes of
    the tally say how many batches each node did. Raises MissingExtra without Ray, Away where no
    cluster answers, ConfigError where a worker opens another encoder under that name.
    """
    with _connected(address) as ray:
        work = _Work(ray, encoder, models, threads)

        def encode(todo: Iterator[str]) -> Iterator[Encoded]:
            return work.encode(_batches(todo, images, batch))

        tally = retried(
            lambda: fill(db, images, vectors, encoder.fingerprint, encode, progress=progress)
        )
    tally.notes |= {f"batches at {node}": n for node, n in sorted(work.done.items())}
    return tally


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    # Without this Ray makes and keeps a token for a cluster that listens on this machine only.
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("ray", "ray") from error
    ours = not ray.is_initialized()
    if ours:
        _knock(address)
        local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        try:
            ray.init(address=address, log_to_driver=False, namespace="lensback", **local)
        except (OSError, ValueError, RuntimeError) as error:
            raise Away(
                f"no Ray cluster answers at {address!r}: {str(error).strip().splitlines()[0]}",
                hint=_HINT,
            ) from error
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raises Away where nobody listens: Ray itself would try for minutes."""
    place = urlsplit(address if "://" in address else f"//{address}")
    try:
        port = place.port
    except ValueError:
        port = None
    if not place.hostname or not port:  # auto, local
        return
    try:
        socket.create_connection((place.hostname, port), timeout=KNOCK_S).close()
    except OSError as error:
        raise Away(f"nobody answers at {address}: {error}", hint=_HINT) from error


# --- on a worker ---


_OPEN: dict[tuple[str, int, str], Encoder] = {}
"""The encoder of this worker process, opened when its first batch comes; by GPUs in sight."""


def encode_there(
    name: str, fingerprint: str, threads: int, models: list[Any], batch: Batch
) -> tuple[Encoded, str]:
    """What a worker does: vectors of the pictures, reasons for those without, and its node.

    `models` holds one reference, in a list so that Ray sends what it names only when asked.
    """
    import ray

    try:
        key = fingerprint, threads, os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if key not in _OPEN:
            _OPEN[key] = _opened(name, fingerprint, threads, ray.get(models[0]))
        encoder = _OPEN[key]
        decoded = (_decoded(image_hash, data, encoder.side_px) for image_hash, data in batch)
        encoded = next(encode_batches(decoded, encoder, len(batch)))
    except Error as error:  # not every error of ours can travel as it is
        raise ConfigError(error.message, hint=error.hint) from None
    node = str(ray.get_runtime_context().get_node_id())[:8]
    return encoded, f"{node} (GPU)" if ray.get_gpu_ids() else node


def _opened(name: str, fingerprint: str, threads: int, models: Models) -> Encoder:
    with tempfile.TemporaryDirectory(prefix="lensback-models-") as folder:
        for path, data in models.items():
            file = Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        encoder = open_encoder(name, Path(folder), threads=threads)
    if encoder.fingerprint != fingerprint:
        raise ConfigError(
            f"the workers' {name} is another one than here",
            hint="install the same version of Lensback on every node",
        )
    return encoder


def _decoded(image_hash: str, data: bytes, side_px: int) -> Decoded:
    try:
        return image_hash, decode(data, side_px=side_px, by=shared()), ""
    except Error as error:
        return image_hash, None, f"{type(error).__name__}: {error.message}"[:300]


# --- here ---


class _Work:
    """Batches on their way to the cluster and back."""

    def __init__(self, ray: Any, encoder: Encoder, models: Path, threads: int) -> None:
        self._ray = ray
        self._dim = encoder.dim
        self._threads = threads
        # A lost worker is no fault of the batch: Ray does it again, on another node if need be.
        # Ray hides GPUs from tasks that ask for none; one that has a GPU leaves the rest free. Its
        # process is kept (max_calls), as the others are: the encoder is opened once.
        there = ray.remote(max_calls=0, max_retries=-1)(encode_there)
        asked = {"GPU": {"num_gpus": 1, "num_cpus": 0}, "CPU": {"num_cpus": threads}}
        self._there = {kind: there.options(**wants) for kind, wants in asked.items()}
        files = ray.put(_model_files(encoder.name, models))
        self._arguments = (encoder.name, encoder.fingerprint, threads, [files])
        self._looked_at, self._places = -LOOK_S, {"CPU": 1}
        self._under_way: dict[Any, str] = {}
        self.done: dict[str, int] = {}

    def encode(self, batches: Iterator[tuple[Batch, dict[str, str]]]) -> Iterator[Encoded]:
        """Results as they come, at most AHEAD batches a GPU or processor under way."""
        nothing = np.empty((0, self._dim), np.float32)
        for batch, reasons in batches:
            if reasons:
                yield [], nothing, reasons
            while not (kind := self._free()):
                yield self._next()
            if batch:
                self._under_way[self._there[kind].remote(*self._arguments, batch)] = kind
        while self._under_way:
            yield self._next()

    def _free(self) -> str:
        """The kind of worker that can take one more batch, GPUs first; "" where none can."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_S:
            there = self._ray.cluster_resources()
            processors = max(1, int(there.get("CPU", 1) // self._threads))
            self._looked_at = now
            self._places = {"GPU": int(there.get("GPU", 0)), "CPU": processors}
        busy = list(self._under_way.values())
        free = (kind for kind, n in self._places.items() if busy.count(kind) < AHEAD * n)
        return next(free, "")

    def _next(self) -> Encoded:
        done, _ = self._ray.wait(list(self._under_way), num_returns=1, timeout=SILENCE_S)
        if not done:
            raise Away(f"no batch came back in {SILENCE_S} s", hint="look at the Ray cluster")
        del self._under_way[done[0]]
        try:
            encoded, node = self._ray.get(done[0])
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, Error):
                raise error.cause from error
            message = f"a worker failed: {str(error.cause)[:300]}"
            raise StateError(message, hint="look at the logs of the Ray cluster") from error
        except self._ray.exceptions.RayError as error:
            raise Away(f"Ray: {str(error)[:300]}", hint="look at the Ray cluster") from error
        self.done[node] = self.done.get(node, 0) + 1
        result: Encoded = encoded
        return result


def _batches(
    todo: Iterator[str], images: ImageStore, size: int
) -> Iterator[tuple[Batch, dict[str, str]]]:
    """Pictures as bytes, `size` at a time, and the reasons why some cannot be had."""
    while hashes := list(islice(todo, size)):
        batch: Batch = []
        reasons: dict[str, str] = {}
        for image_hash in hashes:
            try:
                batch.append((image_hash, images.read(image_hash)))
            except NotFound:
                reasons[image_hash] = GONE
            except Error as error:
                reasons[image_hash] = f"{type(error).__name__}: {error.message}"[:300]
        yield batch, reasons


def _model_files(name: str, models: Path) -> dict[str, bytes]:
    """The files of the folders that the encoder's name speaks of; shipped ones are there already."""
    words = re.split(r"[+*]", name)
    folders = [models / word for word in words if word and (models / word).is_dir()]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(models)): file.read_bytes() for file in files}
