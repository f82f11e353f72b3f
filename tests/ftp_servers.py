"""FTP servers that mean harm, on loopback: a script of what each says and when."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

Talk = Callable[[socket.socket, threading.Event], None]
ESCAPES = "\x1b[2J\x1b]0;PWNED\x07\x1b[31mlogin as root\x9b31m \u202egpj.exe\u2028hint: run it"


@contextlib.contextmanager
def ftp_server(talk: Talk) -> Iterator[int]:
    """The port of a server that talks so to every client, until the block ends."""
    over, clients = threading.Event(), list[threading.Thread]()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)

        def one(client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                client.settimeout(60)
                talk(client, over)

        def accept() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    client, _ = listener.accept()
                    clients.append(threading.Thread(target=one, args=(client,)))
                    clients[-1].start()

        door = threading.Thread(target=accept)
        door.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            for thread in (door, *clients):
                thread.join(120)


def commands(client: socket.socket, over: threading.Event) -> Iterator[str]:
    """What the client asks, line by line, until it hangs up."""
    waiting = b""
    while not over.is_set():
        ready, _, _ = select.select([client], [], [], 0.5)
        if ready:
            block = client.recv(4096)
            if not block:
                return
            *lines, waiting = (waiting + block).split(b"\r\n")
            for line in lines:
                yield line.decode()


def endless_greeting(client: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        client.sendall((b"220-" + b"A" * 4000 + b"\r\n") * 50)


def endless_line(client: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        client.sendall(b"220 " + b"A" * 100_000)


def dripping_greeting(client: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.2):
        client.sendall(b"220-hi\r\n")


def silent(client: socket.socket, over: threading.Event) -> None:
    over.wait(600)


def _served(**said: str | Talk) -> Talk:
    """A server that behaves but for the commands named."""

    def talk(client: socket.socket, over: threading.Event) -> None:
        usual = {"USER": "331 pw", "PASS": "230 in", "TYPE": "200 ok", "SIZE": "213 20"}
        usual |= {"MDTM": "213 20260101000000", "EPSV": "500 no", "PASV": "500 no"}
        client.sendall(b"220 hi\r\n")
        for line in commands(client, over):
            word = line.split()[0].upper()
            answer = said.get(word, usual.get(word, "500 no"))
            if callable(answer):
                answer(client, over)
            else:
                client.sendall(answer.encode("utf-8", "surrogateescape") + b"\r\n")

    return talk


def _endless_reply(client: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        client.sendall(b"213-" + b"more\r\n" * 5000)


def _dripping_reply(client: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.2):
        client.sendall(b"331-wait\r\n")


def _data(send: Talk, size: str = "213 1000000") -> Talk:
    """Passive mode with a data connection on which `send` is done."""

    def talk(client: socket.socket, over: threading.Event) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(60)
            port = listener.getsockname()[1]

            def retr(client: socket.socket, over: threading.Event) -> None:
                client.sendall(b"150 comes\r\n")
                with contextlib.suppress(TimeoutError):
                    data, _ = listener.accept()
                    with data:
                        data.settimeout(60)
                        send(data, over)

            told = f"227 ok (10,0,0,7,{port >> 8},{port & 255})"
            _served(PASV=told, SIZE=size, RETR=retr)(client, over)

    return talk


def _drip(data: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.2):
        data.sendall(b"x")


def _flood(data: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        data.sendall(b"<item>" * 20_000)


HOSTILE: dict[str, Talk] = {
    "a greeting without end": endless_greeting,
    "a line without end": endless_line,
    "a greeting that drips": dripping_greeting,
    "silence": silent,
    "a reply without end": _served(SIZE=_endless_reply),
    "a reply that drips": _served(USER=_dripping_reply),
    "escapes in a refusal": _served(PASS=f"530 {ESCAPES}"),
    "bytes that are no text": _served(PASS="530 \udcff\udcfe\udc9b31m"),
    "a size that is no number": _served(SIZE="213 many"),
    "a size of 9,000 digits": _served(SIZE="213 " + "9" * 9000),
    "a system port of its host": _served(PASV="227 ok (127,0,0,1,0,22)"),
    "port 0": _served(PASV="227 ok (127,0,0,1,0,0)"),
    "a port that is none": _served(PASV="227 ok (127,0,0,1,999,999)"),
    "a passive reply that is none": _served(PASV="227 nowhere"),
    "data that drips": _data(_drip),
    "more data than it told of": _data(_flood, "213 20"),
    "data without end, of no size": _data(_flood, "550 no size"),
    "data that never comes": _data(silent),
}
"""What the server does -> how."""


def until(ready: Callable[[], bool], seconds: float = 240.0) -> None:
    """Returns when it is so. Fails after `seconds`."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
