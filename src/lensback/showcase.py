"""The demo: two small stores are connected over real HTTP, synced, and a photo is searched."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lensback import settings as settings_module
from lensback.catalogue import stores
from lensback.demo import BASE_URL, DemoCatalogue, build_catalogue, serve_folder
from lensback.net import Fetcher
from lensback.search import Query, search
from lensback.settings import Settings
from lensback.sync import Report, Watch, sync
from lensback.types import Answer
from lensback.workspace import Workspace, init, set_setting

HOST = "127.0.0.1"
PORT = 8179
"""Kept from run to run where it is free, so that the images keep their addresses."""

RATES = {"harbour": 5, "lavka": 8}
"""Percent of the invented programs; new customers pay twice as much commission."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the demo did."""

    note: str
    report: Report
    photo: Path
    answer: Answer
    found: bool
    """The first hit has every offer of the thing in the photo."""
    seconds: float


def showcase(folder: Path, *, count: int, watch: Watch) -> Shown:
    """Runs the main job on the demo catalogue. Running it again does next to nothing."""
    begin = time.perf_counter()
    if init(folder):
        set_setting(folder, "currency", "USD")
    settings = settings_module.load(folder)
    made = _catalogue(folder / "demo", settings, count, watch)
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
        answer = search(made.photo.read_bytes(), Query(limit=5), workspace.tools())
    return Shown(
        note=made.note,
        report=report,
        photo=made.photo,
        answer=answer,
        found=_found(answer, made),
        seconds=time.perf_counter() - begin,
    )


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


def _catalogue(folder: Path, settings: Settings, count: int, watch: Watch) -> DemoCatalogue:
    base_url = os.environ.get("LENSBACK_DEMO_BASE", BASE_URL)
    own = {HOST} if base_url.startswith(f"http://{HOST}") else set()
    with Fetcher(
        allow_hosts=(*settings.allow_hosts, *own),
        user_agent=settings.user_agent,
        timeout_s=5.0,
        retries=0,
    ) as fetcher:
        return build_catalogue(
            folder,
            fetch=lambda url: fetcher.fetch(url, max_bytes=settings.max_image_bytes).body,
            base_url=base_url,
            progress=watch("demo pictures"),
            count=count,
        )


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    with ExitStack() as stack:
        try:
            base = stack.enter_context(serve_folder(folder, HOST, PORT))
        except OSError:  # somebody else has the port
            base = stack.enter_context(serve_folder(folder, HOST, 0))
        yield base


def _found(answer: Answer, made: DemoCatalogue) -> bool:
    if not answer.hits:
        return False
    shown = {(s.store, s.offer.external_id) for s in answer.hits[0].product.offers}
    return set(made.expected_offer_ids) <= shown
