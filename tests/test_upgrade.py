"""A workspace that 0.1.0 made goes on with this version, and nothing in it is lost.

`kept/workspace-0.1.0.tar.gz` was made by the commit 21181c9, the last one with the first schema alone:
`init`, two stores by CSV feeds on 127.0.0.1:8179 (twelve and four drawn garments, each with a picture),
`sync`, every price of the first store up by 5.00 EUR, `sync`, one setting written by hand. Its encoder
`eye` has another fingerprint than today's. The feeds are gone: what is not kept cannot be had again.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lensback.catalogue import offers
from lensback.workspace import open_workspace
from test_cli import Result, lensback

KEPT = Path(__file__).parent / "kept" / "workspace-0.1.0.tar.gz"


def rows(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "catalogue.db")) as db:
        return db.execute(query).fetchall()


def state(folder: Path) -> dict[str, list[Any]]:
    """What a person would miss: stores and feeds, offers with their ids, every price they ever had."""
    return {
        "stores": rows(folder, "SELECT name, url, format FROM stores JOIN feeds ON store_id = stores.id ORDER BY 1"),
        "offers": rows(folder, "SELECT offer_id, external_id, title, url, price_minor, brand, active FROM offers ORDER BY 1"),
        "prices": rows(folder, "SELECT offer_id, at, price_minor FROM prices ORDER BY 1, 2"),
        "images": rows(folder, "SELECT url, image_hash, status FROM image_urls ORDER BY 1"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("old")
    with tarfile.open(KEPT) as packed:
        packed.extractall(root, filter="data")
    return root / "workspace"


class Upgraded:
    """The workspace before, and what the first commands of this version said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before = state(folder)
        self.settings = (folder / "lensback.toml").read_text("utf-8")
        self.search = self.run("search", self.photo(), "--json")
        self.sync = self.run("sync", "--json")

    def photo(self) -> Path:
        return next(path for path in (self.folder / "images").rglob("*") if path.is_file())

    def run(self, *arguments: object) -> Result:
        return lensback(*arguments, "--workspace", self.folder)


@pytest.fixture(scope="module")
def upgraded(unpacked: Path) -> Iterator[Upgraded]:
    assert rows(unpacked, "SELECT version_num FROM alembic_version") == [("0001",)]
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("LENSBACK_")]:
            patch.delenv(name)
        patch.setenv("LENSBACK_ALLOW_HOSTS", "127.0.0.1")
        patch.setenv("LENSBACK_RETRIES", "0")
        # The pictures are older each day, and their store is gone: none is looked at anew.
        patch.setenv("LENSBACK_RECHECK_IMAGES", "0")
        yield Upgraded(unpacked)


def test_searches_say_what_is_to_be_done_before_the_first_sync(upgraded: Upgraded) -> None:
    assert upgraded.search.error["type"] in {"StaleIndex", "StateError"}
    assert "lensback sync" in upgraded.search.error["hint"]


def test_the_first_sync_makes_the_index_anew_from_what_is_kept(upgraded: Upgraded) -> None:
    told = upgraded.sync.json
    assert set(told["failed"]) == {"harbour", "lavka"}, "their feeds are gone, which is told"
    stages = {tally["stage"]: tally["done"] for tally in told["stages"]}
    assert stages["embed"] == 16
    assert stages["publish"] == 16
    assert stages.get("download", 0) == 0


def test_nothing_is_lost(upgraded: Upgraded) -> None:
    assert [len(upgraded.before[what]) for what in ("stores", "offers", "prices", "images")] == [
        2,
        16,
        28,
        16,
    ]
    assert state(upgraded.folder) == upgraded.before
    assert (upgraded.folder / "lensback.toml").read_text("utf-8") == upgraded.settings
    for _, digest, _ in upgraded.before["images"]:
        data = (upgraded.folder / "images" / digest[:2] / digest[2:4] / digest).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest


def test_every_offer_is_found_by_its_picture_and_shows_both_prices(upgraded: Upgraded) -> None:
    with open_workspace(upgraded.folder) as workspace:
        one = offers.samples(workspace.db, 20, ["harbour"])[0]
        picture = workspace.images.read(one.image_hashes[0])
        history = offers.price_history(workspace.db, one.offer_id)
    (upgraded.folder / "asked.jpg").write_bytes(picture)
    answer = upgraded.run("search", upgraded.folder / "asked.jpg", "--json").json
    assert one.offer_id in {offer["offer_id"] for offer in answer["hits"][0]["offers"]}
    assert [money.minor for _, money in history][-1] - history[0][1].minor == 500
    assert upgraded.run("search", "--example", "--json").json["example"]["place"] == 1


def test_the_workspace_is_as_a_new_one(upgraded: Upgraded) -> None:
    checks = {check["part"]: check["state"] for check in upgraded.run("doctor", "--json").json}
    assert checks["database"] == "ok"
    red = {part for part, state in checks.items() if state == "fail"}
    assert red == {"store harbour", "store lavka"}, "their feeds are gone"
    assert upgraded.run("ledger", "audit").code == 0
    assert upgraded.run("offers", "find", "--json", "harbour").code == 0
