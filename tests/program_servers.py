"""Networks' lists of programs as their documentation tells them: what a request must be, and the answer.

Each function is written from the source that its fixture names (`tests/networks/NAME/programs.json`), never
from our client. `held` is one round of the fixture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from network_servers import basic, epn_entry, keys, need
from standin import Asked, Reply

Held = dict[str, Any]
PAGE = 2
"""Rows of a page here, however many are asked for: a network may give fewer."""


def admitad(asked: Asked, held: Held) -> Reply:
    if asked.path == "/token/":
        need(asked.headers["authorization"] == basic("me", "S-admitad"), "basic")
        form = {k: v[0] for k, v in parse_qs(asked.body.decode()).items()}
        need(form["grant_type"] == "client_credentials", "grant")
        need(form["scope"] == "advcampaigns_for_website", "scope")
        return Reply({"access_token": "T2", "expires_in": 604800})
    need(asked.headers.get("authorization") == "Bearer T2", "bearer")
    need(asked.path == "/advcampaigns/website/22/", asked.path)
    keys(asked, "connection_status", "limit", "offset")
    need(asked.query["connection_status"] in {"active", "pending", "declined"}, "status")
    need(int(asked.query["limit"]) <= 500, "limit")
    wanted = asked.query["connection_status"]
    rows = [row for row in held["programs"] if row["connection_status"] == wanted]
    at = int(asked.query["offset"])
    page = rows[at : at + PAGE]
    return Reply({"results": page, "_meta": {"count": len(rows), "limit": PAGE, "offset": at}})


def awin(asked: Asked, held: Held) -> Reply:
    need(asked.headers.get("authorization") == "Bearer T-awin", "bearer")
    head, _, what = asked.path.rpartition("/")
    need(head == "/publishers/45628", asked.path)
    if what == "programmes":
        keys(asked, "relationship")
        known = {"joined", "pending", "suspended", "rejected", "notjoined"}
        need(asked.query["relationship"] in known, "relationship")
        mine = [p for p in held["programs"] if p["relationship"] == asked.query["relationship"]]
        return Reply([{k: v for k, v in p.items() if k != "relationship"} for p in mine])
    keys(asked, "advertiserId")
    key = asked.query["advertiserId"]
    joined = {str(p["id"]) for p in held["programs"] if p["relationship"] == "joined"}
    if key not in joined:
        return Reply({"error": "no active relationship"}, 403)
    if what == "commissiongroups":
        groups = held["groups"][key]
        return Reply({"advertiser": int(key), "publisher": 45628, "commissionGroups": groups})
    need(what == "programmedetails", what)
    return Reply(held["details"][key])


def epn(asked: Asked, held: Held) -> Reply:
    if entry := epn_entry(asked):
        return entry
    if asked.path == "/offers/list":
        q = asked.query
        need(bool(q.get("lang")) and q.get("viewRules") == "role_user", "lang, viewRules")
        need(
            set(q["statuses"].split(",")) <= {"active", "disabled", "waiting", "stopped"},
            "statuses",
        )
        need(int(q["limit"]) <= 500, "limit")
        at = int(q["offset"])
        shown = [
            {"id": row["id"], "attributes": {k: v for k, v in row["attributes"].items() if k in q["fields"].split(",")}}
            for row in held["programs"][at : at + PAGE]
        ]  # fmt: skip
        return Reply({"data": shown, "meta": {"count": len(held["programs"])}})
    key = asked.path.removeprefix("/offers/")
    row = next(row for row in held["programs"] if row["id"] == key)
    return Reply({"data": {"id": key, "attributes": {**row["attributes"], "rates": row["rates"]}}})


SERVERS: dict[str, Callable[[Asked, Held], Reply]] = {
    each.__name__: each for each in (admitad, awin, epn)
}
