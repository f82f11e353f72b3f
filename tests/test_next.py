"""What is printed as the next command can be pasted: nothing stands behind it."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path

import pytest

from lensback import cli
from test_cli import lensback

ROOM = Path(cli.__file__).parent


def printed(path: Path) -> list[tuple[int, str]]:
    """Every text with `next: ` and a command in it: its line, and what stands behind the command."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        parts = [ast.unparse(part) for part in node.values]
        at = next((n for n, part in enumerate(parts) if "next: " in part), None)
        calls = [n for n, part in enumerate(parts) if "command(" in part]
        if at is not None and calls:
            found.append((node.lineno, "".join(parts[calls[-1] + 1 :])))
    return found


def test_nothing_stands_behind_a_next_command() -> None:
    told = {(path.name, *each) for path in ROOM.glob("*.py") for each in printed(path)}
    assert len(told) > 15
    assert not {each for each in told if each[2]}


def test_a_sync_without_a_store_says_how_to_connect_one(tmp_path: Path) -> None:
    assert lensback("init", "--workspace", tmp_path / "w").code == 0
    done = lensback("sync", "--workspace", tmp_path / "w")
    assert (
        f"next: lensback store add NAME --feed URL --workspace {shlex.quote(str(tmp_path / 'w'))}"
        in done.out
    )


def test_a_feed_of_placeholders_is_told_what_stands_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text("id,title,price,link,image_link\n1,Hat,5 EUR,{BASE}/1,{BASE}/1.jpg\n")
    words = ("store", "add", "hats", "--feed", str(feed), "--dry-run")
    monkeypatch.setattr("sys.argv", ["lensback", *words])
    assert lensback("init", "--workspace", tmp_path / "w").code == 0
    done = lensback(*words, "--workspace", tmp_path / "w")
    assert "say what stands for it with --base URL" in done.err
    assert "all the same" not in done.out
