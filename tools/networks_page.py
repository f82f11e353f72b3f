"""The tables of docs/networks.md, from the networks' own files: `python tools/networks_page.py --write`.

Without --write it fails where the page is older than the files (`make check` runs it through a test).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lensback.networks import Network, list_networks

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "networks.md"
FIXTURES = ROOT / "tests" / "networks"


def links() -> list[str]:
    """One row a network: how its links are written."""
    rows = [
        "| name | network | link | click id (characters) | the program says | report |",
        "|---|---|---|---|---|---|",
    ]
    for one in list_networks():
        ours = "" if one.link.subid_max != 32 else ", ours"
        said = ", ".join(f"`{name}`" for name in one.link.settings) or "`template`"
        rows.append(
            f"| `{one.name}` | {one.title} | `{one.link.template or 'the program brings it'}` | "
            f"`{one.link.subid or '…'}` ({one.link.subid_max}{ours}) | {said} | {'yes' if one.poll else '—'} |"
        )
    return rows


def reports() -> list[str]:
    """One row a network that is asked: the keys of its account, and the shape of a question."""
    rows = ["| network | keys | one question | also |", "|---|---|---|---|"]
    for one in list_networks():
        if one.poll is None:
            continue
        keys = ", ".join(f"`{key}`" for key in one.poll.account)
        back = f", {one.poll.reach_days} back at most" if one.poll.reach_days else ""
        also = [
            *(["OAuth"] if one.poll.token else []),
            *(["signed"] if one.poll.sign else []),
            *(["XML"] if one.poll.answer == "xml" else []),
            *(["GraphQL"] if one.poll.client == "graphql" else []),
            *([f"{len(one.poll.queries)} questions a window"] if len(one.poll.queries) > 1 else []),
            *([f"{one.poll.per_minute} a minute"] if one.poll.per_minute else []),
            *([f"{one.poll.page['size']} rows a page"] if "size" in one.poll.page else []),
            *([f"times of {one.poll.time_zone}"] if one.poll.time_zone != "UTC" else []),
        ]
        rows.append(
            f"| {one.name} | {keys} | {one.poll.window_days} days{back} | {'; '.join(also)} |"
        )
    return rows


def programs() -> list[str]:
    """One row a network that tells its programs: how it is asked, what of a program it tells."""
    rows = ["| network | list | keys | also asked | told |", "|---|---|---|---|---|"]
    for one in list_networks():
        form = one.programs
        if form is None:
            continue
        keys = ", ".join(f"`{key}`" for key in form.account)
        also = ", ".join(f"`{path.partition('?')[0]}`" for path in form.details.values())
        said = [*form.fields, *form.link, *(["rates"] if form.rates else []), "pause"]
        rows.append(f"| {one.name} | `{form.path}` | {keys} | {also} | {', '.join(said)} |")
    return rows


def facts() -> list[str]:
    """One row a fact: where it is documented, what tests it, or why it is unchecked."""
    rows = ["| network | fact | documented | tested |", "|---|---|---|---|"]
    for one in list_networks():
        rows += [
            f"| {one.name} | `{key}` | {why} | {tested(one, key)} |"
            for key, why in one.facts.items()
        ]
    return rows


def tested(network: Network, key: str) -> str:
    """The fixture that a fact is played through, or a dash."""
    if key.startswith("link"):
        return "`tests/test_networks.py`"
    name = "calls.json" if key.startswith("postback") else "poll.json"
    name = "programs.json" if key.startswith("programs") else name
    path = FIXTURES / network.name / name
    return f"`{path.relative_to(ROOT)}`" if path.exists() else "—"


def doubts() -> list[str]:
    """One row a fact that nobody could check."""
    rows = ["| network | key | why |", "|---|---|---|"]
    for one in list_networks():
        rows += [f"| `{one.name}` | `{key}` | {why} |" for key, why in one.unchecked.items()]
    return rows


TABLES = {
    "links": links,
    "reports": reports,
    "programs": programs,
    "facts": facts,
    "doubts": doubts,
}


def current(text: str) -> str:
    """The page with every table as the files say it now."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        head, _, rest = text.partition(begin)
        tail = rest.partition(end)[2]
        text = head + begin + "\n".join(table()) + "\n" + end + tail
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="bring the page up to date")
    write = parser.parse_args().write
    before = PAGE.read_text("utf-8")
    after = current(before)
    if write:
        PAGE.write_text(after, "utf-8")
    elif after != before:
        raise SystemExit("docs/networks.md is older than the networks' files: run it with --write")


if __name__ == "__main__":
    main()
