"""Secrets and proofs: the formats that are out there stay good, and nothing else is."""

from __future__ import annotations

import string
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback import tokens
from lensback.errors import ConfigError

KEY = bytes(range(32))
NOW = 1_800_000_000
# Computed by `openssl dgst -sha256 -mac HMAC` over what stands before the last dot.
PASS = "user-0001.1800000000.dddb39c13cd045320dc2b8df4ebb0d93a0a1c89527a8eb4a2295615fc7d51b53"
SESSION = "boss.1800000000.9ce9939298238287ed5109ab44064f06097302e05f1cd33fe83d7c4543d41372"
ADMIN = "admin {} 00ff"
NAMES = st.text(string.ascii_letters + string.digits + "._~-", min_size=1, max_size=128)


def test_formats_are_those_in_use() -> None:
    assert tokens.digest("pk_abc").startswith("0becee1d38a2a7aaff389447")  # sha256sum
    assert tokens.issued(KEY, "user-0001", NOW) == PASS
    assert tokens.issued(KEY, "boss", NOW, ADMIN) == SESSION


def test_good_until_its_last_second() -> None:
    assert tokens.bearer_of(KEY, PASS, NOW) == "user-0001"
    assert tokens.bearer_of(KEY, PASS, NOW + 1) == ""


@pytest.mark.parametrize(
    ("purpose", "name"), [(ADMIN, "boss"), ("{}", ""), ("admin {} 00fe", ""), ("", "")]
)
def test_good_for_one_purpose(purpose: str, name: str) -> None:
    assert tokens.bearer_of(KEY, SESSION, NOW, lambda _name: purpose) == name
    assert tokens.bearer_of(KEY, PASS, NOW, lambda _name: ADMIN) == ""


@given(NAMES, st.integers(0, 10**12))
def test_what_was_issued_comes_back(name: str, until: int) -> None:
    text = tokens.issued(KEY, name, until)
    assert tokens.bearer_of(KEY, text, until) == name
    assert tokens.bearer_of(KEY[::-1], text, until) == ""


@given(st.integers(0, len(PASS) - 1), st.characters(min_codepoint=32, max_codepoint=0x2FFF))
def test_one_changed_character_spoils_it(at: int, other: str) -> None:
    changed = PASS[:at] + other + PASS[at + 1 :]
    assert (tokens.bearer_of(KEY, changed, 0) == "user-0001") == (changed == PASS)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b.c", "a.1.", f".{NOW}.x", "a.١٢.x", "\ud800.1.x", "x" * 10_000]
)
def test_no_pass_at_all(text: str) -> None:
    assert tokens.bearer_of(KEY, text, 0) == ""


@given(st.text(), st.text())
def test_same_is_equality(one: str, other: str) -> None:
    assert tokens.same(one, one)
    if one.encode("utf-8", "replace") != other.encode("utf-8", "replace"):
        assert not tokens.same(one, other)


def test_secrets_are_long_and_differ() -> None:
    made = {tokens.new_secret("pk_") for _ in range(100)}
    assert len(made) == 100
    assert all(len(secret) == len("pk_") + 43 for secret in made), "256 bits in base64"


@pytest.mark.parametrize(
    ("header", "secret"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("abc", ""), ("", "")],
)
def test_bearer(header: str, secret: str) -> None:
    assert tokens.bearer({"authorization": header}) == secret
    assert tokens.bearer({}) == ""


def test_the_own_key_is_made_once(tmp_path: Path) -> None:
    tokens.own_key.cache_clear()
    made: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: made.append(tokens.own_key.__wrapped__(tmp_path)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    path = tmp_path / tokens.KEY_FILE
    assert set(made) == {path.read_bytes()}
    assert len(made[0]) == 32
    assert path.stat().st_mode & 0o077 == 0
    assert [each.name for each in tmp_path.iterdir()] == [tokens.KEY_FILE]


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / tokens.KEY_FILE).write_bytes(b"short")
    with pytest.raises(ConfigError, match="not a key"):
        tokens.own_key(tmp_path)
