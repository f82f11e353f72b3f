"""What a sum of money is made of: each input with its range, its kind, and where it comes from.

Three kinds, and the report names the kind beside every figure: `measured` here, `given` by the
customer in an `assumptions.toml`, `assumed` by us. A draw is one possible value of an input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, Field, create_model

from lensback.checked import STRICT, checked, parse_toml

Draws = NDArray[np.float64]
"""float64 [n]: one value a simulated future."""

MEASURED, GIVEN, ASSUMED = "measured", "given", "assumed"


MANY = 100
"""Values seen from which their mean is taken to be normal."""


class Spread(Protocol):
    """What is known of a number."""

    @property
    def likely(self) -> float:
        """The most likely value, or the mean of what was seen."""

    def draw(self, rng: np.random.Generator, n: int) -> Draws:
        """Possible values, as many as asked for: float64 [n]."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A share seen `hits` times in `n`: its posterior under Jeffreys' prior, a Beta.

    Brown, Cai, DasGupta (2001), "Interval estimation for a binomial proportion": its 95 %
    interval contains the true share in about 95 of 100 repetitions. `n` may be less than the
    number counted where cases are not independent.
    """

    hits: float
    n: float

    @property
    def likely(self) -> float:
        return self.hits / self.n

    def draw(self, rng: np.random.Generator, n: int) -> Draws:
        """Draws from the Beta posterior: float64 [n]."""
        return rng.beta(self.hits + 0.5, self.n - self.hits + 0.5, n)


@dataclass(frozen=True, slots=True)
class Ranged:
    """A guess: least, likely, most. Drawn from the triangle over them."""

    low: float
    likely: float
    high: float

    def draw(self, rng: np.random.Generator, n: int) -> Draws:
        """Draws from the triangle: float64 [n]."""
        if self.low == self.high:
            return np.full(n, self.likely)
        return rng.triangular(self.low, self.likely, self.high, n)


@dataclass(frozen=True, slots=True)
class Sampled:
    """The mean of values seen: drawn by the Bayesian bootstrap (Rubin 1981); of MANY values from
    the normal distribution that it approaches."""

    values: tuple[float, ...]

    @property
    def likely(self) -> float:
        return float(np.mean(self.values))

    def draw(self, rng: np.random.Generator, n: int) -> Draws:
        """Draws of the mean, by the Bayesian bootstrap or its normal limit: float64 [n]."""
        values = np.asarray(self.values)
        if len(values) > MANY:
            return rng.normal(values.mean(), values.std() / math.sqrt(len(values) + 1), n)
        out = np.empty(n)
        for start in range(0, n, 1000):  # n times thousands of values would not fit
            part = min(1000, n - start)
            weights = rng.standard_exponential((part, len(values)))
            out[start : start + part] = weights @ values / weights.sum(axis=1)
        return out


@dataclass(frozen=True, slots=True)
class Input:
    """A named number that money depends on."""

    name: str
    spread: Spread
    kind: str
    """measured, given or assumed."""
    n: int = 0
    """Cases behind a measured one."""
    why: str = ""
    """The customer's own words on a given one; else empty, and the page has words by name."""

    def range(self, seed: int = 0) -> tuple[float, float]:
        """Low and high end of what is believed, 95 %."""
        draws = self.spread.draw(np.random.default_rng(seed), 4000)
        low, high = np.quantile(draws, [0.025, 0.975])
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Assumed:
    """One thing we must assume where nobody measured it or told us."""

    name: str
    spread: Ranged
    unit: str
    """share, money or seconds."""
    comment: str
    """For the example file."""


SHARE, MONEY = "share", "money"

ASSUMPTIONS = (
    Assumed(
        "sold",
        Ranged(0.10, 0.30, 0.60),
        SHARE,
        "Of all photographed things, the share that a connected store sells.",
    ),
    Assumed(
        "click_first",
        Ranged(0.20, 0.35, 0.50),
        SHARE,
        "Share of shoppers who go to the store when the very thing stands first.",
    ),
    Assumed(
        "click_lower",
        Ranged(0.08, 0.15, 0.25),
        SHARE,
        "... when it stands further down the first screen.",
    ),
    Assumed(
        "click_alike",
        Ranged(0.02, 0.06, 0.15),
        SHARE,
        "... when only things that look like it are shown.",
    ),
    Assumed(
        "order_right",
        Ranged(0.01, 0.03, 0.06),
        SHARE,
        "Share of clicks on the very thing that end in an order.",
    ),
    Assumed(
        "order_alike",
        Ranged(0.003, 0.01, 0.03),
        SHARE,
        "Share of clicks on something else that end in an order.",
    ),
    Assumed(
        "commission_rate",
        Ranged(0.02, 0.05, 0.10),
        SHARE,
        "What the network pays us, as a share of the order's value.",
    ),
    Assumed(
        "declined",
        Ranged(0.10, 0.25, 0.40),
        SHARE,
        "Share of orders that are cancelled, returned or declined: they pay nothing.",
    ),
    Assumed(
        "cashback_share",
        Ranged(0.50, 0.60, 0.80),
        SHARE,
        "Share of the commission that goes on to the shopper.",
    ),
)
"""Our guesses. The reasons stand in the page's words under `why.NAME` and in docs/report.md."""

MACHINE_HOUR = {
    "USD": Ranged(0.05, 0.10, 0.20),
    "EUR": Ranged(0.05, 0.10, 0.20),
    "RUB": Ranged(4.0, 8.0, 16.0),
}
"""Price of an hour of a two-core machine at a cloud, by currency; elsewhere not known."""

GIVEN_ONLY = {
    "order_value": "Value of an order without tax and delivery. Else: prices of the offers found.",
    "machine_hour": "Price of one hour of the machine that answers.",
    "misled_cost": "What a misled shopper costs (support, a return, trust). Else: not counted.",
}

RULES = {
    "found": (0.70, 0.40),
    "misled": (0.05, 0.15),
    "wrong_exact": (0.05, 0.15),
    "slow_s": (3.0, 10.0),
}
"""Lines of the verdict: at least as good as the first for `use`, as the second to be used at all."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the customer gave."""

    currency: str = ""
    inputs: Mapping[str, Input] = field(default_factory=dict)
    rules: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(RULES))
    own_rules: tuple[str, ...] = ()
    """Rules whose lines the customer changed."""


def read_assumptions(text: str) -> Assumptions:
    """Reads an `assumptions.toml`. Raises ConfigError naming the key that is wrong.

    A number stands for itself; a list of three is least, likely, most.
    """
    values = parse_toml(text.encode(), "assumptions")
    given: Any = checked(_Written, values, "assumptions: ", hint="See docs/report.md")
    inputs = {
        name: Input(name, Ranged(*spread), GIVEN, why=given.why.get(name, ""))
        for name in _UNITS
        if (spread := getattr(given, name)) is not None
    }
    rules = {name: lines for name in RULES if (lines := getattr(given.rules, name)) is not None}
    return Assumptions(given.currency.upper(), inputs, {**RULES, **rules}, tuple(rules))


_UNITS = {a.name: a.unit for a in ASSUMPTIONS} | dict.fromkeys(GIVEN_ONLY, MONEY)
_COMMENTS = {a.name: a.comment for a in ASSUMPTIONS} | GIVEN_ONLY


def _three(value: object) -> object:
    return tuple(value) if isinstance(value, list) else (value,) * 3


def _spread(unit: str) -> Any:
    """The type of a number, or of three, that the customer gives in this unit."""

    def in_range(spread: tuple[float, float, float]) -> tuple[float, float, float]:
        low, likely, high = spread
        if not low <= likely <= high:
            raise ValueError("is not in order: write [least, likely, most]")
        if low < 0:
            raise ValueError("is negative")
        if unit == SHARE and high > 1:
            raise ValueError("is out of range: a share is 0 to 1 (0.05 is 5 of 100)")
        return spread

    three = tuple[float, float, float]
    return Annotated[three, BeforeValidator(_three), AfterValidator(in_range)]


def _lines(name: str) -> Any:
    """The type of a rule's two lines."""

    def sensible(lines: tuple[float, float]) -> tuple[float, float]:
        use, limit = lines
        ordered = use >= limit if name == "found" else use <= limit
        if not ordered or use < 0 or limit < 0 or (name != "slow_s" and max(use, limit) > 1):
            raise ValueError(
                "makes no sense: first the line for `use`, then the softer one for "
                "`use with limits`"
            )
        return lines

    return Annotated[tuple[float, float], AfterValidator(sensible)]


def _code(text: str) -> str:
    if len(text) not in {0, 3}:
        raise ValueError('is no code of three letters, as "EUR"')
    return text


_RULES: dict[str, Any] = {name: (_lines(name), None) for name in RULES}
_INPUTS: dict[str, Any] = {
    name: (_spread(unit), Field(None, description=_COMMENTS[name])) for name, unit in _UNITS.items()
}
_Rules = create_model("_Rules", __config__=STRICT, **_RULES)
_Written = create_model(
    "_Written",
    __config__=STRICT,
    currency=(Annotated[str, AfterValidator(_code)], ""),
    why=(dict[str, str], {}),
    rules=(_Rules, _Rules()),
    **_INPUTS,
)
"""The file as people write it: every key of ASSUMPTIONS, GIVEN_ONLY and RULES is a field."""


def example_assumptions(currency: str = "EUR") -> str:
    """A commented file to fill in: every line is ours until it is uncommented."""
    lines = [
        "# Your own figures for `lensback report --assumptions THIS_FILE`.",
        "# Take away the # before a line to make it yours; the report then says `given by you`.",
        "# One number, or [least, likely, most]. Shares: 0.05 is 5 of 100.",
        "",
        "# Currency of every amount below and of the report.",
        f'# currency = "{currency}"',
        "",
    ]
    for assumed in ASSUMPTIONS:
        s = assumed.spread
        lines += [f"# {assumed.comment}", f"# {assumed.name} = {[s.low, s.likely, s.high]}", ""]
    for name, comment in GIVEN_ONLY.items():
        lines += [f"# {comment}", f"# {name} = {_example(name)}", ""]
    lines += ["# Where a figure of yours comes from; printed beside it.", "# [why]"]
    lines += ['# sold = "our own poll of 400 shoppers, May"', ""]
    lines += [
        "# The lines of the verdict: [good enough to use, good enough with limits].",
        "# [rules]",
    ]
    lines += [f"# {name} = {list(pair)}" for name, pair in RULES.items()]
    return "\n".join(lines) + "\n"


def _example(name: str) -> str:
    return {"order_value": "[20, 45, 120]", "machine_hour": "0.10"}.get(name, "[0, 0.5, 2]")
