"""clip-retrieval's index when rows change, and `kill -9` meanwhile: `python clip_writes.py FOLDER [KILLS]`, in the environment of clip_peer.py.

FOLDER holds what writes.py puts there. It can change no row: `clip-retrieval index` is run anew over all vectors, into the folder of the
old index. That is killed at moments spread over the seconds that it took, and the file is opened again. Prints one JSON like writes.py's (kept as
bench/results/peers_clip_writes.json). Nothing of the project is imported here.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from clip_peer import declared


def made(place: Path) -> float:
    """The index over what lies in img_emb; seconds of processor time."""
    declared()
    from clip_retrieval.clip_index import clip_index

    begin = time.process_time()
    with contextlib.redirect_stdout(sys.stderr):
        clip_index(str(place), str(place / "index"), max_index_memory_usage="1G",
                   current_memory_available="6G", copy_metadata=False, nb_cores=1)  # fmt: skip
    return round(time.process_time() - begin, 2)


def child(place: Path) -> subprocess.Popen[str]:
    """The same in a process of its own, which has said that it is ready and goes on."""
    process = subprocess.Popen(
        [sys.executable, __file__, str(place), "make"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    if not process.stdout or not process.stdin:
        raise SystemExit("no pipes")
    process.stdout.readline()
    process.stdin.write("\n")
    process.stdin.flush()
    return process


def state(place: Path, before: Any, after: Any) -> str:
    """What changed rows are found by: their old vectors or their new ones."""
    import faiss

    try:
        index = faiss.read_index(str(place / "index" / "image.index"))
    except RuntimeError:
        return "unreadable"
    near = [float(np.median(index.search(some[:100], 1)[0])) for some in (before, after)]
    return "torn" if abs(near[0] - near[1]) < 0.01 else ("old", "new")[int(near[1] > near[0])]


def main() -> None:
    if sys.argv[2:] == ["make"]:
        declared()
        import clip_retrieval.clip_index  # noqa: F401 - PyTorch with it, which is not the index's time

        print("ready", flush=True)
        sys.stdin.readline()
        print(made(Path(sys.argv[1])))
        return
    folder, kills = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 12
    vectors, rows, after = (np.load(folder / f"{n}.npy") for n in ("vectors", "changed", "after"))
    place = folder / "clip"
    for name in ("img_emb", "index"):
        (place / name).mkdir(parents=True, exist_ok=True)
    file, kept = place / "img_emb" / "img_emb_0.npy", place / "kept.index"
    np.save(file, vectors)
    built = float(child(place).communicate()[0])
    shutil.copyfile(place / "index" / "image.index", kept)
    before = vectors[rows]
    vectors[rows] = after
    np.save(file, vectors)
    process, begin = child(place), time.perf_counter()
    changed = float(process.communicate()[0])
    seconds = time.perf_counter() - begin
    if (now := state(place, before, after)) != "new":
        raise SystemExit(f"not changed: {now}")
    states, finished = Counter[str](), 0
    for n in range(kills):
        shutil.copyfile(kept, place / "index" / "image.index")
        with child(place) as process:
            time.sleep(seconds * (n + 0.5) / kills)
            finished += process.poll() is not None
            process.send_signal(signal.SIGKILL)
        states[state(place, before, after)] += 1
    about = {"build": {"cpu_s": built}, "change": {"cpu_s": changed, "s": round(seconds, 2)}}
    print(
        json.dumps(about | {"states": dict(states), "done_before_the_kill": finished, "said": []})
    )


if __name__ == "__main__":
    main()
