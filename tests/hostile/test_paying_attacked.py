"""Payouts and decisions under attack: real processes, killed with -9 at every write, two at the same
moment, a postback meanwhile, a clock that goes back, amounts at their bounds."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from commands import COUNT, Commands
from lensback import ledger
from lensback.db import tables as t
from lensback.ledger.claims import Bought, open_claim
from lensback.types import Money
from lensback.workspace import init, open_workspace
from test_ledger import USER, click, news

NOW = int(time.time()) - 40 * 86_400
"""When the clicks of these tests were made: claims of then are taken now."""
OTHER = "user-token-2"
ROOT = Path(__file__).parents[2]
MOMENTS = 9
"""Places of a payout that are killed, spread over all of its writes."""


def made(folder: Path) -> Path:
    """A workspace with two sales of a user that are due, one of another, and news that wait."""
    init(folder)
    with open_workspace(folder) as opened:
        ledger.apply(opened.db, [click("c1"), click("c2", user=OTHER)])
        for one in (
            news("paid", 1000),
            news("approved", 500, external_id="s2"),
            news("paid", 300, external_id="s3", subid="c2"),
        ):
            ledger.record(opened.db, [one], at=NOW, source="test")
        ledger.remember(opened.db, opened.path)
        waits(opened, "s4", 100)
    return folder


def waits(opened: Any, name: str, minor: int) -> None:
    body = ledger.news_body(news("approved", minor, external_id=name), at=NOW, source="postback")
    opened.journal.append("news", body)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the news in the database: of two commands one brings them in, and the other may be sooner."""
    with open_workspace(made(tmp_path / "w")) as opened:
        opened.drain()
        return opened.path


@pytest.fixture(scope="module")
def lensback() -> Iterator[Commands]:
    with Commands() as commands:
        yield commands


def paid(folder: Path) -> tuple[Counter[str], list[str], list[str]]:
    """What was paid out by user, the references of payouts, and what is wrong."""
    with open_workspace(folder) as opened:
        opened.drain()
        found = ledger.audit(opened.db, opened.path)
        with opened.db.read() as c:
            references = list(c.scalars(select(t.payouts.c.reference).order_by(t.payouts.c.id)))
            e, v, k = t.entries.c, t.conversions.c, t.clicks.c
            joined = select(k.user_token, e.minor).join(t.conversions, v.id == e.conversion_id)
            rows = c.execute(
                joined.join(t.clicks, k.click_id == v.click_id).where(e.account == "cashback_paid")
            ).all()
    sums: Counter[str] = Counter()
    for user, minor in rows:
        sums[user] -= minor
    return sums, references, found.differences


# ---- kill -9


def test_a_payout_that_is_killed_at_any_write_is_whole_or_not_at_all(
    tmp_path: Path, lensback: Commands
) -> None:
    """Between the database and the file beside it, too. The same command again ends it, once."""
    first = made(tmp_path / "first")
    there = tmp_path / "w"
    pay = ("ledger", "pay", USER, "--reference", "t1", "--expect", "9.60 EUR", "--json")
    ends: Counter[str] = Counter()
    copied(first, there)
    writes = lensback.run(there, *pay, kill_at=COUNT).writes
    assert {"pwrite64", "fdatasync", "rename", "write"} <= set(writes), writes
    last = len(writes) - 1
    for place in sorted(
        {n * last // MOMENTS for n in range(MOMENTS)} | {last, writes.index("rename")}
    ):
        at = (writes[place], writes[: place + 1].count(writes[place]))
        copied(first, there)
        killed = lensback.run(there, *pay, kill_at=at)
        assert killed.code == -9, (at, killed)
        sums, references, wrong = paid(there)
        assert wrong == [], at
        assert (sums[USER], references) in ((0, []), (960, ["t1"])), at
        again = lensback.run(there, *pay)
        assert (again.code, again.json["repeated"]) == (0, bool(references)), at
        assert again.json["amounts"] == [{"amount": "9.60", "currency": "EUR"}]
        assert paid(there) == (Counter({USER: 960}), ["t1"], []), at
        ends["done" if references else "undone"] += 1
    assert set(ends) == {"done", "undone"}, "a kill before the commit, and one behind it"


def copied(first: Path, there: Path) -> None:
    shutil.rmtree(there, ignore_errors=True)
    shutil.copytree(first, there)


# ---- two at the same moment


@pytest.mark.parametrize("same", [True, False], ids=["one reference", "two references"])
def test_two_payouts_at_once_pay_once(folder: Path, lensback: Commands, same: bool) -> None:
    names = ("t1", "t1" if same else "t2", "t1" if same else "t3")
    done = lensback.at_once(
        folder, *(("ledger", "pay", USER, "--reference", n, "--json") for n in names)
    )
    assert [one.code for one in done] == [0, 0, 0], done
    told = sorted((one.json["sales"], one.json["repeated"]) for one in done)
    assert told == (
        [(3, False), (3, True), (3, True)] if same else [(0, False), (0, False), (3, False)]
    )
    sums, references, wrong = paid(folder)
    assert (sums, wrong) == (Counter({USER: 960}), [])
    assert len(references) == 1
    assert references[0] in names


def test_of_two_that_expect_the_sum_one_is_told_that_it_is_gone(
    folder: Path, lensback: Commands
) -> None:
    done = lensback.at_once(
        folder,
        *(
            ("ledger", "pay", USER, "--reference", name, "--expect", "9.60 EUR", "--json")
            for name in ("t1", "t2")
        ),
    )
    assert sorted(one.code for one in done) == [0, 2]
    (late,) = [one.json["error"] for one in done if one.code]
    assert late["type"] == "BadQuery"
    assert late["message"] == "nothing is due, not the expected 9.60 EUR; nothing was marked"
    assert paid(folder)[0] == Counter({USER: 960})


def test_two_users_at_once_under_one_reference(folder: Path, lensback: Commands) -> None:
    done = lensback.at_once(
        folder, *(("ledger", "pay", user, "--reference", "t1", "--json") for user in (USER, OTHER))
    )
    assert sorted(one.code for one in done) == [0, 2]
    (late,) = [one.json["error"] for one in done if one.code]
    assert late["type"] == "AlreadyDone"
    sums, references, wrong = paid(folder)
    assert sums in (Counter({USER: 960}), Counter({OTHER: 180}))
    assert (references, wrong) == (["t1"], [])


def test_two_who_decide_a_claim_at_once(folder: Path, lensback: Commands) -> None:
    told = [("accepted", "yes"), ("refused", "no such order")]
    for n in range(3):
        name = f"k{n}"
        with open_workspace(folder) as opened:
            visit = click(name, claim_days=90)
            visit.body["at"] = NOW
            ledger.apply(opened.db, [visit])
            day = datetime.fromtimestamp(NOW, UTC).date()
            bought = Bought("A-1", day, Money(9990, "EUR"))
            claim, _ = open_claim(opened.db, USER, name, bought, now=int(time.time()))
        number = claim["claim_id"]
        decide = ("claim", "decide", number)
        done = lensback.at_once(folder, *((*decide, end, "--because", why) for end, why in told))
        assert sorted(one.code for one in done) == [0, 2], done
        (late,) = [one for one in done if one.code]
        assert late.err.startswith("AlreadyDone: ")
        shown = lensback.run(folder, "claim", "show", number, "--json").json
        assert (shown["state"], shown["answer"]) == told[[one.code for one in done].index(0)]


def test_news_that_come_while_payouts_run(folder: Path, lensback: Commands) -> None:
    """What came before the payout is in it or due afterwards: nothing is paid twice, nothing forgotten."""
    rounds = 6
    for n in range(rounds):
        with open_workspace(folder) as opened:
            waits(opened, f"more{n}", 1000)
        done = lensback.at_once(
            folder,
            ("ledger", "pay", USER, "--reference", f"p{n}", "--json"),
            ("ledger", "balances", "--json"),
            ("ledger", "pay", OTHER, "--reference", f"o{n}", "--json"),
        )
        assert [one.code for one in done] == [0, 0, 0], done
    sums, _, wrong = paid(folder)
    with open_workspace(folder) as opened:
        left = sum(one.approved + one.payable for one in ledger.due(opened.db))
    assert wrong == []
    assert sums[OTHER] == 180
    assert sums[USER] + left == 960 + 600 * rounds


# ---- a clock that goes back


def test_a_clock_that_goes_back_a_year(folder: Path, lensback: Commands) -> None:
    then, now = NOW - 365 * 86_400, time.time()
    assert lensback.run(folder, "ledger", "received", "demo", "--json").json["sales"] == 2
    assert (
        lensback.run(folder, "ledger", "pay", USER, "--reference", "t1", "--json").json["sales"]
        == 3
    )
    with open_workspace(folder) as opened:
        waits(opened, "s9", 2000)
    received = lensback.run(
        folder, "ledger", "received", "demo", "--until", day(now), "--json", clock=then
    )
    assert received.json == {"amounts": [{"amount": "20.00", "currency": "EUR"}], "sales": 1}
    again = lensback.run(folder, "ledger", "pay", USER, "--reference", "t1", "--json", clock=then)
    assert (again.code, again.json["repeated"]) == (0, True)
    more = ("ledger", "pay", USER, "--reference", "t2", "--received-only", "--json")
    assert lensback.run(folder, *more, clock=then).json["amounts"] == [
        {"amount": "12.00", "currency": "EUR"}
    ]
    audit = lensback.run(folder, "ledger", "audit", "--json", clock=then)
    assert (audit.code, audit.json["differences"]) == (0, [])
    assert lensback.run(folder, "ledger", "audit").code == 0


def day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


# ---- amounts at their bounds

BOUNDS = {
    # currency -> commission in minor units, what is due of it as people write it
    "JPY": (1, "0", "nothing is due"),
    "KRW": (10**14 - 1, "59999999999999", ""),
    "KWD": (3, "0.001", ""),
    "BHD": (10**14 - 1, "59999999999.999", ""),
    "EUR": (10**14 - 1, "599999999999.99", ""),
    "USD": (1, "0.00", "nothing is due"),
}


@pytest.mark.parametrize("currency", BOUNDS)
def test_amounts_at_their_bounds(tmp_path: Path, lensback: Commands, currency: str) -> None:
    minor, due, nothing = BOUNDS[currency]
    folder = tmp_path / "w"
    init(folder)
    with open_workspace(folder) as opened:
        ledger.apply(opened.db, [click("c1")])
        told = [news("paid", minor, currency=currency, external_id=f"s{n}") for n in range(1)]
        ledger.record(opened.db, told, at=NOW, source="test")
    pay = ("ledger", "pay", USER, "--reference", "t1")
    if nothing:
        assert lensback.run(folder, "ledger", "due", "--json").json == []
        assert lensback.run(folder, *pay).out == "nothing is due to this user\n"
    else:
        (row,) = lensback.run(folder, "ledger", "due", "--json").json
        assert row["due"] == {"amount": due, "currency": currency}
        digits = f"{due}1" if "." in due else f"{due}.1"
        refused = lensback.run(folder, *pay, "--expect", f"{digits} {currency}", "--json")
        assert (refused.code, refused.json["error"]["type"]) == (2, "BadQuery")
        done = lensback.run(folder, *pay, "--expect", f"{due} {currency}", "--json")
        assert (done.code, done.json["amounts"]) == (0, [{"amount": due, "currency": currency}])
    audit = lensback.run(folder, "ledger", "audit", "--json")
    assert (audit.code, audit.json["differences"]) == (0, [])


# ---- what commands say

Case = tuple[tuple[str, ...], int, str, str]


WITHOUT_JSON = {
    ("ledger", "release"),
    ("ledger", "refuse"),
    ("ledger", "export"),
    ("claim", "decide"),
}


def test_what_is_refused_is_told_to_people_and_to_programs(
    folder: Path, lensback: Commands
) -> None:
    """Exit 2, nothing but one line and a hint on the error stream; with --json the error as JSON."""
    table = (ROOT / "docs" / "cashback.md").read_text("utf-8")
    for what, (words, code, kind, says) in REFUSED.items():
        assert f"| `{words[0]} {words[1]}` | `{kind}` |" in table, what
        people = lensback.run(folder, *words)
        assert (people.code, people.out) == (code, ""), (what, people)
        assert people.err.startswith(f"{kind}: "), (what, people)
        assert says in people.err, (what, people)
        assert "\n  hint: " in people.err, (what, people)
        assert "Traceback" not in people.err
        if tuple(words[:2]) in WITHOUT_JSON:
            continue
        program = lensback.run(folder, *words, "--json")
        told = json.loads(program.out)["error"]
        assert (program.code, program.err) == (code, ""), (what, program)
        assert (told["type"], says in told["message"]) == (kind, True), (what, told)
        assert told["hint"], what


PAY = ("ledger", "pay", USER, "--reference", "t1")
REFUSED: dict[str, Case] = {
    "nobody": (("ledger", "pay", "nobody", "--reference", "t1"), 2, "NotFound", "unknown user"),
    "no reference": (
        ("ledger", "pay", USER, "--reference", " "),
        2,
        "BadQuery",
        "needs a reference",
    ),
    "another sum": ((*PAY, "--expect", "1 EUR"), 2, "BadQuery", "not the expected 1.00 EUR"),
    "no amount": ((*PAY, "--expect", "1,5"), 2, "BadQuery", "not an amount"),
    "too many digits": ((*PAY, "--expect", "1.5 JPY"), 2, "BadQuery", "too many digits for JPY"),
    "two amounts": (
        (*PAY, "--expect", "1 EUR", "--expect", "1 EUR"),
        2,
        "BadQuery",
        "two amounts of EUR",
    ),
    "too little": ((*PAY, "--minimum", "99 EUR"), 2, "BadQuery", "below the minimum"),
    "no network": (("ledger", "received", "awin"), 2, "NotFound", "no sale of 'awin'"),
    "no day": (("ledger", "received", "demo", "--until", "1.1.2026"), 2, "BadQuery", "not a day"),
    "no sale": (("ledger", "release", "77", "--note", "x"), 2, "NotFound", "no such sale: 77"),
    "not held": (("ledger", "refuse", "1", "--note", "x"), 2, "BadQuery", "is not under review"),
    "no place": (("ledger", "export", "--out", "/nowhere/x.csv"), 2, "StateError", "cannot write"),
    "no name": (("conversions", "pull"), 2, "BadQuery", "name one network, or say --all"),
    "unknown name": (("conversions", "pull", "nowhere"), 2, "UnknownName", "'nowhere'"),
    "no account": (("conversions", "pull", "awin"), 2, "ConfigError", "account of AWIN"),
    "no api": (("conversions", "pull", "generic"), 2, "NotFound", "no report"),
    "wrong day": (("conversions", "pull", "awin", "--since", "today"), 2, "BadQuery", "not a day"),
    "every alone": (
        ("conversions", "pull", "awin", "--every", "1h"),
        2,
        "BadQuery",
        "--every goes with --all",
    ),
    "all since": (
        ("conversions", "pull", "--all", "--since", "2026-01-01"),
        2,
        "BadQuery",
        "since when",
    ),
    "no claim": (("claim", "show", "77"), 2, "NotFound", "no such claim"),
    "no end": (("claim", "decide", "1", "lost"), 2, "BadQuery", "no such end"),
    "no state": (("claim", "list", "--state", "lost"), 2, "BadQuery", "no such state"),
}
