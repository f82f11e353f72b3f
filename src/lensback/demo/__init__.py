"""The demo's catalogue: two invented stores that sell real things, and three photos to search with.

`things.csv` says what each photo shows and what it costs where; `photos/LICENSE.md` says where the
photos are from. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from lensback.demo import stores
from lensback.demo.files import serve_folder, write_whole
from lensback.demo.things import Thing, things

__all__ = ["AskedPhoto", "DemoCatalogue", "DemoStore", "build_catalogue", "serve_folder"]

NOTE = "Real photos of second-hand clothes (CC0); the stores, their prices, sizes and stock are invented."


@dataclass(frozen=True, slots=True)
class DemoStore:
    """One store of the demo: its name, and where its feed and pictures lie."""

    name: str
    feed_path: Path

    def feed_url(self, base: str) -> str:
        """Where the feed is while the demo's folder is served at `base`, which is its `{BASE}` too."""
        return f"{base}/stores/{self.name}/{self.feed_path.name}"


@dataclass(frozen=True, slots=True)
class AskedPhoto:
    """A photo to search with, which is no picture of any store, and what is true of it."""

    path: Path
    shows: str
    """What is in it, in English."""
    offers: frozenset[tuple[str, str]]
    """(store, the feed's own id) of every offer of this very thing; empty where nobody sells it."""


@dataclass(frozen=True, slots=True)
class DemoCatalogue:
    """What `build_catalogue` made below `folder`."""

    folder: Path
    stores: tuple[DemoStore, ...]
    photos: tuple[AskedPhoto, ...]
    """First a thing that both stores sell, then things that nobody sells."""


def build_catalogue(folder: Path) -> DemoCatalogue:
    """The demo's feeds, pictures and photos below `folder`; a file that is right is left alone.

    So a second call changes nothing, and one after a crash or a meddling hand mends the rest.
    Raises OSError where the folder cannot be written.
    """
    known = things()
    sold = [thing for thing in known if thing.photos]
    for thing in sold:
        for name in thing.photos if thing.usd else ():
            write_whole(_images(folder, stores.GOOGLE_STORE) / name, _photo(name))
        if thing.rub:
            recropped = stores.recrop(_photo(thing.photos[0]), thing.number)
            write_whole(_images(folder, stores.YML_STORE) / thing.photos[0], recropped)
    made = (
        DemoStore(stores.GOOGLE_STORE, folder / "stores" / stores.GOOGLE_STORE / "feed.xml"),
        DemoStore(stores.YML_STORE, folder / "stores" / stores.YML_STORE / "feed.yml"),
    )
    write_whole(made[0].feed_path, stores.google_feed([t for t in sold if t.usd]))
    write_whole(made[1].feed_path, stores.yml_feed([t for t in sold if t.rub]))
    return DemoCatalogue(folder, made, _asked(folder, known))


def _asked(folder: Path, known: Sequence[Thing]) -> tuple[AskedPhoto, ...]:
    made = []
    for thing in sorted((t for t in known if t.asked), key=lambda t: not t.photos):
        path = folder / "photos" / f"{thing.title.lower().replace(' ', '-')}.jpg"
        write_whole(path, _photo(thing.asked))
        made.append(AskedPhoto(path, thing.title, stores.offer_ids(thing)))
    return tuple(made)


def _photo(name: str) -> bytes:
    return (resources.files("lensback.demo") / "photos" / name).read_bytes()


def _images(folder: Path, store: str) -> Path:
    return folder / "stores" / store / "images"
