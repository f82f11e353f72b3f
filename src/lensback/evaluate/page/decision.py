"""The verdict in words, the rule that decided it, its limits, and the table of rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lensback.evaluate import charts, runs
from lensback.evaluate.page.form import Form
from lensback.evaluate.shares import Share, misled
from lensback.evaluate.verdict import FAILED, LIMITED, OPEN, PASSED, Ruling, Verdict
from lensback.evaluate.words import Html

if TYPE_CHECKING:
    from lensback.evaluate.verbs import Report

COLOUR = {PASSED: "good", LIMITED: "warn", FAILED: "bad", OPEN: ""}
MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class Said:
    name: str
    decided: Html
    more: tuple[Html, ...]
    limits: tuple[Html, ...]


def verdict(report: Report, form: Form) -> Said:
    found = report.verdict
    more = tuple(
        form.w(f"more.{rule}", n=n)
        for rule, n in found.needed.items()
        if form.w.has(f"more.{rule}")
    )
    return Said(found.name, decided(found.decided_by, form), more, limits(report, form))


def decided(ruling: Ruling, form: Form) -> Html:
    """The figure that decided."""
    w = form.w
    if ruling.rule == "leak":
        if ruling.state == OPEN:
            return w("decided.leak_open")
        return w("decided.leak_failed", value=int(ruling.value or 0))
    if ruling.share is not None:
        figure = f"{form.share(ruling.share)}, {form.counted(ruling.share)}"
        return w(f"decided.{ruling.rule}", figure=figure)
    if ruling.rule == "slow_s":
        return w("decided.slow_s", value=form.money(ruling.value or 0.0))
    if ruling.rule == "money":
        return w("decided.money", low=form.money(ruling.value or 0.0))
    return w(f"decided.{ruling.rule}")


def limits(report: Report, form: Form) -> tuple[Html, ...]:
    """Which categories, which threshold, what to show the shopper."""
    found, run = report.verdict, report.run
    if found.name in {"refuse", "unknown"} or run is None:
        return ()
    by = {ruling.rule: ruling for ruling in found.rulings}
    return (
        *_places(report, form),
        *_real(by["real_photos"], form),
        *_promise(report, form),
        form.w("limits.similar"),
        *_misled(report, form),
        *_boxes(report, form),
        *_slow(by["slow_s"], form),
        *([form.w("limits.money")] if by["money"].state == LIMITED else []),
    )


def _places(report: Report, form: Form) -> list[Html]:
    said = []
    bad = [place.name for place in report.verdict.places if place.state == FAILED]
    if bad:
        line = form.hundred(report.given.rules["found"][1])
        said.append(form.w("limits.places_failed", names=_names(bad), line=line))
    few = [place.name for place in report.verdict.places if place.state == OPEN]
    if few:
        said.append(form.w("limits.places_open", names=_names(few)))
    return said


def _names(names: Sequence[str]) -> str:
    rest = f" (+{len(names) - MOST_NAMES})" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + rest


def _real(ruling: Ruling, form: Form) -> list[Html]:
    return [form.w("limits.real_photos")] if ruling.state != PASSED else []


def _promise(report: Report, form: Form) -> list[Html]:
    kept = report.run.promise if report.run else None
    if kept is None or not kept.certified or kept.threshold is None:
        return [form.w("limits.no_promise")]
    return [form.w("limits.promise", threshold=form.w.number(kept.threshold))]


def _misled(report: Report, form: Form) -> list[Html]:
    strangers = (
        [o for o in report.run.outcomes if not o.present and o.verdict] if report.run else []
    )
    share = Share.of(strangers, misled)
    return [form.w("limits.misled", a=form.hundred(share.value))] if share.hits else []


def _boxes(report: Report, form: Form) -> list[Html]:
    lost = report.run.errors.get(runs.UNDETECTED, 0) if report.run else 0
    return [form.w("limits.box", n=lost)] if lost else []


def _slow(ruling: Ruling, form: Form) -> list[Html]:
    if ruling.state != LIMITED or ruling.value is None:
        return []
    return [form.w("limits.slow", value=form.money(ruling.value))]


# ---- the table


@dataclass(frozen=True, slots=True)
class Row:
    rule: str
    figure: str
    n: str
    chart: Html
    use: str
    limit: str
    state: str
    word: Html
    needed: str


def rules(found: Verdict, form: Form) -> list[Row]:
    return [_row(ruling, form) for ruling in found.rulings]


def _row(ruling: Ruling, form: Form) -> Row:
    share = ruling.share
    guess = ruling.rule == "money" and ruling.state == OPEN
    needed = form.w("rules.needed", n=ruling.needed) if ruling.needed else ""
    return Row(
        rule=ruling.rule,
        figure=_figure(ruling, form),
        n=str(form.counted(share)) if share and share.known else "",
        chart=_chart(ruling, share) if share and share.known else Html(),
        use=_line(ruling, ruling.use, form),
        limit=_line(ruling, ruling.limit, form),
        state=ruling.state,
        word=form.w("state.untested" if guess else f"state.{ruling.state}"),
        needed=needed,
    )


def _figure(ruling: Ruling, form: Form) -> str:
    if ruling.share is not None:
        return form.share(ruling.share)
    if ruling.value is None:
        return form.w("page.not_known")
    if ruling.rule == "promise":
        return form.w("rules.at_most", a=form.hundred(float(ruling.value)))
    if ruling.rule == "leak":
        return form.w("rules.photos", a=int(ruling.value))
    amount = form.money(float(ruling.value))
    return form.w("rules.seconds", a=amount) if ruling.rule == "slow_s" else amount


def _chart(ruling: Ruling, share: Share) -> Html:
    lines = [line for line in (ruling.use, ruling.limit) if line is not None]
    colour = COLOUR[ruling.state]
    return charts.interval(share.low, share.value, share.high, kind=colour, lines=lines)


def _line(ruling: Ruling, line: float | None, form: Form) -> str:
    if line is None or ruling.rule == "money":
        return form.w("rules.none")
    if ruling.rule == "slow_s":
        return form.w("rules.at_most_s", a=form.money(line))
    key = "rules.at_least" if ruling.rule == "found" else "rules.at_most"
    return form.w(key, a=form.hundred(line))


def own_rules(report: Report, form: Form) -> Html | None:
    """Says it where the customer drew lines of his own."""
    names = [str(form.w(f"rule.{name}")) for name in report.given.own_rules]
    return form.w("rules.own", names="; ".join(names)) if names else None
