"""A typed client of the HTTP API, for integrators.

    with Client("http://127.0.0.1:8000", key="pk_…") as lensback:
        answer = lensback.search(Path("photo.jpg").read_bytes(), in_stock=True)
        if answer.verdict == "exact":
            print(answer.hits[0].offers[0].price_after_cashback)

Failures are the errors of `lensback.errors`, by the type that the service names.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any
from urllib.parse import urljoin

import httpx

from lensback import errors
from lensback.errors import (
    BadQuery,
    Busy,
    DataError,
    Error,
    FetchError,
    FetchFailed,
    FetchTimeout,
    NotFound,
)
from lensback.types import Box, Money

TRIES = 4
MAX_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Offer:
    """One offer of a hit; `link` is absolute and records the click."""

    offer_id: str
    store: str
    title: str
    price: Money
    cashback: Money
    up_to: bool
    price_after_cashback: Money
    availability: str
    size: str
    link: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One product of an answer, with its offers."""

    product_id: str
    title: str
    brand: str
    similarity: float
    probability: float
    exact: bool
    image: str
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to one search, with the most used of its fields by name."""

    search_id: str
    verdict: str
    """exact, similar or none."""
    probability: float
    calibrated: bool
    region: Box
    hits: tuple[Hit, ...]
    json: Mapping[str, Any]
    """The whole answer as it came."""


class Client:
    """Owns a connection pool. Retries what is safe to retry where the service is busy."""

    def __init__(self, base_url: str, *, key: str = "", timeout_s: float = 30.0) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._base = base_url.rstrip("/") + "/"
        self._http = httpx.Client(base_url=self._base, headers=headers, timeout=timeout_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections to the service."""
        self._http.close()

    def search(
        self,
        photo: bytes,
        *,
        box: Box | None = None,
        limit: int = 12,
        stores: Sequence[str] = (),
        category: str = "",
        price_min: Decimal | str = "",
        price_max: Decimal | str = "",
        currency: str = "",
        color: str = "",
        in_stock: bool = False,
        again: str = "",
    ) -> Answer:
        """The thing in a photo. Raises what the service answers: BadImage, BadQuery, Busy …

        With `again`, the id of an earlier search of this photo, it is sent only where the service
        has forgotten it.
        """
        fields = {
            "box": ",".join(f"{value:g}" for value in box) if box else "",
            "limit": str(limit),
            "store": ",".join(stores),
            "category": category,
            "price_min": str(price_min),
            "price_max": str(price_max),
            "currency": currency,
            "color": color,
            "in_stock": "true" if in_stock else "",
        }
        said = {name: value for name, value in fields.items() if value}
        if again:
            parts = {name: (None, value) for name, value in {**said, "search_id": again}.items()}
            with suppress(NotFound):
                return self._answer(self._ask("POST", "api/search", files=parts))
        return self._answer(self._ask("POST", "api/search", files={"photo": photo}, data=said))

    def similar(self, offer_id: str, *, limit: int = 12) -> tuple[Hit, ...]:
        """Other products that look like an offer."""
        found = self._ask("GET", f"api/offers/{_id(offer_id)}/similar", params={"limit": limit})
        return tuple(self._hit(hit) for hit in found["hits"])

    def product(self, product_id: str) -> dict[str, Any]:
        """A product as the API gives it."""
        return self._ask("GET", f"api/products/{_id(product_id)}")

    def offer(self, offer_id: str) -> dict[str, Any]:
        """An offer with its price history, as the API gives it."""
        return self._ask("GET", f"api/offers/{_id(offer_id)}")

    def stores(self) -> list[dict[str, Any]]:
        """The connected stores, each with its name, title and number of offers."""
        found: list[dict[str, Any]] = self._ask("GET", "api/stores")["stores"]
        return found

    def vote(self, search_id: str, product_id: str, *, good: bool) -> None:
        """Says that a hit is what was looked for, or is not."""
        body = {"search_id": search_id, "product_id": product_id, "vote": "up" if good else "down"}
        self._ask("POST", "api/feedback", json=body)

    def _ask(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        """The JSON of the answer; busy or hurried services are asked again as they say."""
        for left in reversed(range(TRIES)):
            with _translated(self._base + path):
                response = self._http.request(method, path, **what)
            if response.status_code not in {429, 503} or not left:
                break
            wait = response.headers.get("retry-after", "1")
            time.sleep(min(float(wait) if wait.isdigit() else 1.0, MAX_WAIT_S))
        if response.is_success:
            return _json(response)
        raise _failure(response)

    def _answer(self, found: Mapping[str, Any]) -> Answer:
        x0, y0, x1, y1 = found["region"]
        return Answer(
            search_id=found["search_id"],
            verdict=found["verdict"],
            probability=found["probability"],
            calibrated=found["calibrated"],
            region=(x0, y0, x1, y1),
            hits=tuple(self._hit(hit) for hit in found["hits"]),
            json=found,
        )

    def _hit(self, hit: Mapping[str, Any]) -> Hit:
        return Hit(
            product_id=hit["product_id"],
            title=hit["title"],
            brand=hit["brand"],
            similarity=hit["similarity"],
            probability=hit["probability"],
            exact=hit["exact"],
            image=urljoin(self._base, hit["image"].lstrip("/")),
            offers=tuple(self._offer(offer) for offer in hit["offers"]),
        )

    def _offer(self, offer: Mapping[str, Any]) -> Offer:
        return Offer(
            offer_id=offer["offer_id"],
            store=offer["store"],
            title=offer["title"],
            price=_money(offer["price"]),
            cashback=_money(offer["cashback"]),
            up_to=offer["cashback"]["up_to"],
            price_after_cashback=_money(offer["price_after_cashback"]),
            availability=offer["availability"],
            size=offer["size"],
            link=urljoin(self._base, offer["link"].lstrip("/")),
        )


def _money(amount: Mapping[str, str]) -> Money:
    return Money.of(Decimal(amount["amount"]), amount["currency"])


def _id(text: str) -> str:
    """Ids are letters and digits; anything else would be another route."""
    if not (text.isascii() and text.isalnum()):
        raise BadQuery(f"not an id: {text[:64]!r}", hint="take ids from an answer")
    return text


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        found: dict[str, Any] = response.json() if response.content else {}
    except ValueError as error:
        raise DataError(
            "the answer is not JSON", hint="check the address of the service"
        ) from error
    return found


def _failure(response: httpx.Response) -> Error:
    """The service's error as ours; one that this client does not know becomes its nearest kin."""
    try:
        said = response.json()["error"]
        name, message, hint = str(said["type"]), str(said["message"]), str(said["hint"])
    except (ValueError, KeyError, TypeError):
        return DataError(
            f"status {response.status_code} without a reason", hint="check the address"
        )
    if response.status_code == 429:
        return Busy(message, hint=hint)
    kind = getattr(errors, name, Error)
    known = isinstance(kind, type) and issubclass(kind, Error) and kind.__init__ is Error.__init__
    return (kind if known else Error)(message, hint=hint)


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise FetchTimeout("the service took too long", url=url, retry=True) from error
    except httpx.TransportError as error:
        hint = "check the address, and that the service runs"
        raise FetchFailed(
            "the service cannot be reached", url=url, retry=True, hint=hint
        ) from error


__all__ = ["Answer", "Client", "FetchError", "Hit", "Offer"]
