"""The vector store: what comes back, what a kill leaves, what hostile input does."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from forked import Forked
from lensback import vectors as module
from lensback.errors import BadQuery, ConfigError, NotFound, StateError
from lensback.lancedata import Table, TableFolder
from lensback.types import Vectors
from lensback.vectors import VectorStore

PRINT = "a1" * 8
DIM = 16


def some(n: int, dim: int = DIM, seed: int = 0) -> Vectors:
    drawn = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def names(n: int, start: int = 0) -> list[str]:
    return [f"{i:064x}" for i in range(start, start + n)]


def everything(store: VectorStore, batch: int = 4096) -> dict[str, np.ndarray]:
    found = [
        pair
        for some_names, rows in store.scan(PRINT, batch)
        for pair in zip(some_names, rows, strict=True)
    ]
    assert len(found) == len(dict(found)), "each hash once"
    return dict(found)


@pytest.fixture
def store(tmp_path: Path) -> VectorStore:
    return VectorStore(tmp_path / "vectors")


def test_an_unknown_fingerprint_is_empty(store: VectorStore) -> None:
    assert store.count(PRINT) == 0
    assert list(store.hashes(PRINT)) == list(store.scan(PRINT)) == store.fingerprints() == []
    assert store.neighbours(PRINT, some(2), 3) == [[], []]
    assert store.get(PRINT, []).shape == (0, 0)
    store.drop(PRINT)
    store.forget(PRINT, ["a"])
    store.append(PRINT, [], np.empty((0, DIM), np.float32))
    store.tidy()
    with pytest.raises(NotFound):
        store.get(PRINT, ["a"])


def test_what_is_appended_comes_back(store: VectorStore, tmp_path: Path) -> None:
    vectors, hashes = some(2500), names(2500)
    for start in range(0, 2500, 1000):
        store.append(PRINT, hashes[start : start + 1000], vectors[start : start + 1000])
    again = VectorStore(str(tmp_path / "vectors"))
    assert again.count(PRINT) == 2500
    order = random.Random(1).sample(range(2500), 2200)
    got = again.get(PRINT, [hashes[i] for i in [*order, order[0]]])
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, vectors[[*order, order[0]]])
    assert sorted(h for batch in again.hashes(PRINT) for h in batch) == hashes
    assert max(len(batch) for batch, _ in again.scan(PRINT, 100)) <= 100
    for i, (_, row) in enumerate(sorted(everything(again).items())):
        np.testing.assert_array_equal(row, vectors[i])
    with pytest.raises(NotFound) as caught:
        again.get(PRINT, [hashes[0], "no such"])
    assert "no such" in caught.value.message


def test_the_first_vector_of_a_hash_stays(store: VectorStore) -> None:
    vectors = some(6)
    store.append(PRINT, ["a", "b", "a"], vectors[:3])
    store.append(PRINT, ["b", "c"], vectors[3:5])
    assert store.count(PRINT) == 3
    np.testing.assert_array_equal(store.get(PRINT, ["a", "b", "c"]), vectors[[0, 1, 4]])


def test_rows_that_are_there_twice_are_read_once(store: VectorStore) -> None:
    vectors = some(4)
    store.append(PRINT, ["a", "b", "c"], vectors[:3])
    table = store._table(PRINT).raw
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors[[0, 3]].reshape(-1)), DIM)
    table.add(pa.table({"image_hash": ["a", "d"], "vector": flat}))  # as two writers at once would
    assert table.count_rows() == 5
    assert sorted(everything(store)) == ["a", "b", "c", "d"]
    assert sorted(everything(store, batch=1)) == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(store.get(PRINT, ["a", "d"]), vectors[[0, 3]])
    near = store.neighbours(PRINT, vectors[:1], 4)[0]
    assert sorted(c.image_hash for c in near) == ["a", "b", "c", "d"]


def test_hostile_hashes(store: VectorStore) -> None:
    hashes = ["O'Hara", "''", "x') OR ('1'='1", "Обувь", "👟", "", "back\\slash", '"']
    store.append(PRINT, hashes, some(len(hashes)))
    np.testing.assert_array_equal(store.get(PRINT, hashes), some(len(hashes)))
    store.forget(PRINT, ["x') OR ('1'='1", "unknown"])
    assert store.count(PRINT) == len(hashes) - 1
    for call in (store.get, store.forget, lambda *asked: store.append(*asked, some(1))):
        with pytest.raises(BadQuery):
            call(PRINT, ["\ud800"])


@pytest.mark.parametrize("fingerprint", ["", "../up", "a b", "x" * 200, "é"])
def test_a_fingerprint_is_no_path(store: VectorStore, fingerprint: str) -> None:
    with pytest.raises(ConfigError):
        store.append(fingerprint, ["a"], some(1))
    with pytest.raises(ConfigError):
        store.count(fingerprint)


def test_vectors_that_do_not_fit(store: VectorStore) -> None:
    store.append(PRINT, ["a"], some(1))
    for hashes, vectors in (
        (["b"], some(2)),
        (["b"], some(1)[0]),
        (["b"], some(1, DIM + 1)),
        (["b"], np.full((1, DIM), np.nan, np.float32)),
    ):
        with pytest.raises(BadQuery):
            store.append(PRINT, hashes, vectors)
    for queries in (some(1, DIM + 1), some(1)[0], np.full((1, DIM), np.inf, np.float32)):
        with pytest.raises(BadQuery):
            store.neighbours(PRINT, queries, 3)
    assert store.count(PRINT) == 1


def test_half_precision_comes_back_whole(tmp_path: Path) -> None:
    store = VectorStore(tmp_path, dtype="float16")
    store.append(PRINT, names(50), some(50))
    got = store.get(PRINT, names(50))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, some(50), atol=1e-3)
    assert store.neighbours(PRINT, some(50)[:1], 1)[0][0].image_hash == names(1)[0]


def test_fingerprints_live_apart(store: VectorStore) -> None:
    store.append("one", ["a"], some(1))
    store.append("two", ["a", "b"], some(2, 8))
    assert store.fingerprints() == ["one", "two"]
    assert (store.count("one"), store.count("two")) == (1, 2)
    store.drop("one")
    assert store.fingerprints() == ["two"]
    assert store.count("one") == 0
    store.append("one", ["z"], some(1, 4))
    assert store.get("one", ["z"]).shape == (1, 4)


def test_another_process_sees_appends(store: VectorStore, tmp_path: Path) -> None:
    store.append(PRINT, ["a"], some(1))
    other = VectorStore(tmp_path / "vectors")
    assert other.count(PRINT) == 1
    store.append(PRINT, ["b"], some(1, seed=2))
    assert other.count(PRINT) == 2
    other.tidy()
    store.append(PRINT, ["c"], some(1, seed=3))
    np.testing.assert_array_equal(
        other.get(PRINT, ["b", "c"]), np.vstack([some(1, seed=2), some(1, seed=3)])
    )


def test_neighbours_are_brute_force(store: VectorStore) -> None:
    vectors, hashes = some(5000), names(5000)
    store.append(PRINT, hashes, vectors)
    queries = some(20, seed=9)
    for query, near in zip(queries, store.neighbours(PRINT, queries, 7), strict=True):
        order = np.argsort(-(vectors @ query))[:7]
        assert [c.image_hash for c in near] == [hashes[i] for i in order]
        np.testing.assert_allclose(
            [c.similarity for c in near], (vectors @ query)[order], atol=1e-5
        )


def test_equally_near_images_come_in_the_order_of_their_hashes(store: VectorStore) -> None:
    hashes = ["c", "a", "d", "b"]
    store.append(PRINT, hashes, np.repeat(some(1), 4, axis=0))
    near = store.neighbours(PRINT, some(1), 4)[0]
    assert [c.image_hash for c in near] == sorted(hashes)
    assert [c.image_hash for c in store.neighbours(PRINT, some(1), 5)[0]] == sorted(hashes)


def test_the_approximate_index_is_kept_up(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New rows are added to it when they are one in twenty; it is trained anew at four times."""
    monkeypatch.setattr(module, "_scan_is_cheap", lambda rows, queries: False)
    trained: list[int] = []
    real = Table.train
    monkeypatch.setattr(Table, "train", lambda t, rows: trained.append(rows) or real(t, rows))
    for there, inside in ((600, 600), (620, 600), (800, 800), (2399, 2399), (9596, 9596)):
        store.append(PRINT, names(there), some(there))
        store.neighbours(PRINT, some(1), 1)
        assert store._table(PRINT).indexed("vector") == (inside, there - inside)
    assert trained == [600, 9596]


def test_neighbours_by_the_approximate_index(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_scan_is_cheap", lambda rows, queries: False)
    vectors, hashes = some(9000), names(12_000)
    store.append(PRINT, hashes[:9000], vectors)
    shares = []
    for query, near in zip(vectors[:30], store.neighbours(PRINT, vectors[:30], 10), strict=True):
        truth = {hashes[i] for i in np.argsort(-(vectors @ query))[:10]}
        shares.append(len(truth & {c.image_hash for c in near}) / 10)
        assert near[0].similarity == pytest.approx(1, abs=1e-5)
    assert np.mean(shares) >= 0.95
    more = some(3000, seed=4)
    store.append(PRINT, hashes[9000:], more)
    assert store.neighbours(PRINT, more[:1], 3)[0][0].image_hash == hashes[9000]


def test_no_index_is_trained_among_deleted_rows(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_scan_is_cheap", lambda rows, queries: False)
    store.append(PRINT, names(900), some(900))
    store.forget(PRINT, names(10))
    found = store.neighbours(PRINT, some(900)[:20], 1)
    assert [near[0].image_hash for near in found[10:]] == names(10, start=10)
    assert store._table(PRINT).indexed("vector") is None


def test_tidy_keeps_everything(store: VectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INDEXED_ROWS", 100)
    monkeypatch.setattr(module, "TIDY_APPENDS", 4)
    vectors, hashes = some(400), names(400)
    for start in range(0, 400, 50):
        store.append(PRINT, hashes[start : start + 50], vectors[start : start + 50])
    store.tidy()
    assert store._table(PRINT).indexed("image_hash") is not None
    store.append(PRINT, hashes[:50], vectors[:50])
    store.forget(PRINT, hashes[:10])
    store.tidy()
    np.testing.assert_array_equal(store.get(PRINT, hashes[10:]), vectors[10:])
    assert store.count(PRINT) == 390


def test_a_scan_is_one_state(store: VectorStore) -> None:
    store.append(PRINT, names(100), some(100))
    scan = store.scan(PRINT, 10)
    first = next(scan)[0]
    store.append(PRINT, names(100, start=100), some(100, seed=5))
    store.forget(PRINT, names(100))
    rest = [name for batch, _ in scan for name in batch]
    assert sorted([*first, *rest]) == names(100)


def test_damaged_files_are_told(store: VectorStore, tmp_path: Path) -> None:
    store.append(PRINT, names(10), some(10))
    for path in (tmp_path / "vectors").rglob("*.lance"):
        if path.is_file():
            path.write_bytes(b"not a table")
    with pytest.raises(StateError) as caught:
        VectorStore(tmp_path / "vectors").get(PRINT, names(1))
    assert caught.value.hint


CHILD = """
import numpy as np
from lensback import vectors as module
from lensback.vectors import VectorStore
module.INDEXED_ROWS, module.TIDY_APPENDS = 500, 5
store = VectorStore({root!r})
print("ready", flush=True)
for batch in range({start}, 100_000):
    drawn = np.random.default_rng(batch).standard_normal((100, 16)).astype(np.float32)
    store.append("a1" * 8, [f"{{batch}}-{{i}}" for i in range(100)], drawn)
    print(batch, flush=True)
"""


def test_what_was_read_whole_is_not_read_again_until_a_file_changes(
    store: VectorStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(PRINT, names(30), some(30))
    assert store.check(PRINT) == 30
    with monkeypatch.context() as patch:
        patch.setattr(TableFolder, "_connect", lambda self: pytest.fail("the table was opened"))
        later = VectorStore(tmp_path / "vectors")
        assert later.check(PRINT) == later.count(PRINT) == 30
    store.append(PRINT, names(10, 30), some(10))
    later = VectorStore(tmp_path / "vectors")
    assert later.count(PRINT) == 40, "what is noted is of before"
    assert later.check(PRINT) == 40
    store.forget(PRINT, names(1))
    assert VectorStore(tmp_path / "vectors").count(PRINT) == 39
    store.drop(PRINT)
    assert store.count(PRINT) == store.check(PRINT) == 0
    assert not list((tmp_path / "vectors").glob(f"*{PRINT}*"))


@pytest.mark.parametrize("harm", ["gone", "cut", "emptied", "other bytes", "of another table"])
def test_a_note_that_is_no_use_is_made_anew(store: VectorStore, tmp_path: Path, harm: str) -> None:
    store.append(PRINT, names(30), some(30))
    store.check(PRINT)
    (note,) = (tmp_path / "vectors").glob("*.npz")
    if harm == "of another table":
        other = VectorStore(tmp_path / "other")
        other.append(PRINT, names(7), some(7))
        other.check(PRINT)
        shutil.copy(tmp_path / "other" / note.name, note)
    elif harm == "gone":
        note.unlink()
    else:
        whole = note.read_bytes()
        changed = {"cut": whole[:-50], "emptied": b"", "other bytes": whole[:300] + bytes(200)}
        note.write_bytes(changed[harm])
    assert VectorStore(tmp_path / "vectors").count(PRINT) == 30
    assert VectorStore(tmp_path / "vectors").check(PRINT) == 30


@pytest.mark.parametrize("harm", ["gone", "cut", "one byte"])
def test_a_file_that_is_lost_after_it_was_read_whole_is_told(
    store: VectorStore, tmp_path: Path, harm: str
) -> None:
    for start in (0, 40):
        store.append(PRINT, names(40, start), some(40, seed=start))
    store.check(PRINT)
    file = min((tmp_path / "vectors").glob("*.lance/data/*"))
    if harm == "gone":
        file.unlink()
    elif harm == "cut":
        os.truncate(file, file.stat().st_size // 2)
    else:  # bytes are not what Lance looks at; that they were written is seen
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    later = VectorStore(tmp_path / "vectors")
    assert later._shelf.noted(f"v_{PRINT}") is None
    with pytest.raises(StateError):
        later.check(PRINT)


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Each time: acknowledged batches are there, the next one is whole or absent."""
    draw = random.Random(3)
    start = 0
    with Forked() as forked:
        for _ in range(10):
            start = killed_once(forked, tmp_path, start, draw.uniform(0, 0.5))
    assert start > 5


def killed_once(forked: Forked, root: Path, start: int, seconds: float) -> int:
    """Appends from batch `start` on until it is killed, and checks; the first batch that was not
    acknowledged."""
    forked.start(CHILD.format(root=str(root), start=start))
    assert forked.line() == "ready"
    forked.wait_for(seconds)
    forked.kill()
    code, lines = forked.finished()
    assert code == -signal.SIGKILL
    done = [int(line) for line in lines]
    acknowledged = done[-1] + 1 if done else start
    store = VectorStore(root)
    found = everything(store)
    assert len(found) in {acknowledged * 100, acknowledged * 100 + 100}
    for batch in {0, *range(start, acknowledged)} if acknowledged else ():
        drawn = np.random.default_rng(batch).standard_normal((100, 16)).astype(np.float32)
        np.testing.assert_array_equal([found[f"{batch}-{i}"] for i in range(100)], drawn)
    return acknowledged  # at least once: what was not acknowledged is appended again


def test_hashes_are_indexed_while_vectors_are_appended(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever their number has doubled, so that a batch of them is found without looking through all."""
    monkeypatch.setattr(module, "INDEXED_ROWS", 50)
    made = []
    index = Table.index
    monkeypatch.setattr(
        Table, "index", lambda self, *names: (made.append(self.rows()), index(self, *names))[1]
    )
    hashes, vectors = names(200), some(200)
    for at in range(0, 200, 20):
        store.append(PRINT, hashes[at : at + 20], vectors[at : at + 20])
        got = store.get(PRINT, hashes[at::-1])
        np.testing.assert_array_equal(got, vectors[at::-1])
    assert made == [60, 120]
    table = store._table(PRINT)
    assert table
    assert table.indexed("image_hash") == (120, 80)


def test_lance_is_imported_without_building_what_checks_messages_that_nobody_sends(
    tmp_path: Path,
) -> None:
    """Half of its import's time. A message that is sent is checked, and what others define is built at once."""
    code = f"""
import pydantic
config, call = pydantic.BaseModel.model_config, pydantic.validate_call
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from lensback.lancedata import TableFolder
folders = [TableFolder(Path({str(tmp_path)!r}, str(n)), "vectors", "none") for n in range(4)]
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda folder: folder.drop("pixels-1"), folders))
import lance_namespace_urllib3_client as client
models = [one for one in vars(client).values() if isinstance(one, type) and issubclass(one, pydantic.BaseModel)]
print(len(models), sum(one.__pydantic_complete__ for one in models))
assert pydantic.BaseModel.model_config is config and pydantic.validate_call is call
class Own(pydantic.BaseModel):
    number: int
assert Own.__pydantic_complete__
try:
    client.DescribeTableRequest(id=7)
except pydantic.ValidationError:
    print("checked")
try:
    client.TableApi().describe_table(id=7, describe_table_request=None)
except pydantic.ValidationError:
    print("checked")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    many, *said = done.stdout.split("\n", 1)
    models, built = map(int, many.split())
    assert models > 100
    assert built < models / 10
    assert said == ["checked\nchecked\n"]
