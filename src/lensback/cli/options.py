"""Options that several commands take, told once: a dataclass whose fields become options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from inspect import Parameter
from typing import Any, get_type_hints

Command = Callable[..., None]


def options_of(shared: type[Any], into: str) -> Callable[[Command], Command]:
    """A command whose parameter `into` is the dataclass `shared`, as Typer sees it: with an option
    for each field, where that parameter stands. Fields are `Annotated` as Typer's own are."""
    hints = get_type_hints(shared, include_extras=True)
    spread = [
        Parameter(f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(shared)
    ]

    def decorate(run: Command) -> Command:
        own = inspect.signature(run, eval_str=True)
        seen: list[Parameter] = []
        for each in own.parameters.values():
            is_shared = each.name == into
            seen += spread if is_shared else [each.replace(kind=Parameter.KEYWORD_ONLY)]

        @functools.wraps(run)
        def command(**given: Any) -> None:
            named = {each.name: given.pop(each.name) for each in spread}
            run(**given, **{into: shared(**named)})

        command.__signature__ = own.replace(parameters=seen)  # type: ignore[attr-defined]
        return command

    return decorate
