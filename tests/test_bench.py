"""Every published figure has a script that exists and starts, and every script and result is told of."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glance
import growth

ROOT = Path(__file__).parents[1]
MEASURED = [ROOT / "docs" / name for name in ("measured.md", "measured-history.md")]
SHARED = {"rig", "plot"}
"""Modules of bench/ that are no script."""
SCRIPTS = sorted(path.stem for path in (ROOT / "bench").glob("*.py") if path.stem not in SHARED)
NAMED = re.compile(r"(?<![\w/])(?:bench|tools)/[\w/]+\.py")


def texts() -> list[Path]:
    """Whatever may name a script: prose, sources, settings of models; the history keeps old names."""
    places = ("docs", "src", "tests", "bench", "tools", "deploy")
    kinds = {".md", ".py", ".toml", ".json", ""}
    found = [path for place in places for path in (ROOT / place).rglob("*") if path.suffix in kinds]
    top = ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml")
    # It names a script of somebody else's repository.
    left_out = {ROOT / "src/lensback/detectors/known/rt-detr.toml"}
    return [path for path in (*found, *(ROOT / name for name in top)) if path.is_file()
            and path not in left_out]  # fmt: skip


def test_every_script_that_is_named_exists() -> None:
    missing = {
        (str(path.relative_to(ROOT)), name)
        for path in texts()
        for name in NAMED.findall(path.read_bytes().decode("utf-8", "replace"))
        if not (ROOT / name).exists() and "NAME" not in name
    }
    assert missing == set()


def test_every_script_is_told_of_where_figures_are() -> None:
    measured = "".join(page.read_text("utf-8") for page in MEASURED)
    assert [name for name in SCRIPTS if f"bench/{name}.py" not in measured] == []


def test_every_result_has_a_script() -> None:
    """`NAME.json` and `NAME_variant.json` are of a script NAME.py in bench/ or tools/; a result of
    another name is named by the script that writes it."""
    sources = {path.stem: path.read_text("utf-8") for place in ("bench", "tools")
               for path in (ROOT / place).rglob("*.py")}  # fmt: skip
    results = [path.stem for path in (ROOT / "bench" / "results").glob("*.json")]
    assert results
    lost = [
        result
        for result in results
        if not any(
            f"{result}_".startswith(f"{name}_")
            or f"/{result}.json" in text
            or f'write("{result}"' in text
            for name, text in sources.items()
        )
    ]
    assert lost == []


def test_the_tables_at_the_top_are_those_of_the_results() -> None:
    assert glance.table() in MEASURED[0].read_text("utf-8"), "write them: python bench/glance.py"


def test_the_readme_says_what_was_measured() -> None:
    """Its own table, of a hundred and in thousandths of a second."""

    def result(name: str) -> Any:
        return json.loads((glance.RESULTS / f"{name}.json").read_text("utf-8"))

    def of_100(share: float) -> int:
        return round(100 * share)

    def between(ends: Sequence[float]) -> str:
        return " to ".join(str(of_100(end)) for end in ends)

    shop = result("madison_editions")["encoders"][1]["figures"]
    first, five = shop["recall_at_1"], shop["recall_at_5"]
    seen = shop["exact_precision"]
    main = glance.told({"at": "distorted > exact_is_right"}, result("main_job_eye_short"))
    page = result("latency_page")
    answer = glance.found(page, "sizes > 200000 > ms > no filter > total > p50")
    readme = (ROOT / "README.md").read_text("utf-8")
    for said in (
        f"first: {of_100(first['value'])} of 100 ({between((first['low'], first['high']))})",
        f"among the first five: {of_100(five['value'])} ({between((five['low'], five['high']))})",
        f"{round(main[0] * main[1])} of {main[1]} times ({between(main[2])} of 100)",
        f"{round(seen['value'] * seen['n'])} of {seen['n']} ({between((seen['low'], seen['high']))}",
        f"{answer:.0f} thousandths of a second",
        f"[{page['photos']} photos]",
    ):
        assert said in readme


def test_growth_is_shown_as_it_was_measured() -> None:
    record = json.loads((growth.RESULTS / "growth.json").read_text("utf-8"))
    assert growth.table(record) in MEASURED[0].read_text("utf-8")
    assert growth.drawn(record) == growth.PLOT.read_text("utf-8")


def test_the_power_of_a_growth() -> None:
    runs = {str(n): [{"read": {"cpu_s": 0.001 * n**1.5}}] for n in (100, 1000, 10_000)}
    assert growth.fitted(runs, "read") == {"power": 1.5, "interval95": [1.5, 1.5], "n": 3}
    assert growth.fitted({"100": runs["100"]}, "read")["power"] is None


def test_pictures_of_a_thing_are_near_and_those_of_others_are_not() -> None:
    real = np.eye(8, dtype=np.float32)
    shown = growth.Shown(real)
    first, again = (f"https://img.s{n}.example/30-0.jpg" for n in growth.shops_of(30))
    addresses = [first, again, first.replace("-0", "-1"), "https://img.s1.example/31-0.jpg"]
    vectors = shown.of(addresses, 1)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    copy, view, other = (float(vectors[0] @ each) for each in vectors[1:])
    assert copy > 0.98
    assert 0.9 < view < copy
    assert other < view


def _settings() -> dict[str, str]:
    return {name: said for name, said in os.environ.items() if name.startswith("LENSBACK_")}


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_starts(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _settings()
    script = importlib.import_module(name)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as left:
        script.main()
    assert left.value.code == 0
    assert _settings() == before, "what is only looked at changes nothing for those after it"
    told = capsys.readouterr().out
    assert f"bench/{name}.py" in told, "its first lines say how it is called"
    assert "--out" in told


@pytest.mark.parametrize(
    "name",
    sorted(p.stem for p in (ROOT / "tools").glob("*.py") if "def main(" in p.read_text("utf-8")),
)
def test_every_tool_starts(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as left:
        importlib.import_module(name).main()
    assert left.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_looks_that_were_taken_are_not_taken_again(tmp_path: Path) -> None:
    """A run that was killed in the middle of a line goes on; of another page nothing is known."""
    pytest.importorskip("playwright")
    seen = importlib.import_module("page_pictures").Seen
    path = tmp_path / "looks.jsonl"
    assert seen(path, "one").known() == {}
    seen(path, "one").add("home 320 px", [])
    seen(path, "one").add("exact 320 px", ['overflow: h3 "Ä"', "target: a"])
    whole = {"home 320 px": [], "exact 320 px": ['overflow: h3 "Ä"', "target: a"]}
    assert seen(path, "one").known() == whole
    with path.open("a", encoding="utf-8") as file:
        file.write('{"none 320 px": ["over')
    assert seen(path, "one").known() == whole
    seen(path, "one").add("none 320 px", [])
    assert seen(path, "one").known()["exact 320 px"] == whole["exact 320 px"]
    assert seen(path, "two").known() == {}
    assert seen(path, "one").known() == {}
