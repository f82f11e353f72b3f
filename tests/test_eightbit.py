"""Encoders in eight bits: which layers are, how near the vectors stay, and what is said of both side by side."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from behaviour.test_encoders import describe, make_model, picture, save
from lensback.detectors import open_detector
from lensback.detectors.shelf import list_detectors
from lensback.encoders import add_encoder, list_encoders, open_encoder
from lensback.encoders.onnx import OnnxEncoder
from lensback.encoders.preprocess import to_batch
from lensback.errors import ConfigError
from lensback.session import Array
from lensback.train import eightbit, eightbit_detector
from lensback.types import Region
from published import publish
from test_cli import lensback

onnx = pytest.importorskip("onnx", reason="the onnx package makes the test models")
from lensback.session.eightbit import _chosen, _fold_pads, write_eight_bit  # noqa: E402  (it imports onnx)

SIZE, DIM = 32, 24
PICTURES = 12


def layers(folder: Path, *, opset: int = 17) -> Path:
    """A network as those of phones are: a change of colours, a first layer, a margin, a block with a shortcut."""
    folder.mkdir(parents=True, exist_ok=True)
    random, make = np.random.default_rng(3), onnx.helper.make_node

    def kernel(name: str, *shape: int) -> Any:
        spread = (2 / np.prod(shape[1:])) ** 0.5
        return onnx.numpy_helper.from_array(
            random.normal(0, spread, shape).astype(np.float32), name
        )

    weights = [
        kernel("colours", 3, 3, 1, 1),
        kernel("first", 16, 3, 3, 3),
        kernel("deep", 16, 1, 3, 3),
        kernel("wide", DIM, 16, 1, 1),
        kernel("block", DIM, DIM, 1, 1),
        onnx.numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64), "margin"),
        onnx.numpy_helper.from_array(np.float32(0), "least"),
        onnx.numpy_helper.from_array(np.float32(6), "most"),
    ]
    nodes = [
        make("Conv", ["image", "colours"], ["recoloured"]),
        make("Conv", ["recoloured", "first"], ["halved"], strides=[2, 2], pads=[1, 1, 1, 1]),
        make("Relu", ["halved"], ["positive"]),
        make("Pad", ["positive", "margin"], ["padded"]),
        make("Conv", ["padded", "deep"], ["quartered"], strides=[2, 2], group=16, name="quarter"),
        make("Clip", ["quartered", "least", "most"], ["clipped"]),
        make("Conv", ["clipped", "wide"], ["widened"]),
        make("Conv", ["widened", "block"], ["more"]),
        make("Add", ["widened", "more"], ["joined"]),
        make("GlobalAveragePool", ["joined"], ["pooled"]),
        make("Flatten", ["pooled"], ["vector"]),
    ]
    ports = [
        onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["n", 3, SIZE, SIZE]),
        onnx.helper.make_tensor_value_info("vector", onnx.TensorProto.FLOAT, ["n", DIM]),
    ]
    graph = onnx.helper.make_graph(nodes, "layers", ports[:1], ports[1:], weights)
    save(graph, folder)
    if opset != 17:
        made = onnx.load(str(folder / "model.onnx"))
        made.opset_import[0].version = opset
        onnx.checker.check_model(made)
        onnx.save(made, str(folder / "model.onnx"))
    return describe(folder, size=SIZE, dim=DIM)


def feeds(folder: Path) -> Iterator[dict[str, Array]]:
    encoder = OnnxEncoder("full", folder, threads=1)
    for seed in range(PICTURES):
        yield encoder.feed(to_batch([picture(seed)], encoder.description))


@pytest.mark.parametrize("opset", [11, 17])
def test_layers_of_small_maps_are_in_eight_bits_and_vectors_stay_near(
    opset: int, tmp_path: Path
) -> None:
    folder = layers(tmp_path / "full", opset=opset)
    to = describe(tmp_path / "eight", size=SIZE, dim=DIM)
    assert write_eight_bit(folder / "model.onnx", to / "model.onnx", feeds(folder)) == 3
    graph = onnx.load(str(to / "model.onnx")).graph
    kernels = {each.name for each in graph.initializer if each.data_type == onnx.TensorProto.INT8}
    assert len({name for name in kernels if "quantized" in name}) == 3
    assert {"colours", "first"} <= {each.name for each in graph.initializer}, "these stay"
    kinds = [node.op_type for node in graph.node]
    assert "Pad" not in kinds
    assert "Clip" not in kinds, (
        "the rectifier is within its layer, or numbers go there and back twice"
    )
    assert kinds.count("Relu") == 1, "that of the first layer, which stays"
    full, eight = OnnxEncoder("full", folder), OnnxEncoder("eight", to)
    assert full.fingerprint != eight.fingerprint
    asked = [picture(seed, 90, 70) for seed in range(100, 120)]
    alike = (full.encode(asked) * eight.encode(asked)).sum(axis=1)
    assert 0.98 < alike.min() < alike.max() < 1


def eight_of(folder: Path) -> Path:
    full = layers(folder.with_name("full"))
    describe(folder, size=SIZE, dim=DIM)
    write_eight_bit(full / "model.onnx", folder / "model.onnx", feeds(full))
    return folder


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_a_margin_of_zeros_becomes_the_layers_own(mode: str, tmp_path: Path) -> None:
    folder = layers(tmp_path / "full")
    made = onnx.load(str(folder / "model.onnx"))
    pad = next(node for node in made.graph.node if node.op_type == "Pad")
    pad.attribute.append(onnx.helper.make_attribute("mode", mode))
    _fold_pads(made.graph)
    assert (pad in made.graph.node) == (mode == "reflect"), "what is no zero is no margin"
    to = describe(tmp_path / "folded", size=SIZE, dim=DIM)
    onnx.save(made, str(to / "model.onnx"))
    asked = [picture(seed) for seed in range(4)]
    near = np.abs(OnnxEncoder("a", folder).encode(asked) - OnnxEncoder("b", to).encode(asked))
    assert (near.max() < 1e-5) == (mode == "constant")


@pytest.mark.parametrize("channels", [4, 16])
def test_a_convolution_of_few_channels_is_no_layer(channels: int, tmp_path: Path) -> None:
    made = onnx.load(str(layers(tmp_path / "full") / "model.onnx"))
    kernel = np.zeros((channels, DIM, 1, 1), np.float32)
    made.graph.initializer.append(onnx.numpy_helper.from_array(kernel, "late"))
    made.graph.node.append(onnx.helper.make_node("Conv", ["joined", "late"], ["few"]))
    chosen = [node.output[0] for node in _chosen(made.graph)]
    assert ("few" in chosen) == (channels == 16)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda folder: make_model(folder, half=True), "no layers"),
        (eight_of, "already"),
    ],
)
def test_models_for_which_it_is_nothing(made: Any, said: str, tmp_path: Path) -> None:
    folder = made(tmp_path / "made")
    with pytest.raises(ConfigError, match=said) as caught:
        write_eight_bit(folder / "model.onnx", tmp_path / "to.onnx", iter(()))
    assert caught.value.hint


@pytest.mark.parametrize(("by", "said"), [(np.nan, "no numbers"), (1e30, "cannot be brought")])
def test_a_damaged_model_is_refused(by: float, said: str, tmp_path: Path) -> None:
    folder = layers(tmp_path / "made")
    made = onnx.load(str(folder / "model.onnx"))
    for each in made.graph.initializer:
        kernel = onnx.numpy_helper.to_array(each).copy()
        if kernel.ndim == 4:
            kernel.flat[0] *= by
            each.CopyFrom(onnx.numpy_helper.from_array(kernel, each.name))
    onnx.save(made, str(folder / "model.onnx"))
    with pytest.raises(ConfigError, match=said) as caught:
        write_eight_bit(folder / "model.onnx", tmp_path / "to.onnx", feeds(folder))
    assert caught.value.hint


# The command


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, _ = publish(tmp_path_factory.mktemp("eightbit"))
    add_encoder("small", layers(tmp_path_factory.mktemp("made")), folder / "models")
    (folder / "models" / "small" / "learnt.txt").write_text("0" * 64 + "\n")
    return folder


def test_an_encoder_once_more_and_what_it_finds_beside(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eightbit, "LEAST", 4)
    made = lensback("encoder", "quantize", "small", "--json", "--workspace", workspace)
    assert made.code == 0, made.err
    found = made.json
    assert (found["name"], found["layers"]) == ("small-8bit", 3)
    assert found["folder"] == str(workspace / "models" / "small-8bit")
    copies = found["beside"][0]
    assert copies["kind"] == "distorted copies"
    assert copies["asked"] == found["gallery"]
    for k in ("1", "5"):
        middle, low, high = copies["difference"][k]
        assert low <= middle <= high
        assert middle == pytest.approx(copies["recall_eight"][k] - copies["recall_full"][k], abs=2e-4)  # fmt: skip
    assert found["ms_full"] > 0 < found["ms_eight"]
    listed = {info.name: info for info in list_encoders(workspace / "models")}
    assert listed["small-8bit"].kind == "added"
    assert listed["small-8bit"].fingerprint != listed["small"].fingerprint
    assert "in eight bits" in listed["small-8bit"].source
    assert open_encoder("small-8bit", workspace / "models").dim == DIM
    assert (workspace / "models" / "small-8bit" / "learnt.txt").is_file()
    again = lensback("encoder", "quantize", "small", "--workspace", workspace)
    assert (again.code, "there already" in again.err) == (2, True)
    assert lensback("encoder", "use", "small-8bit", "--workspace", workspace).code == 0


def test_what_finds_less_is_not_kept(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eightbit, "LEAST", 4)
    real = eightbit._compared

    def worse(*given: Any) -> eightbit.Beside:
        return replace(real(*given), difference={1: (-0.2, -0.3, -0.1), 5: (0.0, -0.1, 0.1)})

    monkeypatch.setattr(eightbit, "_compared", worse)
    made = lensback("encoder", "quantize", "small", "--as", "lost", "--workspace", workspace)
    assert made.code == 0, made.err
    assert "FINDS LESS" in made.out
    assert "next:" not in made.out
    assert {path.name for path in (workspace / "models").iterdir()} >= {"small"}
    assert not [p for p in (workspace / "models").iterdir() if p.name == "lost" or p.name[0] == "."]


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("nothing", "UnknownName", 2),
        ("pixels", "ConfigError", 2),
        ("small+pixels", "ConfigError", 2),
        ("openvino:small", "ConfigError", 2),
        ("small", "DataError", 1),  # 24 pictures are too few
    ],
)
def test_what_cannot_be_made(name: str, kind: str, code: int, workspace: Path) -> None:
    refused = lensback("encoder", "quantize", name, "--as", "x", "--workspace", workspace)
    assert refused.code == code
    assert refused.err.startswith(f"{kind}: ")
    assert "hint: " in refused.err
    assert (
        kind != "DataError" or "24 pictures, at least 40 are needed: 16 are missing" in refused.err
    )
    assert not (workspace / "models" / "x").exists()


def test_without_onnx_the_line_that_adds_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "onnx":
            raise ImportError(name="onnx")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    refused = lensback("encoder", "quantize", "small", "--as", "x", "--workspace", workspace)
    assert (refused.code, refused.err.partition(":")[0]) == (2, "MissingExtra")
    assert re.search(r"install .*onnx", refused.err)
    assert "torch" not in refused.err, "training wants it, this does not"


# Detectors


def test_a_detector_once_more_and_how_far_it_agrees(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eightbit, "LEAST", 4)
    asked = ("detector", "quantize", "lensback-detector", "--as", "quick", "--workspace", workspace)
    monkeypatch.setattr(eightbit_detector, "AGAIN", 1.1)
    lost = lensback(*asked)
    assert (lost.code, "LESS THAN 1.1" in lost.out) == (0, True)
    assert "next:" not in lost.out
    assert "quick" not in {info.name for info in list_detectors(workspace / "detectors")}
    monkeypatch.undo()
    monkeypatch.setattr(eightbit, "LEAST", 4)
    made = lensback(*asked, "--json")
    assert made.code == 0, made.err
    found = made.json
    assert found["layers"] == 67
    low, high = found["interval"]
    assert found["again"] > 0.5
    assert low <= found["again"] <= high
    assert found["named_full"] > 0 < found["named_eight"]
    listed = {info.name: info for info in list_detectors(workspace / "detectors")}
    assert listed["quick"].kind == "added"
    assert listed["quick"].labels == listed["lensback-detector"].labels
    full, quick = (
        open_detector(n, workspace / "detectors") for n in ("lensback-detector", "quick")
    )
    assert full.fingerprint != quick.fingerprint
    assert lensback("detector", "use", "quick", "--workspace", workspace).code == 0


def test_agreement_is_of_the_same_kind_and_place() -> None:
    top, moved = Region((0.1, 0.1, 0.5, 0.5), "top"), Region((0.12, 0.1, 0.5, 0.5), "top")
    bag, far = Region((0.1, 0.1, 0.5, 0.5), "bag"), Region((0.6, 0.6, 0.9, 0.9), "top")
    agreement = eightbit_detector.agreement
    assert agreement([([top], [moved]), ([top], [top, bag])])[0] == 1
    assert agreement([([top], [bag]), ([top], [far]), ([top], [])])[0] == 0
    share, (low, high) = agreement([([top, far], [top]), ([top], [top])])
    assert share == pytest.approx(2 / 3)
    assert low <= share <= high
    assert agreement([([], [top])]) == (1.0, (0.0, 1.0))


def test_what_a_detector_cannot_be_made_of(workspace: Path) -> None:
    for name, kind in (("whole", "ConfigError"), ("nothing", "UnknownName")):
        refused = lensback("detector", "quantize", name, "--as", "x", "--workspace", workspace)
        assert (refused.code, refused.err.partition(":")[0]) == (2, kind)
