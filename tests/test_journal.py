"""The journal on a real disk: kills, torn lines, several processes, a full queue, a locked database."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lensback.errors import Busy, StateError, TooLarge
from lensback.journal import BATCH, Journal, Record, append_all


def drained(journal: Journal) -> list[Any]:
    seen: list[Any] = []
    journal.drain(lambda records: seen.extend(record.body["n"] for record in records))
    return seen


def test_what_is_written_is_drained_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    assert drained(journal) == []
    for n in range(3):
        journal.append("click", {"n": n}, durable=n != 1)
    assert journal.waiting_bytes > 0
    assert drained(journal) == [0, 1, 2]
    assert drained(journal) == []
    assert list((tmp_path / "j").iterdir()) == []


def test_batches_are_bounded(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    append_all(journal, [Record("x", {"n": n}) for n in range(2 * BATCH + 1)])
    sizes: list[int] = []
    done = journal.drain(lambda records: sizes.append(len(records)))
    assert sizes == [BATCH, BATCH, 1]
    assert done.records == 2 * BATCH + 1


def test_what_apply_refuses_stays(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append("x", {"n": 1})

    def locked(_records: list[Record]) -> None:
        raise Busy("locked")

    with pytest.raises(Busy):
        journal.drain(locked)
    journal.append("x", {"n": 2})
    assert drained(journal) == [1, 2]


def test_over_the_bound_is_busy_and_heals(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=2000)
    accepted = 0
    while journal.waiting_bytes < 1950:
        journal.append("x", {"n": accepted})
        accepted += 1
    with pytest.raises(Busy):
        journal.append("x", {"n": 0, "long": "y" * 100})
    # A second process is bound by the same folder.
    with pytest.raises(Busy):
        Journal(tmp_path, max_bytes=2000).append("x", {"n": 0, "long": "y" * 100})
    assert sorted(drained(journal)) == list(range(accepted))
    journal.append("x", {"n": 1})


def test_a_record_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        Journal(tmp_path).append("x", {"n": "y" * 300_000})


def test_a_torn_end_is_skipped_and_a_broken_line_counted(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    append_all(journal, [Record("x", {"n": n}) for n in range(3)])
    journal.close()
    (path,) = tmp_path.glob("*.log")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"n":1', b'"n":7')
    path.write_bytes(b"".join(lines) + lines[0][:-9])
    seen: list[Any] = []
    done = journal.drain(seen.extend)
    assert [record.body["n"] for record in seen] == [0, 2]
    assert (done.torn, done.broken) == (1, 1)


def test_a_file_without_rights_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("a file where the folder should be")
    with pytest.raises(StateError):
        Journal(tmp_path / "j").append("x", {})


def test_many_threads_and_a_drain_beside_them(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    seen: list[int] = []
    done = threading.Event()

    def write(k: int) -> None:
        for n in range(100):
            journal.append("x", {"n": 100 * k + n}, durable=n % 3 == 0)

    def drain() -> None:
        while not done.wait(0.005):
            seen.extend(drained(journal))

    threads = [threading.Thread(target=write, args=(k,)) for k in range(8)]
    drainer = threading.Thread(target=drain)
    for thread in [*threads, drainer]:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    drainer.join()
    seen.extend(drained(journal))
    assert sorted(seen) == list(range(800))


WRITER = """
import sys
from pathlib import Path
from lensback.journal import Journal
journal = Journal(Path(sys.argv[1]))
n = 0
while True:
    journal.append("x", {"n": f"{sys.argv[2]}-{n}"})
    print(n, flush=True)
    n += 1
"""


def test_killed_writers_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """kill -9 at random moments; a living process drains beside the writers."""
    acknowledged: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    journal = Journal(tmp_path / "j")
    for turn in range(5):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "j"), str(turn)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout
            acknowledged[f"{turn}-{writer.stdout.readline().strip()}"] += 1
            time.sleep(random.uniform(0.0, 0.15))
            seen.update(drained(journal))  # its file is its own as long as it lives
            os.kill(writer.pid, signal.SIGKILL)
            for line in writer.stdout.read().splitlines():
                acknowledged[f"{turn}-{line}"] += 1
    seen.update(drained(journal))
    assert set(acknowledged) <= set(seen)
    assert max(seen.values()) == 1
    assert len(seen) - len(acknowledged) <= 5  # written, and killed before it could say so
