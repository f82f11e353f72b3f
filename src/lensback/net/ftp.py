"""FTP and FTPS (explicit TLS) into a spool: passive, pinned to a checked address, resumable.

A server may greet without end, drip, answer with megabytes or point its data connection elsewhere.
So every reply has a limit in bytes and in time, every wait ends at the fetch's pace and feels a
stop, and data comes from the host that was asked, above the ports of its other services.
"""

from __future__ import annotations

import contextlib
import ftplib
import re
import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from lensback.errors import FetchError, FetchFailed, FetchRefused, FetchTimeout, TooLarge
from lensback.net import pace
from lensback.net.addresses import Guard
from lensback.net.fetched import Fetched
from lensback.net.redaction import redact
from lensback.net.spool import Spool, disk_error

_BLOCK_BYTES = 64 << 10
MAX_REPLY_BYTES = 16 << 10
"""Of one reply, greeting and help text included (RFC 959 sets no limit)."""
_STAMP = re.compile(r"\d{14}(\.\d{1,9})?", re.ASCII)
SYSTEM_PORTS = 1024
"""Below are a host's services (RFC 6335); no server listens there for data in passive mode."""


def receive(
    url: str,
    spool: Spool,
    guard: Guard,
    max_bytes: int,
    timeout_s: float,
    etag: str,
) -> Fetched:
    """One try. Modification time and size stand for an ETag; status 304 where they are those of
    `etag` or of a whole file that is here already."""
    shown = redact(url)
    try:
        with _connected(url, guard, timeout_s) as ftp:
            return _receive(ftp, url, spool, max_bytes, etag)
    except FetchError as error:
        error.url = error.url or shown
        raise
    except (TimeoutError, pace.Late) as error:
        raise FetchTimeout(f"took too long: {shown}", url=shown, retry=True) from error
    except ftplib.error_perm as error:
        hint = "check the path, the name and the password"
        raise FetchFailed(f"{redact(str(error))}: {shown}", url=shown, hint=hint) from error
    except (ftplib.Error, EOFError, OSError, ValueError, OverflowError) as error:
        # ftplib reads numbers out of replies without looking at them: ValueError, OverflowError
        why = redact(str(error)) or type(error).__name__
        raise FetchFailed(f"{why}: {shown}", url=shown, retry=True) from error


class _Wary(ftplib.FTP_TLS):
    """ftplib's protocol over reads of our own. `secure`: log in over TLS only."""

    def __init__(self, timeout_s: float, secure: ssl.SSLContext | None) -> None:
        super().__init__(context=secure)
        self._secure = secure is not None
        self.timeout_s = timeout_s
        self._came = bytearray()
        self._reply_bytes = 0
        self._reply_end = 0.0

    def login_as(self, user: str, password: str) -> None:
        """Logs in; over TLS, where that was asked for, the data too."""
        self.login(user, password, secure=self._secure)
        if self._secure:
            self.prot_p()

    def auth(self) -> str:
        """AUTH TLS. What came in the clear behind its answer is no answer to what is asked over
        TLS (CVE-2021-3618 and its kind)."""
        answer = super().auth()
        if self._came:
            raise FetchFailed("more came before TLS than was asked for")
        return answer

    def getmultiline(self) -> str:
        """One reply within its limits. Its end is the first of two bounds: bytes, and the time-out
        as a whole, so that a line now and then does not hold us."""
        self._reply_bytes, self._reply_end = 0, time.monotonic() + self.timeout_s
        lines = [self.getline()]
        code, more = lines[0][:3], lines[0][3:4] == "-"
        while more:
            lines.append(self.getline())
            more = lines[-1][:3] != code or lines[-1][3:4] == "-"
        return "\n".join(lines)

    def getline(self) -> str:
        """The next line of a reply, without its end."""
        while (end := self._came.find(b"\n")) < 0:
            if len(self._came) + self._reply_bytes > MAX_REPLY_BYTES:
                raise FetchFailed(f"a reply of more than {MAX_REPLY_BYTES} bytes")
            block = received(self._connection(), 1 << 12, self._reply_end)
            if not block:
                raise EOFError("the server hung up")
            self._came += block
        line = bytes(self._came[:end])
        del self._came[: end + 1]
        self._reply_bytes += end + 1
        if self._reply_bytes > MAX_REPLY_BYTES:
            raise FetchFailed(f"a reply of more than {MAX_REPLY_BYTES} bytes")
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def putline(self, line: str) -> None:
        """Sends one command."""
        self._connection().settimeout(pace.now().left(self.timeout_s))
        super().putline(line)

    def _connection(self) -> socket.socket:
        if self.sock is None:
            raise EOFError("the server hung up")
        return self.sock

    def makepasv(self) -> tuple[str, int]:
        """Where data comes from: always the host we are connected to, whatever PASV says (many a
        server behind NAT tells an address of its own net)."""
        host, port = super().makepasv()
        if not SYSTEM_PORTS <= port < 1 << 16:
            raise FetchFailed(f"data would come from port {port}")
        self.timeout = pace.now().left(self.timeout_s)  # of the connection that follows
        return host, port


def received(sock: socket.socket, size: int, end: float) -> bytes:
    """What comes next, empty at the end of the stream. Raises TimeoutError at `end`, Late and
    Stopped as the fetch's pace does, within half a second."""
    clock = pace.now()
    while True:
        left_s = end - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        sock.settimeout(max(0.001, min(pace.SLICE_S, clock.left(left_s))))
        with contextlib.suppress(TimeoutError):
            return sock.recv(size)


@contextlib.contextmanager
def _connected(url: str, guard: Guard, timeout_s: float) -> Iterator[_Wary]:
    ftp = _login(url, guard, timeout_s)
    try:
        yield ftp
        with contextlib.suppress(OSError):
            ftp.putline("QUIT")  # its answer is nothing to wait for
    finally:
        ftp.close()


def _login(url: str, guard: Guard, timeout_s: float) -> _Wary:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or 21
    except ValueError:
        host, port = "", 0
    if not host:
        raise FetchRefused(f"not an FTP address: {redact(url)[:200]!r}", hint="check the address")
    if any(sign in unquote(url) for sign in "\r\n"):
        raise FetchRefused("a line break in an FTP address", hint="check the address")
    trust = ssl.create_default_context() if parts.scheme.lower() == "ftps" else None
    failure: OSError | None = None
    for address in guard.addresses(host, port):
        ftp = _Wary(timeout_s, trust)
        try:
            try:
                ftp.connect(address, port, pace.now().left(timeout_s))
            except OSError as error:
                failure = error
                ftp.close()
                continue
            ftp.host = host  # the certificate is of the name; data goes to the pinned peer anyway
            ftp.login_as(
                unquote(parts.username or "anonymous"), unquote(parts.password or "guest@")
            )
        except BaseException:
            ftp.close()
            raise
        return ftp
    raise failure or FetchFailed(f"{host} has no address", hint="check the address")


def _receive(ftp: _Wary, url: str, spool: Spool, max_bytes: int, known: str) -> Fetched:
    path = unquote(urlsplit(url).path).lstrip("/")
    ftp.voidcmd("TYPE I")
    size = ftp.size(path)
    etag = _etag(ftp, path, size)
    known = spool.kept.etag if spool.kept.whole else known
    if etag and etag == known:
        return Fetched(b"", 304, "", etag, "", url)
    if size is not None and size > max_bytes:
        raise TooLarge(f"more than {max_bytes} bytes: {redact(url)}", hint="raise the limit")
    rest = spool.size if etag and etag == spool.kept.etag and not spool.kept.whole else 0
    if not rest:
        spool.begin(etag, "", "")
    spool.room_for((size or 0) - rest)
    came = _body(ftp, path, spool, rest, max_bytes if size is None else size, max_bytes)
    if size is not None and rest + came != size:
        raise FetchFailed(f"{rest + came} of {size} bytes came: {redact(url)}", retry=True)
    return Fetched(b"", 200, "", etag, "", url, size=came)


def _body(ftp: _Wary, path: str, spool: Spool, rest: int, size: int, max_bytes: int) -> int:
    """Bytes that came behind `rest`. Ends a server that sends more than the `size` it told of."""
    clock, came = pace.now(), 0
    with ftp.transfercmd(f"RETR {path}", rest or None) as data, spool.path.open("ab") as sink:
        clock.start()  # what replies took is no fault of the data
        while block := received(data, _BLOCK_BYTES, time.monotonic() + ftp.timeout_s):
            came += len(block)
            clock.note(len(block))
            if rest + came > max_bytes:
                raise TooLarge(f"more than {max_bytes} bytes", hint="raise the limit")
            if rest + came > size:
                spool.drop()
                raise FetchFailed(f"more came than the {size} bytes it told of", retry=True)
            try:
                sink.write(block)
            except OSError as error:
                spool.drop()
                raise disk_error(error) from error
    ftp.voidresp()
    return came


def _etag(ftp: _Wary, path: str, size: int | None) -> str:
    """Time and size of the file as the server tells them; empty where it does not."""
    try:
        stamp = ftp.voidcmd(f"MDTM {path}").rpartition(" ")[2]
    except ftplib.error_perm:
        return ""
    return f'"{stamp}-{size}"' if size is not None and _STAMP.fullmatch(stamp) else ""
