"""The report's words by name: what a rule, an input, a figure, a failure is called for people.

Words that stand in one place only are written there. All are translated by `lensback.speech`;
`**x**` is strong, and what stands between backticks is code.
"""

from __future__ import annotations

from dataclasses import dataclass

from lensback import questions
from lensback.evaluate.usage import ALARM, FINE, TOO_FEW
from lensback.speech import N_


@dataclass(frozen=True, slots=True)
class Explained:
    """A figure in words, with the formula it is computed by and where that is from."""

    words: str
    formula: str
    source: str = ""


SECTIONS = {
    "verdict": N_("The verdict"),
    "hundred": N_("Of 100 shoppers"),
    "money": N_("In money"),
    "rules": N_("How the verdict came about"),
    "where": N_("Where it is weak"),
    "failures": N_("Ten failures"),
    "help": N_("What would help"),
    "live": N_("Live use"),
    "method": N_("Every figure, and how it was computed"),
    "inputs": N_("What the money rests on"),
}
"""Section of the page -> its head."""
ORIGINS = {
    "measured": N_("measured here"),
    "given": N_("given by you"),
    "assumed": N_("assumed by us"),
}
"""Where an input comes from."""
VERDICTS = {
    "use": (
        N_("Use it"),
        N_(
            "Every line that we drew before looking was passed, with the whole range of doubt on the good side."
        ),
    ),
    "limits": (
        N_("Use it, with limits"),
        N_(
            "It does more good than harm, but not everywhere and not for every promise. The limits below say where."
        ),
    ),
    "refuse": (
        N_("Do not use it"),
        N_(
            "On these photos it does more harm than good. Machine learning is not the answer here as it stands: a text search, a category list, or nothing at all would serve your shoppers better."
        ),
    ),
    "unknown": (
        N_("Not known yet"),
        N_(
            "There are too few cases to decide honestly, or the figures cannot be trusted. We say so instead of guessing."
        ),
    ),
}
DECIDED = {
    "found": N_("the very thing was on the first screen for {figure}."),
    "misled": N_(
        "of those who photographed something that nobody sells, {figure} were told that something else is “exactly it”."
    ),
    "wrong_exact": N_("of what was called “exactly it”, {figure} was wrong."),
    "real_photos": N_(
        "{figure} of the photos were taken by people; the others are pictures of stores, which are easier."
    ),
    "promise": N_("the promise about “exactly it” is not certified for this catalogue."),
}
"""Rule -> what it says where it decided the verdict."""
MORE = {
    "found": N_(
        "{n} more of things that your stores sell, by real shoppers, with the right offer noted;"
    ),
    "misled": N_("{n} more of things that your stores do not sell;"),
    "wrong_exact": N_("{n} more that were called “exactly it”, checked by a person;"),
}
LINES = {
    "right_clicks": (
        N_("clicks on the very thing"),
        N_(
            "searches × share for things that are sold × (found first × clicks when first + further down × clicks when further down)"
        ),
    ),
    "other_clicks": (
        N_("clicks on something else"),
        N_(
            "searches that show look-alikes × clicks on look-alikes, and misled people × clicks when first"
        ),
    ),
    "clicks": (N_("clicks in all"), N_("the two above together, or the clicks that were counted")),
    "orders": (
        N_("orders"),
        N_(
            "clicks on the very thing × orders after them + other clicks × orders after those; or the orders that were counted"
        ),
    ),
    "misled_people": (
        N_("people misled"),
        N_("searches × share for things that nobody sells × share misled"),
    ),
    "commission": (
        N_("commission that networks pay"),
        N_("orders × (1 − declined) × value of an order × commission rate"),
    ),
    "cashback": (
        N_("cashback that goes to shoppers"),
        N_("commission × the share that goes on to the shopper"),
    ),
    "machine": (
        N_("cost of the machine"),
        N_("1,000 × seconds a search × price of a machine hour"),
    ),
    "misled_loss": (N_("cost of misled shoppers"), N_("people misled × cost of one")),
    "stays": (
        N_("**stays with you**"),
        N_("commission − cashback − machine − cost of misled shoppers"),
    ),
}
INPUTS = {
    "first": N_("found first, of things that are sold"),
    "lower": N_("of the others: further down the first screen"),
    "empty_sold": N_("of the rest: told that nothing was found"),
    "misled": N_("misled, of things nobody sells"),
    "told": N_("of the others: told that nothing was found"),
    "clicked": N_("searches that led to a store"),
    "ordered": N_("searches with a click that led to an order"),
    "declined": N_("orders that pay nothing (returned, declined)"),
    "order_value": N_("value of an order"),
    "commission_rate": N_("commission, of the order's value"),
    "search_s": N_("seconds of machine time a search"),
    "sold": N_("of all photographed things, sold by a connected store"),
    "click_first": N_("go to the store when the thing stands first"),
    "click_lower": N_("go to the store when it stands further down"),
    "click_alike": N_("go to the store when only look-alikes are shown"),
    "order_right": N_("order after a click on the very thing"),
    "order_alike": N_("order after a click on something else"),
    "cashback_share": N_("of the commission, passed on as cashback"),
    "machine_hour": N_("price of a machine hour"),
    "misled_cost": N_("cost of one misled shopper"),
}
WHYS = {
    "sold": N_(
        "A guess: it depends on your stores. Ask a hundred shoppers, or count a hundred searches by hand."
    ),
    "click_first": N_(
        "A guess, wide on purpose: no public figure for photo search with cashback is known to us. Counted by itself once clicks are recorded."
    ),
    "click_lower": N_("A guess, below the one above: what stands lower is clicked less."),
    "click_alike": N_("A guess: a look-alike answers another question."),
    "order_right": N_("A guess from the usual few orders in a hundred visits of online stores."),
    "order_alike": N_("A guess: a third of the above."),
    "commission_rate": N_(
        "A guess from the usual range of affiliate programs for clothes. Your contracts say it exactly."
    ),
    "declined": N_("A guess: clothes are returned often. Your network's report says it."),
    "cashback_share": N_(
        "A guess: cashback services usually pass on most of the commission. You know it."
    ),
    "order_value": N_(
        "From the prices of your catalogue, the middle half. What people buy may cost less."
    ),
    "machine_hour": N_("List prices of small machines at large clouds."),
}
RULES = {
    "leak": N_("No test photo is itself in the catalogue"),
    "real_photos": N_("The photos were taken by people (at least half)"),
    "found": N_("The very thing is on the first screen"),
    "misled": N_("Misled, of those who photograph what nobody sells"),
    "wrong_exact": N_("Wrong, of what is called “exactly it”"),
    "slow_s": N_("95 of 100 answers come within"),
    "promise": N_("The promise about “exactly it” holds"),
    "money": N_("Something stays after cashback and machine"),
}
STATES = {
    "passed": N_("passed"),
    "limited": N_("with limits"),
    "failed": N_("failed"),
    "open": N_("not known"),
}
PARTS = {
    "category": N_("By category"),
    "store": N_("By store"),
    "kind": N_("By kind of photo"),
    "price": N_("By price"),
}
PHOTO_KINDS = {
    "held-out view": N_("another picture by the store"),
    "held-out product": N_("a picture by the store; the product was taken out"),
    "street": N_("a street photo"),
    "phone": N_("a phone photo"),
    "shopper": N_("a shopper's photo"),
}
ERRORS = {
    questions.MISSED: N_("told that nothing was found, though it is sold"),
    questions.WRONG_COLOUR: N_("the right thing in a wrong colour"),
    questions.WRONG_PRODUCT: N_("another thing came first"),
    questions.UNDETECTED: N_("the wrong part of the photo was searched"),
    questions.MISLED: N_("called “exactly it”, though nobody sells it"),
    questions.LOOKALIKES: N_("look-alikes shown where “nothing found” would be honest"),
    questions.UNREADABLE: N_("the photo could not be read"),
    "right": N_("right"),
}
HELP = {
    questions.WRONG_PRODUCT: N_(
        "**{n}: another thing came first.** More pictures of each product from the stores help most; next, an encoder trained on your own catalogue (`lensback train`)."
    ),
    questions.WRONG_COLOUR: N_(
        "**{n}: the right thing in a wrong colour.** Ask the stores for a picture of every colour, and for the colour in the feed."
    ),
    questions.UNDETECTED: N_(
        "**{n}: the wrong part was searched.** Let shoppers draw a box, or use a detector trained on clothes."
    ),
    questions.MISSED: N_(
        "**{n}: nothing was shown though the thing is sold.** Fit the probabilities anew on more views (`lensback calibrate`)."
    ),
    questions.MISLED: N_(
        "**{n}: something was called exact that is not.** Certify the threshold (`lensback promise`), and raise `exact_precision` until then."
    ),
    questions.LOOKALIKES: N_(
        "**{n}: look-alikes were shown where nobody sells the thing.** That misleads nobody, but it is noise; a better encoder tells them apart."
    ),
    questions.UNREADABLE: N_(
        "**{n} could not be read.** Look at them: a new format, or broken uploads?"
    ),
}
NOTES = {
    "whole_pictures": N_(
        "Whole pictures were searched, without the detector and the filter of the service: this measures the encoder, not the service."
    ),
    "fitted_on_gallery": N_(
        "Match probabilities were fitted on the gallery's own pictures, mostly distorted copies of them, which makes them too sure of themselves."
    ),
    "trained_on_these": N_(
        "The encoder was trained on pictures of these very products, the test photos among them: its figures here are too good."
    ),
    "studio_views": N_(
        "The photos are other studio pictures of the same shoot, not photos by shoppers: real ones are harder."
    ),
    "off_sale": N_("{value} test photos were left out: their offers are not on sale any more."),
}
WATCHED = {
    "promise": N_("A certified promise stands behind what is called exact"),
    "votes": N_("Shoppers' votes on what was called exact: share of “no”"),
    "probabilities": N_(
        "Match probabilities look as on the calibration (index of change, alarm from 0.25)"
    ),
    "photos": N_(
        "Shapes of photos look like the catalogue's pictures (index of change, alarm from 0.25)"
    ),
}
STATES_OF_WATCH = {
    FINE: N_("fine"),
    ALARM: N_("alarm"),
    TOO_FEW: N_("too few to say"),
}
FIGURES = {
    "recall_at_1": Explained(
        N_("Share of photos of sold things whose very product stands first."),
        "|{q : rank(q) ≤ 1}| / |Q|",
        "Gray, Brennan, Tao 2007 (CMC)",
    ),
    "recall_at_5": Explained(
        N_("… stands among the first five."),
        "|{q : rank(q) ≤ 5}| / |Q|",
        "Gray, Brennan, Tao 2007 (CMC)",
    ),
    "recall_at_10": Explained(
        N_("… among the first ten."), "|{q : rank(q) ≤ 10}| / |Q|", "Gray, Brennan, Tao 2007 (CMC)"
    ),
    "recall_at_20": Explained(
        N_("… among the first twenty."),
        "|{q : rank(q) ≤ 20}| / |Q|",
        "Gray, Brennan, Tao 2007 (CMC)",
    ),
    "mean_average_precision": Explained(
        N_("How high the right pictures stand, averaged: 1 is all on top."),
        "mean over q of (1/R) Σ i / rᵢ",
        "Buckley, Voorhees 2000",
    ),
    "mrr": Explained(
        N_(
            "Mean of one over the place of the right product: first is 1, second a half, not shown 0."
        ),
        "mean of 1 / rank(q)",
        "Voorhees 1999 (TREC-8)",
    ),
    "detected": Explained(
        N_("Share of photos where the part that was searched overlaps the thing by half at least."),
        "|{q : IoU(q) ≥ 0.5}| / |Q|",
        "Ge et al. 2019 (DeepFashion2)",
    ),
    "exact_precision": Explained(
        N_("Of the answers called exact, share that is right."), "right exact / exact"
    ),
    "exact_right_share": Explained(
        N_("Of the photos of sold things, share that is called exact and rightly so."),
        "right exact / sold",
    ),
    "wrong_colour_first": Explained(
        N_(
            "Of the photos of sold things, share where the right thing in a wrong colour stands first."
        ),
        "|{q : first is another colour}| / |Q|",
    ),
    "wrong_colour_exact": Explained(
        N_("Of the answers called exact, share that is the right thing in a wrong colour."),
        "exact of another colour / exact",
    ),
    "false_none": Explained(
        N_("Of the photos of sold things, share that is told “nothing found”."),
        "none, sold / sold",
        "ISO/IEC 19795-1 (FNIR)",
    ),
    "honest_none": Explained(
        N_("Of the photos of things that nobody sells, share that is told “nothing found”."),
        "none, not sold / not sold",
    ),
    "false_exact": Explained(
        N_("Of the photos of things that nobody sells, share where something is called exact."),
        "exact, not sold / not sold",
        "ISO/IEC 19795-1 (FPIR)",
    ),
    "tpir_at_fpir_1": Explained(
        N_(
            "Share found first, if the service spoke only when so sure that 1 of 100 strangers gets an answer."
        ),
        "TPIR(t), t lowest with FPIR(t) ≤ 0.01",
        "ISO/IEC 19795-1",
    ),
    "tpir_at_fpir_5": Explained(
        N_("The same at 5 of 100 strangers."),
        "TPIR(t), t lowest with FPIR(t) ≤ 0.05",
        "ISO/IEC 19795-1",
    ),
    "auroc": Explained(
        N_(
            "Chance that a photo of a sold thing scores above one of a thing nobody sells; a half is chance."
        ),
        "P(s⁺ > s⁻) + ½ P(s⁺ = s⁻)",
        "Mann, Whitney 1947; Bamber 1975",
    ),
    "aurc": Explained(
        N_(
            "Mean share of wrong answers over all levels of “answer only when sure”; lower is better."
        ),
        "(1/n) Σ risk(i surest)",
        "Geifman, Uziel, El-Yaniv 2019",
    ),
    "ece": Explained(
        N_("Mean gap between stated probability and truth; 0 is best."),
        "Σ (n_b / n) |observed_b − predicted_b|, 10 bars",
        "Naeini, Cooper, Hauskrecht 2015",
    ),
    "time_p50": Explained(N_("Half of the answers come within."), "median"),
    "time_p95": Explained(N_("95 of 100 answers come within."), "0.95 quantile"),
}
