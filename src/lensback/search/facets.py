"""What the hits of an answer have: filters worth offering, and no others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from lensback import colors
from lensback.catalogue import for_sale
from lensback.db import Database
from lensback.wire import Facet, Facets

MOST = 24
"""Values told of each kind."""


def facets_of(db: Database, product_ids: Sequence[str]) -> Facets:
    """The stores, categories, brands, sizes and basic colours of the offers on sale of these products,
    the commonest first."""
    seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in for_sale.traits(db, product_ids):
        said = (
            ("stores", (row.store,)),
            ("categories", (row.category,)),
            ("brands", (row.brand,)),
            ("sizes", (row.size.strip(),)),
            ("colors", sorted(colors.basic(row.color))),
        )
        for kind, values in said:
            for value in filter(None, values):
                seen[kind][value].add(row.product_id)
    return Facets(**{kind: _counted(values.items()) for kind, values in seen.items()})


def _counted(values: Iterable[tuple[str, set[str]]]) -> tuple[Facet, ...]:
    ordered = sorted(values, key=lambda pair: (-len(pair[1]), pair[0]))
    return tuple(Facet(value=value, products=len(having)) for value, having in ordered[:MOST])
