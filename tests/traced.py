"""What a process asks of the system, as strace sees it: native code is seen like Python's."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from servers import installed

NETWORK = "network"
_INET = re.compile(
    r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")'
)
_CALL = re.compile(r"^\d+ +(connect|send[a-z]*)\(\d+<(\S+?)>,")
_PEER = re.compile(r"->\[?([0-9a-f.:]+?)\]?:(\d+)\]")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')


def strace() -> str:
    """The program's path; a skip that says why where it is missing or may not trace."""
    program = installed(lambda: shutil.which("strace"), "strace")
    if subprocess.run([program, "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here: allow ptrace (--cap-add SYS_PTRACE)")
    return program


def start(
    command: Sequence[object], log: Path, calls: str, env: Mapping[str, str], *options: str
) -> subprocess.Popen[bytes]:
    """The command under strace, with all of its children; the process id is the command's own."""
    trace = [strace(), "-D", "-f", "--seccomp-bpf", "-yy", "-e", f"trace={calls}", "-o", str(log)]
    return subprocess.Popen([*trace, *options, *map(str, command)], env={**os.environ, **env})


def ended(process: subprocess.Popen[bytes], log: Path, timeout: float = 400) -> int:
    """The exit code, once strace has written all of the command's log."""
    code = process.wait(timeout)
    done = re.compile(rf"^{process.pid} +\+\+\+ ", re.MULTILINE)
    end = time.monotonic() + 120
    while not done.search(log.read_text("ascii", "replace")) and time.monotonic() < end:
        time.sleep(0.05)
    return code


def hosts(log: Path) -> set[str]:
    """Where the traced processes went or wanted to go, beyond this machine: addresses with their
    port, and the names that were looked up. A UDP socket that nothing was sent through went nowhere.
    """
    found: set[str] = set()
    for line in log.read_text("ascii", "replace").splitlines():
        if match := _CALL.match(line):
            call, socket_ = match.groups()
            if call == "connect" and socket_.startswith("UDP"):
                continue
            names = {name for text in _TEXT.findall(line) for name in _names(text)}
            at = [(f"{four or six}", port) for port, four, six in _INET.findall(line)]
            at += _PEER.findall(socket_)
            for address, port in at:
                if port == "53" and names:
                    found |= names
                elif not _here(address):
                    found.add(f"{address}:{port}")
    return found


def _here(address: str) -> bool:
    """Whether the address is one of this machine's own."""
    place = ipaddress.ip_address(address)
    if place.is_loopback or place.is_unspecified:
        return True
    family = socket.AF_INET if place.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.bind((address, 0))
        return True
    return False


def _names(escaped: str) -> list[str]:
    """The host name in a query of the domain name system, as strace prints its bytes; none where
    the text is no query."""
    raw = escaped.encode("ascii").decode("unicode_escape").encode("latin-1", "replace")
    labels, at = [], 12
    while at < len(raw) and 0 < raw[at] < 64:
        labels.append(raw[at + 1 : at + 1 + raw[at]].decode("ascii", "replace"))
        at += 1 + raw[at]
    return [".".join(labels)] if labels and at < len(raw) and raw[at] == 0 else []
