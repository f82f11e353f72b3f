"""Tracked links, step by step: what a network's form and a program's settings make of an address."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lensback.errors import BadQuery, ConfigError
from lensback.networks import LinkSettings, Network
from lensback.networks.links import (
    check_settings,
    deeplink,
    erid_of,
    is_tracked,
    link_hosts,
    offer_deeplink,
    settings_of,
)
from lensback.networks.shape import LinkForm
from lensback.types import Money, Offer

S = "4fzzzxjylrx1a2B3c4D5e6"
PAGE = "https://shop.example/p?a=1"
QUOTED = "https%3A%2F%2Fshop.example%2Fp%3Fa%3D1"
FORM = LinkForm(
    template="https://go.example/c?id={id}&s={subid}&u={url}",
    subid="s",
    target=("u", "url"),
    hosts=("go.example",),
    settings={"id": "[0-9]+"},
    own={"Id": "id"},
)
BASED = LinkForm(
    template="{base}?s={subid}&u={url}", subid="s", settings={"base": "https://.+"}, target=("u",)
)
PATH = LinkForm(
    template="https://prf.example/click/cam:{cam}/ref:{subid}/to:{url}",
    subid="ref",
    target=("to", "dest"),
    hosts=("prf.example",),
    settings={"cam": "[a-z]+"},
    own={"cam": "cam"},
    style="path",
)
OWN = LinkForm(template="", subid="", target=("u",))
"""A network whose programs bring their own template."""
TEMPLATE = "https://t.example/x?p={p}&sub={subid}&u={url}"


def network(form: LinkForm = FORM, **more: Any) -> Network:
    return Network("mine", "Mine", replace(form, **more), {})


def settings(**more: Any) -> LinkSettings:
    return LinkSettings(**{"domains": ("shop.example",), "ids": {"id": "7"}, **more})


def link(form: LinkForm = FORM, url: str = PAGE, *, changed: Any = None, **more: Any) -> str:
    return deeplink(network(form, **(changed or {})), settings(**more), url, S)


# ---- made


def test_a_template_is_filled() -> None:
    assert link() == f"https://go.example/c?id=7&s={S}&u={QUOTED}"
    assert link(ids={"id": "a&b/ü"}) == f"https://go.example/c?id=a%26b%2F%C3%BC&s={S}&u={QUOTED}"


def test_what_a_value_holds_is_never_a_name() -> None:
    """{subid} inside a setting stays text, percent-encoded."""
    assert link(ids={"id": "{subid}"}) == f"https://go.example/c?id=%7Bsubid%7D&s={S}&u={QUOTED}"


def test_a_base_is_put_in_as_it_is() -> None:
    ids = {"base": "https://b.example/x%20y"}
    assert link(BASED, ids=ids) == f"https://b.example/x%20y?s={S}&u={QUOTED}"
    ids = {"base": "https://b.example/x?k=1"}
    assert link(BASED, ids=ids) == f"https://b.example/x?k=1&s={S}&u={QUOTED}"


def test_a_program_brings_its_own_template() -> None:
    ids = {"template": TEMPLATE, "p": "9"}
    assert link(OWN, ids=ids) == f"https://t.example/x?p=9&sub={S}&u={QUOTED}"
    # ... which counts for nothing where the network has one.
    both = {"id": "7", **ids}
    assert link(ids=both) == f"https://go.example/c?id=7&s={S}&u={QUOTED}"
    with pytest.raises(BadQuery) as refused:
        link(OWN, ids={"template": TEMPLATE})
    assert refused.value.message == "the program does not say 'p'"
    assert refused.value.hint == "add link.p to it"


@pytest.mark.parametrize("subid", ["a", "0", "Z9", "x" * 22, "x" * 32])
def test_a_click_id(subid: str) -> None:
    assert f"&s={subid}&" in deeplink(network(), settings(), PAGE, subid)


@pytest.mark.parametrize("subid", ["", "a b", "a-b", "x" * 33, "ü", "a\n"])
def test_no_click_id(subid: str) -> None:
    with pytest.raises(BadQuery, match="not a click id") as refused:
        deeplink(network(), settings(), PAGE, subid)
    assert refused.value.hint == "letters and digits, at most 32 of them"
    if len(subid) == 33:
        assert deeplink(network(subid_max=33), settings(), PAGE, subid)


@pytest.mark.parametrize(
    "url", ["https://other.example/p", "https://shop.example.evil.example/", "ftp://shop.example/p"]
)
def test_a_page_elsewhere_gets_no_link(url: str) -> None:
    with pytest.raises(BadQuery):
        link(url=url)


# ---- deep links denied


def test_the_landing_page_of_a_program() -> None:
    denied = {"deny_deeplinks": True, "landing": "https://shop.example/start"}
    start = "https%3A%2F%2Fshop.example%2Fstart"
    assert link(**denied) == f"https://go.example/c?id=7&s={S}&u={start}"
    # Whatever the page: it is not looked at.
    assert link(url="https://other.example/", **denied).endswith(start)
    # The program's page goes before the network's.
    assert link(changed={"landing": "https://go.example/x?s={subid}"}, **denied).endswith(start)
    with pytest.raises(BadQuery, match="not a domain"):
        link(deny_deeplinks=True, landing="https://other.example/")
    # A landing page alone denies nothing.
    assert link(landing="https://shop.example/start").endswith(QUOTED)


def test_the_landing_template_of_a_network() -> None:
    form = {"landing": "https://go.example/start?id={id}&s={subid}"}
    wanted = f"https://go.example/start?id=7&s={S}"
    assert link(changed=form, deny_deeplinks=True) == wanted
    # There is no target for the token of the advertising register, and nobody says so.
    assert link(changed=form, deny_deeplinks=True, erid="token123") == wanted
    assert link(changed=form).endswith(QUOTED)
    with pytest.raises(BadQuery, match="forbids deep links"):
        link(deny_deeplinks=True)


# ---- the token of the advertising register


def test_the_token_goes_into_the_target() -> None:
    there = link(erid="token123")
    assert there == f"https://go.example/c?id=7&s={S}&u={QUOTED}%26erid%3Dtoken123"
    # ... once: one of somebody else goes.
    old = link(url="https://shop.example/p?erid=old&b=2&ERID=x", erid="token123")
    assert old.endswith("&u=https%3A%2F%2Fshop.example%2Fp%3Ferid%3Dtoken123%26b%3D2")
    landing = link(erid="token123", deny_deeplinks=True, landing="https://shop.example/")
    assert landing.endswith("&u=https%3A%2F%2Fshop.example%2F%3Ferid%3Dtoken123")


def test_the_token_goes_into_the_link_where_the_network_takes_it() -> None:
    there = link(changed={"erid": "ad"}, erid="token123")
    assert there == f"https://go.example/c?id=7&s={S}&ad=token123&u={QUOTED}"
    assert link(changed={"erid": "ad"}) == f"https://go.example/c?id=7&s={S}&u={QUOTED}"


@pytest.mark.parametrize(
    ("disclosure", "token"),
    [
        ("Реклама. ООО «Лавка», erid: 2VtzqwABCDEF", "2VtzqwABCDEF"),
        ("ERID=2VtzqwABCDEF. Реклама", "2VtzqwABCDEF"),
        ("erid 2Vtzqw12", "2Vtzqw12"),
        ("(erid:2VtzqwABCDEF)", "2VtzqwABCDEF"),
        ("erid: 2Vtzqw1", ""),
        ("erid: " + "a" * 60, "a" * 60),
        ("periderid: 2VtzqwABCDEF", ""),
        ("erid: 2Vtz-qwABCDEF", ""),
        ("", ""),
    ],
)
def test_the_token_of_a_disclosure(disclosure: str, token: str) -> None:
    assert erid_of(disclosure) == token


# ---- tracked already


@pytest.mark.parametrize(
    ("url", "tracked"),
    [
        ("https://go.example/c", True),
        ("https://www.go.example/c", True),
        ("https://go.example:443/c", True),
        ("https://go.example:8443/c", False),
        ("https://nogo.example/c", False),
        ("https://base.example/c", True),
        ("https://own.example/c", True),
        ("https://more.example/c", True),
        ("https://shop.example/c", False),
        ("https://go.shop.example/c", False),
    ],
)
def test_is_tracked(url: str, tracked: bool) -> None:
    """The program's own pages are not, even where the network may use their host."""
    ids = {"base": "https://Base.example/x", "template": "https://own.example/{url}"}
    program = settings(ids=ids, tracking_hosts=("More.example", "shop.example"))
    assert is_tracked(network(), program, url) is tracked


def test_where_links_may_begin() -> None:
    assert link_hosts(network(), settings()) == ("go.example",)
    ids = {"base": "https://base.example/x", "template": "https://own.example/{url}"}
    program = settings(ids=ids, tracking_hosts=("Магазин.рф",))
    assert link_hosts(network(), program) == (
        "go.example",
        "xn--80aairftm.xn--p1ai",
        "base.example",
        "own.example",
    )


@pytest.mark.parametrize(
    ("url", "made"),
    [
        ("https://go.example/c?x=1", f"https://go.example/c?x=1&s={S}"),
        ("https://go.example/c", f"https://go.example/c?s={S}"),
        ("https://go.example/c?s=old&x=1", f"https://go.example/c?s={S}&x=1"),
        ("https://go.example/c?x=1&S=old&y=2&s=more", f"https://go.example/c?x=1&s={S}&y=2"),
        (f"https://go.example/c?x=1&u={QUOTED}", f"https://go.example/c?x=1&s={S}&u={QUOTED}"),
        (f"https://go.example/c?URL={QUOTED}&x=1", f"https://go.example/c?s={S}&URL={QUOTED}&x=1"),
        (f"https://go.example/c?u={QUOTED}&s=old", f"https://go.example/c?u={QUOTED}&s={S}"),
        ("https://go.example/c?s=a=b&x=c=d", f"https://go.example/c?s={S}&x=c=d"),
        ("https://go.example/c?&&x=1&", f"https://go.example/c?x=1&s={S}"),
        ("https://go.example/c?id=7&x=1", f"https://go.example/c?id=7&x=1&s={S}"),
        ("https://go.example/c?ID=7#f", f"https://go.example/c?ID=7&s={S}#f"),
        ("https://go.example/ü?x=ü", f"https://go.example/%C3%BC?x=%C3%BC&s={S}"),
    ],
)
def test_only_the_click_id_is_put_in(url: str, made: str) -> None:
    assert link(url=url) == made
    assert link(url=made) == made


@pytest.mark.parametrize(
    ("url", "made"),
    [
        (
            "https://prf.example/click/cam:abc/to:https%3A%2F%2Fshop.example%2Fp",
            f"https://prf.example/click/cam:abc/ref:{S}/to:https%3A%2F%2Fshop.example%2Fp",
        ),
        (
            "https://prf.example/click/REF:old/cam:abc/dest:https://shop.example/p",
            f"https://prf.example/click/ref:{S}/cam:abc/dest:https://shop.example/p",
        ),
        ("https://prf.example/click", f"https://prf.example/click/ref:{S}"),
        ("https://prf.example/click/?k=1", f"https://prf.example/click/ref:{S}?k=1"),
    ],
)
def test_a_click_id_in_the_path(url: str, made: str) -> None:
    assert link(PATH, url, ids={"cam": "abc"}) == made
    assert link(PATH, made, ids={"cam": "abc"}) == made


def test_a_path_without_a_target() -> None:
    made = link(PATH, "https://prf.example/click/:x/a:b", ids={}, changed={"target": ()})
    assert made == f"https://prf.example/click/:x/a:b/ref:{S}"


def test_a_tracked_link_of_the_programs_own_template() -> None:
    ids = {"template": TEMPLATE, "p": "9"}
    for url, made in (
        ("https://t.example/x?k=1", f"https://t.example/x?k=1&sub={S}"),
        (f"https://t.example/x?u={QUOTED}", f"https://t.example/x?sub={S}&u={QUOTED}"),
    ):
        assert link(OWN, url, ids=ids) == made
    for template in ("https://t.example/{subid}/{url}", "https://t.example/x?{subid}={url}"):
        with pytest.raises(BadQuery, match="tracked already"):
            link(OWN, "https://t.example/x?k=1", ids={"template": template})
    with pytest.raises(BadQuery, match="tracked already"):
        link(OWN, "https://t.example/x?k=1", ids={}, changed={"hosts": ("t.example",)})
    first = {"template": "https://t.example/x?sub={subid}&u={url}"}
    assert link(OWN, "https://t.example/x?k=1", ids=first) == f"https://t.example/x?k=1&sub={S}"


@pytest.mark.parametrize(
    ("form", "url", "ids", "whose"),
    [
        (FORM, "https://go.example/c?id=8", {"id": "7"}, "Id=8"),
        (FORM, "https://go.example/c?ID=8&s=x", {"id": "7"}, "Id=8"),
        (FORM, f"https://go.example/c?id={'9' * 50}", {"id": "7"}, f"Id={'9' * 40}"),
        (FORM, "https://go.example/c?id=8=9", {"id": "7"}, "Id=8=9"),
        (FORM, "https://go.example/c?id=8&id=7", {"id": "7"}, "Id=8"),
        (PATH, "https://prf.example/click/cam:other", {"cam": "abc"}, "cam=other"),
    ],
)
def test_a_link_that_pays_somebody_else(
    form: LinkForm, url: str, ids: dict[str, str], whose: str
) -> None:
    with pytest.raises(BadQuery) as refused:
        link(form, url, ids=ids)
    assert refused.value.message == f"the link belongs to another publisher ({whose})"
    # Where the program does not say who we are, or the link not whose it is, nobody can tell.
    assert S in link(form, url, ids={})


def test_the_target_of_a_tracked_link_is_looked_at() -> None:
    for name in ("u", "url", "URL"):
        with pytest.raises(BadQuery, match=r"evil\.example is not a domain"):
            link(url=f"https://go.example/c?{name}=https%3A%2F%2Fevil.example%2F")
    with pytest.raises(BadQuery, match="not a web address"):
        link(url="https://go.example/c?u=javascript:alert(1)")
    assert S in link(url="https://go.example/c?u=&x=1")
    for name in ("to", "dest"):
        with pytest.raises(BadQuery, match=r"evil\.example is not a domain"):
            link(PATH, f"https://prf.example/click/{name}:https://evil.example/", ids={})
    with pytest.raises(BadQuery, match=r"shop\.examplex is not a domain"):
        link(PATH, "https://prf.example/click/to:https://shop.exampleX", ids={})


def test_the_token_of_a_tracked_link() -> None:
    form = {"erid": "erid"}
    url = "https://go.example/c?x=1"
    assert link(url=url, changed=form, erid="tok") == f"{url}&s={S}&erid=tok"
    quoted = f"https://go.example/c?u={QUOTED}"
    wanted = f"https://go.example/c?s={S}&erid=tok&u={QUOTED}"
    assert link(url=quoted, changed=form, erid="tok") == wanted
    # One that is there stays; and a network that takes none gets none.
    for there in (f"{url}&ERID=old", f"https://go.example/c?u={QUOTED}%26erid=old"):
        assert "tok" not in link(url=there, changed=form, erid="tok")
    assert link(url=url, erid="tok") == f"{url}&s={S}"
    assert link(url=url, changed=form, erid="a/b") == f"{url}&s={S}&erid=a%2Fb"
    assert "erid" not in link(url=url, changed=form)
    in_path = link(PATH, "https://prf.example/click", ids={}, changed=form, erid="tok")
    assert in_path == f"https://prf.example/click/ref:{S}/erid:tok"


# ---- the finished link


def test_a_link_has_a_length() -> None:
    room = 4000 - len(link(url="https://shop.example/"))
    full = link(url="https://shop.example/" + "x" * room)
    assert len(full) == 4000
    with pytest.raises(BadQuery, match="the link has 4001 characters") as refused:
        link(url="https://shop.example/" + "x" * (room + 1))
    assert refused.value.hint == "Mine takes 4000 at most"
    tracked = "https://go.example/c?x=" + "x" * 4000
    with pytest.raises(BadQuery, match="characters"):
        link(url=tracked)


@pytest.mark.parametrize(
    "template",
    [
        "https://elsewhere.example/{subid}{url}",
        "https://go.example/ {subid}{url}",
        "https://go.example/ü{subid}{url}",
    ],
)
def test_a_link_that_leads_elsewhere_or_breaks_a_header(template: str) -> None:
    with pytest.raises(BadQuery, match="not a link of Mine"):
        link(changed={"template": template})


def test_a_link_with_a_port_of_the_network() -> None:
    form = {"template": "https://go.example:8443/{subid}?{url}", "hosts": ("go.example:8443",)}
    assert link(changed=form) == f"https://go.example:8443/{S}?{QUOTED}"


# ---- of a program and an offer


class Program:
    """What `lensback.terms` reads of a program, as far as links need it."""

    domains = ("shop.example",)
    link = {"id": "7"}  # noqa: RUF012
    deny_deeplinks = False
    landing = "https://shop.example/start"
    tracking_hosts = ("more.example",)
    erid = "program1"


def offer(url: str = PAGE, target_url: str = "", disclosure: str = "") -> Offer:
    price = Money(100, "EUR")
    return Offer("1", "Hat", url, price, target_url=target_url, disclosure=disclosure)


def test_what_a_program_brings() -> None:
    assert settings_of(Program()) == LinkSettings(
        ("shop.example",),
        {"id": "7"},
        deny_deeplinks=False,
        landing="https://shop.example/start",
        tracking_hosts=("more.example",),
        erid="program1",
    )
    assert settings_of(Program(), "erid: offers00").erid == "offers00"
    denied = Program()
    denied.deny_deeplinks = True
    assert settings_of(denied).deny_deeplinks


def test_the_link_of_an_offer() -> None:
    made = offer_deeplink(network(), Program(), offer(), S)
    assert made == f"https://go.example/c?id=7&s={S}&u={QUOTED}%26erid%3Dprogram1"
    made = offer_deeplink(network(), Program(), offer(disclosure="erid: offers00"), S)
    assert made.endswith("%26erid%3Doffers00")


def test_the_stores_page_stands_in_for_an_address_that_cannot() -> None:
    wrong = "https://other.example/p"
    made = offer_deeplink(network(), Program(), offer(wrong, PAGE, "erid: offers00"), S)
    assert made.endswith(f"u={QUOTED}%26erid%3Doffers00")
    # The feed's own address goes first.
    made = offer_deeplink(network(), Program(), offer(PAGE, "https://shop.example/other"), S)
    assert "other" not in made
    for target in ("", wrong):
        with pytest.raises(BadQuery, match=r"other\.example is not a domain"):
            offer_deeplink(network(), Program(), offer(wrong, target), S)
    with pytest.raises(BadQuery, match=r"third\.example"):
        offer_deeplink(network(), Program(), offer(wrong, "https://third.example/"), S)


# ---- settings of a program


GOOD = [
    (FORM, {"ids": {"id": "7"}}),
    (BASED, {"ids": {"base": "https://b.example/x"}}),
    (OWN, {"ids": {"template": TEMPLATE, "p": "1"}}),
    (OWN, {"ids": {"template": "https://x.example/{url}{subid}"}}),
    (FORM, {"landing": "https://shop.example/"}),
    (FORM, {"deny_deeplinks": True, "landing": "https://shop.example/"}),
    (replace(FORM, landing="https://go.example/{subid}"), {"deny_deeplinks": True}),
    (FORM, {"erid": "a_-9" * 20}),
    (FORM, {"tracking_hosts": ("a.example",)}),
]


@pytest.mark.parametrize(("form", "change"), GOOD)
def test_good_settings(form: LinkForm, change: dict[str, Any]) -> None:
    check_settings(network(form), settings(**change))


BAD = [
    (FORM, {"ids": {}}, "program key 'link.id': is missing", "pattern: [0-9]+"),
    (
        FORM,
        {"ids": {"id": "x"}},
        "program key 'link.id': 'x' does not look like one",
        "pattern: [0-9]+",
    ),
    (FORM, {"ids": {"id": "7x"}}, "program key 'link.id': '7x' does not look like one", "pattern"),
    (FORM, {"ids": {"id": "7", "x": "1"}}, "program key 'link.x' is not known", "known: id"),
    (
        FORM,
        {"ids": {"id": "7", "template": "https://go.example/{url}{subid}"}},
        "program key 'link.template' is not known",
        "known: id",
    ),
    (
        replace(FORM, settings={}, template="https://go.example/{url}{subid}"),
        {"ids": {"x": "1"}},
        "program key 'link.x' is not known",
        "known: none",
    ),
    (
        OWN,
        {"ids": {"template": TEMPLATE, "p": "1", "x": "1"}},
        "program key 'link.x' is not known",
        "known: p, subid, template, url",
    ),
    (OWN, {"ids": {}}, "program key 'link.template' needs {url} and {subid}", "add"),
    (
        OWN,
        {"ids": {"template": "https://x.example/{url}"}},
        "program key 'link.template' needs {url} and {subid}",
        "add",
    ),
    (
        OWN,
        {"ids": {"template": "https://x.example/{subid}"}},
        "program key 'link.template' needs {url} and {subid}",
        "add",
    ),
    (
        OWN,
        {"ids": {"template": "https://x.example/{url}{subid}{z}{b}"}},
        "program key 'link.b' is missing",
        "add",
    ),
    (FORM, {"domains": ("a b",)}, "program key 'domains': not a domain: 'a b'", "write"),
    (FORM, {"tracking_hosts": ("a/b",)}, "program key 'tracking_hosts': not a domain", "write"),
    (
        replace(BASED, settings={"base": ".+"}),
        {"ids": {"base": "javascript:x"}},
        "program key 'link.base': not a web address",
        "",
    ),
    (
        OWN,
        {"ids": {"template": "https://u@x.example/{url}{subid}"}},
        "program key 'link.template': the address names a user",
        "",
    ),
    (
        OWN,
        {"ids": {"template": "ftp://x.example/{url}{subid}"}},
        "program key 'link.template': not a web address",
        "",
    ),
    (
        FORM,
        {"landing": "https://evil.example"},
        "program key 'landing': evil.example is not a domain of the program",
        "the program's domains: shop.example",
    ),
    (FORM, {"erid": "a b"}, "program key 'erid': not a token", "letters"),
    (FORM, {"erid": "a" * 81}, "program key 'erid': not a token", "letters"),
    (
        FORM,
        {"deny_deeplinks": True},
        "program key 'landing' is missing: the program denies deep links",
        "name the store's start page",
    ),
]


@pytest.mark.parametrize(("form", "change", "message", "hint"), BAD)
def test_wrong_settings_name_their_key(
    form: LinkForm, change: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        check_settings(network(form), settings(**change))
    assert refused.value.message.startswith(message)
    assert refused.value.hint.startswith(hint)


def test_a_template_with_names_is_an_address_too() -> None:
    """Braces in a host would be no host name: they are taken off before it is looked at."""
    ids = {"template": "https://{shard}.t.example/{url}{subid}", "shard": "a"}
    check_settings(network(OWN), settings(ids=ids))
