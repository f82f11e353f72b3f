"""What networks tell: calls that prove who they are, and stretches of time that are asked for."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from pydantic import Field

from lensback import ledger, log, tokens
from lensback.checked import checked, parse_toml
from lensback.db import Database
from lensback.durable import make_private
from lensback.errors import ConfigError, PostbackError, StateError, Unauthorized
from lensback.ledger import pulls
from lensback.livefile import LiveFile
from lensback.networks import Network, read_postback
from lensback.types import Conversion, Converter

FILE_NAME = "networks.toml"
ENVIRONMENT = "LENSBACK_NETWORK_"
OURS = ("secret", "signature", "timestamp")
"""Fields of a call that are ours and not the network's."""
MAX_AGE_S = 900
"""A signed call with a time is refused when it is older, or as much too early."""
MAX_FIELDS = 100
MAX_FIELD_CHARS = 4096
_HALF = re.compile(r"[\ud800-\udfff]")
REFUSED_BYTES = 1 << 20
FRESH_S = 3600
"""A stretch that was read less long ago is not asked for again."""
DAY_S = 86_400

Secret = Annotated[str, Field(coerce_numbers_to_str=True)]
Poll = Callable[[int, int], Iterable[Conversion]]
"""Asks a network for what changed from one UTC epoch second to another. Raises FetchError."""


def account_of(
    workspace: Path, network: str, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Secrets and keys of a network: `[network]` of `networks.toml` in the workspace, and above it
    `LENSBACK_NETWORK_<NETWORK>_<KEY>` of the environment.

    Raises ConfigError where the file is not valid, or others than its owner may read it.
    """
    found: dict[str, str] = {}
    path = workspace / FILE_NAME
    try:
        state = path.stat()
    except FileNotFoundError:
        pass
    else:
        if stat.S_IMODE(state.st_mode) & 0o077:
            raise ConfigError(
                f"others can read {path}", hint=f"run: chmod 600 {shlex.quote(str(path))}"
            )
        found |= _secrets(path).get().get(network, {})
    prefix = f"{ENVIRONMENT}{network.upper().replace('-', '_')}_"
    for name, value in (os.environ if environ is None else environ).items():
        if name.startswith(prefix):
            found[name.removeprefix(prefix).lower()] = value
    return found


@lru_cache(maxsize=8)
def _secrets(path: Path) -> LiveFile[dict[str, dict[str, str]]]:
    return LiveFile(partial(_tables, path), path)


def _tables(path: Path, data: bytes | None) -> dict[str, dict[str, str]]:
    values = parse_toml(data or b"", str(path))
    hint = "write text keys, each under the [network] it is of"
    return checked(dict[str, dict[str, Secret]], values, f"{path}: ", hint=hint)


def receive(
    network: Network, fields: Mapping[str, str], account: Mapping[str, str], *, at: int
) -> Conversion | None:
    """A network's call as news of a sale, None where it tells of none.

    Raises Unauthorized where it does not prove who it is, PostbackError where it cannot be read.
    """
    check_size(fields, network.postback.inside)
    authenticate(network.name, fields, account, at=at)
    theirs = {name: value for name, value in fields.items() if name not in OURS}
    news = read_postback(network, theirs)
    return ledger.checked(news, at=at) if news else None


def check_size(fields: Mapping[str, str], whole: str = "") -> None:
    """Raises PostbackError for a call with too many or too long fields, or with half a letter, which JSON can write;
    the field `whole` may be as long as a body."""
    if len(fields) > MAX_FIELDS or any(
        len(k) > 200 or len(v) > MAX_FIELD_CHARS for k, v in fields.items() if k != whole
    ):
        raise PostbackError(
            "too many fields, or too long", hint=f"{MAX_FIELDS} of {MAX_FIELD_CHARS} characters"
        )
    if any(_HALF.search(text) for field in fields.items() for text in field):
        raise PostbackError("half a letter", hint="send whole ones: no text holds it")


def authenticate(
    network: str, fields: Mapping[str, str], account: Mapping[str, str], *, at: int
) -> None:
    """Raises Unauthorized unless the call knows every secret that the account names.

    `postback_secret`: sent as the field `secret`. `postback_hmac`: the field `signature` is
    `signature_of` the other fields; where they hold a `timestamp`, it has to be of now.
    """
    secret, key = account.get("postback_secret", ""), account.get("postback_hmac", "")
    if not secret and not key:
        raise Unauthorized(
            f"calls of {network} are not accepted",
            hint=f"put postback_secret under [{network}] into {FILE_NAME}",
        )
    if secret and not tokens.same(fields.get("secret", ""), secret):
        raise Unauthorized("wrong secret", hint="send the field secret")
    if not key:
        return
    if not tokens.same(fields.get("signature", "").lower(), signature_of(fields, key)):
        raise Unauthorized("wrong signature", hint="see docs/cashback.md")
    told = fields.get("timestamp")
    if told is not None and not (told.isdecimal() and abs(at - int(told[:15])) <= MAX_AGE_S):
        raise Unauthorized("this call is too old", hint="sign it with the time of now")


def signature_of(fields: Mapping[str, str], key: str) -> str:
    """HMAC-SHA256, hex, of the fields sorted by name and URL-encoded; all but secret, signature."""
    signed = sorted((k, v) for k, v in fields.items() if k not in {"secret", "signature"})
    return tokens.signature(key, urlencode(signed))


class RefusedCalls:
    """The calls that were refused: one line each in a file of bounded size, so that a flood of
    forged calls fills no disk. Lines name network and reason, no secret and no field."""

    def __init__(self, path: Path, max_bytes: int = REFUSED_BYTES) -> None:
        self.path = path
        self.max_bytes = max_bytes

    def add(self, network: str, reason: str, at: int) -> None:
        """Appends one refused call; `at` is UTC epoch seconds. A file that is full is begun anew."""
        log.event("postback refused", 30, network=network, reason=reason)
        line = json.dumps({"at": at, "network": network[:40], "reason": reason[:200]}) + "\n"
        try:
            make_private(self.path)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)
                full = file.tell() > self.max_bytes
            if full:
                self.path.replace(self.path.with_suffix(".old"))
        except OSError as error:
            raise StateError("the disk refuses", hint="free some space") from error

    def counts(self) -> Counter[str]:
        """How many lines there are, by `network: reason`; older ones than the bound are gone."""
        found: Counter[str] = Counter()
        for path in (self.path.with_suffix(".old"), self.path):
            if path.exists():
                for line in path.read_text("utf-8").splitlines():
                    try:
                        row = json.loads(line)
                    except ValueError:
                        continue  # half a line after a kill
                    found[f"{row['network']}: {row['reason']}"] += 1
        return found


@dataclass(slots=True)
class Pulled:
    """What a pull did: stretches read and skipped, news that were new and that were known."""

    read: int = 0
    skipped: int = 0
    new: int = 0
    repeated: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, object]:
        """The counts by name, as `conversions pull --json` prints them."""
        return {
            "read": self.read,
            "skipped": self.skipped,
            "new": self.new,
            "repeated": self.repeated,
            "rejected": dict(self.rejected),
        }


def pull(
    db: Database,
    network: str,
    poll: Poll,
    *,
    since: int,
    now: int,
    window_days: int,
    fresh_s: int = FRESH_S,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    rates: Converter | None = None,
) -> Pulled:
    """Asks a network, stretch by stretch, what changed since then, and records it.

    What `poll` raises ends the pull; what was read stays, and the next pull goes on behind it
    for `fresh_s` seconds (after that everything is asked anew, since old sales change too).
    """
    done = Pulled()
    stretches = windows(since, now, window_days)
    known = pulls.read_since(db, network, now - fresh_s) if fresh_s else set()
    for n, stretch in enumerate(stretches, 1):
        if stretch in known:
            done.skipped += 1
        else:
            told = ledger.observe(db, list(poll(*stretch)), at=now, rates=rates)
            pulls.mark_read(db, network, stretch, told.new, now)
            done.read += 1
            done.new += told.new
            done.repeated += told.repeated
            done.rejected += told.rejected
        progress(n, len(stretches))
    return done


def windows(since: int, until: int, days: int) -> list[tuple[int, int]]:
    """The stretches from `since` to `until`, each of at most so many days; they begin at whole
    steps from `since`, so that the next run finds the same ones. The last ends at `until`.

    >>> windows(0, 200_000, 1)
    [(0, 86400), (86400, 172800), (172800, 200000)]
    """
    step = days * DAY_S
    return [(at, min(at + step, until)) for at in range(since, until, step)]
