"""Saved things of a chat: kept by a button, listed by `/saved`, told of when they become cheaper or are there
again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramRetryAfter,
)
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

from lensback import log
from lensback.bot import cards as c
from lensback.catalogue import saved
from lensback.catalogue.saved import SavedThing, ThingNews
from lensback.errors import BadQuery, Error, NotFound
from lensback.search import reachable, saved_thing
from lensback.speech import Speech, nearest
from lensback.workspace import Workspace

LOOK_S = 60.0
"""Between two looks at what became of all saved things."""
SHOWN = 10
"""Saved things that one list shows, the latest."""
PACE_S = 0.05
"""Telegram takes thirty messages a second of one bot."""
TRIES = 4


class SavedInChats:
    """The saved things of all chats of one bot."""

    def __init__(self, workspace: Workspace, bot: Bot, public_url: str) -> None:
        self._workspace = workspace
        self._reachable = reachable(workspace.db, workspace.cashback)
        self._bot = bot
        self._public_url = public_url

    async def change(self, call: CallbackQuery) -> None:
        """Saves a thing for its chat, or takes it away, as the button says."""
        await patiently(call.answer)
        done, product_id = c.thing_of(call.data or "")
        message = call.message
        if not done or not isinstance(message, Message):
            return
        speech = nearest(call.from_user.language_code or "")
        owner = saved.owner_of_chat(message.chat.id)
        work = self._save if done == "save" else self._drop
        try:
            said = await asyncio.to_thread(work, owner, product_id, speech)
        except Error as error:
            log.event("bot saving failed", 30, type=type(error).__name__)
            said = c.LATER
        await patiently(lambda: message.answer(speech.say(said)))

    def _save(self, owner: str, product_id: str, speech: Speech) -> str:
        workspace = self._workspace
        try:
            thing = saved_thing(
                workspace.db,
                owner,
                product_id,
                workspace.cashback,
                speech.language,
                int(time.time()),
            )
            saved.save(workspace.db, thing)
        except NotFound:
            return c.GONE
        except BadQuery:
            return c.FULL
        return c.KEPT

    def _drop(self, owner: str, product_id: str, _speech: Speech) -> str:
        saved.drop(self._workspace.db, owner, product_id)
        return c.REMOVED

    async def listed(self, message: Message) -> None:
        """Answers `/saved`: what this chat saved, as it is now, each with a way to it and one away."""
        speech = nearest((message.from_user and message.from_user.language_code) or "")
        db, owner = self._workspace.db, saved.owner_of_chat(message.chat.id)
        try:
            things = await asyncio.to_thread(saved.of_owner, db, owner)
            now = await asyncio.to_thread(saved.now_of, db, things, self._reachable)
        except Error as error:
            log.event("bot saved failed", 30, type=type(error).__name__)
            await patiently(lambda: message.answer(speech.say(c.LATER)))
            return
        if not things:
            await patiently(lambda: message.answer(speech.say(c.NOTHING)))
        for thing in things[:SHOWN]:
            state = now[thing.product_id]
            text = c.saved_told(thing, state, speech)
            keys = self._keys(thing, speech, sold=state.on_sale)
            await patiently(lambda text=text, keys=keys: message.answer(text, reply_markup=keys))  # type: ignore[misc]

    def _keys(self, thing: SavedThing, speech: Speech, *, sold: bool) -> InlineKeyboardMarkup:
        away = InlineKeyboardButton(
            text=speech.say(c.REMOVE), callback_data=f"drop:{thing.product_id}"
        )
        page = f"{self._public_url}/products/{thing.product_id}"
        way = InlineKeyboardButton(text=speech.say("All about it"), url=page)
        return InlineKeyboardMarkup(inline_keyboard=[[way, away] if sold else [away]])

    async def tell(self) -> None:
        """Tells chats what became of their saved things as long as the bot lives."""
        while True:
            try:
                await self._look()
            except (Error, TelegramAPIError) as error:
                log.event("news wait", 30, type=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        """What was told is written down batch by batch: a bot that dies tells the rest later, and one batch
        twice at most."""
        batches = saved.news(self._workspace.db, self._reachable, chats=True)
        while batch := await asyncio.to_thread(next, batches, None):
            news, known = batch
            for one in news:
                await self._tell(one)
            await asyncio.to_thread(saved.remember, self._workspace.db, known)

    async def _tell(self, news: ThingNews) -> None:
        chat = saved.chat_of(news.thing.owner)
        if chat is None:
            return
        speech = nearest(news.thing.language)
        text, keys = c.news_told(news, speech), self._keys(news.thing, speech, sold=True)
        try:
            await patiently(lambda: self._bot.send_message(chat, text, reply_markup=keys))
        except (TelegramForbiddenError, TelegramBadRequest):  # blocked the bot, or is gone
            await asyncio.to_thread(self._forget, news.thing.owner)
        await asyncio.sleep(PACE_S)

    def _forget(self, owner: str) -> None:
        with self._workspace.db.write() as transaction:
            saved.forget(transaction, owner)


async def patiently(send: Callable[[], Awaitable[object]]) -> None:
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
