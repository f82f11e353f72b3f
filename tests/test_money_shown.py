"""What the operator is told of each network's money: the table of `/admin`, the lines of `/metrics`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lensback import keys, ledger
from lensback.conversions import RefusedCalls
from lensback.ledger import pulls
from lensback.settings import Settings
from lensback.types import Conversion, Money
from lensback.web import create_app
from lensback.workspace import Workspace, init

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

GOOD = int(datetime(2026, 9, 1, 12, tzinfo=UTC).timestamp())


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("money") / "w"
    init(folder)
    with Workspace(folder, Settings(encoder="pixels", index="exact", detector="whole")) as opened:
        opened.db.migrate()
        yield opened


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(create_app(workspace), client=("9.9.9.9", 1)) as opened:
        yield opened


@pytest.fixture(scope="module")
def told(workspace: Workspace) -> None:
    """AWIN was read whole and told two odd rows; Admitad failed; two sales of epn wait aside."""
    db = workspace.db
    pulls.mark_tried(db, "awin", GOOD)
    pulls.keep_refused(
        db, "awin", [("no <status> 'x'", "{1}"), ("no <status> 'x'", "{2}"), ("no id", "{3}")], GOOD
    )
    pulls.mark_tried(db, "admitad", GOOD + 60, "the token is over")
    news = [
        Conversion("epn", f"S{n}", "pending", subid="nobody", commission=Money(100, "RUB"))
        for n in (1, 2)
    ]
    ledger.record(db, news, at=GOOD, source="poll")
    calls = RefusedCalls(workspace.path / "refused_postbacks.log")
    for n in range(3):
        calls.add("awin", "wrong secret", GOOD + n)


def table(page: str) -> dict[str, list[str]]:
    """Network -> the cells of its row."""
    body = page.split("<h2>Networks</h2>")[1].split("</table>", maxsplit=1)[0]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', body, re.DOTALL)
    return {name: re.findall(r"<td[^>]*>(.*?)</td>", cells, re.DOTALL) for name, cells in rows}


@pytest.mark.usefixtures("told")
def test_the_table_of_networks(client: TestClient, workspace: Workspace) -> None:
    secret = keys.add(workspace.path / "keys.json", "boss", "admin")
    assert "<h2>Networks</h2>" not in client.get("/admin").text, "nobody may see it without a key"
    entered = client.post("/admin/enter", data={"key": secret})
    shown = table(entered.text)
    assert shown == {
        "admitad": ["never", "the token is over", "0", "", "0"],
        "awin": ["2026-09-01 12:00 UTC", "", "3", "no &lt;status&gt; &#39;x&#39;", "0"],
        "epn": ["never", "", "0", "", "2"],
    }


@pytest.mark.usefixtures("told")
def test_the_lines_of_metrics(client: TestClient, workspace: Workspace) -> None:
    secret = keys.add(workspace.path / "keys.json", "prometheus", "metrics")
    assert client.get("/metrics").status_code == 401
    text = client.get("/metrics", headers={"Authorization": f"Bearer {secret}"}).text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    wanted = {
        'lensback_pull_good_timestamp_seconds{network="awin"}': GOOD,
        'lensback_pull_refused_rows{network="awin"}': 3,
        'lensback_pull_refused_rows{network="admitad"}': 0,
        'lensback_sales_aside{network="epn"}': 2,
        'lensback_sales_aside{network="awin"}': 0,
        'lensback_postbacks_refused{network="awin"}': 3,
    }
    assert {name: float(lines[name]) for name in wanted} == wanted
    assert 'lensback_pull_good_timestamp_seconds{network="admitad"}' not in lines, (
        "it never was good"
    )
    for name in {key.partition("{")[0] for key in wanted}:
        assert f"# TYPE {name} gauge" in text


def test_a_service_without_networks_has_no_table(tmp_path: Path) -> None:
    init(tmp_path / "w")
    with Workspace(
        tmp_path / "w", Settings(encoder="pixels", index="exact", detector="whole")
    ) as opened:
        opened.db.migrate()
        secret = keys.add(opened.path / "keys.json", "boss", "admin")
        with TestClient(create_app(opened)) as client:
            page = client.post("/admin/enter", data={"key": secret}).text
    assert "<h1>" in page
    assert "<h2>Networks</h2>" not in page
