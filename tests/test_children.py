"""Processes for what comes from outside know nothing that they do not need."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from hostile.pictures import HONEST
from lensback import children
from lensback.errors import StateError
from lensback.images import Decoders
from lensback.ingest.readers import Readers

SRC = Path(__file__).parents[1] / "src" / "lensback"
SECRETS = {
    "LENSBACK_DATABASE": "postgresql://lensback:s3cret@db/lensback",
    "LENSBACK_WORKSPACE": "/srv/s3cret",
    "PGPASSWORD": "s3cret",
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "ANYTHING_ELSE": "s3cret",
    "LD_PRELOAD": "/s3cret.so",
    "PYTHONSTARTUP": "/s3cret.py",
}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """They are in our environment, and in a file that every child of a careless starter inherits."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "keys").write_text("s3cret", "utf-8")
    handle = os.open(tmp_path / "keys", os.O_RDONLY)
    os.set_inheritable(handle, True)
    yield handle
    os.close(handle)


def names_of(pid: int) -> set[str]:
    lines = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return {line.partition(b"=")[0].decode() for line in lines if line}


def knows(pid: int) -> bool:
    """Whether the process has the secret in its environment, its arguments or its open files."""
    told = [Path(f"/proc/{pid}/{part}").read_bytes() for part in ("environ", "cmdline")]
    files = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    return b"s3cret" in b"".join(told) or any(name.endswith("/keys") for name in files)


@pytest.mark.usefixtures("secrets")
def test_who_decodes_knows_no_secret() -> None:
    decoders = Decoders(1)
    try:
        decoders(HONEST["BMP"](), None, 1 << 20, 1 << 20)
        (pid,) = decoders.pids()
        assert not knows(pid)
        own = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONPATH"}
        assert {n for n in names_of(pid) if "MALLOC" not in n} <= own | set(children.PASSED_ON)
    finally:
        decoders.close()


@pytest.mark.usefixtures("secrets")
def test_who_reads_feeds_knows_no_secret(tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    rows = "".join(f"{n},Hat,https://s.example/{n},5.00 EUR\n" for n in range(2000))
    feed.write_text("id,title,link,price\n" + rows, "utf-8")
    with Readers(Event()) as readers:
        rows_of = readers.rows((str(feed), "auto", "", "", "feed", "", "", 1 << 20, 60.0))
        assert len(next(rows_of)) > 1
        listed = Path("/proc/self/task").glob("*/children")
        pids = [int(pid) for path in listed for pid in path.read_text().split()]
        mine = [p for p in pids if b"feeds.worker" in Path(f"/proc/{p}/cmdline").read_bytes()]
        assert mine
        for pid in mine:
            assert not knows(pid)
            assert names_of(pid) <= {"PYTHONPATH", *children.PASSED_ON}
        rows_of.close()


def test_there_is_one_starter() -> None:
    found = [
        path.relative_to(SRC).as_posix()
        for path in SRC.rglob("*.py")
        if re.search(r"subprocess\.(Popen|run|call|check_)|multiprocessing(?!\.connection)|os\.(spawn|posix_spawn|fork)", path.read_text("utf-8"))
    ]  # fmt: skip
    # pg_dump and pg_restore are the operator's own programs and want the operator's environment.
    assert sorted(found) == ["children.py", "db/copying.py"]


def test_no_room_for_a_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(children.subprocess, "Popen", full)
    with pytest.raises(StateError, match="Resource temporarily unavailable"):
        children.start("lensback.feeds.worker")
