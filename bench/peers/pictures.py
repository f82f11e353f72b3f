"""img2dataset and us on the same pictures: `python bench/peers/pictures.py [--pictures 5057] [--few 60] [--rounds 3]`.

The second-hand store's phone photos are served on loopback by this process, and fetched in turns by img2dataset, twice
(resized to 224 pixels and written anew as JPEG; kept as they come), and by our download stage, which keeps the file as
it comes, decodes and checks it, and writes a row about it. Each in a process of its own: processor time of all
its processes, which other work on the machine disturbs least, and the most memory of one process; the same for few
pictures, so that what starting costs can be told from what each picture costs. img2dataset lives in an environment of its own, build/img2dataset.
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rig import DATA, REPOSITORY, arguments, child, cpu_s, second_hand, shop_of, write

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
        spent = _spent_s() - before
    return _figures(done, spent, seconds)


def _spent_s() -> float:
    """Of this process, of those of its children that run, and of those that ended."""
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return cpu_s(os.getpid()) + told.ru_utime + told.ru_stime


def _figures(done: int, spent: float, seconds: float) -> dict[str, Any]:
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # fmt: skip
    return {
        "pictures": done,
        "cpu_s": round(spent, 3),
        "s": round(seconds, 2),
        "peak_mb": round(most / 1024),
    }


def peer(python: Path, folder: Path, urls: Path, way: str) -> dict[str, Any]:
    command = [python, PEER, way, urls, folder / way]
    env = os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1"}  # it would ask the network
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, cwd=folder, env=env
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def one_round(python: Path, base: str, sizes: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """For each way the figures at each number of pictures."""
    found: dict[str, list[dict[str, Any]]] = {}
    for most in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            urls = folder / "urls.txt"
            urls.write_text("\n".join(second_hand(base, most)) + "\n")
            found.setdefault("ours", []).append(child(__file__, "--step", folder))
            for way in ("resized", "as they come"):
                told = peer(python, folder, urls, way)
                found.setdefault(f"img2dataset, {way}", []).append(told)
    print(json.dumps(found), flush=True)
    return found


def each(few: Mapping[str, float], many: Mapping[str, float]) -> float:
    """Milliseconds of processor time for one picture more."""
    return round(1000 * (many["cpu_s"] - few["cpu_s"]) / (many["pictures"] - few["pictures"]), 2)


def main() -> None:
    from lensback.demo import serve_folder

    parser = arguments(__doc__, pictures=5057, few=60, rounds=3)
    parser.add_argument("--step", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        print(json.dumps(ours(asked.step, asked.step / "urls.txt")))
        return
    load, python = os.getloadavg()[0], environment()
    with serve_folder(DATA / "shops") as base:
        rounds = [one_round(python, base, (asked.few, asked.pictures)) for _ in range(asked.rounds)]
    one_more = {who: sorted(each(*one[who]) for one in rounds) for who in rounds[0]}
    start = {who: round(statistics.median(one[who][0]["cpu_s"] for one in rounds), 1) for who in rounds[0]}  # fmt: skip
    memory = {who: max(one[who][1]["peak_mb"] for one in rounds) for who in rounds[0]}
    about = {"pictures": asked.pictures, "few": asked.few, "rounds": asked.rounds, "load_average": load}  # fmt: skip
    told = {"cpu_ms_of_one_more": one_more, "cpu_s_of_few": start, "peak_mb": memory}
    write("peers_pictures", about | told, asked.out)


if __name__ == "__main__":
    main()
