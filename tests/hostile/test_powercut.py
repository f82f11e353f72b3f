"""Answered means durable: a power cut at any moment loses nothing that was answered, and doubles nothing.

A real `serve` and real `ledger pay` run under strace; the workspace is rebuilt as a disk would hold
it after every call, opened with our own code, and compared with what had been answered by then.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

import traced
from lensback import ledger
from lensback.catalogue import stores
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.journal import Journal
from lensback.tokens import digest
from lensback.workspace import Workspace, open_workspace, set_setting
from powercut import CALLS, OPTIONS, Disk, Event, events
from published import publish
from servers import free_port

pytestmark = pytest.mark.slow

CUTS = int(os.environ.get("POWER_CUTS", "1000"))
"""Power cuts that are tried, spread evenly over the run; `bench/power_cuts.py` tries more."""
DAYS, SHOPPERS, SALES = int(os.environ.get("POWER_DAYS", "1")), 2, 9
KINDS = ("click", "sale", "paid")
HOST_KEY, SECRET, USER = "k" * 40, "s3cret of the network", "user-4711"
TERMS = {
    "network": "generic",
    "share": "0.7",
    "currency": "RUB",
    "rates": [{"percent": "10"}],
    "link": {"template": "https://track.example/c?s={subid}&to={url}"},
}
DRIVER = """
import os, re, signal, subprocess, sys, threading, time
import httpx
folder, port, offer, key, secret, user, days, shoppers, sales = sys.argv[1:]
url = f"http://127.0.0.1:{port}"
ours = [sys.executable, "-m", "lensback"]
acks = os.open(f"{folder}/acks", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
def told(line):
    os.write(acks, f"{line}\\n".encode())
def shopper(name):
    head = {"Authorization": f"Bearer {key}", "X-User-Token": user, "User-Agent": "Mozilla/5.0"}
    with httpx.Client(base_url=url, timeout=60, headers=head) as client:
        for n in range(int(sales)):
            link = client.get(f"/go/{offer}").headers["location"]
            click = re.search("s=([0-9A-Za-z]+)", link)[1]
            told(f"click {click}")
            sale = {"secret": secret, "external_id": f"{name}-{n}", "status": "approved",
                    "commission": "100.00", "currency": "RUB", "subid": click}
            client.post("/postback/generic", data=sale).raise_for_status()
            told(f"sale {name}-{n}")
            time.sleep(0.2)
def day(name):
    serve = subprocess.Popen([*ours, "serve", "--port", port])
    while True:
        try:
            if httpx.get(f"{url}/readyz", timeout=30).status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.1)
    crowd = [threading.Thread(target=shopper, args=(f"{name}{k}",)) for k in range(int(shoppers))]
    [each.start() for each in crowd]
    [each.join() for each in crowd]
    pay(f"{name}-open")
    serve.send_signal(signal.SIGTERM)
    serve.wait(60)
    pay(f"{name}-closed")
def pay(reference):
    command = [*ours, "ledger", "pay", user, "--reference", reference, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    if b'"sales": 0' not in done.stdout:
        told(f"paid {reference}")
for n in range(int(days)):
    day(f"day{n}")
"""


@dataclass(frozen=True)
class Run:
    """What lay in the workspace, everything that happened to it, and where it was."""

    before: dict[str, bytes]
    happened: list[Event]
    folder: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = publish(tmp_path_factory.mktemp("power"))[0]
    (folder / "networks.toml").write_text(f'[generic]\npostback_secret = "{SECRET}"\n')
    (folder / "networks.toml").chmod(0o600)
    set_setting(folder, "host_key_hash", digest(HOST_KEY))
    set_setting(folder, "rate_limit", 0)
    set_setting(folder, "write_limit", 0)
    set_setting(folder, "click_limit", 0)
    with open_workspace(folder) as workspace:
        offer = earning(workspace)
    shutil.rmtree(folder / "journal", ignore_errors=True)
    before = {str(path): path.read_bytes() for path in folder.glob("catalogue.db*")}
    log = folder.parent / "log"
    words = (folder, free_port(), offer, HOST_KEY, SECRET, USER, DAYS, SHOPPERS, SALES)
    env = {"LENSBACK_WORKSPACE": str(folder)}
    process = traced.start([sys.executable, "-c", DRIVER, *words], log, CALLS, env, *OPTIONS)
    assert traced.ended(process, log, 240 * DAYS) == 0
    return Run(before, list(events(log, folder)), folder)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of workspaces are opened, and flush."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


def test_nothing_that_was_answered_is_lost(run: Run, scratch: Path) -> None:
    tried, lost, told = 0, Counter[str](), list[str]()
    there = scratch / "w"
    db = Database(sqlite_url(there / "catalogue.db"))  # one for all: statements are compiled once
    for cut in cuts(run):
        tried += 1
        told = cut.told
        shutil.rmtree(there, ignore_errors=True)
        (there / "journal").mkdir(parents=True)
        for path, data in cut.files.items():
            (there / Path(path).relative_to(run.folder)).write_bytes(data)
        try:
            lost.update(missing(cut, db, Journal(there / "journal")))
        finally:
            db.close()
    print(f"{tried} power cuts, {len(run.happened)} calls: {dict(lost)} are wrong")  # noqa: T201 - the figure
    assert sum(line.startswith("sale") for line in told) == DAYS * SHOPPERS * SALES
    assert sum(line.startswith("paid") for line in told) >= 1
    assert lost == Counter()
    assert tried >= CUTS


@dataclass(frozen=True)
class Cut:
    """The files after a power cut, and what had been answered before it."""

    files: dict[str, bytes]
    told: list[str]


def cuts(run: Run) -> Iterator[Cut]:
    """CUTS power cuts that leave different disks, spread over the run: after every call, with
    nothing, all or some of what was not flushed; the last write may be torn."""
    rng = random.Random(0)
    disk = Disk(run.before, {str(run.folder), str(run.folder / "journal")})
    told: list[str] = []
    seen: set[int] = set()
    shares = (0.0, 0.0, 1.0, 0.5, 0.9, 0.1)
    each = 1.1 * CUTS / len(run.happened)
    for n, event in enumerate(run.happened, 1):
        if event.path.endswith("/acks") and event.call == "write":
            told.append(event.data.decode().strip())
        disk.apply(event)
        for share in shares * 3:
            if len(seen) >= n * each:
                break
            left = disk.cut(share, rng)
            files = {path: data for path, data in left.items() if not path.endswith(_NOT_OURS)}
            state = hash((len(told), *sorted(files.items())))
            if state not in seen:
                seen.add(state)
                yield Cut(files, list(told))


_NOT_OURS = ("/acks", "-shm")


def missing(cut: Cut, db: Database, journal: Journal) -> Iterator[str]:
    """What is wrong with a workspace that was left so, when so much had been answered."""
    journal.drain(lambda records: ledger.apply(db, records))
    answers = {
        kind: {line.split()[1] for line in cut.told if line.startswith(kind)} for kind in KINDS
    }
    with db.read() as c:
        clicks = set(c.scalars(select(t.clicks.c.click_id)))
        news = select(
            t.conversions.c.external_id,
            t.conversion_events.c.kind,
            t.conversion_events.c.order_id,
        )
        rows = c.execute(news.join(t.conversions)).all()
    sold = Counter(row.external_id for row in rows if row.kind != "payout")
    paid = Counter(row.external_id for row in rows if row.kind == "payout")
    yield from ("click lost" for _ in answers["click"] - clicks)
    yield from ("sale lost" for _ in answers["sale"] - set(sold))
    used = {row.order_id for row in rows if row.kind == "payout"}
    yield from ("payout lost" for _ in answers["paid"] - used)
    yield from ("doubled" for n in (*sold.values(), *paid.values()) if n > 1)
    if not ledger.audit(db).proven:
        yield "not proven"


def earning(workspace: Workspace) -> str:
    """An offer whose store pays for sales, 70 % of it to the shopper."""
    with workspace.db.read() as c:
        query = select(t.offers.c.offer_id, t.offers.c.url).join(t.stores)
        offer_id, url = c.execute(query.where(t.stores.c.name == "harbour").limit(1)).one()
    feed = next(state for state in stores.overview(workspace.db, only="harbour"))
    terms = TERMS | {"domains": [urlsplit(url).netloc]}
    stores.add(workspace.db, "harbour", feed.feed_url, program=terms)
    return str(offer_id)
