"""A small web of shops on localhost: stores with feeds and pictures, faults at will, and the truth.

with World(tmp_path) as world:
    store = world.store("harbour", "google", items(12))
    world.fail("/harbour/images/x.jpg", status=500)
    world.change(store.offers[0], price="19.00")
    assert world.requests["/harbour/feed.xml"] == 1
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import threading
import xml.etree.ElementTree as ET
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from PIL import Image

from garments import COLOURS, KINDS, Garment, draw, photo_of

G = "http://base.google.com/ns/1.0"
LIES: dict[str, dict[str, str]] = {
    "frozen": {"ETag": '"1"'},
    "future": {"Last-Modified": "Wed, 01 Jan 2098 00:00:00 GMT"},
    "long ago": {"Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT"},
    "nonsense": {"ETag": "no quotes, a comma", "Last-Modified": "yesterday evening"},
}
"""Marks of pictures whose server says the same whatever it shows, and answers 304 to it."""
TYPES = {
    ".xml": "application/xml",
    ".yml": "application/xml",
    ".gz": "application/gzip",
    ".jpg": "image/jpeg",
}


@dataclass
class WorldOffer:
    """One offer of a feed; change it through `World.change`, so that the feed follows."""

    store: str
    external_id: str
    item: Garment
    title: str
    price: str
    currency: str
    size: str
    available: bool = True
    images: list[str] = field(default_factory=list)
    brand: str = "Marlo"
    mpn: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.store, self.external_id


@dataclass
class WorldStore:
    name: str
    format: str
    feed_url: str
    feed_path: Path
    """The same feed on disk."""
    number: int
    marker: bool
    side_px: int
    offers: list[WorldOffer] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Of the feed, on the server."""
        return f"/{self.name}/{self.feed_path.name}"

    @property
    def image_paths(self) -> list[str]:
        names = {name for offer in self.offers for name in offer.images}
        return sorted(f"/{self.name}/images/{name}" for name in names)


@dataclass
class Fault:
    """What goes wrong at a path; `left` answers more, then it heals (-1: never)."""

    kind: str
    value: Any
    left: int = -1


class World:
    """Owns the server. Use as a context manager; everything in it may change while it serves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stores: dict[str, WorldStore] = {}
        self.items: dict[str, Garment] = {}
        self.requests: Counter[str] = Counter()
        """Asked-for paths, without their query."""
        self.unchanged: Counter[str] = Counter()
        """Those that were answered by 304."""
        self.validators = "etag"
        """What answers are marked with: `etag`, `modified` (Last-Modified), `none`, or `changing`,
        an ETag that is another one each time."""
        self.retry_after = ""
        """Sent with every status that is a failure, where it is not empty."""
        self._pages: dict[str, tuple[bytes, str]] = {}
        self._faults: dict[str, Fault] = {}
        self._pictures: dict[tuple[str, int, int, int], bytes] = {}
        self._count = itertools.count()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=120)

    @property
    def host(self) -> str:
        """host:port, as an allow list wants it."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def base(self) -> str:
        return f"http://{self.host}"

    # ---- stores

    def store(
        self,
        name: str,
        format: str,  # noqa: A002 (the name it has on the command line)
        items: Sequence[Garment],
        *,
        sizes: Sequence[str] = ("M",),
        side_px: int = 96,
        views: Sequence[int] = (0,),
        marker: bool = False,
    ) -> WorldStore:
        """A store in `google`, `yml` or `table` format that sells the items in these sizes.

        Its pictures differ a little from those of every other store. `marker` writes `{BASE}`
        in picture URLs, else they are absolute.
        """
        file = {"google": "feed.xml", "yml": "feed.yml", "table": "feed.csv.gz"}[format]
        number = len(self.stores)
        path = self.folder / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        store = WorldStore(
            name, format, f"{self.base}/{name}/{file}", path, number, marker, side_px
        )
        self.stores[name] = store
        self.add(store, items, sizes=sizes, views=views)
        return store

    def add(
        self,
        store: WorldStore,
        items: Sequence[Garment],
        *,
        sizes: Sequence[str] = ("M",),
        views: Sequence[int] = (0,),
    ) -> list[WorldOffer]:
        """New offers in a store's feed."""
        new = [self._offer(store, item, size, views) for item in items for size in sizes]
        store.offers += new
        self.publish(store)
        return new

    def change(self, offer: WorldOffer, **fields: Any) -> None:
        """Sets fields of one offer (`price="9.00"`, `available=False`, `title=...`)."""
        for name, value in fields.items():
            if not hasattr(offer, name):
                raise AttributeError(name)
            setattr(offer, name, value)
        self.publish(self.stores[offer.store])

    def remove(self, offer: WorldOffer) -> None:
        """Takes one offer out of its feed; its pictures stay."""
        store = self.stores[offer.store]
        store.offers.remove(offer)
        self.publish(store)

    def repaint(self, offer: WorldOffer, item: Garment) -> None:
        """Another picture at the same URL."""
        store = self.stores[offer.store]
        for view, name in enumerate(offer.images):
            self.put(f"/{store.name}/images/{name}", self._picture(store, item, view))

    def publish(self, store: WorldStore) -> None:
        """Writes the store's feed anew, on the server and on disk."""
        data = _FORMATS[store.format](store, "{BASE}" if store.marker else self.base)
        store.feed_path.write_bytes(data)
        self.put(store.path, data)

    @property
    def truth(self) -> dict[tuple[str, str], str]:
        """(store, external id) -> id of the item, for every offer now in a feed."""
        return {
            offer.key: offer.item.id for store in self.stores.values() for offer in store.offers
        }

    def offers_of(self, item: Garment) -> set[tuple[str, str]]:
        """Every offer of this item, at any store."""
        return {key for key, item_id in self.truth.items() if item_id == item.id}

    def photo(
        self, item: Garment, seed: int = 0, *, width_px: int = 240, height_px: int = 320
    ) -> Path:
        """A person's photo of the item, as a JPEG file."""
        path = self.folder / f"photo-{item.id}-{seed}-{width_px}x{height_px}.jpg"
        if not path.exists():
            photo_of(item, seed, width_px=width_px, height_px=height_px).save(path, quality=85)
        return path

    # ---- pages and faults

    def put(self, path: str, data: bytes, content_type: str = "") -> None:
        """Any page at any path: robots.txt, a feed by hand, a bomb."""
        with self._lock:
            self._pages[path] = data, content_type or TYPES.get(Path(path).suffix, "text/plain")

    def fail(self, path: str, status: int = 500, times: int = -1) -> None:
        """Answers with this status, `times` times (-1: until healed)."""
        self._fault(path, "status", status, times)

    def truncate(self, path: str, share: float = 0.5, times: int = -1) -> None:
        """Promises the whole length, sends `share` of it, and hangs up."""
        self._fault(path, "truncate", share, times)

    def cut(self, path: str, share: float = 0.5, times: int = -1) -> None:
        """Sends the first `share` of the page as if it were all of it."""
        self._fault(path, "cut", share, times)

    def drip(self, path: str, seconds: float, times: int = -1) -> None:
        """Sends the page in twenty pieces over so many seconds."""
        self._fault(path, "drip", seconds, times)

    def mistype(self, path: str, content_type: str = "text/html", times: int = -1) -> None:
        """Says that the page is of another kind."""
        self._fault(path, "type", content_type, times)

    def redirect(self, path: str, to: str, times: int = -1) -> None:
        """302 to another place."""
        self._fault(path, "redirect", to, times)

    def heal(self, path: str = "") -> None:
        """Ends the faults of one path, or all."""
        with self._lock:
            if path:
                self._faults.pop(path, None)
            else:
                self._faults.clear()

    def _fault(self, path: str, kind: str, value: Any, times: int) -> None:
        with self._lock:
            self._faults[path] = Fault(kind, value, times)

    def _take(self, path: str) -> tuple[tuple[bytes, str] | None, Fault | None]:
        with self._lock:
            self.requests[path] += 1
            fault = self._faults.get(path)
            if fault and fault.left > 0:
                fault.left -= 1
                if not fault.left:
                    del self._faults[path]
            return self._pages.get(path), fault

    def _marks(self, data: bytes) -> dict[str, str]:
        """The headers by which a client can ask whether these bytes changed."""
        digest = hashlib.sha256(data).hexdigest()
        if self.validators == "modified":
            at = formatdate(int(digest[:7], 16), usegmt=True)
            return {"Last-Modified": at}
        if self.validators in LIES and data.startswith(b"\xff\xd8"):
            return LIES[self.validators]
        if self.validators == "changing":
            return {"ETag": f'"{next(self._count)}"'}
        told = self.validators == "etag" or self.validators in LIES
        return {"ETag": f'"{digest[:16]}"'} if told else {}

    # ---- pictures

    def _offer(
        self, store: WorldStore, item: Garment, size: str, views: Sequence[int]
    ) -> WorldOffer:
        self.items[item.id] = item
        names = [f"{item.id}_{view}.jpg" for view in views]
        for view, name in zip(views, names, strict=True):
            self.put(f"/{store.name}/images/{name}", self._picture(store, item, view))
        dollars = KINDS[item.kind].price + item.seed % 20 + store.number
        roubles = store.format == "yml"
        return WorldOffer(
            store=store.name,
            external_id=_external_id(store, item, size),
            item=item,
            title=item.russian_title if roubles else item.title,
            price=f"{dollars * 92}" if roubles else f"{dollars}.00",
            currency={"google": "USD", "yml": "RUB", "table": "GBP"}[store.format],
            size=size,
            images=names,
            mpn=f"MA-{item.id}",
        )

    def _picture(self, store: WorldStore, item: Garment, view: int) -> bytes:
        """JPEG; from the second store on, cropped and compressed harder."""
        key = (item.id, store.number, view, store.side_px)
        if key not in self._pictures:
            image = draw(item, view=view, side_px=store.side_px)
            edge = min(store.number, 4) * store.side_px // 60
            cropped = image.crop((edge, 0, image.width, image.height - edge))
            self._pictures[key] = jpeg(cropped, quality=90 - 6 * min(store.number, 5))
        return self._pictures[key]


def jpeg(image: Image.Image, quality: int = 88) -> bytes:
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=quality)
    return stored.getvalue()


# ---- formats


def _google(store: WorldStore, base: str) -> bytes:
    ET.register_namespace("g", G)
    rss = ET.Element("rss", version="2.0")
    channel = ET.SubElement(rss, "channel")
    ET.SubElement(channel, "title").text = store.name
    for offer in store.offers:
        item = ET.SubElement(channel, "item")
        ET.SubElement(item, "title").text = offer.title
        ET.SubElement(item, "link").text = f"https://{store.name}.example/p/{offer.external_id}"
        images = _image_urls(offer, base)
        fields = {
            "id": offer.external_id, "item_group_id": offer.item.id, "image_link": images[0],
            "price": f"{offer.price} {offer.currency}", "brand": offer.brand, "mpn": offer.mpn,
            "availability": "in_stock" if offer.available else "out_of_stock",
            "product_type": KINDS[offer.item.kind].category, "color": offer.item.colour, "size": offer.size,
        }  # fmt: skip
        for name, text in fields.items():
            ET.SubElement(item, f"{{{G}}}{name}").text = text
        for url in images[1:]:
            ET.SubElement(item, f"{{{G}}}additional_image_link").text = url
    return ET.tostring(rss, encoding="utf-8", xml_declaration=True)


def _yml(store: WorldStore, base: str) -> bytes:
    root = ET.Element("yml_catalog", date="2026-01-01 06:00")
    shop = ET.SubElement(root, "shop")
    ET.SubElement(shop, "name").text = store.name
    ET.SubElement(ET.SubElement(shop, "currencies"), "currency", id="RUR", rate="1")
    categories = ET.SubElement(shop, "categories")
    names = sorted({KINDS[offer.item.kind].russian_category for offer in store.offers})
    for at, name in enumerate(names, start=1):
        ET.SubElement(categories, "category", id=str(at)).text = name
    offers = ET.SubElement(shop, "offers")
    for offer in store.offers:
        attributes = {
            "id": offer.external_id,
            "available": str(offer.available).lower(),
            "group_id": offer.item.id,
        }
        node = ET.SubElement(offers, "offer", attributes)
        fields = {
            "url": f"https://{store.name}.example/item?id={offer.external_id}&utm_source=yml",
            "price": offer.price, "currencyId": "RUR", "name": offer.title, "vendor": offer.brand,
            "vendorCode": offer.mpn, "categoryId": str(names.index(KINDS[offer.item.kind].russian_category) + 1),
        }  # fmt: skip
        for tag, text in fields.items():
            ET.SubElement(node, tag).text = text
        for url in _image_urls(offer, base):
            ET.SubElement(node, "picture").text = url
        ET.SubElement(node, "param", name="Цвет").text = COLOURS[offer.item.colour][0]
        ET.SubElement(node, "param", name="Размер").text = offer.size
    return ET.tostring(root, encoding="windows-1251", xml_declaration=True)


def _table(store: WorldStore, base: str) -> bytes:
    """AWIN's columns, comma separated, gzip."""
    rows = [_awin_row(store, offer, base) for offer in store.offers]
    text = io.StringIO()
    columns = list(rows[0]) if rows else ["aw_deep_link", "product_name", "merchant_product_id"]
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return gzip.compress(text.getvalue().encode(), mtime=0)


def _external_id(store: WorldStore, item: Garment, size: str) -> str:
    """The feed's own id; AWIN counts its products itself, in digits."""
    own = f"{item.id}-{size}"
    return str(zlib.crc32(own.encode())) if store.format == "table" else own


def _awin_row(store: WorldStore, offer: WorldOffer, base: str) -> dict[str, str]:
    images = _image_urls(offer, base)
    return {
        "aw_deep_link": f"https://www.awin1.com/pclick.php?p={offer.external_id}&a=123456&m=9001",
        "product_name": offer.title,
        "aw_product_id": offer.external_id,
        "merchant_product_id": f"{offer.item.id}-{offer.size}",
        "merchant_image_url": images[0],
        "alternate_image": images[1] if len(images) > 1 else "",
        "description": "",
        "merchant_category": KINDS[offer.item.kind].category,
        "search_price": offer.price,
        "merchant_name": store.name,
        "merchant_id": "9001",
        "currency": offer.currency,
        "merchant_deep_link": f"https://{store.name}.example/item/{offer.external_id}",
        "brand_name": offer.brand,
        "mpn": offer.mpn,
        "colour": offer.item.colour,
        "in_stock": "1" if offer.available else "0",
        "Fashion:size": offer.size,
        "parent_product_id": offer.item.id,
    }


def _image_urls(offer: WorldOffer, base: str) -> list[str]:
    return [f"{base}/{offer.store}/images/{name}" for name in offer.images]


_FORMATS: dict[str, Callable[[WorldStore, str], bytes]] = {
    "google": _google,
    "yml": _yml,
    "table": _table,
}


# ---- the server


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # the usual 5 makes a burst of clients wait whole seconds

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the play."""


def _handler(world: World) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_GET(self) -> None:
            page, fault = world._take(self.path.split("?")[0])
            status = fault.value if fault and fault.kind == "status" else 200 if page else 404
            if fault and fault.kind == "redirect":
                self._head(302, "text/plain", 0, Location=fault.value)
            elif status != 200 or not page:
                body = f"status {status}\n".encode()
                wait = {"Retry-After": world.retry_after} if world.retry_after else {}
                self._head(status, "text/plain", len(body), **wait)
                self.wfile.write(body)
            else:
                self._page(*page, fault)

        def _page(self, data: bytes, content_type: str, fault: Fault | None) -> None:
            kind, value = (fault.kind, fault.value) if fault else ("", None)
            if kind == "type":
                content_type = value
            if kind == "cut":
                data = data[: int(len(data) * value)]
            marks = world._marks(data)
            asked = (self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since"))
            if not fault and set(marks.values()) & set(asked):
                world.unchanged[self.path.split("?")[0]] += 1
                self._head(304, content_type, 0, **marks)
                return
            self._head(200, content_type, len(data), **marks)
            if kind == "truncate":
                self.wfile.write(data[: int(len(data) * value)])
                self.close_connection = True
            elif kind == "drip":
                self._drip(data, value)
            else:
                self.wfile.write(data)

        def _drip(self, data: bytes, seconds: float) -> None:
            piece = max(1, -(-len(data) // 20))
            for at in range(0, len(data), piece):
                if world._closing.wait(seconds / 20):
                    self.close_connection = True
                    return
                self.wfile.write(data[at : at + piece])

        def _head(self, status: int, content_type: str, length: int, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(length))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name is http.server's)
            """`World.requests` is the log."""

    return Handler
