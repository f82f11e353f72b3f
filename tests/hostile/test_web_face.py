"""What a stranger tries on the web face: other people's photos, votes, keys, names, figures."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from sqlalchemy import select

from lensback import keys
from lensback.db import tables as t
from lensback.settings import Settings
from lensback.tokens import digest
from lensback.web import create_app, notes, turns
from lensback.web.envelope import HEADERS
from lensback.web.guesses import Guesses
from lensback.workspace import Workspace, init
from published import publish

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

API = "/api/search"
HOST_KEY = "k" * 40
SECRET = "s3cret"
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder, photo = publish(tmp_path_factory.mktemp("face"))
    secrets = folder / "networks.toml"
    secrets.touch(0o600)
    secrets.write_text(f'[generic]\npostback_secret = "{SECRET}"\n', "utf-8")
    return folder, photo.read_bytes()


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[Any]:
    """Clients of one application: each call makes another browser at another address."""
    chosen = {"rate_limit": 0, "host_key_hash": digest(HOST_KEY), **settings}
    with Workspace(folder, Settings(**chosen)) as workspace:
        app = create_app(workspace)

        def client(
            address: str = "198.51.100.7", base: str = "http://testserver", *, raised: bool = True
        ) -> TestClient:
            return TestClient(
                app,
                base,
                follow_redirects=False,
                client=(address, 1),
                headers=BROWSER,
                raise_server_exceptions=raised,
            )

        client.workspace = workspace  # type: ignore[attr-defined]
        yield client


@pytest.fixture(scope="module")
def browsers(made: tuple[Path, bytes]) -> Iterator[Any]:
    with served(made[0]) as client:
        yield client


def ask(client: TestClient, photo: bytes, **fields: str) -> dict[str, Any]:
    answer = client.post(API, files={"photo": ("photo.jpg", photo)}, data=fields)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def again(client: TestClient, search_id: str) -> int:
    return int(client.post(API, files={"search_id": (None, search_id)}).status_code)


# ---- somebody else's photo


def test_the_link_of_an_answer_opens_its_products_and_not_its_photo(
    browsers: Any, made: tuple[Path, bytes]
) -> None:
    mine, reader = browsers(), browsers()
    answer = ask(mine, made[1])
    search_id, image = answer["search_id"], answer["hits"][0]["image"].rsplit("/", 1)[1]
    why = f"{API}/{search_id}/why/{image}"
    browsers.workspace.drain()
    assert reader.get(f"/answers/{search_id}").status_code == 200
    refused = reader.post(API, files={"search_id": (None, search_id)})
    nobody = reader.post(API, files={"search_id": (None, "0" * 16)})
    assert (refused.status_code, nobody.status_code) == (404, 404)
    assert refused.json()["error"]["hint"] == nobody.json()["error"]["hint"]
    assert reader.get(why).status_code == 404
    form = reader.post(
        "/", files={"search_id": (None, search_id), "box": (None, "0.1,0.1,0.6,0.6")}
    )
    assert form.status_code == 404
    forged = browsers()
    forged.cookies.set("lensback_browser", "A" * 43)
    assert again(forged, search_id) == 404
    assert again(mine, search_id) == 200
    assert mine.get(why).status_code == 200


def test_the_cookie_of_a_browser_is_its_own(browsers: Any, made: tuple[Path, bytes]) -> None:
    def given(**more: str) -> str:
        client = browsers()
        answer = client.post(API, files={"photo": made[1]}, headers=more)
        return str(answer.headers["set-cookie"])

    first, second = given(), given()
    value = re.compile(r"lensback_browser=([\w-]{43});")
    names = [
        value.search(text) for text in (first, second, given(Cookie="lensback_browser=chosen"))
    ]
    assert all(names)
    assert len({name[1] for name in names if name}) == 3
    for word in ("httponly", "samesite=strict", "max-age=600"):
        assert word in first.lower()


def test_how_long_an_answer_takes_tells_nobody_that_a_photo_was_searched(
    browsers: Any, made: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: the work of the first search of a photo is done for each browser."""
    looked: list[bytes] = []
    from lensback.search import looking

    real = looking.images.decode_measured
    monkeypatch.setattr(
        looking.images,
        "decode_measured",
        lambda photo, **limits: looked.append(photo) or real(photo, **limits),
    )
    photo = made[1] + b"\0new"
    victim, curious = browsers(), browsers()
    ask(victim, photo)
    ask(victim, photo)
    assert len(looked) == 1, "one's own second look costs nothing"
    ask(curious, photo)
    assert len(looked) == 2
    for _ in range(2):  # without cookies each request is a stranger's
        victim.cookies.clear()
        ask(victim, photo)
    assert len(looked) == 4


def test_who_has_no_cookies_names_itself_by_a_secret_of_its_own(
    browsers: Any, made: tuple[Path, bytes]
) -> None:
    """The widget: the header counts before a cookie, makes none, and nothing but a whole secret is one."""
    own, other = "w" * 43, "v" * 43

    def asked(**headers: str) -> int:
        client = browsers()
        sent = client.post(API, files={"search_id": (None, search_id)}, headers=headers)
        assert sent.status_code == 404 or "set-cookie" not in sent.headers
        return int(sent.status_code)

    first = browsers().post(API, files={"photo": made[1]}, headers={"Lensback-Browser": own})
    assert "set-cookie" not in first.headers
    search_id = first.json()["search_id"]
    assert asked(**{"Lensback-Browser": own}) == 200
    assert asked(**{"Lensback-Browser": own, "Cookie": f"lensback_browser={other}"}) == 200
    assert asked(**{"Lensback-Browser": other}) == 404
    assert asked() == 404
    short = browsers().post(API, files={"photo": made[1]}, headers={"Lensback-Browser": "w" * 42})
    search_id = short.json()["search_id"]
    assert asked(**{"Lensback-Browser": "w" * 42}) == 404, "nobody shares what is too short"


# ---- votes


def votes(workspace: Workspace, search_id: str) -> list[tuple[str, int]]:
    workspace.drain()
    f = t.feedback.c
    with workspace.db.read() as c:
        rows = c.execute(select(f.product_id, f.vote).where(f.search_id == search_id))
        return [(row.product_id, row.vote) for row in rows]


def test_a_vote_is_on_what_an_answer_showed_and_single(
    browsers: Any, made: tuple[Path, bytes]
) -> None:
    mine, stranger, workspace = browsers(), browsers(), browsers.workspace
    answer = ask(mine, made[1], limit="1")
    search_id, product_id = answer["search_id"], answer["hits"][0]["product_id"]

    def vote(
        client: TestClient, word: str, search: str = search_id, thing: str = product_id
    ) -> int:
        body = {"search_id": search, "product_id": thing, "vote": word}
        return int(client.post("/api/feedback", json=body).status_code)

    assert vote(stranger, "up", search="0" * 16) == 404
    assert vote(stranger, "up", thing="p" + "a" * 16) == 404
    assert vote(stranger, "up") == 200
    assert vote(stranger, "up") == 200, "the same again is no second vote"
    assert vote(stranger, "down") == 409
    assert votes(workspace, search_id) == [(product_id, 1)]
    assert vote(stranger, "down") == 409, "now it is in the database"
    assert vote(mine, "down") == 200, "who searched may change its mind"
    assert votes(workspace, search_id) == [(product_id, -1)]
    assert votes(workspace, "0" * 16) == []


def test_a_search_of_another_process_is_known_when_it_is_recorded(
    made: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "PATIENCE_S", 240)
    with served(made[0]) as one, served(made[0]) as other:
        answer = ask(one(), made[1], limit="1")
        drain = Timer(0.3, one.workspace.drain)
        drain.start()
        body = {"search_id": answer["search_id"], "product_id": answer["hits"][0]["product_id"]}
        voted = other().post("/api/feedback", json={**body, "vote": "up"})
        drain.join()
    assert voted.status_code == 200, voted.text


# ---- how often


@pytest.mark.parametrize("kind", ["vote", "click", "postback", "pass"])
def test_every_write_of_a_stranger_has_its_limit(made: tuple[Path, bytes], kind: str) -> None:
    with served(made[0], write_limit=60, guess_limit=0) as client, client.workspace.db.read() as c:
        offer_id = c.execute(select(t.offers.c.offer_id)).scalars().first()
        mine, other = client(), client("203.0.113.9")

        def write(who: TestClient) -> Any:
            if kind == "vote":
                body = {"search_id": "x", "product_id": "y", "vote": "up"}
                return who.post("/api/feedback", json=body)
            if kind == "click":
                return who.get(f"/go/{offer_id}")
            if kind == "postback":
                return who.post("/postback/generic", data={"external_id": "1"})
            return who.post("/cashback/nonsense")

        begin = time.monotonic()
        answers = [write(mine) for _ in range(15)]
        waited = time.monotonic() - begin  # a place is free again each second
        let_in = [answer for answer in answers if answer.status_code != 429]
        assert 10 <= len(let_in) <= 11 + waited
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused or waited > 3
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert write(other).status_code != 429, "each address for itself"
        if kind == "click":
            known = {"Authorization": f"Bearer {HOST_KEY}"}
            busy = [mine.get(f"/go/{offer_id}", headers=known).status_code for _ in range(5)]
            assert busy == [302] * 5, "the host service clicks for all its users"


GUESSES = {
    "search key": lambda c: c.post(API, files={"photo": b"x"}, headers={"X-API-Key": "pk_guess"}),
    "metrics key": lambda c: c.get("/metrics", headers={"Authorization": "Bearer guess"}),
    "admin key": lambda c: c.post("/admin/enter", data={"key": "sk_guess"}),
    "host key": lambda c: c.get(
        "/api/users/user-4711/cashback", headers={"Authorization": "Bearer x"}
    ),
    "secret": lambda c: c.get("/postback/generic", params={"secret": "guess", "external_id": "1"}),
    "pass": lambda c: c.get("/cashback/user-4711.9999999999." + "0" * 64),
}


@pytest.mark.parametrize("kind", GUESSES)
def test_300_wrong_ones_are_not_answered_300_times(
    made: tuple[Path, bytes], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOST_S", 0.0)  # how slowly is in test_limits
    with served(made[0], write_limit=0) as client:
        guesser = client()
        begin = time.monotonic()
        answers = [GUESSES[kind](guesser) for _ in range(300)]
        waited = time.monotonic() - begin  # one more is heard every three seconds
        counted = Counter(answer.status_code for answer in answers)
        assert set(counted) == {404 if kind == "pass" else 401, 429}
        assert counted[429] >= 300 - 11 - waited / 3
        assert all(int(a.headers["retry-after"]) >= 1 for a in answers if a.status_code == 429)


def test_guessing_locks_nobody_else_out(made: tuple[Path, bytes]) -> None:
    path = made[0] / "keys.json"
    secret = keys.add(path, "boss", "admin")
    try:
        with served(made[0], write_limit=0) as client:
            guessers = [client(f"203.0.113.{n}") for n in range(60)]
            begin = time.monotonic()
            tried = [GUESSES["admin key"](c).status_code for c in guessers for _ in range(5)]
            waited = time.monotonic() - begin  # ten more are heard every three seconds
            assert tried.count(401) <= 34 + 4 * waited, "all together have a limit, too"
            right = {"key": secret}
            assert client("198.51.100.1").post("/admin/enter", data=right).status_code == 303
    finally:
        path.unlink()


def test_guesses_are_counted_by_address_and_in_all() -> None:
    none = Guesses(0)
    for _ in range(1000):
        none.check("a")
        none.wrong("a")


# ---- figures, names


@pytest.mark.parametrize(
    ("headers", "base", "settings", "status"),
    [
        ({}, "http://127.0.0.1:8000", {}, 200),
        ({}, "http://localhost:8000", {}, 200),
        ({}, "http://[::1]:8000", {}, 200),
        ({"X-Forwarded-For": "203.0.113.1"}, "http://127.0.0.1:8000", {}, 401),
        ({"X-Forwarded-For": "127.0.0.1"}, "http://127.0.0.1:8000", {}, 401),
        ({"X-Forwarded-Proto": "https"}, "http://127.0.0.1:8000", {}, 401),
        ({"Forwarded": "for=127.0.0.1"}, "http://127.0.0.1:8000", {}, 401),
        ({"X-Real-IP": "127.0.0.1"}, "http://127.0.0.1:8000", {}, 401),
        ({"Via": "1.1 proxy"}, "http://127.0.0.1:8000", {}, 401),
        ({}, "http://shop.example", {}, 401),
        ({}, "http://127.0.0.1.evil.example", {}, 401),
        ({}, "http://127.0.0.1:8000", {"trusted_proxies": ("127.0.0.1",)}, 401),
        ({}, "http://127.0.0.1:8000", {"public_url": "https://find.example"}, 401),
    ],
)
def test_metrics_are_for_this_machine_and_not_for_its_proxy(
    made: tuple[Path, bytes], headers: dict[str, str], base: str, settings: Any, status: int
) -> None:
    with served(made[0], **settings) as client:
        assert client("127.0.0.1", base).get("/metrics", headers=headers).status_code == status
        path = made[0] / "keys.json"
        try:
            for scope, wanted in (("metrics", 200), ("admin", 200), ("search", 403)):
                bearer = {"Authorization": f"Bearer {keys.add(path, scope, scope)}"}
                assert client(base=base).get("/metrics", headers=bearer).status_code == wanted
            metrics = {"X-API-Key": keys.add(path, "more", "metrics")}
            assert (
                client().post("/admin/enter", data={"key": metrics["X-API-Key"]}).status_code != 303
            )
        finally:
            path.unlink()


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("find.example", True),
        ("find.example:443", True),
        ("FIND.example", True),
        ("find.example.", True),
        ("www.find.example", True),
        ("evil.example", False),
        ("find.example.evil.example", False),
        ("find.example@evil.example", False),
        ("evil.find.example", False),
        ("127.0.0.1", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_only_our_own_names_are_answered(made: tuple[Path, bytes], host: str, good: bool) -> None:
    ours = {"public_url": "https://find.example/", "public_hosts": ("www.find.example",)}
    with served(made[0], **ours) as client:
        answer = client().get("/", headers={"Host": host})
        assert answer.status_code == (200 if good else 400)
        if not good:
            refused = client().get("/api/stores", headers={"Host": host})
            assert refused.json()["error"]["type"] == "BadHost"
            assert refused.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
        for path in ("/healthz", "/readyz"):  # asked by address
            assert client().get(path, headers={"Host": host}).status_code == 200
        shown = client().get("/widget", headers={"Host": "find.example"}).text
        assert "https://find.example/static/widget.js" in shown


def test_every_name_is_answered_where_none_was_set(browsers: Any) -> None:
    assert browsers().get("/", headers={"Host": "whatever.example"}).status_code == 200


def test_https_outside_means_secure_cookies_inside(made: tuple[Path, bytes]) -> None:
    with served(made[0], public_url="https://testserver") as client:
        shopper = client()
        searched = shopper.post(API, files={"photo": made[1]})
        chosen = shopper.get("/?lang=ru")
        for answer in (searched, chosen):
            assert "secure" in answer.headers["set-cookie"].lower()
        assert searched.headers["strict-transport-security"] == "max-age=31536000"
    with served(made[0]) as client:
        plain = client().get("/?lang=ru")
        assert "secure" not in plain.headers["set-cookie"].lower()
        assert "strict-transport-security" not in plain.headers


# ---- headers


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/widget", "/admin", "/nowhere", "/static/app.js", "/static/nowhere.js", "/api/search",
     "/static/widget.js", "/openapi.json", "/healthz", "/readyz", "/metrics", "/images/" + "0" * 64,
     "/go/nonsense", "/cashback/nonsense", "/answers/nonsense", "/admin/report", "/..%2f..%2fetc/passwd"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_every_response_has_the_headers_that_keep_browsers_safe(
    browsers: Any, path: str, method: str
) -> None:
    answer = browsers().request(method, path, headers={"Accept": "text/html"})
    for name in HEADERS:
        assert name in answer.headers, name
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


def test_our_own_faults_have_the_headers_too(
    made: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(made[0]) as client:
        broken = client()
        monkeypatch.setattr("lensback.web.service.Service.front", lambda self: 1 / 0)
        app = TestClient(broken.app, raise_server_exceptions=False)
        answer = app.get("/")
    assert answer.status_code == 500
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


# ---- JSON


@pytest.mark.parametrize(
    "body",
    [
        '{"vote": "up", "vote": "down", "search_id": "s", "product_id": "p"}',
        '{"vote": "up", "vote": "up"}',
        '{"a": 1, "a": null}',
        '{"a": {"b": 1, "b": 2}}',
        '{"a": [{"b": 1, "b": 1}]}',
        '{"\\u0061": 1, "a": 2}',
        '{"commission": NaN}',
        '{"commission": Infinity}',
        "[1]",
        "null",
        "{",
        "[" * 100_000,
    ],
)
@pytest.mark.parametrize("path", ["/api/feedback", "/postback/generic?secret=s3cret"])
def test_json_that_two_readers_read_differently_is_refused(
    browsers: Any, path: str, body: str
) -> None:
    said = {"Content-Type": "application/json"}
    answer = browsers().post(path, content=body, headers=said)
    assert answer.status_code in {413, 422}
    assert answer.json()["error"]["type"] in {"BadQuery", "TooLarge"}


# ---- files


def modes(folder: Path) -> dict[str, int]:
    return {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()}


def test_what_the_service_keeps_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        folder = tmp_path / "deep" / "workspace"
        init(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with Workspace(folder, Settings(host_key_hash=digest(HOST_KEY))) as workspace:
            keys.add(workspace.keys_path, "boss", "admin")
            from lensback.workspace import set_setting

            set_setting(folder, "currency", "EUR")
            with TestClient(create_app(workspace)) as client:
                known = {"Authorization": f"Bearer {HOST_KEY}"}
                assert client.get("/api/users/user-4711/cashback", headers=known).status_code == 200
                client.post("/postback/generic", data={"external_id": "1"})
            workspace.journal.append("search", {"x": 1})
            found = modes(folder)
            wide = {name for name, mode in found.items() if mode & 0o077}
            assert wide == {"database.json"}, "which says that there is one, and where"
            assert {
                "lensback.toml",
                "catalogue.db",
                "catalogue.db-wal",
                "keys.json",
                "secret.key",
            } <= set(found)
            assert {mode & 0o077 for mode in modes(folder / "journal").values()} == {0}
    finally:
        os.umask(before)


# ---- where nothing can be written


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 KiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a disk of its own takes root and the right to mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    return ballast


def test_not_ready_where_clicks_cannot_be_written(
    made: tuple[Path, bytes], full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lensback.web.readiness.FRESH_S", 0.0)
    with served(made[0]) as client:
        client.workspace.journal.folder = full / "journal"
        assert client().get("/readyz").json()["checks"]["journal"] == "ok"
        ballast = fill(full)
        refused = client().get("/readyz")
        assert refused.status_code == 503
        assert refused.json()["error"]["type"] == "StateError"
        assert "retry-after" in refused.headers
        assert client().get("/healthz").status_code == 200
        ballast.unlink()
        assert client().get("/readyz").status_code == 200
        assert not list((full / "journal").glob("*.trial"))


def test_not_ready_where_the_queue_is_no_folder_or_full(
    made: tuple[Path, bytes], tmp_path: Path
) -> None:
    with served(made[0]) as client:
        client.workspace.journal.folder = tmp_path / "a file"
        (tmp_path / "a file").touch()
        assert client().get("/readyz").status_code == 503
    with served(made[0], journal_max_bytes=1000) as client:
        answer = client().get("/readyz")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "Busy")


def test_thumbnails_are_shown_on_a_full_disk(made: tuple[Path, bytes], full: Path) -> None:
    with served(made[0]) as client:
        images = client.workspace.images
        with client.workspace.db.read() as c:
            image = (
                c.execute(select(t.images.c.hash).where(t.images.c.hash != "")).scalars().first()
            )
        wanted = client().get(f"/images/{image}")
        assert wanted.status_code == 200
        for path in images._root.glob("thumbnails/*/*/*/*.jpg"):
            path.unlink()
        real = images._path
        images._path = lambda digest, folder="": (  # type: ignore[method-assign]
            full / folder / digest if folder else real(digest)
        )
        (images._root / "tmp").mkdir(exist_ok=True)
        fill(full)
        answer = client().get(f"/images/{image}")
        assert answer.status_code == 200
        assert answer.content == wanted.content
