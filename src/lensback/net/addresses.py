"""Which addresses a name has, and whether we may go there."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from typing import Any

from lensback.errors import FetchFailed, FetchRefused
from lensback.net import pace

Resolver = Callable[..., Sequence[tuple[Any, ...]]]
"""Called and answering like `socket.getaddrinfo`."""
LOOK_UPS = 64
"""Names that are looked up at once; one that hangs keeps its place."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Refused although not always "private" to the ipaddress module of every Python we run on.
_SPECIAL_BLOCKS = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
2001::/23 2001:db8::/32 3fff::/20
"""
_SPECIAL = tuple(ipaddress.ip_network(block) for block in _SPECIAL_BLOCKS.split())
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """True where the address belongs to the public internet, looked at through IPv6 wrappers
    (mapped, 6to4, NAT64). Teredo and all other special blocks (IANA registries) are not public."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL_V6 or address.scope_id:
            return False
    return address.is_global and not any(address in block for block in _SPECIAL)


class Guard:
    """Resolves a name and checks every address it has.

    `allow_hosts`: names, `name:port`, addresses, or blocks such as `10.1.0.0/16`, which may be
    private. A block frees addresses written as such, not names that lead there.
    """

    def __init__(self, allow_hosts: Iterable[str], resolver: Resolver) -> None:
        given = [host.strip().lower().rstrip(".") for host in allow_hosts]
        self._blocks = [block for host in given if (block := _block(host))]
        self._names = frozenset(given)
        self._resolver = resolver
        self._asking = threading.BoundedSemaphore(LOOK_UPS)

    def allowed(self, host: str, port: int) -> bool:
        """True where the operator vouches for the host."""
        host = host.lower().rstrip(".").strip("[]")
        if self._names & {host, f"[{host}]", f"{host}:{port}", f"[{host}]:{port}"}:
            return True
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(host)
            return any(address in block for block in self._blocks)
        return False

    def addresses(self, host: str, port: int) -> list[str]:
        """Addresses of `host`, all checked. One bad address refuses the host: an honest store
        has no reason to publish a private one. Raises FetchRefused and FetchFailed; Late where no name
        server answers in time, Stopped."""
        host = host.lower().rstrip(".")
        found = self._resolve(host, port)
        if not self.allowed(host, port) and not all(map(is_public, found)):
            raise FetchRefused(
                f"{host} has a private address: {', '.join(map(str, found))}",
                hint="if the server is yours, write into lensback.toml of the workspace:"
                f' allow_hosts = ["{host}"]',
            )
        return list(dict.fromkeys(str(address) for address in found))

    def _resolve(self, host: str, port: int) -> list[Address]:
        with contextlib.suppress(ValueError):
            return [ipaddress.ip_address(host)]
        if re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", host) is None or len(host) > 253:
            raise FetchRefused(f"not a host name: {host[:80]!r}", hint="check the address")
        # 2130706433, 0x7f.1 and 0177.0.0.1 mean 127.0.0.1 to the C library.
        if re.fullmatch(r"\d+|0x[0-9a-f]*", host.rpartition(".")[2]):
            raise FetchRefused(f"not a plain IP address: {host!r}", hint="write it as four numbers")
        try:
            rows = self._looked_up(host, port)
        except (socket.gaierror, UnicodeError) as error:
            again = getattr(error, "errno", None) == socket.EAI_AGAIN
            message = f"the name {host} is not known"
            raise FetchFailed(message, retry=again, hint="check the address") from error
        return [ipaddress.ip_address(row[4][0]) for row in rows]

    def _looked_up(self, host: str, port: int) -> Sequence[tuple[Any, ...]]:
        """What the resolver says. It cannot be stopped and waits for a name server as long as that likes, so
        it is asked by a thread that nobody waits for longer than the fetch has. Raises Late, Stopped."""
        answer = Future[Sequence[tuple[Any, ...]]]()

        def ask() -> None:
            try:
                answer.set_result(self._resolver(host, port, type=socket.SOCK_STREAM))
            except BaseException as error:  # noqa: BLE001 - for whoever waits
                answer.set_exception(error)
            finally:
                self._asking.release()

        clock = pace.now()
        while not self._asking.acquire(timeout=min(pace.SLICE_S, clock.left(pace.SLICE_S))):
            pass
        threading.Thread(target=ask, name="look-up", daemon=True).start()
        while not answer.done():
            wait([answer], min(pace.SLICE_S, clock.left(pace.SLICE_S)))
        return answer.result()


def _block(host: str) -> Network | None:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_network(host)
    return None
