"""What a fetch brings, whatever the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came. `url`: from where, after redirects; not redacted. `headers`: all of the answer,
    names in lower case. `size`: bytes that came over the wire as body."""

    body: bytes
    status: int
    content_type: str
    etag: str
    last_modified: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
