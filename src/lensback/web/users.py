"""Whose click it is: the host service's key, and passes that it hands to its users.

The host service knows the person; here there is only its opaque token. It proves itself with its key
(kept as a hash); a browser proves itself with a pass, the token signed by us for a while.
"""

from __future__ import annotations

from starlette.requests import Request

from lensback import grants, tokens
from lensback.errors import Unauthorized
from lensback.ledger.clicks import USER_TOKEN
from lensback.settings import Settings
from lensback.web.navigation import is_from_here
from lensback.workspace import Workspace

COOKIE = "lensback_user"
HEADER = "x-user-token"


def check_host(request: Request, settings: Settings) -> None:
    """Raises Unauthorized unless the request bears the host service's key."""
    if not settings.host_key_hash:
        raise Unauthorized("there is no host key yet", hint="run: lensback ledger host-key")
    key = tokens.bearer(request.headers)
    if not key or not tokens.same(tokens.digest(key), settings.host_key_hash.lower()):
        raise Unauthorized("wrong host key", hint="send Authorization: Bearer KEY")


def user_of_pass(workspace: Workspace, text: str, now: int) -> str:
    """The token of a pass that is good: signed by us, not over, not ended; "" for every other text."""
    token = tokens.bearer_of(tokens.own_key(workspace.path), text, now)
    if not USER_TOKEN.fullmatch(token):
        return ""
    return token if grants.is_good_pass(workspace.db, workspace.path, text, token, now) else ""


def checked_pass(workspace: Workspace, text: str, now: int) -> str:
    """The token of a pass that is good. Raises Unauthorized for every other text."""
    user = user_of_pass(workspace, text, now)
    if not user:
        raise Unauthorized("this pass is not good", hint="ask the host service for a new one")
    return user


def user_of(request: Request, workspace: Workspace, now: int, *, host: bool) -> str:
    """The user's token: from the host's own request (`host`: it is one), else from a pass (`?user=` of
    a link on a page of ours, cookie).

    What is not good is nobody: a shopper with an old pass still gets to the store.
    """
    token = request.headers.get(HEADER, "")
    if token and USER_TOKEN.fullmatch(token):
        return token if host else ""
    named = request.query_params.get("user", "") if host or is_from_here(request) else ""
    given = (named, request.cookies.get(COOKIE, ""))
    return next(
        (user for text in given if text and (user := user_of_pass(workspace, text, now))), ""
    )


def visitor(request: Request, workspace: Workspace, now: int) -> str:
    """The user whose pass this browser keeps; "" for nobody."""
    kept = request.cookies.get(COOKIE, "")
    return user_of_pass(workspace, kept, now) if kept else ""


def is_named_by_stranger(request: Request, workspace: Workspace, now: int, user: str) -> bool:
    """Whether the address bears a good pass of another user than `user`, and no page of ours put it
    there: whoever sent that link wants a stranger's purchases."""
    text = request.query_params.get("user", "")
    if not text or is_from_here(request):
        return False
    named = user_of_pass(workspace, text, now)
    return bool(named) and named != user
