"""Signals that end a long command: at its next step, and within seconds whatever it is caught in.

Python runs a handler in the main thread, between two of its steps. A stage may be in native code
for a minute by then, or wait for threads that look up a name. So the kernel writes each signal into
a pair of sockets (`signal.set_wakeup_fd`), and a thread reads it there: it asks for a stop, and
ends the process when that took too long. Nothing is lost by it: every stage survives a kill.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from lensback.cli.face import err

GRACE_S = 4.0
"""From the first signal to the end of the process, should the next step not come before."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)
_OVER = b"\0"


@contextmanager
def stoppable(halt: Event) -> Iterator[Event]:
    """An event that SIGTERM and Ctrl-C set, together with `halt`; a second one, or GRACE_S, ends
    the process at once, with the code that shells give for the signal."""
    stop = Event()
    kept = {which: signal.getsignal(which) for which in SIGNALS}
    reading, writing = socket.socketpair()
    writing.setblocking(False)  # what `set_wakeup_fd` asks for
    watch = threading.Thread(target=_watch, args=(reading, stop, halt), daemon=True)
    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    watch.start()
    try:
        for which in SIGNALS:
            signal.signal(which, lambda *_: None)
        yield stop
    finally:
        for which, handler in kept.items():
            signal.signal(which, handler)
        signal.set_wakeup_fd(before)
        if not stop.is_set():  # else the process ends, and what holds it up is ended, too
            writing.send(_OVER)
            watch.join()
            reading.close()
            writing.close()


def _watch(signals: socket.socket, stop: Event, halt: Event) -> None:
    asked, end = 0, 0.0
    while True:
        signals.settimeout(max(0.001, end - time.monotonic()) if asked else None)
        try:
            said = signals.recv(1)
        except TimeoutError:
            os._exit(128 + asked)
        if said == _OVER:
            return
        if not said:  # the command is through, and yet the process is there
            time.sleep(max(0.0, end - time.monotonic()))
            os._exit(128 + asked)
        if said[0] not in SIGNALS:
            continue
        if asked:
            os._exit(128 + said[0])
        asked = said[0]
        stop.set()
        halt.set()
        end = time.monotonic() + GRACE_S
        # Not from here: a terminal that takes nothing more must not hold this thread.
        threading.Thread(target=_tell, daemon=True).start()


def _tell() -> None:
    err.print("stopping at the next step; once more to stop at once", highlight=False)
