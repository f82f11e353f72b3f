"""What is said of chance is true by simulation: systems whose behaviour is known by construction."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lensback import metrics
from lensback.evaluate import trial
from lensback.evaluate.promise import threshold
from lensback.questions import Outcome

PROMISED = 0.05


def test_the_true_recall_lies_in_the_interval_in_95_of_100_evaluations() -> None:
    """A system whose recall is known by construction, evaluated a thousand times."""
    random = np.random.default_rng(5)
    truth, n, held = 0.83, 120, 0
    for _ in range(1000):
        ranks = np.where(random.random(n) < truth, 1, 4).tolist()
        low, high = metrics.wilson(sum(r == 1 for r in ranks), n) or (1.0, 0.0)
        held += low <= truth <= high
    # 950 expected; three standard deviations are 21, and Wilson is a little off at any one n.
    assert 925 <= held <= 975


def test_photos_of_one_thing_go_together_in_the_interval() -> None:
    """Three photos of each thing succeed and fail together: a plain interval is too narrow."""
    random = np.random.default_rng(7)
    truth, things = 0.7, 60
    clustered, plain = 0, 0
    for _ in range(200):
        flags = np.repeat(random.random(things) < truth, 3)
        clusters = [str(n) for n in np.repeat(np.arange(things), 3)]
        values = flags.astype(float)
        found = metrics.bootstrap(clusters, lambda rows, v=values: float(v[rows].mean()), draws=200)
        assert found is not None
        clustered += found[0] <= truth <= found[1]
        low, high = metrics.wilson(int(flags.sum()), len(flags)) or (1.0, 0.0)
        plain += low <= truth <= high
    assert clustered >= 200 * 0.9
    assert plain < 200 * 0.85, "independent photos would have made this test pointless"


def test_a_wager_that_is_looked_at_daily_raises_few_false_alarms() -> None:
    """Two equal encoders, looked at after every click, four thousand clicks long."""
    random = np.random.default_rng(3)
    alarms = 0
    for _ in range(400):
        hits = np.cumsum(random.random(4000) < 0.5)
        n = np.arange(1, 4001)
        log = [math.log(max(trial.evidence(int(h), int(m), 0.5), 1e-300))
               for h, m in zip(hits[::40], n[::40], strict=True)]  # fmt: skip
        alarms += max(log) >= math.log(trial.CERTAIN)
    assert alarms <= 400 * 0.05 + 2


def test_a_wager_sees_a_real_difference() -> None:
    b = trial.Arm(2000, 360)
    assert trial.Trial(trial.Arm(2000, 240), b, 0.5).state == "b"
    assert trial.Trial(b, trial.Arm(2000, 240), 0.5).state == "a"
    assert trial.Trial(trial.Arm(40, 8), trial.Arm(40, 9), 0.5).state == "open"
    assert trial.Trial(trial.Arm(3000, 300), trial.Arm(1000, 100), 0.5).state == "broken"
    nothing = trial.Trial(trial.Arm(0, 0), trial.Arm(0, 0), 0.5)
    assert (nothing.state, nothing.wanted, nothing.a.share) == ("open", None, None)


# ---- the promise of "exact"


def case(probability: float, right: bool, first: str = "") -> Outcome:
    return Outcome(probability=probability, first_right=right, first=first)


class World:
    """Answers whose true chance of being wrong at any threshold is known."""

    def __init__(self, seed: int, sharpness: float) -> None:
        self.random = np.random.default_rng(seed)
        self.sharpness = sharpness

    def cases(self, n: int) -> list[Outcome]:
        sure = self.random.random(n)
        right = self.random.random(n) < sure**self.sharpness
        return [case(float(p), bool(r)) for p, r in zip(sure, right, strict=True)]

    def wrong_from(self, bar: float) -> float:
        """Expected share wrong of the answers at least so sure: 1 minus the mean of p^s over
        [bar, 1]."""
        s = self.sharpness + 1
        return 1 - (1 - bar**s) / (s * (1 - bar))


@pytest.mark.parametrize(("sharpness", "n"), [(0.3, 900), (1.0, 600), (0.15, 500)])
def test_the_promise_is_kept_in_95_of_100_resamplings(sharpness: float, n: int) -> None:
    """A thousand calibration sets: how often is more than promised of what is called exact wrong?"""
    world = World(11, sharpness)
    certified, broken = 0, 0
    for _ in range(1000):
        found = threshold(world.cases(n), PROMISED)
        if found.threshold is not None:
            certified += 1
            broken += world.wrong_from(found.threshold) > PROMISED
    assert broken <= 1000 * PROMISED + 3 * math.sqrt(1000 * 0.05 * 0.95)
    if sharpness < 1:
        assert certified > 300, "a rule that never promises anything keeps every promise"
