"""What is secret in an address, and text without it."""

from __future__ import annotations

import re
from urllib.parse import unquote

_NAMES = (
    r"[\w.\-\[\]]{0,40}?(?:key|code|token|secret|passw|pwd|signature|auth|credential|session)"
    r"[\w.\-\[\]]{0,40}|sig|pass|sid|jwt|hmac"
)
_QUERY = re.compile(
    rf"((?:[?&;#]|%3F|%26)(?:{_NAMES})(?:=|%3D))((?:(?!%26)[^&;#\s])*)", re.IGNORECASE
)
_PATH = re.compile(
    r"(/(?:api[-_]?key|key|(?:access[-_]?)?token|secret|password|auth)(?:/|%2F))([^/?#\s]+)",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(://|%3A%2F%2F)((?:(?!%2F|%3F)[^/?#\s])*)(@|%40)", re.IGNORECASE)
_SHORTEST = 4


def redact(url: str) -> str:
    """The address without its secrets: userinfo, secret query values, secret path parts.

    Works on any text that holds addresses, also percent-encoded ones inside a query. Changing
    nothing twice: `redact(redact(u)) == redact(u)`.

    >>> redact("https://u:p@x.com/apikey/s3cret/fid/1?code=abc&page=2")
    'https://***@x.com/apikey/***/fid/1?code=***&page=2'
    """
    url = _USERINFO.sub(r"\1***\3", url)
    url = _PATH.sub(r"\1***", url)
    return _QUERY.sub(r"\1***", url)


def secrets_of(url: str) -> frozenset[str]:
    """The secret values of an address, as written and percent-decoded, of four letters or more.

    >>> sorted(secrets_of("https://u:pa%20ss@x.com/apikey/0123/fid/1?code=abcd&page=2"))
    ['0123', 'abcd', 'pa ss', 'pa%20ss', 'u:pa%20ss']
    """
    found = [match[2] for match in (*_PATH.finditer(url), *_QUERY.finditer(url))]
    for match in _USERINFO.finditer(url):
        found += [match[2], match[2].partition(":")[2]]
    both = {*found, *(unquote(value) for value in found if ":" not in value)}
    return frozenset(value for value in both if len(value) >= _SHORTEST and value != "***")


def scrub(text: str, secrets: frozenset[str]) -> str:
    """Text in which no address shows its secrets, and these appear nowhere: servers like to
    repeat the address they were asked for."""
    text = redact(text)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
