"""The only way out: HTTP(S) and FTP with deadlines, byte caps and no road into private networks.

A connection is made to an address that was checked a moment before (`transport`), so neither
a redirect nor a name that changes its address between check and use reaches a private host.
Host, SNI and the certificate check still see the name.
"""

from lensback.net.addresses import Address, Resolver, is_public
from lensback.net.bodies import MAX_WAIT_S
from lensback.net.fetched import Fetched
from lensback.net.fetcher import FTP_SCHEMES, Fetcher
from lensback.net.redaction import redact, scrub, secrets_of

__all__ = [
    "FTP_SCHEMES",
    "MAX_WAIT_S",
    "Address",
    "Fetched",
    "Fetcher",
    "Resolver",
    "is_public",
    "redact",
    "scrub",
    "secrets_of",
]
