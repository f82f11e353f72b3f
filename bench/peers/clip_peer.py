"""clip-retrieval itself on vectors that were written before: `python clip_peer.py FOLDER`, in an environment of its own.

FOLDER is that of vectors.py. `clip-retrieval index` makes its index of them, its back end loads that by its own functions, and its
KnnService is asked with ready vectors, in this process. The back end insists on a model of CLIP, which it would fetch: it is given a
tiny one with drawn weights, made here, that no question reaches. It has no filter: more is asked for, and what does not match is dropped. Prints
one JSON as vectors.py does. Nothing of the project is imported here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from vectors import K, measured, peak_mb

NAME = "vectors"


def declared() -> None:
    """torchvision's own operators, declared so that it can be imported beside a PyTorch of another build; none is called."""
    from torch import library

    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        raise SystemExit("no torchvision")
    text = Path(found.origin).with_name("_meta_registrations.py").read_text()
    for name in set(re.findall(r'register_(?:meta|fake)\("(?:torchvision::)?(\w+)"', text)):
        with contextlib.suppress(RuntimeError):
            library.define(f"torchvision::{name}", "(Tensor x) -> Tensor")


def written(folder: Path, vectors: Any, share: Any) -> Path:
    """Vectors and what is told of each, as `clip-retrieval inference` leaves them."""
    import pandas as pd

    place = folder / "clip"
    for name in ("img_emb", "metadata", "index"):
        (place / name).mkdir(parents=True, exist_ok=True)
    np.save(place / "img_emb" / "img_emb_0.npy", vectors)
    rows = pd.DataFrame({"row": np.arange(len(vectors)), "share": share})
    rows.to_parquet(place / "metadata" / "metadata_0.parquet")
    return place


def tiny(place: Path) -> str:
    """A model of CLIP that is there only to be loaded."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    small = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
    }
    config = CLIPConfig(
        text_config={**small, "vocab_size": 49_408},
        vision_config={**small, "image_size": 224, "patch_size": 32},
        projection_dim=256,
    )
    CLIPModel(config).save_pretrained(place)
    words = ["<|startoftext|>", "<|endoftext|>", "a", "a</w>"]
    (place / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(place / "vocab.json"), str(place / "merges.txt"))
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(place)
    return f"hf_clip:{place}"


def main() -> None:
    declared()
    from clip_retrieval.clip_back import ClipOptions, KnnService, load_clip_indices
    from clip_retrieval.clip_index import clip_index

    folder = Path(sys.argv[1])
    vectors, share = np.load(folder / "vectors.npy"), np.load(folder / "share.npy")
    place = written(folder, vectors, share)
    before, begin = peak_mb(), time.process_time()
    with contextlib.redirect_stdout(sys.stderr):
        clip_index(str(place), str(place / "index"), max_index_memory_usage="1G",
                   current_memory_available="6G", copy_metadata=False, nb_cores=1)  # fmt: skip
    build, most = time.process_time() - begin, peak_mb() - before
    (place / "index" / "metadata").symlink_to(place / "metadata")
    (place / "paths.json").write_text(json.dumps({NAME: str(place / "index")}))
    with contextlib.redirect_stdout(sys.stderr):
        options = ClipOptions(
            indice_folder="", clip_model=tiny(place / "model"), enable_hdf5=False,
            enable_faiss_memory_mapping=False, columns_to_return=["row", "share"],
            reorder_metadata_by_ivf_index=False, enable_mclip_option=False, use_jit=False,
            use_arrow=False, provide_safety_model=False, provide_violence_detector=False,
            provide_aesthetic_embeddings=False,
        )  # fmt: skip
        resources = load_clip_indices(str(place / "paths.json"), options)
    service = KnnService(clip_resources=resources)

    def search(query: Any, s: float) -> Any:
        many = min(4096, int(K / s))
        found = service.query(embedding_input=query.tolist(), num_images=many, num_result_ids=many,
                              indice_name=NAME, deduplicate=False)  # fmt: skip
        return np.array([one["row"] for one in found if one["share"] < s][:K], int)

    def bare(query: Any, s: float) -> Any:
        many = min(4096, int(K / s))
        _, rows = service.knn_search(
            query[None], "image", many, resources[NAME], False, False, False
        )
        found = np.array(rows, int)
        return found[share[found] < s][:K]

    told = json.loads((place / "index" / "image.json").read_text())
    print(json.dumps({"build_cpu_s": round(build, 1), "peak_above_data_mb": round(most),
                      "chose": told.get("index_key", ""), "with_metadata": measured(search, folder, 30),
                      "filters": measured(bare, folder)}))  # fmt: skip


if __name__ == "__main__":
    main()
