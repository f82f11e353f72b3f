"""Downloads the demo's real photos: CC0 pictures of clothes, named in `manifest.csv`.

Source: the public repository alexeygrigorev/clothing-dataset-small, files
`train|validation|test/<label>/<uuid>.jpg`. Rows without a split were not seen there: they come from
the larger data set's list of names, and are looked for in each split.
"""

from __future__ import annotations

import csv
import io
import queue
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from PIL import Image

from lensback.demo.files import write_whole
from lensback.errors import Error, FetchTimeout

Fetch = Callable[[str], bytes]
Progress = Callable[[int, int], None]

BASE_URL = "https://raw.githubusercontent.com/alexeygrigorev/clothing-dataset-small/master/"
SPLITS = ("train", "validation", "test")
ENOUGH = 50
"""Fewer pictures than this make no catalogue."""
_MAX_SIDE_PX = 8000


@dataclass(frozen=True, slots=True)
class Row:
    """One photo of the manifest; `split` is empty where nobody has seen the file yet."""

    split: str
    label: str
    file: str

    @property
    def paths(self) -> list[str]:
        splits = [self.split] if self.split else list(SPLITS)
        return [f"{split}/{self.label}/{self.file}" for split in splits]


@dataclass(slots=True)
class Download:
    """What came: the rows with a good file on disk, and why others have none."""

    rows: list[Row] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    reason: str = ""
    """Why the network was given up before the download, or empty."""


def manifest() -> list[Row]:
    """The names in the package, files that were seen first."""
    text = resources.files("lensback.demo").joinpath("manifest.csv").read_text(encoding="utf-8")
    return [Row(**row) for row in csv.DictReader(io.StringIO(text))]


def download(
    folder: Path,
    fetch: Fetch,
    base_url: str,
    *,
    count: int,
    progress: Progress,
    workers: int = 8,
    probe_s: float = 5.0,
    patience_s: float = 30.0,
) -> Download:
    """Brings up to `count` photos into `folder`; those already there are not asked for again.

    Gives up within `probe_s` where the first files do not come, and later when nothing at all
    has come for `patience_s`.
    """
    rows, base = manifest(), base_url.rstrip("/") + "/"
    result = Download()

    def one(row: Row) -> str:
        return _bring(row, folder, fetch, base)

    kept = [row for row in rows if _there(folder / row.file)]
    if len(kept) < count:
        asked = [row for row in rows if row not in kept][:3]
        result.reason = _probe(asked, one, probe_s, missing_is_news=not kept)
    if result.reason or len(kept) >= count:
        result.rows = kept[:count]
        return result
    while len(result.rows) < count and rows:
        wanted = count - len(result.rows)
        batch, rows = rows[:wanted], rows[wanted:]
        if not _run(batch, one, result, progress, count, workers, patience_s):
            result.failed["not answered in time"] += len(rows)
            break
    return result


def _run(
    batch: list[Row],
    one: Callable[[Row], str],
    result: Download,
    progress: Progress,
    count: int,
    workers: int,
    patience_s: float,
) -> bool:
    """Adds the batch to the result, in its order; False if the other side fell silent."""
    came: dict[Row, str] = {}
    for row, failure in _parallel(batch, one, workers, patience_s):
        came[row] = failure
        progress(len(result.rows) + list(came.values()).count(""), count)
    for row in batch:
        failure = came.get(row, "not answered in time")
        if failure:
            result.failed[failure] += 1
        else:
            result.rows.append(row)
    return len(came) == len(batch)


def _probe(
    rows: list[Row], one: Callable[[Row], str], probe_s: float, *, missing_is_news: bool
) -> str:
    """Empty if one of these files comes in time, else why not; a clear "no such file" may do too."""
    failures: Counter[str] = Counter()
    until = time.monotonic() + probe_s
    for _, failure in _parallel(rows, one, len(rows), probe_s, until):
        if not failure or (failure == "missing" and not missing_is_news):
            return ""
        failures[failure] += 1
    if not failures:
        return f"nothing came within {probe_s:g} s"
    return failures.most_common(1)[0][0]


def _parallel(
    rows: list[Row],
    one: Callable[[Row], str],
    workers: int,
    patience_s: float,
    until: float = float("inf"),
) -> Iterator[tuple[Row, str]]:
    """Each row with its failure, as they end; stops when nothing ends for `patience_s`.

    The threads are daemons: one that hangs in a connection keeps nobody from leaving.
    """
    todo: queue.SimpleQueue[Row] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Row, str]] = queue.SimpleQueue()
    for row in rows:
        todo.put(row)

    def work() -> None:
        try:
            while True:
                row = todo.get_nowait()
                done.put((row, one(row)))
        except queue.Empty:
            return

    for _ in range(min(workers, len(rows))):
        threading.Thread(target=work, daemon=True).start()
    for _ in rows:
        try:
            yield done.get(timeout=max(0.01, min(patience_s, until - time.monotonic())))
        except queue.Empty:
            return


def _bring(row: Row, folder: Path, fetch: Fetch, base: str) -> str:
    """Empty when the photo is on disk, else why it is not."""
    path = folder / row.file
    if _there(path):
        return ""
    failure = "missing"
    for name in row.paths:
        try:
            data = fetch(base + name)
        except (FetchTimeout, TimeoutError):
            return "timed out"
        except (Error, OSError) as error:
            failure = _words(error)
            continue
        if not _is_photo(data):
            return "broken picture"
        write_whole(path, data)
        return ""
    return failure


def _words(error: Exception) -> str:
    """A reason short enough to count by: no address in it."""
    text = str(getattr(error, "reason", "") or error)
    if "404" in text or "Not Found" in text:
        return "missing"
    return f"{type(error).__name__}: {text.split('http', maxsplit=1)[0].strip(' :')}"[:100]


def _there(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _is_photo(data: bytes) -> bool:
    """Whether it decodes to the last line, at a sane size."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
                if max(image.size) > _MAX_SIDE_PX:
                    return False
                image.load()
    except (
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ):
        return False
    return True
