"""Every figure in words, with formula, source, value, interval and number of cases."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from lensback.evaluate import charts, words
from lensback.evaluate.page.form import Form
from lensback.evaluate.page.weak import key_of
from lensback.evaluate.runs import Bin, Difference, Figure, Run
from lensback.evaluate.words import Html


@cache
def formulas() -> dict[str, dict[str, str]]:
    """Figure -> its formula and source."""
    return tomllib.loads(files(words).joinpath("formulas.toml").read_text("utf-8"))


def section(run: Run, form: Form) -> dict[str, Any]:
    against = run.against
    return {
        "notes": [note(each, form) for each in run.notes],
        "figures": [_figure(each, form) for each in run.figures],
        "against": form.w("method.against", name=against.name) if against else "",
        "differences": [_difference(each, form) for each in against.differences] if against else [],
        "reliability": _reliability(run.reliability, form),
        "risk": _risk(run, form),
        "errors": _errors(run, form),
        "lines": [_leaks(run, form), *_promise(run, form), *_cost(run, form)],
    }


def note(text: str, form: Form) -> str:
    """A note of ours in the reader's language, one of the evaluator's as it is."""
    code, _, value = text.partition(": ")
    key = f"note.{code}"
    return form.w(key, value=value) if form.w.has(key) else text


def _figure(each: Figure, form: Form) -> dict[str, Any]:
    how = {"Wilson": "method.wilson", "bootstrap by product": "method.bootstrap"}.get(each.method)
    known = formulas().get(each.name, {})
    ends = (each.low, each.high)
    return {
        "name": each.name,
        "formula": "; ".join(filter(None, (known.get("formula"), known.get("source")))),
        "value": _value(each.value, each.unit, form),
        "interval": ""
        if None in ends
        else form.ends(*(_value(end, each.unit, form) for end in ends)),
        "how": form.w(how) if how else "",
        "n": form.w.number(each.n),
    }


def _value(value: float | None, unit: str, form: Form) -> str:
    if value is None:
        return form.w("page.not_known")
    if unit in {"ms", "s"}:
        return f"{form.w.number(float(round(value)))}\u00a0{unit}"
    return form.w.decimal(value)


def _difference(each: Difference, form: Form) -> dict[str, Any]:
    ends = (each.low, each.high)
    signed = [form.w.decimal(v, signed=True) if v is not None else "" for v in (each.value, *ends)]
    only = "" if each.better is None else f"{each.better} / {each.worse}"
    return {
        "name": each.name,
        "value": signed[0] or form.w("page.not_known"),
        "interval": "" if None in ends else f"{signed[1]} … {signed[2]}",
        "only": only,
        "p": "" if each.p is None else form.w.decimal(each.p),
        "n": form.w.number(each.n),
    }


def _reliability(bins: tuple[Bin, ...], form: Form) -> Html | None:
    if not any(bar.n for bar in bins):
        return None
    said = [bar.predicted or 0.0 for bar in bins]
    true = [bar.observed or 0.0 for bar in bins]
    return charts.pairs(said, true, form.w("method.reliability"))


def _risk(run: Run, form: Form) -> Html | None:
    if len(run.risk_coverage) < 2:
        return None
    points = [(point.coverage, point.risk) for point in run.risk_coverage]
    return charts.curve(points, form.w("method.risk"))


def _errors(run: Run, form: Form) -> list[tuple[str, str]]:
    return [
        (form.w(f"error.{key_of(name)}"), form.w.number(n))
        for name, n in sorted(run.errors.items(), key=lambda item: -item[1])
    ]


def _leaks(run: Run, form: Form) -> Html:
    if not run.leaks:
        return form.w("method.no_leaks")
    found = {key: int(run.leaks[key]) for key in ("found", "dropped", "suspects")}
    return form.w("method.leaks", **found)


def _promise(run: Run, form: Form) -> list[Html]:
    kept = run.promise
    if kept is None:
        return []
    counted = {"wrong": kept.wrong, "exact": kept.exact, "state": kept.state}
    if not kept.certified:
        return [form.w("method.promise_not", why=kept.why_not, **counted)]
    promised = form.hundred(kept.promised)
    return [form.w("method.promise", promised=promised, source=kept.source, **counted)]


def _cost(run: Run, form: Form) -> list[Html]:
    said = []
    if (spent := run.cost.get("processor_s_per_query")) is not None:
        said.append(form.w("method.cost", s=float(spent)))
    if money := run.cost.get("per_1000_queries"):
        said.append(form.w("method.cost_money", money=money))
    return [*said, form.w("method.machine", machine=run.machine)]
