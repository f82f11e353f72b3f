"""Tracked links: a network's template filled, or a sub-id put into a link that is tracked already."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from lensback.errors import BadQuery, ConfigError
from lensback.networks.shape import Linked, LinkForm, LinkSettings, Network, Program
from lensback.networks.targets import (
    ascii_domains,
    canonical,
    host_of,
    parts_of,
    readable,
    within,
)
from lensback.networks.tracked import (
    Parameter,
    empty_settings,
    is_address,
    known_parameters,
    parameters,
    segments,
    subid_of,
    target_in,
    template_of,
    why_not_ours,
    without_own_query,
)
from lensback.storepage import is_credit, plain_name

_SUBID = re.compile(r"[0-9A-Za-z]+")
_ERID = re.compile(r"\berid\s*[:=]?\s*([0-9A-Za-z]{8,60})", re.IGNORECASE)
_TOKEN = re.compile(r"[0-9A-Za-z_-]{1,80}")
_NAME = re.compile(r"{(\w+)}")
RAW = frozenset({"base", "page"})
"""Values that are put into a template as they are."""
_PLAIN = re.compile(r"[!-~]+")


def deeplink(network: Network, settings: LinkSettings, url: str, subid: str) -> str:
    """The tracked link to the store's page `url`, carrying our click id.

    A `url` that goes through the network already only gets the click id. Raises BadQuery where
    no such link may be made: another domain, another publisher's link, too long, not an address.
    """
    if not _SUBID.fullmatch(subid) or len(subid) > network.link.subid_max:
        limit = network.link.subid_max
        raise BadQuery("not a click id", hint=f"letters and digits, at most {limit} of them")
    if is_tracked(network, settings, url):
        link = _with_subid(network, settings, url, subid)
    else:
        link = _made(network, settings, url, subid)
    return _checked(network, settings, link)


def settings_of(program: Program, disclosure: str = "") -> LinkSettings:
    """What a program brings to its links; an offer's own advertising token goes first."""
    return LinkSettings(
        domains=program.domains,
        ids=program.link,
        deny_deeplinks=program.deny_deeplinks,
        landing=program.landing,
        tracking_hosts=program.tracking_hosts,
        erid=erid_of(disclosure) or program.erid,
    )


def offer_deeplink(network: Network, program: Program, offer: Linked, subid: str) -> str:
    """The tracked link to an offer: through the address of the feed, else through the store's
    own page where the feed names it too. Raises BadQuery where there can be none."""
    settings = settings_of(program, offer.disclosure)
    try:
        return deeplink(network, settings, offer.url, subid)
    except BadQuery:
        if not offer.target_url:
            raise
        return deeplink(network, settings, offer.target_url, subid)


def is_tracked(network: Network, settings: LinkSettings, url: str) -> bool:
    """True where the address lies at one of the network's hosts."""
    host = host_of(parts_of(url))
    return within(host, link_hosts(network, settings)) and not within(
        host, ascii_domains(settings.domains)
    )


def link_hosts(network: Network, settings: LinkSettings) -> tuple[str, ...]:
    """Where links of this program may begin: hosts of the network, of its base, of its template."""
    given = [settings.ids[name] for name in ("base", "template") if name in settings.ids]
    brought = [host_of(urlsplit(text)) for text in given]
    return (*network.link.hosts, *ascii_domains(settings.tracking_hosts), *brought)


def erid_of(disclosure: str) -> str:
    """The token of the advertising register in a disclosure text, or nothing.

    >>> erid_of("Реклама. ООО «Лавка», erid: 2VtzqwABCDEF")
    '2VtzqwABCDEF'
    """
    found = _ERID.search(disclosure)
    return found[1] if found else ""


def check_settings(network: Network, settings: LinkSettings) -> None:
    """Raises ConfigError naming the key of the program that is missing or wrong."""
    for name, pattern in network.link.settings.items():
        value = settings.ids.get(name, "")
        if not re.fullmatch(pattern, value):
            state = f"{value!r} does not look like one" if value else "is missing"
            raise ConfigError(f"program key 'link.{name}': {state}", hint=f"pattern: {pattern}")
    known = {*network.link.settings, *_NAME.findall(settings.ids.get("template", "")), "template"}
    if network.link.template:
        known.discard("template")
    for name in settings.ids:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise ConfigError(f"program key 'link.{name}' is not known", hint=f"known: {listed}")
    _check_template(network, settings)
    _check_addresses(network, settings)


def _check_template(network: Network, settings: LinkSettings) -> None:
    names = set(_NAME.findall(template_of(network.link, settings)))
    if "subid" not in names or not {"url", "page"} & names:
        raise ConfigError("program key 'link.template' needs {url} and {subid}", hint="add them")
    left_out = empty_settings(network.link)
    missing = sorted(names - {"url", "page", "subid", *settings.ids, *left_out})
    if missing:
        raise ConfigError(f"program key 'link.{missing[0]}' is missing", hint="add it")


def _check_addresses(network: Network, settings: LinkSettings) -> None:
    key = "domains"
    try:
        ascii_domains(settings.domains)
        key = "tracking_hosts"
        ascii_domains(settings.tracking_hosts)
        for name in ("base", "template"):
            key = f"link.{name}"
            if name in settings.ids:
                parts_of(settings.ids[name].replace("{", "").replace("}", ""))
        key = "landing"
        if settings.landing:
            canonical(settings.landing, settings.domains)
    except BadQuery as error:
        raise ConfigError(f"program key {key!r}: {error.message}", hint=error.hint) from error
    if settings.erid and not _TOKEN.fullmatch(settings.erid):
        raise ConfigError("program key 'erid': not a token", hint="letters and digits")
    if settings.deny_deeplinks and not settings.landing and not network.link.landing:
        raise ConfigError(
            "program key 'landing' is missing: the program denies deep links",
            hint="name the store's start page",
        )


def _made(network: Network, settings: LinkSettings, url: str, subid: str) -> str:
    form = network.link
    values = {**empty_settings(form), **settings.ids, "subid": subid}
    if settings.deny_deeplinks and not settings.landing:
        if not form.landing:
            raise BadQuery("the program forbids deep links", hint="give the program a landing page")
        template = form.landing
    else:
        template = template_of(form, settings)
        page = settings.landing if settings.deny_deeplinks else url
        values["url"] = canonical(page, settings.domains)
        if settings.erid and not form.erid:
            values["url"] = _put(values["url"], "erid", settings.erid, before=())
        # The page itself as the link: its fragment would swallow what is put behind it.
        values["page"] = urlsplit(values["url"])._replace(fragment="").geturl().replace(";", "%3B")
    link = _filled(template, values)
    if settings.erid and form.erid:
        link = _put(link, form.erid, settings.erid, before=form.target)
    return link


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Every name once, in one pass: what a value holds is never taken for a name."""
    for name in RAW & set(values):
        if "?" in values[name]:  # the base has a query already
            template = template.replace(f"{{{name}}}?", f"{{{name}}}&")

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            raise BadQuery(f"the program does not say {name!r}", hint=f"add link.{name} to it")
        return values[name] if name in RAW else quote(values[name], safe="")

    return _NAME.sub(value, template)


def _with_subid(network: Network, settings: LinkSettings, url: str, subid: str) -> str:
    """The network's own link with our click id in it, once; a link that is not ours beyond doubt is
    made anew from the page it leads to."""
    form = network.link
    link = readable(url)
    template = template_of(form, settings)
    name = subid_of(form, template)
    wrong = why_not_ours(form, settings, link) or _credits_others(form, link)
    if wrong or form.style == "tail" or not name:
        try:
            page = target_in(form, settings, link)
        except BadQuery as error:
            raise BadQuery(wrong or error.message, hint=error.hint) from error
        return _made(network, settings, page, subid)
    put = _put_segment if form.style == "path" else _put
    found = segments(link, form.target) if form.style == "path" else parameters(link)
    for one in found:
        if one.name in {target.lower() for target in form.target} and one.value:
            canonical(one.value, settings.domains)
    if form.style == "query":
        link = _only(link, known_parameters(form, settings), set(map(str.lower, form.keep)))
    elif form.style == "path":
        link = without_own_query(link, form.target)
    link = put(link, name, subid, before=form.target)
    if settings.erid and form.erid and "erid=" not in link.lower():
        link = put(link, form.erid, settings.erid, before=form.target)
    return link


def _credits_others(form: LinkForm, link: str) -> str:
    """What is wrong where the page that a link leads to credits the visit to somebody; "" where it does
    not. A campaign's name (`utm_`) credits nobody."""
    found = segments(link, form.target) if form.style == "path" else parameters(link)
    targets = {target.lower() for target in form.target}
    for one in found:
        if one.name in targets and one.value:
            named = re.split("[?&;]", one.value)[1:]
            if any(
                is_credit(piece) and not plain_name(piece).startswith("utm_") for piece in named
            ):
                return "its page credits somebody"
    return ""


def _only(link: str, known: set[str], kept: set[str]) -> str:
    """The link with the parameters that we know, no others: click ids of somebody else are among
    those. One that is merely kept leads nowhere."""
    parts = urlsplit(link)
    found = [piece for piece in parts.query.split("&") if piece]

    def stays(piece: str) -> bool:
        raw, _, value = piece.partition("=")
        name = Parameter(raw, "").name
        return name in known and not (name in kept and is_address(value))

    return urlunsplit(parts._replace(query="&".join(filter(stays, found))))


def _put(link: str, name: str, value: str, *, before: tuple[str, ...]) -> str:
    """The parameter once: in its old place, or in front of the target, or at the end."""
    parts = urlsplit(link)
    pieces = [piece for piece in parts.query.split("&") if piece]
    query = _placed(pieces, "=", name, value, before)
    return urlunsplit(parts._replace(query="&".join(query)))


def _put_segment(link: str, name: str, value: str, *, before: tuple[str, ...]) -> str:
    head, rest = _split_path(link, before)
    path = "/" + "/".join(_placed(head, ":", name, value, ())) + rest
    return urlunsplit(urlsplit(link)._replace(path=path))


def _split_path(link: str, target: tuple[str, ...]) -> tuple[list[str], str]:
    """The segments before the target, and the rest: a raw target has slashes of its own."""
    path = urlsplit(link).path
    mark = re.search("/(?:" + "|".join(target) + "):", path, re.IGNORECASE) if target else None
    at = mark.start() if mark else len(path)
    return [piece for piece in path[:at].split("/") if piece], path[at:]


def _placed(
    pieces: list[str], mark: str, name: str, value: str, before: tuple[str, ...]
) -> list[str]:
    def called(*names: str) -> Callable[[str], bool]:
        lower = {n.lower() for n in names}
        return lambda piece: piece.partition(mark)[0].lower() in lower

    old = [at for at, piece in enumerate(pieces) if called(name)(piece)]
    target = [at for at, piece in enumerate(pieces) if called(*before)(piece)]
    at = (old or target or [len(pieces)])[0]
    head = pieces[:at]
    tail = [piece for piece in pieces[at:] if not called(name)(piece)]
    return [*head, f"{name}{mark}{quote(value, safe='')}", *tail]


def _checked(network: Network, settings: LinkSettings, link: str) -> str:
    """The finished link, or BadQuery: nothing leaves that a header could not carry."""
    if len(link) > network.link.max_chars:
        raise BadQuery(
            f"the link has {len(link)} characters",
            hint=f"{network.title} takes {network.link.max_chars} at most",
        )
    host = host_of(parts_of(link))
    hosts = link_hosts(network, settings)
    if "{page}" in template_of(network.link, settings):
        hosts += ascii_domains(settings.domains)
    if not _PLAIN.fullmatch(link) or not within(host, hosts):
        raise BadQuery(f"not a link of {network.title}: {link[:80]!r}", hint="check the program")
    return link
