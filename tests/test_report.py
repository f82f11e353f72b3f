"""The customer's report: money from named inputs, words in two languages, a page that stands alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from browser import chromium
from lensback import ledger, questions
from lensback.errors import BadQuery, ConfigError, StateError, UnknownName
from lensback.evaluate import charts, measure, page, report, runs, usage
from lensback.evaluate.business import COUNTS, SUMS, Funnel, OfferPrices, flow, reckon
from lensback.evaluate.inputs import (
    ASSUMED,
    ASSUMPTIONS,
    GIVEN,
    GIVEN_ONLY,
    MEASURED,
    RULES,
    Assumptions,
    Counted,
    example_assumptions,
    read_assumptions,
)
from lensback.evaluate.page import method, texts
from lensback.evaluate.page.form import Form
from lensback.evaluate.page.weak import typical
from lensback.evaluate.shares import of_hundred
from lensback.evaluate.usage import stability
from lensback.evaluate.verdict import judge
from lensback.journal import Record
from lensback.settings import Settings
from lensback.speech import Speech, languages
from lensback.types import Conversion, Money, Offer, StoredOffer
from lensback.workspace import Workspace, init
from outcomes import honest, outcome, system

DOCS = Path(__file__).parents[1] / "docs"
NOW = 1_760_000_000


# ---- money


GIVEN_ALL = """
currency = "EUR"
sold = 0.5
click_first = 0.4
click_lower = 0.2
click_alike = 0.1
order_right = 0.05
order_alike = 0.01
commission_rate = 0.1
declined = 0.2
cashback_share = 0.5
order_value = 100
machine_hour = 0.36
misled_cost = 2
[why]
sold = "our own poll"
"""


def test_a_certain_world_gives_the_sum_done_by_hand() -> None:
    """Half is sold and always first; nobody is misled; the rest is told so."""
    values = {name: np.asarray(value) for name, value in {
        "sold": 0.5, "first": 1.0, "lower": 0.0, "empty_sold": 0.0, "misled": 0.0, "told": 1.0,
        "click_first": 0.4, "click_lower": 0.2, "click_alike": 0.1, "order_right": 0.05,
        "order_alike": 0.01, "declined": 0.2, "order_value": 100.0, "commission_rate": 0.1,
        "cashback_share": 0.5, "search_s": 0.1, "machine_hour": 0.36,
    }.items()}  # fmt: skip
    out = {name: float(value) for name, value in flow(values).items()}
    assert out["right_clicks"] == pytest.approx(200)
    assert out["other_clicks"] == pytest.approx(0)
    assert out["orders"] == pytest.approx(10)
    assert out["commission"] == pytest.approx(80)
    assert out["cashback"] == pytest.approx(40)
    assert out["machine"] == pytest.approx(0.01)
    assert out["stays"] == pytest.approx(39.99)


def test_each_input_says_where_it_is_from() -> None:
    given = read_assumptions(GIVEN_ALL)
    found = reckon(system(honest).outcomes, given, on_sale=OfferPrices((10.0, 20.0), "EUR"))
    kinds = {each.name: each.kind for each in found.inputs}
    assert kinds["first"] == kinds["misled"] == kinds["search_s"] == MEASURED
    assert kinds["sold"] == kinds["order_value"] == GIVEN
    assert {each.why for each in found.inputs if each.name == "sold"} == {"our own poll"}
    ours = reckon(system(honest).outcomes, Assumptions(), on_sale=OfferPrices((10.0, 20.0), "EUR"))
    kinds = {each.name: each.kind for each in ours.inputs}
    assert kinds["sold"] == kinds["order_value"] == kinds["machine_hour"] == ASSUMED
    assert ours.currency == "EUR"


def test_a_full_ledger_replaces_the_guesses() -> None:
    funnel = Funnel(1000, 300, 12, 40, 8, (50.0,) * 30, (0.08,) * 30, "EUR")
    found = reckon(system(honest).outcomes, Assumptions(), funnel)
    kinds = {each.name: each.kind for each in found.inputs}
    assert kinds["clicked"] == kinds["ordered"] == kinds["order_value"] == MEASURED
    assert "click_first" not in kinds
    assert kinds["declined"] == ASSUMED, "40 settled sales are too few"
    assert found.lines["clicks"].low < 300 < found.lines["clicks"].high
    assert found.lines["orders"].low < 12 < found.lines["orders"].high


def test_without_photos_and_ledger_nothing_is_reckoned() -> None:
    found = reckon((), Assumptions())
    assert not found.known
    assert {"first", "misled"} <= set(found.missing)


def test_an_unknown_order_value_leaves_the_amounts_out() -> None:
    found = reckon(system(honest).outcomes, Assumptions())
    assert "orders" in found.lines
    assert "commission" not in found.lines
    assert "order_value" in found.missing


def test_the_tornado_names_what_moves_the_result_most() -> None:
    text = GIVEN_ALL.replace("sold = 0.5", "sold = [0.1, 0.5, 0.9]")
    found = reckon(system(honest).outcomes, read_assumptions(text))
    assert found.swings[0].name == "sold"
    assert found.swings[0].at_low < found.swings[0].middle < found.swings[0].at_high
    sizes = [swing.size for swing in found.swings]
    assert sizes == sorted(sizes, reverse=True)


def test_a_counted_share_covers_the_truth() -> None:
    """Jeffreys' interval in a thousand repetitions."""
    random = np.random.default_rng(2)
    held = 0
    for hits in random.binomial(100, 0.3, 1000):
        low, high = np.quantile(Counted(int(hits), 100).draw(random, 2000), [0.025, 0.975])
        held += low <= 0.3 <= high
    assert 925 <= held <= 975


def test_guesses_alone_decide_no_verdict() -> None:
    ours = reckon(system(honest).outcomes, Assumptions(), on_sale=OfferPrices((10.0, 20.0), "EUR"))
    assert report.settled(ours) is None
    yours = reckon(system(honest).outcomes, read_assumptions(GIVEN_ALL))
    assert report.settled(yours) is not None


# ---- assumptions.toml


def test_the_example_file_is_commented_whole_and_readable() -> None:
    text = example_assumptions()
    assert read_assumptions(text) == Assumptions()
    uncommented = "\n".join(
        line.removeprefix("# ")
        for line in text.splitlines()
        if re.match(r"# (\w+ = |\[\w+\]$)", line)
    )
    found = read_assumptions(uncommented)
    assert set(found.inputs) == {a.name for a in ASSUMPTIONS} | set(GIVEN_ONLY)
    assert found.rules == RULES
    for assumed in ASSUMPTIONS:
        assert found.inputs[assumed.name].spread == assumed.spread


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sould = 0.3", "'sould': is not known"),
        ("sold = 1.5", "'sold': is out of range"),
        ("sold = -0.5", "'sold': is negative"),
        ("order_value = [-1, 2, 3]", "'order_value': is negative"),
        ("sold = [0.5, 0.2, 0.9]", "'sold': is not in order"),
        ('sold = "much"', "'sold.0': must be a valid number"),
        ("sold = true", "'sold.0': must be a valid number"),
        ("sold = inf", "'sold.0': must be a finite number"),
        ("sold = [0.1, 0.2]", "'sold.2': is missing"),
        ("currency = 7", "'currency': must be a valid string"),
        ('currency = "euro"', "'currency': is no code"),
        ("[rules]\nfound = [0.2, 0.8]", "'rules.found': makes no sense"),
        ("[rules]\nmisled = [0.8, 0.2]", "'rules.misled': makes no sense"),
        ("[rules]\nmisled = [0.8, 1.2]", "'rules.misled': makes no sense"),
        ("[rules]\nnonsense = [0.2, 0.8]", "'rules.nonsense': is not known"),
        ("why = 3", "'why': must be"),
        ("sold = ", "not valid TOML"),
    ],
)
def test_a_wrong_assumption_is_named(text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)) as caught:
        read_assumptions(text)
    assert caught.value.hint


def test_a_wrong_assumption_is_told_with_what_it_stands_for() -> None:
    with pytest.raises(ConfigError) as caught:
        read_assumptions("sold = 1.5")
    assert "the share that a connected store sells" in caught.value.hint


def test_rules_of_the_customer_count() -> None:
    given = read_assumptions("[rules]\nfound = [1.0, 1.0]")
    assert given.own_rules == ("found",)
    assert judge(system(honest), given.rules, None).name == "refuse"


# ---- words


def test_every_figure_rule_input_and_error_has_its_words() -> None:
    assert [figure.name for figure in measure.figures([])] == list(texts.FIGURES)
    assert all(each.words and each.formula for each in texts.FIGURES.values())
    rulings = judge(None, RULES, None).rulings
    assert {ruling.rule for ruling in rulings} == set(texts.RULES)
    assert {ruling.rule for ruling in rulings if ruling.share or ruling.rule == "promise"} <= set(
        texts.DECIDED
    )
    assumed = {each.name for each in ASSUMPTIONS}
    assert assumed <= set(texts.WHYS)
    assert assumed | set(GIVEN_ONLY) <= set(texts.INPUTS)
    assert set(questions.ERRORS) == set(texts.HELP)
    assert {*questions.ERRORS, "right"} == set(texts.ERRORS)
    assert {*COUNTS, *SUMS} == set(texts.LINES)


def test_a_language_we_do_not_speak_is_refused(tmp_path: Path) -> None:
    runs.write(system(honest), tmp_path)
    with pytest.raises(UnknownName):
        page.render(report.report(report.Wanted(Assumptions(), run=tmp_path, language="xx"), None))


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "0"), (0.0004, "<\u202f0.1"), (0.004, "0.4"), (0.64, "64"), (0.9996, "99.9"), (1.0, "100")],
)  # fmt: skip
def test_what_is_not_all_or_nothing_is_not_rounded_to_it(share: float, said: str) -> None:
    assert Form(Speech("en")).hundred(share) == said


def test_a_hundred_people_are_a_hundred() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        parts = random.dirichlet([0.3] * 4)
        counts = of_hundred(parts.tolist())
        assert sum(counts) == 100
        assert min(counts) >= 0
        assert counts[-1] > 0


# ---- the page


class Reader(HTMLParser):
    """Fails on tags that do not nest, and gathers what is fetched."""

    VOID = frozenset({"meta", "img", "br", "rect", "circle", "path", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.sources += [str(named[n]) for n in ("src",) if named.get(n)]
        if named.get("id"):
            self.ids.add(str(named["id"]))
        if tag == "a":
            self.links.add(str(named["href"]))
        assert tag != "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "shirt.jpg"
    Image.effect_noise((60, 80), 50).convert("RGB").save(path)
    return str(path)


def liar(picture: str) -> runs.Run:
    """A run with every kind of error, pictures, and a title that tries to be markup."""
    made = list(system(honest, n=70).outcomes)
    shown = questions.ShownProduct(
        "p", "<script>alert(1)</script>", picture, 0.5, 0.99, True, False
    )
    for n, error in enumerate(questions.ERRORS):
        sold = error not in {questions.MISLED, questions.LOOKALIKES}
        made.append(
            replace(
                outcome(900 + n, "exact" if error == questions.MISLED else "similar", sold=sold, right=False),
                photo=picture, image=picture, error=error, hits=(shown,),
            )
        )  # fmt: skip
    base = system(honest, n=70)
    about = measure.About(
        "live", "a <b>shop</b>", {"name": "eye"}, {"images": 9, "products": 9}, 20
    )
    return replace(
        measure.run_of(about, made),
        leaks=base.leaks,
        promise=base.promise,
        notes=("studio_views", "a note by hand"),
    )


@pytest.mark.parametrize("language", languages())
def test_the_page_stands_alone_in_both_languages(
    language: str, picture: str, tmp_path: Path
) -> None:
    runs.write(liar(picture), tmp_path / "run")
    given = read_assumptions(GIVEN_ALL.replace("click_alike = 0.1", ""))
    want = report.Wanted(given, run=tmp_path / "run", language=language)
    made = report.report(want, None)
    page.write(made, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    found = read(text)
    assert found.links == {f"#{name}" for name in found.ids}
    assert found.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in found.sources)
    assert "http" not in re.sub(r"data:\S+", "", text)
    assert "<script" not in text
    assert "<b>shop</b>" not in text
    assert "a note by hand" in found.text
    say = Speech(language).say
    for text in (*texts.ORIGINS.values(), texts.SECTIONS["money"], texts.WHYS["click_alike"]):
        assert say(text) in found.text
    assert "our own poll" in found.text


@pytest.mark.parametrize("language", languages())
def test_kinds_of_photo_that_nobody_knows_are_named_on_the_page(
    language: str, picture: str, tmp_path: Path
) -> None:
    """Text of whoever made the queries: it is no markup; what is known is not named."""
    base = liar(picture)
    kinds = ("selfie", "<i>mine</i>", "Street, autumn", "held-out view")
    marked = [
        replace(one, slices={**one.slices, "kind": kinds[n % len(kinds)]})
        for n, one in enumerate(base.outcomes)
    ]
    for name, outcomes in (("strange", marked), ("known", base.outcomes)):
        runs.write(replace(base, outcomes=tuple(outcomes)), tmp_path / name)
        made = report.report(
            report.Wanted(Assumptions(), run=tmp_path / name, language=language), None
        )
        text = page.render(made)
        told = Speech(language).say(method.STRANGE_KINDS)
        kept = told.replace("{kinds}", "“<i>mine</i>”, “selfie”")
        kept = kept.replace("{words}", "shopper, street, phone, real")
        assert (kept in read(text).text) == (name == "strange")
        assert "<i>mine" not in text


def test_the_page_in_a_browser(picture: str, tmp_path: Path) -> None:
    """No barrier that axe sees, nothing wider than a phone, nothing fetched, and a PDF of A4 pages."""
    runs.write(liar(picture), tmp_path)
    made = report.report(report.Wanted(read_assumptions(GIVEN_ALL), run=tmp_path), None)
    page.write(made, tmp_path / "report.html")
    with chromium() as browser:
        shown = browser.new_page(viewport={"width": 390, "height": 844})
        asked: list[str] = []
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto((tmp_path / "report.html").as_uri())
        assert [url for url in asked if not url.startswith("data:")] == [
            (tmp_path / "report.html").as_uri()
        ]
        assert shown.evaluate("document.documentElement.scrollWidth") <= 390
        found = Axe().run(shown).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
        paper = shown.pdf(prefer_css_page_size=True, print_background=True)
        assert len(re.findall(rb"/Type\s*/Page\b", paper)) >= 3


def test_a_run_of_nothing_still_makes_a_page(tmp_path: Path) -> None:
    about = measure.About("benchmark", "empty", {"name": "eye"}, {"images": 0, "products": 0}, 0)
    runs.write(measure.run_of(about, []), tmp_path)
    made = report.report(report.Wanted(Assumptions(), run=tmp_path), None)
    assert made.verdict.name == "unknown"
    assert "not known" in read(page.render(made)).text


def test_ten_failures_show_every_kind_and_no_thing_twice_first() -> None:
    made = list(liar("").outcomes)
    made += [
        replace(made[-1], photo=f"{n}", error=questions.MISSED, cluster="one") for n in range(50)
    ]
    chosen = typical(made)
    assert len(chosen) == 10
    assert {found.error for found, _ in chosen} == set(questions.ERRORS)
    assert next(n for found, n in chosen if found.error == questions.MISSED) == 51


def test_nothing_to_report_on_is_said(tmp_path: Path) -> None:
    init(tmp_path)
    with Workspace(tmp_path, Settings()) as workspace, pytest.raises(StateError) as caught:
        report.report(report.Wanted(Assumptions()), workspace)
    assert "lensback evaluate" in caught.value.hint
    with pytest.raises(BadQuery):
        report.report(report.Wanted(Assumptions(), run=tmp_path / "nowhere"), None)


def test_a_chart_holds_no_foreign_markup() -> None:
    assert "<script>" not in charts.people([1], ["x"], "&lt;script&gt;")


# ---- live use


def answered(n: int, verdict: str, probability: float, variant: str = "", at: int = NOW) -> Record:
    return Record("search", {
        "search_id": f"search{n:06d}", "at": at, "source": "page", "encoder": "e", "snapshot": "s",
        "verdict": verdict, "probability": probability, "similarity": 0.5, "latency_ms": 20.0 + n % 10,
        "shown": 0 if verdict == "none" else 3,
        "hits": [[f"p{k}", [f"offer{k:011d}"], k, probability] for k in (1, 2, 3)],
        "filters": {}, "photo": {"width": 300, "height": 400}, "variant": variant,
    })  # fmt: skip


def clicked(n: int, place: int = 1) -> Record:
    stored = StoredOffer(
        f"offer{place:011d}", "hats", f"p{place}",
        Offer("1", "Hat", "https://h.example", Money(5000, "EUR")),
    )  # fmt: skip
    terms = {"share": "0.6", "hold_days": 30, "claim_days": 60}
    body = ledger.click_body(
        f"click{n:06d}", stored, at=NOW, source="go", search_id=f"search{n:06d}",
        network="demo", program_id="7", terms=terms,
    )  # fmt: skip
    return Record("click", body)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Workspace]:
    init(tmp_path / "live")
    with Workspace(tmp_path / "live", Settings()) as workspace:
        yield workspace


def test_live_use_is_counted(live: Workspace) -> None:
    records = [
        answered(n, "exact" if n % 2 else "none", 0.97 if n % 2 else 0.0) for n in range(300)
    ]
    records += [clicked(n, 1 + n % 3) for n in range(1, 91, 2)]
    ledger.apply(live.db, records)
    sale = Conversion(
        network="demo", external_id="s1", subid="click000001", status="approved",
        commission=Money(400, "EUR"), order_value=Money(5000, "EUR"),
    )  # fmt: skip
    ledger.record(live.db, [sale], at=NOW, source="test")
    seen = usage.usage(live, NOW - 10)
    assert (seen.searches, seen.clicks) == (300, 45)
    assert dict(seen.verdicts) == {"exact": 150, "none": 150}
    assert seen.by_rank == {1: 15, 2: 15, 3: 15}
    assert seen.shown_at[1] == 150
    assert seen.latency_p50_ms == pytest.approx(24.5)
    assert (seen.funnel.searches, seen.funnel.clicked, seen.funnel.orders) == (300, 45, 1)
    assert seen.funnel.order_values == (50.0,)
    assert seen.funnel.commission_rates == (0.08,)
    assert usage.usage(live, NOW + 10).searches == 0
    text = page.render(report.report(report.Wanted(Assumptions(), since=NOW - 10), live))
    assert "since Oct 9, 2025" in read(text).text
    by = {each.name: each.state for each in seen.watchmen}
    assert by["promise"] == usage.ALARM, "things are called exact and nothing was promised"
    assert by["votes"] == usage.TOO_FEW


def test_votes_against_what_was_called_exact_raise_the_alarm(live: Workspace) -> None:
    votes = [
        Record("feedback", ledger.feedback_body(f"search{n:06d}", "p1", -1 if n < 12 else 1, NOW))
        for n in range(60)
    ]
    ledger.apply(live.db, [*(answered(n, "exact", 0.97) for n in range(60)), *votes])
    by = {each.name: each for each in usage.usage(live).watchmen}
    assert by["votes"].state == usage.ALARM
    assert (by["votes"].value, by["votes"].n) == (0.2, 60)


def test_drift_is_seen_and_sampling_noise_is_not() -> None:
    random = np.random.default_rng(4)
    before = random.multinomial(600, [0.1] * 10)
    quiet = [stability(before, random.multinomial(300, [0.1] * 10)) for _ in range(300)]
    assert max(quiet) < usage.DRIFTED
    moved = [0.02] * 5 + [0.18] * 5
    assert stability(before, random.multinomial(300, moved)) > usage.DRIFTED


def test_two_encoders_on_live_searches_are_reported(live: Workspace) -> None:
    records = [answered(n, "exact", 0.97, "ab"[n % 2]) for n in range(800)]
    records += [clicked(n) for n in range(800) if n % 2 and n % 3 == 0]
    records += [clicked(n) for n in range(800) if n % 2 == 0 and n % 20 == 0]
    ledger.apply(live.db, records)
    found = usage.usage(live).trial
    assert found is not None
    assert (found.a.searches, found.b.searches, found.state) == (400, 400, "b")
    text = page.render(report.report(report.Wanted(Assumptions()), live))
    assert "The encoder on trial is clicked more often" in read(text).text


# ---- the docs tell the same


def test_the_docs_hold_the_rules_lines_and_assumptions() -> None:
    text = (DOCS / "report.md").read_text("utf-8")
    for name, (use, limit) in RULES.items():
        assert f"| `{name}` | {use:g} | {limit:g} |" in text, name
    for assumed in ASSUMPTIONS:
        s = assumed.spread
        assert f"| `{assumed.name}` | {s.low:g}, {s.likely:g}, {s.high:g} |" in text, assumed.name
    figures = (DOCS / "evaluation.md").read_text("utf-8")
    for figure in measure.figures([]):
        assert f"`{figure.name}`" in figures, figure.name
