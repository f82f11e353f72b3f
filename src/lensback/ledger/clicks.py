"""What is recorded of a search, a click, a vote and a network's news: bodies for the journal.

Plain JSON on purpose: the journal is written where the database may be locked, and read later,
maybe by a later program. No photo and nothing of a person but the host's opaque token.
"""

from __future__ import annotations

import base64
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lensback.errors import BadQuery
from lensback.ledger.shown import HASH_CHARS
from lensback.types import Box, Conversion, Money, StoredOffer, Vectors
from lensback.wire import Answer

ALPHABET = string.digits + string.ascii_letters
CLICK_ID_LENGTH = 22
"""62**22 is 2**131: nobody guesses one. Shorter than every network's limit."""
MAX_OFFERS = 40
"""Offers of one hit that a search's record names."""

USER_TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,128}")
SEARCH_ID = re.compile(r"[0-9a-zA-Z_-]{8,32}")


def new_click_id() -> str:
    """Opaque, base62, unguessable: says nothing of the person, the offer or the hour."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CLICK_ID_LENGTH))


def checked_user(token: str) -> str:
    """The host service's token, or "". Raises BadQuery for what cannot be one."""
    if token and not USER_TOKEN.fullmatch(token):
        raise BadQuery("not a user token", hint="8 to 128 letters, digits, or . _ ~ -")
    return token


def click_body(
    click_id: str,
    stored: StoredOffer,
    *,
    at: int,
    source: str,
    search_id: str = "",
    user_token: str = "",
    network: str = "",
    program_id: str = "",
    terms: Mapping[str, Any] | None = None,
    estimate: Money | None = None,
) -> dict[str, Any]:
    """One click: the offer, the search it came from, and the terms as they stood then."""
    price = stored.offer.price
    promised = None
    if estimate is not None and estimate.currency == price.currency:
        promised = estimate.minor
    return {
        "click_id": click_id,
        "at": at,
        "source": source,
        "offer_id": stored.offer_id,
        "product_id": stored.product_id or "",
        "store": stored.store,
        "search_id": search_id if SEARCH_ID.fullmatch(search_id) else "",
        "network": network,
        "program_id": program_id,
        "terms": dict(terms or {}),
        "price_minor": price.minor,
        "currency": price.currency,
        "estimate_minor": promised,
        "user_token": checked_user(user_token),
    }


def search_body(
    answer: Answer,
    *,
    at: int,
    source: str,
    filters: Mapping[str, Any] | None = None,
    photo: Mapping[str, Any] | None = None,
    variant: str = "",
) -> dict[str, Any]:
    """One search: what was shown, in which order, and how sure we were. No photo."""
    x0, y0, x1, y1 = answer.region
    return {
        "search_id": answer.search_id,
        "at": at,
        "source": source,
        "encoder": answer.encoder,
        "snapshot": answer.snapshot,
        "verdict": answer.verdict,
        "probability": answer.probability,
        "similarity": answer.hits[0].similarity if answer.hits else None,
        "latency_ms": float(answer.timings_ms.get("total", 0.0)),
        "shown": len(answer.hits),
        "hits": [
            [
                hit.product_id,
                [offer.offer_id for offer in hit.offers[:MAX_OFFERS]],
                rank,
                round(hit.probability, 4),
                hit.exact,
                hit.image_hash[:HASH_CHARS],
            ]
            for rank, hit in enumerate(answer.hits, 1)
        ],
        "filters": dict(filters or {}),
        "photo": {
            "width": answer.photo.width,
            "height": answer.photo.height,
            "region_share": round((x1 - x0) * (y1 - y0), 4),
            "calibrated": answer.calibrated,
            "nothing": answer.nothing_to_search,
            "left_out": answer.left_out,
            "regions": len(answer.regions),
            "total": answer.total,
            "region": _rounded(answer.region),
            "things": [
                [*_rounded(one.box), one.label, round(one.score, 4)] for one in answer.regions
            ],
            **(photo or {}),
        },
        "variant": variant,
    }


def _rounded(box: Box) -> list[float]:
    return [round(value, 4) for value in box]


def feedback_body(
    search_id: str, product_id: str, vote: int, at: int, voter: str = ""
) -> dict[str, Any]:
    """One vote: 1 for "this is it", -1 for "it is not"; the latest counts. `voter` is the keyed digest of a
    member's token (`grants.owner_of`), empty for everybody else."""
    known = {"voter": voter} if voter else {}
    return {"search_id": search_id, "product_id": product_id, "vote": vote, "at": at, **known}


def vectors_body(search_id: str, at: int, fingerprint: str, vectors: Vectors) -> dict[str, Any]:
    """The vectors [n, dim] of what one search compared, in half precision."""
    halves = base64.b64encode(vectors.astype("<f2").tobytes()).decode()
    dim = int(vectors.shape[1])
    return {
        "search_id": search_id,
        "at": at,
        "fingerprint": fingerprint,
        "dim": dim,
        "halves": halves,
    }


def news_body(news: Conversion, *, at: int, source: str) -> dict[str, Any]:
    """A network's news, on its way to the ledger."""
    return {"at": at, "source": source, "news": asdict(news)}


def news_of(body: Mapping[str, Any]) -> Conversion:
    """The news of `news_body`."""
    values = dict(body["news"])
    for name in ("commission", "order_value"):
        values[name] = Money(**values[name]) if values[name] else None
    return Conversion(**values)
