"""Fetches over HTTP and HTTPS; and files, resumably, also over FTP."""

from __future__ import annotations

import base64
import contextlib
import io
import math
import os
import random
import re
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import BinaryIO, Self
from urllib.parse import urljoin, urlsplit

import httpx

from lensback.errors import Error, FetchError, FetchFailed, FetchRefused, FetchTimeout, TooLarge
from lensback.net import ftp, pace
from lensback.net.addresses import Guard, Resolver
from lensback.net.bodies import MAX_API_WAIT_S, MAX_WAIT_S, coding, decoded, retry_after_s
from lensback.net.fetched import Fetched
from lensback.net.pace import Pace
from lensback.net.redaction import redact
from lensback.net.spool import Spool, disk_error
from lensback.net.transport import Transport

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({429, 500, 502, 503, 504})
_CARRIED = frozenset(
    {
        *("accept", "accept-language", "connection"),
        *("if-none-match", "if-modified-since", "if-range", "range"),
    }
)
"""Headers of the caller that may follow a redirect to another host; keys and cookies may not."""
FTP_SCHEMES = ("ftp", "ftps")


@dataclass(slots=True)
class _Call:
    """One fetch while it runs."""

    url: str
    headers: Mapping[str, str]
    max_bytes: int
    pace: Pace
    receive: Callable[[httpx.Response, httpx.URL, _Call], Fetched]
    spool: Spool | None = None
    body: bytes | None = None
    """Sent with POST; None: GET."""
    max_wait_s: float = MAX_WAIT_S
    tries: int = 0
    wait_s: float = 0.0
    """What the last answer's Retry-After asks for."""


class Fetcher:
    """One pool of connections, used from any number of threads.

    No proxies, no cookies, no environment. Only `allow_hosts` (`127.0.0.1`, `shop:8100`,
    `10.1.0.0/16`) may have a private address. `ssl_context` replaces the usual trust in the
    certifi roots. `min_rate`: bytes a second below which `spool` gives a server up, measured over
    windows of the time-out. Setting `halt` ends every fetch under way within half a second.
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
        min_rate: float = 0.0,
        resolver: Resolver = socket.getaddrinfo,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.guard = Guard(allow_hosts, resolver)
        self.halt = Event()
        self.user_agent = user_agent
        self._transport = Transport(self.guard, ssl_context)
        self._timeout_s = timeout_s
        self._retries = retries
        self._backoff_s = backoff_s
        self._max_redirects = max_redirects
        self._min_rate = min_rate

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the pool of connections."""
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
        Raises TooLarge beyond `max_bytes`, Stopped once `halt` is set, and FetchError:
        FetchTimeout, FetchRefused, FetchFailed.
        """
        sink = io.BytesIO()
        call = self._call(url, headers, max_bytes, deadline_s or 2 * self._timeout_s, into(sink))
        return replace(self._run(call), body=sink.getvalue())

    def ask(
        self,
        url: str,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        deadline_s: float | None = None,
    ) -> Fetched:
        """An API's answer: GET, or POST of `body`, with our keys in `headers`.

        Like `fetch`, but patient: a Retry-After is waited for up to MAX_API_WAIT_S, and a POST
        is tried again too, so it must only ask. A redirect of a POST is refused.
        """
        sink = io.BytesIO()
        call = self._call(url, headers, max_bytes, deadline_s or 2 * self._timeout_s, into(sink))
        call.body, call.max_wait_s = body, MAX_API_WAIT_S
        return replace(self._run(call), body=sink.getvalue())

    def download(
        self,
        url: str,
        path: Path,
        *,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        deadline_s: float | None = None,
    ) -> Fetched:
        """Fetches a body into `path`: whole and on disk, or not at all. `body` of what comes back
        is empty.

        After a 304 `path` is as it was. `deadline_s` is ten times the time-out by default.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.part")
        limit_s = deadline_s or 10 * self._timeout_s
        try:
            with part.open("xb") as sink:
                fetched = self._run(self._call(url, headers, max_bytes, limit_s, into(sink)))
                sink.flush()
                os.fsync(sink.fileno())
            if fetched.status != 304:
                part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return fetched

    def spool(
        self,
        url: str,
        path: Path,
        *,
        max_bytes: int,
        etag: str = "",
        last_modified: str = "",
        deadline_s: float | None = None,
    ) -> Fetched:
        """A large file into `path`, resumably: what came stays there over errors, kills and runs,
        and the next call asks only for the rest where the server still has that version.

        The bytes are kept as they came, a Content-Encoding of gzip included, and `max_bytes` is
        theirs. Status 304: the version of `etag` and `last_modified` is still the newest and
        nothing lies at `path`. `http`, `https`, `ftp`, `ftps`. Raises as `fetch`, and StateError
        for a full disk.
        """
        spool = Spool(path, url)
        newer = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        call = self._call(
            url,
            {name: value for name, value in newer.items() if value},
            max_bytes,
            deadline_s or 100 * self._timeout_s,
            _into_spool,
        )
        call.pace.min_rate, call.spool = self._min_rate, spool
        scheme = urlsplit(url.strip()).scheme.lower()
        fetched = self._run(call, partial(self._ftp, spool) if scheme in FTP_SCHEMES else None)
        kept = spool.kept
        if fetched.status != 304:
            spool.finish()
            # what came last may be a part, and says less of it
            return replace(fetched, content_type=kept.content_type or fetched.content_type)
        if kept.whole:  # a run was killed between download and reading
            return replace(
                fetched,
                status=200,
                content_type=kept.content_type,
                etag=kept.etag,
                last_modified=kept.last_modified,
            )
        spool.drop()
        return fetched

    def _call(
        self,
        url: str,
        headers: Mapping[str, str] | None,
        max_bytes: int,
        limit_s: float,
        receive: Callable[[httpx.Response, httpx.URL, _Call], Fetched],
    ) -> _Call:
        clock = Pace(time.monotonic() + limit_s, window_s=self._timeout_s, halt=self.halt)
        return _Call(url.strip(), headers or {}, max_bytes, clock, receive)

    def _run(self, call: _Call, attempt: Callable[[_Call], Fetched] | None = None) -> Fetched:
        """Tries until it works, the error is final, or tries or time are used up."""
        attempt = attempt or self._follow
        token = pace.current.set(call.pace)
        try:
            while True:
                call.tries, call.wait_s = call.tries + 1, 0.0
                call.pace.start()
                try:
                    return attempt(call)
                except FetchError as error:
                    pause_s = self._pause_s(call)
                    late = time.monotonic() + pause_s >= call.pace.deadline
                    if not error.retry or call.pace.slow or call.tries > self._retries or late:
                        raise
                call.pace.pause(pause_s)
        finally:
            pace.current.reset(token)

    def _pause_s(self, call: _Call) -> float:
        """Doubling, with jitter so that many threads do not come back at once."""
        jitter = random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        return max(call.wait_s, math.ldexp(self._backoff_s, call.tries - 1) * jitter)

    def _ftp(self, spool: Spool, call: _Call) -> Fetched:
        known = call.headers.get("If-None-Match", "")
        return ftp.receive(call.url, spool, self.guard, call.max_bytes, self._timeout_s, known)

    def _follow(self, call: _Call) -> Fetched:
        """One try, through its redirects; every hop passes the same checks."""
        url, headers = parse(call.url), dict(call.headers)
        if call.spool:
            # A connection of its own: what one store's server sends behind its answer must not be
            # taken for another's where both share a host.
            headers |= {"Connection": "close", **call.spool.headers()}
        for _ in range(self._max_redirects + 1):
            with (
                _translated(url),
                contextlib.closing(self._send(url, headers, call.body)) as response,
            ):
                if response.status_code == 416 and call.spool and "Range" in headers:
                    call.spool.drop()  # our part is longer than what the server has now
                    headers = {k: v for k, v in headers.items() if k not in {"Range", "If-Range"}}
                    continue
                if response.status_code not in _REDIRECTS:
                    return call.receive(response, url, call)
                if call.body is not None:
                    message = f"a question must not be redirected: {redact(str(url))}"
                    raise FetchRefused(message, url=redact(str(url)), hint="ask at the new address")
                target = _target(response, url)
            if _origin(target) != _origin(url):
                headers = {key: value for key, value in headers.items() if key.lower() in _CARRIED}
            elif not target.userinfo:
                target = target.copy_with(userinfo=url.userinfo)
            url = target
        message = f"more than {self._max_redirects} redirects: {redact(call.url)}"
        raise FetchRefused(message, url=redact(call.url), hint="give the address where they end")

    def _send(
        self, url: httpx.URL, headers: Mapping[str, str], body: bytes | None = None
    ) -> httpx.Response:
        sent = httpx.Headers(
            {"User-Agent": self.user_agent, "Accept": "*/*", "Accept-Encoding": "gzip"}
        )
        sent.update({key: value.encode("utf-8", "replace") for key, value in headers.items()})  # type: ignore[arg-type]
        if url.userinfo and "authorization" not in sent:
            pair = f"{url.username}:{url.password}".encode()
            sent["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        limits = httpx.Timeout(self._timeout_s).as_dict()
        return self._transport.handle_request(
            httpx.Request(
                "GET" if body is None else "POST",
                url,
                headers=sent,
                content=body,
                extensions={"timeout": limits},
            )
        )


_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def parse(text: str) -> httpx.URL:
    """Raises FetchRefused for what is not a plain web address."""
    with contextlib.suppress(httpx.InvalidURL, ValueError):
        url = httpx.URL(_STRAY_PERCENT.sub("%25", text))
        if url.scheme in ("http", "https") and url.host and 0 < (url.port or 80) < 1 << 16:
            return url
    message = f"not a web address: {redact(text)[:200]!r}"
    raise FetchRefused(message, url=redact(text), hint="give an http:// or https:// address")


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


def _target(response: httpx.Response, url: httpx.URL) -> httpx.URL:
    location = _location(response)
    if not location:
        raise FetchFailed(f"{response.status_code} without a Location: {redact(str(url))}")
    with contextlib.suppress(ValueError):
        location = urljoin(str(url), location)
    return parse(location)


def _location(response: httpx.Response) -> str:
    """As browsers read it: raw bytes are UTF-8, else they are sent back as they came; a backslash
    before the query is a slash."""
    raw = next((value for name, value in response.headers.raw if name.lower() == b"location"), b"")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw)
    path, mark, query = text.strip().partition("?")
    return path.replace("\\", "/") + mark + query


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
        why = (
            f" ({pace.now().min_rate:.0f} bytes a second are asked for)" if pace.now().slow else ""
        )
        raise FetchTimeout(f"took too long{why}: {shown}", url=shown, retry=True) from error
    except (httpx.HTTPError, ssl.SSLError) as error:
        untrusted = "CERTIFICATE_VERIFY" in str(error)
        passing = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
        message = f"{redact(str(error)) or type(error).__name__}: {shown}"
        hint = "the store must mend its certificate" if untrusted else ""
        retry = passing and not untrusted
        raise FetchFailed(message, url=shown, retry=retry, hint=hint) from error


def into(sink: BinaryIO) -> Callable[[httpx.Response, httpx.URL, _Call], Fetched]:
    """Receives the decompressed body into `sink`. Raises for every status but 2xx and 304."""

    def receive(response: httpx.Response, url: httpx.URL, call: _Call) -> Fetched:
        sink.seek(0)
        sink.truncate()
        if response.status_code == 304:
            return _fetched(response, url, 0)
        if not 200 <= response.status_code < 300 or response.status_code == 206:
            raise _failure(response, url, call)
        _check_length(response, url, call.max_bytes)
        size = 0
        for piece in decoded(response.iter_raw(), response.headers.get("content-encoding", "")):
            size += len(piece)
            if size > call.max_bytes:
                raise too_large(str(url), call.max_bytes)
            sink.write(piece)
        return _fetched(response, url, size)

    return receive


def _into_spool(response: httpx.Response, url: httpx.URL, call: _Call) -> Fetched:
    """Appends the body as it comes; begins anew where the server does."""
    spool, status = call.spool, response.status_code
    if spool is None:
        raise Error("no spool")
    if status == 304:
        return _fetched(response, url, 0)
    encoding = coding(response.headers.get("content-encoding", ""))
    etag, modified = (response.headers.get(name, "") for name in ("etag", "last-modified"))
    inflate = False
    if status == 206:
        if not spool.fits(response.headers.get("content-range", ""), etag, encoding):
            spool.drop()
            raise FetchFailed("the server sent another part than the one asked for", retry=True)
    elif 200 <= status < 300:
        # Nobody unpacks this later, and a part of what is unpacked here cannot be gone on with.
        inflate = not {"", "gzip"}.issuperset(encoding.split(", "))
        kind = response.headers.get("content-type", "")
        spool.begin("" if inflate else etag, "" if inflate else modified, encoding, kind)
    else:
        raise _failure(response, url, call)
    length = _check_length(response, url, call.max_bytes)
    spool.room_for(length)
    came, had = 0, spool.size
    try:
        with spool.path.open("ab") as sink:
            for piece in decoded(response.iter_raw(), encoding if inflate else ""):
                came += len(piece)
                if had + came > call.max_bytes:
                    raise too_large(str(url), call.max_bytes)
                sink.write(piece)
    except OSError as error:
        spool.drop()  # its room is needed more than its bytes
        raise disk_error(error) from error
    except TooLarge:
        spool.drop()
        raise
    return _fetched(response, url, came)


def _check_length(response: httpx.Response, url: httpx.URL, max_bytes: int) -> int:
    length = response.headers.get("content-length", "")
    size = int(length) if length.isdecimal() and len(length) < 20 else 0
    if size > max_bytes:
        raise too_large(str(url), max_bytes)
    return size


def _fetched(response: httpx.Response, url: httpx.URL, size: int) -> Fetched:
    kind, etag, modified = (
        response.headers.get(name, "") for name in ("content-type", "etag", "last-modified")
    )
    headers = dict(response.headers)
    return Fetched(b"", response.status_code, kind, etag, modified, str(url), headers, size)


_WAITS = ("retry-after", "x-ratelimit-retry-after")
"""Headers that ask for a pause: HTTP's own (RFC 9110), and Partnerize's, which sends no other."""
_HINTS = dict.fromkeys((401, 403), "check the key or the password") | dict.fromkeys(
    (404, 410), "nothing is at this address any more, or it is misspelt: copy it anew"
)


def _failure(response: httpx.Response, url: httpx.URL, call: _Call) -> FetchFailed:
    status = response.status_code
    wait = next((response.headers[name] for name in _WAITS if name in response.headers), "")
    call.wait_s = retry_after_s(wait, call.max_wait_s)
    reason = f"{status} {httpx.codes.get_reason_phrase(status)}".strip()
    hint = _HINTS.get(status, "")
    given = url.userinfo or "authorization" in map(str.lower, call.headers)
    if (
        status == 401
        and not given
        and "basic" in response.headers.get("www-authenticate", "").lower()
    ):
        hint = (
            "it asks for a user and a password: give them in the address, https://USER:PASSWORD@…"
        )
    passing = status in _PASSING
    message = f"{reason}: {redact(str(url))}"
    failure = FetchFailed(message, retry=passing, hint=hint, status=status)
    failure.wait_s = retry_after_s(wait, math.inf)
    return failure


def too_large(url: str, max_bytes: int) -> TooLarge:
    """The error for a body of more than `max_bytes`."""
    return TooLarge(f"more than {max_bytes} bytes: {redact(url)}", hint="raise the limit")
