"""Text from outside: what is shown of it on a terminal, in a log, on a page."""

from __future__ import annotations

import io
import json
import logging
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2 import Environment
from rich.table import Table

from lensback import log
from lensback.console import Terminal
from lensback.errors import Error
from lensback.feeds.texts import text
from lensback.legible import cell, legible, legible_json, shown

EVIL = "\x1b[2Ja\x1b]0;t\x07b\x9b31mc\u202ed\u2066e\nf\r\x00\x7fg\u2028h\udc9bi\u200bj\x1bPq\x1b\\k"
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\u200b]")
"""What a terminal, a log reader or a browser obeys; a line end of ours is none."""
ODD = st.text(
    st.characters(codec=None) | st.sampled_from("\x1b[]0;31m\x9b\x07\\PX^_\n\r\x85\u202e")
)


@given(ODD)
@example(EVIL)
@example("\x1b[")
@example("\x1b\x1b[[31mm")
@example("\x1b]" * 50)
def test_nothing_is_left_that_is_obeyed(said: str) -> None:
    one, several = legible(said), legible(said, lines=True)
    assert not OBEYED.search(one)
    assert "\n" not in one
    assert not OBEYED.search(several)
    for made, lines in ((one, False), (several, True)):
        assert legible(made, lines=lines) == made
        made.encode()  # no half of a surrogate
    assert all(unicodedata.category(sign) not in {"Cc", "Cs", "Zl", "Zp"} for sign in one)


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])))
@example("Ünïcödé, красный, 靴, עברית, नमस्ते, 👩‍👩‍👧 \u200dé")
def test_what_people_write_stays(said: str) -> None:
    assert legible(said) == said


@given(ODD)
@example(EVIL)
def test_json_stays_the_same_value(said: str) -> None:
    dumped = legible_json(json.dumps({"a": [said]}, ensure_ascii=False, indent=2))
    assert not OBEYED.search(dumped)
    assert json.loads(dumped) == {"a": [said]}


def test_an_escape_goes_whole_and_a_word_stays() -> None:
    assert legible(EVIL) == "abcde f g hijk"
    assert legible("a\r\nb\tc", lines=True) == "a\nb c"


@pytest.mark.parametrize("opens", ["\x1b[", "\x1b]", "\x1b]0;", "\x1bP", "\x9d", "\x1b", "\u202e"])
def test_it_is_linear(opens: str) -> None:
    """Ten times the text takes about ten times the work: counted in the steps of a million signs."""
    assert len(legible(opens * 300_000)) <= 300_000 * len(opens)


def test_every_face_goes_through_it(capsys: pytest.CaptureFixture[str]) -> None:
    error = Error(EVIL, hint=EVIL)
    assert not OBEYED.search(str(error) + error.message + error.hint)
    assert error.message.count("\n") == 0
    shelf = io.StringIO()
    terminal = Terminal(file=shelf, force_terminal=True, width=80, color_system="standard")
    table = Table(EVIL)
    table.add_row(EVIL)
    terminal.print(table)
    terminal.print(EVIL, markup=False)
    printed = re.sub("\x1b\\[[0-9;]*m", "", shelf.getvalue())  # Rich's own colours
    assert "\x1b[" in shelf.getvalue()
    assert not OBEYED.search(printed)
    record = logging.LogRecord("lensback", 20, "", 0, EVIL, (), None)
    record.fields = {"store": EVIL}
    line = log.JsonFormatter().format(record)
    assert not OBEYED.search(line)
    assert "\n" not in line
    assert json.loads(line)["store"] == EVIL
    page = Environment(autoescape=True, finalize=shown).from_string("<p>{{ said }}</p>")
    assert not OBEYED.search(page.render(said=EVIL + "<b>"))
    assert "&lt;b&gt;" in page.render(said=EVIL + "<b>")
    assert text(f"<b>{EVIL}</b>", 200).isprintable()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1", "'=1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@a", "'@a"),
        ("\ta", "'\ta"),
        ("\ra", "'\ra"),
        ("a=1", "a=1"),
        ("", ""),
        ("1", "1"),
        ("'=", "'="),
    ],
)
def test_a_cell_is_no_formula(text: str, written: str) -> None:
    assert cell(text) == written
