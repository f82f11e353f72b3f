"""Fuzzing of the feed readers: `python bench/fuzz_feeds.py [--seconds N] [--atheris FOLDER]`.

Any bytes may give offers, rejects or a FeedError, within a time limit and in bounded memory;
anything else is a finding and ends the run with the input saved. The engine is the small mutator of
the tests; with `--atheris FOLDER` (and atheris installed) it is libFuzzer's, led by coverage.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rig import arguments, memory_mb, write

# Of the tests, in whose folder `rig` lets us look.
from mutations import corpus, mutate, target  # type: ignore[import-not-found,unused-ignore]  # isort: skip

SLOW_S = 5.0


def run(seconds: float, seed: int) -> dict[str, object]:
    rng = random.Random(seed)
    seeds = corpus()
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    begin = time.monotonic()
    memory: list[float] = []
    count = 0
    while time.monotonic() - begin < seconds:
        data = mutate(seeds, rng)
        started = time.process_time()
        try:
            outcomes[target(data)] += 1
        except BaseException:
            Path("fuzz-finding.bin").write_bytes(data)
            raise
        took = time.process_time() - started
        slowest = max(slowest, took)
        if took > SLOW_S:
            Path("fuzz-finding.bin").write_bytes(data)
            raise SystemExit(f"{took:.1f} s for {len(data)} bytes")
        count += 1
        if count % 5000 == 0:
            memory.append(memory_mb())
    return {
        "engine": "mutation",
        "executions": count,
        "seconds": round(time.monotonic() - begin),
        "seed": seed,
        "outcomes": dict(outcomes.most_common()),
        "slowest_s": round(slowest, 3),
        "memory_mb_after_5000": memory[0] if memory else None,
        "memory_mb_at_the_end": memory[-1] if memory else None,
        "findings": 0,
    }


def with_atheris(seconds: float, folder: Path) -> None:
    """libFuzzer; it prints its own figures (executions, coverage, peak memory)."""
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

    folder.mkdir(parents=True, exist_ok=True)
    for n, data in enumerate(corpus()):
        (folder / f"seed-{n}").write_bytes(b"\1" + data)
    one: Callable[[bytes], object] = target
    atheris.instrument_all()
    options = [
        f"-max_total_time={int(seconds)}",
        f"-timeout={int(SLOW_S)}",
        "-rss_limit_mb=1024",
        "-max_len=65536",
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], one)
    atheris.Fuzz()


def main() -> None:
    asked = arguments(__doc__, seconds=60.0, seed=1, atheris=None).parse_args()
    if asked.atheris:
        with_atheris(asked.seconds, asked.atheris)
    else:
        write("fuzz_feeds", run(asked.seconds, asked.seed), asked.out)


if __name__ == "__main__":
    main()
