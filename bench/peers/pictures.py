"""img2dataset and us on the same pictures: `python bench/peers/pictures.py [--pictures 5057] [--rounds 3]`.

The second-hand store's phone photos are served on loopback by this process, and fetched in turns by img2dataset, twice
(resized to 224 pixels and written anew as JPEG; kept as they come), and by our download stage, which keeps the file as
it comes, decodes and checks it, and writes a row about it. Each in a process of its own: processor time of all
its processes, which other work on the machine disturbs least, pictures a second by the clock, and the most memory
of one process. img2dataset lives in an environment of its own, build/img2dataset.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rig import DATA, REPOSITORY, arguments, child, second_hand, shop_of, write

PEER = Path(__file__).resolve().parent / "img2dataset_peer.py"
ENVIRONMENT = REPOSITORY / "build" / "img2dataset"


def environment() -> Path:
    """The Python of the peer's environment, made where it is missing."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "img2dataset"], check=True)
    return python


def ours(folder: Path, urls: Path) -> dict[str, Any]:
    """Our download stage over a feed with these pictures, read before the time is taken."""
    from lensback.settings import Settings
    from lensback.sync import sync
    from lensback.workspace import Workspace, init

    init(folder / "w")
    with Workspace(folder / "w", Settings(allow_hosts=("127.0.0.1",))) as workspace:
        shop_of(workspace, urls.read_text().splitlines())
        begin, before = time.perf_counter(), _spent_s()
        report = sync(workspace, only="download")
        seconds, done = time.perf_counter() - begin, report.tallies[-1].done
    spent = _spent_s() - before  # the processes that decode have ended with the workspace
    return _figures(done, spent, seconds)


def _spent_s() -> float:
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + told.ru_utime + told.ru_stime


def _figures(done: int, cpu_s: float, seconds: float) -> dict[str, Any]:
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # fmt: skip
    return {
        "pictures": done,
        "cpu_ms_each": round(1000 * cpu_s / max(1, done), 3),
        "pictures_per_s": round(done / seconds, 1),
        "peak_mb": round(most / 1024),
    }


def peer(python: Path, folder: Path, urls: Path, way: str) -> dict[str, Any]:
    command = [python, PEER, way, urls, folder / way]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=folder)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def one_round(python: Path, base: str, most: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        urls = folder / "urls.txt"
        urls.write_text("\n".join(second_hand(base, most)) + "\n")
        found = {"ours": child(__file__, "--step", folder)}
        for way in ("resized", "as they come"):
            found[f"img2dataset, {way}"] = peer(python, folder, urls, way)
    print(json.dumps(found), flush=True)
    return found


def main() -> None:
    from lensback.demo import serve_folder

    parser = arguments(__doc__, pictures=5057, rounds=3)
    parser.add_argument("--step", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        print(json.dumps(ours(asked.step, asked.step / "urls.txt")))
        return
    load, python = os.getloadavg()[0], environment()
    with serve_folder(DATA / "shops") as base:
        rounds = [one_round(python, base, asked.pictures) for _ in range(asked.rounds)]
    medians = {
        who: {what: statistics.median(one[who][what] for one in rounds) for what in rounds[0][who]}
        for who in rounds[0]
    }
    least = {who: sorted(one["ours"]["cpu_ms_each"] / one[who]["cpu_ms_each"] for one in rounds) for who in medians}  # fmt: skip
    ratios = {who: [round(each, 3) for each in found] for who, found in least.items()}
    about = {"pictures": asked.pictures, "rounds": asked.rounds, "load_average": load}
    write("peers_pictures", about | {"medians": medians, "ours_over_cpu": ratios}, asked.out)


if __name__ == "__main__":
    main()
