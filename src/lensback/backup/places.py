"""Where backups lie: a folder, or a bucket behind `s3://`. Objects by name, whole or not there."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lensback.durable import (
    PRIVATE_FILE,
    flush,
    lock_file,
    make_private,
    make_private_folder,
    what_mends,
)
from lensback.errors import ConfigError, NotFound, StateError

if TYPE_CHECKING:
    from pyarrow import fs

_BUCKET = re.compile(r"s3://([^/]+(?:/.*)?)")


class BackupPlace(Protocol):
    """Owns what lies there. Safe to write to from several threads."""

    jobs: int
    """Writes that are worth doing at once."""

    def put(self, name: str, data: bytes) -> None:
        """Writes an object, or one of this name anew: a reader sees all of it or nothing."""

    def settle(self) -> None:
        """Returns when all that was put survives a power cut."""

    def get(self, name: str) -> bytes:
        """The object. Raises NotFound."""

    def size(self, name: str) -> int | None:
        """Bytes of the object; None where there is none."""

    def names(self, folder: str) -> dict[str, int]:
        """The objects of one folder: last part of the name -> size; of a missing folder none."""

    def remove(self, name: str) -> None:
        """Takes the object away; one that is not there is fine."""

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """One writer at a time, where the place can tell. Raises Busy."""


def open_place(text: str) -> BackupPlace:
    """The place that a folder's path or `s3://bucket/prefix` names. Nothing is made yet."""
    if bucket := _BUCKET.fullmatch(text):
        return BucketPlace(bucket[1].rstrip("/"))
    if "://" in text:
        raise ConfigError(
            f"not a place for backups: {text!r}", hint="use a folder, or s3://bucket/prefix"
        )
    return FolderPlace(Path(text).absolute())


class FolderPlace:
    """A folder of this machine, or one that is mounted here; everything for its owner alone."""

    jobs = 1

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, data: bytes) -> None:
        """Aside first, then renamed. `settle` flushes, once for many."""
        path = self.root / name
        part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        with self._translated():
            make_private_folder(path.parent)
            try:
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

    def settle(self) -> None:
        """One call for all files: many thousand of them, a flush each, would take minutes."""
        os.sync()
        flush(self.root)

    def get(self, name: str) -> bytes:
        """The file's bytes. Raises NotFound."""
        with self._translated():
            return (self.root / name).read_bytes()

    def size(self, name: str) -> int | None:
        """The file's size in bytes; None where there is none."""
        with contextlib.suppress(NotFound), self._translated():
            return (self.root / name).stat().st_size
        return None

    def names(self, folder: str) -> dict[str, int]:
        """Those that are whole: what a kill left half-written has another name."""
        with self._translated():
            try:
                entries = list(os.scandir(self.root / folder))
            except FileNotFoundError:
                return {}
            return {e.name: e.stat().st_size for e in entries if e.name[0] != "." and e.is_file()}

    def remove(self, name: str) -> None:
        """Unlinks the file; one that is not there is fine."""
        with self._translated():
            (self.root / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The lock goes with the process."""
        with self._translated():
            make_private_folder(self.root)
            make_private(self.root / ".lock")
            file = (self.root / ".lock").open("a")
        with lock_file(file, f"another backup is written to {self.root}", "wait for it to end"):
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise _missing(str(error.filename)) from error
        except OSError as error:
            raise StateError(
                f"{self.root}: {error.strerror or error}", hint=what_mends(error)
            ) from error


class BucketPlace:
    """A bucket of an S3 store. Keys, region and endpoint come from its usual environment variables
    (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT, …), as for vectors."""

    jobs = 8

    def __init__(self, root: str) -> None:
        self.root = root

    def put(self, name: str, data: bytes) -> None:
        """The store shows an object when all of it is there."""
        with self._translated(name), self._bucket.open_output_stream(f"{self.root}/{name}") as to:
            to.write(data)

    def settle(self) -> None:
        """An object that was put is kept."""

    def get(self, name: str) -> bytes:
        """The object's bytes. Raises NotFound."""
        with self._translated(name), self._bucket.open_input_file(f"{self.root}/{name}") as file:
            return bytes(file.read())

    def size(self, name: str) -> int | None:
        """The object's size in bytes, by one request; None where there is none."""
        from pyarrow import fs

        with self._translated(name):
            found = self._bucket.get_file_info(f"{self.root}/{name}")
        return int(found.size) if found.type == fs.FileType.File else None

    def names(self, folder: str) -> dict[str, int]:
        """Names and sizes, by one request for a thousand objects."""
        from pyarrow import fs

        with self._translated(folder):
            wanted = fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True)
            found = self._bucket.get_file_info(wanted)
        return {one.base_name: one.size for one in found if one.type == fs.FileType.File}

    def remove(self, name: str) -> None:
        """Deletes the object; one that is not there is fine."""
        with contextlib.suppress(NotFound), self._translated(name):
            self._bucket.delete_file(f"{self.root}/{name}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A bucket has no lock; the workspace's own keeps its backups apart."""
        yield

    @cached_property
    def _bucket(self) -> fs.S3FileSystem:
        from pyarrow import fs

        env = os.environ
        endpoint = env.get("AWS_ENDPOINT") or env.get("AWS_ENDPOINT_URL") or ""
        scheme, _, host = endpoint.rpartition("://")
        given = {
            "region": env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION"),
            "endpoint_override": host,
            "scheme": scheme,
        }
        return fs.S3FileSystem(
            background_writes=False, **{key: value for key, value in given.items() if value}
        )

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise _missing(f"s3://{self.root}/{name}") from error
        except OSError as error:
            raise StateError(
                f"s3://{self.root}: {str(error)[:300]}",
                hint="check the bucket's name, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION "
                "and AWS_ENDPOINT",
            ) from error


def _missing(name: str) -> NotFound:
    return NotFound(f"{name} is not there", hint="check the place of the backup")
