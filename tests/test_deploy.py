"""The files of deploy/ are what their tools' schemas ask for, and speak of what there really is.

No container engine runs here: nothing was built or started (docs/deploy.md says so).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from lensback import __version__
from lensback.cli import app
from lensback.db import Database
from lensback.indexes.milvus_link import Address
from lensback.settings import OTHER_NAMES, Settings, load
from lensback.web import connections, limits, postbacks, uploads
from lensback.web.pace import RateLimiter

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
DOCKERFILE = DEPLOY / "Dockerfile"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
yaml = pytest.importorskip("yaml", reason="pip install -r requirements-cluster.txt")


def tool(name: str) -> str:
    """A checker of requirements-cluster.txt, beside this Python."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    return found or pytest.skip(f"{name} is missing: pip install -r requirements-cluster.txt")


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def documents(path: Path) -> list[dict[str, Any]]:
    return [d for d in yaml.safe_load_all(path.read_text("utf-8")) if d]


def test_compose_is_what_its_schema_asks_for() -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE))


def test_dockerfile_is_clean() -> None:
    run(tool("hadolint"), "--failure-threshold", "style", str(DOCKERFILE))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_what_kubernetes_asks_for(path: Path, tmp_path: Path) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    for made in documents(path):
        if made["apiVersion"].startswith("milvus.io/"):
            continue  # the operator's own schema is not at hand
        validate.validate(made, "1.31", strict=True)


def test_nobody_runs_as_root() -> None:
    user = re.findall(r"^USER (\d+)", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    assert user == ["10001"]
    for made in documents(DEPLOY / "kubernetes" / "lensback.yaml"):
        for pod in pods(made):
            assert pod["securityContext"]["runAsNonRoot"]
            assert pod["securityContext"]["runAsUser"] == 10001
            for container in pod["containers"] + pod.get("initContainers", []):
                assert not container["securityContext"]["allowPrivilegeEscalation"]
                assert container["resources"]["limits"]["memory"]


def pods(made: dict[str, Any]) -> list[dict[str, Any]]:
    if made["kind"] == "Deployment":
        return [made["spec"]["template"]["spec"]]
    if made["kind"] == "CronJob":
        return [made["spec"]["jobTemplate"]["spec"]["template"]["spec"]]
    return []


def test_settings_and_commands_are_real() -> None:
    text = "\n".join(path.read_text("utf-8") for path in [COMPOSE, DOCKERFILE, *MANIFESTS])
    named = set(re.findall(r"LENSBACK_([A-Z_]+)", text)) - set(OTHER_NAMES)
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    services = documents(COMPOSE)[0]["services"]
    assert services["init"]["command"][0] in commands
    assert "lensback sync" in services["sync"]["entrypoint"][-1]
    for made in documents(DEPLOY / "kubernetes" / "lensback.yaml"):
        for pod in pods(made):
            for container in pod["containers"] + pod.get("initContainers", []):
                assert container["args"][0] in commands


def test_the_networks_are_asked_wherever_it_runs() -> None:
    """The same command in both, understood by the program, once at a time, started again when it ends."""
    wanted = ["conversions", "pull", "--all", "--every", "1h"]
    money = documents(COMPOSE)[0]["services"]["money"]
    assert money["entrypoint"] == ["lensback", *wanted]
    assert money["restart"] == "unless-stopped"
    (made,) = [
        m
        for m in documents(MANIFESTS[0])
        if m["metadata"]["name"] == "lensback-money" and m["kind"] == "Deployment"
    ]
    assert (made["spec"]["replicas"], made["spec"]["strategy"]["type"]) == (1, "Recreate")
    (container,) = pods(made)[0]["containers"]
    assert container["args"] == wanted
    pull = get_command(app).commands["conversions"].commands["pull"]  # type: ignore[attr-defined]
    assert pull.make_context("pull", wanted[2:]).params["every"] == "1h"


def test_addresses_open_what_they_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secrets of the example, as files, are settings."""
    told = documents(DEPLOY / "kubernetes" / "secret.example.yaml")[0]["stringData"]
    for name, value in told.items():
        (tmp_path / name).write_text(value + "\n", "utf-8")
    monkeypatch.setenv("LENSBACK_SECRETS", str(tmp_path))
    settings = load(tmp_path)
    database = Database(settings.database)
    assert database.shared
    database.close()
    compose = documents(COMPOSE)[0]["services"]["web"]["environment"]
    for address in (settings.index, compose["LENSBACK_INDEX"]):
        assert Address.parse(address).collection == "lensback"


def test_no_secret_stands_in_an_environment() -> None:
    services = documents(COMPOSE)[0]
    for service in services["services"].values():
        told = service.get("environment", {})
        assert [name for name in told if re.search("PASSWORD$|DATABASE$|TOKEN|KEY", name)] == []
        assert set(service.get("secrets", [])) <= set(services["secrets"])
    assert services["services"]["web"]["secrets"] == ["lensback_database"]
    for made in documents(DEPLOY / "kubernetes" / "lensback.yaml"):
        for pod in pods(made):
            assert {
                "name": "secrets",
                "secret": {"secretName": "lensback", "defaultMode": 0o440},
            } in pod["volumes"]
            for container in pod["containers"] + pod.get("initContainers", []):
                assert "envFrom" not in container
                env = {each["name"]: each["value"] for each in container["env"]}
                (mount,) = [m for m in container["volumeMounts"] if m["name"] == "secrets"]
                assert env["LENSBACK_SECRETS"] == mount["mountPath"]
                assert mount["readOnly"]


def test_everything_has_its_limits() -> None:
    for name, service in documents(COMPOSE)[0]["services"].items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= set(limits), name
        assert service["pids_limit"], name
    for made in documents(DEPLOY / "kubernetes" / "lensback.yaml"):
        for pod in pods(made):
            for container in pod["containers"] + pod.get("initContainers", []):
                assert set(container["resources"]["limits"]) == {"cpu", "memory"}
                assert set(container["resources"]["requests"]) == {"cpu", "memory"}


def test_pods_are_talked_to_by_the_ingress_alone() -> None:
    found = documents(DEPLOY / "kubernetes" / "lensback.yaml")
    policies = {p["metadata"]["name"]: p["spec"] for p in found if p["kind"] == "NetworkPolicy"}
    pod = {label["app.kubernetes.io/component"] for made in found for label in labels(made)}
    covered = {
        p["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for p in policies.values()
    }
    assert covered == pod == {"web", "sync", "money"}
    assert policies["lensback-sync"]["ingress"] == policies["lensback-money"]["ingress"] == []
    (way_in,) = policies["lensback-web"]["ingress"]
    assert all("namespaceSelector" in who for who in way_in["from"])
    assert policies["lensback-web"]["egress"] == policies["lensback-sync"]["egress"]
    assert policies["lensback-web"]["egress"] == policies["lensback-money"]["egress"]
    for policy in policies.values():
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        blocks = [to["ipBlock"] for rule in policy["egress"] for to in rule.get("to", [])]
        assert all("169.254.0.0/16" in block["except"] for block in blocks), "a cloud's own secrets"
        ports = {p["port"] for rule in policy["egress"] for p in rule["ports"]}
        assert ports == {53, 80, 443, 5432, 19530}


def labels(made: dict[str, Any]) -> list[dict[str, str]]:
    if made["kind"] == "Deployment":
        return [made["spec"]["template"]["metadata"]["labels"]]
    if made["kind"] == "CronJob":
        return [made["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]]
    return []


# ---- nginx: the application's own limits


NGINX = (DEPLOY / "nginx.conf").read_text("utf-8")
UNITS = {"k": 1 << 10, "m": 1 << 20, "": 1}


def size(text: str) -> int:
    found = re.fullmatch(r"(\d+)([km]?)", text)
    assert found, text
    return int(found[1]) * UNITS[found[2]]


def location(name: str) -> str:
    return NGINX.split(f"location {name} {{")[1].split("}")[0]


def largest(text: str) -> int:
    return size(re.findall(r"client_max_body_size (\w+);", text)[0])


def test_nginx_takes_what_the_application_takes() -> None:
    defaults, overhead = Settings(), uploads.OVERHEAD_BYTES
    one = defaults.max_image_bytes + overhead
    assert largest(location("= /")) == one
    assert largest(location("~ ^/api/(v1/)?search$")) == one
    batch = uploads.BATCH_SHARE * defaults.max_image_bytes + overhead
    assert largest(location("~ ^/api/(v1/)?search/batch$")) == batch
    assert largest(NGINX) == postbacks.MAX_BYTES, "everything else is small"
    (ingress,) = [m for m in documents(MANIFESTS[0]) if m["kind"] == "Ingress"]
    told = {
        name.rpartition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()
    }
    assert size(told["proxy-body-size"]) == batch
    assert int(told["limit-rpm"]) == defaults.rate_limit
    assert told["limit-connections"] == re.findall(r"limit_conn addresses (\d+);", NGINX)[0]


def test_nginx_lets_one_address_ask_as_often_as_the_application_does() -> None:
    defaults = Settings()
    rates = dict(re.findall(r"zone=(\w+):10m rate=(\d+)r/m", NGINX))
    assert int(rates["searches"]) == defaults.rate_limit
    assert int(rates["writes"]) == defaults.write_limit
    bursts = set(re.findall(r"limit_req zone=(\w+) burst=(\d+) nodelay", NGINX))
    for zone, burst in bursts:
        assert float(burst) == RateLimiter(int(rates[zone])).burst


def test_nginx_waits_for_nobody_longer_than_the_application() -> None:
    waits = {
        name: int(s) for name, s in re.findall(r"(client_\w+_timeout|send_timeout) (\d+)s;", NGINX)
    }
    assert set(waits) == {"client_header_timeout", "client_body_timeout", "send_timeout"}
    assert waits["client_header_timeout"] == connections.HEAD_S
    assert waits["send_timeout"] == connections.SEND_S
    assert waits["client_body_timeout"] <= limits.UPLOAD_S, "between two reads"
    (heads,) = re.findall(r"large_client_header_buffers (\d+) (\w+);", NGINX)
    assert int(heads[0]) * size(heads[1]) == connections.HEAD_BYTES
    (at_once,) = re.findall(r"limit_conn addresses (\d+);", NGINX)
    assert int(at_once) <= Settings().connections_per_address
    assert "return 404;" in location("= /metrics")
    assert "server_tokens off;" in NGINX


# ---- what is installed


def locked(path: Path) -> dict[str, list[str]]:
    """Name and version -> hashes."""
    found: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        if pin := re.match(r"([a-z0-9][a-z0-9._-]*(?:\[\w,-]+)?==[^ ;]+)", line):
            found[pin[1]] = []
        elif hashed := re.match(r" +--hash=(sha256:[0-9a-f]{64})", line):
            found[list(found)[-1]].append(hashed[1])
    return found


@pytest.mark.parametrize(
    "path",
    [ROOT / "requirements.lock", ROOT / "requirements-dev.lock", DEPLOY / "requirements.lock"],
    ids=str,
)
def test_every_pin_has_its_hashes(path: Path) -> None:
    found = locked(path)
    assert len(found) > 50
    assert [pin for pin, hashes in found.items() if not hashes] == []
    lines = [line for line in path.read_text("utf-8").splitlines() if line and line[0] not in " #"]
    assert len(lines) == len(found), "a line of another kind"


def test_the_image_has_the_versions_that_are_tested() -> None:
    ours, image = locked(ROOT / "requirements-dev.lock"), locked(DEPLOY / "requirements.lock")
    names = {pin.partition("==")[0]: pin for pin in ours}
    other = {pin for pin in image if pin not in ours and pin.partition("==")[0] in names}
    assert other == set()
    assert {"fastapi", "lancedb", "onnxruntime", "psycopg", "hatchling"} <= {
        p.partition("==")[0] for p in image
    }
    assert not {"pytest", "mypy", "torch", "playwright"} & {p.partition("==")[0] for p in image}
    text = DOCKERFILE.read_text("utf-8")
    assert "--require-hashes --only-binary :all: -r requirements.lock" in text
    for name in ("requirements.lock", "requirements-dev.lock"):
        assert f"--require-hashes -r {name}" in (ROOT / "Makefile").read_text("utf-8")


def test_the_demo_installs_what_it_runs_on_in_the_versions_that_are_tested() -> None:
    """All that the package needs, its build's tools, and nothing of the tests."""
    core, tested = locked(ROOT / "requirements.lock"), locked(ROOT / "requirements-dev.lock")
    names = {pin.partition("==")[0] for pin in core}
    building = {"editables"}
    assert {pin for pin in core if pin not in tested} <= {
        p for p in core if p.partition("==")[0] in building
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.split(r"[><=;\[ ]", each)[0] for each in project["dependencies"]}
    assert needed | {"hatchling", "editables"} <= names
    assert not {"pytest", "mypy", "playwright", "pandas", "ruff", "aiogram"} & names


NAMED = re.compile(r"(?:\$\{([A-Z_]+):-)?([\w./-]+)(?::([\w.-]+))?(?:@(sha256:[0-9a-f]{64}))?\}?")
"""Variable, name, tag and digest of an image."""


def images() -> dict[str, re.Match[str]]:
    """Every image that a file of deploy/ names, wherever it stands."""
    text = "\n".join(p.read_text("utf-8") for p in sorted(DEPLOY.rglob("*.y*ml")))
    named = re.findall(r"^\s*-?\s*image:\s*(\S+)\s*$", text, re.MULTILINE)
    docker = DOCKERFILE.read_text("utf-8")
    named += re.findall(r"^ARG BASE=(\S+)$", docker, re.MULTILINE)
    stages = re.findall(r"^FROM (\S+)", docker, re.MULTILINE)
    named += [one for one in stages if one != "${BASE}"]
    found = {one: NAMED.fullmatch(one) for one in named}
    assert None not in found.values(), found
    return {one: match for one, match in found.items() if match}


def test_no_image_is_the_latest_and_every_foreign_one_takes_a_digest() -> None:
    found = images()
    assert len(found) == 6
    for text, (variable, name, tag, digest) in ((t, m.groups()) for t, m in found.items()):
        assert digest or (tag and tag != "latest"), text
        if name == "lensback":
            assert tag == __version__, text
        else:
            assert (
                variable or "ARG BASE=" + text in DOCKERFILE.read_text("utf-8") or "milvus" in name
            )
    base = documents(COMPOSE)[0]["services"]["web"]["build"]["args"]["BASE"]
    assert NAMED.fullmatch(base).groups()[0] == "BASE"  # type: ignore[union-attr]


def test_the_command_that_pins_them_knows_them_all() -> None:
    told = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    pinned = dict(re.findall(r"([A-Z_]*(?:BASE|_IMAGE))=([\w./-]+:[\w.-]+)", told))
    services = documents(COMPOSE)[0]["services"]
    takes = [s["image"] for s in services.values()] + [services["web"]["build"]["args"]["BASE"]]
    assert pinned == dict(re.findall(r"\$\{([A-Z_]+):-([^}]+)\}", "\n".join(takes)))
    assert f"ARG BASE={pinned['BASE']}" in DOCKERFILE.read_text("utf-8").splitlines()
    assert f"image: {pinned['MILVUS_IMAGE']}" in MANIFESTS[1].read_text("utf-8")


def test_the_bill_of_materials_names_what_is_installed(tmp_path: Path) -> None:
    made = tmp_path / "sbom.json"
    run(tool("cyclonedx-py"), "environment", "--pyproject", str(ROOT / "pyproject.toml"), "--mc-type",
        "application", "--output-reproducible", "--no-validate", "--of", "JSON", "-o", str(made), sys.executable)  # fmt: skip
    bill = json.loads(made.read_text("utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "lensback"
    parts = {part["name"].lower(): part for part in bill["components"]}
    for name in ("fastapi", "pillow", "lancedb", "onnxruntime"):
        assert parts[name]["version"] == version(name)
        assert parts[name]["purl"] == f"pkg:pypi/{name}@{version(name)}"


def test_one_port_everywhere() -> None:
    assert "EXPOSE 8000" in DOCKERFILE.read_text("utf-8")
    assert "http://web:8000" in (DEPLOY / "nginx.conf").read_text("utf-8")
    assert documents(COMPOSE)[0]["services"]["web"]["deploy"]["replicas"] == 2
