"""FTP and FTPS (explicit TLS) into a spool: passive, pinned to a checked address, resumable."""

from __future__ import annotations

import ftplib
import ssl
from urllib.parse import unquote, urlsplit

from lensback.errors import FetchError, FetchFailed, FetchRefused, FetchTimeout, TooLarge
from lensback.net import pace
from lensback.net.addresses import Guard
from lensback.net.fetched import Fetched
from lensback.net.redaction import redact
from lensback.net.spool import Spool, disk_error

_BLOCK_BYTES = 64 << 10


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
    except (ftplib.Error, EOFError, ssl.SSLError, ConnectionError, OSError) as error:
        why = redact(str(error)) or type(error).__name__
        raise FetchFailed(f"{why}: {shown}", url=shown, retry=True) from error


def _connected(url: str, guard: Guard, timeout_s: float) -> ftplib.FTP:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or 21
    except ValueError:
        host, port = "", 0
    if not host:
        raise FetchRefused(f"not an FTP address: {redact(url)[:200]!r}", hint="check the address")
    if any(sign in unquote(url) for sign in "\r\n"):
        raise FetchRefused("a line break in an FTP address", hint="check the address")
    secure = parts.scheme.lower() == "ftps"
    failure: OSError | None = None
    for address in guard.addresses(host, port):
        trust = ssl.create_default_context() if secure else None
        ftp = ftplib.FTP_TLS(context=trust) if trust else ftplib.FTP()  # noqa: S321 - what stores have
        try:
            ftp.connect(address, port, pace.now().left(timeout_s))
        except OSError as error:
            ftp.close()
            failure = error
            continue
        ftp.host = host  # the certificate is of the name; data goes to the pinned peer anyway
        try:
            ftp.login(unquote(parts.username or "anonymous"), unquote(parts.password or "guest@"))
            if isinstance(ftp, ftplib.FTP_TLS):
                ftp.prot_p()
        except BaseException:
            ftp.close()
            raise
        return ftp
    raise failure or FetchFailed(f"{host} has no address", hint="check the address")


def _receive(ftp: ftplib.FTP, url: str, spool: Spool, max_bytes: int, known: str) -> Fetched:
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
    came = _body(ftp, path, spool, rest, max_bytes)
    if size is not None and rest + came != size:
        raise FetchFailed(f"{rest + came} of {size} bytes came: {redact(url)}", retry=True)
    return Fetched(b"", 200, "", etag, "", url, size=came)


def _body(ftp: ftplib.FTP, path: str, spool: Spool, rest: int, max_bytes: int) -> int:
    clock, came = pace.now(), 0
    with ftp.transfercmd(f"RETR {path}", rest or None) as data, spool.path.open("ab") as sink:
        while True:
            data.settimeout(clock.left(ftp.timeout))
            block = data.recv(_BLOCK_BYTES)
            if not block:
                break
            came += len(block)
            clock.note(len(block))
            if rest + came > max_bytes:
                raise TooLarge(f"more than {max_bytes} bytes", hint="raise the limit")
            try:
                sink.write(block)
            except OSError as error:
                spool.drop()
                raise disk_error(error) from error
    ftp.voidresp()
    return came


def _etag(ftp: ftplib.FTP, path: str, size: int | None) -> str:
    """Time and size of the file as the server tells them; empty where it does not."""
    try:
        stamp = ftp.voidcmd(f"MDTM {path}").rpartition(" ")[2]
    except ftplib.error_perm:
        return ""
    return f'"{stamp}-{size}"' if size is not None and stamp.isdigit() else ""
