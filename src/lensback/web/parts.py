"""A form in parts (multipart/form-data), read into memory within limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from lensback.errors import BadQuery
from lensback.web import limits

MAX_FIELDS = 64
MAX_FIELD_BYTES = 4096


def in_parts(request: Request) -> bool:
    """Whether the body says of itself that it is such a form."""
    kind = request.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == "multipart/form-data"


class _InMemory(MultiPartParser):
    """Starlette's parser, with its files kept in memory and closed also where a part is cut off."""

    def __init__(
        self,
        request: Request,
        max_bytes: int,
        what: str,
        max_files: int,
        max_fields: int,
        max_field_bytes: int,
    ) -> None:
        self._body = limits.body(request, max_bytes, what)
        super().__init__(
            request.headers,
            self._body,
            max_files=max_files,
            max_fields=max_fields,
            max_part_size=max_field_bytes,
        )
        # Above this size a temporary file would be written; photos of people stay in memory.
        self.spool_max_size = max_bytes + 1

    async def drain(self) -> None:
        """Reads the rest of a form that was given up, for a while: see `limits.drained`."""
        await limits.drained(self._body)

    def close(self) -> None:
        for file in self._files_to_close_on_error:
            file.close()


@asynccontextmanager
async def form_of(
    request: Request,
    max_bytes: int,
    what: str,
    hint: str,
    *,
    max_files: int,
    max_fields: int = MAX_FIELDS,
    max_field_bytes: int = MAX_FIELD_BYTES,
) -> AsyncIterator[FormData]:
    """The form of a request, its files open until the end. Raises TooLarge, in which `what` is the most, and
    BadQuery with this hint."""
    parser = _InMemory(request, max_bytes, what, max_files, max_fields, max_field_bytes)
    try:
        yield await parser.parse()
    except (MultiPartException, UnicodeError) as error:  # the charset `undefined` is none
        await parser.drain()
        message = f"the form cannot be read: {getattr(error, 'message', 'an odd charset')}"
        raise BadQuery(message, hint=hint) from error
    finally:
        parser.close()
