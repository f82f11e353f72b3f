"""A file on its way in that outlives the run: what is here already, and of which version."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lensback.durable import FULL
from lensback.errors import FetchFailed, StateError

RESERVE_BYTES = 64 << 20
"""Room that a download leaves on the disk for the catalogue."""
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(slots=True)
class Kept:
    """What the note beside the part says. `source`: hash of the address, which is a secret."""

    source: str
    etag: str = ""
    last_modified: str = ""
    encoding: str = ""
    content_type: str = ""
    whole: bool = False


class Spool:
    """Owns `path` (the bytes as they came over the wire) and a note beside it."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self._note = path.with_suffix(".json")
        self._source = hashlib.sha256(url.encode()).hexdigest()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error) from error
        self.kept = self._read()

    def _read(self) -> Kept:
        try:
            values = json.loads(self._note.read_text("utf-8"))
            kept = Kept(**{f.name: values[f.name] for f in fields(Kept)})
        except (OSError, ValueError, KeyError, TypeError):
            kept = Kept("")
        if kept.source == self._source and self.path.exists():
            return kept
        self.drop()
        return Kept(self._source)

    @property
    def size(self) -> int:
        """Bytes that are in the file so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def drop(self) -> None:
        """Forgets the part and its note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def validator(self) -> str:
        """What `If-Range` may carry: a strong ETag, else a date (RFC 9110, 13.1.5), else empty."""
        strong = self.kept.etag if self.kept.etag.startswith('"') else ""
        return strong or self.kept.last_modified

    def headers(self) -> dict[str, str]:
        """What asks for the rest of a part, or whether a whole file is still the newest."""
        if self.kept.whole:
            pair = {
                "If-None-Match": self.kept.etag,
                "If-Modified-Since": self.kept.last_modified,
            }
            return {name: value for name, value in pair.items() if value}
        if self.size and self.validator():
            return {"Range": f"bytes={self.size}-", "If-Range": self.validator()}
        return {}

    def begin(self, etag: str, last_modified: str, encoding: str, content_type: str = "") -> None:
        """A new version comes, from its first byte."""
        self.drop()
        self.kept = Kept(self._source, etag, last_modified, encoding, content_type)
        self._save()

    def fits(self, content_range: str, etag: str, encoding: str) -> bool:
        """Whether a 206 goes on exactly where the part ends, in the same version."""
        found = _RANGE.fullmatch(content_range.strip())
        if found is None or int(found[1]) != self.size or encoding != self.kept.encoding:
            return False
        return not etag or not self.kept.etag or etag == self.kept.etag

    def room_for(self, size: int) -> None:
        """Raises StateError where the disk cannot take so many bytes more."""
        free = shutil.disk_usage(self.path.parent).free
        if size > max(free - RESERVE_BYTES, 0):
            kept = f"of {free >> 20} MiB that are free {RESERVE_BYTES >> 20} are kept for the catalogue"
            raise _full(f"{kept}, and {max(size >> 20, 1)} MiB are to come")

    def finish(self) -> None:
        """Everything is here, and stays so over a power cut."""
        with self.path.open("ab") as file:
            os.fsync(file.fileno())
        self.kept.whole = True
        self._save()

    def _save(self) -> None:
        text = json.dumps(asdict(self.kept))
        try:
            self.path.touch()
            partial = self._note.with_suffix(".tmp")
            partial.write_text(text, "utf-8")
            partial.replace(self._note)
        except OSError as error:
            raise disk_error(error) from error


def disk_error(error: OSError) -> StateError | FetchFailed:
    """The error to raise for one of the operating system's while the spool is written."""
    if error.errno in FULL:
        return _full(error.strerror or "no room")
    return StateError(
        f"cannot write the spool: {error.strerror or error}",
        hint="check the rights of the workspace, then run it again",
    )


def _full(why: str) -> StateError:
    return StateError(f"the disk is full: {why}", hint="free some space, then run it again")
