"""Encoders on the benchmark `madison`, as `lensback evaluate` sees it: `python bench/madison.py --models DIR`.

Figures of each with 95 % intervals, and the paired differences of each from the first (bootstrap by
product; McNemar's exact test for shares). Queries that are in the gallery are left out and counted.
`--runs DIR` keeps the whole runs, from which `lensback evaluate` makes its pages.
Nothing may be chosen by it: look once per release.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from lensback.encoders import open_encoder
from lensback.evaluate import runs
from lensback.evaluate.benchmark import evaluate_folder
from lensback.evaluate.measure import compare
from lensback.evaluate.runs import Run
from rig import DATA, arguments, write

SHOWN = (
    "recall_at_1", "recall_at_5", "recall_at_10", "recall_at_20", "mean_average_precision", "mrr",
    "exact_precision", "exact_right_share", "honest_none", "false_exact", "tpir_at_fpir_5", "auroc",
    "aurc", "ece",
)  # fmt: skip


def row(run: Run, first: Run) -> dict[str, Any]:
    figures = {f.name: asdict(f) for f in run.figures if f.name in SHOWN}
    differences = compare(run.outcomes, first.outcomes) if run is not first else ()
    return {
        "encoder": run.encoder,
        "figures": figures,
        "minus_first": [asdict(each) for each in differences],
        "cost": run.cost,
        "errors": run.errors,
    }


def main() -> None:
    parser = arguments(
        __doc__,
        models=Path("workspace/models"),
        benchmark=DATA / "benchmark" / "madison",
        runs=None,
    )
    parser.add_argument("names", nargs="*", default=["eye", "imagenet+pixels", "pixels"])
    asked = parser.parse_args()
    folder = asked.benchmark
    made = []
    for name in asked.names:
        encoder = open_encoder(name, asked.models, threads=1)
        files = (folder / "gallery.csv", folder / "queries.csv", folder / "images")
        made.append(evaluate_folder(*files, encoder))
        if asked.runs:
            runs.write(made[-1], asked.runs / name)
    first = made[0]
    sizes = {"queries": first.queries, "gallery": first.gallery}
    leaks = {key: first.leaks[key] for key in ("checked", "found", "dropped", "suspects")}
    rows = [row(run, first) for run in made]
    write(
        "madison", {"benchmark": folder.name, **sizes, "leaks": leaks, "encoders": rows}, asked.out
    )


if __name__ == "__main__":
    main()
