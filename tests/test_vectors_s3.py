"""Vectors on an object store: the same dataset behind `s3://`, on a server of the S3 protocol."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from lensback.errors import ConfigError, NotFound, StateError
from lensback.vectors import VectorStore
from servers import free_port

moto = pytest.importorskip("moto.server", reason="moto[s3] and flask are not installed")

PRINT = "ab" * 8


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1").create_bucket(
        Bucket="pictures"
    )
    yield "s3://pictures/lensback/vectors"
    server.stop()


def some(n: int) -> np.ndarray:
    drawn = np.random.default_rng(1).standard_normal((n, 8)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def names(n: int) -> list[str]:
    return [f"{i:064x}" for i in range(n)]


def test_a_dataset_in_a_bucket(bucket: str) -> None:
    store = VectorStore(bucket)
    assert store.fingerprints() == []
    assert store.count(PRINT) == 0
    store.append(PRINT, names(300), some(300))
    store.append(PRINT, names(320), some(320))
    other = VectorStore(bucket)
    assert other.fingerprints() == [PRINT]
    assert other.count(PRINT) == 320
    np.testing.assert_array_equal(other.get(PRINT, names(5)), some(320)[:5])
    assert sorted(h for part in other.hashes(PRINT) for h in part) == names(320)
    near = other.neighbours(PRINT, some(320)[:2], 3)
    assert [found[0].image_hash for found in near] == names(2)
    other.forget(PRINT, names(1))
    assert store.count(PRINT) == 319
    with pytest.raises(NotFound):
        store.get(PRINT, names(1))
    store.tidy()
    store.drop(PRINT)
    assert VectorStore(bucket).fingerprints() == []


def test_another_process_sees_what_was_appended(bucket: str) -> None:
    store = VectorStore(bucket)
    store.append(PRINT, names(10), some(10))
    program = (
        f"from lensback.vectors import VectorStore; print(VectorStore({bucket!r}).count({PRINT!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "10"


def test_no_bucket_and_no_place(bucket: str) -> None:
    with pytest.raises(StateError):
        VectorStore("s3://nobody/here").append(PRINT, names(1), some(1))
    with pytest.raises(ConfigError):
        VectorStore("ftp://host/folder")
