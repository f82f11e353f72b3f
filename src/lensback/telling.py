"""News of saved things to the operator's webhook, which mails them or pushes them to its users.

Each piece is told once it is answered with 2xx, else again after the next sync: whoever listens goes by its
`id`. Chats of the bot hear theirs from the bot.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from lensback import log, tokens
from lensback.catalogue import saved
from lensback.catalogue.saved import Reachable, ThingNews
from lensback.db import Database
from lensback.errors import FetchError, TooLarge
from lensback.net import Fetcher
from lensback.types import Tally

MOST = 100
"""Pieces of news in one request."""
MAX_REPLY = 64 << 10
SEND_S = 15.0
"""For one request with its retries."""
SIGNATURE = "Lensback-Signature"


def tell(
    db: Database,
    reachable: Reachable,
    fetcher: Fetcher,
    url: str,
    secret: str,
    public_url: str = "",
) -> Tally:
    """Tells users' news, oldest owners first. What cannot be told now is counted and told the next time: a
    webhook that is down stops nothing else."""
    begin, tally = time.perf_counter(), Tally("news")
    if not secret:
        tally.notes["hint"] = "not sent: set saved_webhook_secret, which signs them"
        return tally
    for news, known in saved.news(db, reachable, chats=False):
        try:
            for at in range(0, len(news), MOST):
                _post(fetcher, url, secret, news[at : at + MOST], public_url)
        except (FetchError, TooLarge) as error:
            tally.rejected[type(error).__name__] += len(news)
            tally.notes["hint"] = error.message[:300]
            log.event("webhook failed", 30, type=type(error).__name__, message=error.message)
            break
        saved.remember(db, known)
        tally.done += len(news)
    tally.seconds = time.perf_counter() - begin
    return tally


def _post(
    fetcher: Fetcher, url: str, secret: str, news: Sequence[ThingNews], public_url: str
) -> None:
    now = int(time.time())
    body = json.dumps({"sent_at": now, "news": [said(one, public_url) for one in news]})
    signed = f"t={now},v1={tokens.signature(secret, f'{now}.{body}')}"
    headers = {"Content-Type": "application/json", SIGNATURE: signed}
    fetcher.ask(url, max_bytes=MAX_REPLY, headers=headers, body=body.encode(), deadline_s=SEND_S)


def said(news: ThingNews, public_url: str = "") -> dict[str, Any]:
    """A piece of news as the webhook gets it."""
    thing, base = news.thing, public_url.rstrip("/")
    return {
        "id": news.id,
        "user": thing.owner,
        "kind": news.kind,
        "product_id": thing.product_id,
        "title": thing.title,
        "page": f"{base}/products/{thing.product_id}",
        "image": f"{base}/images/{thing.image}" if thing.image else "",
        "price": news.price.as_json(),
        "price_before": thing.told_price.as_json(),
        "language": thing.language,
        "saved_at": thing.saved_at,
    }
