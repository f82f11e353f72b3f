"""Cashback of every network as it is documented: `python bench/networks_month.py [--copies 40] [--kills 12]`.

The documented rows of each network with a report (`tests/networks/NAME`: new, amended, raised, declined, reinstated,
corrected, paid, declined late) are played many times over, each copy with clicks, orders and numbers of its own, through
the network's stand-in server and its notifications. The last report is read twice, every notification sent twice and once
forged. Some shoppers are paid on the fortieth day; some clicks went through another network; some orders two networks tell
of; `/go` is asked by frames, pictures, prefetches and previews; feeds bring links that pay strangers.

All of it runs in a process that is killed with -9 at random places and started again. In the end the ledger must equal
the truth to the last minor unit. The truth shares no code with the ledger: it is made of the balances and shoppers' views in the
fixtures, which were summed up by hand.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from rig import arguments, killed_at, write

# isort: split
# Of the tests, in whose folder `rig` lets us look.
from lensback import conversions, ledger
from lensback.cashback import program_link
from lensback.catalogue import stores
from lensback.net import Fetcher
from lensback.networks import Network, open_network, poll
from lensback.settings import Settings
from lensback.sync import sync
from lensback.types import Conversion, Money, Offer, StoredOffer
from lensback.web import create_app
from lensback.workspace import Workspace, init
from network_servers import FIXTURES, SERVERS, Wrong  # type: ignore[import-not-found,unused-ignore]
from standin import Api, Asked, Reply, running  # type: ignore[import-not-found,unused-ignore]
from test_networks import FOREIGN_LINKS, FRAMES, SUBID  # type: ignore[import-not-found,unused-ignore]
from test_networks_played import DAY_S, SECRET, START, click_of, told, unhurried  # type: ignore[import-not-found,unused-ignore]

NAMES = sorted(SERVERS)
CALLED = sorted(path.parent.name for path in FIXTURES.glob("*/calls.json"))
KINDS = ("plain", "paid", "received", "elsewhere", "twice", "called")
"""What becomes of a copy, by its number: nothing more; paid out on day 40, all or what was received; its clicks went through
another network; its orders are told by two networks; its first news come by notification."""
PAID_DAY = 40
ORDERS = "ORD-"


def kind_of(copy: int) -> str:
    return KINDS[copy % len(KINDS)]


@cache
def partner(name: str) -> str:
    """The network that tells of the same orders; "" for one that has none: it writes no such order numbers."""
    able = [one for one in NAMES if ORDERS in json.dumps(told(one, "poll"))]
    place = able.index(name) if name in able else len(able)
    other = place ^ 1
    return able[other] if place < len(able) and other < len(able) else ""


def renamed(value: Any, name: str, copy: int) -> Any:
    """A fixture's rows or calls with the clicks, sales and orders of a copy."""
    text = json.dumps(value)
    for letter in "ABCD":
        text = text.replace(click_of(name, letter), click_id(name, copy, letter))
    number = 1000 + copy
    text = re.sub(r"(?<![0-9.])(50[1-5]|960[1-5]|250[1-3])", rf"{number}\1", text)
    text = re.sub(r"(?<=sku|..e|01.)(50[1-5])", rf"{number}\1", text)
    return json.loads(re.sub(rf"(?<={ORDERS})(?=1001)", str(number), text))


def click_id(name: str, copy: int, letter: str) -> str:
    return f"{name[:12]}{copy:06d}{letter}".ljust(20, "x")


def user_of(name: str, copy: int) -> str:
    return f"shopper-{name}-{copy}"


def store_of(name: str, copy: int) -> str:
    if kind_of(copy) == "twice" and (other := partner(name)):
        return f"store-{min(name, other)}-{copy}"
    return f"store-{name}-{copy}"


# ---- the truth: the fixtures' hand-made sums, and nothing of the ledger

Books = Counter[tuple[str, str]]


def balances_of(name: str) -> Books:
    found: Books = Counter()
    for currency, accounts in told(name, "poll")["rounds"][-1]["balances"].items():
        for account, minor in accounts.items():
            found[account, currency] += minor
    return found


def paid_out(name: str, states: set[str]) -> Books:
    """What a payout on day 40 hands over: the cashback of sales in these states, by currency."""
    (seen,) = (r["sales"] for r in told(name, "poll")["rounds"] if r["day"] == PAID_DAY)
    found: Books = Counter()
    for _, state, amount, currency, _ in seen:
        if state in states:
            found["cashback_due", currency] += round(float(amount) * 100)
    return found


def set_aside(books: Books) -> Books:
    """The same money, for nobody."""
    found: Books = Counter()
    for (account, currency), minor in books.items():
        if account.startswith("commission"):
            found[account, currency] += minor
            found["aside", currency] -= minor
    return found


def truth_of(name: str, copy: int) -> Books:
    books = balances_of(name)
    kind = kind_of(copy)
    if kind == "elsewhere" or (kind == "twice" and partner(name) and partner(name) < name):
        return set_aside(books)
    if kind in {"paid", "received"}:
        states = {"approved", "payable"} if kind == "paid" else {"payable"}
        for (account, currency), minor in paid_out(name, states).items():
            books[account, currency] += minor
            books["cashback_paid", currency] -= minor
    return books


def truth(copies: int) -> dict[tuple[str, str], int]:
    books: Books = Counter()
    for name in NAMES:
        for copy in range(copies):
            for key, minor in truth_of(name, copy).items():
                books[key] += minor
    return {key: minor for key, minor in books.items() if minor}


# ---- the months, step by step; every step may be killed and is done again then


def steps(copies: int) -> list[tuple[str, str, int]]:
    days = [round_["day"] for round_ in told(NAMES[0], "poll")["rounds"]]
    found = [("click", name, 0) for name in NAMES] + [("stuff", "", 0)]
    found += [("call", name, copy) for name in CALLED for copy in range(copies)]
    for n, day in enumerate(days):
        found += [("pull", name, n) for name in NAMES]
        if day == PAID_DAY:
            found += [("pay", name, copy) for name in NAMES for copy in range(copies)]
    return [*found, ("decide", "", 0)]


class Month:
    """One process's part of it: from the step that `progress` names to the end."""

    def __init__(self, folder: Path, copies: int, api: Api, fetcher: Fetcher, web: Any) -> None:
        self.folder, self.copies, self.api, self.fetcher, self.web = (
            folder,
            copies,
            api,
            fetcher,
            web,
        )
        self.workspace: Workspace = web.app.state.service.workspace
        self.refused: Counter[str] = Counter()

    def run(self) -> None:
        progress = self.folder / "progress"
        begin = int((progress.read_text() if progress.exists() else "") or 0)
        for n, (what, name, number) in enumerate(steps(self.copies)):
            if n >= begin:
                getattr(self, what)(name, number)
                progress.write_text(str(n + 1))

    def click(self, name: str, _number: int) -> None:
        for copy in range(self.copies):
            went = NAMES[NAMES.index(name) - 1] if kind_of(copy) == "elsewhere" else name
            for letter in "ABCD":
                self.workspace.journal.append(
                    "click", clicked(name, copy, letter, went), durable=False
                )
        self.workspace.drain()

    def stuff(self, _name: str, _number: int) -> None:
        """Whatever looks at `/go` and is no person: no click comes of it. Links of feeds that pay a stranger
        become ours."""
        for network, url in FOREIGN_LINKS:
            page, quoted = "https://shop.example/p/1", "https%3A%2F%2Fshop.example%2Fp%2F1"
            terms = {
                "network": network,
                "domains": ["shop.example"],
                "share": "0.6",
                "link": FRAMES[network][0],
            }
            stored = StoredOffer(
                "a" * 16, "hats", "", Offer("1", "Hat", url.format(u=quoted), Money(1, "EUR"))
            )
            program = stores.StoredProgram("hats", network, terms, 0)
            link = program_link(self.folder / "networks", [program], stored, SUBID, START).url
            if link != FRAMES[network][1] + quoted + FRAMES[network][2] and link != page:
                raise SystemExit(f"{network}: {url} became {link}")
        with self.workspace.db.read() as c:
            offer = c.exec_driver_sql("SELECT offer_id FROM offers LIMIT 1").scalar_one()
        for headers in STUFFED:
            answer = self.web.get(f"/go/{offer}", headers=headers)
            if answer.status_code not in {200, 204, 302, 503} or "track.example" in str(
                answer.headers
            ):
                raise SystemExit(f"a click was given for {headers}")

    def call(self, name: str, copy: int) -> None:
        if kind_of(copy) != "called":
            return
        for call in renamed(told(name, "calls")["calls"], name, copy) * 2:
            for secret, wanted in ((SECRET, 200), ("guess", 401)):
                if (status := called(self.web, name, call, secret)) != wanted:
                    raise SystemExit(f"{name}: {status}, not {wanted}")
                self.refused[name] += status == 401
        self.workspace.drain()

    def pull(self, name: str, number: int) -> None:
        round_ = told(name, "poll")["rounds"][number]
        rows = [row for copy in range(self.copies) for row in renamed(round_["rows"], name, copy)]
        self.api.answer = lambda asked: answered(name, asked, rows)
        network, now = unhurried(open_network(name)), START + round_["day"] * DAY_S
        assert network.poll
        last = number == len(told(name, "poll")["rounds"]) - 1
        for since in (START, START - 1) if last else (START,):  # the last report once more
            done = conversions.pull(
                self.workspace.db,
                name,
                lambda begin, end: self.ask(network, begin, end),
                since=since,
                now=now,
                window_days=network.poll.window_days,
            )
            if done.rejected:
                raise SystemExit(f"{name}: {done.rejected}")

    def ask(self, network: Network, begin: int, end: int) -> list[Conversion]:
        account = {
            **told(network.name, "poll")["account"],
            "api": self.api.url,
            "oauth": self.api.url,
        }
        keep = self.folder / "tokens"
        return list(poll(network, account, self.fetcher, begin, end, keep=keep))

    def pay(self, name: str, copy: int) -> None:
        kind, user = kind_of(copy), user_of(name, copy)
        if kind in {"paid", "received"}:
            for _ in range(2):  # the same request once more
                ledger.pay(
                    self.workspace.db,
                    user,
                    f"transfer {name} {copy}",
                    at=START + PAID_DAY * DAY_S,
                    received_only=kind == "received",
                )

    def decide(self, _name: str, _number: int) -> None:
        """Of two networks the first in the alphabet was right."""
        for held in ledger.held_sales(self.workspace.db):
            other = partner(held.network)
            if held.code == "two_networks" and held.network < other:
                ledger.decide(self.workspace.db, held.id, "release", note="theirs", at=START)


STUFFED = [
    {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Purpose": "prefetch;prerender"},
    {"Purpose": "prefetch"},
    {"Accept": "image/webp,image/apng,image/*,*/*;q=0.8"},
    {"User-Agent": "facebookexternalhit/1.1"},
    {"User-Agent": "TelegramBot (like TwitterBot)"},
]


def clicked(name: str, copy: int, letter: str, went: str) -> dict[str, Any]:
    hat = Offer("1", "Hat", "https://h.example", Money(1, "EUR"))
    return ledger.click_body(
        click_id(name, copy, letter),
        StoredOffer("a" * 16, store_of(name, copy), "", hat),
        at=START,
        source="go",
        user_token=user_of(name, copy),
        network=went,
        program_id="7",
        terms={"share": "0.6", "hold_days": 30, "claim_days": 20},
    )


def answered(name: str, asked: Asked, rows: list[dict[str, Any]]) -> Reply:
    try:
        return SERVERS[name](asked, rows)
    except (
        Wrong,
        KeyError,
        ValueError,
    ) as error:  # whatever is wrong with the question fails the pull
        return Reply({"error": f"{type(error).__name__}: {error}"}, 400)


def called(web: Any, name: str, call: dict[str, Any], secret: str) -> int:
    path, proof = f"/postback/{name}", {"secret": secret}
    if call["method"] == "GET":
        answer = web.get(path, params={**call["query"], **proof})
    else:
        body = {kind: call[kind] for kind in ("json",) if kind in call} or {"data": call["form"]}
        answer = web.post(path, params=proof, **body)
    return int(answer.status_code)


def run(folder: Path, copies: int) -> None:
    from starlette.testclient import TestClient

    chosen = Settings(rate_limit=0, write_limit=0, guess_limit=0, click_limit=0)
    browser = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}
    with (
        running() as api,
        Fetcher(user_agent="bench", allow_hosts=["127.0.0.1"], timeout_s=20, retries=0) as fetcher,
        Workspace(folder, chosen) as workspace,
        TestClient(create_app(workspace), follow_redirects=False, headers=browser) as web,
    ):
        month = Month(folder, copies, api, fetcher, web)
        month.run()
        workspace.drain()
        ledger.remember(workspace.db, workspace.path)


def made(folder: Path) -> None:
    """A workspace with one offer of a store that pays, and the networks' secrets."""
    init(folder)
    secrets = folder / "networks.toml"
    secrets.write_text("".join(f'[{name}]\npostback_secret = "{SECRET}"\n' for name in CALLED))
    secrets.chmod(0o600)
    feed = folder / "feed.csv"
    feed.write_text(
        "id,title,link,price,image_link\n1,Hat,https://h.example/1,10 EUR,https://h.example/1.jpg\n"
    )
    terms = {
        "network": "generic",
        "domains": ["h.example"],
        "share": "0.6",
        "currency": "EUR",
        "rates": [{"percent": "10"}],
        "link": {"template": "https://track.example/c?s={subid}&to={url}"},
    }
    with Workspace(folder, Settings()) as workspace:
        stores.add(workspace.db, "hats", str(feed), program=terms)
        sync(workspace, only="ingest")


def simulate(copies: int, kills: int, seed: int = 1) -> dict[str, Any]:
    """Runs it with kills, and compares with the truth."""
    rng = random.Random(seed)
    places = sorted(rng.randrange(1, len(steps(copies))) for _ in range(kills))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "w"
        made(folder)
        command = [sys.executable, __file__, "--run", str(folder), "--copies", str(copies)]
        begin = time.perf_counter()
        killed = killed_at(command, folder / "progress", places)
        seconds = time.perf_counter() - begin
        with Workspace(folder, Settings()) as workspace:
            books = {
                (account, currency): minor
                for currency, accounts in ledger.balances(workspace.db).items()
                for account, minor in accounts.items()
            }
            audit = ledger.audit(workspace.db, workspace.path)
            wrong = sum(misread(workspace, name, copy) for name in NAMES for copy in range(copies))
            with workspace.db.read() as c:
                clicks = c.exec_driver_sql("SELECT COUNT(*) FROM clicks").scalar_one()
            left = len(ledger.held_sales(workspace.db))
    wanted = truth(copies)
    return {
        "networks": len(NAMES),
        "copies": copies,
        "killed": len(killed),
        "steps": len(steps(copies)),
        "seconds": round(seconds, 1),
        "sales": audit.conversions,
        "events": audit.events,
        "entries": audit.entries,
        "clicks": clicks,
        "clicks_expected": len(NAMES) * copies * 4,
        "forged_calls": 2
        * sum(len(told(name, "calls")["calls"]) for name in CALLED)
        * sum(kind_of(copy) == "called" for copy in range(copies)),
        "held_elsewhere": left,
        "views_wrong": wrong,
        "audit_proven": audit.proven,
        "audit_differences": audit.differences[:5],
        "balances_equal_truth": books == wanted,
        "differences": {
            f"{account} {currency}": [
                wanted.get((account, currency), 0),
                books.get((account, currency), 0),
            ]
            for account, currency in sorted({*wanted, *books})
            if wanted.get((account, currency), 0) != books.get((account, currency), 0)
        },
        "balances": {
            f"{account} {currency}": minor for (account, currency), minor in sorted(books.items())
        },
    }


def misread(workspace: Workspace, name: str, copy: int) -> bool:
    """Whether a shopper reads something else than the fixture's last day says."""
    if kind_of(copy) not in {"plain", "called"}:
        return False
    view = ledger.sales_of(workspace.db, user_of(name, copy), now=START + 60 * DAY_S)
    found = sorted(
        [
            sale["click"]["id"].rstrip("x")[-1],
            sale["state"],
            sale["cashback"]["amount"],
            sale["cashback"]["currency"],
            (sale.get("declined") or {}).get("code"),
        ]
        for sale in view["sales"]
    )
    return found != sorted(told(name, "poll")["rounds"][-1]["sales"])


def main() -> None:
    parser = arguments(__doc__, copies=42, kills=12, seed=1)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        run(given.run, given.copies)
        return
    figures = simulate(given.copies, given.kills, given.seed)
    write("networks_month", figures, given.out)
    good = (
        figures["balances_equal_truth"]
        and figures["audit_proven"]
        and not figures["views_wrong"]
        and figures["clicks"] == figures["clicks_expected"]
    )
    if not good:
        raise SystemExit(
            json.dumps(
                {
                    k: figures[k]
                    for k in ("differences", "audit_differences", "views_wrong", "clicks")
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
