"""Places to work: whose turn it is, who has to come again, and that no client keeps the others out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from lensback.errors import Busy
from lensback.web import gate
from lensback.web.gate import RECENT_S, Gate


class Street:
    """A gate, and work in it that waits until it is told to go on."""

    def __init__(
        self, jobs: int, queue: int, each: int = 0, patience_s: float = 600, beside: int = 0
    ) -> None:
        self.gate = Gate(jobs, queue, each, patience_s, beside)
        self.began: list[str] = []
        self.tasks: dict[str, asyncio.Task[str]] = {}
        self._let = threading.Semaphore(0)

    async def come(self, name: str, client: str, seconds: float = 0.0) -> None:
        def work() -> str:
            self.began.append(name)
            self._let.acquire(timeout=240)
            return name

        before = self.gate.taken
        self.tasks[name] = asyncio.create_task(self.gate.run(work, client, seconds))
        await until(lambda: self.gate.taken != before or self.tasks[name].done() or full(self))
        await self.settled()

    async def go_on(self) -> None:
        """One of those at work ends."""
        ended = sum(task.done() for task in self.tasks.values())
        self._let.release()
        await until(lambda: sum(task.done() for task in self.tasks.values()) > ended)
        await self.settled()

    async def settled(self) -> None:
        """Returns when all that were given a place have begun, each in its thread."""
        await until(lambda: len(self.began) >= self._worked() + len(self.gate._working))

    def _worked(self) -> int:
        done = (task for task in self.tasks.values() if task.done() and not task.cancelled())
        return sum(task.exception() is None for task in done)

    async def refused(self) -> set[str]:
        await asyncio.sleep(0.02)
        done = {name: task for name, task in self.tasks.items() if task.done()}
        return {name for name, task in done.items() if isinstance(task.exception(), Busy)}

    async def close(self) -> None:
        for _ in self.tasks:
            self._let.release()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        self.gate.close()


def full(street: Street) -> bool:
    return any(task.done() for task in street.tasks.values())


async def until(ready: Callable[[], bool], seconds: float = 120) -> None:
    async with asyncio.timeout(seconds):
        while not ready():
            await asyncio.sleep(0.002)


def on(*given: float, **named: float) -> Callable[[Callable[[Street], Awaitable[None]]], Any]:
    """The test on a street of its own."""

    def made(test: Callable[[Street], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        async def run() -> None:
            street = Street(*given, **named)  # type: ignore[arg-type]
            try:
                with patch.object(gate, "time", SimpleNamespace(monotonic=lambda: 1000.0)):
                    await test(street)
            finally:
                await street.close()

        def plain() -> None:
            asyncio.run(run())

        plain.__name__ = test.__name__
        return plain

    return made


@on(1, 4)
async def test_each_client_in_its_turn(street: Street) -> None:
    for name, client in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        await street.come(name, client)
    for _ in range(3):
        await street.go_on()
    assert street.began == ["a1", "a2", "a3", "b1"], "nobody of a's is at work when a place is free"


@on(2, 8)
async def test_who_has_nobody_at_work_comes_first(street: Street) -> None:
    for name, client in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        await street.come(name, client)
    await street.go_on()
    assert street.began[2] == "b1"


@on(1, 4)
async def test_the_cheaper_comes_first(street: Street) -> None:
    for name, seconds in (("first", 1.0), ("dear", 5.0), ("phone", 0.5), ("later", 0.5)):
        await street.come(name, "a", seconds)
    for _ in range(3):
        await street.go_on()
    assert street.began == ["first", "phone", "later", "dear"]


@on(1, 2)
async def test_who_fills_the_queue_gives_way_to_others(street: Street) -> None:
    for n in range(5):
        await street.come(f"a{n}", "a")
    assert await street.refused() == {"a3", "a4"}, "the last ones, while there is nobody else"
    await street.come("b", "b")
    assert await street.refused() == {"a2", "a3", "a4"}
    await street.come("c", "c")
    assert "a1" in await street.refused()
    await street.come("d", "d")
    assert "d" in await street.refused(), "each has one: the last to come"
    await street.go_on()
    assert street.began == ["a0", "b"]


@on(1, 2)
async def test_the_dearest_of_a_client_gives_way(street: Street) -> None:
    for name, seconds in (("works", 1.0), ("dear", 5.0), ("cheap", 0.2), ("cheaper", 0.1)):
        await street.come(name, "a", seconds)
    assert await street.refused() == {"dear"}


@on(4, 4, each=2)
async def test_a_client_has_its_share_and_no_more(street: Street) -> None:
    for n in range(4):
        await street.come(f"a{n}", "a")
    await street.come("b", "b")
    await until(lambda: len(street.began) == 3)
    assert set(street.began) == {"a0", "a1", "b"}, "a place stays free for others"


@on(4, 8, beside=2)
async def test_a_client_takes_all_places_only_while_nobody_else_comes(street: Street) -> None:
    """What works at once takes time from each other: two of who floods beside each of a shopper."""
    for n in range(4):
        await street.come(f"a{n}", "a")
    await until(lambda: len(street.began) == 4)
    await street.come("b", "b")
    for _ in range(5):  # with b all of the first ones end
        await street.go_on()
    for n in range(4, 8):
        await street.come(f"a{n}", "a")
    await until(lambda: len(street.began) == 7)
    assert street.began[5:] == ["a4", "a5"], "b was here just now"
    street.gate._came["b"] -= RECENT_S + 1
    street.gate._came.move_to_end("b", last=False)
    await street.come("a8", "a")
    await until(lambda: len(street.began) == 9)
    assert list(street.gate._came) == ["a"]


@on(1, 4, patience_s=0.2)
async def test_nobody_waits_without_end(street: Street) -> None:
    await street.come("works", "a")
    await street.come("waits", "b")
    with pytest.raises(Busy):
        await street.tasks["waits"]
    assert street.gate.taken == 1
    assert not street.tasks["works"].done(), "what works is not hurried"


@on(1, 1)
async def test_who_has_gone_holds_no_place(street: Street) -> None:
    await street.come("works", "a")
    await street.come("gone", "b")
    street.tasks["gone"].cancel()
    await asyncio.sleep(0.02)
    await street.come("next", "c")
    await street.go_on()
    await until(lambda: street.began == ["works", "next"])


@on(1, 4)
async def test_a_closed_gate_says_so(street: Street) -> None:
    await street.come("works", "a")
    await street.come("waits", "a")
    street.gate.close()
    for late in ("waits", "new"):
        if late == "new":
            street.tasks["new"] = asyncio.create_task(street.gate.run(lambda: "new"))
        with pytest.raises(Busy):
            await street.tasks[late]
