"""Embedding over Ray nodes of one machine: speed with 1, 2 and 3 nodes, and a node killed midway.

    python bench/ray_nodes.py [--pictures 20000]

Nodes are raylets with one processor each (`ray.cluster_utils.Cluster`), all on this machine: with
two cores the third node can gain nothing. Pictures are drawn, 160 px JPEGs; encoder `pixels`.
In the last run one node gets `kill -9`, with its workers, when a third is done: every picture
must be in the dataset exactly once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from lensback.catalogue import offers, pictures, stores
from lensback.catalogue.pictures import Downloaded
from lensback.embed import embed
from lensback.settings import Settings
from lensback.spread.ray import embed_on_ray
from lensback.types import Money, Offer
from lensback.workspace import Workspace, init
from rig import arguments, jpeg, write


def fill(folder: Path, count: int) -> Workspace:
    """A workspace with that many pictures, none embedded."""
    from drawing import drawn  # type: ignore[import-not-found,unused-ignore]

    init(folder)
    workspace = Workspace(folder, Settings(encoder="pixels"))
    db, images = workspace.db, workspace.images
    rows = [
        Offer(str(n), "t", "https://s.example", Money(1, "USD"), (f"https://s.example/{n}.jpg",))
        for n in range(count)
    ]
    key = stores.add(db, "s", "https://s.example").id
    for start in range(0, count, 1000):
        with db.write() as c:
            offers.write_batch(db, c, key, "s", rows[start : start + 1000], offers.SeenIds())
    todo = list(pictures.to_download(db))
    for start in range(0, count, 1000):
        part = todo[start : start + 1000]
        made = [jpeg(drawn.__wrapped__(160, 160, "navy", start + n)) for n in range(len(part))]
        kept = [Downloaded(url, images.put(data)) for url, data in zip(part, made, strict=True)]
        pictures.record_downloads(db, kept)
    return workspace


def again(workspace: Workspace) -> None:
    """As before the first embedding."""
    fingerprint = workspace.encoder().fingerprint
    workspace.vectors.drop(fingerprint)
    pictures.forget_embeddings(workspace.db, fingerprint)


def here(workspace: Workspace) -> float:
    """Pictures a second without Ray."""
    again(workspace)
    w = workspace
    tally = embed(w.db, w.images, w.vectors, w.encoder())
    return round(tally.done / tally.seconds, 1)


def spread(workspace: Workspace, nodes: int, *, kill: bool = False) -> dict[str, Any]:
    """One run on a cluster of so many nodes."""
    import ray
    from ray.cluster_utils import Cluster

    again(workspace)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    more = [cluster.add_node(num_cpus=1) for _ in range(nodes - 1)]
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False)
    killed: list[float] = []

    def watch(done: int, total: int) -> None:
        if kill and not killed and done * 3 > total:
            killed.append(time.perf_counter())
            _kill_node(more[-1])

    try:
        w = workspace
        tally = embed_on_ray(
            w.db,
            w.images,
            w.vectors,
            w.encoder(),
            w.models,
            address=cluster.address,
            progress=watch,
        )
    finally:
        ray.shutdown()
        with contextlib.suppress(Exception):  # a node that was killed cannot be shut down
            cluster.shutdown()  # type: ignore[no-untyped-call]
    fingerprint = workspace.encoder().fingerprint
    found = [h for part in workspace.vectors.hashes(fingerprint) for h in part]
    return {
        "per_s": round(tally.done / tally.seconds, 1),
        "done": tally.done,
        "rows_in_the_dataset": workspace.vectors.count(fingerprint),
        "distinct_pictures": len(set(found)),
        "batches_by_node": [n for key, n in tally.notes.items() if key.startswith("batches")],
        "killed_a_node": bool(killed),
    }


def _kill_node(node: Any) -> None:
    """kill -9 of the raylet and of the workers it has started."""
    raylet = node.all_processes["raylet"][0].process.pid
    children = [p for p in Path("/proc").glob("[0-9]*") if _parent(p) == raylet]
    for pid in [raylet, *(int(p.name) for p in children)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text("ascii", "replace").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def main() -> None:
    os.environ["RAY_AUTH_MODE"] = "disabled"
    asked = arguments(__doc__, pictures=20_000).parse_args()
    with tempfile.TemporaryDirectory() as folder, fill(Path(folder), asked.pictures) as workspace:
        figures: dict[str, Any] = {"pictures": asked.pictures, "encoder": "pixels"}
        figures["without_ray_per_s"] = here(workspace)
        for nodes in (1, 2, 3):
            figures[f"nodes_{nodes}"] = spread(workspace, nodes)
        figures["nodes_3_one_killed"] = spread(workspace, 3, kill=True)
    write("ray_nodes", figures, asked.out)


if __name__ == "__main__":
    main()
