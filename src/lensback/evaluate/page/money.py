"""Amounts, the tornado, and what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lensback.evaluate import charts
from lensback.evaluate.business import COUNTS, SUMS, Business, Swing
from lensback.evaluate.inputs import ASSUMED, GIVEN, MEASURED, Input
from lensback.evaluate.page.form import Form

MOST_SWINGS = 10
UNITS = {"order_value", "machine_hour", "misled_cost"}
"""Inputs that are amounts of money."""
RESTS_ON = {
    "right_clicks": ("sold", "first", "lower", "click_first", "click_lower", "clicked"),
    "other_clicks": ("sold", "first", "misled", "told", "click_alike", "click_first", "clicked"),
    "misled_people": ("sold", "misled"),
    "machine": ("search_s", "machine_hour"),
}
"""Inputs of a line; a line that is not here rests on all that are left."""


def section(found: Business, form: Form) -> dict[str, Any]:
    rows = [_row(key, found, form) for key in (*COUNTS, *SUMS) if key in found.lines]
    names = ", ".join(str(form.w(f"input.{name}")) for name in found.missing)
    worst = [swing.kind for swing in found.swings[:3]]
    intro = form.w("tornado.intro", name=_plain(form, found.result)) if found.result else ""
    return {
        "rows": rows,
        "guesses": ASSUMED in worst,
        "missing": form.w("money.missing", names=names) if names else "",
        "swings": _swings(found, form),
        "swings_intro": intro,
    }


def _plain(form: Form, line: str) -> str:
    return str(form.w(f"line.{line}")).replace("<strong>", "").replace("</strong>", "")


def _row(key: str, found: Business, form: Form) -> dict[str, Any]:
    line = found.lines[key]
    unit = f"\u00a0{found.currency}" if key in SUMS else ""
    kin = [found.lines[k] for k in (SUMS if key in SUMS else COUNTS) if k in found.lines]
    ends = charts.ends_of([end for each in kin for end in (each.low, each.high)])
    colour = "bad" if key in {"misled_people", "misled_loss"} else ""
    return {
        "key": key,
        "kind": kind_of(key, found.inputs),
        "middle": form.money(line.middle) + unit,
        "range": form.ends(form.money(line.low), form.money(line.high)) + unit,
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


def _swings(found: Business, form: Form) -> list[dict[str, Any]]:
    if not found.swings:
        return []
    shown: Sequence[Swing] = found.swings[:MOST_SWINGS]
    ends = charts.ends_of([end for each in shown for end in (each.at_low, each.at_high)])
    return [
        {
            "name": each.name,
            "kind": each.kind,
            "low": form.money(each.at_low),
            "high": form.money(each.at_high),
            "chart": charts.swing(each.at_low, each.middle, each.at_high, ends),
        }
        for each in shown
    ]


def inputs(found: Business, form: Form) -> list[dict[str, Any]]:
    """Every input with its range and origin, the guesses first."""
    order = {ASSUMED: 0, GIVEN: 1, MEASURED: 2}
    return [
        {
            "name": each.name,
            "kind": each.kind,
            "likely": form.amount(each.name, each.spread.likely) + _unit(each.name, found),
            "range": form.ends(*(form.amount(each.name, end) for end in each.range())),
            "why": _why(each, form),
        }
        for each in sorted(found.inputs, key=lambda one: order[one.kind])
    ]


def _unit(name: str, found: Business) -> str:
    if name == "search_s":
        return "\u00a0s"
    return f"\u00a0{found.currency}" if name in UNITS else ""


def _why(each: Input, form: Form) -> str:
    if each.kind == MEASURED:
        return form.w("inputs.measured_n", n=each.n)
    if each.kind == GIVEN:
        return each.why
    return form.w(f"why.{each.name}")
