"""photo -> answer: the query, the search itself, and the answer as every face shows it."""

from lensback.search.answers import hit_of, in_order, product_of, saved_thing
from lensback.search.core import Tools, search, search_live, search_words, similar
from lensback.search.example import ExamplePhoto, example_photo
from lensback.search.looking import Looks
from lensback.search.palette import Palette, missing, palette_of, palette_within
from lensback.search.prices import CashbackBasis, Prices, reachable
from lensback.search.query import MAX_LIMIT, MIN_BOX, Query, check_box, filter_of, parse_box
from lensback.search.recalled import query_of, recalled
from lensback.search.why import Heat, heat

__all__ = [
    "MAX_LIMIT",
    "MIN_BOX",
    "CashbackBasis",
    "ExamplePhoto",
    "Heat",
    "Looks",
    "Palette",
    "Prices",
    "Query",
    "Tools",
    "check_box",
    "example_photo",
    "filter_of",
    "heat",
    "hit_of",
    "in_order",
    "missing",
    "palette_of",
    "palette_within",
    "parse_box",
    "product_of",
    "query_of",
    "reachable",
    "recalled",
    "saved_thing",
    "search",
    "search_live",
    "search_words",
    "similar",
]
