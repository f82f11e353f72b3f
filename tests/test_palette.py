"""Which swatches of "the same, but in …" can find anything."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import tiny
from lensback import wire
from lensback.search import Palette, Query, missing, palette, palette_of, palette_within
from lensback.types import Money
from lensback.wire import Region
from shown import answer, hit, offer

PALETTE = Palette(
    {
        "red": {"dress": frozenset({("pier", True), ("quay", False)})},
        "blue": {"shoes": frozenset({("pier", True)})},
        "green": {"": frozenset({("quay", True)})},
        "black": {"belt": frozenset({("pier", False)})},
    }
)


def of(category: str, label: str = "", verdict: str = "similar") -> wire.Answer:
    """An answer with one hit of this category, searched with a region of this label."""
    regions = (Region(box=(0.1, 0.1, 0.5, 0.5), label=label, score=0.9),) if label else ()
    hits = [hit(offer(category=category), category=category)] if category else []
    return answer(*hits, regions=regions, verdict=verdict)


@pytest.mark.parametrize(
    ("shown", "asked", "nothing"),
    [
        (of("Dresses"), {}, {"blue", "black"}),  # of a category that says nothing nobody knows
        (of("Dresses"), {"color": "blue"}, {"black"}),  # what was asked for stays
        (of("Dresses"), {"stores": ("pier",)}, {"blue", "black", "green"}),
        (of("Dresses"), {"stores": ("quay",), "in_stock": True}, {"red", "blue", "black"}),
        (of("Shoes"), {}, {"red", "black"}),
        (of("Shoes", "dress"), {}, {"black"}),  # what is searched, too
        (of("Belts"), {"in_stock": True}, {"red", "blue", "black"}),
        (of("Tops"), {}, {"blue", "black"}),  # a top may be taken for a dress
        (of("Dresses"), {"category": "Shoes"}, {"red", "black"}),
        (of("Things"), {}, set()),
        (of("", verdict="none"), {}, {"red", "blue", "green", "black"}),
        (of("", verdict="none"), {"color": "red"}, set()),
        (of("", "shoes", "none"), {"color": "red"}, {"black"}),
    ],
)
def test_colours_with_nothing(shown: wire.Answer, asked: dict[str, Any], nothing: set[str]) -> None:
    assert missing(PALETTE, Query(**asked), shown) == nothing


ROWS = [
    ("red", "Men > Shirts", "in_stock"),
    ("Dark red / чёрный", "Men > Shirts", "out_of_stock"),
    ("blue", "Shoes", "in_stock"),
    ("midnight", "Shoes", "in_stock"),  # no colour that is known
    ("", "Hats", "in_stock"),
]


def test_a_palette_is_what_is_on_sale(tmp_path: Path) -> None:
    made = tiny.opened(
        tmp_path,
        [
            tiny.Row("pier", f"{n}", f"{n}", ("one",), Money(1000, "EUR"), {"color": color, "category": category, "availability": stock})
            for n, (color, category, stock) in enumerate(ROWS)
        ],
        {"one": (1.0, 0.0, 0.0)},
    )  # fmt: skip
    found = palette_of(made.tools.db)
    assert found.places == {
        "red": {"top": {("pier", True), ("pier", False)}},
        "black": {"top": {("pier", False)}},
        "blue": {"shoes": {("pier", True)}},
    }
    assert found.colors == {"red", "black", "blue"}


NARROW = [
    # brand, size, price, old price, colour, category, stock
    ("Nord", "40", 9000, None, "red", "Shoes", "in_stock"),
    ("Nord", "41", 15000, 20000, "blue", "Shoes", "in_stock"),
    ("Süd", "40", 5000, None, "green", "Shoes", "in_stock"),
    ("Nord", "40", 7000, None, "black", "Dresses", "in_stock"),
    ("Nord", "40", 7000, None, "white", "Shoes", "out_of_stock"),
    ("", "", 100, None, "grey", "Shoes", "in_stock"),
]


@pytest.mark.parametrize(
    ("asked", "offered"),
    [
        ({}, {"red", "blue", "green", "white", "grey"}),
        ({"brands": ("nord",)}, {"red", "blue", "white"}),
        ({"brands": ("Nord", "Süd")}, {"red", "blue", "green", "white"}),
        ({"sizes": ("41",)}, {"blue"}),
        ({"brands": ("Nord",), "sizes": ("40",)}, {"red", "white"}),
        ({"brands": ("Nord",), "in_stock": True}, {"red", "blue"}),
        ({"price_min": "80"}, {"red", "blue"}),
        ({"price_max": "60", "currency": "EUR"}, {"green", "grey"}),
        ({"price_min": "51", "price_max": "100"}, {"red", "white"}),
        ({"discount": 20}, {"blue"}),
        ({"discount": 30}, set()),
        ({"brands": ("nobody",)}, set()),
        ({"brands": ("Nord",), "category": "Dresses"}, {"black"}),
        ({"brands": ("Nord",), "stores": ("quay",)}, set()),
        ({"brands": ("Süd",), "color": "red"}, {"green", "red"}),  # what was asked for stays
    ],
)
def test_swatches_keep_to_brand_size_price_and_discount(
    narrow: tiny.Tiny, asked: dict[str, Any], offered: set[str]
) -> None:
    tools, query = narrow.tools, Query(**asked)
    palette = palette_of(tools.db)
    shown = of("Shoes", "shoes")
    nothing = missing(palette, query, shown, palette_within(query, shown, tools))
    assert palette.colors - nothing == offered


def test_what_was_not_asked_for_is_not_read(narrow: tiny.Tiny) -> None:
    for plain in (Query(), Query(stores=("pier",), color="red", in_stock=True, order="price")):
        assert palette_within(plain, of("Shoes"), narrow.tools) is None


def test_a_filter_costs_no_more_on_a_larger_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of SQLite, not time. Where there are too many offers, what all of the kind have is offered."""
    row = tiny.Row("pier", "0", "0", ("one",), Money(9000, "EUR"), {"brand": "Nord", "color": "red", "category": "Shoes"})  # fmt: skip
    tools = tiny.opened(tmp_path, [row], {"one": (1.0, 0.0, 0.0)}).tools
    monkeypatch.setattr(palette, "MOST_READ", 200)
    query, shown = Query(brands=("Nord",)), of("Shoes", "shoes")
    steps, held = [], []
    for number, rows in enumerate((100, 1000, 8000)):
        with tools.db.write() as c:
            c.execute(text(MORE), {"rows": rows, "round": number})
            raw: Any = c.connection.driver_connection
        counted = Counter[str]()
        raw.set_progress_handler(lambda counted=counted: counted.update(["steps"]), 10)
        again = replace(tools, snapshot=replace(tools.snapshot, id=f"{number}"))
        palette_within(Query(brands=("Süd",)), shown, again)  # reads the words once for a snapshot
        counted.clear()
        found = palette_within(query, shown, again)
        steps.append(counted["steps"])
        held.append(found is not None)
        nothing = missing(palette_of(tools.db), query, shown, found)
        assert nothing == ({"blue"} if found else set())
        raw.set_progress_handler(None, 0)
    assert held == [True, False, False]
    assert steps[0] > 0
    assert steps[2] < 1.2 * steps[1]
    assert steps[2] < 4 * steps[0], "as many as MOST_READ, and no more"


MORE = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
INSERT INTO offers(offer_id, store_id, external_id, title, url, price_minor, currency, availability, brand, color,
  category, active, content_hash, created_at, updated_at, gtin, mpn, item_group_id, size, description, gender, age_group,
  material, pattern, condition, adult, tracked, target_url, disclosure)
SELECT printf('%d-%d', :round, i), store_id, printf('%d-%d', :round, i), title, url, price_minor, currency, availability,
  'Süd', 'blue', category, 1, content_hash, created_at, updated_at, '', '', '', '', '', '', '', '', '', 'new', 0, 0, '', ''
FROM n, (SELECT * FROM offers LIMIT 1)
"""


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> tiny.Tiny:
    rows = [
        tiny.Row("pier", f"{n}", f"{n}", ("one",), Money(price, "EUR"), {
            "brand": brand, "size": size, "color": color, "category": category, "availability": stock,
            "old_price": Money(old, "EUR") if old else None,
        })
        for n, (brand, size, price, old, color, category, stock) in enumerate(NARROW)
    ]  # fmt: skip
    return tiny.opened(tmp_path_factory.mktemp("narrow"), rows, {"one": (1.0, 0.0, 0.0)})
