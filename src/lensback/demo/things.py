"""What the demo's photos show and what it costs where: the rows of `things.csv`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

_LETTERS = ("S", "M", "L", "XL")
_WAISTS = ("28", "30", "32", "34")


@dataclass(frozen=True, slots=True)
class Thing:
    """One row: a thing in photos. Prices are invented; the words describe what is seen."""

    number: int
    category: str
    """As in a Google feed: "Clothing > Dresses"."""
    title: str
    russian_title: str
    """Where the Russian store sells it, else empty."""
    colour: str
    usd: int
    """Price at the first store in whole US dollars; 0: not sold there."""
    rub: int
    """Price at the second store in whole roubles; 0: not sold there."""
    photos: tuple[str, ...]
    """File names of the stores' pictures; none where nobody sells it."""
    asked: str
    """File name of a photo to search with, which no store has; mostly empty."""

    @property
    def sizes(self) -> tuple[str, ...]:
        """Two to four sizes, invented."""
        known = _WAISTS if self.category.endswith("Trousers") else _LETTERS
        return known[: 2 + self.number % 3]

    def in_stock(self, store: int, at: int) -> bool:
        """Whether size `at` of store 0 or 1 is there, invented; the first always is."""
        return at == 0 or (self.number * 7 + at * 3 + store * 5) % 6 != 0


def things() -> list[Thing]:
    """Every row of `things.csv`, in its order."""
    text = (resources.files("lensback.demo") / "things.csv").read_text("utf-8")
    return [
        Thing(
            number=int(row["id"]),
            category=row["category"],
            title=row["title"],
            russian_title=row["title_ru"],
            colour=row["colour"],
            usd=int(row["usd"] or 0),
            rub=int(row["rub"] or 0),
            photos=tuple(f"{name}.jpg" for name in row["photos"].split()),
            asked=f"{row['asked']}.jpg" if row["asked"] else "",
        )
        for row in csv.DictReader(text.splitlines())
    ]
