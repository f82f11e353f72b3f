"""Tables as they are: quotes, line ends, widths, what stands before the header and in it again."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback import feeds
from lensback.types import Offer, Rejected


def read(text: str, encoding: str = "utf-8") -> list[Offer | Rejected]:
    return list(feeds.read(io.BytesIO(text.encode(encoding))))


def titles(text: str, encoding: str = "utf-8") -> list[str]:
    """What became of each row: its title, or why it is none."""
    rows = read(text, encoding)
    return [row.title if isinstance(row, Offer) else row.reason for row in rows]


# fmt: off
TABLES = {
    'single quotes': ("id,title,link,price\n1,'Cup, red','https://s.example/1','5 EUR'\n2,'It''s','https://s.example/2','6 EUR'\n", ['Cup, red', "It's"]),
    'single quotes header': ("'id','title','link','price'\n'1','Cup, red','https://s.example/1','5 EUR'\n", ['Cup, red']),
    'apostrophes unquoted': ("id,title,link,price\n1,Men's cup,https://s.example/1,5 EUR\n2,'Tis a cup,https://s.example/2,5 EUR\n", ["Men's cup", "'Tis a cup"]),
    'raw html quotes': ('id,title,link,price\n1,<b class="x">Cup</b>,https://s.example/1,5 EUR\n', ['Cup']),
    'html quotes in quoted unescaped': ('id,title,link,price,description\n1,Cup,https://s.example/1,5 EUR,"<p class="x">Red, big</p>"\n2,Hat,https://s.example/2,5 EUR,"<p>ok</p>"\n', ['Cup', 'Hat']),
    'html quotes middle': ('id,title,description,link,price\n1,Cup,"<p class="x">Red, big</p>",https://s.example/1,5 EUR\n2,Hat,"<p>ok</p>",https://s.example/2,5 EUR\n', ['Cup', 'Hat']),
    'inch': ('id,title,link,price\n1,12" pan,https://s.example/1,5 EUR\n2,"10"" pan",https://s.example/2,5 EUR\n3,"8" pan",https://s.example/3,5 EUR\n', ['12" pan', '10" pan', '8" pan']),
    'inch first': ('id,title,link,price\n1,"12" pan, red",https://s.example/1,5 EUR\n2,Hat,https://s.example/2,5 EUR\n', ['12" pan, red', 'Hat']),
    'backslash': ('id,title,link,price\n1,"12\\" pan, red",https://s.example/1,5 EUR\n', ['12" pan, red']),
    'backslash comma unquoted': ('id,title,link,price\n1,Cup\\, red,https://s.example/1,5 EUR\n2,Hat,https://s.example/2,5 EUR\n', ['Cup, red', 'Hat']),
    'mixed ends': ('id,title,link,price\r\n1,Cup,https://s.example/1,5 EUR\r2,Cup,https://s.example/2,5 EUR\r\n3,Cup,https://s.example/3,5 EUR\n', ['Cup', 'Cup', 'Cup']),
    'cr only': ('id,title,link,price\r1,Cup,https://s.example/1,5 EUR\r2,Cup,https://s.example/2,5 EUR\r', ['Cup', 'Cup']),
    'crcrlf': ('id,title,link,price\r\r\n1,Cup,https://s.example/1,5 EUR\r\r\n2,Cup,https://s.example/2,5 EUR\r\r\n', ['Cup', 'Cup']),
    'header twice': ('id,title,link,price\n1,Cup,https://s.example/1,5 EUR\nid,title,link,price\n2,Cup,https://s.example/2,5 EUR\n', ['Cup', 'Cup']),
    'bom inside': ('id,title,link,price\n1,Cup,https://s.example/1,5 EUR\n\ufeff2,Cup,https://s.example/2,5 EUR\n', ['Cup', 'Cup']),
    'bom header concat': ('id,title,link,price\n1,Cup,https://s.example/1,5 EUR\n\ufeffid,title,link,price\n2,Cup,https://s.example/2,5 EUR\n', ['Cup', 'Cup']),
    'bom quoted header': ('\ufeff"id","title","link","price"\n1,Cup,https://s.example/1,5 EUR\n', ['Cup']),
    'semicolon comma': ('id;title;link;price;currency\n1;Cup;https://s.example/1;12,50;EUR\n2;Hat, red;https://s.example/2;1.299,00;EUR\n', ['Cup', 'Hat, red']),
    'trailing sep': ('id,title,link,price,\n1,Cup,https://s.example/1,5 EUR,\n', ['Cup']),
    'trailing sep rows only': ('id,title,link,price\n1,Cup,https://s.example/1,5 EUR,\n2,Hat,https://s.example/2,5 EUR,,,\n', ['Cup', 'Hat']),
    'nul': ('id,title,link,price\n1,C\x00up,https://s.example/1,5 EUR\n\x00\x00\n2,Hat,https://s.example/2,5 EUR\n', ['Cup', 'Hat']),
    'ragged': ('id,title,link,price\n1,Cup\n2,Hat,https://s.example/2,5 EUR\n3,Cap,https://s.example/3,5 EUR,extra\n4,Bag,https://s.example/4,6 EUR\n', ['no url', 'Hat', 'bad row', 'Bag']),
    'blank lines': ('\n\nid,title,link,price\n\n1,Cup,https://s.example/1,5 EUR\n,,,\n   \n2,Cup,https://s.example/2,5 EUR\n', ['Cup', 'Cup']),
    'comment': ('# made by x\nid,title,link,price\n1,Cup,https://s.example/1,5 EUR\n', ['Cup']),
    'leading space': ('id, title, link, price\n1, "Cup, red", https://s.example/1, 5 EUR\n', ['Cup, red']),
    'tabs quotes': ('id\ttitle\tlink\tprice\n1\t12" pan\thttps://s.example/1\t5 EUR\n2\t"10" pan\thttps://s.example/2\t5 EUR\n', ['12" pan', '"10" pan']),
    'pipe': ('id|title|link|price\n1|Cup|https://s.example/1|5 EUR\n', ['Cup']),
    'pipe quoted': ('"id"|"title"|"link"|"price"\n"1"|"Cup | red"|"https://s.example/1"|"5 EUR"\n', ['Cup | red']),
    'multi line': ('id,title,link,price\n1,"Cup\nred",https://s.example/1,5 EUR\n2,Hat,https://s.example/2,5 EUR\n', ['Cup red', 'Hat']),
    'unclosed': ('id,title,link,price\n1,"Cup,https://s.example/1,5 EUR\n2,Hat,https://s.example/2,5 EUR\n3,Bag,https://s.example/3,5 EUR\n', ['Cup', 'Hat', 'Bag']),
    'quote after': ('id,title,link,price\n1,"Cup" red,https://s.example/1,5 EUR\n', ['"Cup" red']),
    'space before quote': ('id,title,link,price\n1, "Cup, red",https://s.example/1,5 EUR\n2,Hat,https://s.example/2,5 EUR\n', ['Cup, red', 'Hat']),
    'space after quote': ('id,title,link,price\n1,"Cup, red" ,https://s.example/1,5 EUR\n', ['Cup, red']),
    'title line before header': ('My shop feed;;;\nid;title;link;price\n1;Cup;https://s.example/1;5 EUR\n', ['Cup']),
    'caret': ('id^title^link^price\n1^Cup^https://s.example/1^5 EUR\n', ['Cup']),
    'tilde': ('id~title~link~price\n1~Cup~https://s.example/1~5 EUR\n', ['Cup']),
    'two-char': ('id||title||link||price\n1||Cup||https://s.example/1||5 EUR\n', ['Cup']),
    'ids with quotes': ('id,title,link,price\n"=""001""",Cup,https://s.example/1,5 EUR\n', ['Cup']),
    'smart quotes': ('id,title,link,price\n1,“Cup” red,https://s.example/1,5 EUR\n', ['“Cup” red']),
    'vertical tab': ('id,title,link,price\n1,Cup\x0bred,https://s.example/1,5 EUR\n', ['Cup red']),
    'U+2028': ('id,title,link,price\n1,Cup\u2028red,https://s.example/1,5 EUR\n2,Hat\x85b,https://s.example/2,5 EUR\n', ['Cup red', 'Hat b']),
    'ctrl-z': ('id,title,link,price\n1,Cup,https://s.example/1,5 EUR\n\x1a', ['Cup']),
    'header caps quotes': ('"ID";"TITLE";"LINK";"PRICE"\n"1";"Cup";"https://s.example/1";"5,00 EUR"\n', ['Cup']),
    'backslash at end': ('id,title,link,price\n1,"C:\\",https://s.example/1,5 EUR\n2,"Hat",https://s.example/2,5 EUR\n', ['C:\\', 'Hat']),
    'html over two lines': ('id,title,link,price,description\n1,Cup,https://s.example/1,5 EUR,"<p class="x">Red,\nbig</p>"\n2,Hat,https://s.example/2,5 EUR,"ok"\n', ['Cup', 'Hat']),
    'date line before header': ('2026-11-28 10:00\n\nid,title,link,price\n1,Cup,https://s.example/1,5 EUR\n', ['Cup']),
    'blank cells before header': (',,,\nid,title,link,price\n1,Cup,https://s.example/1,5 EUR\n', ['Cup']),
    'quotes that never close': ('id,title,link,price\n1,"Cup,https://s.example/1,5 EUR\n2,"Hat,https://s.example/2,5 EUR\n3,Bag,https://s.example/3,5 EUR\n', ['Cup', 'Hat', 'Bag']),
}
# fmt: on


@pytest.mark.parametrize("what", TABLES)
def test_tables(what: str) -> None:
    text, wanted = TABLES[what]
    assert titles(text) == wanted
    if "CR" not in what and "\r" not in text and "cut" not in what:
        assert titles(text.replace("\n", "\r\n")) == wanted, "as Windows ends lines"
    assert titles(text, "utf-8-sig") == wanted or text.startswith("\ufeff")


def test_lines_are_told_as_they_stand_in_the_file() -> None:
    text = (
        "My feed,,,\n\nid,title,link,price\n1,Cup,https://s.example/1,5 EUR\nid,title,link,price\n,,,\n"
        '2,"12" pan, red",https://s.example/2,5 EUR\n3,"<b class="x">Hat\n</b>",https://s.example/3,5 EUR\n4,Bag,,5 EUR\n'
    )
    *offers, refused = read(text)
    assert [getattr(row, "title", "") for row in offers] == ["Cup", '12" pan, red', "Hat"]
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.line) == ("no url", 10)


def test_semicolons_and_decimal_commas() -> None:
    text = "id;title;link;price;currency\n1;Cup;https://s.example/1;1.299,50;EUR\n2;Hat, red;https://s.example/2;12,5;EUR\n"
    assert [str(row.price) for row in read(text) if isinstance(row, Offer)] == [
        "1299.50 EUR",
        "12.50 EUR",
    ]


WORD = st.text("ab \"'<>=/", min_size=1, max_size=10).map(lambda s: f"x{s}y")


@given(
    st.lists(WORD, min_size=1, max_size=4),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_quotes_that_nobody_escapes_come_back(words: list[str], delimiter: str, end: str) -> None:
    """Every cell in quotes, and more quotes in it: what follows none of them is a delimiter."""
    wanted = [" ".join(word.split()) for word in words if "<" not in word and '""' not in word]
    rows = [(str(n), w, f"https://s.example/{n}", "5 EUR") for n, w in enumerate(wanted)]
    lines = [
        delimiter.join(f'"{cell}"' for cell in row)
        for row in [("id", "title", "link", "price"), *rows]
    ]
    if rows:
        assert titles(end.join(lines) + end) == wanted


@given(
    st.lists(
        st.text("ab ,;\"'", min_size=1, max_size=8).map(lambda s: f"x{s}y"), min_size=1, max_size=4
    )
)
def test_a_table_in_single_quotes_comes_back(words: list[str]) -> None:
    wanted = [" ".join(word.split()) for word in words if '"' not in word]
    made = io.StringIO()
    table = csv.writer(made, quotechar="'", quoting=csv.QUOTE_ALL, lineterminator="\n")
    table.writerow(["id", "title", "link", "price"])
    table.writerows((n, word, f"https://s.example/{n}", "5 EUR") for n, word in enumerate(wanted))
    if wanted:
        assert titles(made.getvalue()) == wanted


@given(st.integers(0, 7), st.text('ab,"\\ \x00\ufeff', max_size=20), st.sampled_from(["", "\n"]))
def test_a_damaged_row_takes_no_other_with_it(at: int, junk: str, end: str) -> None:
    """Whatever stands in one row, those before and behind it are read; but for one that a quote of the
    damaged row reaches into."""
    good = [f'{n},"Cup {n}",https://s.example/{n},5 EUR' for n in range(8)]
    text = "\n".join(["id,title,link,price", *good[:at], junk, *good[at:]]) + end
    found = titles(text)
    lost = [n for n in range(8) if f"Cup {n}" not in found]
    assert lost in ([], [at]), (junk, found)
    assert junk.count('"') or not lost


def test_a_file_without_a_last_line_end_is_whole() -> None:
    text = 'id,title,link,price\n1,Cup,https://s.example/1,5 EUR\n2,"a" b, c,https://s.example/2,5 EUR\n3,Bag,https://s.example/3,5 EUR'
    assert titles(text) == ["Cup", "bad row", "Bag"]
