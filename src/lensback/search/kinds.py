"""What kind of thing is searched: the detector's label and the nearest neighbours decide together.

After Pailitao (Zhang et al., KDD 2018): a category is predicted from the photo and from what the
search finds, and candidates of another category sink.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lensback.detectors.taxonomy import LABELS, close, of_category
from lensback.rank import Ranked
from lensback.types import Candidate, Region

VOTERS = 12
"""Nearest images that vote."""
LABEL_WEIGHT = 0.8
"""What a sure detector counts against all neighbours together."""
MAJORITY = 0.45
"""Share of everything said that the decision needs."""
SINK = 0.06
"""Similarity that a candidate of another kind loses in the order, never in what is shown."""

Kinds = Mapping[str, frozenset[str]]
"""Image hash -> our labels of the categories that it is sold under."""


def kinds_of(categories: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Image hash -> category paths, as our labels; a path that says nothing has none."""
    return {
        image_hash: frozenset(label for path in paths if (label := of_category(path)))
        for image_hash, paths in categories.items()
    }


def decided(region: Region, nearest: Sequence[Candidate], kinds: Kinds) -> str:
    """Our label of what is searched, or "" where detector and neighbours do not settle it.

    Each of the nearest images votes once, shared among its kinds; the detector's label counts
    LABEL_WEIGHT times its score. Without a label of the detector's nothing is decided.
    """
    if region.label not in LABELS or region.label == "other":
        return ""
    votes: Counter[str] = Counter()
    voters = [kinds[c.image_hash] for c in nearest if kinds.get(c.image_hash)][:VOTERS]
    for own in voters:
        for label in own:
            votes[label] += 1 / (len(own) * len(voters))  # type: ignore[assignment]
    votes[region.label] += LABEL_WEIGHT * region.score  # type: ignore[assignment]
    label, weight = votes.most_common(1)[0]
    return label if weight >= MAJORITY * votes.total() else ""


def of_kind(ranked: Sequence[Ranked], kinds: Kinds, label: str) -> list[Ranked]:
    """Without what is of another kind than `label`, unless that is all there is; what is nearer than
    every other product stays, of whatever kind it is said to be."""
    if not label:
        return list(ranked)
    kept = [one for one in ranked if not _wrong(one, kinds, label)]
    if not kept:
        return list(ranked)
    return [one for one in ranked if one.margin > 0 or not _wrong(one, kinds, label)]


def _wrong(one: Ranked, kinds: Kinds, label: str) -> bool:
    own = kinds.get(one.image_hash)
    return bool(own) and not any(close(label, other) for other in own or ())


def sunk(ranked: Sequence[Ranked], kinds: Kinds, label: str) -> list[Ranked]:
    """In order again, those of another kind SINK farther down. Nothing changes without a label."""
    if not label:
        return list(ranked)

    def key(one: Ranked) -> float:
        return (SINK if _wrong(one, kinds, label) else 0.0) - one.similarity

    return sorted(ranked, key=key)
