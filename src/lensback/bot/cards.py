"""An answer -> what the bot says: short texts and buttons. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from lensback.catalogue.saved import SavedThing, ThingNews, ThingNow
from lensback.comparison import by_store
from lensback.legible import legible
from lensback.programs.shape import ProgramFacts
from lensback.speech import N_, Speech
from lensback.types import WHOLE, Box
from lensback.verdicts import (
    AVAILABILITY,
    CLOSEST,
    HEADLINES,
    LABELS,
    NO_WAY,
    NOTHING_TO_SEARCH,
    TIPS,
    UNNAMED,
    groups,
    likelihood,
    reasons,
)
from lensback.wire import Answer, Hit, Offer

MOST_CARDS = 5
MOST_BUTTONS = 4
MOST_PARTS = 6
_PART = re.compile(r"part:([0-9a-f]{16}):([0-9])")
_THING = re.compile(r"(save|drop):(p[a-z2-7]{16})")
_TERMS = re.compile(r"terms(?::[a-z2-7]{16}){1,3}")
MOST_TERMS = 3
"""Stores of one card whose terms its button tells: Telegram sends 64 bytes back."""
MAX_MESSAGE = 3800
"""Telegram allows 4096 characters."""
MAX_CAPTION = 900
"""Telegram allows 1024 characters after its markup is taken out."""

HELLO = N_(
    "Send me a photo of shoes, a dress, a bag: I look for that very thing in the stores and "
    "compare their prices after cashback. I do not keep photos."
)
SLOWER = N_("That is a lot of photos at once. Send the next one in a minute.")
ASK = N_("I look at photos only: send me one of the thing that you want to find.")
OTHERS = N_("Something else in the photo? Choose it:")
FORGOTTEN = N_("This photo is forgotten by now. Send it again.")
SAVE = N_("Save: tell me when it is cheaper")
KEPT = N_("Saved. I will write when it becomes cheaper, or is there again. All of them: /saved")
GONE = N_("This is not sold any more.")
FULL = N_("That is a lot of saved things. Take one away first: /saved")
NOTHING = N_("Nothing is saved yet.")
REMOVE = N_("Remove")
REMOVED = N_("Removed.")
CHEAPER = N_("Cheaper: {price} instead of {before}")
BACK = N_("Back in stock: {price}")
CONDITIONS = N_("Cashback: conditions")
NO_TERMS = N_("These offers pay no cashback any more.")
BROKEN = N_("This file is not a picture that we can read.")
LARGE = N_("This photo is too large for us.")
LATER = N_("The service is not ready. Try again later.")


@dataclass(frozen=True, slots=True)
class Button:
    """One offer: where it leads is `/go`, so that the click is recorded."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class ChatCard:
    """One hit: a picture by its hash, a caption in Telegram's HTML, and its offers."""

    image_hash: str
    caption: str
    buttons: tuple[Button, ...]
    save: str
    """What the button that saves it sends back."""
    terms: str
    """What the button that asks for the cashback's terms sends back; empty where nothing is paid."""


def headline(answer: Answer, speech: Speech) -> str:
    """The verdict in words, with what to do where nothing was found."""
    lines = [f"<b>{speech.say(HEADLINES[answer.verdict])}</b>"]
    lines += map(escape, reasons(answer, speech))
    none = NOTHING_TO_SEARCH if answer.nothing_to_search else TIPS
    advice = {"none": none, "similar": CLOSEST}.get(answer.verdict)
    if advice:
        lines.append(speech.say(advice))
    return "\n".join(lines)


def cards(
    hits: Sequence[Hit], speech: Speech, public_url: str, *, calibrated: bool = False
) -> list[ChatCard]:
    """The first hits of the first group; after an exact one nobody asked for more. With how likely each
    is the thing, where that is `calibrated`."""
    first = next(iter(groups(hits)), None)
    wanted = first.hits if first else ()
    return [_card(hit, speech, public_url, calibrated) for hit in wanted[:MOST_CARDS]]


@dataclass(frozen=True, slots=True)
class OtherThing:
    """Another thing of a photo: its name, its box, and what its button sends back."""

    name: str
    box: Box
    data: str


def parts(answer: Answer, speech: Speech) -> list[OtherThing]:
    """The things of the photo that were not searched, the likeliest first, numbered as their crops are."""
    others = [one for one in answer.regions if one.box not in {answer.region, WHOLE}]
    return [
        OtherThing(
            f"{n}. {speech.say(LABELS.get(one.label, UNNAMED))}",
            one.box,
            f"part:{answer.search_id}:{n - 1}",
        )
        for n, one in enumerate(others[:MOST_PARTS], 1)
    ]


def part_of(data: str) -> tuple[str, int]:
    """The search and the number of a part, from what its button sent; ("", 0) for anything else."""
    found = _PART.fullmatch(data)
    return (found[1], int(found[2])) if found else ("", 0)


def _card(hit: Hit, speech: Speech, public_url: str, calibrated: bool) -> ChatCard:
    lines = [f"<b>{_plain(hit.title, 200)}</b>", _plain(hit.brand, 100)]
    if calibrated:
        lines.append(speech.say(likelihood(hit.probability)))
    offers = [row.first for row in by_store(hit.offers)][:MOST_BUTTONS]
    lines += [_line(offer, speech) for offer in offers]
    caption = "\n".join(filter(None, lines))
    while len(caption) > MAX_CAPTION:
        lines.pop()
        caption = "\n".join(filter(None, lines))
    within_reach = [offer for offer in offers if offer.reachable]
    buttons = tuple(
        Button(_label(offer, speech), public_url + offer.link) for offer in within_reach
    )
    paying = [offer.offer_id for offer in offers if offer.cashback.minor > 0][:MOST_TERMS]
    terms = ":".join(["terms", *paying]) if paying else ""
    save = f"save:{hit.product_id}" if _THING.fullmatch(f"save:{hit.product_id}") else ""
    return ChatCard(hit.image_hash, caption, buttons, save, terms)


def thing_of(data: str) -> tuple[str, str]:
    """What a button does with a thing (`save`, `drop`) and its id; ("", "") for anything else."""
    found = _THING.fullmatch(data)
    return (found[1], found[2]) if found else ("", "")


def news_told(news: ThingNews, speech: Speech) -> str:
    """What became of a saved thing, in Telegram's HTML."""
    price, before = speech.money(news.price), speech.money(news.thing.told_price)
    cheaper = speech.say(CHEAPER, price=price, before=before)
    said = cheaper if news.kind == "cheaper" else speech.say(BACK, price=price)
    return f"<b>{_plain(news.thing.title, 200)}</b>\n{said}"


def saved_told(thing: SavedThing, now: ThingNow, speech: Speech) -> str:
    """A saved thing as it is now, in Telegram's HTML."""
    if not now.on_sale or now.price is None:
        said = speech.say(GONE)
    else:
        sold = "" if now.here else f", {speech.say('Sold out').lower()}"
        said = speech.money(now.price) + sold
    return f"<b>{_plain(thing.title, 200)}</b>\n{said}"


def offers_of_terms(data: str) -> list[str]:
    """The offers whose terms a button asks for; none for anything else."""
    return data.split(":")[1:] if _TERMS.fullmatch(data) else []


def terms_told(programs: Sequence[tuple[str, ProgramFacts]], speech: Speech) -> str:
    """What stores (their titles) pay and when, and what to do for a purchase to count."""
    paying = [(title, facts) for title, facts in programs if facts.pays]
    if not paying:
        return speech.say(NO_TERMS)
    lines = []
    for title, facts in paying:
        lines += [f"<b>{escape(title)}: {escape(facts.headline)}</b>"]
        rates = [rate.text for rate in facts.rates] if len(facts.rates) > 1 else []
        lines += [f"• {escape(text)}" for text in (*rates, *facts.timing, *facts.notes)]
    lines += [f"<b>{speech.say('For it to count')}</b>"]
    steps = [f"{n}. {escape(step)}" for n, step in enumerate(paying[0][1].steps, 1)]
    while len("\n".join([*lines, *steps])) > MAX_MESSAGE:
        lines.pop(-2)
    return "\n".join([*lines, *steps])


def _plain(text: str, most: int) -> str:
    """Text of a store as Telegram's HTML may hold it."""
    return escape(legible(text)[:most])


def _line(offer: Offer, speech: Speech) -> str:
    """`outlet: 3 990 ₽, cashback up to 120 ₽, sold out`, with the advertiser where that must be said."""
    parts = [speech.money(offer.price)]
    if offer.converted:
        parts[0] += f" (≈ {speech.about(float(offer.converted.amount), offer.converted.currency)})"
    if offer.cashback.minor > 0:
        up_to = f"{speech.say('up to')} " if offer.up_to else ""
        parts.append(f"{speech.say('Cashback').lower()} {up_to}{speech.money(offer.cashback)}")
    if offer.availability != "in_stock":
        parts.append(speech.say(AVAILABILITY[offer.availability]).lower())
    if not offer.reachable:
        parts.append(speech.say(NO_WAY).rstrip(".").lower())
    told = f" <i>{_plain(offer.disclosure, 200)}</i>" if offer.disclosure else ""
    return f"{_plain(offer.store_title, 200)}: {', '.join(parts)}{told}"


def _label(offer: Offer, speech: Speech) -> str:
    return f"{legible(offer.store_title)} · {speech.money(offer.price_after_cashback)}"[:60]
