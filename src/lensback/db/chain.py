"""The hash over rows that are only ever added: what a seal holds, for the ledger and its migration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SEALED: Mapping[str, Sequence[str]] = {
    "conversion_events": (
        "id",
        "digest",
        "conversion_id",
        "kind",
        "part",
        "status",
        "subid",
        "commission_minor",
        "commission_currency",
        "order_value_minor",
        "order_currency",
        "order_id",
        "reason",
        "ordered_at",
        "changed_at",
        "source",
        "received_at",
    ),
    "entries": ("id", "transaction_id", "conversion_id", "account", "currency", "minor", "at"),
    "payouts": ("id", "reference", "request", "amounts", "sales", "at"),
    "sold_clicks": ("id", "click_id", "clicked_at", "network", "terms", "owner", "at"),
    "seals": ("number", "last_event", "last_entry", "last_payout", "last_click", "added", "at"),
}
"""Tables and columns that a seal covers, in this order, each by its first. A column that comes later is
not among them: the seals of before must still hold. A table that comes later is added at the end."""


class Chain:
    """One seal in the making: the seal before it, then row after row."""

    def __init__(self, before: str) -> None:
        self._hash = hashlib.blake2b(before.encode(), digest_size=32)
        self.counts = dict.fromkeys(SEALED, 0)

    def add(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """The next rows of a table: its sealed columns, in the order of the first."""
        for row in rows:
            # repr: SQLite holds bytes in any column, which nothing of ours writes.
            said = json.dumps([table, *row], ensure_ascii=True, default=repr)
            self._hash.update(said.encode())
            self.counts[table] += 1

    def seal(self) -> str:
        """What the seal says, 64 hex digits."""
        return self._hash.copy().hexdigest()
