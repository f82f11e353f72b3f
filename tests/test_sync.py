"""The main job on a small web of stores: resumable, unharmed by faults and by kill -9."""

from __future__ import annotations

import hashlib
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from threading import Event, current_thread
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from forked import Forked
from garments import items
from lensback import download as download_module
from lensback import embed as embed_module
from lensback import headstart
from lensback import sync as sync_module
from lensback.catalogue import offers, products, stores
from lensback.db import tables as t
from lensback.encoders.pixels import PixelsEncoder
from lensback.errors import (
    BadQuery,
    Busy,
    ConfigError,
    FeedTruncated,
    FetchError,
    StateError,
    UnknownName,
)
from lensback.images import ImageStore
from lensback.search import Query, search
from lensback.settings import Settings
from lensback.sync import sync
from lensback.types import ImageInfo, Vectors
from lensback.workspace import Workspace, init
from world import World, WorldStore

THINGS = items(24)
PATIENCE_S = 300
KILLS = int(os.environ.get("SYNC_KILLS", "6"))
"""How often a sync is killed; `bench/kills.py` does it more often."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Read-only for the tests that share it."""
    with World(tmp_path_factory.mktemp("world")) as made:
        made.store("harbour", "google", THINGS[:16], sizes=("S", "M"), views=(0, 1))
        made.store("lavka", "yml", THINGS[8:20], sizes=("S", "M"), marker=True)
        made.store("attic", "table", THINGS[18:24])
        yield made


def opened(folder: Path, world: World, **settings: Any) -> Workspace:
    """A workspace connected to every store of the world."""
    init(folder)
    workspace = Workspace(folder, Settings(allow_hosts=("127.0.0.1",), retries=0, **settings))
    for store in world.stores.values():
        stores.add(workspace.db, store.name, store.feed_url, base=world.base)
    return workspace


def state(workspace: Workspace) -> dict[str, Any]:
    """Everything that a sync produces, without times and database ids."""
    db, encoder = workspace.db, workspace.encoder()
    leave = {"id", "store_id", "created_at", "updated_at"}
    columns = [column for column in t.offers.c if column.name not in leave]
    u, oi, o, p = t.image_urls.c, t.offer_images.c, t.offers.c, t.prices.c
    a, b = t.offers.alias(), t.offers.alias()
    with db.read() as c:
        rows = [tuple(r) for r in c.execute(select(*columns).order_by(o.offer_id))]
        urls = [tuple(r) for r in c.execute(select(u.url, u.image_hash, u.status).order_by(u.url))]
        shown = select(o.offer_id, oi.position, u.url).join(t.offers).join(t.image_urls)
        shows = [tuple(r) for r in c.execute(shown.order_by(o.offer_id, oi.position))]
        paid = select(o.offer_id, p.price_minor).select_from(t.prices).join(t.offers)
        prices = [tuple(r) for r in c.execute(paid.order_by(o.offer_id, t.prices.c.id))]
        link = t.product_links
        joined = select(a.c.product_id, link.c.reason).join(a, a.c.id == link.c.offer_a)
        links = sorted(tuple(r) for r in c.execute(joined.join(b, b.c.id == link.c.offer_b)))
    ids, digests = workspace.staging(encoder).staged()
    order = np.argsort(ids)
    hashes = sorted(h for part in workspace.vectors.hashes(encoder.fingerprint) for h in part)
    snapshot = workspace.index.snapshot
    assert snapshot
    return {
        "offers": rows,
        "urls": urls,
        "shows": shows,
        "prices": prices,
        "links": links,
        "vectors": hashlib.sha256(
            workspace.vectors.get(encoder.fingerprint, hashes).tobytes()
        ).hexdigest(),
        "hashes": hashes,
        "index": list(zip(ids[order].tolist(), digests[order].tolist(), strict=True)),
        "published": (snapshot.rows, snapshot.fingerprint),
    }


@pytest.fixture(scope="module")
def clean(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Workspace, dict[str, Any]]]:
    """One clean run, and what it produced."""
    with opened(tmp_path_factory.mktemp("clean"), world) as workspace:
        report = sync(workspace)
        assert not report.failed
        yield workspace, state(workspace)


QUICK = {"encoder": "pixels"}
"""Settings where whole syncs are repeated: which model encodes is all the same to what is proved."""


@pytest.fixture(scope="module")
def quick(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Workspace, dict[str, Any]]]:
    """The same without a model."""
    with opened(tmp_path_factory.mktemp("quick"), world, **QUICK) as workspace:
        assert not sync(workspace).failed
        yield workspace, state(workspace)


@pytest.mark.parametrize("broken", ["", "at once", "after some"])
def test_what_has_come_is_encoded_while_more_is_fetched(
    broken: str,
    world: World,
    quick: tuple[Workspace, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Later pictures are held back until the first ones were encoded. A head start that fails costs nothing, and
    what it did before is counted."""
    encoded, arrivals, ahead = Event(), count(1), count(1)
    put, encode = ImageStore.put, PixelsEncoder.encode

    def held(images: ImageStore, data: bytes) -> ImageInfo:
        if next(arrivals) > 20:
            assert encoded.wait(PATIENCE_S), "nothing is encoded while pictures are fetched"
        return put(images, data)

    def noted(encoder: PixelsEncoder, images: Sequence[Image.Image]) -> Vectors:
        encoded.set()
        fails = {"at once": 0, "after some": 3}.get(broken, 999)
        if current_thread().name == "headstart" and next(ahead) > fails:
            raise ConfigError("broken", hint="")
        return encode(encoder, images)

    monkeypatch.setattr(ImageStore, "put", held)
    monkeypatch.setattr(PixelsEncoder, "encode", noted)
    monkeypatch.setattr(sync_module, "AHEAD", 2)
    monkeypatch.setattr(embed_module, "COMMIT", 1)
    monkeypatch.setattr(download_module, "COMMIT_S", 0.0)
    with opened(tmp_path / "w", world, embed_batch=1, **QUICK) as workspace:
        report = sync(workspace)
        found = state(workspace)
    assert found == quick[1]
    (embedded,) = [tally for tally in report.tallies if tally.stage == "embed"]
    assert (embedded.done, embedded.rejects) == (len(found["hashes"]), 0)
    assert embedded.notes.get("while downloading", 0) == {"at once": 0, "after some": 3}.get(
        broken, len(found["hashes"])
    )
    assert report.guarded(0) == []


def test_a_picture_lost_in_a_head_start_is_counted_once(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file goes while it is encoded. The stage itself meets it again."""
    calls, open_many = count(), ImageStore.open_many

    def losing(images: ImageStore, hashes: list[str], side_px: int) -> Any:
        if not next(calls):  # of threads that decode at once, one
            images.drop(hashes[0])
        return open_many(images, hashes, side_px)

    monkeypatch.setattr(ImageStore, "open_many", losing)
    monkeypatch.setattr(sync_module, "AHEAD", 2)
    with opened(tmp_path / "w", world, **QUICK) as workspace:
        report = sync(workspace)
        found = state(workspace)
    embedded = [tally for tally in report.tallies if tally.stage == "embed"]
    assert sum(tally.rejects for tally in embedded) == 1
    assert sum(tally.done for tally in embedded) == len(found["hashes"])


@pytest.mark.parametrize("many", [1, 51])
def test_few_pictures_have_no_head_start(
    many: int, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor has a stage that is run alone."""

    def begun(*_: object) -> None:
        raise AssertionError("a head start")

    monkeypatch.setattr(headstart, "begun", begun)
    monkeypatch.setattr(sync_module, "AHEAD", many)
    with opened(tmp_path / "w", world, **QUICK) as workspace:
        if many > 1:
            sync(workspace)
        else:
            sync(workspace, only="ingest")
            sync(workspace, only="download")


def first_offers(workspace: Workspace, photo: Path, **query: Any) -> set[str]:
    answer = search(photo.read_bytes(), Query(**query), workspace.tools())
    if not answer.hits:
        return set()
    return {offer.offer_id for offer in answer.hits[0].offers}


def test_every_offer_is_in_the_catalogue(
    world: World, clean: tuple[Workspace, dict[str, Any]]
) -> None:
    workspace, made = clean
    counts = offers.counts(workspace.db)
    assert counts == {s.name: len(s.offers) for s in world.stores.values()}
    assert all(status == "ok" for _, _, status in made["urls"])
    assert len(made["hashes"]) == len({h for _, h, _ in made["urls"]})


def test_the_same_thing_at_two_stores_is_one_product(
    world: World, clean: tuple[Workspace, dict[str, Any]]
) -> None:
    workspace, _ = clean
    truth = world.truth
    grouped: dict[str, set[str]] = {}
    with workspace.db.read() as c:
        o = t.offers.c
        query = select(t.stores.c.name, o.external_id, o.product_id).join(t.stores)
        for store, external_id, product_id in c.execute(query):
            grouped.setdefault(product_id, set()).add(truth[store, external_id])
    assert all(len(things) == 1 for things in grouped.values()), "no product mixes two things"
    assert len(grouped) <= len({truth[key] for key in truth}) + 4


def test_a_picture_of_the_catalogue_finds_itself(
    world: World, clean: tuple[Workspace, dict[str, Any]]
) -> None:
    workspace, _ = clean
    for thing in THINGS[:8]:
        key = next(iter(sorted(world.offers_of(thing))))
        stored = offers.get(workspace.db, offers.offer_id(*key))
        photo = workspace.path / "query.jpg"
        photo.write_bytes(workspace.images.read(stored.image_hashes[0]))
        assert offers.offer_id(*key) in first_offers(workspace, photo)


def test_filters_reach_the_answer(world: World, clean: tuple[Workspace, dict[str, Any]]) -> None:
    workspace, _ = clean
    photo = world.photo(THINGS[10]).read_bytes()
    tools = workspace.tools()
    only = search(photo, Query(stores=("lavka",)), tools)
    assert {offer.store for hit in only.hits for offer in hit.offers} == {"lavka"}
    cheap = search(photo, Query(price_max="30", currency="USD"), tools)
    prices = [offer.price for hit in cheap.hits for offer in hit.offers]
    assert all(p.currency == "USD" and p.minor <= 3000 for p in prices)
    with pytest.raises(BadQuery, match="several currencies"):
        search(photo, Query(price_max="30"), tools)
    with pytest.raises(UnknownName):
        search(photo, Query(stores=("nowhere",)), tools)
    with pytest.raises(BadQuery, match="no offer has the category"):
        search(photo, Query(category="spaceships"), tools)


def test_a_second_sync_does_nothing(world: World, clean: tuple[Workspace, dict[str, Any]]) -> None:
    workspace, made = clean
    snapshot = workspace.index.snapshot
    before = world.requests.copy()
    report = sync(workspace)
    assert [tally.done for tally in report.tallies if tally.stage != "group"] == [0] * 7
    assert world.requests - before == {s.path: 1 for s in world.stores.values()}
    assert workspace.index.snapshot == snapshot
    assert state(workspace) == made


def test_a_sync_with_nothing_to_do_loads_neither_lance_nor_a_model(
    clean: tuple[Workspace, dict[str, Any]], tmp_path: Path
) -> None:
    """In a process of its own: what another test has loaded is loaded here."""
    code = f"""
import sys
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace
with Workspace({clean[0].path!r}, Settings(allow_hosts=("127.0.0.1",), retries=0)) as workspace:
    report = sync(workspace)
assert not report.failed and not sum(t.done for t in report.tallies if t.stage != "group")
print(*sorted(sys.modules))
""".replace("PosixPath", "__import__('pathlib').Path")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "lensback.vectors" in loaded
    assert not loaded & {"lancedb", "pandas", "onnxruntime", "faiss", "alembic", "pyarrow"}
    assert not loaded & {
        "fastapi",
        "uvicorn",
        "jinja2",
        "babel",
        "lxml",
        "scipy",
        "lensback.search",
    }


def test_stages_one_by_one_end_the_same(
    world: World, quick: tuple[Workspace, dict[str, Any]], tmp_path: Path
) -> None:
    with opened(tmp_path, world, **QUICK) as workspace:
        for stage in ("ingest", "download", "embed", "group", "publish"):
            sync(workspace, only=stage)
        made = state(workspace)
    expected = quick[1]
    # Images are compared between stores by the full run's `pair`, which belongs to `group`.
    assert made == expected
    with pytest.raises(BadQuery):
        sync(workspace, only="bake")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[World, WorldStore, Workspace]]:
    """A world of one's own to break."""
    with World(tmp_path / "world") as made:
        store = made.store("harbour", "google", THINGS[:6], sizes=("S", "M"), side_px=64)
        with opened(tmp_path / "workspace", made) as workspace:
            yield made, store, workspace


def test_a_price_change_reaches_answers_without_embedding(
    small: tuple[World, WorldStore, Workspace],
) -> None:
    world, store, workspace = small
    sync(workspace)
    world.change(store.offers[0], price="1.00", available=False)
    report = sync(workspace)
    done = {tally.stage: tally.done for tally in report.tallies}
    assert (done["download"], done["embed"]) == (0, 0)
    assert done["publish"] >= 1
    stored = offers.get(workspace.db, offers.offer_id(*store.offers[0].key))
    assert (stored.offer.price.minor, stored.offer.availability) == (100, "out_of_stock")
    photo = world.photo(store.offers[0].item).read_bytes()
    cheap = search(photo, Query(price_max="1", currency="USD"), workspace.tools())
    shown = {offer.offer_id for hit in cheap.hits for offer in hit.offers}
    assert shown == {offers.offer_id(*store.offers[0].key)}


def test_what_the_feed_drops_goes_off_sale_and_out_of_the_index(
    small: tuple[World, WorldStore, Workspace],
) -> None:
    world, store, workspace = small
    sync(workspace)
    rows = workspace.index.snapshot.rows  # type: ignore[union-attr]
    for offer in store.offers[:2]:
        world.remove(offer)
    report = sync(workspace)
    assert report.tallies[0].notes["removed"] == 2
    assert workspace.index.snapshot.rows < rows  # type: ignore[union-attr]
    assert offers.counts(workspace.db)["harbour"] == 10


def test_a_feed_that_shrank_is_held_back_until_forced(
    small: tuple[World, WorldStore, Workspace],
) -> None:
    world, store, workspace = small
    sync(workspace)
    for offer in store.offers[2:]:
        world.remove(offer)
    for _ in range(2):  # and it is not taken for read the next time
        report = sync(workspace)
        assert "--force" in str(report.tallies[0].notes["warning"])
        assert offers.counts(workspace.db)["harbour"] == 12
    assert stores.overview(workspace.db)[0].status == "shrank"
    sync(workspace, force=True)
    assert offers.counts(workspace.db)["harbour"] == 2


def test_a_truncated_feed_keeps_everything_on_sale(
    small: tuple[World, WorldStore, Workspace],
) -> None:
    world, store, workspace = small
    sync(workspace)
    world.change(store.offers[0], price="2.00")
    world.cut(store.path, 0.6)
    report = sync(workspace)
    assert isinstance(report.failed["harbour"], FeedTruncated)
    assert offers.counts(workspace.db)["harbour"] == 12
    stored = offers.get(workspace.db, offers.offer_id(*store.offers[0].key))
    assert stored.offer.price.minor == 200, "what came whole is kept"
    world.heal()
    assert not sync(workspace).failed


def test_one_broken_store_does_not_stop_the_others(
    small: tuple[World, WorldStore, Workspace],
) -> None:
    world, store, workspace = small
    other = world.store("lavka", "yml", THINGS[6:8], side_px=64)
    stores.add(workspace.db, "lavka", other.feed_url)
    world.fail(store.path, 503)
    report = sync(workspace)
    assert isinstance(report.failed["harbour"], FetchError)
    assert report.guarded(0.2) == ["harbour"]
    assert offers.counts(workspace.db) == {"lavka": 2}
    assert workspace.index.snapshot


def test_failing_images_are_counted_and_tried_again(
    small: tuple[World, WorldStore, Workspace],
) -> None:
    world, store, workspace = small
    gone, late, text = store.image_paths[:3]
    world.fail(gone, 404)
    world.fail(late, 503)
    world.put(text, b"<html>no picture here</html>", "image/jpeg")
    tally = next(x for x in sync(workspace).tallies if x.stage == "download")
    assert (tally.done, tally.rejects) == (3, 3)
    world.heal()
    again = next(x for x in sync(workspace).tallies if x.stage == "download")
    assert (again.done, again.rejects) == (2, 1), "each is tried again"


def test_two_syncs_at_once(small: tuple[World, WorldStore, Workspace]) -> None:
    _, _, workspace = small
    with workspace.locked(), pytest.raises(Busy):
        sync(workspace)


def test_another_encoder_takes_over_only_when_its_index_is_there(
    small: tuple[World, WorldStore, Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, store, workspace = small
    with pytest.raises(StateError, match="nothing is published"):
        workspace.tools()
    sync(workspace)
    old = workspace.tools().encoder.fingerprint
    other = Workspace(
        workspace.path, workspace.settings.model_copy(update={"encoder": "pixels*0.5"})
    )
    with other:
        assert other.tools().encoder.fingerprint == old
        sync(other, only="embed")
        assert workspace.tools().encoder.fingerprint == old
        sync(other)
        assert other.tools().encoder.fingerprint != old
        photo = world.photo(store.offers[0].item).read_bytes()
        assert (
            search(photo, Query(), workspace.tools()).encoder == other.tools().encoder.fingerprint
        )


CHILD = """
from pathlib import Path
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace
sync(Workspace(Path({folder!r}), Settings(allow_hosts=("127.0.0.1",), retries=0, encoder="pixels")))
"""


@pytest.mark.slow
def test_kill_9_at_random_moments_ends_as_one_clean_run(
    world: World, quick: tuple[Workspace, dict[str, Any]], tmp_path: Path
) -> None:
    dice = random.Random(20261124)
    killed = 0
    with Forked() as forked:
        timed = tmp_path / "timed"
        opened(timed, world, **QUICK).close()
        forked.start(CHILD.format(folder=str(timed)))
        begin = whole_s = forked.worked_s()
        while (now := forked.worked_s()) < math.inf:
            whole_s = now
            time.sleep(0.01)
        assert forked.finished() == (0, [])
        whole_s -= begin
        for lineage in range(KILLS // 2):
            folder = tmp_path / f"killed-{lineage}"
            opened(folder, world, **QUICK).close()
            for longest in (0.9, 0.5):  # the second run of a lineage has less to do
                forked.start(CHILD.format(folder=str(folder)))
                forked.wait_for(dice.uniform(0.02, longest) * whole_s)
                forked.kill()
                here = forked.finished()[0] == -signal.SIGKILL
                killed += here
                if not here:  # it had less to do, or the first one more beside it
                    whole_s *= 0.7
            resumed(folder, world, quick)
    assert killed >= KILLS // 4, "many moments lay inside a run"


def resumed(folder: Path, world: World, clean: tuple[Workspace, dict[str, Any]]) -> None:
    """One more sync ends as the clean run did."""
    with Workspace(folder, clean[0].settings) as workspace:
        assert not sync(workspace).failed
        assert state(workspace) == clean[1]
        for thing in THINGS[:2]:
            photo = world.photo(thing)
            assert first_offers(workspace, photo) == first_offers(clean[0], photo)


def test_products_keep_their_reasons(clean: tuple[Workspace, dict[str, Any]]) -> None:
    workspace, made = clean
    reasons = {reason for _, reason in made["links"]}
    assert "item group and colour" in reasons or "title and picture" in reasons
    product_id = made["links"][0][0]
    links = products.links_of(workspace.db, product_id)
    assert links
    assert {"a", "b", "reason", "score"} == set(links[0])
