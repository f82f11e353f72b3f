"""Which kind has which shape."""

from __future__ import annotations

from collections.abc import Callable

from lensback.demo import bottoms, extras, tops
from lensback.demo.outline import Cut, Part, Pose

SHAPES: dict[str, Callable[[Cut, Pose], list[Part]]] = {
    "t-shirt": tops.t_shirt,
    "longsleeve": tops.longsleeve,
    "hoodie": tops.hoodie,
    "shirt": tops.shirt,
    "jacket": tops.jacket,
    "dress": bottoms.dress,
    "trousers": bottoms.trousers,
    "shorts": bottoms.shorts,
    "skirt": bottoms.skirt,
    "sneakers": extras.sneakers,
    "boots": extras.boots,
    "bag": extras.bag,
    "backpack": extras.backpack,
    "cap": extras.cap,
    "beanie": extras.beanie,
    "watch": extras.watch,
}
