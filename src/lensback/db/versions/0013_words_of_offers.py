"""Words of offers, each database in its own way; the next publish fills them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "worded_offers",
        sa.Column("offer_id", KEY, nullable=False),
        sa.Column("content_hash", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(
            ["offer_id"],
            ["offers.id"],
            name=op.f("fk_worded_offers_offer_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("offer_id", name=op.f("pk_worded_offers")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TABLE offer_words (offer_id BIGINT PRIMARY KEY"
            " REFERENCES offers (id) ON DELETE CASCADE, words TSVECTOR NOT NULL)"
        )
        op.execute("CREATE INDEX ix_offer_words_words ON offer_words USING gin (words)")
        return
    op.execute(
        "CREATE VIRTUAL TABLE offer_words USING"
        " fts5(said, beside, tokenize = 'unicode61 remove_diacritics 0')"
    )
