"""The catalogue's tables (SQLAlchemy Core). Times are UTC epoch seconds; money is integer minor units.

A change here needs a migration in `versions/`; tests/test_db.py fails until both agree.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from lensback.db import words

DECODING = 1
"""How pictures are decoded now; 1: colour profiles are applied."""
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Key = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts only INTEGER keys by itself

stores = Table(
    "stores",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("title", Text, nullable=False, default=""),
    Column("base", Text, nullable=False, default=""),
    Column("created_at", BigInteger, nullable=False),
    Column("former", JSON, nullable=False, default=list, server_default="[]"),
)

programs = Table(
    "programs",
    metadata,
    Column("id", Key, primary_key=True),
    Column("store_id", ForeignKey("stores.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("network", String(80), nullable=False, default=""),
    Column("terms", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

feeds = Table(
    "feeds",
    metadata,
    Column("id", Key, primary_key=True),
    Column("store_id", ForeignKey("stores.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("format", String(20), nullable=False, default="auto"),
    Column("columns", Text, nullable=False, default=""),
    Column("etag", Text, nullable=False, default=""),
    Column("last_modified", Text, nullable=False, default=""),
    Column("content_hash", String(64), nullable=False, default=""),
    Column("created_at", BigInteger, nullable=False),
)

feed_runs = Table(
    "feed_runs",
    metadata,
    Column("id", Key, primary_key=True),
    Column("feed_id", ForeignKey("feeds.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("status", String(20), nullable=False),
    Column("offers", Integer, nullable=False, default=0),
    Column("changed", Integer, nullable=False, default=0),
    Column("removed", Integer, nullable=False, default=0),
    Column("rejected", JSON, nullable=False),
    Column("samples", JSON, nullable=False),
    Column("message", Text, nullable=False, default=""),
    Column("bytes", BigInteger, nullable=False, default=0, server_default="0"),
    Column("seconds", Float, nullable=False, default=0.0, server_default="0"),
)

offers = Table(
    "offers",
    metadata,
    Column("id", Key, primary_key=True),
    Column("offer_id", String(16), nullable=False, unique=True),
    Column("store_id", ForeignKey("stores.id", ondelete="CASCADE"), nullable=False),
    Column("external_id", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("price_minor", BigInteger, nullable=False),
    Column("old_price_minor", BigInteger),
    Column("currency", String(3), nullable=False),
    Column("availability", String(20), nullable=False),
    Column("brand", Text, nullable=False, default=""),
    Column("gtin", String(14), nullable=False, default=""),
    Column("mpn", Text, nullable=False, default=""),
    Column("item_group_id", Text, nullable=False, default=""),
    Column("color", Text, nullable=False, default=""),
    Column("size", Text, nullable=False, default=""),
    Column("category", Text, nullable=False, default=""),
    Column("description", Text, nullable=False, default=""),
    Column("gender", String(20), nullable=False, default=""),
    Column("age_group", String(20), nullable=False, default=""),
    Column("material", Text, nullable=False, default=""),
    Column("pattern", Text, nullable=False, default=""),
    Column("condition", String(20), nullable=False, default="new"),
    Column("adult", Boolean, nullable=False, default=False),
    Column("tracked", Boolean, nullable=False, default=False),
    Column("target_url", Text, nullable=False, default=""),
    Column("disclosure", Text, nullable=False, default=""),
    Column("active", Boolean, nullable=False, default=True),
    Column("content_hash", String(32), nullable=False),
    Column("product_id", String(17)),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("page_key", String(16), nullable=False, default="", server_default=""),
    Column("article", String(40), nullable=False, default="", server_default=""),
    UniqueConstraint("store_id", "external_id"),
    *(Index(f"ix_offers_{one}", one) for one in ("product_id", "gtin", "page_key", "article")),
    Index("ix_offers_category", "category"),
    Index("ix_offers_item_group", "store_id", "item_group_id"),
)

prices = Table(
    "prices",
    metadata,
    Column("id", Key, primary_key=True),
    Column("offer_id", ForeignKey("offers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("price_minor", BigInteger, nullable=False),
    Column("old_price_minor", BigInteger),
    Column("currency", String(3), nullable=False),
)

worded_offers = Table(
    "worded_offers",
    metadata,
    Column("offer_id", ForeignKey("offers.id", ondelete="CASCADE"), primary_key=True),
    Column("content_hash", String(32), nullable=False),
)

words.made_with(offers)

images = Table(
    "images",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("mime", String(40), nullable=False),
    Column("phash", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("decoding", Integer, nullable=False, default=DECODING, server_default="0"),
)

image_urls = Table(
    "image_urls",
    metadata,
    Column("id", Key, primary_key=True),
    Column("url", Text, nullable=False, unique=True),
    Column("image_hash", ForeignKey("images.hash"), index=True),
    Column("status", String(10), nullable=False, default="new"),
    Column("reason", Text, nullable=False, default=""),
    Column("attempts", Integer, nullable=False, default=0),
    Column("tried_at", BigInteger),
    Column("etag", Text, nullable=False, default="", server_default=""),
    Column("last_modified", Text, nullable=False, default="", server_default=""),
    Column("failing_since", BigInteger),
    Column("due_at", BigInteger),
    Index("ix_image_urls_status_due_at", "status", "due_at"),
)

offer_images = Table(
    "offer_images",
    metadata,
    Column("offer_id", ForeignKey("offers.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("image_url_id", ForeignKey("image_urls.id"), nullable=False, index=True),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("image_hash", ForeignKey("images.hash"), primary_key=True),
    Column("status", String(10), nullable=False),
    Column("reason", Text, nullable=False, default=""),
)

product_links = Table(
    "product_links",
    metadata,
    Column("offer_a", ForeignKey("offers.id", ondelete="CASCADE"), primary_key=True),
    Column("offer_b", ForeignKey("offers.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("reason", String(40), nullable=False),
    Column("score", Float, nullable=False),
)

image_pairs = Table(
    "image_pairs",
    metadata,
    Column("hash_a", String(64), primary_key=True),
    Column("hash_b", String(64), primary_key=True),
    Column("likeness", Float, nullable=False),
)

paired_images = Table(
    "paired_images",
    metadata,
    Column("image_hash", ForeignKey("images.hash"), primary_key=True),
)

publications = Table(
    "publications",
    metadata,
    Column("id", Key, primary_key=True),
    Column("snapshot", String(120), nullable=False, default=""),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
)

image_doubts = Table(
    "image_doubts",
    metadata,
    Column("image_hash", ForeignKey("images.hash"), primary_key=True),
    Column("drawn", Boolean, nullable=False),
    Column("doubt", String(20), nullable=False),
)

# ---- searches, clicks, money (migration 0002). Written by `ledger/`; see docs/cashback.md.

searches = Table(
    "searches",
    metadata,
    Column("search_id", String(32), primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("source", String(20), nullable=False),
    Column("encoder", String(64), nullable=False),
    Column("snapshot", String(120), nullable=False),
    Column("verdict", String(10), nullable=False),
    Column("probability", Float, nullable=False),
    Column("similarity", Float),
    Column("latency_ms", Float, nullable=False),
    Column("shown", Integer, nullable=False),
    Column("hits", JSON, nullable=False),
    Column("filters", JSON, nullable=False),
    Column("photo", JSON, nullable=False),
    Column("variant", String(40), nullable=False, default=""),
)

feedback = Table(
    "feedback",
    metadata,
    Column("search_id", String(32), primary_key=True),
    Column("product_id", String(17), primary_key=True),
    Column("vote", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("voter", String(64), nullable=False, default="", server_default="", index=True),
)

searched_vectors = Table(
    "searched_vectors", metadata,
    Column("search_id", String(32), primary_key=True), Column("at", BigInteger, nullable=False, index=True),
    Column("fingerprint", String(64), nullable=False), Column("dim", Integer, nullable=False),
    Column("halves", LargeBinary, nullable=False),
)  # fmt: skip

clicks = Table(
    "clicks",
    metadata,
    Column("click_id", String(32), primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("source", String(20), nullable=False),
    Column("offer_id", String(16), nullable=False),
    Column("product_id", String(17), nullable=False),
    Column("store", String(80), nullable=False, index=True),
    Column("search_id", String(32), nullable=False, index=True),
    Column("rank", Integer),
    Column("network", String(80), nullable=False),
    Column("program_id", String(80), nullable=False),
    Column("terms", JSON, nullable=False),
    Column("price_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("estimate_minor", BigInteger),
    Column("user_token", String(128), nullable=False, index=True),
    Column("salt", String(32), nullable=False, default="", server_default=""),
)

conversions = Table(
    "conversions",
    metadata,
    Column("id", Key, primary_key=True),
    Column("network", String(80), nullable=False),
    Column("external_id", String(200), nullable=False),
    Column("item", String(200), nullable=False),
    Column("subid", String(200), nullable=False, index=True),
    Column("click_id", ForeignKey("clicks.click_id"), index=True),
    Column("status", String(10), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("commission_minor", BigInteger, nullable=False),
    Column("cashback_minor", BigInteger, nullable=False),
    Column("paid_out_minor", BigInteger, nullable=False),
    Column("order_id", String(200), nullable=False),
    Column("order_currency", String(3), nullable=False),
    Column("order_value_minor", BigInteger),
    Column("reason", String(40), nullable=False),
    Column("reason_text", Text, nullable=False),
    Column("ordered_at", BigInteger),
    Column("changed_at", BigInteger),
    Column("expected_at", BigInteger),
    Column("first_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("store", String(80), nullable=False, default="", server_default=""),
    Column("review", String(10), nullable=False, default="", server_default="", index=True),
    Column("review_code", String(20), nullable=False, default="", server_default=""),
    Column("review_text", Text, nullable=False, default="", server_default=""),
    Column("rules", Integer, nullable=False, default=0, server_default="0", index=True),
    UniqueConstraint("network", "external_id", "item"),
    Index("ix_conversions_store_id", "store", "id"),
    Index("ix_conversions_order_id", "order_id"),
)

conversion_events = Table(
    "conversion_events",
    metadata,
    Column("id", Key, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("conversion_id", ForeignKey("conversions.id"), nullable=False, index=True),
    Column("kind", String(10), nullable=False),
    Column("part", String(200), nullable=False, default="", server_default=""),
    Column("status", String(10), nullable=False),
    Column("subid", String(200), nullable=False),
    Column("commission_minor", BigInteger),
    Column("commission_currency", String(3), nullable=False),
    Column("order_value_minor", BigInteger),
    Column("order_currency", String(3), nullable=False),
    Column("order_id", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("ordered_at", BigInteger),
    Column("changed_at", BigInteger),
    Column("source", String(20), nullable=False),
    Column("received_at", BigInteger, nullable=False),
)

entries = Table(
    "entries",
    metadata,
    Column("id", Key, primary_key=True),
    Column("transaction_id", String(32), nullable=False, index=True),
    Column("conversion_id", ForeignKey("conversions.id"), nullable=False, index=True),
    Column("account", String(40), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("minor", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)

payouts = Table(
    "payouts",
    metadata,
    Column("id", Key, primary_key=True),
    Column("reference", String(120), nullable=False, unique=True),
    Column("request", String(64), nullable=False),
    Column("amounts", Text, nullable=False),
    Column("sales", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
)

sold_clicks = Table(
    "sold_clicks",
    metadata,
    Column("id", Key, primary_key=True),
    Column("click_id", String(32), nullable=False, unique=True),
    Column("clicked_at", BigInteger, nullable=False),
    Column("network", String(80), nullable=False),
    Column("terms", Text, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
)

seals = Table(
    "seals",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("last_event", BigInteger, nullable=False),
    Column("last_entry", BigInteger, nullable=False),
    Column("last_payout", BigInteger, nullable=False),
    Column("added", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("last_click", BigInteger, nullable=False, default=0, server_default="0"),
    Column("last_seal", BigInteger, nullable=False, default=0, server_default="0"),
)

pulls = Table(
    "pulls", metadata,
    Column("network", String(80), primary_key=True),
    Column("since", BigInteger, primary_key=True), Column("until", BigInteger, primary_key=True),
    Column("news", Integer, nullable=False), Column("at", BigInteger, nullable=False),
)  # fmt: skip

network_pulls = Table(
    "network_pulls", metadata,
    Column("network", String(80), primary_key=True), Column("tried_at", BigInteger, nullable=False),
    Column("good_at", BigInteger), Column("error", Text, nullable=False),
)  # fmt: skip

refused_rows = Table(
    "refused_rows",
    metadata,
    Column("network", String(80), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("row", Text, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
)

claims = Table(
    "claims",
    metadata,
    Column("id", Key, primary_key=True),
    Column("click_id", String(32), nullable=False, unique=True),
    Column("state", String(10), nullable=False, index=True),
    Column("order_id", String(80), nullable=False),
    Column("ordered_on", String(10), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("note", Text, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("decided_at", BigInteger),
    Column("answer", Text, nullable=False),
)

# ---- what people saved
saved_things = Table(
    "saved_things", metadata,
    Column("owner", String(128), primary_key=True), Column("product_id", String(20), primary_key=True),
    Column("title", Text, nullable=False), Column("image", String(64), nullable=False),
    Column("price_minor", BigInteger, nullable=False), Column("currency", String(3), nullable=False),
    Column("here", Boolean, nullable=False), Column("language", String(8), nullable=False),
    Column("saved_at", BigInteger, nullable=False),
    Column("told_minor", BigInteger, nullable=False), Column("told_here", Boolean, nullable=False),
)  # fmt: skip

# ---- operations: schedules and breakers of feeds and hosts

feed_states = Table(
    "feed_states",
    metadata,
    Column("feed_id", ForeignKey("feeds.id", ondelete="CASCADE"), primary_key=True),
    Column("schedule", String(80), nullable=False, default=""),
    Column("paused", Boolean, nullable=False, default=False),
    Column("failures", Integer, nullable=False, default=0),
    Column("retry_at", BigInteger, nullable=False, default=0),
)

hosts = Table(
    "hosts", metadata,
    Column("host", String(300), primary_key=True), Column("failures", Integer, nullable=False, default=0),
    Column("retry_at", BigInteger, nullable=False, default=0), Column("reason", Text, nullable=False, default=""),
)  # fmt: skip

# ---- who may, and who did what

grants = Table(
    "grants",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("name", String(40), nullable=False),
    Column("owner", String(64), nullable=False, index=True),
    Column("made_at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", Key, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", String(80), nullable=False),
    Column("deed", String(40), nullable=False),
    Column("detail", Text, nullable=False),
)
