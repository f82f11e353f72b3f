"""What a host's robots.txt and an answer's X-Robots-Tag say (RFC 9309). Pure sums."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

MAX_BYTES = 512 << 10
"""RFC 9309, 2.5: at least 500 KiB are to be read."""
MAX_DELAY_S = 2.0
"""Most of a Crawl-delay that is honoured: with minutes between two pictures nothing gets done."""
_MAX_RULES = 5000
_LINE = re.compile(r"^\s*(user-agent|allow|disallow|crawl-delay)\s*:\s*([^#]*)", re.IGNORECASE)
_TAGS = frozenset({"none", "noindex", "noimageindex", "noai", "noimageai"})


@dataclass(frozen=True, slots=True)
class Robots:
    """The rules for one agent: (length of the pattern, whether it allows, the pattern)."""

    rules: tuple[tuple[int, bool, re.Pattern[str]], ...] = ()
    delay_s: float = 0.0

    def allows(self, url: str) -> bool:
        """The longest matching rule decides; `allow` among equals; without a match: yes.

        >>> found = parse("User-agent: *\\nDisallow: /*.gif$\\nDisallow: /p\\nAllow: /pics", "x")
        >>> [found.allows("http://h/" + p) for p in ("a.gif", "a.gif?x", "p/1", "pics/1")]
        [False, True, False, True]
        """
        parts = urlsplit(url)
        path = _plain(parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        matches = [(size, allow) for size, allow, rule in self.rules if rule.match(path)]
        return max(matches)[1] if matches else True


ALL = Robots()
NOTHING = Robots(((1, False, re.compile("/")),))


def parse(text: str, agent: str) -> Robots:
    """The group that names our product (`Lensback` of `Lensback/0.1 (+…)`), else that of `*`."""
    product = agent.split("/", maxsplit=1)[0].split(" ", maxsplit=1)[0].lower()
    groups: dict[str, list[tuple[str, str]]] = {}
    names: list[str] = []
    begun = False
    for line in text.lstrip("\ufeff").splitlines():
        if not (found := _LINE.match(line)):
            continue
        word, value = found[1].lower(), found[2].strip()
        if word == "user-agent":
            names = [*([] if begun else names), value.lower()]
            begun = False
            groups.setdefault(value.lower(), [])
        else:
            begun = True
            for name in names:
                groups[name].append((word, value))
    chosen = groups.get(product, groups.get("*", []))[:_MAX_RULES]
    rules = [_rule(word, value) for word, value in chosen if word != "crawl-delay" and value]
    return Robots(
        tuple(rules), max((_delay(v) for w, v in chosen if w == "crawl-delay"), default=0.0)
    )


def _rule(word: str, value: str) -> tuple[int, bool, re.Pattern[str]]:
    end = value.endswith("$")
    # Possessive pieces between stars: no pattern of a store may take more than linear time each.
    pieces = [
        re.escape(_plain(piece)) for piece in re.split(r"\*+", value[:2000].removesuffix("$"))
    ]
    pattern = pieces[0] + "".join(f"(?>.*?{piece})" for piece in pieces[1:-1])
    if len(pieces) > 1:
        pattern += f".*{pieces[-1]}" if end else f".*?{pieces[-1]}"
    return len(value), word == "allow", re.compile(pattern + (r"\Z" if end else ""), re.DOTALL)


def _delay(value: str) -> float:
    found = re.match(r"\d{1,6}(\.\d{1,3})?", value)
    return min(float(found[0]), MAX_DELAY_S) if found else 0.0


def _plain(path: str) -> str:
    """One spelling of percent-encoding, so that a rule and a path meet."""
    return quote(unquote(path), safe="/?&=:@!$'()*+,;~-._%")


def forbids(headers: Mapping[str, str], agent: str) -> bool:
    """Whether X-Robots-Tag asks that the picture is not shown in a search.

    >>> forbids({"x-robots-tag": "otherbot: noindex, lensback: nofollow"}, "Lensback/1")
    False
    """
    product, speaks_to_us = agent.split("/", maxsplit=1)[0].split(" ", maxsplit=1)[0].lower(), True
    for piece in headers.get("x-robots-tag", "").lower().split(","):
        name, mark, rest = piece.partition(":")
        if mark and name.strip() not in {"max-snippet", "max-image-preview", "unavailable_after"}:
            speaks_to_us = name.strip() == product
            piece = rest  # noqa: PLW2901 - the rest of it is the directive
        if speaks_to_us and piece.strip() in _TAGS:
            return True
    return False
