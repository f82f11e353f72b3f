"""Awkward answers, and what may not happen to a page that shows them, at any width.

Used by tests/test_browser_matrix.py.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from garments import draw, items
from lensback import logos
from lensback.catalogue import stores
from lensback.catalogue.saved import SavedThing
from lensback.errors import BadImage
from lensback.programs.facts import STEPS
from lensback.search import Palette, Query
from lensback.settings import Settings
from lensback.types import WHOLE, Money
from lensback.web import create_app, failures, pages
from lensback.web.go import Way
from lensback.web.language import speech_of
from lensback.web.prices import chart
from lensback.web.programs import terms_by_store
from lensback.web.saved import SavedLine
from lensback.web.service import Front
from lensback.web.uploads import Upload
from lensback.web.views import answer_view, card
from lensback.wire import Answer, Product, Region
from lensback.workspace import Workspace, init
from serving import serving
from shown import answer, hit, offer

WIDTHS = (320, 360, 390, 412, 480, 600, 768, 1024, 1280, 1440, 1920)
STATES = (
    *("home", "exact", "similar", "many", "none", "failure", "empty", "activated", "saved"),
    *("product", "shared", "docs"),
)
LONG = "Women's water-repellent quilted down-filled hooded parka with removable faux-fur trim, limited winter edition 2026"
UNBROKEN = "Superduperwasserabweisendesteppjackenmantelkleid_ULTRA-PRO-MAX-2026/4711.0815-XXXXL"
ARABIC = "فستان سهرة طويل من الساتان الأزرق بأكمام واسعة"
EMOJI = "👗✨ Sommerkleid 🌸 mit Blüten 🌼🌼🌼"
SIZES = [str(number) for number in range(34, 54)]


NO_SHADE = frozenset({"beige", "green"})
"""Colours in which only shoes are sold: in no answer of the matrix."""


def _offers(title: str, number: int, images: list[str]) -> Any:
    """One hit: every third in another currency, with cashback, sizes and stock of many kinds; of some offers and
    sizes nobody can be sent to the store."""
    currency = ("EUR", "RUB", "USD")[number % 3]
    minor = (4999, 123456789, 700)[number % 3]
    old = Money(minor * 2, currency) if number % 4 == 1 else None
    lost = number % 9 == 4
    back = minor // 11 if number % 5 and not lost else 0
    sold = number % 7 == 3
    sizes = SIZES if number % 6 == 1 else ["M", "one size fits all"][: number % 3]
    own = [
        offer(
            f"{number}{size}", size=size, price=Money(minor, currency), old_price=old, back=back,
            title=title, store="harbour", store_title="Harbour",
            availability="out_of_stock" if sold else "in_stock",
            reachable=not lost and size != SIZES[-1], no_cashback="no_link" if lost else "",
            disclosure="Реклама. ООО «Очень длинное название рекламодателя», erid: 2VtzqwErTyUiOp" if number % 5 == 2 else "",
        )
        for size in sizes or [""]
    ]  # fmt: skip
    if number % 2:
        other = {
            "store": "a-store-with-a-long-name",
            "store_title": "A Department Store With a Long Name",
        }
        own.append(
            offer(
                f"{number}b",
                price=Money(minor + 100, currency),
                back=0 if number % 4 == 1 else back,
                title=title,
                reachable=number % 4 != 1,
                no_cashback="no_link" if number % 4 == 1 else "",
                **other,
            )
        )
    return hit(
        *own, product_id=f"p{number}", title=title, brand="" if number % 3 == 0 else f"Brand {number}",
        exact=False, image=images[number % len(images)], probability=0.3, category="Women > Dresses",
    )  # fmt: skip


def answer_of(state: str, images: list[str]) -> Answer:
    """The answer of one state; `many`: 48 things."""
    titles = (LONG, "Hat", UNBROKEN, ARABIC, EMOJI, "Red dress")
    count = {"many": 48, "none": 0}.get(state, 12)
    hits = [_offers(titles[n % 6], n, images) for n in range(count)]
    if state == "exact":
        hits[0] = hits[0].model_copy(update={"exact": True, "probability": 0.97})
        hits[1] = hits[1].model_copy(update={"exact": True, "probability": 0.96})
    labels = ("dress", "shoes", "shoes", "bag", "outerwear", "hat", "watch", "belt")
    regions = [
        Region(box=(n / 10, 0.1, n / 10 + 0.2, 0.6), label=label, score=1 - n / 10)
        for n, label in enumerate(labels)
    ]
    return answer(
        *hits,
        search_id="0123456789abcdef",
        verdict="none" if state == "none" else "exact" if state == "exact" else "similar",
        regions=(*regions, Region(box=WHOLE, label="whole", score=0.1)),
        region=regions[0].box,
        total=len(hits) * 2,
    )


class _Stocked:
    """A service whose catalogue and memory are what the matrix says; all else is the real one's."""

    def __init__(self, service: Any, *, empty: bool) -> None:
        self._service = service
        stores = {} if empty else {"harbour": 120_000, "a-store-with-a-long-name": 7}
        self._front = Front(
            stores=stores, currencies=("EUR", "RUB", "USD"),
            palette=Palette({
                color: {"shoes" if color in NO_SHADE else "": frozenset({("harbour", True)})}
                for color in ("black", "white", "red", "blue", "beige", "pink", "green")
            }),
            titles={"harbour": "Harbour", "a-store-with-a-long-name": "A Department Store With a Long Name"},
        )  # fmt: skip
        self.memory = SimpleNamespace(has=lambda *_: True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def front(self) -> Front:
        return self._front


def _pictures(workspace: Workspace) -> list[str]:
    """Addresses of pictures of several shapes, and one where there is none."""
    found = []
    for number, size in enumerate(((480, 480), (300, 600), (700, 320))):
        sink = io.BytesIO()
        draw(items(3)[number]).resize(size).save(sink, "JPEG")
        found.append(f"/images/{workspace.images.put(sink.getvalue()).hash}")
    return [*found, f"/images/{'0' * 64}"]


PROGRAM = {
    "network": "generic", "domains": ["harbour.example"], "share": "0.6", "hold_days": 45, "track_hours": 72,
    "claim_days": 60, "link": {"template": "https://track.example/c?s={subid}&to={url}"},
    "rates": [{"percent": "8", "category": ["Shoes", UNBROKEN]}, {"percent": "5", "customer": "new"}],
    "notes": {"en": ["No cashback on gift cards.", UNBROKEN], "ru": ["Кроме подарочных карт.", ARABIC]},
}  # fmt: skip
"""Terms with many words, long ones, and two directions: the sheet that each cashback opens."""


def _connect(workspace: Workspace, images: list[str]) -> None:
    """The stores of the answers, one of them with a logo."""
    for name, title in (("harbour", "Harbour"), ("a-store-with-a-long-name", LONG)):
        stores.add(workspace.db, name, "https://s.example/f.xml", program=PROGRAM, title=title)
    logos.keep(workspace.path, "harbour", workspace.images.read(images[0].rpartition("/")[2]))


def _saved_lines(images: list[str]) -> list[SavedLine]:
    """Things in every state, with awkward titles."""
    price, picture = Money(123456789, "RUB"), images[1].rpartition("/")[2]
    states = ("in_stock", "sold_out", "back", "gone", "in_stock", "back")
    titles = (LONG, "Hat", UNBROKEN, ARABIC, EMOJI, "Red dress")
    return [
        SavedLine(
            SavedThing("u", f"p{n}", title, picture if n % 2 else "", price, True, "en", 1, price, True),
            "RUB 1,234,567.89", "RUB 2,234,567.89" if n % 3 else "", state,
        )
        for n, (title, state) in enumerate(zip(titles, states, strict=True))
    ]  # fmt: skip


def _without_photo(request: Request, service: Any, name: str, images: list[str]) -> Response:
    """The page of a thing, or an answer for who got the link."""
    found, speech = answer_of("exact", images), speech_of(request)
    view = answer_view(found, speech)
    if name == "shared":
        terms = terms_by_store(request, service, (*view.exact, *view.similar), speech)
        said = {"lead": LONG, "about": ARABIC, "filters": ("Harbour", UNBROKEN), "base": ""}
        return pages.render(request, "shared.html", answer=view, terms=terms, **said)
    thing, prices = found.hits[1], (99900, 123456789, 45000)
    days = [(1_700_000_000 + n * 86400, Money(minor, "RUB")) for n, minor in enumerate(prices)]
    shape = {"title": UNBROKEN, "brand": "Brand", "category": f"Women > {LONG}", "links": ()}
    own, like = card(thing, speech, calibrated=False), list(view.similar[:6])
    return pages.render(
        request, "product.html",
        product=Product(product_id="p1", images=tuple(images[:3]), offers=thing.offers, **shape),
        card=own, like=like, terms=terms_by_store(request, service, [own, *like], speech),
        description=f"{LONG}. {ARABIC}", chart=chart([days], speech), matched="Almost certainly the same",
        search="0123456789abcdef", saved_price=thing.offers[0].price, in_stock=True, member=False, is_saved=False,
    )  # fmt: skip


def _add_routes(app: FastAPI, images: list[str]) -> None:
    def state(request: Request, name: str) -> Response:
        if name == "failure":
            error = BadImage("this is a web page, not a picture", hint="send a JPEG")
            return failures.respond(request, error)
        if name == "activated":
            way = Way("https://shop.example/", Money(123456789, "RUB"))
            return pages.render(
                request, "activated.html", store="a-store-with-a-long-name", way=way, steps=STEPS
            )
        if name == "saved":
            return pages.render(request, "saved.html", member=True, lines=_saved_lines(images))
        if name == "docs":
            return pages.docs(request)
        if name in {"product", "shared"}:
            return _without_photo(request, app.state.service, name, images)
        stocked: Any = _Stocked(app.state.service, empty=name == "empty")
        found = None if name in {"home", "empty"} else answer_of(name, images)
        page = pages.search_page(request, stocked, Upload(None, Query()), found)
        body = bytes(page.body).replace(b"/answers/0123456789abcdef/photo", images[0].encode())
        return Response(body, headers={"Content-Type": "text/html"})

    app.add_api_route("/matrix/{name}", state, methods=["GET"])
    app.router.routes.insert(0, app.router.routes.pop())


@contextmanager
def matrix(folder: Path) -> Iterator[str]:
    """The address under which `/matrix/STATE` shows each state, by the real templates and styles."""
    init(folder)
    with Workspace(folder, Settings(rate_limit=0)) as workspace:
        app, images = create_app(workspace), _pictures(workspace)
        _connect(workspace, images)
        _add_routes(app, images)
        with serving(app) as address:
            yield address


WATCH = """window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach(
  e => { if (!e.hadRecentInput) window.shift += e.value; })).observe({type: 'layout-shift', buffered: true});"""

FAULTS = r"""() => {
  const faults = [];
  const name = (one) => `${one.tagName.toLowerCase()}.${one.className} "${(one.textContent || '').trim().slice(0, 40)}"`;
  const seen = (one) => {
    if (!one.checkVisibility({visibilityProperty: true, opacityProperty: true})) return false;
    const {width, height} = one.getBoundingClientRect();
    return width > 1 && height > 1 && !one.closest('.hidden, .skip, [hidden], .answered .hello');
  };
  const known = new Map();
  const scrolls = (one) => { // inside something that scrolls sideways by itself, or is cut on purpose
    const up = one.parentElement;
    if (!up || up === document.body) return false;
    if (!known.has(up)) known.set(up, getComputedStyle(up).overflowX !== 'visible' || scrolls(up));
    return known.get(up);
  };
  const all = [...document.body.querySelectorAll('*')].filter(seen);
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) faults.push('overflow: the page scrolls sideways');
  for (const one of all) {
    const box = one.getBoundingClientRect();
    if ((box.right > width + 1 || box.left < -1) && !scrolls(one)) faults.push(`overflow: ${name(one)}`);
  }
  const texts = all.filter(one => !one.closest('.frame, svg') && [...one.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  for (const one of texts) {
    const style = getComputedStyle(one);
    if (one.scrollWidth > one.clientWidth + 1 && style.display !== 'inline' && style.overflowX === 'visible') faults.push(`spill: ${name(one)}`);
    if (one.scrollHeight > one.clientHeight + 2 && style.webkitLineClamp !== 'none' && !one.closest('.card')) faults.push(`cut: ${name(one)}`);
    const own = [...one.childNodes].filter(n => n.nodeType === 3);
    const words = own.map(n => n.textContent.trim()).join('');
    const range = document.createRange();
    const rects = own.flatMap(n => { range.selectNodeContents(n); return [...range.getClientRects()]; });
    const lines = new Set(rects.map(r => Math.round(r.top / 4))).size;
    if (words.length >= 6 && lines >= 3 && words.length / lines < 4) faults.push(`letters in a column: ${name(one)}`);
  }
  const parts = [...texts, ...all.filter(one => one.matches('a, button, summary, img, input, select') && !one.closest('.frame, .tools'))]
    .filter(one => !one.matches('.more summary, .swatch *, .file') && !one.closest('.more, .swatch, .stage'));
  const boxes = [...new Set(parts)].map(one => [one, one.getBoundingClientRect()])
    .filter(([one, b]) => b.bottom > 0 && getComputedStyle(one).display !== 'inline')
    .map(([one, b]) => [one, b, scrolls(one)]).sort((x, y) => x[1].top - y[1].top);
  for (let i = 0; i < boxes.length; i += 1) {
    const [a, p, inside] = boxes[i];
    for (let j = i + 1; j < boxes.length && boxes[j][1].top <= p.bottom - 2; j += 1) { // what begins lower lies on nothing of it
      const [b, q, also] = boxes[j];
      const w = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const h = Math.min(p.bottom, q.bottom) - q.top;
      if (w < 2 || h < 2 || inside !== also || a.contains(b) || b.contains(a)) continue;
      faults.push(`overlap: ${name(a)} and ${name(b)}`);
    }
  }
  for (const list of document.querySelectorAll('.cards.grid')) {
    const rows = new Map();
    for (const card of list.querySelectorAll('.card')) {
      const top = Math.round(card.parentElement.getBoundingClientRect().top);
      rows.set(top, [...(rows.get(top) || []), card]);
    }
    const middles = [...rows.keys()].sort((a, b) => a - b);
    for (let i = 1; i < middles.length; i += 1) if (middles[i] - middles[i - 1] < 40) faults.push('uneven: cards of a row begin at several heights');
    for (const cards of rows.values()) {
      for (const part of ['.pic', 'h3', '.now', '.card > .button']) {
        const tops = cards.map(one => one.querySelector(part.replace('.card > ', ':scope > '))).filter(Boolean).map(one => one.getBoundingClientRect().top);
        if (Math.max(...tops) - Math.min(...tops) > 1) faults.push(`uneven: ${part} of a row`);
      }
      const widths = cards.map(one => one.getBoundingClientRect().width);
      if (Math.max(...widths) - Math.min(...widths) > 1) faults.push('uneven: widths of a row');
    }
  }
  for (const one of all.filter(e => e.matches('a[href], button, summary, select, input:not([type=file]), label.main'))) {
    if (getComputedStyle(one).display === 'inline' && one.closest('p, h3, li, legend')) continue; // a word of a sentence
    const label = one.closest('label');
    const box = (label || one).getBoundingClientRect();
    if (box.width < 43.5 || box.height < 43.5) faults.push(`target: ${name(one)} ${Math.round(box.width)} x ${Math.round(box.height)}`);
  }
  return [...new Set(faults)];
}"""
"""What is wrong with the page as it stands; each fault begins with its kind."""

COVERED = r"""() => [...document.querySelectorAll('a[href], button, summary, select, input:not([type=hidden])')].flatMap((one) => {
  const box = one.getBoundingClientRect();
  if (!one.checkVisibility({visibilityProperty: true}) || box.width < 2 || one.closest('.frame, [inert], [popover]') || one.tabIndex < 0) return [];
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  if (x < 0 || y < 0 || x >= innerWidth || y >= innerHeight) return []; // beyond what scrolls sideways
  const met = document.elementFromPoint(x, y);
  const reached = met && (one.contains(met) || met.contains(one) && met.matches('a, button, label') || (met.closest('label') && met.closest('label') === one.closest('label')));
  return reached ? [] : [`${one.outerHTML.slice(0, 60)} lies under ${met ? met.outerHTML.slice(0, 60) : 'nothing'}`];
})"""
"""The controls that a finger cannot reach, in a window as high as the page."""
