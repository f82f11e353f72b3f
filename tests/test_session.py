"""How many processors a model takes: those that this process may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lensback import session
from lensback.session import processors

BOUND = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from lensback.session import processors
print(processors())
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="processes are bound on Linux only"
)
def test_a_bound_process_counts_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", BOUND], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize(
    ("text", "share"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("", None)]
)
def test_a_container_counts_its_quota(
    text: str, share: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "QUOTA", tmp_path / "none")
    unlimited = processors()
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(session, "QUOTA", tmp_path / "cpu.max")
    assert processors() == (share or unlimited)
