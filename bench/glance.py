"""The table at the top of docs/measured.md, written from bench/results: `python bench/glance.py`.

bench/glance.toml says which figures and where they lie; a test holds that the page says what the results say.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rig import REPOSITORY, RESULTS, arguments

ROWS = Path(__file__).with_suffix(".toml")
PAGE = REPOSITORY / "docs" / "measured.md"
HEAD = "## At a glance\n"
COLUMNS = ("what", "figure", "n", "95 %", "machine", "measured at")


def found(record: Any, path: str) -> Any:
    """What lies at `a > b > 0`: names of dictionaries, places of lists."""
    for step in path.split(" > "):
        record = record[int(step)] if isinstance(record, list) else record[step]
    return record


def told(row: Mapping[str, Any], record: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Value, number of cases and interval of a row; None for what is not known."""
    value, n, interval = found(record, row["at"]), None, None
    if isinstance(value, dict) and "share" in value:
        value, n, interval = value["share"], value["n"], value["interval95"]
    elif isinstance(value, dict):
        value, n, interval = value["value"], value["n"], (value["low"], value["high"])
    elif isinstance(value, list):
        value, n, interval = value[0], value[3], value[1:3]
    if "over" in row:
        value /= found(record, row["over"])
    n = found(record, row["n"]) if "n" in row else n
    return value, n, found(record, row["interval"]) if "interval" in row else interval


def shown(value: float, row: Mapping[str, Any]) -> str:
    """The number as the row wants it: three digits, or of a hundred."""
    if row.get("as") == "%":
        return f"{100 * value:.1f}".removesuffix(".0")
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 100 else f"{value:,.0f}"


def line(row: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """One row of the table."""
    value, n, interval = told(row, record)
    percent = " %" if row.get("as") == "%" else ""
    aims = [f"at {name} {shown(row[name], row)}" for name in ("least", "most") if name in row]
    aim = f" (aim: {aims[0]}{percent})" if aims else ""
    ends = f"{shown(interval[0], row)} to {shown(interval[1], row)}{percent}" if interval else ""
    machine = row["machine"]
    if machine.startswith("load_average"):
        machine = f"load {record[machine]:.0f}"
    cells = (
        f"[{row['what']}]({'' if '#' in row['more'] else '#'}{row['more']})",
        f"**{shown(value, row)}{percent}**{aim}",
        f"{n:,}" if n is not None else "1",
        ends,
        machine,
        f"`{row['result']}` {record['revision'].rstrip('+')}, {record['date'][:10]}",
    )
    return "| " + " | ".join(cells) + " |"


def missed(row: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether the figure is on the wrong side of what is aimed at."""
    value = told(row, record)[0]
    return bool(value < row.get("least", -math.inf) or value > row.get("most", math.inf))


def table() -> str:
    """Losses first, then what holds."""
    rows = tomllib.loads(ROWS.read_text("utf-8"))["row"]
    records = {
        row["result"]: json.loads((RESULTS / f"{row['result']}.json").read_text()) for row in rows
    }
    head = "| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|"
    parts = []
    for title, losses in (("### Where an aim is missed", True), ("### What holds", False)):
        lines = [
            line(row, records[row["result"]])
            for row in rows
            if missed(row, records[row["result"]]) == losses
        ]
        parts.append("\n".join([title, "", head, *lines]))
    return "\n\n".join(parts)


def main() -> None:
    parser = arguments(__doc__)
    asked = parser.parse_args()
    page = (asked.out or PAGE).read_text("utf-8")
    before, _, rest = page.partition(HEAD)
    after = rest.partition("\n## ")[2]
    (asked.out or PAGE).write_text(f"{before}{HEAD}\n{table()}\n\n## {after}", "utf-8")


if __name__ == "__main__":
    main()
