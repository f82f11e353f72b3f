"""A list of texts as one parameter: however long it is, the statement is the same, which neither SQLAlchemy nor the
database puts together anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Text, any_, bindparam, func, select


def among(column: Any, name: str, *, shared: bool) -> ColumnElement[bool]:
    """The condition that a column is one of the texts of the parameter `name`, which is `listed`; `shared`: on
    PostgreSQL."""
    if shared:
        anyone: ColumnElement[bool] = column == any_(bindparam(name, type_=ARRAY(Text)))
        return anyone
    texts = func.json_each(bindparam(name)).table_valued("value")
    found: ColumnElement[bool] = column.in_(select(texts.c.value))
    return found


def listed(texts: Sequence[str], *, shared: bool) -> object:
    """What the parameter of `among` is bound to."""
    return list(texts) if shared else json.dumps(list(texts))
