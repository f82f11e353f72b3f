"""What changed at the network since the last time, and what of it is taken over.

Three versions of a program meet: what the network said last time, what it says now, and what the
operator has. What the operator left as it was follows the network; what the operator changed stays.
Only a pause is always taken over: nothing is promised that the network does not pay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lensback.programs.written import canonical


@dataclass(frozen=True, slots=True)
class Change:
    """One key of a program that is different now."""

    key: str
    before: Any
    after: Any

    def as_json(self) -> dict[str, Any]:
        """`key`, `before` and `after`; None where there was or is nothing."""
        return {"key": self.key, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Merged:
    """A program with the network's news in it."""

    terms: dict[str, Any]
    changes: tuple[Change, ...]
    kept: tuple[str, ...]
    """Keys that the network changed and the operator had changed, too: they stay the operator's."""


_ABSENT = {"paused": False, "deny_deeplinks": False, "hold_days": 0, "currency": "EUR"}
"""What a key that is not there means."""


def merged(
    last: Mapping[str, Any] | None, now: Mapping[str, Any], ours: Mapping[str, Any]
) -> Merged:
    """`ours` with what the network says `now`; `last` is what it said before, None for the first
    time."""
    terms, changes, kept = dict(ours), list[Change](), list[str]()
    for key, value in now.items():
        theirs, own = canonical(value, key), canonical(_value(ours, key), key)
        if theirs == own:
            continue
        before = None if last is None else canonical(_value(last, key), key)
        follows = key == "paused" or key not in ours or (last is not None and own == before)
        if follows:
            terms[key] = value
            changes.append(Change(key, own, theirs))
        elif theirs != before:
            kept.append(key)
    return Merged(terms, tuple(changes), tuple(kept))


def _value(terms: Mapping[str, Any], key: str) -> Any:
    return terms.get(key, _ABSENT.get(key))
