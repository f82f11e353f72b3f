"""What a worker says of a picture, in JSON -> as it is known here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lensback.errors import BadImage, InputError, TooLarge
from lensback.images.codes import Code
from lensback.images.decoding import Looked
from lensback.images.texts import TextLine, Word


def fault(said: dict[str, Any]) -> InputError:
    """Why there is none."""
    kind = TooLarge if said["error"] == "TooLarge" else BadImage
    return kind(said["message"], hint=said["hint"])


def looked(mime: str, size: Sequence[int], likeness: int) -> Looked:
    """What a picture is."""
    return mime, (size[0], size[1]), likeness


def codes(said: Sequence[Any]) -> tuple[Code, ...]:
    """The codes of a photo."""
    return tuple(Code(text, kind, (x0, y0, x1, y1)) for text, kind, (x0, y0, x1, y1) in said)


def texts(said: Sequence[Any]) -> tuple[TextLine, ...]:
    """The words of a photo."""
    return tuple(
        TextLine(tuple(Word(text, sure) for text, sure in words), (x0, y0, x1, y1))
        for words, (x0, y0, x1, y1) in said
    )
