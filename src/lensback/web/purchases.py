"""A shopper's purchases as the page shows them: one line each, with its story and what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lensback.speech import N_, Speech

STATES = {
    "pending": N_("waiting for the store"),
    "approved": N_("confirmed"),
    "payable": N_("ready to be paid out"),
    "paid": N_("paid out"),
    "review": N_("being checked"),
    "declined": N_("declined"),
    "owed": N_("to be set off against your next cashback"),
}
"""States of a sale and of totals."""
OWED = "owed"
TOTALS = ("payable", "approved", "pending", "review", "paid", OWED)
"""Sums in the order of a reader's interest."""
STEPS = {
    "pending": N_("Seen"),
    "approved": N_("Confirmed by the store"),
    "payable": N_("Ready to be paid out"),
    "paid": N_("Paid out"),
}
TO_DO = {
    "pending": N_("Nothing to do: the store has not decided yet."),
    "approved": N_(
        "Nothing to do: as soon as the store's network has paid us, it is ready for you."
    ),
    "payable": N_("Nothing to do: it goes out with the next payout."),
    "paid": N_("It was paid out to you."),
    "review": N_("Nothing to do: somebody looks at this purchase before it goes on."),
}
CLAIMS = {
    "open": N_("We have your claim; it goes to the store's network next."),
    "sent": N_("Your claim is with the store's network."),
    "accepted": N_(
        "Your claim was accepted: the purchase shows here as soon as the network books it."
    ),
    "refused": N_("The store's network refused your claim."),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One station on the way of a purchase."""

    text: str
    state: str
    """`done`, `now` or `next`."""


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """What can be claimed for a click, and what was."""

    click_id: str
    taken: bool
    """Whether the form is shown."""
    text: str
    """Where the claim stands, or from and until when one is taken; empty where none ever is."""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class PurchaseLine:
    """One purchase, or one visit without one."""

    store: str
    title: str
    day: str
    amount: str
    """Empty where none is known."""
    state: str
    words: str
    to_do: str
    steps: tuple[Step, ...]
    owed: str
    click: str
    claim: ClaimLine
    currency: str = ""
    """Of its cashback; empty where that is not known."""


def sale_line(sale: Mapping[str, Any], speech: Speech) -> PurchaseLine:
    """A sale of `ledger.sales_of` as a line."""
    state = sale["state"]
    owed = sale["owed"]
    return PurchaseLine(
        store=sale["store_title"],
        title=sale["title"],
        day=day(sale["ordered_at"], speech),
        amount=speech.money(sale["cashback"]) if sale["cashback"] else "",
        state=state,
        words=speech.say(STATES[state]),
        to_do=_to_do(sale, speech),
        steps=_steps(state, speech),
        owed=f"{speech.money(owed)} {speech.say(STATES[OWED])}" if owed else "",
        click=sale["click"]["id"],
        claim=claim_line(sale.get("declined") or {}, sale["click"]["id"], speech),
        currency=sale["cashback"]["currency"] if sale["cashback"] else "",
    )


def visit_line(visit: Mapping[str, Any], speech: Speech) -> PurchaseLine:
    """A visit without a purchase as a line."""
    return PurchaseLine(
        store=visit["store_title"],
        title=visit["title"],
        day=day(visit["click"]["at"][:10], speech),
        amount="",
        state="visit",
        words="",
        to_do="",
        steps=(),
        owed="",
        click=visit["click"]["id"],
        claim=claim_line(visit, visit["click"]["id"], speech),
    )


def _to_do(sale: Mapping[str, Any], speech: Speech) -> str:
    if sale["state"] == "declined":
        declined = sale["declined"]
        # Where a claim is taken its own line says until when.
        return declined["text"] if declined["claim"] else f"{declined['text']} {declined['advice']}"
    if sale["state"] == "pending" and sale["expected"]:
        by = day(sale["expected"], speech)
        return speech.say("Nothing to do: the store usually decides by {day}.", day=by)
    state = sale["state"]
    return speech.say(TO_DO[state])


def _steps(state: str, speech: Speech) -> tuple[Step, ...]:
    """The way of a purchase; none for one that was declined or is set aside."""
    names = list(STEPS)
    if state not in STEPS:
        return ()
    at = names.index(state)
    kinds = ["done" if n < at else "now" if n == at else "next" for n in range(len(names))]
    return tuple(
        Step(speech.say(STEPS[name]), kind) for name, kind in zip(names, kinds, strict=True)
    )


def claim_line(of: Mapping[str, Any], click_id: str, speech: Speech) -> ClaimLine:
    """What a visit or a declined sale says of its claim."""
    known = of.get("claimed")
    if known:
        stands = known["state"]
        text = speech.say(CLAIMS[stands])
        return ClaimLine(click_id, False, text, known["answer"])
    if not of.get("claim_until"):
        return ClaimLine(click_id, False, "")
    until = day(of["claim_until"], speech)
    if of["claim"]:
        text = speech.say("Something wrong? Claim it until {day}.", day=until)
        return ClaimLine(click_id, True, text)
    if of.get("code"):  # declined for a reason that no claim mends
        return ClaimLine(click_id, False, "")
    begin = day(of["claim_from"], speech)
    text = speech.say(
        "Bought there? It can take a while to show. If it does not, claim it from {begin} until {day}.",
        begin=begin,
        day=until,
    )
    return ClaimLine(click_id, False, text)


def day(text: str | None, speech: Speech) -> str:
    """A day of the API as people of this language write it."""
    if not text:
        return ""
    return speech.date(int(datetime.fromisoformat(text[:10]).replace(tzinfo=UTC).timestamp()))
