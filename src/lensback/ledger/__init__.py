"""The ledger: clicks, searches, what the networks say of sales, and the money, append-only.

`clicks.py` what is recorded of a search and a click · `sale.py` pure sums: news -> state -> balances ·
`record.py` news -> events -> entries, in one transaction · `expected.py` what events tell · `inbox.py` journal -> database ·
`sold.py` their clicks as they stood · `holds.py` which sales are set aside · `review.py` what an operator decides of them · `pay.py` payouts,
and whom something is due to · `received.py` what a network has paid us · `seals.py` no row is lost ·
`audit.py` proves the balances · `sales.py` what the shopper sees · `reasons.py` declined, in plain
words.
"""

from __future__ import annotations

from lensback.ledger.audit import Audit, audit, balances, export_csv
from lensback.ledger.clicks import (
    click_body,
    feedback_body,
    new_click_id,
    news_body,
    search_body,
    vectors_body,
)
from lensback.ledger.inbox import apply
from lensback.ledger.pay import Payout, amount_of, due, pay
from lensback.ledger.received import received
from lensback.ledger.record import observe, rebook, record, record_in, renew
from lensback.ledger.review import decide, held_count, held_sales
from lensback.ledger.sale import checked
from lensback.ledger.sales import sales_of
from lensback.ledger.seals import remember

__all__ = [
    "Audit",
    "Payout",
    "amount_of",
    "apply",
    "audit",
    "balances",
    "checked",
    "click_body",
    "decide",
    "due",
    "export_csv",
    "feedback_body",
    "held_count",
    "held_sales",
    "new_click_id",
    "news_body",
    "observe",
    "pay",
    "rebook",
    "received",
    "record",
    "record_in",
    "remember",
    "renew",
    "sales_of",
    "search_body",
    "vectors_body",
]
