"""The detector's factory in tools/detector: cut-outs, scenes with true boxes, the loss, and a whole training."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("onnx", reason="needs the extra 'train'")

import bags  # noqa: E402
from cutouts import DRAWN, drawn_boxes, plain_mask  # noqa: E402
from finder import CLASSES, HEIGHT, WIDTH, Finder, giou, loss, targets  # noqa: E402
from finder_file import HARD, SOFT, TOML  # noqa: E402
from layers import BODY, Canvas, Layer  # noqa: E402
from lensback.detectors import SHIPPED_NAME, open_detector  # noqa: E402
from lensback.detectors.boxes import overlap  # noqa: E402
from lensback.detectors.onnx import OnnxDetector  # noqa: E402
from lensback.detectors.taxonomy import LABELS  # noqa: E402
from lensback.errors import ConfigError, DataError  # noqa: E402
from lensback.train import SHIPPED_EYE  # noqa: E402
from lensback.types import WHOLE, Box  # noqa: E402
from recipe import DetectorRecipe  # noqa: E402
from scenes import PERSON, Source, gather, scene  # noqa: E402
from stems import closet_words, fitted, held  # noqa: E402
from teach import regions, started  # noqa: E402
from train import train_detector  # noqa: E402

MEN = ("mh01-black_main", "mh02-black_main", "mh03-red_main", "mh04-green_main", "mh05-red_main")
LOWERS = ("mp01-black_main", "mp02-blue_main", "mp03-blue_main", "mp04-black_main", "mp06-blue_main")  # fmt: skip


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores as the real ones: drawn people on white, drawn things on plain cloth."""
    root = tmp_path_factory.mktemp("shops")
    for store in ("luma", "closet"):
        (root / store / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in (*MEN, *LOWERS):
        _person(rng).save(root / "luma" / "images" / f"{name}.jpg", quality=92)
    with gzip.open(root / "closet" / "feed.csv.gz", "wt", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["merchant_product_id", "merchant_category"])
        for number in range(40):
            word = ("Dress", "Skirt", "Shoes", "T-Shirt", "Hat", "Outwear")[number % 6]
            rows.writerow([f"thing{number}", f"Clothing > Adults > {word}"])
            _thing(rng).save(root / "closet" / "images" / f"thing{number}.jpg", quality=92)
    return root


def _person(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (300, 380), "white")
    draw = ImageDraw.Draw(image)
    tones = [tuple(int(v) for v in rng.integers(20, 200, 3)) for _ in range(2)]
    draw.ellipse((125, 15, 175, 85), fill=(200, 150, 120))
    draw.rectangle((80, 90, 220, 230), fill=tones[0])
    draw.rectangle((100, 230, 200, 379), fill=tones[1])
    return image


def _thing(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (300, 300), tuple(int(v) for v in rng.integers(200, 240, 3)))
    tone = tuple(int(v) for v in rng.integers(20, 150, 3))
    ImageDraw.Draw(image).rectangle((80, 70, 220, 240), fill=tone)
    return image


def test_the_drawn_boxes_are_boxes_of_our_labels() -> None:
    found = drawn_boxes()
    assert sum(len(boxes) for boxes in found.values()) > 700
    for name, boxes in found.items():
        assert name.startswith(("luma/", "closet/")), "nothing else may be learnt from"
        for label, (x0, y0, x1, y1) in boxes:
            assert label in LABELS
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1
    assert DRAWN.stat().st_size < 100_000


def test_a_thing_on_plain_cloth_is_cut_out() -> None:
    mask = plain_mask(_thing(np.random.default_rng(1)))
    assert mask is not None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert abs(rows[0] - 70) < 6
    assert abs(columns[-1] - 220) < 6
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    assert plain_mask(Image.fromarray(noise)) is None


def test_a_canvas_knows_what_is_still_in_view() -> None:
    canvas = Canvas(np.full((100, 100, 3), 200, np.uint8))

    def square(size: int, label: str) -> Layer:
        full = np.full((size, size), 255, np.uint8)
        return Layer(np.zeros((size, size, 3), np.uint8), full, np.full_like(full, 2), (label,))

    canvas.paste(square(40, "top"), 10, 10)
    canvas.paste(square(30, "bag"), 35, 35)
    canvas.paste(square(20, "hat"), -15, 70)
    found = dict(canvas.boxes())
    assert found["top"] == pytest.approx((0.1, 0.1, 0.5, 0.5), abs=0.02)
    assert found["bag"] == pytest.approx((0.35, 0.35, 0.65, 0.65), abs=0.02)
    assert "hat" not in found, "a quarter of it is no box"
    canvas.paste(square(40, "dress"), 12, 10)
    assert "top" not in dict(canvas.boxes()), "covered"


@pytest.fixture(scope="module")
def source(shops: Path) -> Source:
    return gather(shops, closet_words(shops), held, training=True)


def test_scenes_are_the_same_in_every_run_and_hold_their_boxes(source: Source) -> None:
    seen = set()
    for number in range(8):
        made, again = scene(source, number), scene(source, number)
        assert made.boxes == again.boxes
        assert made.image.tobytes() == again.image.tobytes()
        for label, (x0, y0, x1, y1) in made.boxes:
            seen.add(label)
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1
    assert {"top", "trousers", "dress", PERSON} <= seen


def test_held_out_pictures_are_in_no_scene_to_learn_from(shops: Path, source: Source) -> None:
    other = gather(shops, closet_words(shops), held, training=False)
    learnt = {path for path, _ in source.whole}
    judged = {path for path, _ in other.whole}
    assert learnt
    assert not learnt & judged
    names = {cutout.name for cutout in (*source.wardrobe.uppers, *source.wardrobe.lowers)}
    assert not any(held(name) for name in names)
    assert held("luma/mh01-black_main") == held("luma/mh01-red_back"), "colours stay together"


def test_boxes_lie_where_the_photo_lies_in_the_input(source: Source) -> None:
    made = scene(source, 0)
    pixels, boxes = fitted(made)
    assert pixels.shape == (3, HEIGHT, WIDTH)
    assert len(boxes) == len(made.boxes)
    assert all(0 <= value <= 1 for _, box in boxes for value in box)


# ---- the network


def test_what_is_meant_is_what_is_read() -> None:
    """A map that says exactly what the targets want gives the boxes back, and costs nothing."""
    finder = Finder().eval()
    wanted: list[tuple[int, Box]] = [(0, (0.2, 0.2, 0.6, 0.5)), (5, (0.4, 0.8, 0.6, 0.95))]
    heat, goal, weight = targets([wanted])
    x, y = finder.grid[0], finder.grid[1]
    reach = torch.stack(
        [x - goal[:, :, 0], y - goal[:, :, 1], goal[:, :, 2] - x, goal[:, :, 3] - y], dim=2
    )
    logits = torch.logit((heat * (heat > 0.99)).clamp(1e-4, 1 - 1e-4))
    found = regions([value[0] for value in finder.peaks(logits, reach)])
    assert {r.label for r in found[:2]} == {"top", "shoes"}
    for label, box in wanted:
        assert any(overlap(box, r.box) > 0.98 and r.label == CLASSES[label] for r in found[:2])
    cost = float(loss(finder, logits, reach, (heat, goal, weight)))
    assert cost < 0.01
    assert cost < float(loss(finder, -logits, reach * 2, (heat, goal, weight)))


def test_generalised_overlap() -> None:
    one = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    assert float(giou(one, one)) == pytest.approx(1)
    beside = torch.tensor([[10.0, 0.0, 20.0, 10.0]])
    assert float(giou(one, beside)) == pytest.approx(0)
    far = torch.tensor([[90.0, 0.0, 100.0, 10.0]])
    assert float(giou(one, far)) == pytest.approx(-0.8)


def test_it_starts_on_the_trunk_of_the_shipped_eye() -> None:
    finder = started(SHIPPED_EYE).eval()
    with torch.no_grad():
        stem = finder.stem(torch.rand(1, 3, HEIGHT, WIDTH))
    assert stem.shape == (1, 64, HEIGHT // 8, WIDTH // 8)
    assert float(stem.std()) > 0.1


# ---- a whole training


@pytest.mark.slow
def test_a_killed_training_goes_on_to_a_detector(
    shops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("teach.EVERY", 2)
    monkeypatch.setattr("stems.SHARD", 4)
    recipe = DetectorRecipe(scenes=8, held_scenes=4, epochs=2, batch=4, learning_rate=1e-3)

    def killed(stage: str, done: int, total: int) -> None:
        if stage == "steps" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_detector(shops, tmp_path / "out", recipe=recipe, watch=killed)
    assert not (tmp_path / "out").exists()
    steps: list[int] = []
    done = train_detector(
        shops,
        tmp_path / "out",
        recipe=recipe,
        watch=lambda stage, done, total: steps.append(done) if stage == "steps" else None,
    )
    assert steps[0] == 3, "the validation after two steps was the checkpoint"
    assert (done.scenes, done.steps) == (8, 4)
    assert done.parity < 1e-3
    record = json.loads((tmp_path / "out" / "training.json").read_text("utf-8"))
    assert record["recipe"]["scenes"] == 8
    assert [step for step, _, _ in record["validations"]] == [2, 4]
    detector = OnnxDetector("mine", tmp_path / "out", threads=1)
    assert detector.find(Image.new("RGB", (300, 400), "white"))[-1].box == WHOLE
    with pytest.raises(ConfigError, match="there already"):
        train_detector(shops, tmp_path / "out", recipe=recipe)


def test_a_folder_without_the_stores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="closet"):
        train_detector(tmp_path, tmp_path / "out")


def test_the_shipped_detector_was_written_by_this_recipe() -> None:
    detector = open_detector(SHIPPED_NAME)
    assert isinstance(detector, OnnxDetector)
    assert (detector.description.soft, detector.description.overlap) == (SOFT, HARD)
    assert detector.description.labels == tuple("" if c == PERSON else c for c in CLASSES)
    assert TOML.splitlines()[0] in (SHIPPED / "detector.toml").read_text("utf-8")


SHIPPED = Path(__file__).parents[1] / "src/lensback/detectors/models" / SHIPPED_NAME


# ---- drawn bags


@pytest.mark.parametrize("way", bags.WAYS)
def test_a_drawn_bag_hangs_from_where_it_is_held(way: str) -> None:
    for seed in range(8):
        random = np.random.default_rng(seed)
        reach = (-30.0, 70.0) if seed % 2 else (30.0, 70.0)
        carried = bags.drawn((), way, 40.0, reach, random)
        layer, box = carried.layer, carried.layer.box_px("bag")
        assert box is not None
        assert layer.labels == ("bag",)
        assert layer.pixels.shape[:2] == layer.alpha.shape == layer.ids.shape
        assert 0 <= carried.grip <= layer.size[1]
        rows = np.flatnonzero((layer.ids == 2).sum(axis=1) > 25)
        middle = (layer.ids[rows] == 2).any(axis=0).nonzero()[0].mean()
        if way in {"shoulder", "across"}:
            assert rows[0] >= 65
            assert middle - carried.grip == pytest.approx(reach[0], abs=12)
            assert box[1] <= 2, "the strap is a part of it"
        else:
            assert middle == pytest.approx(carried.grip, abs=6)
        if way == "hand":
            assert (layer.ids == BODY).any(), "a hand holds it"


def test_the_same_number_draws_the_same_bag() -> None:
    one, two = (bags.drawn((), "hand", 30.0, (0, 0), np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.layer.pixels, two.layer.pixels)
