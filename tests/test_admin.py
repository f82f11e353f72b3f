"""Keys, rate limits, CORS, batch search, metrics and the operator's pages on a real application."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lensback import keys, tokens
from lensback.errors import BadQuery, ConfigError, TooMany, UnknownName
from lensback.settings import Settings
from lensback.web import create_app
from lensback.web import pace as paces
from lensback.web.pace import RateLimiter
from lensback.workspace import Workspace
from published import publish

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    workspace, photo = publish(tmp_path_factory.mktemp("admin"))
    return workspace, photo.read_bytes()


def serving(folder: Path, address: str = "9.9.9.9", **settings: Any) -> Iterator[TestClient]:
    with (
        Workspace(folder, Settings(**settings)) as workspace,
        TestClient(create_app(workspace), follow_redirects=False, client=(address, 1)) as client,
    ):
        yield client


@pytest.fixture
def client(made: tuple[Path, bytes]) -> Iterator[TestClient]:
    yield from serving(made[0], rate_limit=0, cors_origins=("https://shop.example",))


@pytest.fixture
def secret(made: tuple[Path, bytes]) -> Iterator[str]:
    path = made[0] / "keys.json"
    yield keys.add(path, "boss", "admin")
    path.unlink()


# ---- keys


def test_keys_are_kept_as_hashes(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert keys.load(path) == ()
    shown = keys.add(path, "page", "search")
    other = keys.add(path, "boss", "admin")
    assert shown.startswith("pk_")
    assert other.startswith("sk_")
    assert shown not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    found = keys.find(keys.load(path), shown)
    assert found is not None
    assert (found.name, found.scope) == ("page", "search")
    assert keys.find(keys.load(path), shown[:-1]) is None
    keys.remove(path, "page")
    assert keys.find(keys.load(path), shown) is None
    with pytest.raises(UnknownName):
        keys.remove(path, "page")
    for name, scope in (("boss", "admin"), ("a b", "admin"), ("x", "god")):
        with pytest.raises(BadQuery):
            keys.add(path, name, scope)
    path.write_text("[1]")
    with pytest.raises(ConfigError):
        keys.load(path)


def test_scopes(client: TestClient, made: tuple[Path, bytes], secret: str) -> None:
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"X-API-Key": "sk_wrong"}).status_code == 401
    weak = keys.add(made[0] / "keys.json", "page", "search")
    refused = client.get("/metrics", headers={"Authorization": f"Bearer {weak}"})
    assert refused.status_code == 403
    assert refused.json()["error"]["type"] == "Forbidden"
    assert client.get("/metrics", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    wrong = client.post("/api/search", files={"photo": made[1]}, headers={"X-API-Key": "pk_x"})
    assert wrong.status_code == 401
    assert wrong.headers["www-authenticate"] == "Bearer"


# ---- pace


def test_pace_is_a_token_bucket() -> None:
    pace = RateLimiter(60)
    for _ in range(10):
        pace.take("a", 0.0)
    with pytest.raises(TooMany) as caught:
        pace.take("a", 0.0)
    assert 1 <= caught.value.wait_s <= 2
    pace.take("b", 0.0)
    pace.take("a", 1.0)
    with pytest.raises(TooMany):
        pace.take("a", 1.5)
    pace.take("a", 0.2 + 2.0)  # a clock that goes back takes nothing away
    for n in range(60_000):
        pace.take(str(n), 3.0)
    assert len(pace._buckets) <= 50_000


def test_one_address_cannot_take_all(
    made: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paces, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    for client in serving(made[0], rate_limit=12):
        answers = [client.post("/api/search", files={"photo": b"x"}) for _ in range(11)]
        assert [a.status_code for a in answers] == [415] * 10 + [429]
        assert int(answers[-1].headers["retry-after"]) >= 1
        page = client.post("/", files={"photo": b"x"}, headers={"Accept": "text/html"})
        assert page.status_code == 429
        assert client.get("/").status_code == 200


# ---- other origins


def test_cors_is_for_named_origins_only(client: TestClient, made: tuple[Path, bytes]) -> None:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    good = client.options("/api/search", headers={"Origin": "https://shop.example", **asked})
    assert good.status_code == 200
    assert good.headers["access-control-allow-origin"] == "https://shop.example"
    bad = client.options("/api/search", headers={"Origin": "https://evil.example", **asked})
    assert "access-control-allow-origin" not in bad.headers
    origin = {"Origin": "https://shop.example"}
    answer = client.post("/api/search", files={"photo": made[1]}, headers=origin)
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-credentials" not in answer.headers


# ---- batch


def test_each_photo_of_a_batch_stands_alone(client: TestClient, made: tuple[Path, bytes]) -> None:
    photos = [("photo", ("a.jpg", data)) for data in (made[1], b"nonsense", made[1], b"")]
    found = client.post("/api/search/batch", files=photos, data={"limit": "2"}).json()["results"]
    assert [next(iter(one)) for one in found] == ["answer", "error", "answer", "error"]
    assert found[0]["answer"]["hits"] == found[2]["answer"]["hits"] or (
        [h["product_id"] for h in found[0]["answer"]["hits"]]
        == [h["product_id"] for h in found[2]["answer"]["hits"]]
    )
    assert len(found[0]["answer"]["hits"]) <= 2
    assert found[1]["error"]["type"] == "BadImage"
    assert (
        client.post("/api/search/batch", data={"limit": "2"}, files={"x": b"1"}).status_code == 422
    )
    many = [("photo", ("a.jpg", b"x"))] * 17
    assert client.post("/api/search/batch", files=many).status_code == 422


# ---- metrics


def test_metrics_count_what_happened(made: tuple[Path, bytes]) -> None:
    for client in serving(made[0], "127.0.0.1"):
        client.base_url = "http://127.0.0.1:8000"
        client.post("/api/search", files={"photo": made[1]})
        client.post("/api/search", files={"photo": b"x"})
        client.get("/api/offers/" + "a" * 16)
        text = client.get("/metrics").text
        assert 'lensback_requests_total{route="/api/search",status="200"} 1.0' in text
        assert 'lensback_requests_total{route="/api/search",status="415"} 1.0' in text
        assert 'route="/api/offers/{offer_id}",status="404"' in text
        assert re.search(r'lensback_answers_total\{verdict="\w+"\} 1\.0', text)
        assert 'lensback_search_seconds_count{stage="total"} 1.0' in text
        assert "lensback_journal_bytes" in text


# ---- the operator's pages


def test_admin_wants_the_key(client: TestClient, made: tuple[Path, bytes], secret: str) -> None:
    assert 'action="/admin/enter"' in client.get("/admin").text
    assert "harbour" not in client.get("/admin").text
    for path in ("/admin/stores/harbour", "/admin/report"):
        assert client.get(path).headers["location"] == "/admin"
    assert client.post("/admin/enter", data={"key": "sk_wrong"}).status_code == 401
    weak = keys.add(made[0] / "keys.json", "page", "search")
    assert client.post("/admin/enter", data={"key": weak}).status_code == 401

    entered = client.post("/admin/enter", data={"key": secret})
    assert entered.status_code == 303
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert secret not in entered.headers["set-cookie"]
    client.post("/api/search", files={"photo": made[1]})
    searched = re.compile(r'\d{4}-\d\d-\d\d</th><td class="number">[1-9]')
    end = time.monotonic() + 240
    while not searched.search(client.get("/admin").text) and time.monotonic() < end:
        time.sleep(0.1)  # records are a moment late
    page = client.get("/admin").text
    assert searched.search(page)
    assert "harbour" in page
    assert "Searches of the last days" in page
    shown = client.get("/admin/stores/harbour").text
    assert "offers" in shown
    assert client.get("/admin/stores/nobody").status_code == 404
    assert client.get("/admin/report").status_code == 404
    (made[0] / "report.html").write_text("<h1>ours</h1>")
    report = client.get("/admin/report")
    assert "ours" in report.text
    assert "script-src" not in report.headers["content-security-policy"]

    client.post("/admin/leave")
    client.cookies.clear()
    assert "harbour" not in client.get("/admin").text


@pytest.mark.parametrize(
    "change", ["one letter", "cut", "digest", "key", "pass", "nonsense", "long"]
)
def test_a_forged_session_is_none(
    client: TestClient, made: tuple[Path, bytes], secret: str, change: str
) -> None:
    entered = client.post("/admin/enter", data={"key": secret})
    value = re.search(r"lensback_admin=([^;]+)", entered.headers["set-cookie"])
    assert value
    session = value[1]
    forged = {
        "one letter": session[:-1] + ("A" if session[-1] != "A" else "B"),
        "cut": session[:-1],
        "digest": tokens.digest(session),
        "key": secret,
        "pass": tokens.issued(tokens.own_key(made[0]), "boss", 2**31),
        "nonsense": "é.٣.x",
        "long": session * 200,
    }[change]
    client.cookies.clear()
    answer = client.get("/admin", headers={"Cookie": f"lensback_admin={forged}".encode()})
    assert 'action="/admin/enter"' in answer.text


def test_a_removed_key_ends_its_sessions(
    client: TestClient, made: tuple[Path, bytes], secret: str
) -> None:
    client.post("/admin/enter", data={"key": secret})
    assert "harbour" in client.get("/admin").text
    keys.remove(made[0] / "keys.json", "boss")
    assert "harbour" not in client.get("/admin").text
