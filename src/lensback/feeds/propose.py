"""A column map for a feed that nobody knows: guessed by names in many languages and by values."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from lxml import etree

from lensback.errors import FeedError
from lensback.feeds import elements, markup
from lensback.feeds.clean import PRICES
from lensback.feeds.columns import NEEDED, ColumnMap, by_alias, key
from lensback.feeds.money import money
from lensback.feeds.stock import known
from lensback.types import Money

HINT = "write a column map (TOML) and name it with --columns"
_SAMPLE_CHARS = 40
_MAX_LISTED, _MAX_SAMPLES = 40, 200

# Last parts of names, as `_plain` writes them: no marks between words or on letters. In the languages of
# the countries whose formats we name.
_NAMES = by_alias(
    {
        "id": "id sku productid produktid itemid offerid uid uniqueid artnr artikelnr artikelnummer varenummer varenr"
        " productcode articleid uniquemerchantsku merchantsku code nr produktnr produktnummer productnummer bestellnummer"
        " codearticle idproduit identifiant codigo idproducto codice codiceprodotto idprodotto codigoproduto idproduto"
        " artikelcode kod kodproduktu idproduktu kodzbozi kodtovaru cikkszam termekkod cod codprodus idprodus tuotenumero"
        " tuotekoodi tootekood urunkodu stokkodu kodikos sifra κωδικοσ артикул код ид номер кодтовара артикултовара"
        " idтовара кодтовару кодпродукта idoferty daisyconuniqueid belboonproductnumber productnumber aid"
        " 商品管理番号 商品番号 商品コード 商品编号 商品編號 商品id 产品编号 상품코드 상품번호 상품id",
        "title": "title name productname produktnavn produktname navn nazev nazwa nom nombre titel naam"
        " bezeichnung produktbezeichnung artikelbezeichnung artikelname artikel produkt nomproduit nomduproduit"
        " nombreproducto nombredelproducto titulo titolo nome nomeprodotto nomeproduto productnaam nazwaproduktu"
        " nazevproduktu nazevzbozi nazov nazovproduktu termeknev megnevezes nev denumire numeprodus nume varenavn"
        " produktnamn benamning namn tuotenimi nimi nimetus nosaukums pavadinimas urunadi urunismi baslik onoma titlos"
        " naziv ονομα τιτλοσ designation libelle intitule denominazione"
        " название наименование имя названиетовара наименованиетовара назва назватовару име заглавие"
        " tytuloferty tytul 商品名 商品名称 商品名稱 产品名称 商品标题 상품명 제품명",
        "url": "url link producturl produkturl vareurl productlink deeplink href landingpage lien enlace"
        " produktlink artikellink lienproduit urlproduit urlproducto enlaceproducto linkprodotto urlprodotto linkproduto"
        " odkaz adresurl urlproduktu hivatkozas lank lankki baglanti urunlinki poveznica συνδεσμοσ"
        " ссылка адрес ссылканатовар посилання линк връзка deeplinkurl landingpageurl affiliateurl canonicalurl fullurl pageurl"
        " 商品url 商品ページurl 商品链接 商品連結 商品鏈接 链接 連結 상품url 상품링크 링크",
        "price": "price nypris pris preis prix precio prezzo cena prijs pricewithvat currentprice"
        " sellingprice centamount verkaufspreis bruttopreis einzelpreis preiseur prixttc prixdevente pvp precioventa"
        " prezzodivendita preco verkoopprijs cenabrutto cenasdph ar bruttoar pret pretcutva salgspris forsaljningspris"
        " hinta hind kaina fiyat satisfiyati timi τιμη цена стоимость ціна розничнаяцена finalprice pricepc"
        " 販売価格 通常購入販売価格 価格 售价 售價 价格 價格 판매가 판매가격 가격",
        "minor_unit": "currencyminorunit minorunit minorunits minorunitdigits currencyexponent exponent"
        " fractiondigits currencydecimals decimalplaces",
        "old_price": "oldprice glpris uvp rrp msrp listprice regularprice wasprice priceold alterpreis streichpreis"
        " prixbarre ancienprix precioanterior prezzoprecedente oudeprijs staracena staracijena ordinariepris староцена стараяцена староціна"
        " originalprice normalprice fromprice retailprice priceretail compareatprice 表示価格 定価 通常価格 原价 原價 市场价 정가 소비자가",
        "sale_price": "saleprice specialprice discountprice angebotspreis aktionspreis sonderpreis prixpromo prixsolde"
        " preciooferta precorebajado prezzoscontato aanbiedingsprijs cenapromocyjna akcnicena ценасоскидкой акционнаяцена",
        "currency": "currency currencyid valuta wahrung waehrung wahrungscode devise moneda divisa moeda waluta mena"
        " penznem deviza valuutta valuuta parabirimi doviz nomisma νομισμα curr currencycode валюта валута",
        "image": "image imageurl imagelink picture pictureurl img imgurl billedurl billede bild bildurl"
        " foto photo imagen urlimg mainimage bildlink produktbild artikelbild urlimage lienimage urlimagen imagenurl"
        " immagine urlimmagine imagem urlimagem afbeelding afbeeldingurl zdjecie urlzdjecia obrazek urlobrazku obrazok"
        " kep kepurl imagine urlimagine bilde bildlank kuva kuvaurl pilt attels paveikslelis resim resimurl eikona slika"
        " εικονα картинка фото изображение фотография снимка зображення ссылканафото bigimage imagebigurl imagebig largeimage imagelink1"
        " 商品画像url 画像url 商品画像 图片链接 图片 图片地址 圖片 이미지url 이미지 상품이미지",
        "images": "additionalimage additionalimages additionalimagelink images pictures gallery bilder weiterebilder"
        " zdjecia fotos immagini imagens afbeeldingen obrazky kepek kuvat фотографии картинки изображения",
        "availability": "availability available stock instock isinstock lagerantal lager stockstatus"
        " verfugbarkeit verfuegbarkeit lagerstatus lieferbarkeit lieferstatus disponibilite disponible enstock"
        " disponibilidad existencias disponibilita disponibile disponibilidade beschikbaarheid opvoorraad dostepnosc"
        " dostupnost raktaron elerhetoseg disponibilitate tilgjengelighet tilgaengelighed tillganglighet saatavuus"
        " saadavus pieejamiba prieinamumas stok stokdurumu diathesimotita διαθεσιμοτητα razpolozljivost raspolozivost"
        " наличие наявність доступность наличност stockavailability availabilitystatus 在庫状況 库存状态 재고상태 판매상태",
        "quantity": "quantity qty stockquantity inventory bestand lagerbestand antal menge quantite cantidad quantita"
        " giacenza quantidade voorraad aantal ilosc stanmagazynowy mnozstvi mnozstvo keszlet mennyiseg cantitate stoc"
        " antall lagersaldo maara kogus daudzums kiekis stokadedi stokmiktari posotita kolicina ποσοτητα"
        " остаток остатки количество кількість брой instockamount stockqty qtyinstock quantityinstock stocklevel stockcount availablequantity inventoryquantity liczbasztuk 在庫数 在庫 库存 庫存 库存数量 재고 재고수량",
        "delivery_days": "deliverydate deliverytime dlvtime lieferzeit lieferdatum levertijd dodani dostawa czasdostawy"
        " delaidelivraison plazoentrega tempiconsegna срокдоставки",
        "brand": "brand vendor manufacturer maerke marke marque marca producer fabrikant hersteller fabricant fabricante"
        " produttore marka producent vyrobce znacka gyarto producator valmistaja merke varemerke varumarke merkki"
        " uretici merk μαρκα бренд производитель марка виробник ブランド 品牌 브랜드 brandname",
        "gtin": "gtin ean ean13 barcode upc isbn gtin13 eancode eannummer strichcode codebarres codigodebarras"
        " codiceabarre kodkreskowy carovykod vonalkod barkod штрихкод",
        "mpn": "mpn modelnumber vendorcode partnumber herstellernummer modellnummer",
        "item_group_id": "itemgroupid groupid parentid parentsku",
        "category": "category kategori kategorinavn producttype kategorie categorie categoria warengruppe rubrique"
        " kategoria kategoriaproduktu kategoriatermek luokka katigoria κατηγορια"
        " categoryname категория раздел категорія",
        "description": "description beskrivelse beschreibung desc descripcion opis omschrijving produktbeschreibung"
        " descriptif popis leiras descriere kuvaus kirjeldus aciklama descricao beskrivning perigrafi περιγραφη"
        " descrizione описание опис",
        "color": "color colour farve farbe couleur kleur colore cor farg barva kolor farge vari renk szin culoare χρωμα цвет колір цвят",
        "size": "size storrelse groesse grosse taille talla taglia tamanho storlek velikost rozmiar maat koko beden meret marime"
        " μεγεθοσ размер розмір",
        "gender": "gender koen kon geschlecht sexe sexo sesso plec pohlavi cinsiyet пол стать",
        "material": "material materiale materiau materiaal материал матеріал",
    }
)
_LETTERS = str.maketrans(
    {"ß": "ss", "ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "þ": "th"}
)
"""Those that no mark can be taken off."""
_CENTS = re.compile(
    r"(?:in)?(?:cents?|minor|pence|kopecks|kopeks|centimes?|grosz|subunits?)$|centamount$"
)
_MARKS = re.compile("(?<![иу])[\u0300-\u036f]|[\u0300-\u0305\u0307-\u036f]")
"""On letters; but the one that makes й and ў letters of their own."""
_UNIT = re.compile(
    r"[,;]?(?:in|en|w|в)?(?:[(\[][^()\[\]]*[)\]]|€|\$|£|₽|₴|zł|eur|usd|pln|czk|huf|ron|руб|грн)$"
)
"""What a price counts in, behind its name: `Preis (€)`, `Цена, руб`."""
_PRICED = re.compile("price|amount|cost|pris|prix|prijs|cena|цена|preis")
_MAX_WRITTEN = 200
_PICTURE = re.compile(r"(?i)(?:https?:)?//\S+\.(?:jpe?g|png|webp|gif)\b")
_ADDRESS = re.compile(r"(?i)https?://\S+")
_PRICE = re.compile(r"\d+[.,]\d\d(?: ?[A-Z]{3})?")
# `3 100,00`, `1.299` and `1299 €` are written for people, who count no cents.
_BARE = re.compile(r"\d+(?: ?[A-Z]{3})?|[A-Z]{3} ?\d+")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A guess at a column map, and what it did not use (name -> a sample)."""

    fields: dict[str, tuple[str, ...]]
    unused: dict[str, str] = field(default_factory=dict)
    item: str = ""
    name: str = "columns"
    stock: Mapping[str, str] = field(default_factory=dict)
    """What the map that is in use says of the store's own words of stock."""
    minor_units: int = 0
    """Decimals that prices lack."""
    bare: bool = False
    """Prices are bare digits: nothing in how they are written says whether they are cents."""

    @property
    def missing(self) -> list[str]:
        """Needed fields for which nothing was found."""
        return [name for name in NEEDED if name not in self.fields]

    def toml(self) -> str:
        """A column map to be looked over and saved."""
        lines = [f"name = {_quoted(self.name)}"]
        if self.item:
            lines.append(f"item = {_quoted(self.item)}")
        if "currency" not in self.fields:
            lines.append('# currency = "EUR"   # where rows name none')
        if self.minor_units:
            lines.append(
                f"minor_units = {self.minor_units}   # prices seem to lack so many decimals"
            )
        lines += ["", "[fields]"]
        for target, names in self.fields.items():
            listed = ", ".join(map(_quoted, names))
            lines.append(f"{target} = {listed if len(names) == 1 else f'[{listed}]'}")
        lines += [f'# {target} = "…"   # needed' for target in self.missing]
        for state in dict.fromkeys(self.stock.values()):
            said = [_quoted(own) for own, meant in self.stock.items() if meant == state]
            lines += [] if "[stock]" in lines else ["", "[stock]"]
            lines.append(f"{state} = [{', '.join(said)}]")
        if self.unused:
            lines += ["", "# not used:"]
            lines += [f"#   {n}: {v}" for n, v in list(self.unused.items())[:_MAX_LISTED]]
        return "\n".join(lines) + "\n"


def hint(proposal: Proposal) -> str:
    """What to do with a feed that needs a column map."""
    return f"{HINT}; it may begin:\n\n{proposal.toml()}"


def of_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], columns: ColumnMap | None = None
) -> Proposal:
    """A guess for a table, by its header and by the first rows where there are any; for a known
    map, what of it is used."""
    samples: dict[str, str] = {name.strip(): "" for name in header if name.strip()}
    for row in rows:
        for name, value in zip(header, row, strict=False):
            if value.strip() and not samples.get(name.strip(), "x"):
                samples[name.strip()] = value
    return of_samples(samples, "", "table", columns)


def of_xml(head: str, columns: ColumnMap | None = None) -> Proposal:
    """A guess for XML: its rows are the element that repeats most and has the most values in it.
    Raises FeedError where the beginning is no XML at all."""
    mended = b"".join(markup.mend(iter([head.encode("utf-8", "replace")])))
    root = markup.tree(mended)
    counts: Counter[str] = Counter()
    found: dict[str, dict[str, str]] = {}
    for element in root.iter(etree.Element):
        path = _path(element)
        if not 0 < path.count("/") <= elements.MAX_DEPTH:
            continue
        counts[path] += 1
        known = found.setdefault(path, {})
        for name, value in elements.deep_pairs(element):
            if value.strip() and len(known) < _MAX_SAMPLES:
                known.setdefault(name, value)
    if not found:
        raise FeedError("there is no offer in it", hint="check the address and the format")
    best = max(found, key=lambda path: (counts[path] > 1, counts[path] * _own(found[path])))
    parts = best.split("/")
    return of_samples(found[best], "/".join(parts[-2:]), parts[0], columns)


def of_samples(
    samples: dict[str, str], item: str, name: str, columns: ColumnMap | None = None
) -> Proposal:
    """A guess from names, each with an example of its values; `item` is the element of a row, or
    empty."""
    fields = _known(samples, columns) if columns else _guess(samples)
    used = {given for names in fields.values() for given in names}
    unused = {n: _short(v) for n, v in samples.items() if n not in used}
    ordered = {n: fields[n] for n in dict.fromkeys((*NEEDED, *fields)) if n in fields}
    prices = [samples[given] for target in PRICES for given in fields.get(target, ())]
    bare = all(map(_BARE.fullmatch, filter(None, map(str.strip, prices))))
    if columns is None:
        places = 0 if "minor_unit" in fields else _places(samples, fields)
        return Proposal(ordered, unused, item, name, minor_units=places, bare=bare)
    return Proposal(ordered, unused, item, columns.name, columns.stock, columns.minor_units)


def _own(samples: dict[str, str]) -> int:
    """Values that stand in the element itself, no deeper."""
    return sum("/" not in name for name in samples)


def _path(element: etree._Element) -> str:
    names = [elements.local(element.tag)]
    names += [elements.local(above.tag) for above in element.iterancestors()]
    return "/".join(reversed(names))


def _known(samples: dict[str, str], columns: ColumnMap) -> dict[str, tuple[str, ...]]:
    ranked: dict[str, list[tuple[int, str]]] = {}
    for given in samples:
        for target, rank in columns.fields_of(given):
            ranked.setdefault(target, []).append((rank, given))
    return {name: tuple(given for _, given in sorted(found)) for name, found in ranked.items()}


def _guess(samples: dict[str, str]) -> dict[str, tuple[str, ...]]:
    fields: dict[str, tuple[str, ...]] = {}
    used: set[str] = set()
    for given in sorted(samples, key=lambda name: name.count("/")):
        target = target_of(given)
        if target == "availability" and target in fields:
            target = "quantity"  # WooCommerce's export: `In stock?`, and `Stock`, empty where nobody counts
        if target and (target == "images" or target not in fields):
            fields[target] = (*fields.get(target, ()), given)
            used.add(given)
    for given, value in samples.items():
        target = _by_value(value.strip()) or _of_stock(given, value, fields)
        if given not in used and target and target not in fields:
            fields[target] = (given,)
            used.add(given)
    if "price" not in fields and "sale_price" in fields and "old_price" in fields:
        fields["price"] = fields.pop("old_price")  # what it costs where there is no sale
    if "id" not in fields and "url" in fields:
        fields["id"] = fields["url"]  # some price lists name a thing by its page alone
    units = {name.rpartition("/")[0] for name in fields.get("minor_unit", ())}
    if units & set(fields.get("price", ())):  # an amount that was read with its own unit
        del fields["minor_unit"]
    return fields


def _of_stock(name: str, value: str, fields: Mapping[str, tuple[str, ...]]) -> str | None:
    """`availability` for a status that says whether a thing is to be had, where no other name does:
    ShareASale's `Status` is `instock` or `soldout`."""
    said = "status" in key(name) and not {"availability", "quantity"} & fields.keys()
    return (
        "availability"
        if said and not value.strip().isdigit() and known()(value) != "unknown"
        else None
    )


def target_of(name: str) -> str | None:
    """The field that a column of this name seems to feed, in any of the languages known here."""
    last = _plain(name.rpartition("/")[2].lstrip("@"))
    return _NAMES.get(last) or _NAMES.get(_CENTS.sub("", last)) or _NAMES.get(_UNIT.sub("", last))


def _plain(name: str) -> str:
    """A name in small letters without anything between them or on them.

    >>> _plain("Währung"), _plain("Τιμή"), _plain("Arama Fiyatı"), _plain("Prix (€)")
    ('wahrung', 'τιμη', 'aramafiyati', 'prix(€)')
    """
    wide = unicodedata.normalize("NFKD", key(name).casefold())
    bare = unicodedata.normalize("NFC", _MARKS.sub("", wide))
    return re.sub(r"[_.:?'\u2019]", "", bare.translate(_LETTERS))


def _places(samples: Mapping[str, str], fields: Mapping[str, tuple[str, ...]]) -> int:
    """Decimals that prices seem to lack: 2 for cents, 0 where nothing says so."""
    return _told_beside(samples, fields) or (2 if _in_cents(samples, fields) else 0)


def _told_beside(samples: Mapping[str, str], fields: Mapping[str, tuple[str, ...]]) -> int:
    """The same, by the same price written out in another value (`price: 1999`, `html: <b>19,99 €</b>`)."""
    names = fields.get("price", ())
    raw = samples[names[0]].strip() if names else ""
    if not raw.isdecimal():
        return 0
    for name, value in samples.items():
        if name in names or len(value) > _MAX_WRITTEN:
            continue
        written = money(value, "XXX" if _PRICED.search(key(name)) else "")
        if isinstance(written, Money):
            for places in (1, 2, 3):
                if Decimal(raw).scaleb(-places) == written.amount:
                    return places
    return 0


def _in_cents(samples: Mapping[str, str], fields: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether prices seem to be whole numbers of cents: by their names, or because it is what
    Shopify's pages say (`price_varies`)."""
    names = [name for target in PRICES for name in fields.get(target, ())]
    told = any(_CENTS.search(key(name)) for name in names) or any(
        key(name).endswith("pricevaries") for name in samples
    )
    return told and all(samples[name].strip().isdecimal() for name in names)


def _by_value(value: str) -> str | None:
    if _PICTURE.match(value):
        return "image"
    if _ADDRESS.fullmatch(value):
        return "url"
    return "price" if _PRICE.fullmatch(value) else None


def _short(value: str) -> str:
    text = " ".join(value.split())
    return text if len(text) <= _SAMPLE_CHARS else text[:_SAMPLE_CHARS] + "…"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
