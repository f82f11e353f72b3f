"""Counts the house, and draws it: `python tools/house.py [REVISION ...] [--draw FILE.svg]`.

Without a revision the working tree is counted; with revisions each is taken from git, and the
figures of all of them are written to bench/results/house.json. Nothing of the package is imported:
everything is read from the source by `ast`, so that any revision can be counted.

What is counted, and by which rule:
- lines and files of each part; p50 and p90 of a file's and of a function's lines in `src`;
- circles: sets of modules that import each other, whatever the way: at the top, inside a function
  or under TYPE_CHECKING. `from a import b` is an import of `a.b` where that is a module, else of `a`;
- forms of an offer, a hit, an answer: classes with annotated fields, and functions that write a
  dictionary, which name the idea's own field and enough of its others (`FORMS`);
- double names: a class name that two modules of the package define.
"""

from __future__ import annotations

import argparse
import ast
import html
import io
import json
import math
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RESULT = REPOSITORY / "bench" / "results" / "house.json"
PARTS = ("src", "tests", "bench", "tools")
Graph = dict[str, set[str]]
"""Module -> the modules it imports."""


@dataclass(frozen=True, slots=True)
class Rule:
    """An idea's forms: what names its own field and at least `least` of the others."""

    own: frozenset[str]
    others: frozenset[str]
    least: int


def _rule(own: str, others: str, least: int) -> Rule:
    return Rule(frozenset(own.split()), frozenset(others.split()), least)


FORMS = {
    "an offer": _rule(
        "price price_minor search_price",
        "title url link currency brand color size gtin mpn category availability in_stock store "
        "image images description offer_id external_id old_price old_price_minor cashback go_url",
        3,
    ),
    "a hit": _rule(
        "similarity exact",
        "margin probability match offers product product_id image image_hash title rank",
        3,
    ),
    "an answer": _rule(
        "verdict",
        "hits region regions timings_ms search_id snapshot box photo calibrated",
        2,
    ),
}


# ---- modules and what they import


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package, by its full name."""
    found = {}
    for path in sorted((root / "src").rglob("*.py")):
        parts = path.relative_to(root / "src").with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(tree: ast.AST, module: str, *, package: bool) -> Iterator[tuple[str, str]]:
    """Every import anywhere in a module: where from, and the name taken (empty for `import x`)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            where = node.module or ""
            if node.level:
                above = module.split(".")[: None if package else -1]
                above = above[: len(above) - node.level + 1]
                where = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((where, alias.name) for alias in node.names)


def graph(root: Path) -> Graph:
    """Which module imports which, lazy imports and those for types included."""
    known = modules(root)
    found: Graph = {}
    for name, path in known.items():
        tree, package = ast.parse(path.read_text("utf-8")), path.name == "__init__.py"
        found[name] = set()
        for where, what in imported(tree, name, package=package):
            full = f"{where}.{what}" if f"{where}.{what}" in known else where
            if full in known and full != name:
                found[name].add(full)
    return found


def circles(edges: Graph) -> list[list[str]]:
    """Sets of modules of which each reaches each other one; none where imports go one way."""
    reach = {name: _reached(edges, name) for name in edges}
    found: set[tuple[str, ...]] = set()
    for name, others in reach.items():
        if name in others:
            found.add(tuple(sorted(other for other in others if name in reach[other])))
    return [list(circle) for circle in sorted(found)]


def _reached(edges: Graph, start: str) -> set[str]:
    found: set[str] = set()
    todo = list(edges[start])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += edges[name]
    return found


# ---- counting


def percentile(values: list[int], share: float) -> int:
    """The least value that at least `share` of the values do not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def named(node: ast.AST) -> set[str]:
    """Names of a class's annotated fields and properties, or of the keys a function writes."""
    if isinstance(node, ast.ClassDef):
        fields = {
            one.target.id
            for one in node.body
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        }
        return fields | {
            one.name
            for one in node.body
            if isinstance(one, ast.FunctionDef) and any(map(_is_property, one.decorator_list))
        }
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Dict):
            found |= {str(key.value) for key in part.keys if isinstance(key, ast.Constant)}
        elif isinstance(part, ast.Call) and getattr(part.func, "id", "") == "dict":
            found |= {word.arg for word in part.keywords if word.arg}
    return found


def _is_property(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in {"property", "cached_property", "computed_field"}


def forms(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Idea -> where its forms are, as `module:name`."""
    found: dict[str, list[str]] = {idea: [] for idea in FORMS}
    for module, tree in trees.items():
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        for node in [*nodes, *functions(tree)]:
            names = named(node)
            for idea, rule in FORMS.items():
                if names & rule.own and len(names & rule.others) >= rule.least:
                    found[idea].append(f"{module.removeprefix('lensback.')}:{node.name}")
    return found


def double_names(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Class name -> the modules that define it, where they are several."""
    found: dict[str, list[str]] = {}
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(module.removeprefix("lensback."))
    return {name: places for name, places in sorted(found.items()) if len(places) > 1}


def count(root: Path) -> dict[str, Any]:
    """All figures of one tree."""
    trees = {name: ast.parse(path.read_text("utf-8")) for name, path in modules(root).items()}
    parts: dict[str, dict[str, int]] = {}
    for part in PARTS:
        files = sorted((root / part).rglob("*.py"))
        lines = [path.read_text("utf-8").count("\n") for path in files]
        parts[part] = {"files": len(files), "lines": sum(lines)}
        if part == "src":
            sizes = lines
    spans = [
        (f.end_lineno or f.lineno) - f.lineno + 1 for t in trees.values() for f in functions(t)
    ]
    return {
        "parts": parts,
        "file_lines": {"p50": percentile(sizes, 0.5), "p90": percentile(sizes, 0.9)},
        "functions": len(spans),
        "function_lines": {"p50": percentile(spans, 0.5), "p90": percentile(spans, 0.9)},
        "circles": circles(graph(root)),
        "forms": forms(trees),
        "double_class_names": double_names(trees),
    }


def table(counted: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures side by side, a column for each tree, as a Markdown table."""
    rows: dict[str, list[str]] = {}
    for each in counted.values():
        for part, size in each["parts"].items():
            rows.setdefault(f"lines of {part}", []).append(f"{size['lines']:,}")
            rows.setdefault(f"files of {part}", []).append(str(size["files"]))
        for what in ("file", "function"):
            both = each[f"{what}_lines"]
            name = f"lines of a {what}, p50 / p90"
            rows.setdefault(name, []).append(f"{both['p50']} / {both['p90']}")
        rows.setdefault("import circles", []).append(str(len(each["circles"])))
        for idea, found in each["forms"].items():
            rows.setdefault(f"forms of {idea}", []).append(str(len(found)))
        doubles = each["double_class_names"]
        rows.setdefault("class names used twice", []).append(str(len(doubles)))
    head = [
        "| |" + "|".join(f" {name} " for name in counted) + "|",
        "|---" * (len(counted) + 1) + "|",
    ]
    return "\n".join(
        [*head, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())]
    )


def at_revision(revision: str) -> tuple[str, dict[str, Any]]:
    """The short name of a commit and its figures."""
    git = ["git", "-C", str(REPOSITORY)]
    name = subprocess.run(
        [*git, "rev-parse", "--short=7", revision], capture_output=True, text=True, check=True
    ).stdout.strip()
    packed = subprocess.run([*git, "archive", revision], capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        return name, count(Path(folder))


# ---- the drawing


def floors(root: Path) -> list[list[str]]:
    """The rooms of each floor, the lowest first, as tests/test_floors.py holds them."""
    tree = ast.parse((root / "tests" / "test_floors.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "FLOORS":
            return [sorted(rooms) for rooms in ast.literal_eval(node.value)]
    raise SystemExit("tests/test_floors.py has no FLOORS")


def rooms(edges: Graph) -> Graph:
    """The same imports between rooms: the files and folders right below the package."""
    found: Graph = {}
    for name, others in edges.items():
        room = _room(name)
        if room:
            found.setdefault(room, set())
            found[room] |= {_room(other) for other in others} - {"", room}
    return found


def _room(module: str) -> str:
    return f"{module}.".split(".")[1]


def needed(edges: Graph) -> Graph:
    """Without imports that another way implies: a -> c goes where a -> b -> c is."""
    implied = {
        name: set().union(*(_reached(edges, other) for other in others))
        for name, others in edges.items()
    }
    return {name: others - implied[name] for name, others in edges.items()}


DOORS = ("feeds", "encoders", "detectors", "indexes", "networks")
"""Families of interchangeable members: the rooms where another one is put in."""
BOX, GAP, ROW, LEFT = (84, 26), 10, 52, 92
PER_ROW = 10
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.floor{font-weight:600;fill:#555}"
    "rect{fill:#fff;stroke:#9aa3ad}.door{stroke:#0b66c3;stroke-width:2}.band{stroke:none}"
    "path{fill:none;stroke:#5b6470;stroke-opacity:.35}"
)


def placed(rows: list[list[str]], edges: Graph) -> dict[str, tuple[float, float]]:
    """Left upper corner of every box; each row ordered by where what it imports stands."""
    places: dict[str, tuple[float, float]] = {}
    for height, row in enumerate(rows):  # from the lowest up

        def wish(name: str) -> float:
            below = [places[other][0] for other in sorted(edges[name]) if other in places]
            return sum(below) / len(below) if below else float("inf")

        ordered = sorted(row, key=lambda name: (wish(name), name))
        used = len(row) * (BOX[0] + GAP) - GAP
        start = LEFT + (PER_ROW * (BOX[0] + GAP) - GAP - used) / 2
        for n, name in enumerate(ordered):
            places[name] = (start + n * (BOX[0] + GAP), (len(rows) - 1 - height) * ROW + GAP)
    return places


def drawing(root: Path) -> str:
    """The rooms on their floors and the imports between them, as SVG."""
    edges = needed(rooms(graph(root)))
    edges.pop("__main__", None)
    rows: list[list[str]] = []
    bands: list[int] = []
    for number, floor in enumerate(floors(root)):
        known = [name for name in floor if name in edges]
        parts = [known[at : at + PER_ROW] for at in range(0, len(known), PER_ROW)]
        bands += [number] * len(parts)
        rows += parts
    places = placed(rows, edges)
    width, height = LEFT + PER_ROW * (BOX[0] + GAP), len(rows) * ROW + GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>Rooms of the package on their floors, and what imports what</title>",
        f"<style>{STYLE}</style>",
    ]
    for at, number in enumerate(reversed(bands)):
        shade = "#f4f6f8" if number % 2 else "#e9edf1"
        lines.append(
            f'<rect class="band" y="{at * ROW + GAP / 2:g}" width="{width}" height="{ROW}" style="fill:{shade}"/>'
        )
        if number not in list(reversed(bands))[:at]:
            lines.append(f'<text class="floor" x="10" y="{at * ROW + 28}">floor {number}</text>')
    lines += [
        _line(places[name], places[other])
        for name, others in sorted(edges.items())
        for other in sorted(others)
    ]
    lines += [_box(name, place, edges[name]) for name, place in sorted(places.items())]
    return "\n".join([*lines, "</svg>", ""])


def _box(name: str, place: tuple[float, float], below: set[str]) -> str:
    x, y = place
    kind = ' class="door"' if name in DOORS else ""
    told = html.escape(f"{name} imports {', '.join(sorted(below)) or 'no other room'}")
    return (
        f"<g><title>{told}</title>"
        f'<rect{kind} x="{x:g}" y="{y:g}" width="{BOX[0]}" height="{BOX[1]}" rx="4"/>'
        f'<text x="{x + BOX[0] / 2:g}" y="{y + 17:g}" text-anchor="middle">{name}</text></g>'
    )


def _line(start: tuple[float, float], end: tuple[float, float]) -> str:
    x, y = start[0] + BOX[0] / 2, start[1] + BOX[1]
    to_x, to_y = end[0] + BOX[0] / 2, end[1]
    middle = (y + to_y) / 2
    return f'<path d="M{x:g} {y:g}C{x:g} {middle:g} {to_x:g} {middle:g} {to_x:g} {to_y:g}"/>'


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("revisions", nargs="*", help="commits to count; the working tree without")
    parser.add_argument("--draw", type=Path, help="write the drawing there, and count nothing")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    asked = parser.parse_args()
    if asked.draw:
        asked.draw.write_text(drawing(REPOSITORY), "utf-8")
        return
    counted = dict(map(at_revision, asked.revisions)) or {"working tree": count(REPOSITORY)}
    print(json.dumps(counted, indent=2) if asked.json else table(counted))
    if asked.revisions:
        when = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"name": "house", "date": when, "revisions": counted}
        RESULT.write_text(json.dumps(record, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
