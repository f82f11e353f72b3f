"""Rows of XML, a shape at a time: what each element means is worked out once for all rows whose elements
stand in the same order, and what they say is turned into columns together.

Rows in which an element holds more than a text are read alone, as the reader of their format does it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from operator import attrgetter

from lensback.feeds.batch import Columns, columns_of
from lensback.feeds.clean import Row
from lensback.feeds.elements import Element

Texts = Sequence[str | None]
"""Of one row: what its elements say, in order; None where one is empty. Of one element: what it says in
each row."""
Fold = Callable[[Sequence[Texts]], Sequence[str]]
"""What the elements that feed a field say, each in all rows, best first -> the field's values, empty for
none."""
Plan = Sequence[tuple[str, Sequence[int]]]
"""Of one shape: each field once, and where in its rows the texts for it stand, best first."""
Shape = tuple[str, ...]
"""The tags of a row's elements."""
_MOST_ELEMENTS, _MOST_SHAPES, _MOST_CHARS = 300, 500, 10_000
"""Of a row that has a shape; shapes that are remembered; characters of one."""
_of = attrgetter("tag", "text")


def said(row: Element) -> tuple[Shape, Texts]:
    """Tags and texts of the elements in a row."""
    if not len(row):
        return (), ()
    tags, texts = zip(*map(_of, row), strict=True)
    return tags, texts


def filled(texts: Texts) -> Sequence[str]:
    """The texts, an empty one where there is none."""
    return texts if all(texts) else [text or "" for text in texts]  # type: ignore[return-value]


class Shapes:
    """The rows of one feed's blocks, as columns."""

    def __init__(
        self,
        plan: Callable[[Shape], Plan | None],
        fold: Callable[[str], Fold],
        alone: Callable[[Element], Row],
    ) -> None:
        """`plan`: what the texts in rows of a shape mean; None for rows that are read `alone`. `fold`:
        how those for a field become its values."""
        self._make, self._fold, self._alone = plan, fold, alone
        self._plans: dict[Shape, Plan | None] = {}

    def columns(self, rows: Sequence[Element], odd: Collection[Element]) -> Columns:
        """Field -> one value a row, empty where a row has none; no field that no row has. `odd`: the
        rows that are read alone."""
        shaped: dict[Shape, tuple[Plan | None, list[int], list[Texts]]] = {}
        alone: list[tuple[int, Row]] = []
        for at, row in enumerate(rows):
            tags, texts = said(row)
            if len(texts) <= _MOST_ELEMENTS and not (odd and row in odd):
                group = shaped.get(tags)
                if group is None:
                    group = shaped[tags] = self._plan(tags), [], []
                if group[0] is not None:
                    group[1].append(at)
                    group[2].append(texts)
                    continue
            alone.append((at, self._alone(row)))
        if len(alone) == len(rows):
            return columns_of([values for _, values in alone])
        columns = self._folded(shaped.values(), len(rows))
        for at, values in alone:
            for field, value in values.items():
                column = columns.get(field) or columns.setdefault(field, [""] * len(rows))
                column[at] = value
        return {**columns}

    def _folded(
        self, groups: Iterable[tuple[Plan | None, list[int], list[Texts]]], count: int
    ) -> dict[str, list[str]]:
        """The columns of so many rows, as far as they have a shape."""
        raw: dict[str, list[list[str | None]]] = {}
        for plan, places, texts in groups:
            told = list(zip(*texts, strict=True))
            for field, at_all in plan or ():
                into = raw.setdefault(field, [])
                while len(into) < len(at_all):
                    into.append([None] * count)
                for column, at in zip(into, at_all, strict=False):
                    for place, text in zip(places, told[at], strict=True):
                        column[place] = text
        found = {field: self._fold(field)(columns) for field, columns in raw.items()}
        return {field: list(values) for field, values in found.items() if any(values)}

    def _plan(self, shape: Shape) -> Plan | None:
        if shape not in self._plans:
            if sum(map(len, shape)) > _MOST_CHARS:
                return None
            if len(self._plans) >= _MOST_SHAPES:  # of a feed in which no row is like another
                self._plans.clear()
            self._plans[shape] = self._make(shape)
        return self._plans[shape]
