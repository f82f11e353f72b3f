"""The verdict: may this be put before shoppers? By rules that are written down and shown.

Each rule looks at one figure and two lines: good enough to `use`, and good enough to be used
`with limits`. What counts is the whole 95 % interval, not its middle:

    wholly beyond the first line                 passed
    wholly beyond the second line                limits
    wholly on the wrong side of the second line  failed
    across the second line, or under 60 cases    not known; so many more cases would tell

Docs/report.md says the same in words; tests hold both together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lensback import metrics
from lensback.evaluate.runs import Run
from lensback.evaluate.shares import Share, misled, seen, wrong_exact
from lensback.questions import Outcome

USE, LIMITS, REFUSE, UNKNOWN = "use", "limits", "refuse", "unknown"
PASSED, LIMITED, FAILED, OPEN = "passed", "limited", "failed", "open"

MIN_CASES = 60
"""Cases under which a rule decides nothing: they cannot stand for what shoppers photograph."""
MIN_SLICE = 8
"""Cases under which nothing is said of a category."""
CLOSE = 0.05
"""Half width of an interval that is as narrow as is worth paying for: what is still across the
line then lies on the line, and is decided by its middle."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one rule said."""

    rule: str
    """found, misled, wrong_exact, slow_s, leak, real_photos, promise, money."""
    state: str
    """passed, limited, failed or open."""
    share: Share | None = None
    value: float | None = None
    """The figure of a rule that is not about a share."""
    n: int = 0
    use: float | None = None
    limit: float | None = None
    needed: int = 0
    """How many more cases would tell, where it is open."""

    def as_json(self) -> dict[str, object]:
        """The rule, its state and its figure, as `report --json` prints them."""
        return {
            "rule": self.rule,
            "state": self.state,
            "figure": self.share.as_json() if self.share else self.value,
            "n": self.share.n if self.share else self.n,
            "use_line": self.use,
            "limits_line": self.limit,
            "needed": self.needed,
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Where to use it and where not: one category."""

    name: str
    share: Share
    state: str
    """passed, failed (do not use there), or open (too few to say)."""

    def as_json(self) -> dict[str, object]:
        """The category, its state and its share, as `report --json` prints them."""
        return {"category": self.name, "state": self.state, "found": self.share.as_json()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict, the rule that decided it, and all the others."""

    name: str
    """use, limits, refuse or unknown."""
    decided_by: Ruling
    rulings: tuple[Ruling, ...]
    places: tuple[Place, ...]

    @property
    def needed(self) -> dict[str, int]:
        """Rule -> how many more cases it asks for; 0 is left out."""
        return {r.rule: r.needed for r in self.rulings if r.needed}

    def as_json(self) -> dict[str, object]:
        """The verdict, what decided it, and every rule, as `report --json` prints them."""
        return {
            "verdict": self.name,
            "decided_by": self.decided_by.rule,
            "rules": [r.as_json() for r in self.rulings],
            "needed": self.needed,
            "categories": [p.as_json() for p in self.places],
        }


def judge(
    run: Run | None, lines: Mapping[str, tuple[float, float]], stays: tuple[float, float] | None
) -> Verdict:
    """The verdict on a run. `stays` is the range of money left over where its inputs are the
    customer's or measured, else None: our guesses alone decide nothing."""
    outcomes = run.outcomes if run else ()
    rulings = [*trust(run), *shares_ruled(outcomes, lines), *speed(outcomes, lines["slow_s"])]
    rulings += [*promise(run), *money(stays)]
    where = places(outcomes, lines["found"][1])
    name, decided = _sum(rulings)
    if run is None:  # nobody looked for leaks, for nothing was asked
        decided = next(ruling for ruling in rulings if ruling.rule == "found")
    return Verdict(name, decided, tuple(rulings), tuple(where))


_DECIDING = ("found", "misled", "wrong_exact")
_SOFT = ("real_photos", "slow_s", "promise")
"""Rules that can limit the use but not forbid it."""


def _sum(rulings: Sequence[Ruling]) -> tuple[str, Ruling]:
    """Distrust first, then a proven failing, then what is not known, then limits."""
    by = {r.rule: r for r in rulings}
    leak = by["leak"]
    if leak.state != PASSED:
        return UNKNOWN, leak
    failed = [r for r in rulings if r.state == FAILED and r.rule not in _SOFT]
    if failed:
        return REFUSE, failed[0]
    unknown = [by[name] for name in _DECIDING if by[name].state == OPEN]
    # Where nothing was called exact, nobody was told a wrong thing: nothing is left to know.
    unknown = [r for r in unknown if not (r.rule == "wrong_exact" and not r.needed)]
    if unknown:
        return UNKNOWN, max(unknown, key=lambda r: r.needed)
    limited = [r for r in rulings if r.state in {LIMITED, FAILED}]
    if limited:
        order = [*_DECIDING, "money", "promise", "slow_s", "real_photos"]
        return LIMITS, min(limited, key=lambda r: order.index(r.rule))
    return USE, by["found"]


def trust(run: Run | None) -> list[Ruling]:
    """Do the figures deserve belief: no photo of the test was there to be learned by heart, and
    they are photos of shoppers."""
    if run is None:
        return [Ruling("leak", OPEN), Ruling("real_photos", OPEN)]
    left = _leaks(run)
    leak = Ruling("leak", OPEN if left is None else FAILED if left else PASSED, value=left)
    real = _real(run)
    state = PASSED if real.n and real.low >= 0.5 else LIMITED
    return [leak, Ruling("real_photos", state, real)]


def _leaks(run: Run) -> int | None:
    """Leaked queries still in the figures; None where nobody looked."""
    if not run.leaks or run.leaks.get("checked") in {None, False}:
        return None
    found, dropped = (_count(run.leaks.get(key)) for key in ("found", "dropped"))
    return max(0, found - dropped)


def _count(value: object) -> int:
    """A number, or how many a list or table holds."""
    if isinstance(value, int):
        return int(value)
    return len(value) if isinstance(value, list | tuple | dict | str) else 0


REAL = ("shopper", "street", "phone", "real")
"""Words of the column `kind` by which a photo counts as taken by people."""
STORES = ("held-out view", "held-out product")
"""Kinds that `holdout` writes: pictures of stores."""


def strange_kinds(outcomes: Sequence[Outcome]) -> list[str]:
    """Kinds of photo that none of the known words is in: they count as pictures of stores."""
    kinds = {o.slices.get("kind", "") for o in outcomes} - {"", *STORES}
    return sorted(kind for kind in kinds if not any(word in kind.lower() for word in REAL))


def _real(run: Run) -> Share:
    """Photos of things that are sold which people took, by the kinds given with the queries."""
    sold = [o for o in run.outcomes if o.present]
    return Share.plain(
        sum(any(word in o.slices.get("kind", "").lower() for word in REAL) for o in sold), len(sold)
    )


def shares_ruled(
    outcomes: Sequence[Outcome], lines: Mapping[str, tuple[float, float]]
) -> list[Ruling]:
    """The three that decide."""
    sold = [o for o in outcomes if o.present]
    strangers = [o for o in outcomes if not o.present and o.verdict]
    exact = [o for o in outcomes if o.exact_right is not None]
    found = rule("found", Share.of(sold, seen), lines["found"])
    told_wrong = rule("misled", Share.of(strangers, misled), lines["misled"])
    wrong = rule("wrong_exact", Share.of(exact, wrong_exact), lines["wrong_exact"])
    if not exact and len(strangers) >= MIN_CASES:
        wrong = Ruling("wrong_exact", OPEN, Share.plain(0, 0), use=wrong.use, limit=wrong.limit)
    return [found, told_wrong, wrong]


def rule(name: str, share: Share, lines: tuple[float, float]) -> Ruling:
    """One figure against its two lines. More is better where the first line is the higher one."""
    use, limit = lines
    state = _state(share, use, limit)
    more = needed(share, limit) if state == OPEN else 0
    return Ruling(name, state, share, use=use, limit=limit, needed=more)


def _state(share: Share, use: float, limit: float) -> str:
    if share.effective < MIN_CASES:
        return OPEN
    low, high = share.low, share.high
    if use < limit:  # a failing: turn it round
        low, high, use, limit = 1 - high, 1 - low, 1 - use, 1 - limit
    if low >= use:
        return PASSED
    if low >= limit:
        return LIMITED
    if high < limit:
        return FAILED
    if (high - low) / 2 > CLOSE:
        return OPEN
    return LIMITED if (low + high) / 2 >= limit else FAILED


def needed(share: Share, line: float) -> int:
    """How many more cases would take the interval off the line, if the share stays as it is.

    At most as many as make the half width CLOSE; where nothing is known, MIN_CASES: what is asked
    for falls with each that comes.
    """
    if not share.known:
        return MIN_CASES
    value, per_case = share.value, share.n / share.effective
    n = MIN_CASES
    while n < 100_000:
        low, high = metrics.wilson(value * n, n) or (0.0, 1.0)
        if low >= line or high < line or (high - low) / 2 <= CLOSE:
            break
        n += max(1, n // 50)
    return max(1, math.ceil(n * per_case) - share.n)


def speed(outcomes: Sequence[Outcome], lines: tuple[float, float]) -> list[Ruling]:
    """95 of 100 answers come within so many seconds."""
    took = [o.total_ms / 1000 for o in outcomes if o.total_ms]
    slow = metrics.quantile(took, 0.95)
    if slow is None or len(took) < 20:
        return [Ruling("slow_s", OPEN, n=len(took), use=lines[0], limit=lines[1])]
    state = PASSED if slow <= lines[0] else LIMITED
    return [Ruling("slow_s", state, value=slow, n=len(took), use=lines[0], limit=lines[1])]


def promise(run: Run | None) -> list[Ruling]:
    """What is called exact was promised to be right, and the promise was looked at again."""
    kept = run.promise if run else None
    if kept is None:
        return [Ruling("promise", OPEN)]
    states = {"kept": PASSED, "broken": FAILED, "nothing exact": PASSED}
    state = states.get(kept.state, OPEN)
    if state == PASSED and not kept.certified:
        state = LIMITED
    return [Ruling("promise", state, value=kept.upper, n=kept.exact, use=kept.promised)]


def money(stays: tuple[float, float] | None) -> list[Ruling]:
    """What is left of the commission after cashback and machines is more than nothing."""
    if stays is None:
        return [Ruling("money", OPEN)]
    low, high = stays
    state = PASSED if low > 0 else FAILED if high < 0 else LIMITED
    return [Ruling("money", state, value=low, use=0.0, limit=0.0)]


def places(outcomes: Sequence[Outcome], line: float) -> list[Place]:
    """Each category: use it there where the interval lies beyond the line, not where it does
    not, and nothing is said of under MIN_SLICE photos. Weakest first."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.present and outcome.slices.get("category"):
            groups.setdefault(outcome.slices["category"], []).append(outcome)
    found = []
    for name, group in groups.items():
        share = Share.of(group, seen)
        state = OPEN if share.n < MIN_SLICE else PASSED if share.low >= line else FAILED
        found.append(Place(name, share, state))
    return sorted(found, key=lambda p: (p.state == OPEN, p.share.value, p.name))
