"""What a shopper is told before the click: the rates as they are for him, what they depend on, when a
purchase is seen and confirmed, what to do for it to count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path

from lensback import networks, terms
from lensback.catalogue import stores
from lensback.catalogue.stores import StoredProgram
from lensback.db import Database
from lensback.errors import ConfigError
from lensback.programs import shape
from lensback.speech import N_, Speech
from lensback.terms import Rule, Terms
from lensback.types import Money

HOURS_TOLD_AS_DAYS = 48
CENT = Decimal("0.01")
SIGN_IN = N_(
    "Sign in first, or nothing is credited: without that nobody knows whose purchase it is."
)
STEPS = (
    N_("Begin with an empty basket and put things into it after our link has opened the store."),
    N_("Order in the tab that our link opened, in one go."),
    N_(
        "Switch off ad blockers and other cashback extensions for the store, and allow its cookies."
    ),
    N_("Use only promo codes that the store itself shows."),
)
"""What makes a purchase count at every store."""
PAID = N_("Paid out after that, once the store has paid for it.")
WHY_NOT = {
    "no_program": N_("This store pays no cashback through us."),
    "paused": N_("This store pays no cashback at the moment."),
    "no_link": N_("No link that pays can be made for this store at the moment."),
    "no_rate": N_("No rate of this store holds today."),
}
DEPENDS = {
    "category": N_("on the store's category of the thing"),
    "brand": N_("on the brand"),
    "customer": N_("on whether you are a new customer of the store"),
    "region": N_("on the country or region of the order"),
    "voucher": N_("on whether a promo code is used"),
    "condition": N_("on conditions of the store"),
    "exchange": N_("on the exchange rate of the day of payment"),
}
"""What an estimate depends on, after "how much it will be depends"."""
DEPENDS_SENTENCE = N_("How much it will be depends {parts}.")


def of_stores(
    db: Database, folder: Path, names: Iterable[str], at: int, speech: Speech, *, signed_in: bool
) -> tuple[shape.ProgramFacts, ...]:
    """The facts of these stores at a moment (UTC epoch), in their order; `folder` has the
    workspace's own networks. Raises UnknownName."""
    wanted = stores.check_names(db, list(dict.fromkeys(names)))
    known = stores.programs(db, wanted)
    return tuple(
        of_store(name, known.get(name, ()), folder, at, speech, signed_in=signed_in)
        for name in wanted
    )


def of_store(
    store: str,
    programs: Sequence[StoredProgram],
    folder: Path,
    at: int,
    speech: Speech,
    *,
    signed_in: bool,
) -> shape.ProgramFacts:
    """The facts of one store: those of its first program that pays, else why none does."""
    why = "no_program"
    for program in programs:
        found, reason = _usable(program, folder)
        if found is not None:
            return _facts(store, found, at, speech, signed_in=signed_in)
        why = reason if why in {"no_program", "paused"} else why
    return shape.ProgramFacts(
        store=store,
        pays=False,
        no_cashback=why,
        why=speech.say(WHY_NOT[why]),
        headline="",
        up_to=False,
        rates=(),
        notes=(),
        track_hours=None,
        hold_days=None,
        claim_days=None,
        timing=(),
        steps=(),
        signed_in=signed_in,
        sign_in=speech.say(SIGN_IN),
    )


def _usable(program: StoredProgram, folder: Path) -> tuple[Terms | None, str]:
    """The terms where the program pays now, else None and the code of why not."""
    try:
        found = terms.parse(program.terms)
        network = networks.open_network(found.network, folder)
        networks.check_settings(network, networks.settings_of(found))
    except ConfigError:
        return None, "no_link"
    return (None, "paused") if found.paused else (found, "")


def _facts(
    store: str, program: Terms, at: int, speech: Speech, *, signed_in: bool
) -> shape.ProgramFacts:
    rules = terms.valid(program, at)
    pays = any(_shares(program, rule) for rule in rules)
    why = "" if pays else "no_rate"
    best, up_to = _headline(program, rules, speech)
    return shape.ProgramFacts(
        store=store,
        pays=pays,
        no_cashback=why,
        why=speech.say(WHY_NOT[why]) if why else "",
        headline=best,
        up_to=up_to,
        rates=tuple(_rate(program, rule, speech) for rule in rules),
        notes=_notes(program, speech),
        track_hours=program.track_hours or None,
        hold_days=program.hold_days or None,
        claim_days=program.claim_days or None,
        timing=timing(program, speech),
        steps=tuple(speech.say(text) for text in (*(() if signed_in else (SIGN_IN,)), *STEPS)),
        signed_in=signed_in,
        sign_in=speech.say(SIGN_IN),
    )


def _notes(program: Terms, speech: Speech) -> tuple[str, ...]:
    """The program's own words, in the reader's language where they are given in it."""
    if isinstance(program.notes, tuple):
        return program.notes
    first: tuple[str, ...] = next(iter(program.notes.values()), ())
    return program.notes.get(speech.language) or program.notes.get("en") or first


def timing(program: Terms, speech: Speech) -> tuple[str, ...]:
    """When a purchase is seen, confirmed and paid, and until when a lost one can be claimed; what the
    program does not tell is not said."""
    told = []
    if program.track_hours >= HOURS_TOLD_AS_DAYS:
        days = -(-program.track_hours // 24)
        told.append(
            speech.plural("Usually seen within {n} day.", "Usually seen within {n} days.", days)
        )
    elif program.track_hours:
        hours = program.track_hours
        told.append(
            speech.plural("Usually seen within {n} hour.", "Usually seen within {n} hours.", hours)
        )
    if program.hold_days:
        told.append(
            speech.plural(
                "Confirmed by the store in about {n} day.",
                "Confirmed by the store in about {n} days.",
                program.hold_days,
            )
        )
        told.append(speech.say(PAID))
    if program.claim_days:
        told.append(
            speech.plural(
                "If it does not show, claim it within {n} day of the click.",
                "If it does not show, claim it within {n} days of the click.",
                program.claim_days,
            )
        )
    return tuple(told)


def _percent(program: Terms, rule: Rule) -> Decimal | None:
    """The shopper's part of the price in per cent, cut to two digits; None for a fixed amount."""
    if rule.percent is None:
        return None
    return (rule.percent * program.share / (1 + program.net_of)).quantize(CENT, ROUND_FLOOR)


def _part(program: Terms, rule: Rule, amount: Decimal | None) -> Money | None:
    """The shopper's part of an amount of commission."""
    if amount is None:
        return None
    return terms.money_of(amount * program.share, terms.currency_of(program, rule))


def _shares(program: Terms, rule: Rule) -> bool:
    """Whether the shopper gets anything by this rule."""
    part = _part(program, rule, rule.fixed)
    pays = bool(_percent(program, rule)) or bool(part and part.minor) or bool(rule.min)
    return pays and program.share > 0


def _headline(program: Terms, rules: Sequence[Rule], speech: Speech) -> tuple[str, bool]:
    """The best rate in words, and whether it may also be less."""
    paying = [rule for rule in rules if _shares(program, rule)]
    if not paying:
        return "", False
    percents = [one for rule in paying if (one := _percent(program, rule))]
    sums = [part for rule in paying if (part := _part(program, rule, rule.fixed))]
    if percents:
        text = percent_of(max(percents), speech)
    else:
        text = speech.money(max(sums, key=lambda money: money.minor)) if sums else ""
    same = len({(rule.percent, rule.fixed, rule.currency) for rule in rules}) == 1
    plain = any(not _conditional(rule) for rule in rules)
    up_to = not (same and plain)
    return (speech.say("up to {rate}", rate=text) if up_to else text), up_to


def _conditional(rule: Rule) -> bool:
    held = (rule.category, rule.brand, rule.customer, rule.region, rule.when, rule.from_price)
    return any(held) or rule.voucher is not None


def percent_of(percent: Decimal, speech: Speech) -> str:
    """A rate as people of this language write it."""
    return f"{speech.number(float(percent))}\xa0%"


def _rate(program: Terms, rule: Rule, speech: Speech) -> shape.Rate:
    percent, excluded = _percent(program, rule), not _shares(program, rule)
    most = [one for one in (rule.max, program.cap) if one is not None]
    currency = terms.currency_of(program, rule)
    return shape.Rate(
        percent=None if percent is None else f"{percent.normalize():f}",
        amount=_part(program, rule, rule.fixed),
        most=_part(program, rule, min(most)) if most else None,
        categories=rule.category,
        brands=rule.brand,
        customer=rule.customer,
        region=rule.region,
        voucher=rule.voucher,
        condition=rule.when,
        from_price=terms.money_of(rule.from_price, currency) if rule.from_price else None,
        until=rule.until.isoformat() if rule.until else None,
        excluded=excluded,
        text=_in_words(program, rule, speech, excluded=excluded),
    )


def _in_words(program: Terms, rule: Rule, speech: Speech, *, excluded: bool) -> str:
    """A rate as a shopper reads it: how much, and when."""
    percent, fixed = _percent(program, rule), _part(program, rule, rule.fixed)
    if excluded:
        rate = speech.say("no cashback")
    elif percent is not None:
        rate = percent_of(percent, speech)
    else:
        rate = speech.money(fixed) if fixed else ""
    customers = {
        "new": N_("for new customers"),
        "returning": N_("for customers who have bought there before"),
    }
    codes = {True: N_("with a promo code"), False: N_("without a promo code")}
    currency = terms.currency_of(program, rule)
    most = _part(program, rule, rule.max)
    told = [
        speech.say("in {names}", names=", ".join(rule.category)) if rule.category else "",
        speech.say("brand: {names}", names=", ".join(rule.brand)) if rule.brand else "",
        speech.say(customers.get(rule.customer, N_("for customers: {kind}")), kind=rule.customer)
        if rule.customer
        else "",
        speech.say("for orders from {region}", region=rule.region) if rule.region else "",
        speech.say(codes[rule.voucher]) if rule.voucher is not None else "",
        rule.when,
        speech.say(
            "for orders of {amount} and more",
            amount=speech.money(terms.money_of(rule.from_price, currency)),
        )
        if rule.from_price
        else "",
        speech.say("at most {amount} an order", amount=speech.money(most)) if most else "",
        speech.say("until {day}", day=rule.until.isoformat()) if rule.until else "",
    ]
    return ", ".join([rate, *filter(None, told)])


def depends_in_words(codes: Sequence[str], speech: Speech) -> str:
    """A sentence of what decides how much the cashback will be; "" where nothing does."""
    if not codes:
        return ""
    parts = ", ".join(speech.say(DEPENDS[code]) for code in codes)
    return speech.say(DEPENDS_SENTENCE, parts=parts)
