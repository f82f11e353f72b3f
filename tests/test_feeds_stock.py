"""What feeds say of stock: counts in every notation, words of many languages, what nobody knows."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lensback import feeds
from lensback.errors import ConfigError
from lensback.feeds import stock
from lensback.feeds.columns import ColumnMap
from lensback.feeds.stock import known
from lensback.types import Offer

KNOWN = known()

SAID = {
    "in_stock": (
        "in stock|IN_STOCK|InStock|https://schema.org/InStock|http://schema.org/LimitedAvailability|true|Y|1|50+|3.0000"
        "|1 234|1\u2009234|1\u00a0234|1\u202f234|1'234|1.234,50|5 pcs|5 шт.|> 10|&gt; 10|>0|10+|< 5|1-3|0.5|1e3|+5|٥|много"
        "|в наличии|in stock (5)|5 in stock|Only 3 left in stock!|Осталось 2 шт|In Stock: Yes|Skladem > 5 ks|<b>In stock</b>"
        "|Available from 1 to 3 days|Available in store / Delivery 1 to 3 days|Παράδοση σε 1-3 ημέρες|Lieferzeit: 3-5 Werktage"
        "|Skladom|Skladom v predajni|Nur noch wenige Exemplare|Saatavilla heti|尚有庫存|24小时内发货|متوفر حاليا|Kohe saadaval|Pe stoc|Skickas inom 24 timmar"
        "|Dernier article en stock|Disponibile subito|Tükenmek üzere|Скоро закончится|Last pieces available|sofort verfuegbar|paa lager"
        "|24h|sofort lieferbar|Sofort verfügbar, Lieferzeit 1-3 Tage|+|+++|✓|在庫あり|ＩＮ　ＳＴＯＣＫ|mehr als 10 Stück"
        "|<10|< 100|<1000|less than 5|fewer than 10|menos de 10|меньше 10|∞|Til á lager|Mavjud|Në stok|En estoc|دستیاب|มีสินค้า|Eskuragarri|มีของ"
    ),
    "out_of_stock": (
        "0|0.0000|0.000|0,000|-1|-2.0000|\u22121|- 5|2.000-|0E-10|0 pcs|0 шт|<1|≤0|0 in stock|quantity: 0|false|No|n|-|—|❌"
        "|http://schema.org/OutOfStock|out_of_stock|SoldOut|Sold Out!|Temporarily out of stock|Currently unavailable|нет"
        "|Немає в наявності|ausverkauft|nicht lieferbar|rupture de stock|esaurito|agotado|uitverkocht|niedostępny|NIEDOSTEPNY"
        "|není skladem|Neni skladem|slutsåld|In stock: no|Наличие: нет|В наличии: нет|не в наличии|nicht auf Lager|ikke på lager"
        "|Not currently in stock|Derzeit nicht lieferbar|εξαντλημένο|Μη διαθέσιμο|stok yok|nincs raktáron|売り切れ|품절|缺货"
        "|אזל מהמלאי|غير متوفر|Няма на склад|Neturime sandėlyje|Produkt již není dostupný|in_stock: false|Slut på lager|Отсутствует на складе"
        "|Закінчився, немає в наявності|Nu mai este în stoc|Ei saatavana|Laos otsas|Stokta kalmadı|库存不足|재고가 없습니다|nicht verfuegbar|Skladom: 0"
        "|Χωρίς απόθεμα|nessuna disponibilità|Plus de stock|No quedan unidades|brak na magazynie"
        "|< 1|<1.0|<1,00|<01|less than 1|менее 1|Uppselt|Ekki til á lager|Yox|Mavjud emas|Sotuvda yo'q|Nuk ka stok|Esgotat|खत्म|Дууссан|Түгөндү|دستیاب نہیں"
    ),
    "preorder": "Förhandsbokning|预购|preorder|pre-order|PreOrder|предзаказ|Sold out - preorder now",
    "backorder": "backorder|BackOrder|onbackorder|available for order|под заказ|Нет в наличии, под заказ|auf Bestellung"
    "|κατόπιν παραγγελίας",
    "unknown": "in Berlin ausverkauft, in Köln verfügbar|bald da|n/a|null|None|call us|0-5|0+|in stock from 12.05.2027|2027-05-12|not sold out|in stock in Prague"
    "|in stock online, sold out in stores|in_stok|maybe in stock|?",
}
CASES = [(text, state) for state, listed in SAID.items() for text in listed.split("|")]


@pytest.mark.parametrize(("text", "state"), CASES)
def test_what_is_said(text: str, state: str):
    assert KNOWN(text) == state


# TRUE and FALSE as Microsoft Excel writes them into a CSV, by its language.
EXCEL = {
    "in_stock": "WAHR|VRAI|VERDADERO|VERDADEIRO|VERO|ИСТИНА|ІСТИНА|PRAWDA|PRAVDA|IGAZ|WAAR|SANT|SAND|TOSI|DOĞRU|ADEVĂRAT",
    "out_of_stock": "FALSCH|FAUX|FALSO|ЛОЖЬ|FAŁSZ|NEPRAVDA|HAMIS|ONWAAR|FALSKT|FALSK|EPÄTOSI|YANLIŞ|FALS",
}


@pytest.mark.parametrize("state", EXCEL)
def test_what_excel_makes_of_true_and_false(state: str):
    for said in EXCEL[state].split("|"):
        assert KNOWN(said) == KNOWN(said.lower()) == KNOWN(said.title()) == state, said


SPACES = st.sampled_from(["", " ", "\u00a0", "\u2009", "\u202f", "'", "\u2019"])
UNITS = st.sampled_from(["", " pcs", " шт.", "ks", " Stück", " szt.", " τεμ.", " adet", "個"])


@given(st.integers(0, 10**7), st.integers(0, 4), st.sampled_from(".,"), SPACES, UNITS)
@example(0, 3, ",", "", "")
def test_a_count_is_more_than_none_in_any_notation(
    count: int, places: int, mark: str, between: str, unit: str
):
    grouped = f"{count:,}".replace(",", between)
    written = grouped + (mark + "0" * places if places else "")
    want = "in_stock" if count else "out_of_stock"
    assert KNOWN(written + unit) == want
    assert KNOWN("", written + unit) == want
    assert KNOWN(f"-{written}{unit}") == "out_of_stock"


PHRASES = [
    (said.removeprefix("="), state, said.startswith("="))
    for state in ("in_stock", "out_of_stock", "preorder", "backorder")
    for listed in stock._data()[state].values()
    for said in listed
]


@given(
    st.sampled_from(PHRASES),
    st.sampled_from([str.lower, str.upper, str.title, lambda s: s.replace(" ", "_")]),
    st.sampled_from(["", " ", "!", ".", " \u00a0", "\n"]),
)
def test_every_word_in_every_dress(phrase: tuple[str, str, bool], dress, around: str):
    said, state, _ = phrase
    assert KNOWN(around + dress(said) + around) == state


@given(st.sampled_from(PHRASES), st.sampled_from(["Sorry, {}", "Status: {}", "{} (temporarily)"]))
def test_words_that_say_nothing_change_nothing(phrase: tuple[str, str, bool], frame: str):
    said, state, alone = phrase
    if not alone:
        assert KNOWN(frame.format(said)) == state


@given(st.text(max_size=60))
def test_any_text_has_a_state(text: str):
    assert KNOWN(text, text) in ("in_stock", "out_of_stock", "preorder", "backorder", "unknown")


LETTERS = st.text("bcdfghjkqvwxz", min_size=5, max_size=12)


@given(LETTERS, st.sampled_from(["{}", "{} in stock", "in stock {}", "{} 5"]))
def test_what_nobody_knows_is_never_in_stock(word: str, frame: str):
    assert KNOWN(frame.format(word)) == "unknown"


@pytest.mark.parametrize(
    ("words", "count", "state"),
    [
        ("in stock", "0", "out_of_stock"),
        ("Delivery 1 to 3 days", "5", "in_stock"),
        ("Delivery 1 to 3 days", "0", "out_of_stock"),
        ("preorder", "0", "preorder"),
        ("out of stock", "5", "out_of_stock"),
        ("bald da", "3", "in_stock"),
        ("bald da", "0.00", "out_of_stock"),
        ("", "0", "out_of_stock"),
        ("", "bald da", "unknown"),
        ("in stock", "bald da", "in_stock"),
        ("", "", "in_stock"),
    ],
)
def test_words_and_a_count(words: str, count: str, state: str):
    assert KNOWN(words, count) == state


# --- the fields of real dialects ----------------------------------------------------------------


def states(data: str, **options) -> list[str]:
    rows = list(feeds.read(io.BytesIO(data.encode()), **options))
    assert all(isinstance(row, Offer) for row in rows), rows
    return [row.availability for row in rows if isinstance(row, Offer)]


def test_skroutz_as_specified_now():
    rows = "".join(
        f"<product><id>{n}</id><name>Κούπα</name><link>https://s.example/{n}</link><price_with_vat>9.90"
        f"</price_with_vat><availability>{said}</availability><quantity>{count}</quantity></product>"
        for n, (said, count) in enumerate(
            [
                ("Available from 1 to 3 days", 4),
                ("Available from 1 to 3 days", 0),
                ("Παράδοση 4 έως 10 ημέρες", 1),
                ("Κατόπιν παραγγελίας", 2),
            ]
        )
    )
    text = f"<shop><created_at>2026-01-01 10:00</created_at><products>{rows}</products></shop>"
    assert states(text) == ["in_stock", "out_of_stock", "in_stock", "backorder"]


@pytest.mark.parametrize(
    "name",
    [
        "quantity",
        "stock_quantity",
        "quantity_to_sell_on_facebook",
        "sell_on_google_quantity",
        "inventory",
        "qty",
        "stock",
    ],
)
def test_a_count_beside_the_words_in_a_table(name: str):
    head = f"id,title,link,price,availability,{name}"
    rows = "\n".join(
        f"{n},Cup,https://s.example/{n},5 EUR,{said},{count}"
        for n, (said, count) in enumerate([("in stock", "0.00"), ("in stock", 3), ("preorder", 0)])
    )
    assert states(f"{head}\n{rows}\n") == ["out_of_stock", "in_stock", "preorder"]


def test_awin_counts_its_stock():
    head = "aw_product_id,product_name,aw_deep_link,search_price,currency,in_stock,stock_quantity"
    rows = "".join(
        f"{n},Cup,https://www.awin1.com/p?{n},5,EUR,{said},{count}\n"
        for n, (said, count) in enumerate([("1", "0"), ("1", ""), ("0", ""), ("yes", "7")])
    )
    assert states(f"{head}\n{rows}") == ["out_of_stock", "in_stock", "out_of_stock", "in_stock"]


def test_yml_says_it_in_many_places():
    def offer(n: int, attribute: str, inner: str) -> str:
        return (
            f'<offer id="{n}"{attribute}><url>https://s.example/{n}</url><price>5</price>'
            f"<currencyId>RUB</currencyId><name>Чашка</name>{inner}</offer>"
        )

    yes = ' available="true"'
    rows = "".join(
        offer(n, attribute, inner)
        for n, (attribute, inner) in enumerate(
            [
                (yes, "<quantity>0.000</quantity>"),
                (yes, "<stock_quantity>1\u202f200</stock_quantity>"),
                (yes, "<available>available for order</available>"),
                (' available="false"', "<count>7</count>"),
                ("", "<quantity>5</quantity><stock_quantity>0</stock_quantity>"),
                ("", "<available>позвоните нам</available>"),
            ]
        )
    )
    text = f"<yml_catalog><shop><offers>{rows}</offers></shop></yml_catalog>"
    sold_out = "out_of_stock"
    assert states(text) == [sold_out, "in_stock", "backorder", sold_out, sold_out, "unknown"]


def test_ceneo_has_numbers_for_words():
    rows = "".join(
        f'<o id="{n}" url="https://s.example/{n}" price="9.90" avail="{avail}" {stock}>'
        "<name>Kubek</name><imgs><main url='https://s.example/1.jpg'/></imgs></o>"
        for n, (avail, stock) in enumerate(
            [(1, 'stock="3"'), (1, 'stock="0"'), (90, ""), (99, ""), (110, ""), (14, "")]
        )
    )
    found = states(f"<offers>{rows}</offers>")
    assert found == ["in_stock", "out_of_stock", "backorder", "unknown", "preorder", "in_stock"]


def test_schema_org_counts():
    def line(n: int, **offer: object) -> str:
        offers = {"price": "5.00", "priceCurrency": "EUR", "url": f"https://s.example/{n}"} | offer
        return json.dumps({"@type": "Product", "sku": str(n), "name": "Cup", "offers": offers})

    stocked = "https://schema.org/InStock"
    text = "\n".join(
        [
            line(1, availability=stocked, inventoryLevel={"value": "0"}),
            line(2, availability=stocked, inventoryLevel={"value": "2"}),
            line(3, availability="https://schema.org/Discontinued"),
        ]
    )
    assert states(text) == ["out_of_stock", "in_stock", "out_of_stock"]


# --- words that nobody knows ----------------------------------------------------------------------

TABLE = "id,title,link,price,availability\n" + "".join(
    f"{n},Cup,https://s.example/{n},5 EUR,{said}\n"
    for n, said in enumerate(["in stock", "bald da", "bald da", "Kommt!"])
)


def test_the_words_come_with_the_offer():
    rows = list(feeds.read(io.BytesIO(TABLE.encode())))
    assert [getattr(row, "stock_words", None) for row in rows] == [
        "",
        "bald da",
        "bald da",
        "Kommt!",
    ]


STOCK = '[stock]\nbackorder = ["bald da", "kommt"]\nout_of_stock = "in stock"\n'
FIELDS = (
    '[fields]\nid="id"\ntitle="title"\nurl="link"\nprice="price"\navailability="availability"\n'
)


@pytest.mark.parametrize("text", [STOCK, FIELDS + STOCK])
def test_a_column_map_adds_words(text: str):
    columns = ColumnMap.parse(text)
    assert states(TABLE, columns=columns) == ["out_of_stock", *["backorder"] * 3]


def test_a_column_map_adds_words_to_yml():
    text = (
        "<yml_catalog><shop><offers><offer id='1' available='bald da'><url>https://s.example/1</url>"
        "<price>5</price><currencyId>EUR</currencyId><name>Cup</name></offer></offers></shop></yml_catalog>"
    )
    assert states(text) == ["unknown"]
    assert states(text, columns=ColumnMap.parse(STOCK)) == ["backorder"]


def test_a_wrong_state_is_named():
    with pytest.raises(ConfigError, match=r"stock\.soon"):
        ColumnMap.parse('[stock]\nsoon = "bald da"\n')


NEGATED = {
    "out_of_stock": (
        "在庫ありません|在庫はありません|ただいま在庫がございません|販売中止|没有现货|无现货|没有库存|沒有庫存|無現貨|即納不可|在庫数：0|残り0点|库存：0"
        "|품절입니다|구매불가|판매중단|재고 0개|在庫：×|В наличии: -|In stock: ✗|❌ In stock|لا يوجد مخزون|אין במלאי|não há estoque|Έχει εξαντληθεί"
        "|Stok dışı|stok habis|hết hàng|สินค้าหมด|ناموجود|არ არის მარაგში|առկա չէ|stokda yoxdur"
    ),
    "in_stock": "在庫数：12|残り3点|库存: 5|재고 12개|在庫あり・即納|재고있습니다|売り切れ間近|duża ilość|Tersedia|còn hàng",
    "unknown": "不是|不缺货|未售罄|予約終了|入荷予定あり|取り寄せ不可|在庫確認中|现货谜|谜有货",
}
NEGATED_CASES = [(text, state) for state, listed in NEGATED.items() for text in listed.split("|")]


@pytest.mark.parametrize(("text", "state"), NEGATED_CASES)
def test_a_no_is_heard_where_words_have_no_spaces_or_are_signs(text: str, state: str):
    assert KNOWN(text) == state


WIDE_YES = ["在庫あり", "有货", "现货", "有库存", "現貨", "即納", "販売中", "재고있음", "구매가능"]


@given(st.sampled_from(WIDE_YES), st.text("謎鬱龍曖昧妖", min_size=1, max_size=4), st.booleans())
def test_unknown_signs_beside_wide_words_are_never_in_stock(said: str, strange: str, first: bool):
    assert KNOWN(strange + said if first else said + strange) == "unknown"


def test_yml_in_its_attributes_and_its_outlets():
    def offer(n: int, attributes: str, inner: str) -> str:
        return (
            f'<offer id="{n}" {attributes}><url>https://s.example/{n}</url><price>5</price>'
            f"<currencyId>RUB</currencyId><name>Чашка</name>{inner}</offer>"
        )

    def outlets(*counts: str) -> str:
        said = "".join(f'<outlet id="1" instock="{n}"/>' for n in counts)
        return f"<outlets>{said}</outlets>"

    cases = [
        ('in_stock="true"', "", "in_stock"),
        ('in_stock="false"', "", "out_of_stock"),
        ('available="true" in_stock="false"', "", "out_of_stock"),
        ('in_stock="false" available="true"', "", "out_of_stock"),
        ('available="true" in_stock="0"', "", "out_of_stock"),
        ('available="false" in_stock="12"', "", "out_of_stock"),
        ('available="" in_stock="3"', "", "in_stock"),
        ('available="true"', "<in_stock>0</in_stock>", "out_of_stock"),
        ('available="true"', "<in_stock>нет</in_stock>", "out_of_stock"),
        ('available="true"', "<stock_qty>0.0</stock_qty>", "out_of_stock"),
        ('in_stock="maybe"', "", "unknown"),
        ('available="true"', "<available>false</available>", "out_of_stock"),
        ("", outlets("0", "0"), "out_of_stock"),
        ("", outlets("0", "3"), "in_stock"),
        ("", outlets(), "in_stock"),
        ('available="true"', outlets("0"), "in_stock"),
        ("", "<count>5</count>" + outlets("0"), "in_stock"),
    ]
    rows = "".join(offer(n, said, inner) for n, (said, inner, _) in enumerate(cases))
    text = f"<yml_catalog><shop><offers>{rows}</offers></shop></yml_catalog>"
    assert states(text) == [state for *_, state in cases]
