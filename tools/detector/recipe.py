"""What a training of the detector is told, and what it tells: its recipe and its outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

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
        """Figures and folder by name, as `train.py --json` prints them."""
        return asdict(self) | {"folder": str(self.folder)}
