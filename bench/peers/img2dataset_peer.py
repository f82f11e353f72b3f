"""img2dataset over a list of addresses: `python img2dataset_peer.py WAY URLS FOLDER`, in an environment of its own.

WAY is `resized` (224 pixels on the shorter side, JPEG of quality 90) or `as they come` (the bytes, looked at
by nobody). Two processes of 32 threads. Prints one JSON. Nothing of the project is imported here.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    from img2dataset import download

    way, urls, folder = sys.argv[1:]
    how = {"resize_mode": "keep_ratio", "image_size": 224, "encode_quality": 90}
    if way != "resized":
        how = {"resize_mode": "no", "disable_all_reencoding": True}
    begin, before = time.perf_counter(), spent_s()
    download(
        url_list=urls,
        output_folder=folder,
        output_format="files",
        processes_count=2,
        thread_count=32,
        number_sample_per_shard=1000,
        **how,
    )
    seconds, cpu_s = time.perf_counter() - begin, spent_s() - before
    done = sum(1 for _ in Path(folder).rglob("*.jpg"))
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # fmt: skip
    figures = {
        "pictures": done,
        "cpu_s": round(cpu_s, 3),
        "s": round(seconds, 2),
        "peak_mb": round(most / 1024),
    }
    print("\n" + json.dumps(figures))


def spent_s() -> float:
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + told.ru_utime + told.ru_stime


if __name__ == "__main__":
    main()
