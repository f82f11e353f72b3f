"""Stores replace pictures under their addresses, publish feeds before pictures, and lose pictures."""

from __future__ import annotations

import doctest
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select, text
from typer.testing import CliRunner

from garments import items
from lensback.catalogue import offers, pictures, stores
from lensback.catalogue.pictures import KEEP_S, Cadence, Downloaded
from lensback.cli import app
from lensback.db import Database, _upgrade
from lensback.db import tables as t
from lensback.settings import Settings
from lensback.sync import sync
from lensback.types import ImageInfo, Money, Offer, Tally
from lensback.workspace import Workspace, init
from revisions import database_at
from servers import Postgres
from world import LIES, World, WorldStore

THINGS = items(12)
VALIDATORS = ("etag", "modified", "none", "changing")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "world") as made:
        made.store("harbour", "google", THINGS[:6], side_px=64)
        yield made


@pytest.fixture
def store(world: World) -> WorldStore:
    return world.stores["harbour"]


@pytest.fixture
def workspace(tmp_path: Path, world: World, store: WorldStore) -> Iterator[Workspace]:
    init(tmp_path / "w")
    with Workspace(tmp_path / "w", chosen()) as opened:
        stores.add(opened.db, store.name, store.feed_url)
        yield opened


def chosen(**more: object) -> Settings:
    values = {"allow_hosts": ("127.0.0.1",), "retries": 0, "encoder": "pixels", **more}
    return Settings.model_validate(values)


def synced(workspace: Workspace, *names: str, **options: bool) -> Tally:
    report = sync(workspace, names, **options)  # type: ignore[arg-type]
    assert not report.failed
    return next(tally for tally in report.tallies if tally.stage == "download")


def searched(workspace: Workspace) -> set[str]:
    """Hashes of the pictures in the index."""
    ids, _ = workspace.staging(workspace.encoder()).staged()
    with workspace.db.read() as c:
        from lensback.indexes import row_id

        rows = list(pictures.searchable(c, workspace.encoder().fingerprint, row_id))
    assert {row.row_id for row in rows} == set(ids.tolist())
    snapshot = workspace.index.snapshot
    assert snapshot
    assert snapshot.rows == len(ids)
    return {row.image_hash for row in rows}


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = pictures.time.time() + seconds
    monkeypatch.setattr("lensback.catalogue.pictures.time.time", lambda: now)


# ---- replaced under its address


@pytest.mark.parametrize("validators", VALIDATORS)
def test_a_picture_replaced_at_its_address_gets_a_new_vector(
    validators: str, world: World, store: WorldStore, workspace: Workspace
) -> None:
    world.validators = validators
    assert synced(workspace).done == 6
    before = searched(workspace)
    world.repaint(store.offers[0], THINGS[8])
    world.change(store.offers[0], price="11.00")
    tally = synced(workspace)
    assert (tally.done, tally.notes.get("replaced")) == (1, 1)
    after = searched(workspace)
    assert len(after - before) == len(before - after) == 1
    new = after - before
    assert set(offers.get(workspace.db, offers.offer_id(*store.offers[0].key)).image_hashes) == new


@pytest.mark.parametrize("validators", VALIDATORS)
def test_the_same_bytes_are_no_new_picture(
    validators: str, world: World, store: WorldStore, workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A 304 costs no decoding, and neither do the same bytes under another ETag."""
    world.validators = validators
    synced(workspace)
    before, snapshot = searched(workspace), workspace.index.snapshot

    def decode(*_: object) -> ImageInfo:
        raise AssertionError("nothing is to be decoded")

    monkeypatch.setattr(workspace.images, "put", decode)
    for offer in store.offers:
        world.change(offer, price="12.00")
    tally = synced(workspace)
    assert (tally.done, tally.rejects, tally.notes["unchanged"]) == (0, 0, 6)
    assert sum(world.unchanged[path] for path in store.image_paths) == (
        6 if validators in {"etag", "modified"} else 0
    )
    assert searched(workspace) == before
    assert workspace.index.snapshot.rows == snapshot.rows  # type: ignore[union-attr]


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_denies_the_change_is_overruled_by_force(
    lie: str, world: World, store: WorldStore, workspace: Workspace
) -> None:
    """Another picture under the same ETag or date: by its word nobody can know, so it stays until all
    is asked for without conditions; and what stays is a good picture, no failure."""
    world.validators = lie
    assert synced(workspace).done == 6
    before = searched(workspace)
    world.repaint(store.offers[0], THINGS[8])
    world.change(store.offers[0], price="11.00")
    tally = synced(workspace)
    assert (tally.done, tally.rejects, tally.notes.get("unchanged")) == (0, 0, 1)
    assert searched(workspace) == before
    assert synced(workspace, "harbour", force=True).notes.get("replaced") == 1
    assert len(searched(workspace) - before) == len(before - searched(workspace)) == 1


@pytest.mark.parametrize(
    ("validators", "days", "asked"),
    [("etag", 5, 0), ("etag", 8, 6), ("modified", 8, 6), ("none", 8, 0), ("none", 32, 6)],
)
def test_good_pictures_are_asked_for_again_by_age(
    validators: str, days: int, asked: int, world: World, store: WorldStore, workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    world.validators = validators
    synced(workspace)
    world.requests.clear()
    later(monkeypatch, days * 86_400)
    synced(workspace)
    assert sum(world.requests[path] for path in store.image_paths) == asked
    world.requests.clear()
    synced(workspace)
    assert sum(world.requests[path] for path in store.image_paths) == 0, "not again at once"


def test_a_named_store_with_force_is_asked_for_every_picture_without_conditions(
    world: World, store: WorldStore, workspace: Workspace
) -> None:
    synced(workspace)
    assert synced(workspace, force=True).notes.get("unchanged") is None, "not of all stores"
    assert synced(workspace, "harbour", force=True).notes["unchanged"] == 6
    assert not world.unchanged.total() - world.unchanged[store.path]


def test_a_budget_for_each_sync_and_for_each_store_the_oldest_first(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = ImageInfo("a" * 64, 8, 8, 1, "image/png", 0)
    now = 1_800_000_000
    for number, (name, n) in enumerate({"large": 60, "small": 5}.items()):
        key = stores.add(db, name, "x").id
        rows = [
            Offer(
                str(i), "t", "https://s.example", Money(1, "EUR"), (f"https://{name}.x/{i:02}.jpg",)
            )
            for i in range(n)
        ]
        with db.write() as c:
            offers.write_batch(db, c, key, name, rows, offers.SeenIds())
        for at, url in enumerate(list(pictures.to_download(db, [name]))):
            monkeypatch.setattr(pictures.time, "time", lambda at=at, n=number: now + at + 1000 * n)
            pictures.record_downloads(db, [Downloaded(url, shown, etag="x")], Cadence(recheck_s=1))
    monkeypatch.setattr(pictures.time, "time", lambda: now + 86_400)
    pace = Cadence(per_sync=20, per_store=12)
    asked = [url.url for url in pictures.to_recheck(db, pace)]
    assert asked == [f"https://large.x/{i:02}.jpg" for i in range(12)] + [
        f"https://small.x/{i:02}.jpg" for i in range(5)
    ]
    assert len(list(pictures.to_recheck(db, Cadence(per_sync=7)))) == 7
    assert len(list(pictures.to_recheck(db, Cadence(), ["small"]))) == 5
    assert list(pictures.to_recheck(db, Cadence(per_sync=0))) == []
    monkeypatch.setattr(pictures.time, "time", lambda: now - 86_400)
    assert list(pictures.to_recheck(db, pace)) == [], "not due"
    assert len(list(pictures.to_recheck(db, Cadence(anyway=True), ["large"]))) == 60


def test_one_address_of_many_offers_and_one_picture_of_many_addresses(
    world: World, store: WorldStore, workspace: Workspace
) -> None:
    """An old picture leaves the index only with the last address that shows it."""
    one, two, three = store.offers[:3]
    path = "/harbour/images/"
    world.put(path + two.images[0], world._pages[path + one.images[0]][0])
    world.change(three, images=one.images)
    synced(workspace)
    shared = offers.get(workspace.db, offers.offer_id(*one.key)).image_hashes[0]
    world.repaint(one, THINGS[9])
    world.change(one, price="1.00")
    synced(workspace)
    hashes = [
        offers.get(workspace.db, offers.offer_id(*o.key)).image_hashes for o in (one, two, three)
    ]
    assert hashes[0] == hashes[2] != (shared,), "two offers of one address"
    assert hashes[1] == (shared,)
    assert shared in searched(workspace)
    world.repaint(two, THINGS[10])
    world.change(two, price="2.00")
    synced(workspace)
    assert shared not in searched(workspace)


def test_another_address_with_the_same_bytes_costs_no_vector(
    world: World, store: WorldStore, workspace: Workspace
) -> None:
    synced(workspace)
    before = searched(workspace)
    offer = store.offers[0]
    world.put("/harbour/images/moved.jpg", world._pages[f"/harbour/images/{offer.images[0]}"][0])
    world.change(offer, images=["moved.jpg"])
    report = sync(workspace)
    done = {tally.stage: tally.done for tally in report.tallies}
    assert (done["download"], done["embed"]) == (1, 0)
    assert searched(workspace) == before


# ---- missing


def small() -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (1, 1)).save(sink, "PNG")
    return sink.getvalue()


ILLS = {
    "404": 404, "410": 410, "403": 403, "500": 500, "503": 503, "429": 429,
    "a maintenance page": b"<!doctype html><title>Back soon</title>", "nothing": b"",
    "a tracking pixel": small(), "half a picture": b"\xff\xd8\xff\xe0" + b"\0" * 900,
    "JSON": b'{"error": "not found"}',
}  # fmt: skip


def harm(world: World, path: str, ill: str) -> None:
    what = ILLS[ill]
    if isinstance(what, int):
        world.fail(path, what)
    else:
        world._pages["kept " + path] = world._pages[path]
        world.put(path, what, "image/jpeg")


def heal(world: World, path: str) -> None:
    world.heal(path)
    if "kept " + path in world._pages:
        world._pages[path] = world._pages.pop("kept " + path)


def test_whatever_a_picture_was_missing_for_it_comes_with_the_next_sync(
    tmp_path: Path,
) -> None:
    """The feed before its pictures, with every kind of ill at once."""
    with World(tmp_path / "world") as world:
        store = world.store("harbour", "google", items(len(ILLS)), side_px=64)
        for path, ill in zip(store.image_paths, ILLS, strict=True):
            harm(world, path, ill)
        init(tmp_path / "w")
        with Workspace(tmp_path / "w", chosen()) as workspace:
            stores.add(workspace.db, "harbour", store.feed_url)
            # 500, 503 and 429 in a row close the host: it is asked anyway where force says so
            assert synced(workspace, "harbour", force=True).rejects == len(ILLS)
            told = pictures.missing(workspace.db, "harbour", 100)
            assert {m.url.removeprefix(world.base) for m in told} == set(store.image_paths)
            assert all(m.reason and not m.kept and "http" not in m.reason for m in told)
            for path in store.image_paths:
                heal(world, path)
            assert synced(workspace, "harbour").done == len(ILLS)
            assert pictures.missing(workspace.db, "harbour", 100) == []
            assert len(searched(workspace)) == len(ILLS)


def test_store_show_lists_addresses_reasons_and_times(
    world: World, store: WorldStore, workspace: Workspace
) -> None:
    for path in store.image_paths[:2]:
        world.fail(path, 404)
    synced(workspace)
    workspace.close()
    command = ["store", "show", "harbour", "--workspace", str(workspace.path)]
    shown = CliRunner().invoke(app, command).output
    for path in store.image_paths[:2]:
        assert f"{world.base}{path}\n" in shown
    assert "404 Not Found; tried" in shown
    assert "lensback sync harbour --force" in shown
    rows = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)["missing_images"]
    assert [row["url"] for row in rows] == [world.base + path for path in store.image_paths[:2]]
    assert set(rows[0]) == {
        "url", "reason", "attempts", "failing_since", "tried_at", "next_try", "kept",
    }  # fmt: skip


@pytest.mark.parametrize("ill", ["404", "503", "a maintenance page"])
def test_a_good_picture_that_fails_is_searched_for_two_weeks_more(
    ill: str, world: World, store: WorldStore, workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    synced(workspace)
    before = searched(workspace)
    path = f"/harbour/images/{store.offers[0].images[0]}"
    harm(world, path, ill)
    world.change(store.offers[0], price="13.00")
    for _ in range(2):
        assert synced(workspace, "harbour", force=True).rejects == 1
        assert searched(workspace) == before
        assert [m.kept for m in pictures.missing(workspace.db, "harbour", 9)] == [True]
    later(monkeypatch, KEEP_S - 60)
    synced(workspace, "harbour", force=True)
    assert searched(workspace) == before
    later(monkeypatch, 120)
    synced(workspace, "harbour", force=True)
    assert len(searched(workspace)) == len(before) - 1
    heal(world, path)
    assert synced(workspace, "harbour", force=True).done == 1
    assert searched(workspace) == before


def test_a_retry_after_is_kept_for_the_host_unless_forced(
    world: World, store: WorldStore, workspace: Workspace
) -> None:
    world.retry_after = "7200"
    for path in store.image_paths:
        world.fail(path, 503)
    synced(workspace)
    asked = sum(world.requests[path] for path in store.image_paths)
    assert asked < 12
    next_try = {m.next_try - m.tried_at for m in pictures.missing(workspace.db, "harbour", 9)}
    assert next_try == {7200}
    world.heal()
    assert synced(workspace).done == 0
    assert sum(world.requests[path] for path in store.image_paths) == asked
    assert synced(workspace, "harbour", force=True).done == 6


# ---- the database


def test_the_examples() -> None:
    assert doctest.testmod(pictures).failed == 0


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_catalogue_of_before_is_asked_for_again_bit_by_bit(
    kind: str, tmp_path: Path, postgres: Postgres
) -> None:

    url = f"sqlite:///{tmp_path}/x.db" if kind == "sqlite" else postgres.url(postgres.database())
    db = database_at("0004", url)
    old = "INSERT INTO image_urls (id, url, status, reason, attempts, tried_at, image_hash) VALUES "
    rows = [f"({n}, 'u{n}', 'ok', '', 1, 1000, NULL)" for n in range(1, 50)]
    rows += [
        "(90, 'gone', 'failed', '404', 1000, 1000, NULL)",
        "(91, 'new', 'new', '', 0, NULL, NULL)",
    ]
    with db.write() as c:
        c.execute(text(old + ", ".join(rows)))
    with db._writing() as c:
        _upgrade(c)
    u = t.image_urls.c
    with db.read() as c:
        dues = list(c.scalars(select(u.due_at).where(u.status == "ok")))
        gone = c.execute(select(u.attempts, u.due_at, u.etag).where(u.id == 90)).one()
        new = c.execute(select(u.attempts, u.due_at, u.etag).where(u.id == 91)).one()
    week = 7 * 86_400
    assert len(set(dues)) == 49
    assert 1000 + week <= min(dues) < max(dues) < 1000 + 2 * week
    assert max(dues) - min(dues) > week / 2
    assert tuple(gone) == (3, 1000, "")
    assert tuple(new) == (0, None, "")
    db.close()
