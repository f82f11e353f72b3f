"""The line that adds a package fits how this program was installed, and every extra that is named is one."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from lensback import errors, installed

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
ASKED = [
    *PROJECT["dependencies"],
    *(f"{line}; extra == '{extra}'" for extra, lines in EXTRAS.items() for line in lines),
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with pip that no shell has activated."""
    folder = tmp_path / "venvs" / "lensback"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "pip").touch(mode=0o755)
    monkeypatch.setattr(sys, "prefix", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    monkeypatch.setattr(installed, "requires", lambda _: ASKED)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return folder


def hint(package: str, extra: str = "") -> str:
    return errors.MissingExtra(package, extra).hint.removeprefix("run: ")


def test_the_pip_of_an_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hint("aiogram", "bot") == f"{home}/bin/python -m pip install 'aiogram>=3.15'"
    monkeypatch.setenv("PATH", f"{home}/bin:/usr/bin")
    assert hint("aiogram", "bot") == "pip install 'aiogram>=3.15'"
    assert hint("torch", "train") == "pip install 'onnx>=1.17' torch==2.13.0"
    assert hint("psycopg", "postgresql") == "pip install 'psycopg[binary]>=3.2'"


def test_a_package_of_the_core_is_asked_for_alone(home: Path) -> None:
    assert hint("onnxruntime").endswith("-m pip install 'onnxruntime>=1.20'")


def test_an_environment_of_uv_has_no_pip(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda _: None)
    assert hint("ray", "ray") == f"uv pip install --python {home}/bin/python 'ray>=2.40'"


def test_pipx_injects(home: Path) -> None:
    (home / "pipx_metadata.json").write_text("{}")
    assert hint("aiogram", "bot") == "pipx inject lensback 'aiogram>=3.15'"


@pytest.mark.parametrize(
    ("kept", "source"),
    [
        ('{ name = "lensback" }', "lensback"),
        ('{ name = "lensback", extras = ["bot"], specifier = "==0.1.0" }', "'lensback[bot]==0.1.0'"),
        ('{ name = "lensback", directory = "/src/lens back" }', "'/src/lens back'"),
        ('{ name = "lensback", editable = "/src/lensback" }', "--editable /src/lensback"),
        ('{ name = "lensback", path = "/tmp/lensback-0.1.0-py3-none-any.whl" }', "/tmp/lensback-0.1.0-py3-none-any.whl"),
        ('{ name = "lensback", git = "https://git.example/lensback" }', "git+https://git.example/lensback"),
    ],
)  # fmt: skip
def test_uv_installs_the_tool_again_with_all_that_it_had(
    home: Path, kept: str, source: str
) -> None:
    others = '{ name = "psycopg", extras = ["binary"], specifier = ">=3.2" }'
    text = f"[tool]\nrequirements = [{kept}, {others}]\nentrypoints = []\n"
    (home / "uv-receipt.toml").write_text(text)
    expected = f"uv tool install {source} --with 'psycopg[binary]>=3.2' --with 'aiogram>=3.15'"
    assert hint("aiogram", "bot") == expected


def test_sources_without_a_description(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: str) -> list[str]:
        raise PackageNotFoundError

    monkeypatch.setattr(installed, "requires", none)
    assert hint("aiogram", "bot").endswith("install aiogram")


def test_every_extra_that_is_named_exists() -> None:
    source = "\n".join(p.read_text("utf-8") for p in (ROOT / "src").rglob("*.py"))
    named = re.findall(r"MissingExtra\(([^()]+)\)", source)
    calls = [re.findall(r'"([\w-]+)"', call) for call in named]
    extras = {call[-1] for call in calls if len(call) == 2}
    assert extras == {"bot", "milvus", "openvino", "postgresql", "quantize", "ray"} | {"train"}
    assert extras <= set(EXTRAS)
    core = {re.match(r"[\w.-]+", line)[0] for line in PROJECT["dependencies"]}  # type: ignore[index]
    assert {call[0] for call in calls if len(call) == 1} <= core
    docs = "\n".join(
        p.read_text("utf-8") for p in (*(ROOT / "docs").rglob("*.md"), ROOT / "README.md")
    )
    told = {
        name
        for line in re.findall(r"install [^\n`]*(?:lensback|'\.)\[([\w,]+)\]", docs)
        for name in line.split(",")
    }
    assert told <= set(EXTRAS), "docs name an extra that is none"
