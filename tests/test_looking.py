"""What begins beside the decoding of a photo: the reading of its codes, where a refusal makes that cheap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from PIL import Image

from hostile.pictures import PHONES, jpeg, saved
from lensback.detectors import open_detector
from lensback.errors import BadImage, Busy, TooLarge
from lensback.images import Code, Decoders, decoded
from lensback.search import Looks
from lensback.search.looking import AHEAD, Look, look
from lensback.types import WHOLE

LIMITS = (20 << 20, 50_000_000)
READ = (Code("4006381333931", "EAN13", WHOLE),)
WAIT_S = 240
PAGE = (1600, 1200)
"""A photo as the page sends it."""


@dataclass
class Reader:
    """Reads the same codes of every photo; waits until it is let go, where it is held."""

    held: bool = False
    error: Exception | None = None
    asked: list[int] = field(default_factory=list)
    """How long each photo was."""
    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def __call__(self, photo: bytes, max_bytes: int, max_pixels: int) -> tuple[Code, ...]:
        self.asked.append(len(photo))
        assert (max_bytes, max_pixels) == LIMITS
        self.begun.set()
        if self.held:
            assert self.go_on.wait(WAIT_S)
        if self.error:
            raise self.error
        return READ


def looked(
    photo: bytes,
    reader: Reader | None,
    looks: Looks,
    *,
    decode: Callable[..., Any] = decoded,
    side_px: int = 256,
    limits: tuple[int, int] = LIMITS,
    still: Callable[[], object] = lambda: None,
) -> Look:
    readers = (decode, reader, None)
    return look(photo, looks, open_detector("whole"), side_px, limits, {}, readers, still)


def free(looks: Looks) -> int:
    """Places for codes before decoding that nobody has; waits for who is about to give one back."""
    for thread in threading.enumerate():
        if thread.name == "codes":
            thread.join(WAIT_S)
    taken = [looks.ahead.acquire(blocking=False) for _ in range(AHEAD)]
    for _ in range(sum(taken)):
        looks.ahead.release()
    return sum(taken)


def test_codes_begin_while_the_photo_is_decoded() -> None:
    reader, looks = Reader(), Looks()

    def decode(*asked: Any) -> Any:
        assert reader.begun.wait(WAIT_S), "decoding is over only once codes have begun"
        return decoded(*asked)

    assert looked(saved(PAGE, "JPEG"), reader, looks, decode=decode).codes() == READ
    assert len(reader.asked) == 1
    assert free(looks) == AHEAD


def _after(reader: Reader) -> Callable[..., Any]:
    """Decodes, and says so where codes have begun before."""

    def decode(*asked: Any) -> Any:
        found = decoded(*asked)
        assert not reader.asked, "codes begin only when the photo is decoded"
        return found

    return decode


HEAVY: dict[str, Callable[[], bytes]] = {
    "JPEG of ten scans": lambda: jpeg(10, 3000),
    **{name: PHONES[name] for name in ("12 MP progressive", "12 MP screenshot", "50 MP JPEG")},
}


@pytest.mark.parametrize("name", HEAVY)
def test_a_photo_that_is_much_work_is_decoded_first(name: str) -> None:
    """In a later lane its codes would have the place that its decoding waits for."""
    photo, reader = HEAVY[name](), Reader()
    assert looked(photo, reader, Looks(), decode=_after(reader)).codes() == READ


@pytest.mark.parametrize(
    "limits", [(1000, LIMITS[1]), (LIMITS[0], PAGE[0] * PAGE[1] - 1)], ids=["bytes", "pixels"]
)
def test_no_codes_are_read_in_what_the_limits_forbid(limits: tuple[int, int]) -> None:
    reader, looks = Reader(), Looks()
    with pytest.raises(TooLarge):
        looked(saved(PAGE, "JPEG"), reader, looks, limits=limits)
    assert free(looks) == AHEAD
    assert not reader.asked


@pytest.mark.parametrize("photo", [b"", b"no picture", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"])
def test_no_codes_are_read_in_what_has_no_size(photo: bytes) -> None:
    reader, looks = Reader(), Looks()
    with pytest.raises(BadImage):
        looked(photo, reader, looks)
    assert free(looks) == AHEAD
    assert not reader.asked


def _refused(*_asked: Any) -> Any:
    raise BadImage("broken behind its header", hint="send another")


def test_a_flood_of_photos_that_are_refused_leaves_no_queue_of_codes() -> None:
    reader, looks, photo = Reader(held=True), Looks(), saved(PAGE, "JPEG")
    for _ in range(5 * AHEAD):
        with pytest.raises(BadImage):
            looked(photo, reader, looks, decode=_refused)
    assert len(reader.asked) <= AHEAD
    # Who asks with a whole photo meanwhile has its codes begun after decoding, as many as come.
    good = [looked(photo, reader, looks) for _ in range(AHEAD)]
    reader.go_on.set()
    assert [one.codes() for one in good] == [READ] * AHEAD
    assert free(looks) == AHEAD, "each place came back"


def test_places_are_those_of_all_browsers() -> None:
    """Each has its own view of the same memory."""
    reader, looks, photo = Reader(held=True), Looks(60), saved(PAGE, "JPEG")
    for browser in range(3 * AHEAD):
        with pytest.raises(BadImage):
            looked(photo, reader, looks.of(str(browser)), decode=_refused)
    assert len(reader.asked) <= AHEAD
    reader.go_on.set()
    assert free(looks) == AHEAD


def test_what_reading_raises_is_raised_where_codes_are_waited_for() -> None:
    reader, looks = Reader(error=Busy("closed", hint="start again")), Looks()
    seen = looked(saved(PAGE, "JPEG"), reader, looks)
    assert seen.size == PAGE
    with pytest.raises(Busy):
        seen.codes()
    assert free(looks) == AHEAD


class _Gone(Exception):
    pass


def test_who_left_while_decoding_has_nothing_more_begun() -> None:
    def left() -> None:
        raise _Gone

    reader, looks = Reader(), Looks(60)
    with pytest.raises(_Gone):
        looked(saved(PAGE, "JPEG"), reader, looks, still=left)
    assert free(looks) == AHEAD
    heavy = HEAVY["JPEG of ten scans"]()
    with pytest.raises(_Gone):
        looked(heavy, reader, looks, still=left)
    assert reader.asked.count(len(heavy)) == 0


def test_codes_of_a_photo_are_read_once_however_fine_it_is_decoded() -> None:
    reader, looks, photo = Reader(), Looks(60), saved(PAGE, "JPEG")
    coarse = looked(photo, reader, looks, side_px=128)
    assert looked(photo, reader, looks, side_px=128) is coarse
    fine = looked(photo, reader, looks, side_px=1200)
    assert fine.picture.size == PAGE != coarse.picture.size
    assert fine.codes() == coarse.codes() == READ
    assert len(reader.asked) == 1
    looked(photo, reader, looks.of("another"), side_px=128).codes()
    assert len(reader.asked) == 2, "another browser's photo is its own"


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    opened = Decoders(2)
    yield opened
    opened.close()


def test_real_decoders_do_both_at_once(decoders: Decoders) -> None:
    """The two are processes of their own, of different lanes: neither waits for the other's place."""
    photo, looks = saved(PAGE, "JPEG"), Looks()
    decoders.begin(codes=True)
    idle = set(decoders.pids())
    decode = partial(decoders.within, 0)
    seen = look(
        photo, looks, open_detector("whole"), 256, LIMITS, {}, (decode, decoders.codes, None)
    )
    assert isinstance(seen.picture, Image.Image)
    assert seen.codes() == ()
    assert set(decoders.pids()) == idle, "no third process was needed"
