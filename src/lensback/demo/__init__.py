"""The demo's catalogue: two invented stores with feeds and pictures, and a photo to search with.

The pictures are real photos (CC0) where the network gives them, else drawn here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from lensback.demo import draw as drawing  # the name `draw` stays the module's
from lensback.demo import photos, stores
from lensback.demo.draw import DrawnItem
from lensback.demo.files import serve_folder, write_whole
from lensback.demo.photos import BASE_URL, ENOUGH, Fetch, Progress
from lensback.demo.stores import Thing
from lensback.demo.words import KINDS, PHOTO_KINDS, nearest_colour

__all__ = ["BASE_URL", "DemoCatalogue", "DemoStore", "build_catalogue", "serve_folder"]

_SIDE_PX = 400
_RECORD = "demo.json"
_LAYOUT = 1
"""Of the files below the folder: another number builds them anew."""


@dataclass(frozen=True, slots=True)
class DemoStore:
    name: str
    feed_path: Path
    folder: Path

    def feed_url(self, base: str) -> str:
        """Where the feed is while the demo's folder is served at `base`, which is its `{BASE}` too."""
        return f"{base}/stores/{self.name}/{self.feed_path.name}"


@dataclass(frozen=True, slots=True)
class DemoCatalogue:
    """`photo` shows a thing of the catalogue and is no picture of it in any store."""

    folder: Path
    stores: tuple[DemoStore, ...]
    photo: Path
    expected_offer_ids: tuple[tuple[str, str], ...]
    """(store, the feed's own id) of every offer of the thing in the photo."""
    source: str
    """downloaded or drawn."""
    note: str
    """What a person should know about the pictures; one or two sentences."""


def build_catalogue(
    folder: Path,
    *,
    fetch: Fetch | None,
    base_url: str = BASE_URL,
    progress: Progress | None = None,
    count: int = 300,
) -> DemoCatalogue:
    """The demo's catalogue below `folder`, built where it is not there yet; the second call is a look at disk.

    `fetch(url)` gives a file's bytes or raises `Error` or `OSError`; None stays off the network.
    `count` things, at least 3. `progress(done, count)` is called as pictures come.
    """
    built = _built(folder, count)
    if built:
        return built
    shown = progress or (lambda _done, _total: None)
    source, note = "drawn", "The pictures are drawn: the network was not asked."
    things: list[Thing] = []
    if fetch:
        things, note = _downloaded(folder, fetch, base_url, count, shown)
        source = "downloaded" if things else "drawn"
    finish: Callable[[Thing, Path], None] = _distort
    if not things:
        drawn = drawing.items(count)
        things = _drawn(folder, drawn, shown)
        by_id = {item.id: item for item in drawn}

        def finish(thing: Thing, path: Path) -> None:
            write_whole(path, stores.jpeg(drawing.photo_of(by_id[thing.id], _PHOTO_SEED), 86))

    return _finished(folder, things, finish, source=source, note=note, count=count)


_PHOTO_SEED = 12


def _downloaded(
    folder: Path, fetch: Fetch, base_url: str, count: int, progress: Progress
) -> tuple[list[Thing], str]:
    """Things with a real photo each, and the note; no things where too few photos came."""
    kept = folder / "downloads"
    result = photos.download(kept, fetch, base_url, count=count, progress=progress)
    if len(result.rows) < min(ENOUGH, count):
        reason = result.reason or f"only {len(result.rows)} came: {_listed(result.failed)}"
        return [], f"The pictures are drawn: no photos could be downloaded ({reason})."
    images = _images(folder, stores.GOOGLE_STORE)
    things = [_thing_of(row, number, kept) for number, row in enumerate(result.rows)]
    for row in result.rows:
        write_whole(images / row.file, (kept / row.file).read_bytes())
    lost = ""
    if result.failed:
        lost = f" {result.failed.total()} more did not come ({_listed(result.failed)})."
    elif result.reason:
        lost = f" More did not come ({result.reason})."
    return things, (
        f"{len(things)} real photos of clothes (CC0), stores and prices invented.{lost} The photo to search"
        " with is a changed copy (crop, turn, light, JPEG) of a picture in the catalogue, so it is easier"
        " to find than a new photo would be."
    )


def _listed(failed: dict[str, int]) -> str:
    return (
        ", ".join(f"{count} {reason}" for reason, count in sorted(failed.items()))
        or "nothing was there"
    )


def _thing_of(row: photos.Row, number: int, kept: Path) -> Thing:
    with Image.open(kept / row.file) as image:
        width, height = image.size
        middle = image.convert("RGB").crop(
            (width * 3 // 8, height * 3 // 8, width * 5 // 8, height * 5 // 8)
        )
    red, green, blue = np.median(np.asarray(middle).reshape(-1, 3), axis=0)
    colour, kind = nearest_colour((int(red), int(green), int(blue))), PHOTO_KINDS[row.label]
    return Thing(
        f"{row.label}-{row.file[:8]}", kind, f"{kind.title}, {colour.name}", f"{kind.russian}, {colour.russian}",
        colour.name, number, (row.file,),
    )  # fmt: skip


def _drawn(folder: Path, drawn: Sequence[DrawnItem], progress: Progress) -> list[Thing]:
    """Draws one picture of every thing and a second one of every other thing."""
    images = _images(folder, stores.GOOGLE_STORE)

    def picture(numbered: tuple[int, DrawnItem]) -> Thing:
        number, item = numbered
        views = (0, 1) if number % 2 == 0 else (0,)
        names = tuple(f"{item.id}_{view}.jpg" for view in views)
        for view, name in zip(views, names, strict=True):
            write_whole(images / name, stores.jpeg(drawing.draw(item, view=view, side_px=_SIDE_PX)))
        return Thing(
            item.id, KINDS[item.kind], item.title, item.russian_title, item.colour, number, names
        )

    things: list[Thing] = []
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for thing in pool.map(picture, enumerate(drawn)):
            things.append(thing)
            progress(len(things), len(drawn))
    return things


def _finished(
    folder: Path,
    things: Sequence[Thing],
    finish: Callable[[Thing, Path], None],
    *,
    source: str,
    note: str,
    count: int,
) -> DemoCatalogue:
    """Writes what both ways share: the second store, the feeds, the photo, and last the record."""
    shared = [thing for thing in things if thing.shared]
    first, second = _images(folder, stores.GOOGLE_STORE), _images(folder, stores.YML_STORE)
    for thing in shared:
        stores.recrop(first / thing.images[0], second / thing.images[0], thing.number)
    write_whole(_feed_path(folder, stores.GOOGLE_STORE), stores.google_feed(things))
    write_whole(_feed_path(folder, stores.YML_STORE), stores.yml_feed(shared))
    sought = _sought(shared)
    finish(sought, folder / "photo.jpg")
    record = {
        "layout": _LAYOUT, "source": source, "note": note, "count": count, "expected": _expected(sought),
        "pictures": [len(list(images.glob("*.jpg"))) for images in (first, second)],
    }  # fmt: skip
    write_whole(folder / _RECORD, json.dumps(record, ensure_ascii=False, indent=1).encode())
    return _opened(folder, record)


def _sought(shared: Sequence[Thing]) -> Thing:
    """The thing of the photo: one with a pattern, where there is one."""
    return next(
        (thing for thing in shared if thing.title.startswith(("Striped", "Checked"))), shared[0]
    )


def _expected(thing: Thing) -> list[list[str]]:
    google = [[stores.GOOGLE_STORE, stores.google_id(thing, size)] for size, _ in thing.stock(0)]
    return google + [
        [stores.YML_STORE, stores.yml_id(thing, at)] for at in range(len(thing.stock(1)))
    ]


def _distort(thing: Thing, path: Path) -> None:
    """A changed copy of the thing's own picture: the only photo of it there is."""
    source = path.parent / "stores" / stores.GOOGLE_STORE / "images" / thing.images[0]
    with Image.open(source) as image:
        turned = image.convert("RGB").rotate(7, Image.Resampling.BICUBIC, fillcolor=(128, 124, 118))
    width, height = turned.size
    cropped = turned.crop(
        (int(width * 0.08), int(height * 0.07), int(width * 0.94), int(height * 0.95))
    )
    write_whole(path, stores.jpeg(ImageEnhance.Brightness(cropped).enhance(0.86), quality=60))


def _built(folder: Path, count: int) -> DemoCatalogue | None:
    """What an earlier call left, if all of it is still there."""
    try:
        record = json.loads((folder / _RECORD).read_bytes())
        whole = record["layout"] == _LAYOUT and record["count"] == count
        names = (stores.GOOGLE_STORE, stores.YML_STORE)
        there = [len(list(_images(folder, name).glob("*.jpg"))) for name in names]
        files = [folder / "photo.jpg", *(_feed_path(folder, name) for name in names)]
        if whole and there == record["pictures"] and all(path.is_file() for path in files):
            return _opened(folder, record)
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no record, or one that was cut or edited: build anew
    return None


def _opened(folder: Path, record: dict[str, Any]) -> DemoCatalogue:
    names = (stores.GOOGLE_STORE, stores.YML_STORE)
    return DemoCatalogue(
        folder=folder,
        stores=tuple(
            DemoStore(name, _feed_path(folder, name), folder / "stores" / name) for name in names
        ),
        photo=folder / "photo.jpg",
        expected_offer_ids=tuple((store, offer) for store, offer in record["expected"]),
        source=str(record["source"]),
        note=str(record["note"]),
    )


def _images(folder: Path, store: str) -> Path:
    return folder / "stores" / store / "images"


def _feed_path(folder: Path, store: str) -> Path:
    return folder / "stores" / store / ("feed.xml" if store == stores.GOOGLE_STORE else "feed.yml")
