"""Draws the demo's things: vector shapes with cloth, patterns and soft light, the same for the same seed.

`items` invents things, `draw` is a store's picture of one, `photo_of` a person's photo of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lensback.demo import outline, prints, scene, shapes
from lensback.demo.fabric import Pixels, cloth, noise, shade_of
from lensback.demo.words import COLOURS, KINDS, PATTERNS, Colour, Kind

Plane = NDArray[np.float32]
"""float32 [height, width], 0 to 1."""
Window = tuple[slice, slice]
"""Rows and columns of a picture."""

_OVERSAMPLE = 3
_MATERIALS = {
    "dark": (42, 40, 42),
    "metal": (186, 188, 194),
    "lace": (238, 236, 230),
    "fluff": (244, 240, 232),
}
_STRAPS = ((110, 72, 44), (44, 42, 44), (176, 132, 84))
_SOLES = ((244, 243, 238), (226, 216, 192), (196, 148, 92), (52, 52, 56))


@dataclass(frozen=True, slots=True)
class DrawnItem:
    """One invented thing. Everything about its look follows from these fields."""

    id: str
    kind: str
    colour: str
    accent: str
    pattern: str
    seed: int

    @property
    def title(self) -> str:
        """English, as a store would write it.

        >>> DrawnItem("x", "hoodie", "navy", "coral", "stripes", 1).title
        'Striped hoodie, navy and coral'
        """
        words = f"{PATTERNS[self.pattern][0]} {KINDS[self.kind].title.lower()}".strip()
        second = "" if self.pattern == "plain" else f" and {self.accent}"
        return f"{words[0].upper()}{words[1:]}, {self.colour}{second}"

    @property
    def russian_title(self) -> str:
        words = KINDS[self.kind].russian
        return f"{words} {PATTERNS[self.pattern][1]}, {COLOURS[self.colour].russian}"


def items(count: int = 240, seed: int = 1) -> list[DrawnItem]:
    """`count` things, no two of the same kind, colour and pattern while the words last.

    The first n of a longer list are the list of n, so ids stay what they were.
    """
    rng = np.random.default_rng(seed)
    kinds = list(KINDS.values())
    taken: set[tuple[str, str, str]] = set()
    made: list[DrawnItem] = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        for _ in range(200):
            colour, accent, pattern = _look(kind, rng)
            if (kind.name, colour.name, pattern) not in taken:
                break
        taken.add((kind.name, colour.name, pattern))
        look = int(rng.integers(1, 2**31))
        made.append(
            DrawnItem(
                f"{kind.name}-{number:04d}", kind.name, colour.name, accent.name, pattern, look
            )
        )
    return made


def _look(kind: Kind, rng: np.random.Generator) -> tuple[Colour, Colour, str]:
    colours = list(COLOURS.values())
    colour = colours[int(rng.integers(len(colours)))]
    others = [c for c in colours if _contrast(c, colour) > 130]
    patterns = list(PATTERNS) if kind.printable else ["plain", "block"]
    if "motif" in patterns and not _has_front(kind.name):
        patterns.remove("motif")
    pattern = patterns[int(rng.integers(len(patterns)))]
    return colour, others[int(rng.integers(len(others)))], pattern


def _contrast(one: Colour, other: Colour) -> float:
    return float(np.linalg.norm(np.subtract(one.rgb, other.rgb)))


def _has_front(kind: str) -> bool:
    parts = shapes.SHAPES[kind](outline.Cut.of(0), outline.Pose())
    return any(part.front for part in parts)


def draw(item: DrawnItem, *, view: int = 0, side_px: int = 480) -> Image.Image:
    """A store's picture, RGB `side_px` square on near-white: 0 the front, 1 another pose, turned."""
    thing = cutout(item, view=view, side_px=side_px)
    ground = np.full(
        (side_px, side_px, 3), (250, 250, 249) if view == 0 else (240, 240, 242), np.float32
    )
    falloff = np.linspace(1.015, 0.965, side_px, dtype=np.float32)[:, None, None]
    canvas = Image.fromarray(np.clip(ground * falloff, 0, 255).astype(np.uint8))
    scene.cast_shadow(
        canvas, thing.getchannel("A"), blur=side_px * 0.022, drop=side_px * 0.018, strength=0.30
    )
    canvas.paste(thing, (0, 0), thing)
    return canvas


def photo_of(
    item: DrawnItem, seed: int = 0, *, width_px: int = 768, height_px: int = 1024
) -> Image.Image:
    """A person's phone photo of it, RGB: on a table, a bed or a floor, askew, in a room's light."""
    thing = cutout(item, view=int(seed) % 2, side_px=max(width_px, height_px) * 3 // 4)
    return scene.photograph(thing, seed=seed, width_px=width_px, height_px=height_px)


def cutout(item: DrawnItem, *, view: int = 0, side_px: int = 480) -> Image.Image:
    """The thing alone, RGBA on clear ground."""
    cut = outline.Cut.of(item.seed)
    tilt, fill = _lie(item.seed) if view == 1 else (0.0, 0.86)
    lying = shapes.SHAPES[item.kind](cut, outline.Pose(folded=view == 1))
    parts, scale = outline.fitted(outline.tilted(lying, tilt), fill)
    easel = _Easel(item, cut, side_px, scale, light=-1.0 if view == 1 else 1.0)
    for part in parts:
        easel.paint(part)
        if part.front and item.pattern == "motif":
            easel.print_motif(part, tilt)
    return easel.image()


def _lie(seed: int) -> tuple[float, float]:
    """Of the second view: turned by 6 to 14 degrees, and how much of the picture it takes."""
    rng = np.random.default_rng([seed, 5])
    return float(rng.uniform(6, 14) * rng.choice([-1, 1])), float(rng.uniform(0.76, 0.84))


class _Easel:
    """The picture in the making: colour [side, side, 3] in 0..255 and cover [side, side]."""

    def __init__(
        self, item: DrawnItem, cut: outline.Cut, side_px: int, scale: float, light: float
    ) -> None:
        self.item, self.cut, self.side, self.light = item, cut, side_px, light
        self.scale = scale
        self.colour: Pixels = np.zeros((side_px, side_px, 3), np.float32)
        self.cover: Plane = np.zeros((side_px, side_px), np.float32)
        self.folds = (
            noise(side_px, 7, 4, [item.seed, 3]) * 0.75 + noise(side_px, 3, 9, [item.seed, 4]) * 0.5
        )
        self.grain = noise(side_px, side_px // 2, side_px // 2, [item.seed, 5])
        self.paints: dict[tuple[str, float], Pixels] = {}

    def paint(self, part: outline.Part) -> None:
        window = _window(part.outline, self.side, margin=max(3, int(self.side * 0.03)))
        mask = self._mask([part.outline], window)
        light = self._light(mask, part, window)
        self._shadow_below(mask, part.shadow, window)
        self._lay(shade_of(self._paint_of(part.paint, part.turn)[window], light), mask, window)
        for seam in part.seams:
            self._stitch(seam, mask, window)

    def print_motif(self, part: outline.Part, tilt: float) -> None:
        rng = np.random.default_rng([self.item.seed, 8])
        low, high = part.outline.min(axis=0), part.outline.max(axis=0)
        radius = float(min(high - low) * rng.uniform(0.2, 0.3))
        y = float(low[1] + (high[1] - low[1]) * 0.46)
        x = float(low[0] + high[0]) / 2
        window = _window(part.outline, self.side, margin=0)
        upright = prints.motif(int(rng.integers(prints.MOTIFS)), x, y, radius)
        marks = [outline.turned(mark, (x, y), tilt) for mark in upright]
        mask = self._mask(marks, window) * np.float32(0.94)
        colour = np.asarray(COLOURS[self.item.accent].rgb, np.float32)
        ink = np.broadcast_to(colour, (*mask.shape, 3))
        self._lay(
            shade_of(ink, np.float32(1) + self.folds[window] * np.float32(0.05)), mask, window
        )

    def image(self) -> Image.Image:
        """RGBA; the colour of half-clear edges is the painted one, so they do not darken."""
        safe = self.colour / np.maximum(self.cover, 1e-3)[..., None]
        full = np.dstack([np.clip(safe, 0, 255), self.cover * 255])
        return Image.fromarray(full.astype(np.uint8))

    def _mask(self, lines: list[outline.Line], window: Window, width: int = 0) -> Plane:
        """The outlines filled (or drawn `width` wide), smooth-edged, as the window sees them."""
        down, across = window
        size = ((across.stop - across.start) * _OVERSAMPLE, (down.stop - down.start) * _OVERSAMPLE)
        big = Image.new("L", size, 0)
        pen = ImageDraw.Draw(big)
        for line in lines:
            moved = (line * self.side - [across.start, down.start]) * _OVERSAMPLE
            points = [(float(x), float(y)) for x, y in moved]
            if width:
                pen.line(points, fill=255, width=width, joint="curve")
            else:
                pen.polygon(points, fill=255)
        return _plane(big.reduce(_OVERSAMPLE))

    def _light(self, mask: Plane, part: outline.Part, window: Window) -> Plane:
        """How bright each point is, about 1: rounded at the edges, lit from one side, folded."""
        radius = max(0.6, part.puff * self.side)
        soft = _blurred(mask, radius)
        reach = max(1, int(radius * 0.7))
        lit = np.roll(soft, (reach, int(reach * self.light)), (0, 1)) - np.roll(
            soft, (-reach, -int(reach * self.light)), (0, 1)
        )
        edge = np.clip((soft - 0.45) / 0.5, 0, 1)
        folded = self.folds[window] * (0.085 if part.puff >= 0.03 else 0.03)
        light: Plane = 0.80 + 0.22 * edge - 0.20 * lit + folded + self.grain[window] * 0.012
        return light

    def _shadow_below(self, mask: Plane, strength: float, window: Window) -> None:
        if not strength:
            return
        drop = max(1, int(self.side * 0.006))
        cast = np.roll(_blurred(mask, self.side * 0.009), (drop, int(drop * self.light)), (0, 1))
        self.colour[window] *= (1 - strength * cast * (1 - mask))[..., None]

    def _lay(self, surface: Pixels, mask: Plane, window: Window) -> None:
        over = mask[..., None]
        self.colour[window] = self.colour[window] * (1 - over) + surface * over
        self.cover[window] = self.cover[window] * (1 - mask) + mask

    def _stitch(self, seam: outline.Line, within: Plane, window: Window) -> None:
        """A pressed line: a dark one and, beside it, a faint light one."""
        width = max(2, int(self.side * _OVERSAMPLE * 0.0045))
        line = self._mask([seam], window, width) * within
        below = np.roll(line, max(1, self.side // 240), 0) * within
        self.colour[window] *= (1 - 0.26 * line + 0.06 * below)[..., None]

    def _paint_of(self, name: str, turn: float) -> Pixels:
        key = (name, turn if name == "cloth" else 0.0)
        if key not in self.paints:
            self.paints[key] = self._mixed(name, turn)
        return self.paints[key]

    def _mixed(self, name: str, turn: float) -> Pixels:
        base = np.asarray(COLOURS[self.item.colour].rgb, np.float32)
        accent = np.asarray(COLOURS[self.item.accent].rgb, np.float32)
        if name == "cloth":
            blocked = not KINDS[self.item.kind].printable
            pattern = "plain" if blocked else self.item.pattern
            return cloth(
                pattern, base, accent, self.side, self.item.seed, turn=turn, scale=self.scale
            )
        flat = self._flat(name, base, accent)
        return np.broadcast_to(flat, (self.side, self.side, 3)).astype(np.float32)

    def _flat(self, name: str, base: Pixels, accent: Pixels) -> Pixels:
        two_tone = self.item.pattern == "block" or (
            self.item.pattern != "plain" and self.cut.numbers[7] > 0.6
        )
        kin = base * 0.86 if base.mean() > 70 else base * 1.25 + 14
        choices = {
            "accent": accent if self.item.pattern != "plain" else base * 0.72 + accent * 0.28,
            "trim": accent if two_tone else kin,
            "inside": base * 0.48 + 8,
            "seam": base * 0.62 + (30 if base.mean() < 60 else 0),
            "button": np.asarray(
                (236, 232, 222) if base.mean() < 150 else (96, 84, 72), np.float32
            ),
            "strap": np.asarray(_STRAPS[self.cut.pick(5, 3)], np.float32),
            "sole": np.asarray(_SOLES[self.cut.pick(6, 4)], np.float32),
        }
        if name == "lace" and self.item.kind == "watch":
            shown = choices["accent"]
            return np.asarray((246, 245, 240) if shown.mean() < 140 else (44, 42, 46), np.float32)
        return choices[name] if name in choices else np.asarray(_MATERIALS[name], np.float32)


def _plane(image: Image.Image) -> Plane:
    return np.asarray(image, np.float32) / np.float32(255)


def _blurred(plane: Plane, radius: float) -> Plane:
    image = Image.fromarray((plane * 255).astype(np.uint8))
    return _plane(image.filter(ImageFilter.GaussianBlur(radius)))


def _window(outline: outline.Line, side_px: int, margin: int) -> Window:
    """The rows and columns that the outline touches, with a margin, inside the picture."""
    low = np.maximum(np.floor(outline.min(axis=0) * side_px) - margin, 0).astype(int)
    high = np.minimum(np.ceil(outline.max(axis=0) * side_px) + margin + 1, side_px).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
