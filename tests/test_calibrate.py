from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lensback.calibrate import _pictures, both, fit, logistic
from lensback.lines import OnSale
from lensback.questions import Outcome
from lensback.types import Candidate


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


def test_each_picture_is_asked_with_its_product_there_and_without() -> None:
    near = [Candidate(image, similarity) for image, similarity in
            (("front", 1.0), ("both show it", 0.9), ("hat", 0.8), ("side", 0.7))]  # fmt: skip
    shows = {
        "front": ["shirt"],
        "both show it": ["hat", "shirt"],
        "hat": ["hat"],
        "side": ["shirt"],
    }
    there, without = both(near, shows, "shirt", {"front"})
    # The image that both show is a tie, which counts against us.
    assert (there.first, there.rank, there.first_right, there.margin) == ("hat", 2, False, 0.0)
    assert (without.first, without.similarity, without.margin) == ("hat", 0.8, 0.0)
    assert (without.product, without.cluster, without.rank) == ("", "shirt", None)
    alone, nothing = both(near[:1], shows, "shirt", ())
    assert (alone.first, alone.rank, alone.margin) == ("shirt", 1, 0.0)
    assert (nothing.similarity, nothing.first) == (None, "")


def test_what_a_fit_says_of_itself() -> None:
    there = [case(0.9, 0.3, right=True)] * 30 + [case(0.6, 0.0, right=False)] * 10
    absent = [case(n / 100, 0.01, right=False, absent=True) for n in range(40, 61)]
    made = fit([*there, *absent], fingerprint="f", kind="other views")
    assert (made.fingerprint, made.kind, made.cases) == ("f", "other views", 61)
    # The hundredth part of 0.40, 0.41 … 0.60 lies a fifth of a step above the lowest.
    assert made.none_below == pytest.approx(0.402)
    assert sum(made.reference) == 61
    assert made.reference[9] == 30
    assert made.probability(0.9, 0.3) > 0.9
    assert made.probability(0.5, 0.01) < 0.1
    # 30 of 61 are right: that is the mean of what is said, too.
    said = [made.probability(c.similarity or 0, c.margin) for c in [*there, *absent]]
    assert np.mean(said) == pytest.approx(30 / 61, abs=0.02)


def test_what_is_under_the_line_to_none_is_counted_as_nothing() -> None:
    strangers = [case(0.5, 0.5, right=False, absent=True)] * 19
    low = case(0.1, 0.9, right=True)
    made = fit([*[case(0.9, 0.6, right=True)] * 20, *strangers, low], fingerprint="f", kind="x")
    assert made.none_below == 0.5
    assert made.probability(0.1, 0.9) > 0.1, "by similarity and margin alone it would be likely"
    assert made.reference[0] >= 1


def test_where_nothing_was_near_the_similarity_is_0() -> None:
    nothing = Outcome(product="", similarity=None)
    found = [case(0.9, 0.6, right=True)] * 20
    as_0 = [case(1e-12, 0.0, right=False, absent=True)] * 20
    made = fit([*found, *[nothing] * 20], fingerprint="f", kind="x")
    wanted = fit([*found, *as_0], fingerprint="f", kind="x")
    assert made.bias == pytest.approx(wanted.bias)
    assert made.similarity_weight == pytest.approx(wanted.similarity_weight)
    assert made.none_below == 0.0
    # Nothing near is said to be none for sure; 20 are nearly sure, in the last of ten steps.
    assert made.reference == (20, 0, 0, 0, 0, 0, 0, 0, 0, 20)


def test_ten_steps_are_of_the_whole_scale_also_where_all_are_alike() -> None:
    """Of the nearer ones 15 of 20 are right, of the others 5: no more is said than .75 or less than .25."""
    near = [case(0.9, 0.1, right=n % 4 > 0) for n in range(20)]
    far = [case(0.5, 0.1, right=n % 4 == 0) for n in range(20)]
    made = fit([*near, *far], fingerprint="f", kind="x")
    assert made.probability(0.9, 0.1) == pytest.approx(0.73, abs=0.03)
    assert made.probability(0.5, 0.1) == pytest.approx(0.27, abs=0.03)
    assert made.reference == (0, 0, 20, 0, 0, 0, 0, 20, 0, 0)


def test_platts_targets_by_hand() -> None:
    # One weight, of the constant: the share of right ones after Platt's (n + 1) / (n + 2) and 1 / (n + 2).
    features = np.ones((6, 1))
    right = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    (bias,) = logistic(features, right)
    mean = (4 * 5 / 6 + 2 * 1 / 4) / 6
    assert 1 / (1 + np.exp(-bias)) == pytest.approx(mean, abs=1e-6)


def test_the_penalty_holds_weights_and_not_the_constant() -> None:
    random = np.random.default_rng(3)
    features = np.column_stack([np.ones(400), random.normal(size=400)])
    right = (features[:, 1] > 0).astype(float)
    free, held = logistic(features, right), logistic(features, right, ridge=50.0)
    assert 0 < held[1] < free[1] / 3
    lopsided = np.repeat([1.0, 0.0], [380, 20])
    constant = logistic(features[:, :1], lopsided, ridge=1e6)[0]
    assert 1 / (1 + np.exp(-constant)) == pytest.approx((380 * 381 / 382 + 20 / 22) / 400, abs=1e-4)


def test_newtons_steps_do_not_overshoot() -> None:
    features = np.column_stack([np.ones(2000), np.linspace(-1, 1, 2000) * 1000])
    right = (features[:, 1] > 0).astype(float)
    weights = logistic(features, right)
    assert np.isfinite(weights).all()
    p = 1 / (1 + np.exp(-np.clip(features @ weights, -60, 60)))
    assert p[-1] > 0.99
    assert p[0] < 0.01


def test_the_same_seed_asks_the_same_products() -> None:
    """So many of them, in the order of their names, by one picture each; another seed asks others."""
    views = {f"p{n:02d}": [f"{n}", f"{n} again"] for n in reversed(range(40))}
    chosen = _pictures(views, 10, 3)
    assert chosen == _pictures(views, 10, 3) == sorted(chosen)
    assert len(chosen) == 10
    assert all(image == views[product][1] for product, image in chosen)
    assert {product for product, _ in chosen} != {p for p, _ in _pictures(views, 10, 5)}
    assert _pictures(views, 99, 4) == sorted((p, images[0]) for p, images in views.items())


def lots(sold: list[float], siblings: list[float], lead: float = 0.3) -> list[Outcome]:
    there = [replace(case(s, lead, right=True), cluster=f"p{n}") for n, s in enumerate(sold)]
    gone = [replace(case(s, 0.01, right=False, absent=True), cluster=f"p{n}") for n, s in enumerate(siblings)]  # fmt: skip
    return [*there, *gone]


RISING = [n / 1000 for n in range(1001)]
SIBLINGS = [0.5 + value / 10 for value in RISING]


def test_the_line_of_none_leaves_what_is_sold_above_it() -> None:
    def line(sold: list[float]) -> float:
        cases = lots([0.9 + value / 10 for value in RISING], SIBLINGS)
        on_sale = [OnSale(value) for value in sold]
        return fit(cases, fingerprint="f", kind="x", sold=on_sale).none_below

    assert line([0.52 + value / 10 for value in RISING]) == pytest.approx(0.5215)
    assert line([0.3 + value / 10 for value in RISING]) == pytest.approx(0.3015), (
        "also where it is low"
    )
    assert line([0.99] * 99) == pytest.approx(0.55), "half of the siblings are shown"
    assert line([0.9] * 9) == pytest.approx(0.501), "nine are too few: that of siblings"


def test_what_a_calibration_says_of_questions_that_it_was_not_fitted_on() -> None:
    random = np.random.default_rng(3)
    sold = random.uniform(0.8, 1.0, 400).tolist()
    cases = lots(sold, random.uniform(0.4, 0.6, 400).tolist())
    far = [OnSale(value) for value in np.linspace(0.42, 0.62, 100).tolist()]
    held = fit(cases, fingerprint="f", kind="x", sold=far).held_out
    assert held is not None
    assert (held.exact_from, held.sold, held.far) == (0.95, 400, 100)
    assert held.exact == held.exact_right > 350, "easy ones"
    assert held.far_none == 3, "the farthest of either half, by the line of the other"
    # Nothing can be learnt from what is right by chance: what it was fitted on would look better.
    noise = [replace(one, first_right=bool(random.random() < 0.5), margin=0.1, similarity=float(random.random()))
             for one in cases]  # fmt: skip
    found = fit(noise, fingerprint="f", kind="x").held_out
    assert found is not None
    assert found.exact == 0
    assert fit(cases[:12], fingerprint="f", kind="x").held_out is None, "too few products"


def test_what_is_held_out_is_told_none_by_the_line_of_its_kind() -> None:
    """Of either half 20 bags at .2 and 20 shirts at .8, so that bags draw a line of their own below the
    common one of shirts; the farthest shirt of each half lies below the line of shirts alone."""
    cases = lots([0.9] * 100, [0.95] * 100)
    pairs = [(OnSale(0.2, frozenset({"bag"})),) * 2, (OnSale(0.8, frozenset({"top"})),) * 2] * 20
    sold = [one for pair in pairs for one in pair]
    held = fit(cases, fingerprint="f", kind="x", sold=sold).held_out
    assert held is not None
    assert (held.far, held.far_none) == (80, 0)
    sold[2] = sold[3] = OnSale(0.3, frozenset({"top"}))
    made = fit(cases, fingerprint="f", kind="x", sold=sold)
    assert made.none_below == pytest.approx(0.2)
    assert 0.2 < made.none_below_of["top"] < 0.8
    assert made.none_below_of["bag"] == pytest.approx(0.2)
