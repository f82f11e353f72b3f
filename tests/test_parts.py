"""Parts of a photo: encoded once each, the likeliest while the detector looks, and never otherwise than alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, active_count

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lensback import images, session
from lensback.detectors import SHIPPED_NAME
from lensback.encoders import open_encoder
from lensback.search.parts import MOST, Parts
from lensback.settings import Settings
from lensback.types import WHOLE, Box, Vectors
from lensback.workspace import Workspace, init

PHOTO = Image.linear_gradient("L").convert("RGB")
LEFT: Box = (0.0, 0.0, 0.5, 1.0)
WAIT_S = 20


@dataclass
class Sizes:
    """An encoder whose vector is a picture's size, that counts what it is asked for, and may be held up."""

    name: str = "sizes"
    fingerprint: str = "1"
    dim: int = 2
    side_px: int = 10
    asked: list[int] = field(default_factory=list)
    free: Event = field(default_factory=Event)
    failures: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.free.set()

    def encode(self, pictures: Sequence[Image.Image]) -> Vectors:
        self.asked.append(len(pictures))
        assert self.free.wait(WAIT_S)
        if self.failures:
            raise self.failures.pop()
        return np.array([picture.size for picture in pictures], np.float32)


def test_each_part_is_encoded_once_in_the_order_asked() -> None:
    parts, encoder = Parts(PHOTO), Sizes()
    assert parts.vectors([LEFT, WHOLE], encoder).tolist() == [[128, 256], [256, 256]]
    assert parts.vectors([WHOLE], encoder).tolist() == [[256, 256]]
    assert parts.vectors([WHOLE, LEFT], encoder).tolist() == [[256, 256], [128, 256]]
    assert encoder.asked == [2]
    assert parts.vectors([WHOLE], other := Sizes(fingerprint="2")).shape == (1, 2)
    assert other.asked == [1], "vectors of two encoders are never mixed"


def test_what_was_begun_is_waited_for_and_the_rest_done_on_all_threads() -> None:
    parts, alone, beside = Parts(PHOTO), Sizes(), Sizes()
    parts.begin(WHOLE, beside)
    parts.vectors([WHOLE], alone)  # by now it is done
    assert parts.vectors([LEFT, WHOLE], alone, beside).tolist() == [[128, 256], [256, 256]]
    assert (alone.asked, beside.asked) == ([1], [1])


def test_the_rest_is_encoded_beside_what_is_still_under_way() -> None:
    parts, alone, beside, slow = Parts(PHOTO), Sizes(), Sizes(), Sizes()
    slow.free.clear()
    parts.begin(WHOLE, slow)

    def freed(pictures: Sequence[Image.Image]) -> Vectors:
        slow.free.set()
        return Sizes.encode(beside, pictures)

    beside.encode = freed  # type: ignore[method-assign]
    assert parts.vectors([LEFT, WHOLE], alone, beside).tolist() == [[128, 256], [256, 256]]
    assert (alone.asked, beside.asked, slow.asked) == ([], [1], [1])


def test_what_went_wrong_beside_is_tried_again_and_then_said() -> None:
    parts, broken = Parts(PHOTO), Sizes(failures=[ValueError("one"), ValueError("two")])
    parts.begin(WHOLE, broken)
    with pytest.raises(ValueError, match=r"one|two"):
        parts.vectors([WHOLE], broken)
    broken.failures.clear()
    assert parts.vectors([WHOLE], broken).tolist() == [[256, 256]]


def test_no_more_parts_are_kept_than_a_photo_has() -> None:
    parts, encoder = Parts(PHOTO), Sizes()
    boxes: list[Box] = [(0.0, 0.0, 1.0, (n + 1) / 100) for n in range(MOST + 8)]
    for box in boxes:
        parts.vectors([box], encoder)
    assert len(parts._known) == MOST
    assert parts.vectors(boxes[-1:], encoder).tolist() == [[256, 103]]


@pytest.fixture(scope="module")
def thing() -> Image.Image:
    photo = Image.new("RGB", (400, 500), (235, 232, 228))
    draw = ImageDraw.Draw(photo)
    draw.polygon([(140, 120), (260, 120), (330, 420), (70, 420)], fill=(170, 30, 50))
    return photo


def test_the_shipped_encoder_gives_the_same_however_it_is_asked(thing: Image.Image) -> None:
    """On half of the threads, beside the other part, or both at once: equal to a millionth."""
    models = Path("none")
    alone, beside = (open_encoder("eye", models, threads=n) for n in (2, 1))
    boxes: list[Box] = [(0.1, 0.2, 0.9, 0.9), WHOLE]
    at_once = alone.encode([images.crop(thing, box) for box in boxes])
    parts = Parts(thing)
    parts.begin(WHOLE, beside)
    assert np.abs(parts.vectors(boxes, alone, beside) - at_once).max() < 1e-6


def test_two_models_at_once_take_no_more_threads_than_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init(tmp_path)
    opened = dict[str, list[int]](detector=[], encoder=[])
    for kind in opened:
        monkeypatch.setattr(
            f"lensback.workspace.open_{kind}" if kind == "encoder" else "lensback.detectors.open_detector",
            lambda *_, threads, kind=kind, **__: opened[kind].append(threads) or Sizes(),
        )  # fmt: skip
    for processors, threads, detector, beside in (
        (1, 0, 1, None), (2, 0, 1, 1), (5, 0, 3, 2), (8, 1, 1, None), (8, 4, 2, 2),
    ):  # fmt: skip
        monkeypatch.setattr(session, "processors", lambda n=processors: n)
        with Workspace(tmp_path, Settings(threads=threads)) as workspace:
            assert workspace.detector
            half = workspace._beside(Sizes())
        assert opened["detector"].pop() == detector
        assert (opened["encoder"].pop() if half else None) == beside
        assert detector + (beside or 0) <= processors
    for other in ("whole", "saliency", "d-fine"):
        with Workspace(tmp_path, Settings(detector=other)) as workspace:
            assert workspace._beside(Sizes()) is None, "how long it takes is not known"
            assert workspace.detector
            assert opened["detector"].pop() == 0
    with Workspace(tmp_path, Settings(detector=f"openvino:{SHIPPED_NAME}")) as workspace:
        assert workspace._beside(Sizes())


def test_no_thread_stays() -> None:
    before = active_count()
    for _ in range(20):
        (parts := Parts(PHOTO)).begin(WHOLE, encoder := Sizes())
        parts.vectors([WHOLE], encoder)
    deadline = Event()
    for _ in range(200):
        if active_count() <= before:
            break
        deadline.wait(0.05)
    assert active_count() <= before
