"""The same, but in another colour: the model first, then the category, and never "not found" while either
is on sale in that colour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, event, inspect, select

import tiny
from lensback.catalogue import offers
from lensback.db import Database
from lensback.db import tables as t
from lensback.search import Query, search
from lensback.types import Filter, Money
from lensback.wire import Answer
from revisions import database_at
from tiny import Row, Tiny, even, photo, product_of


def row(
    name: str,
    group: str,
    color: str,
    category: str = "Men > Shirts",
    store: str = "shop",
    **more: Any,
) -> Row:
    fields = {"item_group_id": group, "color": color, "category": category, "title": name, **more}
    return Row(store, name, name, (name,), Money(1000, "EUR"), fields)


ROWS = [
    row("red-shirt", "g1", "Red"),
    row("green-shirt", "g1", "Зелёный"),
    row("blue-shirt", "g1", "navy", availability="out_of_stock"),
    row("other-green", "g2", "green"),
    row("other-blue", "g2", "blue"),
    row("black-shirt", "g3", "black"),
    row("green-boot", "g4", "green", "Shoes > Boots"),
    row("pink-boot", "g4", "pink", "Shoes > Boots"),
    row("g1-elsewhere", "g1", "yellow", "Men > Shirts", "pier"),
    row("no-color", "", "", "Hats"),
]  # fmt: skip
VECTORS = {
    "red-shirt": (1.0, 0.0, 0.0), "green-shirt": (0.1, 1.0, 0.0), "blue-shirt": (0.0, 0.1, 1.0), "other-green": (0.3, 1.0, 0.0),
    "other-blue": (0.3, 0.0, 1.0), "black-shirt": (0.3, 0.6, 0.7), "green-boot": (0.4, 1.0, 0.0), "pink-boot": (0.8, 0.6, 0.6), "g1-elsewhere": (0.6, 1.0, 0.0),
    "no-color": (0.0, 0.6, 1.0),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return tiny.opened(tmp_path_factory.mktemp("recolor"), ROWS, VECTORS)


def ask(
    made: Tiny, color: str, shade: tuple[float, float, float] = (1.0, 0.0, 0.0), **query: Any
) -> Answer:
    """Everything but the photo's own colour is far below the line."""
    tools = replace(made.tools, calibration=even(none_below=0.9, bias=-9.0))
    return search(photo(shade), Query(color=color, **query), tools)


def names(answer: Answer) -> list[str]:
    return [hit.product_id for hit in answer.hits]


@pytest.mark.parametrize(
    ("color", "first", "by"),
    [
        ("red", "red-shirt", "looks"),
        ("green", "green-shirt", "model"),
        ("blue", "blue-shirt", "model"),
        ("black", "black-shirt", "looks"),  # not of the model, of the category
        ("yellow", "g1-elsewhere", "looks"),  # an item group is one store's own
        ("pink", "pink-boot", "looks"),
    ],
)
def test_what_is_on_sale_in_the_colour_is_found(
    made: Tiny, color: str, first: str, by: str
) -> None:
    answer = ask(made, color)
    assert answer.verdict == "similar"
    assert (names(answer)[0], answer.hits[0].by) == (product_of(first), by)


def test_the_model_stands_before_what_is_nearer(made: Tiny) -> None:
    """Another green shirt is nearer to the photo than the model's own green one."""
    answer = ask(made, "green")
    assert names(answer)[0] == product_of("green-shirt")
    assert product_of("other-green") in names(answer)
    assert answer.hits[0].similarity < max(hit.similarity for hit in answer.hits)


def test_the_other_filters_hold(made: Tiny) -> None:
    answer = ask(made, "blue", in_stock=True)
    assert names(answer)[0] == product_of("other-blue")
    assert product_of("blue-shirt") not in names(answer)
    assert names(ask(made, "yellow", stores=("pier",))) == [product_of("g1-elsewhere")]


def test_nothing_in_the_colour_is_nothing(made: Tiny) -> None:
    assert (ask(made, "purple").verdict, ask(made, "purple").hits) == ("none", ())


def test_what_nothing_looks_like_has_no_other_colours(made: Tiny) -> None:
    """A purple photo is near to nothing from the line on."""
    assert ask(made, "green", (0.7, 0.0, 0.7)).verdict == "none"


def test_a_colour_far_from_the_photo_is_found_behind_many_nearer_things(tmp_path: Path) -> None:
    """More red shirts than are looked at: the one in green is found in the category."""
    many = [row(f"r{n}", f"m{n}", "red") for n in range(60)]
    rows = [*many, row("far-green", "x", "green"), row("green-hat", "y", "green", "Hats")]
    shades = {f"r{n}": (1.0, n / 1000, 0.0) for n in range(60)}
    vectors = {**shades, "far-green": (0.0, 1.0, 0.2), "green-hat": (0.0, 1.0, 0.0)}
    made = tiny.opened(tmp_path, rows, vectors, candidates=1)
    assert names(ask(made, "green", limit=1)) == [product_of("far-green")]


def test_the_model_is_found_by_an_index(made: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the catalogue: no plan reads all offers."""
    plans: list[str] = []

    def explained(connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and "item_group_id" in statement:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.extend(str(row[3]) for row in cursor.fetchall())

    event.listen(made.tools.db.engine, "before_cursor_execute", explained)
    try:
        found = offers.same_group(made.tools.db, product_of("red-shirt"), Filter())
    finally:
        event.remove(made.tools.db.engine, "before_cursor_execute", explained)
    assert found == sorted(map(product_of, ("red-shirt", "green-shirt", "blue-shirt")))
    assert any("ix_offers_item_group" in plan for plan in plans)
    assert not [plan for plan in plans if plan.startswith("SCAN offers")], plans


def _copied(old: Database, folder: Path, *tables: str) -> None:
    """Rows as they are written today, without the columns that came later."""
    made = Database(f"sqlite:///{folder / 'made.db'}")
    made.migrate()
    tiny.write(made, [ROWS[0], ROWS[1]], "c0107")
    was = MetaData()
    was.reflect(old.engine, only=tables)
    with made.read() as source, old.write() as target:
        for name in tables:
            names = [column.name for column in was.tables[name].columns]
            rows = source.execute(select(*(t.metadata.tables[name].c[n] for n in names)))
            target.execute(
                was.tables[name].insert(), [dict(zip(names, r, strict=True)) for r in rows]
            )
    made.close()


def test_the_upgrade_from_the_version_before(tmp_path: Path) -> None:
    """Offers of revision 0013 stay, and their models are found by an index."""
    database = database_at("0013", f"sqlite:///{tmp_path / 'x.db'}")
    _copied(database, tmp_path, "stores", "offers")
    database.migrate()
    found = offers.same_group(database, product_of("red-shirt"), Filter())
    assert found == sorted(map(product_of, ("red-shirt", "green-shirt")))
    names = {one["name"] for one in inspect(database.engine).get_indexes("offers")}
    assert "ix_offers_item_group" in names
    database.close()
