"""Awkward catalogues at every width: nothing overflows, overlaps, stands uneven, is too pale or too small."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from browser import chromium
from page_matrix import COVERED, FAULTS, NO_SHADE, STATES, WATCH, WIDTHS, matrix

pytestmark = pytest.mark.slow
MOST_SHIFT = 0.02
SOME_WIDTHS = (320, 412, 768, 1280)
THINGS = ("exact", "similar", "product", "shared")
"""States that are looked at in every width; bench/page_pictures.py does so in all of them."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with matrix(tmp_path_factory.mktemp("matrix") / "workspace") as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce", has_touch=True)
    context.add_init_script(WATCH)
    opened = context.new_page()
    yield opened
    context.close()


def opened(
    page: Page, address: str, state: str, language: str = "en", scheme: str = "light"
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{address}/matrix/{state}?lang={language}", wait_until="load")


def faults_at(page: Page, width: int) -> list[str]:
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return [f"{width} px: {fault}" for fault in page.evaluate(FAULTS)]


@pytest.mark.parametrize("state", STATES)
def test_every_width(page: Page, address: str, state: str) -> None:
    page.set_viewport_size({"width": 412, "height": 800})
    opened(page, address, state)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.shift") < MOST_SHIFT
    widths = WIDTHS if state in THINGS else SOME_WIDTHS
    found = [fault for width in widths for fault in faults_at(page, width)]
    opened(page, address, state, "ru", "dark")
    found += [fault for width in SOME_WIDTHS for fault in faults_at(page, width)]
    page.evaluate("document.documentElement.style.fontSize = '200%'")  # 200 % zoom of the text
    found += [f"200 %: {fault}" for width in (390, 1024, 1280) for fault in faults_at(page, width)]
    page.evaluate("document.documentElement.style.fontSize = ''")
    page.evaluate("document.documentElement.dir = 'rtl'")  # a language that begins on the right
    found += [f"rtl: {fault}" for width in (320, 1280) for fault in faults_at(page, width)]
    assert found == []


@pytest.mark.parametrize("state", THINGS)
def test_nothing_lies_on_a_control(page: Page, address: str, state: str) -> None:
    opened(page, address, state)
    for width in (412, 1280):
        page.set_viewport_size({"width": width, "height": 9000})
        assert page.evaluate(COVERED) == [], width
    page.locator(".more-offers summary").first.click()
    assert page.locator(".more-offers[open]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_sheet_of_terms_at_every_width(page: Page, address: str, scheme: str) -> None:
    """Opened by the keyboard, within the window, closed by Escape; the focus comes back."""
    page.set_viewport_size({"width": 412, "height": 800})
    opened(page, address, "exact", "en", scheme)
    button = page.locator("button.earn-of").first
    button.focus()
    page.keyboard.press("Enter")
    sheet = page.locator(".terms:popover-open")
    assert sheet.count() == 1
    found = [fault for width in SOME_WIDTHS for fault in faults_at(page, width) if "terms" in fault]
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 500})
        box = sheet.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 500
        assert sheet.evaluate("one => one.scrollWidth <= one.clientWidth"), width
    assert found == []
    violations = Axe().run(page, ".terms:popover-open").response["violations"]
    assert [one["id"] for one in violations] == []
    page.keyboard.press("Escape")
    assert page.locator(".terms:popover-open").count() == 0
    assert button.evaluate("one => one === document.activeElement")


@pytest.mark.parametrize("state", [one for one in STATES if one != "many"])  # more of "similar"
def test_axe_is_clean(page: Page, address: str, state: str) -> None:
    page.set_viewport_size({"width": 412, "height": 800})
    opened(page, address, state)
    page.evaluate(
        "document.querySelectorAll('details').forEach(one => { one.open = !one.matches('.more'); })"
    )
    violations = Axe().run(page).response["violations"]
    page.emulate_media(color_scheme="dark")
    only = {"runOnly": ["color-contrast"]}
    violations += Axe().run(page, options=only).response["violations"]
    assert [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in violations] == []


def test_nothing_is_told_by_a_colour_alone(browser: Browser, address: str) -> None:
    """With the system's own colours: what is pressed and what is not, what is a button, the dyes, the box."""
    context = browser.new_context(forced_colors="active", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    opened(page, address, "similar")
    look = """(one) => { const s = getComputedStyle(one);
      return [s.backgroundColor, s.borderTopColor, s.borderTopStyle, s.borderTopWidth].join(); }"""
    pressed, other = (
        page.locator(f"#parts > .chip[aria-pressed={is_pressed}]").first.evaluate(look)
        for is_pressed in ("true", "false")
    )
    assert pressed != other
    for button in ("label.main", ".card .button", "#share"):
        assert page.locator(button).first.evaluate(look).endswith("solid,1px"), button
    dyes = page.locator("#colors .swatch:not(.any)").evaluate_all(
        "all => all.map((one) => getComputedStyle(one, '::before').backgroundColor + getComputedStyle(one, '::before').backgroundImage)"
    )
    assert len(set(dyes)) == len(dyes) > 3
    assert "255" in page.locator("#crop").evaluate("one => getComputedStyle(one).borderTopColor")
    context.close()


def test_more_contrast_where_it_is_asked_for(page: Page, address: str) -> None:
    """Every text at 7:1 at least, light and dark."""
    opened(page, address, "similar")
    rule = {
        "runOnly": ["color-contrast-enhanced"],
        "rules": {"color-contrast-enhanced": {"enabled": True}},
    }
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, contrast="more")  # type: ignore[arg-type]
        found += Axe().run(page, options=rule).response["violations"]
    page.emulate_media(contrast="no-preference")
    assert [node["html"][:120] for one in found for node in one["nodes"]] == []


BROKEN = {
    "overflow": ".card h3 { min-width: 130vw; }",
    "spill": ".grid .card > .button { white-space: nowrap; width: 2rem; }",
    "letters in a column": ".card h3 { width: .5rem; font-size: .7rem; display: block; }",
    "overlap": ".card .deal { margin-top: -3rem; }",
    "uneven": ".grid .card { display: flex; } .grid > li { grid-row: auto; }",
    "cut": ".verdict p { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 1; overflow: hidden; }",
    "target": ".button { min-height: 30px; padding: 0 1rem; }",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_each_kind_of_fault_is_seen(page: Page, address: str, kind: str) -> None:
    page.set_viewport_size({"width": 412, "height": 800})
    opened(page, address, "similar")
    page.evaluate(
        "css => { const sheet = new CSSStyleSheet(); sheet.replaceSync(css); document.adoptedStyleSheets = [sheet]; }",
        BROKEN[kind],
    )
    assert any(fault.startswith(f"412 px: {kind}") for fault in faults_at(page, 412))


def test_a_shift_of_the_layout_is_seen(page: Page, address: str) -> None:
    opened(page, address, "similar")
    page.evaluate(
        "document.querySelector('.verdict').before(Object.assign(document.createElement('div'), {style: 'height: 400px'}))"
    )
    page.evaluate("document.querySelector('.results').style.paddingTop = '300px'")
    page.wait_for_function(f"() => window.shift > {MOST_SHIFT}")


def test_colours_with_nothing_cannot_be_chosen(page: Page, address: str) -> None:
    """Pale for the eye, disabled for the hand, said to a screen reader; where there is nothing in any
    colour none is offered."""
    opened(page, address, "similar")
    off = page.locator("#colors input:disabled")
    assert sorted(off.evaluate_all("all => all.map(one => one.value)")) == sorted(NO_SHADE)
    assert (
        off.first.evaluate("one => getComputedStyle(one.parentElement, '::before').opacity") < "0.5"
    )
    radio = page.get_by_role("radio", name="green: nothing")
    assert radio.is_disabled()
    assert page.get_by_role("radio", name="red", exact=True).is_enabled()
    opened(page, address, "none")
    assert not page.locator("#colors").is_visible()


def test_what_became_of_a_saved_thing_is_seen(page: Page, address: str) -> None:
    """No mark has the name of a class that hides it where there are scripts."""
    opened(page, address, "saved")
    assert page.locator(".mark").count() > 5
    assert all(mark.is_visible() for mark in page.locator(".mark").all())
