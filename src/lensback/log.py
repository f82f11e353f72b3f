"""Structured lines on stderr, and `timed(stage)`. No photo and no user id ever goes into a line."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

from lensback.legible import legible_json

logger = logging.getLogger("lensback")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, and the record's `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return legible_json(json.dumps(line, ensure_ascii=False, default=str))


def setup(level: str = "warning") -> None:
    """Sends our lines to stderr. Called by the faces, never at import."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def event(name: str, level: int = logging.INFO, /, **fields: object) -> None:
    """Writes one structured line."""
    logger.log(level, name, extra={"fields": fields})


@contextmanager
def timed(stage: str, timings_ms: MutableMapping[str, float]) -> Iterator[None]:
    """Adds the wall time of the block, in milliseconds, to `timings_ms[stage]`."""
    begin = time.perf_counter()
    try:
        yield
    finally:
        spent = (time.perf_counter() - begin) * 1000
        timings_ms[stage] = round(timings_ms.get(stage, 0.0) + spent, 3)
