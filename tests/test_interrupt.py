"""Ctrl-C on a real terminal: a word, no traceback, code 130, whatever the command is doing.

Each command is caught at a moment when it works: a function in the middle of it says so and then sleeps
in native code, as a long query or a model would. Nothing else of it is changed.
"""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from forked import Forks
from garments import items
from lensback.catalogue import offers, stores
from lensback.db import Database, sqlite_url
from lensback.settings import Settings
from lensback.sync import sync
from lensback.workspace import Workspace, init
from servers import free_port
from world import World

LOADED = (
    *("alembic", "lance_namespace", "lxml.etree", "onnxruntime", "pandas", "pyarrow.dataset"),
    *("scipy.stats", "lensback.cli", "lensback.doctor", "lensback.evaluate.verbs", "lensback.sync"),
)
SHOWN = """
import ctypes, hashlib, importlib, json, os, sys
import lensback.cli
from lensback.__main__ import main

asked = json.loads({asked!r})

def catch(place):
    module, _, names = place.partition(":")
    owner = importlib.import_module(module)
    *within, name = names.split(".")
    for each in within:
        owner = getattr(owner, each)

    def caught(*_given, **_named):
        print("at work", file=sys.stderr, flush=True)
        for _ in range(60):
            if asked["deaf"]:  # native code that a signal does not end
                hashlib.pbkdf2_hmac("sha256", b"", b"", 400_000_000)
            ctypes.CDLL(None).sleep(60)

    setattr(owner, name, caught)

os.setsid()
tty = os.open(asked["tty"], os.O_RDWR)  # the first one of a session is its terminal
for fd in range(3):
    os.dup2(tty, fd)
os.close(tty)
os.write(1, b"begins")
sys.stdin = open(0, closefd=False)
os.environ.update(TERM="xterm", COLUMNS="100")
for console in (lensback.cli.face.out, lensback.cli.face.err):
    console.is_interactive = True  # found out when it was made, in the parent
sys.argv = ["lensback", *asked["arguments"]]
if asked["place"]:
    catch(asked["place"])
main()
"""
WORD = re.compile(r"stopp(ed|ing)")
END_S = 240.0
"""A machine with much else to do; what a command gives itself is `stopping.GRACE_S`."""


@dataclass
class Terminal:
    """A command on a terminal of its own, and what it has written there."""

    parent: Forks
    side: int
    pid: int = 0
    code: int | None = None
    text: str = ""

    def start(self, theirs: int, place: str, deaf: bool, arguments: Sequence[object]) -> None:
        asked = {"tty": os.ttyname(theirs), "arguments": list(map(str, arguments))}
        asked |= {"place": place, "deaf": deaf}
        self.pid = self.parent.fork(SHOWN.format(asked=json.dumps(asked)))
        self.until("begins")
        self.text = ""

    def until(self, what: re.Pattern[str] | str) -> float:
        """Reads on until the text has it; seconds that took."""
        begin = time.monotonic()
        while not re.search(what, self.text):
            assert time.monotonic() - begin < END_S, self.text
            if not self._read():
                pytest.fail(f"it ended before {what!r}: {self.text}")
        return time.monotonic() - begin

    def press(self, key: bytes = b"\x03") -> None:
        """Ctrl-C goes to every process of the terminal."""
        self.text = ""
        os.write(self.side, key)

    def end(self) -> int:
        """The exit code, when all is read."""
        while self._read():
            pass
        self.code = self.parent.code(self.pid)
        return self.code

    def worked_s(self) -> float:
        """Processor seconds of the command so far."""
        fields = (
            Path(f"/proc/{self.pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _read(self) -> bool:
        ready, _, _ = select.select([self.side], [], [], END_S)
        assert ready, f"nothing for {END_S} s: {self.text}"
        try:
            data = os.read(self.side, 4096)
        except OSError:  # the other side is closed
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)


@pytest.fixture(scope="module")
def parent() -> Iterator[Forks]:
    """A process that has loaded what takes long to load; each command is a fork of it."""
    with Forks(*LOADED) as forks:
        yield forks


@contextmanager
def terminal(
    parent: Forks, *arguments: object, place: str = "", deaf: bool = False
) -> Iterator[Terminal]:
    """`lensback ARGUMENTS` on a terminal of its own."""
    ours, theirs = os.openpty()
    shown = Terminal(parent, ours)
    try:
        shown.start(theirs, place, deaf, arguments)
        os.close(theirs)
        yield shown
    finally:
        if shown.pid and shown.code is None:
            with suppress(ProcessLookupError):
                os.killpg(shown.pid, signal.SIGKILL)
            shown.end()
        os.close(ours)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Path, Path]]:
    """A world with a store, its workspace synced, and a photo; nothing of it is changed by a command
    that is stopped."""
    root = tmp_path_factory.mktemp("interrupt")
    folder = root / "workspace"
    with World(root / "world") as world:
        store = world.store("harbour", "google", items(12), views=(0, 1))
        init(folder)
        (folder / "lensback.toml").write_text('encoder = "pixels"\nallow_hosts = ["127.0.0.1"]\n')
        with Workspace(folder, Settings(allow_hosts=("127.0.0.1",), encoder="pixels")) as opened:
            stores.add(opened.db, store.name, store.feed_url, base=world.base)
            assert not sync(opened).failed
        photo = world.photo(store.offers[0].item)
        (photo.parent / "asked.csv").write_text(f"photo,offer_id\n{photo.name},\n")
        yield world, folder, photo


ENCODE = "lensback.encoders.pixels:PixelsEncoder.encode"
MOMENTS = {
    # command -> where it is caught
    "sync --only embed": "lensback.sync:embed",
    "sync --only group": "lensback.group:group",
    "sync --only publish": "lensback.sync:publish",
    "search PHOTO": ENCODE,
    "calibrate": ENCODE,
    "evaluate --queries ASKED": ENCODE,
    "train --out OUT/model": "lensback.train.run:load",
    "backup OUT/backup": "lensback.backup.make:Writer.put",
    "restore BACKUP --workspace OUT/back": "lensback.backup.manifest:pieces",
    "prune": "lensback.prune:_size",
    "doctor": "lensback.doctor:findable",
}


@pytest.mark.parametrize(("command", "place"), MOMENTS.items(), ids=list(MOMENTS))
def test_a_word_no_traceback_and_130(
    parent: Forks,
    shop: tuple[World, Path, Path],
    tmp_path: Path,
    command: str,
    place: str,
) -> None:
    _, folder, photo = shop
    words = {"PHOTO": str(photo), "ASKED": str(photo.parent / "asked.csv")}
    words["BACKUP"] = str(photo.parent / "backup")
    if "BACKUP" in command and not Path(words["BACKUP"]).exists():
        with terminal(parent, "backup", words["BACKUP"], "--workspace", folder) as made:
            assert made.end() == 0, made.text
    if command == "prune":
        old = folder / "spool" / "left"
        old.parent.mkdir(exist_ok=True)
        old.write_text("x")
        os.utime(old, (0, 0))
    arguments = [words.get(word, word.replace("OUT", str(tmp_path))) for word in command.split()]
    here = [] if "--workspace" in arguments else ["--workspace", str(folder)]
    with terminal(parent, *arguments, *here, place=place) as shown:
        shown.until("at work")
        shown.press()
        shown.until(WORD)
        assert shown.end() == 130, shown.text
        assert "Traceback" not in shown.text
        assert "Error" not in shown.text.replace("StateError", "")
        assert f"to go on: lensback {shlex.join([*arguments, *here])}\r" in shown.text


def test_native_code_that_hears_nothing_is_told_of_and_ended(
    parent: Forks,
    shop: tuple[World, Path, Path],
) -> None:
    """The word comes while it is still at work; the end within the grace, without the work's help."""
    _, folder, photo = shop
    command = ("search", photo, "--workspace", folder)
    line = shlex.join(["lensback", *map(str, command)])
    with terminal(parent, *command, place=ENCODE, deaf=True) as shown:
        shown.until("at work")
        begun = shown.worked_s()
        while shown.worked_s() < begun + 0.3:  # within the native code by now
            time.sleep(0.02)
        shown.press()
        shown.until("stopping")
        os.kill(shown.pid, 0)  # told before the end, not with it
        shown.press()
        assert shown.end() == 130
        assert "Traceback" not in shown.text
        assert f"stopped; nothing is lost; to go on: {line}\r" in shown.text


def test_a_feed_that_drips(parent: Forks, shop: tuple[World, Path, Path]) -> None:
    world, folder, _ = shop
    store = world.stores["harbour"]
    world.drip(store.path, 1200)
    try:
        for command in (
            ("sync", "--force", "harbour", "--workspace", folder),
            ("store", "add", "x", "--feed", store.feed_url, "--dry-run", "--workspace", folder),
        ):
            asked = world.requests[store.path]
            with terminal(parent, *command) as shown:
                end = time.monotonic() + END_S
                while world.requests[store.path] == asked:
                    assert time.monotonic() < end, shown.text
                    time.sleep(0.02)
                shown.press()
                shown.until(WORD)
                assert shown.end() == 130, shown.text
                assert "Traceback" not in shown.text
    finally:
        world.heal()
    assert offers.counts(Database(sqlite_url(folder / "catalogue.db")))["harbour"] == 12


def test_a_network_that_does_not_answer(parent: Forks, shop: tuple[World, Path, Path]) -> None:
    _, folder, _ = shop
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and never answers
        port = silent.getsockname()[1]
        account = f'[awin]\npublisher = "1"\ntoken = "x"\napi = "http://127.0.0.1:{port}"\n'
        file = folder / "networks.toml"
        file.write_text(account)
        file.chmod(0o600)
        for which in (("awin",), ("--all",)):
            command = ("conversions", "pull", *which, "--workspace", folder)
            with terminal(parent, *command) as shown:
                shown.until("awin")  # its bar
                shown.press()
                shown.until(WORD)
                assert shown.end() == 130, shown.text
                assert "Traceback" not in shown.text
        file.unlink()
    with terminal(parent, "doctor", "--json", "--workspace", folder) as shown:
        shown.end()
    assert '"database"' in shown.text
    assert "network awin" not in shown.text, "who was stopped by hand has not failed"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_answers_what_it_has_and_ends(
    parent: Forks, shop: tuple[World, Path, Path], workers: int
) -> None:
    _, folder, _ = shop
    port = free_port()
    command = ("serve", "--port", port, "--workers", workers, "--workspace", folder)
    with terminal(parent, *command) as shown:
        shown.until(f"127.0.0.1:{port}")
        end = time.monotonic() + END_S
        while not answers(port):
            assert time.monotonic() < end, shown.text
            time.sleep(0.1)
        counted = sum(asked(port) for _ in range(3))
        assert counted == 3
        shown.press()
        shown.until(WORD)
        assert shown.end() == 130, shown.text
        assert "Traceback" not in shown.text
    assert not answers(port)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def asked(port: int) -> bool:
    """Whether one more page shows in the counts, whichever worker is asked for them."""
    base = f"http://127.0.0.1:{port}"
    before = pages(base)
    httpx.get(f"{base}/widget", timeout=240)
    end = time.monotonic() + END_S  # it is counted when the answer is on its way
    while pages(base) <= before:
        assert time.monotonic() < end
    return {pages(base) for _ in range(3)} == {before + 1}


def pages(base: str) -> float:
    text = httpx.get(f"{base}/metrics", timeout=240).text
    found = re.search(r'lensback_requests_total\{route="/widget",status="200"\} (\S+)', text)
    return float(found[1]) if found else 0.0


def test_ctrl_c_while_the_program_is_loaded() -> None:
    code = (
        "import os, signal, sys\n"
        # A shell that starts the tests in the background has it ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'lensback.cli':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from lensback.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")
