"""Numbers of the API: amounts, cashback, shares and boxes, exact inside and rounded where they are
written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import core_schema

from lensback.decimals import decimal_of
from lensback.types import Box, Money


class Body(BaseModel):
    """A JSON object of the API; unknown keys are refused, but by the client, which may be older."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Cashback(Money):
    """Cashback estimated for an offer; it equals the same amount of plain Money."""

    up_to: bool = True
    """It may also be less."""

    def as_json(self) -> dict[str, Any]:
        """The amount, its currency and `up_to`: `{"amount": "172.80", "currency": "RUB", "up_to":
        true}`."""
        return {**Money.as_json(self), "up_to": self.up_to}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        same = (self.minor, self.currency) == (other.minor, other.currency)
        return same and (not isinstance(other, Cashback) or self.up_to == other.up_to)

    def __hash__(self) -> int:
        return hash((self.minor, self.currency))


class AmountShape(Body):
    """An amount as it is written: a decimal text in the currency's own digits, ISO 4217."""

    amount: str = Field(examples=["3456.00"])
    currency: str = Field(examples=["RUB"])


class CashbackShape(AmountShape):
    """Cashback as it is written: an amount, and whether it is the most."""

    up_to: bool = Field(description="It may also be less.")


@dataclass(frozen=True, slots=True)
class _Written:
    """How one of our amounts is described, and read from that shape."""

    shape: type[AmountShape]
    read: Callable[[Any], Money]

    def __get_pydantic_core_schema__(
        self, source: type[Money], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        made = core_schema.is_instance_schema(source)
        shape = handler.generate_schema(self.shape)
        read = core_schema.no_info_after_validator_function(self.read, shape)
        return core_schema.json_or_python_schema(
            json_schema=read,
            python_schema=core_schema.union_schema([made, read], mode="left_to_right"),
            serialization=core_schema.plain_serializer_function_ser_schema(source.as_json),
        )


def _money(shape: AmountShape) -> Money:
    try:
        return Money.of(decimal_of(shape.amount), shape.currency)
    except (ArithmeticError, ValueError) as error:
        raise ValueError(f"not an amount: {shape.amount[:30]!r}") from error


def _cashback(shape: CashbackShape) -> Cashback:
    money = _money(shape)
    return Cashback(money.minor, money.currency, shape.up_to)


def _rounded(value: float) -> float:
    return round(value, 4)


def _rounded_box(box: Box) -> list[float]:
    return [round(value, 4) for value in box]


Amount = Annotated[Money, _Written(AmountShape, _money)]
Estimated = Annotated[Cashback, _Written(CashbackShape, _cashback)]
Share = Annotated[float, PlainSerializer(_rounded, return_type=float)]
Area = Annotated[
    Box,
    PlainSerializer(_rounded_box, return_type=list[float]),
    WithJsonSchema(
        {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
        | {"description": "x0, y0, x1, y1 as fractions of width and height."}
    ),
]
