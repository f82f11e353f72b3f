"""Of 100 shoppers: what each of them sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lensback.evaluate import charts
from lensback.evaluate.page.form import Form
from lensback.evaluate.runs import Outcome
from lensback.evaluate.shares import Share, misled, of_hundred, seen, seen_first, told
from lensback.evaluate.words import Html


@dataclass(frozen=True, slots=True)
class Line:
    colour: str
    count: int
    text: Html
    figure: str


@dataclass(frozen=True, slots=True)
class Group:
    """A hundred people, or the words why nothing is known."""

    head: Html
    none: Html
    rows: tuple[Line, ...] = ()
    chart: str = ""
    how: str = ""


Kind = tuple[str, str, Callable[[Outcome], bool]]

SOLD: tuple[Kind, ...] = (
    ("first", "p-good", seen_first),
    ("lower", "p-fair", lambda o: seen(o) and not seen_first(o)),
    ("alike", "p-alike", lambda o: not seen(o) and not told(o)),
    ("empty", "p-empty", lambda o: told(o) and not seen(o)),
)
STRANGERS: tuple[Kind, ...] = (
    ("told", "p-good", told),
    ("shown", "p-alike", lambda o: not told(o) and not misled(o)),
    ("misled", "p-bad", misled),
)


def groups(outcomes: Sequence[Outcome], form: Form) -> tuple[Group, Group]:
    """Those who photograph what is sold, and those who photograph what nobody sells."""
    sold = [o for o in outcomes if o.present]
    strangers = [o for o in outcomes if not o.present and o.verdict]
    things = len({o.cluster or o.photo for o in sold})
    return (
        _group("sold", sold, SOLD, form, form.w("hundred.how_sold", n=len(sold), things=things)),
        _group("strangers", strangers, STRANGERS, form, form.w("hundred.how_strangers", n=len(strangers))),
    )  # fmt: skip


def _group(
    name: str, outcomes: Sequence[Outcome], kinds: Sequence[Kind], form: Form, how: Html
) -> Group:
    head, none = form.w(f"hundred.{name}_head"), form.w(f"hundred.none_{name}")
    if not outcomes:
        return Group(head, none)
    shares = [Share.of(outcomes, good) for _, _, good in kinds]
    counts = of_hundred([share.value for share in shares])
    rows = tuple(
        Line(colour, count, form.w(f"hundred.{key}"), f"{form.share(s)} · {form.counted(s)}")
        for (key, colour, _), count, s in zip(kinds, counts, shares, strict=True)
    )
    chart = charts.people(counts, [colour for _, colour, _ in kinds], str(head))
    return Group(head, none, rows, chart, how)
