"""What `/metrics` counts: of one process, or of all workers of a `serve` together.

Several workers write their counts into files of one folder (`SHARED` in the environment, which
prometheus_client reads when it is imported), and whichever is asked adds them up.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.multiprocess import MultiProcessCollector

from lensback.wire import Answer

SHARED = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Meters:
    """The counters of one application."""

    registry: CollectorRegistry
    requests: Counter
    stages: Histogram
    verdicts: Counter
    probability: Histogram

    @classmethod
    def new(cls) -> Meters:
        """Meters that count from 0, in a registry of their own."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        return cls(
            registry,
            Counter(
                "lensback_requests",
                "Requests by route and status.",
                ["route", "status"],
                registry=registry,
            ),
            Histogram(
                "lensback_search_seconds",
                "Seconds of a search, by stage; `total` is all of them.",
                ["stage"],
                buckets=_SECONDS,
                registry=registry,
            ),
            Counter("lensback_answers", "Answers by verdict.", ["verdict"], registry=registry),
            Histogram(
                "lensback_match_probability",
                "Match probability of the first hit: a shift is the first sign of other photos.",
                buckets=[tenth / 10 for tenth in range(1, 11)],
                registry=registry,
            ),
        )

    def counted(self) -> CollectorRegistry:
        """What is to be told: the counts of all workers together; of a single process also its
        memory, its processor time and its open files."""
        if not os.environ.get(SHARED):
            return self.registry
        told = CollectorRegistry()
        MultiProcessCollector(told)  # type: ignore[no-untyped-call]
        return told

    def searched(self, answer: Answer) -> None:
        """Counts one answer: its verdict and how long each stage took."""
        self.verdicts.labels(answer.verdict).inc()
        self.probability.observe(answer.probability)
        for stage, ms in answer.timings_ms.items():
            self.stages.labels(stage).observe(ms / 1000)
