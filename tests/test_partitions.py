"""How a search reads what partitions found: where rows lie, how their vectors are read, in what order they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback.errors import BadQuery
from lensback.indexes import lance, open_index, partitions, row_id
from lensback.indexes.columns import Columns, Selection
from lensback.indexes.partitions import BLOCK, MAPPED, Partitions, _bytes, _vectors
from lensback.indexes.rows import query, unit
from lensback.indexes.scan import distinct
from lensback.types import Filter, IndexRow, Money

PRINT = "b3" * 8


def rows(n: int) -> list[IndexRow]:
    made = []
    for i in range(n):
        key = (f"im{i}", "shop", "Shoes", True, "EUR")
        made.append(IndexRow(row_id(*key), *key, price_low=1, price_high=i))
    return made


def vectors(n: int, dim: int = 16) -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal((n, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_rows_lie_partition_by_partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So what one search finds lies close together in the file of vectors."""
    n = BLOCK + 900
    monkeypatch.setattr(lance, "ANN_ROWS", 500)
    index = open_index("lance", tmp_path, fingerprint=PRINT, dim=16)
    index.upsert(rows(n), vectors(n))
    index.publish("pixels")
    files = index._current.get()._files  # type: ignore[attr-defined]
    lists = files.partitions._index.invlists
    at = 0
    for partition in range(files.partitions.split):
        size = lists.list_size(partition)
        held = [lists.get_single_id(partition, place) for place in range(size)]
        assert held == list(range(at, at + size))
        at += size
    assert at == n
    names = files.partitions._columns.images(np.arange(n))
    assert names != [f"im{i}" for i in range(n)]
    assert (files.vectors == unit(vectors(n))[[int(name[2:]) for name in names]]).all()
    for price in (0, 7, n // 2):
        found = index.search(vectors(n)[5], 3, Filter(price_min=Money(price, "EUR")))
        assert all(int(one.image_hash[2:]) >= price for one in found)
        assert len(found) == 3


@pytest.mark.parametrize("kept", [slice(0, 9), slice(0, 900, 90), slice(0, MAPPED), slice(0, 0)])
def test_vectors_are_read_one_by_one_or_mapped(tmp_path: Path, kept: slice) -> None:
    held = vectors(900, 256)
    held.tofile(tmp_path / "vectors")
    rows = np.arange(900)[::-1][kept]
    with (tmp_path / "vectors").open("rb") as file:
        assert (_vectors(file.fileno(), 256, rows) == held[rows]).all()


def test_each_image_once_best_first() -> None:
    near = np.array([0.5, 1.0000001, 0.25, 0.5, -1.0000001, 0.75], np.float32)
    found = distinct(["b", "c", "d", "a", "e", "d"], near)
    told = [("c", 1.0), ("d", 0.75), ("a", 0.5), ("b", 0.5), ("e", -1.0)]
    assert [(one.image_hash, one.similarity) for one in found] == told
    assert distinct([], np.empty(0, np.float32)) == []


def test_a_query_is_a_unit_vector() -> None:
    for one in (vectors(1)[0] * 7, vectors(1)[0].astype(np.float64), np.ones(16, np.int64)):
        asked = query(one, 16)
        assert asked.dtype == np.float32
        assert np.abs(asked - unit(one[None])[0]).max() < 1e-7
    for wrong in (0.0, np.nan, np.inf):
        with pytest.raises(BadQuery):
            query(np.full(16, wrong, np.float32), 16)


# ---- what a narrow filter keeps

ROWS, NARROW = 60_000, 300
NARROWEST = {"partitions": 150, "nprobes": 0.2, "repeat": 1.0}
"""Of the partitions a sixth is probed for a narrow filter: what lies there is far from all."""


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is narrow is not few here."""
    monkeypatch.setattr(partitions, "FEW", NARROW - 100)


def columns(order: np.ndarray, images: int = ROWS) -> Columns:
    """A row for each vector: its image is its number, its price, too."""
    number = order % images
    word = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(order), np.int32)), ["EUR"])
    price = pa.array(order.astype(np.int64))
    return Columns(
        pa.table(
            {
                "image_hash": [f"{n:08x}" for n in number],
                **dict.fromkeys(("store", "category", "currency"), word),
                "in_stock": pa.array(np.ones(len(order), bool)),
                "price_low": price,
                "price_high": price,
            }
        )
    )


def opened(folder: Path, held: np.ndarray, *, renumbered: bool = True) -> Partitions:
    order = partitions.write(held, folder / "partitions", renumbered=renumbered)
    if not renumbered:
        order = np.arange(len(held))
    held[order].tofile(folder / "vectors")
    read = partitions.read(folder / "partitions")
    return Partitions(read, columns(order), held[order], folder / "vectors")


@pytest.fixture(scope="module")
def held() -> np.ndarray:
    """In no clusters: the nearest lie in any partition."""
    return vectors(ROWS, 16)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, held: np.ndarray) -> Partitions:
    return opened(tmp_path_factory.mktemp("narrow"), held)


def nearest(held: np.ndarray, query: np.ndarray, kept: int) -> list[str]:
    return [f"{n:08x}" for n in np.argsort(-(held[:kept] @ query))[:10]]


def below(kept: int) -> Filter:
    return Filter(price_max=Money(kept - 1, "EUR"))


@pytest.mark.usefixtures("fewer")
def test_all_rows_of_a_narrow_filter_are_compared(narrow: Partitions, held: np.ndarray) -> None:
    for asked in held[::6000]:
        found = narrow.search(asked, 10, below(NARROW), NARROWEST)
        assert [one.image_hash for one in found] == nearest(held, asked, NARROW)
        exact = sorted((held[:NARROW] @ asked).tolist(), reverse=True)[:10]
        assert [one.similarity for one in found] == pytest.approx(exact, abs=1e-6)
    assert narrow._many
    assert narrow._many.cache_info().misses == 1, "gathered once for all vectors"


@pytest.mark.usefixtures("fewer")
def test_wider_filters_probe(narrow: Partitions, held: np.ndarray) -> None:
    assert narrow._many
    before = narrow._many.cache_info().misses
    for kept in (ROWS // 10, ROWS // 2, ROWS):
        narrow.search(held[7], 10, below(kept), NARROWEST)
    assert narrow._many.cache_info().misses == before


@pytest.mark.usefixtures("fewer")
def test_more_than_many_rows_are_not_gathered(
    narrow: Partitions, held: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "MANY", NARROW)
    assert narrow._many
    before = narrow._many.cache_info().misses
    narrow.search(held[7], 10, below(NARROW + 1), NARROWEST)
    assert narrow._many.cache_info().misses == before


@pytest.mark.usefixtures("fewer")
def test_partitions_of_an_earlier_numbering_probe(tmp_path: Path, held: np.ndarray) -> None:
    made = opened(tmp_path, held, renumbered=False)
    assert made._many is None
    everywhere = NARROWEST | {"nprobes": 150}
    found = made.search(held[7], 10, below(NARROW), everywhere)
    assert [one.image_hash for one in found] == nearest(held, held[7], NARROW)


def test_single_bytes_are_those_of_their_rows(tmp_path: Path) -> None:
    """Where pictures are the same, partitions are empty."""
    same = np.repeat(vectors(7, 16), 300, axis=0)
    partitions.write(same, tmp_path / "partitions", renumbered=True)
    index = partitions.read(tmp_path / "partitions")
    every = _bytes(index)
    assert every
    lists, at = index.invlists, 0
    for partition in range(index.nlist):
        size = lists.list_size(partition)
        if size:
            codes = partitions._faiss().rev_swig_ptr(lists.get_codes(partition), size * 16)
            assert (every.of(np.arange(at, at + size)) == codes.reshape(size, 16)).all()
        at += size
    assert at == len(same)


@pytest.mark.usefixtures("fewer")
def test_an_image_in_many_rows_comes_once(tmp_path: Path, held: np.ndarray) -> None:
    order = partitions.write(held, tmp_path / "partitions", renumbered=True)
    held[order].tofile(tmp_path / "vectors")
    read = partitions.read(tmp_path / "partitions")
    made = Partitions(read, columns(order, images=40), held[order], tmp_path / "vectors")
    found = [one.image_hash for one in made.search(held[7], 40, below(NARROW), NARROWEST)]
    assert sorted(found) == [f"{n:08x}" for n in range(40)]


@given(st.lists(st.booleans(), max_size=70))
def test_the_rows_of_a_selection(mask: list[bool]) -> None:
    kept = Selection(np.packbits(np.array(mask, bool), bitorder="little"), sum(mask))
    assert kept.rows.tolist() == [n for n, one in enumerate(mask) if one]
