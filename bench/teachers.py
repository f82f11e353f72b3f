"""What a teacher brings: `python bench/teachers.py --work DIR`.

The training of `lensback train --teacher`, on the pictures of bench/train_eye.py, with the two ImageNet
networks of LENSBACK_DATA as teachers: MobileNetV2 (the student's own trunk, so it has nothing to
add) and MobileNetEdgeTPU, and with none. The fifth of the families that training holds out judges:
R@1 and R@5 of other views after the fit and after the steps, and the steps' gain over the fit.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imagenet_onnx import write as write_imagenet
from lensback.encoders import Encoder
from lensback.encoders.description import Description
from lensback.encoders.onnx import OnnxEncoder
from lensback.encoders.preprocess import to_batch
from lensback.train import SHIPPED_EYE, Recipe, run
from lensback.train.fit import unit
from lensback.types import Vectors
from record import DATA, write
from train_eye import examples, open_image

TFLITE = DATA / "weights" / "mobilenet_edgetpu_224_1.0_uint8.tflite"


class EdgeTpu:
    """MobileNetEdgeTPU up to its pooled feature, by OpenVINO: an `Encoder`."""

    name, dim, side_px, fingerprint = "edgetpu", 1280, 224, "bench-edgetpu-1"

    def __init__(self, threads: int = 1) -> None:
        import openvino

        core = openvino.Core()
        model = core.read_model(TFLITE)
        pools = [
            op for op in model.get_ordered_ops() if op.get_type_name() in {"AvgPool", "ReduceMean"}
        ]
        cut = openvino.Model([pools[-1].output(0)], model.get_parameters(), "edgetpu")
        self._run = core.compile_model(cut, "CPU", {"INFERENCE_NUM_THREADS": threads})
        self.description = Description(
            size=(224, 224), resize="letterbox", interpolation="bicubic",
            mean=(0, 0, 0), std=(1, 1, 1), dim=self.dim, licence="Apache-2.0", source=TFLITE.name,
        )  # fmt: skip

    def encode(self, pictures: Sequence[Image.Image]) -> Vectors:
        batch = to_batch(pictures, self.description).transpose(0, 2, 3, 1)
        found = self._run(np.round(batch * 255).astype(np.uint8))[0]
        return unit(np.asarray(found, np.float32).reshape(len(pictures), -1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="where features are kept")
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    network = arguments.work / "mobilenetv2"
    if not network.is_dir():
        write_imagenet(DATA / "weights" / "mobilenetv2_bn_npy", network)
    teachers: dict[str, Encoder | None] = {
        "none": None, "MobileNetV2": OnnxEncoder("mobilenetv2", network, threads=1), "MobileNetEdgeTPU": EdgeTpu(),
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        for name, teacher in teachers.items():
            with tempfile.TemporaryDirectory() as out:
                done = run.run(
                    examples(), open_image, Path(out) / "eye",
                    start=SHIPPED_EYE, work=arguments.work, recipe=Recipe(seed=seed, patience=10**6),
                    minutes=arguments.minutes, teacher=teacher,
                )  # fmt: skip
            rows.append(
                {"teacher": name, "seed": seed, "queries": done.queries, "fit": done.fitted}
            )
            rows[-1] |= {"validations": done.validations, "kept": done.kept}
            print(rows[-1], flush=True)
    write("teachers", {"runs": rows})


if __name__ == "__main__":
    main()
