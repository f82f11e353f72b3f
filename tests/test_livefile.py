"""A file's value is the one that lies there now, whatever was done to the file and however quickly."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lensback import livefile
from lensback.durable import replace_file
from lensback.errors import ConfigError, DataError
from lensback.livefile import LiveFile

# Two of one length: only the content tells them apart.
WORDS = st.sampled_from(["aa", "bb", "ccc", "dddd"])


def parsed(data: bytes | None) -> str:
    if data is None:
        return "none"
    if not data.endswith(b"."):
        raise DataError("half a file")
    return data.decode().removesuffix(".")


class Files(RuleBasedStateMachine):
    """Everything that may happen to a file, in any order, without a pause between the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name, "file")
        self.live = LiveFile(parsed, self.path)
        self.expected = "none"

    def teardown(self) -> None:
        self.folder.cleanup()

    def clear(self) -> None:
        if self.path.is_dir():
            self.path.rmdir()

    @rule(word=WORDS)
    def write_in_place(self, word: str) -> None:
        self.clear()
        self.path.write_text(f"{word}.")
        self.expected = word

    @rule(word=WORDS)
    def write_under_the_same_times(self, word: str) -> None:
        self.clear()
        self.path.write_text(f"{word}.")
        os.utime(self.path, (1_700_000_000, 1_700_000_000))
        self.expected = word

    @rule(word=WORDS)
    def replace(self, word: str) -> None:
        self.clear()
        replace_file(self.path, lambda part: part.write_text(f"{word}."))
        self.expected = word

    @rule(word=WORDS)
    def write_a_half(self, word: str) -> None:
        self.clear()
        self.path.write_text(word)

    @rule()
    def delete(self) -> None:
        self.clear()
        self.path.unlink(missing_ok=True)
        self.expected = "none"

    @precondition(lambda self: not self.path.is_dir())
    @rule()
    def make_unreadable(self) -> None:
        """A folder in its place: unreadable even for root."""
        self.path.unlink(missing_ok=True)
        self.path.mkdir()

    @invariant()
    def the_last_good_value_is_seen(self) -> None:
        assert self.live.get() == self.expected


TestFiles = Files.TestCase
TestFiles.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_an_old_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livefile, "SETTLE_S", 0.05)
    path = tmp_path / "file"
    path.write_text("one.")
    live = LiveFile(parsed, path)
    reads = []
    monkeypatch.setattr(livefile, "_bytes", lambda path: reads.append(path) or path.read_bytes())
    time.sleep(0.2)
    assert [live.get() for _ in range(5)] == ["one"] * 5
    assert len(reads) == 1
    path.write_text("two.")
    assert live.get() == "two"


def test_what_is_young_is_read_again_but_not_parsed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one.")
    parses = []
    live = LiveFile(lambda data: parses.append(data) or parsed(data), path)
    assert [live.get() for _ in range(5)] == ["one"] * 5
    assert parses == [b"one."]


def test_times_that_are_set_back_hide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(livefile, "SETTLE_S", 0.02)
    path = tmp_path / "file"
    live = LiveFile(parsed, path)
    for word in ("aa", "bb"):
        path.write_text(f"{word}.")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        time.sleep(0.1)
        assert live.get() == word


def test_rights_that_come_back_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(livefile, "SETTLE_S", 0.0)
    path = tmp_path / "file"
    live = LiveFile(parsed, path)
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot read") as caught:
        live.get()
    assert caught.value.hint
    path.rmdir()
    path.write_text("one.")
    assert live.get() == "one"


def test_trouble_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file"
    path.write_text("half")
    live = LiveFile(parsed, path)
    for _ in range(2):  # nothing good to fall back on
        with pytest.raises(DataError, match="half"):
            live.get()
    path.write_text("whole.")
    assert live.get() == "whole"
    path.write_text("half")
    with caplog.at_level(logging.ERROR, "lensback"):
        assert [live.get(), live.get()] == ["whole", "whole"]
    (record,) = caplog.records
    assert record.__dict__["fields"]["message"] == "half a file"
    path.write_text("new.")
    assert live.get() == "new"
    path.write_text("half")
    with caplog.at_level(logging.ERROR, "lensback"):
        assert live.get() == "new"
    assert len(caplog.records) == 2


def test_several_files_make_one_value(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    live = LiveFile(lambda a, b: (parsed(a), parsed(b)), one, two)
    assert live.get() == ("none", "none")
    two.write_text("b.")
    assert live.get() == ("none", "b")
    one.write_text("a.")
    two.unlink()
    assert live.get() == ("a", "none")


def test_many_threads_see_whole_values(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("0.")
    live = LiveFile(parsed, path)
    stop, seen = threading.Event(), []

    def look() -> None:
        mine = []
        while not stop.is_set():
            mine.append(int(live.get()))
        seen.append(mine)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(1, 60):
        replace_file(path, lambda part, n=n: part.write_text(f"{n}."))
    stop.set()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in seen), "no value comes back"
    assert live.get() == "59"
