"""Training of our own detector on composed scenes: `train_detector`. Needs the extra `train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lensback.encoders.shelf import SHIPPED
from lensback.errors import ConfigError, MissingExtra

SHIPPED_EYE = SHIPPED / "eye"
"""Its trunk, MobileNetV2 as trained on ImageNet, is where the detector's starts."""

Watch = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""


@dataclass(frozen=True, slots=True)
class DetectorRecipe:
    """Every number of a detector's training."""

    scenes: int = 12_800
    """Composed scenes to learn from; those of a tenth of the pictures are kept for judging."""
    held_scenes: int = 240
    epochs: int = 7
    batch: int = 16
    learning_rate: float = 1.5e-3
    trunk_rate: float = 0.3
    """The trunk's learning rate as a share of the head's."""
    weight_decay: float = 5e-4
    warm_up: int = 100
    """Steps until the full learning rate."""
    average: float = 0.997
    """What the averaged weights keep of themselves at each step."""
    scene_share: float = 0.35
    """Of the minutes given, what scenes may take before fewer are made."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TrainedDetector:
    """What `train_detector` did. `met` are shares of held-out boxes met by the first 8 regions."""

    folder: Path
    scenes: int
    steps: int
    met: float
    precision: float
    """Mean average precision at IoU 0.5 over labels, on the same held-out boxes."""
    parity: float
    """Largest difference between the file in ONNX Runtime and torch, boxes and scores."""
    seconds: float
    losses: list[float] = field(default_factory=list)
    validations: list[tuple[int, float, float]] = field(default_factory=list)
    """(step, met, precision)."""

    def as_json(self) -> dict[str, object]:
        """Figures and folder by name, as `detector train --json` prints them."""
        return asdict(self) | {"folder": str(self.folder)}


RECIPE = DetectorRecipe()


def train_detector(
    shops: Path,
    out: Path,
    *,
    start: Path = SHIPPED_EYE,
    work: Path | None = None,
    recipe: DetectorRecipe = RECIPE,
    minutes: float = 0,
    threads: int = 1,
    watch: Watch = lambda *_: None,
) -> TrainedDetector:
    """Trains on scenes composed of the pictures in `shops/luma` and `shops/closet` into `out`.

    `out` becomes a folder with `model.onnx`, `detector.toml` and `training.json`; it must not be
    there yet. Run again after a kill, it goes on from what is in `work` (default: `out`.work).
    `minutes` bounds the time: fewer scenes are made, and the learning rate falls to nothing by the
    end. `watch(stage, done, total)` is told of `scenes` and `steps`. Raises DataError where a
    store's pictures are missing, ConfigError for an `out` that is there, MissingExtra without
    torch and onnx.
    """
    if out.exists():
        raise ConfigError(f"{out} is there already", hint="name another folder, or remove it")
    try:
        import onnx  # noqa: F401  (looked for here, used in export)
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    from lensback.train.teach import teach

    work = work or out.with_name(f"{out.name}.work")
    return teach(shops, out, start, work, recipe, minutes, threads, watch)
