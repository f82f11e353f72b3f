"""The shipped encoder on a benchmark folder: `python bench/eye.py --models DIR [NAME ...]`.

R@1 and R@5 of the queries that have an answer, with 95 % Wilson intervals; the paired difference
from the last NAME (bootstrap over products, since queries of one product go together); how
well the top similarity tells right answers and answerable queries from queries whose product is not
in the gallery (area under the ROC curve); and processor time of one core per picture. For looking at once
per release: nothing may be chosen by it.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lensback.encoders import Encoder, open_encoder
from lensback.images import decode
from record import DATA, share, write

PAGE = 64
Named = list[tuple[Path, str]]
Floats = NDArray[np.float32]


def read(folder: Path, file: str) -> Named:
    with (folder / file).open(newline="", encoding="utf-8") as lines:
        return [(folder / "images" / row["image"], row["product"]) for row in csv.DictReader(lines)]


def opened(path: Path, side_px: int) -> Image.Image:
    return decode(path.read_bytes(), side_px=side_px)


def encode(encoder: Encoder, named: Named) -> Floats:
    parts = []
    for at in range(0, len(named), PAGE):
        images = [opened(path, encoder.side_px) for path, _ in named[at : at + PAGE]]
        parts.append(encoder.encode(images))
    return np.concatenate(parts)


def unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def ranks(
    gallery: Floats, names: list[str], queries: Floats, truth: list[str]
) -> NDArray[np.int64]:
    """Wrong pictures before the first right one, per query."""
    similar = queries @ gallery.T
    right = np.array([[name == wanted for name in names] for wanted in truth])
    best = np.where(right, similar, -2).max(axis=1, keepdims=True)
    return np.asarray(((similar > best) & ~right).sum(axis=1))


def auroc(positive: Floats, negative: Floats) -> dict[str, Any]:
    """Chance that a positive has the higher value, ties half; 95 % bootstrap interval."""

    def area(p: Floats, n: Floats) -> float:
        return float((p[:, None] > n[None]).mean() + 0.5 * (p[:, None] == n[None]).mean())

    random = np.random.default_rng(0)
    draws = [
        area(random.choice(positive, len(positive)), random.choice(negative, len(negative)))
        for _ in range(1000)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return {
        "auroc": round(area(positive, negative), 4),
        "interval95": [round(low, 3), round(high, 3)],
    }


def paired(a: NDArray[np.int64], b: NDArray[np.int64], k: int, truth: list[str]) -> list[float]:
    """R@k of a minus R@k of b, with its 95 % interval by bootstrap over products."""
    difference = (a < k).astype(float) - (b < k)
    products = sorted(set(truth))
    rows = [np.flatnonzero([name == product for name in truth]) for product in products]
    sums = np.array([difference[each].sum() for each in rows])
    counts = np.array([len(each) for each in rows])
    drawn = np.random.default_rng(0).integers(len(rows), size=(5000, len(rows)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return [round(float(v), 4) for v in (difference.mean(), low, high)]


def speed(encoder: Encoder, images: list[Image.Image]) -> dict[str, float]:
    """Processor milliseconds a decoded picture, in batches and one by one, best of three."""
    encoder.encode(images[:8])
    spent: dict[str, list[float]] = {"batch_ms": [], "single_ms": []}
    for _ in range(3):
        begin = time.process_time()
        encoder.encode(images)
        middle = time.process_time()
        for image in images:
            encoder.encode([image])
        spent["batch_ms"].append(middle - begin)
        spent["single_ms"].append(time.process_time() - middle)
    return {name: round(min(seconds) / len(images) * 1000, 2) for name, seconds in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="The shipped encoder on a benchmark folder.")
    parser.add_argument("names", nargs="*", default=["eye", "imagenet+pixels"])
    parser.add_argument("--models", type=Path, default=Path("workspace/models"))
    parser.add_argument("--benchmark", type=Path, default=DATA / "benchmark" / "madison")
    arguments = parser.parse_args()
    gallery, queries = (read(arguments.benchmark, f"{file}.csv") for file in ("gallery", "queries"))
    names = [product for _, product in gallery]
    answered = np.array([bool(product) for _, product in queries])
    truth = [product for _, product in queries if product]
    found: dict[str, NDArray[np.int64]] = {}
    rows: list[dict[str, Any]] = []
    for name in arguments.names:
        encoder = open_encoder(name, arguments.models, threads=1)
        images = [opened(path, encoder.side_px) for path, _ in gallery[:48]]
        timing = speed(encoder, images)
        whole, asked = encode(encoder, gallery), encode(encoder, queries)
        for width in sorted({64, 128, encoder.dim}) if name == "eye" else [encoder.dim]:
            g, q = unit(whole[:, :width]), unit(asked[:, :width])
            rank = ranks(g, names, q[answered], truth)
            found[f"{name} {width}"] = rank
            top = (q @ g.T).max(axis=1)
            row: dict[str, Any] = {"encoder": name, "dim": width, **timing}
            row |= {f"r{k}": share(int((rank < k).sum()), len(rank)) for k in (1, 5, 10)}
            row["right_first_vs_no_match"] = auroc(top[answered][rank == 0], top[~answered])
            row["answerable_vs_no_match"] = auroc(top[answered], top[~answered])
            rows.append(row)
    last = found[next(reversed(found))]
    for row, rank in zip(rows, found.values(), strict=True):
        row["gain"] = {f"r{k}": paired(rank, last, k, truth) for k in (1, 5)}
    sizes = {"gallery": len(gallery), "answered": len(truth), "no_match": int((~answered).sum())}
    write("eye", {"benchmark": arguments.benchmark.name, "sizes": sizes, "encoders": rows})


if __name__ == "__main__":
    main()
