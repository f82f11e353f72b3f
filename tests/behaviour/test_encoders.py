"""What every encoder promises, run against every member: pixels, ONNX models of several shapes,
joins. The models are drawn up in the test with the inputs and outputs of the known ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lensback.encoders import Encoder, open_encoder

onnx = pytest.importorskip("onnx", reason="the onnx package makes the test models")

DESCRIPTION = """
size = [{size}, {size}]
resize = "{resize}"
interpolation = "bicubic"
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
dim = {dim}
{more}
"""
MEMBERS = [
    "pixels",
    "flat",
    "one-at-a-time",
    "tokens",
    "map",
    "two-towers",
    "half",
    "prefix",
    "flat+pixels",
    "tokens*0.7+pixels*0.3",
    "openvino:flat",
    "openvino:one-at-a-time",
    "openvino:two-towers",
]


def make_model(
    folder: Path,
    *,
    kind: str = "flat",
    batch: int | str = "n",
    half: bool = False,
    size: int = 16,
    dim: int = 12,
    scale: float = 1.0,
    external: bool = False,
) -> Path:
    """A tiny network: pictures averaged over 4 x 4 blocks, then a fixed random projection.

    `kind` is flat [n, dim], tokens [n, blocks, dim] or map [n, dim, blocks, blocks].
    """
    folder.mkdir(parents=True, exist_ok=True)
    helper, proto = onnx.helper, onnx.TensorProto
    number = proto.FLOAT16 if half else proto.FLOAT
    kernel = np.random.default_rng(7).normal(0, scale, (dim, 3, 4, 4))
    kernel = kernel.astype(np.float16 if half else np.float32)
    nodes = [helper.make_node("Conv", ["pixel_values", "kernel"], ["map"], strides=[4, 4])]
    blocks = size // 4
    shapes: dict[str, list[int | str]] = {
        "map": [batch, dim, blocks, blocks],
        "flat": [batch, dim],
        "tokens": [batch, blocks * blocks, dim],
    }
    if kind == "flat":
        nodes += [
            helper.make_node("Relu", ["map"], ["positive"]),
            helper.make_node("GlobalAveragePool", ["positive"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
        ]
    if kind == "tokens":
        nodes += [
            helper.make_node("Reshape", ["map", "shape"], ["row"]),
            helper.make_node("Transpose", ["row"], ["tokens"], perm=[0, 2, 1]),
        ]
    weights = [onnx.numpy_helper.from_array(kernel, "kernel")]
    if kind == "tokens":
        shape = np.array([0, dim, blocks * blocks], np.int64)
        weights.append(onnx.numpy_helper.from_array(shape, "shape"))
    picture = helper.make_tensor_value_info("pixel_values", number, [batch, 3, size, size])
    result = helper.make_tensor_value_info(kind, number, shapes[kind])
    graph = helper.make_graph(nodes, "tiny", [picture], [result], weights)
    save(graph, folder, external=external)
    return folder


def make_two_towers(folder: Path, *, size: int = 16, dim: int = 12) -> Path:
    """Inputs and outputs of an exported CLIP: pictures and text in, four outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    helper, proto = onnx.helper, onnx.TensorProto
    kernel = np.random.default_rng(8).normal(size=(dim, 3, 4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["pixel_values", "kernel"], ["map"], strides=[4, 4]),
        helper.make_node("Relu", ["map"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["image_embeds"]),
        helper.make_node("Cast", ["input_ids"], ["ids"], to=proto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=proto.FLOAT),
        helper.make_node("Mul", ["ids", "mask"], ["text_embeds"]),
    ]
    text = ["texts", "words"]
    inputs = [
        helper.make_tensor_value_info("input_ids", proto.INT64, text),
        helper.make_tensor_value_info("pixel_values", proto.FLOAT, ["n", 3, size, size]),
        helper.make_tensor_value_info("attention_mask", proto.INT64, text),
    ]
    outputs = [
        helper.make_tensor_value_info("text_embeds", proto.FLOAT, text),
        helper.make_tensor_value_info("image_embeds", proto.FLOAT, ["n", dim]),
    ]
    weights = [onnx.numpy_helper.from_array(kernel, "kernel")]
    save(helper.make_graph(nodes, "clip", inputs, outputs, weights), folder)
    return folder


def save(graph: object, folder: Path, *, external: bool = False) -> None:
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.checker.check_model(model)
    onnx.save_model(
        model,
        str(folder / "model.onnx"),
        save_as_external_data=external,
        location="model.onnx_data" if external else None,
        size_threshold=0,
    )


def describe(
    folder: Path, *, size: int = 16, dim: int = 12, resize: str = "squash", more: str = ""
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = DESCRIPTION.format(size=size, dim=dim, resize=resize, more=more)
    (folder / "encoder.toml").write_text(text, "utf-8")
    return folder


def make_shelf(models: Path) -> Path:
    """One model folder for each member's name."""
    describe(make_model(models / "flat"))
    describe(make_model(models / "one-at-a-time", batch=1), resize="letterbox")
    describe(make_model(models / "tokens", kind="tokens"), more='pool = "cls"', resize="crop")
    describe(make_model(models / "map", kind="map"), more='pool = "mean"\noutput = "0"')
    describe(
        make_two_towers(models / "two-towers"),
        more="[fill]\ninput_ids = [[49406, 49407]]\nattention_mask = [[1, 1]]",
    )
    describe(make_model(models / "half", half=True), more='channels = "bgr"')
    describe(make_model(models / "prefix"), dim=5)
    return models


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shelf(tmp_path_factory.mktemp("models"))


@pytest.fixture(params=MEMBERS)
def encoder(request: pytest.FixtureRequest, models: Path) -> Encoder:
    if request.param.startswith("openvino:"):
        pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    return open_encoder(request.param, models, threads=1)


def picture(seed: int, width: int = 60, height: int = 80) -> Image.Image:
    """A few soft blobs of colour on white."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 3, 3), np.uint8))
    image = Image.new("RGB", (width, height), "white")
    inner = (max(1, width * 2 // 3), max(1, height * 2 // 3))
    image.paste(coarse.resize(inner, Image.Resampling.BICUBIC), (width // 6, height // 6))
    return image


PICTURES = [picture(seed, 40 + 9 * seed, 90 - 5 * seed) for seed in range(11)]


def test_rows_are_float32_of_unit_length(encoder: Encoder) -> None:
    vectors = encoder.encode(PICTURES)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(PICTURES), encoder.dim)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nothing_in_gives_nothing_out(encoder: Encoder) -> None:
    vectors = encoder.encode([])
    assert vectors.shape == (0, encoder.dim)
    assert vectors.dtype == np.float32


def test_the_same_pictures_give_the_same_vectors(encoder: Encoder) -> None:
    assert np.array_equal(encoder.encode(PICTURES), encoder.encode(PICTURES))


def test_a_batch_equals_its_pictures_one_by_one_in_order(encoder: Encoder) -> None:
    single = np.concatenate([encoder.encode([image]) for image in PICTURES])
    assert np.allclose(encoder.encode(PICTURES), single, atol=2e-3)
    turned = encoder.encode(PICTURES[::-1])[::-1]
    assert np.allclose(turned, single, atol=2e-3)


def test_pictures_are_left_as_they_were(encoder: Encoder) -> None:
    image = picture(3)
    before = image.tobytes()
    encoder.encode([image])
    assert image.tobytes() == before


def test_alike_is_nearer_than_different(encoder: Encoder) -> None:
    image = picture(1, 120, 160)
    smaller = image.resize((60, 80))
    vectors = encoder.encode([image, smaller, picture(2, 120, 160)])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


@given(
    width=st.integers(1, 500),
    height=st.integers(1, 500),
    mode=st.sampled_from(["RGB", "L", "RGBA", "1"]),
    seed=st.integers(0, 5),
)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_shape_of_picture(
    encoder: Encoder, width: int, height: int, mode: str, seed: int
) -> None:
    vectors = encoder.encode([picture(seed, width, height).convert(mode)])
    assert np.isfinite(vectors).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("colour", ["black", "white", (119, 119, 119), (128, 128, 128)])
@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (64, 64)])
def test_plain_pictures(encoder: Encoder, colour: str, size: tuple[int, int]) -> None:
    vectors = encoder.encode([Image.new("RGB", size, colour)])
    assert np.isfinite(vectors).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_threads_do_not_disturb_each_other(encoder: Encoder) -> None:
    alone = [encoder.encode([image]) for image in PICTURES]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: encoder.encode([image]), PICTURES * 4))
    for one, other in zip(alone * 4, together, strict=True):
        assert np.allclose(one, other, atol=1e-6)


def test_the_fingerprint_is_stable(encoder: Encoder, models: Path) -> None:
    again = open_encoder(encoder.name, models)
    assert again.fingerprint == encoder.fingerprint
    assert len(encoder.fingerprint) == 16
    int(encoder.fingerprint, 16)


def test_fingerprints_differ_between_members(models: Path) -> None:
    missing = find_spec("openvino") is None
    names = [name for name in MEMBERS if not (missing and name.startswith("openvino:"))]
    seen = {open_encoder(name, models).fingerprint for name in names}
    assert len(seen) == len(names)


def test_the_side_worth_decoding_is_stated(encoder: Encoder) -> None:
    assert 16 <= encoder.side_px <= 2048
