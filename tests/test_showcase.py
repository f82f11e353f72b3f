"""The demo as a whole: three true verdicts, no network, and next to nothing the second time."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lensback.cli import app
from lensback.demo import build_catalogue
from lensback.showcase import DemoQuestion, showcase
from lensback.types import Progress
from shown import answer


def quiet(_stage: str) -> Progress:
    return lambda _done, _total: None


def test_the_demo_earns_all_three_verdicts(tmp_path: Path) -> None:
    first = showcase(tmp_path / "demo", watch=quiet)
    assert not first.report.failed
    assert [asked.answer.verdict for asked in first.asked] == ["exact", "similar", "none"]
    assert all(asked.right for asked in first.asked)
    assert [asked.shows_thing for asked in first.asked] == [True, False, False]
    sold = first.asked[0].answer.hits[0]
    assert {offer.store for offer in sold.offers} == {"harbour", "lavka"}
    assert sold.probability >= 0.95
    done = CliRunner().invoke(
        app, ["demo", "--no-serve", "--workspace", str(tmp_path / "demo")], catch_exceptions=False
    )
    assert done.exit_code == 0
    for word in ("exact", "similar", "none", "3 of 3 answers are right"):
        assert word in done.output
    assert done.output.count("feed unchanged") == 2
    again = showcase(tmp_path / "demo", watch=quiet)
    assert [asked.answer.verdict for asked in again.asked] == ["exact", "similar", "none"]
    tallies = {tally.stage: tally.done for tally in again.report.tallies}
    assert [tallies[stage] for stage in ("ingest harbour", "download", "embed", "publish")] == [
        0
    ] * 4


@pytest.mark.parametrize("verdict", ["exact", "similar", "none"])
def test_an_answer_is_right_only_where_it_is_true(tmp_path: Path, verdict: str) -> None:
    sold, unsold, _ = build_catalogue(tmp_path).photos
    empty = answer(verdict=verdict)
    assert not DemoQuestion(sold, empty).right, (
        "an answer without the thing is wrong, whatever it says"
    )
    assert DemoQuestion(unsold, empty).right == (verdict != "exact")
