"""Imports go down only, heavy libraries live in one place, and `import lensback` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from tools.house import circles, graph, imported

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "lensback"
FLOORS = [
    {
        "errors",
        "types",
        "quiet",
        "legible",
        "storepage",
        "letters",
        "gunzip",
        "colors",
        "decimals",
        "installed",
        "counted",
        "memory",
        "mapped",
    },
    {
        "settings",
        "children",
        "net",
        "log",
        "db",
        "durable",
        "wire",
        "journal",
        "engines",
        "lancedata",
        "livefile",
        "once",
        "checked",
        "retry",
        "tokens",
        "lanes",
        "headstart",
        "profiles",
        "gtins",
        "stems",
        "schedule",
        "fleeting",
        "session",
        "shelves",
    },
    {
        "catalogue",
        "client",
        "images",
        "likeness",
        "vectors",
        "distort",
        "rank",
        "robots",
        "metrics",
        "speech",
        "promise",
        "terms",
        "exchange",
        "ledger",
        "keys",
        "grants",
        "deeds",
        "networks",
        "feeds",
        "encoders",
        "detectors",
        "indexes",
    },
    {"questions", "showings", "verdicts", "comparison", "lines"},
    {
        "ingest",
        "download",
        "logos",
        "telling",
        "embed",
        "group",
        "publish",
        "search",
        "cashback",
        "conversions",
        "people",
        "programs",
        "backup",
        "lessons",
    },
    {"workspace", "demo", "calibrate", "settled"},
    {"sync", "spread", "doctor", "train", "evaluate", "pulling", "prune"},
    {"showcase", "service", "bot", "web", "console"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = {
    "onnxruntime": {"session"},
    "openvino": {"session"},
    "torch": {"train"},
    "scipy": {"metrics", "train"},
    "lancedb": {"lancedata"},
    "faiss": {"indexes"},
    "pyarrow": {"lancedata", "vectors", "indexes", "backup"},
    "pymilvus": {"indexes"},
    "psycopg": {"db"},
    "ray": {"spread"},
    "fastapi": {"web"},
    "starlette": {"web"},
    "uvicorn": {"web"},
    "jinja2": {"web", "evaluate"},
    "babel": {"speech"},
    "aiogram": {"bot"},
    "prometheus_client": {"web"},
    "lxml": {"feeds", "networks"},
    "httpx": {"net", "client"},
    "httpcore": {"net"},
    "sqlalchemy": {"db", "catalogue", "ledger", "evaluate", "grants", "deeds", "people", "lessons"},
    "alembic": {"db"},
    "pillow_heif": {"images"},
    "zxingcpp": {"images"},
    "rapidocr": {"images"},
    "snowballstemmer": {"stems"},
    "typer": {"cli"},
    "rich": {"cli", "console"},
}
ONE_PLACE = {
    "tomllib": {"checked", "installed"},
    "hmac": {"tokens"},
    "iso4217": {"types"},
    "croniter": {"schedule"},
    "gettext": {"speech"},
}
"""Light ones that an idea stands on: whoever needs it asks the room that has it."""


def room_of(path: Path) -> str:
    part = path.relative_to(SRC).parts[0]
    return part.removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Full names of everything imported anywhere in the file, also inside functions and for types."""
    package = path.name == "__init__.py"
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    module = ".".join(parts[:-1] if package else parts)
    found = imported(ast.parse(path.read_text("utf-8")), module, package=package)
    return [f"{where}.{what}" if what else where for where, what in found]


FILES = sorted(path for path in SRC.rglob("*.py") if path != SRC / "__init__.py")


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_go_down(path: Path) -> None:
    room = room_of(path)
    for name in imports(path):
        if not name.startswith("lensback."):
            continue
        other = name.split(".")[1]
        if other in {room, "__version__"}:
            continue
        verb_of_one_floor = FLOOR[room] == FLOOR[other] <= 1  # ground rooms build on these
        assert FLOOR[other] < FLOOR[room] or (
            verb_of_one_floor and other in {"log", "checked", "durable", "legible", "installed"}
        ), f"{room} (floor {FLOOR[room]}) imports {other} (floor {FLOOR[other]})"


def test_modules_import_in_no_circle() -> None:
    """Imports inside functions and for types count as well: they hide a circle, they do not open it."""
    found = [{name.removeprefix("lensback.") for name in each} for each in circles(graph(ROOT))]
    assert found == []


@pytest.mark.parametrize(
    ("first", "second", "circle"),
    [
        ("from a import second", "from a import first", True),
        ("import a.second", "def f():\n    from a.first import x", True),
        (
            "from a.second import x",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .first import y",
            True,
        ),
        ("from a.second import x", "from . import third", True),
        ("from a.second import x", "from a import third as first", False),
        ("from a.second import x", "import json", False),
    ],
)
def test_a_circle_is_seen(tmp_path: Path, first: str, second: str, circle: bool) -> None:
    folder = tmp_path / "src" / "a"
    folder.mkdir(parents=True)
    third = "from a.first import y" if "from . import" in second else ""
    for name, text in (("__init__", ""), ("first", first), ("second", second), ("third", third)):
        (folder / f"{name}.py").write_text(text)
    found = circles(graph(tmp_path))
    assert bool(found) == circle
    assert all({"a.first", "a.second"} <= set(each) for each in found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_library_lives_in_the_rooms_that_are_for_it(path: Path) -> None:
    for name in imports(path):
        allowed = (HEAVY | ONE_PLACE).get(name.split(".")[0])
        assert allowed is None or room_of(path) in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_house_rules(path: Path) -> None:
    source = path.read_text("utf-8")
    assert source.count("\n") <= 500, "files stay under 500 lines"
    tree = ast.parse(source)
    assert ast.get_docstring(tree), "a module says what it is for"
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree)), "no assert on input"


def test_import_is_light() -> None:
    code = (
        "import sys, lensback, lensback.cli\n"
        f"heavy = set({sorted(HEAVY)}) - {{'typer', 'rich', 'sqlalchemy', 'httpx', 'httpcore'}}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    code = "import sys, lensback.net, lensback.client; print(sorted({'rich', 'pygments', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", "the command line of httpx is nobody's business here"
    code = "import sys, lensback; print(sorted({'numpy', 'PIL', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
