"""What pydantic finds wrong is told in our words: the place, the key, what is right, where to read."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import Field, model_validator

import lensback.checked
from lensback.checked import CLOSED, STRICT, checked, parse_toml, read_toml, wrong
from lensback.errors import ConfigError, DataError
from lensback.terms import Terms


@dataclass(frozen=True)
class Wheel:
    __pydantic_config__ = STRICT

    size: Annotated[int, Field(ge=1, le=99)]
    """Across, in inches."""


@dataclass(frozen=True)
class Car:
    __pydantic_config__ = STRICT

    name: str
    """What it is
    called."""
    color: Literal["red", "blue"] = "red"
    wheels: tuple[Wheel, ...] = ()
    spare: Wheel | None = None
    named: Mapping[str, Wheel] = field(default_factory=dict)
    tank: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1.0, 2.0)
    """Two numbers above 0."""

    @model_validator(mode="after")
    def _spare(self) -> Self:
        if self.spare and not self.wheels:
            raise wrong("spare", "needs wheels")
        return self


WHEEL = "Across, in inches. see it"


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({}, "car: 'name': is missing", "What it is called. see it"),
        ({"name": 3}, "car: 'name': must be a valid string", "What it is called. see it"),
        (
            {"name": "a", "colour": "red"},
            "car: 'colour': is not known",
            "known: color, name, named, spare, tank, wheels. see it",
        ),
        ({"name": "a", "color": "x"}, "car: 'color': must be 'red' or 'blue'", "see it"),
        (
            {"name": "a", "wheels": [{"size": 1}, {"size": 0}]},
            "car: 'wheels.1.size': must be greater than or equal to 1",
            WHEEL,
        ),
        (
            {"name": "a", "wheels": [{"sise": 1}]},
            "car: 'wheels.0.sise': is not known",
            "known: size. see it",
        ),
        (
            {"name": "a", "named": {"x": {"size": 1, "y": 2}}},
            "car: 'named.x.y': is not known",
            "known: size. see it",
        ),
        (
            {"name": "a", "spare": {"size": True}},
            "car: 'spare.size': must be a valid integer",
            WHEEL,
        ),
        ({"name": "a", "spare": {"size": 1}}, "car: 'spare': needs wheels", "see it"),
        (
            {"name": "a", "tank": [1, 0]},
            "car: 'tank.1': must be greater than 0",
            "Two numbers above 0. see it",
        ),
        (
            {"name": "a", "tank": [1, float("nan")]},
            "car: 'tank.1': must be a finite number",
            "Two numbers above 0. see it",
        ),
        ([], "car: must be an object", "see it"),
    ],
)
def test_the_key_and_what_is_right(values: Any, message: str, hint: str) -> None:
    for given in (values, json.dumps(values).encode()):
        with pytest.raises(ConfigError) as caught:
            checked(Car, given, "car: ", hint="see it")
        assert (caught.value.message, caught.value.hint) == (message, hint)


def test_what_is_right_comes_back() -> None:
    values = {"name": "a", "wheels": [{"size": 9}], "named": {"x": {"size": 1}}, "tank": [1, 2]}
    car = Car("a", "red", (Wheel(9),), None, {"x": Wheel(1)}, (1.0, 2.0))
    assert checked(Car, values, "", hint="") == car


def test_the_caller_says_which_error_it_is() -> None:
    for data in (b"", b"{", b"\xff", b"null", b"[]"):
        with pytest.raises(DataError, match=r"^kept: "):
            checked(Car, data, "kept: ", hint="again", error=DataError)


def test_written_numbers_are_not_rounded() -> None:
    @dataclass(frozen=True)
    class Rate:
        __pydantic_config__ = CLOSED

        percent: Decimal

    assert checked(Rate, {"percent": 0.07}, "", hint="").percent == Decimal("0.07")


def test_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    with pytest.raises(ConfigError, match=r"a\.toml cannot be read") as caught:
        read_toml(path, "feeds.md")
    assert "docs/feeds.md" in caught.value.hint
    path.write_text('a = "б"')
    assert read_toml(path) == {"a": "б"}
    for data in (b"a =", b"\xff", b"\x00"):
        with pytest.raises(ConfigError, match=r"^there is not valid TOML: ") as caught:
            parse_toml(data, "there")
        assert caught.value.hint == "mend that line"


def test_shoppers_who_come_at_once_are_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would read the noun's source; while the garbage of one is collected another begins."""
    wrongs = list[object]()
    monkeypatch.setattr(threading, "excepthook", lambda told: wrongs.append(told.exc_value))

    def first(gate: threading.Barrier) -> None:
        gate.wait()
        checked(
            Terms,
            {"network": "generic", "domains": ["a.example"], "share": "0.5"},
            "terms: ",
            hint="",
        )

    def another_goes_on(*_: object) -> None:
        time.sleep(0.0001)

    usual = gc.get_threshold()
    gc.callbacks.append(another_goes_on)
    gc.set_threshold(200)
    try:
        for _ in range(5):
            lensback.checked._made.cache_clear()
            gate = threading.Barrier(4)
            threads = [threading.Thread(target=first, args=(gate,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        gc.set_threshold(*usual)
        gc.callbacks.remove(another_goes_on)
    assert wrongs == []
