"""Training of an encoder on a catalogue's own pictures: `train`. Needs the extra `train`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lensback.db import Database
from lensback.encoders import Encoder
from lensback.encoders.shelf import SHIPPED
from lensback.errors import ConfigError, MissingExtra
from lensback.images import ImageStore
from lensback.train.fit import Recipe

if TYPE_CHECKING:
    from lensback.train.run import Trained

__all__ = ["SHIPPED_EYE", "Recipe", "train"]

SHIPPED_EYE = SHIPPED / "eye"
"""The encoder that every training starts from."""

RECIPE = Recipe()


def train(
    db: Database,
    images: ImageStore,
    out: Path,
    *,
    stores: Sequence[str] = (),
    start: Path = SHIPPED_EYE,
    work: Path | None = None,
    recipe: Recipe = RECIPE,
    device: str = "auto",
    minutes: float = 0,
    threads: int = 1,
    teacher: Encoder | None = None,
    watch: Callable[[str, int, int], None] = lambda *_: None,
) -> Trained:
    """Trains the head on the images of these stores (all, where none is named) into `out`.

    `out` becomes a model folder as `add_encoder` takes it, with what `train.records` writes beside. What is
    written is the best, by held-out products' other views, of the start, a fit, and gradient
    steps from that fit; so it is never worse there than the start. Run again after a kill, it
    goes on: decoded features and steps are kept in `work` (default: `out`.work). `minutes` bounds
    the time: copies and steps are cut, never the pictures. A `teacher` encodes every picture once; the
    steps then imitate how far it sees them apart. `watch(stage, done, total)` is told of
    `decode`, `features`, `teacher` and `steps`. Raises DataError where too few products have several
    pictures, ConfigError for a device that is not there or an `out` that is, MissingExtra without torch and onnx.
    """
    try:
        import onnx  # noqa: F401  (looked for here, used in export)
        import torch
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    from lensback.train.data import of_workspace
    from lensback.train.run import run

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("there is no CUDA device here", hint="use --device cpu")
    return run(
        of_workspace(db, stores),
        lambda key: images.open(key, 256),
        out,
        start=start,
        work=work or out.with_name(f"{out.name}.work"),
        recipe=recipe,
        device=device,
        minutes=minutes,
        threads=threads,
        licence="",
        teacher=teacher,
        watch=watch,
    )
