"""Embedding on a Ray of one machine: the same vectors, each once, whatever dies."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shutil
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import lensback.encoders
from drawing import drawn
from lensback.catalogue import offers, pictures, stores
from lensback.catalogue.pictures import Downloaded
from lensback.cli import app
from lensback.db import Database
from lensback.embed import embed
from lensback.errors import Away, ConfigError
from lensback.settings import Settings
from lensback.spread.ray import embed_on_ray
from lensback.types import Money, Offer
from lensback.vectors import VectorStore
from lensback.workspace import Workspace, init
from servers import free_port

if (
    find_spec("ray") is None
):  # imported where it is used: no worker that only collects these tests pays
    pytest.skip("pip install -r requirements-cluster.txt", allow_module_level=True)
pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and processes to the end of the interpreter, and warns of its own ways.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray of two processors and what it believes to be a GPU; `embed_on_ray` uses the one
    that is connected."""
    import ray

    # Its own half of a minute is too short on a busy machine.
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_gcs_server_port_wait_time_s="300")
    size = {"num_cpus": 2, "num_gpus": 1, "include_dashboard": False, "log_to_driver": False}
    for left in (2, 1, 0):
        try:
            ray.init(address="local", **size)
            break
        except (
            Exception
        ):  # on a busy machine a part is not up within Ray's own time-out, which is a bare one
            ray.shutdown()
            gc.collect()  # what it started and left warns here, not in another file's test
            if not left:
                raise
    yield
    ray.shutdown()


def jpeg(seed: int) -> bytes:
    drawn(96, 96, color="navy", seed=seed).save(sink := io.BytesIO(), "JPEG")
    return sink.getvalue()


def filled(folder: Path, count: int, **settings: str) -> tuple[Workspace, list[str]]:
    """A workspace with that many pictures in it, not embedded yet."""
    init(folder)
    workspace = Workspace(folder, Settings(**settings))  # type: ignore[arg-type]
    rows = [
        Offer(str(n), "t", "https://s.example", Money(1, "USD"), (f"https://s.example/{n}.jpg",))
        for n in range(count)
    ]
    db, images = workspace.db, workspace.images
    key = stores.add(db, "s", "https://s.example").id
    with db.write() as c:
        offers.write_batch(db, c, key, "s", rows, offers.SeenIds())
    todo = sorted(pictures.to_download(db), key=lambda u: u.id)
    kept = [images.put(jpeg(n)) for n in range(count)]
    pictures.record_downloads(db, [Downloaded(u, i) for u, i in zip(todo, kept, strict=True)])
    return workspace, [info.hash for info in kept]


def run(workspace: Workspace, **options: object) -> object:
    things = (workspace.db, workspace.images, workspace.vectors, workspace.encoder())
    return embed_on_ray(*things, workspace.models, address="auto", batch=8, **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("cluster")
def test_the_same_vectors_as_here(tmp_path: Path) -> None:
    with filled(tmp_path / "w", 100, encoder="pixels")[0] as workspace:
        hashes = list(pictures.to_embed(workspace.db, workspace.encoder().fingerprint))
        workspace.images.drop(hashes[3])
        tally = run(workspace)
        print_ = workspace.encoder().fingerprint
        assert (tally.done, sum(tally.rejected.values())) == (99, 1)  # type: ignore[attr-defined]
        places = set(tally.notes)  # type: ignore[attr-defined]
        assert {note.endswith("(GPU)") for note in places} == {True, False}, places
        kept = [h for h in hashes if h != hashes[3]]
        here = VectorStore(tmp_path / "here")
        database = Database(
            workspace.settings.database or f"sqlite:///{tmp_path / 'w' / 'catalogue.db'}"
        )
        pictures.forget_embeddings(database, print_)
        embed(database, workspace.images, here, workspace.encoder())
        database.close()
        np.testing.assert_allclose(
            workspace.vectors.get(print_, kept), here.get(print_, kept), atol=1e-6
        )


@pytest.mark.usefixtures("cluster")
def test_every_picture_once_although_workers_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lensback.embed.COMMIT", 32)
    workspace, hashes = filled(tmp_path / "w", 600, encoder="pixels")
    killed: list[int] = []

    def kill(done: int, _total: int) -> None:
        """After the first commit: every worker process of the cluster."""
        if killed:
            return
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes()
                if words.startswith(b"ray::encode_there"):
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(int(process.name))

    with workspace:
        tally = run(workspace, progress=kill)
        print_ = workspace.encoder().fingerprint
        assert killed, "workers were at work when the first results were kept"
        assert tally.done == len(set(hashes))  # type: ignore[attr-defined]
        found = [h for part in workspace.vectors.hashes(print_) for h in part]
        assert sorted(found) == sorted(set(hashes))
        assert workspace.vectors.count(print_) == len(found)
        assert run(workspace).done == 0  # type: ignore[attr-defined]


@pytest.mark.usefixtures("cluster")
def test_a_model_of_the_workspace_travels(tmp_path: Path) -> None:
    shipped = Path(lensback.encoders.__file__).parent / "models" / "eye"
    workspace, hashes = filled(tmp_path / "w", 10, encoder="mine")
    shutil.copytree(shipped, workspace.models / "mine")
    with workspace:
        assert run(workspace).done == len(set(hashes))  # type: ignore[attr-defined]
        vectors = workspace.vectors.get(workspace.encoder().fingerprint, hashes)
        images = [workspace.images.open(h, workspace.encoder().side_px) for h in hashes]
        np.testing.assert_allclose(vectors, workspace.encoder().encode(images), atol=1e-4)


@pytest.mark.usefixtures("cluster")
def test_workers_with_another_encoder_are_refused(tmp_path: Path) -> None:
    class Other:
        name, fingerprint, dim, side_px = "pixels", "0" * 16, 8, 32

    workspace, _ = filled(tmp_path / "w", 3, encoder="pixels")
    with workspace, pytest.raises(ConfigError, match="another one"):
        embed_on_ray(workspace.db, workspace.images, workspace.vectors, Other(), workspace.models,
                     address="auto")  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.usefixtures("cluster")
def test_the_command(tmp_path: Path) -> None:
    workspace, hashes = filled(tmp_path / "w", 5)
    workspace.close()
    for options in (["--ray", "auto"], []):
        arguments = ["embed", "--workspace", str(tmp_path / "w"), "--json", *options]
        done = CliRunner().invoke(app, arguments, env={"LENSBACK_ENCODER": "pixels"})
        assert done.exit_code == 0, done.output
        assert f'"done": {len(set(hashes)) if options else 0}' in done.stdout


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    if ray.is_initialized():
        ray.shutdown()
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "1")
    workspace, _ = filled(tmp_path / "w", 1, encoder="pixels")
    things = (workspace.db, workspace.images, workspace.vectors, workspace.encoder())
    with workspace, pytest.raises(Away):
        embed_on_ray(*things, workspace.models, address=f"127.0.0.1:{free_port()}")
