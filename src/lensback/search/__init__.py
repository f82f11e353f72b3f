"""photo -> answer: the query, the search itself, and the answer as every face shows it."""

from lensback.search.answers import answer_json, hit_json, offer_json, product_json
from lensback.search.core import Tools, search, similar
from lensback.search.looking import Looks
from lensback.search.prices import Promises, with_cashback
from lensback.search.query import MAX_LIMIT, MIN_BOX, Query, check_box, filter_of, parse_box
from lensback.search.why import Heat, heat

__all__ = [
    "MAX_LIMIT",
    "MIN_BOX",
    "Heat",
    "Looks",
    "Promises",
    "Query",
    "Tools",
    "answer_json",
    "check_box",
    "filter_of",
    "heat",
    "hit_json",
    "offer_json",
    "parse_box",
    "product_json",
    "search",
    "similar",
    "with_cashback",
]
