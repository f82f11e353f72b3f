"""What the codes of a photo say of the thing: a number or a store's page names it, whatever it looks like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np

from lensback import gtins, images, letters, storepage
from lensback.catalogue import coded
from lensback.db import Database
from lensback.search.looking import ROUNDED, widened
from lensback.types import WHOLE, Box, Filter, Region
from lensback.wire import By, Code

Seen = TypeVar("Seen", images.Code, images.TextLine)

_OF_ANY_TEXT = frozenset({"Code128", "DataMatrix", "QRCode", "MicroQRCode"})
"""Codes in which a store may write its own numbers."""
REACH = 0.3
"""How far around a box that was chosen a code still speaks for what is in it, as a share of its sides."""


@dataclass(frozen=True, slots=True)
class Coded:
    """What the codes of a photo lead to."""

    codes: tuple[Code, ...] = ()
    first: Mapping[str, By] = field(default_factory=dict)
    """Products that a code names, in the order of the codes, and by which kind of code."""
    certain: frozenset[str] = frozenset()
    """Those of them that a code names alone."""
    unsold: bool = False
    """A number was read that nobody sells."""


NOTHING = Coded()


def counting(seen: Sequence[Seen], box: Box | None, main: Region) -> list[Seen]:
    """The codes, or lines of text, that speak for what is searched: all of the photo's, but where a box was
    chosen that is not the likeliest region those in it or near it. `main` is the likeliest region."""
    if box is None or _same(box, main.box) or _same(box, WHOLE):
        return list(seen)
    x0, y0, x1, y1 = widened(box, 2 * REACH)
    middles = ((one, (one.box[0] + one.box[2]) / 2, (one.box[1] + one.box[3]) / 2) for one in seen)
    return [one for one, x, y in middles if x0 <= x <= x1 and y0 <= y <= y1]


def _same(one: Box, two: Box) -> bool:
    return bool(np.allclose(one, two, rtol=0, atol=ROUNDED))


def looked_up(db: Database, codes: Iterable[images.Code], where: Filter) -> Coded:
    """Each code's number or page in the catalogue. What is neither is left out, and so is a page that no
    offer has."""
    shown: dict[tuple[str, str], Code] = {}
    first: dict[str, By] = {}
    certain: set[str] = set()
    for code in codes:
        said = _said(db, code, where)
        if said is None or (said.kind, said.text) in shown:
            continue
        shown[said.kind, said.text] = said
        for product_id in said.product_ids:
            first.setdefault(product_id, "barcode" if said.kind == "gtin" else "link")
        if said.state == "sold" and not said.ambiguous:
            certain.update(said.product_ids)
    unsold = any(said.kind == "gtin" and said.state == "not_sold" for said in shown.values())
    return Coded(tuple(shown.values()), first, frozenset(certain), unsold)


def articles(codes: Iterable[images.Code]) -> list[images.TextLine]:
    """Codes that are an article number, as lines in which it was read for sure: what one says, `search.printed`
    decides. Digits that may be a GTIN are none: in such a code they are a parcel's."""
    return [
        images.TextLine((images.Word(code.text, 1.0),), code.box)
        for code in codes
        if code.kind in _OF_ANY_TEXT
        and not (gtins.in_code(code.text, code.kind) or gtins.gtin(code.text))
        and letters.article(code.text)
    ]


def _said(db: Database, code: images.Code, where: Filter) -> Code | None:
    number = gtins.in_code(code.text, code.kind)
    if number:
        every = coded.by_gtin(db, number)
        return code_of(
            "gtin", gtins.plain(number), code.box, every, coded.passing(db, every, where)
        )
    page = storepage.key(code.text)
    if not page or not (every := coded.by_page(db, page)):
        return None
    return code_of("page", code.text, code.box, every, coded.passing(db, every, where))


def code_of(
    kind: Literal["gtin", "page", "article"],
    text: str,
    box: Box,
    every: Sequence[str],
    kept: Sequence[str],
) -> Code:
    """What is told of a number or a page: `every` product that goes by it, and those `kept` by the filters."""
    state: Literal["sold", "filtered", "not_sold"] = "sold" if kept else "filtered"
    return Code(
        kind=kind,
        text=text,
        box=box,
        state=state if every else "not_sold",
        ambiguous=len(every) > 1,
        product_ids=tuple(kept),
    )


def together(said: Coded, printed: Coded) -> Coded:
    """What codes say, then what printed numbers say; a number that a bar code said is told once."""
    known = {code.text for code in said.codes}
    return Coded(
        (*said.codes, *(code for code in printed.codes if code.text not in known)),
        {**said.first, **{one: by for one, by in printed.first.items() if one not in said.first}},
        said.certain | (printed.certain if not said.certain else frozenset()),
        said.unsold,
    )


def with_looks(said: Coded, near: Iterable[str]) -> tuple[Code, ...]:
    """The codes, each with whether the photo also looks like what it names. `near` are the products
    that look like the photo."""
    alike = set(near)
    return tuple(
        code.model_copy(update={"looks_like_it": bool(alike.intersection(code.product_ids))})
        if code.product_ids
        else code
        for code in said.codes
    )


def other_numbers(db: Database, product_ids: Sequence[str], said: Coded) -> set[str]:
    """The products that cannot be the very thing by what the codes say: another one is named, or a
    number was read that none of their offers has, while each offer has one."""
    named = set(product_ids) - said.certain
    if said.certain:
        return named
    if not said.unsold:
        return set()
    numbers = coded.gtins_of(db, sorted(named))
    return {product_id for product_id in named if "" not in numbers.get(product_id, {""})}
