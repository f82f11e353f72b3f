"""The verdict of an answer in words: the same on the page and in the bot."""

from __future__ import annotations

from lensback.speech import N_

HEADLINES = {
    "exact": N_("This very product"),
    "similar": N_("Looks like it"),
    "none": N_("We did not find it"),
}
CLOSEST = N_("None of these is surely the very product. The closest come first.")
