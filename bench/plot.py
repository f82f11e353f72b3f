"""A chart as SVG, drawn by plain code: lines on two logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

Line = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 180, 20, 50
COLOURS = ("#0b66c3", "#c2410c", "#15803d", "#7c3aed", "#b91c1c", "#0e7490", "#a16207", "#be185d", "#475569")  # fmt: skip
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}rect{fill:#fff}path{fill:none;stroke-width:2}"
    ".grid{stroke:#d5dae0;stroke-width:1}.guide{stroke:#6b7280;stroke-dasharray:5 5;stroke-width:1.5}"
)


def log_log(
    lines: Mapping[str, Line], across: str, up: str, *, guide: Callable[[float], float]
) -> str:
    """The lines with their names at their right ends, powers of ten as a grid, and two dashed lines
    shaped as `guide`, below and above."""
    points = [point for line in lines.values() for point in line]
    xs = [x for x, _ in points]
    ys = [max(y, 0.01) for _, y in points]
    left, right = min(xs), max(xs)
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
    right = max(right, left * 10)

    def place(x: float, y: float) -> tuple[float, float]:
        over = math.log(x / left) / math.log(right / left)
        above = math.log(min(max(y, low), high) / low) / math.log(high / low)
        return (
            round(LEFT + over * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - above * (HEIGHT - TOP - BOTTOM), 1),
        )

    def path(line: Line, kind: str) -> str:
        spots = " L".join(f"{x:g} {y:g}" for x, y in (place(*point) for point in line))
        return f'<path d="M{spots}" {kind}/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{up} by {across}</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}"/>',
    ]
    for n in _tens(low, high):
        y = place(left, n)[1]
        parts.append(path([(left, n), (right, n)], 'class="grid"'))
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:g}" text-anchor="end">{n:g}</text>')
    for n in sorted({*xs, *_tens(left, right)}):
        parts.append(path([(n, low), (n, high)], 'class="grid"'))
        at = place(n, low)[0]
        label = f'<text x="{at:g}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{n:,.0f}</text>'
        parts.append(label)
    starts = (low * 3, low * 300)
    parts += [_guide(path, guide, left, right, start, high) for start in starts]
    ends = _apart({name: place(*line[-1])[1] for name, line in lines.items()})
    for colour, (name, line) in zip(COLOURS, lines.items(), strict=False):
        parts.append(path(line, f'stroke="{colour}"'))
        at = WIDTH - RIGHT + 8
        parts.append(f'<text x="{at}" y="{ends[name] + 4:g}" style="fill:{colour}">{name}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 10}">{across} (dashed: n log n)</text>')
    parts.append(f'<text x="{LEFT}" y="14">{up}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _guide(
    path: Callable[[Line, str], str],
    guide: Callable[[float], float],
    left: float,
    right: float,
    start: float,
    high: float,
) -> str:
    points = [left * (right / left) ** (at / 40) for at in range(41)]
    rising = [(x, start * guide(x) / guide(left)) for x in points]
    return path([point for point in rising if point[1] <= high], 'class="guide"')


def _tens(low: float, high: float) -> list[float]:
    return [
        10.0**n
        for n in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    ]


def _apart(places: Mapping[str, float], least: float = 15.0) -> dict[str, float]:
    """Heights moved so that no two names overlap."""
    moved: dict[str, float] = {}
    last = -math.inf
    for name, at in sorted(places.items(), key=lambda item: item[1]):
        last = max(at, last + least)
        moved[name] = last
    return moved
