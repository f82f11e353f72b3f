"""Whose click it is: the host service's key, and passes that it hands to its users.

The host service knows the person; here there is only its opaque token. It proves itself with its key
(kept as a hash); a browser proves itself with a pass, the token signed by us for a while.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request

from lensback.errors import ConfigError, Error, Unauthorized
from lensback.ledger.clicks import USER_TOKEN, checked_user
from lensback.ledger.host import hash_of
from lensback.settings import Settings

COOKIE = "lensback_user"
HEADER = "x-user-token"
PASS_S = 30 * 86_400
"""A pass is good for as long."""
KEY_FILE = "secret.key"


def check_host(request: Request, settings: Settings) -> None:
    """Raises Unauthorized unless the request bears the host service's key."""
    if not settings.host_key_hash:
        raise Unauthorized("there is no host key yet", hint="run: lensback ledger host-key")
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not hmac.compare_digest(
        hash_of(key.strip()), settings.host_key_hash.lower()
    ):
        raise Unauthorized("wrong host key", hint="send Authorization: Bearer KEY")


def is_host(request: Request, settings: Settings) -> bool:
    """True where the request bears the host service's key."""
    try:
        check_host(request, settings)
    except Error:
        return False
    return True


def pass_for(folder: Path, token: str, now: int) -> str:
    """`token.until.signature`: lets its bearer be this user until then."""
    text = f"{checked_user(token)}.{now + PASS_S}"
    return f"{text}.{_signature(folder, text)}"


def may_remember(request: Request, settings: Settings) -> bool:
    """False where another site's page led here: it could have the visitor's later clicks counted
    for a user of its choice. Sites of `cors_origins` may."""
    if request.headers.get("sec-fetch-site", "none") != "cross-site":
        return True
    parts = urlsplit(request.headers.get("referer", ""))
    return f"{parts.scheme}://{parts.netloc}" in settings.cors_origins


def user_of_pass(folder: Path, text: str, now: int) -> str:
    """The token of a pass that is good; "" for every other text."""
    head, _, signature = text[:300].rpartition(".")
    token, _, until = head.rpartition(".")
    if not (USER_TOKEN.fullmatch(token) and until.isascii() and until.isdecimal()):
        return ""
    wanted = _signature(folder, head)
    good = hmac.compare_digest(signature.encode("utf-8", "replace"), wanted.encode())
    return token if good and now <= int(until[:15]) else ""


def user_of(request: Request, folder: Path, settings: Settings, now: int) -> str:
    """The user's token: from the host's own request, else from a pass (`?user=`, cookie).

    What is not good is nobody: a shopper with an old pass still gets to the store.
    """
    token = request.headers.get(HEADER, "")
    if token and USER_TOKEN.fullmatch(token):
        return token if is_host(request, settings) else ""
    given = (request.query_params.get("user", ""), request.cookies.get(COOKIE, ""))
    return next((user for text in given if text and (user := user_of_pass(folder, text, now))), "")


def signature(folder: Path, text: str) -> str:
    """Proves that we wrote a text: HMAC-SHA256 under the workspace's own key, hex."""
    return _signature(folder, text)


def same(one: str, other: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _signature(folder: Path, text: str) -> str:
    return hmac.new(_key(folder), text.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=8)
def _key(folder: Path) -> bytes:
    """The workspace's own key, made once; of two processes that make one, the first wins."""
    path = folder / KEY_FILE
    try:
        if not path.exists():
            partial = folder / f".{KEY_FILE}.{os.getpid()}.{secrets.token_hex(4)}"
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(partial, path)
            except FileExistsError:
                pass
            finally:
                partial.unlink()
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot use {path}: {error.strerror}", hint="check rights") from error
    if len(key) < 32:
        raise ConfigError(f"{path} is not a key", hint="remove it; passes are made anew")
    return key
