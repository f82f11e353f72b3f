"""What the elements of one row say: names and texts, addresses, pictures, amounts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import cast
from urllib.parse import urljoin

from lxml import etree

Element = etree._Element  # noqa: SLF001 - lxml's own name for it
MAX_DEPTH = 5
"""Levels of elements in a row that a column map's path may go down."""
_RELATIONS = "http://www.iana.org/assignments/relation/"
_ATOM_ID = "{http://www.w3.org/2005/Atom}id"
_ABSOLUTE = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.\-]*:|[/\\]{2})")
BASE = "{http://www.w3.org/XML/1998/namespace}base"
_ADDRESSES = frozenset(
    ("link", "url", "image_link", "additional_image_link", "mobile_link", "image", "picture")
)
"""Elements whose text is an address, relative to their `xml:base` if to anything."""
_WITH_PICTURES = ("content", "enclosure", "thumbnail")
_CURRENCIES = ("currency", "currencyCode", "currencyId", "currency_id")
"""Attributes of an amount that name its currency."""
_CODE = 3
_NESTING = etree.XPath("/*/*/*/*/..")  # a predicate takes ten times as long
_WITH_ATTRIBUTES = etree.XPath("/*/*/*/@*/..")
_BASED = etree.XPath("/*/@xml:base/.. | /*/*/@xml:base/..")
_PICTURE = re.compile(r"\.(?:jpe?g|png|webp|gif|avif)(?:[?#]|\Z)", re.IGNORECASE)


def local(name: str) -> str:
    """The name without its namespace: `{http://base.google.com/ns/1.0}id` -> `id`."""
    return name.rpartition("}")[2]


def inner_text(element: etree._Element) -> str:
    """All characters in an element, of inner elements too, which end a word: `<p>a</p><p>b</p>`."""
    return (
        " ".join(str(part) for part in element.itertext()) if len(element) else element.text or ""
    )


def attributes(element: etree._Element) -> list[tuple[str, str]]:
    """Names and values of an element's attributes, in order."""
    return cast("list[tuple[str, str]]", element.items())


def pairs(element: etree._Element) -> Iterator[tuple[str, str]]:
    """Names and texts of the elements in a row."""
    own = element.tag.rpartition("}")[0]
    foreign: list[tuple[str, str]] = []
    for child in element:
        space, _, name = child.tag.rpartition("}")
        if name == "link" and child.attrib:
            link, is_page = _page(child)
            if not is_page or (space and space != own):
                foreign.append((name, link))
            else:
                yield name, link
        elif _is_foreign(space, own):
            foreign += [(name, inner_text(child)), *_pictures(child, name)]
        else:
            said = inner_text(child)
            if name in _WITH_PICTURES:
                foreign += _pictures(child, name)
            elif "rice" in name and child.attrib:
                said = _with_currency(child, said)
            yield name, _resolved(child, said) if name in _ADDRESSES else said
    # media:title and atom:link say something only where the row's own elements do not
    yield from foreign


def in_order(own: str, tags: Sequence[str]) -> list[tuple[int, str]]:
    """Places and names of the elements in a row, as `pairs` has them. `own`: the row's namespace, as it
    stands in its tag."""
    split = [(at, *tag.rpartition("}")[::2]) for at, tag in enumerate(tags)]
    first = [(at, name) for at, space, name in split if not _is_foreign(space, own)]
    return first + [(at, name) for at, space, name in split if _is_foreign(space, own)]


def odd_rows(rows: Sequence[Element], knows: Callable[[str], bool]) -> set[Element]:
    """Those of a tree's rows of which `pairs` says more than texts of elements, or says it in another
    order than `in_order`. `knows`: whether a name means anything."""
    first = rows[0]
    own = first.tag.rpartition("}")[0]
    holding = cast("list[Element]", _NESTING(first))
    named = cast("list[Element]", _WITH_ATTRIBUTES(first))
    based = cast("list[Element]", _BASED(first))
    if based or any(BASE in element.attrib for element in named):
        return set(rows)
    odd = (e.getparent() for e in chain(holding, named) if _says_more(e, own, knows))
    return {row for row in odd if row is not None}


def _says_more(element: Element, own: str, knows: Callable[[str], bool]) -> bool:
    space, _, name = element.tag.rpartition("}")
    if name in _WITH_PICTURES or (name == "group" and _is_foreign(space, own)):
        return True
    if len(element) and knows(name):
        return True
    return bool(element.attrib) and (name == "link" or ("rice" in name and knows(name)))


def _is_foreign(space: str, own: str) -> bool:
    return bool(space) and space != own and "base.google.com" not in space


def _pictures(element: etree._Element, name: str) -> list[tuple[str, str]]:
    """The picture that an enclosure of RSS, or an element of Media RSS (`media:content`), points at."""
    if name == "group":
        return [found for child in element for found in _pictures(child, local(child.tag))]
    url, kind = element.get("url", ""), element.get("type", "") or element.get("medium", "")
    shows = kind.startswith("image") if kind else bool(_PICTURE.search(url))
    return [("image", _resolved(element, url))] if url and name in _WITH_PICTURES and shows else []


def _with_currency(element: etree._Element, said: str) -> str:
    """An amount with the currency that its element names: `<price currency="EUR">5</price>`."""
    code = next((code for name in _CURRENCIES if (code := element.get(name, ""))), "")
    bare = said and not said.strip(" .,0123456789")
    return f"{said} {code}" if bare and len(code) == _CODE else said


def permalink(element: etree._Element) -> str:
    """The address that a row's id is: RSS's guid, unless it says that it is none, and Atom's id.
    Empty where it is no address of a page."""
    for child in element:
        name = local(child.tag)
        if name == "guid":
            found = child.get("isPermaLink", "true").strip().lower() != "false"
        else:
            found = child.tag == _ATOM_ID
        if found and (said := inner_text(child).strip()).lower().startswith(
            ("http://", "https://")
        ):
            return said
    return ""


def _page(link: etree._Element) -> tuple[str, bool]:
    """The address in a link that has attributes, empty where it leads to no page of the thing
    (`rel="self"`), and whether it is a page for people."""
    said = {name.lower(): value.strip() for name, value in attributes(link)}
    # a relation may be written as its address in the registry (RFC 4287, 4.2.7.2)
    relation = said.get("rel", "").lower().removeprefix(_RELATIONS)
    if relation not in ("alternate", "", "canonical", "bookmark"):
        return "", False
    address = inner_text(link) or said.get("href", "")
    return _resolved(link, address), "html" in said.get("type", "html").lower()


def _resolved(element: etree._Element, address: str) -> str:
    """A relative address against the element's own `xml:base`, or the row's."""
    base = element.base
    if not base or not address or "{" in address or _ABSOLUTE.match(address):
        return address
    try:
        return urljoin(base, address.strip())
    except ValueError:
        return address


def deep_pairs(
    element: etree._Element, path: str = "", depth: int = MAX_DEPTH
) -> Iterator[tuple[str, str]]:
    """Names and texts of the elements in a row, the names as paths: `@id`, `price/@currency`,
    `size/value`, `param[colour]`."""
    for name, value in attributes(element):
        yield f"{path}@{local(name)}", value
    for child in element:
        here = path + local(child.tag)
        text = inner_text(child)
        yield here, _page(child)[0] if here == "link" and child.attrib else text
        if named := child.get("name"):
            yield f"{here}[{named}]", text
        if depth and (len(child) or child.attrib):
            yield from deep_pairs(child, here + "/", depth - 1)
