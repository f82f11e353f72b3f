"""Logos of stores: the site's own icon, a picture of the operator's, the letter where there is none."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from lensback import logos
from lensback.catalogue import stores
from lensback.cli import app
from lensback.errors import BadImage, Error, NotFound, TooLarge
from lensback.net import Fetcher
from lensback.settings import Settings
from lensback.web import create_app, marks
from lensback.workspace import Workspace, init
from standin import serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


def picture(side: int = 64, form: str = "PNG", color: str = "red") -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (side, side), color).save(sink, form)
    return sink.getvalue()


@contextmanager
def site(pages: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """A store's site: path -> bytes, or an address to go to instead; and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            found = pages.get(self.path)
            if isinstance(found, str):
                self.send_response(302)
                self.send_header("Location", found)
                body = b""
            else:
                self.send_response(200 if found is not None else 404)
                body = found or b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    allowed = ["127.0.0.1", "localhost"]
    with Fetcher(
        user_agent="Lensback/0.1", allow_hosts=allowed, retries=0, timeout_s=240
    ) as opened:
        yield opened


NAMED = b"""<!doctype html><title>Shop</title><link rel="stylesheet" href="/x.css"><link rel=icon href=/small.png sizes=16x16>
<link rel="shortcut icon" href="/old.ico"><LINK REL="Icon" SIZES="192x192" HREF="/large.png"><link rel="icon" href="/drawn.svg">"""


def test_the_largest_icon_that_the_front_page_names_is_taken(fetcher: Fetcher) -> None:
    pages = {"/": NAMED, "/large.png": picture(192), "/small.png": picture(16)}
    with site(pages) as (base, asked):
        found = logos.icon(fetcher, [f"{base}/shoes/1"])
    assert found == pages["/large.png"]
    assert asked == ["/robots.txt", "/", "/large.png"]


@pytest.mark.parametrize(
    ("pages", "taken"),
    [
        ({"/apple-touch-icon.png": picture(180)}, "/apple-touch-icon.png"),
        ({"/favicon.ico": picture(48)}, "/favicon.ico"),
        (
            {"/": NAMED, "/small.png": picture(16), "/favicon.ico": picture(32, "GIF")},
            "/favicon.ico",
        ),
        ({"/": b"<link rel=icon href='/a'><b", "/a": picture(64, "WEBP")}, "/a"),
        (
            {"/": NAMED, "/large.png": b"<html>no picture", "/favicon.ico": picture(32)},
            "/favicon.ico",
        ),
        ({"/": "/home", "/home": NAMED, "/large.png": picture(99)}, "/large.png"),
        ({"/": b"\xff\xfe\x00<![CDATA[<!DOCTYPE", "/favicon.ico": picture(32)}, "/favicon.ico"),
    ],
)
def test_else_the_places_where_browsers_look(
    fetcher: Fetcher, pages: dict[str, Any], taken: str
) -> None:
    with site(pages) as (base, _):
        assert logos.icon(fetcher, ["", "ftp://x.example/", f"{base}/p"]) == pages[taken]


def test_no_other_host_is_asked_or_believed(fetcher: Fetcher) -> None:
    with site({"/logo.png": picture()}) as (other, asked):
        elsewhere = other.replace("127.0.0.1", "localhost")
        named = f"<link rel=icon href='{elsewhere}/logo.png'>".encode()
        for pages in ({"/": named}, {"/favicon.ico": f"{elsewhere}/logo.png"}):
            with site(pages) as (base, _), pytest.raises(NotFound):
                logos.icon(fetcher, [base])
        assert asked in ([], ["/logo.png"]), (
            "a redirect is followed once, and what it brings is not taken"
        )


@pytest.mark.parametrize(
    "pages",
    [
        {},
        {"/robots.txt": b"User-agent: *\nDisallow: /", "/favicon.ico": picture()},
        {"/favicon.ico": picture(16)},
        {"/favicon.ico": b"<svg onload=alert(1)>"},
        {"/favicon.ico": b"\x00" * (logos.MAX_BYTES + 1)},
    ],
)
def test_what_is_no_icon_is_none(fetcher: Fetcher, pages: dict[str, Any]) -> None:
    with site(pages) as (base, asked), pytest.raises(NotFound):
        logos.icon(fetcher, [f"{base}/p"])
    assert len(asked) <= 2 + logos.MOST_TRIES
    with pytest.raises(NotFound, match="no page"):
        logos.icon(fetcher, [])


def test_a_logo_is_drawn_anew(tmp_path: Path) -> None:
    sent = picture(400, "PNG") + b"<script>evil()</script>"
    logos.keep(tmp_path, "pier", sent)
    kept = logos.path_of(tmp_path, "pier").read_bytes()
    assert b"script" not in kept
    assert max(Image.open(io.BytesIO(kept)).size) == logos.SIDE_PX
    for wrong, error in ((picture(16), BadImage), (b"x", BadImage), (b"\0" * (2 << 20), TooLarge)):
        with pytest.raises(error):
            logos.keep(tmp_path, "pier", wrong)
    assert logos.path_of(tmp_path, "pier").read_bytes() == kept, "what was there stays"


def test_the_command_and_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, own = tmp_path / "workspace", tmp_path / "own.png"
    init(folder)
    own.write_bytes(picture(50))
    monkeypatch.setattr(marks, "FRESH_S", 0.0)
    with Workspace(folder, Settings()) as workspace:
        for name in ("pier", "quay"):
            stores.add(workspace.db, name, "https://s.example/feed.xml")

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["store", "logo", *words, "--workspace", str(folder)])
        refused = isinstance(done.exception, Error)
        return 2 if refused else done.exit_code, done.output

    assert run("pier", str(own))[0] == 0
    assert run("nobody", str(own))[0] == 2
    assert run()[0] == run("pier", "--all")[0] == run("pier", "x", "--remove")[0] == 2
    assert run("quay", str(tmp_path / "none.png"))[0] == 2
    code, said = run("--all")
    assert (code, "quay: none" in said, "pier" in said) == (0, True, False)
    with Workspace(folder, Settings()) as workspace, TestClient(create_app(workspace)) as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        address = service.marks["pier"].logo
        assert service.marks["quay"].logo == ""
        sent = client.get(address)
        assert (sent.status_code, sent.headers["content-type"]) == (200, "image/png")
        assert "immutable" in sent.headers["cache-control"]
        assert client.get("/logos/quay").status_code == 404
        assert client.get("/logos/..%2f..%2flensback.toml").status_code == 404
    renamed = CliRunner().invoke(
        app, ["store", "rename", "pier", "pierre", "--workspace", str(folder)]
    )
    assert renamed.exit_code == 0, renamed.output
    assert logos.path_of(folder, "pierre").is_file()
    assert run("pierre", "--remove") == (0, "the logo of pierre is gone\n")
    assert not logos.path_of(folder, "pierre").exists()
