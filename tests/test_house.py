"""The script that counts the house counts right, and its drawing is the one that is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import house

OFFER = """
class Offer:
    title: str
    price: int
    url: str
    brand: str
"""
AS_JSON = """
def shown(offer):
    return {"title": offer.title, "price": 1, "link": "", "store": "a"}
"""
TOO_FEW = """
class Price:
    price: int
    url: str
    title: str
"""
NO_PRICE = """
def asked():
    return dict(title="", url="", brand="", store="")
"""


def tree(folder: Path, **files: str) -> Path:
    package = folder / "src" / "lensback"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    return folder


def test_forms_are_classes_and_dictionaries_with_the_fields(tmp_path: Path) -> None:
    root = tree(tmp_path, one=OFFER, two=AS_JSON, three=TOO_FEW, four=NO_PRICE)
    found = house.count(root)["forms"]
    assert found == {"an offer": ["one:Offer", "two:shown"], "a hit": [], "an answer": []}


def test_lines_functions_and_double_names(tmp_path: Path) -> None:
    function = "def f():\n    x = 1\n    return x\n"
    root = tree(tmp_path, one=OFFER, two=OFFER + function, three=function * 2)
    found = house.count(root)
    assert found["parts"]["src"] == {"files": 4, "lines": 0 + 6 + 9 + 6}
    assert found["parts"]["tests"] == {"files": 0, "lines": 0}
    assert found["functions"] == 3
    assert found["function_lines"] == {"p50": 3, "p90": 3}
    assert found["double_class_names"] == {"Offer": ["one", "two"]}
    assert found["circles"] == []


@pytest.mark.parametrize(
    ("values", "share", "right"),
    [([], 0.5, 0), ([4], 0.9, 4), ([3, 1, 2], 0.5, 2), (list(range(1, 11)), 0.9, 9)],
)
def test_percentile(values: list[int], share: float, right: int) -> None:
    assert house.percentile(values, share) == right


def test_an_import_that_another_way_implies_is_not_drawn() -> None:
    edges = {"a": {"b", "c"}, "b": {"c"}, "c": set[str](), "d": {"a", "c"}}
    assert house.needed(edges) == {"a": {"b"}, "b": {"c"}, "c": set(), "d": {"a"}}
