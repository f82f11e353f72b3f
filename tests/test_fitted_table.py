"""Tables of the command line at every width of a terminal: nothing is cut off, and no word is broken
that fits in a line."""

from __future__ import annotations

import io

import pytest

from lensback.console import FittedTable, Terminal

ROWS = [
    ("harbour", "ok", "24", "2 min ago", "0123456789abcdef", ""),
    ("a-longer-name", "failing", "12400", "3 d ago", "fedcba9876543210", "HTTP 500 [from] https://a.example/feed.xml; lensback sync a-longer-name"),
    ("", "paused", "", "", "", "next"),
]  # fmt: skip
NAMES = ("store", "health", "offers", "last sync", "offer", "what to do")


def shown(width: int, names: tuple[str, ...] = NAMES, rows: list[tuple[str, ...]] = ROWS) -> str:
    out = io.StringIO()
    table = FittedTable(*names)
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    Terminal(file=out, width=width, force_terminal=False).print(table)
    return out.getvalue()


@pytest.mark.parametrize("width", [20, 40, 50, 60, 66, 72, 80, 100, 120, 160, 400])
def test_every_word_is_there_whole_and_no_line_is_longer(width: int) -> None:
    text = shown(width)
    words = [word for row in ROWS for cell in row for word in cell.split()]
    for word in words:
        assert word in text or len(word) > width - 2, (word, text)
    assert max(map(len, text.splitlines())) <= width
    joined = "".join(text.split())
    assert all(word in joined for word in words if "┃" not in text), "also what is broken is whole"


def test_it_is_a_table_where_there_is_room_and_rows_of_their_own_elsewhere() -> None:
    assert "┃ store" in shown(120)
    assert shown(60).startswith("harbour\n  health: ok · offers: 24 · last sync: 2 min ago ·")
    assert "\n  health: paused · what to do: next\n" in shown(60), "a row without a head"
    assert "offers:  " not in shown(60)


def test_a_mark_and_the_name_behind_it_are_one_head() -> None:
    names, rows = ("", "encoder", "fingerprint"), [("*", "eye", "f" * 40), ("", "pixels", "e" * 40)]
    lines = [line.rstrip() for line in shown(44, names, rows).splitlines()]
    assert lines[:3] == ["* eye", "  fingerprint:", "  " + "f" * 40]
    assert lines[3] == "pixels"
