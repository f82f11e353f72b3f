"""Every failure Lensback raises, as one tree. Each carries `.hint`: the one thing to do next.

Error
  ConfigError        the caller's set-up is wrong (exit 2)
    MissingExtra     a package is not installed; the hint is the command that installs it
    UnknownName      no such encoder, index, format ...; the hint lists the known ones
  InputError         the caller's input is wrong (exit 2, HTTP 4xx)
    BadImage         not a picture, broken, or a kind we do not read
    TooSlow          an upload that takes longer than anybody may
    TooLarge         more bytes or pixels than the limit
    BadQuery         a parameter that makes no sense
    Unauthorized     no key, secret or signature, or a wrong one (HTTP 401)
    Forbidden        a key that may not do this (HTTP 403)
    TooMany          more requests than the limit allows (HTTP 429)
    BadHost          a request for a name that is not ours (HTTP 400)
    AlreadyDone      what was said before stands (HTTP 409)
  NotFound           no such offer, product, image, store (HTTP 404)
  DataError          somebody else's file is wrong
    FeedError        a feed as a whole: format, empty, shrank too much
      FeedTruncated  the feed stops in the middle; what came before it is good
    PostbackError    a network's call that cannot be trusted or read
  FetchError         the network; carries `.url` (secrets redacted) and `.retry`
    FetchTimeout     took too long
    FetchRefused     we refuse: robots, private address, scheme
    FetchFailed      the other side failed: status, connection, TLS
  StateError         the service is not in a state to answer (HTTP 503)
    Damaged          a table that a sync makes again cannot be read
    StaleIndex       the index was made by another encoder
    SchemaTooNew     the database is newer than this program
    Busy             somebody else holds the lock, or all places are taken
    Stopped          asked to stop midway; what was done is kept
    Away             a server that is needed (database, index) does not answer just now

Raise one of these for a request; return a counted value (`types.Rejected`) for a row.
"""

from __future__ import annotations

from lensback.legible import legible


class Error(Exception):
    """Base of all. `hint` is one imperative sentence, or empty. What a message quotes comes from
    outside often enough: it is cleaned here, once for all faces; a hint may have several lines."""

    exit_code = 1
    http_status = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message, self.hint = legible(message), legible(hint, lines=True)
        super().__init__(self.message)

    def as_json(self) -> dict[str, dict[str, str]]:
        """The error body of the HTTP API and of `--json`."""
        return {"error": {"type": type(self).__name__, "message": self.message, "hint": self.hint}}


class ConfigError(Error):
    """A setting, a description or a name is wrong: the operator mends it."""

    exit_code = 2
    http_status = 500


class MissingExtra(ConfigError):
    """A package is missing: one of an optional extra, or without one, what a whole installation has."""

    def __init__(self, package: str, extra: str = "") -> None:
        from lensback import installed  # reads metadata: only where something is missing

        line = installed.line_that_adds(package, extra)
        super().__init__(f"{package} is not installed", hint=f"run: {line}")


class UnknownName(ConfigError):
    """A name nobody knows; `known` goes into the hint."""

    http_status = 404

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        listed = ", ".join(known) if known else "none yet"
        super().__init__(f"unknown {kind}: {name!r}", hint=f"known: {listed}")


class InputError(Error):
    """What somebody sent cannot be used: the sender mends it."""

    exit_code = 2
    http_status = 400


class BadImage(InputError):
    """A file that is no picture, or a damaged one."""

    http_status = 415


class TooLarge(InputError):
    """More bytes or pixels than are allowed."""

    http_status = 413


class TooSlow(InputError):
    """An upload that takes longer than anybody may."""


class BadQuery(InputError):
    """A parameter of a request that makes no sense."""

    http_status = 422


class Unauthorized(InputError):
    """A request without a key, or with a wrong one."""

    http_status = 401


class Forbidden(InputError):
    """A key that is right but may not do this."""

    http_status = 403


class TooMany(InputError):
    """One client asks too often; `wait_s` says when the next request is welcome."""

    http_status = 429

    def __init__(self, wait_s: int) -> None:
        super().__init__("too many requests", hint=f"try again in {wait_s} seconds")
        self.wait_s = wait_s


class BadHost(InputError):
    """A request whose Host header names another service than ours."""


class AlreadyDone(InputError):
    """A second word on what may be said once."""

    http_status = 409


class NotFound(Error):
    """An offer, product, page or user that is not there."""

    exit_code = 2
    http_status = 404


class DataError(Error):
    """What another party sent or keeps cannot be used."""

    http_status = 502


class FeedError(DataError):
    """A feed as a whole cannot be read: its format, its columns, or nothing in it."""


class FeedTruncated(FeedError):
    """A feed that stops before its end; the rows before it were read."""


class PostbackError(DataError):
    """A network's call that makes no sense."""

    http_status = 400


class FetchError(Error):
    """`url` has its secrets redacted; `retry` says whether trying again may help; `status` is
    that of the answer, 0 where none came; `wait_s` what its Retry-After asks for, in seconds."""

    http_status = 502

    def __init__(
        self, message: str, *, url: str = "", retry: bool = False, hint: str = "", status: int = 0
    ) -> None:
        super().__init__(message, hint=hint)
        self.url = url
        self.retry = retry
        self.status = status
        self.wait_s = 0.0


class FetchTimeout(FetchError):
    """The other side took too long to answer."""

    http_status = 504


class FetchRefused(FetchError):
    """An address that we do not fetch from: private, no web address, or barred by robots.txt."""

    exit_code = 2
    http_status = 400


class FetchFailed(FetchError):
    """The other side could not be reached, or answered with a failure."""


class StateError(Error):
    """The service or the workspace is not ready for this yet."""

    exit_code = 2
    http_status = 503


class Damaged(StateError):
    """A table of vectors cannot be read. It is made again by a sync, which sets it aside first."""


class StaleIndex(StateError):
    """The index holds vectors of another encoder than the one in use."""


class SchemaTooNew(StateError):
    """A database that a later version of the program has changed."""


class Busy(StateError):
    """Too much work at once, or another process has what is needed: try again."""


class Away(StateError):
    """Work that may run twice is tried again for a while before this is raised."""


class Stopped(StateError):
    """The work was told to stop and did so at a safe place."""
