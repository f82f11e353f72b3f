"""What a shell does to a command's streams and words, and what the system refuses: never a traceback."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lensback.cli.streams import of_system, unread, writes_all
from lensback.errors import BadQuery, StateError

RUN = f"{sys.executable} -m lensback"
FEED = "Nr;Größe;Währung;Titel;Preis;Link\n7;M;EUR;Schönes Kleid;5;https://s.example/7\n"
NO_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True,
        encoding="utf-8", check=False,
    )  # fmt: skip


CASES = {
    # what the shell does -> exit code, what stands on stderr
    "{run} encoder list >&-": (0, ""),
    "{run} encoder list 2>&-": (0, ""),
    "{run} encoder list > /dev/full": (2, "No space left on device"),
    "{run} encoder list --json > /dev/full": (2, ""),
    "{run} encoder list | head -c 1 > /dev/null; exit ${{PIPESTATUS[0]}}": (None, ""),
    "{run} store remove x <&-": (2, "ConfigError"),
}


@pytest.mark.parametrize("line", CASES)
def test_streams_that_are_closed_or_full(line: str, tmp_path: Path) -> None:
    code, told = CASES[line]
    done = shell(line.format(run=RUN), tmp_path)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert told in done.stderr
    assert code is None or done.returncode == code


def test_a_terminal_without_utf_8(tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text(FEED, "utf-8")
    add = f"{RUN} store add x --feed feed.csv --dry-run"
    done = shell(
        f"{RUN} init; {add}; {add} --json > told.json; {RUN} offers find Größe", tmp_path, **NO_UTF8
    )
    assert "Traceback" not in done.stderr
    assert "Sch\\xf6nes Kleid" in done.stdout
    assert (
        json.loads((tmp_path / "told.json").read_text("ascii"))["shown"][0]["title"]
        == "Schönes Kleid"
    )
    assert "no text in the encoding of this terminal" in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.ENOSPC, "free some space"), (errno.EDQUOT, "free some space"), (errno.EACCES, "check whose it is"),
     (errno.EROFS, "check whose it is"), (errno.EMFILE, "ulimit"), (errno.ENOTDIR, "check the path")],
)  # fmt: skip
def test_what_the_system_refuses(number: int, told: str) -> None:
    error = of_system(OSError(number, os.strerror(number), "shop/x"))
    assert isinstance(error, StateError)
    assert error.message == f"{os.strerror(number)}: shop/x"
    assert told in error.hint


def test_whose_it_is_that_may_not_be_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    barred = OSError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "none" / "x"))
    assert "belongs to" not in of_system(barred).hint, "ours"
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    assert f"it belongs to {tmp_path.owner()}: run this as that user" in of_system(barred).hint


def test_words_that_are_no_text() -> None:
    with pytest.raises(UnicodeEncodeError) as raised:
        "caf\udce9".encode()
    assert isinstance(unread(raised.value), BadQuery)
    assert [writes_all(name) for name in ("UTF-8", "utf8", None, "ascii", "cp1251")] == [
        True,
        True,
        True,
        False,
        False,
    ]
