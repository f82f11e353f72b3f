"""Asking a network for its sales: its report, stretch by stretch and page by page -> conversions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from lensback.errors import ConfigError, PostbackError
from lensback.net import Fetcher
from lensback.networks.asking import DAY_S, Asking, Reject, check_account
from lensback.networks.news import conversion, is_sale
from lensback.networks.shape import Network
from lensback.types import Conversion


def poll(
    network: Network,
    account: Mapping[str, str],
    fetcher: Fetcher,
    since: int,
    until: int,
    *,
    reject: Reject | None = None,
    keep: Path | None = None,
) -> Iterator[Conversion]:
    """What changed at a network from one UTC epoch second to another.

    `account` holds the ids and secrets that the network's file asks for; `api` in it replaces the
    network's address. A row that cannot be read goes to `reject`, or is raised where there is
    none. `keep` is a folder for tokens that are to outlive the process. Raises ConfigError for a
    key that is missing, PostbackError for an answer that is not what it should be, FetchError
    where the network does not answer.
    """
    form = network.poll
    if form is None:
        raise ConfigError(f"{network.title} has no report to read", hint="let it call /postback")
    check_account(network, form, account)
    if form.reach_days:
        since = max(since, int(time.time()) - form.reach_days * DAY_S)
    if (
        form.inclusive
    ):  # whole days are asked for: a window that began within one would have one more
        first = datetime.fromtimestamp(since, ZoneInfo(form.time_zone))
        since = int(first.replace(hour=0, minute=0, second=0).timestamp())
    asking = Asking(network, form, account, fetcher, keep)
    step = form.window_days * DAY_S
    for begin in range(since, until, step):
        # Two questions of one stretch may both bring a row.
        seen: set[Conversion] = set()
        odd: set[str] = set()
        rows = asking.rows(begin, min(begin + step, until))
        for row, currency in filter(lambda told: is_sale(form.news, told[0]), rows):
            try:
                told = conversion(network, form.news, row, currency)
            except PostbackError as error:
                if reject is None:
                    raise
                if (text := repr(row)) not in odd:
                    odd.add(text)
                    reject(error, row)
                continue
            if told not in seen:
                seen.add(told)
                yield told
