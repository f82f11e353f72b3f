"""What is near each of many vectors: the right ones are found, and the work for each does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest

from lensback.indexes.nearby import Nearby, nearby
from lensback.types import Vectors

DIM = 32


def unit(vectors: Vectors) -> Vectors:
    scaled: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def pairs(n: int) -> Vectors:
    """n vectors around n / 20 middles, and a near copy of each; the copy of row i is row n + i."""
    draw = np.random.default_rng(n)
    middles = draw.standard_normal((max(1, n // 20), DIM), dtype=np.float32)
    noise = draw.standard_normal((2, n, DIM), dtype=np.float32)
    own = unit(middles[draw.integers(len(middles), size=n)] + 0.5 * noise[0])
    return np.concatenate([own, unit(own + 0.015 * noise[1])])


def batches(vectors: Vectors, size: int = 1000) -> Iterator[tuple[list[str], Vectors]]:
    for at in range(0, len(vectors), size):
        part = vectors[at : at + size]
        yield [f"{at + n:064x}" for n in range(len(part))], part


def places(near: Nearby, queries: Vectors, k: int) -> list[list[int]]:
    return [[int(one.image_hash, 16) for one in found] for found in near.of(queries, k)]


def test_a_copy_is_found_and_similarities_are_nearly_the_true_ones(tmp_path: Path) -> None:
    n = 6000
    vectors = pairs(n)
    with nearby(batches(vectors), tmp_path) as near:
        found = near.of(vectors[:500], 2)
    assert not list(tmp_path.iterdir()), "what was written is gone"
    copies = [{int(one.image_hash, 16) for one in own} for own in found]
    assert sum(kept == {i, n + i} for i, kept in enumerate(copies)) >= 495
    for query, own in zip(vectors, found, strict=False):
        assert own[0].similarity >= own[1].similarity
        for one in own:
            true = float(query @ vectors[int(one.image_hash, 16)])
            assert one.similarity == pytest.approx(true, abs=0.02)


def test_few_are_all_compared() -> None:
    vectors = pairs(3)
    with nearby(batches(vectors, 2)) as near:
        assert sorted(places(near, vectors[:1], 99)[0]) == list(range(6))
        assert places(near, vectors[:0], 3) == []


def test_names_of_any_length_come_back() -> None:
    vectors = pairs(2)
    names = ["a", "ß" * 30, "b" * 64, "c"]
    with nearby([(names[:2], vectors[:2]), (names[2:], vectors[2:])]) as near:
        assert {one.image_hash for one in near.of(vectors[:1], 4)[0]} == set(names)


def test_the_work_for_each_does_not_grow_with_their_number() -> None:
    looked_at = []
    stats = faiss.cvar.indexIVF_stats
    for n in (4000, 16_000):
        vectors = pairs(n)
        with nearby(batches(vectors)) as near:
            stats.reset()
            near.of(vectors[:200], 10)
        looked_at.append(stats.ndis / 200)
    assert looked_at[0] < 8000, "not all are compared"
    assert looked_at[1] < 1.5 * looked_at[0]


def test_names_of_every_length_are_told_whole(tmp_path: Path) -> None:
    vectors = pairs(3)
    names = ["", "a", "ñandú", "b" * 300, "0", "帽子"]
    with nearby([(names[:2], vectors[:2]), (names[2:], vectors[2:])], tmp_path) as near:
        found = near.of(vectors, 1)
    assert [own[0].image_hash for own in found] == names
