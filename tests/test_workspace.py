"""One directory is the whole service: its settings, its lock, its files."""

from __future__ import annotations

import multiprocessing
import shlex
import stat
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event, Semaphore
from typing import ClassVar

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback import settings
from lensback.counted import age_s
from lensback.errors import Busy, ConfigError, StateError, UnknownName
from lensback.once import opened_once
from lensback.rank import Calibration
from lensback.workspace import (
    Workspace,
    init,
    open_workspace,
    save_calibration,
    set_setting,
    write_atomically,
)

FITTED = Calibration("f00d", -3.0, 4.0, 5.0, 0.25, 100, "other views", 42, "2026-01-01")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    init(tmp_path / "workspace")
    return tmp_path / "workspace"


def values(folder: Path) -> dict[str, object]:
    return tomllib.loads((folder / "lensback.toml").read_text("utf-8"))


# ---- making and opening


def test_what_many_threads_ask_for_at_once_is_opened_once(folder: Path) -> None:
    class Slow(Workspace):
        made: ClassVar[list[object]] = []

        @opened_once
        def thing(self) -> object:
            meet.wait()  # nobody else is in here: it passes when all have asked
            self.made.append(object())
            return self.made[-1]

    meet, asked = Event(), Semaphore(0)

    def ask(_: int) -> object:
        asked.release()
        return workspace.thing

    workspace = Slow(folder, settings.load(folder))
    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(ask, n) for n in range(4)]
        for _ in found:
            asked.acquire()
        meet.set()
        assert {each.result() for each in found} == {*Slow.made}
    assert len(Slow.made) == 1


def test_init_once(tmp_path: Path) -> None:
    assert init(tmp_path / "a" / "b")
    assert not init(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "lensback.toml").read_text() == settings.template()


def test_opening_what_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a workspace") as raised:
        open_workspace(tmp_path / "none")
    assert raised.value.hint.endswith(
        f"run: lensback init --workspace {shlex.quote(str(tmp_path / 'none'))}"
    )
    assert "--workspace DIR" in raised.value.hint


def test_a_workspace_beside_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who forgot its name in a second terminal is not led to a second, empty one."""
    for name in ("shop", "my shop"):
        init(tmp_path / name)
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        open_workspace(Path("workspace"))
    assert "--workspace 'my shop' or --workspace shop;" in raised.value.hint


def test_opening_touches_nothing(folder: Path) -> None:
    with open_workspace(folder):
        assert sorted(path.name for path in folder.iterdir()) == ["lensback.toml"]


def test_close_twice_and_unused(folder: Path) -> None:
    workspace = open_workspace(folder)
    workspace.close()
    assert workspace.db.revision()
    assert workspace.fetcher
    workspace.close()
    workspace.close()


def test_environment_above_file_above_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_workspace(folder).settings.candidates == 60
    (folder / "lensback.toml").write_text("candidates = 7\nretries = 5\n")
    assert open_workspace(folder).settings.candidates == 7
    monkeypatch.setenv("LENSBACK_CANDIDATES", "9")
    opened = open_workspace(folder).settings
    assert (opened.candidates, opened.retries) == (9, 5)


def test_a_database_elsewhere(folder: Path, tmp_path: Path) -> None:
    (folder / "lensback.toml").write_text(f'database = "sqlite:///{tmp_path}/elsewhere.db"\n')
    with open_workspace(folder) as workspace:
        assert workspace.db.revision()
    assert (tmp_path / "elsewhere.db").is_file()
    assert not (folder / "catalogue.db").exists()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('index = "none"', "index"),
        ('detector = "none"', "detector"),
        ('encoder = "none"', "encoder"),
    ],
)
def test_a_name_nobody_knows_is_told_at_use(text: str, part: str, folder: Path) -> None:
    (folder / "lensback.toml").write_text(text + "\n")
    with open_workspace(folder) as workspace, pytest.raises(UnknownName) as raised:
        workspace.encoder() if part == "encoder" else getattr(workspace, part)
    assert "known: " in raised.value.hint


def test_an_encoder_is_opened_once(folder: Path) -> None:
    with open_workspace(folder) as workspace:
        assert workspace.encoder() is workspace.encoder("eye")


def test_no_tools_before_the_first_publish(folder: Path) -> None:
    with open_workspace(folder) as workspace, pytest.raises(StateError) as raised:
        workspace.tools()
    assert raised.value.hint == "run: lensback sync"


# ---- one setting


def test_set_setting_keeps_comments_and_other_keys(folder: Path) -> None:
    file = folder / "lensback.toml"
    file.write_text('# mine\ncandidates = 7  # few\n\n# encoder = "pixels"\n# the end\n')
    set_setting(folder, "encoder", "tiny")
    assert file.read_text() == ('# mine\ncandidates = 7  # few\n\nencoder = "tiny"\n# the end\n')
    set_setting(folder, "encoder", "pixels")
    assert values(folder) == {"candidates": 7, "encoder": "pixels"}
    assert "# mine" in file.read_text()


def test_set_setting_in_a_new_workspace_and_in_an_empty_file(folder: Path) -> None:
    set_setting(folder, "encoder", "tiny")
    text = (folder / "lensback.toml").read_text()
    assert len(text.splitlines()) == len(settings.template().splitlines())
    (folder / "lensback.toml").write_text("")
    set_setting(folder, "currency", "EUR")
    assert values(folder) == {"currency": "EUR"}


def test_set_setting_changes_the_line_that_counts(folder: Path) -> None:
    with (folder / "lensback.toml").open("a") as file:
        file.write('encoder = "mine"\n')
    set_setting(folder, "encoder", "tiny")
    assert values(folder) == {"encoder": "tiny"}


@hypothesis.settings(deadline=None)  # it writes a file each time
@given(st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=30))
def test_any_text_is_read_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("any")
    init(folder)
    set_setting(folder, "encoder", text)
    assert settings.load(folder).encoder == text


def test_write_atomically(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    write_atomically(path, "one")
    write_atomically(path, "two €")
    assert path.read_text("utf-8") == "two €"
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]
    assert stat.S_ISREG(path.stat().st_mode)


# ---- one sync at a time


def test_the_lock_is_for_one(folder: Path) -> None:
    with open_workspace(folder) as one, open_workspace(folder) as other:
        with one.locked(), pytest.raises(Busy, match="another sync"), other.locked():
            pass
        with other.locked():
            pass


def _hold(folder: Path, ready: multiprocessing.synchronize.Event) -> None:
    with Workspace(folder, settings.Settings()).locked():
        ready.set()
        time.sleep(600)


def test_the_lock_goes_with_its_process(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(folder, ready))
    holder.start()
    try:
        assert ready.wait(240)
        with open_workspace(folder) as workspace:
            with pytest.raises(Busy), workspace.locked():
                pass
            holder.kill()
            holder.join(120)
            with workspace.locked():
                pass
    finally:
        holder.kill()
        holder.join(120)


# ---- calibration


def test_a_calibration_is_kept_by_its_encoder(folder: Path) -> None:
    with open_workspace(folder) as workspace:
        assert workspace.calibration("f00d") is None
        path = save_calibration(workspace, FITTED)
        assert path == workspace.calibration_path("f00d")
        assert workspace.calibration("f00d") == FITTED
        assert workspace.calibration("beef") is None
    with open_workspace(folder) as later:
        assert later.calibration("f00d") == FITTED


def test_a_new_calibration_is_seen_by_who_is_open(folder: Path) -> None:
    with open_workspace(folder) as serving, open_workspace(folder) as other:
        save_calibration(other, FITTED)
        assert serving.calibration("f00d") == FITTED
        time.sleep(0.02)
        later = Calibration("f00d", 1.0, 1.0, 1.0, 0.0)
        save_calibration(other, later)
        assert serving.calibration("f00d") == later


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"bias": 1}', "\xff"])
def test_a_broken_calibration(text: str, folder: Path) -> None:
    with open_workspace(folder) as workspace:
        path = workspace.calibration_path("f00d")
        write_atomically(path, "x")
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(StateError, match="is broken") as raised:
            workspace.calibration("f00d")
        assert raised.value.hint == "run: lensback calibrate"


def test_a_calibration_of_a_later_program_may_say_more(folder: Path) -> None:
    with open_workspace(folder) as workspace:
        text = '{"fingerprint": "f00d", "bias": 1, "similarity_weight": 2, "margin_weight": 3, '
        text += '"none_below": 0.5, "unheard_of": true}'
        write_atomically(workspace.calibration_path("f00d"), text)
        assert workspace.calibration("f00d") == Calibration("f00d", 1, 2, 3, 0.5)


def test_a_calibration_that_came_with_the_encoder_stands_in(folder: Path) -> None:
    with open_workspace(folder) as workspace:
        eye = workspace.encoder("eye")
        came = workspace.calibration_of(eye)
        assert came is not None
        assert came.fingerprint == eye.fingerprint, "written for the model that ships"
        assert came.cases > 1000
        assert came.probability(0.9, 0.3) > 0.9 > 0.1 > came.probability(0.6, 0.0)
        assert workspace.calibration(eye.fingerprint) is None, "sync fits one of its own"
        assert workspace.calibration_of(workspace.encoder("pixels")) is None
        own = replace(FITTED, fingerprint=eye.fingerprint)
        save_calibration(workspace, own)
        assert workspace.calibration_of(eye) == own


def test_age_is_never_negative() -> None:
    assert age_s(int(time.time()) + 1000) == 0
    then = int(time.time()) - 10
    assert 10 <= age_s(then) <= time.time() - then


@pytest.mark.parametrize("engine", ["", "openvino:"])
def test_many_photos_are_looked_at_on_one_thread_each(
    engine: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But by OpenVINO, whose one thread they would share."""
    asked: list[int] = []

    def noted(name: str, _added: Path, *, threads: int) -> object:
        asked.append(threads)
        return name

    monkeypatch.setattr("lensback.detectors.open_detector", noted)
    set_setting(folder, "detector", f"{engine}lensback-detector")
    workspace = open_workspace(folder)
    assert workspace.detector_of_many is workspace.detector_of_many
    assert asked == ([0] if engine else [1])
    assert workspace.detector_of_many == f"{engine}lensback-detector"
