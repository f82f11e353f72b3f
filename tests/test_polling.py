"""Polling of networks against local servers that speak their shapes: pages, windows, throttling,
tokens, errors, broken answers."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest

from lensback.errors import ConfigError, Error, FetchFailed, FetchRefused, PostbackError
from lensback.net import Fetcher
from lensback.networks import open_network, poll
from lensback.types import Conversion, Money
from network_servers import epn_entry, soap, tradetracker
from standin import Api, Asked, Reply, running

DAY_S = 86_400
SINCE = int(datetime(2026, 9, 1, tzinfo=UTC).timestamp())
SECRET = "s3cret-of-the-account"


@pytest.fixture
def api() -> Iterator[Api]:
    with running() as server:
        yield server


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with Fetcher(
        user_agent="test", allow_hosts=["127.0.0.1"], timeout_s=240, retries=2, backoff_s=0.01
    ) as made:
        yield made


ACCOUNTS = {
    "admitad": {"client_id": "me", "client_secret": SECRET},
    "awin": {"publisher": "45628", "token": SECRET},
    "cj": {"publisher": "7777777", "token": SECRET},
    "impact": {"account_sid": "IRme", "auth_token": SECRET},
    "tradedoubler": {
        "client_id": "me",
        "client_secret": SECRET,
        "username": "u",
        "password": SECRET,
    },
    "epn": {"client_id": "me", "client_secret": SECRET},
    "partnerize": {"publisher": "1l1", "application_key": "app", "user_api_key": SECRET},
}


def asking(
    name: str, api: Api, fetcher: Fetcher, since: int = SINCE, days: float = 10, **more: Any
) -> Iterator[Conversion]:
    account = {**ACCOUNTS[name], "api": api.url, **more.pop("account", {})}
    if name == "epn":
        account["oauth"] = api.url
    network = more.pop("network", open_network(name))
    return poll(network, account, fetcher, since, since + int(days * DAY_S), **more)


# ---- the six, each in its own shape. A "sale" is (number, status).


def admitad(asked: Asked, sales: list[tuple[int, str]]) -> Reply:
    if asked.path == "/token/":
        pair = base64.b64encode(f"me:{SECRET}".encode()).decode()
        form = parse_qs(asked.body.decode())
        good = asked.headers["authorization"] == f"Basic {pair}" and form == {
            "grant_type": ["client_credentials"],
            "client_id": ["me"],
            "scope": ["statistics"],
        }
        return Reply({"access_token": "T1"}) if good else Reply({"error": "invalid_client"}, 401)
    if asked.headers.get("authorization") != "Bearer T1":
        return Reply({"error": "token"}, 401)
    at, size = int(asked.query["offset"]), int(asked.query["limit"])
    rows = [
        {
            "action_id": n,
            "advcampaign_id": 22,
            "status": status,
            "payment": 12.345,
            "cart": 500,
            "currency": "RUB",
            "order_id": f"A{n}",
            "subid": f"click{n}",
            "comment": "",
            "paid": 0,
            "action_date": "2026-09-02 13:00:00",
        }
        for n, status in sales
    ]
    return Reply({"results": rows[at : at + size], "_meta": {"count": len(rows)}})


def awin(asked: Asked, sales: list[tuple[int, str]]) -> Reply:
    if asked.headers.get("authorization") != f"Bearer {SECRET}":
        return Reply({"error": "unauthorized"}, 401)
    if asked.path != "/publishers/45628/transactions/":
        return Reply({}, 404)
    begin, end = (datetime.fromisoformat(asked.query[k]) for k in ("startDate", "endDate"))
    if end - begin > timedelta(days=31):
        return Reply({"error": "date range too long"}, 400)
    rows = [
        {
            "id": n,
            "commissionStatus": status,
            "commissionAmount": {"amount": 12.345, "currency": "EUR"},
            "saleAmount": {"amount": 500, "currency": "EUR"},
            "clickRefs": {"clickRef": f"click{n}"},
            "orderRef": f"A{n}",
            "transactionDate": "2026-09-02T10:00:00",
            "declineReason": None,
            "paidToPublisher": False,
        }
        for n, status in sales
    ]
    return Reply(rows)


def cj(asked: Asked, sales: list[tuple[int, str]]) -> Reply:
    if asked.headers.get("authorization") != f"Bearer {SECRET}" or asked.method != "POST":
        return Reply({}, 401)
    said = json.loads(asked.body)
    if "publisherCommissions" not in said["query"]:
        return Reply({"errors": [{"message": "no such query"}]})
    after = int(said["variables"]["after"] or 0)
    rest = [sale for sale in sales if sale[0] > after]
    rows = [
        {
            "commissionId": str(n),
            "actionStatus": status,
            "shopperId": f"click{n}",
            "orderId": f"A{n}",
            "pubCommissionAmountUsd": "12.345",
            "saleAmountUsd": "500",
            "eventDate": "2026-09-02T10:00:00Z",
            "postingDate": "2026-09-03T10:00:00Z",
            "correctionReason": None,
        }
        for n, status in rest[:2]
    ]
    commissions = {
        "count": len(rows),
        "payloadComplete": len(rest) <= 2,
        "maxCommissionId": rows[-1]["commissionId"] if rows else None,
        "records": rows,
    }
    return Reply({"data": {"publisherCommissions": commissions}})


def impact(asked: Asked, sales: list[tuple[int, str]]) -> Reply:
    pair = base64.b64encode(f"IRme:{SECRET}".encode()).decode()
    if asked.headers.get("authorization") != f"Basic {pair}":
        return Reply({}, 401)
    if asked.path != "/Mediapartners/IRme/Actions":
        return Reply({}, 404)
    page = int(asked.query.get("Page", 1))
    rows = [
        {
            "Id": f"{n}",
            "State": status.upper(),
            "Payout": "12.345",
            "Amount": "500",
            "Currency": "EUR",
            "SubId1": f"click{n}",
            "Oid": f"A{n}",
            "EventDate": "2026-09-02T10:00:00+00:00",
        }
        for n, status in sales
    ]
    more = f"/Mediapartners/IRme/Actions?Page={page + 1}&PageSize=2" if page * 2 < len(rows) else ""
    return Reply({"@nextpageuri": more, "Actions": rows[page * 2 - 2 : page * 2]})


def tradedoubler(asked: Asked, sales: list[tuple[int, str]]) -> Reply:
    if asked.path == "/uaa/oauth/token":
        form = parse_qs(asked.body.decode())
        good = (form["grant_type"], form["username"]) == (["password"], ["u"])
        return Reply({"access_token": "T1"}) if good else Reply({}, 401)
    if asked.headers.get("authorization") != "Bearer T1":
        return Reply({}, 401)
    at, size = int(asked.query["offset"]), int(asked.query["limit"])
    rows = [
        {
            "transactionId": f"{n}",
            "status": {"pending": "P", "approved": "A", "declined": "D"}[status],
            "commission": 12.345,
            "orderValue": 500,
            "epi": f"click{n}",
            "orderNumber": f"A{n}",
            "currency": "EUR",
            "paid": False,
            "timeOfTransaction": "2026-09-02T10:00:00Z",
        }
        for n, status in sales
    ]
    return Reply({"items": rows[at : at + size], "total": len(rows)})


def epn(asked: Asked, sales: list[tuple[int, str]]) -> Reply:
    if entry := epn_entry(asked, SECRET):
        return entry
    page, size = int(asked.query["page"]), int(asked.query["perPage"])
    rows = [
        {
            "id": f"{n}",
            "attributes": {
                "transactionId": f"{n}",
                "order_status": status.replace("declined", "rejected"),
                "commission_user": "12.345",
                "revenue": "500",
                "currency": "EUR",
                "sub1": f"click{n}",
                "order_number": f"A{n}",
                "order_time": "2026-09-02 10:00:00",
            },
        }
        for n, status in sales
    ]
    return Reply(
        {"data": rows[page * size - size : page * size], "meta": {"totalFound": len(rows)}}
    )


SHAPES = {
    "admitad": admitad,
    "awin": awin,
    "cj": cj,
    "impact": impact,
    "tradedoubler": tradedoubler,
    "epn": epn,
}
WORDS = {"cj": {"pending": "NEW", "approved": "LOCKED", "declined": "EXTENDED"}}


def sales_of(name: str, count: int) -> list[tuple[int, str]]:
    states = ("pending", "approved", "declined")
    ours = [(n, states[n % 3]) for n in range(1, count + 1)]
    if name == "impact":
        return [(n, s.replace("declined", "reversed")) for n, s in ours]
    return [(n, WORDS.get(name, {}).get(s, s)) for n, s in ours]


def small_pages(name: str) -> Any:
    network = open_network(name)
    assert network.poll
    page = {**network.poll.page, **({"size": 2} if "size" in network.poll.page else {})}
    return replace(network, poll=replace(network.poll, page=page))


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_every_page_is_read_once(name: str, count: int, api: Api, fetcher: Fetcher) -> None:
    sales = sales_of(name, count)
    api.answer = lambda asked: SHAPES[name](asked, sales)
    told = list(asking(name, api, fetcher, network=small_pages(name)))
    assert [one.subid for one in told] == [f"click{n}" for n in range(1, count + 1)]
    for one in told:
        assert one.network == name
        assert (one.commission or Money(0, "")).minor == 1234  # rounded down
        assert one.order_value == Money(50_000, one.order_value.currency if one.order_value else "")
        assert one.ordered_at == 1788343200
    states = [one.status for one in told[:3]]
    wanted = ["approved", "pending", "pending"] if name == "cj" else ["approved", "declined"]
    assert states[: len(wanted)] == wanted[: len(states)]


@pytest.mark.parametrize("name", SHAPES)
def test_windows(name: str, api: Api, fetcher: Fetcher) -> None:
    """A long stretch is asked for in pieces that the network takes, without a gap."""
    network = open_network(name)
    assert network.poll
    asked: list[Asked] = []

    def answer(one: Asked) -> Reply:
        if "token" not in one.path and one.path != "/ssid":
            asked.append(one)
        return SHAPES[name](one, [])

    api.answer = answer
    days = network.poll.window_days * 2 + 5
    assert list(asking(name, api, fetcher, days=days)) == []
    kinds = len(network.poll.queries) or 1
    assert len(asked) == 3 * kinds
    asked = asked[::kinds]
    form = network.poll.time_format
    if name == "cj":
        edges = [
            (v["since"], v["until"]) for v in (json.loads(one.body)["variables"] for one in asked)
        ]
    else:
        names = {**network.poll.query, **(network.poll.queries or ({},))[0]}
        since = next(k for k, v in names.items() if v == "{since}")
        until = next(k for k, v in names.items() if v == "{until}")
        edges = [(one.query[since], one.query[until]) for one in asked]
    zone = ZoneInfo(network.poll.time_zone)
    times = [[datetime.strptime(text, form).replace(tzinfo=zone) for text in e] for e in edges]
    # Where the last day counts, the next window begins on the day behind it.
    gap = timedelta(days=1 if network.poll.inclusive else 0)
    assert [a for a, _ in times[1:]] == [b + gap for _, b in times[:-1]]
    assert times[0][0].timestamp() == SINCE
    assert (times[-1][1] + gap).timestamp() == SINCE + days * DAY_S


@pytest.mark.parametrize("name", SHAPES)
def test_throttled_with_retry_after(name: str, api: Api, fetcher: Fetcher) -> None:
    refused: list[float] = []

    def answer(asked: Asked) -> Reply:
        if not refused:
            refused.append(time.monotonic())
            return Reply({"error": "slow down"}, 429, (("Retry-After", "1"),))
        return SHAPES[name](asked, sales_of(name, 1))

    api.answer = answer
    assert len(list(asking(name, api, fetcher))) == 1
    assert time.monotonic() - refused[0] >= 1


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply({"error": "down"}, 503), FetchFailed),
        (Reply({"error": "no"}, 403), FetchFailed),
        (Reply(b"{broken"), PostbackError),
        (Reply(b""), PostbackError),
        (Reply(b"[" * 100_000), PostbackError),
        (Reply({"surprise": 1}), PostbackError),
        (Reply([1, 2]), PostbackError),
        (Reply(b"\xff\xfe\x00"), PostbackError),
        (Reply({}, 302, (("Location", "http://127.0.0.2/"),)), FetchRefused),
    ],
)
def test_what_is_no_answer(
    name: str, reply: Reply, kind: type[Error], api: Api, fetcher: Fetcher
) -> None:
    """An error of ours that says what is wrong, and no secret in it."""
    api.answer = lambda asked: (
        SHAPES[name](asked, [])
        if ("token" in asked.path or asked.path == "/ssid") and reply.status != 302
        else reply
    )
    with pytest.raises(kind) as refused:
        list(asking(name, api, fetcher))
    assert SECRET not in f"{refused.value} {refused.value.hint}"
    assert len(api.asked) <= 6


def test_a_server_that_comes_back(api: Api, fetcher: Fetcher) -> None:
    tries: list[int] = []

    def answer(asked: Asked) -> Reply:
        tries.append(1)
        return Reply({}, 502) if len(tries) < 3 else awin(asked, sales_of("awin", 2))

    api.answer = answer
    assert len(list(asking("awin", api, fetcher))) == 2


def test_a_token_that_ran_out_is_renewed_once(api: Api, fetcher: Fetcher) -> None:
    tokens: list[int] = []

    def answer(asked: Asked) -> Reply:
        if asked.path == "/token/":
            tokens.append(1)
            return Reply({"access_token": f"T{len(tokens)}"})
        if asked.headers["authorization"] != "Bearer T2":
            return Reply({"error": "expired"}, 401)
        return Reply({"results": [], "_meta": {"count": 0}})

    api.answer = answer
    assert list(asking("admitad", api, fetcher)) == []
    assert list(asking("admitad", api, fetcher)) == []  # the token is kept
    assert len(tokens) == 2
    api.answer = lambda asked: Reply({"access_token": "x"} if "token" in asked.path else {}, 401)
    with pytest.raises(FetchFailed, match="401") as refused:
        list(asking("admitad", api, fetcher))
    assert refused.value.hint == "check the key or the password"


def test_a_token_given_by_the_operator_needs_no_password(api: Api, fetcher: Fetcher) -> None:
    api.answer = lambda asked: admitad(asked, sales_of("admitad", 1))
    account = {"api": api.url, "token": "T1"}
    told = list(poll(open_network("admitad"), account, fetcher, SINCE, SINCE + DAY_S))
    assert len(told) == 1
    assert [one.path for one in api.asked] == ["/statistics/actions/"]


@pytest.mark.parametrize("name", SHAPES)
def test_a_key_that_is_missing_is_named(name: str, fetcher: Fetcher) -> None:
    network = open_network(name)
    assert network.poll
    for key in network.poll.account:
        account = {k: v for k, v in ACCOUNTS[name].items() if k != key}
        if key != "token":
            account.pop("token", None)
        with pytest.raises(ConfigError) as refused:
            list(poll(network, account, fetcher, SINCE, SINCE + 1))
        assert f"LENSBACK_NETWORK_{name.upper()}_" in refused.value.hint


def test_a_network_without_a_report(fetcher: Fetcher) -> None:
    with pytest.raises(ConfigError, match="no report"):
        list(poll(open_network("generic"), {}, fetcher, SINCE, SINCE + 1))


def test_rows_that_cannot_be_read_are_told_and_left(api: Api, fetcher: Fetcher) -> None:
    rows = [(1, "approved"), (2, "sideways"), (3, "declined")]
    api.answer = lambda asked: awin(asked, rows)
    told: list[tuple[str, Any]] = []
    found = list(
        asking("awin", api, fetcher, reject=lambda error, row: told.append((error.message, row)))
    )
    assert [one.external_id for one in found] == ["1", "3"]
    # Told once, although three kinds of date bring it.
    ((message, row),) = told
    assert (message, row["id"]) == ("AWIN has no status 'sideways'", 2)
    with pytest.raises(PostbackError, match="sideways"):
        list(asking("awin", api, fetcher))


def test_paid_is_only_said_of_what_was_approved(api: Api, fetcher: Fetcher) -> None:
    def answer(asked: Asked) -> Reply:
        rows = awin(asked, [(1, "approved"), (2, "pending"), (3, "declined")]).body
        return Reply([{**row, "paidToPublisher": True} for row in rows])

    api.answer = answer
    assert [one.status for one in asking("awin", api, fetcher)] == ["paid", "pending", "declined"]


def test_corrections_are_negative(api: Api, fetcher: Fetcher) -> None:
    def answer(asked: Asked) -> Reply:
        reply = cj(asked, [(1, "LOCKED")])
        row = reply.body["data"]["publisherCommissions"]["records"][0]
        row["pubCommissionAmountUsd"] = "-3.005"
        row["correctionReason"] = "RETURNED_MERCHANDISE"
        return reply

    api.answer = answer
    (told,) = asking("cj", api, fetcher)
    assert (told.commission, told.reason) == (Money(-301, "USD"), "RETURNED_MERCHANDISE")


def test_the_keys_do_not_leave_for_another_host(api: Api, fetcher: Fetcher) -> None:
    api.answer = lambda _asked: Reply({"@nextpageuri": "https://evil.example/x", "Actions": []})
    with pytest.raises(PostbackError, match="another host"):
        list(asking("impact", api, fetcher))


@pytest.mark.parametrize("name", ["cj", "impact"])
def test_a_report_that_never_ends(name: str, api: Api, fetcher: Fetcher) -> None:
    """A cursor that stands still is noticed; so is a page that points at itself."""
    page = {"count": 0, "payloadComplete": False, "maxCommissionId": "7", "records": []}
    endless = {
        "cj": {"data": {"publisherCommissions": page}},
        "impact": {"@nextpageuri": "/again", "Actions": []},
    }
    api.answer = lambda _asked: Reply(endless[name])
    with pytest.raises(PostbackError, match="repeats a page"):
        list(asking(name, api, fetcher))
    assert len(api.asked) == 2


def test_pages_that_are_all_the_same(api: Api, fetcher: Fetcher) -> None:
    """A network that ignores the offset and tells no total."""
    row = {"action_id": 1, "order_id": "1", "status": "pending"}
    api.answer = lambda asked: Reply(
        {"access_token": "T1"} if asked.path == "/token/" else {"results": [row] * 500}
    )
    with pytest.raises(PostbackError, match="repeats a page"):
        list(asking("admitad", api, fetcher))


def conversion(number: int) -> dict[str, Any]:
    """As in api-docs.partnerize.com, Partners API 1.4.99, Partner Conversions, with values of ours."""
    item = {
        "conversion_item_id": f"9l{number}",
        "item_value": 955,
        "item_publisher_commission": 95.5,
        "item_status": "pending",
        "reject_reason": None,
    }
    return {
        "conversion_data": {
            "conversion_id": f"1l{number}",
            "conversion_time": "2026-09-02 17:18:33",
            "last_modified": "2026-09-03 15:31:42",
            "currency": "EUR",
            "publisher_reference": f"click{number}",
            "conversion_reference": f"A{number}",
            "conversion_items": [item],
        }
    }


@pytest.mark.parametrize(
    ("told", "sales"),
    [
        (told, sales)
        for told in ("header", "body", "link", "nowhere")
        for sales in (0, 300, 301, 650)
    ]
    + [("offset ignored", 300)],
)
def test_partnerize_pages_by_what_it_tells(
    told: str, sales: int, api: Api, fetcher: Fetcher
) -> None:
    """Common API Conventions: the report of conversions gives `cursor_id`, 300 rows at most, and a
    link to the next page that holds it; Partner Conversions names `offset`, and no cursor."""

    def answer(asked: Asked) -> Reply:
        assert asked.query["limit"] == "300"
        at = int(asked.query.get("cursor_id", asked.query.get("offset", "0")))
        if told == "offset ignored":
            at = 0
        rows = [conversion(n) for n in range(sales)][at : at + 300]
        more = str(at + 300) if at + 300 < sales else ""
        body: dict[str, Any] = {"limit": 300, "count": len(rows), "conversions": rows}
        if told == "body" and more:
            body["cursor_id"] = int(more)
        if told == "link":
            next_page = (
                f"/reporting/report_publisher/x?limit=300&cursor_id={more}" if more else None
            )
            body["hypermedia"] = {"pagination": {"first_page": "/x", "next_page": next_page}}
        headers = (("cursor_id", more),) if told == "header" and more else ()
        return Reply(body, headers=headers)

    api.answer = answer
    found = list(asking("partnerize", api, fetcher))
    assert sorted({one.external_id for one in found}) == sorted(f"1l{n}" for n in range(sales))
    assert len(found) == sales
    changed = int(datetime(2026, 9, 3, 15, 31, 42, tzinfo=UTC).timestamp())
    said = {(one.status, one.commission, one.changed_at) for one in found}
    assert said <= {("pending", Money(9550, "EUR"), changed)}


def test_partnerize_names_its_pause_in_a_header_of_its_own(api: Api, fetcher: Fetcher) -> None:
    """Common API Conventions, Rate Limits: X-RateLimit-Retry-After, and no Retry-After."""
    asked_at: list[float] = []

    def answer(_asked: Asked) -> Reply:
        asked_at.append(time.monotonic())
        if len(asked_at) == 1:
            return Reply({"error": {}}, 429, (("X-RateLimit-Retry-After", "1"),))
        return Reply({"conversions": []})

    api.answer = answer
    assert list(asking("partnerize", api, fetcher)) == []
    assert asked_at[1] - asked_at[0] >= 1


def test_graphql_errors_are_told(api: Api, fetcher: Fetcher) -> None:
    api.answer = lambda _asked: Reply({"errors": [{"message": "Cannot query field x"}]})
    with pytest.raises(PostbackError, match="Cannot query field x"):
        list(asking("cj", api, fetcher))


def test_no_more_questions_a_minute_than_allowed(
    api: Api, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lensback.networks.asking.MINUTE_S", 0.5)
    network = open_network("awin")
    assert network.poll
    slow = replace(network, poll=replace(network.poll, per_minute=2, window_days=1, queries=()))
    api.answer = lambda asked: awin(asked, [])
    begin = time.monotonic()
    assert list(asking("awin", api, fetcher, network=slow, days=6)) == []
    assert len(api.asked) == 6
    assert time.monotonic() - begin >= 1.0  # two at once, then two every half second


@pytest.mark.parametrize(
    ("number", "status"),
    [(10, "approved"), (20, "approved"), (30, "pending"), (40, "pending"), (50, "pending"),
     (60, "pending"), (70, "declined")],
)  # fmt: skip
def test_webgains_tells_its_statuses_as_numbers(
    number: int, status: str, api: Api, fetcher: Fetcher
) -> None:
    """Source: Oara, after docs.webgains.dev, Transaction statuses; of two clients that differ the one that
    waits is followed. Amounts are ten-thousandths, each with its `currency_code`."""
    row = {
        "id": 5,
        "program": {"id": 1001},
        "date": SINCE + 60,
        "click_reference": "click5",
        "order_reference": "A5",
        "status": number,
        "value": {"amount": 1_000_000, "currency_code": "DKK"},
        "commission": {"amount": 99_900, "currency_code": "DKK"},
    }
    api.answer = lambda _asked: Reply(
        {"data": [row], "pagination": {"current_page": 1, "last_page": 1}}
    )
    account = {"publisher": "77", "token": SECRET, "api": api.url}
    (told,) = poll(open_network("webgains"), account, fetcher, SINCE, SINCE + DAY_S)
    assert (told.status, told.commission, told.order_value, told.subid) == (
        status, Money(999, "DKK"), Money(10_000, "DKK"), "click5",
    )  # fmt: skip


def test_flexoffers_by_the_names_of_its_other_client(api: Api, fetcher: Fetcher) -> None:
    """Source: Oara, FlexOffers: results, legacyId, orderStatus, eventDate and modifiedDate in EST."""
    row = {
        "legacyId": 77,
        "subTracking": "",
        "subId1": "click77",
        "programId": 3,
        "eventDate": "2026-09-01T10:00:00",
        "modifiedDate": "2026-09-02T10:00:00",
        "orderStatus": "Non-Commissionable",
        "currency": "USD",
        "saleAmount": "50.00",
        "commission": "5.00",
    }
    api.answer = lambda _asked: Reply({"results": [row], "totalCount": 1, "pageSize": 500})
    account = {"api_key": "K", "api": api.url}
    (told,) = poll(open_network("flexoffers"), account, fetcher, SINCE, SINCE + DAY_S)
    assert (told.external_id, told.subid, told.status, told.commission) == (
        "77", "click77", "declined", Money(500, "USD"),
    )  # fmt: skip
    assert (told.ordered_at, told.changed_at) == (SINCE + 15 * 3600, SINCE + 39 * 3600)


def test_sovrn_is_asked_for_each_day_by_what_was_updated_then(api: Api, fetcher: Fetcher) -> None:
    """Source: developer.sovrn.com/reference/get_reports-transactions, and the OpenAPI that it shows
    (Transaction Reporting Service, 20230630); how a time is written is not told there."""
    days: list[str] = []

    def answer(asked: Asked) -> Reply:
        good = asked.headers.get("authorization") == f"secret {SECRET}"
        if (
            not good
            or asked.path != "/v1/reports/transactions"
            or set(asked.query) != {"updateDate"}
        ):
            return Reply({}, 400)
        days.append(asked.query["updateDate"])
        row = {
            "revenueId": 9100 + len(days),
            "clickSid": "c1",
            "accountId": 1,
            "commissionId": "7001",
            "merchantGroupId": 5,
            "clickDate": "2026-09-01T09:00:00",
            "commissionDate": "2026-09-01T10:00:00",
            "updateDate": f"{days[-1]}T11:00:00",
            "publisherRevenue": 3.1 + len(days),
            "orderValue": 59.99,
            "cuid": "click1",
            "programType": "CPA",
        }
        return Reply({"transactions": [row] if len(days) < 3 else []})

    api.answer = answer
    network = open_network("sovrn")
    at_once = replace(network, poll=replace(network.poll, per_minute=0))  # type: ignore[type-var]
    account = {"secret": SECRET, "api": api.url}
    told = list(poll(at_once, account, fetcher, SINCE, SINCE + 3 * DAY_S - 1))
    assert days == ["2026-09-01", "2026-09-02", "2026-09-03"]
    assert [(one.external_id, one.subid, one.status) for one in told] == 2 * [
        ("7001", "click1", "pending")
    ]
    assert [one.commission for one in told] == [Money(410, "USD"), Money(510, "USD")]
    assert {one.order_value for one in told} == {Money(5999, "USD")}
    assert [one.changed_at for one in told] == [SINCE + 11 * 3600, SINCE + DAY_S + 11 * 3600]
    assert {one.ordered_at for one in told} == {SINCE + 10 * 3600}
    assert network.poll
    assert network.poll.per_minute == 1


def test_how_far_back_a_network_answers(api: Api, fetcher: Fetcher) -> None:
    api.answer = lambda asked: epn(asked, [])
    now = int(time.time())
    account = {**ACCOUNTS["epn"], "api": api.url, "oauth": api.url}
    list(poll(open_network("epn"), account, fetcher, now - 500 * DAY_S, now))
    first = next(one for one in api.asked if one.path == "/transactions/user").query["tsFrom"]
    since = datetime.strptime(first, "%Y-%m-%d").replace(tzinfo=UTC)
    assert 364 <= (datetime.now(UTC) - since).days <= 366


def test_a_private_address_is_refused() -> None:
    account = {**ACCOUNTS["awin"], "api": "http://127.0.0.1:9"}
    with Fetcher(user_agent="test", retries=0) as closed:
        rows = poll(open_network("awin"), account, closed, SINCE, SINCE + 1)
        with pytest.raises(FetchRefused):
            next(rows)


def test_amounts_keep_their_last_cent(api: Api, fetcher: Fetcher) -> None:
    """0.29 is 0.289999… as a float, and rounding down would take a cent."""

    def answer(asked: Asked) -> Reply:
        return Reply(
            json.dumps(awin(asked, [(1, "approved")]).body).replace("12.345", "0.29").encode()
        )

    api.answer = answer
    (told,) = asking("awin", api, fetcher)
    assert told.commission == Money(29, "EUR")


# ---- posted questions and sessions


def soap_session(
    api: Api, fetcher: Fetcher, days: float = 10, **account: str
) -> Iterator[Conversion]:
    known = {"customer_id": "12345", "passphrase": "p&<'\"ss", "site": "777", **account}
    return poll(
        open_network("tradetracker"),
        {**known, "api": api.url},
        fetcher,
        SINCE,
        SINCE + int(days * DAY_S),
    )


def test_a_session_is_opened_each_time_and_escapes_its_keys(api: Api, fetcher: Fetcher) -> None:
    """Nothing says when a session ends: one that was open an hour ago is not trusted."""
    api.answer = lambda asked: tradetracker(asked, [])
    assert list(soap_session(api, fetcher, days=100)) == []  # two stretches of at most 90 days
    actions = [one.headers["soapaction"].rpartition("/")[2] for one in api.asked]
    assert actions == ["authenticate", *["getConversionTransactions"] * 2]
    assert list(soap_session(api, fetcher)) == []
    again = [one.headers["soapaction"].rpartition("/")[2] for one in api.asked][len(actions) :]
    assert again == ["authenticate", "getConversionTransactions"]


def test_a_fault_says_why_and_is_no_empty_report(api: Api, fetcher: Fetcher) -> None:
    api.answer = lambda asked: tradetracker(asked, [])
    with pytest.raises(PostbackError, match="Authentication failed"):
        list(soap_session(api, fetcher, passphrase="wrong"))
    assert "wrong" not in str(api.asked[-1].path)


@pytest.mark.parametrize(
    "body",
    ["<ns1:somethingElse/>", "<ns1:getConversionTransactionsResponse/>", ""],
    ids=["another answer", "no list", "nothing"],
)
def test_an_answer_of_another_form_is_no_empty_report(
    body: str, api: Api, fetcher: Fetcher
) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.headers["soapaction"].endswith("/authenticate"):
            return tradetracker(asked, [])
        return Reply(soap(body))

    api.answer = answer
    with pytest.raises(PostbackError, match="has no list"):
        list(soap_session(api, fetcher))


def test_a_session_without_cookies_is_none(api: Api, fetcher: Fetcher) -> None:
    api.answer = lambda asked: Reply(soap("<ns1:authenticateResponse/>"))
    with pytest.raises(PostbackError, match="gave no token"):
        list(soap_session(api, fetcher))


def test_what_is_posted_cannot_leave_its_place(api: Api, fetcher: Fetcher) -> None:
    """A key of the account with quotes in it stays a text of the question."""
    network = open_network("gdeslon")
    assert network.poll
    form = replace(network.poll, body='{"sub_id": "{key}", "span": {span}}', queries=())
    api.answer = lambda asked: Reply([])
    account = {"user_id": "9", "api_key": "K", "key": '"}, "x": {"', "api": api.url}
    list(poll(replace(network, poll=form), account, fetcher, SINCE, SINCE + 3 * DAY_S))
    assert json.loads(api.asked[-1].body)["sub_id"] == '"}, "x": {"'
    assert json.loads(api.asked[-1].body)["span"] in {3, 4}
