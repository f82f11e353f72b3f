"""docs/security.md: every test that it names is there, every row says something, and the formats that are told are taken."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from lensback.images import FORMATS
from lensback.web.uploads import SEARCH_BODY

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


def test_the_page_names_tests() -> None:
    assert len(NAMED) > 40
    assert PAGE.count("::") == len(re.findall(r"`tests/[\w/]+\.py::\w+`", PAGE)), "an odd name"


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED}))
def test_every_named_test_is_there(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    there = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name for file, name in NAMED if file == path} <= there


def test_every_row_has_a_test_or_a_reason() -> None:
    rows = [line.split(" | ") for line in PAGE.splitlines() if re.match(r"\| (\d|— \|)", line)]
    assert len(rows) > 35
    for row in rows:
        held = row[-1]
        assert "::" in held or "**" in held or len(held.split()) >= 8, row[0]


def test_the_formats_that_are_taken_are_those_that_are_told() -> None:
    told = str(
        SEARCH_BODY["content"]["multipart/form-data"]["schema"]["properties"]["photo"][
            "description"
        ]
    )
    api = next(
        line
        for line in (ROOT / "docs" / "api.md").read_text("utf-8").splitlines()
        if line.startswith("| `photo` |")
    )
    names = {"WebP": "WEBP", "HEIC": "HEIF"}
    for text in (told, api):
        found = re.findall(r"\b(JPEG|PNG|WebP|AVIF|HEIC|GIF|BMP|TIFF)\b", text)
        assert {names.get(name, name) for name in found} == set(FORMATS)
