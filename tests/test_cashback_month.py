"""The simulated months of bench/ in small, with kills: the books equal a truth that was summed up apart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.mark.slow
def test_a_month_ends_in_the_truth(tmp_path: Path) -> None:
    out = tmp_path / "month.json"
    command = [
        sys.executable,
        str(BENCH / "cashback_month.py"),
        "--clicks",
        "6000",
        "--kills",
        "2",
        "--out",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(out.read_text("utf-8"))
    assert figures["balances_equal_truth"]
    assert figures["audit_proven"]
    assert figures["forged"] > 0
    assert figures["rows"]["clicks"] == 6000


@pytest.mark.slow
def test_every_network_ends_in_the_truth(tmp_path: Path) -> None:
    """Late, amended, corrected, doubled, forged, told by two networks, clicked elsewhere, stuffed."""
    out = tmp_path / "month.json"
    command = [sys.executable, str(BENCH / "networks_month.py"), "--copies", "6", "--kills", "1"]
    done = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(out.read_text("utf-8"))
    assert figures["balances_equal_truth"]
    assert figures["audit_proven"]
    assert (figures["networks"], figures["killed"], figures["views_wrong"]) == (20, 1, 0)
    assert figures["clicks"] == figures["clicks_expected"]
    assert figures["forged_calls"] > 0
