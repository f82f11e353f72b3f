"""Rows of a feed -> the catalogue: changed rows only, a batch a transaction, guarded at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice

from lensback.catalogue import offers, stores
from lensback.counted import counted
from lensback.db import Database
from lensback.errors import FeedError, Stopped
from lensback.ingest.collect import Collected, Limits, beside
from lensback.ingest.readers import Readers
from lensback.net import redact
from lensback.types import Offer, Progress, Rejected

BATCH = 1000
SAMPLES = 5
"""Kept of each reason."""
UNKNOWN_STOCK = "unknown stock"
"""What a sample of words of stock is called that nobody knows. No reject: the offer is sold."""
UNSEEN = (
    "no photo can find them; lensback store add {store} --dry-run shows the feed's columns: name that "
    "of the images under [fields] in a column map"
)
"""What to do where no offer of a store has an image."""
LEFT_OUT = "image addresses"
"""How the reason of a sample of image addresses begins that could not be taken. No reject either."""
WORDS = 1000
"""Different words of stock counted of one run."""
REASONS = 40
"""Reasons with samples kept of one run."""
MAX_IMAGE_URL_BYTES = 2000
"""PostgreSQL's index takes 2,704; Google Merchant allows 2,000 characters."""
JUMPS = 0.5
"""Share of known prices that one run may change tenfold before it is told."""
FEW = 20
"""Below so many such prices nothing is said."""


@dataclass(slots=True)
class FeedRun:
    """One reading of a feed while it goes on."""

    offers: int = 0
    changed: int = 0
    removed: int = 0
    jumped: int = 0
    """Offers whose price became less than a tenth, or more than ten times, of what it was."""
    pictured: int = 0
    """Offers with an image address that could be taken, and offers that are gone."""
    images_left_out: Counter[str] = field(default_factory=Counter)
    """Image addresses that could not be taken, by reason."""
    image_samples: dict[str, dict[str, object]] = field(default_factory=dict)
    """The first address of each such reason, and whose it is."""
    unknown_stock: Counter[str] = field(default_factory=Counter)
    """Words of stock that nobody knows, the first WORDS of them; what came later is under ``."""
    rejected: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, object]] = field(default_factory=list)
    delta: bool = False
    """The feed says itself which offers are gone: what it does not mention stays."""

    def reject(self, row: Rejected) -> None:
        """Counts a row that became no offer, and keeps the first few of each reason as samples."""
        self.rejected[row.reason] += 1
        if self.rejected[row.reason] <= SAMPLES and len(self.rejected) <= REASONS:
            sample = {"reason": row.reason, "line": row.line, "id": row.external_id}
            self.samples.append({**sample, "sample": row.sample[:200]})

    def all_samples(self) -> list[dict[str, object]]:
        """The samples, and the commonest words of stock that nobody knows with their counts."""
        common = [(said, n) for said, n in self.unknown_stock.most_common() if said][:SAMPLES]
        blank = {"reason": UNKNOWN_STOCK, "line": 0, "id": ""}
        words = ({**blank, "sample": said, "count": n} for said, n in common)
        images = (
            {**sample, "count": self.images_left_out[reason]}
            for reason, sample in self.image_samples.items()
        )
        return [*self.samples, *words, *images]

    def leave_out(self, reason: str, url: str, external_id: str) -> None:
        """Counts an image address that could not be taken."""
        self.images_left_out[reason] += 1
        sample = {"reason": f"{LEFT_OUT} {reason}", "line": 0, "id": external_id, "sample": url}
        self.image_samples.setdefault(reason, sample)


def write(
    db: Database,
    state: stores.FeedState,
    collected: Collected,
    readers: Readers,
    run: FeedRun,
    limits: Limits,
    progress: Progress | None,
) -> tuple[str, str]:
    """Reads the file to its end; returns the run's status and what the operator should know.

    Raises FeedError; what came before it is kept, and nothing goes off sale.
    """
    feed = state.feed
    job = (
        *(str(collected.path), feed.format, feed.columns, state.base, redact(feed.url)),
        *(collected.charset, beside(feed.url), limits.max_bytes, limits.budget_s),
    )
    rows = chain.from_iterable(readers.rows(job))
    store_id = stores.store_id(db, state.feed.store)
    with db.read() as c:
        active = offers.count_active(c, store_id)
    seen = offers.SeenIds()
    for batch in _batches(_accepted(rows, run, limits)):
        with db.write() as c:
            written = offers.write_batch(db, c, store_id, state.feed.store, batch, seen)
        _count(run, written)
        if progress:
            progress(run.offers, 0)
    if run.offers == 0 and not run.rejected:
        raise FeedError("the feed has no offers", hint="check the address; nothing was changed")
    if run.offers == 0:
        why = ", ".join(f"{count} {reason}" for reason, count in run.rejected.most_common(4))
        hint = f"lensback store show {state.feed.store}, and store add … --dry-run, say more"
        raise FeedError(f"every row of the feed was refused: {why}", hint=hint)
    status = "ok" if run.delta else _retire(db, store_id, seen, run, limits, active)
    return status, _message(status, run, limits, active)


def _count(run: FeedRun, written: offers.Written) -> None:
    run.offers += written.seen
    run.changed += written.changed
    run.removed += written.removed
    run.jumped += written.jumped
    for external_id in written.duplicates:
        run.reject(Rejected("duplicate id", external_id=external_id))


def _message(status: str, run: FeedRun, limits: Limits, active: int) -> str:
    if status == "shrank":
        return (
            f"the feed dropped more than {limits.max_drop:.0%} of the store's offers: none went "
            "off sale; look at the feed, then sync with --force"
        )
    return "; ".join(filter(None, (_jumps(run, active), _unknown(run, limits))))


def _jumps(run: FeedRun, active: int) -> str:
    if run.jumped >= FEW and run.jumped > JUMPS * active:
        return (
            f"{run.jumped} of {active} prices became less than a tenth or more than ten times of "
            "what they were; look at the feed: is its currency or its unit another one?"
        )
    return ""


def _unknown(run: FeedRun, limits: Limits) -> str:
    if not run.unknown_stock:
        return ""
    listed = ", ".join(repr(said) for said, _ in run.unknown_stock.most_common(3) if said)
    return (
        f"{counted(run.unknown_stock.total(), 'offer')} with words of stock that we do not know ({listed}), "
        f"taken as {limits.unknown_stock}: tell what it means under [stock] in a column map"
    )


def _accepted(rows: Iterable[Offer | Rejected], run: FeedRun, limits: Limits) -> Iterator[Offer]:
    for row in rows:
        if isinstance(row, Rejected):
            run.reject(row)
        else:
            run.delta |= row.deleted
            fitted = _fitted(row, run)
            run.pictured += bool(fitted.image_urls) or fitted.deleted
            yield _judged(fitted, run, limits)


def _fitted(offer: Offer, run: FeedRun) -> Offer:
    """Without image addresses that no index of a database can hold; counts them and those that the
    reader could not take."""
    for reason, url in offer.images_left_out:
        run.leave_out(reason, url, offer.external_id)
    if all(len(url) * 4 <= MAX_IMAGE_URL_BYTES for url in offer.image_urls):
        return offer
    kept = tuple(u for u in offer.image_urls if len(u.encode()) <= MAX_IMAGE_URL_BYTES)
    for url in dict.fromkeys(u for u in offer.image_urls if u not in kept):
        run.leave_out("too long", url[:200], offer.external_id)
    return replace(offer, image_urls=kept) if len(kept) < len(offer.image_urls) else offer


def _judged(offer: Offer, run: FeedRun, limits: Limits) -> Offer:
    """Counts an offer whose stock nobody knows, and takes it as the operator wants."""
    if not offer.stock_words:
        return offer
    few = len(run.unknown_stock) < WORDS or offer.stock_words in run.unknown_stock
    run.unknown_stock[offer.stock_words if few else ""] += 1
    return replace(offer, availability=limits.unknown_stock)


def _batches(rows: Iterator[Offer]) -> Iterator[list[Offer]]:
    """Batches of BATCH; the last, short one also when the reader raises: what came is kept."""
    while True:
        batch: list[Offer] = []
        try:
            for row in islice(rows, BATCH):
                batch.append(row)  # noqa: PERF402 - kept when the reader raises midway
        except (FeedError, Stopped):
            if batch:
                yield batch
            raise
        if not batch:
            return
        yield batch


def _retire(
    db: Database, store_id: int, seen: offers.SeenIds, run: FeedRun, limits: Limits, active: int
) -> str:
    """Takes off sale what the feed did not mention, unless that is suspiciously much of the
    `active` offers there were before the run."""
    with db.write() as c:
        missing = [key for key in offers.active_ids(c, store_id) if key not in seen]
        if len(missing) > limits.max_drop * active and not limits.force:
            return "shrank"
        run.removed += offers.deactivate(c, missing)
    return "ok"
