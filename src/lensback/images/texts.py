"""Words in a photo: what is printed on the thing or its label, or stands in a screenshot (RapidOCR).

An extra: the models come in the package's own wheel, and nothing is ever fetched. Reading runs where decoding runs,
in a process of its own. The models know Latin letters and digits, Chinese and Japanese, and no Cyrillic one: a Russian
word comes out as Latin letters that look like it, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from lensback.errors import ConfigError, MissingExtra
from lensback.images.decoding import opaque, opened, translated, upright
from lensback.session import processors
from lensback.types import Box

if TYPE_CHECKING:
    from rapidocr import RapidOCR

PACKAGE, EXTRA = "rapidocr", "ocr"
LONGEST_PX = 736
"""Longer side at which words are looked for; a label that a person could read in a photo has its letters in it."""
THREADS = 2
LEGIBLE = 0.5
"""Mean certainty of a line below which it is no text."""
MAX_LINES, MAX_WORDS, MAX_LETTERS = 40, 24, 60


@dataclass(frozen=True, slots=True)
class Word:
    """One word, and how sure its least sure letter is, 0 to 1."""

    text: str
    sure: float


@dataclass(frozen=True, slots=True)
class TextLine:
    """Words that stand beside one another, and where."""

    words: tuple[Word, ...]
    box: Box


ReadTexts = Callable[[bytes, int, int], tuple[TextLine, ...]]
"""What reads words: bytes, most bytes, most pixels. A photo that cannot be read has none."""


@cache
def installed() -> bool:
    """Whether the extra is there."""
    return find_spec(PACKAGE) is not None


def wanted(setting: str) -> bool:
    """Whether words are read by the setting `ocr`. Raises MissingExtra where they are to be and cannot."""
    if setting == "on" and not installed():
        raise MissingExtra(PACKAGE, EXTRA)
    return setting != "off" and installed()


def read(data: bytes, side_px: int | None, max_pixels: int) -> tuple[TextLine, ...]:
    """The lines of a photo, from the top, at most MAX_LINES. With `side_px` a JPEG is decoded smaller, its
    shorter side not below that. Raises BadImage, TooLarge, MissingExtra."""
    with translated(data):
        picture = _picture(data, side_px, max_pixels)
    import numpy as np

    found: Any = reader()(np.asarray(picture)[:, :, ::-1])  # it wants blue first
    if getattr(found, "txts", None) is None or found.boxes is None:
        return ()
    letters: Sequence[Any] = found.word_results or ()
    lines = (
        _line(text, letters[n] if n < len(letters) else (), box, picture.size)
        for n, (text, box) in enumerate(zip(found.txts, found.boxes, strict=True))
    )
    return tuple(line for line in lines if line.words)[:MAX_LINES]


def _picture(data: bytes, side_px: int | None, max_pixels: int) -> Image.Image:
    image: Image.Image = opened(data, max_pixels)
    side = side_px or min(image.size)
    image.draft("RGB", (side, side))
    image.load()
    picture = opaque(upright(image)).convert("RGB")
    picture.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.BILINEAR)
    return picture


@cache
def reader() -> RapidOCR:
    """The models, loaded once a process. Raises MissingExtra, ConfigError."""
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise MissingExtra(PACKAGE, EXTRA) from error
    models = Path(str(find_spec(PACKAGE).origin)).parent / "models"  # type: ignore[union-attr]
    # Each by its path: what is not named so is fetched from its makers.
    named = {
        f"{part}.model_path": str(_weights(models, part.lower())) for part in ("Det", "Cls", "Rec")
    }
    return RapidOCR(
        params={
            **named,
            "Global.log_level": "critical",
            "Global.text_score": LEGIBLE,
            "Global.return_word_box": True,
            "Global.return_single_char_box": True,
            "Det.limit_type": "max",
            "Det.limit_side_len": LONGEST_PX,
            "EngineConfig.onnxruntime.intra_op_num_threads": min(THREADS, processors()),
        }
    )


def load() -> None:
    """Loads all of the models now; else each is loaded when it is first needed."""
    import numpy as np

    blank = np.full((64, 128, 3), 255, np.uint8)
    reader()(blank, use_det=False)  # lines are read where they are given
    reader()(blank, use_det=True)


def _weights(folder: Path, part: str) -> Path:
    found = sorted(folder.glob(f"*_{part}_*.onnx"))
    if not found:
        raise ConfigError(
            f"{PACKAGE} came without its weights ({part})", hint=f"install {PACKAGE} anew"
        )
    return found[-1]


def _line(text: str, letters: Any, box: Any, size: tuple[int, int]) -> TextLine:
    """`letters`: each sign of the line with how sure it is, without the spaces. Where there is no such account
    of this very line, its words are legible and no more."""
    account = letters if isinstance(letters, list | tuple) else ()
    sure = [float(one[1]) for one in account]
    if "".join(str(one[0]) for one in account) != "".join(text.split()):
        sure = [LEGIBLE] * len(text)
    words, at = [], 0
    for word in text.split()[:MAX_WORDS]:
        words.append(Word(word[:MAX_LETTERS], round(min(sure[at : at + len(word)]), 3)))
        at += len(word)
    return TextLine(tuple(words), _box(box, size))


def _box(corners: Any, size: tuple[int, int]) -> Box:
    across = [min(max(float(x) / size[0], 0.0), 1.0) for x, _ in corners]
    down = [min(max(float(y) / size[1], 0.0), 1.0) for _, y in corners]
    x0, y0 = min(*across, 1 - 1 / size[0]), min(*down, 1 - 1 / size[1])
    return x0, y0, max(*across, x0 + 1 / size[0]), max(*down, y0 + 1 / size[1])
