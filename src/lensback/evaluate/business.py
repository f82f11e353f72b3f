"""From shares of photos to money per 1,000 searches, as ranges that hold every doubt.

The funnel, per search (names are those of `inputs.ASSUMPTIONS`):

    sold                                  a connected store sells the thing
      first                               the very thing stands first        -> click_first
      lower (of the rest)                 further down the first screen      -> click_lower
      empty_sold (of what is left)        told that nothing is near          -> no click
      else                                look-alikes are shown              -> click_alike
    not sold
      misled                              something else is called exact     -> click_first
      told (of the rest)                  told that nothing is near          -> no click
      else                                look-alikes are shown              -> click_alike

    orders = clicks on the very thing * order_right + other clicks * order_alike
    commission = orders * (1 - declined) * order_value * commission_rate
    cashback = commission * cashback_share
    stays = commission - cashback - machine - misled * misled_cost

Where the ledger has enough searches, clicks and orders are those that it counted, and the
assumptions about them fall away. Each input is drawn 20,000 times from its range, all sums are
done with each draw (Monte Carlo), and the middle 95 % of the results is the range shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lensback.evaluate.inputs import (
    ASSUMED,
    ASSUMPTIONS,
    MACHINE_HOUR,
    MEASURED,
    Assumptions,
    Counted,
    Draws,
    Input,
    Ranged,
    Sampled,
)
from lensback.evaluate.shares import Share, misled, seen, seen_first, told_none
from lensback.questions import Outcome

DRAWS = 20_000
SEARCHES = 1000
ENOUGH = 100
"""Counted cases from which a share of the ledger replaces an assumption."""

COUNTS = ("right_clicks", "other_clicks", "clicks", "orders", "misled_people")
SUMS = ("commission", "cashback", "machine", "misled_loss", "stays")


@dataclass(frozen=True, slots=True)
class Range:
    """The middle 95 % of the draws, and their median."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, draws: Draws) -> Range:
        """Median and 95 % interval of simulated values."""
        low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975])
        return cls(float(low), float(middle), float(high))

    def as_json(self) -> list[float]:
        """Low end, middle and high end, rounded to four places."""
        return [round(self.low, 4), round(self.middle, 4), round(self.high, 4)]


@dataclass(frozen=True, slots=True)
class Swing:
    """What becomes of the result when one input goes from its low to its high end."""

    name: str
    kind: str
    at_low: float
    at_high: float
    middle: float = 0.0
    """The result with every input at its median."""

    @property
    def size(self) -> float:
        """How far apart the two ends of the input move the amount."""
        return abs(self.at_high - self.at_low)


@dataclass(frozen=True, slots=True)
class Business:
    """What 1,000 searches bring: counts and amounts, each a range."""

    currency: str
    inputs: tuple[Input, ...]
    lines: Mapping[str, Range]
    """By name of COUNTS and SUMS; a name that is missing is not known."""
    swings: tuple[Swing, ...]
    """Of `bottom_line`, largest first."""
    bottom_line: str
    """stays, or what can be known of it."""
    missing: tuple[str, ...]
    """Inputs that nobody measured, gave, or can sensibly assume."""

    @property
    def known(self) -> bool:
        """Whether anything could be computed."""
        return bool(self.lines)

    def as_json(self) -> dict[str, object]:
        """The ranges by name, as `report --json` prints them."""
        return {
            "per_searches": SEARCHES,
            "currency": self.currency,
            "lines": {name: line.as_json() for name, line in self.lines.items()},
            "inputs": [_input_json(i) for i in self.inputs],
            "missing": list(self.missing),
            "tornado": [
                {"input": s.name, "kind": s.kind, "at_low": s.at_low, "at_high": s.at_high}
                for s in self.swings
            ],
            "tornado_of": self.bottom_line,
        }


def _input_json(each: Input) -> dict[str, object]:
    low, high = each.range()
    return {
        "name": each.name,
        "kind": each.kind,
        "likely": each.spread.likely,
        "low": low,
        "high": high,
        "n": each.n,
        "why": each.why,
    }


@dataclass(frozen=True, slots=True)
class Funnel:
    """What the ledger counted: searches, those that led to a store, and what came of it."""

    searches: int = 0
    clicked: int = 0
    """Searches with a click at least."""
    orders: int = 0
    """Clicks that became a conversion, declined ones too."""
    settled: int = 0
    """Conversions that are approved, paid or declined."""
    declined: int = 0
    order_values: tuple[float, ...] = ()
    """In major units of `currency`."""
    commission_rates: tuple[float, ...] = ()
    """Commission over order value of each conversion that tells both."""
    currency: str = ""


def reckon(
    outcomes: Sequence[Outcome],
    given: Assumptions,
    funnel: Funnel | None = None,
    on_sale: OfferPrices | None = None,
    *,
    seed: int = 0,
) -> Business:
    """What 1,000 searches bring, from what was measured, given and assumed.

    Without photos whose answer is known nothing is reckoned: `known` is False.
    """
    funnel = funnel or Funnel()
    on_sale = on_sale or OfferPrices()
    currency = given.currency or funnel.currency or on_sale.currency
    measured = [*shares(outcomes), *live(funnel, currency), *seconds(outcomes)]
    inputs = together(measured, prices(on_sale, currency), given, currency)
    names = {i.name for i in inputs}
    missing = tuple(n for n in (*_PHOTOS, "order_value", "machine_hour") if n not in names)
    if not {"first", "misled"} <= names and "clicked" not in names:
        return Business(currency, tuple(inputs), {}, (), "", missing)
    rng = np.random.default_rng(seed)
    draws = {i.name: i.spread.draw(rng, DRAWS) for i in inputs}
    lines = {name: Range.of(found) for name, found in flow(draws).items()}
    bottom_line = next(
        (name for name in ("stays", "commission", "orders") if name in lines), "clicks"
    )
    return Business(
        currency, tuple(inputs), lines, swings(inputs, draws, bottom_line), bottom_line, missing
    )


_PHOTOS = ("first", "lower", "misled", "told")


def shares(outcomes: Sequence[Outcome]) -> list[Input]:
    """The inputs that photos with a known answer tell."""
    sold = [o for o in outcomes if o.present]
    behind = [o for o in sold if not seen_first(o)]
    away = [o for o in behind if not seen(o)]
    strangers = [o for o in outcomes if not o.present and o.verdict]
    honest = [o for o in strangers if not misled(o)]
    counted = [
        ("first", sold, Share.of(sold, seen_first)),
        ("lower", sold, Share.of(behind, seen)),
        ("empty_sold", sold, Share.of(away, told_none)),
        ("misled", strangers, Share.of(strangers, misled)),
        ("told", strangers, Share.of(honest, told_none)),
    ]
    # Nobody left to ask (all were found first) is no hole: that part of the funnel is empty.
    return [_counted(name, share) for name, asked, share in counted if asked]


def _counted(name: str, share: Share) -> Input:
    hits = share.value * share.effective if share.known else 0.0
    spread = Counted(hits, share.effective) if share.known else Ranged(0.0, 0.0, 0.0)
    return Input(name, spread, MEASURED, share.n)


def live(funnel: Funnel, currency: str) -> list[Input]:
    """The inputs that the ledger tells, those with cases enough."""
    pairs = {
        "clicked": (funnel.clicked, funnel.searches),
        "ordered": (funnel.orders, funnel.clicked),
        "declined": (funnel.declined, funnel.settled),
    }
    found = [
        Input(name, Counted(hits, n), MEASURED, n)
        for name, (hits, n) in pairs.items()
        if n >= ENOUGH
    ]
    if funnel.currency == currency and len(funnel.order_values) >= ENOUGH // 4:
        values = funnel.order_values
        found.append(Input("order_value", Sampled(values), MEASURED, len(values)))
    if len(funnel.commission_rates) >= ENOUGH // 4:
        rates = funnel.commission_rates
        found.append(Input("commission_rate", Sampled(rates), MEASURED, len(rates)))
    return found


@dataclass(frozen=True, slots=True)
class OfferPrices:
    """What things cost at the connected stores, in major units of one currency."""

    values: tuple[float, ...] = ()
    currency: str = ""


def prices(on_sale: OfferPrices, currency: str) -> list[Input]:
    """An order's value where nothing better is known: guessed from what things on sale cost,
    the middle half of the prices. What people buy may cost less, so it is no measurement."""
    if not on_sale.values or on_sale.currency != currency:
        return []
    low, middle, high = np.quantile(on_sale.values, [0.25, 0.5, 0.75])
    spread = Ranged(float(low), float(middle), float(high))
    return [Input("order_value", spread, ASSUMED, len(on_sale.values))]


def seconds(outcomes: Sequence[Outcome]) -> list[Input]:
    """Seconds of machine time a search, as the clock went."""
    took = tuple(o.total_ms / 1000 for o in outcomes if o.total_ms)
    return [Input("search_s", Sampled(took), MEASURED, len(took))] if took else []


def together(
    measured: Sequence[Input], guessed: Sequence[Input], given: Assumptions, currency: str
) -> list[Input]:
    """Measured before given before assumed."""
    ours = [Input(a.name, a.spread, ASSUMED) for a in ASSUMPTIONS]
    if currency in MACHINE_HOUR:
        ours.append(Input("machine_hour", MACHINE_HOUR[currency], ASSUMED))
    found: dict[str, Input] = {}
    for item in (*measured, *given.inputs.values(), *guessed, *ours):
        found.setdefault(item.name, item)
    if "clicked" in found and "ordered" in found:  # nothing that leads to a click counts any more
        for name in _REPLACED:
            found.pop(name, None)
    return list(found.values())


_REPLACED = ("click_first", "click_lower", "click_alike", "order_right", "order_alike")


def flow(v: Mapping[str, Draws]) -> dict[str, Draws]:
    """The funnel, for arrays or single numbers. A sum whose inputs are not there is left out."""
    out = _visits(v)
    if "order_value" in v:
        kept = out["orders"] * (1 - v["declined"])
        out["commission"] = kept * v["order_value"] * v["commission_rate"]
        out["cashback"] = out["commission"] * v["cashback_share"]
    if "search_s" in v and "machine_hour" in v:
        out["machine"] = SEARCHES * v["search_s"] / 3600 * v["machine_hour"]
    if "misled_cost" in v and "misled_people" in out:
        out["misled_loss"] = out["misled_people"] * v["misled_cost"]
    if "commission" in out and "machine" in out:
        costs = out["cashback"] + out["machine"] + out.get("misled_loss", 0 * out["machine"])
        out["stays"] = out["commission"] - costs
    return out


def _visits(v: Mapping[str, Draws]) -> dict[str, Draws]:
    """Clicks and orders of 1,000 searches."""
    out: dict[str, Draws] = {}
    if "first" in v and "misled" in v:
        strangers = 1 - v["sold"]
        first = v["sold"] * v["first"]
        lower = v["sold"] * (1 - v["first"]) * v["lower"]
        alike = (v["sold"] - first - lower) * (1 - v["empty_sold"])
        alike = alike + strangers * (1 - v["misled"]) * (1 - v["told"])
        out["misled_people"] = SEARCHES * strangers * v["misled"]
        if "click_first" in v:
            out["right_clicks"] = SEARCHES * (first * v["click_first"] + lower * v["click_lower"])
            out["other_clicks"] = SEARCHES * (
                alike * v["click_alike"] + strangers * v["misled"] * v["click_first"]
            )
    if "clicked" in v:
        out["clicks"] = SEARCHES * v["clicked"]
        if "right_clicks" in out:
            scale = out["clicks"] / np.maximum(out["right_clicks"] + out["other_clicks"], 1e-9)
            out["right_clicks"], out["other_clicks"] = (
                scale * out["right_clicks"],
                scale * out["other_clicks"],
            )
    else:
        out["clicks"] = out["right_clicks"] + out["other_clicks"]
    out["orders"] = _orders(v, out)
    return out


def _orders(v: Mapping[str, Draws], out: Mapping[str, Draws]) -> Draws:
    if "ordered" in v:
        return out["clicks"] * v["ordered"]
    if "right_clicks" in out:
        return out["right_clicks"] * v["order_right"] + out["other_clicks"] * v["order_alike"]
    return out["clicks"] * v["order_alike"]  # without photos nothing says that it was the thing


def swings(
    inputs: Sequence[Input], draws: Mapping[str, Draws], bottom_line: str
) -> tuple[Swing, ...]:
    """One input at a time from its low end to its high end (2.5 % and 97.5 %), the others at
    their medians: the tornado. Inputs that move nothing are left out."""
    middle = {name: np.asarray(np.median(found)) for name, found in draws.items()}
    base = float(flow(middle)[bottom_line])
    found = []
    for item in inputs:
        low, high = np.quantile(draws[item.name], [0.025, 0.975])
        ends = [
            float(flow({**middle, item.name: np.asarray(end)})[bottom_line]) for end in (low, high)
        ]
        found.append(Swing(item.name, item.kind, ends[0], ends[1], base))
    found = [swing for swing in found if swing.size > 1e-9]
    return tuple(sorted(found, key=lambda swing: -swing.size))
