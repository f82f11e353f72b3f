"""Networks as their documentation tells them: what a request must be, and the answer to it.

Each function is written from the source that its fixture names (`tests/networks/NAME/poll.json`), never from
our client. A request that the documentation does not allow raises `Wrong`, and the poll fails.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode
from xml.sax.saxutils import escape

from graphql import build_schema, parse, validate
from graphql.execution.values import get_variable_values
from lxml import etree

from standin import Asked, Reply

FIXTURES = Path(__file__).parent / "networks"
MOSCOW = timezone(timedelta(hours=3))
DENVER = timezone(timedelta(hours=-6))
PACIFIC = timezone(timedelta(hours=-7))
BRASILIA = timezone(timedelta(hours=-3))
AMSTERDAM = timezone(timedelta(hours=2))
SOAP_NS = "http://schemas.xmlsoap.org/soap/envelope/"

Rows = list[dict[str, Any]]
"""What the network holds: `ordered`, `changed` (UTC) and the `row` as it shows it."""


class Wrong(Exception):
    """A request that the documentation does not allow."""


def need(fine: bool, what: str) -> None:
    if not fine:
        raise Wrong(what)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def between(
    rows: Rows,
    by: str,
    begin: str,
    end: str,
    form: str,
    days: float,
    zone: Any = UTC,
    whole: bool = False,
) -> Rows:
    """The rows of a window; `whole`: its last day counts. Raises Wrong for one that is too long."""
    first, last = (datetime.strptime(text, form).replace(tzinfo=zone) for text in (begin, end))
    last += timedelta(days=1 if whole else 0)
    need(first < last, f"an empty window: {begin} {end}")
    need(last - first <= timedelta(days=days), f"too long a window: {begin} {end}")
    return [row for row in rows if first <= datetime.fromisoformat(row[by]) < last]


def shown(rows: Rows) -> list[Any]:
    return [row["row"] for row in rows]


def keys(asked: Asked, *names: str) -> None:
    need(set(asked.query) == set(names), f"parameters: {sorted(asked.query)}")


def admitad(asked: Asked, rows: Rows) -> Reply:
    if asked.path == "/token/":
        need(asked.headers["authorization"] == basic("me", "S-admitad"), "basic")
        form = {k: v[0] for k, v in parse_qs(asked.body.decode()).items()}
        need(
            form == {"grant_type": "client_credentials", "client_id": "me", "scope": "statistics"},
            "form",
        )
        return Reply({"access_token": "T1", "expires_in": 604800})
    need(asked.path == "/statistics/actions/", asked.path)
    need(asked.headers.get("authorization") == "Bearer T1", "bearer")
    keys(asked, "status_updated_start", "status_updated_end", "limit", "offset")
    q = asked.query
    need(int(q["limit"]) <= 500, "limit")
    found = between(
        rows,
        "changed",
        q["status_updated_start"],
        q["status_updated_end"],
        "%d.%m.%Y %H:%M:%S",
        60,
        MOSCOW,
    )
    at = int(q["offset"])
    page = shown(found)[at : at + min(int(q["limit"]), 2)]
    return Reply({"results": page, "_meta": {"count": len(found), "limit": 2, "offset": at}})


def awin(asked: Asked, rows: Rows) -> Reply:
    need(asked.headers.get("authorization") == "Bearer T-awin", "bearer")
    need(asked.path == "/publishers/45628/transactions/", asked.path)
    keys(asked, "startDate", "endDate", "dateType", "timezone")
    q = asked.query
    need(q["timezone"] == "UTC", "timezone")
    by = {"transaction": "ordered", "validation": "changed", "amendment": "changed"}[q["dateType"]]
    found = between(rows, by, q["startDate"], q["endDate"], "%Y-%m-%dT%H:%M:%S", 31)
    if q["dateType"] == "validation":
        found = [row for row in found if row["row"]["commissionStatus"] != "pending"]
    if q["dateType"] == "amendment":
        found = [row for row in found if row["row"]["validationDate"]]
    return Reply(shown(found))


def cj(asked: Asked, rows: Rows) -> Reply:
    need(asked.method == "POST" and asked.path == "/query", asked.path)
    need(asked.headers.get("authorization") == "Bearer T-cj", "bearer")
    said = json.loads(asked.body)
    schema = build_schema((FIXTURES / "cj" / "schema.graphql").read_text("utf-8"))
    document = parse(said["query"])
    need(not (errors := validate(schema, document)), str(errors))
    values = get_variable_values(
        schema, document.definitions[0].variable_definitions, said["variables"]
    )
    need(not isinstance(values, list), str(values))
    v = said["variables"]
    need(v["publishers"] == ["7777777"], "publishers")
    found = between(rows, "ordered", v["since"], v["until"], "%Y-%m-%dT%H:%M:%SZ", 31)
    rest = [row for row in found if int(row["row"]["commissionId"]) > int(v["after"] or 0)]
    rest.sort(key=lambda row: int(row["row"]["commissionId"]))
    page = shown(rest[:2])
    told = {
        "count": len(page),
        "payloadComplete": len(rest) <= 2,
        "maxCommissionId": page[-1]["commissionId"] if page else None,
        "records": page,
    }
    return Reply({"data": {"publisherCommissions": told}})


def impact(asked: Asked, rows: Rows) -> Reply:
    need(asked.headers.get("authorization") == basic("IRme", "T-impact"), "basic")
    need(asked.headers.get("accept") == "application/json", "XML is the default")
    need(asked.path == "/Mediapartners/IRme/Actions", asked.path)
    q = asked.query
    need({"ActionDateStart", "ActionDateEnd"} <= set(q), "only the last seven days come")
    need(2000 <= int(q.get("PageSize", 20_000)) <= 20_000, "a page has 2,000 or more")
    found = between(
        rows, "ordered", q["ActionDateStart"], q["ActionDateEnd"], "%Y-%m-%dT%H:%M:%SZ", 45
    )
    page = int(q.get("Page", 1))
    more = (
        f"/Mediapartners/IRme/Actions?Page={page + 1}&ActionDateStart={q['ActionDateStart']}"
        f"&ActionDateEnd={q['ActionDateEnd']}"
    )
    return Reply(
        {
            "@page": page,
            "@nextpageuri": more if page * 2 < len(found) else "",
            "Actions": shown(found)[page * 2 - 2 : page * 2],
        }
    )


def epn_entry(asked: Asked, secret: str = "S-epn") -> Reply | None:
    """ePN's session and token, which come before every other question; None for one that has them."""
    need(asked.headers.get("x-api-version") == "2", "version")
    if asked.path == "/ssid":
        need(asked.query == {"v": "2", "client_id": "me"}, "ssid")
        return Reply({"data": {"attributes": {"ssid_token": "S1"}}})
    if asked.path == "/token":
        said = json.loads(asked.body)
        need((said.get("ssid_token"), said.get("check_ip")) == ("S1", False), "ssid_token")
        need((said["client_id"], said["client_secret"]) == ("me", secret), "client")
        need(said["grant_type"] == "client_credential", "grant")
        return Reply({"data": {"attributes": {"access_token": "T1", "refresh_token": "R1"}}})
    need(asked.headers.get("x-access-token") == "T1", "token")
    return None


def epn(asked: Asked, rows: Rows) -> Reply:
    if entry := epn_entry(asked):
        return entry
    need(asked.path == "/transactions/user", asked.path)
    q = asked.query
    need(int(q["perPage"]) <= 1000, "perPage")
    by_sale = {"tsFrom", "tsTo"} <= set(q)
    need(by_sale != ({"statusUpdatedStart", "statusUpdatedEnd"} <= set(q)), "one kind of date")
    begin, end = (
        (q["tsFrom"], q["tsTo"]) if by_sale else (q["statusUpdatedStart"], q["statusUpdatedEnd"])
    )
    found = between(
        rows, "ordered" if by_sale else "changed", begin, end, "%Y-%m-%d", 366, whole=True
    )
    page = int(q["page"])
    return Reply(
        {
            "data": shown(found)[page * 2 - 2 : page * 2],
            "meta": {"hasNext": page * 2 < len(found), "totalFound": len(found)},
        }
    )


def tradedoubler(asked: Asked, rows: Rows) -> Reply:
    if asked.path == "/uaa/oauth/token":
        need(asked.headers["authorization"] == basic("me", "S-td"), "basic")
        form = {k: v[0] for k, v in parse_qs(asked.body.decode()).items()}
        need(
            (form["grant_type"], form["username"], form["password"]) == ("password", "u", "p"),
            "form",
        )
        return Reply({"access_token": "T1", "expires_in": 899})
    need(asked.headers.get("authorization") == "Bearer T1", "bearer")
    need(asked.path == "/publisher/report/transactions", asked.path)
    q = asked.query
    need(
        set(q) - {"reportCurrencyCode", "lastModified"}
        == {"fromDate", "toDate", "limit", "offset"},
        str(q),
    )
    need(int(q["limit"]) <= 100, "limit")
    by = "changed" if q.get("lastModified") == "true" else "ordered"
    found = between(rows, by, q["fromDate"], q["toDate"], "%Y%m%d", 31, whole=True)
    at = int(q["offset"])
    return Reply(
        {
            "offset": at,
            "limit": 2,
            "total": len(found),
            "reportCurrencyCode": "SEK",
            "items": shown(found)[at : at + 2],
        }
    )


def partnerize(asked: Asked, rows: Rows) -> Reply:
    need(asked.headers.get("authorization") == basic("app", "key"), "basic")
    need(
        asked.path.removesuffix(".json")
        == "/reporting/report_publisher/publisher/111111l1/conversion",
        asked.path,
    )
    q = asked.query
    need(int(q["limit"]) <= 300 and q["timezone"] == "UTC", "limit")
    by = {"standard": "ordered", "approved_at": "changed"}[q["date_type"]]
    found = between(rows, by, q["start_date"], q["end_date"], "%Y-%m-%d %H:%M:%S", 366)
    at = int(q.get("cursor_id", "0").removeprefix("c"))
    more = (("cursor_id", f"c{at + 2}"),) if at + 2 < len(found) else ()
    return Reply({"conversions": shown(found)[at : at + 2]}, headers=more)


def rakuten(asked: Asked, rows: Rows) -> Reply:
    if asked.path == "/token":
        pair = base64.b64encode(b"me:S-rakuten").decode()
        need(asked.headers["authorization"] == f"Bearer {pair}", "token-key")
        need(parse_qs(asked.body.decode()) == {"scope": ["333"]}, "scope")
        return Reply({"access_token": "T1", "refresh_token": "R1", "expires_in": 3600})
    need(asked.headers.get("authorization") == "Bearer T1", "bearer")
    need(asked.path == "/events/1.0/transactions", asked.path)
    q = asked.query
    need(int(q["limit"]) <= 1000, "limit")
    form = "%Y-%m-%d %H:%M:%S"
    found = between(rows, "changed", q["process_date_start"], q["process_date_end"], form, 31)
    page = int(q["page"])
    size = int(q["limit"])
    return Reply(shown(found)[page * size - size : page * size])


def skimlinks(asked: Asked, rows: Rows) -> Reply:
    if asked.path == "/access_token":
        said = json.loads(asked.body)
        need(
            said
            == {"grant_type": "client_credentials", "client_id": "me", "client_secret": "S-skim"},
            str(said),
        )
        return Reply({"access_token": "T1", "expiry_timestamp": 1})
    q = asked.query
    need(q.get("access_token") == "T1" and "authorization" not in asked.headers, "token")
    need(asked.path == "/publisher/1234/commission-report", asked.path)
    need(1 <= int(q["limit"]) <= 5000, "limit")
    form = "%Y-%m-%dT%H:%M:%S"
    found = shown(between(rows, "ordered", q["start_date"], q["end_date"], form, 366))
    at = int(q["offset"])
    pagination = {"has_next": at + 2 < len(found), "total_count": len(found), "offset": at}
    return Reply({"pagination": pagination, "commissions": found[at : at + 2]})


def webgains(asked: Asked, rows: Rows) -> Reply:
    need(asked.headers.get("authorization") == "Bearer T-wg", "bearer")
    need(asked.path == "/publishers/77/reports/transactions", asked.path)
    q = asked.query
    need(int(q["size"]) <= 250, "size")
    first, last = int(q["filters[start_date]"]), int(q["filters[end_date]"])
    need(0 < last - first <= 366 * 86400, "window")
    found = [
        row for row in rows if first <= datetime.fromisoformat(row["ordered"]).timestamp() < last
    ]
    page = int(q["page"])
    pages = max(1, (len(found) + 1) // 2)
    return Reply(
        {
            "data": shown(found)[page * 2 - 2 : page * 2],
            "pagination": {"current_page": page, "last_page": pages},
        }
    )


def aliexpress(asked: Asked, rows: Rows) -> Reply:
    need(asked.path == "/sync", asked.path)
    q = dict(asked.query)
    sign = q.pop("sign")
    text = "".join(name + q[name] for name in sorted(q))
    wanted = hmac.new(b"S-ali", text.encode(), hashlib.sha256).hexdigest().upper()
    need(sign == wanted and q["sign_method"] == "sha256", "sign")
    need(q["method"] == "aliexpress.affiliate.order.list", "method")
    need((q["app_key"], len(q["timestamp"])) == ("50001", 13), "app_key, timestamp")
    need(int(q["page_size"]) <= 50, "page_size")
    form = "%Y-%m-%d %H:%M:%S"
    found = between(rows, "ordered", q["start_time"], q["end_time"], form, 31, PACIFIC)
    found = [row for row in found if row["row"]["order_status"] == q["status"]]
    page = int(q["page_no"])
    result = {
        "current_page_no": page,
        "total_page_no": max(1, (len(found) + 1) // 2),
        "total_record_count": len(found),
        "orders": {"order": shown(found)[page * 2 - 2 : page * 2]},
    }
    answer = {"resp_result": {"resp_code": 200, "result": result}}
    return Reply({"aliexpress_affiliate_order_list_response": answer})


def cityads(asked: Asked, rows: Rows) -> Reply:
    head = "/api/rest/webmaster/json/orderstatistics/"
    need(asked.path.startswith(head), asked.path)
    begin, end = asked.path.removeprefix(head).split("/")
    q = asked.query
    need(q["remote_auth"] == "K-city" and q["date_type"] == "order_upload", str(q))
    found = between(rows, "ordered", begin, end, "%Y-%m-%d", 31, whole=True)
    at, size = int(q["start"]), int(q["limit"])
    data = {"total": len(found), "items": shown(found)[at * size : at * size + size]}
    return Reply({"status": 200, "error": None, "data": data})


def advcake(asked: Asked, rows: Rows) -> Reply:
    need(asked.path == "/export/webmaster/K-advcake", asked.path)
    q = asked.query
    kind = "update" if "update_from" in q else "date"
    keys(asked, f"{kind}_from", f"{kind}_to")
    by = {"update": "changed", "date": "ordered"}[kind]
    days = q[f"{kind}_from"], q[f"{kind}_to"]
    found = between(rows, by, *days, "%Y-%m-%d", 7, whole=True)
    items = "".join(
        "<item>" + "".join(f"<{k}>{escape(v)}</{k}>" for k, v in row.items()) + "</item>"
        for row in shown(found)
    )
    return Reply(f'<?xml version="1.0" encoding="UTF-8"?><items>{items}</items>'.encode())


def actionpay(asked: Asked, rows: Rows) -> Reply:
    need(asked.path.endswith("/apiWmStats/"), asked.path)
    q = asked.query
    need((q["key"], q["format"]) == ("K-ap", "json") and int(q["itemsPerPage"]) <= 200, str(q))
    found = between(rows, "ordered", q["from"], q["till"], "%Y-%m-%d", 7, whole=True)
    page, size = int(q["page"]), int(q["itemsPerPage"])
    return Reply({"result": {"actions": shown(found)[page * size - size : page * size]}})


def ebay(asked: Asked, rows: Rows) -> Reply:
    need(asked.headers.get("authorization") == basic("IRebay", "T-ebay"), "basic")
    need(
        asked.path == "/Mediapartners/IRebay/Reports/ebay_partner_transaction_detail.json",
        asked.path,
    )
    q = asked.query
    need((q["STATUS"], q["date_type"]) == ("ALL", "update_date"), str(q))
    found = between(
        rows, "changed", q["START_DATE"], q["END_DATE"], "%Y-%m-%d", 31, DENVER, whole=True
    )
    at = int(q.get("Page", "0"))
    more = f"{asked.path}?{urlencode({**q, 'Page': at + 1})}" if found[at * 2 + 2 :] else ""
    return Reply({"Records": shown(found)[at * 2 : at * 2 + 2], "@nextpageuri": more})


def daisycon(asked: Asked, rows: Rows) -> Reply:
    if asked.path == "/oauth/access-token":
        form = {k: v[0] for k, v in parse_qs(asked.body.decode()).items()}
        said = {
            "grant_type": "refresh_token",
            "client_id": "me",
            "client_secret": "S-daisy",
            "refresh_token": "R0",
            "redirect_uri": "https://login.daisycon.com/oauth/cli",
        }
        need(form == said, str(sorted(form)))
        return Reply({"access_token": "T1", "refresh_token": "R1", "expires_in": 1800})
    need(asked.headers.get("authorization") == "Bearer T1", "bearer")
    need(asked.path == "/publishers/777/transactions", asked.path)
    keys(asked, "date_modified_start", "date_modified_end", "currency_code", "page", "per_page")
    q = asked.query
    need(q["currency_code"] == "EUR" and int(q["per_page"]) <= 500, str(q))
    days = q["date_modified_start"], q["date_modified_end"]
    found = between(rows, "changed", *days, "%Y-%m-%d %H:%M:%S", 31, AMSTERDAM)
    page, size = int(q["page"]), int(q["per_page"])
    part = shown(found)[page * size - size : page * size]
    return Reply(part) if part else Reply(b"", 204)


def gdeslon(asked: Asked, rows: Rows) -> Reply:
    """By the FAQ: the days end with the date. Half of the orders stand where a client finds them: behind it."""
    need(asked.headers.get("authorization") == basic("9", "K-gs"), "basic")
    need((asked.method, asked.path, asked.query) == ("POST", "/api/orders/", {}), asked.path)
    need(asked.headers["content-type"] == "application/json", "type")
    ((by, said),) = json.loads(asked.body).items()
    need(by == "last_updated_at" and isinstance(said["period"], int), "filter")
    day = datetime.strptime(said["date"], "%Y-%m-%d").replace(tzinfo=MOSCOW)
    length = timedelta(days=said["period"])
    before = (day + timedelta(days=1) - length, day + timedelta(days=1))
    behind = (day, day + length)

    def there(row: dict[str, Any]) -> bool:
        begin, end = behind if row["row"]["gdeslon_order_id"] % 2 else before
        return begin <= datetime.fromisoformat(row["changed"]) < end

    return Reply(shown([row for row in rows if there(row)]))


def lomadee(asked: Asked, rows: Rows) -> Reply:
    need(asked.headers.get("x-api-key") == "K-lom", "x-api-key")
    need((asked.method, asked.path) == ("GET", "/affiliate/orders"), asked.path)
    keys(asked, "from", "to", "page", "limit")
    q = asked.query
    need(int(q["limit"]) <= 100, "limit")
    found = between(rows, "ordered", q["from"], q["to"], "%Y-%m-%d", 31, BRASILIA, whole=True)
    page = int(q["page"])
    meta = {"total": len(found), "page": page, "limit": 2, "totalPages": (len(found) + 1) // 2}
    return Reply({"data": shown(found)[page * 2 - 2 : page * 2], "meta": meta})


def tradetracker(asked: Asked, rows: Rows) -> Reply:
    """SOAP 1.1 as PHP's server writes it: types beside every value, `xsi:nil` for none."""
    need((asked.method, asked.path) == ("POST", "/soap/affiliate"), asked.path)
    need(asked.headers["content-type"] == "text/xml; charset=utf-8", "type")
    envelope = etree.fromstring(asked.body)
    need(etree.QName(envelope).namespace == SOAP_NS, "envelope")
    (call,) = envelope[0]
    name, ours = etree.QName(call).localname, "https://ws.tradetracker.com/soap/affiliate"
    need(etree.QName(call).namespace == ours, "namespace")
    need(asked.headers["soapaction"] == f"{ours}/{name}", "action")
    if name == "authenticate":
        said = {one.tag: one.text for one in call}
        if (said["customerID"], said["passphrase"]) != ("12345", "p&<'\"ss"):
            fault = "<faultcode>1</faultcode><faultstring>Authentication failed</faultstring>"
            return Reply(soap(f"<SOAP-ENV:Fault>{fault}</SOAP-ENV:Fault>"))
        day = "expires=Thu, 01-Jan-2037 00:00:00 GMT; path=/"
        cookies = (("Set-Cookie", f"PHPSESSID=s1; {day}"), ("Set-Cookie", "lb=2; HttpOnly"))
        return Reply(soap("<ns1:authenticateResponse/>"), headers=cookies)
    need(asked.headers.get("cookie") == "PHPSESSID=s1; lb=2", "cookie")
    need(name == "getConversionTransactions" and call[0].text == "777", name)
    q = {one.tag: one.text or "" for one in call[1]}
    days = q["registrationDateFrom"], q["registrationDateTo"]
    found = between(rows, "ordered", *days, "%Y-%m-%dT%H:%M:%S", 366, AMSTERDAM)
    at, size = int(q["offset"]), int(q["limit"])
    items = "".join(map(typed, shown(found)[at : at + size]))
    kind = f'SOAP-ENC:arrayType="ns1:ConversionTransaction[{len(found)}]"'
    return Reply(
        soap(
            f"<ns1:getConversionTransactionsResponse><conversionTransactions {kind}>{items}"
            "</conversionTransactions></ns1:getConversionTransactionsResponse>"
        )
    )


def typed(row: dict[str, Any], name: str = "item") -> str:
    """A row as SOAP writes it."""
    inner = "".join(
        typed(value, key)
        if isinstance(value, dict)
        else f'<{key} xsi:nil="true"/>'
        if value is None
        else f'<{key} xsi:type="xsd:string">{escape(value)}</{key}>'
        for key, value in row.items()
    )
    return f'<{name} xsi:type="ns1:{name.title()}">{inner}</{name}>'


def soap(body: str) -> bytes:
    names = {
        "SOAP-ENV": SOAP_NS,
        "SOAP-ENC": "http://schemas.xmlsoap.org/soap/encoding/",
        "xsi": "http://www.w3.org/2001/XMLSchema-instance",
        "xsd": "http://www.w3.org/2001/XMLSchema",
        "ns1": "https://ws.tradetracker.com/soap/affiliate",
    }
    spaces = " ".join(f'xmlns:{name}="{uri}"' for name, uri in names.items())
    head = f'<?xml version="1.0" encoding="UTF-8"?><SOAP-ENV:Envelope {spaces}><SOAP-ENV:Body>'
    return f"{head}{body}</SOAP-ENV:Body></SOAP-ENV:Envelope>".encode()


def flexoffers(asked: Asked, rows: Rows) -> Reply:
    need(asked.headers.get("apikey") == "K-flex", "apiKey")
    need(asked.path == "/allsales", asked.path)
    q = asked.query
    need(int(q["pageSize"]) <= 500, "pageSize")
    found = between(rows, "ordered", q["startDate"], q["endDate"], "%Y-%m-%d", 31, whole=True)
    page, size = int(q["page"]), int(q["pageSize"])
    return Reply({"sales": shown(found)[page * size - size : page * size]})


SERVERS: dict[str, Callable[[Asked, Rows], Reply]] = {
    each.__name__: each
    for each in (
        actionpay,
        admitad,
        advcake,
        aliexpress,
        awin,
        cityads,
        cj,
        daisycon,
        ebay,
        epn,
        flexoffers,
        gdeslon,
        impact,
        lomadee,
        partnerize,
        rakuten,
        skimlinks,
        tradedoubler,
        tradetracker,
        webgains,
    )
}
