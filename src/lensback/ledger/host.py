"""The host service's key: made here, kept as a hash only."""

from __future__ import annotations

import hashlib
import secrets


def new_host_key() -> str:
    """A key nobody guesses, so that a plain hash keeps it well."""
    return secrets.token_urlsafe(32)


def hash_of(key: str) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
