"""The verdict in words, the rule that decided it, its limits, and the table of rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from lensback import questions
from lensback.evaluate import charts
from lensback.evaluate.page.form import Form
from lensback.evaluate.page.texts import DECIDED, MORE, RULES, STATES
from lensback.evaluate.report import Report
from lensback.evaluate.shares import Share, misled
from lensback.evaluate.verdict import FAILED, LIMITED, OPEN, PASSED, Ruling, Verdict
from lensback.speech import N_

COLOUR = {PASSED: "good", LIMITED: "warn", FAILED: "bad", OPEN: ""}
MOST_NAMES = 8


@dataclass(frozen=True, slots=True)
class Said:
    """The verdict in words: what decided it, what more is needed, its limits."""

    name: str
    decided: Markup
    more: tuple[Markup, ...]
    limits: tuple[Markup, ...]


def verdict(report: Report, form: Form) -> Said:
    """The report's verdict in words, for the template."""
    found = report.verdict
    more = tuple(
        form.say(MORE[rule], n=form.answers(n) if rule == "wrong_exact" else form.photos(n))
        for rule, n in found.needed.items()
        if rule in MORE
    )
    return Said(found.name, decided(found.decided_by, form), more, limits(report, form))


def decided(ruling: Ruling, form: Form) -> Markup:
    """The sentence about the rule that decided, with its figure."""
    if ruling.rule == "leak":
        if ruling.state == OPEN:
            return form.say(
                "nobody checked whether the test photos were already in the catalogue, so no figure can be trusted."
            )
        copies = form.speech.plural(
            "{n}\u00a0photo of the test is a copy of a catalogue picture, so the figures flatter.",
            "{n}\u00a0photos of the test are copies of catalogue pictures, so the figures flatter.",
            int(ruling.value or 0),
        )
        return escape(copies)
    if ruling.share is not None:
        return _of_share(ruling.rule, ruling.share, form)
    if ruling.rule == "slow_s":
        return form.say(
            "95 of 100 answers came within {value} seconds.",
            value=form.rounded(ruling.value or 0.0),
        )
    if ruling.rule == "money":
        return form.say(
            "after cashback and machine, {low} is what surely stays of 1,000 searches.",
            low=form.rounded(ruling.value or 0.0),
        )
    return form.say(DECIDED[ruling.rule])


def _of_share(rule: str, share: Share, form: Form) -> Markup:
    if not share.known:
        return form.say(
            "not known: no photo was tested that could tell. Ask with photos whose answer is known: `lensback evaluate`."
        )
    figure = f"{form.share(share)}, {form.counted(share.hits, share.n)}"
    return form.say(DECIDED[rule], figure=figure)


def limits(report: Report, form: Form) -> tuple[Markup, ...]:
    """Which categories, which threshold, what to show the shopper."""
    found, run = report.verdict, report.run
    if found.name in {"refuse", "unknown"} or run is None:
        return ()
    by = {ruling.rule: ruling for ruling in found.rulings}
    return (
        *_places(report, form),
        *_real(by["real_photos"], form),
        *_promise(report, form),
        form.say("Show everything else as “looks like it”, never as the thing itself."),
        *_misled(report, form),
        *_boxes(report, form),
        *_slow(by["slow_s"], form),
        *(
            [
                form.say(
                    "Whether it pays is not certain: the range of what stays reaches below nothing."
                )
            ]
            if by["money"].state == LIMITED
            else []
        ),
    )


def _places(report: Report, form: Form) -> list[Markup]:
    said = []
    bad = [place.name for place in report.verdict.places if place.state == FAILED]
    if bad:
        line = form.hundred(report.given.rules["found"][1])
        said.append(
            form.say(
                "Do not offer it for: {names}. There it finds the thing too seldom to be sure of {line} of 100.",
                names=_names(bad),
                line=line,
            )
        )
    few = [place.name for place in report.verdict.places if place.state == OPEN]
    if few:
        said.append(form.say("Too few photos to say anything about: {names}.", names=_names(few)))
    return said


def _names(names: Sequence[str]) -> str:
    rest = f" (+{len(names) - MOST_NAMES})" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + rest


def _real(ruling: Ruling, form: Form) -> list[Markup]:
    return (
        [
            form.say(
                "Most test photos were pictures of stores, not photos by shoppers. Expect worse from real ones; begin with a small part of your visitors."
            )
        ]
        if ruling.state != PASSED
        else []
    )


def _promise(report: Report, form: Form) -> list[Markup]:
    kept = report.run.promise if report.run else None
    if kept is None or not kept.certified or kept.threshold is None:
        return [
            form.say(
                "Nothing certified stands behind “exactly it”. Show “looks like it” instead, or run `lensback promise`."
            )
        ]
    return [
        form.say(
            "Say “exactly it” from a match probability of {threshold} on (the service does this by itself).",
            threshold=form.speech.number(kept.threshold),
        )
    ]


def _misled(report: Report, form: Form) -> list[Markup]:
    strangers = (
        [o for o in report.run.outcomes if not o.present and o.verdict] if report.run else []
    )
    share = Share.of(strangers, misled)
    return (
        [
            form.say(
                "Of 100 things that nobody sells, {a} are still called “exactly it”. Word it as “probably this one”, and show the picture large enough to compare.",
                a=form.hundred(share.value),
            )
        ]
        if share.hits
        else []
    )


def _boxes(report: Report, form: Form) -> list[Markup]:
    lost = report.run.errors.get(questions.UNDETECTED, 0) if report.run else 0
    return (
        [
            form.say(
                "Where several things are in a photo, let the shopper draw the box: {n} of the test failed because the wrong part of the photo was searched.",
                n=form.photos(lost),
            )
        ]
        if lost
        else []
    )


def _slow(ruling: Ruling, form: Form) -> list[Markup]:
    if ruling.state != LIMITED or ruling.value is None:
        return []
    return [
        form.say(
            "Answers take up to {value} seconds: show at once that something is happening.",
            value=form.rounded(ruling.value),
        )
    ]


# ---- the table


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One line of the table of rules, in words."""

    rule: str
    figure: str
    n: str
    chart: Markup
    use: str
    limit: str
    state: str
    word: Markup
    needed: str


def rules(judged: Verdict, form: Form) -> list[RuleRow]:
    """One line for each rule, in their order."""
    return [_row(ruling, form) for ruling in judged.rulings]


def _row(ruling: Ruling, form: Form) -> RuleRow:
    share = ruling.share
    guess = ruling.rule == "money" and ruling.state == OPEN
    needed = form.say("{n} more would tell", n=ruling.needed) if ruling.needed else ""
    return RuleRow(
        rule=ruling.rule,
        figure=_figure(ruling, form),
        n=form.counted(share.hits, share.n) if share and share.known else "",
        chart=_chart(ruling, share) if share and share.known else Markup(),
        use=_line(ruling, ruling.use, form),
        limit=_line(ruling, ruling.limit, form),
        state=ruling.state,
        word=form.say(
            N_("not known: our guesses decide nothing") if guess else STATES[ruling.state]
        ),
        needed=needed,
    )


def _figure(ruling: Ruling, form: Form) -> str:
    if ruling.share is not None:
        return form.share(ruling.share)
    if ruling.value is None:
        return form.say("not known")
    if ruling.rule == "promise":
        return form.say("at most {a} of 100", a=form.hundred(float(ruling.value)))
    if ruling.rule == "leak":
        return form.photos(int(ruling.value))
    amount = form.rounded(float(ruling.value))
    return form.say("{a} s", a=amount) if ruling.rule == "slow_s" else amount


def _chart(ruling: Ruling, share: Share) -> Markup:
    lines = [line for line in (ruling.use, ruling.limit) if line is not None]
    colour = COLOUR[ruling.state]
    return charts.interval(share.low, share.value, share.high, kind=colour, lines=lines)


def _line(ruling: Ruling, line: float | None, form: Form) -> str:
    if line is None or ruling.rule == "money":
        return "—"
    if ruling.rule == "slow_s":
        return form.say("at most {a} s", a=form.rounded(line))
    if ruling.rule == "found":
        return form.say("at least {a} of 100", a=form.hundred(line))
    return form.say("at most {a} of 100", a=form.hundred(line))


def own_rules(report: Report, form: Form) -> Markup | None:
    """Says it where the customer drew lines of his own."""
    names = [form.speech.say(RULES[name]) for name in report.given.own_rules]
    return (
        form.say("The lines of these rules are yours: {names}.", names="; ".join(names))
        if names
        else None
    )
