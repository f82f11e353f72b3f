"""Connections: how long a request's head and body may be under way and how long its answer, how long
a head may be, how many requests may lie in a row, and how many connections there are at once.

uvicorn has none of these limits for its fast parser. What waits for its next request, or has sent half
a head, gives way where there are too many; then what still sends its body, the oldest first. A request that is
whole does not.
"""

from __future__ import annotations

import ipaddress
import re
import resource
from asyncio import TimerHandle
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lensback.web.browser import household

HEAD_S = 10.0
"""For a request's line and headers, from the opening of the connection or from their first byte."""
HEAD_BYTES = 32 << 10
MESSAGE_S = 90.0
"""For a whole request: more than an upload may take."""
SEND_S = 30.0
"""For a reader to take what it was sent: 48 KiB at least, or the rest."""
IN_A_ROW = 16
"""Requests that are sent before the first is answered. Browsers wait for each answer."""
FRAMING, FRAMING_SHARE = 32 << 10, 16
"""Of a body in chunks: bytes that are no body, at once and for each that is."""
TOO_LONG = b"431 Request Header Fields Too Large"
_WHOLE = re.compile(rb"https?://([^/?#]*)", re.IGNORECASE)
"""An address with the name that it is for, as clients write it to a proxy (RFC 9112, 3.2.2)."""
FILES_BESIDE = 128
"""Of the files that a process may open, those that are no connections."""


class Crowd:
    """All connections of a process, oldest first, in all and from each address."""

    def __init__(self, most: int, per_address: int, proxies: Iterable[str]) -> None:
        files, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files < most + FILES_BESIDE:
            files = most + FILES_BESIDE if most_files < 0 else min(most_files, most + FILES_BESIDE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, most_files))
        self._most = max(1, min(most, files - FILES_BESIDE))
        self._per_address = per_address
        self._proxies = [_network(proxy) for proxy in proxies]
        self._all: dict[Connection, str] = {}
        self._by_address: defaultdict[str, dict[Connection, None]] = defaultdict(dict)

    def add(self, connection: Connection, address: str) -> bool:
        """Counts a new one; False where there is no room for it."""
        name = household(address)
        own = self._by_address[name]
        self._all[connection], own[connection] = name, None
        fits = len(own) <= self._per_address or self._is_proxy(address) or _one_less(own)
        return fits and (len(self._all) <= self._most or _one_less(self._all))

    def remove(self, connection: Connection) -> None:
        """Counts one connection less, where it was counted at all."""
        address = self._all.pop(connection, None)
        if address is not None:
            own = self._by_address[address]
            own.pop(connection, None)
            if not own:
                del self._by_address[address]

    def _is_proxy(self, address: str) -> bool:
        if None in self._proxies:
            return True
        try:
            number = ipaddress.ip_address(address)
        except ValueError:  # a socket of the file system
            return True
        return any(number in network for network in self._proxies if network)


def _network(proxy: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """What `trusted_proxies` names; None for everybody, and for a name, which no peer has."""
    return None if proxy == "*" else ipaddress.ip_network(proxy, strict=False)


def _one_less(connections: Iterable[Connection]) -> bool:
    """Whether one that waits gave way, or one whose body is still on its way."""
    listed = list(connections)[:-1]  # not the one that comes
    idle = (connection for connection in listed if connection.waits)
    arriving = (connection for connection in listed if connection.arrives)
    least = next(idle, None) or next(arriving, None)
    if least is not None:
        least.drop()
    return least is not None


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with those limits; see the module."""

    def __init__(self, *given: Any, crowd: Crowd, **named: Any) -> None:
        super().__init__(*given, **named)
        self._crowd = crowd
        self._clock: TimerHandle | None = None
        self._raw_bytes = 0
        """Received while the head was not whole."""
        self._head_bytes = 0
        """Of it, and of a trailer, what was understood."""
        self._in_head = False
        self._too_long = False
        self._sending: TimerHandle | None = None
        self._framing = 0
        """Bytes that came after a head and were no body."""
        self._body_bytes = 0
        self._began = False
        """Whether a message begins in the bytes that are parsed just now."""

    @property
    def arrives(self) -> bool:
        """Whether a request's body is still on its way."""
        return self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete

    @property
    def waits(self) -> bool:
        """Whether no request is under way: none yet, half a head, or the last one was answered."""
        return self.cycle is None or (self.cycle.response_complete and not self.pipeline)

    def drop(self) -> None:
        """Ends the connection at once."""
        self._crowd.remove(self)
        self.transport.abort()

    def connection_made(self, transport: Any) -> None:
        """Counts the connection and starts its clock."""
        super().connection_made(transport)
        self._wait(HEAD_S)
        if not self._crowd.add(self, self.client[0] if self.client else ""):
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clocks and counts one connection less."""
        self._stop()
        self._taken()
        self._crowd.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses what came, and ends a head that grows too long."""
        if self._clock is None:  # the first bytes of the next request
            self._wait(HEAD_S)
        before, in_body, self._began = self._body_bytes, not self._in_head, False
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            self._raw_bytes += len(data)
            if self._raw_bytes > HEAD_BYTES:
                self._answer(TOO_LONG)
        elif in_body and self.arrives and not self._began:
            self._framing += len(data) - (self._body_bytes - before)
            if self._framing > FRAMING + FRAMING_SHARE * self._body_bytes:
                self._answer(b"400 Bad Request")

    def on_message_begin(self) -> None:
        """Begins to count the bytes of a head."""
        super().on_message_begin()
        self._began = True
        self._in_head, self._raw_bytes, self._head_bytes = True, 0, 0
        self._framing = self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Counts a part of the request's address."""
        super().on_url(url)
        self._counted(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a header, also one of the trailer."""
        super().on_header(name, value)
        self._counted(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        """Gives the body its time, now that the head is whole. Raises ValueError for a request too
        many in a row, and for one whose address names another host than its header."""
        self._in_head = False
        if not self.url.startswith(b"/") and not _agree(self.url, self.headers):
            raise ValueError("two names")
        if len(self.pipeline) >= IN_A_ROW:
            raise ValueError("too many in a row")
        self._wait(MESSAGE_S)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Counts a part of a body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stops the clock: the whole request is here."""
        self._stop()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Where that was the last answer, the reader has its time for what it has not taken yet."""
        super().on_response_complete()
        self._linger()

    def timeout_keep_alive_handler(self) -> None:
        """Closes a connection that was idle."""
        super().timeout_keep_alive_handler()
        self._linger()

    def pause_writing(self) -> None:
        """The reader is slow: from now on it has SEND_S."""
        super().pause_writing()
        self._hurry()

    def resume_writing(self) -> None:
        """The reader took enough to go on."""
        super().resume_writing()
        self._taken()
        self._linger()

    def send_400_response(self, msg: str) -> None:
        """Answers what cannot be read; what is too long by its own status (RFC 6585, 5)."""
        if not self._too_long:
            super().send_400_response(msg)
            return
        self._answer(TOO_LONG)

    def _counted(self, size: int) -> None:
        """Raises ValueError, which ends the parsing, where a head, or the trailer, is too long."""
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self._too_long = True
            raise ValueError("too long")

    def _wait(self, seconds: float) -> None:
        self._stop()
        self._clock = self.loop.call_later(seconds, self._late)

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _linger(self) -> None:
        """A connection that closes stays open until all of it is read, however long that takes."""
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._hurry()

    def _hurry(self) -> None:
        if self._sending is None:
            self._sending = self.loop.call_later(SEND_S, self.drop)

    def _taken(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _late(self) -> None:
        self._clock = None
        if self._in_head and self.waits:
            self._answer(b"408 Request Timeout")
        self.drop()

    def _answer(self, status: bytes) -> None:
        head = b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        self.transport.write(head)
        self.transport.close()


def _agree(url: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether an address that is no path names the very host of the header, or nothing at all."""
    named = _WHOLE.match(url)
    hosts = [value.lower() for name, value in headers if name == b"host"]
    return url == b"*" or (named is not None and hosts == [named[1].lower()])


def protocol(most: int, per_address: int, proxies: Iterable[str]) -> Any:
    """What uvicorn's setting `http` takes: connections of one crowd."""
    return partial(Connection, crowd=Crowd(most, per_address, proxies))
