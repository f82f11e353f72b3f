"""Terms as a TOML file that people read and change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from lensback.checked import read_toml
from lensback.decimals import decimal_of
from lensback.durable import replace_file

NUMBERS = {"percent", "fixed", "min", "max", "from_price", "share", "net_of", "cap"}
"""Keys whose value is a number, which JSON and networks write as text."""
ORDER = (
    "network", "program", "paused", "domains", "share", "currency", "net_of", "cap", "track_hours",
    "hold_days", "claim_days", "deny_deeplinks", "landing", "tracking_hosts", "erid", "notes", "link",
    "rates",
)  # fmt: skip


def canonical(value: Any, key: str = "") -> Any:
    """A value of terms in the one form that two of them are compared in: numbers as text."""
    if isinstance(value, Mapping):
        return {name: canonical(each, name) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(each, key) for each in value]
    if key in NUMBERS:
        try:
            return f"{decimal_of(value).normalize():f}"
        except ValueError:
            return str(value)
    return value if isinstance(value, bool | int | str) else str(value)


def as_toml(terms: Mapping[str, Any], comment: str = "") -> str:
    """The terms as TOML, in the order of docs/programs.md."""
    names = sorted(terms, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    text = tomli_w.dumps({name: _number(terms[name], name) for name in names})
    return f"# {comment}\n{text}" if comment else text


def _number(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _number(each, name) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_number(each, key) for each in value]
    if key not in NUMBERS:
        return value
    try:
        number = decimal_of(value)
    except ValueError:
        return value
    return int(number) if number == number.to_integral_value() else number


def read(path: Path) -> dict[str, Any] | None:
    """The terms of a file, None where there is none. Raises ConfigError for one that is no TOML."""
    return read_toml(path, "programs.md") if path.exists() else None


def write(path: Path, text: str) -> None:
    """Replaces the file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda partial: partial.write_text(text, "utf-8"))
