"""The small visual taxonomy of things: what a region may be called, and how others' words map to it.

A label is what a thing looks like in a photo, not where a store files it. `of_label` maps the
class names of other detectors, `of_category` the categories of stores in English and Russian.
"""

from __future__ import annotations

import re
from functools import lru_cache

LABELS = (
    "top",
    "outerwear",
    "dress",
    "trousers",
    "skirt",
    "shoes",
    "bag",
    "hat",
    "eyewear",
    "belt",
    "scarf",
    "jewellery",
    "watch",
    "other",
)
"""`top` up to the waist; `outerwear` over it; `dress` also overalls and suits of one piece;
`trousers` also shorts, leggings and tights; `other` what is worth searching and none of these."""

# Words of detectors' class lists: Fashionpedia, DeepFashion2, ModaNet, COCO and alike. Parts of a
# garment (sleeve, zip, collar) are no things and are left out.
_BY_LABEL = {
    "top": "top shirt blouse t-shirt tee sweatshirt sweater cardigan jumper hoodie vest tank polo "
    "undershirt bodysuit short_sleeve_top long_sleeve_top sling upper bra camisole singlet "
    "longsleeve body pullover",
    "outerwear": "outerwear outer jacket coat cape blazer short_sleeve_outwear long_sleeve_outwear "
    "outwear parka windbreaker suit trench anorak",
    "dress": "dress short_sleeve_dress long_sleeve_dress vest_dress sling_dress jumpsuit romper "
    "overalls one-piece onepiece",
    "trousers": "trousers pants jeans shorts leggings tights stockings bottom lower sweatpants "
    "tights_stockings",
    "skirt": "skirt",
    "shoes": "shoes shoe boots boot sandals sandal sneakers sneaker footwear heels pumps flats "
    "loafers wedges clogs slippers",
    "bag": "bag handbag backpack wallet purse suitcase clutch briefcase bag_wallet",
    "hat": "hat cap beanie headwear headband hair_accessory head_covering "
    "headband_head_covering_hair_accessory",
    "eyewear": "glasses sunglasses eyewear eyeglasses spectacles",
    "belt": "belt",
    "scarf": "scarf tie necktie bow_tie shawl scarf_tie scarf_and_tie",
    "jewellery": "jewellery jewelry necklace bracelet ring earrings earring",
    "watch": "watch wristwatch",
    "other": "accessories accessory glove gloves umbrella leg_warmer sock socks person other item "
    "thing object",
}

# Stems of words in stores' categories. The first that fits wins, read from the last part of the
# path to the first, so "Women > Dresses > Belts" is a belt.
_BY_CATEGORY = (
    ("watch", r"watch|smartwatch|\bчас(ы|ов)\b"),
    ("eyewear", r"sunglass|eyewear|glasses|spectacle|очк|оправ"),
    ("jewellery", r"jewel|necklace|bracelet|earring|\brings?\b|pendant|украшен|ювелир|серьг|сережк|серёжк|кольц[аоеу]|\bколец\b|браслет|колье|подвеск|бижутер"),
    ("belt", r"\bbelts?\b|\bремень|\bремн|\bпояса?\b"),
    ("scarf", r"scarf|scarves|shawl|snood|\bties?\b|necktie|шарф|плат(ок|ки|ков)\b|палантин|снуд|галстук"),
    ("bag", r"\bbags?\b|handbag|backpack|rucksack|tote|clutch|wallet|purse|suitcase|luggage|duffle|сумк|рюкзак|клатч|кошел|портфел|чемодан|портмоне"),
    ("hat", r"\bhats?\b|\bcaps?\b|beanie|headwear|beret|шапк|шляп|кепк|бейсболк|панам|берет|головн\w* убор"),
    ("shoes", r"shoe|sneaker|trainers|\bboots?\b|sandal|footwear|loafer|\bheels?\b|slipper|slides|flip.?flop|обув|кроссов|\bкед|ботин|сапог|сапож|туфл|сандал|босонож|тапоч|лофер|ботильон|мокасин|слипон|шл[её]пан"),
    ("skirt", r"skirt|юбк"),
    ("dress", r"dress|jumpsuit|overall|romper|gown|sundress|плать|сарафан|комбинезон"),
    ("outerwear", r"jacket|coat|blazer|outerwear|outwear|parka|windbreaker|gilet|anorak|\bsuits?\b|куртк|пальто|плащ|пуховик|ветровк|верхн\w* одежд|парк[аи]\b|жакет|пиджак|шуб|тренч|дубленк|жилет"),
    ("trousers", r"trouser|pant|jean|short(s\b|\b(?!.?sleeve))|legging|chino|jogger|tights|bottoms|брюк|джинс|шорт|леггинс|лосин|штан|чинос|колгот|бридж"),
    ("top", r"\btops?\b|t-?shirt|\btees?\b|shirt|blouse|sweater|sweatshirt|hoodie|jumper|pullover|cardigan|polo|tank|\bbras?\b|bodysuit|\bbody\b|longsleeve|knitwear|футбол|майк|рубаш|блуз|\bтоп(ы|ов)?\b|свитер|толстов|худи|кофт|джемпер|пуловер|кардиган|свитшот|водолазк|лонгслив|поло\b|\bбоди\b|бюстгальт|трикотаж"),
)  # fmt: skip
_STEMS = tuple((label, re.compile(pattern)) for label, pattern in _BY_CATEGORY)
_WORDS = {word: label for label, words in _BY_LABEL.items() for word in words.split()}


def of_label(name: str) -> str:
    """Another detector's class name -> our label, or "" for what is no thing (a part, a car).

    >>> [of_label(n) for n in ("bag, wallet", "long sleeve outwear", "T-Shirt", "sleeve")]
    ['bag', 'outerwear', 'top', '']
    """
    whole = re.sub(r"[^a-z0-9-]+", "_", name.strip().lower()).strip("_")
    if whole in _WORDS:
        return _WORDS[whole]
    parts = [part.strip() for part in re.split(r"[,/|]", name.lower()) if part.strip()]
    return _WORDS.get(re.sub(r"[^a-z0-9-]+", "_", parts[0]), "") if len(parts) > 1 else ""


@lru_cache(maxsize=4096)
def of_category(path: str) -> str:
    """A store's category path (parts joined by ` > ` or `/`) -> our label, or "" where unknown.

    >>> [of_category(p) for p in ("Men > Tops > Hoodies & Sweatshirts", "Женщинам/Обувь/Кеды")]
    ['top', 'shoes']
    """
    parts = re.split(r"\s*[>/|]\s*", path.lower().replace("ё", "е"))
    for part in reversed(parts):
        for label, stem in _STEMS:
            if stem.search(part):
                return label
    return ""


def close(one: str, other: str) -> bool:
    """Whether two labels may be one thing seen by two eyes: equal, unknown, or easily confused.

    >>> close("top", "outerwear"), close("shoes", "hat"), close("", "hat")
    (True, False, True)
    """
    if not one or not other or one == other or "other" in (one, other):
        return True
    return frozenset((one, other)) in _NEAR


_NEAR = {
    frozenset(pair)
    for pair in (
        ("top", "outerwear"),
        ("top", "dress"),
        ("dress", "skirt"),
        ("dress", "outerwear"),
        ("jewellery", "watch"),
        ("scarf", "top"),
    )
}
