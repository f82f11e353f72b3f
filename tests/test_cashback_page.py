"""The shopper's page in a real browser: every width, light and dark, in each language, without a script."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from browser import chromium
from lensback import grants, ledger
from lensback.db import tables as t
from lensback.ledger import claims
from lensback.ledger.claims import Bought
from lensback.settings import Settings
from lensback.types import Conversion, Money
from lensback.web import create_app
from lensback.web.assets import content_of
from lensback.workspace import Workspace, init
from page_matrix import FAULTS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

DAY = 86_400
NOW = int(datetime.now(UTC).timestamp())
USER = "user-4711"
WIDTHS = (320, 375, 768, 1280, 1920)
STATUSES = {"p": "pending", "a": "approved", "y": "paid", "d": "declined", "w": "declined"}
TERMS = {"share": "0.5", "hold_days": 30, "claim_days": 90}
STORE = "averylongnameofastorewithoutanyplacetobreakit.example"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The page in each language with a purchase in every state, visits, claims, long names and sums."""
    folder = tmp_path_factory.mktemp("page") / "w"
    init(folder)
    with Workspace(folder, Settings(encoder="pixels", index="exact", detector="whole")) as opened:
        opened.db.migrate()
        for n, click_id in enumerate([*STATUSES, "v1", "v2", "v3"]):
            row = {
                "click_id": f"{click_id}{'x' * 20}", "at": NOW - (1 if click_id == "v3" else 10) * DAY - n, "source": "go",
                "offer_id": "o" * 16, "product_id": "", "store": STORE, "search_id": "", "rank": None, "network": "awin",
                "program_id": "1", "terms": TERMS, "price_minor": 1, "currency": "RUB", "estimate_minor": None, "user_token": USER,
            }  # fmt: skip
            with opened.db.write() as c:
                opened.db.upsert(c, t.clicks, [row], ["click_id"])
        reasons = {"d": "returned", "w": "cookies"}
        news = [
            Conversion("awin", key, status, subid=f"{key}{'x' * 20}", commission=Money(123_456_789_00, "KWD" if key == "w" else "RUB"), reason=reasons.get(key, ""))
            for key, status in STATUSES.items()
        ]  # fmt: skip
        ledger.record(opened.db, news, at=NOW - DAY, source="test")
        day = datetime.fromtimestamp(NOW - 10 * DAY, UTC).date()
        said = Bought("A" * 80, day, Money(100, "RUB"), "n" * 500)
        made, _ = claims.open_claim(opened.db, USER, f"v2{'x' * 20}", said, now=NOW)
        claims.advance(opened.db, made["claim_id"], "refused", now=NOW, answer="w" * 300)
        good = grants.give_pass(opened.db, opened.path, USER, NOW)
        with TestClient(create_app(opened)) as client:
            return {
                language: whole(
                    client.get(f"/cashback/{good}", headers={"Accept-Language": language}).text
                )
                for language in ("en", "ru")
            }


def whole(page: str) -> str:
    """The page with its style sheets in it, so that it needs no server."""

    def sheet(found: re.Match[str]) -> str:
        return f"<style>{content_of(found[1]).decode()}</style>"

    assert "<script" not in page
    return re.sub(r'<link rel="stylesheet" href="/static/([\w.]+)[^>]*>', sheet, page)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ru"])
def test_nothing_overflows(
    browser: Browser, pages: dict[str, str], language: str, scheme: str
) -> None:
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_content(pages[language])
    for details in page.locator("details.claim").all():
        details.evaluate("each => each.open = true")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(FAULTS) == [], width
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    for width in (390, 640, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(FAULTS) == [], f"{width} at 200 %"
    page.evaluate("document.documentElement.style.fontSize = ''")
    page.evaluate("document.documentElement.dir = 'rtl'")
    assert page.evaluate(FAULTS) == [], "from right to left"
    page.evaluate("document.documentElement.dir = 'ltr'")
    violations = Axe().run(page).response["violations"]
    worst = [one["id"] for one in violations if one["impact"] in {"serious", "critical"}]
    assert worst == []
    assert ".." not in page.locator("main").inner_text()
    context.close()


def test_each_purchase_tells_its_story(browser: Browser, pages: dict[str, str]) -> None:
    page = browser.new_page()
    page.set_content(pages["en"])
    orders = page.locator(".order:not(.visit)")
    assert orders.count() == len(STATUSES)
    for state, now in (
        ("pending", "Seen"),
        ("approved", "Confirmed by the store"),
        ("payable", "Ready to be paid out"),
    ):
        one = page.locator(f".order.{state}")
        assert one.locator("[aria-current=step]").inner_text() == now
        assert one.locator(".to-do").inner_text().startswith("Nothing to do")
    assert page.locator(".order.declined .steps").count() == 0
    assert page.locator(".order.declined details.claim").count() == 1, (
        "of the two, one reason can be claimed"
    )
    visits = page.locator(".order.visit")
    assert visits.locator("details.claim").count() == 1
    assert visits.locator(".claim-state", has_text="It can take a while to show").count() == 1
    assert visits.locator(".claim-state", has_text="refused your claim").count() == 1
    sums = dict(
        zip(
            page.locator(".sum dt").all_inner_texts(),
            page.locator(".sum dd").all_inner_texts(),
            strict=True,
        )
    )
    assert set(sums) == {"Ready to be paid out", "Confirmed", "Waiting for the store"}
    page.close()


def test_a_claim_begins_with_the_currency_of_its_purchase(pages: dict[str, str]) -> None:
    """Where none is known, as of a visit, with the shopper's usual one."""
    said = re.findall(r'name="currency"[^>]* value="([A-Z]*)"', pages["en"])
    assert said[0] == "KWD"
    assert set(said[1:]) == {"RUB"}


def test_each_claim_says_of_what(pages: dict[str, str]) -> None:
    """A screen reader lists the buttons of a page without what stands around them."""
    said = re.findall(r'Open a claim<span class="hidden">: ([^<]+)</span>', pages["en"])
    assert len(said) >= 2
    assert all(STORE in one for one in said)
