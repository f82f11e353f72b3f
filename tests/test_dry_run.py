"""`store add --dry-run`: what a feed gives before it is connected."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

import hostile_feeds
import http_servers
from ftp_servers import Talk, ftp_server, until
from lensback import cli
from lensback.errors import FeedError
from lensback.feeds import ColumnMap
from lensback.ingest import Limits, tidy_spool
from lensback.ingest.dry_run import try_address, try_apart, try_feed
from lensback.net import Fetcher

HEADER = "id,title,link,price,image_link\n"
GOOD = "{0},Hat {0},https://s.example/{0},5 EUR,https://s.example/{0}.jpg\n"
UNKNOWN = "nr;navn;vareurl;pris;valuta\n7;Hue;https://s.example/7;49,50;DKK\n8;Hat;;59,50;DKK\n"


def tried(text: str, **options):
    return try_feed(io.BytesIO(text.encode()), **options)


def test_the_account():
    rows = "".join(map(GOOD.format, range(12))) + GOOD.format(3)
    dry_run = tried(
        HEADER + rows + "20,Hat,,5 EUR,\n21,Hat,,5 EUR,\n22,Hat,https://s.example/22,x,\n"
    )
    assert (dry_run.offers, dry_run.duplicates, len(dry_run.shown)) == (13, 1, 10)
    refused = {reason: (r.count, r.lines) for reason, r in dry_run.refused.items()}
    assert refused == {"no url": (2, [15, 16]), "bad price": (1, [17])}
    assert dry_run.seems["dialect"] == "google"
    assert any("id that was there before" in warning for warning in dry_run.warnings())
    assert json.loads(json.dumps(dry_run.as_json()))["rejected"]["no url"]["lines"] == [15, 16]


def test_image_addresses_that_cannot_be_taken_are_told():
    rows = GOOD.format(1) + GOOD.format(2).replace("https://s.example/2.jpg", "pictures/2.jpg")
    dry_run = tried(HEADER + rows)
    assert dry_run.as_json()["images_left_out"] == {"no address": 1}
    (warning,) = [told for told in dry_run.warnings() if "left out" in told]
    assert warning.startswith("1 image address left out: no address, for example 'pictures/2.jpg'")


@pytest.mark.parametrize(
    ("picture", "told"),
    [("pictures/2.jpg", True), ("/i/2.jpg", True), ("2.jpg", True), ("../2.webp", True),
     ("a b.png", True), ("no picture", False), ("https://", False), ("n/a", False)],
)  # fmt: skip
def test_pictures_told_by_their_names_alone_have_a_hint(picture: str, told: bool) -> None:
    rows = GOOD.format(1) + GOOD.format(2).replace("https://s.example/2.jpg", picture)
    (warning,) = [told for told in tried(HEADER + rows).warnings() if "left out" in told]
    assert ("--base" in warning and "serve the folder" in warning) is told


def test_words_of_stock_that_nobody_knows_are_told():
    rows = "".join(
        GOOD.format(n).replace("\n", f",{said}\n")
        for n, said in enumerate(["in stock", "bald da", "0.00"])
    )
    dry_run = tried(HEADER.replace("\n", ",availability\n") + rows)
    assert dry_run.as_json()["unknown_stock"] == {"bald da": 1}
    (warning,) = dry_run.warnings()
    assert "'bald da' (1)" in warning
    assert "1 of 3" in warning
    assert [offer.availability for offer in dry_run.shown] == [
        "in_stock",
        "unknown",
        "out_of_stock",
    ]


def test_a_ready_maps_own_words_of_stock_are_printed_too():
    offer = (
        '<o id="1" url="https://s.example/1" price="9.90" avail="99"><name>Kubek</name>'
        "<imgs><main url='https://s.example/1.jpg'/></imgs></o>"
    )
    dry_run = tried(f"<offers>{offer}{offer.replace('99', '90')}</offers>")
    columns = ColumnMap.parse(dry_run.columns.replace('# currency = "EUR"', 'currency = "PLN"'))
    again = tried(f"<offers>{offer}{offer.replace('99', '90')}</offers>", columns=columns)
    assert [o.availability for o in again.shown] == ["unknown", "backorder"]


def test_the_map_that_is_printed_reads_the_feed():
    dry_run = tried(HEADER + GOOD.format(1))
    columns = ColumnMap.parse(dry_run.columns)
    assert tried(HEADER + GOOD.format(1), columns=columns).shown == dry_run.shown


def test_an_unknown_table_is_read_by_a_guess():
    dry_run = tried(UNKNOWN)
    assert dry_run.guessed
    assert [str(offer.price) for offer in dry_run.shown] == ["49.50 DKK"]
    assert dry_run.refused["no url"].lines == [3]
    assert any("guess" in warning for warning in dry_run.warnings())


def test_a_table_that_cannot_be_guessed_shows_what_stands_in_its_columns():
    odd = "Kennung;Bezeichnung;Summe;Seite\nA-7;Hue;12,50;/artikel/7\n"
    with pytest.raises(FeedError) as refused:
        tried(odd)
    assert "#   Kennung: A-7\n" in refused.value.hint
    assert "#   Seite: /artikel/7\n" in refused.value.hint


def test_a_table_of_ones_own_with_pictures_beside_it():
    """As docs/first-steps.md serves it: Russian, of Windows, prices as people write them."""
    text = (
        "артикул;название;цена;валюта;картинка;ссылка;наличие\r\n"
        "7;Платье;1 299,00;RUB;a b.jpg;https://lavka.example/t/7;да\r\n"
        "8;Шапка;490 руб.;RUB;8.jpg;https://lavka.example/t/8;нет\r\n"
    )
    dry_run = try_feed(io.BytesIO(text.encode("cp1251")), address="http://127.0.0.1:8099/goods.csv")
    told = [(str(o.price), o.availability, o.image_urls) for o in dry_run.shown]
    assert told == [
        ("1299.00 RUB", "in_stock", ("http://127.0.0.1:8099/a%20b.jpg",)),
        ("490.00 RUB", "out_of_stock", ("http://127.0.0.1:8099/8.jpg",)),
    ]


def test_what_is_amiss_is_told_before_the_way_on(monkeypatch, capsys, tmp_path):
    feed, folder = tmp_path / "feed.csv", str(tmp_path / "w")
    run(monkeypatch, "init", "--workspace", folder)
    add = ("store", "add", "x", "--feed", str(feed), "--workspace", folder, "--dry-run")
    twice = HEADER + GOOD.format(1) * 2
    for text, way in (
        (twice, "next, to connect it all the same: lensback store add x"),
        (HEADER + GOOD.format(1), "next, to connect it: lensback store add x"),
    ):
        feed.write_text(text)
        run(monkeypatch, *add)
        assert way in capsys.readouterr().out.replace("\n", " ")


def test_the_proposed_map_is_kept_in_a_file(monkeypatch, capsys, tmp_path):
    feed, folder = tmp_path / "feed.csv", str(tmp_path / "w")
    feed.write_text(UNKNOWN)
    run(monkeypatch, "init", "--workspace", folder)
    add = ("store", "add", "x", "--feed", str(feed), "--workspace", folder)
    capsys.readouterr()
    kept = tmp_path / "my map.toml"
    for options in (("--dry-run", "--save", str(kept)), (f"--save={kept}", "--dry-run")):
        kept.unlink(missing_ok=True)
        assert run(monkeypatch, *add, *options) == 0
        shown = capsys.readouterr().out
        assert kept.read_text() == tried(UNKNOWN).columns
        pasted = [line for line in shown.splitlines() if line.startswith("lensback ")]
        assert shlex.split(pasted[0]) == ["lensback", *add, "--columns", str(kept)]
    assert run(monkeypatch, *shlex.split(pasted[0])[1:]) == 0
    assert run(monkeypatch, *add, "--dry-run", "--save", str(kept)) == 2, "it is there already"
    assert kept.read_text() == tried(UNKNOWN).columns
    assert run(monkeypatch, *add, "--save", str(tmp_path / "other.toml")) == 2
    assert not (tmp_path / "other.toml").exists()


def test_the_line_to_paste_after_a_guess_leads_to_a_store_that_is_read(
    monkeypatch, capsys, tmp_path
):
    """A sync does not guess: without the map that was shown it would read nothing."""
    feed, folder = tmp_path / "feed.csv", str(tmp_path / "w")
    feed.write_text(UNKNOWN)
    run(monkeypatch, "init", "--workspace", folder)
    add = ("store", "add", "x", "--feed", str(feed), "--workspace", folder)
    capsys.readouterr()
    run(monkeypatch, *add, "--dry-run")
    shown = capsys.readouterr().out
    pasted = shlex.split(next(line for line in shown.splitlines() if line.startswith("lensback ")))
    monkeypatch.chdir(tmp_path)
    Path(pasted[pasted.index("--columns") + 1]).write_text(tried(UNKNOWN).columns)
    assert run(monkeypatch, *pasted[1:]) == 0
    run(monkeypatch, *pasted[1:], "--dry-run", "--json")
    told = capsys.readouterr().out
    again = json.loads(told[told.index("{") :])
    assert (again["guessed"], again["offers"]) == (False, 1)


HEADERS = {
    "German": "Artikelnummer;Bezeichnung;Preis;Währung;Bild;Link;Verfügbarkeit;Hersteller;Größe",
    "German, of Excel": "Artikel-Nr.;Artikelbezeichnung;Preis in (EUR);Währung;Bild-URL;Produkt-URL;Lieferstatus;Marke;Grösse",
    "French": "Identifiant;Désignation;Prix TTC;Devise;Photo;Lien;Disponibilité;Marque;Taille",
    "Spanish": "Código;Título;Precio (€);Moneda;Imagen;Enlace;Disponibilidad;Marca;Talla",
    "Italian": "Codice prodotto;Titolo;Prezzo;Valuta;Immagine;Link prodotto;Disponibilità;Produttore;Taglia",
    "Portuguese": "Código;Nome;Preço;Moeda;Imagem;Link;Disponibilidade;Marca;Tamanho",
    "Dutch": "Artikelcode;Naam;Prijs;Valuta;Afbeelding;Link;Beschikbaarheid;Merk;Maat",
    "Polish": "Kod produktu;Nazwa;Cena brutto;Waluta;Zdjęcie;Link;Dostępność;Producent;Rozmiar",
    "Czech": "Kód;Název;Cena s DPH;Měna;Obrázek;Odkaz;Dostupnost;Výrobce;Velikost",
    "Hungarian": "Cikkszám;Megnevezés;Bruttó ár;Pénznem;Kép;Link;Elérhetőség;Márka;Méret",
    "Romanian": "Cod produs;Denumire;Preț;Monedă;Imagine;Link;Disponibilitate;Producător;Mărime",
    "Danish": "Varenummer;Navn;Pris;Valuta;Billede;Link;Tilgængelighed;Mærke;Størrelse",
    "Swedish": "Artikelnr;Benämning;Pris;Valuta;Bild;Länk;Tillgänglighet;Varumärke;Storlek",
    "Finnish": "Tuotenumero;Nimi;Hinta;Valuutta;Kuva;Linkki;Saatavuus;Merkki;Koko",
    "Turkish": "Ürün Kodu;Ürün Adı;Fiyat;Para Birimi;Resim;Link;Stok Durumu;Marka;Beden",
    "Greek": "Κωδικός;Τίτλος;Τιμή;Νόμισμα;Εικόνα;Σύνδεσμος;Διαθεσιμότητα;Μάρκα;Μέγεθος",
    "Russian": "Артикул товара;Название товара;Цена, руб.;Валюта;Фотография;Ссылка на товар;Наличие;Бренд;Размер",
    "Ukrainian": "Код товару;Назва;Ціна;Валюта;Зображення;Посилання;Наявність;Виробник;Розмір",
    "Bulgarian": "Номер;Заглавие;Цена;Валута;Снимка;Връзка;Наличност;Марка;Размер",
}


@pytest.mark.parametrize("language", HEADERS)
def test_a_header_in_its_own_language_is_understood(language: str) -> None:
    row = "7;Hut;49,50;EUR;https://s.example/7.jpg;https://s.example/7;0;Elbe;M"
    (offer,) = tried(f"{HEADERS[language]}\n{row}\n").shown
    told = (offer.external_id, offer.title, str(offer.price), offer.image_urls, offer.url)
    assert told == ("7", "Hut", "49.50 EUR", ("https://s.example/7.jpg",), "https://s.example/7")
    assert (offer.availability, offer.brand, offer.size) == ("out_of_stock", "Elbe", "M")


def test_an_unknown_dialect_is_read_by_a_guess():
    item = "<vare><nr>{0}</nr><navn>Hue</navn><link>https://s.example/{0}</link><pris>50</pris></vare>\n"
    dry_run = tried(f"<varer>{item.format(1)}{item.format(2)}</varer>")
    assert dry_run.guessed
    assert dry_run.refused["no currency"].lines == [1, 2]
    assert any("currency" in warning for warning in dry_run.warnings())


def test_a_guess_that_lacks_something_is_a_hint():
    with pytest.raises(FeedError) as caught:
        tried("nr;navn;pris\n7;Hue;49\n")
    assert '# url = "…"   # needed' in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["HDR|1|S|x\nTRL|0\n", '[{"id":1,"title":"Hat","link":"https://s.example/1","price":"5 EUR"}]'],
)
def test_other_formats(text: str):
    dry_run = tried(text)
    assert dry_run.columns
    assert not dry_run.guessed


def test_what_is_cut_off_is_told():
    offer = "<offer id='{}'><name>A</name><url>https://s.example/1</url><price>50</price></offer>"
    dry_run = tried(f"<yml_catalog><offers>{offer.format(1)}{offer.format(2)[:40]}")
    assert "stops in the middle" in dry_run.warnings()[0]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["lensback", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    feed, folder = tmp_path / "feed.csv", tmp_path / "w"
    feed.write_text(UNKNOWN)
    run(monkeypatch, "init", "--workspace", folder)
    add = ("store", "add", "x", "--feed", feed, "--workspace", folder)
    capsys.readouterr()
    assert run(monkeypatch, *add, "--dry-run") == 0
    shown = capsys.readouterr()
    assert re.search(r"49\.50 DKK", shown.out)
    assert re.search(r"no url +\S 1 +\S 3 ", shown.out)
    assert 'title = "navn"' in shown.out
    assert "guess" in shown.err
    assert run(monkeypatch, *add, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["offers"] == 1
    assert run(monkeypatch, "store", "list", "--workspace", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_it_is_the_same_apart(tmp_path: Path):
    feed = tmp_path / "feed.csv"
    feed.write_text(
        UNKNOWN + "9;Hat;https://s.example/9;1,00;SEK\n10;Hat;https://s.example/10;x;SEK\n"
    )
    job = (str(feed), "auto", "", "", "feed", "", "", 1 << 20, 30.0)
    with feed.open("rb") as stream:
        here = try_feed(stream, name="feed")
    apart = try_apart(job, Event())
    here.seconds = apart.seconds = 0.0
    assert apart == here
    assert apart.refused


BUDGETS = [
    ("rows that never end", {"LENSBACK_FEED_BUDGET_S": "2"}, "took more than 2 s"),
    ("a good one", {"LENSBACK_MAX_FEED_BYTES": "1000000"}, "more than 1000000 bytes"),
]


@pytest.mark.parametrize(("what", "settings", "told"), BUDGETS, ids=[what for what, *_ in BUDGETS])
def test_a_feed_that_means_harm_is_ended_as_in_a_sync(
    what: str,
    settings: dict[str, str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    feed, folder = tmp_path / "feed.xml", tmp_path / "w"
    good = HEADER + "".join(map(GOOD.format, range(20_000)))
    feed.write_bytes(good.encode() if what == "a good one" else hostile_feeds.of(what, 18_000_000))
    run(monkeypatch, "init", "--workspace", folder)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert run(monkeypatch, "store", "add", "x", "--feed", feed, "--workspace", folder, "--dry-run")
    assert told in re.sub(r"\s+", " ", capsys.readouterr().err)


def test_an_address_that_drips_is_ended_by_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LENSBACK_FEED_BUDGET_S", "2")
    monkeypatch.setenv("LENSBACK_ALLOW_HOSTS", "127.0.0.1")
    run(monkeypatch, "init", "--workspace", tmp_path)
    drip = http_servers.by_path({"/f": http_servers.HOSTILE["a body that drips"]})
    with ftp_server(drip) as port:
        add = ("store", "add", "x", "--feed", f"http://127.0.0.1:{port}/f", "--dry-run")
        assert run(monkeypatch, *add, "--workspace", tmp_path)
    assert not list((tmp_path / "spool").glob("*"))


def test_two_at_once_and_a_sync_leave_each_other_alone(tmp_path: Path) -> None:
    """Both are half here while a sync clears the spool: each gives the account of its own feed."""
    go, spool = Event(), tmp_path / "spool"

    def sends(rows: int) -> Talk:
        text = (HEADER + "".join(map(GOOD.format, range(rows)))).encode()

        def talk(client: socket.socket, over: Event) -> None:
            client.sendall(http_servers.OK + b"Content-Length: %d\r\n\r\n" % len(text))
            client.sendall(text[:60])
            go.wait(240)
            client.sendall(text[60:])

        return talk

    def tried_at(url: str) -> int:
        with Fetcher(user_agent="test", allow_hosts=["127.0.0.1"]) as fetcher:
            how = {"form": "auto", "columns": "", "base": ""}
            return try_address(fetcher, url, spool, Limits(1 << 20, 0.5), **how).offers

    talks = http_servers.by_path({f"/{n}": sends(n) for n in (3, 5)})
    with ftp_server(talks) as port, ThreadPoolExecutor(2) as pool:
        counts = pool.map(tried_at, [f"http://127.0.0.1:{port}/{n}" for n in (3, 5)])
        try:
            until(lambda: len(list(spool.rglob("*.feed"))) == 2)
            tidy_spool(spool, [])
        finally:
            go.set()
        assert list(counts) == [3, 5]
    assert not list(spool.iterdir())


def test_what_a_killed_dry_run_left_goes_after_a_day(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dry_run.feed").write_text("x")
    os.utime(tmp_path / "old", (0, 0))
    tidy_spool(tmp_path, [])
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("www.shop.example/feed.xml", "https://www.shop.example/feed.xml"), ("shop.example/f", "https://shop.example/f"),
     ("http:/shop.example/f", "http://shop.example/f"), ("https:shop.example/f", "https://shop.example/f"),
     ("//shop.example/f", "https://shop.example/f"), ("127.0.0.1:8099/f", "https://127.0.0.1:8099/f"),
     ("localhost/f", "https://localhost/f"), ("goods.csv", ""), ("feeds/goods.csv", ""), ("./shop.example/f", ""),
     ("there.is/goods.csv", "")],
)  # fmt: skip
def test_an_address_without_its_scheme_is_no_path(
    typed: str,
    meant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is connected so would fail in every sync."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.is").mkdir()
    (tmp_path / "there.is" / "goods.csv").write_text(UNKNOWN)
    run(monkeypatch, "init")
    assert run(monkeypatch, "store", "add", "x", "--feed", typed) == (2 if meant else 0)
    assert f"--feed {meant};" in capsys.readouterr().err if meant else True
