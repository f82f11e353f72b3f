"""API keys: names, scopes and hashes in one small file of the workspace. A key is shown once."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from lensback import tokens
from lensback.checked import checked
from lensback.durable import replace_file, what_mends
from lensback.errors import BadQuery, StateError, UnknownName
from lensback.livefile import LiveFile

SCOPES = {"search": "pk", "admin": "sk", "metrics": "mk"}
"""Scope -> prefix: a publishable key may stand in a page and only searches; a secret one may all; one
of metrics reads `/metrics` and nothing else."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, slots=True)
class Key:
    """One key as it is kept: what it may do, and the SHA-256 of its secret."""

    name: str
    scope: str
    hash: str
    created_at: int


def keyring(path: Path) -> LiveFile[tuple[Key, ...]]:
    """Every key, as the file is now; none where there is no file. `get` raises ConfigError for a
    file that is broken from the start."""
    return LiveFile(partial(_parsed, path), path)


def load(path: Path) -> tuple[Key, ...]:
    """Every key; none where there is no file. Raises ConfigError for a broken one."""
    return keyring(path).get()


def _parsed(path: Path, data: bytes | None) -> tuple[Key, ...]:
    told = f"{path.name} cannot be read: "
    return checked(tuple[Key, ...], data or b"[]", told, hint="restore or remove it")


def add(path: Path, name: str, scope: str) -> str:
    """Makes a key and returns its secret, which is kept nowhere. Raises BadQuery."""
    if scope not in SCOPES:
        raise BadQuery(f"no such scope: {scope!r}", hint=f"use {' or '.join(SCOPES)}")
    if not _NAME.fullmatch(name):
        raise BadQuery(f"not a name for a key: {name!r}", hint="use letters, digits, dots, dashes")
    keys = load(path)
    if any(key.name == name for key in keys):
        raise BadQuery(
            f"there is a key {name!r} already", hint="remove it first, or use another name"
        )
    secret = tokens.new_secret(f"{SCOPES[scope]}_")
    _save(path, [*keys, Key(name, scope, tokens.digest(secret), int(time.time()))])
    return secret


def remove(path: Path, name: str) -> None:
    """Forgets a key; it is refused from the next request on."""
    keys = load(path)
    if all(key.name != name for key in keys):
        raise UnknownName("key", name, [key.name for key in keys])
    _save(path, [key for key in keys if key.name != name])


def find(keys: Iterable[Key], secret: str) -> Key | None:
    """The key of a secret. Every one is compared, so that time tells nothing."""
    wanted, found = tokens.digest(secret), None
    for key in keys:
        if tokens.same(key.hash, wanted):
            found = key
    return found


def _save(path: Path, keys: Iterable[Key]) -> None:
    text = json.dumps([asdict(key) for key in keys], indent=2) + "\n"

    try:
        replace_file(path, lambda partial: partial.write_text(text, "utf-8"), private=True)
    except OSError as error:
        raise StateError(
            f"cannot write {path}: {error.strerror}", hint=what_mends(error)
        ) from error
