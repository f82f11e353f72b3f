"""The report as one HTML page that stands alone: no script, nothing fetched, prints well.

`form.py` numbers for people · `decision.py` verdict and rules · `hundred.py` of 100 shoppers ·
`money.py` amounts and inputs · `weak.py` where it is weak, failures, what would help · `use.py` live
use · `method.py` every figure. Each turns what is known into words; the template only lays out.
"""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from lensback import __version__
from lensback.evaluate.page import decision, hundred, method, money, texts, use, weak
from lensback.evaluate.page.form import Form
from lensback.evaluate.report import Report
from lensback.legible import shown
from lensback.speech import Speech
from lensback.workspace import write_atomically


def render(report: Report) -> str:
    """The page as HTML. Raises UnknownName for a language that has no .po file."""
    env = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(_file),
        trim_blocks=True,
        finalize=shown,
    )
    form = Form(Speech(report.language))
    values = {"_": form.say, "language": report.language, "t": texts, "v": view(report, form)}
    return env.get_template("report.html").render(values)


def write(made: Report, path: Path) -> None:
    """The page as one file. Raises StateError where it cannot be written."""
    write_atomically(path, render(made))


def _file(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text("utf-8")


def view(report: Report, form: Form) -> dict[str, Any]:
    """What the template lays out."""
    run = report.run
    outcomes = run.outcomes if run else ()
    made = {
        "css": Markup(_file("report.css")),  # noqa: S704 - our own file
        "name": report.title or (run.name if run else ""),
        "made": form.say(
            "Made on {day} by Lensback {version}.",
            day=form.speech.date(int(time.time())),
            version=__version__,
        ),
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


def _tested(report: Report, form: Form) -> Markup:
    run = report.run
    if run is None:
        return form.say(
            "No test with photos of known answer was made: what follows comes from live use alone."
        )
    return form.say(
        "Tested on {photos} ({sold} of things that your stores sell, {strangers} of things that they do not), searched among {products} on {pictures}. Encoder: {encoder}.",
        photos=form.photos(run.queries["all"]),
        sold=run.queries["present"],
        strangers=run.queries["absent"],
        products=form.products(int(run.gallery["products"])),
        pictures=form.pictures(int(run.gallery["images"])),
        encoder=run.encoder.get("name", ""),
    )
