"""How every face says what was found: verdict, groups of hits, likelihood, stock. Page, shared answer,
widget and bot take their words from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lensback.speech import N_, Speech
from lensback.wire import Answer, Code, Hit

HEADLINES = {
    "exact": N_("This very product"),
    "similar": N_("Looks like it"),
    "none": N_("We did not find it"),
}
CLOSEST = N_("None of these is surely the very product. The closest come first.")
EXPLANATIONS = {
    "exact": N_("Compare the prices below and choose a store."),
    "similar": CLOSEST,
    "none": N_("Nothing in the connected stores looks enough like your photo."),
}
UNMEASURED = N_(
    "This catalogue has not been calibrated yet, so we do not claim to know which of these is "
    "the very product."
)
NOTHING_TO_SEARCH = N_(
    "We see no thing in this photo that could be searched. If there is one, draw a box around it."
)
TIPS = N_("Take the photo closer, with the thing in the middle and in daylight.")
"""What to do where nothing was found."""
LEFT_OUT_ALL = N_("What looks like your photo is sold, but your filters leave it out.")
AVAILABILITY = {
    "in_stock": N_("In stock"),
    "out_of_stock": N_("Sold out"),
    "preorder": N_("Pre-order"),
    "backorder": N_("Ships later"),
    "unknown": N_("Check at the store"),
}
NO_WAY = N_("This offer cannot be opened at the moment.")
"""In place of the way to a store, where there is none."""
LABELS = {
    "top": N_("top"),
    "outerwear": N_("outerwear"),
    "dress": N_("dress"),
    "trousers": N_("trousers"),
    "skirt": N_("skirt"),
    "shoes": N_("shoes"),
    "bag": N_("bag"),
    "hat": N_("hat"),
    "eyewear": N_("eyewear"),
    "belt": N_("belt"),
    "scarf": N_("scarf"),
    "jewellery": N_("jewellery"),
    "watch": N_("watch"),
    "whole": N_("the whole photo"),
    "given": N_("your box"),
}
"""Region labels in words."""
UNNAMED = N_("an item")
LIKELIHOOD = (
    (0.95, N_("Almost certainly the same")),
    (0.8, N_("Very likely the same")),
    (0.5, N_("Probably the same")),
    (0.2, N_("Possibly the same")),
    (0.0, N_("A look-alike")),
)
"""Match probability from which each is said, the largest first."""


@dataclass(frozen=True, slots=True)
class VerdictGroup:
    """Hits under one heading, a key of HEADLINES."""

    verdict: str
    hits: tuple[Hit, ...]


def groups(hits: Sequence[Hit]) -> tuple[VerdictGroup, ...]:
    """The very product before what looks like it, each in the order of the hits; empty ones are left
    out."""
    both = (
        VerdictGroup("exact", tuple(hit for hit in hits if hit.exact)),
        VerdictGroup("similar", tuple(hit for hit in hits if not hit.exact)),
    )
    return tuple(group for group in both if group.hits)


UNPICTURED = {
    "similar": N_("What your words find in the stores."),
    "none": N_("Nothing in the connected stores goes by these words."),
}
"""What stands under the headline where there was no photo."""


def explanation(answer: Answer) -> str:
    """The sentence under the headline (English; a face translates it)."""
    if answer.by == "words" and not answer.photo.width:
        return UNPICTURED[answer.verdict]
    if answer.nothing_to_search:
        return NOTHING_TO_SEARCH
    if answer.left_out:
        return LEFT_OUT_ALL
    if answer.verdict == "similar" and not answer.calibrated:
        return UNMEASURED
    return EXPLANATIONS[answer.verdict]


def likelihood(probability: float) -> str:
    """A match probability in plain words (English; a face translates them).

    >>> likelihood(0.97), likelihood(0.3)
    ('Almost certainly the same', 'Possibly the same')
    """
    return next((words for least, words in LIKELIHOOD if probability >= least), LIKELIHOOD[-1][1])


def sold_out(hit: Hit) -> bool:
    """Whether no store has it: every offer is out of stock, or cannot be reached."""
    return all(offer.gone for offer in hit.offers)


BY = {
    "barcode": N_("By the bar code in the photo."),
    "article": N_("By the article number in the photo."),
    "link": N_("By the store's page in the photo's square code."),
    "words": N_("By your words: nothing that looks like the photo goes by them."),
}
UNSOLD = N_("No connected store sells the thing with the bar code {number}.")
LEFT_OUT = N_("The thing with the bar code {number} is sold, but the filters leave it out.")
LEFT_OUT_PAGE = N_("The thing of the square code is sold, but the filters leave it out.")
SHARED = N_("Several things go by the bar code {number}: it does not say which of them this is.")
SHARED_PAGE = N_("Several things are sold on the page of the square code.")
LEFT_OUT_ARTICLE = N_(
    "The thing with the article number {number} is sold, but the filters leave it out."
)
SHARED_ARTICLE = N_(
    "Several things go by the article number {number}: it does not say which of them this is."
)
READ = N_("Read in the photo: {words}.")
UNLIKE = N_("The photo itself looks like something else.")


def reasons(answer: Answer, speech: Speech) -> tuple[str, ...]:
    """What codes and words in the photo have to do with the answer, a sentence each; none where there are
    none."""
    by = "" if answer.by == "words" and not answer.photo.width else answer.by
    said = [speech.say(BY[by])] if by in BY else []
    for code in answer.codes:
        words = _of_code(code)
        if words:
            said.append(speech.say(words, number=code.text))
    if any(code.looks_like_it is False and not code.ambiguous for code in answer.codes):
        said.append(speech.say(UNLIKE))
    if answer.read:
        said.append(speech.say(READ, words=", ".join(answer.read)))
    return tuple(said)


def _of_code(code: Code) -> str:
    if code.kind == "article":
        if code.state == "filtered":
            return LEFT_OUT_ARTICLE
        return SHARED_ARTICLE if code.ambiguous else ""
    if code.kind == "page":
        return LEFT_OUT_PAGE if code.state == "filtered" else SHARED_PAGE if code.ambiguous else ""
    if code.state == "not_sold":
        return UNSOLD
    return LEFT_OUT if code.state == "filtered" else SHARED if code.ambiguous else ""
