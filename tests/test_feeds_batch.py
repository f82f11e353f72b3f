"""Many rows at once give what each row gives alone."""

from __future__ import annotations

from dataclasses import fields, replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lensback.feeds import batch, clean
from lensback.feeds.columns import FIELDS
from lensback.types import Offer, Rejected

WORDS = st.sampled_from(
    [
        "",
        " ",
        "Hat",
        " Hat  red ",
        "a<b>c</b>",
        "x &amp; y",
        "\u00a0тёплая\u200b",
        "true",
        "0",
        "1",
        "5 EUR",
        "1 299,00 ₽",
        "4006381333931",
        "https://s.example/1",
        "https://s.example/1?a=1&amp;b=2",
        "https://s.example/a.jpg,https://s.example/b.jpg",
        "https://s.example/a.jpg\nhttps://s.example/a.jpg\n\nhttps://s.example/c d.jpg",
        "https://ad.example/g/?ulp=https%3A%2F%2Fs.example%2F1",
        "{BASE}/1",
        "//s.example/[1]",
        "A > B",
        "in stock",
        "x" * 250,
        "y " * 700,
        "https://s.example/" + "z" * 5000,
    ]
)
GOOD = {"id": "1", "title": "Hat", "url": "https://s.example/1", "price": "5 EUR"}
ROWS = st.lists(
    st.dictionaries(st.sampled_from((*FIELDS, "tracked")), WORDS | st.text(max_size=20)).map(
        lambda row: GOOD | row
    )
    | st.dictionaries(st.sampled_from(FIELDS), WORDS),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(ROWS, st.sampled_from(["", "http://h"]), st.sampled_from(["", "EUR"]))
@example([GOOD | {"images": "https://s.example/a.jpg"}, GOOD | {"image": "{BASE}/b.jpg"}], "", "")
@example([{}], "", "")
def test_a_batch_is_its_rows(rows: list[clean.Row], base: str, currency: str):
    rules = clean.RowRules(base=base, currency=currency)
    together = batch.offers(batch.columns_of(rows), len(rows), rules)
    assert together == [clean.offer(row, rules) for row in rows]


def test_what_comes_out_is_an_offer_like_any_other():
    (made,) = batch.offers(batch.columns_of([GOOD]), 1, clean.RowRules())
    alone = clean.offer(GOOD, clean.RowRules())
    assert type(made) is Offer
    assert hash(made) == hash(alone)
    assert replace(made, title="x").title == "x"
    assert [getattr(made, f.name) for f in fields(Offer)] == [
        getattr(alone, f.name) for f in fields(Offer)
    ]


def test_a_price_of_one_is_none_only_where_most_cost_that():
    def read(ones: int, others: int) -> list[str]:
        rows = [GOOD | {"price": "1.00 RUB"}] * ones + [GOOD] * others
        made = batch.offers(batch.columns_of(rows), len(rows), clean.RowRules())
        return [row.reason for row in made if isinstance(row, Rejected)]

    assert read(6, 0) == ["placeholder price"] * 6
    assert read(60, 40) == ["placeholder price"] * 60
    assert read(20, 80) == []
    assert read(2, 0) == []
