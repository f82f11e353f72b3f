"""The process that decodes: one picture after the other, each within limits that the kernel keeps.

Started by `workers` as `python -m lensback.images.worker SOCKET MEMORY NICE`: orders and replies are
JSON messages on the socket; bytes in and pixels out lie in the shared memory. An order names several
pictures, and may ask for the codes or the words of a photo in place of its pixels, or only for a look. It dies of a picture that takes more of the processor than its order allows, and ends when the socket is closed.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from lensback.errors import Error
from lensback.images import codes, texts
from lensback.images.decoding import look, unweighed

LAYOUT, PIXEL_BYTES = "RGBX", 4
"""Of pixels that are handed over: as Pillow keeps them, to be copied and not taken apart."""
REPLY_BYTES = 128 << 10
"""More than codes of the largest number and length, every letter of them escaped."""


def main(channel: int, memory: int, nice: int) -> None:
    """Serves orders until there are no more."""
    os.nice(nice)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever ordered
    with socket.socket(fileno=channel) as orders:
        used, shared, letter = _address_space(), mmap.mmap(memory, 0), bytearray(REPLY_BYTES)
        while size := orders.recv_into(letter):
            said = json.loads(letter[:size])
            if said["room"] > len(shared):
                shared = mmap.mmap(memory, said["room"])
            if said["what"] == "codes" and "zxingcpp" not in sys.modules:
                used = _with(_codes_reader)
            elif said["what"] == "texts" and texts.PACKAGE not in sys.modules:
                used = _with(texts.load)
            replies, shared = _all_done(said, shared, memory, used)
            with suppress(BrokenPipeError):  # whoever ordered has gone
                orders.send(json.dumps(replies).encode())


def _all_done(
    order: dict[str, Any], shared: mmap.mmap, memory: int, used: int
) -> tuple[list[dict[str, Any]], mmap.mmap]:
    """A reply for each picture of the order, and the shared memory, larger if they asked for it. What
    they are lies one behind the other, what becomes of them behind that."""
    replies, begin, end = [], 0, sum(order["bytes"])
    for size in order["bytes"]:
        data, begin = shared[begin : begin + size], begin + size
        try:
            reply, shared = _done(order, data, end, shared, memory, used)
        except Error as error:
            reply = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        end = reply.get("end", end)
        replies.append(reply)
    return replies, shared


def _done(
    order: dict[str, Any], data: bytes, begin: int, shared: mmap.mmap, memory: int, used: int
) -> tuple[dict[str, Any], mmap.mmap]:
    """The reply of one picture, whose pixels go to `begin`, and the shared memory."""
    _limit(used + len(shared) + order["memory"])
    signal.setitimer(signal.ITIMER_PROF, order["seconds"])
    try:
        if order["what"] == "look":
            return {"seen": look(data, order["max_pixels"])}, shared
        if order["what"] == "codes":
            found = codes.read(data, order["side_px"], order["max_pixels"])
            return {"codes": [[code.text, code.kind, code.box] for code in found]}, shared
        if order["what"] == "texts":
            lines = texts.read(data, order["side_px"], order["max_pixels"])
            return {"texts": [_line(line) for line in lines]}, shared
        image, mime, whole = unweighed(data, order["side_px"], order["max_pixels"])
        end = begin + PIXEL_BYTES * image.width * image.height
        if end > len(shared):
            _limit(used + len(shared) + order["memory"] + end)
            os.ftruncate(memory, end)
            shared = mmap.mmap(memory, end)
        if image.width and image.height:
            place: Any = memoryview(shared)[begin:end]
            lies = Image.frombuffer(LAYOUT, image.size, place, "raw", LAYOUT, 0, 1)
            lies.im.paste(image.im, (0, 0, *image.size))  # row by row, once: no bytes in between
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return {"size": image.size, "mime": mime, "whole": whole, "end": end}, shared


def _line(line: texts.TextLine) -> list[Any]:
    return [[[word.text, word.sure] for word in line.words], line.box]


def _codes_reader() -> None:
    import zxingcpp  # noqa: F401 - loaded is all


def _with(load: Callable[[], object]) -> int:
    """Loads a reader, before the limits of a picture hold; this process's own bytes then."""
    _limit(resource.RLIM_INFINITY)
    load()
    return _address_space()


def _limit(address_space: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (address_space, resource.RLIM_INFINITY))


def _address_space() -> int:
    """Bytes of this process's own before any picture."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * mmap.PAGESIZE


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
