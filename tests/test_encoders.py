"""Encoders beyond the shared behaviour: descriptions, models that lie, the shelf, joins, pixels."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from behaviour.test_encoders import describe, make_model, make_shelf, make_two_towers, picture
from lensback.encoders import open_encoder
from lensback.encoders.description import EncoderDescription, parse_description, read_description
from lensback.encoders.join import parse_join
from lensback.encoders.onnx import OnnxEncoder
from lensback.encoders.preprocess import edge_colour, fit, to_batch
from lensback.encoders.shelf import SHELF
from lensback.errors import ConfigError, MissingExtra, UnknownName
from lensback.shelves.weights import file_digest

VALUES = {
    "size": [16, 16],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "resize": "squash",
    "interpolation": "bicubic",
    "dim": 12,
}


def described(**values: object) -> EncoderDescription:
    return parse_description({**VALUES, **values}, "encoder.toml")


# --- descriptions


@pytest.mark.parametrize("key", sorted(VALUES))
def test_a_missing_key_is_named(key: str) -> None:
    values = {name: value for name, value in VALUES.items() if name != key}
    with pytest.raises(ConfigError, match=re.escape(repr(key))) as caught:
        parse_description(values, "encoder.toml")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", 224),
        ("size", [0, 16]),
        ("size", [16, 16, 3]),
        ("size", [16, 100_000]),
        ("size", [16.5, 16]),
        ("mean", [0.5]),
        ("mean", [123.7, 116.3, 103.5]),
        ("mean", ["a", "b", "c"]),
        ("std", [0.5, 0.0, 0.5]),
        ("std", [0.5, -1, 0.5]),
        ("resize", "stretch"),
        ("resize", ["squash"]),
        ("interpolation", "nearest"),
        ("channels", "grey"),
        ("pool", "max"),
        ("dim", 0),
        ("dim", True),
        ("dim", "768"),
        ("crop_fraction", 0.5),
        ("crop_fraction", 0),
        ("output", 1),
        ("fill", [1]),
        ("licence", 3),
        ("sise", [16, 16]),
    ],
)
def test_a_wrong_key_is_named(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"encoder\.toml: '{key}[.']") as caught:
        described(**{key: value})
    assert "docs/encoders.md" in caught.value.hint


@pytest.mark.parametrize("content", [b"size = [", b"\xff\xfe", b"\x00"])
def test_a_broken_toml_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "encoder.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_description(path)


def test_an_absent_toml_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_description(tmp_path / "encoder.toml")


def test_every_known_description_is_whole() -> None:
    assert len(SHELF.known_names()) >= 10
    for name in SHELF.known_names():
        known = SHELF.known(name)
        assert known.licence, name
        assert known.source, name
        assert known.file or known.doubt, name


# --- preprocessing


def test_squash_normalises_and_keeps_channel_order() -> None:
    image = Image.new("RGB", (30, 50), (255, 0, 51))
    batch = to_batch([image], described(mean=[0.5, 0.4, 0.3], std=[0.5, 0.2, 0.1]))
    assert batch.shape == (1, 3, 16, 16)
    assert batch.dtype == np.float32
    assert np.allclose(batch[0, :, 3, 3], [1.0, -2.0, -1.0], atol=1e-5)
    flipped = to_batch([image], described(channels="bgr"))
    assert np.allclose(flipped[0, :, 3, 3], [-1.2, -2.0, 2.0], atol=1e-5)


def test_letterbox_keeps_the_shape_and_fills_with_the_edge() -> None:
    image = Image.new("RGB", (40, 80), (10, 200, 30))
    ImageDraw.Draw(image).rectangle((10, 20, 30, 60), fill=(250, 0, 0))
    fitted = np.asarray(fit(image, described(resize="letterbox", size=[32, 32])))
    assert fitted.shape == (32, 32, 3)
    assert np.abs(fitted[:, 0].astype(int) - [10, 200, 30]).max() <= 1
    red = np.argwhere(fitted[..., 0] > 128)
    assert red[:, 1].min() >= 10
    assert red[:, 1].max() <= 21


def test_crop_takes_the_middle_of_the_fitted_picture() -> None:
    image = Image.new("RGB", (200, 100), "white")
    ImageDraw.Draw(image).rectangle((50, 0, 149, 99), fill="black")
    fitted = np.asarray(fit(image, described(resize="crop", size=[50, 50])))
    assert fitted[:, 1:-1].max() < 60
    zoomed = np.asarray(fit(image, described(resize="crop", size=[56, 56], crop_fraction=0.875)))
    assert zoomed.shape == (56, 56, 3)
    assert zoomed.max() < 60


def test_crop_agrees_with_the_shorter_side_rule() -> None:
    image = picture(4, 333, 250)
    fitted = fit(image, described(resize="crop", size=[224, 224], crop_fraction=0.875))
    large = image.resize((int(256 * 333 / 250), 256), Image.Resampling.BICUBIC)
    left = round((large.width - 224) / 2)
    assert np.array_equal(np.asarray(fitted), np.asarray(large.crop((left, 16, left + 224, 240))))


def test_a_long_picture_is_not_blown_up_whole() -> None:
    fitted = fit(Image.new("RGB", (1, 60_000), "red"), described(resize="crop", size=[224, 224]))
    assert fitted.size == (224, 224)


def test_the_edge_colour_is_the_median_of_the_border() -> None:
    pixels = np.zeros((10, 10, 3))
    pixels[0] = 9
    assert edge_colour(pixels).tolist() == [0, 0, 0]


# --- models that lie, break or overflow


def test_changing_the_preprocessing_changes_the_fingerprint(tmp_path: Path) -> None:
    folder = describe(make_model(tmp_path / "m"))
    seen = {OnnxEncoder("m", folder).fingerprint}
    for resize, more in (("letterbox", ""), ("squash", 'channels = "bgr"')):
        describe(folder, resize=resize, more=more)
        seen.add(OnnxEncoder("m", folder).fingerprint)
    make_model(folder, scale=2)
    seen.add(OnnxEncoder("m", folder).fingerprint)
    assert len(seen) == 4
    describe(folder, resize="squash", more='channels = "bgr"\nlicence = "MIT"')
    assert OnnxEncoder("m", folder).fingerprint in seen


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x09" * 500])
def test_a_broken_model_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    folder = describe(tmp_path / "m")
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be loaded") as caught:
        OnnxEncoder("m", folder)
    assert caught.value.hint


def test_a_cut_off_model_is_an_error_of_ours(tmp_path: Path) -> None:
    folder = describe(make_model(tmp_path / "m"))
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError):
        OnnxEncoder("m", folder)


def test_a_folder_without_a_model_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no model\.onnx"):
        OnnxEncoder("m", describe(tmp_path / "m"))


@pytest.mark.parametrize(
    ("kind", "size", "dim", "more", "said"),
    [
        ("flat", 32, 12, "", "'size'"),
        ("flat", 16, 13, "", "'dim'"),
        ("tokens", 16, 12, "", "'pool'"),
        ("flat", 16, 12, 'input = "image"', "'input'"),
        ("flat", 16, 12, 'output = "nowhere"', "'output'"),
        ("flat", 16, 12, "[fill]\nwords = [1]", "fill"),
    ],
)
def test_a_description_that_contradicts_the_model(
    tmp_path: Path, kind: str, size: int, dim: int, more: str, said: str
) -> None:
    folder = describe(make_model(tmp_path / "m", kind=kind), size=size, dim=dim, more=more)
    with pytest.raises(ConfigError) as caught:
        OnnxEncoder("m", folder).encode([picture(0)])
    assert said in caught.value.hint


def test_text_inputs_need_constants_of_their_kind(tmp_path: Path) -> None:
    folder = describe(make_two_towers(tmp_path / "m"))
    with pytest.raises(ConfigError, match="attention_mask"):
        OnnxEncoder("m", folder)
    describe(folder, more='[fill]\ninput_ids = [["a"]]\nattention_mask = [[1]]')
    with pytest.raises(ConfigError, match="does not suit"):
        OnnxEncoder("m", folder)
    describe(folder, more="[fill]\ninput_ids = [[1, 2, 3]]\nattention_mask = [[1, 1]]")
    with pytest.raises(ConfigError, match="failed"):
        OnnxEncoder("m", folder).encode([picture(0)])


@pytest.mark.parametrize("scale", [0.0, 5e37, float("nan")])
def test_no_numbers_become_a_direction_of_the_picture_s_own(tmp_path: Path, scale: float) -> None:
    encoder = OnnxEncoder("m", describe(make_model(tmp_path / "m", dim=64, scale=scale), dim=64))
    vectors = encoder.encode([picture(0), picture(1), picture(0)])
    assert np.isfinite(vectors).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors[0], vectors[2])
    assert abs(vectors[0] @ vectors[1]) < 0.6


def test_a_prefix_is_the_whole_vector_cut_and_normalised(tmp_path: Path) -> None:
    models = make_shelf(tmp_path)
    whole = open_encoder("flat", models).encode([picture(2)])[0, :5]
    cut = open_encoder("prefix", models).encode([picture(2)])[0]
    assert np.allclose(cut, whole / np.linalg.norm(whole), atol=1e-6)


def test_no_onnxruntime_names_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = describe(make_model(tmp_path / "m"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match="onnxruntime") as caught:
        OnnxEncoder("m", folder)
    assert re.search("install .*onnxruntime", caught.value.hint)
    assert open_encoder("pixels", tmp_path).encode([picture(0)]).shape == (1, 568)


def test_a_large_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lensback.shelves.weights.REMEMBER_BYTES", 1)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"first")
    first = file_digest(path)
    notes = tmp_path / ".digests.json"
    notes.write_text(notes.read_text("utf-8").replace(first, "remembered"), "utf-8")
    assert file_digest(path) == "remembered"
    path.write_bytes(b"second!")
    assert file_digest(path) not in (first, "remembered")
    notes.write_text("[broken", "utf-8")
    path.write_bytes(b"first")
    os.utime(path)
    assert file_digest(path) == first


# --- joins


def test_the_cosine_of_a_join_is_the_weighted_mean(tmp_path: Path) -> None:
    models = make_shelf(tmp_path)
    images = [picture(0), picture(1)]
    cosines = {
        name: float(np.prod(open_encoder(name, models).encode(images), axis=0).sum())
        for name in ("flat", "pixels", "flat*3+pixels", "flat+pixels")
    }
    assert cosines["flat*3+pixels"] == pytest.approx(
        0.75 * cosines["flat"] + 0.25 * cosines["pixels"], abs=1e-5
    )
    assert cosines["flat+pixels"] == pytest.approx(
        (cosines["flat"] + cosines["pixels"]) / 2, abs=1e-5
    )


def test_the_fingerprint_of_a_join_comes_from_parts_and_shares(tmp_path: Path) -> None:
    models = make_shelf(tmp_path)
    one, same, other = (
        open_encoder(name, models).fingerprint
        for name in ("flat+pixels", "flat*2+pixels*2", "flat*2+pixels")
    )
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    "name",
    [
        "+",
        "pixels+",
        "pixels+pixels",
        "pixels*0+flat",
        "a*-1+b",
        "a*x+b",
        "a*inf+b",
        "a*nan+b",
        "*",
    ],
)
def test_a_join_that_makes_no_sense(name: str) -> None:
    with pytest.raises(ConfigError, match="not a join"):
        parse_join(name)


def test_an_unknown_part_of_a_join_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="'nothing'"):
        open_encoder("pixels+nothing", tmp_path)


# --- pixels


def test_pixels_tell_colours_apart_and_forgive_the_background(tmp_path: Path) -> None:
    def shirt(colour: str, background: str) -> Image.Image:
        image = Image.new("RGB", (120, 160), background)
        draw = ImageDraw.Draw(image)
        draw.rectangle((35, 40, 85, 130), fill=colour)
        draw.rectangle((15, 40, 105, 70), fill=colour)
        return image

    red, red_on_grey, blue = open_encoder("pixels", tmp_path).encode(
        [shirt("#c02030", "white"), shirt("#c02030", "#8a8f86"), shirt("#2030c0", "white")]
    )
    assert red @ red_on_grey > 0.9
    assert red @ blue < 0.6


# --- the ImageNet network that the benchmarks join


@pytest.mark.data
def test_the_imagenet_network_sees(tmp_path: Path) -> None:
    data = Path(os.environ.get("LENSBACK_DATA", Path(__file__).parents[2] / "shared" / "data"))
    weights = data / "weights" / "mobilenetv2_bn_npy"
    images = data / "shops" / "luma" / "images"
    if not weights.is_dir() or not images.is_dir():
        pytest.skip("needs weights/mobilenetv2_bn_npy and shops/luma of LENSBACK_DATA")
    from tools.imagenet_onnx import write

    write(weights, tmp_path / "imagenet")
    encoder = open_encoder("imagenet", tmp_path)
    paths = sorted(images.glob("*_main.jpg"))[::10]
    pictures = []
    for path in paths:
        with Image.open(path) as image:
            pictures.append(image.convert("RGB"))
    copies = [image.resize((150, 186)).rotate(6, fillcolor="white") for image in pictures]
    found = (encoder.encode(copies) @ encoder.encode(pictures).T).argmax(axis=1)
    assert (found == np.arange(len(pictures))).mean() > 0.9


def test_a_deferred_model_is_loaded_by_the_first_picture(tmp_path: Path) -> None:
    """What is said of it is known before; a broken file is told when it is needed."""
    folder = describe(make_model(tmp_path / "m"))
    opened = OnnxEncoder("m", folder)
    late = OnnxEncoder("m", folder, deferred=True)
    assert (late.fingerprint, late.dim) == (opened.fingerprint, opened.dim)
    assert late.encode([]).shape == (0, late.dim)
    assert late._loaded is None
    assert np.array_equal(late.encode([picture(0)]), opened.encode([picture(0)]))
    (folder / "model.onnx").write_bytes(b"no model")
    broken = OnnxEncoder("m", folder, deferred=True)
    with pytest.raises(ConfigError, match="cannot be loaded"):
        broken.encode([picture(0)])
