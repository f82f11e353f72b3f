"""The script that counts the house counts right, and its drawing is the one that is shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tools import house

ROOT = Path(__file__).parents[1]
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


def test_the_published_table_is_that_of_the_result() -> None:
    counted = json.loads(house.RESULT.read_text("utf-8"))["revisions"]
    assert house.table(counted) in (ROOT / "docs" / "measured.md").read_text("utf-8")


# ---- the map of docs/architecture.md

MAP = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_the_drawing_is_that_of_the_source() -> None:
    shown = (ROOT / "docs" / "images" / "architecture.svg").read_text("utf-8")
    assert shown == house.drawing(ROOT), (
        "run: python tools/house.py --draw docs/images/architecture.svg"
    )


def test_every_room_is_told_of_on_its_floor() -> None:
    parts = re.split(r"^\*\*(\d): [^*]+\*\*", MAP, flags=re.MULTILINE)
    told = {
        int(n): text.split("\n## ")[0] for n, text in zip(parts[1::2], parts[2::2], strict=True)
    }
    missing = [
        (number, room)
        for number, floor in enumerate(house.floors(ROOT))
        for room in floor
        if room != "__main__" and f"`{room}`" not in told.get(number, "")
    ]
    assert missing == []


def test_every_place_on_the_map_exists() -> None:
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.(?:py|md|po)|(?:[a-z_]+/)+)`", MAP))
    assert len(named) > 40
    of_a_workspace = {"images/", "vectors/", "index/", "models/", "detectors/", "networks/",
                      "calibration/", "journal/", "spool/", "evaluation/", "photos/"}  # fmt: skip
    places = [ROOT / "src" / "lensback", ROOT]
    missing = {n for n in named - of_a_workspace if not any((p / n).exists() for p in places)}
    assert missing == set()
