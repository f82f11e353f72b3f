"""Amounts, the tornado, and what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from lensback.evaluate import charts
from lensback.evaluate.business import COUNTS, SUMS, Business, Swing
from lensback.evaluate.inputs import ASSUMED, GIVEN, MEASURED, Input
from lensback.evaluate.page.form import Form
from lensback.evaluate.page.texts import INPUTS, LINES, WHYS

MOST_SWINGS = 10
SHARES = {
    "first", "lower", "empty_sold", "misled", "told", "clicked", "ordered", "declined",
    "commission_rate", "sold", "click_first", "click_lower", "click_alike", "order_right",
    "order_alike", "cashback_share",
}  # fmt: skip
"""Inputs that are shares."""
AMOUNTS = {"order_value", "machine_hour", "misled_cost"}
"""Inputs that are amounts of money."""
RESTS_ON = {
    "right_clicks": ("sold", "first", "lower", "click_first", "click_lower", "clicked"),
    "other_clicks": ("sold", "first", "misled", "told", "click_alike", "click_first", "clicked"),
    "misled_people": ("sold", "misled"),
    "machine": ("search_s", "machine_hour"),
}
"""Inputs of a line; a line that is not here rests on all that are left."""


def section(business: Business, form: Form) -> dict[str, Any]:
    """Everything that the section about money shows."""
    rows = [_row(key, business, form) for key in (*COUNTS, *SUMS) if key in business.lines]
    names = ", ".join(form.speech.say(INPUTS[name]) for name in business.missing)
    worst = [swing.kind for swing in business.swings[:3]]
    intro = (
        form.say(
            "Each input goes from the low to the high end of its range, the others stay in the middle. The longest bar is what is most worth finding out. It shows: {name}.",
            name=form.say(LINES[business.bottom_line][0]).striptags(),
        )
        if business.bottom_line
        else ""
    )
    return {
        "rows": rows,
        "guesses": ASSUMED in worst,
        "missing": form.say(
            "Not reckoned, because these are not known: {names}. Give them in an assumptions file.",
            names=names,
        )
        if names
        else "",
        "swings": _swings(business, form),
        "swings_intro": intro,
    }


def _row(key: str, business: Business, form: Form) -> dict[str, Any]:
    line = business.lines[key]
    write = partial(form.money, currency=business.currency) if key in SUMS else form.rounded
    kin = [business.lines[k] for k in (SUMS if key in SUMS else COUNTS) if k in business.lines]
    ends = charts.ends_of([end for each in kin for end in (each.low, each.high)])
    colour = "bad" if key in {"misled_people", "misled_loss"} else ""
    return {
        "key": key,
        "kind": kind_of(key, business.inputs),
        "middle": write(line.middle),
        "range": form.ends(write(line.low), write(line.high)),
        "chart": charts.span(line.low, line.middle, line.high, ends, colour),
    }


def kind_of(line: str, inputs: Sequence[Input]) -> str:
    """The least certain origin among the inputs that a line rests on."""
    used = RESTS_ON.get(line)
    if line in {"clicks", "orders"}:
        used = ("clicked", "ordered") if line == "orders" else ("clicked",)
        used = used if all(any(i.name == u for i in inputs) for u in used) else None
    kinds = {each.kind for each in inputs if used is None or each.name in used}
    return next((kind for kind in (ASSUMED, GIVEN) if kind in kinds), MEASURED)


def _swings(business: Business, form: Form) -> list[dict[str, Any]]:
    if not business.swings:
        return []
    shown: Sequence[Swing] = business.swings[:MOST_SWINGS]
    ends = charts.ends_of([end for each in shown for end in (each.at_low, each.at_high)])
    return [
        {
            "name": each.name,
            "kind": each.kind,
            "low": form.rounded(each.at_low),
            "high": form.rounded(each.at_high),
            "chart": charts.swing(each.at_low, each.middle, each.at_high, ends),
        }
        for each in shown
    ]


def inputs(business: Business, form: Form) -> list[dict[str, Any]]:
    """Every input with its range and origin, the guesses first."""
    order = {ASSUMED: 0, GIVEN: 1, MEASURED: 2}
    return [
        {
            "name": each.name,
            "kind": each.kind,
            "likely": _amount(each.name, each.spread.likely, business, form),
            "range": form.ends(*(_amount(each.name, end, business, form) for end in each.range())),
            "why": _why(each, form),
        }
        for each in sorted(business.inputs, key=lambda one: order[one.kind])
    ]


def _amount(name: str, value: float, business: Business, form: Form) -> str:
    """An input: a share in percent, money, or seconds."""
    if name in SHARES:
        return form.speech.say("{a}%", a=form.hundred(value))
    if name in AMOUNTS:
        return form.money(value, business.currency)
    return form.speech.unit(value, "second")


def _why(each: Input, form: Form) -> str:
    if each.kind == MEASURED:
        return form.say("counted on {n}", n=form.cases(each.n))
    if each.kind == GIVEN:
        return each.why
    return form.say(WHYS[each.name])
