"""The JSON of what a store pays, as a shopper is told it before the click."""

from __future__ import annotations

from pydantic import Field

from lensback.wire import NoCashback
from lensback.wire.numbers import Amount, Body


class Rate(Body):
    """One rate of a store as it is for the shopper; where several hold, the first one counts."""

    percent: str | None = Field(
        description="The shopper's part of the price, per cent.", examples=["5.1"]
    )
    amount: Amount | None = Field(description="In place of it: for each order.")
    most: Amount | None = Field(description="Most cashback of one order.")
    categories: tuple[str, ...] = Field(description="Empty: all.")
    brands: tuple[str, ...]
    customer: str = Field(description="`new`, `returning`, another kind; empty: everybody.")
    region: str
    voucher: bool | None = Field(description="With or without a promo code; null: either.")
    condition: str = Field(description="Any other condition, as the network words it.")
    from_price: Amount | None = Field(description="For orders of at least this.")
    until: str | None = Field(description="The last day.")
    excluded: bool = Field(description="Nothing is paid for this.")
    text: str = Field(description="All of it in the language that was asked for.")


class ProgramFacts(Body):
    """What a store pays and what a shopper must know before the click."""

    store: str
    pays: bool
    no_cashback: NoCashback = Field(description="Why nothing is paid; empty where it is.")
    why: str = Field(description="The same in words.")
    headline: str = Field(description="The best rate in words.", examples=["up to 5.1\xa0%"])
    up_to: bool = Field(description="It may also be less.")
    rates: tuple[Rate, ...]
    notes: tuple[str, ...] = Field(description="What the program says, in plain words.")
    track_hours: int | None = Field(description="Usually seen within; null: not told.")
    hold_days: int | None = Field(description="Confirmed in about; null: not told.")
    claim_days: int | None = Field(description="Days after the click for a claim; null: none.")
    timing: tuple[str, ...] = Field(description="The three of them in words.")
    steps: tuple[str, ...] = Field(description="What to do for the purchase to count, in order.")
    signed_in: bool = Field(description="Whether this request's clicks count for somebody.")
    sign_in: str = Field(description="To be shown where they do not.")


class Programs(Body):
    """The programs of several stores."""

    programs: tuple[ProgramFacts, ...]
