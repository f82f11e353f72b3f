"""A claim in the words of its network's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lensback.networks.oauth import filled
from lensback.networks.shape import ClaimForm, Network

ANY = ClaimForm(
    "the network's support",
    {
        "Store": "{store}",
        "Click id": "{click}",
        "Click time": "{clicked}",
        "Order": "{order}",
        "Order day": "{day}",
        "Amount": "{amount} {currency}",
        "Note": "{note}",
    },
)
"""What every network needs to find a lost order, where nothing of its form is known."""


def claim_fields(
    network: Network | None, claim: Mapping[str, Any], account: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """Where a claim is to be sent, and the network's fields with their values; `claim` is what
    `ledger.claims.get` gives. Keys of the account that are secrets never go into it."""
    form = network.claim if network and network.claim else ANY
    known = {
        "order": claim["order_id"],
        "day": claim["ordered_on"],
        "amount": claim["amount"]["amount"],
        "currency": claim["amount"]["currency"],
        "click": claim["click_id"],
        "clicked": claim["clicked_at"] or "",
        "note": claim["note"],
        "store": claim["store"],
        "program": claim["program"],
        **{name: str(value) for name, value in claim["link"].items()},
    }
    ours = {key: account[key] for key in ("website", "publisher") if key in account}
    values = {**ours, **known}
    return form.where, {name: filled(text, values).strip() for name, text in form.fields.items()}
