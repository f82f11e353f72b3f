"""An encoder in eight bits, made of one in full and asked the same questions beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from PIL import Image

from lensback import metrics
from lensback.catalogue import pictures, products
from lensback.checked import read_toml
from lensback.counted import counted
from lensback.db import Database
from lensback.distort import distort
from lensback.encoders import Encoder, add_encoder
from lensback.encoders.description import FILE_NAME
from lensback.encoders.onnx import OnnxEncoder
from lensback.encoders.preprocess import to_batch
from lensback.encoders.shelf import LEARNT_FILE, SHELF
from lensback.errors import ConfigError, DataError, Error, MissingExtra
from lensback.images import ImageStore
from lensback.questions import COPIES, VIEWS
from lensback.session import Array
from lensback.shelves import MODEL_FILE, NAME, workbench
from lensback.shelves.shelf import Shelf
from lensback.train.data import NO_ENCODER, Rows, codes
from lensback.train.fit import Floats

GALLERY = 1000
"""Most pictures that are searched, each asked for by a distorted copy, too."""
ASKED = 300
"""Most that are asked for."""
LEAST = 20
"""Pictures under which nothing can be said of the two."""
DEPTHS = (1, 5)
PARTS = 2
"""Of a photo, encoded at once: the region and the whole."""
ROUNDS = 15
BATCH = 8

Watch = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


@dataclass(frozen=True, slots=True)
class Beside:
    """One kind of question, asked of the encoder in full and of the one in eight bits."""

    kind: str
    asked: int
    recall_full: dict[int, float]
    recall_eight: dict[int, float]
    difference: dict[int, tuple[float, float, float]]
    """k -> eight bits minus full, with its 95 % interval by bootstrap over products."""

    @property
    def worse(self) -> bool:
        """Whether the one in eight bits finds less, beyond chance."""
        return any(high < 0 for _, _, high in self.difference.values())


@dataclass(frozen=True, slots=True)
class EightBit:
    """What became of an encoder, and what it is worth beside the one it was made of."""

    name: str
    made_of: str
    folder: Path | None
    """None: it finds less, so nothing was kept."""
    layers: int
    """Brought to eight bits."""
    pictures: int
    """From which ranges were taken; none of them is in the gallery."""
    gallery: int
    beside: list[Beside]
    ms_full: float
    ms_eight: float
    """Median for the two parts of a photo, both in turn."""

    def as_json(self) -> dict[str, object]:
        """Figures and folder by name, as `encoder quantize --json` prints them."""
        return asdict(self) | {"folder": str(self.folder) if self.folder else None}


def in_eight_bits(
    db: Database,
    images: ImageStore,
    models: Path,
    made_of: str,
    name: str,
    *,
    count: int = 64,
    threads: int = 0,
    watch: Watch = lambda *_: None,
) -> EightBit:
    """Puts the encoder `made_of` on the shelf once more, in eight bits, as `name`.

    Ranges are taken from `count` of the catalogue's pictures; others are searched by both, by distorted copies
    and by other views where there are any. Where it then finds less beyond chance, nothing is kept. Raises
    MissingExtra without onnx, UnknownName, ConfigError where the model has no layers for it or the name is
    taken, DataError where the catalogue has too few pictures.
    """
    folder = float_model(SHELF, models, made_of, name, example="eye")
    from lensback.session.eightbit import write_eight_bit

    full = OnnxEncoder(made_of, folder, threads=threads)
    seen, shown = drawn(db, images, full.side_px, count, watch)
    with workbench(models) as made:
        layers = write_eight_bit(folder / MODEL_FILE, made / MODEL_FILE, _feeds(full, seen, watch))
        describe(folder / FILE_NAME, made / FILE_NAME, len(seen))
        if (folder / LEARNT_FILE).is_file():
            (made / LEARNT_FILE).write_bytes((folder / LEARNT_FILE).read_bytes())
        eight = OnnxEncoder(name, made, threads=threads)
        beside = _beside(db, shown, full, eight, watch)
        parts = list(shown.values())[:PARTS]
        ms = in_turns(lambda: full.encode(parts), lambda: eight.encode(parts))
        worse = any(each.worse for each in beside)
        kept = None if worse else add_encoder(name, made, models)
    return EightBit(name, made_of, kept, layers, len(seen), len(shown), beside, *ms)


def float_model(shelf: Shelf[Any], added: Path, made_of: str, name: str, *, example: str) -> Path:
    """The folder of the model that another, `name`, is to be made of. Raises MissingExtra without onnx, UnknownName,
    ConfigError where it is not one model or the name is taken; `example` is a model for its hint."""
    try:
        import onnx  # noqa: F401  (looked for here, used in the session's room)
    except ImportError as error:
        raise MissingExtra("onnx", "quantize") from error
    if not NAME.fullmatch(made_of) or made_of in shelf.built_in:
        raise ConfigError(
            f"{made_of!r} is not one model, of which another could be made",
            hint=f"name a model alone, as in: lensback {shelf.kind} quantize {example}",
        )
    shelf.check_free(name, added)
    return shelf.find(made_of, added)


def drawn(
    db: Database, images: ImageStore, side_px: int, count: int, watch: Watch
) -> tuple[list[Image.Image], dict[str, Image.Image]]:
    """`count` of the catalogue's pictures to take ranges from, and up to GALLERY others by hash to compare on.

    In order of their digests, which is by chance. Where there are few, half is for each. Raises DataError
    where fewer than LEAST are left to compare on."""
    opened: dict[str, Image.Image] = {}
    wanted = list(islice(pictures.to_embed(db, NO_ENCODER), count + GALLERY))
    for number, key in enumerate(wanted, 1):
        try:
            opened[key] = images.open(key, side_px)
        except Error:  # lost or broken: others do as well
            continue
        watch("decode", number, len(wanted))
    seen = min(count, len(opened) // 2)
    if len(opened) - seen < LEAST:
        raise DataError(
            f"the catalogue has {counted(len(opened), 'picture')}, at least {2 * LEAST} are needed: {2 * LEAST - len(opened)} are missing",
            hint="connect more stores, or stores with more pictures, and sync them",
        )
    keys = list(opened)
    return [opened[key] for key in keys[:seen]], {key: opened[key] for key in keys[seen:]}


def _feeds(
    encoder: OnnxEncoder, seen: Sequence[Image.Image], watch: Watch
) -> Iterator[Mapping[str, Array]]:
    for number, image in enumerate(seen, 1):
        yield encoder.feed(to_batch([image], encoder.description))
        watch("ranges", number, len(seen))


def describe(of: Path, to: Path, count: int) -> None:
    """Writes the description of a model in eight bits, `to`, from that `of` the one it was made of."""
    values = read_toml(of)
    source = values.get("source") or of.parent.name
    values["source"] = f"{source}; in eight bits, ranges from {counted(count, 'picture')}"
    to.write_text(tomli_w.dumps(values), "utf-8")


def _beside(
    db: Database,
    shown: Mapping[str, Image.Image],
    full: Encoder,
    eight: Encoder,
    watch: Watch,
) -> list[Beside]:
    """Both asked for the pictures' products: by copies, and by other views where there are any."""
    keys, asked = list(shown), list(shown)[:ASKED]
    with db.read() as c:
        named = products.of_images(c, keys)
    product = codes([named.get(key, [key])[0] for key in keys])
    copies = [distort(shown[key], number) for number, key in enumerate(asked)]
    ranks: dict[str, list[Rows]] = {COPIES: [], VIEWS: []}
    for encoder in (full, eight):
        gallery = _encoded(encoder, list(shown.values()), f"{encoder.name}: pictures", watch)
        queries = _encoded(encoder, copies, f"{encoder.name}: copies", watch)
        ranks[COPIES].append(_ranks(queries, gallery, product, themselves=True))
        ranks[VIEWS].append(_ranks(gallery, gallery, product, themselves=False))
    clusters = {COPIES: product[: len(asked)], VIEWS: product}
    found = [_compared(kind, of[0], of[1], clusters[kind]) for kind, of in ranks.items()]
    return [each for each in found if each.asked]


def _encoded(encoder: Encoder, images: Sequence[Image.Image], stage: str, watch: Watch) -> Floats:
    rows = []
    for at in range(0, len(images), BATCH):
        rows.append(encoder.encode(images[at : at + BATCH]))
        watch(stage, min(at + BATCH, len(images)), len(images))
    return np.concatenate(rows)


def _ranks(queries: Floats, gallery: Floats, product: Rows, *, themselves: bool) -> Rows:
    """The rank of the first picture of the right product, 0 where there is none, for the first pictures
    of the gallery as asked by the queries; with or without the picture itself."""
    right = product[: len(queries), None] == product[None]
    wrong = ~right
    if not themselves:
        right = right & ~np.eye(len(queries), len(gallery), dtype=bool)
    return metrics.ranks(queries @ gallery.T, right, wrong)


def _compared(kind: str, full: Rows, eight: Rows, product: Rows) -> Beside:
    there = full > 0
    clusters = product[there].tolist()
    recall: list[dict[int, float]] = [{}, {}]
    difference = {}
    for k in DEPTHS:
        flags = [
            [metrics.within(rank, k) for rank in each[there].tolist()] for each in (full, eight)
        ]
        for into, said in zip(recall, flags, strict=True):
            into[k] = round(metrics.share(said) or 0.0, 4)
        gain = metrics.paired_difference(flags[1], flags[0], clusters)
        low, high = (-1.0, 1.0) if gain.low is None or gain.high is None else (gain.low, gain.high)
        difference[k] = (round(gain.value or 0.0, 4), round(low, 4), round(high, 4))
    return Beside(kind, int(there.sum()), recall[0], recall[1], difference)


def in_turns(full: Callable[[], object], eight: Callable[[], object]) -> tuple[float, float]:
    """Median milliseconds of both, which take turns: what else the machine does meets both alike."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for once, into in zip((full, eight), spent, strict=True):
            begin = time.perf_counter()
            once()
            into.append(1000 * (time.perf_counter() - begin))
    return round(float(np.median(spent[0])), 1), round(float(np.median(spent[1])), 1)
