"""What the command line shows: progress, tallies, answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from lensback.legible import legible

if TYPE_CHECKING:
    from lensback.types import Progress as Callback
    from lensback.types import Tally
    from lensback.wire import Answer, Hit, Offer

PLAIN_EVERY_S = 10.0
AFTER_S = 1.0
"""Sooner than this nobody asks what a command is doing."""
_UNBOUND = 10_000
"""Columns of a terminal that breaks no word."""
HEADLINES = {
    "exact": "This very product",
    "similar": "Looks like it (no exact match is sure enough)",
    "none": "We did not find it: nothing in the catalogue is near",
}
BY_WORDS = {"similar": "Found by your words", "none": "Nothing in the catalogue has these words"}
LEFT_OUT = {
    "photo": "What looks like your photo is sold, but the filters leave it out",
    "words": "What has these words is sold, but the filters leave it out",
}
TRY = {
    "filters": "Take filters off, or widen them: --price-max, --store, --category, --in-stock, --words.",
    "photo": "Try a closer photo of one thing, or mark it with --box.",
    "words": "Try fewer words, or other ones.",
}


class Terminal(Console):
    """A console that obeys only us: what is printed is cleaned after Rich has laid it out and
    before Rich adds its own colours."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The parts of the line as they go to the terminal: their texts cleaned, Rich's own control
        codes as they are."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(legible(text, lines=True), style)


class FittedTable(Table):
    """Rows under names: a table where the terminal is wide enough for every word and number of it, and
    elsewhere each row by itself, `name: value · name: value`. Nothing is cut off, and only what is
    longer than a line is broken."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The parts of the table, or of its rows."""
        if self._fits(console, options):
            yield from super().__rich_console__(console, options)
            return
        names = [_text_of(console, column.header) for column in self.columns]
        first = 1 + next((at for at, name in enumerate(names) if name), 0)
        for row in zip(*(column.cells for column in self.columns), strict=True):
            cells = [_text_of(console, cell) for cell in row]
            if any(cells[:first]):
                head = Text(" ", style="bold", overflow="fold").join(filter(None, cells[:first]))
                yield head
            named = zip(names[first:], cells[first:], strict=True)
            told = [Text.assemble(name, ": ", cell) for name, cell in named if cell]
            yield Padding.indent(Text(" · ", overflow="fold").join(told), 2)

    def _fits(self, console: Console, options: ConsoleOptions) -> bool:
        """Whether every column gets the width of its longest word; then each has its width. Left to
        itself, Rich makes wide columns equal and cuts the words of one where another has room."""
        unbound = options.update(width=_UNBOUND)
        least, most = [], []
        for column in self.columns:
            cells = (column.header, *column.cells)
            ranges = [Measurement.get(console, unbound, cell) for cell in cells]
            most.append(max(each.maximum for each in ranges))
            least.append(max(e.maximum if column.no_wrap else e.minimum for e in ranges))
        around = self.__rich_measure__(console, unbound).maximum - sum(most)
        room, wanted = options.max_width - around - sum(least), sum(most) - sum(least)
        if room < 0:
            return False
        share = min(1.0, room / wanted) if wanted else 0.0
        for column, low, high in zip(self.columns, least, most, strict=True):
            column.width = low + int((high - low) * share)
        return True


def _text_of(console: Console, cell: RenderableType) -> Text:
    return cell.copy() if isinstance(cell, Text) else console.render_str(str(cell))


class StageProgress:
    """Progress bars on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._stages: dict[str, Callback] = {}

    def __enter__(self) -> StageProgress:
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<16}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
            )
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars:
            for task in self._bars.tasks:
                if task.total is None and not task.completed:  # it had nothing to do
                    self._bars.remove_task(task.id)
            self._bars.stop()

    def stage(self, name: str) -> Callback:
        """What a stage calls with (done, total)."""
        return self._bar(self._bars, name) if self._bars else self._lines(name)

    def watch(self, stage: str, done: int, total: int) -> None:
        """What work of several stages calls: one bar for each, made when it is first heard of."""
        if stage not in self._stages:
            self._stages[stage] = self.stage(stage)
        self._stages[stage](done, total)

    def _bar(self, bars: Progress, name: str) -> Callback:
        task = bars.add_task(name, total=None)  # moves, until somebody says how much there is

        def show(done: int, total: int) -> None:
            bars.update(task, completed=done, total=max(total, done) if total else None)

        return show

    def _lines(self, name: str) -> Callback:
        last = [time.monotonic()]

        def show(done: int, total: int) -> None:
            if time.monotonic() - last[0] >= PLAIN_EVERY_S:
                last[0] = time.monotonic()
                of = f" of {total}" if total else ""
                self._console.print(f"{name}: {done}{of}", highlight=False)

        return show


@contextmanager
def waiting(console: Console, what: str) -> Iterator[None]:
    """Shows that work goes on which cannot tell how far it is: from AFTER_S on a moving bar with the
    time on a terminal, a plain line every ten seconds elsewhere. Print nothing meanwhile."""
    over = threading.Event()
    thread = threading.Thread(target=_wait, args=(console, what, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _wait(console: Console, what: str, over: threading.Event) -> None:
    begin = time.monotonic()
    if over.wait(AFTER_S):
        return
    if console.is_terminal:
        columns = (TextColumn("{task.description:<16}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bars:
            bars.add_task(what, total=None)
            over.wait()
        return
    while not over.wait(PLAIN_EVERY_S):
        console.print(f"{what}: {time.monotonic() - begin:.0f} s", highlight=False)


def tally_table(tallies: Sequence[Tally]) -> RenderableType:
    """One row per stage."""
    table = FittedTable("stage", "done", "skipped", "rejected", "seconds", "notes")
    for tally in tallies:
        rejected = ", ".join(f"{n} {why}" for why, n in tally.rejected.most_common(4))
        notes = ", ".join(
            f"{key} {value}" for key, value in tally.notes.items() if key not in {"warning", "hint"}
        )
        numbers = (str(tally.done), str(tally.skipped), rejected or "0", f"{tally.seconds:.2f}")
        table.add_row(*map(escape, (tally.stage, *numbers, notes)))
    return table


def answer_table(answer: Answer) -> RenderableType:
    """The verdict, then one row per store of each hit."""
    from lensback.rank import folded, sizes
    from lensback.speech import Speech
    from lensback.verdicts import reasons

    asked = "words" if answer.photo.width == 0 else "photo"
    headlines = HEADLINES if asked == "photo" else BY_WORDS
    head = Text(headlines[answer.verdict], style="bold")
    why = [Text(sentence) for sentence in reasons(answer, Speech("en"))]
    if answer.left_out:
        return Group(Text(LEFT_OUT[asked], style="bold"), *why, Text(TRY["filters"]))
    if not answer.hits:
        return Group(head, *why, Text(TRY[asked]))
    table = FittedTable(
        "", "product", "match", "store", "sizes", "price", "after cashback", "stock", "offer"
    )
    likely = [hit for hit in answer.hits if _is_likely(hit, answer)]
    table.columns[-1].no_wrap = True  # an id broken in two cannot be copied
    for n, hit in enumerate(likely, 1):
        for at, same in enumerate(folded(hit.offers, _store_price_stock)):
            first, offer = at == 0, same[0]
            match = f"{hit.similarity:.2f}"
            match += f" / {hit.probability:.0%}" if answer.calibrated else ""
            match = "words" if hit.by == "words" else match
            table.add_row(
                (f"{n}{' =' if hit.exact else ''}") if first else "",
                escape(hit.title) if first else "",
                match if first else "",
                escape(_store(offer)),
                escape(sizes(same)),
                str(offer.price),
                _after_cashback(offer),
                _stock(offer),
                offer.offer_id,
            )
    spent = ", ".join(f"{name} {ms:.0f}" for name, ms in answer.timings_ms.items())
    tail = Text(f"match = similarity / probability; = means exact; ms: {spent}", style="dim")
    notes = (
        [] if answer.calibrated else [Text("not calibrated: nothing is called exact by its looks")]
    )
    if unlikely := len(answer.hits) - len(likely):
        notes.append(Text(f"{unlikely} more are not shown: less than 1 % likely (--json has them)"))
    return Group(head, *why, *([table] if likely else []), *notes, tail)


def _is_likely(hit: Hit, answer: Answer) -> bool:
    """Whether a hit is worth a row: one of 0 % is not, where the probability is known."""
    return not answer.calibrated or hit.exact or hit.by == "words" or round(hit.probability, 2) > 0


def _store(offer: Offer) -> str:
    """What people call the store, and the name that commands take."""
    known = offer.store_title in {"", offer.store}
    return offer.store if known else f"{offer.store_title} ({offer.store})"


def _store_price_stock(offer: Offer) -> tuple[object, ...]:
    return offer.store, offer.price, offer.availability, offer.reachable


def _stock(offer: Offer) -> str:
    if not offer.reachable:
        return "no way there"
    unknown = offer.availability == "unknown"
    return "check at the store" if unknown else offer.availability.replace("_", " ")


def _after_cashback(offer: Offer) -> str:
    least = offer.up_to and offer.cashback.minor > 0
    return f"{'from ' if least else ''}{offer.price_after_cashback}"
