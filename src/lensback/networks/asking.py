"""One account at a network: its questions, page by page, with token, signature and pauses.

The dialects are data (`[poll]` and `[programs]` of a network's file); this is the one client that speaks
them.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from lensback.errors import ConfigError, FetchFailed, PostbackError
from lensback.net import Fetcher
from lensback.networks.answers import Row, each_of, rows_of, values_of
from lensback.networks.news import picked
from lensback.networks.oauth import WRITTEN, TokenFile, Tokens, basic, cookies_of, filled
from lensback.networks.shape import Network, PollForm
from lensback.networks.signing import signature

DAY_S = 86_400
MINUTE_S = 60.0
MAX_PAGES = 10_000
MAX_BYTES = 64 << 20
KINDS = {"json": "application/json", "xml": "text/xml; charset=utf-8"}
NOTHING = 204
"""Status of an answer that there is nothing to tell."""
DEADLINE_S = 600.0
"""Longest time for one page, pauses that the network asks for included."""

Reject = Callable[[PostbackError, Row], None]
"""Takes what is wrong with a row, and the row."""


@dataclass(slots=True)
class _State:
    """What lasts from one question to the next: the token, and when we asked."""

    tokens: Tokens | None = None
    asked: deque[float] = field(default_factory=deque)


_states: WeakKeyDictionary[Fetcher, dict[tuple[str, str], _State]] = WeakKeyDictionary()


def check_account(network: Network, form: PollForm, account: Mapping[str, str]) -> None:
    """Raises ConfigError for a key that a question needs and the account lacks."""
    ready = bool(form.token and account.get("token"))
    for key in () if ready else form.account:
        if not account.get(key):
            name = f"LENSBACK_NETWORK_{network.name}_{key}".upper().replace("-", "_")
            raise ConfigError(
                f"the account of {network.title} has no {key!r}",
                hint=f"put it under [{network.name}] into networks.toml, or into {name}",
            )


class Asking:
    """One account at one network, asked as `form` says."""

    def __init__(
        self,
        network: Network,
        form: PollForm,
        account: Mapping[str, str],
        fetcher: Fetcher,
        keep: Path | None,
    ) -> None:
        self._network, self._form, self._fetcher = network, form, fetcher
        self._headers: Mapping[str, str] = {}
        api = account.get("api", form.api).rstrip("/")
        self._values = {"currency": form.news.currency, **account, "api": api}
        key = (network.name, repr((sorted(account.items()), form.token)))
        self._state = _states.setdefault(fetcher, {}).setdefault(key, _State())
        if form.token and form.token.body:
            self._state.tokens = None
        if form.token and not account.get("token") and self._state.tokens is None:
            wanted = keep is not None and form.token.keep
            file = TokenFile(keep, network.name, account) if keep and wanted else None
            self._state.tokens = Tokens(network.title, form.token, self._values, self._token, file)

    def rows(self, since: int, until: int) -> Iterator[tuple[Row, str]]:
        """The rows of one stretch, each with the currency of its answer ("" where none)."""
        form = self._form
        for more in form.queries or ({},):
            bodies = (
                self._graphql(since, until)
                if form.client == "graphql"
                else self._pages(since, until, more)
            )
            for body, rows in bodies:
                found = picked(body, form.currency_at) if form.currency_at else ""
                currency = found if isinstance(found, str) else ""
                for row in each_of(rows, form.each):
                    yield row, currency

    def listed(self) -> Iterator[Row]:
        """The rows of a list that has no dates, each with the parameters that it came by as
        `asked`."""
        now = int(time.time())
        for more in self._form.queries or ({},):
            for _, rows in self._pages(now, now, more):
                for row in rows:
                    yield {**row, "asked": more}

    def one(self, path: str, values: Mapping[str, str]) -> Any:
        """The answer to one question below the network's address."""
        filled_path = filled(path, {**self._values, **values}, lambda text: quote(text, safe=""))
        return self._asked(self._values["api"] + filled_path)

    def _pages(
        self, since: int, until: int, more: Mapping[str, str]
    ) -> Iterator[tuple[Any, list[Row]]]:
        """Page by page, the answer and its rows."""
        url, query = self._question(since, until, more)
        paging, names = self._form.paging, self._form.page
        number, at = int(names.get("first", 1)), 0
        seen: set[str] = set()
        before: list[Row] = []
        for _ in range(MAX_PAGES):
            if paging in {"offset", "page"}:
                query[str(names[paging])] = str(at if paging == "offset" else number)
            body = (
                self._asked(url, self._posted(query))
                if self._form.body
                else self._asked(self._address(url, query))
            )
            rows = self._rows(body)
            if rows and rows == before:
                if paging != self._form.paging:  # the offset is ignored: that page was all
                    return
                raise self._repeats()
            yield body, rows
            before, at, number = rows, at + len(rows), number + 1
            if "offset" in names and paging == "cursor" and not seen and not self._cursor(body):
                paging = "offset"  # no cursor is told: by number, then, as elsewhere
            place = self._place(paging, body, len(rows), at, number)
            if paging == "next":
                url, query = place, {}
            elif paging == "cursor":
                query[str(names["param"])] = place
            if not place:
                return
            if place in seen:
                raise self._repeats()
            seen.add(place)
        raise PostbackError(f"{self._network.title} never ends its report", hint="ask for less")

    def _place(self, paging: str, body: Any, rows: int, at: int, number: int) -> str:
        """What names the next page, "" where there is none."""
        if paging == "next":
            return self._next(body)
        if paging == "cursor":
            return self._cursor(body) if rows else ""
        return "" if self._last(body, rows, at, number - 1) else f"{number}:{at}"

    def _cursor(self, body: Any) -> str:
        """Where the next page begins: told in a header, in the body, or in the link to that page;
        "" at the end."""
        names = self._form.page
        link = picked(body, str(names.get("next", "")))
        linked = dict(parse_qsl(urlsplit(str(link or "")).query)).get(str(names["param"]))
        header = self._headers.get(str(names.get("header", "")).lower())
        return str(header or picked(body, str(names.get("cursor", ""))) or linked or "")

    def _last(self, body: Any, rows: int, at: int, number: int) -> bool:
        """Counted by what came, not by what was asked: a network may give smaller pages."""
        names = self._form.page
        if self._form.paging == "none" or rows == 0:
            return True
        if "more" in names:
            more = picked(body, str(names["more"]))
            if isinstance(more, bool | int):
                return not more
        pages = picked(body, str(names.get("pages", "")))
        if isinstance(pages, int | str) and str(pages).isdecimal():
            return number >= int(str(pages)[:18])
        total = picked(body, str(names.get("total", "")))
        if isinstance(total, str) and total.isdecimal():
            total = int(total[:18])
        if isinstance(total, int) and not isinstance(total, bool):
            return at >= total
        return rows < int(names.get("size", 0))

    def _next(self, body: Any) -> str:
        """Address of the next page, "" at the end; it must lie where the first one lay."""
        found = picked(body, str(self._form.page["next"]))
        if not found:
            return ""
        api = self._values["api"]
        url = urljoin(f"{api}/", str(found))
        if urlsplit(url)[:2] != urlsplit(api)[:2]:
            raise PostbackError(
                f"{self._network.title} sends us to another host for the next page",
                hint="its keys are not sent there; ask the network",
            )
        return url

    def _graphql(self, since: int, until: int) -> Iterator[tuple[Any, list[Row]]]:
        """By cursor, the answer and its rows."""
        url, cursor = self._question(since, until, {})[0], None
        for _ in range(MAX_PAGES):
            variables = {
                "publishers": [self._values["publisher"]],
                "since": self._time(since),
                "until": self._time(until),
                "after": cursor,
            }
            question = {"query": self._form.graphql, "variables": variables}
            body = self._asked(url, json.dumps(question).encode())
            yield body, self._rows(body)
            before, cursor = cursor, picked(body, str(self._form.page["cursor"]))
            if picked(body, str(self._form.page["complete"])) in (True, None):
                return
            if not cursor or cursor == before:
                raise self._repeats()
        raise PostbackError(f"{self._network.title} never ends its report", hint="ask for less")

    def _repeats(self) -> PostbackError:
        return PostbackError(f"{self._network.title} repeats a page", hint="try again later")

    def _question(
        self, since: int, until: int, more: Mapping[str, str]
    ) -> tuple[str, dict[str, str]]:
        last = until - 1 if self._form.inclusive else until
        now = self._time(int(time.time()), self._form.now_format)
        times = {
            "since": self._time(since),
            "until": self._time(last),
            "now": now,
            "days": str(max(1, -(-(int(time.time()) - since) // DAY_S))),
            "span": str(max(1, -(-(until - since) // DAY_S))),
        }
        values = {**self._values, **times}
        path = filled(self._form.path, values, lambda text: quote(text, safe=""))
        query = {k: filled(v, values) for k, v in {**self._form.query, **more}.items()}
        page = self._form.page
        if "limit" in page:
            query[str(page["limit"])] = str(page["size"])
        if self._form.body:
            query = {**values, **query}
        return self._values["api"] + path, query

    def _posted(self, values: Mapping[str, str]) -> bytes:
        """The body of a question, with values that cannot leave their place in it."""
        return filled(self._form.body, values, WRITTEN[self._form.answer]).encode()

    def _time(self, epoch: int, form: str = "") -> str:
        form = form or self._form.time_format
        if form.startswith("epoch"):
            return str(epoch * (1000 if form == "epoch_ms" else 1))
        return datetime.fromtimestamp(epoch, ZoneInfo(self._form.time_zone)).strftime(form)

    def _address(self, url: str, query: Mapping[str, str]) -> str:
        """The question's address, signed where the network wants that in a parameter."""
        sign = self._form.sign
        said = {k: v for k, v in query.items() if v}
        if sign and not sign.header:
            said[sign.param] = signature(sign, said, self._values[sign.key])
        return f"{url}?{urlencode(said)}" if said else url

    def _rows(self, body: Any) -> list[Row]:
        self._check(body)
        if body is None:
            return []
        return rows_of(body, self._form.items, self._form.answer, self._network.title)

    def _check(self, body: Any) -> None:
        """Raises PostbackError where an answer says that something is wrong."""
        form, title = self._form, self._network.title
        wrong = picked(body, "errors" if form.client == "graphql" else form.error_at)
        if (form.error_at or form.client == "graphql") and wrong:
            said = picked(wrong, "0.message") or wrong
            raise PostbackError(
                f"{title}: {str(said)[:200]}",
                hint="check the account and [poll] of the network's file",
            )

    def _asked(self, url: str, body: bytes | None = None) -> Any:
        """One page as values. A token that ran out is renewed once."""
        try:
            return self._sent(url, body)
        except FetchFailed as error:
            if error.status != 401 or self._state.tokens is None:
                raise
            self._state.tokens.renew()
        return self._sent(url, body)

    def _sent(self, url: str, body: bytes | None) -> Any:
        kind = self._form.answer
        headers = {"Accept": f"application/{kind}"}
        token = self._state.tokens.access() if self._state.tokens else self._values.get("token", "")
        values = {**self._values, "token": token}
        headers |= {k: filled(v, values) for k, v in self._form.headers.items()}
        if self._form.token and self._form.token.param:
            pair = urlencode({self._form.token.param: token})
            url = f"{url}{'&' if urlsplit(url).query else '?'}{pair}"
        sign = self._form.sign
        if sign and sign.header:
            query = dict(pair.split("=", 1) for pair in urlsplit(url).query.split("&") if pair)
            headers[sign.param] = signature(sign, query, self._values[sign.key])
        if self._form.basic:
            headers["Authorization"] = basic(*(self._values[key] for key in self._form.basic))
        if body is not None:
            headers["Content-Type"] = KINDS[kind]
        return self._answer(url, body, headers, kind)

    def _token(self, url: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        if not (self._form.token and self._form.token.body):
            return self._answer(url, body, headers, "json")
        self._check(self._answer(url, body, {**headers, "Content-Type": KINDS["xml"]}, "xml"))
        return {self._form.token.at: cookies_of(self._headers.get("set-cookie", ""))}

    def _answer(self, url: str, body: bytes | None, headers: Mapping[str, str], kind: str) -> Any:
        self._wait()
        fetched = self._fetcher.ask(
            url, body=body, headers=headers, max_bytes=MAX_BYTES, deadline_s=DEADLINE_S
        )
        self._headers = fetched.headers
        if fetched.status == NOTHING:
            return None
        return values_of(fetched.body, kind, self._network.title)

    def _wait(self) -> None:
        """Keeps to so many questions a minute."""
        asked, limit = self._state.asked, self._form.per_minute
        now = time.monotonic()
        while asked and now - asked[0] >= MINUTE_S:
            asked.popleft()
        if limit and len(asked) >= limit:
            self._fetcher.halt.wait(MINUTE_S - (now - asked[0]))
            asked.popleft()
        asked.append(time.monotonic())
