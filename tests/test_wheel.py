"""The first five minutes of a newcomer, from the built wheel in an environment with what it asks for."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from garments import items
from lensback import __version__
from servers import free_port
from test_backup import SECRET, Load
from test_docs import repository_files
from test_upgrade import KEPT, rows, state
from wheels import ROOT, asked_for, build_wheel, environment, files_in
from world import World

THINGS = items(12)
WITHIN_S = 300


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    source = ROOT / "src" / "lensback"
    ours = {
        str(p.relative_to(source))
        for p in repository_files()
        if p.is_relative_to(source) and p.is_file()
    }
    assert files_in(wheel) == ours
    kinds = {Path(name).suffix for name in ours}
    assert kinds >= {".po", ".html", ".css", ".js", ".onnx", ".toml", ".csv", ".jpg", ".typed"}
    assert {"db/versions/0001_the_first_schema.py", "py.typed"} <= ours


def test_extras_are_no_part_of_the_core(wheel: Path) -> None:
    asked = set(asked_for(wheel))
    assert asked >= {"onnxruntime", "fastapi", "uvicorn", "lancedb"}
    assert not asked & {
        "torch",
        "onnx",
        "aiogram",
        "psycopg",
        "pymilvus",
        "ray",
        "openvino",
        "pytest",
    }


# ---- the walk


@dataclass
class Newcomer:
    """Somebody in an empty folder, whose environment has the wheel and what it asks for."""

    programs: Path
    home: Path
    out: dict[str, str] = field(default_factory=dict)
    next: list[str] = field(default_factory=list)
    """The commands that the output offered, the newest last."""

    @property
    def variables(self) -> dict[str, str]:
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("LENSBACK_", "PYTHON", "VIRTUAL"))
        }
        path = f"{self.programs}{os.pathsep}{kept['PATH']}"
        return {
            **kept,
            "PATH": path,
            "HOME": str(self.home),
            "LENSBACK_ALLOW_HOSTS": "127.0.0.1",
            "LENSBACK_RETRIES": "0",
        }

    def types(self, line: str, name: str = "", code: int = 0) -> str:
        """Runs a line as it stands; its standard output."""
        done = subprocess.run(
            shlex.split(line),
            cwd=self.home,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == code, f"{line}\n{done.stdout}\n{done.stderr}"
        self.out[name or line] = done.stdout
        self.next += re.findall(r"^next[^:]*: (lensback .+)$", done.stdout, re.MULTILINE)
        return done.stdout


@pytest.fixture(scope="module")
def newcomer(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    root = tmp_path_factory.mktemp("newcomer")
    (root / "home").mkdir()
    return Newcomer(environment(root / "lens", wheel), root / "home")


@pytest.fixture(scope="module")
def walked(newcomer: Newcomer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """From the installation to a search, by the commands that each step offers for the next."""
    with World(tmp_path_factory.mktemp("world")) as world:
        feed = world.store("harbour", "google", THINGS, sizes=("S", "M")).feed_url
        newcomer.types("lensback --version", "version")
        newcomer.types("lensback init --workspace shop", "init")
        told = newcomer.next[-1].replace("NAME", "harbour").replace("URL", shlex.quote(feed))
        newcomer.types(told, "dry run")
        newcomer.types(newcomer.next[-1], "add")
        newcomer.types(newcomer.next[-1], "sync")
        newcomer.types(newcomer.next[-1], "example")
        yield newcomer


def test_the_environment_has_nothing_else(newcomer: Newcomer) -> None:
    code = "import importlib.util as u; print([n for n in ('pytest', 'torch', 'psycopg', 'aiogram', 'pip') if u.find_spec(n)])"
    assert newcomer.types(f'python -c "{code}"').strip() == "[]"
    pip = [sys.executable, "-m", "pip", "--python", str(newcomer.programs / "python"), "check"]
    checked = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_each_step_says_the_next(walked: Newcomer) -> None:
    assert walked.out["version"].strip() == __version__
    assert "24 offers, 0 rejected" in walked.out["dry run"]
    assert "nothing written" in walked.out["dry run"]
    assert "connected harbour" in walked.out["add"]
    commands = [line.split()[1] for line in walked.next]
    assert commands == ["store", "store", "sync", "search", "serve"]
    assert all("--workspace shop" in line for line in walked.next)


def test_an_example_of_the_own_catalogue_is_found(walked: Newcomer) -> None:
    shown = walked.out["example"]
    assert re.search(r"^picked: .+ \(harbour:\S+\)$", shown, re.MULTILINE)
    assert "the picked thing was found first" in shown
    answer = json.loads(walked.types("lensback search --example --json --workspace shop"))
    example = answer["example"]
    assert example["place"] == 1
    assert example["store"] == "harbour"
    assert example["offer_id"] in {offer["offer_id"] for offer in answer["hits"][0]["offers"]}
    assert (walked.home / example["photo"]).read_bytes()[:2] == b"\xff\xd8"


PROGRAM_FILE = """network = "generic"
domains = ["harbour.example"]
share = 0.7
currency = "EUR"
[link]
template = "https://track.example/c?s={subid}&to={url}"
[[rates]]
percent = 10
"""


@dataclass
class Served:
    """A server of the wheel, and what it says of itself."""

    base: str
    log: Path


@pytest.fixture(scope="module")
def served(walked: Newcomer) -> Iterator[Served]:
    """By the line that the walk ended with, once clicks are paid for."""
    shop = walked.home / "shop"
    (walked.home / "program.toml").write_text(PROGRAM_FILE)
    walked.types("lensback store set harbour --program program.toml --workspace shop")
    with (shop / "lensback.toml").open("a") as file:
        file.write("rate_limit = 0\nwrite_limit = 0\n")
    (shop / "networks.toml").write_text(f'[generic]\npostback_secret = "{SECRET}"\n')
    (shop / "networks.toml").chmod(0o600)
    port = free_port()
    serve = next(line for line in walked.next if line.startswith("lensback serve"))
    log = walked.home / "serve.log"
    with log.open("w") as told:
        server = subprocess.Popen(
            [*shlex.split(serve), "--port", str(port)],
            cwd=walked.home,
            env=walked.variables,
            stderr=told,
        )
    try:
        base = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=base, trust_env=False, timeout=240) as client:
            _wait(client, server)
        yield Served(base, log)
    finally:
        server.terminate()
        server.wait(timeout=WITHIN_S)


def test_the_page_answers_and_says_what_it_serves(walked: Newcomer, served: Served) -> None:
    with httpx.Client(base_url=served.base, trust_env=False, timeout=240) as client:
        assert "<form" in client.get("/").text
        photo = {"photo": (walked.home / "shop" / "example.jpg").read_bytes()}
        answer = client.post("/api/search", files=photo).json()
    assert answer["hits"][0]["offers"]
    text = served.log.read_text()
    assert f"{served.base}  24 offers of 1 store, encoder eye" in text
    assert "lensback.toml and a new host key after a restart" in text
    end = time.monotonic() + WITHIN_S  # a request is told when its answer is on its way
    while not re.search(r'"POST".*"/api/search"', text):
        assert time.monotonic() < end, text
        time.sleep(0.05)
        text = served.log.read_text()
    assert "Traceback" not in text


def _wait(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + WITHIN_S
    while time.monotonic() < end:
        assert server.poll() is None, "it ended"
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail("not ready in time")


def test_what_was_answered_before_a_backup_is_put_back(walked: Newcomer, served: Served) -> None:
    """Clicks and sales go on while the wheel's own command copies the workspace, twice."""
    answer = json.loads(walked.types("lensback search --example --json --workspace shop"))
    load = Load(served.base, answer["example"]["offer_id"])

    def back_up() -> str:
        made = json.loads(walked.types("lensback backup kept --json --workspace shop"))
        return str(made["id"])

    asked = load.answered(2, back_up)
    walked.types("lensback backup kept --verify --workspace shop")
    assert len({name for name, *_ in asked}) == 2
    for name, clicks, sales in asked:
        walked.types(f"lensback restore kept --backup {name} --workspace {name}")
        walked.types(f"lensback ledger audit --workspace {name}")
        folder = walked.home / name
        kept = {click for (click,) in rows(folder, "SELECT click_id FROM clicks")}
        told = {sale for (sale,) in rows(folder, "SELECT external_id FROM conversions")}
        assert clicks
        assert sales
        assert clicks - kept == set()
        assert sales - told == set()
    stores = json.loads(walked.types(f"lensback store list --json --workspace {name}"))
    assert [(s["name"], s["offers"]) for s in stores] == [("harbour", 24)]


def test_a_workspace_of_0_1_0_goes_on(newcomer: Newcomer) -> None:
    with tarfile.open(KEPT) as packed:
        packed.extractall(newcomer.home / "old", filter="data")
    folder = newcomer.home / "old" / "workspace"
    before = state(folder)
    where = "--workspace old/workspace"
    told = json.loads(newcomer.types(f"lensback sync --json {where}", code=1))
    assert set(told["failed"]) == {"harbour", "lavka"}, "their feeds are gone"
    assert state(folder) == before
    answer = json.loads(newcomer.types(f"lensback search --example --json {where}"))
    assert answer["example"]["place"] == 1
    newcomer.types(f"lensback ledger audit {where}")
