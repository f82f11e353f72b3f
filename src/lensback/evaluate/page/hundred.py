"""Of 100 shoppers: what each of them sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lensback.evaluate import charts
from lensback.evaluate.page.form import Form
from lensback.evaluate.shares import Share, misled, of_hundred, seen, seen_first, told_none
from lensback.questions import Outcome
from lensback.speech import N_


@dataclass(frozen=True, slots=True)
class Line:
    """Some of a hundred shoppers: how many, and what they see."""

    colour: str
    count: int
    text: Markup
    figure: str


@dataclass(frozen=True, slots=True)
class Group:
    """A hundred people, or the words why nothing is known."""

    head: Markup
    none: Markup
    rows: tuple[Line, ...] = ()
    chart: str = ""
    how: str = ""


Kind = tuple[str, str, Callable[[Outcome], bool]]

SOLD: tuple[Kind, ...] = (
    (N_("see that very thing first"), "p-good", seen_first),
    (N_("see it further down the first screen"), "p-fair", lambda o: seen(o) and not seen_first(o)),
    (N_("see only other things"), "p-alike", lambda o: not seen(o) and not told_none(o)),
    (N_("are told that nothing was found"), "p-empty", lambda o: told_none(o) and not seen(o)),
)
STRANGERS: tuple[Kind, ...] = (
    (N_("are honestly told that nothing was found"), "p-good", told_none),
    (
        N_("see things that look like it, nothing is claimed"),
        "p-alike",
        lambda o: not told_none(o) and not misled(o),
    ),
    (N_("are misled: something is called “exactly it”"), "p-bad", misled),
)


def groups(outcomes: Sequence[Outcome], form: Form) -> tuple[Group, Group]:
    """Those who photograph what is sold, and those who photograph what nobody sells."""
    sold = [o for o in outcomes if o.present]
    strangers = [o for o in outcomes if not o.present and o.verdict]
    things = len({o.cluster or o.photo for o in sold})
    return (
        _group(
            form.say("Of 100 shoppers who photograph a thing that a connected store sells"),
            form.say("No photo of the test shows a thing that is sold: not known."),
            (sold, SOLD),
            form.say(
                "Counted on {n} of {things}. “First screen” is the first 12 products. A thing of another colour is not the thing.",
                n=form.photos(len(sold)),
                things=form.things(things),
            ),
            form,
        ),
        _group(
            form.say("Of 100 shoppers who photograph something that nobody sells"),
            form.say(
                "No photo of the test shows a thing that nobody sells, or no answer could be judged: not known."
            ),
            (strangers, STRANGERS),
            form.say("Counted on {n}.", n=form.photos(len(strangers))),
            form,
        ),
    )


def _group(
    head: Markup,
    none: Markup,
    counted: tuple[Sequence[Outcome], Sequence[Kind]],
    how: Markup,
    form: Form,
) -> Group:
    outcomes, kinds = counted
    if not outcomes:
        return Group(head, none)
    shares = [Share.of(outcomes, good) for _, _, good in kinds]
    counts = of_hundred([share.value for share in shares])
    rows = tuple(
        Line(colour, count, form.say(words), f"{form.share(s)} · {form.counted(s.hits, s.n)}")
        for (words, colour, _), count, s in zip(kinds, counts, shares, strict=True)
    )
    chart = charts.people(counts, [colour for _, colour, _ in kinds], str(head))
    return Group(head, none, rows, chart, how)
