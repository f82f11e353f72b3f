"""Bodies of 64 KiB that unpack to more than they weigh: calls of a stranger's that read JSON or forms."""

from __future__ import annotations

import contextlib
import json
import tracemalloc

import pytest

from effort import within
from lensback.errors import BadQuery
from lensback.web import forms
from lensback.web.postbacks import MAX_BYTES

NAMES = [f"{n:x}" for n in range(7000)]
BOMBS = {
    "one name twice, at the end": "{" + ",".join(f'"{n}":1' for n in (*NAMES, NAMES[-1])) + "}",
    "a long name of a long list": json.dumps({"n" * 30_000: [1] * 11_000}),
    "long names of lists in lists": json.dumps({"n" * 150: [[[[[1] * 30] * 10] * 10] * 5]}),
    "a list of nothing": json.dumps({"a": [{}] * 16_000}),
    "lists in lists": '{"a":' + "[" * 32_000 + "]" * 32_000 + "}",
    "a long number": '{"a":' + "9" * 60_000 + "}",
    "a number with a long exponent": '{"a":1e' + "9" * 60_000 + "}",
    "escapes": '{"a":"' + "\\u0000" * 10_000 + '"}',
    "a form of names": "&".join(f"{n}=" for n in NAMES),
    "a form of percents": "a=" + "%" * 60_000,
    "a form of semicolons": "a=1;" * 15_000,
}
JSON = "application/json; charset=utf-8"


@pytest.mark.parametrize("what", BOMBS)
def test_a_small_body_stays_small(what: str) -> None:
    """Half a second of the processor before, and a third of a gigabyte."""
    body = BOMBS[what].encode()
    assert len(body) <= MAX_BYTES
    pairs: list[tuple[str, str]] = []
    tracemalloc.start()
    with within(40), contextlib.suppress(BadQuery):
        pairs = forms._read(body, "" if "form" in what else JSON)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(len(name) for name, _ in pairs) <= forms.MAX_NAMED * forms.MAX_NAME
    assert peak < 16 << 20


def test_what_networks_send_is_read() -> None:
    goods = [{"sku": f"s{n}", "price": {"amount": 1.5, "currency": "EUR"}} for n in range(300)]
    found = dict(forms._read(json.dumps({"order": {"id": "1", "items": goods}}).encode(), JSON))
    assert found["order.items.299.price.amount"] == "1.5"
    assert len(found) == 1 + 3 * 300
