"""The files of deploy/ are what their tools' schemas ask for, and speak of what there really is.

No container engine runs here: nothing was built or started (docs/deploy.md says so).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from lensback.cli import app
from lensback.db import Database
from lensback.indexes.milvus_link import Address
from lensback.settings import Settings

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
    named = set(re.findall(r"LENSBACK_([A-Z_]+)", text)) - {"WORKSPACE"}
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


def test_addresses_open_what_they_should() -> None:
    services = documents(COMPOSE)[0]["services"]
    values = [services["web"]["environment"], documents(MANIFESTS[-1])[0]["stringData"]]
    for told in values:
        database = Database(re.sub(r"\$\{.*?\}", "secret", told["LENSBACK_DATABASE"]))
        assert database.shared
        database.close()
        assert Address.parse(told["LENSBACK_INDEX"]).collection == "lensback"


def test_one_port_everywhere() -> None:
    assert "EXPOSE 8000" in DOCKERFILE.read_text("utf-8")
    assert "http://web:8000" in (DEPLOY / "nginx.conf").read_text("utf-8")
    assert documents(COMPOSE)[0]["services"]["web"]["deploy"]["replicas"] == 2
