"""How many processors a model takes: those that this process may use."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from behaviour.test_encoders import describe, make_model, picture
from lensback import session
from lensback.encoders.onnx import OnnxEncoder
from lensback.encoders.openvino import OpenVinoEncoder
from lensback.encoders.preprocess import to_batch
from lensback.errors import ConfigError
from lensback.session import Run, compiled, open_session, processors, side_by_side

BOUND = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from lensback.session import processors
print(processors())
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="processes are bound on Linux only"
)
def test_a_bound_process_counts_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", BOUND], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize(
    ("text", "share"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("", None)]
)
def test_a_container_counts_its_quota(
    text: str, share: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "QUOTA", tmp_path / "none")
    unlimited = processors()
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(session, "QUOTA", tmp_path / "cpu.max")
    assert processors() == (share or unlimited)


class Gate:
    """Runs that are counted, and held until as many are under way as may be."""

    def __init__(self, allowed: int) -> None:
        self.allowed, self.under_way, self.most = allowed, 0, 0
        self.counting, self.full = threading.Lock(), threading.Event()

    def __call__(self, run: Callable[[], Any]) -> Any:
        with self.counting:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            if self.under_way >= self.allowed:
                self.full.set()
        self.full.wait(60)
        time.sleep(0.01)  # one too many would come meanwhile
        answer = run()
        with self.counting:
            self.under_way -= 1
        return answer


def by_onnxruntime(path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Run]:
    class Counted(onnxruntime.InferenceSession):  # type: ignore[misc]
        def run(self, *given: Any) -> Any:
            return gate(lambda: super(Counted, self).run(*given))

    monkeypatch.setattr(onnxruntime, "InferenceSession", Counted)
    return open_session(path, threads=1, load_hint="", run_hint="")


def by_openvino(path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Run]:
    openvino = pytest.importorskip("openvino")
    plain = openvino.InferRequest.infer
    monkeypatch.setattr(
        openvino.InferRequest, "infer", lambda self, *given: gate(lambda: plain(self, *given))
    )
    return compiled.open_compiled(path, threads=1, kind="encoder")


@pytest.mark.parametrize("opener", [by_onnxruntime, by_openvino])
@pytest.mark.parametrize("allowed", [1, 2])
def test_no_more_runs_at_once_than_processors(
    allowed: int,
    opener: Callable[[Path, Gate, pytest.MonkeyPatch], tuple[Any, Run]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate(allowed)
    monkeypatch.setattr(session, "processors", lambda: allowed)
    opened, run = opener(make_model(tmp_path / "m") / "model.onnx", gate, monkeypatch)
    feed = {opened.get_inputs()[0].name: np.zeros((1, 3, 16, 16), np.float32)}
    names = [opened.get_outputs()[0].name]
    with ThreadPoolExecutor(8) as asking:
        answers = list(asking.map(lambda _: run(names, feed), range(40)))
    assert len(answers) == 40
    assert gate.most == allowed


@pytest.mark.parametrize(
    ("allowed", "expected"), [(1, (1, 1)), (2, (2, 1)), (3, (2, 1)), (4, (2, 2)), (16, (2, 8))]
)
def test_two_runs_share_the_processors(
    allowed: int, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert side_by_side(allowed) == expected
    monkeypatch.setattr(session, "processors", lambda: allowed)
    assert side_by_side(0) == expected


@pytest.mark.parametrize("member", [OnnxEncoder, OpenVinoEncoder])
@pytest.mark.parametrize(
    ("allowed", "pictures", "at_once"), [(1, 2, 1), (2, 1, 1), (2, 2, 2), (4, 3, 2), (4, 33, 2)]
)
def test_an_encoder_takes_two_halves_side_by_side(
    allowed: int,
    pictures: int,
    at_once: int,
    member: type[OnnxEncoder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "processors", lambda: allowed)
    if member is OpenVinoEncoder:
        pytest.importorskip("openvino")
    encoder = member("m", describe(make_model(tmp_path / "m")), threads=allowed)
    given = [picture(seed) for seed in range(pictures)]
    single = [encoder.encode([each])[0] for each in given]
    gate, plain = Gate(at_once), encoder._network.run
    gated = replace(encoder._network, run=lambda *each: gate(lambda: plain(*each)))
    monkeypatch.setattr(encoder, "_loaded", gated)
    assert np.allclose(encoder.encode(given), single, atol=1e-6)
    assert gate.most == at_once


def test_a_failure_in_either_half_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = OnnxEncoder("m", describe(make_model(tmp_path / "m")), threads=2)
    second = to_batch([picture(1)], encoder.description)

    def failing(names: list[str], feed: dict[str, Any]) -> Any:
        if np.array_equal(feed["pixel_values"], second):
            raise ConfigError("the second failed", hint="")
        return plain(names, feed)

    plain = encoder._network.run
    monkeypatch.setattr(encoder, "_loaded", replace(encoder._network, run=failing))
    for order in ([0, 1], [1, 0]):
        with pytest.raises(ConfigError, match="the second failed"):
            encoder.encode([picture(each) for each in order])
    assert encoder.encode([picture(0), picture(2)]).shape == (2, 12)
