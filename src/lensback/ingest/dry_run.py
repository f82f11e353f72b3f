"""A feed looked over before it is connected: what it seems to be, what it gives, what is refused."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO

from lensback import feeds
from lensback.counted import counted
from lensback.errors import FeedError, FeedTruncated
from lensback.feeds import ColumnMap, worker
from lensback.feeds.addresses import NEEDS_BASE, NO_ADDRESS, RELATIVE
from lensback.feeds.encodings import charset_of
from lensback.feeds.frames import Job, packed, unpacked
from lensback.ingest import readers
from lensback.ingest.collect import Limits, beside, local_path, own_folder, readable
from lensback.net import Fetcher, redact
from lensback.types import Offer, Rejected, currency_exponent

SHOWN = 10
"""Offers, and lines of each reason, that are shown."""
COUNTED = ("unknown_stock", "currencies", "images_left_out")
_ODD_SHARE = 0.2
_BESIDE = (
    "where the pictures lie in a folder on the web, name it with --base; where they lie beside the "
    "feed, serve the folder and give the feed's address there (docs/first-steps.md)"
)
"""What to do about pictures that are told by their names alone."""
_BASE = "its addresses begin with {BASE}: say what stands for it with --base URL"
_RECIPE = ("format", "dialect", "compression", "encoding", "delimiter")


@dataclass(slots=True)
class RefusedRows:
    """Why rows were refused: how many, on which lines first, and what one looks like."""

    count: int = 0
    lines: list[int] = field(default_factory=list)
    sample: str = ""


@dataclass(slots=True)
class DryRun:
    """What a feed gave when it was read to its end and nothing was written."""

    seems: dict[str, str]
    """format, dialect, compression, encoding, delimiter."""
    columns: str = ""
    """The column map that was used or is proposed, as TOML; empty for YML."""
    bare: bool = False
    """Prices are bare digits, as cents are written."""
    guessed: bool = False
    """The map is a guess: save it, look it over, name it with `--columns`."""
    offers: int = 0
    deleted: int = 0
    without_image: int = 0
    unknown_stock: Counter[str] = field(default_factory=Counter)
    """Words of stock that nobody knows."""
    images_left_out: Counter[str] = field(default_factory=Counter)
    """Image addresses that cannot be taken, by reason."""
    image_samples: dict[str, str] = field(default_factory=dict)
    ones: int = 0
    """Offers that cost exactly 1."""
    whole: int = 0
    """Offers whose price has no cents, in a currency that has some."""
    currencies: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    refused: dict[str, RefusedRows] = field(default_factory=dict)
    shown: list[Offer] = field(default_factory=list)
    truncated: str = ""
    seconds: float = 0.0

    @property
    def needs_base(self) -> bool:
        """Whether addresses have a placeholder, and nobody said what stands for it."""
        return NEEDS_BASE in self.refused or NEEDS_BASE in self.images_left_out

    def warnings(self) -> list[str]:
        """What an operator should know before connecting the store."""
        found = [self.truncated] if self.truncated else []
        found += [_BASE] * self.needs_base
        if self.guessed:
            found.append("the column map is a guess: save it, look it over, name it with --columns")
        if self.guessed and self.bare and self.offers and self.whole == self.offers:
            found.append(
                "every price is a whole number: where these are cents, write minor_units = 2 into "
                "the column map"
            )
        if "no currency" in self.refused:
            found.append(
                'prices without a currency: name it, for example --currency EUR, or write currency = "…" into the column map'
            )
        if not self.offers:
            found.append("there is no offer in it that could be used")
        if self.unknown_stock:
            told = ", ".join(f"{said!r} ({n})" for said, n in self.unknown_stock.most_common(SHOWN))
            count = self.unknown_stock.total()
            found.append(
                f"{count} of {counted(self.offers, 'offer')} with words of stock that we do not know: {told}; "
                "tell what it means under [stock] in a column map"
            )
        for reason, count in self.images_left_out.most_common():
            example = self.image_samples[reason]
            told = f"{counted(count, 'image address', 'image addresses')} left out: {reason}, for example {example!r}"
            found.append(f"{told}; {_BESIDE}" if _is_relative(reason, example) else told)
        if len(self.currencies) > 1:
            listed = ", ".join(f"{n} {code}" for code, n in self.currencies.most_common())
            found.append(f"prices in several currencies: {listed}")
        for count, what in (
            (self.without_image, "without a picture, not to be found by photo"),
            (self.duplicates, "under an id that was there before: the first counts"),
            (self.ones, "at a price of exactly 1: the store may have no price to tell"),
        ):
            if count > _ODD_SHARE * self.offers or (count and count == self.duplicates):
                found.append(f"{count} of {counted(self.offers, 'offer')} {what}")
        return found

    def as_json(self) -> dict[str, Any]:
        """The account by name, as `store add --dry-run --json` prints it."""
        refused = {
            reason: {"count": r.count, "lines": r.lines, "sample": r.sample}
            for reason, r in sorted(self.refused.items())
        }
        return {
            "seems": self.seems,
            "columns": self.columns,
            "guessed": self.guessed,
            "offers": self.offers,
            "deleted": self.deleted,
            "duplicates": self.duplicates,
            "without_image": self.without_image,
            "currencies": dict(self.currencies),
            "unknown_stock": dict(self.unknown_stock.most_common(SHOWN)),
            "images_left_out": dict(self.images_left_out),
            "rejected": refused,
            "shown": [_offer_json(offer) for offer in self.shown],
            "truncated": bool(self.truncated),
            "warnings": self.warnings(),
            "seconds": round(self.seconds, 3),
        }


def try_address(
    fetcher: Fetcher, feed: str, spool: Path, limits: Limits, *, form: str, columns: str, base: str
) -> DryRun:
    """`try_feed` of the feed behind an address or a path, in a process of its own. `columns`: the map
    as TOML. Raises FetchError, FeedError, Stopped."""
    with fetched(fetcher, feed, spool, limits) as (path, charset):
        job = (
            *(str(path), form, columns, base, redact(feed), charset, beside(feed)),
            *(limits.max_bytes, limits.budget_s),
        )
        return try_apart(job, fetcher.halt)


def try_apart(job: Job, halt: Event) -> DryRun:
    """`try_feed` in a process of its own, within the job's bytes, seconds and a reader's memory.

    Raises FeedError, Stopped.
    """
    _, account, refused, shown = readers.once("lensback.ingest.dry_run", job, halt)
    dry_run = DryRun(**account, shown=[o for o in unpacked(*shown) if isinstance(o, Offer)])
    dry_run.refused = {reason: RefusedRows(*said) for reason, said in refused.items()}
    for name in COUNTED:
        setattr(dry_run, name, Counter(account[name]))
    return dry_run


def _tried(stream: BinaryIO, job: Job) -> Iterator[tuple[Any, ...]]:
    """The account as one frame: texts, numbers, and what is made of them."""
    _, form, columns, base, name, charset, address, most, _ = job
    named = ColumnMap.parse(columns) if columns else None
    where = {"base": base, "name": name, "charset": charset, "address": address}
    dry_run = try_feed(stream, format=form, columns=named, max_bytes=most, **where)
    names = {f.name for f in fields(DryRun)} - {"refused", "shown"}
    account = {name: getattr(dry_run, name) for name in names}
    account |= {name: dict(account[name]) for name in COUNTED}
    refused = {reason: (r.count, r.lines, r.sample) for reason, r in dry_run.refused.items()}
    yield "tried", account, refused, packed(dry_run.shown)


def try_feed(
    stream: BinaryIO,
    *,
    format: str = "auto",  # noqa: A002 - the contract's word
    columns: ColumnMap | None = None,
    base: str = "",
    name: str = "",
    charset: str = "",
    address: str = "",
    max_bytes: int = feeds.MAX_BYTES,
) -> DryRun:
    """Reads a feed to its end and keeps nothing but the account. `stream` can seek.

    Where no map is known but a guess has all that is needed, the guess is used. Raises FeedError
    where nothing can be read; its hint holds the guess as far as it goes.
    """
    begin = time.perf_counter()
    proposal = None if format == "yml" else feeds.propose_columns(stream, columns, charset)
    dry_run = DryRun(seems={}, columns=proposal.toml() if proposal else "")
    dry_run.bare = proposal is not None and proposal.bare
    try:
        seems = feeds.sniff(stream, format=format, columns=columns, charset=charset)
        unknown = seems.format == "table" and not seems.dialect
    except FeedError:
        unknown = proposal is not None and not columns
        if not unknown:
            raise
    if unknown and proposal and not proposal.missing:
        columns, dry_run.guessed = ColumnMap.parse(dry_run.columns), True
    seems = feeds.sniff(stream, format=format, columns=columns, charset=charset)
    dry_run.seems = {part: getattr(seems, part) for part in _RECIPE}
    rows = feeds.read(
        stream,
        format=format,
        columns=columns,
        base=base,
        name=name,
        charset=charset,
        address=address,
        max_bytes=max_bytes,
    )
    try:
        _count(rows, dry_run)
    except FeedTruncated as error:
        dry_run.truncated = error.message
    dry_run.seconds = time.perf_counter() - begin
    return dry_run


def _count(rows: Iterable[Offer | Rejected], dry_run: DryRun) -> None:
    seen: set[int] = set()
    for row in rows:
        if isinstance(row, Rejected):
            refused = dry_run.refused.setdefault(row.reason, RefusedRows(sample=row.sample))
            refused.count += 1
            if row.line and len(refused.lines) < SHOWN:
                refused.lines.append(row.line)
        elif row.deleted:
            dry_run.deleted += 1
        else:
            _take(row, dry_run, seen)


def _take(offer: Offer, dry_run: DryRun, seen: set[int]) -> None:
    mark = hash(offer.external_id)
    dry_run.duplicates += mark in seen
    seen.add(mark)
    dry_run.offers += 1
    dry_run.without_image += not offer.image_urls
    for reason, url in offer.images_left_out:
        dry_run.images_left_out[reason] += 1
        dry_run.image_samples.setdefault(reason, redact(url))
    if offer.stock_words:
        dry_run.unknown_stock[offer.stock_words] += 1
    dry_run.ones += offer.price.amount == 1
    places = currency_exponent(offer.price.currency)
    dry_run.whole += places > 0 and offer.price.minor % 10**places == 0
    dry_run.currencies[offer.price.currency] += 1
    if len(dry_run.shown) < SHOWN:
        dry_run.shown.append(offer)


def _is_relative(reason: str, example: str) -> bool:
    """Whether it is the name of a file, or a path, that lacks what it is relative to."""
    return reason == NO_ADDRESS and bool(RELATIVE.fullmatch(example.removeprefix("/")))


def _offer_json(offer: Offer) -> dict[str, Any]:
    return {
        "id": offer.external_id,
        "title": offer.title,
        "price": offer.price.as_json(),
        "old_price": offer.old_price.as_json() if offer.old_price else None,
        "availability": offer.availability,
        "brand": offer.brand,
        "category": offer.category,
        "gtin": offer.gtin,
        "url": redact(offer.url),
        "images": list(offer.image_urls),
    }


@contextmanager
def fetched(fetcher: Fetcher, url: str, spool: Path, limits: Limits) -> Iterator[tuple[Path, str]]:
    """The feed behind an address or a path, as a file that goes away afterwards if it was fetched,
    and the charset that its server says. It lies in a folder of its own: nobody else writes into it,
    and a sync that clears the spool leaves it alone. Raises FetchError, StateError."""
    scheme, mark, _ = url.partition("://")
    if not mark or scheme.lower() == "file":
        readable(local_path(url)).close()
        yield local_path(url), ""
        return
    with own_folder(spool) as folder:
        path = folder / "dry_run.feed"
        got = fetcher.spool(url, path, max_bytes=limits.max_bytes, deadline_s=limits.budget_s)
        yield path, charset_of(got.content_type)


if __name__ == "__main__":
    worker.main(_tried)
