"""The token of an account: asked for, renewed, and kept on disk where a network gives out few."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from lensback.durable import replace_file
from lensback.errors import FetchFailed, PostbackError, StateError
from lensback.networks.news import picked
from lensback.networks.shape import TokenForm

Send = Callable[[str, "bytes | None", Mapping[str, str]], Any]
"""Sends a request (address, body, headers) and gives the JSON of the answer."""
_NAME = re.compile(r"{(\w+)}")
_NEXT_COOKIE = re.compile(r",\s*(?=[^;,=\s]+=)")
WRITTEN: Mapping[str, Callable[[str], str]] = {
    "json": lambda text: json.dumps(text)[1:-1],
    "xml": html.escape,
}
"""How a value stands within a text of a kind."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A token, and the one that buys the next."""

    access: str = ""
    refresh: str = ""


class TokenFile:
    """Tokens of one account at one network, in a file that only its owner can read."""

    def __init__(self, folder: Path, network: str, account: Mapping[str, str]) -> None:
        name = hashlib.sha256(repr(sorted(account.items())).encode()).hexdigest()[:16]
        self._path = folder / f"{network}-{name}.json"

    def read(self) -> Pair:
        """What was kept last; an empty pair where nothing was, or half a file."""
        try:
            values = json.loads(self._path.read_bytes())
            return Pair(str(values["access"]), str(values["refresh"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Pair()

    def write(self, pair: Pair) -> None:
        """Replaces the file as a whole. Raises StateError where the disk refuses."""
        text = json.dumps({"access": pair.access, "refresh": pair.refresh})

        def fill(partial: Path) -> None:
            partial.unlink(missing_ok=True)
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)

        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._path, fill)
        except OSError as error:
            raise StateError("the disk refuses", hint="free some space") from error


class Tokens:
    """The token of one account. `send` goes out; `file` keeps what came."""

    def __init__(
        self,
        title: str,
        form: TokenForm,
        account: Mapping[str, str],
        send: Send,
        file: TokenFile | None,
    ) -> None:
        self._title, self._form, self._send, self._file = title, form, send, file
        self._values = {"oauth": form.oauth, **account}
        self._pair = file.read() if file else Pair()

    def access(self) -> str:
        """The token to send; asked for where there is none."""
        if not self._pair.access:
            self._keep(self._asked())
        return self._pair.access

    def renew(self) -> None:
        """After a 401: a new one by the refresh token, else from the beginning."""
        if self._file and (kept := self._file.read()).access not in {"", self._pair.access}:
            self._pair = kept  # another process was faster
            return
        try:
            self._keep(self._refreshed() if self._pair.refresh else self._asked())
        except FetchFailed as error:
            if not self._pair.refresh or error.status not in {400, 401, 403}:
                raise
            self._keep(Pair())
            self._keep(self._asked())

    def _keep(self, pair: Pair) -> None:
        self._pair = pair
        if self._file:
            self._file.write(pair)

    def _asked(self) -> Pair:
        form, values = self._form, dict(self._values)
        headers = {k: filled(v, values) for k, v in form.headers.items()}
        if form.body:
            said = filled(form.body, values, WRITTEN["xml"]).encode()
            return Pair(self._text(self._send(filled(form.url, values), said, headers), form.at))
        if form.first:
            url = filled(form.first["url"], values, lambda text: quote(text, safe=":/"))
            answer = self._send(url, None, {"Accept": "application/json", **headers})
            for name, path in form.first.items():
                if name != "url":
                    values[name] = self._text(answer, path)
        named = {"grant_type": form.grant, "client_id": values["client_id"]} if form.grant else {}
        fields: dict[str, str | bool] = {**named, **_fields(form.fields, values)}
        if form.auth in {"basic", "bearer"}:
            pair = basic(values["client_id"], values["client_secret"])
            headers["Authorization"] = pair.replace("Basic", form.auth.title())
        else:
            fields["client_secret"] = values["client_secret"]
        return self._pair_of(form.url, fields, headers)

    def _refreshed(self) -> Pair:
        form, values = self._form, self._values
        said: dict[str, str | bool] = {
            "grant_type": "refresh_token",
            "refresh_token": self._pair.refresh,
            "client_id": values["client_id"],
            **_fields(form.refresh_fields, values),
        }
        headers = {k: filled(v, values) for k, v in form.headers.items()}
        if form.auth == "basic":
            headers["Authorization"] = basic(values["client_id"], values["client_secret"])
        return self._pair_of(form.refresh_url or form.url, said, headers)

    def _pair_of(
        self, url: str, said: Mapping[str, str | bool], headers: Mapping[str, str]
    ) -> Pair:
        as_json = self._form.auth == "json"
        kind = "application/json" if as_json else "application/x-www-form-urlencoded"
        body = json.dumps(said) if as_json else urlencode(said)
        sent = {"Accept": "application/json", **headers, "Content-Type": kind}
        answer = self._send(filled(url, self._values), body.encode(), sent)
        refresh = picked(answer, self._form.refresh_at) if self._form.refresh_at else ""
        return Pair(self._text(answer, self._form.at), refresh if isinstance(refresh, str) else "")

    def _text(self, answer: Any, path: str) -> str:
        found = picked(answer, path)
        if not isinstance(found, str) or not found:
            raise PostbackError(f"{self._title} gave no token", hint="check the account")
        return found


def filled(text: str, values: Mapping[str, str], encode: Callable[[str], str] = str) -> str:
    """Every `{name}` of a text replaced by its value; "" for one that there is not."""
    return _NAME.sub(lambda match: encode(values.get(match[1], "")), text)


def _fields(fields: Mapping[str, str | bool], values: Mapping[str, str]) -> dict[str, str | bool]:
    return {k: filled(v, values) if isinstance(v, str) else v for k, v in fields.items()}


def cookies_of(header: str) -> str:
    """What an answer's `Set-Cookie` asks to be sent back; several are parted by commas.

    >>> cookies_of("a=1; expires=Thu, 01-Jan-2037 00:00:00 GMT; path=/, b=2; HttpOnly")
    'a=1; b=2'
    """
    return "; ".join(one.partition(";")[0].strip() for one in _NEXT_COOKIE.split(header) if one)


def basic(user: str, password: str) -> str:
    """The header of HTTP Basic (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
