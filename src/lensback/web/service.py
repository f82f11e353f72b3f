"""What the routes share: the workspace, its gate, and a search from request to answer."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import Depends
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from lensback import deeds, grants, images, keys, log, people
from lensback.catalogue import offers, stores
from lensback.catalogue.stores import StoreState
from lensback.errors import (
    BadImage,
    ConfigError,
    Error,
    FetchError,
    InputError,
    StateError,
    TooLarge,
)
from lensback.fleeting import Fleeting
from lensback.keys import Key
from lensback.ledger.shown import Shown, shown, shown_of
from lensback.livefile import LiveFile
from lensback.search import (
    Palette,
    Query,
    Tools,
    palette_of,
    search,
    search_live,
    search_words,
)
from lensback.types import StoredOffer, Vectors
from lensback.web import kept
from lensback.web.browser import address_of, browser_of
from lensback.web.gate import Gate
from lensback.web.guesses import Guesses
from lensback.web.language import speech_of
from lensback.web.leaving import while_waited_for
from lensback.web.limits import Arrivals
from lensback.web.marks import Marks
from lensback.web.memory import Memory, Remembered
from lensback.web.meters import Meters
from lensback.web.notes import note_search, note_vectors
from lensback.web.pace import RateLimiter
from lensback.web.readiness import Readiness
from lensback.web.together import photos
from lensback.web.turns import REQUESTS_BURST_S, AddressLines, Turns, of_refusals
from lensback.web.uploads import Upload, read_upload
from lensback.wire import Answer
from lensback.workspace import Workspace

T = TypeVar("T")

OVERVIEW_S = 10.0
SAMPLES = 8
SHOWN_S, SHOWN = 60.0, 5_000
"""How long, and how many, answers and votes are remembered until the database surely has them."""
QUEUE = 8
"""Searches that may wait for a free thread: well under a second of work."""
LARGE_QUEUE = 4
"""Photos that are large, or dear, to decode, waiting for their turn; of each kind."""
FETCHES, FETCHES_EACH, FETCHES_WAITING = 8, 4, 16
"""Photos fetched from addresses at once, in all and for one client, and those that wait: of them
nothing is in memory yet."""
FETCH_S = 10.0
"""For one of them, from the look-up of its name to its last byte."""
READS = 4
"""Times as many pages and details as searches a minute: each reads the database."""
REQUESTS_PER_S = 60.0
"""Requests of any kind of one address: beyond them each waits for its turn. However few searches an
operator allows, a page asks for its pictures."""
REFUSED_S = 2.0
"""No refusal of an address comes sooner: how long one takes would tell what is there."""


@dataclass(frozen=True, slots=True)
class Front:
    """What the page shows of the catalogue; empty before the first publish."""

    stores: dict[str, int] = field(default_factory=dict)
    """Store -> offers on sale."""
    currencies: tuple[str, ...] = ()
    palette: Palette = field(default_factory=Palette)
    """The colours that some store names, and of what."""
    samples: tuple[StoredOffer, ...] = ()
    """Things to start from without a photo."""
    titles: dict[str, str] = field(default_factory=dict)
    """Store -> what people call it."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: an address, by which places are shared out, and a browser, whose photos are its own."""

    address: str
    browser: str
    still: Callable[[], object]
    """Raises Left where nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the routes of one application share: the workspace, its gates and its memories."""

    workspace: Workspace
    gate: Gate
    later: tuple[Gate, ...]
    """For photos of the decoders' later lanes: they hold no place of the others."""
    fetching: Gate
    """For photos that are fetched from an address."""
    explaining: Gate
    """For what shows which part of a photo matched."""
    arrivals: Arrivals
    pace: RateLimiter
    read_pace: RateLimiter
    key_pace: RateLimiter
    keyring: LiveFile[tuple[Key, ...]]
    write_pace: RateLimiter
    click_pace: RateLimiter
    guesses: Guesses
    memory: Memory
    marks: Marks
    shown: Fleeting[Shown]
    """Answers that may not be in the database yet, by search."""
    turns: Turns
    """Of all requests, whatever they ask for."""
    lines: AddressLines = field(default_factory=AddressLines)
    votes: Fleeting[int] = field(default_factory=lambda: Fleeting(SHOWN_S, SHOWN))
    """Votes that may not be there yet, by search and product."""
    readiness: Readiness = field(default_factory=Readiness)
    meters: Meters = field(default_factory=Meters.new)
    refusals: Turns = field(default_factory=of_refusals)
    _fronts: dict[str, Front] = field(default_factory=dict)
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _overviews: dict[str, tuple[float, list[StoreState]]] = field(default_factory=dict)
    _failing: threading.Event = field(default_factory=threading.Event)
    """Set while the last search of the encoder on trial failed. Until one of it works no search is of the trial, of neither side."""

    @classmethod
    def over(cls, workspace: Workspace) -> Service:
        """The service of an opened workspace, with the limits of its settings."""
        s = workspace.settings
        recent: Fleeting[Shown] = Fleeting(SHOWN_S, SHOWN)
        return cls(
            workspace,
            Gate(s.search_jobs, QUEUE, beside=max(1, s.search_jobs // 2)),
            tuple(Gate(lane.workers, LARGE_QUEUE) for lane in images.shared().lanes[1:]),
            Gate(FETCHES, FETCHES_WAITING, FETCHES_EACH, FETCH_S),
            Gate(1, QUEUE),
            Arrivals(s.upload_memory_bytes),
            RateLimiter(s.rate_limit),
            RateLimiter(READS * s.rate_limit),
            RateLimiter(s.key_rate_limit),
            keys.keyring(workspace.keys_path),
            RateLimiter(s.write_limit),
            RateLimiter(s.click_limit),
            Guesses(s.guess_limit),
            Memory(photos(s.photo_memory_s), partial(_kept_photo, workspace, recent)),
            Marks(workspace),
            recent,
            Turns(REQUESTS_PER_S if s.rate_limit else 0.0, 0.0, REQUESTS_BURST_S),
        )

    def tools(self) -> Tools:
        """What a search needs; a set-up that is wrong is our state, not the shopper's request."""
        try:
            return self.workspace.tools()
        except ConfigError as error:
            raise StateError(error.message, hint=error.hint) from error

    async def answer(self, request: Request) -> tuple[Upload, Answer]:
        """The request's photo, searched. The photo itself is let go."""
        async with self.arrivals.body_of(request):
            upload = await read_upload(request, self.workspace.settings.max_image_bytes)
            async with while_waited_for(request) as still:
                return replace(upload, photo=None), await self.find(request, upload, still)

    async def find(self, request: Request, upload: Upload, still: Callable[[], object]) -> Answer:
        """One upload, searched, counted and written down; `still` is asked between two stages whether somebody
        waits for it. Raises Busy where all places are taken."""
        who, asked = Asker(address_of(request), browser_of(request), still), upload
        reads = replace(upload.query, language=speech_of(request).language)
        upload = replace(upload, query=reads)
        if upload.photo_url:
            answer, variant = await self._from_address(upload, who)
        elif upload.photo is None and not upload.again:
            work = partial(self._by_words, upload.query)
            answer, variant = await self.gate.run(work, who.address, 0.0), ""
        else:
            if upload.again:
                known = await run_in_threadpool(self.memory.get, upload.again, who.browser)
                upload = replace(upload, photo=known.photo, first=known.first)
            answer, variant = await self._searched(upload, who)
        self.meters.searched(answer)
        kept_as = self._kept_as(upload, answer, who.browser)
        body = note_search(self.workspace, request, asked.query, answer, variant, kept_as)
        self.shown.put(answer.search_id, shown_of(body))
        return answer

    async def _searched(self, upload: Upload, who: Asker) -> tuple[Answer, str]:
        """The search of a photo that is here."""
        return await self.placed(partial(self._search, upload, who), who.address)

    async def placed(self, work: Callable[[images.Decode], T], address: str) -> T:
        """What `work` returns, given what decodes, in a place of the kind that its photo needs."""
        decoders, seconds = images.shared(), 0.0
        for lane, gate in enumerate((self.gate, *self.later)):
            try:
                decode = partial(decoders.within, lane)
                return await gate.run(partial(work, decode), address, seconds)
            except images.TooDear as dear:
                seconds = dear.seconds
        raise AssertionError("the last lane takes all")

    async def _from_address(self, upload: Upload, who: Asker) -> tuple[Answer, str]:
        """The search of a picture from the web. Whatever is wrong with its address or with what lies
        there is answered in the same words and after the same while: we are nobody's scanner."""
        begin = time.monotonic()
        try:
            async with asyncio.timeout(2 * FETCH_S + REFUSED_S):  # its wait, too
                fetch = partial(self._fetched, upload.photo_url)
                photo = await self.fetching.run(fetch, who.address)
            return await self._searched(replace(upload, photo=photo), who)
        except (FetchError, BadImage, TooLarge, TimeoutError) as error:
            await asyncio.sleep(begin + REFUSED_S - time.monotonic())
            hint = "save the picture and choose it as a file"
            raise InputError("no picture can be read from this address", hint=hint) from error

    def _fetched(self, url: str) -> bytes:
        """By the one way out: no private addresses, no endless bodies, and not for long."""
        most = self.workspace.settings.max_image_bytes
        return self.workspace.photo_fetcher.fetch(url, max_bytes=most, deadline_s=FETCH_S).body

    def _search(self, upload: Upload, who: Asker, decode: images.Decode) -> tuple[Answer, str]:
        """The answer, and the side of a trial that gave it; empty: no trial."""
        photo, pictures = upload.photo or b"", list[Image.Image]()
        own = partial(_own, who=who, decode=decode, pictured=pictures.append)
        answer, variant = self._answered(photo, upload.query, own)
        first = upload.first or answer.search_id
        self.memory.keep(answer.search_id, photo, answer.region, who.browser, first)
        if not kept.is_drawn(photo) and not self.memory.drawn(first, who.browser):
            self.memory.keep_drawn(first, kept.jpeg_of_pixels(pictures[-1]), who.browser)
        if not upload.again:
            kept.keep(self.workspace.path, self.workspace.settings, answer.search_id, photo, decode)
        return answer, variant

    def _kept_as(self, upload: Upload, answer: Answer, whose: str) -> tuple[str, str] | None:
        """How the photo of an answer is found again where photos are kept."""
        if not self.workspace.settings.keep_photos_days or not answer.photo.width:
            return None
        mark = kept.mark_of(answer.search_id, whose)
        return upload.first or answer.search_id, mark

    def _answered(
        self, photo: bytes, query: Query, own: Callable[..., Tools]
    ) -> tuple[Answer, str]:
        (variant, other), compared = self._side(), dict[str, Vectors]()
        own = partial(own, compared=compared.__setitem__)
        answer: Answer | None = None
        counts = not self._failing.is_set()
        if variant == "b" and other:
            try:
                answer = search(photo, query, own(other))
                self._failing.clear()
            except (ConfigError, StateError) as error:  # a trial never costs an answer
                _note_out(error)
                self._failing.set()
                counts = False
        if answer is None:
            answer = search_live(photo, query, lambda: own(self.tools()))
        if self.workspace.settings.learn_from_use and answer.hits:
            note_vectors(self.workspace, answer, compared[answer.search_id])
        return answer, variant if counts else ""

    def _by_words(self, query: Query) -> Answer:
        return search_words(query, self.tools())

    def _side(self) -> tuple[str, Tools | None]:
        """Which side of a trial answers, and what the other one needs. Each search by itself, by chance: the test
        of the trial counts on it. While the other is not ready no search is of the trial, of neither
        side: those of the first alone would break the split."""
        settings = self.workspace.settings
        if not settings.trial_workspace:
            return "", None
        try:
            other = self.workspace.trial_tools()
        except (ConfigError, StateError) as error:
            _note_out(error)
            return "", None
        return self._drawn(), other

    def _drawn(self) -> str:
        share = self.workspace.settings.trial_share
        return "b" if secrets.randbelow(1 << 30) < share * (1 << 30) else "a"

    def note_guesses(self) -> None:
        """Writes into the audit log how many keys and secrets were wrong, where and never by whom."""
        if detail := self.guesses.untold():
            deeds.note(self.workspace.db, int(time.time()), "somebody", "wrong key", detail)

    def sweep(self) -> None:
        """Removes kept photos, searches, clicks and grants whose days are over."""
        s, db, now = self.workspace.settings, self.workspace.db, int(time.time())
        kept.sweep(self.workspace.path, s.keep_photos_days)
        try:
            grants.sweep(db, now)
            days = {"search_days": s.keep_searches_days, "click_days": s.keep_clicks_days}
            people.let_go(db, now, **days)
        except Error as error:  # an hour later again
            log.event("sweep waits", 30, type=type(error).__name__, message=error.message)

    def overview(self) -> list[StoreState]:
        """The stores' states, counted at most every OVERVIEW_S: anybody may ask for them."""
        now = time.monotonic()
        known = self._overviews.get("all")
        if known is None or now - known[0] > OVERVIEW_S:
            known = (now, stores.overview(self.workspace.db))
            self._overviews["all"] = known
        return known[1]

    def front(self) -> Front:
        """Counted once for each snapshot, by one at a time: on a large catalogue counting takes a while, in which
        the others have what was there before."""
        snapshot = self.workspace.index.snapshot
        if snapshot is None:
            return Front()
        known = self._fronts.get(snapshot.id)
        if known is None:
            known = self._counted(snapshot.id)
        return replace(known, titles=stores.titles(self.workspace.db))

    def _counted(self, snapshot_id: str) -> Front:
        before = next(iter(self._fronts.copy().values()), None)
        if not self._counting.acquire(blocking=before is None) and before:
            return before
        try:
            known = self._fronts.get(snapshot_id)
            if known is None:
                db = self.workspace.db
                known = Front(
                    dict(sorted(offers.counts(db).items())),
                    tuple(offers.currencies(db)),
                    palette_of(db),
                    tuple(offers.samples(db, SAMPLES)),
                )
                self._fronts[snapshot_id] = known
                for old in set(self._fronts) - {snapshot_id}:
                    del self._fronts[old]
            return known
        finally:
            self._counting.release()

    def check(self) -> dict[str, str]:
        """What is ready, part by part. Raises StateError naming the part that is not."""
        stores.names(self.workspace.db)
        self.workspace.journal.check()
        tools = self.tools()
        if tools.encoder.fingerprint != tools.snapshot.fingerprint:
            raise StateError(
                "the index was made by another version of the encoder", hint="run: lensback sync"
            )
        return {
            "database": "ok",
            "journal": "ok",
            "index": tools.snapshot.id,
            "encoder": tools.encoder.name,
        }


def _kept_photo(
    workspace: Workspace, recent: Fleeting[Shown], search_id: str, whose: str
) -> Remembered | None:
    def said() -> Shown:
        return recent.get(search_id) or shown(workspace.db, search_id)

    return kept.photo_of(
        workspace.path, workspace.settings.keep_photos_days, search_id, whose, said
    )


def _note_out(error: Error) -> None:
    log.event("trial out", 30, type=type(error).__name__, message=error.message)


def _own(tools: Tools, who: Asker, **listeners: Any) -> Tools:
    """The tools with what this browser's own photos were seen to show, and no other's."""
    return replace(tools, looks=tools.looks.of(who.browser), still=who.still, **listeners)


async def _service(request: Request) -> Service:
    # Not a plain function: for each of those the framework goes through a thread.
    service: Service = request.app.state.service
    return service


Opened = Annotated[Service, Depends(_service)]
