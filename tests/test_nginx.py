"""deploy/nginx.conf in a real nginx, before two real web processes of which one is killed.

Docker's name server is not here: an upstream of two addresses stands for the name `web`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from published import publish
from servers import free_port, guard, installed, listens, wait_until

CONF = Path(__file__).parents[1] / "deploy" / "nginx.conf"
SEARCHES = 30


def nginx() -> str:
    path = f"{os.environ['PATH']}:/usr/sbin"
    return installed(lambda: shutil.which("nginx", path=path), "nginx-light")


def configured(folder: Path, port: int, web: list[int]) -> Path:
    """Our file as it is, but for its port and for where the name `web` leads."""
    ours = CONF.read_text("utf-8")
    for old, new in (("listen 80;", f"listen 127.0.0.1:{port};"), ("web:8000", "web_nodes"),
                     ("resolver 127.0.0.11 valid=5s;", "")):  # fmt: skip
        assert old in ours
        ours = ours.replace(old, new)
    nodes = " ".join(f"server 127.0.0.1:{node} max_fails=0;" for node in web)
    kept = " ".join(
        f"{name}_temp_path {folder / name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""  # so that the folder of the test is its own
    whole = (
        f"{user}pid {folder / 'pid'};\nerror_log {folder / 'error.log'};\nevents {{}}\n"
        f"http {{ access_log off; {kept}\nupstream web_nodes {{ {nodes} }}\n{ours}\n}}\n"
    )
    file = folder / "nginx.conf"
    file.write_text(whole, "utf-8")
    return file


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return publish(tmp_path_factory.mktemp("nginx"))


@pytest.fixture
def nodes(shop: tuple[Path, Path]) -> Iterator[dict[int, subprocess.Popen[bytes]]]:
    """Two web processes on one workspace, by port."""
    workspace, _ = shop
    running = {}
    for port in (free_port(), free_port()):
        command = [sys.executable, "-m", "lensback", "serve", "--port", str(port)]
        running[port] = subprocess.Popen([*command, "--workspace", str(workspace)])
    yield running
    for process in running.values():
        process.kill()
        process.wait()


@pytest.fixture
def front(nodes: dict[int, subprocess.Popen[bytes]], tmp_path: Path) -> Iterator[str]:
    port = free_port()
    file = configured(tmp_path, port, list(nodes))
    command = [nginx(), "-p", str(tmp_path), "-c", str(file), "-g", "daemon off;"]
    with (tmp_path / "out").open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out)
    guard(server, tmp_path)
    log = tmp_path / "error.log"
    for node, process in nodes.items():
        wait_until(lambda node=node: listens(node), process, log)  # type: ignore[misc]
    wait_until(lambda: listens(port), server, log)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(120)


def test_a_killed_process_loses_no_search_and_no_click(
    front: str, nodes: dict[int, subprocess.Popen[bytes]], shop: tuple[Path, Path]
) -> None:
    workspace, photo = shop
    clicks = []
    with httpx.Client(base_url=front, timeout=240) as client:
        for number in range(SEARCHES):
            if number == SEARCHES // 2:
                next(iter(nodes.values())).kill()
            found = client.post("/api/search", files={"photo": photo.read_bytes()})
            assert found.status_code == 200, found.text
            link = found.json()["hits"][0]["offers"][0]["link"]
            gone = client.get(link, headers={"user-agent": "Mozilla/5.0 Firefox/140.0"})
            assert gone.status_code == 302, gone.text
            clicks.append(gone.headers["location"])
    assert len(clicks) == SEARCHES
    assert recorded(workspace) == SEARCHES


def recorded(workspace: Path) -> int:
    """Clicks in the ledger, once nothing is on its way any more."""
    db = Database(sqlite_url(workspace / "catalogue.db"))
    count, until = -1, time.monotonic() + 120
    try:
        while time.monotonic() < until:
            with db.read() as connection:
                before, count = count, len(connection.execute(t.clicks.select()).all())
            if count == before and count >= SEARCHES:
                break
            time.sleep(0.5)
    finally:
        db.close()
    return count


def test_what_the_page_says_of_one_machine(tmp_path: Path) -> None:
    """The lines of docs/operate.md, as they stand there, make a file that nginx takes: TLS, no name server."""
    program = nginx()
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl command to make a certificate")
    page = (CONF.parents[1] / "docs" / "operate.md").read_text("utf-8")
    found = re.search(r"<!-- nginx -->\n```bash\n(.*?)```", page, re.DOTALL)
    assert found
    key, cert, made = tmp_path / "key", tmp_path / "pem", tmp_path / "lensback.conf"
    self_signed = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {cert} -days 1 -subj /CN=x"
    )
    subprocess.run(self_signed.split(), check=True, capture_output=True)
    script = found[1]
    for old, new in (("deploy/nginx.conf", CONF), ("/etc/nginx/conf.d/lensback.conf", made),
                     ("/etc/ssl/lensback.pem", cert), ("/etc/ssl/lensback.key", key)):  # fmt: skip
        assert old in script
        script = script.replace(old, str(new))
    subprocess.run(["bash", "-euc", script], check=True)
    text = made.read_text("utf-8")
    assert "resolver" not in text
    assert "proxy_pass $web" in text
    assert "http://127.0.0.1:8000" in text
    made.write_text(text.replace("listen 443 ssl", f"listen 127.0.0.1:{free_port()} ssl"), "utf-8")
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"pid {tmp_path / 'pid'};\nevents {{}}\nhttp {{ include {made}; }}\n", "utf-8")
    done = subprocess.run(
        [program, "-t", "-c", whole, "-e", tmp_path / "log"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
