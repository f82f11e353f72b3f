"""`program import`: what a network says of the programs we are connected to -> files and stores.

Each program is a file of the workspace (`programs/NETWORK-ID.toml`); a store that is connected to one
follows it. What the network said is kept beside them, so that the next time only what changed counts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensback.catalogue import stores
from lensback.catalogue.stores import StoredProgram
from lensback.counted import counted
from lensback.db import Database
from lensback.errors import ConfigError, Error, StateError
from lensback.networks import Network, OfferedProgram
from lensback.programs import written
from lensback.programs.changes import Change, merged

FOLDER = "programs"
Check = Callable[[Mapping[str, Any]], object]
"""Checks terms. Raises ConfigError or UnknownName naming what is wrong."""
GONE = "the network does not list it any more"
LOST_SHARE = 0.5
"""Where more of the known programs vanish at once, the answer is not believed."""
FEW = 3
"""So few may vanish at once, if others are still there."""


@dataclass(frozen=True, slots=True)
class StoreFollows:
    """A store whose program follows its file."""

    store: str
    changes: tuple[Change, ...]
    kept: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ProgramNews:
    """What an import tells of one program."""

    id: str
    name: str
    file: str
    state: str
    """`new`, `changed`, `same`, `gone`, or `refused`: its file cannot be written as it stands."""
    changes: tuple[Change, ...]
    kept: tuple[str, ...]
    problems: tuple[str, ...]
    stores: tuple[StoreFollows, ...]

    def as_json(self) -> dict[str, Any]:
        """All of it by name, changes as objects."""
        return {
            "id": self.id,
            "name": self.name,
            "file": self.file,
            "state": self.state,
            "changes": [change.as_json() for change in self.changes],
            "kept": list(self.kept),
            "problems": list(self.problems),
            "stores": [
                {
                    "store": each.store,
                    "changes": [change.as_json() for change in each.changes],
                    "kept": list(each.kept),
                    "problem": each.problem,
                }
                for each in self.stores
            ],
        }


def import_programs(
    db: Database,
    workspace: Path,
    network: Network,
    offered: Sequence[OfferedProgram],
    check: Check,
    *,
    share: str = "",
    write: bool = True,
    force: bool = False,
) -> list[ProgramNews]:
    """Brings in the programs that a network offered; `share` is the shopper's part of new ones.

    With `write` off nothing is changed. Raises ConfigError where a new program needs a share,
    StateError where so many known ones vanished that the answer is not believed (`force` does).
    """
    folder = workspace / FOLDER
    known = _last(folder, network.name)
    alive = {key for key, last in known.items() if not last["terms"].get("paused")}
    listed = {each.id for each in offered}
    gone = sorted(alive - listed)
    many = len(gone) >= FEW and len(gone) > LOST_SHARE * len(alive)
    if (many or (gone and not offered)) and not force:
        raise StateError(
            f"gone at once: {len(gone)} of {counted(len(alive), 'program')} of {network.title}",
            hint="look there; if it is true, run it again with --force",
        )
    followers = _followers(db, network.name)
    bring = _Bringing(db, workspace / FOLDER, network, check, share, write=write)
    news = [bring.one(each, known.get(each.id), followers) for each in offered]
    news += [bring.vanished(key, known[key], followers) for key in gone]
    if write:
        # What is not told while a program is paused (its rates) is as it was told last.
        said = {
            each.id: {
                "name": each.name,
                "terms": {**known.get(each.id, {}).get("terms", {}), **each.terms},
            }
            for each in offered
        }
        left = {
            key: {**known[key], "terms": {**known[key]["terms"], "paused": True}} for key in gone
        }
        text = json.dumps({**said, **left}, ensure_ascii=False, indent=1, sort_keys=True)
        written.write(folder / f".{network.name}.json", text + "\n")
    return news


def _last(folder: Path, network: str) -> dict[str, dict[str, Any]]:
    """What the network said last time, by id."""
    path = folder / f".{network}.json"
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StateError(
            f"{path} is broken", hint="remove it: the next import begins anew"
        ) from error
    return found


def _followers(db: Database, network: str) -> list[StoredProgram]:
    """The programs of stores at this network."""
    known = stores.programs(db, stores.names(db))
    return [one for each in known.values() for one in each if one.network == network]


class _Bringing:
    """One import: where things are, and whether they are written."""

    def __init__(
        self, db: Database, folder: Path, network: Network, check: Check, share: str, *, write: bool
    ) -> None:
        self._db, self._folder, self._network = db, folder, network
        self._check, self._share, self._write = check, share, write

    def one(
        self,
        offered: OfferedProgram,
        last: Mapping[str, Any] | None,
        followers: Sequence[StoredProgram],
    ) -> ProgramNews:
        """One program of the answer."""
        path = self._folder / file_name(self._network.name, offered.id)
        mine = written.read(path)
        before = last["terms"] if last else None
        both = merged(before, offered.terms, mine if mine is not None else self._fresh(offered))
        terms, problems = both.terms, list(offered.problems)
        try:
            self._check(terms)
        except Error as error:
            problems.append(f"{error.message}: the file is not written")
            return self._news_of(offered, path, "refused", (), (), problems, ())
        state = "new" if mine is None else "changed" if both.changes else "same"
        if self._write and state != "same":
            written.write(path, written.as_toml(terms, f"{offered.name}: {self._network.title}"))
        follow = self._follow(offered.id, offered.terms, before, followers)
        changes = () if mine is None else both.changes
        return self._news_of(offered, path, state, changes, both.kept, problems, follow)

    def vanished(
        self, key: str, last: Mapping[str, Any], followers: Sequence[StoredProgram]
    ) -> ProgramNews:
        """A program that the network does not list any more is paused."""
        path = self._folder / file_name(self._network.name, key)
        mine = written.read(path)
        both = merged(last["terms"], {"paused": True}, mine or {"paused": True})
        if self._write and both.changes:
            comment = f"{last['name']}: {self._network.title}"
            written.write(path, written.as_toml(both.terms, comment))
        follow = self._follow(key, {"paused": True}, last["terms"], followers, last["terms"])
        offered = OfferedProgram(key, str(last["name"]), {})
        return self._news_of(offered, path, "gone", both.changes, (), [GONE], follow)

    def _fresh(self, offered: OfferedProgram) -> dict[str, Any]:
        """What a new program's file has beside what the network says."""
        if not self._share:
            raise ConfigError(
                f"{offered.name or offered.id} is new: which part of the commission is the shopper's?",
                hint="say --share 0.5",
            )
        return {"network": self._network.name, "share": self._share}

    def _follow(
        self,
        key: str,
        now: Mapping[str, Any],
        last: Mapping[str, Any] | None,
        followers: Sequence[StoredProgram],
        identity: Mapping[str, Any] | None = None,
    ) -> tuple[StoreFollows, ...]:
        """The stores of this program, each with what changes for it."""
        named = identity or now
        mine = [one for one in followers if _is_of(one.terms, key, named, last)]
        return tuple(self._store(one, now, last) for one in mine)

    def _store(
        self, one: StoredProgram, now: Mapping[str, Any], last: Mapping[str, Any] | None
    ) -> StoreFollows:
        both = merged(last, now, one.terms)
        try:
            self._check(both.terms)
        except Error as error:
            return StoreFollows(one.store, (), (), error.message)
        if self._write and both.changes:
            stores.change_program(self._db, one.id, both.terms)
        return StoreFollows(one.store, both.changes, both.kept)

    def _news_of(
        self,
        offered: OfferedProgram,
        path: Path,
        state: str,
        changes: tuple[Change, ...],
        kept: tuple[str, ...],
        problems: Sequence[str],
        follow: tuple[StoreFollows, ...],
    ) -> ProgramNews:
        file = f"{FOLDER}/{path.name}"
        return ProgramNews(
            offered.id, offered.name, file, state, changes, kept, tuple(problems), follow
        )


def _is_of(
    terms: Mapping[str, Any], key: str, now: Mapping[str, Any], last: Mapping[str, Any] | None
) -> bool:
    """Whether a store's program is this one: by its id, or written by hand by its link."""
    if terms.get("program"):
        return str(terms["program"]) == key
    links = [each.get("link") for each in (now, last or {})]
    return bool(terms.get("link")) and terms["link"] in [link for link in links if link]


def file_name(network: str, key: str) -> str:
    """The file of a program; an id that makes no name of a file stands there as a digest."""
    plain = re.fullmatch(r"[A-Za-z0-9_-]{1,60}", key)
    return f"{network}-{key if plain else hashlib.sha256(key.encode()).hexdigest()[:16]}.toml"
