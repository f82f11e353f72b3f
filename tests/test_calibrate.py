from __future__ import annotations

import numpy as np
import pytest

from lensback.calibrate import fit, logistic
from lensback.questions import Outcome


def case(similarity: float, margin: float, *, right: bool, absent: bool = False) -> Outcome:
    product = "" if absent else "p"
    return Outcome(product=product, similarity=similarity, margin=margin, first_right=right)


def test_logistic_finds_the_weights_that_made_the_data() -> None:
    random = np.random.default_rng(1)
    features = np.column_stack([np.ones(20_000), random.normal(size=(20_000, 2))])
    truth = np.array([-0.5, 2.0, -1.0])
    right = (random.random(20_000) < 1 / (1 + np.exp(-features @ truth))).astype(float)
    assert np.allclose(logistic(features, right), truth, atol=0.1)


def test_separable_data_do_not_become_certain() -> None:
    features = np.column_stack([np.ones(40), np.repeat([0.0, 1.0], 20)])
    right = np.repeat([0.0, 1.0], 20)
    weights = logistic(features, right)
    p = 1 / (1 + np.exp(-(weights @ [1.0, 1.0])))
    assert 0.8 < p < 0.999


def test_fit_is_calibrated_on_its_own_cases() -> None:
    random = np.random.default_rng(2)
    cases = []
    for _ in range(4000):
        similarity, margin = random.uniform(0.3, 1.0), random.uniform(0, 0.4)
        p = 1 / (1 + np.exp(-(-8 + 8 * similarity + 12 * margin)))
        cases.append(
            case(similarity, margin, right=random.random() < p, absent=random.random() < 0.5)
        )
    made = fit(cases, fingerprint="f", kind="other views")
    said = np.array([made.probability(c.similarity, c.margin) for c in cases])
    right = np.array([c.first_right for c in cases])
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        part = (said >= low) & (said < high)
        assert abs(said[part].mean() - right[part].mean()) < 0.06
    strangers = sorted(c.similarity for c in cases if not c.present)
    assert strangers[0] <= made.none_below <= strangers[len(strangers) // 20]


def test_no_case_of_one_kind_still_fits() -> None:
    made = fit([case(0.9, 0.2, right=True)] * 20, fingerprint="f", kind="x")
    assert 0.5 < made.probability(0.9, 0.2) < 1
    assert made.none_below == pytest.approx(-1.0)
