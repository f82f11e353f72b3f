"""Content-addressed pictures: decode under limits, look, store. Purely local.

A picture that comes from outside is hostile until proven otherwise: its header is read for what it
would cost (`cost`), only the formats of `FORMATS` are ever tried, and whoever serves or syncs has it
decoded in a process of its own, with limits (`Decoders`).
"""

from lensback.images.codes import Code, ReadCodes
from lensback.images.decoding import (
    FORMATS,
    HERE,
    INSPECT_SIDE_PX,
    MAX_BYTES,
    MAX_PIXELS,
    MIN_SIDE_PX,
    Decode,
    crop,
    decode,
    decode_measured,
    decoded,
    hamming,
    inspect,
    phash,
    recoloured,
)
from lensback.images.store import ImageStore
from lensback.images.texts import ReadTexts, TextLine, Word
from lensback.images.workers import Decoders, TooDear, shared

__all__ = [
    "FORMATS",
    "HERE",
    "INSPECT_SIDE_PX",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MIN_SIDE_PX",
    "Code",
    "Decode",
    "Decoders",
    "ImageStore",
    "ReadCodes",
    "ReadTexts",
    "TextLine",
    "TooDear",
    "Word",
    "crop",
    "decode",
    "decode_measured",
    "decoded",
    "hamming",
    "inspect",
    "phash",
    "recoloured",
    "shared",
]
