"""Photos that several processes share, and photos that the operator keeps: there for the browser that sent
them whichever process answers, also after a restart, and for nobody else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lensback.fleeting import Fleeting
from lensback.settings import Settings
from lensback.types import WHOLE
from lensback.web import create_app, notes, together
from lensback.web.browser import COOKIE
from lensback.web.memory import Remembered
from lensback.workspace import Workspace
from published import publish

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process recorded comes in a second, on a busy machine later."""
    monkeypatch.setattr(notes, "PATIENCE_S", 240.0)


PHOTO = Remembered(b"\x00photo" * 1000, (0.1, 0.2, 0.8, 0.9), "me", "a" * 16)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder, photo = publish(tmp_path_factory.mktemp("together"))
    return folder, photo.read_bytes()


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[TestClient]:
    """One process of the service, as far as its memory goes."""
    with (
        Workspace(folder, Settings(rate_limit=0, **settings)) as workspace,
        TestClient(create_app(workspace)) as client,
    ):
        yield client


def search(client: TestClient, photo: bytes) -> str:
    sent = client.post("/api/search", files={"photo": ("p.jpg", photo)})
    assert sent.status_code == 200, sent.text
    return str(sent.json()["search_id"])


def again(client: TestClient, search_id: str, **fields: str) -> Any:
    return client.post(
        "/api/search", data={"search_id": search_id, **fields}, files={"none": ("", b"")}
    )


def there(client: TestClient, search_id: str) -> bool:
    """Whether the photo of an answer is there for this browser, wherever it is asked for."""
    photo = client.get(f"/answers/{search_id}/photo").status_code
    page = client.get(f"/answers/{search_id}").text
    more = again(client, search_id, box="0,0,1,1").status_code
    told = (photo, f"/answers/{search_id}/photo" in page, more)
    assert told in {(200, True, 200), (404, False, 404)}
    return photo == 200


# ---- several processes


def test_another_process_has_what_one_was_given(tmp_path: Path) -> None:
    ask = (
        "import sys; from lensback.web import together\n"
        "found = together.photos(9).get(sys.argv[1])\n"
        "print('none' if found is None else (found.photo[:6], found.region, found.whose, found.first))"
    )
    with together.shared(tmp_path, 60):
        here, other = together.photos(60), together.photos(60)
        here.put("x", PHOTO)
        assert other.get("x") == PHOTO
        assert other.get("y") is None
        for key, wanted in (
            ("x", str((PHOTO.photo[:6], PHOTO.region, "me", "a" * 16))),
            ("y", "none"),
        ):
            said = subprocess.run(
                [sys.executable, "-c", ask, key], capture_output=True, text=True, check=True
            )
            assert said.stdout.strip() == wanted
        assert [path.name for path in tmp_path.iterdir()] == ["photos"], "a socket, and no photo"
        assert not (tmp_path / "photos").is_file()
        here.put("large", Remembered(b"x" * (5 << 20), WHOLE, "me", "b" * 16))
        found = other.get("large")
        assert found is not None
        assert len(found.photo) == 5 << 20
        for one in (here, other):
            one.close()  # type: ignore[attr-defined]
    assert together.SOCKET not in os.environ
    assert here.get("x") is None, "gone with the process that kept them, and no error"
    here.put("x", PHOTO)


def test_where_no_socket_can_be_made_each_remembers_its_own(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with together.shared(deep, 60):
        here, other = together.photos(60), together.photos(60)
        here.put("x", PHOTO)
        assert (here.get("x"), other.get("x")) == (PHOTO, None)


def test_a_side_that_says_nothing_holds_no_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that keeps them is stopped, or has no time: it takes the line, and never answers."""
    monkeypatch.setattr(together, "PATIENCE_S", 0.2)
    path = str(tmp_path / "photos")
    monkeypatch.setenv(together.SOCKET, path)
    with Listener(path, "AF_UNIX", 8):
        here, photo = together.photos(60), Remembered(b"x" * (5 << 20), WHOLE, "me", "b" * 16)
        asked: list[str] = []
        opened = together._opened
        monkeypatch.setattr(together, "_opened", lambda path: asked.append(path) or opened(path))
        monkeypatch.setattr(together, "PAUSE_S", 600.0)
        for _ in range(50):
            assert here.get("x") is None
            here.put("x", photo)
        assert len(asked) == 1, "who says nothing is left alone for a while"
        monkeypatch.setattr(together, "PAUSE_S", 0.0)
        other = together.photos(60)
        other.put("x", photo)  # more than the line holds
        assert other.get("x") is None
        assert len(asked) == 3


def test_they_are_forgotten_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    kept = lambda seconds: Fleeting(seconds, 5, clock=lambda: now[0])  # noqa: E731
    monkeypatch.setattr(together, "photos_of_this_process", kept)
    with together.shared(tmp_path, 60):
        here = together.photos(60)
        here.put("x", PHOTO)
        now[0] = 59
        assert here.get("x") == PHOTO
        now[0] = 61
        assert here.get("x") is None
        here.close()  # type: ignore[attr-defined]


def test_two_workers_answer_one_browser(made: tuple[Path, bytes], tmp_path: Path) -> None:
    with (
        together.shared(tmp_path, 60),
        served(made[0]) as one,
        served(made[0]) as two,
    ):
        found = search(one, made[1])
        assert not there(two, found), "who got the link"
        two.cookies.set(COOKIE, one.cookies[COOKIE])
        assert there(two, found)
        narrow = again(two, found, store="lavka").json()["search_id"]
        assert there(one, narrow), "what the other one searched again"


# ---- a restart


@pytest.mark.parametrize("days", [0, 2])
def test_after_a_restart_a_photo_is_there_as_long_as_photos_are_kept(
    made: tuple[Path, bytes], days: int
) -> None:
    with served(made[0], keep_photos_days=days) as client:
        found = search(client, made[1])
        narrow = again(client, found, store="lavka").json()["search_id"]
        assert there(client, found)
        mine = client.cookies[COOKIE]
        lasts = next(iter(client.cookies.jar)).expires or 0
    with served(made[0], keep_photos_days=days) as client:
        assert not there(client, found), "a stranger"
        client.cookies.set(COOKIE, "x" * 43)
        assert not there(client, narrow), "another browser"
        client.cookies.set(COOKIE, mine)
        assert there(client, found) == bool(days)
        assert there(client, narrow) == bool(days), "a filter of the same photo"
        if days:
            assert lasts - time.time() > 86_400, "the browser is known as long"
            photo = client.get(f"/answers/{narrow}/photo").content
            assert max(Image.open(io.BytesIO(photo)).size) <= 1024
            (made[0] / "photos" / f"{found}.jpg").unlink()  # as the sweep does
            assert not there(client, narrow)
    with served(made[0], keep_photos_days=0) as client:
        client.cookies.set(COOKIE, mine)
        assert not there(client, found), "switched off"


def test_no_two_records_are_known_to_be_of_one_browser(made: tuple[Path, bytes]) -> None:
    with served(made[0], keep_photos_days=2) as client:
        marks = []
        for _ in range(2):
            record = client.app.state.service.shown.get(search(client, made[1]))  # type: ignore[attr-defined]
            marks.append(record.kept[1])
        assert len(set(marks)) == 2
        assert client.cookies[COOKIE] not in marks
    with served(made[0]) as client:
        record = client.app.state.service.shown.get(search(client, made[1]))  # type: ignore[attr-defined]
        assert record.kept == ("", "")
