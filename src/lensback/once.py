"""What is opened once, however many threads ask for it at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    opened_once = cached_property
else:

    class opened_once:  # noqa: N801 - a decorator, as `cached_property` is
        """`functools.cached_property`, worked out by one thread while the others wait: Python's own has no lock
        since 3.12. One lock for all objects of the class, as its own was."""

        def __init__(self, work: Callable[[Any], Any]) -> None:
            self._work, self._working = work, RLock()
            self.__doc__ = work.__doc__

        def __set_name__(self, _owner: type, name: str) -> None:
            self._name = name

        def __get__(self, instance: Any, _owner: type | None = None) -> Any:
            if instance is None:
                return self
            with self._working:
                found = vars(instance)
                if self._name not in found:
                    found[self._name] = self._work(instance)
                return found[self._name]
