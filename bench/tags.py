"""What codes, words on the thing and the shopper's words add to looks: `python bench/tags.py [--things N] [--folder DIR]`.

A store sells N second-hand things of closet, one phone photo each; numbers, articles and brands are given to them here. Sixty photos
bear a real tag (drawn by zxing-cpp, or printed), laid into a photo of closet in perspective, blurred and lit from one side:
EAN-13, UPC-A, Code 128 of an article number, a QR code of the store's page, a printed article, a printed brand with the title;
ten of each. Of ten, four show the thing itself as a phone would take it, four show another thing of the same kind under the tag (looks
cannot know), two bear the tag of a thing that nobody sells, under a thing that nobody sells.

Each photo is asked four times: by looks alone, with codes, with codes and words on the thing, and with the brand as `q` on top. Nothing but
the tag's own thing is right; of what nobody sells every "exact" is wrong. Times of the stages stand side by side, of one process.
The first answer waits 150 ms for words, as `ocr_wait_ms` has it; then the same photo is asked again, as the page does.
"""

from __future__ import annotations

import csv
import gzip
import os
import random
import string
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import zxingcpp
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from sqlalchemy import select

from lensback.catalogue import stores
from lensback.db import tables as t
from lensback.demo import serve_folder
from lensback.distort import distort
from lensback.search import Looks, Query, Tools, search
from lensback.settings import Settings
from lensback.sync import sync
from lensback.wire import Answer
from lensback.workspace import Workspace, init
from rig import DATA, STORES, arguments, jpeg, percentiles, share, write

BRANDS = (
    "Norfold",
    "Velmora",
    "Tarn & Co",
    "Quillon",
    "Osterby",
    "Ravenhill",
    "Kestrel",
    "Ludlow",
    "Marquay",
    "Zephyrine",
)
KINDS = ("EAN-13", "UPC-A", "Code 128", "QR", "article", "brand and title")
EVIDENCE = ("looks", "codes", "words on the thing", "q")
SHOWN = ("its own", "another thing", "sold by nobody")
WAIT_S = 0.15
LONGEST_PX = 2400
"""Of the photos: half of what a phone takes."""
CONDITIONS = ("plain", "turned", "small", "blurred", "shade", "inverted")


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing of the store, or one that nobody sells."""

    number: int
    photo: Path
    title: str
    category: str
    brand: str
    article: str
    gtin: str
    upc: str

    @property
    def page(self) -> str:
        return f"https://shop.example/thing/{self.number}"


@dataclass(frozen=True, slots=True)
class Tagged:
    """One photo with a tag, and what is right."""

    photo: bytes
    kind: str
    shows: str
    condition: str
    thing: Thing


def checked(digits: str) -> str:
    """The digits with their GTIN check digit."""
    total = sum(int(d) * (3 if n % 2 == 0 else 1) for n, d in enumerate(reversed(digits)))
    return f"{digits}{-total % 10}"


def things(count: int) -> list[Thing]:
    with gzip.open(DATA / "shops" / "closet" / STORES["closet"], "rt", encoding="utf-8") as lines:
        rows = list(islice(csv.DictReader(lines), count))
    made = []
    for n, row in enumerate(rows):
        chance = random.Random(n)
        letters = "".join(chance.choice("ABCDEFHKLMNPRTUVWXYZ") for _ in range(3))
        tail = chance.choice(string.ascii_uppercase) + str(chance.randrange(10, 99))
        made.append(
            Thing(
                n,
                DATA / "shops" / row["merchant_image_url"].replace("{BASE}/", ""),
                f"{row['product_name'].removesuffix(' (second-hand)')} {chance.choice(('Linnea', 'Harbour', 'Drift', 'Solstice', 'Meadow', 'Canyon', 'Orchard', 'Ember'))} {chance.choice(('Relaxed', 'Slim', 'Classic', 'Boxy'))}",
                row["merchant_category"],
                chance.choice(BRANDS),
                f"{letters}{chance.randrange(1000, 9999)}-{tail}",
                checked(f"40{chance.randrange(10**9, 10**10)}"),
                checked(f"6{chance.randrange(10**9, 10**10)}"),
            )
        )
    return made


def connect(workspace: Workspace, sold: Sequence[Thing], base: str) -> None:
    path = workspace.path / "feed.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(
            ["id", "title", "link", "price", "image_link", "brand", "mpn", "gtin", "product_type"]
        )
        for one in sold:
            address = f"{base}/{one.photo.relative_to(DATA / 'shops')}"
            number = one.upc if one.number % 2 else one.gtin
            rows.writerow(
                [
                    one.number,
                    one.title,
                    one.page,
                    "10.00 EUR",
                    address,
                    one.brand,
                    one.article,
                    number,
                    one.category,
                ]
            )
    stores.add(workspace.db, "shop", str(path))
    sync(workspace)


# ---- tags


def drawn_code(text: str, kind: str, *, label: str = "") -> Image.Image:
    code = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind))
    found = Image.fromarray(np.asarray(code.to_image(scale=4))).convert("L")
    if kind != "QRCode":
        found = found.resize((found.width, max(120, found.height)), Image.Resampling.NEAREST)
    quiet = 40
    canvas = Image.new("L", (found.width + 2 * quiet, found.height + 2 * quiet + 44), 255)
    canvas.paste(found, (quiet, quiet))
    font = ImageFont.load_default(30)
    ImageDraw.Draw(canvas).text(
        (canvas.width / 2, canvas.height - 38), label or text, 20, font, anchor="ma"
    )
    return canvas


def printed(lines: Sequence[str]) -> Image.Image:
    font = ImageFont.load_default(54)
    sizes = [font.getbbox(line) for line in lines]
    width = int(max(box[2] for box in sizes)) + 60
    canvas = Image.new("L", (width, 84 * len(lines) + 40), 245)
    pen = ImageDraw.Draw(canvas)
    for n, line in enumerate(lines):
        pen.text((30, 20 + 84 * n), line, 25, font)
    return canvas


def tag_of(one: Thing, kind: str) -> Image.Image:
    return {
        "EAN-13": lambda: drawn_code(one.gtin, "EAN13"),
        "UPC-A": lambda: drawn_code(one.upc, "UPCA"),
        "Code 128": lambda: drawn_code(one.article, "Code128", label="style"),
        "QR": lambda: drawn_code(f"{one.page}?utm_source=tag", "QRCode", label="scan me"),
        "article": lambda: printed([f"Art. {one.article}"]),
        "brand and title": lambda: printed([one.brand, one.title]),
    }[kind]()


def laid(
    ground: Image.Image, tag: Image.Image, condition: str, chance: random.Random
) -> Image.Image:
    """The tag in the photo: seen from the side, out of focus, in the shade."""
    ground = ground.convert("RGB")
    factor = LONGEST_PX / max(ground.size)
    ground = ground.resize(
        (round(ground.width * factor), round(ground.height * factor)), Image.Resampling.LANCZOS
    )
    wide = (0.26 if condition == "small" else chance.uniform(0.38, 0.55)) * ground.width
    wide = min(wide, ground.height * 0.6 * tag.width / tag.height)
    if condition == "inverted":
        tag = Image.eval(tag, lambda v: 255 - v)
    size = (round(wide), round(wide * tag.height / tag.width))
    tag = tag.resize(size, Image.Resampling.LANCZOS)
    side = 0.22 if condition == "turned" else chance.uniform(0.02, 0.08)
    angle = chance.uniform(-60, 60) if condition == "turned" else chance.uniform(-9, 9)
    w, h = tag.size
    corners = [(0, h * side), (w, 0), (w, h), (0, h * (1 - side))]
    tag = tag.transform(
        tag.size,
        Image.Transform.PERSPECTIVE,
        _perspective(corners, w, h),
        Image.Resampling.BICUBIC,
        fillcolor=255,
    )
    mask = Image.new("L", tag.size, 255).transform(
        tag.size, Image.Transform.PERSPECTIVE, _perspective(corners, w, h), Image.Resampling.BICUBIC
    )
    tag, mask = (one.rotate(angle, Image.Resampling.BICUBIC, expand=True) for one in (tag, mask))
    if condition == "shade":
        across = np.linspace(0.28, 1.0, tag.width)[None]
        tag = Image.fromarray((np.asarray(tag, np.float32) * across).astype(np.uint8))
    x = chance.randrange(max(1, ground.width - tag.width))
    y = round(chance.uniform(0.55, 1.0) * max(0, ground.height - tag.height))
    ground.paste(tag.convert("RGB"), (x, y), mask)
    return ground.filter(ImageFilter.GaussianBlur(2.6 if condition == "blurred" else 0.8))


def _perspective(corners: Sequence[tuple[float, float]], w: int, h: int) -> list[float]:
    """Eight numbers that Pillow wants: where a point of the new picture lies in the old one."""
    rows, right = [], []
    for (x, y), (u, v) in zip(corners, [(0, 0), (w, 0), (w, h), (0, h)], strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    solved = np.linalg.solve(np.asarray(rows, float), np.asarray(right, float))
    return [float(one) for one in solved]


def photos(sold: Sequence[Thing], unsold: Sequence[Thing]) -> list[Tagged]:
    made = []
    for k, kind in enumerate(KINDS):
        fits = [
            one
            for one in sold
            if kind not in {"EAN-13", "UPC-A"} or (one.number % 2 == 1) == (kind == "UPC-A")
        ]
        for n in range(10):
            chance = random.Random(1000 * k + n)
            shows = SHOWN[0] if n < 4 else SHOWN[1] if n < 8 else SHOWN[2]
            condition = CONDITIONS[(n + k) % len(CONDITIONS)]
            thing = chance.choice(unsold if shows == SHOWN[2] else fits)
            under = thing
            if shows == SHOWN[1]:
                same = [one for one in sold if one.category == thing.category and one is not thing]
                under = chance.choice(same or list(sold))
            with Image.open(under.photo) as picture:
                ground = distort(picture.convert("RGB"), 31 * k + n)
            made.append(
                Tagged(
                    jpeg(laid(ground, tag_of(thing, kind), condition, chance)),
                    kind,
                    shows,
                    condition,
                    thing,
                )
            )
    return made


# ---- asked


def evidence(tools: Tools) -> dict[str, tuple[Tools, bool]]:
    """What is read, by what is asked with, and whether words are asked with the photo, too."""
    return {
        "looks": (replace(tools, codes=None, texts=None), False),
        "codes": (replace(tools, texts=None), False),
        "words on the thing": (tools, False),
        "q": (tools, True),
    }


def products_of(workspace: Workspace) -> dict[int, str]:
    """The product of each thing that is sold, by its number."""
    o = t.offers.c
    with workspace.db.read() as c:
        return {
            int(row.external_id): row.product_id
            for row in c.execute(select(o.external_id, o.product_id))
        }


@dataclass(frozen=True, slots=True)
class Judged:
    """What one answer was worth."""

    first: bool
    """The tag's own thing is first; of what nobody sells: nothing is called exact."""
    exact: bool
    """It is called exact, and rightly."""
    wrong: bool
    """Something else is called exact."""
    by_code: bool
    """And a code or a number said so."""
    timings_ms: Mapping[str, float]


def judged(answer: Answer, product: str) -> Judged:
    claimed = [hit for hit in answer.hits if hit.exact]
    wrong = [hit for hit in claimed if hit.product_id != product]
    first = bool(answer.hits) and answer.hits[0].product_id == product
    return Judged(
        first if product else not claimed,
        any(hit.product_id == product for hit in claimed),
        bool(wrong),
        any(hit.by in {"barcode", "link", "article"} for hit in wrong),
        answer.timings_ms,
    )


@dataclass(slots=True)
class Asked:
    """What came of one photo."""

    answers: dict[str, Answer]
    first: Answer
    """The first answer, with everything read, that waits WAIT_S for words."""
    late_ms: float
    """How long after it the words were there."""


def asked(one: Tagged, tools: Tools) -> Asked:
    """The first answer of one photo, then, when its words are read, the answers by each evidence. Only the first
    one decodes, finds regions and reads."""
    tools = replace(tools, looks=Looks(600.0))
    first = search(one.photo, Query(), replace(tools, text_wait_s=WAIT_S))
    begin = time.perf_counter()
    late = replace(tools, text_wait_s=60.0)
    answers = {"words on the thing": search(one.photo, Query(), late)}
    late_ms = 1000 * (time.perf_counter() - begin) if first.reading else 0.0
    for name, (own, with_words) in evidence(late).items():
        answers[name] = search(one.photo, Query(words=one.thing.brand if with_words else ""), own)
    return Asked(answers, first, late_ms)


def told(rows: Sequence[Judged]) -> dict[str, Any]:
    n = len(rows)
    return {
        "right first": share(sum(one.first for one in rows), n),
        "rightly exact": share(sum(one.exact for one in rows), n),
        "wrongly exact": share(sum(one.wrong for one in rows), n),
        "wrongly exact by a code or number": sum(one.by_code for one in rows),
    }


def parts(every: Sequence[Tagged], rows: Sequence[Judged], of: str) -> dict[str, Any]:
    groups: dict[str, list[Judged]] = defaultdict(list)
    for one, row in zip(every, rows, strict=True):
        groups[getattr(one, of)].append(row)
    return {name: told(group) for name, group in groups.items()}


def main() -> None:
    chosen = arguments(__doc__, things=300, folder=Path("tags"), keep=0).parse_args()
    os.environ["LENSBACK_OCR"] = "on"
    folder = chosen.folder.resolve()
    made = things(chosen.things + 40)
    sold, unsold = made[: chosen.things], made[chosen.things :]
    every = photos(sold, unsold)
    if chosen.keep:
        for n, one in enumerate(every):
            (folder / "photos").mkdir(parents=True, exist_ok=True)
            (
                folder / "photos" / f"{n:02d}-{one.kind}-{one.condition}.jpg".replace(" ", "_")
            ).write_bytes(one.photo)
    if not (folder / "workspace" / "lensback.toml").exists():
        init(folder / "workspace")
        with (
            serve_folder(DATA / "shops") as base,
            Workspace(folder / "workspace", Settings(allow_hosts=("127.0.0.1",))) as workspace,
        ):
            connect(workspace, sold, base)
    with Workspace(folder / "workspace", Settings(ocr="on")) as workspace:
        product_of = products_of(workspace)
        tools = workspace.tools()
        asked(every[0], tools)  # models load once
        came = [asked(one, tools) for one in every]
    found: dict[str, Any] = {}
    for name in EVIDENCE:
        rows = [
            judged(one.answers[name], product_of.get(tag.thing.number, ""))
            for tag, one in zip(every, came, strict=True)
        ]
        own = [row for tag, row in zip(every, rows, strict=True) if tag.shows != SHOWN[2]]
        none = [row for tag, row in zip(every, rows, strict=True) if tag.shows == SHOWN[2]]
        found[name] = {
            "sold": told(own),
            "sold by nobody": told(none),
            "rank, ms": percentiles([row.timings_ms.get("rank", 0.0) for row in rows], (50, 99)),
            **{f"by {of}": parts(every, rows, of) for of in ("shows", "kind", "condition")},
        }
    stages = ("decode", "regions", "encode", "codes", "search", "texts", "rank", "total")
    first = {
        stage: percentiles([one.first.timings_ms.get(stage, 0.0) for one in came], (50, 99))
        for stage in stages
    }
    late = [one.late_ms for one in came if one.first.reading]
    words = {
        "in the first answer": share(len(came) - len(late), len(came)),
        "later by, ms": percentiles(late, (50, 99)),
    }
    figures = {"things": len(sold), "photos": len(every), "load": round(os.getloadavg()[0], 1)}
    write(
        "tags",
        {**figures, "evidence": found, "first answer, ms": first, "words": words},
        chosen.out,
    )


if __name__ == "__main__":
    main()
