"""What a network tells of a sale, field by field: right values for every kind of form and row."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from lensback.errors import PostbackError
from lensback.networks import Network, NewsForm, list_networks, open_network
from lensback.networks.news import (
    conversion,
    epoch_of,
    is_sale,
    number_of,
    picked,
    read_postback,
    status_of,
)
from lensback.networks.shape import LinkForm
from lensback.types import Conversion, Money


def network(postback: NewsForm | None = None, **more: Any) -> Network:
    given: dict[str, Any] = {
        "name": "mine",
        "title": "Mine",
        "link": LinkForm(template="", subid="s"),
        "statuses": {"open": "pending", "ok": "approved", "no": "declined", "done": "paid"},
        "postback": postback or NewsForm(),
    }
    return Network(**{**given, **more})


def told(row: dict[str, Any], **form: Any) -> Conversion:
    return conversion(network(), NewsForm(**form), row)


PLAIN = {
    "external_id": "s1",
    "status": "OK ",
    "item": "i1",
    "subid": "click",
    "commission": "1.23",
    "order_value": "45.6",
    "currency": "eur",
    "order_id": "o1",
    "reason": "because",
    "ordered_at": "1760000000",
    "changed_at": "1760000001",
}
WHOLE = Conversion(
    network="mine",
    external_id="s1",
    status="approved",
    item="i1",
    subid="click",
    commission=Money(123, "EUR"),
    order_value=Money(4560, "EUR"),
    order_id="o1",
    reason="because",
    ordered_at=1_760_000_000,
    changed_at=1_760_000_001,
)


def test_without_a_form_the_fields_are_called_as_ours() -> None:
    assert told(PLAIN) == WHOLE
    assert read_postback(network(), PLAIN) == WHOLE
    assert told({"external_id": "s1", "status": "open"}) == Conversion("mine", "s1", "pending")


def test_a_form_names_every_field() -> None:
    names = {ours: f"their_{ours}" for ours in PLAIN}
    row = {names[ours]: value for ours, value in PLAIN.items()}
    form = NewsForm(fields=names)
    assert conversion(network(), form, row) == WHOLE
    assert read_postback(network(form), row) == WHOLE
    # Our own names mean nothing then, nor does a field that the form leaves out.
    few = {"external_id": "id", "status": "state"}
    row = {**PLAIN, "id": "x", "state": "no", "": "nobody's"}
    assert told(row, fields=few) == Conversion("mine", "x", "declined")


@pytest.mark.parametrize(
    ("spec", "row", "found"),
    [
        ("a", {"a": " x "}, "x"),
        ("a", {"a": 7}, "7"),
        ("a", {"a": 0}, "0"),
        ("a", {"a": True}, "1"),
        ("a", {"a": False}, "0"),
        # joined: all parts or nothing
        ("a+b", {"a": "1", "b": "2"}, "1:2"),
        ("b+a", {"a": "1", "b": "2"}, "2:1"),
        # the first that is told
        (("a", "b"), {"a": "1", "b": "2"}, "1"),
        (("a", "b"), {"b": "2"}, "2"),
        (("a", "b"), {"a": "null", "b": "2"}, "2"),
        (("a+b", "c"), {"a": "1", "c": "3"}, "3"),
        # nested
        ("a.b", {"a": {"b": "x"}}, "x"),
        ("a.1.b", {"a": [{"b": "x"}, {"b": "y"}]}, "y"),
        ("a.b", {"a.b": "whole", "a": {"b": "x"}}, "whole"),
    ],
)
def test_where_a_field_is(spec: Any, row: dict[str, Any], found: str) -> None:
    fields = {"external_id": spec, "status": "status"}
    assert told({**row, "status": "ok"}, fields=fields).external_id == found


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "  ",
        [],
        ["x"],
        {},
        {"b": 1},
        "null",
        "None",
        "undefined",
        "{order_id}",
        "${order}",
        "[[[x]]]",
        "[[x]]",
        "[x]",
        "{{x}}",
        "#{x}",
        "%{x}",
        "#x#",
        "%x%",
        "%%x%%",
        "%\ufffdx%%",
        "!!!x!!!",
        "$x$",
        "@x@",
        "__x__",
        "<x>",
        "$x",
        "$order_id",
        "$(order)",
        "*gs_order_id*",
        "~x~",
        "|x|",
        "^x^",
        "::x::",
        "--x--",
        "{x:default}",
        "%7Bsubid%7D",
        "%5B%5B%5Bx%5D%5D%5D",
        "&lt;u1&gt;",
        "77:$order_id",
        "77:*order_id*",
        "77:%7Border_id%7D",
        "77:[[[order_id]]]",
        "77:{order_id}",
        "77:!!!order!!!",
        "[[[offer_id]]]:[[[order_id]]]",
        "{}",
    ],
)
def test_what_is_not_told(value: Any) -> None:
    """A macro that was not filled, a list, a nothing: none of them names a sale."""
    with pytest.raises(PostbackError, match="Mine does not say which sale") as refused:
        told({"external_id": value, "status": "ok"})
    assert refused.value.hint == "the network must send external_id"
    assert told({"external_id": "1", "status": "ok", "subid": value}).subid == ""


def test_the_hint_names_their_field() -> None:
    for spec, shown in (("oid", "oid"), (("oid", "a+b"), "oid or a+b")):
        with pytest.raises(PostbackError) as refused:
            told({}, fields={"external_id": spec})
        assert refused.value.hint == f"the network must send {shown}"


@pytest.mark.parametrize("text", ["null and void", "x{y}", "a#b#", "50%", "_x_", "undefined 2"])
def test_words_that_only_begin_like_a_lost_macro_are_told(text: str) -> None:
    assert told({"external_id": text, "status": "ok"}).external_id == text


def test_text_has_a_length() -> None:
    for field in ("external_id", "item", "subid", "order_id"):
        fine = told({"external_id": "1", "status": "ok", field: "x" * 200})
        assert getattr(fine, field) == "x" * 200
        for wrong in ("x" * 201, "a\nb", "a\x00b", "a\x7fb"):
            with pytest.raises(PostbackError, match=f"{field} is no plain text"):
                told({"external_id": "1", "status": "ok", field: wrong})


def test_a_reason_is_any_text_cut() -> None:
    row = {"external_id": "1", "status": "no"}
    assert told({**row, "reason": "a\r\nb\tc"}).reason == "a  b c"
    assert told({**row, "reason": "x" * 501}).reason == "x" * 500
    form = {"external_id": "external_id", "status": "status", "reason": ("why", "note")}
    assert told({**row, "note": "n"}, fields=form).reason == "n"
    assert told({**row, "why": "w", "note": "n"}, fields=form).reason == "w"
    assert told({**row, "reason": "ours"}, fields=form).reason == ""


# ---- what is no sale


def test_what_tells_of_no_sale_is_passed_over() -> None:
    form = NewsForm(skip_when={"is_event": ("y", "true")})
    for said, sale in (
        ("Y", False),
        ("true", False),
        (True, False),
        ("N", True),
        (None, True),
        ("", True),
    ):
        row = {"external_id": "1", "status": "ok", "is_event": said}
        assert is_sale(form, row) is sale
        assert (read_postback(network(form), row) is not None) is sale
    # A call that tells of no sale need not be whole.
    assert read_postback(network(form), {"is_event": "Y"}) is None


# ---- states


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("open", "pending"), ("OK", "approved"), (" No\t", "declined"), ("Done", "paid")],
)
def test_their_word_for_a_state(theirs: str, ours: str) -> None:
    assert status_of(network(), theirs) == ours


@pytest.mark.parametrize("theirs", ["", "okay", "o k", "pending"])
def test_a_word_that_nobody_knows(theirs: str) -> None:
    with pytest.raises(PostbackError) as refused:
        status_of(network(), theirs)
    assert refused.value.message == f"Mine has no status {theirs!r}"
    assert refused.value.hint == "known: open, ok, no, done"


@pytest.mark.parametrize("mark", ["statuses.ok", "statuses"])
def test_a_word_that_nobody_checked(mark: str) -> None:
    doubtful = network(unchecked={mark: "the page does not say", "link.subid": "nor that"})
    with pytest.raises(PostbackError) as refused:
        status_of(doubtful, "OK")
    assert refused.value.message == "what 'OK' means at Mine is not checked"
    assert f'checked = ["{mark}"] into networks/mine.toml' in refused.value.hint
    if mark == "statuses.ok":
        assert status_of(doubtful, "open") == "pending"
    assert status_of(network(unchecked={"link.subid": "?"}), "ok") == "approved"


@pytest.mark.parametrize(
    ("status", "value", "becomes"),
    [
        ("ok", "1", "paid"),
        ("ok", 1, "paid"),
        ("ok", True, "paid"),
        ("ok", " TRUE ", "paid"),
        ("ok", "0", "approved"),
        ("ok", False, "approved"),
        ("ok", None, "approved"),
        ("ok", "11", "approved"),
        # Only what is approved can be paid for.
        ("open", "1", "pending"),
        ("no", "1", "declined"),
        ("done", "0", "paid"),
    ],
)
def test_a_field_that_says_paid(status: str, value: Any, becomes: str) -> None:
    when = {"never": ("x",), "payment.made": ("1", "True")}
    row = {"external_id": "1", "status": status, "payment": {"made": value}}
    assert told(row, paid_when=when).status == becomes


@pytest.mark.parametrize("name", [n.name for n in list_networks() if n.poll])
def test_paid_that_nobody_checked_is_no_money(name: str) -> None:
    """What a network calls paid makes a sale payable: so it has to be known to be money that we have."""
    shipped = open_network(name)
    assert shipped.poll
    form = replace(
        shipped.poll.news,
        fields={},
        default={"status": _approved(shipped)},
        paid_when={"paid": ("1",)},
        declined_when={},
        divisor=1,
    )
    row = {"external_id": "1", "paid": "1"}
    sure = replace(shipped, unchecked={})
    assert conversion(sure, form, row).status == "paid"
    unsure = replace(sure, unchecked={"poll.news.paid_when": "?"})
    assert conversion(unsure, form, row).status == "approved"
    called = replace(sure, postback=form, unchecked={"postback.paid_when": "?"})
    assert conversion(called, form, row).status == "approved"
    assert (
        conversion(replace(called, unchecked={"poll.news.paid_when": "?"}), form, row).status
        == "paid"
    )


def _approved(network: Network) -> str:
    return next((word for word, ours in network.statuses.items() if ours == "approved"), "")


# ---- amounts


@pytest.mark.parametrize(
    ("text", "currency", "divisor", "minor"),
    [
        ("1.5", "EUR", 1, 150),
        ("+1.5", "EUR", 1, 150),
        ("1.", "EUR", 1, 100),
        ("1.239", "EUR", 1, 123),
        ("-1.231", "EUR", 1, -124),
        ("150", "EUR", 100, 150),
        ("155", "JPY", 100, 1),
        ("-1", "EUR", 100, -1),
        ("1.5e2", "EUR", 1, 15_000),
        ("15E-1", "EUR", 1, 150),
        ("0", "EUR", 1, 0),
        ("999999999999.99", "EUR", 1, 99_999_999_999_999),
        ("1", "KWD", 1, 1000),
    ],
)
def test_an_amount(text: str, currency: str, divisor: int, minor: int) -> None:
    row = {"external_id": "1", "status": "ok", "commission": text, "order_value": text}
    said = told({**row, "currency": currency}, divisor=divisor)
    assert said.commission == said.order_value == Money(minor, currency)


@pytest.mark.parametrize(
    ("code", "default", "is_"),
    [("usd", "", "USD"), ("RUR", "", "RUB"), ("", "PLN", "PLN"), ("usd", "PLN", "USD")],
)
def test_the_currency_of_an_amount(code: str, default: str, is_: str) -> None:
    row = {"external_id": "1", "status": "ok", "commission": "1", "currency": code}
    assert told(row, currency=default).commission == Money(100, is_)


@pytest.mark.parametrize("code", ["EU", "EURO", "E1R", "€", "ZZZ", "XXX", "XTS"])
def test_no_currency(code: str) -> None:
    with pytest.raises(PostbackError, match=f"not a currency: '{code}'"):
        told({"external_id": "1", "status": "ok", "currency": code})


def test_an_amount_needs_a_currency_and_nothing_needs_none() -> None:
    row = {"external_id": "1", "status": "ok"}
    for field in ("commission", "order_value"):
        with pytest.raises(PostbackError, match=f"{field} has no currency"):
            told({**row, field: "1"})
        with pytest.raises(PostbackError, match=f"{field} is no amount"):
            told({**row, field: "much", "currency": "EUR"})
    assert told(row).commission is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "1,5", "1 000", "--1", "1.2.3", "1e", "1e100", ".", "x", "9" * 16, "1" + ".0" * 2),
        *("1.234,56", "1,234.56", "1'234.50", "12.5-", "(12.50)", "12.50 USD", "$12.50", "1_000"),
        *("NaN", "Infinity", "0x10", "\uff11\uff12", "\u22125", "1/2"),
    ],
)
def test_no_amount(text: str) -> None:
    with pytest.raises(PostbackError, match="fee is no amount"):
        number_of(text, "fee")
    with pytest.raises(PostbackError, match=r"^amount is no amount"):
        number_of(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [(".5", "0.5"), ("-.50", "-0.5"), ("12.", "12"), ("+5", "5"), ("1e2", "100"), ("25E-1", "2.5")],
)
def test_amounts_as_machines_write_them(text: str, found: str) -> None:
    assert number_of(text) == Decimal(found)


def test_the_largest_amount() -> None:
    assert number_of("999999999999.99") < 10**12
    for text in ("1000000000000", "-1000000000000", "1e12", "1e99"):
        with pytest.raises(PostbackError, match=r"^fee is too large"):
            number_of(text, "fee")
    assert number_of("-999999999999") == -999_999_999_999


# ---- times


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock is set to another zone: a time without a zone is UTC all the same."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("1760000000", 1_760_000_000),
        ("1760000000999", 1_760_000_000),
        ("100000000", 100_000_000),
        ("2025-10-09T08:53:20Z", 1_760_000_000),
        ("2025-10-09T08:53:20", 1_760_000_000),
        ("2025-10-09 08:53:20", 1_760_000_000),
        ("2025-10-09T10:53:20+02:00", 1_760_000_000),
        ("2025-10-09T08:53:20.999Z", 1_760_000_000),
        ("2025-10-09", 1_759_968_000),
        ("20251009", 1_759_968_000),
        ("09.10.2025 08:53:20", 1_760_000_000),
        ("09.10.2025 08:53", 1_759_999_980),
        ("10/09/2025 08:53:20", 1_760_000_000),
        ("09.10.2025", 1_759_968_000),
        ("2025/10/09 08:53:20", 1_760_000_000),
        ("2025/10/09", 1_759_968_000),
        ("2025-10-09 08:53:20 UTC", 1_760_000_000),
        ("2025-10-09 10:53:20 +0200", 1_760_000_000),
        ("Thu, 09 Oct 2025 08:53:20 GMT", 1_760_000_000),
        ("Thu, 09 Oct 2025 10:53:20 +0200", 1_760_000_000),
        ("Thu Oct 09 2025 08:53:20 GMT+0000 (UTC)", 1_760_000_000),
        ("Thu Oct 09 2025 08:53:20 GMT 0000 (UTC)", 1_760_000_000),
        ("1970-01-01T00:00:00Z", 0),
        ("2099-12-31T23:59:59Z", 4_102_444_799),
        ("4102444799", 4_102_444_799),
    ],
)
def test_a_time(text: str, epoch: int) -> None:
    assert epoch_of(text) == epoch
    row = {"external_id": "1", "status": "ok", "ordered_at": text, "changed_at": text}
    said = told(row)
    assert (said.ordered_at, said.changed_at) == (epoch, epoch)


@pytest.mark.parametrize(
    ("text", "moscow"),
    [
        ("31.10.2025 23:59:59", "2025-10-31T20:59:59"),
        ("01.11.2025", "2025-10-31T21:00:00"),
        ("2025-11-01 00:00:00", "2025-10-31T21:00:00"),
        # What names a zone is of it.
        ("2025-11-01 00:00:00 UTC", "2025-11-01T00:00:00"),
        ("Sat, 01 Nov 2025 00:00:00 GMT", "2025-11-01T00:00:00"),
        ("Sat Nov 01 2025 00:00:00 GMT 0000 (UTC)", "2025-11-01T00:00:00"),
        ("Sat, 01 Nov 2025 00:00:00 +0200", "2025-10-31T22:00:00"),
        ("2025-10-31T23:59:59-08:00", "2025-11-01T07:59:59"),
    ],
)
def test_the_end_of_a_month_in_a_zone(text: str, moscow: str) -> None:
    wanted = datetime.fromisoformat(moscow).replace(tzinfo=UTC).timestamp()
    assert epoch_of(text, zone="Europe/Moscow") == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "28/02/2025 10:00:00",
        "Feb 30 2025",
        "yesterday",
        "4102444800",
        "41024448000",
        "2100-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "32.01.2025 10:00",
        "13/13/2025 10:00:00",
        "-1760000000",
        "176000000012",
    ],
)
def test_no_time(text: str) -> None:
    with pytest.raises(PostbackError, match=r"^since is no time"):
        epoch_of(text, "since")
    with pytest.raises(PostbackError, match=r"^time is no time"):
        epoch_of(text)


@pytest.mark.parametrize(
    "text",
    ["0001-01-01", "0001-01-01T00:00:00", "0000-00-00 00:00:00", "0001-01-01 00:00:00.000", "{t}"],
)
def test_a_day_that_was_never_set(text: str) -> None:
    row = {"external_id": "1", "status": "ok", "ordered_at": text}
    assert told(row).ordered_at is None


@pytest.mark.parametrize("text", ["0001-01-011", "0001-01-02T00:00:00", "00010101"])
def test_what_is_no_such_day(text: str) -> None:
    with pytest.raises(PostbackError, match="ordered_at is no time"):
        told({"external_id": "1", "status": "ok", "ordered_at": text})


# ---- paths


@pytest.mark.parametrize(
    ("row", "path", "value"),
    [
        ({"a": 1}, "a", 1),
        ({"a": 1}, "b", None),
        ({"a": {"b": {"c": 3}}}, "a.b.c", 3),
        ({"a": {"b": 1}}, "a.c", None),
        ({"a": {"b": 1}}, "a.b.c", None),
        ({"a": [1, 2]}, "a.0", 1),
        ({"a": [1, 2]}, "a.1", 2),
        ({"a": [1, 2]}, "a.2", None),
        ({"a": [1, 2]}, "a.-1", None),
        ({"a": [1, 2]}, "a.x", None),
        ({"a": "text"}, "a.0", None),
        ({"a.b": 1}, "a.b", 1),
        ([[5]], "0.0", 5),
        ("text", "a", None),
        (None, "a", None),
    ],
)
def test_the_value_at_a_path(row: Any, path: str, value: Any) -> None:
    assert picked(row, path) == value
