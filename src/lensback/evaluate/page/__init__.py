"""The report as one HTML page that stands alone: no script, nothing fetched, prints well.

`form.py` numbers for people · `decision.py` verdict and rules · `hundred.py` of 100 shoppers ·
`money.py` amounts and inputs · `weak.py` where it is weak, failures, what would help · `use.py` live
use · `method.py` every figure. Each turns what is known into words; the template only lays out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from lensback import __version__
from lensback.errors import MissingExtra
from lensback.evaluate.page import decision, hundred, method, money, use, weak
from lensback.evaluate.page.form import Form
from lensback.evaluate.words import Html, words

if TYPE_CHECKING:
    from lensback.evaluate.verbs import Report


def render(report: Report) -> str:
    """The page. Raises MissingExtra without jinja2, UnknownName for a language we do not speak."""
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtra("jinja2", extra="web") from error
    env = Environment(
        autoescape=True, undefined=StrictUndefined, loader=FunctionLoader(_file), trim_blocks=True
    )
    form = Form(words(report.language))
    return env.get_template("report.html").render(w=form.w, v=view(report, form))


def _file(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text("utf-8")


def view(report: Report, form: Form) -> dict[str, Any]:
    """What the template lays out."""
    run = report.run
    outcomes = run.outcomes if run else ()
    made = {
        "css": Html(_file("report.css")),
        "name": report.title or (run.name if run else ""),
        "made": form.w("page.made", day=_today(), version=__version__),
        "tested": _tested(report, form),
        "run": run is not None,
        "verdict": decision.verdict(report, form),
        "rules": decision.rules(report.verdict, form),
        "own_rules": decision.own_rules(report, form),
        "hundred": hundred.groups(outcomes, form) if run else (),
        "money": money.section(report.business, form),
        "inputs": money.inputs(report.business, form),
        "where": weak.where(outcomes, report.verdict, form),
        "failures": weak.failures(outcomes, form),
        "help": weak.advice(report, form),
        "live": use.section(report.usage, form),
        "method": method.section(run, form) if run else None,
    }
    with_run = ("hundred", "where", "failures", "help", "method")
    every = ("verdict", "hundred", "money", "rules", "where", "failures", "help", "live", "inputs")
    made["sections"] = [
        key
        for key in (*every, "method")
        if (run or key not in with_run) and (key != "live" or report.usage)
    ]
    return made


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _tested(report: Report, form: Form) -> Html:
    run = report.run
    if run is None:
        return form.w("page.untested")
    return form.w(
        "page.tested",
        photos=run.queries["all"],
        sold=run.queries["present"],
        strangers=run.queries["absent"],
        products=int(run.gallery["products"]),
        pictures=int(run.gallery["images"]),
        encoder=run.encoder.get("name", ""),
    )
