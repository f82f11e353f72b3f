"""Attacks on a real `serve`, one after the other: what a shopper beside them notices, what memory the
service takes, and how soon all is as before.

A catalogue of drawn things, one service of one process, everything on this machine: the attackers take
their part of the same processors. Beside each attack one shopper searches without pause.

    python bench/attacks.py [--only bodies heads] [--seconds 10]

Written:
bench/results/attacks.json (`--only` names attacks by parts of their titles), with `decode`: what decoding in a process of its own costs against decoding
here, side by side, processor time of both processes together.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import httpx

from lensback import images
from rig import DATA, Served, arguments, jpeg, memory_mb, opened, percentiles, write

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from hostile.pictures import DEAR, HONEST, REFUSED  # type: ignore[import-not-found,unused-ignore]  # isort: skip
from published import publish  # type: ignore[import-not-found,unused-ignore]  # isort: skip

WARM_S = 3.0
LIMITS = (20 << 20, 50_000_000)
UPLOAD = (
    b"POST /api/search HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
    b"Content-Type: multipart/form-data; boundary=B\r\n\r\n"
    b'--B\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
)
FORK = multiprocessing.get_context("fork")
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "


class Watch:
    """The most memory that a process and its children take together, megabytes."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak, self._end = pid, 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.wait(0.1):
            with contextlib.suppress(OSError):
                children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
                self.peak = max(
                    self.peak, sum(memory_mb(pid) for pid in (str(self.pid), *children))
                )

    def stop(self) -> float:
        self._end.set()
        self._thread.join()
        return round(self.peak, 1)


def shopper(url: str, photo: bytes, seconds: float) -> tuple[list[float], Counter[str]]:
    """Milliseconds of the answered searches, and what the others ended with."""
    times, failures = [], Counter[str]()
    with httpx.Client(base_url=url, timeout=60) as client:
        end = time.monotonic() + seconds  # to make a client takes a while, too
        while time.monotonic() < end:
            begin = time.perf_counter()
            try:
                status = client.post("/api/search", files={"photo": photo}).status_code
            except httpx.TransportError as error:
                failures[type(error).__name__] += 1
                continue
            if status == 200:
                times.append(1000 * (time.perf_counter() - begin))
            else:
                failures[str(status)] += 1
    return times, failures


Attack = Callable[[Served, Event], None]


def sending(data: bytes) -> Attack:
    """One client that sends a picture again and again, as fast as it is answered."""

    def attack(served: Served, stop: Event) -> None:
        with httpx.Client(base_url=served.url, timeout=120) as client:
            while not stop.is_set():
                with contextlib.suppress(httpx.TransportError):
                    client.post("/api/search", files={"photo": data})

    return attack


def dripping(first: bytes, each: bytes, many: int) -> Attack:
    """Clients that send a little every other second, and come again when they are closed."""

    def attack(served: Served, stop: Event) -> None:
        with contextlib.ExitStack() as stack:
            sockets: list[socket.socket | None] = [None] * many
            while not stop.wait(2):
                for n, one in enumerate(sockets):
                    try:
                        if one is None:
                            place = ("127.0.0.1", served.port)
                            sockets[n] = new = stack.enter_context(socket.create_connection(place))
                            new.sendall(first)
                        else:
                            one.sendall(each)
                    except OSError:
                        sockets[n] = None

    return attack


def asking(many: int, method: str, path: str, **request: Any) -> Attack:
    """Clients that ask the same again as soon as they are answered, whatever the answer is."""

    def attack(served: Served, stop: Event) -> None:
        def one() -> None:
            with httpx.Client(base_url=served.url, timeout=60) as client:
                while not stop.is_set():
                    with contextlib.suppress(httpx.TransportError):
                        client.request(method, path, **request)

        threads = [threading.Thread(target=one) for _ in range(many)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return attack


@contextlib.contextmanager
def endless() -> Iterator[int]:
    """A server of pictures that never end; its port."""
    done = threading.Event()

    def one(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.recv(4000)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not done.wait(1):
                client.sendall(b"x")

    def listen(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        threading.Thread(target=listen, args=(server,), daemon=True).start()
        yield server.getsockname()[1]
        done.set()
        server.shutdown(socket.SHUT_RDWR)


def under(served: Served, photo: bytes, attack: Attack, seconds: float) -> dict[str, Any]:
    """One attack: a shopper before it, during it, and from its end to the first usual answer."""
    usual, _ = shopper(served.url, photo, WARM_S)
    watch, stop = Watch(served.process.pid), FORK.Event()
    # In a process of its own: threads of one interpreter would make the shopper wait for the attacker.
    attacker = FORK.Process(target=attack, args=(served, stop))
    attacker.start()
    times, failures = shopper(served.url, photo, seconds)
    stop.set()
    end = time.monotonic()
    while not (one := shopper(served.url, photo, 0.01)[0]) or one[0] > 3 * max(usual):
        if time.monotonic() > end + 60:
            break
    recovered_s = round(time.monotonic() - end, 1)
    attacker.join()
    before, during = percentiles(usual)["p95"], percentiles(times)["p95"]
    return {
        "usual_p95_ms": before,
        "p95_ms": during,
        "times_usual": round(during / before, 2),
        "answered": len(times),
        "failures": dict(failures),
        "peak_memory_mb": watch.stop(),
        "recovered_s": recovered_s,
    }


def decoding(rounds: int) -> dict[str, Any]:
    """Processor milliseconds of a decode to 448 px, here and in a process of its own, alone (`there`) and
    with seven others (`together`), and of a look, here and there; in turns."""
    photo = opened(min((DATA / "shops").rglob("images/*.jpg")))
    photos = {
        "phone photo, 12 MP": jpeg(photo.resize((3000, 4000)), 85),
        "web photo, 1.3 MP": jpeg(photo.resize((1000, 1300)), 85),
        "store picture": jpeg(photo, 85),
        "store PNG": HONEST["store PNG"](),
    }
    decoders, found = images.Decoders(1), {}
    for name, data in photos.items():
        decoders.within(0, data, 448, *LIMITS)
        (pid,) = decoders.pids()
        clock = (~pid << 3) | 2  # the processor time of another process (clock_getcpuclockid)
        ways: dict[str, tuple[int, Callable[[], Any]]] = {
            "here": (1, partial(images.decoded, data, 448, *LIMITS)),
            "there": (1, partial(decoders.within, 0, data, 448, *LIMITS)),
            "together": (8, partial(decoders.many, [data] * 8, 448, *LIMITS)),
            "look_here": (1, partial(images.HERE.look, data, *LIMITS)),
            "look_there": (1, partial(decoders.look, data, *LIMITS)),
        }
        spent: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, (pictures, decode) in ways.items():
                begin = time.process_time() + time.clock_gettime(clock)
                decode()
                taken = time.process_time() + time.clock_gettime(clock) - begin
                spent[way].append(1000 * taken / pictures)
        ms = {way: round(sorted(times)[rounds // 2], 3) for way, times in spent.items()}
        found[name] = {
            "ms": ms,
            "there_ratio": round(ms["there"] / ms["here"], 2),
            "together_ratio": round(ms["together"] / ms["here"], 2),
            "look_ratio": round(ms["look_there"] / ms["look_here"], 2),
            "n": rounds,
        }
    decoders.close()
    return found


def main() -> None:
    given = arguments(__doc__, seconds=10.0, rounds=100, only=[""]).parse_args()
    decode = decoding(given.rounds)
    with tempfile.TemporaryDirectory() as name, endless() as port:
        folder, path = publish(Path(name))
        os.environ["LENSBACK_PHOTO_HOSTS"] = f"127.0.0.1:{port}"
        photo = path.read_bytes()
        pictures = {**REFUSED, **DEAR}
        slow: Any = {"photo_url": (None, f"http://127.0.0.1:{port}/a.jpg")}
        guess = {"Authorization": "Bearer guess"}
        attacks: dict[str, Attack] = {
            **{name: sending(make()) for name, make in pictures.items()},
            "48 slow bodies": dripping(UPLOAD, b"x", 48),
            "48 half heads": dripping(HEAD, b"a", 48),
            "48 endless heads": dripping(HEAD, bytes(1 << 20), 48),
            "12 slow addresses": asking(12, "POST", "/api/search", files=slow),
            "40 slow addresses": asking(40, "POST", "/api/search", files=slow),
            "12 guessers of keys": asking(
                12, "GET", "/api/users/user-4711/cashback", headers=guess
            ),
            "12 who ask what is ready": asking(12, "GET", "/readyz"),
            "12 who ask for nothing": asking(12, "GET", "/nothing"),
        }
        attacks = {
            n: a for n, a in attacks.items() if n not in pictures or len(pictures[n]()) < LIMITS[0]
        }
        found = {}
        with Served(folder) as served:
            shopper(served.url, photo, WARM_S)
            for title, attack in attacks.items():
                if any(part in title for part in given.only):
                    found[title] = under(served, photo, attack, given.seconds)
                    print(title, found[title], flush=True)
    write("attacks", {"decode": decode, "attacks": found, "seconds": given.seconds}, given.out)


if __name__ == "__main__":
    main()
