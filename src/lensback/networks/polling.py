"""Asking a network for its sales: its report, stretch by stretch and page by page -> conversions.

The dialects are data (`[poll]` of a network's file); this is the one client that speaks them.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit
from weakref import WeakKeyDictionary

from lensback.errors import ConfigError, FetchFailed, PostbackError
from lensback.net import Fetcher
from lensback.networks.news import conversion, picked
from lensback.networks.shape import Network, PollForm
from lensback.types import Conversion

DAY_S = 86_400
MINUTE_S = 60.0
MAX_PAGES = 10_000
MAX_BYTES = 64 << 20
DEADLINE_S = 600.0
"""Longest time for one page, pauses that the network asks for included."""
_NAME = re.compile(r"{(\w+)}")

Reject = Callable[[PostbackError], None]


@dataclass(slots=True)
class _State:
    """What lasts from one question to the next: the token, and when we asked."""

    token: str = ""
    asked: deque[float] = field(default_factory=deque)


_states: WeakKeyDictionary[Fetcher, dict[tuple[str, str], _State]] = WeakKeyDictionary()


def poll(
    network: Network,
    account: Mapping[str, str],
    fetcher: Fetcher,
    since: int,
    until: int,
    *,
    reject: Reject | None = None,
) -> Iterator[Conversion]:
    """What changed at a network from one UTC epoch second to another.

    `account` holds the ids and secrets that the network's file asks for; `api` in it replaces the
    network's address. A row that cannot be read goes to `reject`, or is raised where there is
    none. Raises ConfigError for a key that is missing, PostbackError for an answer that is not
    what it should be, FetchError where the network does not answer.
    """
    form = network.poll
    if form is None:
        raise ConfigError(f"{network.title} has no report to read", hint="let it call /postback")
    _check_account(network, form, account)
    if form.reach_days:
        since = max(since, int(time.time()) - form.reach_days * DAY_S)
    asking = _Asking(network, form, account, fetcher)
    rows = asking.graphql if form.client == "graphql" else asking.pages
    step = form.window_days * DAY_S
    for begin in range(since, until, step):
        for row in rows(begin, min(begin + step, until)):
            try:
                yield conversion(network, form.news, row)
            except PostbackError as error:
                if reject is None:
                    raise
                reject(error)


def _check_account(network: Network, form: PollForm, account: Mapping[str, str]) -> None:
    ready = bool(form.token and account.get("token"))
    for key in () if ready else form.account:
        if not account.get(key):
            name = f"LENSBACK_NETWORK_{network.name}_{key}".upper().replace("-", "_")
            raise ConfigError(
                f"the account of {network.title} has no {key!r}",
                hint=f"put it under [{network.name}] into networks.toml, or into {name}",
            )


class _Asking:
    """One account at one network."""

    def __init__(
        self, network: Network, form: PollForm, account: Mapping[str, str], fetcher: Fetcher
    ) -> None:
        self._network = network
        self._form = form
        self._fetcher = fetcher
        api = account.get("api", form.api).rstrip("/")
        self._values = {"currency": form.news.currency, **form.token, **account, "api": api}
        key = (network.name, repr(sorted(account.items())))
        self._state = _states.setdefault(fetcher, {}).setdefault(key, _State())

    def pages(self, since: int, until: int) -> Iterator[Mapping[str, Any]]:
        """The rows of one stretch, page by page."""
        url, query = self._question(since, until)
        names = self._form.page
        size, at = int(names.get("size", 0)), 0
        seen: set[str] = set()
        before: list[Mapping[str, Any]] = []
        for number in range(1, MAX_PAGES + 1):
            paged = dict(query)
            if self._form.paging in {"offset", "page"}:
                paged[str(names["limit"])] = str(size)
                where = at if self._form.paging == "offset" else number
                paged[str(names[self._form.paging])] = str(where)
            body = self._asked(f"{url}?{urlencode(paged)}" if paged else url)
            rows = self._rows(body)
            if rows and rows == before:
                raise self._repeats()
            yield from rows
            before, at = rows, at + len(rows)
            if self._form.paging == "next":
                url, query = self._next(body), {}
                if not url:
                    return
                if url in seen:
                    raise self._repeats()
                seen.add(url)
            elif self._last(body, len(rows), size, at):
                return
        raise PostbackError(f"{self._network.title} never ends its report", hint="ask for less")

    def _last(self, body: Any, rows: int, size: int, at: int) -> bool:
        """Counted by what came, not by what was asked: a network may give smaller pages."""
        if self._form.paging == "none" or rows == 0:
            return True
        total = picked(body, str(self._form.page.get("total", "")))
        if isinstance(total, int) and not isinstance(total, bool):
            return at >= total
        return rows < size

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

    def graphql(self, since: int, until: int) -> Iterator[Mapping[str, Any]]:
        """The rows of one stretch, by cursor."""
        url, cursor = self._question(since, until)[0], None
        for _ in range(MAX_PAGES):
            variables = {
                "publishers": [self._values["publisher"]],
                "since": self._time(since),
                "until": self._time(until),
                "after": cursor,
            }
            question = {"query": self._form.graphql, "variables": variables}
            body = self._asked(url, json.dumps(question).encode())
            if told := picked(body, "errors"):
                raise PostbackError(
                    f"{self._network.title}: {str(picked(told, '0.message') or told)[:200]}",
                    hint="check the account and [poll] of the network's file",
                )
            yield from self._rows(body)
            before, cursor = cursor, picked(body, str(self._form.page["cursor"]))
            if picked(body, str(self._form.page["complete"])) in (True, None):
                return
            if not cursor or cursor == before:
                raise self._repeats()
        raise PostbackError(f"{self._network.title} never ends its report", hint="ask for less")

    def _repeats(self) -> PostbackError:
        return PostbackError(f"{self._network.title} repeats a page", hint="try again later")

    def _question(self, since: int, until: int) -> tuple[str, dict[str, str]]:
        times = {"since": self._time(since), "until": self._time(until)}
        path = self._filled(self._form.path, times, lambda text: quote(text, safe=""))
        query = {k: self._filled(v, times) for k, v in self._form.query.items()}
        return self._values["api"] + path, query

    def _time(self, epoch: int) -> str:
        return datetime.fromtimestamp(epoch, UTC).strftime(self._form.time_format)

    def _filled(
        self, text: str, more: Mapping[str, str], encode: Callable[[str], str] = str
    ) -> str:
        values = {**self._values, **more}
        return _NAME.sub(lambda match: encode(values.get(match[1], "")), text)

    def _rows(self, body: Any) -> list[Mapping[str, Any]]:
        rows = picked(body, self._form.items) if self._form.items else body
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            where = self._form.items or "the top"
            raise PostbackError(
                f"{self._network.title}'s answer has no list at {where}",
                hint=f"it says: {json.dumps(body, default=str)[:200]}",
            )
        return rows

    def _asked(self, url: str, body: bytes | None = None) -> Any:
        """One page as JSON. A token that ran out is renewed once."""
        try:
            return self._sent(url, body)
        except FetchFailed as error:
            if error.status != 401 or not self._form.token or self._values.get("token"):
                raise
            self._state.token = ""
        return self._sent(url, body)

    def _sent(self, url: str, body: bytes | None) -> Any:
        headers = {"Accept": "application/json"}
        if self._form.token and not self._values.get("token") and not self._state.token:
            self._state.token = self._new_token()
        token = {"token": self._values.get("token") or self._state.token}
        headers |= {k: self._filled(v, token) for k, v in self._form.headers.items()}
        if self._form.basic:
            headers["Authorization"] = _basic(*(self._values[key] for key in self._form.basic))
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self._json(url, body, headers)

    def _new_token(self) -> str:
        """OAuth 2 (RFC 6749, 4.3 and 4.4), as the network's file says."""
        form, values = self._form.token, self._values
        url = self._filled(form["url"], {})
        said = {"grant_type": form["grant"], "client_id": values["client_id"]}
        said |= {key: values[key] for key in ("username", "password") if key in self._form.account}
        if form.get("scope"):
            said["scope"] = form["scope"]
        headers = {"Accept": "application/json"}
        if form["auth"] == "basic":
            headers["Authorization"] = _basic(values["client_id"], values["client_secret"])
        else:
            said["client_secret"] = values["client_secret"]
        as_json = form["auth"] == "json"
        kind = "application/json" if as_json else "application/x-www-form-urlencoded"
        body = json.dumps(said) if as_json else urlencode(said)
        answer = self._json(url, body.encode(), {**headers, "Content-Type": kind})
        token = picked(answer, form["at"])
        if not isinstance(token, str) or not token:
            raise PostbackError(f"{self._network.title} gave no token", hint="check the account")
        return token

    def _json(self, url: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        self._wait()
        fetched = self._fetcher.ask(
            url, body=body, headers=headers, max_bytes=MAX_BYTES, deadline_s=DEADLINE_S
        )
        try:
            # Amounts stay what was written: a float would lose the last cent.
            return json.loads(fetched.body, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise PostbackError(
                f"{self._network.title} did not answer with JSON",
                hint="try again later; if it stays so, its [poll] has changed",
            ) from error

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


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
