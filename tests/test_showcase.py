"""The demo as a whole: found, honest about its pictures, and next to nothing the second time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lensback.showcase import showcase
from lensback.types import Progress


def quiet(_stage: str) -> Progress:
    return lambda _done, _total: None


def test_demo_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSBACK_DEMO_BASE", "http://127.0.0.1:9/")
    first = showcase(tmp_path / "demo", count=60, watch=quiet)
    assert first.found
    assert "drawn" in first.note
    assert not first.report.failed
    assert {s.store for s in first.answer.hits[0].product.offers} == {"harbour", "lavka"}
    begin = time.monotonic()
    second = showcase(tmp_path / "demo", count=60, watch=quiet)
    assert time.monotonic() - begin < 10
    assert second.found
    done = {tally.stage: tally.done for tally in second.report.tallies}
    assert (done["ingest harbour"], done["download"], done["embed"], done["publish"]) == (
        0,
        0,
        0,
        0,
    )
