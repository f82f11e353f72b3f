"""The photo on the page, in a real Chromium: its dots, its box, zoom, and every way in."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "playwright", reason="the browser driver is not installed: pip install playwright"
)
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from browser import chromium
from lensback.settings import Settings
from lensback.types import Region
from lensback.web import create_app
from lensback.workspace import Workspace
from published import publish
from serving import serving

pytestmark = pytest.mark.slow

# Things of seven street photos as a detector boxes them: people wear a hat over sunglasses, a watch at a
# bag, two shoes side by side. 49 in all.
STREET = [
    [(.40, .02, .56, .10), (.42, .07, .55, .12), (.30, .14, .70, .46), (.33, .44, .66, .90), (.36, .88, .46, .97), (.48, .88, .58, .97), (.60, .40, .80, .60)],
    [(.45, .05, .60, .12), (.35, .12, .65, .40), (.36, .16, .64, .50), (.38, .48, .62, .92), (.40, .91, .48, .98), (.50, .91, .58, .98), (.30, .38, .36, .42)],
    [(.10, .10, .45, .50), (.55, .10, .90, .50), (.12, .48, .44, .92), (.56, .48, .88, .92), (.15, .92, .24, .99), (.30, .92, .39, .99), (.60, .92, .69, .99)],
    [(.48, .03, .54, .07), (.47, .05, .55, .09), (.49, .08, .53, .11), (.40, .10, .60, .40), (.41, .38, .59, .70), (.42, .69, .58, .95), (.44, .93, .56, .99)],
    [(.00, .00, .10, .10), (.90, .00, 1.0, .10), (.00, .90, .10, 1.0), (.90, .90, 1.0, 1.0), (.40, .40, .60, .60), (.42, .42, .62, .62), (.38, .44, .58, .58)],
    [(0.30, 0.30, 0.38, 0.38), (0.32, 0.32, 0.40, 0.40), (0.34, 0.34, 0.42, 0.42), (0.36, 0.36, 0.44, 0.44), (0.38, 0.38, 0.46, 0.46), (0.40, 0.40, 0.48, 0.48), (0.42, 0.42, 0.50, 0.50)],
    [(.20, .15, .80, .95), (.25, .15, .75, .50), (.25, .48, .75, .95), (.44, .02, .56, .12), (.62, .45, .70, .52), (.28, .47, .36, .54), (.40, .60, .60, .70)],
]  # fmt: skip


NAMES = ("top", "shoes", "shoes", "monocle", "", "bag", "hat")
"""One of a kind that the page has no word for, one of none."""


class Street:
    """Finds what STREET says of the photo whose number its first pixel holds."""

    name = fingerprint = "street"

    def find(self, image: Image.Image) -> list[Region]:
        red, green, _ = image.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
        boxes = STREET[min(int(red) // 32, 6)] if green > 200 else STREET[0][:1]
        found = [Region(box, NAMES[at], 1 - at / 10) for at, box in enumerate(boxes)]
        return [*found, Region((0.0, 0.0, 1.0, 1.0), "whole", 0.1)]


def photo_of(number: int, size: tuple[int, int] = (600, 900), kind: str = "JPEG") -> bytes:
    """A photo that `Street` knows by its colour."""
    sink = io.BytesIO()
    Image.new("RGB", size, (number * 32 + 16, 230, 120)).save(sink, kind)
    return sink.getvalue()


def file_of(content: bytes, name: str = "a.jpg") -> Any:
    return {"name": name, "mimeType": "image/jpeg", "buffer": content}


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, _ = publish(tmp_path_factory.mktemp("street"))
    with Workspace(folder, Settings(rate_limit=0)) as workspace:
        vars(workspace)["detector"] = Street()
        with serving(create_app(workspace)) as address:
            yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A phone, unless said otherwise; a script error fails the test."""
    how = {"width": 390, "height": 844, "locale": "en", **getattr(request, "param", {})}
    size = {"width": how.pop("width"), "height": how.pop("height")}
    context = browser.new_context(viewport=size, has_touch=True, **how)  # type: ignore[arg-type]
    said: list[str] = []
    context.on("weberror", lambda error: said.append(str(error.error)))
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    yield opened
    context.close()
    assert said == []


def answered(page: Page, old: str = "") -> str:
    """Waits for an answer that is not `old`; its id."""
    page.wait_for_function(
        "old => !['', undefined, old].includes(document.getElementById('answer').dataset.search)",
        arg=old,
    )
    expect(page.locator("#answer[aria-busy]")).to_have_count(0)
    return page.locator("#answer").get_attribute("data-search") or ""


def upload(page: Page, street: str, content: bytes) -> str:
    page.goto(street)
    page.set_input_files("#photo", [file_of(content)])
    found = answered(page)
    expect(page.locator("#crop")).to_be_visible()
    return found


REACHED = """() => {
  const tappable = (node) => {
    node.scrollIntoView({block: 'nearest'});
    const {left, top, width, height} = node.getBoundingClientRect();
    const hit = document.elementFromPoint(left + width / 2, top + height / 2);
    return node.contains(hit) && width >= 44 && height >= 44;
  };
  const boxes = new Set();
  for (const dot of document.querySelectorAll('#dots .dot')) {
    if (!tappable(dot)) continue;
    if (dot.dataset.box) { boxes.add(dot.dataset.box); continue; }
    dot.click();
    for (const thing of document.querySelectorAll('#sheet .thing')) if (tappable(thing)) boxes.add(thing.dataset.box);
    document.getElementById('sheet-close').click();
  }
  return [...boxes];
}"""
"""The boxes that a finger reaches by a dot, or by a dot and the sheet of crops that it opens."""


def test_every_dot_of_seven_street_photos_is_tappable(page: Page, street: str) -> None:
    reached = 0
    for number, boxes in enumerate(STREET):
        upload(page, street, photo_of(number))
        found = set(page.evaluate(REACHED))
        searched = page.locator("#answer").get_attribute("data-region")  # has the box, no dot
        reached += len(found | {searched})
        assert len(found | {searched}) == len(boxes), (number, found)
    assert reached == 49


def test_every_thing_has_a_name_and_keeps_it(page: Page, street: str) -> None:
    first = upload(page, street, photo_of(2))
    chips = page.locator("#parts .chip")
    names = chips.all_inner_texts()
    assert sorted(names) == [
        *("an item 1", "an item 2", "bag", "hat", "shoes 1", "shoes 2", "the whole photo", "top")
    ]
    chips.filter(has_text="an item 1").tap()
    answered(page, first)
    expect(page.locator("#parts .chip[aria-pressed=true]")).to_have_text("an item 1")
    assert chips.all_inner_texts() == names
    assert page.evaluate("document.activeElement.dataset.label") == "an item 1"


def test_a_thing_of_the_sheet_is_searched(page: Page, street: str) -> None:
    first = upload(page, street, photo_of(5))
    dot = page.locator("#dots .dot.many")
    expect(dot).to_have_count(1)
    dot.tap()
    things = page.locator("#sheet .thing")
    expect(things).to_have_count(6)
    box = things.nth(3).get_attribute("data-box")
    things.nth(3).tap()
    expect(page.locator("#sheet")).to_be_hidden()
    answered(page, first)
    assert page.locator("#answer").get_attribute("data-region") == box


def still(page: Page) -> float:
    """How far the page is scrolled, when it moves no more."""
    before = -1.0
    while before != (now := float(page.evaluate("scrollY"))):
        before = now
        page.wait_for_timeout(100)
    return now


@pytest.mark.parametrize("how", ["mouse", "touch"])
def test_a_new_box_is_drawn(page: Page, street: str, how: str) -> None:
    first = upload(page, street, photo_of(0))
    page.mouse.wheel(0, 60)
    page.wait_for_function("() => scrollY > 20")
    before = still(page)
    frame = page.locator("#frame").bounding_box()
    assert frame
    ends = [
        (frame["x"] + frame["width"] * x, frame["y"] + frame["height"] * y)
        for x, y in ((0.05, 0.55), (0.25, 0.95))
    ]
    if how == "mouse":
        page.mouse.move(*ends[0])
        page.mouse.down()
        page.mouse.move(*ends[1], steps=4)
        page.mouse.up()
    else:
        cdp = page.context.new_cdp_session(page)
        for kind, point in (
            ("touchStart", ends[0]), ("touchMove", (ends[0][0] + 20, ends[0][1] + 20)), ("touchMove", ends[1]),
        ):  # fmt: skip
            spot = [{"x": point[0], "y": point[1]}]
            cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spot})
        cdp.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    answered(page, first)
    region = page.locator("#answer").get_attribute("data-region") or ""
    assert [float(part) for part in region.split(",")] == pytest.approx(
        [0.05, 0.55, 0.25, 0.95], abs=0.03
    )
    assert page.evaluate("scrollY") == before, "the page jumped"
    assert page.evaluate("document.activeElement.id") == "crop", "the focus was lost"


def test_a_finger_that_slips_draws_nothing(page: Page, street: str) -> None:
    upload(page, street, photo_of(0))
    style = page.locator("#crop").get_attribute("style")
    page.mouse.move(200, 250)
    page.mouse.down()
    page.mouse.move(203, 252)
    page.mouse.up()
    page.wait_for_timeout(100)
    assert page.locator("#crop").get_attribute("style") == style
    assert page.locator("#answer").get_attribute("aria-busy") is None


def test_the_keyboard_keeps_the_focus_on_the_box(page: Page, street: str) -> None:
    first = upload(page, street, photo_of(0))
    page.locator("#crop").focus()
    page.keyboard.press("ArrowDown")
    second = answered(page, first)
    assert page.evaluate("document.activeElement.id") == "crop"
    page.keyboard.press("Shift+ArrowRight")
    answered(page, second)
    assert page.evaluate("document.activeElement.id") == "crop"


def test_zoom_brings_dots_apart_and_back(page: Page, street: str) -> None:
    upload(page, street, photo_of(1))
    few = page.locator("#dots .dot").count()
    wide = page.locator("#frame").evaluate("one => one.clientWidth")
    for _ in range(3):
        page.locator("#closer").tap()
    assert page.locator("#frame").evaluate("one => one.clientWidth") > 3 * wide
    assert page.locator("#dots .dot").count() > few
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for _ in range(3):
        page.locator("#farther").tap()
    assert page.locator("#frame").evaluate("one => one.clientWidth") == wide
    expect(page.locator("#farther")).to_be_disabled()
    cdp = page.context.new_cdp_session(page)
    for kind, spots in (
        ("touchStart", (60, 100)),
        ("touchMove", (40, 160)),
        ("touchMove", (20, 220)),
    ):
        points = [{"x": spots[0] + 60, "y": 120, "id": 0}, {"x": spots[1] + 60, "y": 120, "id": 1}]
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    cdp.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.locator("#frame").evaluate("one => one.clientWidth") > 2 * wide


DROP = """([what, pictures, text]) => {
  const data = new DataTransfer();
  pictures.forEach((one, n) => data.items.add(new File([Uint8Array.from(atob(one), c => c.charCodeAt(0))], `${n}.jpg`, {type: 'image/jpeg'})));
  if (text) data.setData(text[0], text[1]);
  document.body.dispatchEvent(what === 'drop' ? new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})
    : new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));
}"""


@pytest.mark.parametrize("what", ["drop", "paste"])
def test_several_photos_come_in_at_once(page: Page, street: str, what: str) -> None:
    page.goto(street)
    pictures = [base64.b64encode(photo_of(number)).decode() for number in (5, 0, 3)]
    page.evaluate(DROP, [what, pictures, None])
    first = answered(page)
    shelf = page.locator("#queue button")
    expect(shelf).to_have_count(3)
    expect(shelf.nth(0)).to_have_attribute("aria-pressed", "true")
    shelf.nth(1).evaluate("one => one.click()")
    answered(page, first)
    expect(shelf.nth(1)).to_have_attribute("aria-pressed", "true")
    assert page.locator("#answer").get_attribute("data-region") == "0.3,0.14,0.7,0.46"


@pytest.mark.parametrize(
    ("what", "kind", "text"),
    [
        ("drop", "text/uri-list", "https://pictures.example/a.jpg"),
        ("paste", "text/plain", " https://pictures.example/a.jpg\n"),
        ("drop", "text/html", '<p><img src="https://pictures.example/a.jpg"></p>'),
    ],
)
def test_the_address_of_a_picture_is_searched(
    page: Page, street: str, what: str, kind: str, text: str
) -> None:
    page.goto(street)
    with page.expect_request(lambda one: one.method == "POST") as sent:
        page.evaluate(DROP, [what, [], [kind, text]])
    assert "https://pictures.example/a.jpg" in (sent.value.post_data or "")


ODD = [
    ("paste", "text/plain", "a red dress"),
    ("drop", "text/plain", "ftp://pictures.example/a.jpg"),
    ("drop", "text/html", "<b>bold</b>"),
    ("drop", "application/x-nothing", "?"),
]


@pytest.mark.parametrize("page", [{"locale": "en"}, {"locale": "ru"}], indirect=True)
def test_what_is_neither_picture_nor_address_is_told_in_one_sentence(
    page: Page, street: str
) -> None:
    """Whatever stood there stays; pasted into a field it is the field's."""
    mine = upload(page, street, photo_of(5))
    words = {"en": "no picture", "ru": "не картинка"}[str(page.evaluate("navigator.language"))]
    for what, kind, text in ODD:
        page.evaluate(DROP, [what, [], [kind, text]])
        expect(page.locator("#toast")).to_contain_text(words)
        expect(page.locator("#toast")).to_be_in_viewport()
        expect(page.locator("#said")).to_contain_text(words)
        page.evaluate("document.getElementById('toast').hidden = true")
    page.evaluate("document.getElementById('photo_url').focus()")
    page.evaluate(
        DROP.replace("document.body", "document.getElementById('photo_url')"),
        ["paste", [], ["text/plain", "a"]],
    )
    expect(page.locator("#toast")).to_be_hidden()
    taken = page.evaluate("""() => ['[name=q]', '#answer'].map((where) => ['dragover', 'drop'].map((kind) => {
      const data = new DataTransfer();
      data.setData('text/plain', 'red');
      const event = new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true});
      const passed = document.querySelector(where).dispatchEvent(event);
      if (where === '[name=q]' && !document.getElementById('toast').hidden) return 'told';
      return !passed;
    }))""")
    assert taken == [[False, False], [True, True]]
    page.evaluate("document.getElementById('toast').hidden = true")
    assert page.locator("#photo_url").input_value() == ""
    assert page.locator("#answer").get_attribute("data-search") == mine
    expect(page.locator("#shown")).to_be_visible()


def test_a_file_that_is_gone_is_said(page: Page, street: str, tmp_path: Path) -> None:
    """Chosen, and taken away before it was sent; so is a folder, which a browser drops as a file."""
    page.goto(street)
    gone = tmp_path / "gone.jpg"
    gone.write_bytes(photo_of(5))
    page.evaluate("""() => {
      const read = Blob.prototype.slice;
      window.held = new Promise((done) => { window.go = done; });
      Blob.prototype.slice = function (...some) { const part = read.apply(this, some); const bytes = part.arrayBuffer.bind(part);
        part.arrayBuffer = () => window.held.then(bytes); return part; };
    }""")
    page.set_input_files("#photo", gone)
    gone.unlink()
    page.evaluate("window.go()")
    note = page.locator("#answer .failed")
    expect(note).to_contain_text("cannot be read any more")
    expect(note.get_by_role("button")).to_have_count(0)


def test_heic_is_shown_as_the_server_decoded_it(page: Page, street: str) -> None:
    import pillow_heif

    sink = io.BytesIO()
    pillow_heif.from_pillow(Image.open(io.BytesIO(photo_of(3)))).save(sink)
    page.goto(street)
    page.set_input_files(
        "#photo", [{**file_of(sink.getvalue(), "a.heic"), "mimeType": "image/heic"}]
    )
    answered(page)
    page.wait_for_function("() => document.getElementById('shown').naturalWidth > 0")
    assert re.search(
        r"/answers/[0-9a-f]{16}/photo$", page.locator("#shown").get_attribute("src") or ""
    )
    expect(page.locator("#stage")).to_be_visible()
    expect(page.locator("#crop")).to_be_visible()


def test_who_refuses_cookies_sees_the_photo_and_sends_it_once(page: Page, street: str) -> None:
    """Known by a secret of the page: HEIC is shown, another part is searched without the photo."""
    import pillow_heif

    page.add_init_script("Object.defineProperty(navigator, 'cookieEnabled', { value: false })")
    sink = io.BytesIO()
    pillow_heif.from_pillow(Image.open(io.BytesIO(photo_of(0)))).save(sink)
    page.goto(street)
    page.set_input_files(
        "#photo", [{**file_of(sink.getvalue(), "a.heic"), "mimeType": "image/heic"}]
    )
    first = answered(page)
    expect(page.locator("#crop")).to_be_visible()
    assert (page.locator("#shown").get_attribute("src") or "").startswith("blob:")
    assert page.evaluate("document.getElementById('shown').naturalWidth") > 0
    assert [one["name"] for one in page.context.cookies()] == []
    with page.expect_response(lambda one: one.request.method == "POST") as sent:
        page.locator("#parts .chip[aria-pressed=false]").first.tap()
    assert sent.value.status == 200
    answered(page, first)


def test_the_live_camera(page: Page, street: str) -> None:
    page.goto(street)
    page.locator("#take").tap()
    expect(page.locator("#live")).to_be_visible()
    page.wait_for_function("() => document.getElementById('video').videoWidth > 0")
    page.locator("#shutter").tap()
    answered(page)
    expect(page.locator("#live")).to_be_hidden()
    assert page.evaluate("document.getElementById('video').srcObject") is None, (
        "the camera stays on"
    )
    fitted = page.locator("#shown").evaluate("one => getComputedStyle(one).objectFit")
    assert fitted == "contain", "a photo is never stretched"


CAMERAS = """
  const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  window.asked = [];
  navigator.mediaDevices.getUserMedia = async (what) => {
    await new Promise((done) => { window.asked.push(done); });
    if (window.refuse) throw new DOMException('no', window.refuse);
    return own(what);
  };
"""
"""The browser asks its person, who takes a while."""


def test_who_thinks_about_the_camera_is_asked_once_and_told_where_there_is_none(
    page: Page, street: str
) -> None:
    page.add_init_script(CAMERAS)
    page.goto(street)
    toast, answered_it = page.locator("#toast"), "window.asked.pop()()"
    for why in ("NotAllowedError", "NotFoundError"):
        page.evaluate("why => { window.refuse = why; }", why)
        page.locator("#take").tap()
        page.locator("#take").tap()
        assert page.evaluate("window.asked.length") == 1
        page.evaluate(answered_it)
        expect(toast).to_contain_text("no camera that this page may use")
        expect(page.locator("#live")).to_be_hidden()
        page.evaluate("document.getElementById('toast').hidden = true; window.refuse = ''")
    page.locator("#take").tap()
    page.evaluate(answered_it)
    expect(page.locator("#live")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#live")).to_be_hidden()
    assert page.evaluate("document.getElementById('video').srcObject") is None


@pytest.mark.parametrize("page", [{"locale": "ru"}], indirect=True)
def test_a_slow_search_can_be_stopped(page: Page, street: str) -> None:
    held: list[Route] = []
    page.route(
        "**/",
        lambda route: held.append(route) if route.request.method == "POST" else route.continue_(),
    )
    page.goto(street)
    page.set_input_files("#photo", [file_of(photo_of(0))])
    expect(page.locator("#progress")).to_be_visible()
    page.locator("#cancel").tap()
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#said")).to_have_text("Остановлено.")
    expect(page.locator(".hello h1")).to_be_visible()
    for route in held:
        route.abort()
    page.unroute("**/")
    page.set_input_files("#photo", [file_of(photo_of(0))])
    answered(page)
