"""Live use: what the ledger counted, and whether the promise is at risk."""

from __future__ import annotations

from typing import Any

from lensback.evaluate import charts
from lensback.evaluate.page.form import Form
from lensback.evaluate.page.texts import STATES_OF_WATCH
from lensback.evaluate.shares import Share
from lensback.evaluate.trial import Arm, Trial
from lensback.evaluate.usage import ALARM, FINE, Usage, Watchman
from lensback.speech import N_

VERDICTS = {
    "exact": N_("answered “exactly it”"),
    "similar": N_("answered “looks like it”"),
    "none": N_("answered “nothing found”"),
}
PLACES = 12
ARMS = {"a": N_("a: in use"), "b": N_("b: on trial")}
ENDED = {
    "a": N_("The encoder in use is clicked more often. Keep it."),
    "b": N_("The encoder on trial is clicked more often. Change to it."),
    "broken": N_(
        "The searches were not split as set: something sends more of them to one side. The comparison means nothing until that is mended."
    ),
}
"""What is said of two encoders once it is decided."""
TAG = {FINE: "fine", ALARM: "alarm"}


def section(seen: Usage | None, form: Form) -> dict[str, Any] | None:
    """Everything that the section about live use shows; None where no use was looked at."""
    if seen is None:
        return None
    if not seen.searches:
        return {"searches": 0}
    return {
        "searches": seen.searches,
        "intro": form.say(
            "What the ledger counted {since}. Nobody labels these searches, so it says what shoppers did, not how often the answer was right.",
            since=_since(seen, form),
        ),
        "alarm": bool(seen.alarms),
        "rows": _rows(seen, form),
        "ranks": _ranks(seen, form),
        "watch": [_watched(each, form) for each in seen.watchmen],
        "drift": _drift(seen, form),
        "trial": _trial(seen.trial, form) if seen.trial else None,
    }


def _since(seen: Usage, form: Form) -> str:
    if not seen.since:
        return form.say("since the beginning")
    return form.say("since {day}", day=form.speech.date(seen.since))


def _rows(seen: Usage, form: Form) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = [(form.say("searches"), form.speech.number(seen.searches))]
    for verdict, words in VERDICTS.items():
        share = Share.plain(seen.verdicts.get(verdict, 0), seen.searches)
        found.append((form.say(words), form.share(share)))
    spent = (seen.latency_p50_ms, seen.latency_p95_ms)
    if spent[0] is not None and spent[1] is not None:
        value = form.say(
            "half within {p50} ms, 95 of 100 within {p95} ms",
            p50=round(spent[0]),
            p95=round(spent[1]),
        )
        found.append((form.say("time of an answer"), value))
    clicked = Share.plain(seen.funnel.clicked, seen.searches)
    found.append(
        (form.say("searches that led to a store"), f"{form.share(clicked)} · {clicked.hits}")
    )
    sales = ", ".join(f"{status} {n}" for status, n in sorted(seen.sales.items()))
    found.append((form.say("sales by status"), sales or form.say("none yet")))
    return found


def _ranks(seen: Usage, form: Form) -> list[dict[str, Any]]:
    rows = []
    for place in range(1, PLACES + 1):
        shown, clicks = seen.shown_at.get(place, 0), seen.by_rank.get(place, 0)
        if not shown or not seen.by_rank:
            continue
        share = min(1.0, clicks / shown)
        rows.append({
            "place": place, "shown": form.speech.number(shown), "clicks": form.speech.number(clicks),
            "share": form.hundred(share), "chart": charts.bar(share),
        })  # fmt: skip
    return rows


def _watched(each: Watchman, form: Form) -> dict[str, Any]:
    value = "" if each.value is None else form.rounded(each.value)
    if each.name == "votes" and each.value is not None:
        value = form.say("{a} of 100", a=form.hundred(each.value))
    return {
        "name": each.name,
        "value": value,
        "n": form.speech.number(each.n),
        "tag": TAG.get(each.state, ""),
        "word": form.say(STATES_OF_WATCH[each.state]),
    }


def _drift(seen: Usage, form: Form) -> str:
    before, now = sum(seen.reference), sum(seen.probabilities)
    if not before or not now:
        return ""
    return charts.pairs(
        [n / before for n in seen.reference],
        [n / now for n in seen.probabilities],
        form.say("Match probability: then and now"),
    )


def _trial(trial: Trial, form: Form) -> dict[str, Any]:
    state = trial.state
    if state in ENDED:
        said = form.say(ENDED[state])
    else:
        wanted = trial.wanted
        said = (
            form.say("Not decided yet: no clicks.")
            if wanted is None
            else form.say(
                "Not decided yet. With a fixed sample about {n} in all would show a difference of a tenth.",
                n=form.searches(wanted),
            )
        )
    return {
        "rows": [_arm("a", trial.a, form), _arm("b", trial.b, form)],
        "state": said,
        "evidence": form.say(
            "Evidence of a difference: {value}. From 20 on it counts, whenever you look: waiting and looking again does not produce false winners more than once in twenty trials.",
            value=form.rounded(min(trial.evidence, 1e6)),
        ),
    }


def _arm(name: str, arm: Arm, form: Form) -> tuple[str, str, str]:
    share = Share.plain(arm.clicked, arm.searches)
    return form.say(ARMS[name]), form.speech.number(arm.searches), form.share(share)
