"""End to end on real stores of localhost: hold out, evaluate, report, promise, trial."""

from __future__ import annotations

import csv
import json
import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from garments import items
from lensback import questions
from lensback.catalogue import stores
from lensback.catalogue.sketch import smallest_images
from lensback.cli import app
from lensback.db import tables as t
from lensback.errors import BadQuery, DataError, StateError
from lensback.evaluate import runs
from lensback.evaluate.holdout import Wish, hold_out
from lensback.evaluate.live import evaluate_live, read_queries
from lensback.evaluate.promise import certify
from lensback.promise import BROKEN, CERTIFIED, SKETCH, Promise, Threshold
from lensback.search import Query, search
from lensback.settings import Settings
from lensback.sync import sync
from lensback.web import create_app, service
from lensback.workspace import (
    Workspace,
    init,
    open_workspace,
    save_promise,
    set_setting,
)
from world import World

with warnings.catch_warnings():
    # Starlette asks for another HTTP client than the one we depend on; this one works.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

THINGS = items(18)


@dataclass(frozen=True)
class Split:
    source: Path
    folder: Path
    queries: Path
    workspace: Path


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """Two stores, the second with every other thing of the first; five views and two things out."""
    root = tmp_path_factory.mktemp("live")
    source = root / "source"
    init(source)
    set_setting(source, "encoder", "pixels")
    set_setting(source, "index", "exact")
    settings = Settings(allow_hosts=("127.0.0.1",), retries=0, index="exact", encoder="pixels")
    with World(root / "world") as world, Workspace(source, settings) as workspace:
        world.store("harbour", "google", THINGS, views=(0, 1))
        world.store("pier", "google", THINGS[::2])
        for store in world.stores.values():
            stores.add(workspace.db, store.name, store.feed_url)
        assert not sync(workspace).failed
        made = hold_out(workspace, root / "split", Wish(5, absent=2, stores=("harbour",)))
    return Split(source, made.folder, made.queries, made.workspace)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def lensback(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def test_what_is_held_out_is_nowhere_in_the_copy(split: Split) -> None:
    asked, hidden = rows(split.queries), rows(split.folder / "holdout.csv")
    assert [row["kind"] for row in asked].count("held-out product") == 2
    assert {Path(row["photo"]).name for row in asked} <= {row["image"] for row in hidden}
    with open_workspace(split.workspace) as copy:
        tools = copy.tools()
        left = {name for names, _ in copy.vectors.scan(tools.encoder.fingerprint) for name in names}
        assert not left & {row["image"] for row in hidden}
        with copy.db.read() as c:
            o = t.offers.c
            gone = {row["offer_id"] for row in asked if not row["offer_id"]}
            assert gone == {""}
            assert c.execute(select(o.id).where(o.active.is_(False))).all()


def test_the_same_split_comes_twice(split: Split, tmp_path: Path) -> None:
    with open_workspace(split.source) as workspace:
        again = hold_out(workspace, tmp_path / "again", Wish(5, absent=2, stores=("harbour",)))
        assert rows(again.queries) == rows(split.queries)
        with pytest.raises(BadQuery, match="not empty"):
            hold_out(workspace, tmp_path / "again", Wish(5))
        with pytest.raises(BadQuery, match="further view"):
            hold_out(workspace, tmp_path / "more", Wish(500))


def test_evaluate_and_report_from_the_command_line(split: Split, tmp_path: Path) -> None:
    done = lensback(
        "evaluate", "--workspace", split.workspace, "--queries", split.queries, "--json"
    )
    assert done.exit_code == 0, done.output
    run = runs.read(split.workspace / "evaluation")
    assert (run.kind, run.queries["present"], run.queries["absent"]) == ("live", 5, 2)
    assert run.leaks["found"] == 0
    assert run.gallery["stores"] == ["harbour", "pier"]
    for language, word in (("en", "The verdict"), ("ru", "Вывод")):
        page = tmp_path / f"{language}.html"
        done = lensback(
            "report", "--workspace", split.workspace, "--out", page, "--language", language
        )
        assert done.exit_code == 0, done.output
        assert word in page.read_text("utf-8")
        assert "verdict: Not known yet. What decided it: " in done.output
    done = lensback("report", "--workspace", split.workspace, "--json")
    assert json.loads(done.stdout)["verdict"]["verdict"] == "unknown"


def test_the_assumptions_file_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "assumptions.toml"
    assert lensback("report", "--example", path).exit_code == 0
    assert "# sold = " in path.read_text("utf-8")
    with pytest.raises(BadQuery):
        lensback("report", "--example", path)
    with pytest.raises(BadQuery, match="nothing to write"):
        lensback("report", "--workspace", tmp_path)
    with pytest.raises(BadQuery, match="not a day"):
        lensback("report", "--since", "May", "--out", tmp_path / "x.html")


def test_an_item_that_the_detector_misses_is_a_miss(split: Split, tmp_path: Path) -> None:
    row = next(row for row in rows(split.queries) if row["offer_id"])
    photo = split.folder / row["photo"]
    corner = tmp_path / "asked.csv"
    corner.write_text(
        f'photo,offer_id,box\n{photo},{row["offer_id"]},"0,0,0.05,0.05"\n'
        f"{photo},{row['offer_id']},\n",
        "utf-8",
    )
    with open_workspace(split.workspace) as workspace:
        missed, plain = evaluate_live(workspace, corner).outcomes
    assert (missed.error, missed.rank) == (questions.UNDETECTED, None)
    assert missed.iou is not None
    assert missed.iou < 0.5
    assert plain.error != questions.UNDETECTED


def test_a_picture_of_the_catalogue_is_no_question(split: Split, tmp_path: Path) -> None:
    with open_workspace(split.workspace) as workspace:
        with workspace.db.read() as c:
            o, oi, u = t.offers.c, t.offer_images.c, t.image_urls.c
            query = (
                select(o.offer_id, u.image_hash)
                .join(t.offer_images, oi.offer_id == o.id)
                .join(t.image_urls, u.id == oi.image_url_id)
                .where(o.active)
            )
            offer, image = c.execute(query).first() or ("", "")
        (tmp_path / "photo.jpg").write_bytes(workspace.images.read(image))
        (tmp_path / "asked.csv").write_text(f"photo,offer_id\nphoto.jpg,{offer}\n", "utf-8")
        run = evaluate_live(workspace, tmp_path / "asked.csv")
        assert (run.queries["all"], run.leaks["found"], run.leaks["dropped"]) == (0, 1, 1)
        assert run.figure("recall_at_1") is not None
        assert run.figure("recall_at_1").value is None  # type: ignore[union-attr]
        with pytest.raises(BadQuery, match="in the gallery"):
            evaluate_live(workspace, tmp_path / "asked.csv", leaks="refuse")


def test_a_stopped_evaluation_goes_on(split: Split, tmp_path: Path) -> None:
    with open_workspace(split.workspace) as workspace:
        first = evaluate_live(workspace, split.queries, tmp_path)
        kept = tmp_path / ".answered.jsonl"
        lines = kept.read_text("utf-8").splitlines(keepends=True)
        kept.write_text("".join(lines[:3]) + lines[3][:40], "utf-8")
        again = evaluate_live(workspace, split.queries, tmp_path)
    assert [o.hits for o in again.outcomes] == [o.hits for o in first.outcomes]
    assert [o.total_ms for o in again.outcomes[:2]] == [o.total_ms for o in first.outcomes[:2]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("picture,offer\n", "no columns"),
        ("photo,offer_id\n,x\n", "line 2: no photo"),
        ("photo,offer_id\nnowhere.jpg,x\n", "there is no"),
        ('photo,offer_id,box\nhere.jpg,x,"9,9"\n', "line 2"),
    ],
)
def test_a_wrong_line_is_named(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "here.jpg").write_bytes(b"x")
    (tmp_path / "asked.csv").write_text(text, "utf-8")
    with pytest.raises(BadQuery, match=said):
        read_queries(tmp_path / "asked.csv")


def test_an_offer_that_never_was_is_refused(split: Split, tmp_path: Path) -> None:
    photo = split.folder / rows(split.queries)[0]["photo"]
    (tmp_path / "asked.csv").write_text(f"photo,offer_id\n{photo},nosuchoffer\n", "utf-8")
    with open_workspace(split.workspace) as workspace, pytest.raises(BadQuery, match="line 2"):
        evaluate_live(workspace, tmp_path / "asked.csv")


def test_too_small_a_catalogue_promises_nothing(split: Split, tmp_path: Path) -> None:
    init(tmp_path / "small")
    with Workspace(tmp_path / "small", Settings()) as nothing, pytest.raises(StateError):
        certify(nothing)
    refused = pytest.raises(DataError, match="too few to promise")
    with open_workspace(split.source) as workspace, refused as caught:
        certify(workspace)
    assert "exact_precision" in caught.value.hint


def test_a_promise_counts_until_the_catalogue_changes(split: Split, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    shutil.copytree(split.source, folder)
    with open_workspace(folder) as workspace:
        tools = workspace.tools()
        fingerprint = tools.encoder.fingerprint
        calibration = workspace.calibration(fingerprint)
        assert calibration is not None
        assert sum(calibration.reference) == calibration.cases
        always = Threshold("", CERTIFIED, 0.0, 100, 0, 0.03)
        made = Promise(
            0.05, 0.95, fingerprint, calibration.digest,
            smallest_images(workspace.db, fingerprint, SKETCH), 54, tools.snapshot.id, "made up", 100,
            always,
        )  # fmt: skip
        save_promise(workspace, made)
        photo = (split.folder / rows(split.queries)[0]["photo"]).read_bytes()
        answer = search(photo, Query(), workspace.tools())
        assert (answer.verdict, answer.certified) == ("exact", True)
        save_promise(
            workspace, replace(made, overall=replace(always, state=BROKEN, threshold=None))
        )
        assert search(photo, Query(), workspace.tools()).verdict == "similar"
        other = tuple(f"{n:064x}" for n in range(54))
        save_promise(workspace, replace(made, catalogue=other))
        assert workspace.tools().promise is None
        assert "catalogue changed" in workspace.tools().no_promise
        assert not search(photo, Query(), workspace.tools()).certified


def test_a_trial_splits_searches_and_keeps_our_offers(split: Split, tmp_path: Path) -> None:
    folder = tmp_path / "first"
    shutil.copytree(split.source, folder)
    settings = Settings(
        index="exact", encoder="pixels", trial_workspace=str(split.workspace), trial_share=0.5
    )
    photo = (split.folder / rows(split.queries)[0]["photo"]).read_bytes()
    with Workspace(folder, settings) as workspace:
        answer = search(photo, Query(), workspace.trial_tools())
        assert answer.snapshot != workspace.tools().snapshot.id
        assert answer.hits
        with TestClient(create_app(workspace)) as client:
            for _ in range(32):
                files = {"photo": ("p.jpg", photo, "image/jpeg")}
                assert client.post("/api/search", files=files).status_code == 200
        workspace.drain()
        with workspace.db.read() as c:
            s = t.searches.c
            found = c.execute(select(s.variant, s.snapshot)).all()
    sides = {row.variant: row.snapshot for row in found}
    assert set(sides) == {"a", "b"}, "32 searches on one side: once in two billion"
    assert sides["a"] != sides["b"]
    assert all(sides[row.variant] == row.snapshot for row in found)


def test_a_trial_that_is_not_ready_costs_no_answer(split: Split, tmp_path: Path) -> None:
    folder = tmp_path / "first"
    shutil.copytree(split.source, folder)
    settings = Settings(index="exact", encoder="pixels", trial_workspace=str(tmp_path / "nowhere"))
    photo = (split.folder / rows(split.queries)[0]["photo"]).read_bytes()
    with Workspace(folder, settings) as workspace:
        with TestClient(create_app(workspace)) as client:
            for _ in range(24):
                files = {"photo": ("p.jpg", photo, "image/jpeg")}
                assert client.post("/api/search", files=files).status_code == 200
        workspace.drain()
        with workspace.db.read() as c:
            sides = c.execute(select(t.searches.c.variant)).scalars().all()
    assert sides == [""] * 24, "those that fell to the first by chance would break the split"


def test_while_searches_of_the_other_fail_none_is_of_the_trial(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ready, and then it is not: those of the first alone would break the split, too."""
    folder = tmp_path / "first"
    shutil.copytree(split.source, folder)
    settings = Settings(index="exact", encoder="pixels", trial_workspace=str(split.workspace))
    photo = (split.folder / rows(split.queries)[0]["photo"]).read_bytes()
    drawn, fails = iter("ababbababab"), False
    real = service.search

    def other(*asked: Any) -> Any:
        if fails:
            raise StateError("the index is away")
        return real(*asked)

    monkeypatch.setattr(service, "search", other)
    monkeypatch.setattr(service.Service, "_drawn", lambda _: next(drawn))
    with Workspace(folder, settings) as workspace:
        with TestClient(create_app(workspace)) as client:
            for fails in (*[False] * 4, True, True, True, *[False] * 4):  # noqa: B007
                files = {"photo": ("p.jpg", photo, "image/jpeg")}
                assert client.post("/api/search", files=files).status_code == 200
        workspace.drain()
        with workspace.db.read() as c:
            s = t.searches.c
            sides = c.execute(select(s.variant).order_by(s.at, s.search_id)).scalars().all()
    assert sorted(sides) == sorted([*"abab", *[""] * 5, *"ab"])
