"""Nothing leaves the machine but what docs/outgoing.md names: real processes, every connection seen.

What a library would send it may keep in a file first, so the home of the user must stay empty too.
"""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import traced
from garments import items
from servers import free_port
from world import World

pytestmark = pytest.mark.slow

THINGS = items(8)
CLOUD = ("169.254.169.254:80", "metadata.google.internal", "metadata.google.internal.")
"""Where a machine of a cloud asks what it is: Ray does when it starts, and has no switch for it."""


@dataclass
class Person:
    """Somebody with a home of their own who runs commands; what these do on the network is kept."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def starts(self, command: Sequence[object], **env: str) -> subprocess.Popen[bytes]:
        self.home.mkdir(exist_ok=True)
        places = {"HOME": str(self.home), "XDG_CACHE_HOME": "", "CI": "", "LENSBACK_RETRIES": "0"}
        places["LENSBACK_WORKSPACE"] = str(self.folder / "workspace")
        places["LENSBACK_ALLOW_HOSTS"] = '["127.0.0.1"]'
        return traced.start(command, self.log, traced.NETWORK, places | env, "-s", "600")

    def does(self, *words: object, **env: str) -> None:
        """Runs a command of ours to its end and holds it to what it may do."""
        process = self.starts([sys.executable, "-m", "lensback", *words], **env)
        assert traced.ended(process, self.log, 240) == 0
        self.told_nobody()

    def told_nobody(self, but: Collection[str] = ()) -> None:
        assert traced.hosts(self.log) <= set(but)
        assert [str(p) for p in self.home.rglob("*") if p.is_file()] == []


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Person, Path]]:
    """With two stores connected and synced, and a photo."""
    folder = tmp_path_factory.mktemp("outgoing")
    one = Person(folder)
    with World(folder / "world") as world:
        one.does("init")
        for name, form in (("harbour", "google"), ("lavka", "yml")):
            store = world.store(name, form, THINGS, views=(0, 1))
            one.does("store", "add", name, "--feed", store.feed_url, "--base", world.base)
        one.does("sync")
        yield one, world.photo(THINGS[0], 3)


def test_sync_and_search_reach_the_stores_only(person: tuple[Person, Path]) -> None:
    one, photo = person
    one.does("search", photo, "--json")


def test_serve_reaches_nobody(person: tuple[Person, Path]) -> None:
    one, photo = person
    port = free_port()
    process = one.starts([sys.executable, "-m", "lensback", "serve", "--port", port])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=240) as client:
            _ready(client)
            answer = client.post("/api/search", files={"photo": photo.read_bytes()})
            assert answer.status_code == 200
            link = answer.json()["hits"][0]["offers"][0]["link"]
            browser = {"User-Agent": "Mozilla/5.0 Firefox/140.0"}
            assert client.get(link, headers=browser, follow_redirects=False).status_code == 302
            assert client.get("/").status_code == 200
            time.sleep(6)  # what collects before it sends has time to
    finally:
        process.send_signal(signal.SIGTERM)
        traced.ended(process, one.log)
    one.told_nobody()


def test_train_reaches_nobody(person: tuple[Person, Path]) -> None:
    pytest.importorskip("torch")
    one, _ = person
    one.does("train", "--stores", "harbour", "--out", one.folder / "mine", "--minutes", "0.05")


USES = {
    "onnxruntime": "from lensback.encoders import open_encoder; open_encoder('eye', Path('models'))",
    "openvino": "import openvino; openvino.Core()",
    "ray": """
import ray
from lensback.spread.ray import _connected
for left in (2, 1, 0):
    try:
        _connected("local").__enter__()
        break
    except Exception:  # on a busy machine it is not up within Ray's own half minute
        ray.shutdown()
        if not left:
            raise
""",
}
ASKS = {"ray": CLOUD}


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, tuple[Person, subprocess.Popen[bytes]]]]:
    """The libraries that are installed, each in a process of its own, long enough for what it does
    in the background; all at once."""
    with tempfile.TemporaryDirectory(prefix="ray") as short:  # its sockets' paths have a limit
        begun = {}
        for library, use in USES.items():
            if importlib.util.find_spec(library):
                one = Person(tmp_path_factory.mktemp(library))
                code = f"import lensback, time\nfrom pathlib import Path\n{use}\ntime.sleep(6)"
                begun[library] = (
                    one,
                    one.starts(
                        [sys.executable, "-c", code],
                        RAY_TMPDIR=short,
                        RAY_gcs_server_port_wait_time_s="300",
                    ),
                )
        yield begun
        for one, process in begun.values():
            traced.ended(process, one.log)


@pytest.mark.parametrize("library", USES)
def test_libraries_that_would_tell_are_silent(
    library: str, started: dict[str, tuple[Person, subprocess.Popen[bytes]]]
) -> None:
    if library not in started:
        pytest.skip(f"{library} is not installed")
    one, process = started[library]
    assert traced.ended(process, one.log) == 0
    one.told_nobody(ASKS.get(library, ()))


def test_ray_is_told_not_to_report() -> None:
    """Its first report goes out a minute after the start: too late for the test above."""
    pytest.importorskip("ray")
    code = "import lensback, ray; from ray._common.usage import usage_lib as u; print(u.usage_stats_enabled())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_look_up_is_seen(tmp_path: Path) -> None:
    """The recorder sees what this test is about, also where nobody answers."""
    one = Person(tmp_path)
    ask = "import socket, contextlib\nwith contextlib.suppress(OSError):\n "
    name = "telemetry.example.invalid"
    process = one.starts([sys.executable, "-c", f"{ask}socket.getaddrinfo({name!r}, 443)"])
    assert traced.ended(process, one.log) == 0
    assert name in traced.hosts(one.log)
    away = "socket.create_connection(('192.0.2.7', 443), timeout=0.2)"
    process = one.starts([sys.executable, "-c", f"{ask}{away}"])
    assert traced.ended(process, one.log) == 0
    assert "192.0.2.7:443" in traced.hosts(one.log)


def _ready(client: httpx.Client) -> None:
    end = time.monotonic() + 240
    while time.monotonic() < end:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("serve did not start")
