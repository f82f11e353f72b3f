"""What the command line shows: progress, tallies, answers, ages."""

from __future__ import annotations

import io
import re
import time
from collections import Counter
from typing import Any

import pytest
from rich.console import Console

from lensback import console
from lensback.console import FittedTable, StageProgress, Terminal, answer_table, tally_table
from lensback.counted import ago
from lensback.types import Money, Tally
from lensback.wire import Offer, Photo
from shown import answer, hit, offer


def shown(thing: Any, width: int = 200) -> str:
    plain = Console(file=io.StringIO(), width=width)
    plain.print(thing)
    return plain.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def stored(n: int, size: str = "", **fields: Any) -> Offer:
    return offer(f"o{n}", size=size, **{"price": Money(1000, "USD"), **fields})


# ---- progress


def test_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "PLAIN_EVERY_S", 0.0)
    file = io.StringIO()
    with StageProgress(Console(file=file)) as watcher:
        stage = watcher.stage("download")
        stage(1, 3)
        stage(2, 0)
    assert file.getvalue() == "download: 1 of 3\ndownload: 2\n"


def test_plain_lines_are_rare() -> None:
    file = io.StringIO()
    with StageProgress(Console(file=file)) as watcher:
        stage = watcher.stage("download")
        for done in range(1000):
            stage(done, 1000)
    assert file.getvalue() == ""


def test_bars_on_a_terminal() -> None:
    file = io.StringIO()
    with StageProgress(Console(file=file, force_terminal=True, width=80)) as watcher:
        known, unknown = watcher.stage("download"), watcher.stage("embed")
        for done in range(1, 4):
            known(done, 3)
            unknown(done, 0)
        known(4, 3)
    assert "download" in file.getvalue()
    assert "4/4" in file.getvalue(), "more than was announced is shown as it is"
    assert "embed" in file.getvalue()


def test_one_bar_for_each_stage() -> None:
    file = io.StringIO()
    with StageProgress(Console(file=file, force_terminal=True, width=80)) as watcher:
        for done in range(1, 6):
            watcher.watch("decode", done, 5)
        watcher.watch("steps", 1, 9)
        bars = watcher._bars
        assert bars
        assert [task.description for task in bars.tasks] == ["decode", "steps"]


def test_bars_stop_when_the_work_fails() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True)
    with pytest.raises(ZeroDivisionError), StageProgress(terminal) as watcher:
        watcher.stage("download")(1, 1 // 0)
    with StageProgress(terminal) as again:
        again.stage("download")(1, 2)


# ---- tables


def test_tallies() -> None:
    rejected = Counter({"no url": 5, "bad price": 3, "no id": 2, "no title": 1, "bad url": 1})
    text = shown(
        tally_table([Tally("ingest x", 12, 3, rejected, 1.234, {"changed": 9}), Tally("embed")])
    )
    assert "5 no url, 3 bad price, 2 no id, 1 no title" in text
    assert "bad url" not in text, "the four most common are enough"
    assert "changed 9" in text
    assert "1.23" in text


@pytest.mark.parametrize(
    ("verdict", "words"), [("exact", "This very product"), ("similar", "Looks like it")]
)
def test_an_answer(verdict: str, words: str) -> None:
    found = hit(stored(1, "S"), stored(2, "M", store="pier"), exact=verdict == "exact")
    text = shown(answer_table(answer(found, verdict=verdict)))
    assert text.startswith(words)
    assert "0.81 / 93%" in text
    assert ("1 =" in text) == (verdict == "exact")
    for word in ("harbour", "pier", "10.00 USD", "in stock", "o1", "decode 1, total 20"):
        assert word in text
    assert "not calibrated" not in text
    assert "not calibrated: nothing is called exact" in shown(
        answer_table(answer(found, calibrated=False))
    )


@pytest.mark.parametrize(("verdict", "words"), [("similar", "Found by"), ("none", "Nothing in")])
def test_an_answer_to_words_alone(verdict: str, words: str) -> None:
    """Nothing was looked at: no likelihood, and nothing to say of the photo."""
    found = hit(stored(1, "S"), by="words", similarity=0.0, probability=0.0)
    hits = (found,) if verdict == "similar" else ()
    made = answer(*hits, verdict=verdict, photo=Photo(width=0, height=0))
    text = shown(answer_table(made))
    assert text.startswith(words)
    assert ("harbour" in text) == bool(hits)
    assert [said for said in ("photo", "--box", "not shown", "0%") if said in text] == []


def test_an_answer_with_nothing() -> None:
    text = shown(answer_table(answer(verdict="none")))
    assert "We did not find it" in text
    assert "--box" in text


@pytest.mark.parametrize("title", ["Hat [red]", "Hat [/b]", "Hat [link=https://x.example]"])
def test_a_title_is_shown_as_the_store_wrote_it(title: str) -> None:
    assert title in shown(answer_table(answer(hit(stored(1), title=title))))


def test_sizes_of_one_price_share_a_row() -> None:
    dear = Money(1200, "USD")
    rows = (
        stored(1, "S"),
        stored(2, "M"),
        stored(3, "L", price=dear),
        stored(4, "M"),
        stored(5, store="pier"),
        stored(6, "XL", availability="out_of_stock"),
    )
    text = shown(answer_table(answer(hit(*rows))))
    lines = [line for line in text.splitlines() if re.search(r"\bo\d\b", line)]
    assert [re.findall(r"\b(o\d)\b", line)[0] for line in lines] == ["o1", "o3", "o5", "o6"]
    assert [re.findall(r"\b(?:[SML], )*(?:XL|[SML])\b", line) for line in lines] == [
        ["S, M"], ["L"], [], ["XL"],
    ]  # fmt: skip


def test_what_is_promised_is_the_least_that_may_be_paid() -> None:
    certain, perhaps = stored(1, back=100, up_to=False), stored(2, back=250, store="pier")
    text = shown(answer_table(answer(hit(certain, perhaps, stored(3, store="quay")))))
    assert "from 7.50 USD" in text
    assert text.count("from ") == 1
    assert "9.00 USD" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s ago"), (59, "59 s ago"), (60, "1 min ago"), (3600, "1 h ago"), (200_000, "2 d ago")],
)
def test_ago(seconds: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    assert ago(1_000_000 - seconds) == text
    assert ago(2_000_000) == "0 s ago", "clocks go back"
    assert ago(None) == "never"


@pytest.mark.parametrize("width", range(30, 131, 7))
def test_no_word_of_a_table_is_cut(width: int) -> None:
    """A long word in one column, sentences in the next: neither pays for the other."""
    words = ["d572f43b2aef3f98", "lensback-detector,", "64.6 GiB free at /srv/lensback", "a"]
    file = io.StringIO()
    table = FittedTable("part", "state", "found", "do")
    for word in words:
        table.add_row("store harbour", "ok", word, "run what is said here, and then that, too")
    Terminal(width=width, file=file).print(table)
    told = file.getvalue()
    assert "…" not in told
    assert all(len(line) <= width for line in told.splitlines())
    for word in {part for text in words for part in text.split()}:
        assert word in told


def test_what_only_a_filter_hid_is_said_to_be_sold() -> None:
    hidden = answer(verdict="none", left_out=True)
    told = shown(answer_table(hidden))
    assert "the filters leave it out" in told
    assert "Take filters off" in told
    assert "closer photo" not in told


def test_an_offer_that_nobody_can_be_sent_to_is_said() -> None:
    lost = offer("lost", size="M", reachable=False)
    text = shown(answer_table(answer(hit(offer("led", size="S"), lost))))
    assert "no way there" in text
    assert text.index("led") < text.index("lost"), "rows of their own"
