"""Offers: offers find, offers export."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lensback.cli.face import (
    HERE,
    AsJson,
    Folder,
    app,
    connected,
    opened_workspace,
    out,
    print_json,
    say,
)
from lensback.console import FittedTable
from lensback.counted import counted
from lensback.durable import what_mends
from lensback.errors import BadQuery
from lensback.legible import cell

if TYPE_CHECKING:
    from lensback.types import StoredOffer

offers_app = typer.Typer(help="Offers of the catalogue.", no_args_is_help=True)
app.add_typer(offers_app, name="offers")

Store = Annotated[str, typer.Option(help="Only of this store.", autocompletion=connected)]
FIELDS = ("offer_id", "store", "sku", "title", "brand", "price", "currency", "availability",
          "on_sale", "color", "size", "category", "gtin", "product_id", "url", "images")  # fmt: skip


def _row(stored: StoredOffer) -> dict[str, Any]:
    offer = stored.offer
    same = ("title", "brand", "availability", "color", "size", "category", "gtin", "url")
    return {
        **{name: getattr(offer, name) for name in same},
        "offer_id": stored.offer_id,
        "store": stored.store,
        "sku": offer.external_id,
        "price": offer.price.as_json()["amount"],
        "currency": offer.price.currency,
        "on_sale": stored.active,
        "product_id": stored.product_id,
        "images": " ".join(offer.image_urls),
    }


@offers_app.command("find")
def offers_find(
    words: Annotated[
        list[str], typer.Argument(help="Of title, brand, the store's own id, or an id.")
    ],
    store: Store = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most offers.")] = 20,
    workspace: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Offers that hold every word, those on sale first, with the id that other commands take."""
    from lensback.catalogue import named, stores

    with opened_workspace(workspace) as opened:
        if store:
            stores.check_names(opened.db, [store])
        found = named.find(opened.db, words, store, limit)
    if as_json:
        print_json([_row(stored) for stored in found])
        return
    if not found:
        say("none")
        return
    table = FittedTable("offer", "store:sku", "title", "size", "price", "state")
    table.columns[0].no_wrap = True
    for stored in found:
        offer = stored.offer
        state = offer.availability.replace("_", " ") if stored.active else "off sale"
        sku = f"{stored.store}:{offer.external_id}"
        cells = (stored.offer_id, sku, offer.title, offer.size, str(offer.price), state)
        table.add_row(*map(escape, cells))
    out.print(table)


@offers_app.command("export")
def offers_export(
    file: Annotated[Path | None, typer.Option("--out", help="CSV to write; else printed.")] = None,
    store: Store = "",
    everything: Annotated[bool, typer.Option("--all", help="Those off sale, too.")] = False,
    workspace: Folder = HERE,
) -> None:
    """Every offer on sale as CSV."""
    from lensback.catalogue import named, stores

    with opened_workspace(workspace) as opened, _writing(file) as to:
        if store:
            stores.check_names(opened.db, [store])
        rows = csv.DictWriter(to, FIELDS)
        rows.writeheader()
        count = 0
        for stored in named.every(opened.db, store, sold_only=not everything):
            row = _row(stored)
            rows.writerow({k: cell(v) if isinstance(v, str) else v for k, v in row.items()})
            count += 1
    if file:
        say(f"{counted(count, 'offer')} -> {file}")


@contextmanager
def _writing(file: Path | None) -> Iterator[IO[str]]:
    if file is None:
        yield sys.stdout
        return
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as to:
            yield to
        part.replace(file)
    except OSError as error:
        hint = what_mends(error)
        raise BadQuery(f"cannot write {file}: {error.strerror}", hint=hint) from error
    finally:
        part.unlink(missing_ok=True)
