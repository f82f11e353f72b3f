"""Tables whose quotes are escaped by a backslash, beside those whose quotes are doubled."""

from __future__ import annotations

import csv
import io
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lensback import feeds
from lensback.errors import FeedTruncated
from lensback.feeds import batch, stream, table
from lensback.types import Offer, Rejected

HEAD = "id,title,link,price,description\n"


def read(text: str) -> list[Offer | Rejected]:
    return list(feeds.read(io.BytesIO((HEAD + text).encode())))


def titles(text: str) -> list[str]:
    return [row.title if isinstance(row, Offer) else row.reason for row in read(text)]


def row(n: int, title: str, description: str = "x") -> str:
    return f'{n},"{title}",https://s.example/{n},5 EUR,"{description}"\n'


def test_a_backslash_escapes_a_quote():
    text = (
        row(1, r"12\" ruler, steel")
        + row(2, r"\"Big\" cup")
        + row(3, r"Plate \"L\"")
        + row(4, "Cup")
    )
    assert titles(text) == ['12" ruler, steel', '"Big" cup', 'Plate "L"', "Cup"]


def test_a_field_may_end_in_a_backslash():
    assert titles(row(1, "C:\\") + row(2, 'A ""B""') + row(3, "D\\")) == ["C:\\", 'A "B"', "D\\"]


def test_both_conventions_in_one_file():
    text = row(1, r"12\" ruler") + row(2, '13"" ruler') + row(3, "C:\\") + row(4, r"a \\\" b")
    assert titles(text) == ['12" ruler', '13" ruler', "C:\\", 'a \\\\" b']


def test_a_row_of_several_lines():
    text = row(1, r"a \"b\"", 'so \\"wide\\"\nand "long, yes'.replace('"long', '\\"long')) + row(
        2, "Cup"
    )
    rows = read(text + "3,Cup,,5 EUR,x\n")
    assert [getattr(r, "title", "") for r in rows[:2]] == ['a "b"', "Cup"]
    assert isinstance(rows[2], Rejected)
    assert (rows[2].reason, rows[2].line) == ("no url", 5)


def test_lines_taken_in_vain_come_again():
    text = '1,"a \\" b,https://s.example/1,5 EUR,x\n' + row(2, "Cup") + row(3, "Mug")
    assert titles(text)[-2:] == ["Cup", "Mug"]


WORD = st.text('ab "\\,', min_size=1, max_size=8).map(lambda s: f"x{s}y")


@given(st.lists(WORD, min_size=1, max_size=5))
@example(['x", "y'])
def test_every_title_survives_either_convention(words: list[str]):
    escaped = "".join(
        row(n, word.replace("\\", "/").replace('"', '\\"')) for n, word in enumerate(words)
    )
    doubled = io.StringIO()
    table = csv.writer(doubled, quoting=csv.QUOTE_ALL, lineterminator="\n")
    table.writerows(
        [n, word, f"https://s.example/{n}", "5 EUR", "x"] for n, word in enumerate(words)
    )
    wanted = [" ".join(word.split()) for word in words]
    assert titles(escaped) == [word.replace("\\", "/") for word in wanted]
    assert titles(doubled.getvalue()) == wanted


CELLS = st.sampled_from(["{}", '="{}"', '"=""{}"""', '" =""{}"""'])


@given(st.lists(CELLS, min_size=4, max_size=4), st.sampled_from([",", ";", "\t"]))
def test_a_cell_that_excel_was_to_keep_as_text(cells: list[str], delimiter: str) -> None:
    values = ["00123", "Cup", "https://s.example/1", "5.50 EUR"]
    head = delimiter.join(["id", "title", "link", "price"])
    line = delimiter.join(cell.format(value) for cell, value in zip(cells, values, strict=True))
    (found,) = feeds.read(io.BytesIO(f"{head}\n{line}\n".encode()))
    assert isinstance(found, Offer), found
    assert [found.external_id, found.title, found.url, str(found.price)] == values


def test_a_header_of_such_cells() -> None:
    head = ",".join(f'="{name}"' for name in ("id", "title", "link", "price"))
    (found,) = feeds.read(io.BytesIO(f"{head}\n1,Cup,https://s.example/1,5 EUR\n".encode()))
    assert isinstance(found, Offer)


def test_what_only_looks_like_such_a_cell_stays() -> None:
    (found,) = read(row(1, 'A ""="" sign', '<a href=""x"">y</a>'))
    assert isinstance(found, Offer)
    assert (found.title, found.description) == ('A "=" sign', "y")


def test_a_space_after_every_delimiter():
    text = 'id, "title", link, price\n1, "Cup, red", https://s.example/1, 5 EUR\n2, Mug, https://s.example/2, 5 EUR\n'
    rows = list(feeds.read(io.BytesIO(text.encode())))
    assert [getattr(one, "title", "") for one in rows] == ["Cup, red", "Mug"]


def test_double_quotes_inside_of_cells_in_single_ones():
    head = "'id','title','link','price'\n"
    rows = "'1','12\" pan, red','https://s.example/1','5 EUR'\n'2','Hat \"M\"','https://s.example/2','5 EUR'\n"
    found = feeds.read(io.BytesIO((head + rows).encode()))
    assert [row.title for row in found if isinstance(row, Offer)] == ['12" pan, red', 'Hat "M"']


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("before", ["", "\ufeff", "\n"])
def test_lines_that_are_one_cell_each(end: str, mark: str, before: str):
    """As Excel saves a table that it did not take apart."""
    cells = [["id", "title", "link", "price"], ["1", f'"Cup{mark} 12"" wide"', "https://s.example/1", "5 EUR"],
             ["2", "Hat", "https://s.example/2", "5 EUR"], ["3", '"""M"""', "https://s.example/3", "5 EUR"]]  # fmt: skip
    lines = [mark.join(row) for row in cells]
    whole = "".join('"' + line.replace('"', '""') + '"' + end for line in lines)
    found = list(feeds.read(io.BytesIO((before + whole).encode())))
    told = [row.title for row in found if isinstance(row, Offer)]
    assert told == [f'Cup{mark.strip()} 12" wide', "Hat", '"M"']


def test_a_table_all_in_quotes_is_no_such_one():
    text = '"id","title","link","price"\n"1","Cup","https://s.example/1","5 EUR"\n'
    (row,) = feeds.read(io.BytesIO(text.encode()))
    assert isinstance(row, Offer)


STRAY = (
    "id\ttitle\tlink\tprice\timage_link\tavailability\n"
    '0\tHat 0\thttps://s.example/0\t"\n1 EUR\t\t0\n'
)


@pytest.mark.parametrize("behind", range(1, 8))
def test_rows_behind_a_quote_that_nobody_closes_come_again_after_the_last_line(behind: int) -> None:
    """The reader has come to the end of the file by then, and is asked for more."""
    rows = "".join(
        f"{n}\tHat {n}\thttps://s.example/{n}\t5 EUR\t\t7\n" for n in range(1, behind + 1)
    )
    made = list(feeds.read(io.BytesIO((STRAY + rows).encode())))
    ids = [row.external_id for row in made if isinstance(row, Offer)]
    assert ids[-behind:] == [str(n) for n in range(1, behind + 1)]


PIECES = (
    "{n},Hat {n},https://s.example/{n},5 EUR\n",
    '"{n}","Hat, {n}","https://s.example/{n}","5 EUR"\n',
    '{n},"Hat\n{n}",https://s.example/{n},5 EUR\n',
    '{n},"12\\" {n}",https://s.example/{n},5 EUR\n',
    '{n},"a "b" {n}",https://s.example/{n},5 EUR\n',
    '{n},"Hat {n},https://s.example/{n},5 EUR\n',
    "{n},Hat {n}\n",
    "{n},Hat {n},https://s.example/{n},5 EUR,\n",
    "id,title,link,price\n",
    ",,,\n",
    "\n",
)
SIZES = ((1 << 16, 500), (40, 3), (300, 7))


@pytest.mark.parametrize(("chunk", "together"), SIZES)
def test_many_lines_at_once_give_what_one_by_one_gives(
    chunk: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(chunk)
    monkeypatch.setattr(stream, "CHUNK_BYTES", chunk)
    monkeypatch.setattr(batch, "ROWS", together)
    at_once = table._plain_rows
    for odd in (0, 0.02, 0.3):
        for _ in range(12):
            kinds = [
                chance.choice(PIECES) if chance.random() < odd else PIECES[n % 2] for n in range(60)
            ]
            text = "id,title,link,price\n" + "".join(
                piece.format(n=n) for n, piece in enumerate(kinds)
            )
            data = text[: chance.choice([len(text), len(text) - 9])].encode()
            read = []
            for way in (at_once, lambda *_: None):
                monkeypatch.setattr(table, "_plain_rows", way)
                read.append(_all(data))
            assert read[0] == read[1], text


def _all(data: bytes) -> list[object]:
    made: list[object] = []
    try:
        made.extend(feeds.read(io.BytesIO(data)))
    except FeedTruncated as error:
        made.append(error.message)
    return made
