"""A simulated month of cashback: `python bench/cashback_month.py [--clicks 100000] [--kills 10]`.

200 stores with programs at two networks (one calls back, one is asked), each click written through the
journal as `/go` does, sales told late, doubled, out of order, amended and reversed, 2 % of the calls forged
(wrong or no secret), the asked network failing for a day. A truth is kept beside it by plain sums.
The month runs in a process that is killed with -9 at random places and started again; in the end the
ledger's balances must equal the truth to the last minor unit, and the forged calls must have changed nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from lensback import conversions, ledger
from lensback.db import tables as t
from lensback.errors import Error, FetchFailed, Unauthorized
from lensback.networks import open_network
from lensback.types import Conversion, Money
from lensback.workspace import Workspace, init, open_workspace
from rig import arguments, killed_at, write

STORES = 200
DAY_S = 86_400
START = 1_760_000_000
SECRET = "a secret of the network"
SHARES = ("0.5", "0.7", "0.65")
CURRENCIES = ("RUB", "EUR", "USD")


@dataclass(frozen=True)
class Click:
    click_id: str
    at: int
    store: int
    share: str


@dataclass(frozen=True)
class Call:
    """One piece of news on its way: by a call to us, or by a row of the network's report."""

    at: int
    news: Conversion
    forged: bool


def plan(clicks: int, seed: int) -> tuple[list[Click], list[Call], dict[tuple[str, str], int]]:
    """The month: clicks, news in the order they arrive, and the balances they must end in."""
    rng = random.Random(seed)
    made: list[Click] = []
    calls: list[Call] = []
    truth: Counter[tuple[str, str]] = Counter()
    for n in range(clicks):
        store = rng.randrange(STORES)
        at = START + int(n * 30 * DAY_S / clicks)
        click = Click(f"{n:022d}", at, store, SHARES[store % len(SHARES)])
        made.append(click)
        if rng.random() < 0.06:
            calls += sale(rng, click, truth)
        if rng.random() < 0.06 * 0.05:
            calls.append(Call(at + 60, news(click, "approved", 10**7, 1), forged=True))
    calls.sort(key=lambda call: call.at)
    return made, calls, {key: minor for key, minor in truth.items() if minor}


def network_of(click: Click) -> str:
    """The network that the store's programme is at."""
    return "generic" if click.store % 2 == 0 else "epn"


def news(click: Click, status: str, minor: int, changed_at: int, item: str = "") -> Conversion:
    """What a network says; even stores call back, odd ones are asked."""
    currency = CURRENCIES[click.store % len(CURRENCIES)]
    return Conversion(
        network=network_of(click),
        external_id=f"s{click.click_id}",
        status=status,
        item=item,
        subid=click.click_id,
        commission=Money(minor, currency),
        changed_at=click.at + changed_at,
        reason="returned" if status == "declined" else "",
    )


def sale(rng: random.Random, click: Click, truth: Counter[tuple[str, str]]) -> list[Call]:
    """The life of one sale, and what it leaves in the books."""
    minor = rng.randrange(100, 50_000)
    story = [news(click, "pending", minor, 60)]
    end = rng.random()
    if end > 0.15:
        if rng.random() < 0.2:  # amended before it is decided
            minor = rng.randrange(100, 50_000)
        status = "declined" if end < 0.35 else "approved"
        story.append(news(click, status, minor, 600))
        if status == "approved" and rng.random() < 0.3:
            story.append(news(click, "paid", minor, 900))
        if status == "approved" and rng.random() < 0.03:  # sent back after all
            story.append(news(click, "declined", minor, 1200))
    last = story[-1]
    book(truth, last, click.share)
    calls = [Call(click.at + rng.randrange(60, 20 * DAY_S), one, forged=False) for one in story]
    calls += [
        replace(call, at=call.at + rng.randrange(DAY_S)) for call in calls if rng.random() < 0.1
    ]
    return calls


def book(truth: Counter[tuple[str, str]], last: Conversion, share: str) -> None:
    """Plain sums, written apart from the ledger's own: what each account must hold."""
    assert last.commission
    due, currency = last.commission.minor, last.commission.currency
    if last.status == "declined":
        return
    numerator, denominator = {"0.5": (1, 2), "0.7": (7, 10), "0.65": (13, 20)}[share]
    back = due * numerator // denominator
    pending = last.status == "pending"
    asset = {"pending": "commission_pending", "approved": "commission_due"}
    truth[asset.get(last.status, "commission_received"), currency] += due
    truth["cashback_pending" if pending else "cashback_due", currency] -= back
    truth["share_pending" if pending else "our_share", currency] -= due - back


def click_record(click: Click) -> dict[str, Any]:
    """As `/go` writes it."""
    return {
        "click_id": click.click_id,
        "at": click.at,
        "source": "go",
        "offer_id": "a" * 16,
        "product_id": "",
        "store": f"store{click.store}",
        "search_id": "",
        "network": network_of(click),
        "program_id": str(click.store),
        "terms": {"share": click.share, "hold_days": 30},
        "price_minor": 100_000,
        "currency": "RUB",
        "estimate_minor": 1000,
        "user_token": "",
    }


def fields_of(call: Call) -> dict[str, str]:
    """The call's fields, as the generic network sends them; a forger knows no secret."""
    one = call.news
    assert one.commission
    said = {
        "external_id": one.external_id,
        "status": one.status,
        "subid": one.subid,
        "commission": str(one.commission.amount),
        "currency": one.commission.currency,
        "changed_at": str(one.changed_at),
        "reason": one.reason,
    }
    return {**said, "secret": "guess" if call.forged else SECRET}


def run(folder: Path, clicks: int, seed: int) -> None:
    """The month, from where it was: what has been acknowledged is remembered in `progress`."""
    made, calls, _ = plan(clicks, seed)
    events: list[tuple[int, Click | Call]] = [(c.at, c) for c in made] + [(c.at, c) for c in calls]
    events.sort(key=lambda event: event[0])
    progress = folder / "progress"
    begin = int((progress.read_text() if progress.exists() else "") or 0)
    with open_workspace(folder) as workspace:
        network = open_network("generic")
        account = conversions.account_of(folder, "generic")
        refused = 0
        for n in range(begin, len(events)):
            at, event = events[n]
            durable = n % 50 == 49  # as the server does it: records are flushed in groups
            if isinstance(event, Click):
                workspace.journal.append("click", click_record(event), durable=durable)
            elif event.forged or event.news.network == "generic":
                try:
                    told = conversions.receive(network, fields_of(event), account, at=at)
                    assert told, "every call of the month tells of a sale"
                    body = ledger.news_body(told, at=at, source="postback")
                    workspace.journal.append("news", body, durable=durable)
                except Unauthorized:
                    refused += 1
            if durable:
                progress.write_text(str(n + 1))
            if n % 2000 == 0:
                workspace.drain()
        workspace.drain()
        ask(workspace, calls)
    (folder / "refused").write_text(str(refused))


def ask(workspace: Workspace, calls: list[Call]) -> None:
    """The second network is asked for its report; it fails on one day, and is asked again."""
    rows = [call for call in calls if call.news.network == "epn" and not call.forged]
    failing = {START + 10 * DAY_S}

    def poll(begin: int, end: int) -> list[Conversion]:
        if any(begin <= day < end for day in failing):
            failing.clear()
            raise FetchFailed("the network is away")
        return [call.news for call in rows if begin <= call.at < end]

    until = START + 60 * DAY_S
    for _ in range(2):
        try:
            conversions.pull(workspace.db, "epn", poll, since=START, now=until, window_days=5)
        except Error:
            continue


def rows(workspace: Workspace) -> dict[str, int]:
    with workspace.db.read() as c:
        return {
            table.name: c.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (t.clicks, t.conversions, t.conversion_events, t.entries)
        }


def simulate(clicks: int, kills: int, seed: int = 1) -> dict[str, Any]:
    """Runs the month with kills, and compares."""
    _, calls, truth = plan(clicks, seed)
    rng = random.Random(seed)
    events = clicks + len(calls)
    # The last one falls into the end: the last drain, the network's report.
    places = [*sorted(rng.randrange(events) for _ in range(kills - 1)), events // 50 * 50][:kills]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "w"
        init(folder)
        secrets = folder / "networks.toml"
        secrets.write_text(f'[generic]\npostback_secret = "{SECRET}"\n')
        secrets.chmod(0o600)
        open_workspace(folder).db.migrate()
        command = [sys.executable, __file__, "--run", str(folder), "--clicks", str(clicks)]
        begin = time.perf_counter()
        killed = killed_at([*command, "--seed", str(seed)], folder / "progress", places)
        seconds = time.perf_counter() - begin
        with open_workspace(folder) as workspace:
            workspace.drain()
            found = {
                (account, currency): minor
                for currency, accounts in ledger.balances(workspace.db).items()
                for account, minor in accounts.items()
                if minor
            }
            audit = ledger.audit(workspace.db)
            counts = rows(workspace)
    forged = sum(call.forged for call in calls)
    return {
        "clicks": clicks,
        "stores": STORES,
        "news": len(calls) - forged,
        "forged": forged,
        "killed": len(killed),
        "killed_at_event": killed,
        "events": events,
        "seconds": round(seconds, 1),
        "rows": counts,
        "balances_equal_truth": found == truth,
        "differences": {
            str(key): [truth.get(key, 0), found.get(key, 0)]
            for key in {*truth, *found}
            if truth.get(key, 0) != found.get(key, 0)
        },
        "audit_proven": audit.proven,
        "balances": {
            f"{account} {currency}": minor for (account, currency), minor in sorted(found.items())
        },
    }


def main() -> None:
    parser = arguments(__doc__, clicks=100_000, kills=10, seed=1)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        run(given.run, given.clicks, given.seed)
        return
    figures = simulate(given.clicks, given.kills, given.seed)
    write("cashback_month", figures, given.out)
    if not figures["balances_equal_truth"]:
        raise SystemExit(json.dumps(figures["differences"], indent=1))


if __name__ == "__main__":
    main()
