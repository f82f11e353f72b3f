"""deploy/monitoring: every rule and panel asks for what a real `serve` tells, and each alert rings."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lensback.conversions import RefusedCalls
from lensback.ledger import pulls
from lensback.workspace import open_workspace
from published import publish
from servers import free_port, guard, installed, wait_until
from test_docs import slug

yaml = pytest.importorskip("yaml", reason="pip install -r requirements-cluster.txt")
promql = pytest.importorskip("promql_parser", reason="pip install promql-parser")

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "monitoring"
RULES = FOLDER / "lensback.rules.yml"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]
]
BOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = [p for p in BOARD["panels"] if p["type"] != "row"]
GIVEN = {"up": {"job": set(), "instance": set()}}
"""What Prometheus itself says of whatever it asks."""


# ---- what is asked for is told


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a real `serve` that has searched, and led to a store; and a photo to search."""
    folder = tmp_path_factory.mktemp("monitoring")
    workspace, photo = publish(folder)
    with open_workspace(workspace) as opened:
        pulls.mark_tried(opened.db, "awin", int(time.time()))
        RefusedCalls(workspace / "refused_postbacks.log").add("awin", "a wrong secret", 1)
    port = free_port()
    command = [sys.executable, "-m", "lensback", "serve", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=os.environ | {"LENSBACK_WORKSPACE": str(workspace)}, stderr=log
        )
        try:
            guard(process, folder)
            base = f"http://127.0.0.1:{port}"
            wait_until(lambda: ready(base), process, folder / "log")
            shop(base, photo)
            yield base, photo
        finally:
            process.terminate()
            process.wait(240)


def shop(base: str, photo: Path) -> None:
    """A search, and the way from its first hit to the store."""
    with httpx.Client(base_url=base, timeout=240) as client:
        hit = client.post("/api/search", files={"photo": photo.read_bytes()}).json()
        browser = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        link = hit["hits"][0]["offers"][0]["link"]
        assert client.get(link, headers=browser).status_code == 302


@pytest.fixture(scope="module")
def told(service: tuple[str, Path]) -> dict[str, dict[str, set[str]]]:
    """Sample -> label -> its values, as the service tells them."""
    return samples(httpx.get(f"{service[0]}/metrics", timeout=240).text)


def ready(base: str) -> bool:
    try:
        return httpx.get(f"{base}/readyz", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def samples(text: str) -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def selectors(query: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """(metric, [(label, operator, value)]) of each vector in a query; raises where it is none."""
    parsed = promql.parse(re.sub(r"\$__rate_interval", "5m", query).replace("$instance", ".*"))
    found: list[tuple[str, list[tuple[str, str, str]]]] = []

    def walk(node: Any) -> None:
        if type(node).__name__ == "VectorSelector":
            matchers = [(m.name, str(m.op), m.value) for m in node.matchers.matchers]
            found.append((node.name, matchers))
        for name in ("lhs", "rhs", "expr", "vs", "vector_selector", "param"):
            inner = getattr(node, name, None)
            if inner is not None and not isinstance(inner, str):
                walk(inner)
        args = getattr(node, "args", None)
        for each in args or ():
            walk(each)

    walk(parsed)
    return found


QUERIES = [(alert["alert"], alert["expr"]) for alert in ALERTS]
QUERIES += [(panel["title"], t["expr"]) for panel in PANELS for t in panel["targets"]]


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_what_is_asked_for_is_told(
    told: dict[str, dict[str, set[str]]], name: str, query: str
) -> None:
    asked = selectors(query)
    assert asked, query
    for metric, matchers in asked:
        known = (GIVEN | told).get(metric)
        assert known is not None, f"nobody tells {metric}"
        for label, _operator, value in matchers:
            if label in {"job", "instance"}:  # Prometheus adds these
                continue
            assert label in known, f"{metric} has no {label}"
            if label in {"health", "stage", "route", "le"} and "|" not in value:
                assert value in known[label], f"{metric} is never of {label}={value}"


def test_a_wrong_name_is_seen(told: dict[str, dict[str, set[str]]]) -> None:
    assert selectors('rate(a_total{b="c"}[5m]) / on (x) sum(d)') == [
        ("a_total", [("b", "MatchOp.Equal", "c")]),
        ("d", []),
    ] or {name for name, _ in selectors("rate(a_total[5m]) / sum(d)")} == {"a_total", "d"}
    with pytest.raises(AssertionError, match="nobody tells"):
        test_what_is_asked_for_is_told(told, "x", "lensback_nothing > 0")
    with pytest.raises(AssertionError, match="has no"):
        test_what_is_asked_for_is_told(told, "x", 'lensback_stores{colour="red"} > 0')
    with pytest.raises(AssertionError, match="never of"):
        test_what_is_asked_for_is_told(told, "x", 'lensback_stores{health="ill"} > 0')


LABELS = re.compile(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)")


@pytest.mark.parametrize(
    ("names", "query"),
    [(re.findall(r"\{\{ *([a-z_]+) *\}\}", t.get("legendFormat", "")), t["expr"])
     for panel in PANELS for t in panel["targets"]]
    + [(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]), alert["expr"]) for alert in ALERTS],
)  # fmt: skip
def test_labels_that_are_grouped_by_or_shown_are_told(
    told: dict[str, dict[str, set[str]]], names: list[str], query: str
) -> None:
    grouped = {name.strip() for listed in LABELS.findall(query) for name in listed.split(",")}
    known = {"instance", "job"}
    for metric, _ in selectors(query):
        known |= set((GIVEN | told)[metric])
    assert (grouped | set(names)) - {""} <= known
    if grouped and names and " by " in query:
        assert set(names) <= grouped, "what is summed over is not there to be shown"


# ---- the rules


def test_each_alert_has_a_page_to_look_at() -> None:
    page = (ROOT / "docs" / "operate.md").read_text("utf-8")
    headings = {slug(heading) for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)}
    names = [alert["alert"] for alert in ALERTS]
    assert len(set(names)) == len(names)
    for alert in ALERTS:
        assert alert["labels"]["severity"] in {"page", "ticket"}
        file, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert (file, anchor in headings) == ("docs/operate.md", True), alert["alert"]
        assert anchor == slug(alert["alert"])
        assert alert["annotations"]["summary"]


def promtool() -> str:
    return installed(lambda: shutil.which("promtool"), "prometheus")


def test_promtool_finds_nothing(tmp_path: Path) -> None:
    tool = promtool()
    shutil.copy(RULES, tmp_path)
    (tmp_path / "key").write_text("a key")
    whole = (FOLDER / "prometheus.yml").read_text("utf-8")
    assert "/etc/prometheus/lensback.key" in whole
    whole = whole.replace("/etc/prometheus/lensback.key", str(tmp_path / "key"))
    (tmp_path / "prometheus.yml").write_text(whole, "utf-8")
    for what, file in (("rules", RULES.name), ("config", "prometheus.yml")):
        command = [tool, "check", what, str(tmp_path / file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


ANSWERS = 'lensback_answers_total{instance="a",verdict="%s"}'
REQUESTS = 'lensback_requests_total{instance="a",route="/api/search",status="%s"}'
BUCKET = 'lensback_search_seconds_bucket{instance="a",stage="total",le="%s"}'
WEEK = 8 * 24 * 60
RINGS: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    # alert -> what is told when it rings, when it does not, and when to look
    "LensbackDown": ({'up{job="lensback",instance="a"}': "0x20"}, {'up{job="lensback",instance="a"}': "1x20"}, "10m"),
    "LensbackFails": (
        {REQUESTS % "500": "0+2x60", REQUESTS % "200": "0+90x60"},
        {REQUESTS % "503": "0+9x60", REQUESTS % "404": "0+9x60", REQUESTS % "200": "0+90x60"}, "30m"),
    "LensbackBusy": (
        {REQUESTS % "503": "0+9x60", REQUESTS % "200": "0+90x60"},
        {REQUESTS % "503": "0+3x60", REQUESTS % "200": "0+90x60"}, "30m"),
    "LensbackSlow": (
        {BUCKET % "1": "0+90x60", BUCKET % "2.5": "0+100x60", BUCKET % "+Inf": "0+100x60"},
        {BUCKET % "1": "0+96x60", BUCKET % "2.5": "0+100x60", BUCKET % "+Inf": "0+100x60"}, "40m"),
    "LensbackFindsNothing": (
        {ANSWERS % "none": f"0+1x{WEEK - 1440} {WEEK - 1440}+6x1440", ANSWERS % "similar": f"0+9x{WEEK}"},
        {ANSWERS % "none": f"0+1x{WEEK}", ANSWERS % "similar": f"0+9x{WEEK}"}, f"{WEEK}m"),
    "LensbackIndexEmpty": ({"lensback_index_rows": "0x60"}, {"lensback_index_rows": "5x60"}, "30m"),
    "LensbackGuessing": (
        {'lensback_requests_total{instance="a",status="401"}': "0+90x60"},
        {'lensback_requests_total{instance="a",status="401"}': "0+30x60"}, "40m"),
    "LensbackStoresFailing": (
        {'lensback_stores{health="failing"}': "2x500"}, {'lensback_stores{health="failing"}': "0x500"}, "7h"),
    "LensbackStoresLate": (
        {'lensback_stores{health="late"}': "2x500"}, {'lensback_stores{health="late"}': "2x100 0x400"}, "5h"),
    "LensbackDiskFull": ({"lensback_disk_free_bytes": "1e9x60"}, {"lensback_disk_free_bytes": "3e9x60"}, "20m"),
    "LensbackDiskFills": (
        {"lensback_disk_free_bytes": "2e10-3000000x2000"}, {"lensback_disk_free_bytes": "2e10-1000000x2000"}, "32h"),
    "LensbackBackupOld": (
        {"lensback_backup_timestamp_seconds": "0x4500"}, {"lensback_backup_timestamp_seconds": "200000x4500"}, "74h"),
    "LensbackJournalWaits": (
        {"lensback_journal_bytes": "30x60", "lensback_journal_max_bytes": "100x60"},
        {"lensback_journal_bytes": "20x60", "lensback_journal_max_bytes": "100x60"}, "20m"),
    "LensbackSalesRefused": ({"lensback_journal_refused": "1x60"}, {"lensback_journal_refused": "0x60"}, "5m"),
    "LensbackPullLate": (
        {'lensback_pull_good_timestamp_seconds{network="awin"}': "0x2000"},
        {'lensback_pull_good_timestamp_seconds{network="awin"}': "50000x2000"}, "27h"),
    "LensbackReportUnread": (
        {'lensback_pull_refused_rows{network="awin"}': "3x200"}, {'lensback_pull_refused_rows{network="awin"}': "0x200"}, "2h"),
    "LensbackPostbacksRefused": (
        {'lensback_postbacks_refused{network="awin"}': "0+1x200"},
        {'lensback_postbacks_refused{network="awin"}': "90x200"}, "2h"),
    "LensbackSalesAside": (
        {'lensback_sales_aside{network="awin"}': "1x600 2x1000"}, {'lensback_sales_aside{network="awin"}': "2x1600"}, "20h"),
    "LensbackSalesToReview": (
        {'lensback_sales_review{network="awin"}': "1x2000"}, {'lensback_sales_review{network="awin"}': "1x900 0x900"}, "26h"),
}  # fmt: skip


def test_each_alert_rings_and_is_silent(tmp_path: Path) -> None:
    """By Prometheus' own evaluation of the rules, over hours and days of made-up figures; each by itself, or
    all would be worked out for every moment of every case, and what takes days every ten minutes."""
    tool = promtool()
    assert set(RINGS) == {alert["alert"] for alert in ALERTS}
    for rule in ALERTS:
        name, (rings, silent, at) = rule["alert"], RINGS[rule["alert"]]
        group = {"groups": [{"name": name, "rules": [rule]}]}
        (tmp_path / f"{name}.rules.yml").write_text(yaml.safe_dump(group), "utf-8")
        tests = []
        for series, loud in ((rings, True), (silent, False)):
            given = [{"series": key, "values": values} for key, values in series.items()]
            # Labels and words are not what is asked for here: only whether it rings.
            query = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
            want = [{"labels": "{}", "value": 1 if loud else 0}]
            check = {"expr": query, "eval_time": at, "exp_samples": want}
            tests.append({"name": f"{name} {'rings' if loud else 'is silent'}", "interval": "1m",
                          "input_series": given, "promql_expr_test": [check]})  # fmt: skip
        every = "10m" if at.endswith("h") or len(at) > 4 else "1m"
        whole = {"rule_files": [f"{name}.rules.yml"], "evaluation_interval": every, "tests": tests}
        (tmp_path / f"{name}.test.yml").write_text(yaml.safe_dump(whole), "utf-8")
    files = sorted(map(str, tmp_path.glob("*.test.yml")))
    done = subprocess.run(
        [tool, "test", "rules", *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert done.stdout.count("SUCCESS") == len(ALERTS)


# ---- the dashboard

SCRAPED = """global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [ {rules} ]
scrape_configs:
  - job_name: lensback
    static_configs: [ {{ targets: [ "{target}" ] }} ]
"""


@pytest.fixture(scope="module")
def prometheus(
    service: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A real Prometheus that asks the service each second and evaluates our rules."""
    promtool()
    program = shutil.which("prometheus") or pytest.skip("missing here: prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    target, port = service[0].removeprefix("http://"), free_port()
    (folder / "config.yml").write_text(SCRAPED.format(rules=RULES, target=target), "utf-8")
    command = [program, f"--config.file={folder / 'config.yml'}", f"--storage.tsdb.path={folder}",
               f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            guard(process, folder)
            with httpx.Client(base_url=f"{base}/api/v1", timeout=240) as client:
                wait_until(lambda: health(client) == "up", process, folder / "log")
                yield client
        finally:
            process.terminate()
            process.wait(240)


def health(client: httpx.Client) -> str:
    """What Prometheus says of the service."""
    try:
        (target,) = client.get("/targets").json()["data"]["activeTargets"]
    except (httpx.TransportError, ValueError):  # it does not listen yet, or knows no target
        return ""
    return str(target["health"])


def shown(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The series that a panel of this query draws now."""
    asked = re.sub(r"\$__rate_interval", "1m", query).replace("$instance", ".*")
    answer = client.get("/query", params={"query": asked}).json()
    assert answer["status"] == "success", answer
    return [each for each in answer["data"]["result"] if each["value"][1] != "NaN"]


def test_every_panel_has_something_to_show(
    prometheus: httpx.Client, service: tuple[str, Path]
) -> None:
    """Once there is a rate: figures grow between two of Prometheus' looks."""
    left, end = {t["expr"] for panel in PANELS for t in panel["targets"]}, time.monotonic() + 240
    while left and time.monotonic() < end:
        shop(*service)
        time.sleep(0.5)
        left = {query for query in left if not shown(prometheus, query)}
    assert left == set()


def test_the_dashboard_is_one_that_grafana_shows_whole() -> None:
    """By Grafana's own description of a dashboard's JSON: ids, places on a grid of 24, data sources."""
    assert BOARD["uid"]
    assert "id" not in BOARD, "a number of one installation"
    assert BOARD["schemaVersion"] >= 36
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in BOARD["panels"]]
    assert len(set(titles)) == len(titles)
    variables = {each["name"] for each in BOARD["templating"]["list"]}
    assert variables == {"datasource", "instance"}
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["type"] in {"timeseries", "stat", "bargauge"}
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert "$instance" in target["expr"], "one of several services can be chosen"
            used = set(re.findall(r"\$\{?(\w+)", target["expr"]))
            assert used <= variables | {"__rate_interval"}
