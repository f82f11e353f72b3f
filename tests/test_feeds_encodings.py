"""Encodings of feeds: what the document declares, what the server says, what the bytes are."""

from __future__ import annotations

import gzip
import io
import itertools
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from lensback import feeds
from lensback.catalogue import stores
from lensback.db import Database
from lensback.db import tables as t
from lensback.errors import ConfigError, FetchFailed
from lensback.feeds.columns import ColumnMap
from lensback.feeds.encodings import charset_of, codec_of
from lensback.ingest import Limits, ingest
from lensback.types import Offer
from test_dry_run import run
from test_net import Shop, opened, serving

TITLES = {
    "windows-1251": ("cp1251", "Шапка зимняя, с ёлкой"),
    "koi8-r": ("koi8-r", "Шапка зимняя, с ёлкой"),
    "koi8-u": ("koi8-u", "Капелюх зимовий їжак"),
    "ibm866": ("cp866", "Шапка зимняя"),
    "iso-8859-5": ("iso8859-5", "Шапка зимняя"),
    "windows-1250": ("cp1250", "Żółta łódź – příliš žluťoučký kůň"),
    "iso-8859-2": ("iso8859-2", "Żółta łódź, příliš žluťoučký kůň"),
    "windows-1253": ("cp1253", "Χειμωνιάτικο καπέλο"),
    "windows-1254": ("cp1254", "Kışlık şapka"),
    "iso-8859-9": ("cp1254", "Kışlık şapka"),
    "windows-1255": ("cp1255", "כובע חורף"),
    "windows-1256": ("cp1256", "قبعة شتوية"),
    "windows-1257": ("cp1257", "Žieminė kepurė"),
    "iso-8859-1": ("cp1252", "Chapeau d’été créé à l’œuvre"),
    "iso-8859-15": ("iso8859-15", "Chapeau d'été à 5 €"),
    "shift_jis": ("cp932", "赤い帽子①"),
    "euc-jp": ("euc_jp", "赤い帽子"),
    "gbk": ("gb18030", "红色帽子"),
    "big5": ("big5hkscs", "紅色帽子"),
    "euc-kr": ("cp949", "빨간 모자"),
    "utf-8": ("utf-8", "Шапка 赤い été"),
    "utf-16le": ("utf-16-le", "Шапка зимняя"),
    "utf-16be": ("utf-16-be", "赤い帽子"),
}
"""What the server says -> Python's codec, a title in it."""


def table(title: str, _: str) -> str:
    return f"id,title,link,price\n1,{json.dumps(title, ensure_ascii=False)},https://s.example/1,5 EUR\n"


def tabs(title: str, _: str) -> str:
    return f"id\ttitle\tlink\tprice\n1\t{title}\thttps://s.example/1\t5 EUR\n"


def rss(title: str, declaration: str) -> str:
    return (
        f"{declaration}<rss><channel><item><id>1</id><title>{title}</title>"
        "<link>https://s.example/1</link><price>5 EUR</price></item></channel></rss>"
    )


def yml(title: str, declaration: str) -> str:
    return (
        f"{declaration}<yml_catalog><shop><offers><offer id='1'><url>https://s.example/1</url><price>5</price>"
        f"<currencyId>EUR</currencyId><name>{title}</name></offer></offers></shop></yml_catalog>"
    )


def lines(title: str, _: str) -> str:
    thing = {"id": "1", "title": title, "link": "https://s.example/1", "price": "5 EUR"}
    return json.dumps(thing, ensure_ascii=False) + "\n"


FORMATS = {"csv": table, "tsv": tabs, "rss": rss, "yml": yml, "json": lines}
MARKUP = ("rss", "yml")


def title_of(data: bytes, **options: object) -> str:
    (row,) = feeds.read(io.BytesIO(data), **options)  # type: ignore[arg-type]
    assert isinstance(row, Offer), row
    return row.title


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("said", TITLES)
def test_what_the_server_says_is_used(form: str, said: str) -> None:
    """Packed or not, and also where the XML declares nothing, nonsense, or what the bytes are not."""
    codec, title = TITLES[said]
    declared = ["", '<?xml version="1.0"?>', '<?xml version="1.0" encoding="nonsense"?>']
    if codec not in ("utf-8", "utf-16-le", "utf-16-be"):
        declared.append('<?xml version="1.0" encoding="utf-8"?>')
    for declaration in declared if form in MARKUP else declared[:1]:
        data = FORMATS[form](title, declaration).encode(codec)
        for packed in (data, gzip.compress(data)):
            assert title_of(packed, charset=said) == title


@pytest.mark.parametrize("form", MARKUP)
@pytest.mark.parametrize("said", [name for name in TITLES if not name.startswith("utf")])
@pytest.mark.parametrize("server", ["utf-8", "nonsense", "binary", "utf-16"])
def test_the_document_stands_above_a_server_that_is_wrong(
    form: str, said: str, server: str
) -> None:
    codec, title = TITLES[said]
    text = FORMATS[form](title, f'<?xml version="1.0" encoding="{said}"?>')
    assert title_of(text.encode(codec), charset=server) == title


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("server", [*TITLES, "us-ascii", "x-user-defined", "utf-7"])
def test_what_is_valid_utf_8_is_utf_8_whatever_the_server_says(form: str, server: str) -> None:
    title = "Шапка 赤い帽子 d’été"
    assert title_of(FORMATS[form](title, "").encode(), charset=server) == title
    marked = FORMATS[form](title, "").encode("utf-8-sig")
    assert title_of(marked, charset=server) == title


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "server", ["utf-8", "us-ascii", "iso-8859-1", "shift_jis", "gbk", "euc-kr"]
)
def test_a_charset_in_which_the_bytes_make_no_text_is_passed_over(form: str, server: str) -> None:
    """As `iso-8859-1`, which servers say that were never told, for Cyrillic."""
    title = "Шапка зимняя вязаная с помпоном и отворотом"
    assert title_of(FORMATS[form](title, "").encode("cp1251"), charset=server) == title


def test_an_iso_page_with_characters_of_its_windows_sister() -> None:
    """Shops declare ISO-8859-2 and send Windows-1250."""
    for title in ("Žluťoučký kůň – šťáva", "Źdźbło „trawy”, świeże"):
        assert title_of(table(title, "").encode("cp1250"), charset="iso-8859-2") == title
        text = rss(title, '<?xml version="1.0" encoding="iso-8859-2"?>')
        assert title_of(text.encode("cp1250")) == title


def test_iso_2022_jp_hides_in_ascii() -> None:
    data = table("赤い帽子", "").encode("iso2022_jp")
    assert title_of(data, charset="ISO-2022-JP") == "赤い帽子"
    assert title_of(table("Hat", "").encode(), charset="ISO-2022-JP") == "Hat"


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/csv; charset=windows-1251", "windows-1251"),
        ("text/csv;charset=Windows-1251", "windows-1251"),
        ('text/csv; header=present; CHARSET="cp1251"', "cp1251"),
        ("text/csv; charset='cp1251'", "cp1251"),
        ("text/csv; charset = cp1251 ; x=y", "cp1251"),
        ("text/csv; charset=utf-8; charset=cp1251", "utf-8"),
        ("text/csv, text/csv; charset=cp1251", "cp1251"),
        ("text/csv charset=cp1251", "cp1251"),
        ("text/csv; boundary=charset", ""),
        ("text/csv; charset=", ""),
        ("text/csv", ""),
        ("", ""),
    ],
)
def test_the_charset_in_a_content_type(content_type: str, charset: str) -> None:
    assert charset_of(content_type) == charset


# Labels of the Encoding Standard (https://encoding.spec.whatwg.org/#names-and-labels): encoding -> some of each kind.
LABELS = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
    "cp866": "866 cp866 csibm866 ibm866",
    "iso8859-2": "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    "iso8859-5": "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988",
    "iso8859-6": "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e iso-ir-127 iso88596",
    "iso8859-7": "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso88597 iso_8859-7:1987 sun_eu_greek",
    "iso8859-8": "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso88598 visual csiso88598i iso-8859-8-i logical",
    "iso8859-10": "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso8859-13": "iso-8859-13 iso8859-13 iso885913",
    "iso8859-15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
    "koi8-r": "cskoi8r koi koi8 koi8-r koi8_r",
    "koi8-u": "koi8-ru koi8-u",
    "mac-roman": "csmacintosh mac macintosh x-mac-roman",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "cp874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874",
    "cp1250": "cp1250 windows-1250 x-cp1250",
    "cp1251": "cp1251 windows-1251 x-cp1251 win-1251 win1251 ansi-1251",
    "cp1252": "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 iso_8859-1 l1 latin1 us-ascii x-cp1252",
    "cp1254": "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9:1989 l5 latin5 windows-1254 x-cp1254",
    "cp1258": "cp1258 windows-1258 x-cp1258",
    "gb18030": "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030",
    "big5hkscs": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc_jp": "cseucpkdfmtjapanese euc-jp x-euc-jp",
    "iso2022_jp": "csiso2022jp iso-2022-jp",
    "cp932": "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    "cp949": "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 windows-949",
    "utf-16-le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
    "utf-16-be": "unicodefffe utf-16be",
    "": "rot13 hex base64 utf-7 utf7 idna punycode unicode_escape cp037 undefined zlib nonsense x- binary none",
}


@pytest.mark.parametrize("codec", LABELS)
def test_labels_of_the_encoding_standard(codec: str) -> None:
    for label in LABELS[codec].split():
        for written in (label, label.upper(), f" {label} "):
            assert codec_of(written) == codec, label


MAP = '[fields]\nid="id"\ntitle="title"\nurl="link"\nprice="price"\n'


@pytest.mark.parametrize("form", FORMATS)
def test_the_operator_has_the_last_word(form: str) -> None:
    title = "Żółta łódź"
    columns = ColumnMap.parse('encoding = "ISO-8859-2"\n')
    wrong = '<?xml version="1.0" encoding="windows-1251"?>'
    data = FORMATS[form](title, wrong).encode("iso8859-2")
    assert title_of(data, columns=columns, charset="windows-1251") == title
    marked = FORMATS[form](title, "").encode("utf-8-sig")
    assert title_of(marked, columns=columns) == title, "but for a byte order mark"
    if form == "csv":
        assert title_of(data, columns=ColumnMap.parse(f'encoding = "latin2"\n{MAP}')) == title


def test_an_encoding_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match="encoding"):
        ColumnMap.parse('encoding = "utf-7"\n')


LEGACY = [name for name in TITLES if not name.startswith("utf")]


@given(st.sampled_from(LEGACY), st.sampled_from(list(FORMATS)), st.integers(0, 3), st.data())
def test_any_text_comes_back(said: str, form: str, late: int, data: st.DataObject) -> None:
    """Also where the first letter that tells comes late."""
    codec, letters = TITLES[said]
    title = " ".join(f"Hat {data.draw(st.text(letters, max_size=60))}".replace('"', "").split())
    text = FORMATS[form](title, "")
    if form in MARKUP:
        text = text.replace("><", f"><!--{'x' * 70_000 * late}--><", 1)
    raw = text.encode(codec)
    try:
        raw.decode()
    except UnicodeDecodeError:
        assert title_of(raw, charset=said) == title


def test_of_two_that_disagree_the_document_is_believed() -> None:
    for document, server in itertools.product(LEGACY[::3], repeat=2):
        codec, title = TITLES[document]
        text = rss(title, f'<?xml version="1.0" encoding="{document}"?>')
        assert title_of(text.encode(codec), charset=server) == title


# --- declared by nobody ---------------------------------------------------------------------------

UNDECLARED = {
    "cp1251": "Куртка мужская зимняя с капюшоном, синяя. Сумка женская кожаная. Ёлка искусственная. Кроссовки Nike белые",
    "koi8-r": "Куртка мужская зимняя с капюшоном, синяя. Сумка женская кожаная. Ёлка искусственная. Кроссовки белые",
    "cp1250": "Żółta łódź gumowa. Świeże kwiaty. Kurtka zimowa męska ciepła. Pánská bunda zimní. Příliš žluťoučký kůň. Őszi dzseki. Tűzött kabát",
    "cp1252": "Café crème. Chapeau d’été. Größerer Hut. Rød hue. Señora. Maçã",
    "cp1253": "Χειμωνιάτικο καπέλο. Ανδρικό μπουφάν. Γυναικεία τσάντα δερμάτινη",
    "cp1254": "Kışlık şapka. Erkek mont. Kadın çanta. Güneş gözlüğü. Çocuk ayakkabısı",
    "cp1255": "כובע חורף. מעיל גברים. תיק נשים מעור",
    "cp1256": "قبعة شتوية. جاكيت رجالي. حقيبة نسائية",
    "cp932": "赤い帽子. メンズジャケット. レディースバッグ. 送料無料",
    "euc_jp": "赤い帽子. メンズジャケット. レディースバッグ. 送料無料",
    "gb18030": "红色帽子. 男士夹克. 女士手提包. 免运费",
    "big5hkscs": "紅色帽子. 男士夾克. 女士手提包. 免運費",
    "cp949": "빨간 모자. 남성 재킷. 여성 가방. 무료 배송",
}


@pytest.mark.parametrize("codec", UNDECLARED)
@pytest.mark.parametrize("form", ["csv", "tsv", "json", "rss"])
@pytest.mark.parametrize("wrong", ["", "utf-8"])
def test_what_nobody_declares_or_everybody_as_utf_8_is_guessed(
    codec: str, form: str, wrong: str
) -> None:
    things = UNDECLARED[codec].split(". ")
    if form == "rss":
        declaration = '<?xml version="1.0" encoding="utf-8"?>' if wrong else ""
        one = rss("TITLE", "")
        begin, end = one.index("<item>"), one.index("</channel>")
        items = "".join(one[begin:end].replace("TITLE", thing) for thing in things)
        text = declaration + one[:begin] + items + one[end:]
    else:
        made = [FORMATS[form](thing, "") for thing in things]
        text = made[0] + "".join(each.splitlines(keepends=True)[-1] for each in made[1:])
    rows = feeds.read(io.BytesIO(text.encode(codec)), charset=wrong)
    assert [getattr(row, "title", row) for row in rows] == things


# --- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture
def shop() -> Iterator[Shop]:
    with serving(Shop()) as server:
        yield server


def titles(db: Database) -> list[str]:
    with db.read() as c:
        return list(c.execute(select(t.offers.c.title).order_by(t.offers.c.external_id)).scalars())


@pytest.mark.parametrize("packed", [False, True])
def test_a_sync_reads_the_charset_that_the_server_says(
    shop: Shop, db: Database, tmp_path: Path, packed: bool
) -> None:
    title = "Żółta łódź"
    data = table(title, "").encode("cp1250")
    body, more = (gzip.compress(data), {"Content_Encoding": "gzip"}) if packed else (data, {})
    stores.add(db, "s", shop.url + "/f.csv")
    with opened() as fetcher:

        def sync(content_type: str, **headers: str) -> list[str]:
            shop.page("/f.csv", body, Content_Type=content_type, **more, **headers)
            ingest(db, fetcher, "s", spool=tmp_path / "spool", limits=Limits(1 << 20, 1.0))
            return titles(db)

        assert sync("text/csv") != [title]
        assert sync('text/csv; charset="Windows-1250"', ETag='"1"') == [title], "the same bytes"
        assert sync("text/csv; charset=iso-8859-1", ETag='"2"') != [title]


def test_a_part_that_is_gone_on_with_keeps_what_was_said_of_the_whole(
    shop: Shop, tmp_path: Path
) -> None:
    body = b"a" * 200_000
    path = tmp_path / "1.feed"

    def answer(handler: BaseHTTPRequestHandler) -> None:
        part = "Range" in handler.headers
        handler.send_response(206 if part else 200)
        handler.send_header("ETag", '"1"')
        handler.send_header("Content-Length", "100000" if part else "200000")
        if part:
            handler.send_header("Content-Range", "bytes 100000-199999/200000")
        else:
            handler.send_header("Content-Type", "text/csv; charset=koi8-r")
        handler.end_headers()
        handler.wfile.write(body[:100_000])
        handler.wfile.flush()
        handler.close_connection = True

    shop.pages["/f"] = answer
    with opened(retries=0) as fetcher:
        with pytest.raises(FetchFailed):
            fetcher.spool(shop.url + "/f", path, max_bytes=1 << 20)
        assert path.stat().st_size == 100_000
        got = fetcher.spool(shop.url + "/f", path, max_bytes=1 << 20)
        assert (path.read_bytes(), got.content_type) == (body, "text/csv; charset=koi8-r")

        def unchanged(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(304)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        shop.pages["/f"] = unchanged  # a run was killed before it read
        again = fetcher.spool(shop.url + "/f", path, max_bytes=1 << 20)
        assert (again.status, again.content_type) == (200, "text/csv; charset=koi8-r")


def test_a_dry_run_shows_the_encoding_that_it_uses(
    shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LENSBACK_ALLOW_HOSTS", "127.0.0.1")
    data = table("Żółta łódź", "").encode("cp1250")
    url = shop.page("/f.csv", data, Content_Type="text/csv; charset=windows-1250")
    run(monkeypatch, "init", "--workspace", tmp_path)
    capsys.readouterr()
    add = ("store", "add", "s", "--feed", url, "--dry-run", "--json", "--workspace", tmp_path)
    assert run(monkeypatch, *add) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["seems"]["encoding"], told["shown"][0]["title"]) == ("cp1250", "Żółta łódź")
