"""FTP servers that mean harm: each is ended by its limits, feels a stop, and says nothing to a terminal."""

from __future__ import annotations

import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from ftp_servers import ESCAPES, HOSTILE, endless_greeting, ftp_server
from lensback.errors import FetchError, FetchFailed, Stopped, TooLarge
from lensback.net import Fetcher

HANGING = [name for name in HOSTILE if any(w in name for w in ("drip", "silence", "never"))]


def opened(timeout_s: float = 1.0) -> Fetcher:
    return Fetcher(
        user_agent="t", allow_hosts=("127.0.0.1",), timeout_s=timeout_s, retries=0, min_rate=1000
    )


@pytest.mark.parametrize("what", HOSTILE)
def test_its_limits_end_it(what: str, tmp_path: Path) -> None:
    with ftp_server(HOSTILE[what]) as port, opened() as fetcher:
        begin = time.monotonic()
        with pytest.raises((FetchError, TooLarge)) as told:
            fetcher.spool(f"ftp://127.0.0.1:{port}/feed.xml", tmp_path / "f", max_bytes=1 << 20)
        assert time.monotonic() - begin < 240  # the server would go on for as long as it may
    assert told.value.message.isprintable()
    assert len(told.value.message) < 20_000
    kept = tmp_path / "f"
    assert not kept.exists() or kept.stat().st_size <= 1 << 20


def test_a_greeting_without_end_takes_no_memory(tmp_path: Path) -> None:
    with ftp_server(endless_greeting) as port, opened(60) as fetcher:
        tracemalloc.start()
        try:
            with pytest.raises(FetchFailed, match="a reply of more than"):
                fetcher.spool(f"ftp://127.0.0.1:{port}/f", tmp_path / "f", max_bytes=1 << 20)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert most < 8 << 20


@pytest.mark.parametrize("what", HANGING)
def test_a_stop_is_felt_at_once(what: str, tmp_path: Path) -> None:
    with ftp_server(HOSTILE[what]) as port, opened(600) as fetcher:
        timer = threading.Timer(0.5, fetcher.halt.set)
        timer.start()
        begin = time.monotonic()
        with pytest.raises(Stopped):
            fetcher.spool(f"ftp://127.0.0.1:{port}/feed.xml", tmp_path / "f", max_bytes=1 << 20)
        assert time.monotonic() - begin < 300, "it would wait for ten minutes"
        timer.join()


def test_what_it_says_is_shown_without_what_a_terminal_obeys(tmp_path: Path) -> None:
    with (
        ftp_server(HOSTILE["escapes in a refusal"]) as port,
        opened() as fetcher,
        pytest.raises(FetchFailed) as told,
    ):
        fetcher.spool(f"ftp://127.0.0.1:{port}/feed.xml", tmp_path / "f", max_bytes=1 << 20)
    assert "530 login as root" in told.value.message
    assert not set(ESCAPES) & set("\x1b\x07\x9b\u202e\u2028") & set(told.value.message)
