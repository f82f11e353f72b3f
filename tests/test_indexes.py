"""The parts of the index family that the behaviour suite does not see."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback import indexes, spread
from lensback.engines import engine
from lensback.errors import ConfigError, Damaged, StaleIndex, StateError, UnknownName
from lensback.indexes import (
    GROUP,
    OWN,
    Fillable,
    Index,
    health,
    lance,
    open_index,
    pointer,
    row_digest,
    row_id,
)
from lensback.indexes import published as module
from lensback.indexes.columns import Columns, Selection, _flags, _numbers, _Texts
from lensback.indexes.partitions import Plan, plan, widest
from lensback.lancedata import Table, TableFolder
from lensback.types import Filter, IndexRow, Snapshot
from lensback.vectors import VectorStore

PRINT = "b2" * 8
SNAPSHOT = Snapshot("id", "pixels", PRINT, 4, 10, 1.0, "v_b@3", "2026-01-01T00:00:00+00:00")


def rows(n: int) -> list[IndexRow]:
    return [
        IndexRow(
            row_id(f"im{i}", "shop", "Shoes", True, "EUR"),
            f"im{i}",
            "shop",
            "Shoes",
            True,
            "EUR",
            1,
            i,
        )
        for i in range(n)
    ]


def vectors(n: int, dim: int = 16) -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal((n, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


# --- identity ---

identity = st.tuples(st.text(), st.text(), st.text(), st.booleans(), st.text())


@given(identity, identity)
def test_row_ids_are_63_bits_and_tell_rows_apart(one: tuple, other: tuple) -> None:
    assert 0 <= row_id(*one) < 2**63
    assert (row_id(*one) == row_id(*other)) == (one == other)


def test_row_ids_never_change() -> None:
    assert row_id("ab" * 32, "outlet", "Обувь > Кеды", True, "RUB") == 4814605842095898739
    parts = {
        row_id("a", "bc", "", True, ""),
        row_id("ab", "c", "", True, ""),
        row_id("a", "b", "c", True, ""),
    }
    assert len(parts) == 3


def test_a_digest_changes_with_every_field() -> None:
    base = IndexRow(1, "im", "shop", "Shoes", True, "EUR", 10, 20)
    others = [
        IndexRow(2, "im", "shop", "Shoes", True, "EUR", 10, 20),
        IndexRow(1, "in", "shop", "Shoes", True, "EUR", 10, 20),
        IndexRow(1, "im", "shoq", "Shoes", True, "EUR", 10, 20),
        IndexRow(1, "im", "shop", "Shoe", True, "EUR", 10, 20),
        IndexRow(1, "im", "shop", "Shoes", False, "EUR", 10, 20),
        IndexRow(1, "im", "shop", "Shoes", True, "RUB", 10, 20),
        IndexRow(1, "im", "shop", "Shoes", True, "EUR", 11, 20),
        IndexRow(1, "im", "shop", "Shoes", True, "EUR", 10, 21),
    ]
    assert len({row_digest(r) for r in [base, *others]}) == 9
    assert 0 <= row_digest(base) < 2**63


# --- the opener ---


def test_unknown_names_and_bad_fingerprints(tmp_path: Path) -> None:
    for url in ("", "faiss", "milvus", "lance://x"):
        with pytest.raises(UnknownName) as caught:
            open_index(url, tmp_path)
        assert "exact, lance, milvus" in caught.value.hint
    with pytest.raises(ConfigError):
        open_index("lance", tmp_path, fingerprint="../../etc")


def test_opening_writes_and_imports_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from lensback.indexes import open_index; import lensback.vectors\n"
        f"index = open_index('lance', Path({str(tmp_path)!r})); assert index.snapshot is None\n"
        "sys.exit('lancedb' in sys.modules or 'pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    assert list(tmp_path.iterdir()) == []


# --- engines of other packages ---


@pytest.fixture
def _foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution on the path, with its metadata, as `pip install` leaves it."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "foreign")


@pytest.mark.usefixtures("_foreign")
def test_an_engine_of_another_package_is_opened_by_its_url(tmp_path: Path) -> None:
    index = open_index("plain://shop", tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(5), vectors(5))
    assert index.publish("pixels").rows == 5
    reader = open_index("plain://shop", tmp_path)
    assert reader.search(vectors(5)[3], 1, Filter())[0].image_hash == "im3"
    assert open_index("plain://other", tmp_path).snapshot is None
    assert health(reader) == ("", True)


@pytest.mark.usefixtures("_foreign")
def test_engines_of_other_packages_are_listed_and_take_over_none_of_ours(tmp_path: Path) -> None:
    assert type(open_index("lance", tmp_path)).__name__ == "LanceIndex"
    with pytest.raises(UnknownName) as caught:
        open_index("foo://x", tmp_path)
    assert "broken, exact, lance, milvus, plain" in caught.value.hint
    with pytest.raises(ConfigError, match="plain_index_not_there") as failed:
        open_index("broken://x", tmp_path)
    assert "plain-index" in failed.value.hint


@pytest.mark.parametrize(("group", "own"), [(GROUP, OWN), (spread.GROUP, spread.OWN)])
def test_our_own_engines_are_entry_points_too(group: str, own: dict[str, str]) -> None:
    """Of the metadata that an installed package has: the two lists say the same."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["entry-points"][group] == own
    for name in own:
        assert callable(engine(group, own, name, "index"))


# --- the planner ---


def test_plan() -> None:
    tuned = {"partitions": 50, "nprobes": 10}
    assert plan(200_000, 200_000, tuned) == Plan(10, whole=False)
    assert plan(200_000, 100_000, tuned) == Plan(19, whole=False)
    assert plan(200_000, 40_000, tuned) == Plan(43, whole=False)
    assert plan(200_000, 10_000, tuned) == Plan(50)
    for rows in (100_000, 1_000_000):
        assert plan(rows, 2048, tuned) == Plan(0)
        assert plan(rows, 2049, tuned) == Plan(50)
    assert widest(Plan(10, whole=False), tuned) == Plan(50)


# --- the pointer ---


def test_the_pointer_comes_back(tmp_path: Path) -> None:
    assert pointer.read(tmp_path) is None
    one = pointer.Pointer(SNAPSHOT, {"nprobes": 20}, "v_a@1")
    pointer.write(tmp_path, one)
    assert pointer.read(tmp_path) == one
    assert [path.name for path in tmp_path.iterdir()] == ["CURRENT.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"snapshot": {}}', "\x00\xff"])
@pytest.mark.parametrize("url", ["lance", "exact"])
def test_a_damaged_pointer_is_told(tmp_path: Path, url: str, text: str) -> None:
    (tmp_path / "lance").mkdir()
    (tmp_path / "lance" / "CURRENT.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StateError) as caught:
        open_index(url, tmp_path).search(np.ones(4, np.float32), 1, Filter())
    assert "CURRENT.json" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("url", ["lance", "exact"])
def test_a_pointer_to_nothing_is_told(tmp_path: Path, url: str) -> None:
    (tmp_path / "lance").mkdir()
    pointer.write(tmp_path / "lance", pointer.Pointer(SNAPSHOT, {"repeat": 1.0, "partitions": 0}))
    with pytest.raises(StateError) as caught:
        open_index(url, tmp_path).search(np.ones(4, np.float32), 1, Filter())
    assert caught.value.hint


# --- what only the Lance index does ---


def test_recall_below_the_promise_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance, "ANN_ROWS", 500)
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(600), vectors(600))
    first = index.publish("pixels")
    index.delete([rows(1)[0].row_id])
    strict = open_index("lance", tmp_path, fingerprint=PRINT, dim=16, min_recall=1.01)
    with pytest.raises(StateError) as caught:
        strict.publish("pixels")
    assert "min_recall" in caught.value.hint
    assert index.snapshot == first
    assert len(index.search(vectors(1)[0], 1000, Filter())) == 600
    second = index.publish("pixels")
    assert second.rows == 599
    with pytest.raises(StateError):  # nothing changed since, but more is asked of it
        strict.publish("pixels")
    assert index.snapshot == second


@pytest.mark.parametrize("ann_rows", [500, 5000])
@pytest.mark.parametrize("while_open", [True, False])
def test_damage_that_the_seal_does_not_see_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ann_rows: int, while_open: bool
) -> None:
    """Its digest is of some places of a large file; and who has a file open does not look again."""
    monkeypatch.setattr(lance, "ANN_ROWS", ann_rows)
    if not while_open:
        monkeypatch.setattr(module, "_digest", lambda path: path.stat().st_size)
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(600), vectors(600))
    folder = tmp_path / "lance" / index.publish("pixels").location
    reader = open_index("lance", tmp_path)
    true = Filter(stores=("shop",), in_stock=True)
    before = reader.search(vectors(1)[0], 20, Filter(in_stock=True))
    file, size = folder / module.ROWS, (folder / module.ROWS).stat().st_size
    with pa.memory_map(str(file)) as source:
        begin = source.read_buffer().address
        source.seek(0)
        codes = pa.ipc.open_file(source).read_all()["store"].chunk(0).indices.buffers()[1]
        at = codes.address - begin
    with file.open("r+b") as damaged:
        damaged.seek(at)
        damaged.write(b"\x7f" * 40)
    assert file.stat().st_size == size
    if not while_open:
        reader = open_index("lance", tmp_path)
    assert reader.search(vectors(1)[0], 20, true) == before
    assert reader.search(vectors(1)[0], 20, Filter(stores=("shop",))) == before


def test_what_is_no_damage_of_the_files_is_not_mended_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To make them takes minutes where rows are many; a search that they do not help is told so."""
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(60), vectors(60))
    index.publish("pixels")
    made: list[Path] = []
    real, kept = module.made, Columns.kept

    def counted(table: Table, folder: Path, *, in_partitions: bool) -> None:
        made.append(folder)
        real(table, folder, in_partitions=in_partitions)

    def strange(self: Columns, where: Filter) -> Selection | None:
        if where.stores:
            raise ValueError("of another reason")
        return kept(self, where)

    monkeypatch.setattr(module, "made", counted)
    monkeypatch.setattr(Columns, "kept", strange)
    reader = open_index("lance", tmp_path)
    before = reader.search(vectors(1)[0], 20, Filter())
    for _ in range(3):
        with pytest.raises(StateError, match="is damaged"):
            reader.search(vectors(1)[0], 20, Filter(stores=("shop",)))
        assert reader.search(vectors(1)[0], 20, Filter()) == before
    assert len(made) == 1


def left_behind(folder: Path) -> set[str]:
    """What of an index is neither its table, with its note, nor what is searched."""
    searched = pointer.read(folder)
    keeps = {pointer.NAME, searched.snapshot.location if searched else ""}
    table = (f"v_{PRINT}.lance", f"v_{PRINT}.noted.npz")
    return {path.name for path in folder.iterdir()} - keeps - set(table)


@pytest.mark.parametrize("refused", [True, False])
def test_what_killed_publishes_left_goes_when_the_next_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """And not only when one succeeds: whoever is killed at the same place each time would fill the disk."""
    monkeypatch.setattr(lance, "ANN_ROWS", 500)
    root = tmp_path / "lance"
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)

    def killed() -> None:
        for name in (f".v_{PRINT}@9.123.part", f".v_{PRINT}@new.x.part", f"v_{PRINT}@1"):
            (root / name / ".columns.y").mkdir(parents=True)
        for name in (".CURRENT.json.12.tmp", f".v_{PRINT}.noted.npz.34.tmp"):
            (root / name).write_bytes(b"half")

    killed()
    assert isinstance(index, Fillable)
    with pytest.raises(RuntimeError, match="no vectors"):
        index.fill(broken())
    assert left_behind(root) == {f"v_{PRINT}@1"}
    index.upsert(rows(600), vectors(600))
    first = index.publish("pixels")
    killed()
    if refused:
        index.delete([rows(1)[0].row_id])
        strict = open_index("lance", tmp_path, fingerprint=PRINT, dim=16, min_recall=1.01)
        monkeypatch.setattr(module, "made", stopped)
        with pytest.raises(StateError):
            strict.publish("pixels")
    else:  # nothing changed: what was killed had published, and could not clear away any more
        assert index.publish("pixels") == first
    assert left_behind(root) == set()
    assert len(index.search(vectors(1)[0], 1000, Filter())) == 600


def broken() -> Iterator[Any]:
    raise RuntimeError("no vectors")
    yield


def stopped(*_: object, **__: object) -> None:
    raise StateError("the disk is full")


def test_what_is_published_follows_what_is_staged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance, "ANN_ROWS", 500)
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    for n in (100, 600, 2300, 2500):
        index.upsert(rows(n), vectors(n))
        snapshot = index.publish("pixels")
        assert snapshot.rows == n
        assert snapshot.recall >= 0.98
        (folder,) = (tmp_path / "lance").glob("v_*@*")
        assert folder.name == snapshot.location
        assert (folder / "partitions.faiss").exists() == (n >= 600)
        assert index.search(vectors(n)[-1], 1, Filter())[0].image_hash == f"im{n - 1}"
    index.delete([row.row_id for row in rows(50)])
    index.upsert(rows(2500)[100:200], vectors(2500)[100:200])
    before = dict(zip(*(column.tolist() for column in index.staged()), strict=True))
    assert index.publish("pixels").rows == 2450
    assert dict(zip(*(column.tolist() for column in index.staged()), strict=True)) == before
    assert index.search(vectors(2500)[77], 1, Filter())[0].image_hash == "im77"
    everything = {c.image_hash for c in index.search(vectors(2500)[7], 3000, Filter())}
    assert everything == {f"im{i}" for i in range(50, 2500)}


@pytest.mark.parametrize("ann_rows", [500, 50_000])
@pytest.mark.parametrize("harm", ["folder", "rows.arrow", "vectors.f32", "partitions.faiss"])
@pytest.mark.parametrize("how", ["gone", "cut"])
def test_files_that_are_gone_or_damaged_are_made_again(
    how: str, harm: str, ann_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the table, by whoever searches first: also what an earlier version published without them."""
    monkeypatch.setattr(lance, "ANN_ROWS", ann_rows)
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(600), vectors(600))
    snapshot = index.publish("pixels")
    wanted = index.search(vectors(9)[8], 30, Filter())
    folder = tmp_path / "lance" / snapshot.location
    file = folder / harm
    if harm == "folder":
        shutil.rmtree(folder)
    elif not file.exists():
        return
    elif how == "gone":
        file.unlink()
    else:  # another file in its place: `index` has the one that was there mapped
        half = file.read_bytes()[: file.stat().st_size // 2]
        file.unlink()
        file.write_bytes(half)
    again = open_index("lance", tmp_path)
    assert again.snapshot == snapshot
    assert again.search(vectors(9)[8], 30, Filter()) == wanted
    assert {path.name for path in folder.iterdir()} >= {"rows.arrow", "vectors.f32"}


@pytest.mark.parametrize("ann_rows", [500, 50_000])
@pytest.mark.parametrize("harm", ["folder", "rows.arrow", "vectors.f32", "partitions.faiss"])
@pytest.mark.parametrize("how", ["of another version", "zeros"])
def test_files_of_another_version_are_made_again(
    how: str, harm: str, ann_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of as many rows: put back from a copy, or emptied by a power cut at their length."""
    monkeypatch.setattr(lance, "ANN_ROWS", ann_rows)
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(600), vectors(600))
    before = tmp_path / "before"
    shutil.copytree(tmp_path / "lance" / index.publish("pixels").location, before)
    index.upsert(rows(600), vectors(600)[::-1])
    folder = tmp_path / "lance" / index.publish("pixels").location
    wanted = index.search(vectors(9)[8], 30, Filter())
    for file in sorted(folder.iterdir()):
        if harm in {"folder", file.name}:
            data = (before / file.name).read_bytes()
            file.unlink()
            file.write_bytes(data if how == "of another version" else bytes(len(data)))
    assert open_index("lance", tmp_path).search(vectors(9)[8], 30, Filter()) == wanted


@pytest.mark.parametrize("begin", [0, 1, 9])
@pytest.mark.parametrize("n", [0, 1, 8, 21])
def test_columns_are_read_from_their_own_bytes(begin: int, n: int) -> None:
    """Also from the middle of a longer one, as a slice is."""
    draw = np.random.default_rng(n)
    numbers = pa.array(draw.integers(-(2**62), 2**62, 40)).slice(begin, n)
    assert _numbers(numbers, np.int64).tolist() == numbers.to_pylist()
    small = pa.array(draw.integers(-9, 9, 40), pa.int32()).slice(begin, n)
    assert _numbers(small, np.int32).tolist() == small.to_pylist()
    flags = pa.array((draw.random(40) < 0.5).tolist()).slice(begin, n)
    assert _flags(flags).tolist() == flags.to_pylist()


def test_equal_rows_make_equal_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance, "ANN_ROWS", 500)
    made = []
    for name in "ab":
        index = open_index("lance", tmp_path / name, fingerprint=PRINT, dim=16)
        index.upsert(rows(900), vectors(900))
        folder = tmp_path / name / "lance" / index.publish("pixels").location
        made.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert len(made[0]) == 4
    assert made[0] == made[1]


def test_a_search_needs_neither_lance_nor_pandas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow loads pandas, where that is installed, as soon as it is asked for a column of NumPy's."""
    monkeypatch.setattr(lance, "ANN_ROWS", 500)
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    hashed = [replace(row, image_hash=f"{n:064x}") for n, row in enumerate(rows(600))]
    index.upsert(hashed, vectors(600))
    index.publish("pixels")
    program = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from lensback.indexes import open_index; from lensback.types import Filter\n"
        f"index = open_index('lance', Path({str(tmp_path)!r}))\n"
        "found = index.search(np.ones(16, np.float32), 5, Filter(stores=('shop',)))\n"
        "sys.exit(len(found) != 5 or 'lancedb' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_what_is_published_and_staged_is_known_without_lance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(50), vectors(50))
    staged = dict(zip(*(column.tolist() for column in index.staged()), strict=True))
    first = index.publish("pixels")

    def later() -> Index:
        return open_index("lance", tmp_path, fingerprint=PRINT, dim=16)

    with monkeypatch.context() as patch:
        patch.setattr(TableFolder, "_connect", lambda self: pytest.fail("the table was opened"))
        assert dict(zip(*(c.tolist() for c in later().staged()), strict=True)) == staged
        assert later().publish("pixels") == first
    index.delete([rows(1)[0].row_id])
    assert len(later().staged()[0]) == 49, "what is noted is of before"
    second = later().publish("pixels")
    assert (second.rows, second.id == first.id) == (49, False)
    shutil.rmtree(next((tmp_path / "lance").glob("*.lance")) / "data")
    with pytest.raises(Damaged):
        later().staged()
    assert later().set_aside()  # type: ignore[attr-defined]
    assert later().staged()[0].tolist() == []
    assert not later().set_aside()  # type: ignore[attr-defined]


def batches(n: int) -> Iterator[tuple[list[IndexRow], np.ndarray]]:
    every, near = rows(n), vectors(n)
    return ((every[at : at + 400], near[at : at + 400]) for at in range(0, n, 400))


def test_what_is_filled_in_one_go_is_what_batches_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one fragment, so that nothing is left to be joined; and it can be changed as any other."""
    monkeypatch.setattr(lance, "ANN_ROWS", 500)
    made = []
    for name in ("filled", "upserted"):
        index = open_index("lance", tmp_path / name, fingerprint=PRINT, dim=16)
        if name == "filled":
            assert isinstance(index, Fillable)
            index.fill(iter(()))
            assert len(index.staged()[0]) == 0
            index.fill(batches(900))
            table = TableFolder(tmp_path / name / "lance", "the index", "").table(PRINT)
            assert table
            assert table.raw.stats()["fragment_stats"]["num_fragments"] == 1
        else:
            for some in batches(900):
                index.upsert(*some)
        staged = dict(zip(*(column.tolist() for column in index.staged()), strict=True))
        assert staged == {row.row_id: row_digest(row) for row in rows(900)}
        folder = tmp_path / name / "lance" / index.publish("pixels").location
        made.append({path.name: path.read_bytes() for path in folder.glob("[!s]*")})
        index.upsert([replace(rows(1)[0], price_high=9)], vectors(1))
        index.delete([rows(900)[5].row_id])
        assert index.publish("pixels").rows == 899
    assert made[0] == made[1]


def test_an_index_that_cannot_be_filled_stays_empty(tmp_path: Path) -> None:
    """The error is the one of who gave the rows; no file is left."""

    def broken_off() -> Iterator[tuple[list[IndexRow], np.ndarray]]:
        yield from batches(800)
        raise KeyError("a reason of its own")

    def of_two_encoders() -> Iterator[tuple[list[IndexRow], np.ndarray]]:
        yield from batches(400)
        yield rows(9), vectors(9, dim=8)

    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    assert isinstance(index, Fillable)
    with pytest.raises(KeyError, match="of its own"):
        index.fill(broken_off())
    with pytest.raises(StaleIndex, match="8 numbers do not fit"):
        index.fill(of_two_encoders())
    assert len(index.staged()[0]) == 0
    assert {path.name for path in (tmp_path / "lance").iterdir()} <= {f"v_{PRINT}.lance"}
    index.fill(batches(400))
    assert len(index.staged()[0]) == 400
    with pytest.raises(StaleIndex, match="8 numbers do not fit"):
        index.fill(iter([(rows(9), vectors(9, dim=8))]))
    assert len(index.staged()[0]) == 400


def test_partitions_of_an_earlier_version_are_probed_in_proportion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pointer tells of an index in the table: until the next publish files of ours stand for it."""
    monkeypatch.setattr(lance, "ANN_ROWS", 500)
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(4000), vectors(4000))
    first = index.publish("pixels")
    held = pointer.read(tmp_path / "lance")
    assert held
    before = {"partitions": 2.0, "nprobes": 1.0, "repeat": 1.0, "trained_rows": 4000.0}
    pointer.write(tmp_path / "lance", pointer.Pointer(held.snapshot, before))
    shutil.rmtree(tmp_path / "lance" / first.location)
    reader = open_index("lance", tmp_path)
    assert reader.search(vectors(4000)[5], 1, Filter())[0].image_hash == "im5"
    found = reader._current.get()  # type: ignore[attr-defined]
    assert found._parameters(found._files.partitions)["nprobes"] == 5
    second = index.publish("pixels")
    assert (second.rows, second.id == first.id) == (4000, False)
    assert pointer.read(tmp_path / "lance").parameters == held.parameters  # type: ignore[union-attr]


def test_every_file_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a write returns: Lance itself flushes none, and a power cut would cost them."""
    flushed: set[int] = set()
    real = os.fsync

    def fsync(handle: int) -> None:
        flushed.add(os.fstat(handle).st_ino)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)

    def unflushed() -> list[str]:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert files
        return [path.name for path in files if path.stat().st_ino not in flushed]

    store = VectorStore(tmp_path / "vectors")
    store.append(PRINT, [f"im{i}" for i in range(10)], vectors(10))
    assert unflushed() == []
    store.forget(PRINT, ["im3"])
    assert unflushed() == []
    store.tidy()
    assert unflushed() == []
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(600), vectors(600))
    assert unflushed() == []
    index.delete([rows(1)[0].row_id])
    assert unflushed() == []
    monkeypatch.setattr(lance, "ANN_ROWS", 500)
    index.publish("pixels")
    assert unflushed() == []


def test_the_table_of_the_encoder_before_stays_for_late_readers(tmp_path: Path) -> None:
    """Until the next change of the encoder, however often is published meanwhile."""

    def tables() -> list[str]:
        return sorted(path.name[2:4] for path in (tmp_path / "lance").glob("*.lance"))

    for n, (fingerprint, kept) in enumerate(
        [("a0", ["a0"]), ("b0", ["a0", "b0"]), ("b0", ["a0", "b0"]), ("c0", ["b0", "c0"])]
    ):
        index = open_index("lance", tmp_path, fingerprint=fingerprint * 8, dim=16)
        index.upsert(rows(n + 1), vectors(n + 1))
        index.publish("pixels")
        assert tables() == kept


def test_old_versions_go_but_never_the_searched_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An hour passes in no time: versions count as old when they are older than the searched one.
    real = Table.age
    monkeypatch.setattr(
        Table, "age", lambda table, version: real(table, version) - timedelta(hours=1)
    )
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    reader = open_index("lance", tmp_path)
    for n in range(10, 60, 10):
        index.upsert(rows(n), vectors(n))
        index.upsert(rows(n), vectors(n))
        if n > 10:
            assert len(reader.search(vectors(1)[0], 100, Filter())) == n - 10
        snapshot = index.publish("pixels")
        searched = int(snapshot.location.rpartition("@")[2])
        held = open_index("lance", tmp_path)
        assert len(held.search(vectors(1)[0], 100, Filter())) == n
    versions = [known["version"] for known in index._writing.raw.list_versions()]
    assert searched in versions
    assert min(versions) > 5


def test_equally_near_images_come_in_the_order_of_their_hashes(tmp_path: Path) -> None:
    index = open_index("exact", tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(9)[::-1], np.repeat(vectors(1), 9, axis=0))
    index.publish("pixels")
    for k in (1, 4, 9, 20):
        found = index.search(vectors(1)[0], k, Filter())
        assert [c.image_hash for c in found] == [f"im{i}" for i in range(9)][:k]


def test_the_pointer_holds_what_a_query_needs(tmp_path: Path) -> None:
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(10), vectors(10))
    index.publish("pixels")
    held = json.loads((tmp_path / "lance" / "CURRENT.json").read_text())
    assert held["parameters"] == {"partitions": 0, "repeat": 1.0}
    assert held["snapshot"]["location"].startswith(f"v_{PRINT}@")


def test_exact_is_a_threshold_of_the_same_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`exact` compares all rows of what `lance` published, and the other way round."""
    monkeypatch.setattr(lance, "ANN_ROWS", 500)
    approximate = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    approximate.upsert(rows(800), vectors(800))
    first = approximate.publish("pixels")
    held = json.loads((tmp_path / "lance" / "CURRENT.json").read_text())
    assert held["parameters"]["partitions"] > 0
    exact = open_index("exact", tmp_path, fingerprint=PRINT, dim=16)
    assert exact.snapshot == first
    drawn = np.random.default_rng(3).standard_normal((20, 16)).astype(np.float32)
    for query in drawn:
        best = [f"im{i}" for i in np.argsort(-(vectors(800) @ query))[:50]]
        assert [c.image_hash for c in exact.search(query, 50, Filter())] == best
    second = exact.publish("pixels")
    assert (second.recall, second.id == first.id) == (1.0, False)
    assert exact.publish("pixels") == second
    held = json.loads((tmp_path / "lance" / "CURRENT.json").read_text())
    assert held["parameters"]["partitions"] == 0
    third = approximate.publish("pixels")
    assert (third.id == second.id, third.rows) == (False, 800)


@pytest.mark.parametrize(
    "texts",
    [
        [f"{n:064x}" for n in range(9)],
        ["a", "bb", "ccc"],
        ["", "", ""],
        ["é1", "abc", "ü2"],
        ["a\0", "b\0", "\0\0"],
    ],
    ids=["hashes", "of several lengths", "empty", "bytes alike, not signs", "nothing at the end"],
)
@pytest.mark.parametrize("cut", [0, 1], ids=["whole", "a part of a longer one"])
@pytest.mark.parametrize("pieces", [1, 2])
def test_texts_of_some_rows_are_those_of_the_column(
    texts: list[str], cut: int, pieces: int
) -> None:
    array = pa.array([*["x" * 7] * cut, *texts]).slice(cut)
    found = _Texts(pa.chunked_array([array] * pieces))
    for rows in ([2, 0, 2], [], [1], list(range(len(texts) * pieces))):
        wanted = [(texts * pieces)[row] for row in rows]
        assert found.of(np.array(rows, np.intp)) == wanted
    assert _Texts(pa.chunked_array([pa.array(["a", None])])).of(np.array([0])) == ["a"]
    assert _Texts(pa.chunked_array([], pa.string())).of(np.array([], np.intp)) == []


FIRST_SEARCH = """
import sys
from importlib import import_module
from pathlib import Path
import numpy as np
from lensback import indexes
from lensback.types import Filter
for name in indexes.imports(sys.argv[1]):
    import_module(name)
heavy = {"pyarrow", "faiss", "lancedb", "lance", "pymilvus"}
before = heavy & set(sys.modules)
found = indexes.open_index(sys.argv[1], Path(sys.argv[2])).search(np.ones(16, np.float32) / 4, 3, Filter())
print(len(found), sorted(before), sorted(heavy & set(sys.modules) - before))
"""


@pytest.mark.parametrize("name", sorted(OWN))
def test_what_an_index_imports_stands_beside_its_engine(name: str, tmp_path: Path) -> None:
    """A start imports it in one thread: opening and searching imports nothing more, and nothing is named in vain."""
    module_of, *libraries = indexes.imports(f"{name}://localhost:1/x")
    assert OWN[name].startswith(f"{module_of}:")
    if name == "milvus":
        assert libraries == ["pymilvus"]
        return
    index = open_index(name, tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(40), vectors(40))
    index.publish("pixels")
    asked = [sys.executable, "-c", FIRST_SEARCH, name, str(tmp_path)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"3 {sorted(libraries)} []"
    assert indexes.imports("of-another-package://x") == ()
