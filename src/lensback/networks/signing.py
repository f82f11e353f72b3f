"""Requests that prove themselves by a signature over their parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import urlencode

from lensback import tokens
from lensback.networks.shape import SignForm


def signature(form: SignForm, parameters: Mapping[str, str], secret: str) -> str:
    """Hexadecimal; of the parameters sorted by name, but for the signature itself.

    `md5` over secret + names and values + secret is the older way of the Taobao and AliExpress
    gateways, `hmac-sha256` the newer one.
    """
    pairs = sorted((k, v) for k, v in parameters.items() if k != form.param)
    text = urlencode(pairs) if form.text == "query" else "".join(k + v for k, v in pairs)
    if form.method == "md5":
        found = hashlib.md5(f"{secret}{text}{secret}".encode(), usedforsecurity=False).hexdigest()
    else:
        kind = form.method.removeprefix("hmac-")
        found = tokens.signature(secret, text, kind)
    return found.upper() if form.upper else found
