"""The shelf of encoders: adding, listing and refusing models; the descriptions that come with us."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from behaviour.test_encoders import describe, make_model, make_two_towers, picture
from lensback.encoders import add_encoder, list_encoders, open_encoder
from lensback.encoders.shelf import SHELF
from lensback.errors import ConfigError, FetchFailed, UnknownName
from lensback.shelves.weights import external_files

Fetch = Callable[[str, Path], None]


def hub(pages: dict[str, Path]) -> tuple[Fetch, list[str]]:
    """A fetch that serves files by URL and remembers what was asked."""
    asked: list[str] = []

    def fetch(url: str, path: Path) -> None:
        asked.append(url)
        if url not in pages:
            raise FetchFailed("404", url=url)
        shutil.copyfile(pages[url], path)

    return fetch, asked


def leftovers(models: Path) -> list[str]:
    return [path.name for path in models.iterdir() if path.name.startswith(".")]


def test_a_file_is_added_with_a_description(tmp_path: Path) -> None:
    file = make_model(tmp_path / "made") / "model.onnx"
    toml = describe(tmp_path / "toml") / "encoder.toml"
    models = tmp_path / "models"
    folder = add_encoder("mine", file, models, description=toml)
    assert folder == models / "mine"
    assert stat.S_IMODE(folder.stat().st_mode) & 0o055
    assert open_encoder("mine", models).dim == 12
    info = next(info for info in list_encoders(models) if info.name == "mine")
    assert (info.kind, info.dim, info.problem) == ("added", 12, "")
    assert info.fingerprint == open_encoder("mine", models).fingerprint
    assert info.bytes == (folder / "model.onnx").stat().st_size
    assert leftovers(models) == []


def test_a_folder_is_added_with_the_description_in_it(tmp_path: Path) -> None:
    source = describe(make_model(tmp_path / "made", external=True))
    assert external_files(source / "model.onnx") == ["model.onnx_data"]
    folder = add_encoder("mine", source, tmp_path / "models")
    assert (folder / "model.onnx_data").is_file()
    before = open_encoder("mine", tmp_path / "models")
    vectors = before.encode([picture(0)])
    (folder / "model.onnx_data").write_bytes((folder / "model.onnx_data").read_bytes()[::-1])
    assert open_encoder("mine", tmp_path / "models").fingerprint != before.fingerprint
    assert np.isfinite(vectors).all()


def test_a_repository_is_added_with_its_external_weights(tmp_path: Path) -> None:
    made = make_model(tmp_path / "made", kind="flat", size=224, dim=768, external=True)
    base = "https://huggingface.co/Marqo/marqo-fashionSigLIP/resolve/main/onnx"
    fetch, asked = hub(
        {
            f"{base}/vision_model.onnx": made / "model.onnx",
            f"{base}/model.onnx_data": made / "model.onnx_data",
        }
    )
    models = tmp_path / "models"
    add_encoder("fashionsiglip", "Marqo/marqo-fashionSigLIP", models, fetch=fetch)
    assert asked == [f"{base}/vision_model.onnx", f"{base}/model.onnx_data"]
    assert open_encoder("fashionsiglip", models).side_px == 224
    names = [info.name for info in list_encoders(models)]
    assert names.count("fashionsiglip") == 1


@pytest.mark.parametrize(
    ("source", "description", "url"),
    [
        ("fashionsiglip", None, "Marqo/marqo-fashionSigLIP/resolve/main/onnx/vision_model.onnx"),
        (
            "Marqo/marqo-fashionSigLIP/onnx/vision_model_fp16.onnx",
            None,
            "Marqo/marqo-fashionSigLIP/resolve/main/onnx/vision_model_fp16.onnx",
        ),
        ("me/mine/a.onnx", "fashionsiglip", "me/mine/resolve/main/a.onnx"),
        (
            "https://huggingface.co/me/mine/blob/main/a.onnx",
            "fashionsiglip",
            "me/mine/resolve/main/a.onnx",
        ),
        (
            "https://huggingface.co/Marqo/marqo-fashionSigLIP",
            None,
            "Marqo/marqo-fashionSigLIP/resolve/main/onnx/vision_model.onnx",
        ),
    ],
)
def test_sources_are_read_as_their_url(
    tmp_path: Path, source: str, description: str | None, url: str
) -> None:
    fetch, asked = hub({})
    with pytest.raises(FetchFailed):
        add_encoder("mine", source, tmp_path / "models", description=description, fetch=fetch)
    assert asked == [f"https://huggingface.co/{url}"]
    assert leftovers(tmp_path / "models") == []
    assert not (tmp_path / "models" / "mine").exists()


@pytest.mark.parametrize(
    ("source", "description", "said"),
    [
        ("nothing-here.onnx", "fashionsiglip", "not a file"),
        ("http://example.org/model.onnx", "fashionsiglip", "not a file"),
        ("../nowhere/none", "fashionsiglip", "not a file"),
        ("HopitAI/moda-fashion-distilled", None, "publishes no ONNX"),
        ("some/repository", None, "no description"),
        ("Marqo/marqo-fashionSigLIP-other", None, "no description"),
    ],
)
def test_sources_that_cannot_be_added(
    tmp_path: Path, source: str, description: str | None, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        add_encoder("mine", source, tmp_path / "models", description=description)
    assert caught.value.hint


def test_without_a_fetch_nothing_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be downloaded"):
        add_encoder("mine", "fashionsiglip", tmp_path / "models")


@pytest.mark.parametrize("name", ["pixels", "taken"])
def test_names_are_given_once(tmp_path: Path, name: str) -> None:
    source = describe(make_model(tmp_path / "models" / "taken"))
    with pytest.raises(ConfigError, match="there already"):
        add_encoder(name, source, tmp_path / "models")


@pytest.mark.parametrize("name", ["", "../up", "A", "a+b", "a/b", ".hidden", "a" * 65])
def test_names_are_plain(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no name"):
        add_encoder(name, tmp_path, tmp_path / "models")
    with pytest.raises(ConfigError):
        open_encoder(name, tmp_path)


@pytest.mark.parametrize("scale", [0.0, float("nan")])
def test_a_model_without_usable_numbers_is_not_added(tmp_path: Path, scale: float) -> None:
    source = describe(make_model(tmp_path / "made", scale=scale))
    with pytest.raises(ConfigError, match="no usable numbers"):
        add_encoder("mine", source, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_page_instead_of_a_model_is_not_added(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text("<html>Log in</html>", "utf-8")
    url = "https://huggingface.co/Marqo/marqo-fashionSigLIP/resolve/main/onnx/vision_model.onnx"
    fetch, _ = hub({url: page})
    with pytest.raises(ConfigError, match="cannot be loaded"):
        add_encoder("fashionsiglip", "fashionsiglip", tmp_path / "models", fetch=fetch)
    assert list((tmp_path / "models").iterdir()) == []


def test_missing_external_weights_are_named(tmp_path: Path) -> None:
    source = describe(make_model(tmp_path / "made", external=True))
    (source / "model.onnx_data").unlink()
    with pytest.raises(ConfigError, match=r"refers to model\.onnx_data"):
        add_encoder("mine", source, tmp_path / "models")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", ".hidden"])
def test_external_weights_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x0a\x08location\x12" + bytes([len(name)]) + name.encode())
    with pytest.raises(ConfigError, match="outside its folder"):
        external_files(path)


def test_the_list_shows_what_is_broken_and_what_could_be_added(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    infos = {info.name: info for info in list_encoders(tmp_path)}
    assert infos["pixels"].kind == "built-in"
    assert infos["pixels"].fingerprint
    assert "encoder.toml" in infos["broken"].problem
    assert infos["fashionsiglip"].kind == "known"
    assert infos["fashionsiglip"].dim == 768


def test_a_known_encoder_without_weights_says_how_to_add_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_encoder("fashionsiglip", tmp_path)
    assert "lensback encoder add fashionsiglip Marqo/marqo-fashionSigLIP" in caught.value.hint


def test_an_unknown_encoder_lists_the_known_ones(tmp_path: Path) -> None:
    describe(tmp_path / "mine")
    with pytest.raises(UnknownName) as caught:
        open_encoder("nothing", tmp_path)
    assert "mine" in caught.value.hint
    assert "pixels" in caught.value.hint


# --- known models: the inputs and outputs each one publishes


@pytest.mark.parametrize("name", SHELF.known_names())
def test_every_known_description_fits_its_model(tmp_path: Path, name: str) -> None:
    known = SHELF.known(name)
    size = known.size[0]
    if known.fill:
        source = make_two_towers(tmp_path / "made", size=size, dim=known.dim)
    else:
        kind = "tokens" if known.pool else "flat"
        source = make_model(tmp_path / "made", kind=kind, size=size, dim=known.dim)
        _rename_output(source / "model.onnx", known.output or "image_embeds")
    models = tmp_path / "models"
    add_encoder(name, source / "model.onnx", models, description=name)
    vectors = open_encoder(name, models).encode([picture(0), picture(1)])
    assert vectors.shape == (2, known.dim)


def _rename_output(path: Path, name: str) -> None:
    import onnx

    model = onnx.load(str(path))
    old = model.graph.output[0].name
    model.graph.output[0].name = name
    for node in model.graph.node:
        node.output[:] = [name if output == old else output for output in node.output]
    onnx.save_model(model, str(path))
