"""Does gentle fine-tuning of the eye's last blocks help? `python bench/eye_trunk.py --work DIR`.

The pictures, families and judging of bench/train_eye.py. Blocks 13 to 16 and the last layer learn by
contrast (InfoNCE) of real other views, and of pictures and their copies, against the batch and all
other pictures as the frozen trunk sees them, through the fitted head and with colour beside, at a
low rate and with a penalty on drift of what they give; the weights are averaged, and interpolated with those they started from (WiSE-FT, Wortsman et al. 2022). Then
everything is standardised and the head fitted anew, as in the recipe. Two splits, neither of which
chooses anything: all sources but luma are learnt from (a new shop), or three families of five. The
frozen trunk is judged on the same split: gains are paired. Maps after block 12 are made once.
"""

from __future__ import annotations

import argparse
import colorsys
import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from lensback.encoders.description import Description
from lensback.encoders.preprocess import to_batch
from lensback.train import Recipe, run
from lensback.train.data import Bond, Example, Pile, Rows, fold_of, load, views
from lensback.train.fit import Floats, Map
from lensback.train.loop import Samples
from lensback.train.model import (
    SIDE_PX,
    Eye,
    Features,
    Head,
    pooled,
    read_imagenet,
)
from lensback.train.validate import Score, paired, score
from record import DATA, write
from train_eye import FOLDS, examples, open_image

FROM = 13
TURNED = slice(160, 1920)
"""Features that the tail makes: block 15 (160), block 16 (320), last (1280)."""
BATCH, STEPS, TEMPERATURE, AVERAGE = 32, 200, 0.1, 0.98
SHOWN = Description(
    size=(SIDE_PX, SIDE_PX), resize="letterbox", interpolation="bicubic",
    mean=(0, 0, 0), std=(1, 1, 1), dim=1, licence="", source="",
)  # fmt: skip
MIXES = (0.5, 1.0)
"""How far from the start towards what was learnt."""
VARIANTS: dict[str, dict[str, Any]] = {
    "rate 3e-5, drift 3": {"rate": 3e-5, "drift": 3.0},
    "rate 1e-4, drift 3": {"rate": 1e-4, "drift": 3.0},
    "rate 1e-4, drift 3, recoloured negatives": {"rate": 1e-4, "drift": 3.0, "recoloured": True},
}


class Tail(nn.Module):
    """Maps after block 12 and the foreground on them -> features [n, 1760]."""

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.blocks = copy.deepcopy(features.trunk.blocks[FROM:])
        self.last = copy.deepcopy(features.trunk.last)

    def forward(self, maps: Tensor, foreground: Tensor) -> Tensor:
        seen = []
        for block in self.blocks:
            maps = block(maps)
            seen.append(maps)
        last = functional.relu(self.last(maps)).mean(dim=(2, 3))
        parts = [pooled(seen[-2], foreground), seen[-1].mean(dim=(2, 3)), (last + 1e-6).sqrt()]
        return torch.cat(parts, dim=1)


class Maps:
    """What the tail is given, for each row of features: a file, made once."""

    def __init__(
        self, features: Features, pile: Pile, todo: list[tuple[int, int]], path: Path
    ) -> None:
        files = [path / name for name in ("m12.npy", "fg.npy")]
        if not all(file.is_file() for file in files):
            partial = [file.with_suffix(".part") for file in files]
            self._fill(features, pile, todo, partial)
            for part, file in zip(partial, files, strict=True):
                part.replace(file)
        self.maps, self.foreground = (np.load(file, mmap_mode="r") for file in files)

    @staticmethod
    def _fill(
        features: Features, pile: Pile, todo: list[tuple[int, int]], files: list[Path]
    ) -> None:
        grounds = list(range(len(pile.pixels)))
        shapes = ((96, 14, 14), (1, 14, 14))
        made = [
            np.lib.format.open_memmap(file, "w+", np.float16, (len(todo), *shape))
            for file, shape in zip(files, shapes, strict=True)
        ]
        for at in range(0, len(todo), 16):
            shown = [pile.copy(row, number, grounds) for row, number in todo[at : at + 16]]
            with torch.no_grad():
                both = first_maps(features, torch.from_numpy(to_batch(shown, SHOWN)))
            for file, part in zip(made, both, strict=True):
                file[at : at + 16] = part
        for file in made:
            file.flush()

    def batch(self, rows: Rows) -> tuple[Tensor, Tensor]:
        m, f = (
            torch.from_numpy(part[rows].astype(np.float32)) for part in (self.maps, self.foreground)
        )
        return m, f


def first_maps(features: Features, image: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures -> the maps after block 12 and the foreground at their size."""
    x = (image - features.mean) / features.std
    x = functional.relu(features.trunk.first(x))
    for block in features.trunk.blocks[:FROM]:
        x = block(x)
    foreground = features.colour(image)[1]
    return x, functional.avg_pool2d(foreground, foreground.shape[2] // x.shape[2])


def turned(tail: Tail, maps: Maps, count: int) -> Floats:
    tail.eval()
    found = []
    for at in range(0, count, 64):
        with torch.no_grad():
            found.append(tail(*maps.batch(np.arange(at, min(at + 64, count)))).numpy())
    return np.concatenate(found)


def recoloured(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The foreground in another hue and lightness; light and texture stay."""
    from lensback.train.photos import FLAT

    edge = np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]), axis=0)
    apart = (np.abs(pixels.astype(np.int16) - edge).max(axis=2) > FLAT)[:, :, None]
    tone = np.array(
        colorsys.hsv_to_rgb(random.random(), random.uniform(0.2, 0.9), random.uniform(0.2, 0.95))
    )
    light = pixels.astype(np.float32).mean(axis=2, keepdims=True)
    relief = np.clip(
        light / max(20.0, float(np.median(light[apart[:, :, 0]])) if apart.any() else 128.0),
        0.4,
        1.6,
    )
    return np.where(apart, np.clip(tone * 255 * relief, 0, 255), pixels).astype(np.uint8)


class Turned:
    """Recoloured variants of pictures that have another view: hard negatives of themselves."""

    def __init__(self, features: Features, kept: list[Example], pile: Pile) -> None:
        counts, random = views(kept), np.random.default_rng(0)
        self.place: dict[int, int] = {}
        maps, foregrounds, raw = [], [], []
        rows = [row for row, e in enumerate(kept) if len(counts[e.product]) > 1]
        for at in range(0, len(rows), 16):
            shown = []
            for row in rows[at : at + 16]:
                self.place[row] = len(self.place)
                shown.append(Image.fromarray(recoloured(np.asarray(pile.get(row)), random)))
            image = torch.from_numpy(to_batch(shown, SHOWN))
            with torch.no_grad():
                m, f = first_maps(features, image)
                raw.append(features(image))
            maps.append(m)
            foregrounds.append(f)
        self.maps, self.foreground, self.raw = (
            torch.cat(part) for part in (maps, foregrounds, raw)
        )


def vectors(head: Head, linear: tuple[Tensor, Tensor], raw: Tensor, made: Tensor) -> Tensor:
    whole = torch.cat([raw[:, : TURNED.start], made, raw[:, TURNED.stop :]], dim=1)
    weight, bias = linear
    return functional.normalize(head.joined(whole) @ weight.T + bias, dim=1)


def learnt(
    start: Tail, maps: Maps, raw: Floats, picture: Rows, kept: list[Example], learn: Rows,
    head: Head, fitted: Map, variant: dict[str, Any], hard: Turned | None, seed: int = 0,
) -> tuple[Tail, list[float]]:  # fmt: skip
    """The tail after its steps, averaged."""
    tail, average = copy.deepcopy(start), copy.deepcopy(start)
    optimiser = torch.optim.AdamW(tail.parameters(), variant["rate"], weight_decay=1e-4)
    random = np.random.default_rng(seed)
    wanted = set(learn.tolist())
    groups = [rows for rows in views(kept).values() if len(rows) > 1 and set(rows) <= wanted]
    copies: dict[int, list[int]] = {}
    for row, of in enumerate(picture.tolist()):
        if row >= len(kept) and of in wanted:
            copies.setdefault(of, []).append(row)
    single, bond = sorted(copies), Bond.of(kept)
    weight, bias = fitted.matrix()
    linear = torch.from_numpy(weight), torch.from_numpy(bias)
    scale = torch.from_numpy(raw[learn][:, TURNED].std(axis=0) + 1e-3)
    with torch.no_grad():
        known = torch.from_numpy(raw[learn])
        memory = vectors(head, linear, known, known[:, TURNED])
    losses = []
    for step in range(STEPS):
        pairs: list[tuple[int, int]] = []
        for _ in range(BATCH):
            if not single or random.random() < 0.7:
                group = groups[int(random.integers(len(groups)))]
                one, other = random.permutation(len(group))[:2]
                pairs.append((group[one], group[other]))
            else:
                row = single[int(random.integers(len(single)))]
                pairs.append((row, copies[row][int(random.integers(len(copies[row])))]))
        rows = np.array(pairs).T.reshape(-1)
        given = torch.from_numpy(raw[rows])
        made = tail(*maps.batch(rows))
        v = vectors(head, linear, given, made)
        a, b = v[:BATCH], v[BATCH:]
        logits = a @ b.T / TEMPERATURE
        of = picture[rows]
        forbidden = torch.from_numpy(bond.forbidden(of[:BATCH], of[BATCH:]))
        logits = logits.masked_fill(forbidden & ~torch.eye(BATCH, dtype=torch.bool), -1e4)
        never = torch.from_numpy(bond.forbidden(of[:BATCH], learn))
        logits = torch.cat([logits, (a @ memory.T / TEMPERATURE).masked_fill(never, -1e4)], dim=1)
        if hard is not None:
            has = [at for at in range(BATCH) if int(of[at]) in hard.place]
            if has:
                at = torch.tensor([hard.place[int(of[i])] for i in has])
                w = vectors(head, linear, hard.raw[at], tail(hard.maps[at], hard.foreground[at]))
                column = torch.full((BATCH, 1), -1e4)
                column[has] = (a[has] * w).sum(dim=1, keepdim=True) / TEMPERATURE
                logits = torch.cat([logits, column], dim=1)
        value = functional.cross_entropy(logits, torch.arange(BATCH))
        drift = (((made - given[:, TURNED]) / scale) ** 2).mean()
        (value + variant["drift"] * drift).backward()
        optimiser.step()
        optimiser.zero_grad()
        with torch.no_grad():
            for mean, new in zip(average.parameters(), tail.parameters(), strict=True):
                mean.lerp_(new, 1 - min(AVERAGE, (step + 1) / (step + 10)))
        losses.append(value.item())
    return average, losses


def mixed(start: Tail, end: Tail, share: float) -> Tail:
    found = copy.deepcopy(start)
    with torch.no_grad():
        for value, goal in zip(found.parameters(), end.parameters(), strict=True):
            value.lerp_(goal, share)
    return found


def judged(
    raw: Floats, picture: Rows, kept: list[Example], learn: Rows, queries: Rows
) -> tuple[Score, Head, Map]:
    """Standardised, fitted on `learn`, searched with `queries` among all pictures."""
    head = run.standardised(raw, picture, learn, Head())
    z = run.joined(head, raw)
    fitted = run.fitted(Samples(z, picture, kept, learn), Recipe(steps=0))
    found = fitted.apply(z[run.firsts(picture, len(kept))])
    return score(found, Bond.of(kept), queries, np.arange(len(kept))), head, fitted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=DATA / "weights" / "mobilenetv2_bn_npy")
    parser.add_argument("--minutes", type=float, default=0, help="after which no copies are made")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    begin = time.monotonic()
    arguments.work.mkdir(parents=True, exist_ok=True)
    eye = Eye()
    read_imagenet(eye.features.trunk, arguments.weights)
    kept, pile = load(examples(), open_image)
    deadline = begin + 60 * arguments.minutes if arguments.minutes else float("inf")
    raw, picture = run.features(
        kept, pile, eye.features, arguments.work, Recipe(), deadline, 1, lambda *_: None
    )
    todo = run.jobs(kept, Recipe())[: len(raw)]
    maps = Maps(eye.features, pile, todo, arguments.work)
    start = Tail(eye.features)
    before = turned(start, maps, len(raw))
    print("parity of half precision", float(np.abs(before - raw[:, TURNED]).max()), flush=True)
    raw = np.concatenate([raw[:, : TURNED.start], before, raw[:, TURNED.stop :]], axis=1)
    hard = Turned(eye.features, kept, pile)
    source = np.array([e.product.partition(":")[0] for e in kept])
    folds = np.array([fold_of(e.family, FOLDS) for e in kept])
    counts = views(kept)
    several = np.array([len(counts[e.product]) > 1 for e in kept])
    luma = several & (source == "luma")
    splits = {
        "luma, unseen": (np.flatnonzero(source != "luma"), np.flatnonzero(luma)),
        "luma, two families of five held out": (
            np.flatnonzero(folds > 1), np.flatnonzero(luma & (folds <= 1)),
        ),
    }  # fmt: skip
    rows = []
    for split, (learn, queries) in splits.items():
        base, head, fitted = judged(raw, picture, kept, learn, queries)
        told: dict[str, Any] = {"split": split, "n": len(base.ranks)}
        rows.append(
            {**told, "variant": "frozen"} | {f"r{k}": round(base.recall(k), 4) for k in (1, 5)}
        )
        print(rows[-1], flush=True)
        for name in arguments.variants:
            variant = VARIANTS[name]
            with_colour = hard if variant.get("recoloured") else None
            tail, losses = learnt(
                start, maps, raw, picture, kept, learn, head, fitted, variant, with_colour
            )
            for share in MIXES:
                made = turned(mixed(start, tail, share), maps, len(raw))
                new = np.concatenate([raw[:, : TURNED.start], made, raw[:, TURNED.stop :]], axis=1)
                found, _, _ = judged(new, picture, kept, learn, queries)
                row = {**told, "variant": name, "mix": share}
                row |= {f"r{k}": round(found.recall(k), 4) for k in (1, 5)}
                row["gain"] = [[round(v, 3) for v in paired(base, found, k)] for k in (1, 5)]
                row["loss"] = [
                    round(float(np.mean(losses[c])), 3) for c in (slice(10), slice(-10, None))
                ]
                rows.append(row)
                print(row, round(time.monotonic() - begin), flush=True)
    write("eye_trunk", {"pictures": len(kept), "rows": len(raw), "steps": STEPS, "runs": rows})


if __name__ == "__main__":
    main()
