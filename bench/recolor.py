"""The same, but in another colour, on real pictures: `python bench/recolor.py [--folder DIR]`.

Luma and its outlet are connected (`--folder` as of bench/live_path.py, whose synced workspace is used
where there is one). A picture each of some models, distorted as a phone would, is asked for in each
of nine colours. Told apart: the model is on sale in the colour that was asked for, it is not but
something of its category is, or nothing of the category is. Truth is the stores' own item group,
colour words and categories. "Found" means: the first hit is of the model and of the colour.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from lensback.colors import basic
from lensback.db import Database
from lensback.db import tables as t
from lensback.distort import distort
from lensback.search import Query, Tools, search
from lensback.wire import Answer
from lensback.workspace import Workspace
from live_path import source_of
from rig import arguments, jpeg, share, write

COLOURS = ("black", "blue", "green", "grey", "orange", "purple", "red", "white", "yellow")


@dataclass(slots=True)
class Model:
    """An item group of luma: its colours, its categories, and a picture of one of them."""

    image: str = ""
    colour: frozenset[str] = frozenset()
    """Of the picture."""
    colours: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Basic colour -> products in it."""
    categories: set[str] = field(default_factory=set)


def models(db: Database) -> tuple[dict[str, Model], dict[str, set[str]]]:
    """Item group -> model of luma, and category -> basic colours on sale in it at any store."""
    o, oi, u = t.offers.c, t.offer_images.c, t.image_urls.c
    query = (
        select(o.item_group_id, o.color, o.category, o.product_id, u.image_hash, t.stores.c.name)
        .select_from(t.offers)
        .join(t.stores)
        .join(t.offer_images, oi.offer_id == o.id)
        .join(t.image_urls, u.id == oi.image_url_id)
        .where(o.active, oi.position == 0, u.image_hash.is_not(None))
        .order_by(o.id)
    )
    found: dict[str, Model] = {}
    sold: dict[str, set[str]] = defaultdict(set)
    with db.read() as c:
        for row in c.execute(query):
            sold[row.category] |= basic(row.color)
            if row.name != "luma" or not row.item_group_id:
                continue
            model = found.setdefault(row.item_group_id, Model(row.image_hash, basic(row.color)))
            model.categories.add(row.category)
            for colour in basic(row.color):
                model.colours[colour].add(row.product_id)
    return found, sold


def asked(answer: Answer, model: Model, colour: str, sold: dict[str, set[str]]) -> tuple[str, str]:
    """(what is on sale, what came of it)."""
    first = answer.hits[0].product_id if answer.hits else ""
    if model.colours.get(colour):
        case = "the photo's own colour" if colour in model.colour else "the model has the colour"
        return case, "found" if first in model.colours[colour] else answer.verdict
    if any(colour in sold[category] for category in model.categories):
        return "its category has the colour", answer.verdict
    return "nothing of its category has it", answer.verdict


def measured(workspace: Workspace, tools: Tools, count: int) -> dict[str, Any]:
    """What came of every photo and colour."""
    known, sold = models(workspace.db)
    drawn = random.Random(4).sample(sorted(known), min(count, len(known)))
    cases: dict[str, Counter[str]] = defaultdict(Counter)
    for n, name in enumerate(drawn):
        photo = jpeg(distort(workspace.images.open(known[name].image), 70_000 + n))
        for colour in COLOURS:
            answer = search(photo, Query(color=colour), tools)
            case, outcome = asked(answer, known[name], colour, sold)
            cases[case][outcome] += 1
    return {
        case: {
            "answers": dict(counted),
            "found": share(counted["found"], counted.total()),
            "told none": share(counted["none"], counted.total()),
        }
        for case, counted in sorted(cases.items())
    }


def main() -> None:
    given = arguments(__doc__, encoder="eye", folder=Path("live_path"), photos=60).parse_args()
    with source_of(given.folder.resolve() / "source", given.encoder) as workspace:
        found = measured(workspace, workspace.tools(), given.photos)
    write("recolor", {"photos": given.photos, "colours": COLOURS, "cases": found}, given.out)


if __name__ == "__main__":
    main()
