"""The simulated month of bench/cashback_month.py in small, killed twice: the books equal the truth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "bench" / "cashback_month.py"


@pytest.mark.slow
def test_a_month_ends_in_the_truth(tmp_path: Path) -> None:
    out = tmp_path / "month.json"
    command = [sys.executable, str(SCRIPT), "--clicks", "6000", "--kills", "2", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(out.read_text("utf-8"))
    assert figures["balances_equal_truth"]
    assert figures["audit_proven"]
    assert figures["forged"] > 0
    assert figures["rows"]["clicks"] == 6000
