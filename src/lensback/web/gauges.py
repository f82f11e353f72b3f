"""What `/metrics` tells of the workspace as it is at that moment, the same from every worker."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from lensback import backup
from lensback.catalogue import health
from lensback.conversions import RefusedCalls
from lensback.ledger import pulls
from lensback.publish import searched
from lensback.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Now:
    """A collector over a workspace: asked anew at each scrape, with a few short queries."""

    workspace: Workspace

    def collect(self) -> Iterator[Metric]:
        """Disk and journal, stores, the index, the last backup, the networks' money."""
        yield from _disk(self.workspace)
        yield from _stores(self.workspace)
        yield from _index(self.workspace)
        yield from _money(self.workspace)


def _disk(workspace: Workspace) -> Iterator[Metric]:
    journal, last = workspace.journal, backup.last(workspace.path)
    for name, about, value in (
        ("disk_free_bytes", "Free on the disk of the workspace.", shutil.disk_usage(workspace.path).free),
        ("journal_bytes", "Clicks, searches and postbacks waiting for the database.", journal.waiting_bytes),
        ("journal_max_bytes", "From so many on clicks are refused.", workspace.settings.journal_max_bytes),
        ("journal_refused", "1: sales that the database refused are kept in a file.", journal.refused.is_file()),
        ("backup_timestamp_seconds", "When the last backup was made; 0: never.", last.at if last else 0),
    ):  # fmt: skip
        yield GaugeMetricFamily(f"lensback_{name}", about, value)


def _stores(workspace: Workspace) -> Iterator[Metric]:
    found = health.standing(workspace.db)
    stores = GaugeMetricFamily("lensback_stores", "Stores by health.", labels=["health"])
    counts = Counter(store.word for store in found)
    for word in health.WORDS:
        stores.add_metric([word], counts[word])
    yield stores
    read = GaugeMetricFamily(
        "lensback_store_read_timestamp_seconds",
        "End of the last good reading of a store's feed.",
        labels=["store"],
    )
    for store in found:
        if store.last_ok is not None:
            read.add_metric([store.name], store.last_ok)
    yield read


def _index(workspace: Workspace) -> Iterator[Metric]:
    snapshot = searched(workspace.index)
    rows = snapshot.rows if snapshot else 0
    yield GaugeMetricFamily("lensback_index_rows", "Rows of the index that searches see.", rows)
    if snapshot:
        with suppress(ValueError):  # an engine of another package may not tell
            at = datetime.fromisoformat(snapshot.created_at).timestamp()
            about = "When the index that searches see was made."
            yield GaugeMetricFamily("lensback_index_timestamp_seconds", about, at)


def _money(workspace: Workspace) -> Iterator[Metric]:
    """Per network: when it was asked last, rows and calls that were refused, sales that wait."""
    found = pulls.states(workspace.db)
    refused = Counter[str]()
    for reason, count in RefusedCalls(workspace.path / "refused_postbacks.log").counts().items():
        refused[reason.partition(":")[0] or "unknown"] += count
    for name, about, values in (
        (
            "pull_good_timestamp_seconds",
            "End of the last pull that read everything.",
            {state.network: state.good_at for state in found if state.good_at is not None},
        ),
        (
            "pull_refused_rows",
            "Rows of reports that could not be read.",
            {state.network: state.refused.total() for state in found},
        ),
        (
            "sales_aside",
            "Sales whose click nobody knows.",
            {state.network: state.aside for state in found},
        ),
        (
            "sales_review",
            "Sales that wait for an operator's decision.",
            {state.network: state.review for state in found},
        ),
        ("postbacks_refused", "Calls that were refused lately.", dict(refused)),
    ):
        family = GaugeMetricFamily(f"lensback_{name}", about, labels=["network"])
        for network, value in sorted(values.items()):
            family.add_metric([network], value)
        yield family
