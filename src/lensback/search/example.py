"""A photo to try a search with: a picture of the own catalogue, as a phone would take it."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass

from lensback.catalogue import findable, offers
from lensback.db import Database
from lensback.distort import distort
from lensback.errors import Error, StateError
from lensback.images import ImageStore
from lensback.types import StoredOffer
from lensback.wire import Answer

CHOICE = 60
"""Offers that one is picked from."""
SIDE_PX, QUALITY = 1024, 90


@dataclass(frozen=True, slots=True)
class ExamplePhoto:
    """A photo whose offer is known."""

    offer: StoredOffer
    photo: bytes
    """JPEG: turned, cropped, brighter or darker, compressed."""

    def place_in(self, answer: Answer) -> int | None:
        """Where its offer, or another of the same product, stands among the hits, from 1; None: nowhere."""
        places = (
            n
            for n, hit in enumerate(answer.hits, 1)
            if hit.product_id == self.offer.product_id
            or any(offer.offer_id == self.offer.offer_id for offer in hit.offers)
        )
        return next(places, None)


def example_photo(
    db: Database,
    images: ImageStore,
    fingerprint: str,
    stores: Sequence[str] = (),
    *,
    seed: int | None = None,
) -> ExamplePhoto:
    """One of the offers on sale whose picture is searched with this encoder; the same for a seed, any
    without one. Raises StateError where there is none."""
    dice = random.Random(seed)  # noqa: S311 - which example is no secret
    some = offers.samples(db, CHOICE, stores)
    seen = findable.searched(db, fingerprint, [h for each in some for h in each.image_hashes])
    choice = [(each, image) for each in some for image in each.image_hashes if image in seen]
    dice.shuffle(choice)
    for offer, image in choice:
        try:
            picture = images.open(image, SIDE_PX)
        except Error:  # its file is gone; another one will do
            continue
        taken = io.BytesIO()
        distort(picture, dice.randrange(1 << 31)).save(taken, "JPEG", quality=QUALITY)
        return ExamplePhoto(offer, taken.getvalue())
    raise StateError("no offer on sale has a picture yet", hint="run: lensback sync")
