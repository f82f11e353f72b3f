"""The ONNX detector: every style of outputs, made by models of a few nodes, and what is refused."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from lensback.detectors import Detector, open_detector  # noqa: E402
from lensback.detectors.boxes import overlap  # noqa: E402
from lensback.detectors.description import parse_description  # noqa: E402
from lensback.detectors.onnx import LAST_RESORT, OnnxDetector  # noqa: E402
from lensback.detectors.shelf import (  # noqa: E402
    SHELF,
    add_detector,
    list_detectors,
)
from lensback.detectors.taxonomy import LABELS  # noqa: E402
from lensback.errors import ConfigError, MissingExtra, UnknownName  # noqa: E402
from lensback.search.looking import in_order  # noqa: E402
from lensback.types import WHOLE, Region  # noqa: E402

SIDE = 64
PHOTO = (100, 200)
"""Letterboxed into 64 x 64 it is 32 wide and lies at 16 from the left."""


def logit(chance: float) -> float:
    return float(np.log(chance / (1 - chance)))


def model(
    path: Path,
    outputs: dict[str, np.ndarray],
    *,
    times_size: str = "",
    mask: bool = False,
    side: int = SIDE,
) -> Path:
    """An ONNX file that gives these arrays, whatever it sees.

    `times_size` names an output that is multiplied by the input `orig_target_sizes` (w, h, w, h);
    with `mask` there is an input `pixel_mask`, whose mean is a factor of the first output.
    """
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])]
    nodes, constants = [], []
    if times_size:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [1, 2]))
        nodes += [
            helper.make_node("Cast", ["orig_target_sizes"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Concat", ["wide", "wide"], ["four"], axis=1),
        ]
    if mask:
        inputs.append(helper.make_tensor_value_info("pixel_mask", TensorProto.INT64, [1, "h", "w"]))
        nodes += [
            helper.make_node("Cast", ["pixel_mask"], ["seen"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["seen"], ["share"], keepdims=0),
        ]
    infos = []
    for number, (name, array) in enumerate(outputs.items()):
        constants.append(numpy_helper.from_array(array, f"{name}_value"))
        if name == times_size:
            node = helper.make_node("Mul", [f"{name}_value", "four"], [name])
        elif mask and number == 0:
            node = helper.make_node("Mul", [f"{name}_value", "share"], [name])
        else:
            node = helper.make_node("Identity", [f"{name}_value"], [name])
        nodes.append(node)
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        infos.append(helper.make_tensor_value_info(name, kind, array.shape))
    graph = helper.make_graph(nodes, "drawn", inputs, infos, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(made, str(path))
    return path


def detector(folder: Path, toml: dict[str, Any], outputs: dict[str, np.ndarray], **how: Any) -> OnnxDetector:  # fmt: skip
    model(folder / "model.onnx", outputs, **how)
    lines = [
        f"{key} = {_toml(value)}" for key, value in toml.items() if not isinstance(value, dict)
    ]
    tables = [
        f"[{key}]\n" + "\n".join(f"{name} = {_toml(item)}" for name, item in value.items())
        for key, value in toml.items()
        if isinstance(value, dict)
    ]
    (folder / "detector.toml").write_text("\n".join([*lines, *tables]), "utf-8")
    return OnnxDetector("drawn", folder, threads=1)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(list(value) if isinstance(value, tuple) else value)


def found(detector: OnnxDetector) -> list[Region]:
    regions = detector.find(Image.new("RGB", PHOTO, "white"))
    assert regions[-1] == Region(WHOLE, "whole", LAST_RESORT)
    return regions[:-1]


def near(region: Region, label: str, box: tuple[float, ...], score: float) -> bool:
    return (
        region.label == label
        and np.allclose(region.box, box, atol=0.01)
        and abs(region.score - score) < 0.01
    )


BOXES = np.array([[[0.5, 0.5, 0.25, 0.5], [0.5, 0.25, 0.5, 0.2], [0.4, 0.4, 0.1, 0.1]]], np.float32)
"""cxcywh, fractions of the input."""


def test_detr_with_softmax_and_a_letterbox(tmp_path: Path) -> None:
    """As YOLOS and DETR: the last class is nothing, parts of garments are no regions."""
    chances = np.array([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [0.05, 0.9, 0.05]])
    one = detector(
        tmp_path,
        {"style": "detr", "size": [SIDE, SIDE], "labels": ["dress", "sleeve"]},
        {"logits": np.log(chances)[None].astype(np.float32), "pred_boxes": BOXES},
    )
    (dress,) = found(one)
    # A quarter of the input's width is half the photo's, which fills its middle half.
    assert near(dress, "dress", (0.25, 0.25, 0.75, 0.75), 0.8)


def test_detr_with_sigmoid_squashed(tmp_path: Path) -> None:
    """As Conditional DETR, D-FINE and RT-DETR: each class for itself."""
    logits = [[logit(0.7), logit(0.2)], [logit(0.1), logit(0.4)], [logit(0.01), logit(0.02)]]
    one = detector(
        tmp_path,
        {
            "style": "detr", "size": [SIDE, SIDE], "labels": ["shoes", "bottom"],
            "resize": "squash", "scores": "sigmoid",
        },
        {"logits": np.array([logits], np.float32), "pred_boxes": BOXES},
    )  # fmt: skip
    shoes, trousers = found(one)
    assert near(shoes, "shoes", (0.375, 0.25, 0.625, 0.75), 0.7)
    assert near(trousers, "trousers", (0.25, 0.15, 0.75, 0.35), 0.4)


def test_a_mask_input_is_filled_with_ones(tmp_path: Path) -> None:
    one = detector(
        tmp_path,
        {
            "style": "detr", "size": [SIDE, SIDE], "labels": ["hat"], "scores": "none",
            "mask_input": "pixel_mask", "resize": "squash",
        },
        {"logits": np.array([[[0.9]]], np.float32), "pred_boxes": BOXES[:, :1]},
        mask=True,
    )  # fmt: skip
    assert near(found(one)[0], "hat", (0.375, 0.25, 0.625, 0.75), 0.9)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("objectness", [False, True])
def test_yolo_either_way_round(tmp_path: Path, turned: bool, objectness: bool) -> None:
    """As YOLOv8 (4 + classes in rows) and YOLOv5 or YOLOX (objectness, a row for each place)."""
    anything = [[0.5], [1.0]] if objectness else [[], []]
    rows = np.array(
        [
            [32, 32, 16, 32, *anything[0], 0.9, 0.1],
            [32, 48, 16, 16, *anything[1], 0.3, 0.7],
        ],
        np.float32,
    )
    one = detector(
        tmp_path,
        {
            "style": "yolo", "size": [SIDE, SIDE], "labels": ["top", "bag"], "scale": "input",
            "scores": "none", "objectness": objectness,
        },
        {"output0": (rows.T if turned else rows)[None]},
    )  # fmt: skip
    regions = {region.label: region for region in found(one)}
    assert near(regions["top"], "top", (0.25, 0.25, 0.75, 0.75), 0.45 if objectness else 0.9)
    assert near(regions["bag"], "bag", (0.25, 0.625, 0.75, 0.875), 0.7)


@pytest.mark.parametrize(("order", "expected"), [("wh", 0.5), ("hw", 1.0)])
def test_decoded_in_the_photos_pixels(tmp_path: Path, order: str, expected: float) -> None:
    """As RT-DETR's own export: it is told the photo's size and multiplies by it."""
    one = detector(
        tmp_path,
        {
            "style": "decoded", "size": [SIDE, SIDE], "resize": "squash", "boxes": "xyxy",
            "scale": "photo", "scores": "none", "size_input": "orig_target_sizes",
            "size_order": order, "labels": {"0": "person", "26": "handbag", "79": ""},
        },
        {
            "labels": np.array([[26, 3, 0]], np.int64),
            "boxes": np.array([[[0, 0, 0.5, 0.25], [0, 0, 1, 1], [0.1, 0.1, 0.9, 0.9]]], np.float32),
            "scores": np.array([[0.9, 0.8, 0.1]], np.float32),
        },
        times_size="boxes",
    )  # fmt: skip
    (bag,) = found(one)
    assert bag.label == "bag"
    assert bag.box[2] == pytest.approx(expected, abs=0.01)


def test_doubles_thin_and_broken_boxes_are_no_regions(tmp_path: Path) -> None:
    boxes = np.array(
        [
            [0.1, 0.1, 0.5, 0.5],
            [0.1, 0.1, 0.5, 0.49],
            [0.2, 0.2, 0.205, 0.9],
            [np.nan, 0.1, 0.5, 0.5],
            [0.6, 0.6, 1.4, 0.9],
        ],
        np.float32,
    )
    one = detector(
        tmp_path,
        {
            "style": "decoded", "size": [SIDE, SIDE], "resize": "squash", "boxes": "xyxy",
            "scores": "none", "labels": ["top", "outerwear"], "overlap": 0.8, "most": 3,
        },
        {
            "labels": np.array([0, 1, 0, 0, 0], np.int64),
            "boxes": boxes,
            "scores": np.array([0.9, 0.8, 0.9, 0.9, 0.5], np.float32),
        },
    )  # fmt: skip
    first, second = found(one)
    assert near(first, "top", (0.1, 0.1, 0.5, 0.5), 0.9)
    assert near(second, "top", (0.6, 0.6, 1.0, 0.9), 0.5)


@pytest.mark.parametrize(
    ("toml", "outputs", "said"),
    [
        ({"style": "detr", "labels": ["hat"]}, {"logits": (1, 3, 2), "pred_boxes": (1, 2, 4)}, "not logits"),
        ({"style": "detr", "labels": ["hat"]}, {"logits": (1, 3, 9), "pred_boxes": (1, 3, 4)}, "1 classes"),
        ({"style": "yolo", "labels": ["hat"]}, {"output0": (1, 7, 9)}, "5 numbers"),
        ({"style": "decoded", "labels": ["hat"]}, {"labels": (1, 2), "boxes": (1, 3, 4), "scores": (1, 3)}, "not labels"),
        ({"style": "detr", "labels": ["hat"]}, {"one": (1, 3, 2), "two": (1, 3, 4)}, "the outputs are"),
        ({"style": "detr", "labels": ["hat"], "size": [96, 96]}, {"logits": (1, 3, 2), "pred_boxes": (1, 3, 4)}, "not a float"),
        ({"style": "detr", "labels": ["hat"], "input": "pixels"}, {"logits": (1, 3, 2), "pred_boxes": (1, 3, 4)}, "no single picture"),
    ],
)  # fmt: skip
def test_a_description_that_does_not_fit_is_refused(
    tmp_path: Path, toml: dict[str, Any], outputs: dict[str, tuple[int, ...]], said: str
) -> None:
    arrays = {name: np.zeros(shape, np.float32) for name, shape in outputs.items()}
    with pytest.raises(ConfigError, match=said) as caught:
        found(detector(tmp_path, {"size": [SIDE, SIDE], **toml}, arrays))
    assert caught.value.hint


def test_an_input_that_nobody_fills_is_refused(tmp_path: Path) -> None:
    arrays = {"logits": np.zeros((1, 1, 1), np.float32), "pred_boxes": BOXES[:, :1]}
    toml = {"style": "detr", "size": [SIDE, SIDE], "labels": ["hat"], "scores": "sigmoid"}
    with pytest.raises(ConfigError, match="pixel_mask"):
        detector(tmp_path, toml, arrays, mask=True)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    (tmp_path / "detector.toml").write_text("style='yolo'\nsize=[64,64]\nlabels=['hat']", "utf-8")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        OnnxDetector("broken", tmp_path)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"style": "ssd"}, "style"),
        ({"size": [640]}, "size"),
        ({"labels": []}, "labels"),
        ({"labels": ["car", "wheel"]}, "labels"),
        ({"labels": {"x": "hat"}}, "labels"),
        ({"outputs": ["one"]}, "outputs"),
        ({"std": [0, 1, 1]}, "std"),
        ({"fill": [0, 0, 256]}, "fill"),
        ({"min_score": 2}, "min_score"),
        ({"most": 0}, "most"),
        ({"corner": "yes"}, "corner"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, Any], key: str) -> None:
    values = {"style": "detr", "size": [640, 640], "labels": ["hat"], **change}
    with pytest.raises(ConfigError, match=rf"detector\.toml: '{key}[.']"):
        parse_description(values, "detector.toml")


# ---- the shelf


def test_weights_beside_the_model_come_along_and_count(tmp_path: Path) -> None:
    logits = np.full((1, 3, 1), -9, np.float32)
    logits[0, 0] = 9
    arrays = {"logits": logits, "pred_boxes": np.full((1, 3, 4), 0.5, np.float32)}
    plain = model(tmp_path / "made" / "plain.onnx", arrays)
    file = tmp_path / "made" / "model.onnx"
    onnx.save(
        onnx.load(str(plain)), str(file), save_as_external_data=True, size_threshold=0, location="w"
    )
    toml = file.with_name("detector.toml")
    toml.write_text("style='detr'\nsize=[64,64]\nlabels=['hat']\nscores='sigmoid'", "utf-8")
    folder = add_detector("mine", str(file), tmp_path / "shelf")
    assert (folder / "w").is_file()
    first = open_detector("mine", tmp_path / "shelf")
    assert first.find(Image.new("RGB", (64, 64)))[0].label == "hat"
    (folder / "w").write_bytes((folder / "w").read_bytes()[::-1])
    assert open_detector("mine", tmp_path / "shelf").fingerprint != first.fingerprint
    (folder / "w").unlink()
    with pytest.raises(ConfigError, match="refers to w"):
        open_detector("mine", tmp_path / "shelf")
    file.with_name("w").unlink()
    with pytest.raises(ConfigError, match="refers to w"):
        add_detector("other", str(file), tmp_path / "shelf")


def test_every_known_description_is_sound() -> None:
    assert {"d-fine", "rt-detr", "yolos-fashionpedia", "conditional-detr-fashion"} <= set(
        SHELF.known_names()
    )
    for info in list_detectors(Path("nowhere")):
        assert not info.problem
        assert set(info.labels) <= set(LABELS)


@pytest.mark.parametrize(
    "name", ["d-fine", "rt-detr", "yolos-fashionpedia", "conditional-detr-fashion"]
)
def test_each_known_description_opens_a_model_of_its_shape(name: str, tmp_path: Path) -> None:
    """A model with the inputs and outputs that the description tells of, one sure thing in it."""
    known = SHELF.known(name)
    sure = next(n for n, label in enumerate(known.labels) if label)
    classes = len(known.labels) + (known.scores == "softmax")
    if known.style == "detr":
        logits = np.full((1, 3, classes), -9, np.float32)
        logits[0, 0, sure] = 9
        arrays = {"logits": logits, "pred_boxes": np.full((1, 3, 4), 0.5, np.float32)}
    else:
        arrays = {
            "labels": np.full((1, 3), sure, np.int64),
            "boxes": np.tile(np.float32([0.25, 0.25, 0.75, 0.75]), (1, 3, 1)),
            "scores": np.array([[0.9, 0, 0]], np.float32),
        }
    made = _of_size(tmp_path / "m.onnx", arrays, known.size, bool(known.size_input))
    folder = add_detector("mine", str(made), tmp_path / "shelf", description=name)
    one = open_detector("mine", tmp_path / "shelf")
    region, whole = one.find(Image.new("RGB", (known.size[1], known.size[0])))
    assert region.label == known.labels[sure]
    assert region.box == pytest.approx((0.25, 0.25, 0.75, 0.75), abs=0.01)
    assert whole.box == WHOLE
    assert folder == tmp_path / "shelf" / "mine"
    assert "mine" in {info.name for info in list_detectors(tmp_path / "shelf")}


def _of_size(path: Path, arrays: dict[str, np.ndarray], size: tuple[int, int], sized: bool) -> Path:
    made = onnx.load(str(model(path, arrays, times_size="boxes" if sized else "")))
    shape = made.graph.input[0].type.tensor_type.shape
    shape.dim[2].dim_value, shape.dim[3].dim_value = size
    onnx.save(made, str(path))
    return path


def test_names_and_sources_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    arrays = {"logits": np.zeros((1, 1, 2), np.float32), "pred_boxes": BOXES[:, :1]}
    file = str(model(tmp_path / "m.onnx", arrays))
    for name in ("whole", "saliency", "No Name"):
        with pytest.raises(ConfigError):
            add_detector(name, file, tmp_path / "shelf", description="d-fine")
    with pytest.raises(ConfigError, match="no description"):
        add_detector("mine", file, tmp_path / "shelf")
    with pytest.raises(UnknownName):
        add_detector("mine", file, tmp_path / "shelf", description="nobody's")
    with pytest.raises(ConfigError, match="not a float"):  # another input size than the TOML says
        add_detector("mine", file, tmp_path / "shelf", description="d-fine")
    with pytest.raises(ConfigError, match="is not a file"):
        add_detector("mine", "nothing", tmp_path / "shelf", description="d-fine")
    with pytest.raises(ConfigError, match="downloaded"):
        add_detector("mine", "d-fine", tmp_path / "shelf")
    assert list((tmp_path / "shelf").iterdir()) == []
    with pytest.raises(ConfigError, match="weights have not been added"):
        open_detector("d-fine", tmp_path / "shelf")
    with pytest.raises(UnknownName):
        open_detector("nobody", tmp_path / "shelf")


def test_a_known_detector_is_downloaded_by_name(tmp_path: Path) -> None:
    asked = []

    def fetch(url: str, to: Path) -> None:
        asked.append(url)
        logits = np.full((1, 2, 80), -9, np.float32)
        _of_size(
            to, {"logits": logits, "pred_boxes": np.zeros((1, 2, 4), np.float32)}, (640, 640), False
        )

    add_detector("d-fine", "d-fine", tmp_path / "shelf", fetch=fetch)
    assert asked == [
        "https://huggingface.co/onnx-community/dfine_n_coco-ONNX/resolve/main/onnx/model.onnx"
    ]
    assert (
        open_detector("d-fine", tmp_path / "shelf").find(Image.new("RGB", (9, 9)))[-1].box == WHOLE
    )


# ---- what a score is worth


def three_things(folder: Path, **more: Any) -> OnnxDetector:
    """A bag by .9 in the middle, a second bag inside it by .8, a shoe inside it by .1."""
    boxes = [[0.2, 0.2, 0.8, 0.8], [0.3, 0.3, 0.5, 0.7], [0.6, 0.6, 0.7, 0.7]]
    return detector(
        folder,
        {
            "style": "decoded", "size": [SIDE, SIDE], "resize": "squash", "boxes": "xyxy", "min_score": 0.05,
            "scores": "none", "labels": ["bag", "shoes"], **more,
        },
        {
            "labels": np.array([[0, 0, 1]], np.int64),
            "boxes": np.array([boxes], np.float32),
            "scores": np.array([[0.9, 0.8, 0.1]], np.float32),
        },
    )  # fmt: skip


def test_without_more_every_region_is_likely(tmp_path: Path) -> None:
    regions = three_things(tmp_path).find(Image.new("RGB", PHOTO))
    assert [(r.label, r.likely) for r in regions] == [("bag", True), ("bag", True), ("shoes", True), ("whole", True)]  # fmt: skip


def test_a_part_of_a_better_one_of_its_kind_is_no_region(tmp_path: Path) -> None:
    regions = three_things(tmp_path, part=0.8).find(Image.new("RGB", PHOTO))
    assert [r.label for r in regions] == ["bag", "shoes", "whole"]


def test_scores_become_what_they_are_worth(tmp_path: Path) -> None:
    """Of bags half of what the model says as odds, shoes as it says them."""
    worth = {"chance": {"bag": (logit(1 / 3), 1.0)}, "likely_from": 0.75}
    first, second, shoes, whole = three_things(tmp_path, **worth).find(Image.new("RGB", PHOTO))
    assert (first.score, first.likely) == (pytest.approx(4.5 / 5.5, abs=1e-4), True)
    assert (second.score, second.likely) == (pytest.approx(2 / 3, abs=1e-4), False)
    assert (shoes.score, shoes.likely) == (pytest.approx(0.1, abs=1e-4), False)
    assert whole.likely


def test_where_nothing_is_likely_the_whole_photo_is_not(tmp_path: Path) -> None:
    worth = {"chance": {"bag": (-4.0, 1.0)}, "likely_from": 0.5}
    regions = three_things(tmp_path, **worth).find(Image.new("RGB", PHOTO))
    assert [r.likely for r in regions] == [False] * 4
    silent = three_things(tmp_path / "silent", likely_from=0.99).find(Image.new("RGB", PHOTO))
    assert silent[-1].likely, "a model whose scores were never held against boxes"


@pytest.mark.parametrize(("line", "sure"), [(0.5, 2), (0.65, 2), (0.7, 1), (0.85, 0)])
def test_what_is_likely_may_not_be_sure(tmp_path: Path, line: float, sure: int) -> None:
    """Bags by .82 and .67, of which so many are sure; shoes are not likely, and so never sure."""
    worth = {"chance": {"bag": (logit(1 / 3), 1.0)}, "likely_from": 0.6, "sure_from": line}
    *things, whole = three_things(tmp_path, **worth).find(Image.new("RGB", PHOTO))
    assert [one.likely for one in things] == [True, True, False]
    assert [one.sure for one in things] == [True] * sure + [False] * (3 - sure)
    assert (whole.likely, whole.sure) == (True, sure > 0)
    untold = three_things(tmp_path / "untold", sure_from=0.99).find(Image.new("RGB", PHOTO))
    assert untold[-1].sure, "a model whose scores were never held against boxes"


def test_the_order_is_that_of_what_scores_are_worth(tmp_path: Path) -> None:
    worth = {"chance": {"bag": (-4.0, 1.0), "shoes": (3.0, 1.0)}}
    regions = three_things(tmp_path, **worth).find(Image.new("RGB", PHOTO))
    assert [r.label for r in regions] == ["shoes", "bag", "bag", "whole"]


def test_a_worth_of_no_label_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hat"):
        three_things(tmp_path, chance={"hat": (0.0, 1.0)})


# ---- run by OpenVINO

PHOTOS = sorted(resources.files("lensback").joinpath("demo/photos").glob("*.jpg"))[:12]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def both() -> tuple[Detector, Detector]:
    pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    names = "lensback-detector", "openvino:lensback-detector"
    one, other = (open_detector(name, threads=1) for name in names)
    return one, other


def test_openvino_is_another_engine_of_the_same_model(both: tuple[Detector, Detector]) -> None:
    one, other = both
    assert isinstance(other, OnnxDetector)
    assert other.name == "openvino:lensback-detector"
    assert other.fingerprint != one.fingerprint
    assert other.fingerprint == open_detector(other.name).fingerprint


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda path: path.stem)
def test_openvino_finds_the_same_in_real_photos(
    both: tuple[Detector, Detector], photo: Path
) -> None:
    """What is searched first is the same thing, in nearly the same box; bfloat16 has three digits."""
    with Image.open(photo) as picture:
        mine, theirs = (in_order(one.find(picture.convert("RGB"))) for one in both)
    assert (theirs[0].label, theirs[0].likely) == (mine[0].label, mine[0].likely)
    assert overlap(theirs[0].box, mine[0].box) > 0.9
    assert theirs[0].score == pytest.approx(mine[0].score, abs=0.1)
    assert theirs[-1].box == mine[-1].box == WHOLE


def test_a_folder_that_openvino_cannot_run_is_told(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"no model")
    (folder / "detector.toml").write_text("style='yolo'\nsize=[64,64]\nlabels=['hat']", "utf-8")
    with pytest.raises(ConfigError, match="cannot be loaded") as caught:
        open_detector("openvino:broken", tmp_path)
    assert "detector without 'openvino:'" in str(caught.value.hint)
    with pytest.raises(UnknownName, match="nobody"):
        open_detector("openvino:nobody", tmp_path)


def test_openvino_is_named_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtra, match="openvino"):
        open_detector("openvino:lensback-detector")
