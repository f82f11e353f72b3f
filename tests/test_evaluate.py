"""Evaluation that cannot be fooled: leaks are found, liars get the verdict they deserve."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from garments import draw, items
from lensback import questions
from lensback.cli import app
from lensback.encoders import open_encoder
from lensback.errors import BadQuery
from lensback.evaluate import measure, runs, verbs
from lensback.evaluate.benchmark import evaluate_folder
from lensback.evaluate.inputs import RULES
from lensback.evaluate.runs import Run
from lensback.evaluate.shares import Share
from lensback.evaluate.verdict import MIN_CASES, judge, needed, strange_kinds
from lensback.settings import Settings
from outcomes import honest, system

THINGS = items(16)
SOLD, STRANGERS = THINGS[:12], THINGS[12:]
PIXELS = open_encoder("pixels", Path())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures of each thing: drawing takes longer than all the rest."""
    folder = tmp_path_factory.mktemp("drawn")
    for thing in THINGS:
        draw(thing, side_px=120).save(folder / f"{thing.id}.jpg", quality=90)
        draw(thing, view=1, side_px=120).save(folder / f"photo-{thing.id}.jpg", quality=90)
    return folder


class Folder:
    """A benchmark folder of drawn things: main pictures in the gallery, others as queries."""

    def __init__(self, path: Path, drawn: Path) -> None:
        self.path = path
        self.images = path / "images"
        shutil.copytree(drawn, self.images)
        self.gallery: list[list[str]] = [["image", "product", "model"]]
        self.queries: list[list[str]] = [["image", "product", "kind"]]
        for thing in SOLD:
            self.gallery.append([f"{thing.id}.jpg", thing.id, thing.kind])
        for thing in THINGS:
            product = thing.id if thing in SOLD else ""
            self.queries.append([f"photo-{thing.id}.jpg", product, "phone"])

    def ask(self, picture: Image.Image, product: str, name: str) -> str:
        picture.convert("RGB").save(self.images / name, quality=90)
        self.queries.append([name, product, "phone"])
        return name

    def file(self, name: str, rows: list[list[str]]) -> Path:
        with (self.path / name).open("w", newline="", encoding="utf-8") as lines:
            csv.writer(lines).writerows(rows)
        return self.path / name

    def run(self, leaks: str = "drop") -> Run:
        gallery, queries = (
            self.file("gallery.csv", self.gallery),
            self.file("queries.csv", self.queries),
        )
        return evaluate_folder(gallery, queries, self.images, PIXELS, leaks=leaks)


@pytest.fixture
def folder(tmp_path: Path, drawn: Path) -> Folder:
    return Folder(tmp_path / "benchmark", drawn)


def test_a_folder_is_evaluated(folder: Folder, tmp_path: Path) -> None:
    run = folder.run()
    assert run.queries == {"all": 16, "present": 12, "absent": 4, "products": 12}
    recall = run.figure("recall_at_1")
    assert recall is not None
    assert recall.n == 12
    assert recall.right == sum(o.rank == 1 for o in run.outcomes)
    assert run.leaks["found"] == 0
    assert run.calibration["cases"] == 24
    assert {o.verdict for o in run.outcomes} <= {"exact", "similar", "none"}
    assert {s.name for s in run.slices} == {"phone"}
    runs.write(run, tmp_path / "out")
    assert runs.read(tmp_path / "out") == run
    lines = (tmp_path / "out" / "queries.csv").read_text("utf-8").splitlines()
    assert len(lines) == 17


def test_the_command_line_writes_the_run(folder: Folder, tmp_path: Path) -> None:
    gallery = folder.file("gallery.csv", folder.gallery)
    queries = folder.file("queries.csv", folder.queries)
    command = ["evaluate", "--gallery", gallery, "--queries", queries, "--encoder", "pixels",
               "--workspace", tmp_path / "none", "--out", tmp_path / "out"]  # fmt: skip
    done = CliRunner().invoke(app, [str(part) for part in command], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "recall_at_1" in done.stdout
    assert "not known" in done.stdout, "no box was given, so nothing is known of detection"
    assert runs.read(tmp_path / "out").encoder["name"] == "pixels"


# ---- leaks


Copy = Callable[[Image.Image], Image.Image]
COPIES: dict[str, Copy] = {
    "recompressed": lambda image: image.resize((110, 110)),
    "cropped": lambda image: image.crop((6, 5, 115, 114)),
}


def test_a_leaked_query_is_found_by_its_bytes(folder: Folder) -> None:
    name = "leak.jpg"
    shutil.copy(folder.images / f"{SOLD[0].id}.jpg", folder.images / name)
    folder.queries.append([name, SOLD[0].id, "phone"])
    run = folder.run()
    assert (run.leaks["found"], run.leaks["dropped"]) == (1, 1)
    assert run.leaks["examples"][0]["way"] == "exact"
    assert not any(o.photo.endswith(name) for o in run.outcomes)


@pytest.mark.parametrize("how", COPIES)
def test_a_leaked_query_is_found_by_its_pixels(folder: Folder, how: str) -> None:
    thing = SOLD[1]
    picture = Image.open(folder.images / f"{thing.id}.jpg")
    name = folder.ask(COPIES[how](picture), thing.id, "leak.jpg")
    run = folder.run()
    assert run.leaks["found"] == 1
    assert run.leaks["examples"][0]["query"].endswith(name)


def test_another_colour_of_the_same_thing_is_no_leak(folder: Folder) -> None:
    thing = SOLD[2]
    other = replace(thing, colour=next(t.colour for t in THINGS if t.colour != thing.colour))
    folder.ask(draw(other, side_px=120), "", "other-colour.jpg")
    assert folder.run().leaks["found"] == 0


def test_leaks_are_refused_where_that_is_asked_and_distrusted_where_kept(folder: Folder) -> None:
    shutil.copy(folder.images / f"{SOLD[0].id}.jpg", folder.images / "leak.jpg")
    folder.queries.append(["leak.jpg", SOLD[0].id, "phone"])
    with pytest.raises(BadQuery, match="1 query photos are in the gallery"):
        folder.run("refuse")
    run = folder.run("keep")
    assert run.queries["all"] == 17
    found = judge(run, RULES, None)
    assert (found.name, found.decided_by.rule) == ("unknown", "leak")
    with pytest.raises(BadQuery, match="unknown way"):
        folder.run("ignore")


# ---- what must not be dropped or invented


def test_an_unreadable_photo_is_a_miss_not_a_gap(folder: Folder) -> None:
    (folder.images / "broken.jpg").write_bytes(b"not a picture")
    folder.queries.append(["broken.jpg", SOLD[0].id, "phone"])
    run = folder.run()
    recall = run.figure("recall_at_1")
    assert recall is not None
    assert recall.n == 13
    assert run.errors["unreadable"] == 1


def test_wrong_files_are_refused_with_what_is_wrong(folder: Folder, tmp_path: Path) -> None:
    folder.queries.append([folder.queries[1][0], "nobody has it", ""])
    with pytest.raises(
        BadQuery, match="1 product missing in the gallery, the first is 'nobody has it'"
    ):
        folder.run()
    with pytest.raises(BadQuery, match="no columns image and product"):
        evaluate_folder(
            folder.file("gallery.csv", [["a", "b"]]),
            tmp_path / "benchmark" / "queries.csv",
            folder.images,
            PIXELS,
        )
    with pytest.raises(BadQuery, match=r"cannot read \S+no\.csv: No such file or directory$"):
        evaluate_folder(tmp_path / "no.csv", tmp_path / "no.csv", folder.images, PIXELS)


def test_a_wrong_colour_is_its_own_kind_of_error(folder: Folder) -> None:
    """A photo of the red one, whose picture is not there, finds the blue one of the same model."""
    run = folder.run()
    models = {row[1]: row[2] for row in folder.gallery[1:]}
    for outcome in run.outcomes:
        first = outcome.hits[0].product if outcome.hits else ""
        if outcome.error in {questions.WRONG_COLOUR, questions.WRONG_PRODUCT}:
            same = models[first] == models[outcome.product]
            assert (outcome.error == questions.WRONG_COLOUR) == same


def test_two_encoders_are_compared_query_by_query(folder: Folder, tmp_path: Path) -> None:
    run = folder.run()
    worse = replace(
        run,
        encoder={"name": "worse", "fingerprint": "x", "dim": 1},
        outcomes=tuple(replace(o, rank=2 if o.rank else None) for o in run.outcomes),
    )
    runs.write(worse, tmp_path / "worse")
    gallery, queries = folder.path / "gallery.csv", folder.path / "queries.csv"
    ask = verbs.Ask(queries, "pixels", str(tmp_path / "worse"))
    found = verbs.of_folder(gallery, folder.images, ask, Settings(), tmp_path).against
    assert found is not None
    by = {each.name: each for each in found.differences}
    recall = run.figure("recall_at_1")
    assert recall is not None
    assert by["recall_at_1"].value == recall.value
    assert by["recall_at_1"].better == recall.right
    assert by["recall_at_1"].worse == 0
    assert found.name == "worse"


def test_a_run_of_another_schema_is_refused(folder: Folder, tmp_path: Path) -> None:
    path = runs.write(folder.run(), tmp_path)
    values = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**values, "schema": 99}), "utf-8")
    with pytest.raises(BadQuery, match="schema 99"):
        runs.read(tmp_path)
    path.write_text("{}", "utf-8")
    with pytest.raises(BadQuery):
        runs.read(tmp_path)


# ---- liars


def test_a_system_that_always_says_none_is_refused() -> None:
    found = judge(system(lambda n, sold: ("none", True)), RULES, None)
    assert (found.name, found.decided_by.rule) == ("refuse", "found")
    assert found.decided_by.share is not None
    assert found.decided_by.share.hits == 0


def test_a_system_that_always_says_exact_is_refused() -> None:
    """It finds everything that is sold, which looks beautiful in recall alone."""
    found = judge(system(lambda n, sold: ("exact", True)), RULES, None)
    assert (found.name, found.decided_by.rule) == ("refuse", "misled")
    by = {ruling.rule: ruling.state for ruling in found.rulings}
    assert by["found"] == "passed"
    assert by["wrong_exact"] == "failed"


def test_an_honest_and_good_system_may_be_used() -> None:
    assert judge(system(honest), RULES, None).name == "use"
    assert judge(system(honest), RULES, (1.0, 5.0)).name == "use"


def test_the_same_system_on_store_pictures_has_limits() -> None:
    found = judge(system(honest, kind="held-out view"), RULES, None)
    assert (found.name, found.decided_by.rule) == ("limits", "real_photos")


def test_a_system_that_loses_money_is_refused() -> None:
    found = judge(system(honest), RULES, (-5.0, -1.0))
    assert (found.name, found.decided_by.rule) == ("refuse", "money")


def test_too_few_photos_are_not_known_and_the_number_missing_is_said() -> None:
    found = judge(system(honest, n=30), RULES, None)
    assert found.name == "unknown"
    assert found.needed["found"] >= MIN_CASES - 30
    nothing = judge(None, RULES, None)
    assert (nothing.name, nothing.decided_by.rule) == ("unknown", "found")
    assert {r.rule: r.state for r in nothing.rulings}["leak"] == "open", "nobody looked"
    assert nothing.needed["found"] == MIN_CASES, "no more than a few photos leave to be asked for"


def test_nobody_looked_for_leaks_so_nothing_is_believed() -> None:
    found = judge(replace(system(honest), leaks={}), RULES, None)
    assert (found.name, found.decided_by.rule, found.decided_by.state) == (
        "unknown",
        "leak",
        "open",
    )


def test_collecting_what_was_asked_for_decides() -> None:
    """N more photos at the same share take the interval off the line, or make it narrow enough."""
    for hits, n in ((26, 60), (60, 100), (4, 70)):
        share = Share.plain(hits, n)
        more = needed(share, 0.4)
        later = Share.plain(round(share.value * (n + more)), n + more)
        decided = later.low >= 0.4 or later.high < 0.4
        assert decided or (later.high - later.low) / 2 <= 0.055


def test_the_weak_category_is_named() -> None:
    run = system(honest)
    outcomes = tuple(
        replace(o, rank=None, first_right=False, slices={**o.slices, "category": "Bags"})
        if o.present and n % 4 == 0
        else o
        for n, o in enumerate(run.outcomes)
    )
    found = judge(replace(run, outcomes=outcomes), RULES, None)
    assert [(p.name, p.state) for p in found.places] == [("Bags", "failed"), ("Shirts", "passed")]


def test_the_area_under_the_risk_curve_rewards_knowing_when_not_to_answer() -> None:
    random = np.random.default_rng(1)
    right = random.random(400) < 0.7
    knows = measure.metrics.aurc(right + random.random(400) * 0.1, right)
    guesses = measure.metrics.aurc(random.random(400), right)
    assert knows is not None
    assert guesses is not None
    assert knows < guesses - 0.15


def test_kinds_of_photo_that_nobody_knows_are_named() -> None:
    first, second, third, *_ = system(honest).outcomes
    kinds = ("Street, autumn", "selfie", "held-out view")
    named = [
        replace(o, slices={"kind": k}) for o, k in zip((first, second, third), kinds, strict=True)
    ]
    assert strange_kinds(named) == ["selfie"]


def test_an_interval_of_draws_that_are_all_equal_has_a_width_or_is_not_known() -> None:
    perfect = [
        replace(o, rank=1, average_precision=1.0) for o in system(honest).outcomes if o.present
    ]
    mean = measure._mean("mrr", perfect, lambda o: o.average_precision, 50)
    assert mean.low is not None
    assert mean.value == mean.high == 1.0 > mean.low > 0.5
    half = measure._mean("mrr", perfect, lambda _: 0.5, 50)
    assert (half.value, half.low, half.high, half.method) == (0.5, None, None, "")
