"""How a search reads what partitions found: where rows lie, how their vectors are read, in what order they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lensback.errors import BadQuery
from lensback.indexes import lance, open_index, row_id
from lensback.indexes.partitions import BLOCK, MAPPED, _vectors
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
