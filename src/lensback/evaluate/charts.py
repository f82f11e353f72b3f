"""Charts as SVG drawn here: no script, no font, no file from elsewhere. Colours are the page's classes.

Bars stretch with the page (`preserveAspectRatio="none"`), so they hold no text: words and numbers
stand beside them in HTML, where a phone and a screen reader find them.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

COLUMNS = 20
_CELL_W, _CELL_H = 10.0, 17.0
_PERSON = (
    '<circle cx="5" cy="3.6" r="2.5"/>'
    '<path d="M5 6.9c-2.3 0-3.6 1.5-3.6 3.7v2.6c0 .8.5 1.3 1.2 1.3h4.8c.7 0 1.2-.5 1.2-1.3v-2.6'
    'c0-2.2-1.3-3.7-3.6-3.7z"/>'
)


def people(counts: Sequence[int], classes: Sequence[str], label: str) -> Markup:
    """A hundred little people in rows of 20, one class a group. `label` is markup already."""
    kinds = [kind for kind, count in zip(classes, counts, strict=True) for _ in range(count)]
    rows = -(-len(kinds) // COLUMNS)
    drawn = []
    for kind in dict.fromkeys(kinds):
        spots = "".join(
            f'<g transform="translate({i % COLUMNS * _CELL_W:g} {i // COLUMNS * _CELL_H:g})">'
            f"{_PERSON}</g>"
            for i, k in enumerate(kinds)
            if k == kind
        )
        drawn.append(f'<g class="{kind}">{spots}</g>')
    size = f"0 0 {COLUMNS * _CELL_W:g} {rows * _CELL_H:g}"
    return Markup(
        f'<svg class="people" viewBox="{size}" role="img" aria-label="{_plain(label)}">'
        f"{''.join(drawn)}</svg>"
    )


def interval(
    low: float, value: float, high: float, *, kind: str = "", lines: Sequence[float] = ()
) -> Markup:
    """A share's interval on a track from 0 to 1, its middle, and the lines of a rule."""
    marks = "".join(_line(x, "rule") for x in lines)
    return _strip(
        f'<rect class="track" x="0" y="5" width="1000" height="10"/>{marks}'
        f"{_bar(low, high, f'span {kind}', 5, 10)}{_dot(value, kind)}"
    )


def span(
    low: float, middle: float, high: float, ends: tuple[float, float], kind: str = ""
) -> Markup:
    """A range on a scale shared with others; a line at 0 where 0 is on it."""
    a, b, c = (_scaled(v, ends) for v in (low, middle, high))
    zero = _line(_scaled(0, ends), "zero") if ends[0] <= 0 <= ends[1] else ""
    return _strip(
        f'<rect class="track" x="0" y="5" width="1000" height="10"/>{zero}'
        f"{_bar(a, c, f'span {kind}', 5, 10)}{_dot(b, kind)}"
    )


def swing(at_low: float, middle: float, at_high: float, ends: tuple[float, float]) -> Markup:
    """One bar of a tornado: where the result goes with the input's low and its high end."""
    m, a, b = (_scaled(v, ends) for v in (middle, at_low, at_high))
    zero = _line(_scaled(0, ends), "zero") if ends[0] <= 0 <= ends[1] else ""
    return _strip(
        f"{_bar(min(m, a), max(m, a), 'low', 3, 14)}{_bar(min(m, b), max(m, b), 'high', 3, 14)}"
        f"{zero}{_line(m, 'middle')}"
    )


def bar(value: float, kind: str = "") -> Markup:
    """A share as a plain bar."""
    track = '<rect class="track" x="0" y="5" width="1000" height="10"/>'
    return _strip(f"{track}{_bar(0, value, f'span solid {kind}', 5, 10)}")


def pairs(before: Sequence[float], now: Sequence[float], label: str) -> Markup:
    """Two distributions side by side, ten steps from 0 to 1."""
    top = max([*before, *now, 1e-9])
    step = 1000 / max(1, len(before))
    drawn = "".join(
        f'<rect class="{kind}" x="{i * step + off:.1f}" y="{100 - 95 * value / top:.1f}"'
        f' width="{step * 0.36:.1f}" height="{95 * value / top:.1f}"/>'
        for kind, values, off in (("was", before, step * 0.1), ("is", now, step * 0.5))
        for i, value in enumerate(values)
    )
    return Markup(
        f'<svg class="pairs" viewBox="0 0 1000 101" preserveAspectRatio="none" role="img"'
        f' aria-label="{_plain(label)}">{drawn}<rect class="axis" x="0" y="100" width="1000"'
        f' height="1"/></svg>'
    )


def ends_of(values: Sequence[float]) -> tuple[float, float]:
    """A scale that holds all values, and 0."""
    low, high = min([0.0, *values]), max([0.0, *values])
    return (low, high) if high > low else (0.0, 1.0)


def _scaled(value: float, ends: tuple[float, float]) -> float:
    return (value - ends[0]) / (ends[1] - ends[0])


def _strip(inside: str) -> Markup:
    return Markup(
        f'<svg class="strip" viewBox="0 0 1000 20" preserveAspectRatio="none" aria-hidden="true">'
        f"{inside}</svg>"
    )


def _bar(low: float, high: float, kind: str, y: float, height: float) -> str:
    width = max(2.0, 1000 * (high - low))
    return (
        f'<rect class="{kind}" x="{1000 * low:.1f}" y="{y}" width="{width:.1f}" height="{height}"/>'
    )


def _dot(value: float, kind: str) -> str:
    x = min(994.0, max(0.0, 1000 * value - 3))
    return f'<rect class="dot {kind}" x="{x:.1f}" y="1" width="6" height="18"/>'


def _line(x: float, kind: str) -> str:
    at = min(998.5, max(0.0, 1000 * x - 0.75))
    return f'<rect class="{kind}" x="{at:.1f}" y="0" width="1.5" height="20"/>'


def _plain(label: str) -> Markup:
    return escape(Markup(label).striptags())


def curve(points: Sequence[tuple[float, float]], label: str) -> Markup:
    """A line through points of 0 to 1, 0 at the bottom left."""
    drawn = " ".join(
        f"{'L' if n else 'M'}{1000 * x:.1f} {100 - 95 * y:.1f}" for n, (x, y) in enumerate(points)
    )
    return Markup(
        f'<svg class="curve" viewBox="0 0 1000 101" preserveAspectRatio="none" role="img"'
        f' aria-label="{_plain(label)}"><path d="{drawn}"/><rect class="axis" x="0" y="100"'
        f' width="1000" height="1"/></svg>'
    )
