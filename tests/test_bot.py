"""The bot against a local server that speaks Telegram's Bot API."""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from PIL import Image
from sqlalchemy import func, select, update

from lensback.bot import cards, run_bot
from lensback.bot.tiles import strip
from lensback.catalogue import named
from lensback.db import tables as t
from lensback.errors import ConfigError, TooLarge
from lensback.programs.shape import ProgramFacts
from lensback.settings import Settings
from lensback.speech import Speech
from lensback.types import WHOLE
from lensback.wire import Region
from lensback.workspace import Workspace, open_workspace
from published import publish
from servers import free_port
from shown import answer, hit, offer

if (
    find_spec("aiogram") is None
):  # what imports it takes seconds: only the worker that runs these tests
    pytest.skip(
        "the bot's library is not installed: pip install lensback[bot]", allow_module_level=True
    )

pytestmark = pytest.mark.slow
TOKEN = "123456:" + "a" * 35
PERSON = {"id": 7, "is_bot": False, "first_name": "x", "language_code": "ru"}


class Door(ThreadingHTTPServer):
    """Takes as many at once as a bot has to say: the usual five make a connection wait or fail."""

    request_queue_size = 128


class Telegram:
    """Keeps updates until they are confirmed by a higher offset, as the real one does."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.sent: list[tuple[str, dict[str, str]]] = []
        self.hold_back = 0
        self.broken = 0
        """A status with which every call is answered; 0: none."""
        self.asked = 0
        """How often updates were asked for."""
        self.arrived = threading.Condition()
        handler = type("Handler", (_Handler,), {"telegram": self})
        self._server = Door(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def message(self, update_id: int, **fields: Any) -> None:
        base = {"message_id": update_id, "date": int(time.time()), "from": PERSON}
        chat = {"id": 70, "type": "private"}
        with self.arrived:
            self.updates.append(
                {"update_id": update_id, "message": {**base, "chat": chat, **fields}}
            )
            self.arrived.notify_all()

    def photo(self, update_id: int, data: bytes, **fields: Any) -> None:
        name = f"file{update_id}"
        self.files[name] = data
        size = {
            "file_id": name,
            "file_unique_id": name,
            "width": 9,
            "height": 9,
            "file_size": len(data),
        }
        self.message(update_id, photo=[size], **fields)

    def document(self, update_id: int, data: bytes, mime: str = "", **fields: Any) -> None:
        name = f"file{update_id}"
        self.files[name] = data
        kept = {"file_id": name, "file_unique_id": name, "file_size": len(data)}
        if mime:
            kept["mime_type"] = mime
        self.message(update_id, document=kept, **fields)

    def texts(self) -> list[str]:
        return [fields.get("text") or fields.get("caption", "") for _, fields in self.sent]

    def answer(self, method: str, fields: dict[str, str]) -> tuple[int, Any]:
        if method == "getMe":
            return 200, {"id": 1, "is_bot": True, "first_name": "b", "username": "lens_bot"}
        if method == "getUpdates":
            return 200, self._pending(int(fields.get("offset") or 0))
        if method == "getFile":
            name = fields["file_id"]
            return 200, {"file_id": name, "file_unique_id": name, "file_path": name}
        if self.hold_back:
            self.hold_back -= 1
            return 429, {"retry_after": 1}
        self.sent.append((method, fields))
        if method == "answerCallbackQuery":
            return 200, True
        chat = {"id": 70, "type": "private"}
        return 200, {"message_id": 1, "date": 1, "chat": chat}

    def _pending(self, offset: int) -> list[dict[str, Any]]:
        self.asked += 1
        with self.arrived:
            self.updates = [u for u in self.updates if u["update_id"] >= offset]
            if not self.updates:
                self.arrived.wait(0.3)
            return list(self.updates)


class _Handler(BaseHTTPRequestHandler):
    telegram: Telegram

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        data = self.telegram.files[self.path.rpartition("/")[2]]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        body = self._body()
        if self.telegram.broken:
            page = b'{"ok": false, "error_code": 404, "description": "Not Found"}'
            page = page if self.telegram.broken == 404 else b"<html>Bad gateway"
            self.send_response(self.telegram.broken)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)
            return
        token, method = self.path.removeprefix("/bot").split("/")
        if token != TOKEN:
            self._reply(401, {"ok": False, "error_code": 401, "description": "Unauthorized"})
            return
        status, result = self.telegram.answer(method, self._fields(body))
        if status == 429:
            wait = {"ok": False, "error_code": 429, "description": "Too Many", "parameters": result}
            self._reply(429, wait)
        else:
            self._reply(200, {"ok": True, "result": result})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _fields(self, body: bytes) -> dict[str, str]:
        kind = self.headers.get("Content-Type", "")
        if "multipart" not in kind:
            return {k: v[0] for k, v in parse_qs(body.decode()).items()}
        parser = email.parser.BytesParser(policy=email.policy.HTTP)
        parts = parser.parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        fields = {}
        for part in parts.iter_parts():
            name = str(part.get_param("name", header="content-disposition"))
            data = part.get_payload(decode=True)
            fields[name] = f"{len(data)} bytes" if part.get_filename() else data.decode()
        return fields

    def _reply(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a bot that is told to stop does not listen on
            self.wfile.write(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    workspace, photo = publish(tmp_path_factory.mktemp("bot"))
    return workspace, photo.read_bytes()


@pytest.fixture
def telegram() -> Iterator[Telegram]:
    server = Telegram()
    yield server
    server.close()


@pytest.fixture
def bot(
    made: tuple[Path, bytes], telegram: Telegram
) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts the bot in a process of its own; every one is stopped in the end."""
    processes: list[subprocess.Popen[bytes]] = []
    (made[0] / "bot.offset").unlink(missing_ok=True)

    def start(token: str = TOKEN, api: str = "") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "lensback", "bot", "--api", api or telegram.address]
        env = {
            **os.environ,
            "LENSBACK_WORKSPACE": str(made[0]),
            "LENSBACK_BOT_TOKEN": token,
            "LENSBACK_PUBLIC_URL": "https://find.example.com",
        }
        process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(done: Callable[[], bool], told: object = "", seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"waited in vain {told}"
        time.sleep(0.05)


def test_a_photo_becomes_cards(
    bot: Callable[[], Any], telegram: Telegram, made: tuple[Path, bytes]
) -> None:
    telegram.hold_back = 2  # Telegram asks to wait, twice
    telegram.photo(5, made[1])
    process = bot()
    wait_for(lambda: any(method == "sendPhoto" for method, _ in telegram.sent))
    assert telegram.texts()[0].startswith(("<b>Та самая вещь", "<b>Похожее"))
    _, card = next(one for one in telegram.sent if one[0] == "sendPhoto")
    keys = json.loads(card["reply_markup"])["inline_keyboard"]
    assert re.match(
        r"https://find\.example\.com/go/[a-z2-7]{16}\?search=[0-9a-f]{16}$", keys[0][0]["url"]
    )
    ways = [row[0]["text"].split(" · ")[0] for row in keys if "url" in row[0]]
    assert set(ways) <= {"harbour", "lavka"}
    assert keys[-1][0]["callback_data"].startswith("save:p")
    offset = made[0] / "bot.offset"
    wait_for(lambda: offset.exists() and "5" in offset.read_text().split())

    def recorded() -> bool:
        with open_workspace(made[0]) as workspace:
            workspace.drain()
            with workspace.db.read() as c:
                query = select(func.count()).where(t.searches.c.source == "bot")
                return bool(c.execute(query).scalar_one())

    wait_for(recorded)

    # Stopped and started again: the update comes again, the answer does not.
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0
    before = len(telegram.sent)
    telegram.photo(5, made[1])
    telegram.message(6, text="/start", entities=[{"type": "bot_command", "offset": 0, "length": 6}])
    bot()
    wait_for(lambda: len(telegram.sent) > before)
    assert "Пришлите фото" in telegram.texts()[before]
    assert len(telegram.sent) == before + 1


def test_what_is_no_photo_and_too_many(
    bot: Callable[[], Any], telegram: Telegram, made: tuple[Path, bytes]
) -> None:
    english = {"from": {**PERSON, "language_code": "en"}}
    group = {"chat": {"id": -5, "type": "group", "title": "g"}}
    telegram.photo(20, made[1], **group)
    telegram.photo(21, b"not a picture", **english)
    bot()
    wait_for(lambda: len(telegram.sent) == 1)
    assert telegram.texts() == ["This file is not a picture that we can read."]
    for number in range(22, 22 + 12):
        telegram.photo(number, b"not a picture", **english)
    wait_for(lambda: any("a lot of photos" in text for text in telegram.texts()))
    telegram.photo(50, made[1], **group, caption="what is this, @lens_bot?")
    wait_for(lambda: any(method == "sendPhoto" for method, _ in telegram.sent))
    assert not any("did not find" in text for text in telegram.texts())


ENGLISH = {"from": {**PERSON, "language_code": "en"}}
ASKED = cards.ASK


def test_a_picture_is_one_whatever_its_type_says_and_all_else_gets_a_sentence(
    bot: Callable[[], Any], telegram: Telegram, made: tuple[Path, bytes]
) -> None:
    """Telegram's own message objects; the types are those that phones and clients send."""
    file = {"file_id": "f", "file_unique_id": "f", "file_size": 9}
    shape = {**file, "width": 9, "height": 9, "duration": 1}
    others: list[dict[str, Any]] = [
        {"text": "red sneakers"},
        {"text": "https://shop.example/shoe.jpg"},
        {"text": "/nonsense"},
        {"sticker": {**file, "type": "regular", "width": 9, "height": 9, "is_animated": False, "is_video": False}},
        {"voice": {**file, "duration": 1}},
        {"video": shape},
        {"animation": shape, "document": {**file, "mime_type": "video/mp4"}},
        {"location": {"latitude": 1.0, "longitude": 1.0}},
    ]  # fmt: skip
    for n, fields in enumerate(others):
        telegram.message(60 + n, **ENGLISH, **fields)
    telegram.message(70, **ENGLISH, new_chat_title="Telegram's own word")
    bot()
    wait_for(lambda: len(telegram.sent) == len(others), telegram.sent)
    assert telegram.texts() == [ASKED] * len(others)
    for n, mime in enumerate(["application/octet-stream", "", "IMAGE/JPEG"]):
        chat = {"chat": {"id": 71 + n, "type": "private"}}
        before = len(telegram.sent)
        telegram.document(80 + 2 * n, made[1], mime, **ENGLISH, **chat)
        telegram.document(81 + 2 * n, b"%PDF-1.4", "image/jpeg" if n else "", **ENGLISH, **chat)
        for wanted in (("sendPhoto", ""), ("sendMessage", cards.BROKEN)):
            wait_for(
                lambda wanted=wanted, before=before: _was_sent(telegram.sent[before:], *wanted)
            )


def _was_sent(sent: list[tuple[str, dict[str, str]]], method: str, text: str) -> bool:
    return any(one == method and text in fields.get("text", "") for one, fields in sent)


def test_a_later_update_that_is_answered_first_takes_no_answer_from_an_earlier_one(
    tmp_path: Path,
) -> None:
    """Also over a restart, and however many came since; a file of an earlier version has one number."""
    from lensback.bot.chat import ANSWERED, AnsweredUpdates

    path = tmp_path / "bot.offset"
    seen = AnsweredUpdates(path)
    seen.add(67)
    for now in (seen, AnsweredUpdates(path)):
        assert now.has(67)
        assert not now.has(60)
        assert not now.has(68)
    for n in range(100, 100 + ANSWERED):
        seen.add(n)
    for now in (seen, AnsweredUpdates(path)):
        assert [now.has(n) for n in (60, 67, 100, 99 + ANSWERED)] == [True] * 4
        assert not now.has(100 + ANSWERED)
        assert not now.has(10**9), "ids that start anew"
    assert len(path.read_text().split()) == ANSWERED + 1
    path.write_text("500")
    assert [AnsweredUpdates(path).has(n) for n in (499, 500, 501)] == [True, True, False]


def test_a_button_of_a_forgotten_photo_says_so(bot: Callable[[], Any], telegram: Telegram) -> None:
    person = {**PERSON, "language_code": "en"}
    message = {"message_id": 1, "date": 1, "chat": {"id": 70, "type": "private"}, "text": "x"}
    pressed = {"id": "1", "from": person, "chat_instance": "1", "message": message}
    telegram.updates.append(
        {"update_id": 5, "callback_query": {**pressed, "data": "part:" + "0" * 16 + ":1"}}
    )
    bot()
    wait_for(lambda: cards.FORGOTTEN in telegram.texts())
    assert "answerCallbackQuery" in [method for method, _ in telegram.sent]


def test_the_other_things_of_a_photo_are_buttons_under_their_crops(
    made: tuple[Path, bytes],
) -> None:
    boxes = [(n / 10, 0.1, n / 10 + 0.1, 0.9) for n in range(9)]
    regions = [
        Region(box=box, label="shoes" if n else "x", score=0.5) for n, box in enumerate(boxes)
    ]
    whole = Region(box=WHOLE, label="whole", score=0.1)
    found = answer(search_id="0" * 16, region=boxes[1], regions=(*regions, whole))
    parts = cards.parts(found, Speech("en"))
    assert [part.name for part in parts][:2] == ["1. an item", "2. shoes"]
    assert len(parts) == cards.MOST_PARTS
    assert boxes[1] not in [part.box for part in parts]
    assert all(len(part.data) <= 64 for part in parts), "Telegram's limit"
    assert cards.part_of(parts[1].data) == ("0" * 16, 1)
    for wrong in ("", "part:x:1", "part:" + "0" * 16, "go:" + "0" * 16 + ":1"):
        assert cards.part_of(wrong) == ("", 0)
    drawn = Image.open(io.BytesIO(strip(made[1], [part.box for part in parts], 10**8)))
    assert drawn.size == (6 * 220 + 5 * 8, 220)
    assert cards.parts(answer(regions=(whole,), region=WHOLE), Speech("en")) == []


def test_a_saved_thing_is_told_of_when_it_becomes_cheaper_and_taken_away(
    bot: Callable[[], Any], telegram: Telegram, made: tuple[Path, bytes]
) -> None:
    with Workspace(made[0], Settings()) as workspace:
        row = next(named.every(workspace.db, "harbour"))
        product_id = str(row.product_id)
    message = {"message_id": 1, "date": 1, "chat": {"id": 70, "type": "private"}}
    pressed = {"id": "1", "from": ENGLISH["from"], "chat_instance": "1", "message": message}

    def press(update_id: int, data: str) -> None:
        with telegram.arrived:
            update = {"update_id": update_id, "callback_query": {**pressed, "data": data}}
            telegram.updates.append(update)
            telegram.arrived.notify_all()

    press(200, f"save:{product_id}")
    press(201, "save:" + "p" + "a" * 16)
    process = bot()
    wait_for(lambda: len(telegram.texts()) >= 4)
    assert {text for text in telegram.texts() if text} == {cards.KEPT, cards.GONE}
    process.kill()
    process.wait(120)
    with Workspace(made[0], Settings()) as workspace, workspace.db.write() as c:
        mine = t.offers.c.product_id == product_id
        before = c.execute(select(t.offers.c.price_minor).where(mine)).scalars().all()
        c.execute(update(t.offers).where(mine).values(price_minor=min(before) // 2))
    try:
        bot()
        wait_for(lambda: any("instead of" in text for text in telegram.texts()))
        (_, told) = next(one for one in telegram.sent if "instead of" in one[1].get("text", ""))
        assert told["chat_id"] == "70"
        assert f"/products/{product_id}" in told["reply_markup"]
        press(202, f"drop:{product_id}")
        wait_for(lambda: cards.REMOVED in telegram.texts())
        telegram.message(
            203,
            **ENGLISH,
            text="/saved",
            entities=[{"type": "bot_command", "offset": 0, "length": 6}],
        )
        wait_for(lambda: cards.NOTHING in telegram.texts())
        assert sum("instead of" in text for text in telegram.texts()) == 1
    finally:
        with Workspace(made[0], Settings()) as workspace, workspace.db.write() as c:
            c.execute(update(t.offers).where(mine).values(price_minor=min(before)))


def test_the_terms_of_a_card_are_told_before_the_click() -> None:
    facts = ProgramFacts(
        store="s", pays=True, no_cashback="", why="", headline="up to 5 %", up_to=True, rates=(),
        notes=("No <gift> cards.",) * 200, track_hours=None, hold_days=None, claim_days=None,
        timing=("Confirmed by the store in about 45 days.",), steps=("Sign in first.", "Empty basket."),
        signed_in=False, sign_in="Sign in first.",
    )  # fmt: skip
    none = facts.model_copy(update={"pays": False})
    said = cards.terms_told([("S & b", facts), ("T", none)], Speech("en"))
    assert len(said) <= cards.MAX_MESSAGE
    for part in (
        "<b>S &amp; b: up to 5 %</b>",
        "in about 45 days",
        "&lt;gift&gt;",
        "1. Sign in first.",
        "2. Empty",
    ):
        assert part in said
    assert "T:" not in said
    assert cards.terms_told([("T", none)], Speech("en")) == cards.NO_TERMS
    (card,) = cards.cards(
        [hit(offer("a" * 16, back=9), offer("b" * 16, store="t"))], Speech("en"), ""
    )
    assert cards.offers_of_terms(card.terms) == ["a" * 16]
    many = [offer(f"{letter * 16}", back=9, store=letter) for letter in "abcdef"]
    (card,) = cards.cards([hit(*many)], Speech("en"), "")
    assert len(card.terms.encode()) <= 64, "Telegram's limit"
    assert len(cards.offers_of_terms(card.terms)) == cards.MOST_TERMS
    (free,) = cards.cards([hit(offer())], Speech("en"), "")
    assert free.terms == ""
    for wrong in (
        "",
        "terms",
        "terms:",
        "terms:x",
        "part:" + "a" * 16,
        card.terms + ":" + "g" * 16,
    ):
        assert cards.offers_of_terms(wrong) == []


def test_a_refused_token(bot: Callable[..., Any]) -> None:
    process = bot("654321:" + "b" * 35)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 2
    assert b"refuses the bot token" in said
    assert b"bbbbbb" not in said
    assert b"Unclosed" not in said


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [(0, 1, b"cannot be reached"), (502, 1, b"does not answer as it should"), (404, 2, b"refuses the bot token")],
)  # fmt: skip
def test_a_start_without_telegram_is_one_line(
    bot: Callable[..., Any], telegram: Telegram, status: int, code: int, told: bytes
) -> None:
    """Nobody answers there, a proxy answers with its page, or Telegram knows no such bot."""
    telegram.broken = status
    process = bot(api="" if status else f"http://127.0.0.1:{free_port()}")
    _, said = process.communicate(timeout=240)
    assert process.returncode == code, said
    assert told in said
    assert len(said.splitlines()) == 2, said


def test_ctrl_c_ends_it_with_a_word(bot: Callable[..., Any], telegram: Telegram) -> None:
    process = bot()
    wait_for(lambda: telegram.asked > 0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 130, said
    assert b"stopped;" in said
    assert b"Traceback" not in said
    assert b"Unclosed" not in said


def test_what_is_missing_is_named(made: tuple[Path, bytes]) -> None:
    with Workspace(made[0], Settings()) as workspace:
        with pytest.raises(ConfigError, match="token"):
            run_bot(workspace, "")
        with pytest.raises(ConfigError, match="address"):
            run_bot(workspace, TOKEN)
        away = Settings(public_url="https://x.example")
    with Workspace(made[0], away) as workspace, pytest.raises(ConfigError, match="not an address"):
        run_bot(workspace, TOKEN, "telegram")
    reached = Settings(public_url="https://x.example")
    with Workspace(made[0], reached) as workspace, pytest.raises(ConfigError, match="no bot token"):
        run_bot(workspace, "nonsense")


def test_cards_say_price_cashback_and_advertiser() -> None:
    paid = offer(store="s", store_title="S & b", back=150, disclosure="Ad. <x>")
    found = hit(paid, offer(store="t"), title="<Shoe>", brand="B", image="/images/ab")
    (card,) = cards.cards([found], Speech("en"), "https://u")
    assert card.image_hash == "ab"
    assert card.caption.splitlines() == [
        "<b>&lt;Shoe&gt;</b>",
        "B",
        "S &amp; b: €10, cashback up to €1.50 <i>Ad. &lt;x&gt;</i>",
        "t: €10",
    ]
    assert [b.text for b in card.buttons] == ["S & b · €8.50", "t · €10"]
    assert card.buttons[0].url == "https://u/go/x"
    certain = offer(back=150, up_to=False, availability="out_of_stock")
    (sold,) = cards.cards([hit(certain)], Speech("en"), "")
    assert sold.caption.splitlines()[-1] == "harbour: €10, cashback €1.50, sold out"
    lost = offer(store="t", reachable=False)
    (both,) = cards.cards([hit(offer(), lost)], Speech("en"), "https://u")
    assert [b.text for b in both.buttons] == ["harbour · €10"], "no button leads nowhere"
    assert both.caption.splitlines()[-1] == "t: €10, this offer cannot be opened at the moment"
    (unsure,) = cards.cards([hit(offer(availability="unknown"))], Speech("ru"), "")
    assert unsure.caption.splitlines()[-1].endswith(", уточните в магазине")


def test_cards_stay_short_and_exact_ones_stand_alone() -> None:
    long = [offer(store=f"store{n}" * 30, disclosure="w" * 500) for n in range(9)]
    shown = cards.cards([hit(*long, title="t" * 900)] * 9, Speech("en"), "")
    assert len(shown) == cards.MOST_CARDS
    assert all(len(card.caption) <= cards.MAX_CAPTION for card in shown)
    assert all(len(b.text) <= 60 for card in shown for b in card.buttons)
    mixed = [hit(offer(), title="a", exact=True), hit(offer(), title="b")]
    assert [c.caption.splitlines()[0] for c in cards.cards(mixed, Speech("en"), "")] == ["<b>a</b>"]


# ---- what strangers send


def test_a_photo_is_as_large_as_it_is_and_not_as_it_says() -> None:
    """Telegram need not say a file's size."""
    from lensback.bot.chat import Bounded

    buffer = Bounded(10)
    for _ in range(2):
        buffer.write(b"12345")
    with pytest.raises(TooLarge):
        buffer.write(b"6")
    assert buffer.getvalue() == b"1234512345"


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("red shoes @lens_bot", "red shoes"),
        ("@LENS_BOT\0red\ud800\u202e shoes\x1b[31m", "red shoes"),
        ("x" * 5000, "x" * 200),
        ("@lens_bot", ""),
    ],
)
def test_a_caption_is_words_and_nothing_that_nobody_sees(caption: str, words: str) -> None:
    from lensback.bot.chat import words_of

    assert words_of(caption, "@lens_bot") == words
    assert words_of("@lens_bot", "") == "@lens_bot"


def test_a_person_has_a_pace_in_all_chats_together(made: tuple[Path, bytes]) -> None:
    import asyncio

    from aiogram import Bot
    from aiogram.types import Chat as Place
    from aiogram.types import Message, User

    from lensback.bot.chat import CHATS_EACH, PHOTOS_A_MINUTE, Chat

    def message(chat_id: int) -> Message:
        place = Place(id=chat_id, type="group")
        return Message(message_id=1, date=datetime.now(UTC), chat=place)

    async def ask() -> tuple[list[bool], bool]:
        with Workspace(made[0], Settings()) as workspace:
            chat = Chat(workspace, Bot(TOKEN), "https://find.example")
            one, other = (User(id=n, is_bot=False, first_name="x") for n in (7, 8))
            many = [chat._allows(message(-n), one) for n in range(1, 50)]
            return many, chat._allows(message(-1), other)

    many, other = asyncio.run(ask())
    most = CHATS_EACH * PHOTOS_A_MINUTE
    assert many == [True] * most + [False] * (49 - most)
    assert other


def test_a_stores_text_is_neither_markup_nor_a_trick_in_a_chat() -> None:
    from lensback.bot.cards import _plain

    assert _plain("<a href='tg://x'>\u202e\x1b[31mfree</a>\n", 200) == (
        "&lt;a href=&#x27;tg://x&#x27;&gt;free&lt;/a&gt; "
    )
