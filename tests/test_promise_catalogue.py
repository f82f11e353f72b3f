"""Calibration and promise of a whole catalogue, in a workspace: 121 products with vectors by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

import tiny
from lensback import calibrate as calibrating
from lensback.calibrate import Things, calibrate
from lensback.catalogue.sketch import smallest_images
from lensback.db import tables as t
from lensback.errors import DataError, StateError
from lensback.evaluate import promise as certifying
from lensback.evaluate.promise import certified, certify, kept
from lensback.promise import BROKEN, CERTIFIED, OPEN, SKETCH, Promise, Threshold
from lensback.publish import publish
from lensback.questions import COPIED_VIEWS, COPIES, VIEWS, Outcome
from lensback.search import Tools
from lensback.settings import Settings
from lensback.workspace import Workspace, init

SEVERAL = [f"p{n:03d}" for n in range(120)]
"""Products with a front and a side; `lone` has a front alone."""
PRODUCTS = [*SEVERAL, "lone"]
WRONG = 0.4
"""A promise that six right answers are enough for: 0.6^5 = 0.078, 0.6^6 = 0.047."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Every product looks its own way, and its side much like its front. Shoes and bags by turns."""
    folder = tmp_path_factory.mktemp("stocked") / "workspace"
    init(folder)
    settings = Settings(encoder="pixels", detector="whole", index="exact", promised_wrong=WRONG)
    with Workspace(folder, settings) as opened:
        encoder = opened.encoder()
        rows = [
            tiny.Row("a", name, name, (f"{name}s", f"{name}f"), fields={"category": kind})
            for name, kind in zip(PRODUCTS, ["Shoes", "Bags"] * 61, strict=False)
        ]
        # The name of a side comes after that of a front; the store shows the side first.
        rows[-1] = replace(rows[-1], images=("lonef",))
        tiny.write(opened.db, rows, encoder.fingerprint)
        random = np.random.default_rng(5)
        looks = random.normal(size=(len(rows), encoder.dim))
        shown = [
            (image, look) for row, look in zip(rows, looks, strict=True) for image in row.images
        ]
        views = tiny.unit([look + 0.2 * random.normal(size=look.shape) for _, look in shown])
        hashes = [tiny.hash_of(image) for image, _ in shown]
        opened.vectors.append(encoder.fingerprint, hashes, views)
        staged = opened.staging(encoder)
        known = {"fingerprint": encoder.fingerprint, "encoder": encoder.name}
        publish(opened.db, opened.vectors, staged, **known)
        yield opened


@pytest.fixture
def things(workspace: Workspace) -> Things:
    return Things(workspace.db, workspace.images, workspace.vectors, workspace.encoder())


@contextmanager
def off_sale(things: Things, names: Sequence[str]) -> Iterator[None]:
    """These products are not sold meanwhile."""
    o = t.offers.c

    def sell(active: bool) -> None:
        with things.db.write() as c:
            ids = list(map(tiny.product_of, names))
            c.execute(update(t.offers).where(o.product_id.in_(ids)).values(active=active))

    sell(active=False)
    yield
    sell(active=True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """(products and images, kinds, seed) of each round of questions that is asked."""
    seen: list[tuple[Any, ...]] = []
    ask, lone = calibrating.ask, pictures("lonef")

    def noted(
        things: Things, asked: Any, kinds: Any, several: Any, *, seed: int = 0, progress: Any = None
    ) -> Any:
        if asked not in ([], lone):
            seen.append((asked, kinds, seed))
        return ask(things, asked, kinds, several, seed=seed, progress=progress)

    monkeypatch.setattr(calibrating, "ask", noted)
    monkeypatch.setattr(certifying, "ask", noted)
    return seen


def pictures(*names: str) -> list[tuple[str, str]]:
    """(product, image) of pictures like p003f, the front of p003."""
    return [(tiny.product_of(name[:-1]), tiny.hash_of(name)) for name in names]


def just_now(moment: str) -> bool:
    """Whether it is a time in UTC, to the second, and not a minute ago."""
    said = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S+00:00").replace(tzinfo=UTC)
    return abs(said.timestamp() - time.time()) < 60


# ---- calibration


def fitted(things: Things, **wanted: Any) -> Any:
    return calibrate(things.db, things.images, things.vectors, things.encoder, **wanted)


def test_views_are_asked_for_where_sixty_products_have_several(
    things: Things, asked: list[tuple[Any, ...]]
) -> None:
    steps: list[tuple[int, int]] = []
    with off_sale(things, SEVERAL[60:]):
        made = fitted(things, progress=lambda done, total: steps.append((done, total)))
    assert asked == [(pictures(*(f"{name}f" for name in SEVERAL[:60])), [VIEWS, COPIES], 0)]
    assert steps == [(60, 60)]
    assert (made.kind, made.cases) == ("other views and distorted copies", 240)
    assert (made.fingerprint, made.images) == (things.encoder.fingerprint, 241)
    assert just_now(made.created_at)
    # A view is about 1 / (1 + 0.04) like another one, with all of it as the lead; a stranger is far.
    assert made.probability(0.96, 0.8) > 0.9
    assert made.probability(0.1, 0.02) < 0.1
    assert made.none_below < 0.2


def test_copies_alone_where_they_are_fifty_nine(
    things: Things, asked: list[tuple[Any, ...]]
) -> None:
    with off_sale(things, SEVERAL[59:]):
        made = fitted(things, seed=1)
    # The second picture of each, and the only one of the last.
    wanted = pictures("lonef", *(f"{name}s" for name in SEVERAL[:59]))
    assert asked == [(wanted, [COPIES], 1)]
    assert (made.kind, made.cases) == ("distorted copies", 120)


def test_no_more_are_asked_than_wanted(things: Things, asked: list[tuple[Any, ...]]) -> None:
    assert fitted(things, limit=40, seed=3).cases == 160
    assert fitted(things, limit=40, seed=4).cases == 160
    fitted(things, limit=40, seed=4)
    assert asked[2] == asked[1], "a seed asks the same"
    first, second = ({product for product, _ in each[0]} for each in asked[:2])
    assert len(first) == len(second) == 40
    assert first != second
    assert tiny.product_of("lone") not in first | second


def test_ten_products_are_enough_to_calibrate_on(things: Things) -> None:
    with off_sale(things, SEVERAL[9:]):
        assert fitted(things).cases == 20
    with off_sale(things, SEVERAL[8:]), pytest.raises(DataError, match="9 products"):
        fitted(things)


# ---- the promise


def test_a_third_fits_and_the_others_judge(
    things: Things, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certifying, "ENOUGH_IN_CATEGORY", 20)
    steps: list[tuple[int, int]] = []
    calibration, made = certified(
        things,
        WRONG,
        snapshot="s1",
        seed=5,
        progress=lambda done, total: steps.append((done, total)),
    )
    (tuning, kinds, seed), (judging, judged, another) = asked
    assert (kinds, seed, judged, another) == ([VIEWS, COPIES], 5, [COPIED_VIEWS], 6)
    # All of the 120, each on one side; the first picture that a store shows is never asked with.
    assert sorted(tuning + judging) == pictures(*(f"{name}f" for name in SEVERAL))
    assert 25 < len(tuning) < 55
    assert (calibration.cases, made.cases) == (4 * len(tuning), len(judging))
    assert calibration.kind == "other views and distorted copies"
    assert steps[-1] == (len(judging), len(judging))
    assert {total for _, total in steps} == {len(judging)}
    assert (made.promised, made.confidence, made.snapshot) == (WRONG, 0.95, "s1")
    assert made.fingerprint == calibration.fingerprint == things.encoder.fingerprint
    assert made.calibration == calibration.digest
    assert made.catalogue == smallest_images(things.db, made.fingerprint, SKETCH)
    assert len(made.catalogue) == made.images == calibration.images == 241
    assert made.source == "other views, distorted"
    assert just_now(made.created_at)
    # Half of the judged are there to be found: all of those are found, and no stranger is near.
    assert (made.overall.state, made.overall.wrong, made.overall.name) == (CERTIFIED, 0, "")
    assert made.overall.answers == pytest.approx(len(judging) / 2, abs=12)
    assert {each.name: each.state for each in made.categories} == {
        "Bags": CERTIFIED,
        "Shoes": CERTIFIED,
    }
    assert sum(each.answers for each in made.categories) == made.overall.answers


def test_the_same_seed_promises_the_same(things: Things) -> None:
    made = (certified(things, WRONG, snapshot="", seed=seed)[1] for seed in (1, 1, 2))
    # The calibration is named with the time at which it was made.
    one, again, other = (replace(each, created_at="", calibration="") for each in made)
    assert one.categories == (), "there are few of each"
    assert one == again
    assert one.overall != other.overall


def test_where_views_are_few_the_promise_is_optimistic_and_says_so(
    things: Things, asked: list[tuple[Any, ...]]
) -> None:
    with off_sale(things, SEVERAL[119:]):
        calibration, made = certified(things, WRONG, snapshot="s1")
    (_, kinds, seed), (judging, judged, another) = asked
    assert (kinds, judged, seed, another) == ([COPIES], [COPIES], 0, 1)
    assert made.source == "distorted copies alone: optimistic"
    assert calibration.kind == "distorted copies"
    images = {image for each in asked for _, image in each[0]}
    # Any picture may be asked with now, also that of the product that has but one.
    assert tiny.hash_of("lonef") in images
    assert {tiny.hash_of(f"{name}s") for name in SEVERAL} & images
    assert len(images) == 120
    assert made.cases == len(judging)


@pytest.mark.parametrize("fits", [True, False])
def test_ten_on_either_side_are_enough_to_promise(
    things: Things, monkeypatch: pytest.MonkeyPatch, *, fits: bool
) -> None:
    """The fewer decide, be they those that fit or those that judge."""
    few = set(map(tiny.product_of, SEVERAL[:10]))
    monkeypatch.setattr(certifying, "_third", lambda product: (product in few) == fits)
    calibration, made = certified(things, WRONG, snapshot="")
    assert (calibration.cases, made.cases) == ((40, 110) if fits else (440, 10))
    with off_sale(things, SEVERAL[:1]), pytest.raises(DataError, match=r"120 products"):
        certified(things, WRONG, snapshot="")


def test_no_more_than_the_most_are_asked(
    things: Things, asked: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certifying, "MOST", 60)
    certified(things, WRONG, snapshot="")
    assert sum(len(each[0]) for each in asked) == 60


def test_a_workspace_keeps_what_it_promised(
    workspace: Workspace, asked: list[tuple[Any, ...]]
) -> None:
    steps: list[int] = []
    made = certify(workspace, seed=2, progress=lambda done, _total: steps.append(done))
    assert (made.promised, made.overall.state) == (WRONG, CERTIFIED)
    assert [each[2] for each in asked] == [2, 3]
    assert steps[-1] == made.cases
    tools = workspace.tools()
    assert tools.promise == made
    assert (made.snapshot, tools.no_promise) == (tools.snapshot.id, "")
    assert tools.calibration is not None
    assert tools.calibration.digest == made.calibration
    stricter = certify(workspace, promised=0.01)
    assert (stricter.promised, stricter.overall.state) == (0.01, OPEN)
    assert workspace.tools().promise == made, "what is not certified touches nothing"
    assert [each[2] for each in asked[2:]] == [0, 1]


# ---- looked at again


SURE = Threshold("", CERTIFIED, 0.8, 300, 2, 0.02)
SHOES = Threshold("Shoes", CERTIFIED, 0.7, 100, 0, 0.03)
BAGS = Threshold("Bags", BROKEN, None, 100, 20, 0.3)


def said(right: int, wrong: int) -> list[Outcome]:
    """So many exact answers of either kind, and three that are not exact."""
    flags = [True] * right + [False] * wrong + [None] * 3
    return [Outcome(exact_right=flag) for flag in flags]


def promising(overall: Threshold) -> Promise:
    known = ("eye", "cal", ("a",), 10, "s", "views", 300)
    return Promise(0.05, 0.95, *known, overall, (SHOES, BAGS))


@pytest.fixture(scope="module")
def plain(workspace: Workspace) -> Tools:
    return replace(workspace.tools(), promise=None, no_promise="", exact_precision=0.97)


def test_a_promise_that_a_run_keeps(plain: Tools) -> None:
    found = kept(replace(plain, promise=promising(SURE)), 0.5, said(99, 1))
    assert (found.promised, found.confidence, found.certified) == (0.05, 0.95, True)
    assert (found.why_not, found.source, found.threshold) == ("", "views", 0.8)
    assert found.by_category == {"Shoes": 0.7, "Bags": None}
    assert (found.exact, found.wrong, found.state) == (100, 1, "kept")
    assert found.upper == pytest.approx(0.0466, abs=5e-5)  # Clopper, Pearson: 1 of 100, one-sided


@pytest.mark.parametrize(
    ("right", "wrong", "state"),
    [
        (0, 0, "nothing exact"),
        (95, 5, "open"),
        (80, 20, "broken"),
        (58, 0, "open"),
        (59, 0, "kept"),
    ],
)
def test_what_a_run_says_of_the_promise(plain: Tools, right: int, wrong: int, state: str) -> None:
    found = kept(replace(plain, promise=promising(SURE)), 0.5, said(right, wrong))
    assert (found.state, found.exact, found.wrong) == (state, right + wrong, wrong)


def test_where_nothing_is_promised_it_says_why(plain: Tools) -> None:
    found = kept(replace(plain, no_promise="the catalogue changed"), 0.02, said(1, 0))
    assert (found.promised, found.certified, found.source) == (0.02, False, "")
    assert (found.threshold, found.why_not) == (0.97, "the catalogue changed")
    assert found.by_category == {}
    # Of the own share of 2 % even 100 right ones are no proof: 0.98^100 = 0.13; 149 are.
    assert kept(plain, 0.02, said(148, 0)).state == "open"
    assert kept(plain, 0.02, said(149, 0)).state == "kept"
    open_ = kept(replace(plain, promise=promising(Threshold("", OPEN, None, 9, 1, 0.4))), 0.5, [])
    assert (open_.certified, open_.threshold) == (False, 0.97)
    assert open_.why_not == "9 answers, 1 wrong: too few to be sure"
    broken = kept(replace(plain, promise=promising(Threshold("", BROKEN, None, 99, 9, 0.2))), 0, [])
    assert (broken.certified, broken.threshold) == (False, None)
    assert broken.why_not == "wrong at the strictest threshold: 9 of 99 exact answers"


def test_an_index_of_nothing_promises_nothing(tmp_path: Path) -> None:
    init(tmp_path / "empty")
    settings = Settings(encoder="pixels", detector="whole", index="exact")
    with Workspace(tmp_path / "empty", settings) as empty, pytest.raises(StateError):
        certify(empty)
