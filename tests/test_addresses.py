"""Which addresses are public, to the last address of each block, and what an operator lets through."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from lensback.errors import FetchFailed, FetchRefused
from lensback.net.addresses import Guard, is_public

# IANA's registries of special addresses: the first and the last of each block, and what lies beside it.
EDGES = {
    "0.0.0.0 0.255.255.255": "1.0.0.0",
    "10.0.0.0 10.255.255.255": "9.255.255.255 11.0.0.0",
    "100.64.0.0 100.127.255.255": "100.63.255.255 100.128.0.0",
    "127.0.0.0 127.0.0.1 127.255.255.255": "126.255.255.255 128.0.0.0",
    "169.254.0.0 169.254.169.254 169.254.255.255": "169.253.255.255 169.255.0.0",
    "172.16.0.0 172.31.255.255": "172.15.255.255 172.32.0.0",
    "192.0.0.0 192.0.0.9 192.0.0.255": "191.255.255.255 192.0.1.0",
    "192.0.2.0 192.0.2.255": "192.0.1.255 192.0.3.0",
    "192.88.99.0 192.88.99.255": "192.88.98.255 192.88.100.0",
    "192.168.0.0 192.168.255.255": "192.167.255.255 192.169.0.0",
    "198.18.0.0 198.19.255.255": "198.17.255.255 198.20.0.0",
    "198.51.100.0 198.51.100.255": "198.51.99.255 198.51.101.0",
    "203.0.113.0 203.0.113.255": "203.0.112.255 203.0.114.0",
    "224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.254 255.255.255.255": "223.255.255.255",
    ":: ::1 100::1 fc00::1 fdff::1 fe80::1 fec0::1 ff02::1 ff0e::1 1fff::1 4000::1": "2000::1 3ffe::1",
    "2001:: 2001::1 2001:1ff:ffff::1": "2001:200::1",
    "2001:db8:: 2001:db8:ffff::1": "2001:db7::1 2001:db9::1",
    "3fff:: 3fff:fff::1": "3fff:1000::1",
    # IPv4 inside IPv6: mapped, 6to4, NAT64
    "::ffff:10.0.0.1 2002:a00:1::1 64:ff9b::10.0.0.1": "::ffff:8.8.8.8 2002:808:808::1 64:ff9b::808:808",
    "64:ff9b:1::808:808 ::8.8.8.8 64:ff9b::1:808:808": "2606:4700::1111",
    "2606:4700::1111%eth0": "2a00::1",
}
PRIVATE = [one for block in EDGES for one in block.split()]
PUBLIC = [one for beside in EDGES.values() for one in beside.split()]


@pytest.mark.parametrize("address", PRIVATE)
def test_private(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


class Names:
    """Answers as `socket.getaddrinfo` does, and remembers how it was asked."""

    def __init__(self, *answer: str, error: Exception | None = None) -> None:
        self.answer = answer
        self.error = error
        self.asked: list[Any] = []

    def __call__(self, host: str, port: int, **options: Any) -> Sequence[tuple[Any, ...]]:
        self.asked.append((host, port, options))
        if self.error:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in self.answer]


def test_a_name_has_all_its_addresses_once_in_order() -> None:
    names = Names("8.8.8.8", "2606:4700::1111", "8.8.8.8", "1.1.1.1")
    found = Guard((), names).addresses("Shop.Example.", 443)
    assert found == ["8.8.8.8", "2606:4700::1111", "1.1.1.1"]
    assert names.asked == [("shop.example", 443, {"type": socket.SOCK_STREAM})]


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_an_address_is_its_own(address: str) -> None:
    names = Names()
    assert Guard((), names).addresses(address, 80) == [address]
    assert names.asked == []


@pytest.mark.parametrize(
    "answer", [("10.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("10.0.0.1", "8.8.8.8", "::1")]
)
def test_one_private_address_refuses_the_name(answer: tuple[str, ...]) -> None:
    with pytest.raises(FetchRefused) as refused:
        Guard((), Names(*answer)).addresses("shop.example", 80)
    assert refused.value.message == f"shop.example has a private address: {', '.join(answer)}"
    assert refused.value.hint.endswith(
        'lensback.toml of the workspace: allow_hosts = ["shop.example"]'
    )
    assert Guard(("shop.example",), Names(*answer)).addresses("shop.example", 80) == list(answer)


LONG = ".".join(["a" * 63] * 4)[:253]


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "a/b",
        "a..b",
        ".a",
        "a@b",
        "a:80",
        "[::1]x",
        "шляпа.example",
        "a\n",
        "x" * 254,
        LONG + "a",
    ],
)
def test_no_host_name(host: str) -> None:
    names = Names("8.8.8.8")
    with pytest.raises(FetchRefused, match="not a host name"):
        Guard((), names).addresses(host, 80)
    assert names.asked == []


@pytest.mark.parametrize("host", ["shop", "a_b.example", "xn--80aairftm.xn--p1ai", "0.pool", LONG])
def test_a_host_name(host: str) -> None:
    assert Guard((), Names("8.8.8.8")).addresses(host, 80) == ["8.8.8.8"]


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "1.2.3.4.5", "a.0x", "a.1"],
)
def test_other_ways_to_write_an_address(host: str) -> None:
    """The C library reads most of these as 127.0.0.1."""
    names = Names("8.8.8.8")
    with pytest.raises(FetchRefused, match="not a plain IP address"):
        Guard((), names).addresses(host, 80)
    assert names.asked == []


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "later"), True),
        (socket.gaierror(socket.EAI_NONAME, "never"), False),
        (UnicodeError("label too long"), False),
    ],
)
def test_a_name_that_is_not_known(error: Exception, again: bool) -> None:
    with pytest.raises(FetchFailed, match=r"the name shop\.example is not known") as failed:
        Guard((), Names(error=error)).addresses("shop.example", 80)
    assert failed.value.retry is again


ALLOWED = (
    " Shop.Example. ",
    "api.example:8443",
    "10.0.0.7",
    "fd00::7",
    "10.1.0.0/16",
    "fd01::/32",
    "[fd02::1]:9000",
    "not/a/block",
)


@pytest.mark.parametrize(
    ("host", "port", "yes"),
    [
        ("shop.example", 0, True),
        ("SHOP.example.", 443, True),
        ("www.shop.example", 443, False),
        ("example", 443, False),
        ("api.example", 8443, True),
        ("api.example", 443, False),
        ("api.example", 0, False),
        ("10.0.0.7", 80, True),
        ("10.0.0.8", 80, False),
        ("fd00::7", 80, True),
        ("[fd00::7]", 80, True),
        ("fd00:0:0::7", 80, True),
        ("10.1.0.0", 80, True),
        ("10.1.255.255", 80, True),
        ("10.2.0.0", 80, False),
        ("fd01::1", 80, True),
        ("[fd01:0:1::1]", 80, True),
        ("fd01:1::1", 80, False),
        ("[fd02::1]", 9000, True),
        ("fd02::1", 9000, True),
        ("[fd02::1]", 9001, False),
        ("not", 80, False),
        ("", 80, False),
    ],
)
def test_what_the_operator_vouches_for(host: str, port: int, yes: bool) -> None:
    assert Guard(ALLOWED, Names()).allowed(host, port) is yes
    assert not Guard((), Names()).allowed(host, port)


def test_a_block_frees_addresses_and_not_names_that_lead_there() -> None:
    guard = Guard(("10.1.0.0/16",), Names("10.1.2.3"))
    assert guard.addresses("10.1.2.3", 80) == ["10.1.2.3"]
    with pytest.raises(FetchRefused, match="private"):
        guard.addresses("shop.example", 80)
    with pytest.raises(FetchRefused, match="private"):
        guard.addresses("10.2.2.3", 80)


def test_a_port_that_is_allowed_frees_no_other() -> None:
    guard = Guard(("shop.example:8080",), Names("10.0.0.1"))
    assert guard.addresses("shop.example", 8080) == ["10.0.0.1"]
    with pytest.raises(FetchRefused, match="private"):
        guard.addresses("shop.example", 80)
