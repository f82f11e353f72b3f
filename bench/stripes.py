"""Bar codes that lie in a photo at any angle: `python bench/stripes.py [--photos 200] [--seed 5]`.

Phone photos of closet, enlarged to what the page sends (1,600 pixels), each with one bar code drawn into it: of four kinds,
at any angle, an eighth to two fifths of the photo wide, with little contrast or much, blurred, with a sensor's noise,
compressed. How many are read rightly, how many wrongly, and the processor time of reading; the same for photos without
a code. The draw is fixed by the seed, so two states of the code are asked the same photos.
"""

from __future__ import annotations

import time

import numpy as np
import zxingcpp
from PIL import Image, ImageFilter

from lensback.images.codes import read
from lensback.metrics import wilson
from rig import DATA, arguments, enlarged, grainy, jpeg, opened, percentiles, write

SIDE_PX = 1600
CODES = {
    "EAN13": "4006381333931",
    "Code128": "AB-12345-X",
    "UPCA": "036000291452",
    "ITF": "12345678901231",
}


def with_code(image: Image.Image, kind: str, draw: np.random.Generator) -> Image.Image:
    """The photo with one code stuck on it."""
    made = zxingcpp.create_barcode(CODES[kind], getattr(zxingcpp.BarcodeFormat, kind))
    code = Image.fromarray(np.array(made.to_image(scale=4))).convert("L")
    width = round(SIDE_PX * 0.75 * draw.uniform(0.12, 0.45))
    height = round(code.height * width / code.width * draw.uniform(0.5, 1.2))
    low, high = sorted(draw.uniform(0, 255, 2))
    if high - low < 90:
        low, high = max(0, low - 60), min(255, high + 60)
    code = code.resize((width, height), Image.Resampling.BICUBIC)
    tag = Image.new("L", (width + 40, height + 40), int(high))
    tag.paste(code.point(lambda level: low + (high - low) * level / 255), (20, 20))
    angle = draw.uniform(0, 180)
    shape = Image.new("L", tag.size, 255).rotate(angle, expand=True)
    tag = tag.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    left = int(draw.integers(0, max(1, image.width - tag.width)))
    upper = int(draw.integers(0, max(1, image.height - tag.height)))
    image.paste(tag.convert("RGB"), (left, upper), shape)
    return image


def taken(image: Image.Image, draw: np.random.Generator) -> bytes:
    """Blurred, with noise, compressed."""
    image = image.filter(ImageFilter.GaussianBlur(draw.uniform(0.3, 1.6)))
    return jpeg(grainy(image, draw, draw.uniform(1, 8)), 85)


def main() -> None:
    asked = arguments(__doc__, photos=200, seed=5).parse_args()
    draw = np.random.default_rng(asked.seed)
    paths = sorted((DATA / "shops" / "closet" / "images").glob("*"))[::20]
    kinds = list(CODES)
    spent: dict[str, list[float]] = {"with a code": [], "without": []}
    right = wrong = 0
    for n in range(asked.photos):
        path, kind = paths[draw.integers(len(paths))], kinds[n % len(kinds)]
        for name, times in spent.items():
            image = enlarged(opened(path), SIDE_PX)
            photo = taken(with_code(image, kind, draw) if name != "without" else image, draw)
            begin = time.process_time()
            said = {code.text.lstrip("0") for code in read(photo, None, 50_000_000)}
            times.append((time.process_time() - begin) * 1e3)
            expected = {CODES[kind].lstrip("0")} if name != "without" else set()
            right += name != "without" and expected <= said
            wrong += bool(said - expected)
    figures = {
        "photos": asked.photos,
        "read_rightly": right,
        "interval": wilson(right, asked.photos),
        "read_something_else": wrong,
        "processor_ms": {name: percentiles(each) for name, each in spent.items()},
    }
    write("stripes", figures, asked.out)


if __name__ == "__main__":
    main()
