"""Clients that hang up while they are served: what had not begun by then is not begun, and all else stays as it is."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import uvicorn
from PIL import Image

from ftp_servers import until
from lensback import images
from lensback.settings import Settings
from lensback.web import connections, create_app, server
from lensback.workspace import Workspace
from published import publish

STAGES = ("decode", "regions", "encode", "search")
PATHS = ("/", "/api/search", "/api/search/batch")


@dataclass
class Work:
    """What a search is made of, counted; at one stage it waits until it is told to go on."""

    held_at: str = ""
    begun: Counter[str] = field(default_factory=Counter)
    arrived: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def begins(self, stage: str) -> None:
        self.begun[stage] += 1
        if stage == self.held_at:
            self.arrived.set()
            assert self.go_on.wait(240)

    def anew(self, held_at: str = "") -> None:
        self.held_at, self.begun = held_at, Counter()
        self.arrived.clear()
        self.go_on.clear()


class Watched:
    """Something of the service whose one method is a stage of the work."""

    def __init__(self, real: Any, work: Work, stage: str, method: str) -> None:
        self._real, self._work, self._stage, self._method = real, work, stage, method

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name != self._method:
            return found

        def begun(*given: Any, **named: Any) -> Any:
            self._work.begins(self._stage)
            return found(*given, **named)

        return begun


@dataclass
class Served:
    port: int
    service: Any
    work: Work
    photo: bytes

    def counted(self, status: str) -> float:
        """Requests that ended with a status."""
        (told,) = self.service.meters.requests.collect()
        named = (one for one in told.samples if one.name.endswith("_total"))
        return sum(one.value for one in named if one.labels["status"] == status)

    def through(self) -> bool:
        """Whether no thread is at work, and nobody waits."""
        gates = (self.service.gate, *self.service.later, self.service.explaining)
        return not any(gate._working for gate in gates)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, photo = publish(tmp_path_factory.mktemp("leaving"))
    work, patch = Work(), pytest.MonkeyPatch()
    decoders = Watched(images.shared(), work, "decode", "within")
    patch.setattr(images, "shared", lambda: decoders)
    chosen = Settings(codes=False, ocr="off", search_jobs=1, photo_memory_s=600, rate_limit=9999)
    with Workspace(folder, chosen) as workspace:
        opened = vars(workspace)
        opened["detector"] = Watched(workspace.detector, work, "regions", "find")
        encoder = workspace.encoder()
        workspace._encoders[encoder.name] = Watched(encoder, work, "encode", "encode")  # type: ignore[assignment]
        opened["index"] = Watched(workspace.index, work, "search", "search")
        with running(create_app(workspace)) as (port, app):
            yield Served(port, app.state.service, work, photo.read_bytes())
    patch.undo()


@contextlib.contextmanager
def running(app: Any) -> Iterator[tuple[int, Any]]:
    """A server as `serve` makes it, warm."""
    options = {**server._OPTIONS, "log_level": "critical", "timeout_graceful_shutdown": 1}
    made = uvicorn.Server(uvicorn.Config(app, http=connections.protocol(50, 50, ()), **options))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: made.started)
            for other in threading.enumerate():
                if other.name == "warm-up":
                    other.join(240)
            yield listener.getsockname()[1], app
        finally:
            made.should_exit = True
            thread.join(240)


def another(photo: bytes, n: int) -> bytes:
    """The same picture in a file that no search has seen."""
    sink = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(sink, "JPEG", quality=40 + n % 50, comment=b"%d" % n)
    return sink.getvalue()


FILES = iter(range(1, 1000))


def body(served: Served, photos: int = 1) -> bytes:
    parts = [
        b'--y\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
        + another(served.photo, next(FILES))
        + b"\r\n"
        for _ in range(photos)
    ]
    return b"".join(parts) + b"--y--\r\n"


def sent(served: Served, path: str, content: bytes = b"", cookie: str = "none=0") -> socket.socket:
    """A whole request, on a connection of its own."""
    head = f"{'POST' if content else 'GET'} {path} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n"
    if content:
        head += (
            f"Content-Length: {len(content)}\r\nContent-Type: multipart/form-data; boundary=y\r\n"
        )
    opened = socket.create_connection(("127.0.0.1", served.port))
    opened.sendall(head.encode() + b"\r\n" + content)
    return opened


def close(opened: socket.socket) -> None:
    opened.close()


def reset(opened: socket.socket) -> None:
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    opened.close()


def half(opened: socket.socket) -> None:
    """No more is said; uvicorn hangs up then, too."""
    opened.shutdown(socket.SHUT_WR)
    assert opened.recv(1) == b""
    opened.close()


def hangs_up(
    served: Served, opened: socket.socket, how: Callable[[socket.socket], None] = close
) -> None:
    """The client leaves, and the service has noticed."""
    before = served.counted("499")
    how(opened)
    until(lambda: served.counted("499") > before)


@pytest.mark.parametrize("path", PATHS)
def test_who_stays_is_served_as_ever(served: Served, path: str) -> None:
    served.work.anew()
    with sent(served, path, body(served)) as opened:
        assert opened.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    assert dict(served.work.begun) == {"decode": 1, "regions": 1, "encode": 1, "search": 2}


WAYS = [
    *((stage, path, close) for stage in STAGES for path in PATHS),
    *(("regions", PATHS[1], how) for how in (reset, half)),
]


@pytest.mark.parametrize(("stage", "path", "how"), WAYS)
def test_no_stage_begins_for_who_has_left(
    served: Served, stage: str, path: str, how: Callable[[socket.socket], None]
) -> None:
    """Of three photos of a batch none but the first is begun."""
    served.work.anew(stage)
    opened = sent(served, path, body(served, 3 if path.endswith("batch") else 1))
    assert served.work.arrived.wait(240)
    hangs_up(served, opened, how)
    served.work.go_on.set()
    until(served.through)
    begun = STAGES[: STAGES.index(stage) + 1]
    assert set(served.work.begun) == set(begun)
    assert max(served.work.begun[one] for one in begun[:3]) == 1


def test_who_leaves_the_line_has_nothing_begun(served: Served) -> None:
    served.work.anew("regions")
    with sent(served, PATHS[1], body(served)) as first:
        assert served.work.arrived.wait(240)
        second = sent(served, PATHS[1], body(served))
        until(lambda: served.service.gate.taken == 2)
        hangs_up(served, second)
        served.work.go_on.set()
        assert first.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    until(served.through)
    assert served.work.begun["decode"] == 1


def test_an_explanation_ends_with_who_asked_for_it(served: Served) -> None:
    """Four times the encoder is asked for one; it is the browser's own photo, so by its cookie."""
    served.work.anew()
    url = f"http://127.0.0.1:{served.port}"
    with httpx.Client(base_url=url, timeout=240) as client:
        found = client.post("/api/search", files={"photo": served.photo})
        answer, cookie = found.json(), "; ".join(f"{k}={v}" for k, v in client.cookies.items())
    image = answer["hits"][0]["image"].removeprefix("/images/")
    path = f"/api/search/{answer['search_id']}/why/{image}"
    served.work.anew()
    with sent(served, path, cookie=cookie) as stays:
        assert stays.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    assert served.work.begun["encode"] == 4
    served.work.anew("encode")
    opened = sent(served, path, cookie=cookie)
    assert served.work.arrived.wait(240)
    hangs_up(served, opened)
    served.work.go_on.set()
    until(served.through)
    assert served.work.begun["encode"] == 1


def test_a_search_that_was_left_counts_for_the_limit(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = served.service.pace
    monkeypatch.setattr(pace, "per_minute", 1e-6)
    monkeypatch.setattr(pace, "burst", 2.0)
    pace._buckets.clear()
    for _ in range(2):
        served.work.anew("decode")
        opened = sent(served, PATHS[1], body(served))
        assert served.work.arrived.wait(240)
        hangs_up(served, opened)
        served.work.go_on.set()
        until(served.through)
    with sent(served, PATHS[1], body(served)) as opened:
        assert opened.recv(1 << 16).startswith(b"HTTP/1.1 429 ")
