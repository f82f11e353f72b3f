# ruff: noqa: E402 - what needs torch is imported after it was looked for
"""Training: copies, bonds, the fit, the steps, the export, and a whole training that survives a kill."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("onnx", reason="needs the extra 'train'")

from garments import draw, items
from lensback.catalogue import stores
from lensback.encoders import add_encoder, open_encoder
from lensback.encoders.onnx import OnnxEncoder
from lensback.encoders.pixels import PixelsEncoder
from lensback.encoders.preprocess import to_batch
from lensback.errors import BadImage, ConfigError, DataError
from lensback.rank import Calibration
from lensback.settings import Settings
from lensback.sync import sync
from lensback.train import SHIPPED_EYE, Recipe, train
from lensback.train.compare import compare, page
from lensback.train.data import ALIKE, Bond, Example, Pile, fold_of, joined, load, of_workspace
from lensback.train.export import export, parity, read_weights
from lensback.train.fit import Floats, fit, leading, unit
from lensback.train.from_use import turn_head
from lensback.train.loop import MASKED, Samples, Tuning, contrast, pairs, relation, tune
from lensback.train.model import PARTS, Colour, Eye, FeatureGroup, Head, histogram
from lensback.train.odds import calibration, cases
from lensback.train.photos import photo_like
from lensback.train.records import chart
from lensback.train.run import hold_out, put, run, split
from lensback.train.run import joined as joined_features
from lensback.train.validate import Score, paired, score
from lensback.workspace import Workspace, init, save_calibration
from world import World

pytestmark = pytest.mark.slow

THINGS = items(12, seed=5)
FAST = Recipe(copies=1, steps=40, batch=16, held_out=3)
WIDTH = 32


def example(name: str, apart: str = "") -> Example:
    product = name.partition("_")[0]
    return Example(name, product, product, apart)


def pictures() -> list[Example]:
    return [example(f"{at:02d}_{view}") for at in range(len(THINGS)) for view in (0, 1)]


def open_drawn(key: str) -> Image.Image:
    at, view = key.split("_")
    return draw(THINGS[int(at)], view=int(view), side_px=160)


@pytest.fixture(scope="module")
def eye() -> Eye:
    """The shipped eye in torch."""
    made = Eye()
    read_weights(made, SHIPPED_EYE / "model.onnx")
    return made.eval()


def noisy_samples(products: int = 30, seed: int = 0) -> Samples:
    """Two pictures and a copy of each product; the first half of the features is mere noise."""
    random = np.random.default_rng(seed)
    made, rows, picture = [], [], []
    for product in range(products):
        kind = random.standard_normal(WIDTH)
        kind[: WIDTH // 2] = 0
        for view in range(2):
            made.append(example(f"{product}_{view}"))
            for _ in range(2):
                nuisance = 2 * random.standard_normal(WIDTH)
                nuisance[WIDTH // 2 :] *= 0.1
                rows.append(kind + nuisance)
                picture.append(len(made) - 1)
    z = unit(np.array(rows, np.float32))
    return Samples(z, np.array(picture), made, np.arange(len(made)))


# Copies


def test_a_copy_is_another_picture_of_the_same_colour() -> None:
    image, behind = draw(THINGS[0]), draw(THINGS[1])
    copies = [photo_like(image, behind, np.random.default_rng(n)) for n in range(24)]
    again = photo_like(image, behind, np.random.default_rng(3))
    assert np.array_equal(np.asarray(copies[3]), np.asarray(again))
    assert len({copy.tobytes() for copy in copies}) == 24
    pixels = PixelsEncoder()
    near = pixels.encode(copies) @ pixels.encode([image])[0]
    far = pixels.encode(copies) @ pixels.encode([behind])[0]
    assert (near > far).mean() > 0.9


@settings(deadline=None)
@given(
    width=st.integers(8, 60),
    height=st.integers(8, 60),
    seed=st.integers(0, 2**32 - 1),
    noise=st.booleans(),
)
def test_no_picture_breaks_a_copy(width: int, height: int, seed: int, noise: bool) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 3), np.uint8) if noise else None
    image = Image.fromarray(pixels) if pixels is not None else Image.new("RGB", (width, height))
    made = photo_like(image, image, random)
    assert made.mode == "RGB"
    assert min(made.size) >= 4


def test_the_pile_keeps_every_shape_and_leaves_out_what_cannot_be_read() -> None:
    sizes = {"wide": (900, 3), "tall": (10, 700), "even": (300, 300)}

    def open_image(key: str) -> Image.Image:
        if key == "broken":
            raise BadImage("no picture")
        return Image.new("RGB", sizes[key], (200, 10, 10))

    kept, pile = load([example(key) for key in ("wide", "broken", "tall", "even")], open_image)
    assert [e.key for e in kept] == ["wide", "tall", "even"]
    assert [pile.get(row).size for row in range(3)] == [(256, 8), (8, 256), (256, 256)]
    assert np.asarray(pile.get(1)).reshape(-1, 3).std(axis=0).max() < 3


# Bonds


names = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["", "", "x", "y"])),
    min_size=8,
    max_size=40,
)


@settings(deadline=None, max_examples=30)  # each looks at thousands of pairs
@given(names, st.integers(0, 1000))
def test_no_negative_is_of_the_same_product_or_kept_apart(
    drawn: list[tuple[str, str]], seed: int
) -> None:
    made = [example(f"{product}_{at}", apart) for at, (product, apart) in enumerate(drawn)]
    made += [example("p_1"), example("p_2"), example("q_1"), example("q_2")]
    random = np.random.default_rng(seed)
    z = unit(random.standard_normal((2 * len(made), WIDTH)).astype(np.float32))
    z[1] = z[0]  # one photograph under two names
    picture = np.concatenate([np.arange(len(made))] * 2)
    samples = Samples(z, picture, made, np.arange(len(made)))
    recipe = replace(FAST, batch=6)
    start = fit(z[: len(made)], [[0, 1]], z[:0], picture[:0], recipe, 8)
    tuning = Tuning(samples, start, recipe)
    batch = next(tuning.batches)
    within, stored = (mask.numpy() for mask in tuning.masks(batch))
    for row, (one, other) in enumerate(batch):
        a = made[picture[one]]
        assert made[picture[other]].product == a.product
        assert not within[row, row], "the positive must count"
        others = np.arange(len(batch)) != row
        compared = [(stored[row], picture[tuning.bank])]
        compared += [(within[row][others], picture[batch[others, side]]) for side in (0, 1)]
        for mask, rows in compared:
            for hidden, at in zip(mask, rows, strict=True):
                b = made[at]
                if a.product == b.product or (a.apart and a.apart == b.apart):
                    assert hidden
        assert (stored[row] | (samples.z[one] @ samples.z[tuning.bank].T <= ALIKE)).all()


def test_a_hidden_negative_changes_nothing() -> None:
    torch.manual_seed(0)
    one, other, bank = torch.randn(4, 256), torch.randn(4, 256), torch.randn(9, 256)
    hidden = torch.zeros(4, 9, dtype=torch.bool)
    hidden[:, 3] = True
    masks = (torch.zeros(4, 4, dtype=torch.bool), hidden)
    before = contrast(one, other, bank, masks, 0.5)
    bank[3] = one[0]
    assert contrast(one, other, bank, masks, 0.5).item() == pytest.approx(before.item())
    assert MASKED / 0.5 < -10


def test_held_out_families_are_not_learnt_from() -> None:
    made = pictures()
    folds = np.array([fold_of(e.family, 3) for e in made])
    learn, held = split(made, folds)
    assert {made[row].family for row in learn}.isdisjoint({made[row].family for row in held})
    few = [example("a_0"), example("a_1"), example("b_0"), example("b_1")]
    learn, held = hold_out(few, replace(FAST, held_out=64))
    assert len(learn) == len(held) == 2
    with pytest.raises(DataError, match="another view"):
        hold_out([], FAST)
    with pytest.raises(DataError, match="another view"):
        split([example("a_0"), example("b_0")], np.array([0, 1]))


def test_families_join_over_shared_groups() -> None:
    models = {"p1": {"shop 7"}, "p2": {"shop 7", "other 9"}, "p3": {"other 9"}, "p4": {"p4"}}
    families = joined(list(models.values()), models)
    assert families["p1"] == families["p2"] == families["p3"] != families["p4"]


def test_batches_hold_a_product_once_and_prefer_real_views() -> None:
    samples = noisy_samples()
    batch = next(pairs(samples, replace(FAST, real_share=1.0), np.random.default_rng(0)))
    shown = samples.picture[batch]
    assert (shown[:, 0] != shown[:, 1]).all()
    products = [samples.examples[row].product for row in shown[:, 0]]
    assert len(set(products)) == len(products)


# The fit and the steps


def judged(samples: Samples) -> tuple[Bond, Floats]:
    return Bond.of(samples.examples), samples.z[::2]


def test_the_fit_turns_down_what_differs_within_a_product() -> None:
    learn, test = noisy_samples(seed=0), noisy_samples(seed=1)
    classes = [[2 * at, 2 * at + 1] for at in range(30)]
    found = fit(
        learn.z[::2], classes, learn.z[1::2], np.arange(60), replace(FAST, power=1.0, ridge=0.1), 16
    )
    bond, originals = judged(test)
    everyone = np.arange(60)
    before = score(unit(originals), bond, everyone, everyone)
    after = score(found.apply(originals), bond, everyone, everyone)
    assert after.recall(1) > before.recall(1) + 0.3
    gain, low, _ = paired(before, after, 1)
    assert gain > low > 0
    weight, bias = found.matrix()
    linear = unit(originals @ weight.T + bias)
    assert np.abs(linear - found.apply(originals)).max() < 1e-5


def test_the_fit_pads_where_there_are_few_pictures() -> None:
    z = unit(np.random.default_rng(0).standard_normal((6, WIDTH)).astype(np.float32))
    found = fit(z, [[0, 1]], z[:0], np.zeros(0, np.int64), FAST, 256)
    assert found.apply(z).shape == (6, 256)
    assert np.isfinite(found.apply(z)).all()
    axes = leading(z - z.mean(axis=0), 100)
    assert axes.shape[1] == 5, "six centred points span five directions"
    assert np.abs(axes.T @ axes - np.eye(5)).max() < 1e-4


def test_the_loss_falls_and_the_start_is_kept_unless_beaten() -> None:
    samples = noisy_samples()
    recipe = replace(FAST, learning_rate=1e-2, drift=0.0, steps=60)
    start = fit(samples.z[::2], [], samples.z[:0], np.zeros(0, np.int64), recipe, 256)
    bond, originals = judged(samples)
    everyone = np.arange(60)
    course = tune(
        samples, start, recipe, lambda m: score(m.apply(originals), bond, everyone, everyone)
    )
    assert np.mean(course.losses[-10:]) < 0.8 * np.mean(course.losses[:10])
    assert course.best > course.start
    worse = tune(samples, start, recipe, lambda m: Score(np.full(9, 1 if m is start else 10)))
    assert worse.map is start
    assert worse.steps < recipe.steps + 1


def test_steps_go_on_after_a_kill(tmp_path: Path) -> None:
    samples = noisy_samples()
    recipe = replace(FAST, steps=40, learning_rate=1e-3, patience=9)
    start = fit(samples.z[::2], [], samples.z[:0], np.zeros(0, np.int64), recipe, 256)
    bond, originals = judged(samples)
    everyone = np.arange(60)

    def judge(m: object) -> Score:
        return score(m.apply(originals), bond, everyone, everyone)  # type: ignore[attr-defined]

    whole = tune(samples, start, recipe, judge)
    point = tmp_path / "steps.pt"
    half = tune(samples, start, recipe, judge, checkpoint=point, keep_going=lambda _: False)
    assert half.steps == 20
    rest = tune(samples, start, recipe, judge, checkpoint=point)
    assert rest.steps == 40
    assert len(rest.losses) == 40
    assert rest.validations == whole.validations
    assert np.allclose(rest.map.turn, whole.map.turn, atol=1e-6)


def test_relation_is_nothing_where_two_see_alike() -> None:
    torch.manual_seed(0)
    seen = torch.randn(12, 64)
    turned = seen @ torch.linalg.qr(torch.randn(64, 64))[0]
    assert relation(seen, turned).item() == pytest.approx(0, abs=1e-6)
    assert relation(seen, torch.randn(12, 5)).item() > 0.001
    assert torch.isfinite(relation(torch.ones(3, 64), seen[:3]))


def test_a_teacher_is_imitated() -> None:
    samples = noisy_samples()
    recipe = replace(FAST, steps=60, learning_rate=1e-2, drift=0.0, teacher_weight=300.0)
    start = fit(samples.z[::2], [], samples.z[:0], np.zeros(0, np.int64), recipe, 256)
    teacher = unit(samples.z[::2][:, WIDTH // 2 :])  # it does not see the half that is noise
    far = []
    for taught in (None, teacher):
        tuning = Tuning(replace(samples, teacher=taught), start, recipe)
        for _ in range(recipe.steps):
            tuning.advance()
        seen = torch.from_numpy(start.reduce(samples.z[::2]) @ tuning.blended(1.0))
        far.append(relation(seen, torch.from_numpy(teacher)).item())
    assert far[1] < 0.8 * far[0]


def test_differences_are_drawn_by_what_goes_together() -> None:
    a, b = Score(np.array([10] * 40)), Score(np.array([1, 1, 10, 10] * 10))
    alone = paired(a, b, 1)
    together = paired(a, b, 1, groups=np.repeat(np.arange(20), 2))
    assert alone[0] == together[0] == 0.5
    assert together[2] - together[1] > alone[2] - alone[1]


def test_questions_for_the_match_probability() -> None:
    made = [example("a_0"), example("a_1"), example("b_0"), example("c_0"), example("d_0", "x")]
    vectors = unit(np.array([[1, 0], [1, 0.2], [1, 0.3], [0, 1], [-1, 0]], np.float32))
    bond, row = Bond.of(made), np.array([0])
    there, gone = cases(vectors[:1], row, vectors, bond, views=True)
    assert there.first_right
    assert there.similarity == pytest.approx(float(vectors[0] @ vectors[1]))
    assert there.margin == pytest.approx(float(vectors[0] @ (vectors[1] - vectors[2])))
    assert not gone.present
    assert not gone.first_right
    assert gone.similarity == pytest.approx(float(vectors[0] @ vectors[2]))
    copy = cases(vectors[:1], row, vectors, bond, views=False)[0]
    assert copy.similarity == pytest.approx(1)
    assert calibration([there, gone], kind="views", images=5) is None
    fitted = calibration([there, gone] * 20, kind="views", images=5)
    assert fitted is not None
    assert fitted.images == 5
    odds = [fitted.probability(c.similarity, c.margin) for c in (there, gone)]
    assert odds[0] > 0.5 > odds[1]


def test_the_chart_is_a_picture_of_every_validation() -> None:
    from xml.etree import ElementTree as ET

    drawn = chart([3.0, 2.0, 1.0], [(0, 0.0, 0.5), (2, 0.5, 0.6), (2, 1.0, 0.4)])
    lines = [e for e in ET.fromstring(drawn).iter() if e.tag.endswith("polyline")]
    assert [len(line.attrib["points"].split()) for line in lines] == [3, 2, 2]
    assert "0.400 to 0.600" in drawn
    ET.fromstring(chart([], [(0, 0.0, 0.5)]))


def test_score_counts_what_stands_before_the_first_right_picture() -> None:
    made = [
        example("a_0"),
        example("a_1"),
        example("b_0"),
        example("c_0", "x"),
        example("a_2", "x"),
    ]
    vectors = unit(np.array([[1, 0], [0, 1], [1, 0.1], [1, 0.2], [0.5, 1]], np.float32))
    found = score(vectors, Bond.of(made), np.array([0, 2, 4]), np.arange(5))
    assert found.ranks.tolist() == [3, 1]  # b has no other view; c is kept apart from a_2
    assert found.recall(1) == 0.5
    assert np.isnan(score(vectors, Bond.of(made), np.array([2]), np.arange(5)).recall(1))


# The network and its export


def test_the_shipped_eye_is_what_torch_computes(eye: Eye) -> None:
    assert parity(eye, SHIPPED_EYE) < 1e-4
    encoder = OnnxEncoder("eye", SHIPPED_EYE, threads=1)
    assert encoder.dim == 256
    images = [draw(thing) for thing in THINGS[:3]]
    with torch.no_grad():
        ours = unit(eye(torch.from_numpy(to_batch(images, encoder.description))).numpy())
    assert np.abs(ours - encoder.encode(images)).max() < 1e-4
    assert np.abs(encoder.encode(images[:1]) - encoder.encode(images)[:1]).max() < 1e-5


def test_an_export_reads_back(tmp_path: Path, eye: Eye) -> None:
    changed = Eye(dim=64)
    changed.features = eye.features
    assert export(changed, tmp_path / "small", dim=64, licence="MIT", source="a test") < 1e-4
    again = Eye(dim=64)
    read_weights(again, tmp_path / "small" / "model.onnx")
    for name, value in again.state_dict().items():
        assert torch.equal(value, changed.state_dict()[name]), name
    with pytest.raises(ConfigError, match="not"):
        read_weights(Eye(dim=32), tmp_path / "small" / "model.onnx")
    assert open_encoder("small", tmp_path).dim == 64


def test_the_colour_branch_sees_what_the_encoder_without_a_model_sees() -> None:
    encoder = PixelsEncoder()
    branch = Colour()
    for thing in THINGS[:4]:
        image = draw(thing, side_px=192)
        pixels = torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)[None]
        ours = histogram(*branch(pixels)).sqrt().numpy()
        theirs = encoder.encode([image])[:, :392]
        assert (unit(ours) @ unit(theirs).T).item() > 0.97


def test_a_flat_picture_and_a_wide_one_have_vectors(eye: Eye) -> None:
    images = [Image.new("RGB", (50, 50), c) for c in ("white", "black", "red")]
    images.append(Image.new("RGB", (900, 9), "green"))
    vectors = open_encoder("eye", Path("nowhere")).encode(images)
    assert np.isfinite(vectors).all()
    assert (vectors[0] @ vectors[2]) < 0.95
    assert not eye.training


def test_head_and_map_agree(eye: Eye) -> None:
    random = np.random.default_rng(0)
    raw = np.abs(random.standard_normal((30, sum(p.width for p in PARTS)))).astype(np.float32)
    head = Head()
    z = joined_features(head, raw)
    assert np.linalg.norm(z, axis=1) == pytest.approx(1, abs=1e-5)
    found = fit(z, [[0, 1]], z[:0], np.zeros(0, np.int64), FAST, 256)
    put(head, found)
    with torch.no_grad():
        assert np.abs(unit(head(torch.from_numpy(raw)).numpy()) - found.apply(z)).max() < 1e-4


# A whole training


def test_a_killed_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lensback.train.run.CHUNK", 16)

    class Killed(BaseException):
        pass

    def kill(stage: str, done: int, _total: int) -> None:
        if stage == "features" and done >= 32:
            raise Killed

    options = {"start": SHIPPED_EYE, "work": tmp_path / "work", "recipe": FAST}
    with pytest.raises(Killed):
        run(pictures(), open_drawn, tmp_path / "out", watch=kill, **options)  # type: ignore[arg-type]
    made = {p: p.stat().st_mtime_ns for p in (tmp_path / "work").glob("features-*.npy")}
    assert len(made) == 2
    assert not (tmp_path / "out").exists()
    done = run(pictures(), open_drawn, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert all(path.stat().st_mtime_ns == then for path, then in made.items())
    assert done.after >= done.before
    assert done.parity < 1e-4
    record = json.loads((tmp_path / "out" / "training.json").read_text("utf-8"))
    assert record["pictures"] == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "work"]
    with pytest.raises(ConfigError, match="already"):
        run(pictures(), open_drawn, tmp_path / "out", **options)  # type: ignore[arg-type]
    vectors = open_encoder("out", tmp_path).encode([open_drawn("00_0"), open_drawn("01_0")])
    assert vectors.shape == (2, 256)


def test_time_cuts_copies_and_never_pictures(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    done = run(
        pictures()[:12],
        open_drawn,
        tmp_path / "out",
        start=SHIPPED_EYE,
        work=tmp_path / "work",
        recipe=FAST,
        minutes=1e-6,
        watch=lambda *at: seen.append(at),
    )
    assert done.pictures == 12
    assert done.steps <= 20


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("train")
    with World(folder / "world") as world:
        world.store("harbour", "google", THINGS, sizes=("S", "M"), views=(0, 1))
        world.store("attic", "table", THINGS[:2])
        init(folder / "workspace")
        settings = Settings(allow_hosts=("127.0.0.1",), retries=0, encoder="pixels")
        with Workspace(folder / "workspace", settings) as opened:
            for store in world.stores.values():
                stores.add(opened.db, store.name, store.feed_url, base=world.base)
            sync(opened)
            yield opened


def test_training_on_a_workspace(workspace: Workspace, tmp_path: Path) -> None:
    found = of_workspace(workspace.db, ("harbour",))
    assert len(found) == len({e.key for e in found}) >= 2 * len(THINGS) - 2
    stages: set[str] = set()
    done = train(
        workspace.db,
        workspace.images,
        tmp_path / "mine",
        stores=("harbour",),
        recipe=FAST,
        device="cpu",
        watch=lambda stage, *_: stages.add(stage),
    )
    assert {"decode", "features"} <= stages
    assert done.several >= 8
    assert done.after >= max(done.before, 0.0)
    assert done.kept in {"start", "fit", "steps"}
    assert open_encoder("mine", tmp_path).dim == 256


def test_what_lies_beside_a_trained_encoder(workspace: Workspace, tmp_path: Path) -> None:
    """It learns from a teacher and says from what; added, its match probability goes with it."""
    done = train(
        workspace.db,
        workspace.images,
        tmp_path / "taught",
        recipe=replace(FAST, everything=True),
        device="cpu",
        teacher=open_encoder("pixels", tmp_path),
    )
    assert done.teacher == "pixels"
    assert list((tmp_path / "taught.work").glob("teacher-*.npy"))
    with (tmp_path / "taught" / "log.csv").open(encoding="utf-8") as lines:
        log = list(csv.DictReader(lines))
    assert sum(row["what"] == "loss" for row in log) == done.steps
    assert sum(row["what"] == "validation" for row in log) == len(done.validations)
    learnt = (tmp_path / "taught" / "learnt.txt").read_text("utf-8").split()
    assert (done.kept == "start") == (not learnt)
    assert done.kept != "fit" or len(learnt) == done.pictures
    if done.calibrated_on:
        add_encoder("taught", tmp_path / "taught", workspace.models)
        encoder = workspace.encoder("taught")
        assert workspace.calibration(encoder.fingerprint) is None
        came = workspace.calibration_of(encoder)
        assert came is not None
        assert came.cases == done.calibrated_on
        own = Calibration(encoder.fingerprint, 1.0, 2.0, 3.0, 0.0)
        save_calibration(workspace, own)
        assert workspace.calibration_of(encoder) == own


def test_two_encoders_compared(workspace: Workspace, tmp_path: Path) -> None:
    pixels, eye = workspace.encoder("pixels"), workspace.encoder("eye")
    things = (workspace.db, workspace.images, workspace.vectors)
    found = compare(*things, pixels, eye, models=workspace.models)
    assert (found.a, found.b, found.learnt) == ("pixels", "eye", 0)
    assert found.queries >= 2 * (len(THINGS) - 2)
    difference, low, high = found.difference[1]
    assert difference == pytest.approx(found.recall_b[1] - found.recall_a[1], abs=2e-4)
    assert low <= difference <= high
    assert all(min(d.ahead_a, d.ahead_b) == 0 for d in found.disagreements)
    assert all(max(d.ahead_a, d.ahead_b) > 0 for d in found.disagreements)
    html = page(found, workspace.images)
    assert html.count("<img") == 4 * len(found.disagreements)
    assert f"{found.queries} pictures" in html
    same = compare(*things, eye, eye, models=workspace.models)
    value, low, high = same.difference[1]
    assert value == 0
    assert -1 < low < 0 < high < 1, "equal on all that was asked is not equal for certain"
    assert not same.disagreements
    knows = tmp_path / "eye"
    knows.mkdir()
    (knows / "learnt.txt").write_text("\n".join(e.key for e in of_workspace(workspace.db)), "utf-8")
    with pytest.raises(DataError, match="neither encoder learnt from"):
        compare(*things, pixels, eye, models=tmp_path)


def test_refusals(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two pictures"):
        train(workspace.db, workspace.images, tmp_path / "none", stores=("attic",))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="CUDA"):
            train(workspace.db, workspace.images, tmp_path / "none", device="cuda")


def test_the_pile_copies_are_the_same_every_time() -> None:
    kept, pile = load(pictures()[:4], open_drawn)
    assert isinstance(pile, Pile)
    assert len(kept) == 4
    one, two = (pile.copy(2, 1, [0, 1]) for _ in range(2))
    assert one.tobytes() == two.tobytes()
    assert pile.copy(2, 0, [0]).tobytes() == pile.get(2).tobytes()


def test_a_head_that_was_turned_gives_the_turned_vectors() -> None:
    head = Head(48, (FeatureGroup("one", 64, 1.0),))
    turn = np.random.default_rng(0).normal(size=(48, 48)).astype(np.float32)
    features = torch.rand(5, 64)
    with torch.no_grad():
        before = head(features).numpy()
        turn_head(head, turn)
        after = head(features).numpy()
    assert np.allclose(after, before @ turn, atol=1e-4)
