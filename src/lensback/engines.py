"""Engines that others add: looked up by name among our own and the entry points of what is installed.

Our own are named twice: in a table of the package that opens them, and as entry points in
pyproject.toml, where they show others how it is done. The table counts, so that they are found in a
source tree that was never installed and in one whose installed metadata is of an older revision;
entry points add names and take none over.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lensback.errors import ConfigError, UnknownName


def engine(group: str, own: Mapping[str, str], name: str, what: str) -> Any:
    """The object `name` of an entry point group, or of our own table (name -> "module:object").

    Raises UnknownName, as of an unknown `what`, with the known ones; ConfigError where an installed
    engine cannot be imported.
    """
    if name in own:
        return EntryPoint(name, own[name], group).load()
    found = next((point for point in entry_points(group=group) if point.name == name), None)
    if found is None:
        raise UnknownName(what, name, known(group, own))
    try:
        return found.load()
    except (ImportError, AttributeError) as error:
        package = found.dist.name if found.dist else found.value
        raise ConfigError(
            f"the {what} {name!r} cannot be loaded: {error}", hint=f"look at the package {package}"
        ) from error


def known(group: str, own: Mapping[str, str]) -> list[str]:
    """Every name that can be opened, sorted."""
    return sorted({*own, *(point.name for point in entry_points(group=group))})
