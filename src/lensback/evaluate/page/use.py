"""Live use: what the ledger counted, and whether the promise is at risk."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lensback.evaluate import charts
from lensback.evaluate.page.form import Form
from lensback.evaluate.shares import Share
from lensback.evaluate.trial import Arm, Trial
from lensback.evaluate.usage import ALARM, FINE, Usage, Watchman

VERDICTS = ("exact", "similar", "none")
PLACES = 12
TAG = {FINE: "fine", ALARM: "alarm"}


def section(seen: Usage | None, form: Form) -> dict[str, Any] | None:
    if seen is None:
        return None
    if not seen.searches:
        return {"searches": 0}
    return {
        "searches": seen.searches,
        "intro": form.w("live.intro", since=_since(seen, form)),
        "alarm": bool(seen.alarms),
        "rows": _rows(seen, form),
        "ranks": _ranks(seen, form),
        "watch": [_watched(each, form) for each in seen.watchmen],
        "drift": _drift(seen, form),
        "trial": _trial(seen.trial, form) if seen.trial else None,
    }


def _since(seen: Usage, form: Form) -> str:
    if not seen.since:
        return form.w("live.ever")
    return form.w("live.since", day=datetime.fromtimestamp(seen.since, UTC).date().isoformat())


def _rows(seen: Usage, form: Form) -> list[tuple[str, str]]:
    w = form.w
    found: list[tuple[str, str]] = [(w("live.searches"), w.number(seen.searches))]
    for verdict in VERDICTS:
        share = Share.plain(seen.verdicts.get(verdict, 0), seen.searches)
        found.append((w(f"live.verdict_{verdict}"), form.share(share)))
    spent = (seen.latency_p50_ms, seen.latency_p95_ms)
    if spent[0] is not None and spent[1] is not None:
        value = w("live.latency_value", p50=round(spent[0]), p95=round(spent[1]))
        found.append((w("live.latency"), value))
    clicked = Share.plain(seen.funnel.clicked, seen.searches)
    found.append((w("live.clicked"), f"{form.share(clicked)} · {clicked.hits}"))
    sales = ", ".join(f"{status} {n}" for status, n in sorted(seen.sales.items()))
    found.append((w("live.sales"), sales or w("live.no_sales")))
    return found


def _ranks(seen: Usage, form: Form) -> list[dict[str, Any]]:
    rows = []
    for place in range(1, PLACES + 1):
        shown, clicks = seen.shown_at.get(place, 0), seen.by_rank.get(place, 0)
        if not shown or not seen.by_rank:
            continue
        share = min(1.0, clicks / shown)
        rows.append({
            "place": place, "shown": form.w.number(shown), "clicks": form.w.number(clicks),
            "share": form.hundred(share), "chart": charts.bar(share),
        })  # fmt: skip
    return rows


def _watched(each: Watchman, form: Form) -> dict[str, Any]:
    value = "" if each.value is None else form.money(each.value)
    if each.name == "votes" and each.value is not None:
        value = form.w("share.short", a=form.hundred(each.value))
    return {
        "name": each.name,
        "value": value,
        "n": form.w.number(each.n),
        "tag": TAG.get(each.state, ""),
        "word": form.w(f"watch.{each.state.replace(' ', '_')}"),
    }


def _drift(seen: Usage, form: Form) -> str:
    before, now = sum(seen.reference), sum(seen.probabilities)
    if not before or not now:
        return ""
    return charts.pairs(
        [n / before for n in seen.reference],
        [n / now for n in seen.probabilities],
        form.w("live.drift"),
    )


def _trial(found: Trial, form: Form) -> dict[str, Any]:
    w = form.w
    state = found.state
    keys = {"a": "trial.won_a", "b": "trial.won_b", "broken": "trial.broken"}
    if state in keys:
        said = w(keys[state])
    else:
        wanted = found.wanted
        said = w("trial.open_empty") if wanted is None else w("trial.open", n=wanted)
    return {
        "rows": [_arm("a", found.a, form), _arm("b", found.b, form)],
        "state": said,
        "evidence": w("trial.evidence", value=form.money(min(found.evidence, 1e6))),
    }


def _arm(name: str, arm: Arm, form: Form) -> tuple[str, str, str]:
    share = Share.plain(arm.clicked, arm.searches)
    return form.w(f"trial.{name}"), form.w.number(arm.searches), form.share(share)
