from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from lensback import settings
from lensback.errors import ConfigError


def test_order_is_defaults_file_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.load(tmp_path).candidates == 60
    (tmp_path / "lensback.toml").write_text('candidates = 7\ncurrency = "EUR"\n')
    assert settings.load(tmp_path).candidates == 7
    monkeypatch.setenv("LENSBACK_CANDIDATES", "9")
    loaded = settings.load(tmp_path)
    assert (loaded.candidates, loaded.currency) == (9, "EUR")


def test_template_is_every_default_and_valid(tmp_path: Path) -> None:
    text = settings.template()
    values = tomllib.loads(
        "\n".join(line.removeprefix("# ") for line in text.splitlines() if " = " in line)
    )
    assert set(values) == set(settings.Settings.model_fields)
    (tmp_path / "lensback.toml").write_text(text)
    assert settings.load(tmp_path) == settings.Settings()


@pytest.mark.parametrize(
    ("text", "key"),
    [("candidates = 0", "candidates"), ("colour = 1", "colour"), ("timeout_s = 'x'", "timeout_s")],
)
def test_wrong_value_names_the_key(tmp_path: Path, text: str, key: str) -> None:
    (tmp_path / "lensback.toml").write_text(text)
    with pytest.raises(ConfigError, match=key) as raised:
        settings.load(tmp_path)
    assert raised.value.hint


def test_broken_toml(tmp_path: Path) -> None:
    (tmp_path / "lensback.toml").write_text("a = [")
    with pytest.raises(ConfigError, match="not valid TOML"):
        settings.load(tmp_path)


def test_secrets_are_files_between_file_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "lensback_database").write_text("postgresql://a:b@c/d\n")
    (folder / "lensback_candidates").write_text("8")
    (folder / "postgres_password").write_text("not ours")
    (tmp_path / "lensback.toml").write_text("candidates = 7\n")
    assert settings.load(tmp_path).database == ""
    monkeypatch.setenv("LENSBACK_SECRETS", str(folder))
    loaded = settings.load(tmp_path)
    assert (loaded.database, loaded.candidates) == ("postgresql://a:b@c/d", 8)
    monkeypatch.setenv("LENSBACK_CANDIDATES", "9")
    assert settings.load(tmp_path).candidates == 9
    (folder / "lensback_candidates").write_text("many")
    monkeypatch.delenv("LENSBACK_CANDIDATES")
    with pytest.raises(ConfigError, match="candidates"):
        settings.load(tmp_path)
    monkeypatch.setenv("LENSBACK_SECRETS", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="no folder of secrets"):
        settings.load(tmp_path)
