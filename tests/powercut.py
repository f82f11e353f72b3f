"""A disk as a power cut leaves it, rebuilt from what strace saw a process write and flush.

What was flushed before the cut is there. Of what was not, none, all or some: writes and
truncations of a file, and names in a folder, whose order nobody promises before an fsync.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

CALLS = "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat"
OPTIONS = ("-s", "1048576", "-xx")
"""Every byte that was written, in hexadecimal digits."""

_PID = re.compile(r"^(\d+) +(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+)(?:<(.*?)>)?")
_UNFINISHED = re.compile(r"^(\w+)\((.*?) *<unfinished \.\.\.>$")
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"^(\d+)<([^>]*)>")


@dataclass(frozen=True, slots=True)
class Event:
    """One call that succeeded. `began`: how many events were done when it was entered."""

    call: str
    path: str
    began: int
    data: bytes = b""
    at: int = -1
    to: str = ""


def events(log: Path, folder: Path) -> Iterator[Event]:
    """What happened under the folder, in the order in which the calls returned."""
    entered: dict[str, tuple[str, int]] = {}
    done = 0
    with log.open("r", encoding="ascii", errors="replace") as lines:
        for line in lines:
            match = _PID.match(line)
            pid, text = match.groups() if match else ("", "")
            began = done
            if match := _UNFINISHED.match(text):
                entered[pid] = (f"{match[1]}({match[2]}", done)
                continue
            if (match := _RESUMED.match(text)) and pid in entered:
                start, began = entered.pop(pid)
                text = start + match[2]
            found = _CALL.match(text)
            if found and int(found[3]) >= 0:
                event = _event(found, began, str(folder))
                if event is not None:
                    done += 1
                    yield event


def _event(found: re.Match[str], began: int, folder: str) -> Event | None:
    call, arguments = found[1], found[2]
    texts = [_bytes(text) for text in _STRING.findall(arguments)]
    if call == "openat":
        path = _plain(found[4] or "")
        made = "O_CREAT" in arguments or "O_TRUNC" in arguments
        if not made or not path.startswith(folder):
            return None
        return Event("trunc" if "O_TRUNC" in arguments else "create", path, began)
    if call.startswith("rename"):
        old, new = (text.decode() for text in texts[:2])
        return Event("rename", old, began, to=new) if new.startswith(folder) else None
    if call.startswith("unlink"):
        path = texts[0].decode()
        return Event("unlink", path, began) if path.startswith(folder) else None
    match = _FD.match(arguments)
    path = _plain(match[2]) if match else ""
    if not path.startswith(folder):
        return None
    if call in {"fsync", "fdatasync"}:
        return Event("sync", path, began)
    if call == "ftruncate":
        return Event("size", path, began, at=int(arguments.rsplit(",", 1)[1]))
    data = texts[0][: int(found[3])]
    at = int(arguments.rsplit(",", 1)[1]) if call == "pwrite64" else -1
    return Event("write", path, began, data, at)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _plain(path: str) -> str:
    """The path that strace puts beside a descriptor; what it says of a device is left out."""
    return _bytes(path.partition("<")[0]).decode() if path.startswith("\\x") else path


Change = tuple[int, Callable[[bytearray, float], None]]
"""When it was done, and what it does to the bytes of a file; of a write only this share."""
_TORN = 0.25
"""Share of the writes on their way that a cut tears in two."""
Renaming = tuple[int, str, dict[str, int | None]]
"""When it was done, in which folder, and which names lead where from then on."""


@dataclass(slots=True)
class File:
    """What of a file is surely on the disk, and what may be."""

    flushed: bytearray
    size: int
    waiting: list[Change] = field(default_factory=list)


class Disk:
    """Files under a folder, from events. What lies there before the first one is on the disk."""

    def __init__(self, before: dict[str, bytes], folders: set[str]) -> None:
        self._files = {
            n: File(bytearray(data), len(data)) for n, data in enumerate(before.values())
        }
        self._now = {path: n for n, path in enumerate(before)}
        self._kept: dict[str, int | None] = dict(self._now)
        self._moves: list[Renaming] = []
        self._folders = set(folders)
        self._done = 0

    def apply(self, event: Event) -> None:
        """The next event, in order."""
        folder = event.path.rpartition("/")[0]
        if event.call == "sync":
            self._sync(event.path, event.began)
        elif event.call == "rename":
            self._move(folder, {event.path: None, event.to: self._now.pop(event.path, None)})
        elif event.call == "unlink":
            self._now.pop(event.path, None)
            self._move(folder, {event.path: None})
        else:
            self._write(event, folder)
        self._done += 1

    def cut(self, share: float, rng: random.Random) -> dict[str, bytes]:
        """The files after a power cut now; each thing that was not flushed is there with the
        probability `share`."""
        names = dict(self._kept)
        for _, _, moved in self._moves:
            if rng.random() < share:
                names |= moved
        found = {}
        for path, number in names.items():
            if number is not None:
                file = self._files[number]
                data = bytearray(file.flushed)
                for _, change in file.waiting:
                    if rng.random() < share:
                        change(data, rng.random() if rng.random() < _TORN else 1.0)
                found[path] = bytes(data)
        return found

    def _move(self, folder: str, names: dict[str, int | None]) -> None:
        self._now |= {path: number for path, number in names.items() if number is not None}
        self._moves.append((self._done, folder, names))

    def _sync(self, path: str, began: int) -> None:
        if path in self._folders:
            for _, _, moved in (m for m in self._moves if m[1] == path and m[0] < began):
                self._kept |= moved
            self._moves = [m for m in self._moves if m[1] != path or m[0] >= began]
        elif path in self._now:
            file = self._files[self._now[path]]
            for _, change in (c for c in file.waiting if c[0] < began):
                change(file.flushed, 1.0)
            file.waiting = [c for c in file.waiting if c[0] >= began]

    def _write(self, event: Event, folder: str) -> None:
        if event.path not in self._now:
            if event.call not in {"create", "trunc"}:  # its name is gone: nobody finds it again
                return
            number = len(self._files)
            self._files[number] = File(bytearray(), 0)
            self._move(folder, {event.path: number})
        file = self._files[self._now[event.path]]
        if event.call in {"size", "trunc"}:
            size = max(event.at, 0)
            file.size = size
            file.waiting.append((self._done, lambda data, _: _resize(data, size)))
        elif event.call == "write":
            at = file.size if event.at < 0 else event.at
            file.size = max(file.size, at + len(event.data))
            written = event.data
            file.waiting.append(
                (
                    self._done,
                    lambda data, whole: _put(data, at, written[: math.ceil(whole * len(written))]),
                )
            )


def _resize(data: bytearray, size: int) -> None:
    del data[size:]
    data.extend(bytes(size - len(data)))


def _put(data: bytearray, at: int, written: bytes) -> None:
    if len(data) < at:
        data.extend(bytes(at - len(data)))
    data[at : at + len(written)] = written
