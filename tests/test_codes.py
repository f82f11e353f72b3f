"""Codes in a photo: how they are read, which number or page they say, and what an answer makes of it."""

from __future__ import annotations

import doctest
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zxingcpp
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import text
from stdnum import ean

import tiny
from lensback import gtins, storepage
from lensback.catalogue import coded
from lensback.db import sqlite_url
from lensback.images import Decoders
from lensback.images.codes import read
from lensback.images.stripes import askew
from lensback.search import Query, search
from lensback.search.coded import counting
from lensback.speech import Speech
from lensback.types import WHOLE, Money, Region
from lensback.verdicts import reasons
from lensback.wire import Answer
from revisions import database_at
from servers import Postgres
from tiny import FixedDetector, Row, Tiny, even, product_of

LIMITS = (20 << 20, 50_000_000)


def drawn(text: str, kind: str, scale: int = 3, **options: Any) -> Image.Image:
    """A code as it is printed."""
    made = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind), **options)
    return Image.fromarray(np.array(made.to_image(scale=scale))).convert("RGB")


def on(
    colour: tuple[int, int, int],
    *codes: Image.Image,
    size: tuple[int, int] = (1200, 900),
    turn: float = 0,
    format: str = "PNG",  # noqa: A002 - Pillow's word
    **options: Any,
) -> bytes:
    """A photo of one colour with codes on it, from the left to the right."""
    picture = Image.new("RGB", size, colour)
    for at, code in enumerate(codes):
        tag = Image.new("RGB", (code.width + 40, code.height + 40), "white")
        tag.paste(code, (20, 20))
        tag = tag.rotate(turn, expand=True, fillcolor=colour, resample=Image.Resampling.BICUBIC)
        picture.paste(tag, (20 + at * size[0] // 2, 30))
    picture.save(sink := io.BytesIO(), format, **options)
    return sink.getvalue()


# ---- numbers


def test_modules_say_what_their_examples_say() -> None:
    for module in (gtins, storepage):
        assert doctest.testmod(module).failed == 0


@given(
    st.sampled_from([7, 11, 12, 13]).flatmap(
        lambda n: st.text("0123456789", min_size=n, max_size=n)
    )
)
def test_one_check_digit_is_right(number: str) -> None:
    sound = [digit for digit in "0123456789" if gtins._adds_up(number + digit)]
    assert sound == [ean.calc_check_digit(number)]


@pytest.mark.parametrize("number", ["96385074", "614141999996", "4006381333931", "10614141999993"])
def test_every_spelling_of_a_number_is_sound_and_leads_to_all_others(number: str) -> None:
    ways = gtins.spellings(number)
    assert number in ways
    assert len(set(ways)) == len(ways)
    for way in ways:
        assert gtins.gtin(way) == way
        assert set(gtins.spellings(way)) == set(ways)
        assert ean.calc_check_digit(way[:-1]) == way[-1]
    assert gtins.plain(ways[-1]) == ways[0]


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("4006381333931", "EAN13", "4006381333931"),
        ("4006381333932", "EAN13", ""),  # a wrong check digit
        ("2000000000008", "EAN13", ""),  # a store's own number: a price tag of its scales
        ("0042100005264", "UPCE", "0042100005264"),
        ("96385074", "EAN8", "96385074"),
        ("09506000134352", "ITF", "09506000134352"),
        ("4006381333931", "ITF", ""),  # stripes of another length say nothing
        ("(01)09506000134352(21)ABC", "Code128", "09506000134352"),
        ("(01)09506000134351", "DataMatrix", ""),
        ("4006381333931", "Code128", ""),  # a parcel's number may look like one
        ("4006381333931", "QRCode", ""),
        ("https://id.gs1.org/01/09506000134352/10/ABC?11=1", "QRCode", "09506000134352"),
        ("HTTPS://BRAND.EXAMPLE/gtin/4006381333931", "QRCode", "4006381333931"),
        ("https://shop.example/2001/05/4006381333931", "QRCode", ""),
        ("https://[broken/01/09506000134352", "QRCode", ""),
        ("", "QRCode", ""),
    ],
)
def test_the_number_that_a_code_says(text: str, kind: str, said: str) -> None:
    assert gtins.in_code(text, kind) == said


PAGE = "https://shop.example/catalog/boot?colour=red&size=40"


@pytest.mark.parametrize(
    "url",
    [
        "http://www.shop.example/catalog/boot/?size=40&colour=red",
        "HTTPS://SHOP.EXAMPLE/catalog/boot?colour=red&size=40&utm_source=qr&gclid=1#reviews",
        "https://m.shop.example/catalog/boot?size=40&colour=re%64",
        "https://ad.network.example/g/abc/?subid=1&ulp=https%3A%2F%2Fshop.example%2Fcatalog%2Fboot%3Fcolour%3Dred%26size%3D40",
        "https://click.example/deeplink?id=1&murl=https%253A%252F%252Fshop.example%252Fcatalog%252Fboot%253Fcolour%253Dred%2526size%253D40",
        "https://one.example/c?u=https%3A%2F%2Ftwo.example%2Fr%3Fto%3Dhttps%253A%252F%252Fshop.example%252Fcatalog%252Fboot%253Fsize%253D40%2526colour%253Dred",
    ],
)
def test_addresses_of_one_page_have_one_key(url: str) -> None:
    assert storepage.key(url) == storepage.key(PAGE) != ""


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/catalog/boot?colour=red&size=41",
        "https://shop.example/catalog/Boot?colour=red&size=40",
        "https://other.example/catalog/boot?colour=red&size=40",
        "https://shop.example:8443/catalog/boot?colour=red&size=40",
    ],
)
def test_other_pages_have_other_keys(url: str) -> None:
    assert storepage.key(url) not in {"", storepage.key(PAGE)}


@pytest.mark.parametrize("text", ["", "WIFI:S:a;;", "mailto:a@b.c", "http://", "http://[", "http://a:x/", "shop.example/a"])  # fmt: skip
def test_what_is_no_address_has_no_key(text: str) -> None:
    assert storepage.key(text) == ""


# ---- reading


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("4006381333931", "EAN13", "4006381333931"),
        ("042100005264", "UPCA", "42100005264"),
        ("04252614", "UPCE", "42100005264"),
        ("96385074", "EAN8", "96385074"),
        ("09506000134352", "ITF14", "9506000134352"),
        ("(01)09506000134352", "Code128", "9506000134352"),
        ("(01)09506000134352", "DataMatrix", "9506000134352"),
    ],
)
@pytest.mark.parametrize("turn", [0, 14, 90])
def test_each_kind_of_code_is_read(text: str, kind: str, said: str, turn: float) -> None:
    options = {"gs1": True} if text.startswith("(") else {}
    photo = on((90, 120, 60), drawn(text, kind, **options), turn=turn, format="JPEG", quality=85)
    (code,) = read(photo, None, LIMITS[1])
    assert gtins.in_code(code.text, code.kind).lstrip("0") == said
    x0, y0, x1, y1 = code.box
    assert 0 <= x0 < x1 < 0.6
    assert 0 <= y0 < y1 < 0.8


def test_a_code_lies_where_the_upright_photo_shows_it() -> None:
    picture = Image.open(io.BytesIO(on((90, 120, 60), drawn("4006381333931", "EAN13"))))
    upright = read(on((90, 120, 60), drawn("4006381333931", "EAN13")), None, LIMITS[1])[0].box
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    picture.rotate(90, expand=True).save(sink := io.BytesIO(), "JPEG", exif=exif, quality=92)
    turned = read(sink.getvalue(), None, LIMITS[1])[0].box
    assert turned == pytest.approx(upright, abs=0.02)


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    opened = Decoders(1)
    yield opened
    opened.close()
    assert opened.pids() == []


@pytest.mark.parametrize("turn", [15, 30, 45, 60, 75, -20, -35, -50, 110, 200])
@pytest.mark.parametrize(("text", "kind"), [("4006381333931", "EAN13"), ("ABC1234-K12", "Code128")])
def test_stripes_that_lie_askew_are_read(text: str, kind: str, turn: float) -> None:
    photo = on((120, 90, 60), drawn(text, kind), turn=turn)
    (code,) = read(photo, None, LIMITS[1])
    assert (code.text, code.kind) == (text, kind)
    x0, y0, x1, y1 = code.box
    assert 0 < x0 < x1 < 0.6, "the tag lies on the left"
    assert 0 < y0 < y1 < 0.8


class Asked:
    """How often zxing-cpp is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times, plain = 0, zxingcpp.read_barcodes

        def counted(*given: Any, **options: Any) -> Any:
            self.times += 1
            return plain(*given, **options)

        monkeypatch.setattr(zxingcpp, "read_barcodes", counted)


def blobs(size: tuple[int, int] = (1200, 900)) -> Image.Image:
    """A photo of soft things with a sensor's noise: much changes, nothing in one direction."""
    draw = np.random.default_rng(3)
    coarse = Image.fromarray(draw.integers(0, 256, (9, 12, 3), np.uint8))
    soft = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.float32)
    pixels = np.clip(soft + draw.normal(0, 6, soft.shape), 0, 255)
    return Image.fromarray(pixels.astype(np.uint8))


def saved(image: Image.Image) -> bytes:
    image.save(sink := io.BytesIO(), "JPEG", quality=88)
    return sink.getvalue()


def gravel() -> Image.Image:
    """Much changes everywhere, in no direction."""
    draw = np.random.default_rng(4)
    return Image.fromarray(draw.integers(0, 256, (300, 400), np.uint8)).resize((1200, 900))


@pytest.mark.parametrize("photo", [blobs, gravel])
def test_a_photo_without_stripes_is_not_turned(
    photo: Callable[[], Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    assert read(saved(photo()), None, LIMITS[1]) == ()
    assert asked.times == 1


@pytest.mark.parametrize("turn", [0, 3, 87, 90, 180])
def test_upright_stripes_of_cloth_are_not_turned(
    turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    cloth = np.tile(np.where(np.arange(1200) // 5 % 2, 40, 200).astype(np.uint8), (900, 1))
    assert read(saved(Image.fromarray(cloth).rotate(turn, expand=True)), None, LIMITS[1]) == ()
    assert asked.times == 1


@pytest.mark.parametrize("turn", [30, 62])
def test_a_code_among_other_stripes_is_read(turn: float) -> None:
    """Of cloth that is striped in another direction, and of more of it than the code is wide."""
    photo = blobs()
    cloth = np.tile(np.where(np.arange(700) // 7 % 2, 60, 220).astype(np.uint8), (700, 1))
    photo.paste(
        Image.fromarray(cloth).rotate(-40, expand=True).crop((200, 200, 760, 760)), (620, 60)
    )
    tag = Image.open(io.BytesIO(on((120, 90, 60), drawn("4006381333931", "EAN13"), turn=turn)))
    photo.paste(tag.crop((0, 0, 480, 480)), (40, 300))
    (code,) = read(saved(photo), None, LIMITS[1])
    assert code.text == "4006381333931"
    assert code.box[2] < 0.5


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (16, 16), (17, 17), (40, 18), (2000, 20)])
def test_stripes_are_looked_for_in_a_photo_of_any_size(size: tuple[int, int]) -> None:
    slanted = np.add.outer(np.arange(size[1]), np.arange(size[0])) // 3 % 2 * np.uint8(255)
    for found in askew(Image.fromarray(slanted.astype(np.uint8))):
        left, upper, right, lower = found.box
        assert 0 <= left < right <= size[0]
        assert 0 <= upper < lower <= size[1]
        assert found.angle == pytest.approx(45, abs=3)


def test_faint_stripes_are_no_code() -> None:
    slanted = np.add.outer(np.arange(400), np.arange(500))
    made = {
        strength: askew(Image.fromarray((128 + strength * np.sin(slanted / 2)).astype(np.uint8)))
        for strength in (10, 100)
    }
    assert not made[10]
    assert made[100]


@pytest.mark.parametrize("angle", range(10, 180, 20))
def test_the_angle_of_stripes(angle: int) -> None:
    away = (angle + 45) % 90 - 45
    down, right = np.mgrid[0:400, 0:500]
    along = right * np.cos(np.radians(angle)) + down * np.sin(np.radians(angle))
    stripes = Image.fromarray((128 + 100 * np.sin(along / 2)).astype(np.uint8))
    found = askew(stripes)
    assert bool(found) == (abs(away) > 6)
    assert all(each.angle == pytest.approx(angle, abs=2) for each in found)


def test_where_a_code_that_lies_askew_is() -> None:
    straight, askew = (
        read(on((120, 90, 60), drawn("4006381333931", "EAN13"), turn=turn), None, LIMITS[1])[0].box
        for turn in (0, 45)
    )

    def middle(box: Any) -> tuple[float, float]:
        return (box[0] + box[2]) / 2 * 1200, (box[1] + box[3]) / 2 * 900

    tag = 339 + 40, 165 + 40
    half = (tag[0] + tag[1]) / 2 / 2**0.5  # of the turned tag, which is as wide as it is high
    assert middle(straight) == pytest.approx((20 + tag[0] / 2, 30 + tag[1] / 2), abs=25)
    assert middle(askew) == pytest.approx((20 + half, 30 + half), abs=25)


def test_codes_are_read_in_a_process_of_their_own(decoders: Decoders) -> None:
    photo = on((1, 2, 3), drawn("4006381333931", "EAN13"), drawn("https://a.example/b", "QRCode"))
    assert sorted(code.text for code in decoders.codes(photo, *LIMITS)) == [
        "4006381333931",
        "https://a.example/b",
    ]
    (pid,) = decoders.pids()
    assert decoders.codes(photo[:2000], *LIMITS) == ()  # cut off
    assert decoders.codes(b"GIF89a" + bytes(50), *LIMITS) == ()
    assert decoders.codes(photo, 10, LIMITS[1]) == () == decoders.codes(photo, LIMITS[0], 1000)
    assert decoders.pids() == [pid]


def test_a_large_photo_is_read_from_half_of_its_pixels(decoders: Decoders) -> None:
    """30 million pixels are dear; at a half each way they are not, and a tag in them is large enough."""
    tag = drawn("4006381333931", "EAN13", scale=5)
    photo = on((90, 120, 60), tag, size=(6400, 4800), format="JPEG", quality=80)
    assert [code.text for code in decoders.codes(photo, *LIMITS)] == ["4006381333931"]


def test_codes_of_any_length_come_back_whole(decoders: Decoders) -> None:
    page = "https://a.example/" + "x" * 900
    photo = on((9, 9, 9), drawn(page, "QRCode", scale=5), size=(1600, 1000))
    assert [code.text for code in decoders.codes(photo, *LIMITS)] == [page]


# ---- what an answer makes of them

GREEN, RED, BLUE = (0, 255, 0), (255, 0, 0), (0, 0, 255)
BOOT, HAT, SOCK, LOST = "4006381333931", "96385074", "614141999996", "5011423196527"
ROWS = [
    Row("shop", "boot", "boot", ("red",), Money(9000, "EUR"), {"gtin": BOOT, "url": PAGE}),
    Row("pier", "boot2", "boot", ("red2",), Money(8000, "EUR"), {"gtin": "0" + BOOT}),
    Row("shop", "hat", "hat", ("green",), Money(2000, "EUR"), {"gtin": HAT}),
    Row("pier", "sock", "sock", ("blue",), Money(500, "EUR"), {"gtin": "0" + SOCK}),
    Row("pier", "tie", "tie", ("blue2",), Money(700, "EUR"), {"gtin": "10614141999993"}),
    Row("pier", "cap", "cap", ("blue3",), Money(700, "EUR"), {"gtin": "10614141999993"}),
]
VECTORS = {
    "red": (1.0, 0.0, 0.0), "red2": (0.9, 0.1, 0.0), "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0), "blue2": (0.1, 0.0, 1.0), "blue3": (0.0, 0.1, 1.0),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return tiny.opened(
        tmp_path_factory.mktemp("coded"),
        ROWS,
        VECTORS,
        codes=lambda data, _most, pixels: read(data, None, pixels),
        max_pixels=LIMITS[1],
        max_bytes=LIMITS[0],
        detector=FixedDetector((Region((0.5, 0.5, 1.0, 1.0), "top", 0.9), Region(WHOLE))),
    )


def ask(made: Tiny, photo: bytes, tools: dict[str, Any] | None = None, **query: Any) -> Answer:
    return search(photo, Query(**query), replace(made.tools, **(tools or {})))


@pytest.mark.parametrize(
    ("text", "kind", "product"),
    [
        (BOOT, "EAN13", "boot"),
        (HAT, "EAN8", "hat"),
        (SOCK, "UPCA", "sock"),
        ("00" + SOCK, "ITF14", "sock"),
        ("https://id.gs1.org/01/0" + BOOT, "QRCode", "boot"),
    ],
)
def test_a_number_of_the_catalogue_is_the_very_product_whatever_it_looks_like(
    made: Tiny, text: str, kind: str, product: str
) -> None:
    answer = ask(made, on((60, 200, 60), drawn(text, kind)))
    first = answer.hits[0]
    assert (answer.verdict, answer.by, answer.probability) == ("exact", "barcode", 1.0)
    assert (first.product_id, first.exact, first.by) == (product_of(product), True, "barcode")
    assert [hit.exact for hit in answer.hits[1:]] == [False] * (len(answer.hits) - 1)
    (code,) = answer.codes
    assert (code.kind, code.state, code.ambiguous) == ("gtin", "sold", False)
    assert code.product_ids == (product_of(product),)
    assert first.image_hash
    assert first.offers


def test_a_number_stands_above_a_contradicting_look(made: Tiny) -> None:
    """Sure by its looks, the hat would be exact; the number says boot."""
    sure = {"calibration": even(bias=9.0)}
    plain = ask(made, on((0, 255, 0)), sure)
    assert plain.hits[0].product_id == product_of("hat")
    assert plain.hits[0].exact
    answer = ask(made, on((0, 255, 0), drawn(BOOT, "EAN13")), sure)
    assert [hit.product_id for hit in answer.hits if hit.exact] == [product_of("boot")]
    assert answer.hits[0].offers[0].store == "pier"  # the cheaper offer, written with a zero more


def test_whether_it_looks_like_what_its_code_says(made: Tiny) -> None:
    far = {"calibration": even(none_below=0.99, bias=-9.0)}
    assert ask(made, on(RED, drawn(BOOT, "EAN13", 1)), far).codes[0].looks_like_it is True
    other = ask(made, on((255, 255, 255), drawn(BOOT, "EAN13", 1)), far)
    assert other.codes[0].looks_like_it is False
    assert [hit.product_id for hit in other.hits] == [product_of("boot")]  # nothing is near
    assert other.verdict == "exact"


def test_a_number_that_nobody_sells_is_said_with_look_alikes(made: Tiny) -> None:
    sure = {"calibration": even(bias=9.0)}
    answer = ask(made, on((0, 255, 0), drawn(LOST, "EAN13", 1)), sure)
    (code,) = answer.codes
    assert (code.text, code.state, code.product_ids, code.looks_like_it) == (LOST, "not_sold", (), None)  # fmt: skip
    assert answer.hits
    assert answer.verdict == "similar"
    assert answer.by == "looks"


def test_a_number_that_nobody_sells_says_nothing_of_offers_without_one(tmp_path: Path) -> None:
    row = Row("shop", "a", "a", ("green",), fields={"gtin": ""})
    made = tiny.opened(tmp_path, [row], VECTORS, codes=lambda d, _m, p: read(d, None, p))
    answer = ask(made, on(GREEN, drawn(LOST, "EAN13", 1)), {"calibration": even(bias=9.0), "max_pixels": 1 << 22})  # fmt: skip
    assert (answer.verdict, answer.by, answer.codes[0].state) == ("exact", "looks", "not_sold")


@pytest.mark.parametrize(
    "text",
    [
        PAGE,
        "http://www.shop.example/catalog/boot/?size=40&colour=red&utm_source=qr",
        "https://ad.example/g/?ulp=https%3A%2F%2Fshop.example%2Fcatalog%2Fboot%3Fcolour%3Dred%26size%3D40",
    ],
)
def test_a_page_of_a_store_leads_to_its_offer(made: Tiny, text: str) -> None:
    answer = ask(made, on(GREEN, drawn(text, "QRCode")))
    assert (answer.verdict, answer.by) == ("exact", "link")
    assert answer.hits[0].product_id == product_of("boot")
    assert (answer.codes[0].kind, answer.codes[0].text) == ("page", text)


@pytest.mark.parametrize("text", ["WIFI:S:home;T:WPA;P:secret;;", "https://elsewhere.example/", "<b>", "4006381333931"])  # fmt: skip
def test_other_square_codes_are_nobody_s_business(made: Tiny, text: str) -> None:
    answer = ask(made, on(GREEN, drawn(text, "QRCode")))
    assert answer.codes == ()
    assert answer.by == "looks"
    assert text not in answer.model_dump_json()


def test_several_codes_name_several_things(made: Tiny) -> None:
    answer = ask(made, on(BLUE, drawn(BOOT, "EAN13", 4), drawn(HAT, "EAN8", 2)))
    assert [hit.product_id for hit in answer.hits if hit.exact] == [product_of("boot"), product_of("hat")]  # fmt: skip
    assert len(answer.codes) == 2


def test_a_number_that_two_products_share_makes_none_exact(made: Tiny) -> None:
    answer = ask(made, on(RED, drawn("10614141999993", "ITF14")))
    assert [hit.product_id for hit in answer.hits[:2]] == sorted([product_of("cap"), product_of("tie")])  # fmt: skip
    assert not any(hit.exact for hit in answer.hits)
    assert answer.codes[0].ambiguous
    kept = ask(made, on(RED, drawn("10614141999993", "ITF14")), stores=("pier",))
    assert not any(hit.exact for hit in kept.hits)


def test_what_filters_leave_out_is_said_and_not_shown(made: Tiny) -> None:
    answer = ask(made, on(GREEN, drawn(HAT, "EAN8")), stores=("pier",))
    assert (answer.codes[0].state, answer.codes[0].product_ids) == ("filtered", ())
    assert product_of("hat") not in {hit.product_id for hit in answer.hits}
    assert not any(hit.exact for hit in answer.hits)


def test_a_code_far_from_the_chosen_box_is_of_another_thing(made: Tiny) -> None:
    photo = on(GREEN, drawn(BOOT, "EAN13"))
    assert ask(made, photo, box=(0.5, 0.5, 1.0, 1.0)).by == "barcode"  # what is searched first
    assert ask(made, photo, box=(0.7, 0.6, 0.95, 0.9)).codes == ()
    assert ask(made, photo, box=(0.0, 0.0, 0.6, 0.6)).by == "barcode"
    assert counting([], (0.1, 0.1, 0.2, 0.2), Region(WHOLE)) == []


def test_codes_are_read_once_for_a_photo(made: Tiny) -> None:
    asked = []

    def counted(data: bytes, most: int, pixels: int) -> Any:
        asked.append(len(data))
        return read(data, None, pixels)

    from lensback.search import Looks

    tools = {"codes": counted, "looks": Looks(60)}
    photo = on(GREEN, drawn(BOOT, "EAN13"))
    assert ask(made, photo, tools).by == ask(made, photo, tools, limit=3).by == "barcode"
    assert len(asked) == 1


def test_codes_are_not_read_where_that_is_switched_off(made: Tiny) -> None:
    answer = ask(made, on(GREEN, drawn(BOOT, "EAN13")), {"codes": None})
    assert (answer.codes, answer.by) == ((), "looks")
    assert "codes" not in answer.timings_ms


# ---- words, and the database of before


def test_what_codes_have_to_do_with_it_is_said_in_words(made: Tiny) -> None:
    def said(photo: bytes, language: str = "en", **query: Any) -> tuple[str, ...]:
        return reasons(ask(made, photo, **query), Speech(language))

    by = "By the bar code in the photo."
    assert said(on(RED, drawn(BOOT, "EAN13", 1))) == (by,)
    assert said(on(RED)) == ()
    assert said(on(GREEN, drawn(PAGE, "QRCode")), "ru")[0].startswith("По странице магазина")
    lost = said(on(GREEN, drawn(LOST, "EAN13")))
    assert lost == (f"No connected store sells the thing with the bar code {LOST}.",)
    assert HAT in said(on(GREEN, drawn(HAT, "EAN8")), stores=("pier",))[0]
    # The boot is sold there, too, on another page.
    assert len(said(on(GREEN, drawn(PAGE, "QRCode")), stores=("pier",))) == 1
    assert "page" not in said(on(GREEN, drawn(PAGE, "QRCode")), price_max="1", currency="EUR")[0]
    assert "Several things" in said(on(RED, drawn("10614141999993", "ITF14")))[0]
    far = ask(made, on((255, 255, 255), drawn(BOOT, "EAN13", 1)), {"calibration": even(0.99)})
    assert reasons(far, Speech("en")) == (by, "The photo itself looks like something else.")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_offers_of_before_are_found_by_their_page(
    kind: str, tmp_path: Path, postgres: Postgres
) -> None:
    """A catalogue of the version before 0009 has the page of every offer after the upgrade."""
    url = sqlite_url(tmp_path / "old.db") if kind == "sqlite" else postgres.url(postgres.database())
    database = database_at("0008", url)
    try:
        with database.write() as c:
            c.execute(
                text(
                    "INSERT INTO stores (id, name, title, base, created_at) VALUES (1,'s','','',0)"
                )
            )
            for n, (page, target) in enumerate(
                [(PAGE, ""), ("https://ad.example/1", PAGE), ("nothing", "")]
            ):
                plain = ", ".join("''" for _ in range(13))
                c.execute(
                    text(
                        "INSERT INTO offers (id, store_id, offer_id, external_id, url, target_url, title,"
                        " price_minor, currency, availability, content_hash, created_at, updated_at, product_id,"
                        " adult, tracked, active, condition, brand, gtin, mpn, item_group_id, color, size,"
                        " category, description, gender, age_group, material, pattern, disclosure)"
                        f" VALUES (:n, 1, :id, :key, :page, :target, 't', 1, 'EUR', 'in_stock', 'h', 0, 0, :product,"
                        f" FALSE, FALSE, TRUE, 'new', {plain})"
                    ),
                    {
                        "n": n + 1,
                        "id": f"o{n}",
                        "key": str(n),
                        "page": page,
                        "target": target,
                        "product": f"p{n}",
                    },
                )
        database.migrate()
        assert coded.by_page(database, storepage.key(PAGE)) == ["p0", "p1"]
        assert coded.by_gtin(database, BOOT) == []
    finally:
        database.close()
