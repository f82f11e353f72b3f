"""One word, one thing: the glossary holds for every name in the package, and names are explained."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "lensback"
Function = ast.FunctionDef | ast.AsyncFunctionDef

FEWEST_WORDS = 4
LEANS = re.compile(r"(the same|see|like|as|of|by|so|and|with|from|for|also|ditto)\b", re.IGNORECASE)
"""How a docstring begins that cannot be understood without another one."""
RIDDLES = ("Nothing happened just now.", "So many bytes came.", "Of cashback.", "What came.")
VAGUE = {"found", "told", "held"}
FOREIGN_METHODS = {"forward", "format", "get_response", "connect_tcp", "reduce"}
"""Methods that a library calls and explains: torch, logging, starlette, httpcore."""


@dataclass(frozen=True)
class Named:
    """A name that the package defines, and where."""

    name: str
    room: str
    where: str


@dataclass(frozen=True)
class Avoided:
    """A word that the glossary replaces by another, and the rooms where it may stand, with why."""

    word: str
    better: str
    rooms: dict[str, str]


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    return [
        (path, ast.parse(path.read_text("utf-8")))
        for path in sorted(SRC.rglob("*.py"))
        if "versions" not in path.parts  # migrations are history
    ]


def room_of(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def names(path: Path, tree: ast.Module) -> Iterator[Named]:
    """Modules, classes, functions, parameters and fields."""

    def named(name: str, line: int) -> Named:
        return Named(name, room_of(path), f"{path.relative_to(SRC)}:{line} {name}")

    yield named(path.stem if path.stem != "__init__" else path.parent.name, 1)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield named(node.name, node.lineno)
        if isinstance(node, Function):
            for arg in ast.walk(node.args):
                if isinstance(arg, ast.arg):
                    yield named(arg.arg, arg.lineno)
        if isinstance(node, ast.ClassDef):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield named(field.target.id, field.lineno)


@cache
def parts(name: str) -> list[str]:
    """The words of an identifier.

    >>> parts("OnnxEncoder"), parts("_best_HTMLScore")
    (['onnx', 'encoder'], ['best', 'html', 'score'])
    """
    split = re.sub(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3_\2\4", name)
    return [part for part in split.lower().split("_") if part]


@cache
def says(name: str, words: str) -> bool:
    """Whether these words stand in the name one after another, in singular or plural."""
    wanted, found = words.split(), parts(name)
    return any(
        all(a in {b, f"{b}s", f"{b}es"} for a, b in zip(found[at:], wanted, strict=False))
        for at in range(len(found) - len(wanted) + 1)
    )


def glossary(text: str) -> list[Avoided]:
    """The table's words that are not to be said. Its last column: `word (room: why, room: why); …`."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    found = []
    for say, _, instead, *more in rows[2:]:
        allowed = more[0] if more else ""
        places: dict[str, dict[str, str]] = {}
        for word, reasons in re.findall(r"([\w ]+) \(([^()]+)\)", allowed):
            rooms = (reason.split(": ") for reason in reasons.split(", "))
            places[word.strip()] = dict(rooms)
        words = [word.strip() for word in re.split("[,/]", instead) if word.strip()]
        found += [Avoided(word, say, places.pop(word, {})) for word in words]
        assert not places, f"allowed, but not in the row's words: {places}"
    return found


AVOIDED = glossary((ROOT / "docs" / "glossary.md").read_text("utf-8"))


@cache
def all_names() -> list[Named]:
    """Of the whole package; no worker works them out while it only collects."""
    return [named for path, tree in trees() for named in names(path, tree)]


def wrong(avoided: Avoided, named: list[Named]) -> list[str]:
    return [
        f"{each.where}: say {avoided.better}"
        for each in named
        if says(each.name, avoided.word) and each.room not in avoided.rooms
    ]


@pytest.mark.parametrize("avoided", AVOIDED, ids=lambda avoided: avoided.word)
def test_a_thing_is_called_by_its_one_word(avoided: Avoided) -> None:
    assert wrong(avoided, all_names()) == []
    used = {named.room for named in all_names() if says(named.name, avoided.word)}
    assert set(avoided.rooms) - used == set(), "allowed where nothing says it"
    assert all(len(why.split()) >= 2 for why in avoided.rooms.values()), "an exception says why"


def doubled(classes: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Names of several classes, from (room, name). What the API sends of a noun has the noun's name."""
    places: dict[str, list[str]] = {}
    for room, name in classes:
        if room != "wire":
            places.setdefault(name, []).append(room)
    return {name: rooms for name, rooms in places.items() if len(rooms) > 1}


def test_no_two_classes_have_one_name() -> None:
    classes = [
        (room_of(path), node.name)
        for path, tree in trees()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert doubled(classes) == {}
    assert doubled([("db", "Part"), ("train", "Part"), ("db", "Row"), ("wire", "Row")]) == {
        "Part": ["db", "train"]
    }


def test_no_name_is_a_bare_participle() -> None:
    """Classes, functions, parameters and fields have the field's noun: candidates, outcome, held_out."""
    bare = [named.where for named in all_names() if named.name.strip("_").lower() in VAGUE]
    assert bare == []


def riddle(docstring: str | None) -> str:
    """Why a stranger does not understand it; empty where nothing tells."""
    if not docstring:
        return "nothing is said"
    first = docstring.split("\n\n")[0]
    if first in RIDDLES:
        return "a riddle"
    if len(re.findall(r"[^\W\d_]{1,}", re.sub(r"`[^`]*`", "code", first))) < FEWEST_WORDS:
        return "too short"
    return "leans on another" if LEANS.match(first) else ""


def public(tree: ast.Module) -> Iterator[tuple[str, ast.ClassDef | Function]]:
    """Classes, functions and methods that other modules may use."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, Function) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def protocol_methods() -> set[str]:
    """Methods of the families, explained once, in their Protocol."""
    families = protocols()
    return {
        name.split(".")[1]
        for _, tree in trees()
        for name, node in public(tree)
        if "." in name and name.split(".")[0] in families and not riddle(ast.get_docstring(node))
    }


def protocols() -> set[str]:
    return {
        node.name
        for _, tree in trees()
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)
    }


def test_everything_public_is_explained() -> None:
    known = protocol_methods() | FOREIGN_METHODS
    unclear = [
        f"{path.relative_to(SRC)}:{node.lineno} {name}: {why}"
        for path, tree in trees()
        for name, node in public(tree)
        if (why := riddle(ast.get_docstring(node)))
        and not (name.split(".")[-1] in known and "." in name and not ast.get_docstring(node))
    ]
    assert unclear == []


@pytest.mark.parametrize(
    ("docstring", "why"),
    [
        (None, "nothing is said"),
        ("", "nothing is said"),
        ("So many bytes came.", "a riddle"),
        ("Every table.", "too short"),
        ("The same with paths: `@id`.", "leans on another"),
        ("By the header, and by the first rows.", "leans on another"),
        ("Names of all tables of the folder.", ""),
        ("The samedi of all samedis.", ""),
    ],
)
def test_riddles_are_found(docstring: str | None, why: str) -> None:
    assert riddle(docstring) == why


def test_a_forbidden_word_is_found() -> None:
    (avoided,) = glossary(
        "| say | means | not | allowed |\n|---|---|---|---|\n"
        "| offer | one row | price list | price list (feeds: a table's own word) |\n"
    )
    named = [Named(name, "rank", name) for name in ("PriceLists", "price_list_id", "listed_price")]
    assert [each.split(":")[0] for each in wrong(avoided, named)] == ["PriceLists", "price_list_id"]
    assert wrong(avoided, [Named("PriceList", "feeds", "")]) == []
