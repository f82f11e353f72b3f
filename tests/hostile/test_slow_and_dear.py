"""A real `serve` under slow senders, slow addresses, long heads and pictures that cost more than they
weigh: a shopper beside them is answered, memory stays bounded, and nobody learns what lies behind us."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from ftp_servers import until
from hostile.pictures import DEAR, REFUSED, saved
from published import publish
from servers import free_port

pytestmark = pytest.mark.slow

MIB = 1 << 20
DRIPS, PICTURES = free_port(), free_port()


@cache
def heic() -> bytes:
    """More than the quick lane takes, as what an iPhone makes."""
    return saved((2100, 1700), "HEIF", quality=50)


@dataclass(frozen=True)
class Serve:
    """One service, and what a shopper sends it."""

    port: int
    pid: int
    photo: bytes

    def ask(
        self, photo: bytes | None = None, address: str = "127.0.0.1", **fields: str
    ) -> httpx.Response:
        files: Any = [(name, (None, value)) for name, value in fields.items()]
        if not fields:
            files = {"photo": ("a.jpg", self.photo if photo is None else photo)}
        way = httpx.HTTPTransport(local_address=address)
        with httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=240, transport=way
        ) as client:
            return client.post("/api/search", files=files)

    def send(self, data: bytes) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self.port))
        with contextlib.suppress(OSError):  # closed already: that is seen when it is read
            opened.sendall(data)
        return opened

    def has_read(self) -> None:
        """Returns when the service has taken everything that was sent to it."""
        mine = f":{self.port:04X}"
        until(lambda: all(
            int(queues.partition(":")[2], 16) == 0
            for _, here, _, _, queues, *_ in map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:])
            if here.endswith(mine)
        ))  # fmt: skip

    def memory(self) -> int:
        """Bytes of the process and of its workers; what they share counts for each."""
        pids = [self.pid, *map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split())]  # fmt: skip
        status = (Path(f"/proc/{pid}/status") for pid in pids)
        texts = [path.read_text() for path in status if path.exists()]
        return sum(int(t.partition("VmRSS:")[2].split()[0]) << 10 for t in texts if "VmRSS" in t)


def upload(length: int, sent: int) -> bytes:
    head = (
        "POST /api/search HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n"
        f"Content-Length: {length}\r\n\r\n"
        '--B\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
    )
    return head.encode() + bytes(sent)


def answer_of(opened: socket.socket, seconds: float) -> bytes:
    """The first bytes of the answer; empty where the connection was closed without one."""
    opened.settimeout(seconds)
    try:
        return opened.recv(300)
    except ConnectionResetError:
        return b""


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    folder, photo = publish(tmp_path_factory.mktemp("hostile"))
    port = free_port()
    settings = {
        "LENSBACK_WORKSPACE": str(folder),
        "LENSBACK_RATE_LIMIT": "0",
        "LENSBACK_GUESS_LIMIT": "0",
        "LENSBACK_ALLOW_HOSTS": "127.0.0.1,localhost",
        "LENSBACK_PHOTO_HOSTS": f"127.0.0.1:{DRIPS},127.0.0.1:{PICTURES}",
        "LENSBACK_UPLOAD_MEMORY_BYTES": str(12 * MIB),
        "LENSBACK_MAX_CONNECTIONS": "120",
    }
    command = [sys.executable, "-m", "lensback", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env={**os.environ, **settings}, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 240
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=120).is_success:
                    break
            time.sleep(0.1)
        yield Serve(port, process.pid, photo.read_bytes())
    finally:
        process.terminate()
        process.wait(240)


@contextlib.contextmanager
def answering(port: int, answer: bytes, drip: bytes = b"") -> Iterator[None]:
    """A server that says one thing, and then a byte now and then."""
    done = threading.Event()

    def one(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.recv(4000)
            client.sendall(answer)
            while drip and not done.wait(0.5):
                client.sendall(drip)

    def all_of_them(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not done.is_set():
                threads.append(threading.Thread(target=one, args=(server.accept()[0],)))
                threads[-1].start()

    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", port), backlog=100) as server:
        listener = threading.Thread(target=all_of_them, args=(server,))
        listener.start()
        try:
            yield
        finally:
            done.set()
            server.shutdown(socket.SHUT_RDWR)
            for thread in (listener, *threads):
                thread.join(120)


def test_slow_senders_and_slow_addresses_hold_no_place(serve: Serve) -> None:
    slow = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n"
    with (
        answering(DRIPS, slow, drip=b"x"),
        ThreadPoolExecutor(12) as pool,
        contextlib.ExitStack() as stack,
    ):
        bodies = [stack.enter_context(serve.send(upload(100_000, 10))) for _ in range(40)]
        heads = [
            stack.enter_context(serve.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "))
            for _ in range(40)
        ]
        silent = stack.enter_context(serve.send(b""))
        address = f"http://127.0.0.1:{DRIPS}/a.jpg"
        drips = [pool.submit(serve.ask, photo_url=address) for _ in range(12)]
        for _ in range(5):
            assert serve.ask().status_code == 200
        for opened in bodies[-5:]:
            assert b"400" in answer_of(opened, 240)[:20]
        for opened in (heads[-1], heads[-2]):
            assert answer_of(opened, 240)[:12] in {b"HTTP/1.1 408", b""}
        assert answer_of(silent, 240) == b""
        assert {future.result().status_code for future in drips} == {400, 503}
    assert serve.ask().status_code == 200


def test_a_long_head_is_refused_and_not_kept(serve: Serve) -> None:
    before = serve.memory()
    for head in (
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * (2 * MIB),
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: a\r\n" * 300_000,
        b"GET /" + b"a" * MIB,
        b"POST /postback/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        + b"X-A: a\r\n" * 300_000,
    ):
        with serve.send(head) as opened:
            assert answer_of(opened, 240)[:12] in {b"HTTP/1.1 431", b"HTTP/1.1 404", b""}, head[:40]
    assert serve.memory() - before < 40 * MIB
    assert serve.ask().status_code == 200


def test_connections_have_an_end(serve: Serve) -> None:
    """Those that wait give way, the oldest first; a shopper always finds a place."""
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(serve.send(b"GET / HTT")) for _ in range(200)]
        assert serve.ask().status_code == 200
        assert answer_of(many[0], 240) == b""


def test_stalled_bodies_give_way_to_a_photo(serve: Serve) -> None:
    with contextlib.ExitStack() as stack:
        stalled = [
            stack.enter_context(serve.send(upload(6 * MIB, 3 * MIB + MIB // 2))) for _ in range(3)
        ]
        serve.has_read()
        large = serve.photo + bytes(4 * MIB)  # what follows the end of a JPEG counts for nothing
        assert serve.ask(large).status_code == 200
        answered, _, _ = select.select(stalled, [], [], 240)
        assert [answer_of(opened, 1)[9:12] for opened in answered] == [b"503"]


def test_no_refusal_of_an_address_tells_what_is_there(serve: Serve) -> None:
    private = [
        f"http://127.0.0.1:{serve.port}/healthz",  # open, but of no list for photos
        "http://127.0.0.1:1/",  # closed
        f"http://localhost:{serve.port}/",
        f"http://[::1]:{serve.port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://no-such-name.invalid/a.jpg",
        "ftp://127.0.0.1/a.jpg",
        "nonsense",
    ]
    told = set()
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    with answering(PICTURES, page), ThreadPoolExecutor(6) as pool:
        asked = [*private, f"http://127.0.0.1:{PICTURES}/no-picture"]

        def one(url: str) -> None:
            begin = time.monotonic()
            response = serve.ask(photo_url=url)
            assert time.monotonic() - begin >= 2, url
            told.add((response.status_code, response.text))

        list(pool.map(one, asked))
    assert len(told) == 1, told
    ((status, text),) = told
    assert status == 400
    assert "127.0.0.1" not in text


def test_a_host_for_photos_is_asked(serve: Serve) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(serve.photo)}\r\nConnection: close\r\n\r\n"
    with answering(PICTURES, head.encode() + serve.photo):
        assert serve.ask(photo_url=f"http://127.0.0.1:{PICTURES}/a.jpg").status_code == 200


def test_dear_pictures_leave_a_shopper_in_peace(serve: Serve) -> None:
    """Four senders, each as fast as it can: every shopper's search is answered, within a gigabyte."""
    names = ("3000 empty scans", "PNG of 16 bits", "GIF of comments", "TIFF in a circle")
    bad = [*(REFUSED[name]() for name in names), DEAR["PNG interlaced of 49 MP"]()]
    stop, statuses = threading.Event(), set[int]()

    def send(first: int) -> None:
        for n in range(first, first + 10_000):
            if stop.is_set():
                return
            statuses.add(serve.ask(bad[n % len(bad)]).status_code)

    peak = 0
    with ThreadPoolExecutor(4) as pool:
        senders = [pool.submit(send, 4 * n) for n in range(4)]
        try:
            for turn in range(400):
                if turn >= 4 and {413, 415} <= statuses:
                    break
                assert serve.ask().status_code == 200
                assert serve.ask(heic()).status_code == 200, (
                    "a phone's photo, from the same address"
                )
                peak = max(peak, serve.memory())
                time.sleep(0.2)
        finally:
            stop.set()
        for sender in senders:
            sender.result()
    assert statuses <= {200, 413, 415, 503}
    assert {413, 415} <= statuses
    assert peak < 1024 * MIB


def test_who_sends_most_large_photos_waits_longest(serve: Serve) -> None:
    """Seven senders at one address fill the lane of large photos; a shopper at another is answered."""
    stop, statuses = threading.Event(), Counter[int]()

    def send() -> None:
        while not stop.is_set():
            statuses[serve.ask(heic(), address="127.0.0.2").status_code] += 1

    with ThreadPoolExecutor(7) as pool:
        senders = [pool.submit(send) for _ in range(7)]
        try:
            while not statuses[503]:
                time.sleep(0.05)
            assert [serve.ask(heic()).status_code for _ in range(2)] == [200] * 2
        finally:
            stop.set()
        for sender in senders:
            sender.result()
    assert set(statuses) <= {200, 503}


PART = b'--B\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n'
ODD_FORMS = {
    "a preamble": (422, b"x" * 8 * MIB + b"\r\n" + PART + b"\r\nx\r\n--B--\r\n"),
    "a header of a part": (422, PART + b"X-A: " + b"a" * 8 * MIB + b"\r\n\r\nx\r\n--B--\r\n"),
    "headers of a part": (422, PART + b"X: a\r\n" * MIB + b"\r\nx\r\n--B--\r\n"),
    "parts": (422, (PART + b"\r\n\r\n") * 100_000 + b"--B--\r\n"),
    "parts without a name": (422, b"--B\r\n\r\n\r\n" * 500_000 + b"--B--\r\n"),
    "fields": (422, b'--B\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' * 100_000),
    "beginnings of an end": (415, PART + b"\r\n" + b"\r\n--" * 2 * MIB + b"\r\n--B--\r\n"),
    "what follows the end": (415, PART + b"\r\nx\r\n--B--\r\n" + b"\r\n" * 4 * MIB),
}


@pytest.mark.parametrize("what", ODD_FORMS)
def test_an_odd_form_is_answered_and_holds_nobody_up(what: str, serve: Serve) -> None:
    """Told what is wrong, while the rest of eight megabytes is still coming."""
    status, body = ODD_FORMS[what]
    kind = {"Content-Type": "multipart/form-data; boundary=B"}
    with httpx.Client(base_url=f"http://127.0.0.1:{serve.port}", timeout=240) as client:
        answer = client.post("/api/search", content=body, headers=kind)
    assert (answer.status_code, bool(answer.json()["error"]["hint"])) == (status, True), answer.text


@pytest.mark.parametrize("charset", ["undefined", "hex", "punycode", "utf-7", "zlib", "../x", ""])
def test_an_odd_charset_is_no_fault_of_ours(charset: str, serve: Serve) -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="limit"\r\n\r\n\xff5\r\n--B--\r\n'
    kind = {"Content-Type": f"multipart/form-data; charset={charset}; boundary=B"}
    with httpx.Client(base_url=f"http://127.0.0.1:{serve.port}", timeout=240) as client:
        assert client.post("/api/search", content=body, headers=kind).status_code == 422
