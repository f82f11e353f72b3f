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
from decimal import Decimal
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urljoin

import httpx
from pydantic import PrivateAttr, ValidationError

from lensback import errors, wire
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
from lensback.types import Box
from lensback.wire import Hit, Offer
from lensback.wire.numbers import Body

TRIES = 4
MAX_WAIT_S = 30.0

B = TypeVar("B", bound=Body)


class Answer(wire.Answer):
    """An answer as the service gives it, addresses absolute."""

    _json: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def json(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The whole answer as it came."""
        return self._json

    def keeping(self, body: Mapping[str, Any]) -> Answer:
        """This answer, with the JSON that it came as in `json`."""
        self._json = body
        return self


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
        photo: bytes = b"",
        *,
        words: str = "",
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
        """The thing in a photo, or what `words` name: of what looks like the photo, or alone. Raises what the service answers: BadImage, BadQuery, Busy …

        With `again`, the id of an earlier search of this photo, it is sent only where the service
        has forgotten it.
        """
        fields = {
            "q": words,
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
        if not photo:
            alone = {name: (None, value) for name, value in said.items()}
            return self._answer(self._ask("POST", "api/search", files=alone))
        return self._answer(self._ask("POST", "api/search", files={"photo": photo}, data=said))

    def similar(self, offer_id: str, *, limit: int = 12) -> tuple[Hit, ...]:
        """Other products that look like an offer."""
        found = self._ask("GET", f"api/offers/{_id(offer_id)}/similar", params={"limit": limit})
        return self._absolute(_read(wire.Similar, found).hits)

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

    def _answer(self, body: Mapping[str, Any]) -> Answer:
        answer = _read(Answer, body)
        whole = answer.model_copy(update={"hits": self._absolute(answer.hits)})
        return whole.keeping(body)

    def _absolute(self, hits: Sequence[Hit]) -> tuple[Hit, ...]:
        """The hits with addresses that anybody can open."""
        return tuple(
            hit.model_copy(
                update={
                    "image": self._address(hit.image),
                    "offers": tuple(
                        offer.model_copy(update={"link": self._address(offer.link)})
                        for offer in hit.offers
                    ),
                }
            )
            for hit in hits
        )

    def _address(self, path: str) -> str:
        return urljoin(self._base, path.lstrip("/"))


def _read(kind: type[B], body: Mapping[str, Any]) -> B:
    """A body of the service. What a later service adds is passed over. Raises DataError."""
    try:
        return kind.model_validate(body, extra="ignore")
    except ValidationError as error:
        raise DataError(
            "the answer is not what this client knows", hint="update lensback"
        ) from error


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
