"""What a training leaves beside the model: figures, log, chart, what it learnt, match probability."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lensback.encoders.description import FILE_NAME, model_fingerprint, read_description
from lensback.encoders.shelf import CALIBRATION_FILE, LEARNT_FILE
from lensback.rank import Calibration

WIDTH, HEIGHT, MARGIN = 640, 150, 40
COLOURS = {0.0: "#666", 0.25: "#9ac", 0.5: "#48a", 1.0: "#124"}

Points = Sequence[tuple[float, float]]


def write_records(
    folder: Path, figures: Mapping[str, Any], learnt: Sequence[str], odds: Calibration | None
) -> None:
    """Writes `training.json`, `log.csv`, `chart.svg`, `learnt.txt` and `calibration.json`."""
    text = json.dumps(figures, indent=1)
    (folder / "training.json").write_text(text + "\n", "utf-8")
    (folder / LEARNT_FILE).write_text("".join(f"{key}\n" for key in sorted(learnt)), "utf-8")
    (folder / "chart.svg").write_text(chart(figures["losses"], figures["validations"]), "utf-8")
    with (folder / "log.csv").open("w", newline="", encoding="utf-8") as lines:
        out = csv.writer(lines)
        out.writerow(["step", "what", "blend", "value"])
        out.writerows(rows(figures["losses"], figures["validations"]))
    write_calibration(folder, odds)


def write_calibration(folder: Path, odds: Calibration | None) -> None:
    """Writes the odds as those of the model in the folder."""
    if odds:
        own = model_fingerprint(folder, read_description(folder / FILE_NAME))
        made = json.dumps(replace(odds, fingerprint=own).as_json(), indent=2)
        (folder / CALIBRATION_FILE).write_text(made + "\n", "utf-8")


def rows(
    losses: Sequence[float], validations: Sequence[tuple[int, float, float]]
) -> list[tuple[int, str, float | str, float]]:
    """Every loss and every validation by step: one line each, for any program that draws."""
    made: list[tuple[int, str, float | str, float]] = [
        (step, "loss", "", round(loss, 6)) for step, loss in enumerate(losses, 1)
    ]
    made += [(step, "validation", blend, round(v, 6)) for step, blend, v in validations]
    return sorted(made, key=lambda row: row[0])


def chart(losses: Sequence[float], validations: Sequence[tuple[int, float, float]]) -> str:
    """Loss above, validation below, one line for each blend; an SVG that needs nothing else."""
    steps = max(1, len(losses))
    lines = {0.0: list(enumerate(losses, 1))}
    start = [(0, value) for _, blend, value in validations if blend == 0]
    found = {
        blend: [*start, *((step, v) for step, b, v in validations if b == blend)]
        for blend in sorted({blend for _, blend, _ in validations if blend})
    } or {0.0: start}
    height = 2 * (HEIGHT + MARGIN)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="11">'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>'
        f"{_panel('loss', lines, steps, 0)}"
        f"{_panel('held-out views: mean of R@1 and R@5', found, steps, HEIGHT + MARGIN)}</svg>\n"
    )


def _panel(title: str, lines: Mapping[float, Points], steps: int, top: int) -> str:
    values = [value for points in lines.values() for _, value in points] or [0.0]
    low, high = min(values), max(values)
    spread = (high - low) or 1.0

    def place(step: float, value: float) -> str:
        x = MARGIN + (WIDTH - 2 * MARGIN) * step / steps
        return f"{x:.1f},{top + MARGIN + (HEIGHT - MARGIN) * (1 - (value - low) / spread):.1f}"

    drawn = "".join(
        f'<polyline fill="none" stroke="{COLOURS.get(blend, "#000")}" stroke-width="1.5" '
        f'points="{" ".join(place(*point) for point in points)}"/>'
        for blend, points in lines.items()
    )
    named = ", ".join(f"{blend:.0%} of the way" for blend in lines if blend)
    words = f"{title} ({named})" if named else title
    return (
        f'<text x="{MARGIN}" y="{top + 22}">{words}; {low:.3f} to {high:.3f}, step 0 to {steps}'
        f"</text>{drawn}"
    )
