"""Real feeds, by path: every count is checked against the file by other means."""

from __future__ import annotations

import gzip
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from lensback import feeds
from lensback.errors import FeedError
from lensback.types import Offer

DATA = Path(os.environ.get("LENSBACK_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA}: set LENSBACK_DATA"),
]


def tally(path: Path) -> tuple[int, Counter[str]]:
    offers, rejected = 0, Counter[str]()
    with path.open("rb") as stream:
        for row in feeds.read(stream, base="http://127.0.0.1:8100"):
            if isinstance(row, Offer):
                offers += 1
            else:
                rejected[row.reason] += 1
    return offers, rejected


@pytest.mark.parametrize(
    ("path", "count"),
    [("luma/feed.xml", 1870), ("outlet/feed.yml", 563), ("closet/feed.csv.gz", 5057)],
)
def test_shops(path: str, count: int):
    assert tally(DATA / "shops" / path) == (count, Counter())


@pytest.mark.parametrize(
    ("name", "offers", "rejected"),
    [
        ("criteo_sample.xml", 1, {}),
        ("csv_codingbiro_awin.csv", 10, {}),
        ("csv_codingbiro_google.csv", 1, {}),
        ("gmc_lecc.tsv", 160, {}),
        ("gmc_solarmarket_tr.xml", 785, {}),
        ("kaspi_bekzat_price.xml", 0, {"no url": 1}),
        ("meta_aiyaditya0_catalog.csv", 25, {}),
        ("meta_dpa_sample_rss.xml", 1, {}),
        ("xml_codingbiro_feed.xml", 3, {}),
        ("xml_codingbiro_feed1.xml", 1, {}),
        ("xml_codingbiro_perlenodense.xml", 1, {}),
        ("xml_codingbiro_test1.xml", 0, {"no currency": 43}),
        ("yml_autopriwos.xml", 0, {"no price": 72}),
        ("yml_byline.xml", 51, {"bad price": 1}),
        ("yml_chris1man.yml", 0, {"placeholder price": 35}),
        ("yml_dmitrykram.xml", 77, {}),
        ("yml_goyml_yml.xml", 2, {}),
        ("yml_islandgift.xml", 102, {}),
        ("yml_marvelsrp_price.yml", 361, {}),
        ("yml_nvprint_cp1251_a.yml", 0, {"no url": 312}),
        ("yml_nvprint_utf8_kzt.yml", 0, {"no url": 260}),
        ("yml_oherych_example.xml", 7, {}),
        ("yml_ozon_rudimka_feed.xml", 0, {"no title": 227}),
        ("yml_pastuhov_catalog.xml", 2, {}),
        ("yml_pastuhov_custom_category.xml", 2, {}),
        ("yml_ppbgroup.xml", 10, {}),
        ("yml_zverushko_excel.xml", 3, {}),
    ],
)
def test_wild_feeds(name: str, offers: int, rejected: dict[str, int]):
    path = DATA / "feeds" / name
    assert tally(path) == (offers, Counter(rejected))
    if path.suffix in (".xml", ".yml"):
        rows = re.findall(rb"<(?:offer|item|product)[\s>]", path.read_bytes())
        assert offers + sum(rejected.values()) == len(rows)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("notafeed_dbunit_dataset.xml", "dataset"),
        ("notafeed_sitemap_declared_cp1252.xml", "sitemap"),
        ("notafeed_yandex_turbo_rss.xml", "news"),
        ("xml_codingbiro_iso.xml", "produkter"),
        ("xml_codingbiro_isofeed.xml", "produkter"),
        ("yml_shops_lexxiy.dtd", "DTD"),
        ("yml_shops_denkadove.dtd", "DTD"),
    ],
)
def test_what_is_no_feed(name: str, says: str):
    with pytest.raises(FeedError, match=says):
        tally(DATA / "feeds" / name)


def test_a_packed_feed_is_the_same(tmp_path: Path):
    plain = DATA / "shops" / "outlet" / "feed.yml"
    packed = tmp_path / "feed.yml.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert tally(packed) == tally(plain)
