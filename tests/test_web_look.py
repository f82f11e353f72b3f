"""How the page looks and is installed: its weight, templates of the host, failures in the reader's words."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import pytest

from lensback.settings import Settings
from lensback.web import create_app, pages
from lensback.workspace import Workspace, init

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

STATIC = Path(pages.__file__).parent / "static"
DOCS = Path(__file__).parents[1] / "docs"
HTML = {"Accept": "text/html", "Accept-Language": "ru"}


def test_the_scripts_are_light() -> None:
    sizes = {path.name: path.stat().st_size for path in STATIC.glob("*.js")}
    assert sizes["app.js"] > 5_000
    said = re.search(r"scripts of at most (\d+) kB", (DOCS / "page.md").read_text("utf-8"))
    assert said, "docs/page.md does not say how much"
    assert sum(sizes.values()) <= 1000 * min(60, int(said[1])), sizes


def test_colours_stand_in_one_file() -> None:
    """Others name them; what is white or black on a photo, and the dyes of swatches, are no design."""
    plain = re.compile(r"#[0-9a-f]{3,8}\b", re.IGNORECASE)
    for path in STATIC.glob("*.css"):
        if path.name == "tokens.css":
            continue
        lines = [line for line in path.read_text("utf-8").splitlines() if "--dye" not in line]
        odd = set(plain.findall("\n".join(lines))) - {"#fff", "#000", "#111"}
        assert not odd, (path.name, odd)


def test_a_host_puts_its_own_templates_before_ours(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "home.html").write_text(
        '{% extends "lensback/home.html" %}{% block title %}Our shop{% endblock %}', "utf-8"
    )
    init(tmp_path / "workspace")
    for templates, title in (("", "Lensback"), (str(own), "Our shop")):
        with (
            Workspace(tmp_path / "workspace", Settings(templates=templates)) as workspace,
            TestClient(create_app(workspace)) as client,
        ):
            page = client.get("/", headers={"Accept-Language": "en"}).text
            assert ("Our shop" in page) == (title == "Our shop")
            assert "Skip to the content" in page


@pytest.mark.parametrize(
    ("path", "said", "advice"),
    [("/nowhere", "По этому адресу ничего нет.", "Поищите по фото.")],
)
def test_a_failure_is_said_in_the_readers_words(
    tmp_path: Path, path: str, said: str, advice: str
) -> None:
    init(tmp_path / "workspace")
    with (
        Workspace(tmp_path / "workspace", Settings()) as workspace,
        TestClient(create_app(workspace)) as client,
    ):
        page = client.get(path, headers=HTML).text
        assert f"{said} {advice}" in re.sub(r"\s+", " ", page)


def test_the_page_can_be_installed_and_shared_to(tmp_path: Path) -> None:
    init(tmp_path / "workspace")
    with (
        Workspace(tmp_path / "workspace", Settings()) as workspace,
        TestClient(create_app(workspace)) as client,
    ):
        answer = client.get("/manifest.webmanifest", headers={"Accept-Language": "ru"})
        manifest = answer.json()
        assert answer.headers["content-type"].startswith("application/manifest+json")
        assert (manifest["lang"], manifest["display"]) == ("ru", "standalone")
        assert client.get(manifest["icons"][0]["src"]).status_code == 200
        shared = manifest["share_target"]
        assert (shared["action"], shared["method"]) == ("/", "POST")
        assert shared["params"]["files"][0]["name"] == "photo"
        assert "manifest-src 'self'" in answer.headers["content-security-policy"]
        worker = client.get("/worker.js", headers={"Accept-Language": "ru"})
        assert worker.headers["content-type"].startswith("text/javascript")
        assert "caches" not in worker.text, "nothing is kept, so nothing is out of date"
        page = json.loads(worker.text.partition("const page = ")[2].partition(";\n")[0])
        assert "Нет связи" in page
        assert "--accent" in page
        assert not re.search(r"(src|href)=[\"']?[^\"'\s>]", page), "it needs nothing but itself"
