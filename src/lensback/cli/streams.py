"""What a shell gives a command to write to and read from, whatever state it is in."""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress
from pathlib import Path

from lensback.durable import what_mends
from lensback.errors import BadQuery, Error, StateError


def mend_streams() -> None:
    """A stream that was closed (`>&-`) becomes one that nobody reads; what a terminal's encoding cannot
    write is written as `\\xe4` and is no error."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not writes_all(stream.encoding):
            stream.reconfigure(errors="backslashreplace")


def writes_all(encoding: str | None) -> bool:
    """Whether every letter can be written in it."""
    return codecs.lookup(encoding or "utf-8").name.startswith("utf-")


def of_system(error: OSError) -> Error:
    """What the system refused, as one of ours: no command ends with a traceback for it."""
    where = f": {error.filename}" if error.filename else ""
    return StateError(f"{error.strerror or error}{where}", hint=what_mends(error))


def unread(error: UnicodeEncodeError) -> Error:
    """A word of the command line whose bytes are no text in the encoding of this terminal."""
    told = error.object.encode("utf-8", "backslashreplace").decode()[:60]
    return BadQuery(
        f"{told!r} is no text in the encoding of this terminal ({sys.getfilesystemencoding()})",
        hint="type it in UTF-8; LC_ALL=C.UTF-8 in front of the command sets it",
    )


def flush() -> None:
    """What is still to be written. Raises OSError, where it cannot be, for the last time: the interpreter
    would try again at its end, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
