"""Every error has an exit code, an HTTP status and a place in the drawn tree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lensback import errors


def tree(kind: type[errors.Error]) -> Iterator[type[errors.Error]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


ALL = [kind for kind in tree(errors.Error) if kind.__module__ == errors.__name__]
"""Those of one face alone stand beside that face."""


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_maps_to_the_faces(kind: type[errors.Error]) -> None:
    assert kind.exit_code in {1, 2}
    assert 400 <= kind.http_status < 600
    assert f" {kind.__name__} " in (errors.__doc__ or "") or f"\n{kind.__name__}\n" in (
        errors.__doc__ or ""
    )


def test_status_of_each_branch() -> None:
    assert issubclass(errors.BadImage, errors.InputError)
    for kind in tree(errors.InputError):
        assert kind.exit_code == 2
        assert 400 <= kind.http_status < 500
    for kind in tree(errors.StateError):
        assert kind.http_status == 503
    assert errors.NotFound.http_status == 404


def test_json_body() -> None:
    error = errors.UnknownName("encoder", "x", ["a", "b"])
    body = {"type": "UnknownName", "message": "unknown encoder: 'x'", "hint": "known: a, b"}
    assert error.as_json() == {"error": body}
    assert "install" in errors.MissingExtra("aiogram", "bot").hint
