"""Secrets and what proves them: made, kept as hashes, compared, signed with. Nowhere else.

Keys of the API and of the host service, secrets and signatures of postbacks, passes of users, the
sessions of operators.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from lensback.durable import what_mends
from lensback.errors import ConfigError

KEY_FILE = "secret.key"
KEY_BYTES = 32
MAX_CHARS = 400
"""No token of ours is longer."""


def new_secret(prefix: str = "") -> str:
    """256 random bits as text, behind `prefix`: nobody guesses them."""
    return prefix + secrets.token_urlsafe(KEY_BYTES)


def digest(secret: str) -> str:
    """What is kept of a secret: SHA-256, hex. One that nobody guesses needs no slow hash."""
    return hashlib.sha256(_bytes(secret)).hexdigest()


def same(given: str, wanted: str) -> bool:
    """Whether two texts are equal, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(_bytes(given), _bytes(wanted))


def signature(key: str | bytes, text: str, kind: str = "sha256") -> str:
    """HMAC of a text under a key, hex; SHA-256 unless said."""
    return hmac.new(_bytes(key), _bytes(text), kind).hexdigest()


def bearer(headers: Mapping[str, str]) -> str:
    """The secret of `Authorization: Bearer SECRET`, or empty."""
    kind, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip()[:MAX_CHARS] if kind.lower() == "bearer" else ""


def issued(key: bytes, name: str, until: int, purpose: str = "{}") -> str:
    """`name.until.signature`: lets its bearer be `name` until then (UTC epoch seconds).

    `purpose` holds `{}` for what is signed: what was issued for one is good for no other.
    """
    said = f"{name}.{until}"
    return f"{said}.{signature(key, purpose.format(said))}"


def bearer_of(
    key: bytes, text: str, now: int, purpose: Callable[[str], str] = lambda _name: "{}"
) -> str:
    """The name of an issued text that is good now; empty for every other text. `purpose` tells
    what one of that name is issued for, empty: for nothing."""
    said, _, signed = text[:MAX_CHARS].rpartition(".")
    name, _, until = said.rpartition(".")
    if not (name and until.isascii() and until.isdecimal() and now <= int(until[:15])):
        return ""
    wanted = purpose(name)
    return name if wanted and same(signed, signature(key, wanted.format(said))) else ""


@lru_cache(maxsize=8)
def own_key(folder: Path) -> bytes:
    """The workspace's own key, made once; of two processes that make one, the first wins.

    Raises ConfigError where it cannot be read or made.
    """
    path = folder / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot use {path}: {error.strerror}", hint=what_mends(error)) from error
    if len(key) < KEY_BYTES:
        raise ConfigError(f"{path} is not a key", hint="remove it; passes are made anew")
    return key


def _make(path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink()


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")
