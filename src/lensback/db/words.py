"""The words of offers, which each database keeps in its own way (`catalogue.words`)."""

from __future__ import annotations

from sqlalchemy import DDL, Table, event

WORDS = {
    "sqlite": (
        """CREATE VIRTUAL TABLE offer_words
        USING fts5(said, beside, tokenize = 'unicode61 remove_diacritics 0')""",
    ),
    "postgresql": (
        """CREATE TABLE offer_words (offer_id BIGINT PRIMARY KEY
        REFERENCES offers (id) ON DELETE CASCADE, words TSVECTOR NOT NULL)""",
        "CREATE INDEX ix_offer_words_words ON offer_words USING gin (words)",
    ),
}


def made_with(offers: Table) -> None:
    """The table of words is made wherever that of offers is."""
    for kind, statements in WORDS.items():
        for statement in statements:
            event.listen(offers, "after_create", DDL(statement).execute_if(dialect=kind))  # type: ignore[no-untyped-call]
