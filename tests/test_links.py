"""Tracked links, step by step: what a network's form and a program's settings make of an address."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote

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
    keep=("Ad",),
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


ANEW = f"https://go.example/c?id=7&s={S}&u={QUOTED}"
"""The link made from the page alone."""


@pytest.mark.parametrize(
    ("url", "made"),
    [
        ("https://go.example/c?id=7&ad=1", f"https://go.example/c?id=7&ad=1&s={S}"),
        ("https://go.example/c?id=7&x=1", f"https://go.example/c?id=7&s={S}"),
        ("https://go.example/c?s=old&id=7", f"https://go.example/c?s={S}&id=7"),
        ("https://go.example/c?id=7&S=old&ad=2&s=more", f"https://go.example/c?id=7&s={S}&ad=2"),
        (f"https://go.example/c?id=7&u={QUOTED}", f"https://go.example/c?id=7&s={S}&u={QUOTED}"),
        (
            f"https://go.example/c?URL={QUOTED}&id=7",
            f"https://go.example/c?s={S}&URL={QUOTED}&id=7",
        ),
        ("https://go.example/c?s=a=b&id=7&ad=c=d", f"https://go.example/c?s={S}&id=7&ad=c=d"),
        ("https://go.example/c?&&id=7&", f"https://go.example/c?id=7&s={S}"),
        ("https://go.example/c?ID=7#f", f"https://go.example/c?ID=7&s={S}#f"),
        ("https://go.example/c?id=7&ad=ü", f"https://go.example/c?id=7&ad=%C3%BC&s={S}"),
        ("https://go.example/c?id=7&u=&ad=1", f"https://go.example/c?id=7&s={S}&u=&ad=1"),
    ],
)
def test_only_the_click_id_is_put_in(url: str, made: str) -> None:
    assert link(url=url) == made
    assert link(url=made) == made


@pytest.mark.parametrize(
    "query",
    [
        "id=8&u={u}",
        "ID=8&s=x&u={u}",
        "id=7&id=8&u={u}",
        "id=7&ID=7&u={u}",
        "id=8=9&u={u}",
        "%69d=8&u={u}",
        "id=7&%69d=8&u={u}",
        "id=7&%2569d=8&u={u}",
        "id=7&id%5B%5D=8&u={u}",
        "id=7&+id=8&u={u}",
        "id=7;id=8&u={u}",
        "x=1;id=8&u={u}",
        "u={u}",
        "x=1&u={u}",
        "id=7&%73=stranger&u={u}",
        "id=7&s[]=stranger&u={u}",
        "id=7&u={u}&url={u}&URL={u}",
    ],
)
def test_what_is_not_ours_beyond_doubt_is_made_anew(query: str) -> None:
    """A publisher that is not ours, not named, named twice, or spelled so that two servers could read it
    in two ways: our own link to the same page."""
    assert link(url=f"https://go.example/c?{query.format(u=QUOTED)}") == ANEW


def test_another_path_of_the_network_is_made_anew_or_refused() -> None:
    for path in ("/d", "/c/", "/C", "/c/8", "/%63", "/e/_x", "/"):
        assert link(url=f"https://go.example{path}?id=7&u={QUOTED}") == ANEW
        with pytest.raises(BadQuery, match="its path is not ours"):
            link(url=f"https://go.example{path}?id=7")
    more = {"paths": ("/p/{id}", "/d")}
    for path in ("/p/7", "/d"):
        made = link(url=f"https://go.example{path}?id=7", changed=more)
        assert made == f"https://go.example{path}?id=7&s={S}"
    assert link(url=f"https://go.example/p/8?id=7&u={QUOTED}", changed=more) == ANEW


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("id=8", "the link belongs to another publisher (id=8)"),
        (f"id={'9' * 50}", f"the link belongs to another publisher (id={'9' * 40})"),
        ("x=1", "it does not name our id"),
        ("id=7&id=7", "'id' is there 2 times"),
        ("id=7;x=1", "its parameters cannot be told apart"),
        ("%69d=7", "'%69d' is an odd spelling"),
    ],
)
def test_without_a_page_it_is_refused(query: str, reason: str) -> None:
    with pytest.raises(BadQuery) as refused:
        link(url=f"https://go.example/c?{query}")
    assert refused.value.message == reason


def test_two_pages_are_none() -> None:
    other = "https%3A%2F%2Fshop.example%2Fother"
    with pytest.raises(BadQuery, match="another publisher"):
        link(url=f"https://go.example/c?id=8&u={QUOTED}&url={other}")


def test_click_ids_of_somebody_else_go() -> None:
    form = {"more_subids": ("s2", "s3")}
    made = link(url="https://go.example/c?id=7&s2=x&S3=y&%733=z&ad=1", changed=form)
    assert made == f"https://go.example/c?id=7&ad=1&s={S}"


@pytest.mark.parametrize(
    "other",
    [
        "pid=8",
        "?id=8",
        "id%00x=8",
        "%252569d=8",
        "p(1)a(8)",
        "p=https%3A%2F%2Fevil.example",
        "ad=https%3A%2F%2Fevil.example",
        "ad=https%253A%252F%252Fevil.example",
        "ad=%2F%2Fevil.example",
        "ad=%20https:evil.example",
        "a%64=%5C%5Cevil.example",
    ],
)
def test_what_we_do_not_know_is_taken_out(other: str) -> None:
    """A network may have more names for whom a link pays, and where it leads, than we know."""
    plain = f"https://go.example/c?id=7&s={S}&u={QUOTED}"
    assert link(url=f"https://go.example/c?id=7&{other}&u={QUOTED}") == plain
    assert link(url=f"https://go.example/c?{other}&id=7&u={QUOTED}") == plain


@pytest.mark.parametrize("credit", ["awc=8", "ClickRef=8", "g%63lid=8"])
@pytest.mark.parametrize("mark", ["&", ";"])
def test_a_page_that_credits_somebody_is_cleaned(credit: str, mark: str) -> None:
    page = quote(f"{PAGE}{mark}{credit}", safe="")
    assert link(url=f"https://go.example/c?id=7&u={page}") == ANEW


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
        ("https://prf.example/click/cam:abc", f"https://prf.example/click/cam:abc/ref:{S}"),
        (
            "https://prf.example/click/cam:abc/?k=1",
            f"https://prf.example/click/cam:abc/ref:{S}",
        ),
    ],
)
def test_a_click_id_in_the_path(url: str, made: str) -> None:
    assert link(PATH, url, ids={"cam": "abc"}) == made
    assert link(PATH, made, ids={"cam": "abc"}) == made


@pytest.mark.parametrize(
    "head",
    [
        "cam:other",
        "cam:abc/cam:other",
        "c%61m:abc",
        "cam:abc/CAM:abc",
        "x:1",
        "cam:abc/%63am:other",
        "cam%3Aother/cam:abc",
        "x:1%2Fcam:other/cam:abc",
        "other/cam:abc",
        "x:1/cam:abc",
    ],
)
def test_a_path_that_is_not_ours_is_made_anew(head: str) -> None:
    url = f"https://prf.example/click/{head}/to:https://shop.example/p?a=1"
    anew = f"https://prf.example/click/cam:abc/ref:{S}/to:https%3A%2F%2Fshop.example%2Fp"
    assert link(PATH, url, ids={"cam": "abc"}).startswith(anew)
    with pytest.raises(BadQuery):
        link(PATH, f"https://prf.example/click/{head}", ids={"cam": "abc"})
    for rest in ("cam:other", "CAM:other", "ref:x", "to:x"):
        url = f"https://prf.example/click/cam:abc/to:https%3A%2F%2Fshop.example%2Fp/{rest}"
        assert link(PATH, url, ids={"cam": "abc"}).count("/cam:") == 1
        assert f"/{rest}" not in link(PATH, url, ids={"cam": "abc"})
    with pytest.raises(BadQuery, match=r"(^|: )it names a publisher beside its path"):
        link(PATH, "https://prf.example/click/cam:abc?cam=other", ids={"cam": "abc"})


def test_a_tracked_link_of_the_programs_own_template() -> None:
    ids = {"template": "https://t.example/x?p={p}&k=1&sub={subid}&u={url}", "p": "9"}
    ours = "https://t.example/x?p=9&k=1"
    for url, made in (
        (ours, f"{ours}&sub={S}"),
        (f"{ours}&u={QUOTED}", f"{ours}&sub={S}&u={QUOTED}"),
        (f"https://t.example/x?p=8&k=1&u={QUOTED}", f"{ours}&sub={S}&u={QUOTED}"),
        (f"https://t.example/x?u={QUOTED}", f"{ours}&sub={S}&u={QUOTED}"),
        (f"https://t.example/y?p=9&k=1&u={QUOTED}", f"{ours}&sub={S}&u={QUOTED}"),
    ):
        assert link(OWN, url, ids=ids) == made
    for template in ("https://t.example/{subid}/{url}", "https://t.example/x?{subid}={url}"):
        with pytest.raises(BadQuery):
            link(OWN, "https://t.example/x?k=1", ids={"template": template})


def test_a_base_says_whose_the_link_is() -> None:
    """Path and query of the base are ours; another's differ, on whatever host of the network."""
    ids = {"base": "https://go.example/g/ours/?i=5"}
    changed = {"hosts": ("other.example",)}
    for host in ("go.example", "other.example"):
        made = link(BASED, f"https://{host}/g/ours/?i=5&x=1", ids=ids, changed=changed)
        assert made == f"https://{host}/g/ours/?i=5&s={S}"
        for foreign in ("/g/theirs/?i=5", "/g/ours/?i=6", "/g/ours/?x=1", "/c/ours/?i=5", "/?i=5"):
            url = f"https://{host}{foreign}"
            anew = link(BASED, f"{url}&u={QUOTED}", ids=ids, changed=changed)
            assert anew == f"https://go.example/g/ours/?i=5&s={S}&u={QUOTED}"
            with pytest.raises(BadQuery):
                link(BASED, url, ids=ids, changed=changed)


def test_a_link_whose_end_is_the_target() -> None:
    form = LinkForm(
        template="{base}/{subid}/url={url}",
        subid="",
        style="tail",
        settings={"base": "https://.+"},
        hosts=("t.example",),
    )
    ids = {"base": "https://t.example/click/1/2"}
    made = f"https://t.example/click/1/2/{S}/url={QUOTED}"
    assert link(form, ids=ids) == made
    for url in (f"https://t.example/click/9/9/stranger/url={QUOTED}", made):
        assert link(form, url, ids=ids) == made
    with pytest.raises(BadQuery):
        link(form, "https://t.example/click/1/2/stranger", ids=ids)


def test_a_page_as_the_link() -> None:
    form = LinkForm(
        template="{page}?camp={camp}&cust={subid}", subid="cust", settings={"camp": "[0-9]+"}
    )
    ids = {"camp": "77"}
    for page, made in (
        ("https://shop.example/p", f"https://shop.example/p?camp=77&cust={S}"),
        ("https://shop.example/p?a=1#f", f"https://shop.example/p?a=1&camp=77&cust={S}"),
        ("https://shop.example/p?campid=9&%63ampid=9", f"https://shop.example/p?camp=77&cust={S}"),
        (
            "https://shop.example/p?a=1;b=9;campid=9",
            f"https://shop.example/p?a=1%3Bb=9&camp=77&cust={S}",
        ),
    ):
        assert link(form, page, ids=ids) == made
    with pytest.raises(BadQuery):
        link(form, "https://elsewhere.example/p", ids=ids)


def test_the_target_of_a_tracked_link_is_looked_at() -> None:
    for name in ("u", "url", "URL"):
        with pytest.raises(BadQuery, match=r"evil\.example is not a domain"):
            link(url=f"https://go.example/c?id=7&{name}=https%3A%2F%2Fevil.example%2F")
    with pytest.raises(BadQuery, match="not a web address"):
        link(url="https://go.example/c?id=7&u=javascript:alert(1)")
    for name in ("to", "dest"):
        url = f"https://prf.example/click/cam:abc/{name}:https://evil.example/"
        with pytest.raises(BadQuery, match=r"evil\.example is not a domain"):
            link(PATH, url, ids={"cam": "abc"})
    url = "https://prf.example/click/cam:abc/to:https://shop.exampleX"
    with pytest.raises(BadQuery, match=r"shop\.examplex is not a domain"):
        link(PATH, url, ids={"cam": "abc"})


def test_the_token_of_a_tracked_link() -> None:
    form = {"erid": "erid"}
    url = "https://go.example/c?id=7"
    assert link(url=url, changed=form, erid="tok") == f"{url}&s={S}&erid=tok"
    quoted = f"https://go.example/c?id=7&u={QUOTED}"
    wanted = f"https://go.example/c?id=7&s={S}&erid=tok&u={QUOTED}"
    assert link(url=quoted, changed=form, erid="tok") == wanted
    # One that is there stays; and a network that takes none gets none.
    for there in (f"{url}&ERID=old", f"https://go.example/c?id=7&u={QUOTED}%26erid=old"):
        assert "tok" not in link(url=there, changed=form, erid="tok")
    assert link(url=url, erid="tok") == f"{url}&s={S}"
    assert link(url=url, changed=form, erid="a/b") == f"{url}&s={S}&erid=a%2Fb"
    assert "erid" not in link(url=url, changed=form)
    ids = {"cam": "abc"}
    in_path = link(PATH, "https://prf.example/click/cam:abc", ids=ids, changed=form, erid="tok")
    assert in_path == f"https://prf.example/click/cam:abc/ref:{S}/erid:tok"


# ---- the finished link


def test_a_link_has_a_length() -> None:
    room = 4000 - len(link(url="https://shop.example/"))
    full = link(url="https://shop.example/" + "x" * room)
    assert len(full) == 4000
    with pytest.raises(BadQuery, match="the link has 4001 characters") as refused:
        link(url="https://shop.example/" + "x" * (room + 1))
    assert refused.value.hint == "Mine takes 4000 at most"
    tracked = "https://go.example/c?id=7&ad=" + "x" * 4000
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


BEHIND = [
    "ar:evil",
    "x:1",
    "%61r:evil",
    "ar%3Aevil",
    "x:1/y:2",
    "cam:evil",
    "ref:evil",
    "to:evil",
    "dest:x",
]
PARTLY = {
    "https%3A%2F%2Fshop.example": "https://shop.example",
    "https%3A//shop.example": "https://shop.example",
    "http%3A//shop.example:80": "http://shop.example:80",
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("head", ["/ref:old", ""])
def test_what_stands_behind_a_coded_page_goes(head: str, behind: str) -> None:
    """Partnerize has segments that no template of ours names (`ar`, `creativeref`), and nobody promises that
    a server reads none behind the page."""
    start, ids = "https://prf.example/click/cam:abc", {"cam": "abc"}
    found = link(PATH, f"{start}{head}/to:{QUOTED}/{behind}", ids=ids)
    assert found == f"{start}/ref:{S}/to:{QUOTED}"


@pytest.mark.parametrize("path", ["", "/", "/a/b", "/a%20b/c"])
@pytest.mark.parametrize("begin", PARTLY)
def test_a_page_of_which_only_a_part_is_coded_keeps_its_path(begin: str, path: str) -> None:
    start, ids = "https://prf.example/click/cam:abc", {"cam": "abc"}
    found = link(PATH, f"{start}/to:{begin}{path}", ids=ids)
    assert unquote(found.partition("/to:")[2]) == unquote(PARTLY[begin] + path)
    anew = link(PATH, f"{start}/to:{begin}{path}/ar:evil", ids=ids)
    assert anew.startswith(f"{start}/ref:{S}/to:http")
    assert "evil" not in anew


@pytest.mark.parametrize(
    "beside", ["?ref=evil", "?%72ef=evil", "?x=1", "#ref=evil", "?ref=evil#cam"]
)
@pytest.mark.parametrize("head", ["/ref:old", ""])
def test_what_stands_beside_a_path_goes(head: str, beside: str) -> None:
    """A server may take it for one more segment: a click id that is not ours. Behind a page that is written
    as it is it belongs to the page."""
    start, ids = "https://prf.example/click/cam:abc", {"cam": "abc"}
    coded = f"/to:{QUOTED}"
    assert link(PATH, f"{start}{head}{coded}{beside}", ids=ids) == f"{start}/ref:{S}{coded}"
    assert link(PATH, f"{start}{head}{beside}", ids=ids) == f"{start}/ref:{S}"
    raw = f"{start}{head}/to:https://shop.example/p?x=1#top"
    assert link(PATH, raw, ids=ids) == f"{start}/ref:{S}/to:https://shop.example/p?x=1#top"
