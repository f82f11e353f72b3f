"""Decoding in processes of their own: what is refused by its header, which lane is taken, what becomes
of a worker that dies, and that the pixels are those of a decode right here."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from effort import FEW_S, piece_s, within
from hostile.pictures import DEAR, HONEST, PHONES, REFUSED, jpeg, saved, segment
from lensback.errors import BadImage, Busy, InputError, TooLarge
from lensback.images import Decoders, ImageStore, TooDear, cost, decode, decoded, inspect, workers
from lensback.images.decoding import Decoded, alone
from lensback.images.workers import MOST_TOGETHER, _Memory, _Worker
from lensback.settings import Settings
from lensback.web import memory

LIMITS = (20 << 20, 50_000_000)
QUICK, LARGE = 0, 1
MOST = 1800
"""Pieces of work (see effort.py) for any of them: no limit in force lets more pass."""


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    opened = Decoders(2)
    yield opened
    opened.close()
    assert opened.pids() == []


@pytest.fixture
def fresh() -> Iterator[Decoders]:
    """One that nobody asked yet."""
    opened = Decoders(1)
    yield opened
    opened.close()


def spent(pids: list[int]) -> float:
    """Processor seconds of processes that wait."""
    ticks = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
    return sum(int(t[11]) + int(t[12]) for t in ticks) / os.sysconf("SC_CLK_TCK")


def peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def test_what_the_first_photo_needs_is_started_before_it_comes(fresh: Decoders) -> None:
    fresh.begin(codes=False)
    (begun,) = fresh.pids()
    fresh.begin(codes=True)
    assert begun in (waiting := fresh.pids())
    assert len(waiting) == 2
    photo = next(iter(HONEST.values()))()
    fresh.within(QUICK, photo, 64, *LIMITS)
    fresh.codes(photo, *LIMITS)
    assert sorted(fresh.pids()) == sorted(waiting), "they took the first ones"
    fresh.close()
    fresh.begin(codes=True)
    assert fresh.pids() == []


def test_who_waits_for_what_was_begun_finds_it_ready(fresh: Decoders) -> None:
    fresh.wait()
    assert fresh.pids() == [], "nothing was begun"
    fresh.begin(codes=True)
    begun = fresh.pids()
    fresh.wait()
    assert sorted(fresh.pids()) == sorted(begun)
    loaded = [Path(f"/proc/{pid}/maps").read_text("utf-8") for pid in begun]
    assert all("_imaging" in maps for maps in loaded), "each runs and has loaded what decodes"
    assert sum("zxingcpp" in maps for maps in loaded) == 1


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_picture_comes_quickly_and_is_the_same(name: str, decoders: Decoders) -> None:
    data = HONEST[name]()
    for side_px in (448, 224):
        image, mime, size = decoders.within(QUICK, data, side_px, *LIMITS)
        here, mime_here, size_here = decoded(data, side_px, *LIMITS)
        assert (mime, size) == (mime_here, size_here)
        assert (image.mode, image.size) == ("RGB", here.size)
        assert image.tobytes() == here.tobytes()


@pytest.mark.parametrize("name", PHONES)
def test_a_large_photo_is_answered_slowly(name: str, decoders: Decoders) -> None:
    data = PHONES[name]()
    if name != "50 MP JPEG":
        with pytest.raises(TooDear):
            decoders.within(QUICK, data, 448, *LIMITS)
    image, _, size = decoders(data, 448, *LIMITS)
    assert min(image.size) >= 448
    assert min(size) >= 3000


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_costs_next_to_nothing(name: str, decoders: Decoders) -> None:
    data = REFUSED[name]()
    with within(150), pytest.raises((BadImage, TooLarge)) as caught:  # here nobody works at it
        decoders(data, 448, *LIMITS)
    assert caught.value.hint
    assert all(peak(pid) < 700 << 20 for pid in decoders.pids())


def test_what_is_told_of_no_picture_costs_nothing_either(decoders: Decoders) -> None:
    """Comments that each could end in as many places: who tries them all never says what it is."""
    with pytest.raises(BadImage, match="it seems to be text"):
        decoders(b"<!---->" * 70, 448, *LIMITS)


@pytest.mark.parametrize("name", DEAR)
def test_a_dear_picture_leaves_the_quick_lane(name: str, decoders: Decoders) -> None:
    data = DEAR[name]()
    before = spent(decoders.pids())
    with contextlib.suppress(BadImage, TooLarge):
        decoders(data, 448, *LIMITS)
    took_s = spent(decoders.pids()) - before
    assert took_s < MOST * max(FEW_S, *(piece_s() for _ in range(3)))
    assert all(peak(pid) < 700 << 20 for pid in decoders.pids())


def test_scans_are_counted_and_not_guessed() -> None:
    photo = saved((800, 600), "JPEG", progressive=True)
    with_thumbnail = photo[:2] + segment(0xE1, b"Exif\0\0" + b"\xff\xda" * 2000) + photo[2:]
    assert decode(with_thumbnail).size == (800, 600)
    with pytest.raises(TooLarge, match="scans"):
        decode(jpeg(cost.MAX_SCANS + 1, 64))


BY_ITS_HEADER = {
    "3000 empty scans": "scans",
    "segments": "segments",
    "fill bytes": "fill bytes",
    "fill bytes between segments": "fill bytes",
    "fill bytes after a frame": "fill bytes",
    "HEIC of sizes": "sizes",
    "HEIC that lies": "the limit is 50000000 in all",
    "PNG of a million chunks": "chunks",
    "PNG of profiles": "profiles",
    "PNG of 16 bits": "more memory or time",
    "WebP of a large canvas": "more memory or time",
    "AVIF of 49 MP": "more memory or time",
}
"""What is refused before anybody decodes, and the reason that is told."""


@pytest.mark.parametrize("name", BY_ITS_HEADER)
def test_the_header_is_read_once_and_its_reason_told(
    name: str, fresh: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    real = cost.weight_of
    monkeypatch.setattr(cost, "weight_of", lambda data: read.append(len(data)) or real(data))
    data = REFUSED[name]()
    for ask in (fresh, fresh.look):
        with pytest.raises(TooLarge, match=BY_ITS_HEADER[name]) as caught:
            ask(data, *((448,) if ask is fresh else ()), *LIMITS)
        assert caught.value.hint
    assert len(read) == 2
    assert fresh.codes(data, *LIMITS) == ()
    assert len(read) == 3, "however many sizes are tried"
    assert fresh.pids() == [], "no worker was asked"


def gone(worker: _Worker, ending: int) -> None:
    """Ends it, and waits until it has ended."""
    os.kill(worker.pid, ending)
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize(
    ("ending", "error", "told"),
    [
        (signal.SIGPROF, TooLarge, "more memory or time"),  # its time is up
        (signal.SIGKILL, TooLarge, "more memory or time"),  # the machine's memory is
        (signal.SIGSEGV, BadImage, "broke down"),
        (signal.SIGABRT, BadImage, "broke down"),
        (signal.SIGBUS, BadImage, "broke down"),
        (signal.SIGTERM, BadImage, "broke down"),
    ],
)
def test_how_a_worker_ended_is_the_reason_that_is_told(
    ending: int, error: type[InputError], told: str, decoders: Decoders
) -> None:
    """In an earlier lane it is no reason yet: the header did not tell the truth, the next one tries."""
    data = jpeg_of(0)

    def ask(worker: _Worker, datas: Sequence[bytes], order: Any) -> list[Decoded | InputError]:
        gone(worker, ending)
        return worker.decode(datas, order)

    for lane in (QUICK, LARGE):
        with pytest.raises(TooDear) as dear:
            decoders._within(lane, ask, data, 224, *LIMITS)
        assert dear.value.seconds == decoders.lanes[lane].most_s
    for way in (
        lambda: decoders._within(-1, ask, data, 224, *LIMITS),
        lambda: decoders._anywhere(ask, data, 224, *LIMITS),
    ):
        with pytest.raises(error, match=told) as caught:
            way()
        assert caught.value.hint
    assert decoders(data, 224, *LIMITS)[2] == (150, 200), "the next one finds a worker"


def test_a_worker_that_says_nothing_is_ended(
    fresh: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "SILENCE_S", 0.5)
    data, asked = jpeg_of(0), list[int]()

    def ask(worker: _Worker, datas: Sequence[bytes], order: Any) -> list[Decoded | InputError]:
        asked.append(worker.pid)
        os.kill(worker.pid, signal.SIGSTOP)
        return worker.decode(datas, order)

    with pytest.raises(TooLarge, match="more memory or time"):
        fresh._within(-1, ask, data, 224, *LIMITS)
    assert not Path(f"/proc/{asked[0]}").exists()
    monkeypatch.undo()
    assert fresh(data, 224, *LIMITS)[2] == (150, 200)


def test_a_picture_larger_than_its_worker_may_be_is_no_broken_one(fresh: Decoders) -> None:
    """Its header said less: the memory ends, not the worker, and the next picture is decoded by it."""
    large, small = saved((3000, 2000), "PNG", compress_level=1), jpeg_of(0)

    def ask(worker: _Worker, datas: Sequence[bytes], order: Any) -> list[Decoded | InputError]:
        found = worker.decode(datas, {**order, "memory": 8 << 20})
        assert isinstance(worker.decode([small], order)[0], tuple), "it lives"
        return found

    for lane in (LARGE, -1):
        with pytest.raises(TooLarge, match="more memory or time"):
            fresh._within(lane, ask, large, None, *LIMITS)


def test_of_a_dear_picture_no_lane_gives_more_than_its_time(
    fresh: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quick lane, the one of large photos, the last: each ends its own, and the reason is the last's."""
    short = [replace(lane, most_s=0.004 + n / 1000) for n, lane in enumerate(fresh.lanes)]
    fresh.lanes = (short[0], short[1], short[2])
    for one, lane in zip(fresh._workers, short, strict=True):
        monkeypatch.setattr(one, "_lane", lane)
    data = saved((2600, 1800), "PNG", compress_level=1)  # tens of milliseconds on any machine
    with pytest.raises(TooDear) as dear:
        fresh.within(QUICK, data, None, *LIMITS)
    assert dear.value.seconds >= short[0].most_s
    with pytest.raises(TooLarge, match="more memory or time"):
        fresh(data, None, *LIMITS)
    beside = fresh.many([data, data], None, *LIMITS)
    assert [type(one) for one in beside] == [TooLarge, TooLarge]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("size", [(641, 480), (64, 1500)])
def test_every_header_is_read(kind: str, size: tuple[int, int]) -> None:
    weight = cost.weigh(saved(size, kind))
    wide = (size[0] + 1) // 2 * 2 if kind in ("AVIF", "HEIF") else size[0]  # coded in even sides
    assert (weight.width, weight.height) in {size, (wide, size[1])}
    assert weight.seconds > 0
    assert weight.memory >= 3 * size[0] * size[1]


def test_a_worker_that_is_killed_costs_one_picture_no_one_else(decoders: Decoders) -> None:
    data = HONEST["store JPEG"]()
    decoders.within(QUICK, data, 224, *LIMITS)
    for pid in decoders.pids():
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert decoders(data, 224, *LIMITS)[2] == (452, 560)
    with ThreadPoolExecutor(8) as pool:
        sizes = {r[2] for r in pool.map(lambda _: decoders(data, 224, *LIMITS), range(40))}
    assert sizes == {(452, 560)}
    assert 1 <= len(decoders.pids()) <= 4


def test_the_store_verifies_elsewhere(tmp_path: Path, decoders: Decoders) -> None:
    store = ImageStore(tmp_path, by=decoders)
    data = HONEST["store PNG"]()
    assert store.put(data) == inspect(data)[0]
    assert store.open(store.put(data).hash, 64).mode == "RGB"
    for name in ("3000 empty scans", "GIF of comments", "PNG cut off"):
        with pytest.raises((BadImage, TooLarge)):
            store.put(REFUSED[name]())


def counted(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures go to the quick lane at once, each time."""
    together: list[int] = []
    quick = decoders._workers[QUICK]
    real = quick.do
    monkeypatch.setattr(
        quick,
        "do",
        lambda ask, datas, *rest: together.append(len(datas)) or real(ask, datas, *rest),
    )
    return together


def test_many_pictures_are_those_of_one_after_the_other(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones are handed over together; what is refused, dear or no picture stands in its own place."""
    small = [jpeg_of(n) for n in range(20)]
    datas = [
        *small[:3],
        REFUSED["3000 empty scans"](),
        b"no picture",
        PHONES["12 MP progressive"](),
        b"",
        *small[3:],
        HONEST["12 MP JPEG"](),
    ]
    together = counted(decoders, monkeypatch)
    found = decoders.many(datas, 224, *LIMITS)
    assert len(found) == len(datas)
    for data, one in zip(datas, found, strict=True):
        here = alone(decoded, data, 224, *LIMITS)
        if isinstance(here, tuple):
            assert isinstance(one, tuple)
            assert (one[1:], one[0].size, one[0].mode) == (here[1:], here[0].size, "RGB")
            assert one[0].tobytes() == here[0].tobytes()
        else:
            assert (type(one), str(one)) == (type(here), str(here))
    assert max(together) == MOST_TOGETHER
    assert sum(together) >= len(small)
    assert decoders.many([], 224, *LIMITS) == []


def jpeg_of(n: int) -> bytes:
    return saved((150 + 3 * n, 200), "JPEG")


def test_a_picture_that_kills_its_worker_harms_none_beside_it(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its header tells too little; each that was handed over with it is decoded again, alone."""
    bad = jpeg(0, 64, kind=0xC0, parts=3)[:-9] + segment(0xFE) * 800_000
    datas = [jpeg_of(0), jpeg_of(1), bad, jpeg_of(2)]
    together = counted(decoders, monkeypatch)
    found = decoders.many(datas, 224, *LIMITS)
    assert together[:5] == [4, 1, 1, 1, 1]
    for n in (0, 1, 3):
        one = found[n]
        assert isinstance(one, tuple), one
        assert one[0].tobytes() == decoded(datas[n], 224, *LIMITS)[0].tobytes()
    assert decoders.within(QUICK, datas[0], 224, *LIMITS)[2] == (150, 200)


def test_closed_decoders_say_so() -> None:
    other = Decoders(1)
    other(HONEST["BMP"](), None, *LIMITS)
    (pid,) = other.pids()
    other.close()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(Busy):
        other(HONEST["BMP"](), None, *LIMITS)


def test_workers_end_with_whoever_started_them() -> None:
    code = (
        "import io, os, sys; from PIL import Image; from lensback.images import shared\n"
        "Image.new('RGB', (64, 64)).save(b := io.BytesIO(), 'PNG')\n"
        "shared()(b.getvalue(), None, 1 << 20, 1 << 20); print(*shared().pids(), flush=True)\n"
        "sys.stdin.read(1) or os._exit(1)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "SECRET": "x"}
    ) as owner:
        assert owner.stdout
        (pid,) = map(int, owner.stdout.readline().split())
        assert b"SECRET" not in Path(f"/proc/{pid}/environ").read_bytes()
        owner.kill()
    end = time.monotonic() + 120
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_no_codes_are_waited_for_in_a_later_lane(decoders: Decoders) -> None:
    """A JPEG is dearer whole than at the size that is searched: it is read smaller, where it is decoded."""
    asked: list[tuple[int, int | None]] = []
    for lane, each in enumerate(decoders._workers):
        each.do = lambda _, data, side_px, *__, n=lane: asked.append((n, side_px)) or [()]  # type: ignore[method-assign]
    try:
        for name in ("50 MP JPEG", "12 MP AVIF", "12 MP progressive"):
            decoders.codes(PHONES[name](), *LIMITS)
    finally:
        for each in decoders._workers:
            del each.do  # type: ignore[method-assign]
    assert asked == [(LARGE, 3500), (LARGE, None), (LARGE, None)]


@pytest.mark.parametrize("cores", [2, 8])
def test_what_a_serve_may_take_for_pictures_is_below_a_gigabyte(cores: int) -> None:
    """All bounds at once: every lane full, codes being read, all bodies, all remembered photos."""
    decoders = Decoders(cores)
    lanes = {id(each._memory): each._memory._left for each in decoders._all()}
    bodies = Settings().upload_memory_bytes + memory.MAX_BYTES
    assert sum(lanes.values()) + bodies < 1 << 30
    for lane in decoders.lanes:  # and what a lane takes has room in it
        own = decoders._workers[decoders.lanes.index(lane)]
        assert lane.memory <= own._memory._left
    decoders.close()


def test_later_lanes_share_their_memory() -> None:
    memory, came = _Memory(100), []
    with memory.lent(80):
        other = threading.Thread(target=lambda: came.append(memory.lent(40).__enter__()))
        other.start()
        other.join(0.1)
        assert other.is_alive()
    other.join(120)
    assert came == [None]
