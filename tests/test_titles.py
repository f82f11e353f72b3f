"""What a product is called: by its best offer, whatever is cheapest, in the reader's language first."""

from __future__ import annotations

import doctest
import itertools
import random
from dataclasses import dataclass, replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback.catalogue.for_sale import ForSale
from lensback.search import titles
from lensback.search.titles import WORDS_COUNTED, caption


@dataclass
class Said:
    """What the rule looks at of a row."""

    title: str
    category: str = ""
    brand: str = ""
    size: str = ""
    offer_id: str = ""


def called(*rows: Said, language: str = "") -> str:
    rows = tuple(replace(row, offer_id=str(n)) for n, row in enumerate(rows))
    found = {
        caption(cast("list[ForSale]", list(order)), language).title
        for order in itertools.islice(itertools.permutations(rows), 24)
    }
    assert len(found) == 1, "the order of offers has a part in it"
    return found.pop()


RUSSIAN, ENGLISH = "Рубашка в клетку", "Checked cotton shirt with pocket"


def test_doctests() -> None:
    assert doctest.testmod(titles).failed == 0


@pytest.mark.parametrize(
    ("language", "others", "wanted"),
    [
        ("ru", [ENGLISH], RUSSIAN),
        ("ru-RU", [ENGLISH], RUSSIAN),
        ("en", [RUSSIAN + " хлопковая с карманом на пуговицах"], ENGLISH),
        ("en-GB", [RUSSIAN], ENGLISH),
        ("ru", ["Nike Air Force low"], "Кроссовки Nike"),
        ("en", ["Кроссовки Nike Air Force низкие"], "Nike sneakers"),
        ("ru", ["Сорочка картата з довгими рукавами, її розмір"], "Рубашка Levi's"),
        ("en", ["Kariertes Hemd für Männer mit Tasche, bügelfrei"], "Checked shirt"),
        ("uk", ["Checked cotton shirt with pocket"], "Сорочка картата"),
        ("el", ["Checked cotton shirt"], "Πουκάμισο καρό"),
        ("he", ["Checked cotton shirt"], "חולצה משובצת"),
        ("ar", ["Checked cotton shirt"], "قميص مربعات"),
        ("ja", ["Checked cotton shirt"], "チェックシャツ 綿"),
        ("ko", ["Checked cotton shirt"], "체크 셔츠"),
        ("zh", ["Checked cotton shirt"], "格子衬衫"),
        ("th", ["Checked cotton shirt"], "เสื้อเชิ้ตลายตาราง"),
        ("de", [RUSSIAN], "Kariertes Hemd für Männer"),
        ("", ["Checked shirt"], "Checked cotton shirt with a pocket"),
        ("nobody knows", ["Checked shirt"], "Checked cotton shirt with a pocket"),
    ],
)
def test_the_language_of_the_reader_comes_first(
    language: str, others: list[str], wanted: str
) -> None:
    assert called(Said(wanted), *map(Said, others), language=language) == wanted


@pytest.mark.parametrize(
    ("bare", "category", "brand"),
    [
        ("Shirts", "Men > Shirts", "Marlo"),
        ("Shirt", "Men > Shirts", "Marlo"),
        ("SHIRTS!", "Men > Shirts", "Marlo"),
        ("Men, shirts", "Men > Shirts", "Marlo"),
        ("Marlo", "Men > Shirts", "Marlo"),
        ("Shirts and blouses of cotton", "Shirts and blouses of cotton", ""),
        ("Кроссовки", "Обувь > Кроссовки", ""),
        ("", "", ""),
        ("—", "", ""),
    ],
)
def test_a_name_of_a_category_or_of_the_brand_is_no_title(
    bare: str, category: str, brand: str
) -> None:
    assert called(Said(bare, category, brand), Said("Zed 9")) == "Zed 9"
    assert called(Said(bare), Said("Zed 9", category, brand)) == "Zed 9"  # of another store
    assert called(Said(bare, category, brand)) == bare  # better than nothing


def test_the_fullest_counts_words_and_not_sizes() -> None:
    assert called(Said("Checked shirt, XL", size="XL"), Said("Checked shirt")) == "Checked shirt"
    assert called(Said("Shirt shirt shirt shirt"), Said("Checked shirt")) == "Checked shirt"
    assert called(Said("Checked shirt"), Said("Checked shirt blue")) == "Checked shirt blue"
    stuffed = " ".join(f"word{n}" for n in range(3 * WORDS_COUNTED))
    full = " ".join(f"w{n}" for n in range(WORDS_COUNTED))
    assert called(Said(stuffed), Said(full)) == full


def test_brand_and_category_come_from_the_same_offer_and_else_from_the_next() -> None:
    rows = [
        Said("Рубашка в клетку хлопковая", "Рубашки", "Марло", offer_id="a"),
        Said("Checked shirt of cotton", "", "Marlo", offer_id="b"),
        Said("Checked shirt", "Men > Shirts", "", offer_id="c"),
    ]
    found = caption(cast("list[ForSale]", rows), "en")
    assert found == titles.Caption("Checked shirt of cotton", "Marlo", "Men > Shirts")
    found = caption(cast("list[ForSale]", rows), "ru")
    assert found == titles.Caption("Рубашка в клетку хлопковая", "Марло", "Рубашки")


@given(
    st.lists(
        st.builds(
            Said,
            title=st.text(max_size=40),
            category=st.text(max_size=20),
            brand=st.text(max_size=8),
            size=st.sampled_from(["", "M", "XL"]),
            offer_id=st.uuids().map(str),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["", "en", "ru", "de", "ja", "xx", "zh-Hant", "-"]),
    st.randoms(),
)
def test_one_answer_whatever_the_order(
    rows: list[Said], language: str, luck: random.Random
) -> None:
    first = caption(cast("list[ForSale]", rows), language)
    assert first.title in {row.title for row in rows}
    luck.shuffle(rows)
    assert caption(cast("list[ForSale]", rows), language) == first
