"""Large files on their way in: resumed where they stopped, never glued from two versions."""

from __future__ import annotations

import gzip
import json
import random
import re
import resource
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lensback.errors import FetchFailed, FetchRefused, FetchTimeout, StateError, Stopped, TooLarge
from lensback.net import Fetcher
from lensback.net.spool import Spool
from test_net import Shop, opened, serving

BODY = random.Random(3).randbytes(300_000)


class Shelf:
    """A page that knows ranges and versions; hangs up after `hangs_after` bytes while that is set."""

    def __init__(self, shop: Shop, path: str = "/feed.xml") -> None:
        self.body, self.tag, self.ranges = BODY, '"1"', True
        self.hangs_after = 0
        self.sent: list[tuple[int, int]] = []
        self.url = shop.url + path
        shop.pages[path] = self.answer

    def answer(self, handler) -> None:  # type: ignore[no-untyped-def]
        wanted = handler.headers
        if wanted.get("If-None-Match") == self.tag and self.tag:
            handler.send_response(304)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        found = re.fullmatch(r"bytes=(\d+)-", wanted.get("Range", ""))
        begin = int(found[1]) if found else 0
        part = bool(found) and self.ranges and wanted.get("If-Range", self.tag) == self.tag
        begin = begin if part else 0
        data = self.body[begin:]
        handler.send_response(206 if part else 200)
        handler.send_header("Content-Length", str(len(data)))
        if part:
            whole = len(self.body)
            handler.send_header("Content-Range", f"bytes {begin}-{whole - 1}/{whole}")
        if self.tag:
            handler.send_header("ETag", self.tag)
        handler.end_headers()
        self.sent.append((begin, len(data)))
        handler.wfile.write(data[: self.hangs_after] if self.hangs_after else data)
        if self.hangs_after:
            handler.wfile.flush()
            handler.connection.close()
            handler.close_connection = True


@pytest.fixture
def shop() -> Iterator[Shop]:
    with serving(Shop()) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "7.feed"


def broken_off(shelf: Shelf, path: Path) -> None:
    """A run that ends in the middle, as a kill would leave it."""
    shelf.hangs_after = 100_000
    with opened(retries=0) as fetcher, pytest.raises(FetchFailed):
        fetcher.spool(shelf.url, path, max_bytes=1 << 20)
    shelf.hangs_after = 0
    assert 0 < path.stat().st_size < len(BODY)


def test_the_next_run_goes_on_where_the_last_one_stopped(shop: Shop, path: Path) -> None:
    shelf = Shelf(shop)
    broken_off(shelf, path)
    had = path.stat().st_size
    with opened() as fetcher:
        got = fetcher.spool(shelf.url, path, max_bytes=1 << 20)
    assert path.read_bytes() == BODY
    assert shelf.sent[-1] == (had, len(BODY) - had)
    assert (got.status, got.size) == (206, len(BODY) - had)


def test_retries_of_one_run_go_on_too(shop: Shop, path: Path) -> None:
    shelf = Shelf(shop)
    shelf.hangs_after = 150_000
    with opened(retries=3) as fetcher:
        fetcher.spool(shelf.url, path, max_bytes=1 << 20)
    assert path.read_bytes() == BODY
    assert shelf.sent[0][0] == 0
    assert shelf.sent[1][0] > 0


@pytest.mark.parametrize("change", ["tag", "no ranges", "no tag", "shorter"])
def test_another_version_begins_anew(shop: Shop, path: Path, change: str) -> None:
    shelf = Shelf(shop)
    if change == "no tag":
        shelf.tag = ""
    broken_off(shelf, path)
    shelf.body = BODY[::-1][:50_000] if change == "shorter" else BODY[::-1]
    if change == "no ranges":
        shelf.ranges = False
    elif change != "no tag":
        shelf.tag = '"2"'
    with opened() as fetcher:
        fetcher.spool(shelf.url, path, max_bytes=1 << 20)
    assert path.read_bytes() == shelf.body


def test_a_server_that_sends_another_part_is_not_believed(shop: Shop, path: Path) -> None:
    shelf = Shelf(shop)
    broken_off(shelf, path)
    shop.page("/feed.xml", b"x" * 10, 206, Content_Range="bytes 5-14/300000", ETag='"1"')
    with opened(retries=0) as fetcher, pytest.raises(FetchFailed, match="another part"):
        fetcher.spool(shelf.url, path, max_bytes=1 << 20)
    assert not path.exists()


def test_unchanged_is_304_and_leaves_nothing(shop: Shop, path: Path) -> None:
    shelf = Shelf(shop)
    with opened() as fetcher:
        first = fetcher.spool(shelf.url, path, max_bytes=1 << 20)
        path.unlink()
        again = fetcher.spool(shelf.url, path, max_bytes=1 << 20, etag=first.etag)
    assert (again.status, path.exists(), len(shelf.sent)) == (304, False, 1)


def test_a_file_that_came_whole_before_a_kill_is_not_fetched_again(shop: Shop, path: Path) -> None:
    shelf = Shelf(shop)
    with opened() as fetcher:
        fetcher.spool(shelf.url, path, max_bytes=1 << 20)
        again = fetcher.spool(shelf.url, path, max_bytes=1 << 20, etag='"0"')
    assert (again.status, again.etag, again.size) == (200, '"1"', 0)
    assert (path.read_bytes(), len(shelf.sent)) == (BODY, 1)


def test_another_address_never_goes_on_from_this_ones_part(shop: Shop, path: Path) -> None:
    broken_off(Shelf(shop), path)
    other = Shelf(shop, "/other.xml")
    with opened() as fetcher:
        fetcher.spool(other.url, path, max_bytes=1 << 20)
    assert other.sent == [(0, len(BODY))]


def test_the_note_holds_no_secret(shop: Shop, path: Path) -> None:
    shelf = Shelf(shop, "/feed.xml")
    with opened() as fetcher:
        fetcher.spool(shelf.url + "?token=s3cret-word", path, max_bytes=1 << 20)
    assert "s3cret" not in path.with_suffix(".json").read_text()


def test_the_cap_holds_over_resumed_parts(shop: Shop, path: Path) -> None:
    shelf = Shelf(shop)
    broken_off(shelf, path)
    with opened() as fetcher, pytest.raises(TooLarge):
        fetcher.spool(shelf.url, path, max_bytes=200_000)
    assert not path.exists()


def test_gzip_on_the_way_is_kept_as_it_came(shop: Shop, path: Path) -> None:
    data = gzip.compress(BODY)
    url = shop.page("/z", data, Content_Encoding="gzip", ETag='"z"')
    with opened() as fetcher:
        fetcher.spool(url, path, max_bytes=1 << 20)
    assert gzip.decompress(path.read_bytes()) == BODY


def test_a_server_that_drips_is_given_up_at_its_rate(shop: Shop, path: Path) -> None:
    gone = threading.Event()

    def drip(handler) -> None:  # type: ignore[no-untyped-def]
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not gone.wait(0.05):
            handler.wfile.write(b"x")

    shop.pages["/drip"] = drip
    with (
        opened(timeout_s=2.0, min_rate=500.0, retries=5) as fetcher,
        pytest.raises(FetchTimeout, match="500 bytes a second"),
    ):
        fetcher.spool(shop.url + "/drip", path, max_bytes=1 << 20)
    gone.set()
    assert len(shop.asked) == 1, "what is slow is not tried again at once"


def test_halt_ends_a_fetch_within_a_moment(shop: Shop, path: Path) -> None:
    waiting = threading.Event()
    shop.pages["/silent"] = lambda _handler: waiting.wait(240) and None
    with opened(timeout_s=240) as fetcher:
        threading.Timer(0.3, fetcher.halt.set).start()
        with pytest.raises(Stopped):
            fetcher.spool(shop.url + "/silent", path, max_bytes=1 << 20)
    waiting.set()


def test_a_full_disk_says_so_and_gives_its_room_back(shop: Shop, path: Path) -> None:
    """RLIMIT_FSIZE stands for the disk: a write beyond it fails as one on a full disk does."""
    shelf = Shelf(shop)
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, kept[1]))
    try:
        with opened() as fetcher, pytest.raises(StateError, match="disk is full") as told:
            fetcher.spool(shelf.url, path, max_bytes=1 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    assert "free some space" in told.value.hint
    assert not path.exists()
    with opened() as fetcher:
        fetcher.spool(shelf.url, path, max_bytes=1 << 20)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("text", ["", "{", "[]", '{"source": 1}', "null"])
def test_a_damaged_note_is_no_note(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_bytes(b"part")
    path.with_suffix(".json").write_text(text)
    spool = Spool(path, "http://s.example/feed")
    assert (spool.size, spool.headers()) == (0, {})


# ---- FTP


class FtpHandler(socketserver.StreamRequestHandler):
    """As much of an FTP server as a feed needs (RFC 959, 2428, 3659)."""

    server: Ftp

    def handle(self) -> None:
        self.say("220 ready")
        rest, listener = 0, None
        while line := self.rfile.readline().decode().strip():
            word, _, value = line.partition(" ")
            self.server.said.append(line)
            if word == "USER":
                self.say("331 password?")
            elif word == "PASS":
                self.say("230 in" if value in ("guest@", "pa ss") else "530 no")
            elif word == "SIZE":
                self.say(f"213 {len(self.server.body)}" if value == "feed.xml" else "550 no file")
            elif word == "MDTM":
                self.say(f"213 {self.server.stamp}")
            elif word in ("EPSV", "PASV"):
                listener = socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler)
                port = listener.server_address[1]
                told = f"127,0,0,1,{port >> 8},{port & 255}" if word == "PASV" else f"|||{port}|"
                self.say(f"{227 if word == 'PASV' else 229} ok ({told})")
            elif word == "REST":
                rest = int(value)
                self.say("350 ok")
            elif word == "RETR" and listener:
                self.say("150 comes")
                connection, _ = listener.get_request()
                data = self.server.body[rest:]
                with connection:
                    connection.sendall(
                        data[: self.server.hangs_after] if self.server.hangs_after else data
                    )
                listener.server_close()
                self.say("426 cut" if self.server.hangs_after else "226 done")
            else:
                self.say("200 ok")

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


class Ftp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        self.body, self.stamp, self.hangs_after = BODY, "20261124100000", 0
        self.said: list[str] = []
        super().__init__(("127.0.0.1", 0), FtpHandler)

    def handle_error(self, *_: object) -> None:
        """Who hangs up is no news."""

    @property
    def url(self) -> str:
        return f"ftp://reader:pa%20ss@127.0.0.1:{self.server_address[1]}/feed.xml"


@pytest.fixture
def ftp() -> Iterator[Ftp]:
    with serving(Ftp()) as server:
        yield server


def test_ftp_resumes_and_knows_what_is_unchanged(ftp: Ftp, path: Path) -> None:
    ftp.hangs_after = 100_000
    with opened(retries=0) as fetcher:
        with pytest.raises(FetchFailed):
            fetcher.spool(ftp.url, path, max_bytes=1 << 20)
        ftp.hangs_after = 0
        got = fetcher.spool(ftp.url, path, max_bytes=1 << 20)
        assert path.read_bytes() == BODY
        assert "REST 100000" in ftp.said
        path.unlink()
        again = fetcher.spool(ftp.url, path, max_bytes=1 << 20, etag=got.etag)
        assert (again.status, path.exists()) == (304, False)
        ftp.stamp = "20261124110000"
        changed = fetcher.spool(ftp.url, path, max_bytes=1 << 20, etag=got.etag)
    assert (changed.status, path.read_bytes()) == (200, BODY)


def test_ftp_hides_its_password_and_keeps_to_the_cap(ftp: Ftp, path: Path) -> None:
    with opened(retries=0) as fetcher:
        with pytest.raises(FetchFailed) as told:
            fetcher.spool(ftp.url.replace("pa%20ss", "wrong-word"), path, max_bytes=1 << 20)
        assert "wrong-word" not in told.value.message + told.value.url
        with pytest.raises(TooLarge):
            fetcher.spool(ftp.url, path, max_bytes=1000)
        with pytest.raises(FetchFailed, match="550"):
            fetcher.spool(ftp.url.replace("feed.xml", "other.xml"), path, max_bytes=1 << 20)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://10.0.0.1/feed",
        "ftp://169.254.169.254/x",
        "ftp:///feed",
        "ftp://h.example/a%0d%0aDELE b",
    ],
)
def test_ftp_goes_nowhere_private(url: str, path: Path) -> None:
    with Fetcher(user_agent="t") as fetcher, pytest.raises(FetchRefused):
        fetcher.spool(url, path, max_bytes=1000)


def test_what_is_kept_beside_a_part_is_json(shop: Shop, path: Path) -> None:
    broken_off(Shelf(shop), path)
    note = json.loads(path.with_suffix(".json").read_text())
    assert (note["etag"], note["whole"]) == ('"1"', False)
