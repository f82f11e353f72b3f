"""Ctrl-C and SIGTERM: a word within a second, an end within a few, no traceback, the code of the signal.

Python runs a handler in the main thread, between two of its steps. A command may be in native code
for a minute by then, or wait for threads that look up a name. So the kernel writes each signal into
a pair of sockets (`signal.set_wakeup_fd`), and a thread reads it there: it says so, asks for a stop,
and ends the process when that took too long. Nothing is lost by it: every stage survives a kill.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event
from types import FrameType

from lensback.cli.face import err
from lensback.errors import Stopped

GRACE_S = 4.0
"""From the first signal to the end of the process, should the next step not come before."""
QUIET_S = 0.5
"""A command that ends sooner after Ctrl-C says so once, at its end."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)
CTRL_C = 128 + signal.SIGINT
"""The exit code that shells give for it."""
_OVER = b"\0"


def again() -> str:
    """How to go on where this command was stopped: a line to paste. Every command can be run again."""
    return f"nothing is lost; to go on: {shlex.join(['lensback', *sys.argv[1:]])}"


class Interrupted(BaseException):
    """Ctrl-C in work that looks for no signal. No Exception, so nothing takes it for a failure of
    one row; no KeyboardInterrupt, which the command line's library would answer by itself."""

    def as_error(self) -> Stopped:
        """What is said at the end."""
        stopped = Stopped("stopped by Ctrl-C", hint=again())
        stopped.exit_code = CTRL_C
        return stopped


class Stop(Event):
    """Set by a signal, which it keeps; 0 before."""

    asked = 0

    @property
    def by_hand(self) -> bool:
        """Whether somebody pressed Ctrl-C."""
        return self.asked == signal.SIGINT


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C raises Interrupted here. What holds the end up for QUIET_S is told of, and ended after
    GRACE_S, or at once by a second Ctrl-C. Only the main thread hears signals; others change nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        _hush()
        raise Interrupted

    unwound = Event()

    def tell(_signal: int) -> None:
        if not unwound.wait(QUIET_S):
            _say()

    try:
        with _watched((signal.SIGINT,), interrupt, tell):
            yield
    finally:
        unwound.set()


@contextmanager
def stoppable(halt: Event) -> Iterator[Stop]:
    """An event that SIGTERM and Ctrl-C set, together with `halt`; a second one, or GRACE_S, ends
    the process at once, with the code that shells give for the signal. So does the Stopped that the
    work raises at its next step."""
    stop = Stop()

    def ask(which: int) -> None:
        stop.asked = which
        stop.set()
        halt.set()
        # Not from here: a terminal that takes nothing more must not hold this thread.
        threading.Thread(target=_say, daemon=True).start()

    with _watched(SIGNALS, lambda *_: None, ask):
        try:
            yield stop
        except Stopped as stopped:
            if stop.asked:
                stopped.exit_code = 128 + stop.asked
            raise


@contextmanager
def handed_over() -> Iterator[None]:
    """Leaves Ctrl-C to a server that handles it itself. The KeyboardInterrupt that such a server ends
    with is raised as Interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    listening = signal.set_wakeup_fd(-1)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        signal.signal(signal.SIGINT, kept)
        signal.set_wakeup_fd(listening)


@contextmanager
def _watched(
    which: Sequence[signal.Signals],
    handler: Callable[[int, FrameType | None], None],
    ask: Callable[[int], None],
) -> Iterator[None]:
    """`ask` hears the first of these signals in a thread of its own, at once; `handler` is called
    by Python as usual."""
    kept = {each: signal.getsignal(each) for each in which}
    asked: list[int] = []
    heard: list[int] = []  # of Python's handler, which may be sooner than the thread

    def note(said: int, frame: FrameType | None) -> None:
        heard.append(said)
        handler(said, frame)

    reading, writing = socket.socketpair()
    writing.setblocking(False)  # what `set_wakeup_fd` asks for
    watch = threading.Thread(target=_watch, args=(reading, which, ask, asked), daemon=True)
    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    watch.start()
    try:
        for each in which:
            signal.signal(each, note)
        yield
    finally:
        for each, old in kept.items():
            signal.signal(each, old)
        signal.set_wakeup_fd(before)
        if not (asked or heard):  # else the process ends, and what holds it up is ended, too
            with suppress(OSError):
                writing.send(_OVER)
            watch.join()
            reading.close()
            writing.close()


def _watch(
    signals: socket.socket, which: Sequence[int], ask: Callable[[int], None], asked: list[int]
) -> None:
    end = 0.0
    while True:
        signals.settimeout(max(0.001, end - time.monotonic()) if asked else None)
        try:
            said = signals.recv(1)
        except TimeoutError:
            _end(asked[0])
        if said == _OVER:
            return
        if not said:  # the command is through, and yet the process is there
            time.sleep(max(0.0, end - time.monotonic()))
            _end(asked[0])
        if said[0] not in which:
            continue
        if asked:
            _end(said[0])
        asked.append(said[0])
        end = time.monotonic() + GRACE_S
        threading.Thread(target=ask, args=(said[0],), daemon=True).start()


def _end(which: int) -> None:
    """At once; a terminal that takes nothing more does not hold it up."""
    told = threading.Thread(target=_last_word, daemon=True)
    told.start()
    told.join(0.2)
    os._exit(128 + which)


def _last_word() -> None:
    if err.is_terminal:  # a bar has hidden the cursor, maybe
        err.show_cursor()
    err.print(f"stopped; {again()}", markup=False, highlight=False, soft_wrap=True)


def _say() -> None:
    err.print("stopping at the next step; once more to stop at once", highlight=False)


def _hush() -> None:
    """From here on the process ends: what threads and destructors say of that is for nobody."""
    sys.unraisablehook = lambda _: None
    threading.excepthook = lambda _: None
