"""The ledger: clicks, searches, what the networks say of sales, and the money, append-only.

`clicks.py` what is recorded of a search and a click · `sale.py` pure sums: news -> state -> balances ·
`record.py` news -> events -> entries, in one transaction · `inbox.py` journal -> database ·
`pay.py` payouts · `audit.py` proves the balances · `sales.py` what the shopper sees · `reasons.py`
declined, in plain words.
"""

from __future__ import annotations

from lensback.ledger.audit import Audit, audit, balances, export_csv
from lensback.ledger.clicks import (
    click_body,
    feedback_body,
    new_click_id,
    news_body,
    search_body,
)
from lensback.ledger.inbox import apply
from lensback.ledger.pay import Payout, pay
from lensback.ledger.record import observe, record, record_in
from lensback.ledger.sale import checked
from lensback.ledger.sales import sales_of

__all__ = [
    "Audit",
    "Payout",
    "apply",
    "audit",
    "balances",
    "checked",
    "click_body",
    "export_csv",
    "feedback_body",
    "new_click_id",
    "news_body",
    "observe",
    "pay",
    "record",
    "record_in",
    "sales_of",
    "search_body",
]
