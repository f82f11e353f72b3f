"""Images are fetched politely: robots directives, pauses, hosts that fail."""

from __future__ import annotations

import doctest
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from effort import within
from garments import items
from lensback import robots
from lensback.catalogue import health, stores
from lensback.download import Manners, download
from lensback.net import Fetcher
from lensback.settings import Settings
from lensback.sync import sync
from lensback.types import Tally
from lensback.workspace import Workspace, init
from world import World, WorldStore


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "world") as made:
        made.store("harbour", "google", items(6))
        yield made


@pytest.fixture
def store(world: World) -> WorldStore:
    return world.stores["harbour"]


@pytest.fixture
def workspace(tmp_path: Path, world: World, store: WorldStore) -> Iterator[Workspace]:
    init(tmp_path / "w")
    settings = Settings(allow_hosts=("127.0.0.1",), retries=0, encoder="pixels")
    with Workspace(tmp_path / "w", settings) as opened:
        stores.add(opened.db, store.name, store.feed_url, base=world.base)
        sync(opened, only="ingest")
        yield opened


def fetched(workspace: Workspace, **manners: object) -> Tally:
    with Fetcher(user_agent="Lensback/1 (+x)", allow_hosts=("127.0.0.1",), retries=0) as fetcher:
        return download(
            workspace.db,
            fetcher,
            workspace.images,
            max_bytes=1 << 20,
            jobs=4,
            manners=Manners(**manners),  # type: ignore[arg-type]
        )


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(robots).failed == 0


def test_robots_txt_is_asked_once_and_obeyed(world: World, workspace: Workspace) -> None:
    world.put(
        "/robots.txt", b"User-agent: *\nDisallow: /\nUser-agent: lensback\nDisallow: /harbour/\n"
    )
    tally = fetched(workspace)
    assert (tally.done, tally.rejects) == (0, 6)
    assert "robots.txt" in str(tally.notes["hint"])
    assert "robots_exempt" in str(tally.notes["hint"])
    (why,) = health.image_failures(workspace.db, "harbour")
    assert "robots.txt of 127.0.0.1 forbids it" in why
    assert world.requests["/robots.txt"] == 1
    assert not any(path.endswith(".jpg") for path in world.requests)
    assert fetched(workspace, exempt=("127.0.0.1",)).done == 6, "the store gave leave"


def test_what_robots_txt_says_of_others_does_not_count(world: World, workspace: Workspace) -> None:
    world.put(
        "/robots.txt", b"User-agent: otherbot\nDisallow: /\n\nUser-agent: *\nDisallow: /cart\n"
    )
    assert fetched(workspace).done == 6


def test_a_robots_txt_that_fails_forbids_for_now(world: World, workspace: Workspace) -> None:
    world.fail("/robots.txt", status=503)
    assert fetched(workspace).done == 0
    world.heal()
    assert fetched(workspace, trust=True).done == 6


@pytest.mark.parametrize(
    ("tag", "forbidden"),
    [
        ("noindex", True),
        ("noimageindex, nofollow", True),
        ("lensback: noindex", True),
        ("otherbot: noindex", False),
        ("max-image-preview: large", False),
        ("nofollow", False),
        ("", False),
    ],
)
def test_x_robots_tag(tag: str, forbidden: bool) -> None:
    assert robots.forbids({"x-robots-tag": tag}, "Lensback/0.1 (+x)") is forbidden


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("Disallow: /", "/a", False),
        ("Disallow:", "/a", True),
        ("Disallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("Allow: /a\nDisallow: /a", "/a", True),
        ("Disallow: /*.jpg$", "/x/y.jpg", False),
        ("Disallow: /*.jpg$", "/x/y.jpg?v=1", True),
        ("Disallow: /шапки", "/%D1%88%D0%B0%D0%BF%D0%BA%D0%B8/1", False),
        ("disallow : /a # why", "/a", False),
    ],
)
def test_rules_of_rfc_9309(rules: str, path: str, allowed: bool) -> None:
    found = robots.parse(f"User-agent: *\n{rules}\n", "Lensback/0.1")
    assert found.allows(f"https://s.example{path}") is allowed


def test_a_hostile_robots_txt_takes_no_time() -> None:
    rules = "User-agent: *\n" + f"Disallow: /{'*a' * 900}b\n" * 5000
    with within(750):
        robots.parse(rules[: robots.MAX_BYTES], "Lensback/0.1").allows(
            "https://s.example/" + "a" * 2000
        )


def test_a_host_that_fails_is_left_alone(
    world: World, store: WorldStore, workspace: Workspace
) -> None:
    for path in store.image_paths:
        world.fail(path, status=503)
    tally = fetched(workspace, per_host=1)
    assert (tally.rejects, tally.skipped) == (5, 1)
    assert "failed 5 times in a row" in str(tally.notes["left alone"])
    world.heal()
    assert fetched(workspace).done == 0, "until later"
    assert fetched(workspace, trust=True).done == 6


def test_a_pause_lies_between_two_images_of_a_strangers_host(
    world: World, workspace: Workspace
) -> None:
    world.put("/robots.txt", b"User-agent: *\nCrawl-delay: 0.2\n")
    begin = time.monotonic()
    assert fetched(workspace, per_host=1).done == 6
    assert (
        time.monotonic() - begin > 0.7
    )  # the first one reads the rules, the second is due at once
