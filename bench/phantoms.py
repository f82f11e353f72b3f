"""What is offered where nothing is: `python bench/phantoms.py [--folder DIR] [--photos DIR]`.

Photos of four kinds, none of which any number was chosen on: street photos (502, with the boxes of
what people wear; evaluation only), phone photos of closet that the detector never saw (one thing
each), drawn grounds with pieces that are no things, and drawn screenshots of text; `--photos` adds a
folder of photos without a thing for sale. For each: how many regions an answer names, how many of
these meet something, and how many photos show nothing at all; then what a whole search says where
luma and its outlet are on sale (`--folder` as of bench/live_path.py), beside 300 distorted pictures of
things that are. `--street`, `--count` and `--drawn` make it shorter: so many street photos, drawn by a
fixed seed, photos of closet and copies, screenshots and half as many grounds. "By likelihood": what the
detector alone would have named; "in an answer": what is left where nothing on sale is near. Intervals
are Wilson's, of photos.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from detectors import Photo, street
from lensback.detectors import SHIPPED_NAME, Detector, open_detector
from lensback.detectors.boxes import overlaps
from lensback.detectors.measure import MET, Judged, share_met
from lensback.distort import distort
from lensback.search import Query, search
from lensback.search.looking import in_order, offered
from lensback.types import WHOLE, Region
from lensback.wire import Answer
from lensback.workspace import Workspace
from live_path import source_of
from rig import DATA, REPOSITORY, arguments, images_of, jpeg, opened, share, write

sys.path.insert(0, str(REPOSITORY / "tools" / "detector"))
from layers import Canvas
from scenes import SHAPES, clutter, developed, gather, ground, pictured
from stems import closet_words, held

SHOPS = DATA / "shops"
FIRST = 8
"""What the page offers at most."""
SIDE_PX = 448
Draw = Callable[[], Image.Image]


# ---- the photos


def closet_photos(count: int) -> list[Draw]:
    """Phone photos of things that the detector never saw."""
    paths = sorted((SHOPS / "closet" / "images").iterdir())
    kept = [path for path in paths if held(f"closet/{path.stem}")]
    return [_reader(path) for path in random.Random(3).sample(kept, min(count, len(kept)))]


def _reader(path: Path) -> Draw:
    return lambda: opened(path)


def grounds(count: int) -> list[Draw]:
    """Drawn streets, floors and walls with pieces that are no things."""
    source = gather(SHOPS, closet_words(SHOPS), held, False)
    made = []
    for number in range(count):
        chance = np.random.default_rng([1212, number])
        height, width = SHAPES[number % len(SHAPES)]
        canvas = Canvas(ground(height, width, source.wardrobe, chance))
        clutter(canvas, source.wardrobe, chance)
        made.append(developed(pictured(canvas), chance))
    return [partial(Image.Image.copy, image) for image in made]


def screenshots(count: int) -> list[Draw]:
    """Articles, chats, receipts, tables and mails in the words of our own docs, light and dark."""
    words = " ".join(path.read_text("utf-8") for path in sorted((REPOSITORY / "docs").glob("*.md")))
    fonts = sorted(map(str, Path("/usr/share/fonts").rglob("*.ttf")))
    return [partial(_screenshot, random.Random(n), words.split(), fonts) for n in range(count)]


def _screenshot(chance: random.Random, words: Sequence[str], fonts: Sequence[str]) -> Image.Image:
    width, height = chance.choice([(390, 844), (412, 915), (800, 600), (1280, 800), (600, 800)])
    dark = chance.random() < 0.4
    paper = (18, 18, 20) if dark else chance.choice([(255, 255, 255), (247, 247, 242)])
    image = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(image)
    chat, ink, y = chance.random() < 0.3, (235, 235, 235) if dark else (20, 20, 25), 30
    while y < height - 40:
        size = chance.choice([14, 16, 18, 18, 22, 34])
        font = ImageFont.truetype(chance.choice(fonts), size) if fonts else ImageFont.load_default(size)  # fmt: skip
        at = chance.randrange(len(words) - 20)
        line = " ".join(words[at : at + chance.randint(2, 14)])[: int(width / size)]
        long = draw.textlength(line, font=font)
        if chat:
            x = width - long - 30 if chance.random() < 0.5 else 20.0
            bubble = chance.choice([(200, 240, 200), (220, 220, 255), (225, 225, 228)])
            draw.rounded_rectangle([x - 10, y - 6, x + long + 10, y + size + 10], 12, fill=bubble)
            draw.text((x, y), line, fill=(10, 10, 10), font=font)
            y += 12
        else:
            draw.text((16, y), line, fill=ink, font=font)
        y += int(size * chance.choice([1.3, 1.5, 2.2]))
    return image


# ---- what is named in them


def small(image: Image.Image) -> Image.Image:
    """As a search decodes it."""
    factor = SIDE_PX / min(image.size)
    if factor >= 1:
        return image
    return image.resize((round(image.width * factor), round(image.height * factor)))


def named(regions: Sequence[Region]) -> list[Region]:
    """The things that the page would offer at once, by their likelihood alone."""
    return [r for r in offered(in_order(regions)) if r.box != WHOLE and r.likely][:FIRST]


def of_answer(answer: Answer) -> list[Region]:
    """The things that the page offers at once."""
    return [Region(r.box, r.label, r.score) for r in answer.regions if r.box != WHOLE][:FIRST]


def of_regions(found: Sequence[Sequence[Region]]) -> dict[str, Any]:
    """How much an answer names, and behind "more"."""
    every = [[r for r in each if r.box != WHOLE][:FIRST] for each in found]
    return {
        "found by the detector, of the first 8, a photo": _mean([len(each) for each in every]),
        "by likelihood": _counted([named(each) for each in found]),
    }


def _counted(mine: Sequence[Sequence[Region]]) -> dict[str, Any]:
    return {
        "named, a photo": _mean([len(each) for each in mine]),
        "photos with nothing named": share(sum(not each for each in mine), len(mine)),
    }


def _mean(counts: Sequence[int]) -> float | None:
    return round(sum(counts) / len(counts), 2) if counts else None


def on_boxes(photos: Sequence[Photo], chosen: Sequence[Sequence[Region]]) -> dict[str, Any]:
    """How many of the regions meet a true box, and how many of the boxes are met by them."""
    pairs = list(zip(chosen, (boxes for _, boxes in photos), strict=True))
    right = sum(sum(_meets(regions, boxes)) for regions, boxes in pairs)
    judged = [Judged(boxes, regions) for regions, boxes in pairs]
    return {
        "regions that meet a box": share(right, sum(map(len, chosen))),
        "boxes met": round(share_met(judged, FIRST), 4),
        "boxes": sum(len(boxes) for _, boxes in photos),
    }


def _meets(regions: Sequence[Region], boxes: Sequence[Any]) -> list[bool]:
    if not regions or not boxes:
        return [False] * len(regions)
    true = np.array([box for _, box in boxes], np.float32)
    given = np.array([region.box for region in regions], np.float32)
    return [bool(best >= MET) for best in overlaps(given, true).max(axis=1)]


# ---- what a search says of them


def verdicts(answers: Sequence[Answer]) -> dict[str, Any]:
    said, count = Counter(answer.verdict for answer in answers), len(answers)
    return {
        "told none": share(said["none"], count),
        "of these: nothing to search": sum(answer.nothing_to_search for answer in answers),
        "called exact": share(said["exact"], count),
        "in an answer": _counted([of_answer(answer) for answer in answers]),
    }


def _view(workspace: Workspace, image: str, seed: int) -> Image.Image:
    return distort(workspace.images.open(image), seed)


def sold(workspace: Workspace, count: int) -> list[Draw]:
    rows = images_of(workspace, "luma", first_only=True)
    chosen = random.Random(6).sample(rows, min(count, len(rows)))
    return [partial(_view, workspace, image, 60_000 + n) for n, (image, _) in enumerate(chosen)]


def main() -> None:
    parser = arguments(
        __doc__,
        encoder="eye",
        folder=Path("live_path"),
        photos=None,
        count=300,
        street=502,
        drawn=100,
        searched=1,
    )
    asked = parser.parse_args()
    detector: Detector = open_detector(SHIPPED_NAME)
    every = street()
    worn = random.Random(7).sample(every, min(asked.street, len(every)))
    sets: dict[str, list[Draw]] = {
        "street": [_reader(path) for path, _ in worn],
        "closet": closet_photos(asked.count),
        "drawn grounds": grounds(asked.drawn // 2),
        "drawn screenshots": screenshots(asked.drawn),
    }
    if asked.photos:
        sets["photos without a thing"] = [_reader(path) for path in sorted(asked.photos.iterdir())]
    figures: dict[str, Any] = {}
    for name, photos in sets.items():
        found = [detector.find(small(photo())) for photo in photos]
        figures[name] = {"photos": len(photos), **of_regions(found)}
        if name == "street":
            first = [[r for r in each if r.box != WHOLE][:FIRST] for each in found]
            figures[name]["the first 8"] = on_boxes(worn, first)
            figures[name]["by likelihood"] |= on_boxes(worn, [named(each) for each in found])
    if asked.searched:
        with source_of(asked.folder.resolve() / "source", asked.encoder) as workspace:
            sets["sold, distorted"] = sold(workspace, asked.count)
            tools = workspace.tools()
            for name, photos in sets.items():
                answers = [search(jpeg(photo()), Query(), tools) for photo in photos]
                figures.setdefault(name, {"photos": len(photos)}).update(verdicts(answers))
                if name == "street":
                    figures[name]["in an answer"] |= on_boxes(worn, [of_answer(one) for one in answers])  # fmt: skip
    write("phantoms", {"detector": detector.fingerprint, "sets": figures}, asked.out)


if __name__ == "__main__":
    main()
