"""`1 offer`, never `1 offers`: the sum itself, and that every message goes by it."""

from __future__ import annotations

import ast
import doctest
import re
from pathlib import Path

import pytest

from lensback import counted
from test_floors import FILES

NOUNS = frozenset(
    [
        "answers",
        "backups",
        "cases",
        "clicks",
        "days",
        "differences",
        "entries",
        "events",
        "files",
        "images",
        "keys",
        "lines",
        "numbers",
        "offers",
        "pictures",
        "pieces",
        "postbacks",
        "products",
        "programs",
        "queries",
        "questions",
        "rows",
        "sales",
        "searches",
        "stores",
        "times",
        "vectors",
        "views",
    ]
)
LIMIT = re.compile(r"\b[A-Z_]{3,}\b|\bdim\b|\bwidth\b|\.shape\b|^counted\(")
"""A number that is fixed, or never 1."""
NAMED = re.compile(r"(?:name|title|store|new|old)$")
"""What stands before a verb: `NAME finds its offers`."""


def test_the_module_says_what_its_examples_say() -> None:
    assert doctest.testmod(counted).failed == 0


def unbent(source: str) -> list[str]:
    """Messages in which a number stands before a plural: `{n} offers`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for value, after in zip(*_parts(node), strict=False):
            if not (isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)):
                continue
            said = re.match(r" (?:[a-z]+ )?([a-z]+)\b", str(after.value))
            of = ast.unparse(value.value)
            if said and said[1] in NOUNS and not LIMIT.search(of) and not NAMED.search(of):
                found.append(f"{{{of}}}{after.value}")
    return found


def _parts(node: ast.AST) -> tuple[list[ast.expr], list[ast.expr]]:
    values = node.values if isinstance(node, ast.JoinedStr) else []
    return values, values[1:]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_message_bends_its_noun(path: Path) -> None:
    assert unbent(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ('f"{n} offers"', 1),
        ('f"{len(found)} new sales; {m} rows"', 2),
        ("f\"{counted(n, 'offer')} on sale\"", 0),
        ('f"at most {MOST} offers"', 0),
        ('f"{name} offers {what}"', 0),
    ],
)
def test_such_a_message_is_seen(source: str, wrong: int) -> None:
    assert len(unbent(source)) == wrong
