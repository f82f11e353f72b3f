"""What networks tell: which calls are believed, and which stretches of time are asked for."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lensback import conversions, ledger
from lensback.conversions import (
    MAX_AGE_S,
    RefusedCalls,
    account_of,
    authenticate,
    check_size,
    pull,
    receive,
    signature_of,
    windows,
)
from lensback.db import Database
from lensback.errors import ConfigError, FetchFailed, PostbackError, StateError, Unauthorized
from lensback.networks import open_network
from lensback.types import Conversion, Money

AT = 1_760_000_000
SECRET, KEY = "a secret", "a key"
SALE = {"external_id": "s1", "status": "approved", "commission": "1.50", "currency": "EUR"}


def signed(fields: dict[str, str], key: str = KEY) -> dict[str, str]:
    """The call with its signature, computed here by hand as docs/cashback.md says it."""
    plain = sorted((k, v) for k, v in fields.items() if k not in {"secret", "signature"})
    text = "&".join(f"{k}={v.replace(' ', '+')}" for k, v in plain)
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {**fields, "signature": digest}


# ---- who is believed

BOTH = {"postback_secret": SECRET, "postback_hmac": KEY}
ONLY_SECRET = {"postback_secret": SECRET}
ONLY_KEY = {"postback_hmac": KEY}
NEW = {**SALE, "timestamp": str(AT)}
OLD = {**SALE, "timestamp": str(AT - MAX_AGE_S - 1)}
EARLY = {**SALE, "timestamp": str(AT + MAX_AGE_S + 1)}


@pytest.mark.parametrize(
    ("account", "fields"),
    [
        (ONLY_SECRET, {**SALE, "secret": SECRET}),
        (ONLY_SECRET, {**SALE, "secret": SECRET, "signature": "not looked at"}),
        (ONLY_SECRET, {**SALE, "secret": SECRET, "timestamp": "1"}),
        (ONLY_KEY, signed(SALE)),
        (ONLY_KEY, signed(NEW)),
        (ONLY_KEY, signed({**SALE, "secret": "not looked at"})),
        (ONLY_KEY, signed({**SALE, "timestamp": str(AT - MAX_AGE_S)})),
        (ONLY_KEY, signed({**SALE, "timestamp": str(AT + MAX_AGE_S)})),
        (ONLY_KEY, {**signed(SALE), "signature": signed(SALE)["signature"].upper()}),
        (BOTH, {**signed(NEW), "secret": SECRET}),
    ],
)
def test_believed(account: dict[str, str], fields: dict[str, str]) -> None:
    authenticate("x", fields, account, at=AT)


@pytest.mark.parametrize(
    ("account", "fields", "reason"),
    [
        ({}, {**signed(NEW), "secret": SECRET}, "calls of x are not accepted"),
        ({"token": "t"}, {**SALE, "secret": ""}, "not accepted"),
        ({"postback_secret": "", "postback_hmac": ""}, SALE, "not accepted"),
        (ONLY_SECRET, SALE, "wrong secret"),
        (ONLY_SECRET, {**SALE, "secret": ""}, "wrong secret"),
        (ONLY_SECRET, {**SALE, "secret": SECRET + "x"}, "wrong secret"),
        (ONLY_SECRET, {**SALE, "secret": SECRET.upper()}, "wrong secret"),
        (ONLY_SECRET, signed(SALE), "wrong secret"),
        # An HMAC besides does not do instead of the secret, nor the secret instead of it.
        (BOTH, signed(NEW), "wrong secret"),
        (BOTH, {**signed(NEW), "secret": "guess"}, "wrong secret"),
        (BOTH, {**NEW, "secret": SECRET}, "wrong signature"),
        (BOTH, {**signed(NEW, "other key"), "secret": SECRET}, "wrong signature"),
        (ONLY_KEY, SALE, "wrong signature"),
        (ONLY_KEY, {**SALE, "signature": ""}, "wrong signature"),
        (ONLY_KEY, signed(SALE, "other key"), "wrong signature"),
        # The time is signed: a new one on an old signature, or one put in or taken out, is refused.
        (ONLY_KEY, {**signed(OLD), "timestamp": str(AT)}, "wrong signature"),
        (ONLY_KEY, {**signed(SALE), "timestamp": str(AT)}, "wrong signature"),
        (ONLY_KEY, {k: v for k, v in signed(OLD).items() if k != "timestamp"}, "wrong signature"),
        # ... and has to be of now, on either side.
        (ONLY_KEY, signed(OLD), "too old"),
        (ONLY_KEY, signed(EARLY), "too old"),
        (BOTH, {**signed(EARLY), "secret": SECRET}, "too old"),
        (ONLY_KEY, signed({**SALE, "timestamp": ""}), "too old"),
        (ONLY_KEY, signed({**SALE, "timestamp": "now"}), "too old"),
        (ONLY_KEY, signed({**SALE, "timestamp": f"-{AT}"}), "too old"),
        (ONLY_KEY, signed({**SALE, "timestamp": f"{AT}.0"}), "too old"),
        (ONLY_KEY, signed({**SALE, "timestamp": "9" * 4000}), "too old"),
    ],
)
def test_not_believed(account: dict[str, str], fields: dict[str, str], reason: str) -> None:
    with pytest.raises(Unauthorized, match=reason):
        authenticate("x", fields, account, at=AT)


@pytest.mark.parametrize("field", sorted(NEW))
def test_every_field_is_under_the_signature(field: str) -> None:
    call = signed(NEW)
    for altered in ({**call, field: "other"}, {k: v for k, v in call.items() if k != field}):
        with pytest.raises(Unauthorized):
            authenticate("x", altered, ONLY_KEY, at=AT)


def test_a_signature_by_hand() -> None:
    """Of `b=2&a=1 1` the text is `a=1+1&b=2`; secret and signature are no part of it."""
    wanted = hmac.new(b"k", b"a=1+1&b=2", hashlib.sha256).hexdigest()
    assert signature_of({"b": "2", "a": "1 1"}, "k") == wanted
    assert signature_of({"b": "2", "a": "1 1", "secret": "s", "signature": "x"}, "k") == wanted
    assert signature_of({"b": "2", "a": "1 1", "timestamp": "5"}, "k") != wanted
    text = "a=%D1%8F%26"
    wanted = hmac.new("ключ".encode(), text.encode(), hashlib.sha256).hexdigest()
    assert signature_of({"a": "я&"}, "ключ") == wanted


def test_odd_characters_in_a_secret_are_compared_not_fatal() -> None:
    account = {"postback_secret": "пароль"}
    authenticate("x", {"secret": "пароль"}, account, at=AT)
    for wrong in ("\ud800", "пароль\ud800", "?"):
        with pytest.raises(Unauthorized, match="wrong secret"):
            authenticate("x", {"secret": wrong}, account, at=AT)


# ---- what a believed call says


def test_a_call_is_read_without_what_is_ours() -> None:
    """`secret`, `signature` and `timestamp` are ours: a network's form never reads them."""
    told = receive(open_network("generic"), {**SALE, "secret": SECRET}, ONLY_SECRET, at=AT)
    assert told == Conversion(
        "generic", "s1", "approved", commission=Money(150, "EUR"), changed_at=None
    )
    for name in ("secret", "signature", "timestamp"):
        assert name in conversions.OURS


def test_a_call_is_checked_before_it_is_read() -> None:
    network = open_network("generic")
    with pytest.raises(Unauthorized):
        receive(network, {"nonsense": "1"}, ONLY_SECRET, at=AT)
    with pytest.raises(PostbackError, match="too many"):
        receive(network, {str(n): "" for n in range(101)}, {}, at=AT)
    with pytest.raises(PostbackError, match="no status"):
        receive(network, {"external_id": "1", "secret": SECRET}, ONLY_SECRET, at=AT)
    huge = {**SALE, "commission": "9" * 12, "currency": "KWD", "secret": SECRET}
    with pytest.raises(PostbackError, match="not an amount"):  # more than the ledger can hold
        receive(network, huge, ONLY_SECRET, at=AT)
    with pytest.raises(Unauthorized, match="too old"):
        receive(network, signed(OLD), ONLY_KEY, at=AT)
    assert receive(network, signed(OLD), ONLY_KEY, at=AT - MAX_AGE_S).external_id == "s1"


def test_the_size_of_a_call() -> None:
    check_size({str(n): "" for n in range(100)})
    check_size({"k" * 200: "v" * 4096})
    for fields in ({str(n): "" for n in range(101)}, {"k" * 201: ""}, {"k": "v" * 4097}):
        with pytest.raises(PostbackError):
            check_size(fields)
        with pytest.raises(PostbackError):
            check_size({"first": "fine", **fields})


# ---- secrets of a network


def networks_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "networks.toml"
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    networks_file(tmp_path, '[awin]\ntoken = "t"\nport = 5\n[my-net]\npostback_secret = "s"\n')
    assert account_of(tmp_path, "awin", {}) == {"token": "t", "port": "5"}
    assert account_of(tmp_path, "cj", {}) == {}
    environ = {
        "LENSBACK_NETWORK_AWIN_TOKEN": "new",
        "LENSBACK_NETWORK_AWIN_Postback_HMAC": "k",
        "LENSBACK_NETWORK_MY_NET_USER": "u",
        "LENSBACK_NETWORK_AWINX_TOKEN": "not awin's",
        "NETWORK_AWIN_TOKEN": "not ours",
    }
    assert account_of(tmp_path, "awin", environ) == {
        "token": "new",
        "port": "5",
        "postback_hmac": "k",
    }
    assert account_of(tmp_path, "my-net", environ) == {"postback_secret": "s", "user": "u"}


def test_the_environment_of_the_process_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LENSBACK_NETWORK_CJ_TOKEN", "x")
    assert account_of(tmp_path, "cj") == {"token": "x"}
    assert account_of(tmp_path, "cj", {}) == {}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = networks_file(tmp_path, '[awin]\ntoken = "t"\n', mode)
    with pytest.raises(ConfigError, match="others can read") as refused:
        account_of(tmp_path, "awin", {})
    assert refused.value.hint == f"run: chmod 600 {shlex.quote(str(path))}"
    path.chmod(0o400)
    assert account_of(tmp_path, "awin", {}) == {"token": "t"}


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = networks_file(tmp_path, '[awin]\ntoken = "old"\n')
    assert account_of(tmp_path, "awin", {}) == {"token": "old"}
    networks_file(tmp_path, '[awin]\ntoken = "new"\n')
    os.utime(path, ns=(1, 1))
    assert account_of(tmp_path, "awin", {}) == {"token": "new"}


@pytest.mark.parametrize("text", ["token = ", "token = 1\n[awin]\n", "\ufeff[x]"])
def test_a_file_that_is_wrong_is_named(tmp_path: Path, text: str) -> None:
    path = networks_file(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        account_of(tmp_path, "awin", {})
    assert str(path) in refused.value.message


# ---- calls that were refused


def test_refused_calls_are_counted(tmp_path: Path) -> None:
    log = RefusedCalls(tmp_path / "refused.log")
    assert log.counts() == {}
    for network, reason in (("awin", "wrong secret"), ("cj", "old"), ("awin", "wrong secret")):
        log.add(network, reason, AT)
    assert log.counts() == {"awin: wrong secret": 2, "cj: old": 1}
    lines = (tmp_path / "refused.log").read_text("utf-8").splitlines()
    assert json.loads(lines[0]) == {"at": AT, "network": "awin", "reason": "wrong secret"}
    log.add("n" * 41, "r" * 201, AT)
    with (tmp_path / "refused.log").open("a") as file:
        file.write('{"half a li\n')
    log.add("awin", "wrong secret", AT)
    assert log.counts() == {
        "awin: wrong secret": 3,
        "cj: old": 1,
        f"{'n' * 40}: {'r' * 200}": 1,
    }


def test_the_file_of_refused_calls_has_a_bound(tmp_path: Path) -> None:
    """What is older than two files of the bound is gone; the newest is always there."""
    path = tmp_path / "refused.log"
    one = len(json.dumps({"at": AT, "network": "a", "reason": "00"})) + 1
    log = RefusedCalls(path, max_bytes=3 * one)
    for n in range(3):
        log.add("a", f"{n:02d}", AT)
    assert not path.with_suffix(".old").exists()  # just full is not too full
    for n in range(3, 10):
        log.add("a", f"{n:02d}", AT)
    assert sorted(log.counts()) == [f"a: {n:02d}" for n in range(4, 10)]
    sizes = [p.stat().st_size for p in tmp_path.iterdir()]
    assert max(sizes) == 4 * one
    assert sorted(p.name for p in tmp_path.iterdir()) == ["refused.log", "refused.old"]
    assert RefusedCalls(path).max_bytes == 1 << 20


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="disk"):
        RefusedCalls(tmp_path / "no folder" / "refused.log").add("awin", "x", AT)


# ---- asking a network stretch by stretch

DAY = 86_400


@pytest.mark.parametrize(
    ("since", "until", "days", "expected"),
    [
        (0, 3 * DAY, 1, [(0, DAY), (DAY, 2 * DAY), (2 * DAY, 3 * DAY)]),
        (0, 3 * DAY, 2, [(0, 2 * DAY), (2 * DAY, 3 * DAY)]),
        (5, 2 * DAY + 6, 1, [(5, DAY + 5), (DAY + 5, 2 * DAY + 5), (2 * DAY + 5, 2 * DAY + 6)]),
        (5, 6, 30, [(5, 6)]),
        (5, 5, 30, []),
        (6, 5, 30, []),
    ],
)
def test_windows(since: int, until: int, days: int, expected: list[tuple[int, int]]) -> None:
    assert windows(since, until, days) == expected


class Told:
    """A network that tells these sales in each stretch, and remembers what it was asked."""

    def __init__(self, *sales: Conversion) -> None:
        self.sales = sales
        self.asked: list[tuple[int, int]] = []
        self.fails_at = -1

    def __call__(self, since: int, until: int) -> Iterator[Conversion]:
        if since == self.fails_at:
            raise FetchFailed("gone", hint="wait")
        self.asked.append((since, until))
        yield from self.sales


def sale(name: str, network: str = "awin") -> Conversion:
    return Conversion(network, name, "approved", commission=Money(100, "EUR"))


def test_a_pull_records_and_is_not_repeated_for_an_hour(db: Database) -> None:
    network = Told(sale("s1"), sale("s2"), sale("", "awin"))
    told: list[tuple[int, int]] = []
    ask: dict[str, Any] = {"since": AT - 2 * DAY, "now": AT, "window_days": 1}
    first = pull(db, "awin", network, **ask, progress=lambda *n: told.append(n))
    assert first.as_json() == {
        "read": 2,
        "skipped": 0,
        "new": 2,
        "repeated": 2,
        "rejected": {"the news has no external_id": 2},
    }
    assert told == [(1, 2), (2, 2)]
    assert network.asked == [(AT - 2 * DAY, AT - DAY), (AT - DAY, AT)]
    assert ledger.balances(db) == {"EUR": {"commission_due": 200, "aside": -200}}
    again = pull(db, "awin", network, **ask)
    assert (again.read, again.skipped, again.new, again.repeated) == (0, 2, 0, 0)
    assert pull(db, "cj", network, **ask).read == 2, "another network was not asked yet"


def test_after_an_hour_a_stretch_is_asked_for_anew(db: Database) -> None:
    network = Told(sale("s1"))
    day = (AT - DAY, AT)
    for later, asked in ((0, [day]), (3600, [(AT, AT + 3600)]), (3601, [day, (AT, AT + 3601)])):
        network.asked.clear()
        pull(db, "awin", network, since=AT - DAY, now=AT + later, window_days=1)
        assert network.asked == asked


def test_a_broken_off_pull_goes_on_where_it_was(db: Database) -> None:
    network = Told(sale("s1"))
    network.fails_at = AT - DAY
    ask: dict[str, Any] = {"since": AT - 3 * DAY, "now": AT, "window_days": 1}
    with pytest.raises(FetchFailed):
        pull(db, "awin", network, **ask)
    network.fails_at = -1
    done = pull(db, "awin", network, **ask)
    assert (done.skipped, done.read, done.new, done.repeated) == (2, 1, 0, 1)
    assert network.asked[-1] == (AT - DAY, AT)
