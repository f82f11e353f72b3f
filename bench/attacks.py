"""Attacks on a real `serve`, one after the other: what a shopper beside them notices, what memory the
service takes, and how soon all is as before.

A catalogue of drawn things, one service of one process, everything on this machine: the attackers take
their part of the same processors. Beside each attack shoppers search without pause, one at a time.
Attackers have one address, the shoppers others. What is dear or slow is sent to a service without limits
of how often; floods of what is answered to one with the limits that a service has by itself.

    python bench/attacks.py [--only bodies heads] [--seconds 10] [--rounds 0]

Written:
bench/results/attacks.json (`--only` names attacks by parts of their titles; `--rounds 0` leaves decoding out), with `decode`: what decoding in a process of its own costs against decoding
here, side by side, processor time of both processes together.
"""

from __future__ import annotations

import contextlib
import itertools
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
from hostile.test_small_bodies import BOMBS  # type: ignore[import-not-found,unused-ignore]  # isort: skip
from published import publish  # type: ignore[import-not-found,unused-ignore]  # isort: skip

WARM_S = 3.0
SHOPPERS = 8
"""Addresses of shoppers, in turn: each stays below the limit of searches."""
ATTACKER = "127.0.0.2"
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "Accept": "text/html"}
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


def client(url: str, address: str) -> httpx.Client:
    """A client at an address of this machine."""
    way = httpx.HTTPTransport(verify=False, local_address=address)
    return httpx.Client(base_url=url, timeout=60, transport=way)


def shopper(
    url: str, photo: bytes, seconds: float, addresses: int = SHOPPERS
) -> tuple[list[float], Counter[str]]:
    """Milliseconds of the answered searches, and what the others ended with."""
    times, failures = [], Counter[str]()
    with contextlib.ExitStack() as stack:
        here = [stack.enter_context(client(url, f"127.0.1.{n + 1}")) for n in range(addresses)]
        end = time.monotonic() + seconds  # to make a client takes a while, too
        for each in itertools.cycle(here):
            if time.monotonic() >= end:
                break
            begin = time.perf_counter()
            try:
                status = each.post("/api/search", files={"photo": photo}).status_code
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
        with client(served.url, ATTACKER) as sender:
            while not stop.is_set():
                with contextlib.suppress(httpx.TransportError):
                    sender.post("/api/search", files={"photo": data})

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
                            new = socket.create_connection(place, source_address=(ATTACKER, 0))
                            sockets[n] = stack.enter_context(new)
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
            with client(served.url, ATTACKER) as asker:
                while not stop.is_set():
                    with contextlib.suppress(httpx.TransportError):
                        asker.request(method, path, **request)

        together(one, many)

    return attack


def wanting_to_know_why(many: int, photo: bytes) -> Attack:
    """Browsers that search once and ask again and again which part of their photo matched."""

    def attack(served: Served, stop: Event) -> None:
        def one() -> None:
            with client(served.url, ATTACKER) as asker:
                while not stop.is_set():
                    with contextlib.suppress(httpx.TransportError, KeyError, IndexError):
                        answer = asker.post("/api/search", files={"photo": photo}).json()
                        picture = answer["hits"][0]["image"].rsplit("/", 1)[1]
                        why = f"/api/search/{answer['search_id']}/why/{picture}"
                        while not stop.is_set():
                            asker.get(why)

        together(one, many)

    return attack


def connecting(many: int, data: bytes) -> Attack:
    """Clients that open a connection for each request, and ask for no more than that it ends."""

    def attack(served: Served, stop: Event) -> None:
        def one() -> None:
            while not stop.is_set():
                place = ("127.0.0.1", served.port)
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(place, 10, source_address=(ATTACKER, 0)) as opened,
                ):
                    opened.sendall(data)
                    while opened.recv(1 << 16):
                        pass

        together(one, many)

    return attack


def together(work: Callable[[], None], many: int) -> None:
    """The same in many threads, until all have ended."""
    threads = [threading.Thread(target=work) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def floods(url: str, photo: bytes) -> dict[str, Attack]:
    """Attacks by requests that are in order and are answered, of one address."""
    with client(url, "127.0.0.1") as curious:
        answer = curious.post("/api/search", files={"photo": photo}).json()
    hit = answer["hits"][0]
    offer, product = hit["offers"][0]["offer_id"], hit["product_id"]
    pages = {
        "what is ready": "/readyz",
        "a word": "/healthz",
        "the page": "/",
        "the stores": "/api/stores",
        "a product": f"/products/{product}",
        "a product for programs": f"/api/products/{product}",
        "an answer": f"/answers/{answer['search_id']}",
        "a file": "/static/app.css?v=1",
        "a file in many parts": "/static/app.css?v=1",
        "the description": "/docs",
        "the description for programs": "/openapi.json",
        "look-alikes": f"/similar/{offer}",
        "a picture": hit["image"],
        "the way to a store": f"/go/{offer}?search={answer['search_id']}",
    }
    parts = {"Range": "bytes=" + ",".join(f"{3 * n}-{3 * n}" for n in range(100))}
    headers = dict.fromkeys(pages, BROWSER) | {"a file in many parts": BROWSER | parts}
    bodies = BOMBS["one name twice, at the end"], BOMBS["a long name of a long list"]
    sent = {"headers": {"Content-Type": "application/json"}}
    return {
        **{
            f"12 who ask for {name}": asking(12, "GET", path, headers=headers[name])
            for name, path in pages.items()
        },
        "12 who search": asking(12, "POST", "/api/search", files={"photo": photo}),
        "12 who search words": asking(12, "POST", "/api/search", files={"q": (None, "dress")}),
        "12 who want to know why": wanting_to_know_why(12, photo),
        "12 who connect anew": connecting(12, b"GET /healthz HTTP/1.0\r\nHost: x\r\n\r\n"),
        "12 whose heads are none": connecting(12, b"nonsense\r\n\r\n"),
        "12 whose names come twice": asking(
            12, "POST", "/postback/generic", content=bodies[0], **sent
        ),
        "12 whose names are long": asking(
            12, "POST", "/postback/generic", content=bodies[1], **sent
        ),
        "12 guessers of keys, limited": asking(
            12, "GET", "/api/users/user-4711/cashback", headers={"Authorization": "Bearer guess"}
        ),
    }


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
    while not (one := shopper(served.url, photo, 0.01, 1)[0]) or one[0] > 3 * max(usual):
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
    decode = decoding(given.rounds) if given.rounds else {}
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
            "12 who ask for nothing": asking(12, "GET", "/nothing"),
        }
        attacks = {
            n: a for n, a in attacks.items() if n not in pictures or len(pictures[n]()) < LIMITS[0]
        }
        found = {}
        for limited in (False, True):
            with Served(folder, limited=limited) as served:
                shopper(served.url, photo, WARM_S)
                for title, attack in (floods(served.url, photo) if limited else attacks).items():
                    if any(part in title for part in given.only):
                        found[title] = under(served, photo, attack, given.seconds)
                        print(title, found[title], flush=True)
    write("attacks", {"decode": decode, "attacks": found, "seconds": given.seconds}, given.out)


if __name__ == "__main__":
    main()
