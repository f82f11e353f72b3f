"""Connections to checked addresses only, every step of them within the fetch's pace."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from lensback.net import pace
from lensback.net.addresses import Guard


class Transport(httpx.HTTPTransport):
    """httpx over our backend. Used without `httpx.Client`, which would log whole addresses,
    keep cookies of one store for the next, and follow redirects by itself."""

    def __init__(self, guard: Guard, trust: ssl.SSLContext | None) -> None:
        trust = trust or httpx.create_ssl_context(trust_env=False)
        super().__init__(verify=trust, trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=trust,
            max_connections=None,
            max_keepalive_connections=64,
            keepalive_expiry=5.0,
            network_backend=PinnedBackend(guard),
        )


class PinnedBackend(httpcore.SyncBackend):
    """Resolves, checks every address, and connects to one of those checked."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        with _late_is(httpcore.ConnectTimeout):
            found = self._guard.addresses(host, port)
        for address in found:
            with _late_is(httpcore.ConnectTimeout):
                limit = pace.now().left(timeout)
            try:
                stream = super().connect_tcp(address, port, limit, local_address, socket_options)
                return _Stream(stream)
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")


class _Stream(httpcore.NetworkStream):
    """A connection whose every step ends at the deadline of the fetch that uses it."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Waits in slices, so that a stop is felt at once and not after the time-out."""
        clock = pace.now()
        end = time.monotonic() + timeout if timeout is not None else None
        while True:
            with _late_is(httpcore.ReadTimeout):
                step = None if end is None else max(0.001, end - time.monotonic())
                limit = min(pace.SLICE_S, clock.left(step))
            try:
                data = self._inner.read(max_bytes, limit)
            except httpcore.ReadTimeout:
                if end is not None and time.monotonic() >= end:
                    raise
                data = None
            with _late_is(httpcore.ReadTimeout):
                clock.note(len(data or b""))
            if data is not None:
                return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _late_is(httpcore.WriteTimeout):
            limit = pace.now().left(timeout)
        self._inner.write(buffer, limit)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        with _late_is(httpcore.ConnectTimeout):
            limit = pace.now().left(timeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, limit))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


@contextmanager
def _late_is(kind: Callable[[str], Exception]) -> Any:
    """Our Late as the error that httpcore expects at this place."""
    try:
        yield
    except pace.Late as late:
        raise kind(str(late)) from late
