"""What a stranger may ask, and how often: each route of the application is under a limit or has a reason
why not, and who asks again as soon as it was answered waits for its turn."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from starlette.requests import Request
from starlette.routing import Mount

from clock import by_the_clock
from hostile.test_web_face import HOST_KEY, served
from lensback import keys
from lensback.errors import Away, Busy, Error, StateError, Unauthorized
from lensback.web import failures, guard, guesses, notes, pace, readiness, service, turns
from lensback.web.browser import address_of
from lensback.web.connections import Crowd
from lensback.web.inturn import InLine
from lensback.web.readiness import FRESH_S, Readiness
from lensback.web.turns import AT_ONCE, AddressLines, Turns
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
    monkeypatch.setattr(turns, "MOST_S", 0.0)
    for module in (pace, guesses):  # no place is free again while a page is made
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 1000.0))
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


def test_what_is_ready_is_checked_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[float] = []
    answers: list[dict[str, str] | Error] = [{"disk": "ok"}]

    def check() -> dict[str, str]:
        checks.append(time.monotonic())
        if isinstance(answers[-1], Error):
            raise answers[-1]
        return answers[-1]

    ready = Readiness()
    for _ in range(500):
        assert asyncio.run(ready.latest(check)) == {"disk": "ok"}
    assert len(checks) <= 1 + (time.monotonic() - checks[0]) / FRESH_S
    for error in (Busy("full"), Away("gone"), StateError("x")):
        ready = Readiness()
        answers.append(error)
        checks.clear()
        for _ in range(60):
            with pytest.raises(type(error), match=error.message):
                asyncio.run(ready.latest(check))
        assert len(checks) <= 1 + (time.monotonic() - checks[0]) / FRESH_S
    monkeypatch.setattr(readiness, "FRESH_S", 0.0)
    answers.append({"disk": "ok"})
    assert asyncio.run(ready.latest(check)) == {"disk": "ok"}, "it is well again as soon as it is"


def test_a_part_that_hangs_is_asked_once_and_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of forty who ask none waits for ever, and one thread at the most hangs with the part."""
    monkeypatch.setattr(readiness, "PATIENCE_S", 0.3)
    monkeypatch.setattr(readiness, "FRESH_S", 0.0)
    checks, release = Counter[str](), threading.Event()

    def check() -> dict[str, str]:
        checks.update(["asked"])
        assert release.wait(240)
        return {"disk": "ok"}

    ready = Readiness()

    async def many() -> list[Any]:
        asked = (ready.latest(check) for _ in range(40))
        return await asyncio.gather(*asked, return_exceptions=True)

    for _ in range(2):
        assert {(type(one), one.hint != "") for one in asyncio.run(many())} == {(StateError, True)}
    assert checks["asked"] == 1
    release.set()
    while not ready._last or not ready._last.done():
        time.sleep(0.01)
    assert asyncio.run(ready.latest(check)) == {"disk": "ok"}


# ---- turns


def test_who_asks_again_at_once_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """One address; another has its turn at once meanwhile, as long as all together are few."""

    async def flood() -> tuple[int, float, float]:
        now = asyncio.get_running_loop().time
        paced, given, end = Turns(50.0, 100.0, 0.2), Counter[str](), now() + 1

        async def one() -> None:
            while now() < end:
                await paced.turn("a")
                given["a"] += 1

        async def other() -> float:
            await asyncio.sleep(0.3)
            begin = now()
            for _ in range(3):
                await paced.turn("b")
            return now() - begin

        *_, waited = await asyncio.gather(*(one() for _ in range(12)), other())
        assert paced.waiting == 0
        return given["a"], now() - end + 1, waited

    given, seconds, waited = by_the_clock(monkeypatch, turns, flood())
    assert 50 <= given <= 50 * (seconds + 0.2) + 2
    assert seconds < 1.5
    assert waited < 0.1


def test_all_together_wait_for_their_turns_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def crowd() -> float:
        now = asyncio.get_running_loop().time
        paced, begin = Turns(20.0, 100.0, 0.1), now()
        for _ in range(3):
            await asyncio.gather(*(paced.turn(f"address {n}") for n in range(20)))
        return now() - begin

    took_s = by_the_clock(monkeypatch, turns, crowd())
    assert 0.4 <= took_s <= 0.6, "sixty of a hundred a second, ten of them at once"


def test_the_room_of_those_who_wait_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "ROOM", 5)
    monkeypatch.setattr(turns, "ROOM_EACH", 3)
    monkeypatch.setattr(turns, "MOST_S", 0.3)
    monkeypatch.setattr(turns, "ADDRESSES", 10)

    async def rush() -> list[int]:
        paced, most, waits = Turns(20.0, 100.0, 0.5), list[int](), list[asyncio.Task[None]]()
        for address in "abc":
            waits += [asyncio.create_task(paced.turn(address)) for _ in range(500)]
            await asyncio.sleep(0)
            most.append(paced.waiting)
        await asyncio.gather(*waits)
        assert (paced.waiting, len(paced._waiting)) == (0, 0)
        for n in range(100):
            await paced.turn(f"address {n}")
        assert len(paced._next) <= 10
        return most

    most = by_the_clock(monkeypatch, turns, rush())
    assert most == [3, 5, 5], "one address leaves room for another"


def test_requests_that_succeed_have_a_pace_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked: a word, a file, a description. The host service asks for all its users."""
    wrong, right = ({"Authorization": f"Bearer {key}"} for key in ("guess", HOST_KEY))
    asked = (("/healthz", {}), ("/static/app.css", {}), ("/openapi.json", {}), ("/go/x", wrong))
    monkeypatch.setattr(service, "REQUESTS_PER_S", 6.0)  # twelve at once
    with served(folder, rate_limit=1) as client:
        for n, (path, headers) in enumerate(asked):
            flooder, begin = client(f"203.0.113.{n}"), time.monotonic()
            statuses = {flooder.get(path, headers=headers).status_code for _ in range(16)}
            assert statuses in ({200}, {404})
            assert time.monotonic() - begin >= 0.5
        monkeypatch.setattr(Turns, "_due", lambda *_: 600.0)
        host, begin = client("203.0.113.9"), time.monotonic()
        assert {host.get("/healthz", headers=right).status_code for _ in range(100)} == {200}
        assert time.monotonic() - begin < 600, "a stranger would wait"


def test_however_few_searches_are_allowed_a_page_has_its_pictures_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[str] = []
    due = Turns._due

    def noted(self: Turns, name: str, per_s: float, now: float) -> float:
        wait_s = due(self, name, per_s, now)
        waited.extend([name] if wait_s > 0 else [])
        return wait_s

    monkeypatch.setattr(Turns, "_due", noted)
    with served(folder, rate_limit=6) as client:
        for _ in range(100):
            assert client().get("/static/app.css").status_code == 200
    assert waited == []


def test_of_one_address_little_is_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty at once of one, one of another: it does not wait for them. Each has its turn, two at a time,
    the later ones after a pause, and nothing is left behind."""
    most, lines, ended = Counter[str](), AddressLines(), list[str]()

    async def ask(address: str, seconds: float) -> None:
        place = await lines.enter(address)
        most[address] = max(most[address], lines._lines[address].working)
        await asyncio.sleep(seconds)
        place.leave()
        place.leave()  # once is enough
        ended.append(address)

    async def crowd() -> float:
        now = asyncio.get_running_loop().time
        begin = now()
        await asyncio.gather(*(ask("a", 0.02) for _ in range(30)), ask("b", 0.05))
        return now() - begin

    seconds = by_the_clock(monkeypatch, turns, crowd())
    assert most == {"a": AT_ONCE, "b": 1}
    assert ended.index("b") < 10
    assert seconds == pytest.approx(0.02 * 30 / AT_ONCE * 2 - 0.02), (
        "the pauses are as long as the work"
    )
    assert lines._lines == {}


def test_who_leaves_the_line_keeps_nobody_waiting() -> None:
    lines = AddressLines()

    async def come_and_go() -> None:
        held = [await lines.enter("a") for _ in range(AT_ONCE)]
        waiting = [asyncio.create_task(lines.enter("a")) for _ in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        held[0].leave()  # for the second one, who goes just now
        waiting[1].cancel()
        await asyncio.sleep(0.01)
        held[1].leave()
        for one in waiting[2:]:
            (await asyncio.wait_for(one, 120)).leave()

    asyncio.run(come_and_go())
    assert lines._lines == {}


def test_a_line_has_an_end_and_the_host_service_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "IN_LINE", 3)
    lines = AddressLines()

    async def rush() -> tuple[int, int]:
        held = [await lines.enter("a") for _ in range(AT_ONCE)]
        waiting = [asyncio.create_task(lines.enter("a")) for _ in range(10)]
        await asyncio.sleep(0)
        known = [await lines.enter("a", lambda: True) for _ in range(10)]
        refused = sum(isinstance(one.exception(), Busy) for one in waiting if one.done())
        for place in (*held, *known):
            place.leave()
        for one in waiting:
            with suppress(Busy):
                (await one).leave()
        return refused, len(known)

    assert asyncio.run(rush()) == (7, 10)
    assert lines._lines == {}


def test_who_does_not_read_holds_no_place_in_line() -> None:
    """Even the head of an answer waits until what was sent before it on this connection was read."""
    lines, made = AddressLines(), Counter[str]()
    service = SimpleNamespace(turns=Turns(1000.0, 0.0, 1.0), lines=lines)
    app = SimpleNamespace(state=SimpleNamespace(service=service))
    scope = {"type": "http", "method": "GET", "path": "/", "client": ("203.0.113.1", 1), "app": app}
    scope["headers"] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        made["pages"] += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def crowd() -> None:
        full, asked = asyncio.Event(), InLine(page)

        async def send(_: Any) -> None:
            await full.wait()

        async def receive() -> Any:
            raise AssertionError

        held = [asyncio.create_task(asked(scope, receive, send)) for _ in range(3 * AT_ONCE)]
        for _ in range(6000):
            await asyncio.sleep(0.01)
            if made["pages"] == len(held):
                break
        assert made["pages"] == len(held)
        assert lines._lines == {}
        full.set()
        await asyncio.gather(*held)

    asyncio.run(crowd())


def test_a_good_key_of_another_kind_is_no_guess_at_the_hosts(folder: Path) -> None:
    """Who stands in line is asked whether it is the host service, which may ask from the same address with a
    key that only searches."""
    with served(folder, guess_limit=20) as client:
        app = client().app
        service, key = app.state.service, keys.add(client.workspace.keys_path, "page", "search")

        def is_host(bearer: str, address: str) -> bool:
            headers = [(b"authorization", b"Bearer " + bearer.encode())]
            scope = {"type": "http", "headers": headers, "client": (address, 1), "app": app}
            return guard.is_host(Request(scope))

        assert not any(is_host(key, "203.0.113.1") for _ in range(100))
        assert service.guesses.untold() == ""
        assert is_host(HOST_KEY, "203.0.113.1")
        assert not any(is_host(f"{key}x", "203.0.113.2") for _ in range(100))
        assert service.guesses.untold() != ""
        assert not is_host(HOST_KEY, "203.0.113.2"), "who guesses is not believed for a while"


def test_a_wrong_host_key_is_one_guess_however_many_ask_for_it(folder: Path) -> None:
    """Where it waits for its turn, where it stands in line, and at the route itself."""
    with served(folder, guess_limit=20) as client:
        app = client().app
        scope = {"type": "http", "headers": [(b"authorization", b"Bearer wrong")], "app": app}
        request = Request(scope | {"client": ("203.0.113.3", 1)})
        for _ in range(3):
            assert not guard.is_host(request)
            with pytest.raises(Unauthorized):
                guard.check_host(request)
        assert app.state.service.guesses.untold() == "1 at -"


def test_a_refusal_of_the_line_can_be_read_by_a_script_of_a_site_of_the_operators(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the header a browser shows the script no status: it could not say to come again."""
    shop = "https://shop.example"

    async def full(*_: Any) -> None:
        raise turns.busy()

    with served(folder, rate_limit=10, cors_origins=(shop,)) as client:
        monkeypatch.setattr(client().app.state.service.lines, "enter", full)
        refused = client().get("/api/stores", headers={"Origin": shop})
    assert refused.status_code == 503
    assert refused.headers["access-control-allow-origin"] == shop


@pytest.mark.parametrize(
    ("household", "addresses"),
    [
        ("2a02::", ["2a02::1", "2a02::2", "2a02::1:0:0:1", "2a02::2:3:4:5"]),
        ("2a02:0:0:5::", ["2a02:0:0:5::1", "2A02:0000:0:5:1:2:3:4", "2a02::5:1:2:3:4"]),
        ("2a02:0:1::", ["2a02:0:1::1", "2a02:0:1:0:ffff::9"]),
        ("fe80::", ["fe80::1%eth0", "fe80::2"]),
        ("203.0.113.1", ["203.0.113.1", "::ffff:203.0.113.1", "::ffff:cb00:7101"]),
        ("a:b:c:d:e:f", ["a:b:c:d:e:f"]),
        ("unknown", ["unknown"]),
    ],
)
def test_a_household_of_ipv6_is_one_however_it_is_written(
    household: str, addresses: list[str]
) -> None:
    """Zeros that are left out are no way to have as many addresses as one likes."""
    asked = {address_of(Request({"type": "http", "client": (one, 1)})) for one in addresses}
    assert asked == {household}
    crowd = Crowd(100, 1, ())
    first, *others = addresses
    assert crowd.add(Mock(waits=False, arrives=False), first)
    for one in others:
        assert not crowd.add(Mock(waits=False, arrives=False), one)


def test_a_slow_page_of_one_address_keeps_no_other_waiting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the application: pages and files stand in line, what a probe asks does not, and a place is free
    again whatever became of the page."""
    held, release = threading.Semaphore(0), threading.Event()

    def slow(*_: Any) -> Any:
        held.release()
        assert release.wait(240)
        raise RuntimeError

    with served(folder) as client, served(folder, rate_limit=600) as limited:
        for one, at_once in ((client, 4), (limited, AT_ONCE)):
            release.clear()
            service = one().app.state.service
            monkeypatch.setattr(type(service), "overview", slow)
            quiet = [one(), one("203.0.113.1")]
            with ThreadPoolExecutor(4) as pool:
                asked = [
                    pool.submit(browser.get, "/api/stores")
                    for browser in (one(raised=False) for _ in range(4))
                ]
                for _ in range(at_once):
                    assert held.acquire(timeout=120)
                assert not held.acquire(timeout=0.2)
                assert quiet[0].get("/readyz").status_code == 200
                assert quiet[1].get("/static/app.css").status_code == 200
                release.set()
                assert {future.result().status_code for future in asked} == {500}
            assert service.lines._lines == {}
            while held.acquire(blocking=False):
                pass


def test_a_refusal_that_waits_holds_no_photo() -> None:
    """What the frames held that the error came through is gone before the wait begins."""

    class Photo:
        pass

    gone: list[bool] = []

    class Watched:
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


def test_what_is_the_same_for_everybody_is_compressed_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, real = [], gzip.compress
    monkeypatch.setattr(gzip, "compress", lambda *a, **k: packed.append(a) or real(*a, **k))
    with served(folder) as client:
        for path in ("/docs", "/openapi.json"):
            plain = client().get(path, headers={"Accept-Encoding": "identity"})
            taken = [client().get(path) for _ in range(3)]
            assert "content-encoding" not in plain.headers
            for one in taken:
                assert one.headers["content-encoding"] == "gzip"
                assert "accept-encoding" in one.headers["vary"].lower()
                assert one.content == plain.content
                assert int(one.headers["content-length"]) < len(plain.content) / 3
    assert len(packed) == 2


def test_one_photo_at_a_time_is_explained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It encodes as often as 37 searches do, and of the photo few copies are there at once."""
    from lensback.search import why

    alive: list[weakref.ref[Any]] = []
    most = Counter[str]()

    class Encoder:
        def encode(self, pictures: list[Image.Image]) -> Any:
            most["beside"] = max(most["beside"], sum(one() is not None for one in alive))
            alive[:] = [weakref.ref(picture) for picture in pictures]
            most["together"] = max(most["together"], len(pictures))
            return np.ones((len(pictures), 4), np.float32)

    found = why.heat(Image.new("RGB", (90, 90)), np.ones(4, np.float32), Encoder())  # type: ignore[arg-type]
    assert found.shape == (7, 7)
    assert most["together"] == why._BATCH
    assert most["beside"] <= 2
    with served(folder) as client:
        assert client().app.state.service.explaining._jobs == 1


def test_who_waits_for_an_explanation_holds_no_place_in_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes seconds, one at a time: pictures of the same address are there meanwhile."""
    from lensback.web import why

    release, asked = threading.Event(), f"/api/search/{'0' * 16}/why/{'0' * 64}"

    def layer(*_: Any) -> bytes:
        assert release.wait(240)
        return b"layer"

    monkeypatch.setattr(why, "_part", lambda *_: (None, None))
    monkeypatch.setattr(why, "_layer", layer)
    with served(folder, rate_limit=600) as client, ThreadPoolExecutor(3) as pool:
        service = client().app.state.service
        held = [pool.submit(client().get, asked) for _ in range(AT_ONCE + 1)]
        try:
            end = time.monotonic() + 120
            while service.explaining.taken < len(held) and time.monotonic() < end:
                time.sleep(0.01)
            assert service.explaining.taken == len(held)
            assert service.lines._lines == {}
            assert client().get("/static/app.css").status_code == 200
        finally:
            release.set()
        assert {one.result().content for one in held} == {b"layer"}
