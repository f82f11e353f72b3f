"""The Milvus index beyond the behaviour suite: addresses, outages, killed writers, the whole job."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lensback.doctor import examine
from lensback.errors import Away, ConfigError, StateError
from lensback.indexes import Index, health, open_index, row_digest, row_id
from lensback.indexes.milvus_link import Address, MilvusLink
from lensback.retry import retried
from lensback.search import Query, search
from lensback.sync import sync
from lensback.types import Candidate, Filter, IndexRow, Money
from milvus_server import MilvusServer
from servers import Postgres, free_port
from test_sync import THINGS, opened, state
from world import World

PRINT = "a1" * 8


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lensback.indexes.milvus.FOLLOW_S", 0)


def rows(n: int, price: int = 1) -> list[IndexRow]:
    key = ("shop", "Shoes", True, "EUR")
    return [
        IndexRow(row_id(f"im{i}", *key), f"im{i}", *key, price_low=price, price_high=price)
        for i in range(n)
    ]


def nearest(
    index: Index, vector: np.ndarray, k: int, where: Filter | None = None
) -> list[Candidate]:
    """What a search asks for, again where a server says to ask again, as a search does."""
    return list(retried(lambda: index.search(vector, k, where or Filter()), for_s=240))


def vectors(n: int, dim: int = 16) -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal((n, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


# --- addresses ---


def test_an_address_with_everything() -> None:
    url = (
        "milvus://me:p%40ss@db.example:1953/shop?shards=3&replicas=2&kind=diskann&tls=1&database=d"
    )
    address = Address.parse(url)
    assert (address.uri, address.token) == ("https://db.example:1953", "me:p@ss")
    assert (address.collection, address.shards, address.replicas) == ("shop", 3, 2)
    assert (address.kind, address.database) == ("DISKANN", "d")
    plain = Address.parse("milvus://[::1]/shop")
    assert (plain.uri, plain.token, plain.kind) == ("http://[::1]:19530", "", "HNSW")


@pytest.mark.parametrize(
    "url",
    ["milvus://", "milvus://host", "milvus://host/", "milvus://host/a-b", "milvus://host/a/b",
     "milvus:///a", "milvus://host/1a", "milvus://host/a?shards=0", "milvus://host/a?shards=x",
     "milvus://host/a?nonsense=1", "milvus://host/a?kind=FLAT", "milvus://host/a?timeout_s=nan",
     "milvus://host/a?shards", "milvus://host:99999/a"],
)  # fmt: skip
def test_no_address(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_index(url, tmp_path)
    assert "milvus://host" in caught.value.hint


def test_a_secret_is_not_told() -> None:
    with pytest.raises(ConfigError) as caught:
        Address.parse("milvus://me:secret@host/")
    assert "secret" not in caught.value.message


# --- outages ---


def test_nobody_there(tmp_path: Path) -> None:
    url = f"milvus://127.0.0.1:{free_port()}/shop?timeout_s=1"
    index = open_index(url, tmp_path)
    with pytest.raises(Away) as caught:
        index.search(np.ones(4, np.float32), 5, Filter())
    assert "doctor" in caught.value.hint
    with pytest.raises(Away):
        health(index)


def test_a_collection_of_somebody_else_is_left_alone(milvus: MilvusServer, tmp_path: Path) -> None:
    MilvusLink(Address.parse(milvus.url("theirs"))).client.create_collection("theirs", dimension=4)
    with pytest.raises(StateError, match="not Lensback"):
        open_index(milvus.url("theirs"), tmp_path).search(np.ones(4, np.float32), 5, Filter())


def test_a_publish_does_not_wait_for_an_index_for_ever(
    milvus: MilvusServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """How soon a Milvus builds an index is its own affair, so none counts as built here."""
    monkeypatch.setattr("lensback.indexes.milvus.FLUSH_ROWS", 1)
    monkeypatch.setattr("lensback.indexes.milvus.PATIENCE_S", 0.0)
    monkeypatch.setattr("lensback.indexes.milvus.UNINDEXED", 1.0)
    monkeypatch.setattr("lensback.indexes.milvus._unindexed", lambda told: int(told["total_rows"]))
    index = open_index(milvus.url("hasty"), tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(3000), vectors(3000))
    with caplog.at_level("WARNING"):
        index.publish("pixels")
    assert [record.fields["rows"] for record in caplog.records] == [3000]  # type: ignore[attr-defined]
    assert nearest(index, vectors(3000)[7], 1)[0].image_hash == rows(8)[7].image_hash


def test_a_narrow_filter_is_whole_while_no_index_is_loaded(
    milvus: MilvusServer, tmp_path: Path
) -> None:
    """Milvus calls an index finished before its query nodes have loaded it: until then it looks
    through an eighth of the rows, and a narrow filter comes up short: then all are compared."""
    some = Filter(stores=("few",))
    key = ("few", "Shoes", True, "EUR")
    few = [
        IndexRow(row_id(f"im{i}", *key), f"im{i}", *key, price_low=1, price_high=1)
        for i in range(0, 24_000, 1000)
    ]
    index = open_index(milvus.url("unloaded"), tmp_path, fingerprint=PRINT, dim=64)
    made = vectors(24_000, 64)
    index.upsert([*rows(24_000), *few], np.concatenate([made, made[::1000]]))
    index.publish("pixels")
    found = nearest(index, made[5], 100, some)
    assert {one.image_hash for one in found} == {one.image_hash for one in few}
    truth = sorted((made[::1000] @ made[5]).tolist(), reverse=True)
    assert [one.similarity for one in found] == pytest.approx(truth, abs=1e-5)


def test_health(milvus: MilvusServer, tmp_path: Path) -> None:
    url = milvus.url("healthy")
    twice = milvus.url("healthy", replicas=2)
    assert health(open_index(url, tmp_path))[0].startswith("Milvus v2")
    index = open_index(url, tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(3), vectors(3))
    index.publish("pixels")
    text, whole = health(open_index(url, tmp_path))
    assert text.endswith("1 of 1 replicas on 1 query nodes")
    assert whole
    assert not health(open_index(twice, tmp_path))[1]
    assert health(open_index("lance", tmp_path)) == ("", True)


@pytest.mark.slow
def test_a_restart_is_an_outage_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MilvusServer(lease_s=10)
    server.start()
    try:
        url = server.url("shop")
        index = open_index(url, tmp_path, fingerprint=PRINT, dim=16)
        retried(lambda: index.upsert(rows(50), vectors(50)), for_s=240)
        first = retried(lambda: index.publish("pixels"), for_s=240)
        retried(lambda: index.upsert(rows(50, price=9)[:10], vectors(50)[:10]), for_s=240)
        server.stop()
        with monkeypatch.context() as patch:
            patch.setattr("lensback.indexes.milvus.TRY_S", 2.0)
            with pytest.raises(Away):
                index.search(vectors(1)[0], 5, Filter())
        server.start()
        patient = open_index(url, tmp_path)
        assert nearest(patient, vectors(1)[0], 1)[0].image_hash == "im0"
        assert patient.snapshot == first
        again = open_index(url, tmp_path, fingerprint=PRINT, dim=16)
        columns = retried(again.staged, for_s=240)
        staged = dict(zip(*(column.tolist() for column in columns), strict=True))
        assert [staged[row.row_id] for row in rows(50)[10:]] == [
            row_digest(r) for r in rows(50)[10:]
        ]
        assert [staged[row.row_id] for row in rows(10)] == [
            row_digest(r) for r in rows(10, price=9)
        ]
        assert retried(lambda: again.publish("pixels"), for_s=240).rows == 50
    finally:
        server.close()


# --- killed writers ---

MOMENTS_S = (0.3, 0.9, 1.7, 2.6, 3.3) if os.environ.get("INDEX_KILLS") else (0.9, 2.6)
"""When a writer is killed; `bench/kills.py` does it more often."""
CHILD = """
import sys
import numpy as np
from pathlib import Path
sys.path[:0] = [{tests!r}]
from lensback.indexes import milvus, open_index
from test_milvus import PRINT, rows, vectors
milvus.TRY_S = 120.0
index = open_index({url!r}, Path("."), fingerprint=PRINT, dim=16)
index.staged()
print("ready", flush=True)
for price in range({start}, 10_000):
    for at in range(0, 300, 100):
        index.upsert(rows(300, price)[at:at + 100], vectors(300)[at:at + 100])
        print(price, at, flush=True)
    index.publish("pixels")
    print(price, "published", flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment(milvus: MilvusServer, tmp_path: Path) -> None:
    """Searches see one whole snapshot; what was acknowledged is staged; each row is there once."""
    url = milvus.url("killed")
    index = open_index(url, tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(300, 1), vectors(300))
    index.publish("pixels")
    price = 1
    for wait_s in MOMENTS_S:
        source = CHILD.format(tests=str(Path(__file__).parent), url=url, start=price + 1)
        child = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        threading.Event().wait(wait_s)
        child.kill()
        lines = [line.split() for line in child.stdout.read().splitlines()]
        child.stdout.close()
        child.wait()
        published = max([price] + [int(a) for a, b in lines if b == "published"])
        for number in range(published, published + 3):
            wanted = Filter(price_max=_euro(number), price_min=_euro(number))
            found = nearest(open_index(url, tmp_path), vectors(1)[0], 400, wanted)
            assert len(found) in {0, 300}, "a search sees a whole generation, or nothing of it"
        everything = nearest(open_index(url, tmp_path), vectors(1)[0], 400)
        assert len(everything) == 300
        again = open_index(url, tmp_path, fingerprint=PRINT, dim=16)
        staged = dict(zip(*(column.tolist() for column in again.staged()), strict=True))
        assert len(staged) == 300
        for number, at in ((int(a), int(b)) for a, b in lines if b != "published"):
            told = [staged[r.row_id] for r in rows(300, number)[at : at + 100]]
            kept = [
                [row_digest(r) for r in rows(300, n)[at : at + 100]]
                for n in range(number, published + 3)
            ]
            assert told in kept
        price = published + 3
        again.upsert(rows(300, price), vectors(300))
        assert again.publish("pixels").rows == 300
        cheap = Filter(price_max=_euro(price), price_min=_euro(price))
        assert len(nearest(again, vectors(1)[0], 400, cheap)) == 300


def _euro(minor: int) -> Money:
    return Money(minor, "EUR")


# --- the main job ---


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world")) as made:
        made.store("harbour", "google", THINGS[:14], sizes=("S", "M"), views=(0, 1))
        made.store("lavka", "yml", THINGS[8:20], sizes=("S", "M"), marker=True)
        yield made


@pytest.mark.slow
def test_the_main_job_on_postgresql_and_milvus_gives_the_same_answers(
    world: World, milvus: MilvusServer, postgres: Postgres, tmp_path: Path
) -> None:
    here = {"encoder": "pixels", "detector": "whole"}
    there = {"database": postgres.url(postgres.database("migrated")),
             "index": milvus.url("job")}  # fmt: skip
    with (
        opened(tmp_path / "one", world, **here) as one,
        opened(tmp_path / "many", world, **here, **there) as many,
    ):
        assert not sync(one).failed
        assert not sync(many).failed
        assert state(many) == state(one)
        for thing in THINGS[:20]:
            photo = world.photo(thing).read_bytes()
            for query in (Query(), Query(stores=("lavka",)), Query(in_stock=True)):
                a, b = search(photo, query, one.tools()), search(photo, query, many.tools())
                assert a.verdict == b.verdict
                assert [h.product_id for h in a.hits] == [h.product_id for h in b.hits]
                near = [(h.similarity, g.similarity) for h, g in zip(a.hits, b.hits, strict=True)]
                assert all(abs(x - y) < 0.001 for x, y in near)
        again = sync(many)
        assert (
            sum(t.done for t in again.tallies if t.stage in {"download", "embed", "publish"}) == 0
        )
        checks = {check.part: check for check in examine(many)}
        assert checks["index server"].state == "ok"
        assert checks["index"].state == "ok"
