"""What the shopper's words make of an answer: those of the photo's hits that they name, or what they find
alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lensback.catalogue import offers, words
from lensback.db import Database
from lensback.errors import BadQuery
from lensback.rank import Ranked
from lensback.stems import terms_of
from lensback.types import Filter
from lensback.wire import By


@dataclass(frozen=True, slots=True)
class Worded:
    """Products in order, and those of them that words alone found."""

    ranked: list[Ranked]
    by: Mapping[str, By] = field(default_factory=dict)


def named_by(
    ranked: list[Ranked], question: str, where: Filter, db: Database, limit: int, line: float
) -> Worded:
    """Those of the products that the words name, in their order, as far as they are near (from a
    similarity of `line` on); where they name none of them, what they name in the whole catalogue,
    which the photo does not look like. Words that ask for nothing (signs, "the") change nothing."""
    terms = terms_of(question)
    if not terms:
        return Worded(ranked)
    near = [one for one in ranked if one.similarity >= line]
    kept = words.meeting(db, terms, where, [one.product_id for one in near])
    both = [one for one in near if one.product_id in kept]
    return Worded(both) if both else alone(terms, where, db, limit)


def alone(terms: words.Terms, where: Filter, db: Database, limit: int) -> Worded:
    """What words find by themselves, the best match first; similarity 0."""
    named = words.best(db, terms, where, limit)
    pictures = offers.images_of_products(db, named)
    ranked = [Ranked(one, pictures.get(one, ""), 0.0, 0.0) for one in named]
    return Worded(ranked, dict.fromkeys(named, "words"))


def asked(question: str) -> Sequence[Sequence[str]]:
    """The terms of a question that has no photo. Raises BadQuery where it asks for nothing."""
    terms = terms_of(question)
    if not terms:
        raise BadQuery(
            "no words to search for", hint='say what it is: "red dress"; or send a photo'
        )
    return terms
