"""Telegram's side: updates in, messages out (aiogram). Answers come from the workspace itself."""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

from aiogram import Bot, Dispatcher, F
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    AiogramError,
    TelegramAPIError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramUnauthorizedError,
)
from aiogram.filters import Command
from aiogram.types import (
    BufferedInputFile,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    Update,
    User,
)
from aiogram.utils.token import TokenValidationError

from lensback import ledger, log
from lensback.bot import cards as c
from lensback.bot.things import SavedInChats, patiently
from lensback.bot.tiles import strip
from lensback.catalogue import offers, stores
from lensback.durable import replace_file
from lensback.errors import BadImage, ConfigError, Error, FetchFailed, TooLarge
from lensback.fleeting import Fleeting
from lensback.legible import legible
from lensback.programs import facts
from lensback.search import Query, search_live
from lensback.speech import Speech, nearest
from lensback.types import Box
from lensback.wire import Answer
from lensback.workspace import Workspace

PHOTOS_A_MINUTE = 10
CHATS_EACH = 3
"""Times as many for one person, in all chats together."""
ARRIVING = 2
"""Photos on their way or searched at once, for each place of a search."""
MAX_WORDS = 200
"""Characters of a caption that are read as words of the thing."""
CHATS = 10_000
"""Chats whose pace is remembered; the longest silent are forgotten first."""
THUMBNAIL_PX = 640
DRAIN_S = 2.0
STOP_S = 0.2
"""How often it is looked whether the bot is to stop."""


OTHER = {
    *("text", "sticker", "voice", "video", "video_note", "audio", "contact", "location", "venue"),
    *(
        "poll",
        "dice",
        "story",
        "animation",
        "game",
        "paid_media",
        "checklist",
        "rich_message",
        "unknown",
    ),
}
"""What people send that is no photo, also what is too new for the library; what Telegram itself says in a
chat gets no answer."""
READ_AGAIN_S = (0.5, 1.0, 2.0)
"""Waits for words in a photo that are still being read: in a chat the first answer is the one that counts."""
ANSWERED = 256
"""Answered updates that are remembered by number; what came before the first of them was answered, too."""
PHOTO_BYTES = 64 << 20
"""Of all photos that are remembered for their other things."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A photo that was answered just now, and the boxes of its other things."""

    chat_id: int
    photo: bytes
    boxes: tuple[Box, ...]


@dataclass(slots=True)
class PhotoQuota:
    """How many photos each chat, or each person, sent in the last minute."""

    most: int = PHOTOS_A_MINUTE

    now: OrderedDict[int, list[float]] = field(default_factory=OrderedDict)

    def allows(self, chat_id: int, at: float) -> bool:
        """Counts one photo; False where the chat sent too many."""
        times = [t for t in self.now.pop(chat_id, []) if at - t < 60]
        allowed = len(times) < self.most
        self.now[chat_id] = [*times, at] if allowed else times
        while len(self.now) > CHATS:
            self.now.popitem(last=False)
        return allowed


class Bounded(io.BytesIO):
    """A file that takes so many bytes: what a sender says of its length need not be true."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, data: Any, /) -> int:
        """Raises TooLarge for the byte beyond."""
        if self.tell() + len(data) > self._most:
            raise TooLarge("the photo is too large", hint="send a smaller one")
        return super().write(data)


def words_of(caption: str, name: str) -> str:
    """What a caption says of the thing, without our name and without what nobody sees."""
    without = re.sub(re.escape(name) or "(?!)", " ", legible(caption), flags=re.IGNORECASE)
    return without.strip()[:MAX_WORDS]


class Chat:
    """One bot over one workspace."""

    def __init__(self, workspace: Workspace, bot: Bot, public_url: str) -> None:
        self._workspace = workspace
        self._bot = bot
        self._public_url = public_url
        self._places = asyncio.Semaphore(workspace.settings.search_jobs)
        self._arriving = asyncio.Semaphore(ARRIVING * workspace.settings.search_jobs)
        self._pace, self._person_pace = PhotoQuota(), PhotoQuota(CHATS_EACH * PHOTOS_A_MINUTE)
        self._photos: Fleeting[Sent] = Fleeting(
            workspace.settings.photo_memory_s, PHOTO_BYTES, lambda sent: len(sent.photo)
        )
        self._seen = AnsweredUpdates(workspace.path / "bot.offset")
        self._name = ""

    async def learn_name(self) -> None:
        """Asks Telegram who we are; in groups we answer only when called by name."""
        me = await self._bot.me()
        self._name = f"@{me.username}".lower()

    async def hello(self, message: Message) -> None:
        """Answers `/start` and `/help`: what the bot does with a photo."""
        await self._say(message, _speech(message).say(c.HELLO))

    async def photo(self, message: Message, event_update: Update) -> None:
        """Answers one photo, once: an update that comes again after a restart is passed over."""
        if not self._meant(message) or self._seen.has(event_update.update_id):
            return
        speech = _speech(message)
        if not self._allows(message, message.from_user):
            await self._say(message, speech.say(c.SLOWER))
            return
        try:
            async with self._arriving:  # of those who wait nothing is in memory
                data = await self._photo_of(message)
                query = Query(words=words_of(message.caption or "", self._name))
                answer = await self._answered(data, query, speech)
        except (BadImage, TooLarge, Error, TelegramAPIError) as error:
            log.event("bot photo failed", 30, type=type(error).__name__)
            await self._say(message, speech.say(_words(error)))
            return
        await self._say(message, c.headline(answer, speech))
        self._seen.add(event_update.update_id)
        await self._cards(message, answer, speech)
        await self._parts(message, answer, data, speech)

    async def part(self, call: CallbackQuery) -> None:
        """Searches another thing of a photo that the same chat sent just now."""
        await patiently(call.answer)
        search_id, n = c.part_of(call.data or "")
        message, sent = call.message, self._photos.get(search_id)
        if not isinstance(message, Message):
            return
        speech = nearest(call.from_user.language_code or "")
        if sent is None or sent.chat_id != message.chat.id or n >= len(sent.boxes):
            await self._say(message, speech.say(c.FORGOTTEN))
            return
        if not self._allows(message, call.from_user):
            await self._say(message, speech.say(c.SLOWER))
            return
        try:
            answer = await self._answered(sent.photo, Query(box=sent.boxes[n]), speech)
        except Error as error:
            log.event("bot photo failed", 30, type=type(error).__name__)
            await self._say(message, speech.say(_words(error)))
            return
        await self._say(message, c.headline(answer, speech))
        await self._cards(message, answer, speech)

    async def terms(self, call: CallbackQuery) -> None:
        """Tells what the stores of a card pay, when, and what to do for a purchase to count."""
        await patiently(call.answer)
        asked, message = c.offers_of_terms(call.data or ""), call.message
        if not asked or not isinstance(message, Message):
            return
        speech = nearest(call.from_user.language_code or "")
        if not self._allows(message, call.from_user):
            await self._say(message, speech.say(c.SLOWER))
            return
        try:
            told = await asyncio.to_thread(self._programs, asked, speech)
        except Error as error:
            log.event("bot terms failed", 30, type=type(error).__name__)
            told = speech.say(c.LATER)
        await self._say(message, told)

    def _programs(self, offer_ids: list[str], speech: Speech) -> str:
        db, titles = self._workspace.db, stores.titles(self._workspace.db)
        names = dict.fromkeys(offers.get(db, offer_id).store for offer_id in offer_ids)
        known = [name for name in names if name in titles]
        at, folder = int(time.time()), self._workspace.networks
        found = facts.of_stores(db, folder, known, at, speech, signed_in=False)
        return c.terms_told([(titles[one.store], one) for one in found], speech)

    async def other(self, message: Message, event_update: Update) -> None:
        """One sentence to whatever is no photo: text, a sticker, a voice message, a video."""
        if not self._meant(message) or self._seen.has(event_update.update_id):
            return
        if self._allows(message, message.from_user):
            await self._say(message, _speech(message).say(c.ASK))
        self._seen.add(event_update.update_id)

    async def _answered(self, data: bytes, query: Query, speech: Speech) -> Answer:
        answer = await self._searched(data, query, speech)
        for wait_s in READ_AGAIN_S:
            if not answer.reading:
                break
            await asyncio.sleep(wait_s)
            answer = await self._searched(data, query, speech)
        self._record(answer)
        return answer

    async def _searched(self, data: bytes, query: Query, speech: Speech) -> Answer:
        async with self._places:
            return await asyncio.to_thread(self._search, data, query, speech.language)

    async def _cards(self, message: Message, answer: Answer, speech: Speech) -> None:
        shown = c.cards(answer.hits, speech, self._public_url, calibrated=answer.calibrated)
        for card in shown:
            await self._show(message, card, speech)

    async def _parts(self, message: Message, answer: Answer, data: bytes, speech: Speech) -> None:
        """Offers the other things of the photo as buttons under their crops."""
        parts = c.parts(answer, speech)
        if not parts or not self._workspace.settings.photo_memory_s:
            return
        boxes = tuple(part.box for part in parts)
        self._photos.put(answer.search_id, Sent(message.chat.id, data, boxes))
        try:
            pixels = self._workspace.settings.max_image_pixels
            picture = await asyncio.to_thread(strip, data, boxes, pixels)
        except Error:
            return
        rows = [[InlineKeyboardButton(text=p.name[:60], callback_data=p.data)] for p in parts]
        keys, file = (
            InlineKeyboardMarkup(inline_keyboard=rows),
            BufferedInputFile(picture, "parts.jpg"),
        )
        said = speech.say(c.OTHERS)
        await patiently(lambda: message.answer_photo(file, caption=said, reply_markup=keys))

    def _allows(self, message: Message, person: User | None) -> bool:
        """Counts a photo of a chat and of a person, who may call the bot from many chats."""
        now = time.monotonic()
        if person is not None and not self._person_pace.allows(person.id, now):
            return False
        return self._pace.allows(message.chat.id, now)

    def _meant(self, message: Message) -> bool:
        """What comes in private, or calls the bot by its name: a group's other messages are nobody's."""
        said = (message.caption or message.text or "").lower()
        return message.chat.type == "private" or self._name in said

    async def _photo_of(self, message: Message) -> bytes:
        """The largest size of a photo, or a picture sent as a file. Raises TooLarge."""
        limit = self._workspace.settings.max_image_bytes
        file = message.photo[-1] if message.photo else message.document
        if file is None or (file.file_size or 0) > limit:
            raise TooLarge("the photo is too large", hint="send a smaller one")
        buffer = Bounded(limit)
        await self._bot.download(file, destination=buffer)
        return buffer.getvalue()

    def _search(self, data: bytes, query: Query, language: str) -> Answer:
        query = replace(query, limit=c.MOST_CARDS, language=language)
        answer = search_live(data, query, self._workspace.tools)
        if answer.verdict == "none" and query.words:  # a caption is talk as well: "what is this?"
            answer = search_live(data, replace(query, words=""), self._workspace.tools)
        return answer

    def _record(self, answer: Answer) -> None:
        body = ledger.search_body(answer, at=int(time.time()), source="bot")
        try:
            self._workspace.journal.append("search", body, durable=False)
        except Error as error:
            log.event("search not recorded", 30, type=type(error).__name__)

    async def _say(self, message: Message, text: str) -> None:
        await patiently(lambda: message.answer(text))

    async def _show(self, message: Message, card: c.ChatCard, speech: Speech) -> None:
        rows = [[InlineKeyboardButton(text=b.text, url=b.url)] for b in card.buttons]
        if card.save:
            save = InlineKeyboardButton(text=speech.say(c.SAVE), callback_data=card.save)
            rows.append([save])
        if card.terms:
            said = speech.say(c.CONDITIONS)
            rows.append([InlineKeyboardButton(text=said, callback_data=card.terms)])
        keys = InlineKeyboardMarkup(inline_keyboard=rows)
        try:
            picture = self._workspace.images.thumbnail(card.image_hash, THUMBNAIL_PX)
        except Error:  # gone since the answer was made
            await patiently(lambda: message.answer(card.caption, reply_markup=keys))
            return
        file = BufferedInputFile(picture, "offer.jpg")
        await patiently(lambda: message.answer_photo(file, caption=card.caption, reply_markup=keys))

    async def drain(self) -> None:
        """Brings recorded searches into the database as long as the bot lives."""
        while True:
            await asyncio.sleep(DRAIN_S)
            try:
                await asyncio.to_thread(self._workspace.drain)
            except Error as error:
                log.event("drain waits", 30, type=type(error).__name__)


class AnsweredUpdates:
    """The last updates that were answered, each by its number, on disk: Telegram sends again what it is not sure
    of, and several are answered at once, the later one first now and then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            numbers = [int(text) for text in path.read_text("ascii").split()]
        except (OSError, ValueError):
            numbers = []
        # A file of an earlier version has one number: all up to it were answered.
        self._before = numbers[0] if numbers else -1
        self._answered = dict.fromkeys(numbers[1:])

    def has(self, update_id: int) -> bool:
        """Whether this update was answered already, in this run or an earlier one."""
        # Ids start anew at random after a week of silence: a large step back is a new count.
        return update_id in self._answered or 0 <= self._before - update_id < 100_000

    def add(self, update_id: int) -> None:
        """Remembers that an update was answered, also over a restart."""
        self._answered[update_id] = None
        while len(self._answered) > ANSWERED:
            self._before = next(iter(self._answered))
            del self._answered[self._before]
        told = " ".join(map(str, (self._before, *self._answered)))
        replace_file(self._path, lambda partial: partial.write_text(told, "ascii"))


def serve(
    workspace: Workspace,
    token: str,
    public_url: str,
    api: str,
    ready: Callable[[], None],
    stop: Event,
) -> None:
    """Polls for updates until `stop` is set; `ready` is called once Telegram took the token. Raises
    ConfigError, FetchFailed."""
    try:
        asyncio.run(_serve(workspace, token, public_url, api, ready, stop))
    except TokenValidationError as error:
        raise ConfigError("this is no bot token", hint="look it up at @BotFather") from error
    except (TelegramUnauthorizedError, TelegramNotFound) as error:
        raise ConfigError(
            "Telegram refuses the bot token", hint="look it up at @BotFather"
        ) from error
    except TelegramNetworkError as error:
        raise FetchFailed("Telegram cannot be reached", hint="check the network") from error
    except AiogramError as error:  # a proxy's page, a fault of theirs
        said = str(error).partition("\n")[0]
        hint = "try again later; with --api look whether a Bot API server answers there"
        raise FetchFailed(f"Telegram does not answer as it should: {said}", hint=hint) from error


async def _serve(
    workspace: Workspace,
    token: str,
    public_url: str,
    api: str,
    ready: Callable[[], None],
    stop: Event,
) -> None:
    server = TelegramAPIServer.from_base(api) if api else None
    session = AiohttpSession(api=server) if server else AiohttpSession()
    try:
        bot = Bot(token, session=session, default=DefaultBotProperties(parse_mode="HTML"))
        await _answer(bot, workspace, public_url, ready, stop)
    finally:
        await session.close()


async def _answer(
    bot: Bot, workspace: Workspace, public_url: str, ready: Callable[[], None], stop: Event
) -> None:
    chat = Chat(workspace, bot, public_url)
    dispatcher = Dispatcher()
    things = SavedInChats(workspace, bot, public_url)
    dispatcher.message.register(chat.hello, Command("start", "help"))
    dispatcher.message.register(things.listed, Command("saved"))
    dispatcher.message.register(chat.photo, F.photo)
    dispatcher.message.register(chat.other, F.animation)  # Telegram gives it as a document, too
    dispatcher.message.register(chat.photo, F.document)  # what it is, its bytes tell
    dispatcher.message.register(chat.other, F.content_type.in_(OTHER))
    dispatcher.callback_query.register(chat.part, F.data.startswith("part:"))
    dispatcher.callback_query.register(things.change, F.data.regexp("^(save|drop):"))
    dispatcher.callback_query.register(chat.terms, F.data.startswith("terms:"))
    await chat.learn_name()
    log.event("bot ready")
    ready()
    works = (chat.drain(), things.tell(), _stopped(dispatcher, stop))
    beside = [asyncio.create_task(work) for work in works]
    kinds = ["message", "callback_query"]
    try:
        # Signals are the command line's, as everywhere: a word at once, an end within seconds.
        await dispatcher.start_polling(bot, allowed_updates=kinds, handle_signals=False)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _stopped(dispatcher: Dispatcher, stop: Event) -> None:
    """Ends the polling once `stop` is set."""
    while not stop.is_set():
        await asyncio.sleep(STOP_S)
    while True:  # it may be about to begin
        with suppress(RuntimeError):
            await dispatcher.stop_polling()
            return
        await asyncio.sleep(STOP_S)


def _words(error: Exception) -> str:
    if isinstance(error, BadImage):
        return c.BROKEN
    return c.LARGE if isinstance(error, TooLarge) else c.LATER


def _speech(message: Message) -> Speech:
    return nearest((message.from_user and message.from_user.language_code) or "")
