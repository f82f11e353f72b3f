"""Telegram's side: updates in, messages out (aiogram). Answers come from the workspace itself."""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from aiogram import Bot, Dispatcher, F
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.filters import Command
from aiogram.types import (
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    Update,
)
from aiogram.utils.token import TokenValidationError

from lensback import ledger, log
from lensback.bot import cards as c
from lensback.durable import replace_file
from lensback.errors import BadImage, ConfigError, Error, FetchFailed, TooLarge
from lensback.search import Query, search_live
from lensback.speech import Speech, nearest
from lensback.wire import Answer
from lensback.workspace import Workspace

PHOTOS_A_MINUTE = 10
MAX_WORDS = 200
"""Characters of a caption that are read as words of the thing."""
CHATS = 10_000
"""Chats whose pace is remembered; the longest silent are forgotten first."""
THUMBNAIL_PX = 640
TRIES = 4
DRAIN_S = 2.0


@dataclass(slots=True)
class PhotoQuota:
    """How many photos each chat sent in the last minute."""

    now: OrderedDict[int, list[float]] = field(default_factory=OrderedDict)

    def allows(self, chat_id: int, at: float) -> bool:
        """Counts one photo; False where the chat sent too many."""
        times = [t for t in self.now.pop(chat_id, []) if at - t < 60]
        allowed = len(times) < PHOTOS_A_MINUTE
        self.now[chat_id] = [*times, at] if allowed else times
        while len(self.now) > CHATS:
            self.now.popitem(last=False)
        return allowed


class Chat:
    """One bot over one workspace."""

    def __init__(self, workspace: Workspace, bot: Bot, public_url: str) -> None:
        self._workspace = workspace
        self._bot = bot
        self._public_url = public_url
        self._places = asyncio.Semaphore(workspace.settings.search_jobs)
        self._pace = PhotoQuota()
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
        if not self._pace.allows(message.chat.id, time.monotonic()):
            await self._say(message, speech.say(c.SLOWER))
            return
        try:
            data = await self._photo_of(message)
            async with self._places:
                answer = await asyncio.to_thread(
                    self._search, data, speech.language, self._words(message)
                )
        except (BadImage, TooLarge, Error, TelegramAPIError) as error:
            log.event("bot photo failed", 30, type=type(error).__name__)
            await self._say(message, speech.say(_words(error)))
            return
        self._record(answer)
        await self._say(message, c.headline(answer, speech))
        self._seen.add(event_update.update_id)
        for card in c.cards(answer.hits, speech, self._public_url):
            await self._show(message, card)

    def _meant(self, message: Message) -> bool:
        """Private photos, and those whose caption calls the bot: a group's others are nobody's."""
        return message.chat.type == "private" or self._name in (message.caption or "").lower()

    async def _photo_of(self, message: Message) -> bytes:
        """The largest size of a photo, or a picture sent as a file. Raises TooLarge."""
        limit = self._workspace.settings.max_image_bytes
        file = message.photo[-1] if message.photo else message.document
        if file is None or (file.file_size or 0) > limit:
            raise TooLarge("the photo is too large", hint="send a smaller one")
        buffer = io.BytesIO()
        await self._bot.download(file, destination=buffer)
        return buffer.getvalue()

    def _words(self, message: Message) -> str:
        """What a caption says of the thing, without our name."""
        name = re.escape(self._name) or "(?!)"
        return re.sub(name, " ", message.caption or "", flags=re.IGNORECASE).strip()[:MAX_WORDS]

    def _search(self, data: bytes, language: str, words: str) -> Answer:
        query = Query(limit=c.MOST_CARDS, language=language, words=words)
        return search_live(data, query, self._workspace.tools)

    def _record(self, answer: Answer) -> None:
        body = ledger.search_body(answer, at=int(time.time()), source="bot")
        try:
            self._workspace.journal.append("search", body, durable=False)
        except Error as error:
            log.event("search not recorded", 30, type=type(error).__name__)

    async def _say(self, message: Message, text: str) -> None:
        await _patiently(lambda: message.answer(text))

    async def _show(self, message: Message, card: c.ChatCard) -> None:
        rows = [[InlineKeyboardButton(text=b.text, url=b.url)] for b in card.buttons]
        keys = InlineKeyboardMarkup(inline_keyboard=rows)
        try:
            picture = self._workspace.images.thumbnail(card.image_hash, THUMBNAIL_PX)
        except Error:  # gone since the answer was made
            await _patiently(lambda: message.answer(card.caption, reply_markup=keys))
            return
        file = BufferedInputFile(picture, "offer.jpg")
        await _patiently(
            lambda: message.answer_photo(file, caption=card.caption, reply_markup=keys)
        )

    async def drain(self) -> None:
        """Brings recorded searches into the database as long as the bot lives."""
        while True:
            await asyncio.sleep(DRAIN_S)
            try:
                await asyncio.to_thread(self._workspace.drain)
            except Error as error:
                log.event("drain waits", 30, type=type(error).__name__)


class AnsweredUpdates:
    """The last update that was answered, on disk: Telegram sends again what it is not sure of."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._last = int(path.read_text("ascii"))
        except (OSError, ValueError):
            self._last = -1
        self._recent: set[int] = set()

    def has(self, update_id: int) -> bool:
        # Ids start anew at random after a week of silence: a large step back is a new count.
        """Whether this update was answered already, in this run or an earlier one."""
        return update_id in self._recent or 0 <= self._last - update_id < 100_000

    def add(self, update_id: int) -> None:
        """Remembers that an update was answered, also over a restart."""
        self._recent.add(update_id)
        self._last = max(self._last, update_id)
        replace_file(self._path, lambda partial: partial.write_text(str(self._last), "ascii"))


def serve(workspace: Workspace, token: str, public_url: str, api: str = "") -> None:
    """Polls for updates until the process is told to stop. Raises ConfigError, FetchFailed."""
    try:
        asyncio.run(_serve(workspace, token, public_url, api))
    except TelegramUnauthorizedError as error:
        raise ConfigError(
            "Telegram refuses the bot token", hint="look it up at @BotFather"
        ) from error
    except TelegramNetworkError as error:
        raise FetchFailed("Telegram cannot be reached", hint="check the network") from error


async def _serve(workspace: Workspace, token: str, public_url: str, api: str) -> None:
    server = TelegramAPIServer.from_base(api) if api else None
    session = AiohttpSession(api=server) if server else AiohttpSession()
    try:
        bot = Bot(token, session=session, default=DefaultBotProperties(parse_mode="HTML"))
    except TokenValidationError as error:
        raise ConfigError("this is no bot token", hint="look it up at @BotFather") from error
    chat = Chat(workspace, bot, public_url)
    dispatcher = Dispatcher()
    dispatcher.message.register(chat.hello, Command("start", "help"))
    dispatcher.message.register(chat.photo, F.photo)
    dispatcher.message.register(chat.photo, F.document.mime_type.startswith("image/"))
    await chat.learn_name()
    log.event("bot ready")
    draining = asyncio.create_task(chat.drain())
    try:
        await dispatcher.start_polling(bot, allowed_updates=["message"])
    finally:
        draining.cancel()
        with suppress(asyncio.CancelledError):
            await draining
        await session.close()


async def _patiently(send: Callable[[], Awaitable[object]]) -> None:
    """Sends; waits as long as Telegram asks, and gives up after TRIES."""
    for left in reversed(range(TRIES)):
        try:
            await send()
        except TelegramRetryAfter as error:
            if not left:
                raise
            await asyncio.sleep(error.retry_after)
        else:
            return


def _words(error: Exception) -> str:
    if isinstance(error, BadImage):
        return c.BROKEN
    return c.LARGE if isinstance(error, TooLarge) else c.LATER


def _speech(message: Message) -> Speech:
    return nearest((message.from_user and message.from_user.language_code) or "")
