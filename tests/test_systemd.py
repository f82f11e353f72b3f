"""The units of deploy/systemd: systemd finds nothing in them, and what they start is there."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.main

from lensback import cli

UNITS = sorted((Path(__file__).parents[1] / "deploy" / "systemd").glob("lensback-*"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]


def read(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=True, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(path.read_text("utf-8"))
    return unit


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_what_a_unit_starts_is_a_command_of_ours(path: Path) -> None:
    program, *words = shlex.split(read(path)["Service"]["ExecStart"])
    assert program == "/opt/lensback/bin/lensback"
    command = typer.main.get_command(cli.app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
    assert not getattr(command, "commands", None)
    context = command.make_context("lensback", words, resilient_parsing=False)
    assert not context.args


@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.name)
def test_a_unit_is_nobody_of_importance(path: Path) -> None:
    service = read(path)["Service"]
    assert service["User"] == service["Group"] == "lensback"
    assert (service["UMask"], service["NoNewPrivileges"], service["ProtectSystem"]) == (
        "0077",
        "yes",
        "strict",
    )
    assert {"MemoryMax", "TasksMax", "ReadWritePaths"} <= set(service)
    assert "/srv/lensback" in service["ReadWritePaths"].split()


def test_systemd_finds_nothing(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not here")
    for path in UNITS:  # the program is looked for, too, and is not installed where tests run
        text = path.read_text("utf-8").replace("/opt/lensback/bin/lensback", "/bin/true")
        (tmp_path / path.name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / p.name) for p in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    about_ours = [line for line in done.stderr.splitlines() if "lensback" in line]
    assert about_ours == []


def test_every_line_of_doctor_has_its_row() -> None:
    """`store harbour` is of the row `store`; a row that no line has is gone, too."""
    root = Path(__file__).parents[1]
    source = (root / "src" / "lensback" / "doctor.py").read_text("utf-8")
    said = set(re.findall(r'(?:Check\(\s*|part = )f?"([a-z ]+?) ?["{]', source))
    assert len(said) > 12
    page = (root / "docs" / "operate.md").read_text("utf-8")
    table = page.split("## What doctor says")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z ]+)` \|", table, re.MULTILINE)) == said
