"""Where it is weak, ten failures as pictures, and what would help."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lensback import questions
from lensback.errors import Error
from lensback.evaluate import charts
from lensback.evaluate.inputs import ASSUMED
from lensback.evaluate.page.form import Form
from lensback.evaluate.page.texts import HELP, INPUTS, PHOTO_KINDS
from lensback.evaluate.report import Report
from lensback.evaluate.shares import Share, misled, seen, seen_first, told_none
from lensback.evaluate.verdict import MIN_CASES, MIN_SLICE, PASSED, Verdict
from lensback.images import decode
from lensback.questions import Outcome
from lensback.speech import N_

SLICED = ("category", "store", "kind", "price")
MOST_ROWS = 20
MOST_FAILURES = 10
SIDE_PX = 220
FEW_VIEWS = 0.5
ORDER = (
    questions.MISLED, questions.WRONG_PRODUCT, questions.WRONG_COLOUR, questions.UNDETECTED, questions.MISSED,
    questions.LOOKALIKES, questions.UNREADABLE,
)  # fmt: skip
"""Kinds of failure, what harms most first."""


def where(outcomes: Sequence[Outcome], verdict: Verdict, form: Form) -> dict[str, Any]:
    """Parts of the photos, the weakest first."""
    states = {place.name: place.state for place in verdict.places}
    sold = [o for o in outcomes if o.present]
    parts = []
    for by in SLICED:
        rows = [_row(name, part, form) for name, part in _grouped(sold, by)]
        if by == "category":
            rows = [row | _use(states.get(row["name"], ""), form) for row in rows]
        if rows:
            rows.sort(key=lambda row: (row["n"] < MIN_SLICE, row["value"]))
            parts.append({"by": by, "rows": rows[:MOST_ROWS]})
    strangers = [o for o in outcomes if not o.present and o.verdict]
    return {"parts": parts, "strangers": [_stranger(*g, form) for g in _grouped(strangers, "kind")]}


def _grouped(outcomes: Iterable[Outcome], by: str) -> list[tuple[str, list[Outcome]]]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if name := outcome.slices.get(by):
            groups[name].append(outcome)
    return sorted(groups.items())


def part_name(name: str, form: Form) -> str:
    """A part's name in the reader's language, where it is one of ours: a kind of photo, a price."""
    if name in PHOTO_KINDS:
        return form.say(PHOTO_KINDS[name])
    rank, _, rest = name.partition(": ")
    edge, _, price = rest.rpartition("up to " if "up to " in rest else "above ")
    if rank in {"1", "2", "3"} and price and not edge:
        return form.say(
            N_("up to {price}") if "up to " in rest else N_("above {price}"), price=price
        )
    return name


def _row(name: str, part: Sequence[Outcome], form: Form) -> dict[str, Any]:
    first, screen = Share.of(part, seen_first), Share.of(part, seen)
    return {
        "name": part_name(name, form),
        "n": len(part),
        "first": form.share(first),
        "screen": form.share(screen),
        "value": screen.value,
        "chart": charts.interval(screen.low, screen.value, screen.high),
        "state": "",
        "word": "",
    }


def _use(state: str, form: Form) -> dict[str, Any]:
    words = {"passed": N_("use"), "failed": N_("not there"), "open": N_("not known")}
    return {"state": state, "word": form.say(words[state])} if state else {}


def _stranger(name: str, part: Sequence[Outcome], form: Form) -> dict[str, Any]:
    return {
        "name": part_name(name, form),
        "n": len(part),
        "told": form.share(Share.of(part, told_none)),
        "misled": form.share(Share.of(part, misled)),
    }


# ---- ten failures


def failures(outcomes: Sequence[Outcome], form: Form) -> list[dict[str, Any]]:
    """Some of each kind in turn, the surest first."""
    return [_shown(outcome, n, len(outcomes), form) for outcome, n in typical(outcomes)]


def typical(outcomes: Sequence[Outcome], most: int = MOST_FAILURES) -> list[tuple[Outcome, int]]:
    """Failures worth a look, each with how many there are of its kind; one a product first."""
    kinds: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in sorted(outcomes, key=lambda o: (-(o.probability or 0.0), o.photo)):
        if outcome.error:
            kinds[outcome.error].append(outcome)
    counts = {kind: len(found) for kind, found in kinds.items()}
    queues = [_distinct(kinds[kind]) for kind in ORDER if kind in kinds]
    in_turn = [o for row in zip_longest(*queues) for o in row if o is not None]
    chosen = in_turn[:most]
    chosen.sort(key=lambda o: ORDER.index(o.error))
    return [(outcome, counts[outcome.error]) for outcome in chosen]


def _distinct(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One of each thing before the second of any."""
    seen_things: set[str] = set()
    first: list[Outcome] = []
    later: list[Outcome] = []
    for outcome in outcomes:
        (later if outcome.cluster in seen_things else first).append(outcome)
        seen_things.add(outcome.cluster)
    return first + later


def _shown(outcome: Outcome, n: int, every: int, form: Form) -> dict[str, Any]:
    first = outcome.hits[0] if outcome.hits else None
    nothing = (
        form.say("nothing was shown") if first is None else form.say("picture not here any more")
    )
    sure = first.probability if first else None
    text = [first.title] if first else []
    text += [form.speech.say("match probability {p}", p=round(sure, 2))] if sure is not None else []
    nobody = form.say(N_("picture not here any more") if outcome.present else N_("nobody sells it"))
    return {
        "error": outcome.error,
        "count": form.counted(n, every),
        "pictures": [
            _picture(outcome.photo, form.say("the photo"), part_name(outcome.slices.get("kind", ""), form),
                     form.say("picture not here any more")),
            _picture(first.image if first else "", form.say("shown first"), " · ".join(text), nothing),
            _picture(outcome.image, form.say("right would be"), outcome.title, nobody),
        ],
    }  # fmt: skip


def _picture(path: str, head: Markup, text: str, hole: Markup) -> dict[str, Any]:
    return {"data": inline(path), "head": head, "text": text, "hole": hole}


def inline(path: str) -> str:
    """A picture as a `data:` address, which stands in the page itself; empty where it cannot be read."""
    if not path:
        return ""
    try:
        image = decode(Path(path).read_bytes(), side_px=SIDE_PX)
    except (Error, OSError):
        return ""
    image.thumbnail((SIDE_PX, SIDE_PX * 4 // 3))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=72)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")


# ---- what would help


def advice(report: Report, form: Form) -> list[Markup]:
    """What is worth doing first: what decides nothing yet, then the most frequent failures."""
    run = report.run
    if run is None:
        return []
    by = {ruling.rule: ruling for ruling in report.verdict.rulings}
    said = []
    if by["real_photos"].state != PASSED:
        said.append(
            form.say(
                "**Photos by real shoppers.** Ask 100 of them for a photo of a thing that they bought at a connected store; note the offer. That is worth more than any other test."
            )
        )
    if run.queries["absent"] < MIN_CASES:
        said.append(
            form.say(
                "**Photos of things that nobody sells.** At least 60, better 300: without them nobody knows how often shoppers are misled."
            )
        )
    frequent = sorted(run.errors.items(), key=lambda pair: -pair[1])
    said += [form.say(HELP[error], n=form.photos(n)) for error, n in frequent if error in HELP]
    if not (run.promise and run.promise.certified):
        said.append(
            form.say(
                "**Certify “exactly it”** with `lensback promise`; products with several pictures are needed for it."
            )
        )
    images, products = int(run.gallery["images"]), int(run.gallery["products"])
    if images < (1 + FEW_VIEWS) * products:
        said.append(
            form.say(
                "**More pictures of each product.** Where a store shows one picture only, another side of the thing cannot be recognised."
            )
        )
    guessed = [s.name for s in report.business.swings[:3] if s.kind == ASSUMED]
    if guessed:
        said.append(
            form.say(
                "**Find out:** {names}. These move the amounts most.",
                names="; ".join(form.speech.say(INPUTS[name]) for name in guessed),
            )
        )
    return said
