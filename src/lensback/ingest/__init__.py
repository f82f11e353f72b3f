"""feed -> offers: reads a store's feed and brings the catalogue to what it says.

Each batch is one transaction, and only rows that changed are written. Offers that the feed
no longer mentions go off sale, but only after a run that reached the feed's end. Many stores:
`ingest_all` fetches side by side and lets no store wait for a slow one.
"""

from lensback.ingest.collect import Limits, collect, local_path, tidy_spool
from lensback.ingest.many import Roads, Skipped, ingest_all
from lensback.ingest.one import ingest

__all__ = [
    "Limits",
    "Roads",
    "Skipped",
    "collect",
    "ingest",
    "ingest_all",
    "local_path",
    "tidy_spool",
]
