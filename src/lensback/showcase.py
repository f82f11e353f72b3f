"""The demo: two small stores are connected over real HTTP, synced, and three photos are searched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensback import settings as settings_module
from lensback.catalogue import offers, stores
from lensback.demo import AskedPhoto, build_catalogue, serve_folder
from lensback.search import Query, search
from lensback.sync import SyncReport, Watch, sync
from lensback.wire import Answer
from lensback.workspace import Workspace, init, set_setting

HOST = "127.0.0.1"
PORT = 8179
"""Kept from run to run where it is free, so that the images keep their addresses."""

RATES = {"harbour": 5, "lavka": 8}
"""Percent of the invented programs; new customers pay twice as much commission."""


@dataclass(frozen=True, slots=True)
class DemoQuestion:
    """One photo of the demo and what the search answered."""

    photo: AskedPhoto
    answer: Answer

    @property
    def shows_thing(self) -> bool:
        """Whether the thing in the photo is sold, and the first hit has every offer of it."""
        if not self.photo.offers or not self.answer.hits:
            return False
        shown = {offer.offer_id for offer in self.answer.hits[0].offers}
        return {offers.offer_id(*sold) for sold in self.photo.offers} <= shown

    @property
    def right(self) -> bool:
        """Whether the verdict is true: exact for this very thing alone."""
        exact = self.answer.verdict == "exact"
        return exact and self.shows_thing if self.photo.offers else not exact


@dataclass(frozen=True, slots=True)
class DemoRun:
    """What the demo did."""

    report: SyncReport
    asked: tuple[DemoQuestion, ...]
    """First a thing that both stores sell, then things that nobody sells."""
    seconds: float


def showcase(folder: Path, *, watch: Watch) -> DemoRun:
    """Runs the main job on the demo catalogue. Running it again does next to nothing."""
    begin = time.perf_counter()
    if init(folder):
        set_setting(folder, "currency", "USD")
    settings = settings_module.load(folder)
    made = build_catalogue(folder / "demo")
    allowed = settings.model_copy(update={"allow_hosts": (*settings.allow_hosts, HOST)})
    with Workspace(folder, allowed) as workspace, _served(made.folder) as base:
        for store in made.stores:
            stores.add(
                workspace.db,
                store.name,
                store.feed_url(base),
                base=base,
                title=store.name,
                program=_program(store.name),
            )
        report = sync(workspace, watch=watch)
        tools = workspace.tools()
        asked = [
            DemoQuestion(photo, search(photo.path.read_bytes(), Query(limit=5), tools))
            for photo in made.photos
        ]
    return DemoRun(report=report, asked=tuple(asked), seconds=time.perf_counter() - begin)


def _program(store: str) -> dict[str, Any]:
    """Invented terms, so that the demo shows cashback: a network and domains that do not exist."""
    return {
        "network": "generic",
        "domains": [f"{store}.example"],
        "share": 0.6,
        "link": {"template": "https://network.example/click?to={url}&subid={subid}"},
        "rates": [
            {"customer": "new", "percent": RATES.get(store, 5) * 2},
            {"percent": RATES.get(store, 5)},
        ],
    }


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    with ExitStack() as stack:
        try:
            base = stack.enter_context(serve_folder(folder, HOST, PORT))
        except OSError:  # somebody else has the port
            base = stack.enter_context(serve_folder(folder, HOST, 0))
        yield base
