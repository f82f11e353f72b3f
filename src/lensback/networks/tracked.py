"""Tracked links of a feed: whether one is ours, read as strictly as any server might read it.

A link pays the publisher that it names. So each parameter that names a publisher, an advertiser, a
target or a click id must be there in its plain spelling and with our value, every parameter of the
network at most once, and its path must be one that this program uses. What is not so is nobody's whom we know.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from lensback.counted import counted
from lensback.errors import BadQuery
from lensback.networks.shape import LinkForm, LinkSettings
from lensback.storepage import plain_name

Owners = dict[str, tuple[str, str]]
"""Parameters that say whom a link pays, in small letters -> (the setting, our value)."""
_NAME = re.compile(r"{(\w+)}")
_RAW = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as it is written, and the plainest name that a server could take it for."""

    raw: str
    value: str

    @property
    def name(self) -> str:
        """The plainest name that a server could take it for."""
        return plain_name(self.raw)

    @property
    def plain(self) -> bool:
        """Whether the name is written as it is."""
        return self.raw.lower() == self.name


def parameters(link: str) -> list[Parameter]:
    """The parameters of the query; a `;` parts them too, because some servers read it so."""
    pieces = re.split("[&;]", urlsplit(link).query)
    pairs = [piece.partition("=") for piece in pieces if piece]
    return [Parameter(raw, unquote(value)) for raw, _, value in pairs]


def segments(link: str, target: tuple[str, ...]) -> list[Parameter]:
    """`name:value` segments of a path, the target last: its value is the rest of the path, with the query and
    the fragment where it is written as it is. Segments behind one that is coded are none of it."""
    head, name, page, _ = _parted(link, target)
    pairs = [piece.partition(":") for piece in head.split("/") if piece]
    found = [Parameter(raw, unquote(value)) for raw, _, value in pairs]
    return [*found, Parameter(name, _page(link, page))] if name else found


def _parted(link: str, target: tuple[str, ...]) -> tuple[str, str, str, list[str]]:
    """A path: what stands before the target, its name, its page as it is written, and the segments behind
    it, from the first that has a name. A page that is not coded has slashes and colons of its own."""
    path = urlsplit(link).path
    mark = re.search("/(?:" + "|".join(target) + "):", path, re.IGNORECASE) if target else None
    if mark is None:
        return path, "", "", []
    head, name, written = path[: mark.start()], mark[0].strip("/:"), path[mark.end() :]
    if _RAW.match(written):
        return head, name, written, []
    pieces = written.split("/")
    begin = 3 if unquote(pieces[0])[-1:] == ":" else 1  # a scheme alone: its host comes first
    named = (n for n, piece in enumerate(pieces) if n >= begin and ":" in unquote(piece))
    at = next(named, len(pieces))
    return head, name, "/".join(pieces[:at]), pieces[at:]


def without_own_query(link: str, target: tuple[str, ...]) -> str:
    """A link of segments without the query and the fragment beside them, which a server may take for more
    segments. Behind a page that is written as it is they are the page's, and stay."""
    if _RAW.match(_parted(link, target)[2]):
        return link
    return urlunsplit(urlsplit(link)._replace(query="", fragment=""))


def _page(link: str, written: str) -> str:
    """The page at the end of a link's path. Coded, it stands for itself; written as it is, what looks like
    the link's own query and fragment is of the page, and nothing is decoded."""
    if not _RAW.match(written):
        return unquote(written)
    parts = urlsplit(link)
    query = f"?{parts.query}" if parts.query else ""
    return written + query + (f"#{parts.fragment}" if parts.fragment else "")


def template_of(form: LinkForm, settings: LinkSettings) -> str:
    """The network's link with its gaps, else the program's own; "" where there is neither."""
    return form.template or settings.ids.get("template", "")


def why_not_ours(form: LinkForm, settings: LinkSettings, link: str) -> str:
    """What is wrong with a tracked link; "" for one that is ours beyond doubt."""
    template = template_of(form, settings)
    own = owners(form, settings, template)
    return next(
        (
            wrong
            for wrong in (
                _spelling(form, settings, own, link),
                _whose(form, own, link),
                "" if _path_is_ours(form, settings, template, link) else "its path is not ours",
            )
            if wrong
        ),
        "",
    )


def _read(form: LinkForm, link: str) -> list[Parameter]:
    return segments(link, form.target) if form.style == "path" else parameters(link)


def _spelling(form: LinkForm, settings: LinkSettings, own: Owners, link: str) -> str:
    """A parameter that matters, written so that servers may read it in two ways."""
    if ";" in urlsplit(link).query:
        return "its parameters cannot be told apart"
    found = _read(form, link)
    template = template_of(form, settings)
    watched = {*own, *map(str.lower, form.target)}
    known = watched | known_parameters(form, settings)
    subid = subid_of(form, template).lower()
    if form.style == "path":
        if any(one.name in watched for one in parameters(link)):
            return "it names a publisher beside its path"
        behind = _parted(link, form.target)[3]
        if behind or _is_odd_path(template, {*watched, subid}, found, form):
            return "its path may be read in two ways"
    odd = [one.raw for one in found if one.name in {*watched, subid} and not one.plain]
    if odd:
        return f"{odd[0][:40]!r} is an odd spelling"
    counts = Counter(one.name for one in found)
    ours = {subid} if form.style == "query" else set()  # all of them give way to ours, once
    doubled = min((name for name in known - ours if counts[name] > 1), default="")
    return f"{doubled!r} is there {counted(counts[doubled], 'time')}" if doubled else ""


def _is_odd_path(template: str, known: set[str], pieces: list[Parameter], form: LinkForm) -> bool:
    """Whether a segment is none of the template's, is coded where a server may decode it before it parts
    the path, or stands behind the target."""
    usual = {one.raw for one in segments(template, form.target)}
    targets = {name.lower() for name in form.target}
    names = re.compile(f"/(?:{'|'.join(map(re.escape, sorted(known)))}):", re.IGNORECASE)
    return any(
        names.search(unquote(one.value))
        if one.name in targets
        else "%" in one.raw or (one.name not in known and one.raw not in usual)
        for one in pieces
    )


def known_parameters(form: LinkForm, settings: LinkSettings) -> set[str]:
    """Names of parameters that a tracked link may have, in small letters."""
    template = template_of(form, settings)
    base = settings.ids.get("base", "") if "{base}" in template else ""
    written = {one.name for text in (template, base) for one in parameters(text)}
    more = (*form.own, *form.target, *form.keep, form.erid, subid_of(form, template))
    return (written | set(map(str.lower, more))) - {""}


def is_address(value: str) -> bool:
    """Whether a parameter's value is an address that a network might send the shopper to."""
    plain = unquote(unquote(unquote(value)))
    return bool(re.match(r"\s*(?:[a-z][a-z0-9+.-]*:|[/\\]{2})", plain, re.IGNORECASE))


def _whose(form: LinkForm, own: Owners, link: str) -> str:
    """A publisher or advertiser that is not ours, or not named at all."""
    values = {one.name: one.value for one in reversed(_read(form, link))}
    for name, (_, ours) in own.items():
        if values.get(name, ours) != ours:
            return f"the link belongs to another publisher ({name}={values[name][:40]})"
    named = {setting for name, (setting, _) in own.items() if name in values}
    missing = [setting for setting, _ in own.values() if setting not in named]
    return f"it does not name our {missing[0]}" if missing else ""


def owners(form: LinkForm, settings: LinkSettings, template: str) -> dict[str, tuple[str, str]]:
    """Parameters that say whom a link pays, in small letters -> (the setting, our value)."""
    ids = {**empty_settings(form), **settings.ids}
    found = {
        name.lower(): (setting, _NAME.sub(lambda m: ids.get(m[1], ""), setting))
        if "{" in setting
        else (setting, ids.get(setting, ""))
        for name, setting in form.own.items()
    }
    fixed = settings.ids.get("base", "") if template.startswith("{base}") else template
    if form.own and fixed == template:
        return found
    # A base, or the program's own template: what it says besides must be said by the link as well.
    for one in parameters(fixed):
        inner = _NAME.findall(one.value)
        if not {"url", "subid"} & set(inner):
            value = _NAME.sub(lambda m: ids.get(m[1], ""), one.value)
            found.setdefault(one.name, (one.name, value))
    return found


def empty_settings(form: LinkForm) -> dict[str, str]:
    """Settings that a program may leave out."""
    return {name: "" for name, pattern in form.settings.items() if re.fullmatch(pattern, "")}


def subid_of(form: LinkForm, template: str) -> str:
    """The parameter of the click id; a program's own template may name it. "" where none does."""
    found = re.search(r"[?&]([^=&{}]+)={subid}", template)
    return form.subid or (found[1] if found else "")


def _path_is_ours(form: LinkForm, settings: LinkSettings, template: str, link: str) -> bool:
    """Whether the path is that of the program's base, of its template, or of the network's list."""
    ids = {**empty_settings(form), **settings.ids}
    known = [template.replace("{base}", ids.get("base", ""))]
    if not template.startswith("{base}"):
        known += [f"https://h{path}" for path in form.paths]
    if form.style == "path":
        return True  # its segments were read one by one
    path = urlsplit(link).path
    return any(path == place for place in _paths(known, ids))


def _paths(templates: Iterable[str], ids: Mapping[str, str]) -> Iterable[str]:
    for template in templates:
        place = urlsplit(template).path
        if {"url", "subid", "page"} & set(_NAME.findall(place)):
            continue  # it holds what differs from link to link: such a link is made anew
        yield _NAME.sub(lambda m: ids.get(m[1], ""), place)


def target_in(form: LinkForm, settings: LinkSettings, link: str) -> str:
    """The page that a tracked link leads to. Raises BadQuery where it names none, or several."""
    template = template_of(form, settings)
    names = {name.lower() for name in form.target} | {
        one.name for one in parameters(template) if one.value == "{url}"
    }
    if form.style == "tail":
        mark = re.search(r"/url=(.+)", urlsplit(link).path)
        found = {_page(link, mark[1])} if mark else set()
    else:
        found = {one.value for one in _read(form, link) if one.name in names and one.value}
    if len(found) != 1:
        raise BadQuery("the link is tracked already", hint="give the store's own addresses")
    return found.pop()
