"""Logos of stores: the operator's own, or the icon that a store's site shows in a browser's tab.

A logo is drawn anew here before it is kept, in `logos/` of the workspace, a file for each store: no byte of
a stranger's file reaches a shopper's browser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from PIL import Image

from lensback import images, robots
from lensback.durable import replace_file
from lensback.errors import BadImage, FetchError, FetchFailed, NotFound, TooLarge
from lensback.images import Decode
from lensback.net import Fetcher

FOLDER = "logos"
SIDE_PX = 96
LEAST_PX = 32
"""Anything smaller is a smear on a phone."""
MAX_BYTES = 1 << 20
MAX_PIXELS = 4_000_000
PAGE_BYTES = 1 << 20
STEP_S = 8.0
"""For one request."""
MOST_TRIES = 6
USUAL = ("/apple-touch-icon.png", "/apple-touch-icon-precomposed.png", "/favicon.ico")
_RELS = {"apple-touch-icon": 0, "apple-touch-icon-precomposed": 1, "icon": 2, "shortcut": 3}


def path_of(workspace: Path, store: str) -> Path:
    """Where the logo of a store lies, if it has one."""
    return workspace / FOLDER / f"{store}.png"


def keep(workspace: Path, store: str, data: bytes, by: Decode | None = None) -> None:
    """Keeps a picture as the logo of a store. Raises BadImage, TooLarge."""
    image = images.decode(
        data, side_px=2 * SIDE_PX, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS, by=by
    )
    if min(image.size) < LEAST_PX:
        raise BadImage(
            f"only {image.width} x {image.height} pixels",
            hint=f"a logo has {LEAST_PX} x {LEAST_PX} pixels at least",
        )
    image.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    path = path_of(workspace, store)
    path.parent.mkdir(exist_ok=True)
    replace_file(path, lambda partial: image.save(partial, "PNG", optimize=True))


def drop(workspace: Path, store: str) -> bool:
    """Forgets the logo of a store; says whether there was one."""
    path = path_of(workspace, store)
    there = path.is_file()
    path.unlink(missing_ok=True)
    return there


def rename(workspace: Path, old: str, new: str) -> None:
    """Gives the logo of a store to its new name."""
    if path_of(workspace, old).is_file():
        path_of(workspace, old).replace(path_of(workspace, new))


def icon(fetcher: Fetcher, pages: Sequence[str], by: Decode | None = None) -> bytes:
    """The picture that a store's site shows of itself, found from `pages` of its offers: what its front page
    names as its icon, else where browsers look for one. Only the store's own host is asked, as its robots.txt
    allows. Raises NotFound where none is a picture of a logo's size."""
    site = next((site for page in pages if (site := _site(page))), "")
    if not site:
        raise NotFound(
            "no page of this store is known", hint="name a picture: a file or an address"
        )
    rules = _robots(fetcher, site)
    reason = "none is named"
    for url in list(_candidates(fetcher, site, rules))[:MOST_TRIES]:
        try:
            data = _of_host(fetcher, url, MAX_BYTES)
            image = images.decode(data, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS, by=by)
        except (FetchError, BadImage, TooLarge) as error:
            reason = error.message
            continue
        if min(image.size) >= LEAST_PX:
            return data
        reason = f"only {image.width} x {image.height} pixels"
    raise NotFound(f"no icon at {site}: {reason}", hint="name a picture: a file or an address")


def _site(page: str) -> str:
    parts = urlsplit(page)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def _robots(fetcher: Fetcher, site: str) -> robots.Robots:
    """What is not there forbids nothing; what cannot be read forbids all for now."""
    try:
        got = _of_host(fetcher, f"{site}/robots.txt", robots.MAX_BYTES)
    except TooLarge:
        return robots.ALL
    except FetchError as error:
        return robots.ALL if 400 <= error.status < 500 and error.status != 429 else robots.NOTHING
    return robots.parse(got.decode("utf-8", "replace"), fetcher.user_agent)


def _of_host(fetcher: Fetcher, url: str, max_bytes: int) -> bytes:
    """The body of an address, unless a redirect led to another site."""
    came = fetcher.fetch(url, max_bytes=max_bytes, deadline_s=STEP_S)
    if _bare(came.url) != _bare(url):
        raise FetchFailed("it leads to another site", status=404)
    return came.body


def _bare(url: str) -> str:
    return (urlsplit(url).hostname or "").removeprefix("www.")


def _candidates(fetcher: Fetcher, site: str, rules: robots.Robots) -> Iterator[str]:
    named: list[str] = []
    if rules.allows(f"{site}/"):
        try:
            page = _of_host(fetcher, f"{site}/", PAGE_BYTES)
        except (FetchError, TooLarge):
            page = b""
        named = _named(page.decode("utf-8", "replace"), site)
    for url in dict.fromkeys([*named, *(site + path for path in USUAL)]):
        if _bare(url) == _bare(site) and rules.allows(url):
            yield url


def _named(page: str, site: str) -> list[str]:
    """The icons that a page names, those for a phone's home screen first, then the largest."""
    links = _Links()
    try:
        links.feed(page)
    except (AssertionError, ValueError):  # the parser gives up on some broken markup
        return []
    return [urljoin(f"{site}/", href) for _, _, href in sorted(links.found)]


class _Links(HTMLParser):
    """`<link rel=icon href=…>`: (rank of the rel, minus its size, href)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes an icon; called by the parser."""
        said = {name: value or "" for name, value in attrs}
        ranks = [_RELS[word] for word in said.get("rel", "").lower().split() if word in _RELS]
        href = said.get("href", "").strip()
        if tag != "link" or not ranks or not href or href.lower().endswith(".svg"):
            return
        size = re.match(r"(\d{1,4})x", said.get("sizes", "").lower())
        self.found.append((min(ranks), -int(size[1]) if size else 0, href))
