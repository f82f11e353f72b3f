"""Every figure in words, with formula, source, value, interval and number of cases."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from lensback.evaluate import charts
from lensback.evaluate.page.form import Form
from lensback.evaluate.page.texts import ERRORS, FIGURES, NOTES
from lensback.evaluate.runs import Bin, Difference, Figure, Run
from lensback.evaluate.verdict import REAL, strange_kinds
from lensback.speech import N_

STRANGE_KINDS = N_(
    "Photos of the kind {kinds} were counted as pictures of stores: those that people took have one of these words in their kind: {words}."
)
MOST_NAMED = 5
METHODS = {"Wilson": N_("Wilson"), "bootstrap by product": N_("drawn by product")}


def section(run: Run, form: Form) -> dict[str, Any]:
    """Everything that the section about figures and formulas shows."""
    against = run.against
    return {
        "notes": [*(note(each, form) for each in run.notes), *_strange_kinds(run, form)],
        "figures": [_figure(each, form) for each in run.figures],
        "against": form.say("Compared with {name}, photo by photo", name=against.name)
        if against
        else "",
        "differences": [_difference(each, form) for each in against.differences] if against else [],
        "reliability": _reliability(run.reliability, form),
        "risk": _risk(run, form),
        "errors": _errors(run, form),
        "lines": [_leaks(run, form), *_promise(run, form), *_cost(run, form)],
    }


def note(text: str, form: Form) -> str:
    """A note of ours in the reader's language, one of the evaluator's as it is."""
    code, _, value = text.partition(": ")
    return form.say(NOTES[code], value=value) if code in NOTES else text


def _strange_kinds(run: Run, form: Form) -> list[Markup]:
    """That kinds of photo are not known, and how they count."""
    strange = strange_kinds(run.outcomes)
    if not strange:
        return []
    named = ", ".join(f"“{kind}”" for kind in strange[:MOST_NAMED])
    return [form.say(STRANGE_KINDS, kinds=named, words=", ".join(REAL))]


def _figure(each: Figure, form: Form) -> dict[str, Any]:
    how = METHODS.get(each.method)
    known = FIGURES[each.name]
    ends = (each.low, each.high)
    return {
        "name": each.name,
        "words": form.say(known.words),
        "formula": "; ".join(filter(None, (known.formula, known.source))),
        "value": _value(each.value, each.unit, form),
        "interval": ""
        if None in ends
        else form.ends(*(_value(end, each.unit, form) for end in ends)),
        "how": form.say(how) if how else "",
        "n": form.speech.number(each.n),
    }


def _value(value: float | None, unit: str, form: Form) -> str:
    if value is None:
        return form.say("not known")
    if unit in {"ms", "s"}:
        return form.speech.unit(round(value), "second" if unit == "s" else "millisecond")
    return form.speech.decimal(value)


def _difference(each: Difference, form: Form) -> dict[str, Any]:
    ends = (each.low, each.high)
    signed = [
        form.speech.decimal(v, signed=True) if v is not None else "" for v in (each.value, *ends)
    ]
    only = "" if each.better is None else f"{each.better} / {each.worse}"
    return {
        "name": each.name,
        "value": signed[0] or form.say("not known"),
        "interval": "" if None in ends else f"{signed[1]} … {signed[2]}",
        "only": only,
        "p": "" if each.p is None else form.speech.decimal(each.p),
        "n": form.speech.number(each.n),
    }


def _reliability(bins: tuple[Bin, ...], form: Form) -> Markup | None:
    if not any(bar.n for bar in bins):
        return None
    said = [bar.predicted or 0.0 for bar in bins]
    true = [bar.observed or 0.0 for bar in bins]
    return charts.pairs(said, true, form.say("Is the stated probability true?"))


def _risk(run: Run, form: Form) -> Markup | None:
    if len(run.risk_coverage) < 2:
        return None
    points = [(point.coverage, point.risk) for point in run.risk_coverage]
    return charts.curve(points, form.say("If it answered only when sure"))


def _errors(run: Run, form: Form) -> list[tuple[str, str]]:
    return [
        (form.say(ERRORS[name]), form.speech.number(n))
        for name, n in sorted(run.errors.items(), key=lambda pair: -pair[1])
    ]


def _leaks(run: Run, form: Form) -> Markup:
    if not run.leaks:
        return form.say("Nobody checked whether test photos are in the catalogue.")
    found = {key: int(run.leaks[key]) for key in ("found", "dropped", "suspects")}
    return form.say(
        "Leak check: each test photo was compared with every picture of the catalogue, by exact bytes, by perceptual hash, by vector, and then by its pixels. {found} were found in the catalogue, {dropped} of them left out of all figures. {suspects} pairs looked alike and are not the same photograph.",
        **found,
    )


def _promise(run: Run, form: Form) -> list[Markup]:
    kept = run.promise
    if kept is None:
        return []
    counted = {"wrong": kept.wrong, "exact": kept.exact, "state": kept.state}
    if not kept.certified:
        return [
            form.say(
                "Nothing is certified here: {why}. In this test {wrong} of {exact} answers called exact were wrong; state: {state}.",
                why=kept.why_not,
                **counted,
            )
        ]
    promised = form.hundred(kept.promised)
    return [
        form.say(
            "Promised: with 95 % confidence at most {promised} of 100 answers called exact are wrong. Certified on: {source}. In this test {wrong} of {exact} were wrong; state: {state}.",
            promised=promised,
            source=kept.source,
            **counted,
        )
    ]


def _cost(run: Run, form: Form) -> list[Markup]:
    said = []
    if (spent := run.cost.get("processor_s_per_query")) is not None:
        said.append(form.say("Processor time: {s} s a search.", s=float(spent)))
    if money := run.cost.get("per_1000_queries"):
        said.append(form.say("1,000 searches cost {money} of machine time.", money=money))
    return [*said, form.say("Measured on: {machine}.", machine=run.machine)]
