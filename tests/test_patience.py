"""No test hangs on how busy the machine is: who waits for something waits for minutes, and how much work a
thing is, is told in pieces of work (`effort.py`), by a clock of the test's own (`clock.py`) or by a count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAUSE_S, PATIENCE_S = 4, 60
"""What is shorter is a pause, what is longer is patience; what lies between is a guess at the machine."""
NAMED = {"timeout", "seconds", "within_s", "for_s"}
PLACES = {
    "wait": 0,
    "join": 0,
    "acquire": 0,
    "settimeout": 0,
    "until": 1,
    "wait_for": 1,
    "result": 0,
}
"""The place among a call's arguments that says how long it waits."""
WAITING = {*PLACES, "communicate", "retried", "urlopen", "create_connection", "HTTPConnection", "Client",
           "get", "post", "run"}  # fmt: skip
CLOCKS = ("monotonic()", "perf_counter()")


def seconds(node: ast.expr | None) -> float:
    """A number that stands there; 0 for anything else."""
    value = node.value if isinstance(node, ast.Constant) else None
    return float(value) if isinstance(value, int | float) else 0.0


def waits(call: ast.Call) -> Iterator[ast.expr]:
    """What tells a call how long to wait."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in WAITING:
        yield from (keyword.value for keyword in call.keywords if keyword.arg in NAMED)
        yield from call.args[PLACES.get(name, 99) :][:1]


def guesses(tree: ast.AST) -> Iterator[int]:
    """The lines that guess how fast the machine is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if any(PAUSE_S <= seconds(said) < PATIENCE_S for said in waits(node)):
                yield node.lineno
            if ast.unparse(node.func) == "time.process_time":
                yield node.lineno
        elif isinstance(node, ast.Compare) and isinstance(node.ops[-1], ast.Lt | ast.LtE):
            timed = any(clock in ast.unparse(node.left) for clock in CLOCKS)
            if timed and 0 < seconds(node.comparators[-1]) < PATIENCE_S:
                yield node.lineno
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            timed = any(clock in ast.unparse(node.left) for clock in CLOCKS)
            if timed and PAUSE_S <= seconds(node.right) < PATIENCE_S:
                yield node.lineno


def test_no_test_guesses_how_fast_the_machine_is() -> None:
    found = {
        f"{path.relative_to(TESTS)}:{line}"
        for path in TESTS.rglob("*.py")
        for line in guesses(ast.parse(path.read_text("utf-8")))
    }
    assert found == set()


@pytest.mark.parametrize(
    ("line", "is_guess"),
    [
        ("process.wait(20)", True),
        ("thread.join(timeout=10)", True),
        ("wait_for(ready, 30)", True),
        ("httpx.get(url, timeout=5)", True),
        ("assert time.monotonic() - begin < 5", True),
        ("end = time.monotonic() + 20", True),
        ("begin = time.process_time()", True),
        ("process.wait(240)", False),
        ("done.wait(0.3)", False),
        ("assert time.monotonic() - begin >= 1", False),
        ("end = time.monotonic() + 240", False),
        ("Fetcher(timeout_s=5)", False),
    ],
)
def test_a_guess_is_seen(line: str, is_guess: bool) -> None:
    assert bool(list(guesses(ast.parse(line)))) == is_guess
