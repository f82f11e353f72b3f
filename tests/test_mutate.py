"""`make mutate`: the mutants of a file, and what it says of tests that notice them and tests that do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("libcst", reason="make mutate is not installed: requirements-cluster.txt")
pytest.importorskip("mutmut", reason="make mutate is not installed: requirements-cluster.txt")

from tools import mutate

from mutants import Mutant, mutants_of  # `mutate` puts its folder on the path

pytestmark = pytest.mark.slow

SOURCE = '''"""Docstring."""

LIMIT = 3


def fits(n: int, most: int = LIMIT) -> bool:
    """Words."""
    if n < 0:
        raise ValueError("negative", 7)
    return n <= most and n != 2
'''


@pytest.fixture
def mutants(tmp_path: Path) -> list[Mutant]:
    (tmp_path / "m.py").write_text(SOURCE)
    return mutants_of("m", tmp_path / "m.py")


def test_the_mutants_of_a_file(mutants: list[Mutant]) -> None:
    changes = {(one.before, one.after) for one in mutants}
    assert changes == {
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "LIMIT = 2"),
        ("if n < 0:", "if False:"),
        ("if n < 0:", "if n <= 0:"),
        ("if n < 0:", "if n < 1:"),
        ('raise ValueError("negative", 7)', "pass"),
        ("return n <= most and n != 2", "return n <= most or n != 2"),
        ("return n <= most and n != 2", "return n <= most"),
        ("return n <= most and n != 2", "return n != 2"),
        ("return n <= most and n != 2", "return n < most and n != 2"),
        ("return n <= most and n != 2", "return n <= most and n == 2"),
        ("return n <= most and n != 2", "return n <= most and n != 3"),
        ("return n <= most and n != 2", "return n <= most and n != 1"),
    }


def test_a_mutant_is_the_file_with_one_change(mutants: list[Mutant]) -> None:
    one = next(one for one in mutants if one.after == "return n < most and n != 2")
    assert one.key == "m fits: return n <= most and n != 2 -> return n < most and n != 2"
    assert one.source() == SOURCE.replace("n <= most", "n < most")
    assert (one.line, one.ran) == (10, (10, 10))
    limit = next(one for one in mutants if one.after == "LIMIT = 4")
    assert (limit.function, limit.ran) == ("", (0, 0))


def test_the_mutants_of_some_functions_are_those_of_all(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        SOURCE
        + "\n\nclass C:\n    def fits(self):\n        return 5\n\n    def not_fits(self):\n        return 6\n"
    )
    every = {one.key for one in mutants_of("m", tmp_path / "m.py")}
    for only in (["fits"], ["C.fits"], [""], ["C.not_fits", ""]):
        some = {one.key for one in mutants_of("m", tmp_path / "m.py", only)}
        assert some == {key for key in every if key.split(" ")[1].rstrip(":") in only}, only


def test_what_is_noticed_and_what_is_not(tmp_path: Path, mutants: list[Mutant]) -> None:
    """A test of 0 to 4 leaves two mutants alive: nothing asks for -1."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").touch()
    (tmp_path / "tests" / "test_m.py").write_text(
        "from lensback.m import fits\n\n\ndef test_fits():\n"
        "    assert [fits(n) for n in (0, 1, 2, 3, 4)] == [True, True, False, True, False]\n"
    )
    script = f"""
import os
from pathlib import Path
from tools import mutate
here = Path({str(tmp_path)!r})
mutate.KEPT = mutate.ROOT = here
os.chdir(here)
mutate.run(mutate.Target("m", here / "m.py", ("tests/test_m.py",), ""), None)
"""
    root = Path(mutate.__file__).parents[1]
    environ = {**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, check=False, env=environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "m.json").read_text())
    assert {found[one.key]["state"] for one in mutants} == {"killed", "survived"}
    alive = {one.after for one in mutants if found[one.key]["state"] == "survived"}
    assert alive == {"if False:", "pass"}


def test_every_argument_is_about_a_mutant_that_there_is() -> None:
    functions: dict[str, set[str]] = {}
    for key in mutate.argued():
        module, _, function = key.partition(":")[0].partition(" ")
        functions.setdefault(module, set()).add(function)
    paths = {one.name: one.path for one in mutate.targets()}
    there = {
        one.key for name, only in functions.items() for one in mutants_of(name, paths[name], only)
    }
    argued = mutate.argued()
    assert not sorted(argued.keys() - there), "no such mutants any more"
    assert all(len(reason) > 10 for reason in argued.values())
