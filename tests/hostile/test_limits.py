"""What a stranger may ask, and how often: each route of the application is under a limit or has a reason
why not, and who asks again as soon as it was refused is refused slowly."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.routing import Mount

from hostile.test_web_face import served
from lensback.errors import Away, Busy, Error, StateError
from lensback.web import failures, notes, refusals
from lensback.web.readiness import A_MINUTE, Readiness
from lensback.web.refusals import Refusals
from published import publish

FILLED = {
    "product_id": "p" + "a" * 16,
    "offer_id": "a" * 16,
    "search_id": "0" * 16,
    "image_hash": "0" * 64,
    "network": "generic",
    "token": "user-4711",
    "name": "store",
    "store": "harbour",
    "grant_id": "1",
    "sale_id": "1",
    "verdict": "release",
}
WITHOUT_LIMIT = {
    "GET /healthz": "says one word",
    "GET /readyz": "told what was found last where it is asked often, see below",
    "GET /images/{image_hash}": "a file; each is made once",
    "GET /logos/{store}": "a small file",
    "GET /static": "files of the package",
    "GET /static/widget.js": "written once",
    "GET /docs": "written once for each language",
    "GET /openapi.json": "written once",
    "GET /manifest.webmanifest": "a few words, nothing is read",
    "GET /worker.js": "a few words, nothing is read",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("limits"))[0]


def routes(listed: Any) -> Iterator[tuple[str, str]]:
    """Method and path of each, also of routers within routers."""
    for route in listed:
        if isinstance(route, Mount):
            yield "GET", route.path
        elif inner := getattr(route, "original_router", None):
            yield from routes(inner.routes)
        else:
            yield from ((method, route.path) for method in sorted(route.methods - {"HEAD"}))


def test_every_route_has_a_limit_for_strangers_or_a_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "PATIENCE_S", 0)
    monkeypatch.setattr(refusals, "MOST_S", 0.0)
    free = set()
    with served(folder, rate_limit=12, write_limit=12, guess_limit=12) as client:
        for n, (method, path) in enumerate(routes(client().app.routes)):
            stranger = client(f"203.0.113.{n}")
            address = path.format(**FILLED) + ("/app.css" if path == "/static" else "")
            for _ in range(13):  # of twelve a minute ten may come at once
                answer = stranger.request(method, address, headers={"Accept": "application/json"})
                if answer.status_code == 429:
                    assert int(answer.headers["retry-after"]) >= 1
                    break
            else:
                free.add(f"{method} {path}")
    assert free == set(WITHOUT_LIMIT)


def test_a_product_is_shown_without_look_alikes_to_who_searched_too_much(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lensback.web import products

    asked = Counter[str]()
    real = products.likes
    monkeypatch.setattr(products, "likes", lambda *given: asked.update(["likes"]) or real(*given))
    with served(folder, rate_limit=12) as client:
        shopper = client()
        product_id = _some_product(client.workspace)
        pace = shopper.app.state.service.pace
        for _ in range(10):
            pace.take("address 198.51.100.7")  # the searches of this address are used up
        page = shopper.get(f"/products/{product_id}")
        assert page.status_code == 200
        assert not asked
        assert client("203.0.113.5").get(f"/products/{product_id}").status_code == 200
        assert asked["likes"] == 1


def _some_product(workspace: Any) -> str:
    from sqlalchemy import select

    from lensback.db import tables as t

    with workspace.db.read() as c:
        return str(
            c.execute(select(t.offers.c.product_id).where(t.offers.c.active)).scalars().first()
        )


def test_what_is_ready_is_checked_so_often_and_no_more() -> None:
    checks: list[float] = []
    answers: list[dict[str, str] | Error] = [{"disk": "ok"}]

    def check() -> dict[str, str]:
        checks.append(time.monotonic())
        if isinstance(answers[-1], Error):
            raise answers[-1]
        return answers[-1]

    ready, begin = Readiness(), time.monotonic()
    for _ in range(500):
        assert asyncio.run(ready.latest(check)) == {"disk": "ok"}
    most = A_MINUTE / 6 + A_MINUTE / 60 * (time.monotonic() - begin) + 1
    assert 1 <= len(checks) <= most
    for error in (Busy("full"), Away("gone"), StateError("x")):
        ready = Readiness()
        answers.append(error)
        for _ in range(60):
            with pytest.raises(type(error), match=error.message):
                asyncio.run(ready.latest(check))
    assert len(checks) <= 4 * most


# ---- refusals


def test_who_asks_again_at_once_is_refused_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """One address; another is refused at once meanwhile, as long as all together are few."""
    monkeypatch.setattr(refusals, "PER_S", 50.0)
    monkeypatch.setattr(refusals, "BURST_S", 0.2)

    async def flood() -> tuple[int, float, float]:
        turns, given = Refusals(), Counter[str]()
        end = time.monotonic() + 1

        async def one() -> None:
            while time.monotonic() < end:
                await turns.turn("a")
                given["a"] += 1

        async def other() -> float:
            await asyncio.sleep(0.3)
            begin = time.monotonic()
            for _ in range(3):
                await turns.turn("b")
            return time.monotonic() - begin

        begin = time.monotonic()
        *_, waited = await asyncio.gather(*(one() for _ in range(12)), other())
        assert turns.waiting == 0
        return given["a"], time.monotonic() - begin, waited

    given, seconds, waited = asyncio.run(flood())
    assert given <= 50 * (seconds + 0.2) + 12
    assert waited < 0.5


def test_all_together_are_refused_slowly_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "IN_ALL_S", 100.0)
    monkeypatch.setattr(refusals, "BURST_S", 0.1)

    async def crowd() -> float:
        turns, begin = Refusals(), time.monotonic()
        for _ in range(3):
            await asyncio.gather(*(turns.turn(f"address {n}") for n in range(20)))
        return time.monotonic() - begin

    assert asyncio.run(crowd()) >= 0.4, "sixty of a hundred a second, ten of them at once"


def test_the_room_of_those_who_wait_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "ROOM", 5)
    monkeypatch.setattr(refusals, "MOST_S", 0.3)
    monkeypatch.setattr(refusals, "ADDRESSES", 10)

    async def rush() -> int:
        turns = Refusals()
        waits = [asyncio.create_task(turns.turn("a")) for _ in range(500)]
        await asyncio.sleep(0)
        most = turns.waiting
        await asyncio.gather(*waits)
        for n in range(100):
            await turns.turn(f"address {n}")
        assert len(turns._next) <= 10
        return most

    assert asyncio.run(rush()) == 5


def test_a_refusal_that_waits_holds_no_photo() -> None:
    """What the frames held that the error came through is gone before the wait begins."""

    class Photo:
        pass

    gone: list[bool] = []

    class Watched(Refusals):
        async def turn(self, address: str) -> None:
            gone.append(known() is None)

    def refuse() -> None:
        photo = Photo()
        nonlocal known
        known = weakref.ref(photo)
        try:
            raise TimeoutError
        except TimeoutError as error:
            raise Busy("all places are taken") from error

    known: Any = None
    service = type("S", (), {"refusals": Watched()})
    app = type("A", (), {"state": type("T", (), {"service": service})})
    scope = {"type": "http", "app": app, "headers": [], "path": "/api/search", "client": ("a", 1)}

    async def ask() -> int:
        try:
            refuse()
        except Busy as error:
            return (await failures._ours(Request(scope), error)).status_code
        raise AssertionError

    assert asyncio.run(ask()) == 503
    assert gone == [True]
