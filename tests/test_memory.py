"""Memory that is freed goes back, and what is made of a table does not hold it whole."""

from __future__ import annotations

import gc
import io
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lensback import group, memory, showings
from lensback.catalogue.products import Member
from lensback.images import ImageStore
from lensback.indexes import partitions, published
from lensback.indexes.rows import schema
from lensback.lancedata import TableFolder
from lensback.likeness import signature
from lensback.stems import stems_of
from lensback.types import Vectors
from lensback.vectors import INDEXED_ROWS, VectorStore

FREED = """
import ctypes, re, sys
from pathlib import Path
from lensback import memory

def own_mb():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10

if sys.argv[1] == "little":
    memory.keep_little()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
before = own_mb()
for _ in range(2):  # by the second time glibc has learnt how large a piece is
    piece = libc.malloc(ctypes.c_size_t(30 << 20))
    ctypes.memset(piece, 1, 30 << 20)
    libc.free(piece)
print(own_mb() - before)
"""


def kept_mb(how: str) -> int:
    """Megabytes that a process holds after it has freed a piece of thirty."""
    line = [sys.executable, "-c", FREED, how]
    return int(subprocess.run(line, check=True, capture_output=True, text=True).stdout)


def test_what_is_freed_goes_back() -> None:
    assert kept_mb("as it is") >= 25, "glibc no longer keeps it: this module may go"
    assert kept_mb("little") <= 5


HEAPS = """
import ctypes, sys, threading
from pathlib import Path
from lensback import memory
from lensback.catalogue import stores
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace, init

folder = Path(sys.argv[2]).with_name("w")
if sys.argv[1] == "little":
    memory.keep_little()
elif sys.argv[1] == "feeds":
    feed = folder.with_name("feed.csv")
    feed.write_text("id,title,link,price,image_link\\n1,Hat,https://a.example/1,9 EUR,https://a.example/1.jpg\\n")
    init(folder)
    with Workspace(folder, Settings(encoder="pixels")) as workspace:
        stores.add(workspace.db, "a", str(feed))
        assert not sync(workspace, only="ingest").failed
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
together = threading.Barrier(6)

def asks():
    together.wait()
    libc.malloc(100)
    together.wait()

threads = [threading.Thread(target=asks) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.parametrize("how", ["as it is", "little", "feeds"])
def test_threads_share_few_heaps(how: str, tmp_path: Path) -> None:
    """Each that has its own keeps what it freed from the others. Who reads feeds shares them, too."""
    line = [sys.executable, "-c", HEAPS, how, str(tmp_path / "told")]
    subprocess.run(line, check=True)
    heaps = (tmp_path / "told").read_text().count("<heap nr=")
    assert (heaps <= memory.HEAPS) == (how != "as it is"), heaps


def read_mb() -> float:
    """Megabytes that this process has read of files so far."""
    return int(Path("/proc/self/io").read_text().split()[1]) / 2**20


def test_a_few_vectors_are_got_by_reading_little(tmp_path: Path) -> None:
    """Of a table of which half is in the index of the hashes: of what is not in it, names are looked at and no
    vectors."""
    store, dim = VectorStore(tmp_path), 256
    draw = np.random.default_rng(0)
    for start, n in ((0, INDEXED_ROWS), (INDEXED_ROWS, INDEXED_ROWS - 1)):
        vectors = draw.standard_normal((n, dim), dtype=np.float32)
        store.append("ab" * 8, [f"{at:040}" for at in range(start, start + n)], vectors)
    whole_mb = INDEXED_ROWS * dim * 4 / 2**20
    wanted = [5, INDEXED_ROWS + 7, INDEXED_ROWS + 9000, 11]
    names = [f"{at:040}" for at in wanted]
    store.get("ab" * 8, names)  # what is read once: the head of each file
    before = read_mb()
    found = store.get("ab" * 8, names)
    assert read_mb() - before < whole_mb / 4
    assert np.array_equal(found[:1], store.get("ab" * 8, names[:1]))
    assert np.array_equal(found[1:3], vectors[[7, 9000]])


WRITTEN = """
import re, sys
from pathlib import Path
from lensback.db import Database, sqlite_url

def own_mb():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10

db = Database(sqlite_url(Path(sys.argv[1])))
with db.write() as c:
    c.exec_driver_sql("CREATE TABLE told (n INTEGER PRIMARY KEY, said TEXT)")
before = own_mb()
with db.write() as c:
    for n in range(80):
        c.exec_driver_sql("INSERT INTO told VALUES (?, ?)", [(n * 1000 + k, "x" * 500) for k in range(1000)])
    print(own_mb() - before)
db.close()
"""


def test_forty_megabytes_are_written_by_holding_few_of_them(tmp_path: Path) -> None:
    """In one transaction, as a sync writes."""
    line = [sys.executable, "-c", WRITTEN, str(tmp_path / "catalogue.db")]
    assert int(subprocess.run(line, check=True, capture_output=True, text=True).stdout) < 20


@pytest.mark.parametrize("n", [5, 900, 17_000])
def test_partitions_are_written_as_faiss_writes_them(n: int, tmp_path: Path) -> None:
    """Byte by byte: what is sorted in files is what would come of adding all in memory."""
    draw = np.random.default_rng(n)
    vectors = draw.standard_normal((n, 8), dtype=np.float32)
    partitions.write(vectors, tmp_path / "ours")
    assert [path.name for path in tmp_path.iterdir()] == ["ours"], "nothing is left beside it"

    index = partitions.read(tmp_path / "ours")
    lists = partitions.partitions(n)
    assert (index.ntotal, index.nlist, index.invlists.compute_ntotal()) == (n, lists, n)
    bare = faiss.deserialize_index(faiss.serialize_index(index))
    bare.reset()
    bare.add(vectors)
    faiss.write_index(bare, str(tmp_path / "theirs"))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("n", [0, 1, partitions.MAPPED - 1, partitions.MAPPED, 900])
def test_few_or_many_rows_are_read_from_the_same_file(n: int, tmp_path: Path) -> None:
    """One by one, or from the file mapped for a moment: no longer, so that it does not count as memory."""
    draw = np.random.default_rng(n)
    vectors = draw.standard_normal((1000, 8), dtype=np.float32)
    vectors.tofile(tmp_path / "vectors")
    wanted = np.sort(draw.choice(1000, n, replace=False))
    with (tmp_path / "vectors").open("rb") as file:
        found = partitions._vectors(file.fileno(), 8, wanted)
    assert np.array_equal(found, vectors[wanted])
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def rows(n: int) -> pa.Table:
    """n rows of words in every width, with few and with many different ones."""
    words = ["", "Hüte", "帽子", "a" * 300]
    columns: dict[str, object] = {
        "row_id": range(n), "digest": range(n), "image_hash": [f"{'ñ' * (i % 3)}{i}" for i in range(n)],
        "store": [words[i % 4] for i in range(n)], "category": [f"c{i % 700}" for i in range(n)],
        "in_stock": [i % 3 == 0 for i in range(n)], "currency": ["EUR"] * n,
        "price_low": [i - 5 for i in range(n)], "price_high": [2**62 + i for i in range(n)],
    }  # fmt: skip
    flat = pa.array(np.arange(n * 2, dtype=np.float32))
    columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, 2)
    return pa.table(columns, schema=schema(2))


@pytest.mark.parametrize("gone", ["", "row_id % 3 = 0", "row_id >= 7000", "row_id < 15000", "true"])
def test_pieces_are_all_rows_once(gone: str, tmp_path: Path) -> None:
    """Of several fragments, with rows that were deleted among them, and of an older version."""
    shelf = TableFolder(tmp_path, "the index", "")
    table = shelf.made("ab" * 8, lambda: schema(2))
    for start in (0, 9000):
        table.merge(rows(18_000).slice(start, 9000), "row_id", replace=True)
    held = shelf.at(shelf.name("ab" * 8), table.version)
    if gone:
        table.delete(iter([gone]))
    for one in (held, shelf.at(shelf.name("ab" * 8), table.version)):
        for size in (5000, 100_000):
            found = [batch["row_id"].to_pylist() for batch in one.pieces(["row_id"], size=size)]
            assert [*chain(*found)] == one.read(["row_id"])["row_id"].to_pylist()
            assert max(map(len, found), default=0) <= size


@pytest.mark.parametrize("n", [0, 1, 20_000])
def test_columns_that_were_collected_in_files_are_the_tables(n: int, tmp_path: Path) -> None:
    """Of one batch, of several, of none."""
    table = TableFolder(tmp_path, "the index", "").made("ab" * 8, lambda: schema(2))
    if n:
        table.merge(rows(n), "row_id", replace=True)
    held = TableFolder(tmp_path, "the index", "").at(f"v_{'ab' * 8}", table.version)
    published.made(held, tmp_path / "v@1", in_partitions=False)
    assert sorted(path.name for path in (tmp_path / "v@1").iterdir()) == [
        "rows.arrow", "seal.json", "vectors.f32",
    ]  # fmt: skip
    with pa.memory_map(str(tmp_path / "v@1" / "rows.arrow")) as source:
        found = pa.ipc.open_file(source).read_all()
    wanted = table.read([*published.COLUMNS])
    assert found.column("image_hash").num_chunks <= 1, (
        "one piece, so that nothing is copied to search it"
    )
    assert {name: found[name].to_pylist() for name in found.schema.names} == {
        name: wanted[name].to_pylist() for name in published.COLUMNS
    }
    vectors: Vectors = np.fromfile(tmp_path / "v@1" / "vectors.f32", np.float32)
    assert np.array_equal(vectors, np.arange(n * 2, dtype=np.float32))


def grown_kb(work: Callable[[], object]) -> float:
    """Kilobytes that are held after it and were not before, as Python and numpy count them; its result counts, too."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = work()
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    del kept
    return held / 1024


def test_signatures_of_pictures_wait_in_a_file(tmp_path: Path) -> None:
    """12 kB each, 20,000 of them: made once, and no memory of the process."""
    images, draw = ImageStore(tmp_path), np.random.default_rng(0)
    names, opened = [], list[str]()
    for n in range(100):
        pixels = draw.integers(0, 256, (40 + n, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer := io.BytesIO(), "PNG")
        names.append(images.put(buffer.getvalue()).hash)
    bare = images.open

    def noted(digest: str, side_px: int | None = None) -> Image.Image:
        opened.append(digest)
        return bare(digest, side_px)

    images.open = noted  # type: ignore[method-assign]
    wanted = [signature(bare(name, 64)) for name in names]
    look = group._signatures(images)
    assert look("f" * 64) is None
    held_kb = grown_kb(lambda: [look(name) for name in names] and None)
    assert held_kb < 1200 / 4
    for name, one in zip(names, wanted, strict=True):
        found = look(name)
        assert found is not None
        assert np.array_equal(found, one)
    assert look("f" * 64) is None
    assert opened == ["f" * 64, *names], "each is made once"


def test_what_is_known_of_linked_offers_is_held_small() -> None:
    """Some hundred bytes for each thing that several stores sell: a catalogue may have a million of them."""

    def linked() -> object:
        union = group._Union(4000)
        for n in range(0, 4000, 2):
            for key in (n, n + 1):
                union.note(Member(key, key % 2, f"group {n}", "blue", f"Brand {n % 400}"))
            union.join(n, n + 1, "GTIN")
        return union

    assert grown_kb(linked) < 2000 * 0.45


def test_words_that_are_remembered_are_bounded() -> None:
    """However many numbers of models a catalogue names: of words as they are searched, and of titles that are
    compared."""
    models = [f"{n}" for n in range(30_000)]
    stems_of("hat")  # what is loaded once
    assert grown_kb(lambda: [stems_of(f"hat {model}") for model in models] and None) < 500
    assert grown_kb(lambda: [showings._words(f"hat {model}") for model in models] and None) < 6000
