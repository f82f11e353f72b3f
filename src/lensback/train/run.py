"""One training from pictures to model folder: features once, the fit, the steps, the export.

Only `lensback.train` opens this file: it imports torch.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lensback.counted import counted
from lensback.encoders import Encoder
from lensback.encoders.onnx import OnnxEncoder
from lensback.encoders.preprocess import to_batch
from lensback.errors import ConfigError, DataError
from lensback.log import event
from lensback.questions import COPIES, VIEWS, Outcome
from lensback.train.chunks import BATCH, CHUNK, kept, key_of, seen_by
from lensback.train.data import Bond, Example, Pile, Rows, fold_of, load, views
from lensback.train.export import export, read_weights
from lensback.train.fit import Floats, Map, Recipe, fit, unit
from lensback.train.loop import Course, Samples, tune
from lensback.train.model import DIM, PARTS, Eye, Features, Head
from lensback.train.odds import calibration, cases
from lensback.train.records import write_records
from lensback.train.validate import Score, score

WIDTH = sum(part.width for part in PARTS)
MANY_COPIES = 4
FEATURE_SHARE = 0.7
"""Of the minutes given, what the features may take before copies are left out."""
TIMID_BELOW = 500
"""With fewer pictures the standardisation of the start is kept."""

Watch = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What `train` did. Values are the mean of R@1 and R@5 over held-out products' other views."""

    folder: Path
    pictures: int
    products: int
    several: int
    """Products with more than one picture."""
    queries: int
    before: float
    """The encoder that the training started from."""
    fitted: float
    after: float
    """The one that was written."""
    kept: str
    """`start`, `fit` or `steps`: which of them was the best, and so was written."""
    teacher: str
    steps: int
    parity: float
    seconds: float
    calibrated_on: int
    """Cases of the match probability that was written beside; 0: too few, none was."""
    validations: list[tuple[int, float, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Figures and folder by name, as `train --json` prints them."""
        return asdict(self) | {"folder": str(self.folder)}


def run(
    examples: Sequence[Example],
    open_image: Callable[[str], Image.Image],
    out: Path,
    *,
    start: Path,
    work: Path,
    recipe: Recipe,
    device: str = "cpu",
    minutes: float = 0,
    threads: int = 1,
    licence: str = "",
    teacher: Encoder | None = None,
    watch: Watch = lambda *_: None,
) -> Trained:
    """Trains an encoder on examples and writes it to `out`; see `lensback.train.train`."""
    if out.exists():
        raise ConfigError(f"{out} is there already", hint="name another folder, or remove it")
    begin = time.monotonic()
    torch.set_num_threads(max(1, threads))
    work.mkdir(parents=True, exist_ok=True)
    eye = Eye(DIM)
    read_weights(eye, start / "model.onnx")
    shown, pile = load(
        examples,
        open_image,
        lambda done, total: watch("decode", done, total),
        work / "pixels.npy",
    )
    hold_out(shown, recipe)  # refuses before the long part
    until = begin + minutes * 60 * FEATURE_SHARE if minutes else float("inf")
    raw, picture = features(shown, pile, eye.features, work, recipe, until, threads, watch)
    theirs = seen_by(teacher, shown, pile, work, watch) if teacher else None

    def keep_going(step: int) -> bool:
        watch("steps", step, recipe.steps)
        return not minutes or time.monotonic() - begin < minutes * 60

    material = Material(raw, picture, shown, theirs)
    choice = choose(material, eye.head, recipe, work, device, keep_going)
    if choice.head is not None:
        eye.head = choice.head
    source = f"trained by lensback on {counted(len(shown), 'picture')}, from {start.name}"
    part = out.with_name(f".{out.name}.part")
    parity = export(eye, part, dim=DIM, licence=licence, source=source)
    counts = views(shown)
    odds = calibration(choice.cases, kind=f"{VIEWS} and {COPIES}", images=len(shown))
    done = Trained(
        folder=out,
        pictures=len(shown),
        products=len(counts),
        several=sum(len(rows) > 1 for rows in counts.values()),
        queries=choice.queries,
        before=choice.before,
        fitted=choice.course.start,
        after=choice.after,
        kept=choice.kept,
        teacher=teacher.name if teacher else "",
        steps=choice.course.steps,
        parity=parity,
        seconds=round(time.monotonic() - begin, 1),
        calibrated_on=odds.cases if odds else 0,
        validations=choice.course.validations,
        losses=choice.course.losses,
    )
    learnt = [shown[row].key for row in choice.learnt]
    write_records(part, done.as_json() | {"recipe": asdict(recipe)}, learnt, odds)
    part.replace(out)
    event("train.done", pictures=done.pictures, before=done.before, after=done.after)
    return done


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that is learnt from and chosen by."""

    raw: Floats
    picture: Rows
    examples: list[Example]
    teacher: Floats | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The head that was kept, and the questions that chose it."""

    head: Head | None
    """None: the start was not beaten."""
    kept: str
    queries: int
    before: float
    after: float
    course: Course
    learnt: Rows
    """Pictures that what is written has learnt from, beyond what the start knew."""
    cases: list[Outcome]


def choose(
    material: Material,
    before: Head,
    recipe: Recipe,
    work: Path,
    device: str,
    keep_going: Callable[[int], bool],
) -> Choice:
    """The best of the start, the fit and the trained steps, by held-out families."""
    raw, picture, examples = material.raw, material.picture, material.examples
    learn, held = hold_out(examples, recipe)
    head = standardised(raw, picture, learn, before)
    samples = Samples(joined(head, raw), picture, examples, learn, material.teacher)
    bond, gallery = Bond.of(examples), np.arange(len(examples))
    originals = originals_of(samples)

    def judged(vectors: Floats) -> Score:
        return score(vectors, bond, held, gallery)

    first = fitted(samples, recipe)
    taught = "" if material.teacher is None else sha256(material.teacher.tobytes()).hexdigest()
    settings = f"{asdict(recipe)} {taught}"
    course = tune(
        samples,
        first,
        recipe,
        lambda candidate: judged(candidate.apply(originals)),
        checkpoint=work / f"steps-{key_of(examples, f'{PARTS} {settings}')}.pt",
        device=device,
        keep_going=keep_going,
    )
    known = vectors_of(before, raw)
    shipped = judged(known[firsts(picture, len(examples))])
    chosen = course.best > shipped.value
    vectors = course.map.apply(samples.z) if chosen else known
    asked = questions(vectors, picture, bond, held)
    choice = Choice(
        None, "start", len(shipped.ranks), shipped.value, shipped.value, course, learn[:0], asked
    )
    if not chosen:
        return choice
    last, name = course.map, "fit" if course.map is first else "steps"
    if recipe.everything and name == "fit":
        learn = gallery
        last = fitted(replace(samples, learn=learn), recipe)
    put(head, last)
    return replace(choice, head=head, kept=name, after=course.best, learnt=learn)


def questions(vectors: Floats, picture: Rows, bond: Bond, held_out: Rows) -> list[Outcome]:
    """What the match probability is fitted on: held-out pictures, and their first copies."""
    first = firsts(picture, len(bond.product))
    originals = vectors[first]
    copy = {int(picture[row]): row for row in range(len(picture) - 1, len(first) - 1, -1)}
    copied = np.array([row for row in held_out.tolist() if row in copy], np.int64)
    asked = cases(originals[held_out], held_out, originals, bond, views=True)
    if len(copied):
        rows = [copy[row] for row in copied.tolist()]
        asked += cases(vectors[rows], copied, originals, bond, views=False)
    return asked


def hold_out(examples: Sequence[Example], recipe: Recipe) -> tuple[Rows, Rows]:
    """The split by the first fold that leaves both sides something to do. Raises DataError."""
    folds = np.array([fold_of(e.family, recipe.held_out) for e in examples], np.int64)
    for fold in range(recipe.held_out - 1):
        with contextlib.suppress(DataError):
            return split(examples, folds, fold)
    return split(examples, folds, recipe.held_out - 1)


def split(examples: Sequence[Example], folds: Rows, fold: int = 0) -> tuple[Rows, Rows]:
    """Rows to learn from, and held-out rows that have another view. Raises DataError where
    either has no product with two pictures."""
    counts = views(examples)
    several = np.array([len(counts[e.product]) > 1 for e in examples], bool)
    learn, held = np.flatnonzero(folds != fold), np.flatnonzero((folds == fold) & several)
    if not len(held) or not several[learn].any():
        raise DataError(
            f"only {counted(int(several.sum()), 'picture')} with another view of the same thing",
            hint="sync stores whose feeds have additional images",
        )
    return learn, held


def features(
    examples: Sequence[Example],
    pile: Pile,
    network: Features,
    work: Path,
    recipe: Recipe,
    until: float,
    threads: int,
    watch: Watch,
) -> tuple[Floats, Rows]:
    """Features [m, width] of every picture and its copies, and the picture [m] each shows.

    All pictures come first, in order. Written in chunks as they are made; a second run with the
    same pictures takes up where the first was killed. After `until` only copies are left out.
    """
    # What the parts weigh is no part of it: features are made once, and joined in many ways.
    key = key_of(examples, f"{[(part.name, part.width) for part in PARTS]} {recipe.copies}")
    export(network, work / "features", dim=WIDTH, licence="", source="the frozen part")
    encoder = OnnxEncoder("features", work / "features", threads=threads)
    todo = jobs(examples, recipe)
    grounds = list(range(len(examples)))
    found: list[Floats] = []
    for at in range(0, len(todo), CHUNK):
        part = todo[at : at + CHUNK]
        path = work / f"features-{key}-{at:07d}.npy"
        if at >= len(examples) and not path.is_file() and time.monotonic() > until:
            todo = todo[:at]
            break

        def make(part: list[tuple[int, int]] = part) -> Floats:
            return _features(encoder, pile, part, grounds)

        found.append(kept(path, make))
        watch("features", min(at + CHUNK, len(todo)), len(todo))
    return np.concatenate(found), np.array([row for row, _ in todo], np.int64)


def _features(
    encoder: OnnxEncoder, pile: Pile, part: Sequence[tuple[int, int]], grounds: list[int]
) -> Floats:
    made = []
    for at in range(0, len(part), BATCH):
        images = [pile.copy(row, number, grounds) for row, number in part[at : at + BATCH]]
        made.append(encoder.features(to_batch(images, encoder.description)))
    return np.concatenate(made)


def jobs(examples: Sequence[Example], recipe: Recipe) -> list[tuple[int, int]]:
    """(row, number of copy), number 0 being the picture itself: all pictures, then the copies."""
    counts = views(examples)
    several = [row for row, e in enumerate(examples) if len(counts[e.product]) > 1]
    everyone = range(len(examples))
    todo = [(row, 0) for row in everyone]
    for number in range(1, recipe.copies + 1):
        todo += [(row, number) for row in everyone]
    for number in range(recipe.copies + 1, MANY_COPIES * recipe.copies + 1):
        todo += [(row, number) for row in several]
    return todo


def standardised(raw: Floats, picture: Rows, learn: Rows, before: Head) -> Head:
    """A head with shift and scale of the pictures to learn from, and no map yet."""
    head = Head(DIM)
    with torch.no_grad():
        head.shift.copy_(before.shift)
        head.scale.copy_(before.scale)
    if len(learn) < TIMID_BELOW:
        return head
    base = raw[firsts(picture, int(picture.max()) + 1)][learn]
    mean, spread = base.mean(axis=0), base.std(axis=0) + 1e-6
    flat = np.repeat([not part.standardised for part in PARTS], [part.width for part in PARTS])
    with torch.no_grad():
        head.shift.copy_(torch.from_numpy(np.where(flat, 0, mean).astype(np.float32)))
        head.scale.copy_(torch.from_numpy(np.where(flat, 1, 1 / spread).astype(np.float32)))
    return head


def fitted(samples: Samples, recipe: Recipe) -> Map:
    """The fit on what may be learnt from."""
    originals = originals_of(samples)
    place = np.full(len(samples.examples), -1)
    place[samples.learn] = np.arange(len(samples.learn))
    classes: dict[str, list[int]] = {}
    for row in samples.learn.tolist():
        classes.setdefault(samples.examples[row].product, []).append(int(place[row]))
    extra = np.arange(len(samples.z)) != firsts(samples.picture, len(place))[samples.picture]
    extra &= place[samples.picture] >= 0
    return fit(
        originals[samples.learn],
        list(classes.values()),
        samples.z[extra],
        place[samples.picture[extra]],
        recipe,
        DIM,
    )


def firsts(picture: Rows, count: int) -> Rows:
    """[count]: the first row of each picture, which is the picture itself."""
    return np.unique(picture, return_index=True)[1][:count].astype(np.int64)


def originals_of(samples: Samples) -> Floats:
    """The undistorted vector of each example's picture: float32 [n, dim]."""
    return samples.z[firsts(samples.picture, len(samples.examples))]


def joined(head: Head, raw: Floats) -> Floats:
    """What the head's linear map sees: [n, width] of unit length."""
    with torch.no_grad():
        return np.asarray(head.joined(torch.from_numpy(raw)).numpy(), np.float32)


def vectors_of(head: Head, raw: Floats) -> Floats:
    """Unit vectors that the head makes of the trunk's: float32 [n, dim]."""
    with torch.no_grad():
        return unit(head(torch.from_numpy(raw)).numpy())


def put(head: Head, map_: Map) -> None:
    """The map becomes the head's linear layer."""
    weight, bias = map_.matrix()
    with torch.no_grad():
        head.project.weight.copy_(torch.from_numpy(weight))
        head.project.bias.copy_(torch.from_numpy(bias))
