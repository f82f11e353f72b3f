"""Affiliate networks as data: one TOML file each, beside a few small functions.

`open_network` reads one, `deeplink` writes a tracked link, `read_postback` reads a call, `poll`
asks for what changed, `read_programs` for the programs of an account.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from lensback.checked import checked, parse_toml
from lensback.errors import UnknownName
from lensback.livefile import LiveFile
from lensback.networks.claims import claim_fields
from lensback.networks.links import (
    check_settings,
    deeplink,
    erid_of,
    offer_deeplink,
    settings_of,
)
from lensback.networks.news import read_postback
from lensback.networks.polling import poll
from lensback.networks.programs import OfferedProgram, read_programs
from lensback.networks.reach import Reach, Site
from lensback.networks.shape import LinkForm, LinkSettings, Network, NewsForm, PollForm
from lensback.networks.targets import (
    MAX_CHARS,
    canonical,
    host_of,
    page_of,
    parts_of,
    readable,
)

__all__ = [
    "MAX_CHARS",
    "LinkForm",
    "LinkSettings",
    "Network",
    "NewsForm",
    "OfferedProgram",
    "PollForm",
    "Reach",
    "Site",
    "canonical",
    "check_settings",
    "claim_fields",
    "deeplink",
    "erid_of",
    "host_at",
    "list_networks",
    "offer_deeplink",
    "open_network",
    "page_of",
    "poll",
    "read_postback",
    "read_programs",
    "readable",
    "settings_of",
]

DATA = Path(__file__).parent / "data"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def open_network(name: str, folder: Path | None = None) -> Network:
    """A network by name. `folder/NAME.toml` adds one or changes keys of a shipped one.

    Raises UnknownName, or ConfigError naming the file and the key that is wrong.
    """
    network = _followed(name, folder).get() if _NAME.fullmatch(name) else None
    if network is None:
        raise UnknownName("network", name, network_names(folder))
    return network


def list_networks(folder: Path | None = None) -> list[Network]:
    """All networks, shipped and added, by name."""
    return [open_network(name, folder) for name in network_names(folder)]


def host_at(url: str) -> str:
    """The host of an address as domains of a program name it. Raises BadQuery."""
    return host_of(parts_of(url))


def network_names(folder: Path | None = None) -> list[str]:
    """The names of all networks, shipped and added, sorted; no file is read."""
    found = {path.stem for path in DATA.glob("*.toml")}
    if folder is not None:
        found |= {path.stem for path in folder.glob("*.toml") if _NAME.fullmatch(path.stem)}
    return sorted(found)


@lru_cache(maxsize=256)
def _followed(name: str, folder: Path | None) -> LiveFile[Network | None]:
    """The shipped file, then the workspace's: what stands later wins."""
    places = [place / f"{name}.toml" for place in (DATA, folder) if place]
    return LiveFile(partial(_read, name, places), *places)


def _read(name: str, places: Sequence[Path], *contents: bytes | None) -> Network | None:
    files = [(path, data) for path, data in zip(places, contents, strict=True) if data is not None]
    if not files:
        return None
    values: dict[str, Any] = {}
    path = files[-1][0]
    for file, data in files:
        later = parse_toml(data, str(file))
        sure = {*later.pop("checked", ()), *_keys(later)}
        values = _merged(values, later)
        marks = values.get("unchecked", {})
        fresh = later.get("unchecked", {})
        values["unchecked"] = {k: v for k, v in marks.items() if k in fresh or k not in sure}
        told = values.get("facts", {})
        values["facts"] = {
            k: v for k, v in told.items() if k in later.get("facts", {}) or k not in _keys(later)
        }
    values["builtin"] = len(files) == 1 and path.parent == DATA
    hint = "See docs/networks.md"
    return checked(Network, {**values, "name": name}, f"{path}: ", hint=hint)


def _merged(before: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key; everything else is replaced."""
    result = dict(before)
    for key, value in later.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def _keys(values: Mapping[str, Any], before: str = "") -> set[str]:
    """Dotted names of everything that a file sets."""
    found: set[str] = set()
    for key, value in values.items():
        found.add(before + key)
        if isinstance(value, Mapping):
            found |= _keys(value, f"{before}{key}.")
    return found
