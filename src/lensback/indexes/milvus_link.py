"""The line to a Milvus: its address and options, the client, and its failures as ours."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from lensback.errors import Away, ConfigError, MissingExtra, StateError

PORT = 19530
KINDS = {
    "HNSW": {"M": 16, "efConstruction": 200},
    "IVF_SQ8": {"nlist": 1024},
    "DISKANN": {},
}
"""Indexes that Milvus may build, and how. HNSW holds whole vectors in memory; IVF_SQ8 a quarter
of it, its similarities are rounded; DISKANN holds them on disk."""
_NOT_FOUND = 100
_NOT_LOADED = 101
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_HINT = "use milvus://host:19530/collection, for example with ?shards=2&replicas=2"


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of `milvus://[user:password@]host[:port]/collection?option=value`."""

    host: str
    port: int
    collection: str
    token: str = ""
    database: str = ""
    tls: bool = False
    shards: int = 1
    """Write channels of a collection."""
    replicas: int = 1
    """Copies in the memory of as many groups of query nodes."""
    kind: str = "HNSW"
    timeout_s: float = 10.0
    """For one search with all its tries, over a query node that was lost."""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises ConfigError for what is no such address."""
        parts = urlsplit(url)
        name = parts.path.strip("/")
        if parts.scheme != "milvus" or not parts.hostname or not _NAME.fullmatch(name):
            raise ConfigError(f"not the address of a Milvus index: {_shown(url)!r}", hint=_HINT)
        secret = unquote(parts.username or "")
        if parts.password:
            secret += f":{unquote(parts.password)}"
        try:
            options = _options(dict(parse_qsl(parts.query, strict_parsing=bool(parts.query))))
            return cls(parts.hostname, parts.port or PORT, name, secret, **options)
        except (ValueError, KeyError) as error:
            raise ConfigError(f"not an option of a Milvus index: {error}", hint=_HINT) from error

    @property
    def uri(self) -> str:
        """The http or https address that pymilvus connects to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls else ''}://{host}:{self.port}"


def _shown(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//***@", url)


def _options(given: dict[str, str]) -> dict[str, Any]:
    read: dict[str, Callable[[str], object]] = {
        "database": str, "tls": lambda text: text in {"1", "true", "yes"}, "shards": _count,
        "replicas": _count, "kind": _kind, "timeout_s": _seconds,
    }  # fmt: skip
    return {key: read[key](value) for key, value in given.items()}


def _count(text: str) -> int:
    if not 1 <= int(text) <= 256:
        raise ValueError(f"{text} is not 1 to 256")
    return int(text)


def _kind(text: str) -> str:
    if text.upper() not in KINDS:
        raise ValueError(f"kind {text}; known: {', '.join(KINDS)}")
    return text.upper()


def _seconds(text: str) -> float:
    if not 0 <= float(text) <= 3600:
        raise ValueError(f"{text} is not 0 to 3600 seconds")
    return float(text)


def width_of(kind: str, ef: int) -> dict[str, int]:
    """How far one search looks, in the words of the index kind."""
    if kind == "IVF_SQ8":
        return {"nprobe": max(1, min(1024, ef // 4))}
    return {"search_list" if kind == "DISKANN" else "ef": ef}


def name_part(fingerprint: str) -> str:
    """A fingerprint as a part of a collection's name: letters, digits and underscores only."""
    plain = re.sub(r"[^A-Za-z0-9]", "_", fingerprint)
    if plain == fingerprint:
        return plain
    return f"{plain}_{blake2b(fingerprint.encode(), digest_size=4).hexdigest()}"


class MilvusLink:
    """A client that is opened when it is first needed. Thread-safe."""

    def __init__(self, address: Address) -> None:
        self.address = address

    @cached_property
    def client(self) -> Any:
        """The MilvusClient. Raises MissingExtra, or Away where nobody answers."""
        try:
            import pymilvus
        except ImportError as error:
            raise MissingExtra("pymilvus", "milvus") from error
        # It writes every failed call with its trace, also those that are tried again.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        with translated():
            return pymilvus.MilvusClient(
                self.address.uri,
                token=self.address.token,
                db_name=self.address.database,
                timeout=self.address.timeout_s,
            )


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Milvus's failures as ours: Away where the same call may succeed later, else StateError."""
    import grpc
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except grpc.RpcError as error:
        code = error.code() if hasattr(error, "code") else error
        raise _away(f"no answer ({getattr(code, 'name', code)})") from error
    except MilvusException as error:
        message = f"the index at Milvus: {str(error.message).splitlines()[0][:300]}"
        if error.code in _TEMPORARY or _LOST.search(message) or not isinstance(error.code, int):
            raise _away(message) from error
        raise StateError(message, hint="run: lensback doctor") from error


def missing(error: Away) -> bool:
    """Whether Milvus has no such collection or alias."""
    return getattr(error.__cause__, "code", None) == _NOT_FOUND


def _away(message: str) -> Away:
    return Away(message, hint="check that Milvus runs and has query nodes: lensback doctor")


_TEMPORARY = {
    1,
    2,
    8,
    9,
    10,
    12,
    13,
    _NOT_FOUND,
    _NOT_LOADED,
    102,
    103,
    106,
    202,
    503,
    901,
    902,
    903,
}
"""Unavailable, connecting, over a limit, dropped since we looked, not loaded (any more, or yet),
a node or a shard's leader lost. Code 1 is Milvus's general one: what is wrong for ever fails again."""
_LOST = re.compile(
    r"unavailable|not ready|no available|not (fully )?loaded|lost|not alive|deadline|timed? ?out|"
    r"connection|node not (found|match)|shard",
    re.IGNORECASE,
)
