"""Feeds: a store's file of offers -> offers, one at a time. The door `read`, and `sniff`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from lensback.errors import FeedError, UnknownName
from lensback.feeds.columns import ColumnMap
from lensback.types import Offer, Rejected

if TYPE_CHECKING:
    from lensback.feeds.propose import Proposal
    from lensback.feeds.sniffing import Sniffed
    from lensback.feeds.stream import Source

FORMATS = ("auto", "google", "yml", "table")
MAX_BYTES = 4 << 30

__all__ = ["FORMATS", "MAX_BYTES", "ColumnMap", "propose_columns", "read", "sniff"]


def read(
    stream: BinaryIO,
    *,
    format: str = "auto",  # noqa: A002 - the contract's word
    columns: ColumnMap | None = None,
    base: str = "",
    name: str = "",
    charset: str = "",
    address: str = "",
    max_bytes: int = MAX_BYTES,
) -> Iterator[Offer | Rejected]:
    """Offers of a feed in file order, and a Rejected for each row that is none. One pass, flat
    memory; nothing is read before the first `next`.

    `base` stands for `{BASE}` in addresses; `name` begins every message; `charset` is what the
    server said of the encoding; `address` is the feed's own, to which addresses in it are relative
    where there is no `base`; `max_bytes` caps the decompressed bytes. Ids are not compared: two rows with one id are two offers. A delta's
    tombstone is an Offer with `deleted` and only its id.

    Raises UnknownName at once for an unknown format; then, for any bytes, only FeedError (what
    the file seems to be instead) or FeedTruncated, after every whole row before the cut.
    """
    if format not in FORMATS:
        raise UnknownName("feed format", format, list(FORMATS))
    source = partial(_source, stream, columns, charset, max_bytes)
    return _read(source, format, columns, (base, address), name)


def sniff(
    stream: BinaryIO,
    *,
    format: str = "auto",  # noqa: A002 - the contract's word
    columns: ColumnMap | None = None,
    charset: str = "",
) -> Sniffed:
    """What the feed seems to be: format, dialect, compression, encoding, delimiter. Reads the
    beginning only (all of a zip) and seeks back where the stream can. Raises FeedError."""
    from lensback.feeds import sniffing

    begin = stream.tell() if stream.seekable() else None
    try:
        return sniffing.sniff(_source(stream, columns, charset), format, _naming(columns))
    finally:
        if begin is not None:
            stream.seek(begin)


def propose_columns(
    stream: BinaryIO, columns: ColumnMap | None = None, charset: str = ""
) -> Proposal | None:
    """The column map that would read the feed: yours, a ready one, or a guess; None for YML, which
    needs none. Reads and goes back like `sniff`. Raises FeedError."""
    from lensback.feeds import sniffing

    begin = stream.tell() if stream.seekable() else None
    try:
        return sniffing.propose_columns(_source(stream, columns, charset), _naming(columns))
    finally:
        if begin is not None:
            stream.seek(begin)


def _read(
    opened: Callable[[], Source],
    form: str,
    columns: ColumnMap | None,
    where: tuple[str, str],
    name: str,
) -> Iterator[Offer | Rejected]:
    source = None
    try:
        source = opened()
        yield from _members(source, form, columns, where)
    except FeedError as error:
        # A broken container explains the broken document in it, not the other way round.
        cause = (source and source.failure) or error
        raise _named(cause, name) from error
    if source.failure:
        raise _named(source.failure, name)


def _source(
    stream: BinaryIO, columns: ColumnMap | None, charset: str, max_bytes: int = MAX_BYTES
) -> Source:
    from lensback.feeds.stream import Source

    encoding = columns.encoding if columns else ""
    return Source(stream, max_bytes, charset=charset, encoding=encoding)


def _members(
    source: Source, form: str, columns: ColumnMap | None, where: tuple[str, str]
) -> Iterator[Offer | Rejected]:
    """The rows of whichever member reads this file."""
    from lensback.feeds import clean, sniffing
    from lensback.feeds.stock import Words, known

    words = Words(columns.stock) if columns and columns.stock else known()
    currency = columns.currency if columns else ""
    rules = clean.RowRules(*where, stock=words, currency=currency)
    columns = _naming(columns)
    seems = sniffing.sniff(source, form, columns)
    if seems.format == "table":
        from lensback.feeds import table

        return table.read(source, rules, columns)
    if seems.format == "json":
        from lensback.feeds import jsonrows

        return jsonrows.read(source, rules, columns)
    if seems.format == "yml":
        from lensback.feeds import yml

        return yml.read(source.utf8(), rules)
    from lensback.feeds import google, pricelists

    columns = columns or next((m for m in pricelists.XML if m.name == seems.dialect), None)
    return google.read(source.utf8(), rules, columns)


def _naming(columns: ColumnMap | None) -> ColumnMap | None:
    """The map, unless it names no column but only tells what words of stock mean."""
    return columns if columns and columns.fields else None


def _named(error: FeedError, name: str) -> FeedError:
    return type(error)(f"{name}: {error.message}", hint=error.hint) if name else error
