# ruff: noqa: E402 - what needs torch is imported after it was looked for
"""The eye's two networks, and the file that holds their weights in half precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
onnx = pytest.importorskip("onnx", reason="needs the extra 'train'")

from torch import nn
from torch.nn import functional

from lensback.encoders.onnx import OnnxEncoder
from lensback.train.export import export, parity, read_weights
from lensback.train.model import PARTS, SIDE_PX, Eye, Features, seen
from lensback.train.trunks import LAST, LITE, MOBILENET, Padded, Trunk, TrunkShape


@pytest.mark.parametrize("shape", [MOBILENET, LITE], ids=["mobilenet", "lite"])
def test_a_trunk_gives_the_maps_that_the_parts_are_made_of(shape: TrunkShape) -> None:
    side = shape.side_px
    with torch.no_grad():
        maps = Trunk(shape).eval()(torch.rand(2, 3, side, side))
    strides = [side // m.shape[2] for m in maps]
    assert [m.shape[1] for m in maps] == [
        *(shape.blocks[tap].channels for tap in shape.taps),
        LAST,
    ]
    assert strides[-1] == 32
    assert all(m.shape[2] == m.shape[3] and not (side // 2) % m.shape[2] for m in maps)
    assert float(maps[-1].min()) == 0, "rectified"


def test_relu6_ends_at_six() -> None:
    trunk = Trunk(LITE).eval()
    with torch.no_grad():
        trunk.last.bias.fill_(100.0)
        assert float(trunk(torch.rand(1, 3, 64, 64))[-1].max()) == 6
        plain = Trunk(MOBILENET).eval()
        plain.last.bias.fill_(100.0)
        assert float(plain(torch.rand(1, 3, 64, 64))[-1].max()) > 6


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "before", "after"),
    [(8, 3, 2, 0, 1), (7, 3, 2, 1, 1), (8, 5, 2, 1, 2), (9, 5, 1, 2, 2), (8, 3, 1, 1, 1)],
)
def test_same_padding_puts_what_is_odd_to_the_right_and_below(
    side: int, kernel: int, stride: int, before: int, after: int
) -> None:
    """TensorFlow's rule: ceil(side / stride) come out; of the missing pixels the half, rounded
    down, stand before."""
    conv = Padded(2, 3, kernel, stride, 1, same=True)
    image = torch.rand(1, 2, side, side)
    by_hand = functional.pad(image, (before, after, before, after))
    wanted = functional.conv2d(by_hand, conv.weight, conv.bias, stride)
    assert wanted.shape[2] == -(-side // stride)
    assert torch.equal(conv(image), wanted)


def test_other_padding_is_the_same_on_all_sides() -> None:
    conv = Padded(2, 3, 3, 2, 1, same=False)
    image = torch.rand(1, 2, 8, 8)
    assert torch.equal(
        conv(image), functional.conv2d(image, conv.weight, conv.bias, stride=2, padding=1)
    )


def test_a_part_over_the_foreground_does_not_see_the_rest() -> None:
    """Where the foreground is one half, inner parts are those of a map that is blank elsewhere."""
    trunk, half = Trunk(LITE).eval(), SIDE_PX // 2
    image, left = torch.rand(1, 3, SIDE_PX, SIDE_PX), torch.zeros(1, 1, half, half)
    left[..., : half // 2] = 1
    with torch.no_grad():
        inner = seen(trunk, image, left)[0]
        whole = trunk(image)[0]
    assert torch.allclose(inner, whole[..., : whole.shape[3] // 2].mean(dim=(2, 3)), atol=1e-5)


def test_the_parts_are_as_wide_as_they_say() -> None:
    with torch.no_grad():
        made = Features().eval()(torch.rand(1, 3, SIDE_PX, SIDE_PX))
    assert made.shape == (1, sum(part.width for part in PARTS))


def test_weights_lie_in_half_precision_and_come_back_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(1)
    eye = Eye(dim=32).eval()
    before = {name: value.clone() for name, value in eye.state_dict().items()}
    apart = export(eye, tmp_path / "half", dim=32, licence="MIT", source="a test")
    path = tmp_path / "half" / "model.onnx"
    kinds = {w.name: w.data_type for w in onnx.load(str(path)).graph.initializer}
    numbers = sum(value.numel() for value in eye.state_dict().values())
    assert path.stat().st_size < 2.2 * numbers, "two bytes a number and the graph"
    again = Eye(dim=32)
    read_weights(again, path)
    for name, value in again.state_dict().items():
        half = value.ndim > 1
        assert (kinds[name] == onnx.TensorProto.FLOAT16) is half, name
        assert torch.equal(value, before[name].half().float() if half else before[name]), name
    assert apart < 1e-4
    assert parity(again.eval(), tmp_path / "half") < 1e-4
    assert OnnxEncoder("half", tmp_path / "half", threads=1).dim == 32


def test_what_half_precision_cannot_hold_stays_whole(tmp_path: Path) -> None:
    """A head's scale is one over a spread, and may be a million."""
    eye = Eye(dim=8).eval()
    with torch.no_grad():
        eye.head.scale[0] = 1e6
    export(eye, tmp_path / "wide", dim=8, licence="MIT", source="a test")
    again = Eye(dim=8)
    read_weights(again, tmp_path / "wide" / "model.onnx")
    assert float(again.head.scale[0]) == 1e6
    assert all(np.isfinite(v.numpy()).all() for v in again.state_dict().values())


def test_the_finder_of_the_detector_starts_from_the_same_trunk() -> None:
    trunk = Trunk(MOBILENET)
    assert isinstance(trunk.blocks[0].expand, nn.Conv2d), "these weights have one there, too"
    assert isinstance(Trunk(LITE).blocks[0].expand, nn.Identity)
