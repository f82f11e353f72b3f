"""The only way out: HTTP(S) with deadlines, byte caps and no road into private networks.

A connection is made to an address that was checked a moment before (`_PinnedBackend`), so neither
a redirect nor a name that changes its address between check and use reaches a private host.
Host, SNI and the certificate check still see the name.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import io
import ipaddress
import math
import os
import random
import re
import secrets
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import urljoin

import httpcore
import httpx

from lensback.errors import FetchError, FetchFailed, FetchRefused, FetchTimeout, TooLarge

Resolver = Callable[..., Sequence[tuple[Any, ...]]]
"""Called and answering like `socket.getaddrinfo`."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_WAIT_S = 30.0
"""Longest pause that a server's Retry-After may ask of us."""
_PIECE_BYTES = 256 << 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({429, 500, 502, 503, 504})
_CARRIED = frozenset({"accept", "accept-language", "if-none-match", "if-modified-since"})
"""Headers of the caller that may follow a redirect to another host; keys and cookies may not."""

# Refused although not always "private" to the ipaddress module of every Python we run on.
_SPECIAL_BLOCKS = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
2001::/23 2001:db8::/32 3fff::/20
"""
_SPECIAL = tuple(ipaddress.ip_network(block) for block in _SPECIAL_BLOCKS.split())
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_NAMES = (
    r"[\w.\-\[\]]{0,40}?(?:key|code|token|secret|passw|pwd|signature|auth|credential|session)"
    r"[\w.\-\[\]]{0,40}|sig|pass|sid|jwt|hmac"
)
_QUERY = re.compile(
    rf"((?:[?&;#]|%3F|%26)(?:{_NAMES})(?:=|%3D))(?:(?!%26)[^&;#\s])*", re.IGNORECASE
)
_PATH = re.compile(
    r"(/(?:api[-_]?key|key|(?:access[-_]?)?token|secret|password|auth)(?:/|%2F))[^/?#\s]+",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(://|%3A%2F%2F)(?:(?!%2F|%3F)[^/?#\s])*(@|%40)", re.IGNORECASE)

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)
"""When the fetch of this thread must be over, on the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came. `url`: from where, after redirects; not redacted."""

    body: bytes
    status: int
    content_type: str
    etag: str
    last_modified: str
    url: str


@dataclass(slots=True)
class _Call:
    """One fetch while it runs."""

    url: str
    headers: Mapping[str, str]
    max_bytes: int
    deadline: float
    sink: BinaryIO
    tries: int = 0
    wait_s: float = 0.0
    """What the last answer's Retry-After asks for."""


class Fetcher:
    """Fetches over HTTP and HTTPS. One pool of connections, used from any number of threads.

    No proxies, no cookies, no environment. Only `allow_hosts` (`127.0.0.1`, `shop:8100`) may have
    a private address. `ssl_context` replaces the usual trust in the certifi roots.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        allow_hosts: Iterable[str] = (),
        timeout_s: float = 30.0,
        retries: int = 2,
        backoff_s: float = 0.5,
        max_redirects: int = 5,
        resolver: Resolver = socket.getaddrinfo,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        allowed = frozenset(host.strip().lower().rstrip(".") for host in allow_hosts)
        self._transport = _Transport(_PinnedBackend(allowed, resolver), ssl_context)
        self._user_agent = user_agent
        self._timeout_s = timeout_s
        self._retries = retries
        self._backoff_s = backoff_s
        self._max_redirects = max_redirects

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the pool."""
        self._transport.close()

    def fetch(
        self,
        url: str,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        deadline_s: float | None = None,
    ) -> Fetched:
        """The whole body, decompressed; 304 comes back with an empty body.

        `deadline_s` (default twice the time-out) bounds everything: retries, redirects, pauses.
        Raises TooLarge beyond `max_bytes`, and FetchError: FetchTimeout, FetchRefused, FetchFailed.
        """
        sink = io.BytesIO()
        limit_s = deadline_s or 2 * self._timeout_s
        fetched = self._run(url, headers or {}, max_bytes, limit_s, sink)
        return replace(fetched, body=sink.getvalue())

    def download(
        self,
        url: str,
        path: Path,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        deadline_s: float | None = None,
    ) -> Fetched:
        """Like `fetch`, into `path`: whole and on disk, or not at all. `body` is empty.

        After a 304 `path` is as it was. `deadline_s` is ten times the time-out by default.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.part")
        try:
            with part.open("xb") as sink:
                limit_s = deadline_s or 10 * self._timeout_s
                fetched = self._run(url, headers or {}, max_bytes, limit_s, sink)
                sink.flush()
                os.fsync(sink.fileno())
            if fetched.status != 304:
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return fetched

    def _run(
        self, url: str, headers: Mapping[str, str], max_bytes: int, limit_s: float, sink: BinaryIO
    ) -> Fetched:
        """Tries until it works, the error is final, or tries or time are used up."""
        call = _Call(url.strip(), headers, max_bytes, time.monotonic() + limit_s, sink)
        before = _deadline.set(call.deadline)
        try:
            while True:
                try:
                    return self._follow(call)
                except FetchError as error:
                    pause_s = self._pause_s(call)
                    late = time.monotonic() + pause_s >= call.deadline
                    if not error.retry or call.tries > self._retries or late:
                        raise
                time.sleep(pause_s)
        finally:
            _deadline.reset(before)

    def _pause_s(self, call: _Call) -> float:
        """Doubling, with jitter so that many threads do not come back at once."""
        jitter = random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        return max(call.wait_s, math.ldexp(self._backoff_s, call.tries - 1) * jitter)

    def _follow(self, call: _Call) -> Fetched:
        """One try, through its redirects; every hop passes the same checks."""
        url, headers = _parse(call.url), dict(call.headers)
        call.tries, call.wait_s = call.tries + 1, 0.0
        call.sink.seek(0)
        call.sink.truncate()
        for _ in range(self._max_redirects + 1):
            with _translated(url), contextlib.closing(self._send(url, headers)) as response:
                if response.status_code not in _REDIRECTS:
                    return _receive(response, url, call)
                target = _target(response, url)
            if _origin(target) != _origin(url):
                headers = {key: value for key, value in headers.items() if key.lower() in _CARRIED}
            elif not target.userinfo:
                target = target.copy_with(userinfo=url.userinfo)
            url = target
        message = f"more than {self._max_redirects} redirects: {redact(call.url)}"
        raise FetchRefused(message, url=redact(call.url), hint="give the address where they end")

    def _send(self, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
        sent = httpx.Headers(
            {"User-Agent": self._user_agent, "Accept": "*/*", "Accept-Encoding": "gzip"}
        )
        sent.update({key: value.encode("utf-8", "replace") for key, value in headers.items()})  # type: ignore[arg-type]
        if url.userinfo and "authorization" not in sent:
            pair = f"{url.username}:{url.password}".encode()
            sent["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        limits = httpx.Timeout(self._timeout_s).as_dict()
        return self._transport.handle_request(
            httpx.Request("GET", url, headers=sent, extensions={"timeout": limits})
        )


def redact(url: str) -> str:
    """The address without its secrets: userinfo, secret query values, secret path parts.

    Works on any text that holds addresses, also percent-encoded ones inside a query. Changing
    nothing twice: `redact(redact(u)) == redact(u)`.

    >>> redact("https://u:p@x.com/apikey/s3cret/fid/1?code=abc&page=2")
    'https://***@x.com/apikey/***/fid/1?code=***&page=2'
    """
    url = _USERINFO.sub(r"\1***\2", url)
    url = _PATH.sub(r"\1***", url)
    return _QUERY.sub(r"\1***", url)


def is_public(address: Address) -> bool:
    """True where the address belongs to the public internet, looked at through IPv6 wrappers
    (mapped, 6to4, NAT64). Teredo and all other special blocks (IANA registries) are not public."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL_V6 or address.scope_id:
            return False
    if any(address in block for block in _SPECIAL if block.version == address.version):
        return False
    return address.is_global and not address.is_multicast


class _Transport(httpx.HTTPTransport):
    """httpx over our backend. Used without `httpx.Client`, which would log whole addresses,
    keep cookies of one store for the next, and follow redirects by itself."""

    def __init__(self, backend: httpcore.NetworkBackend, trust: ssl.SSLContext | None) -> None:
        trust = trust or httpx.create_ssl_context(trust_env=False)
        super().__init__(verify=trust, trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust,
            max_connections=None,
            max_keepalive_connections=64,
            keepalive_expiry=5.0,
            network_backend=backend,
        )


class _PinnedBackend(httpcore.SyncBackend):
    """Resolves, checks every address, and connects to one of those checked."""

    def __init__(self, allowed: frozenset[str], resolver: Resolver) -> None:
        self._allowed = allowed
        self._resolver = resolver

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in self._addresses(host.lower().rstrip("."), port):
            limit = _left(timeout, httpcore.ConnectTimeout)
            try:
                stream = super().connect_tcp(address, port, limit, local_address, socket_options)
                return _Stream(stream)
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    def _addresses(self, host: str, port: int) -> list[str]:
        """Addresses of `host`, all checked. One bad address refuses the host: an honest store
        has no reason to publish a private one."""
        names = {host, f"[{host}]", f"{host}:{port}", f"[{host}]:{port}"}
        found = self._resolve(host, port)
        if self._allowed.isdisjoint(names) and not all(map(is_public, found)):
            raise FetchRefused(
                f"{host} has a private address: {', '.join(map(str, found))}",
                hint=f"if the server is yours, add {host!r} to the setting allow_hosts",
            )
        return list(dict.fromkeys(str(address) for address in found))

    def _resolve(self, host: str, port: int) -> list[Address]:
        with contextlib.suppress(ValueError):
            return [ipaddress.ip_address(host)]
        if re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", host) is None or len(host) > 253:
            raise FetchRefused(f"not a host name: {host[:80]!r}", hint="check the address")
        # 2130706433, 0x7f.1 and 0177.0.0.1 mean 127.0.0.1 to the C library.
        if re.fullmatch(r"\d+|0x[0-9a-f]*", host.rpartition(".")[2]):
            raise FetchRefused(f"not a plain IP address: {host!r}", hint="write it as four numbers")
        try:
            rows = self._resolver(host, port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            again = getattr(error, "errno", None) == socket.EAI_AGAIN
            message = f"the name {host} is not known"
            raise FetchFailed(message, retry=again, hint="check the address") from error
        return [ipaddress.ip_address(row[4][0]) for row in rows]


class _Stream(httpcore.NetworkStream):
    """A connection whose every step also ends at the deadline of the thread that uses it."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        limit = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, limit))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(timeout: float | None, late: type[httpcore.TimeoutException]) -> float:
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise late("the deadline has passed")
    return left if timeout is None else min(timeout, left)


def _parse(text: str) -> httpx.URL:
    """Raises FetchRefused for what is not a plain web address."""
    with contextlib.suppress(httpx.InvalidURL, ValueError):
        url = httpx.URL(text)
        if url.scheme in ("http", "https") and url.host and 0 < (url.port or 80) < 1 << 16:
            return url
    message = f"not a web address: {redact(text)[:200]!r}"
    raise FetchRefused(message, url=redact(text), hint="give an http:// or https:// address")


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _target(response: httpx.Response, url: httpx.URL) -> httpx.URL:
    location = response.headers.get("location", "")
    if not location:
        raise FetchFailed(f"{response.status_code} without a Location: {redact(str(url))}")
    with contextlib.suppress(ValueError):
        location = urljoin(str(url), location)
    return _parse(location)


@contextlib.contextmanager
def _translated(url: httpx.URL) -> Iterator[None]:
    """Foreign exceptions become ours; ours get the address."""
    shown = redact(str(url))
    try:
        yield
    except FetchError as error:
        error.url = error.url or shown
        raise
    except httpx.TimeoutException as error:
        raise FetchTimeout(f"took too long: {shown}", url=shown, retry=True) from error
    except (httpx.HTTPError, ssl.SSLError) as error:
        untrusted = "CERTIFICATE_VERIFY" in str(error)
        passing = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
        message = f"{redact(str(error)) or type(error).__name__}: {shown}"
        hint = "the store must mend its certificate" if untrusted else ""
        retry = passing and not untrusted
        raise FetchFailed(message, url=shown, retry=retry, hint=hint) from error


def _receive(response: httpx.Response, url: httpx.URL, call: _Call) -> Fetched:
    """Writes the decompressed body into the sink. Raises for every status but 2xx and 304."""
    status = response.status_code
    if status == 304:
        return _fetched(response, url)
    if not 200 <= status < 300 or status == 206:
        raise _failure(response, url, call)
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > call.max_bytes:
        raise _too_large(url, call.max_bytes)
    size = 0
    for piece in _decoded(response.iter_raw(), response.headers.get("content-encoding", "")):
        size += len(piece)
        if size > call.max_bytes:
            raise _too_large(url, call.max_bytes)
        call.sink.write(piece)
    return _fetched(response, url)


def _fetched(response: httpx.Response, url: httpx.URL) -> Fetched:
    kind, etag, modified = (
        response.headers.get(name, "") for name in ("content-type", "etag", "last-modified")
    )
    return Fetched(b"", response.status_code, kind, etag, modified, str(url))


def _failure(response: httpx.Response, url: httpx.URL, call: _Call) -> FetchFailed:
    status = response.status_code
    call.wait_s = _retry_after_s(response.headers.get("retry-after", ""))
    reason = f"{status} {httpx.codes.get_reason_phrase(status)}".strip()
    hint = "check the key or the password" if status in (401, 403) else ""
    return FetchFailed(f"{reason}: {redact(str(url))}", retry=status in _PASSING, hint=hint)


def _retry_after_s(value: str) -> float:
    """Seconds or an HTTP date (RFC 9110, 10.2.3) -> seconds from now, at most MAX_WAIT_S."""
    if value.isdecimal():
        return min(float(value), MAX_WAIT_S)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max(0.0, (when - datetime.now(UTC)).total_seconds()), MAX_WAIT_S)


def _too_large(url: httpx.URL, max_bytes: int) -> TooLarge:
    return TooLarge(f"more than {max_bytes} bytes: {redact(str(url))}", hint="raise the limit")


def _decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Undoes the Content-Encoding in pieces of bounded size, so that a bomb meets the byte cap
    before it fills the memory. We ask for gzip alone; anything else is refused."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        yield from chunks
    elif encoding in ("gzip", "x-gzip"):
        try:
            yield from _gunzipped(chunks)
        except zlib.error as error:
            raise FetchFailed("the server sent a broken gzip stream", retry=True) from error
    else:
        raise FetchFailed(f"the server sent an encoding we did not ask for: {encoding[:40]!r}")


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """All members of a gzip stream (RFC 1952); what follows the last one is ignored, as gzip does."""
    unzip, begun = zlib.decompressobj(31), False
    for chunk in chunks:
        rest = chunk
        while rest:
            if unzip.eof:
                if not rest.startswith(b"\x1f"):
                    break
                unzip = zlib.decompressobj(31)
            begun = True
            yield unzip.decompress(rest, _PIECE_BYTES)
            rest = unzip.unused_data if unzip.eof else unzip.unconsumed_tail
    if begun and not unzip.eof:
        yield unzip.flush()
        if not unzip.eof:
            raise FetchFailed("the server's gzip stream stops in the middle", retry=True)
