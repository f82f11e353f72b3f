"""Networks as data: for each the exact link of each kind of target, and its words for a sale."""

from __future__ import annotations

import contextlib
import re
import string
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools import networks_page

from lensback.errors import BadQuery, ConfigError, PostbackError, UnknownName
from lensback.networks import (
    LinkSettings,
    Network,
    canonical,
    check_settings,
    deeplink,
    erid_of,
    list_networks,
    offer_deeplink,
    open_network,
    read_postback,
)
from lensback.networks.tracked import known_parameters
from lensback.terms import parse
from lensback.types import STATUSES as STATUSES_OF_OURS
from lensback.types import Money, Offer

SUBID = "4fzzzxjylrx1a2B3c4D5e6"
DOMAINS = ("shop.example", "магазин.рф", "test.shop.example:8443")

# ---- ten targets and what stands in a link for each: written by hand, not computed

TARGETS = {
    "plain": ("https://shop.example/p/1", "https%3A%2F%2Fshop.example%2Fp%2F1"),
    "cyrillic": (
        "https://shop.example/платье",
        "https%3A%2F%2Fshop.example%2F%25D0%25BF%25D0%25BB%25D0%25B0%25D1%2582%25D1%258C%25D0%25B5",
    ),
    "encoded already": (
        "https://shop.example/%D0%BF%D0%BB%D0%B0%D1%82%D1%8C%D0%B5",
        "https%3A%2F%2Fshop.example%2F%25D0%25BF%25D0%25BB%25D0%25B0%25D1%2582%25D1%258C%25D0%25B5",
    ),
    "ampersands": (
        "https://shop.example/p?a=1&b=x%26y&c=",
        "https%3A%2F%2Fshop.example%2Fp%3Fa%3D1%26b%3Dx%2526y%26c%3D",
    ),
    "fragment": (
        "https://shop.example/p?id=7#size=M",
        "https%3A%2F%2Fshop.example%2Fp%3Fid%3D7%23size%3DM",
    ),
    "campaigns": (
        "https://www.shop.example/p?utm_source=x&id=7&gclid=1&admitad_uid=2&utm_medium=cpa&awc=3",
        "https%3A%2F%2Fwww.shop.example%2Fp%3Fid%3D7",
    ),
    "ports": ("https://shop.example:443/p", "https%3A%2F%2Fshop.example%2Fp"),
    "a port of its own": (
        "https://test.shop.example:8443/p",
        "https%3A%2F%2Ftest.shop.example%3A8443%2Fp",
    ),
    "idn": (
        "https://Магазин.РФ/товар?цвет=алый",
        (
            "https%3A%2F%2Fxn--80aairftm.xn--p1ai%2F"
            "%25D1%2582%25D0%25BE%25D0%25B2%25D0%25B0%25D1%2580"
            "%3F%25D1%2586%25D0%25B2%25D0%25B5%25D1%2582%3D%25D0%25B0%25D0%25BB%25D1%258B%25D0%25B9"
        ),
    ),
    "signs": (
        'https://shop.example/a b/100%/"x"?q=<y>+1',
        "https%3A%2F%2Fshop.example%2Fa%2520b%2F100%2525%2F%2522x%2522%3Fq%3D%253Cy%253E%2B1",
    ),
}

# ---- each network: a program's settings, what stands before the target and what behind it

S = SUBID
FRAMES: dict[str, tuple[dict[str, str], str, str]] = {
    "actionpay": (
        {"base": "https://n.actionpay.ru/click/5d6f/153512"},
        f"https://n.actionpay.ru/click/5d6f/153512/{S}/url=",
        "",
    ),
    "admitad": (
        {"base": "https://ad.admitad.com/g/abc123def/"},
        "https://ad.admitad.com/g/abc123def/?ulp=",
        f"&subid={S}",
    ),
    "advcake": (
        {"base": "https://go.avads.example/abc?erid=1"},
        f"https://go.avads.example/abc?erid=1&sub1={S}&url=",
        "",
    ),
    "aliexpress": (
        {"short_key": "eQ7Xk2"},
        "https://s.click.aliexpress.com/deep_link.htm?aff_short_key=eQ7Xk2&dl_target_url=",
        f"&aff_trace={S}",
    ),
    "awin": (
        {"advertiser": "1001", "publisher": "45628"},
        f"https://www.awin1.com/cread.php?awinmid=1001&awinaffid=45628&clickref={S}&ued=",
        "",
    ),
    "cityads": (
        {"base": "https://cityadspix.com/click-DQFB8U6A-PNLJQTEF"},
        f"https://cityadspix.com/click-DQFB8U6A-PNLJQTEF?sa={S}&url=",
        "",
    ),
    "cj": (
        {"publisher": "7777777", "link": "12345678"},
        f"https://www.anrdoezrs.net/click-7777777-12345678?sid={S}&url=",
        "",
    ),
    "daisycon": (
        {"base": "https://ds1.nl/c/?si=365&li=20757&wi=420902"},
        f"https://ds1.nl/c/?si=365&li=20757&wi=420902&ws={S}&dl=",
        "",
    ),
    "epn": (
        {"base": "http://epnclick.ru/redirect/cpa/o/abcdef/"},
        "http://epnclick.ru/redirect/cpa/o/abcdef/?to=",
        f"&sub1={S}",
    ),
    "flexoffers": (
        {"base": "https://track.flexlinkspro.com/a.ashx?foid=1.2&trid=3.4"},
        f"https://track.flexlinkspro.com/a.ashx?foid=1.2&trid=3.4&fobs={S}&url=",
        "",
    ),
    "gdeslon": (
        {"template": "https://www.gdeslon.ru/cf/abc?mid=1&goto={url}&sub_id={subid}"},
        "https://www.gdeslon.ru/cf/abc?mid=1&goto=",
        f"&sub_id={S}",
    ),
    "generic": (
        {"template": "https://track.example/c/{program}?s={subid}&to={url}", "program": "a/b"},
        f"https://track.example/c/a%2Fb?s={S}&to=",
        "",
    ),
    "impact": (
        {"base": "https://brand.pxf.io/c/123456/789/4321"},
        f"https://brand.pxf.io/c/123456/789/4321?subId1={S}&u=",
        "",
    ),
    "lomadee": (
        {"source": "123456"},
        f"https://redir.lomadee.com/v2/deeplink?sourceId=123456&mdasc={S}&url=",
        "",
    ),
    "partnerize": (
        {"camref": "1100l3AbC"},
        f"https://prf.hn/click/camref:1100l3AbC/pubref:{S}/destination:",
        "",
    ),
    "rakuten": (
        {"publisher": "aBcDeFgHiJ0", "advertiser": "42000"},
        "https://click.linksynergy.com/deeplink?id=aBcDeFgHiJ0&mid=42000&murl=",
        f"&u1={S}",
    ),
    "skimlinks": (
        {"publisher": "1234", "site": "5678"},
        "https://go.skimresources.com/?id=1234X5678&xs=1&url=",
        f"&xcust={S}",
    ),
    "sovrn": (
        {"key": "0123456789abcdef0123456789abcdef"},
        "https://redirect.viglink.com/?key=0123456789abcdef0123456789abcdef&u=",
        f"&cuid={S}",
    ),
    "tradedoubler": (
        {"program": "99", "site": "3000001"},
        f"https://clk.tradedoubler.com/click?p=99&a=3000001&epi={S}&url=",
        "",
    ),
    "tradetracker": (
        {"campaign": "1", "material": "2", "publisher": "3"},
        f"https://tc.tradetracker.net/?c=1&m=2&a=3&r={S}&u=",
        "",
    ),
    "webgains": (
        {"publisher": "11", "advertiser": "22"},
        f"https://track.webgains.com/click.html?wgcampaignid=11&wgprogramid=22&clickref={S}&wgtarget=",
        "",
    ),
}


def settings(name: str, **changes: object) -> LinkSettings:
    given: dict[str, object] = {"domains": DOMAINS, "ids": FRAMES[name][0], **changes}
    return LinkSettings(**given)  # type: ignore[arg-type]


def test_every_network_has_its_table() -> None:
    # eBay's link is the page itself: test_the_page_is_the_link.
    assert [network.name for network in list_networks()] == sorted([*FRAMES, "ebay"])


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("target", TARGETS)
def test_the_exact_link(name: str, target: str) -> None:
    url, encoded = TARGETS[target]
    _, before, behind = FRAMES[name]
    network = open_network(name)
    check_settings(network, settings(name))
    assert deeplink(network, settings(name), url, SUBID) == f"{before}{encoded}{behind}"


def test_the_page_is_the_link() -> None:
    ids = {"rotation": "711-53200-19255-0", "campaign": "5338000001"}
    program = LinkSettings(domains=("ebay.com",), ids=ids)
    network = open_network("ebay")
    check_settings(network, program)
    ours = f"mkevt=1&mkcid=1&mkrid=711-53200-19255-0&campid=5338000001&toolid=10001&customid={S}"
    for page, link in (
        ("https://www.ebay.com/itm/1", f"https://www.ebay.com/itm/1?{ours}"),
        ("https://www.ebay.com/itm/1?var=2#x", f"https://www.ebay.com/itm/1?var=2&{ours}"),
        (
            "https://www.ebay.com/itm/1?mkevt=1&campid=666&CUSTOMID=x&%63ampid=666&var=2",
            f"https://www.ebay.com/itm/1?var=2&{ours}",
        ),
    ):
        assert deeplink(network, program, page, SUBID) == link
        assert deeplink(network, program, link, SUBID) == link
    for elsewhere in ("https://rover.ebay.co.uk/rover/1", "https://evil.example/itm/1"):
        with pytest.raises(BadQuery, match="not a domain"):
            deeplink(network, program, elsewhere, SUBID)


REFUSED = {
    "another domain": ("https://evil.example/p", "not a domain of the program"),
    "a look-alike domain": ("https://notshop.example/p", "not a domain"),
    "a domain in front": ("https://shop.example.evil.example/p", "not a domain"),
    "a user": ("https://shop.example@evil.example/p", "names a user"),
    "a user and a password": ("https://u:p@shop.example/p", "names a user"),
    "a backslash": ("https://evil.example\\.shop.example/p", "not a"),
    "another port": ("https://shop.example:8080/p", "not a domain"),
    "no port": ("https://shop.example:99999/p", "not a web address"),
    "a header": ("https://shop.example/p\r\nSet-Cookie: a=b", "control"),
    "a header at the end": ("https://shop.example/p\n", "control"),
    "a tab in the scheme": ("java\tscript:alert(1)", "control"),
    "a separator": ("https://shop.example/\u2028p", "control"),
    "a script": ("javascript:alert(1)", "not a web address"),
    "a relative address": ("//shop.example/p", "not a web address"),
    "nothing": ("", "not a web address"),
    "half a letter": ("https://shop.example/\ud800", "not Unicode"),
    "no host name": ("https://sh op.example/p", "not a host name"),
    "very long": (f"https://shop.example/{'a' * 20000}", "characters"),
}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("target", REFUSED)
def test_refused_targets(name: str, target: str) -> None:
    url, reason = REFUSED[target]
    with pytest.raises(BadQuery, match=reason) as refused:
        deeplink(open_network(name), settings(name), url, SUBID)
    if target == "very long":
        assert refused.value.hint == f"{open_network(name).title} takes 4000 at most"


@pytest.mark.parametrize("name", FRAMES)
def test_a_link_may_be_as_long_as_the_limit_and_no_longer(name: str) -> None:
    network, short = open_network(name), "https://shop.example/p"
    room = network.link.max_chars - len(deeplink(network, settings(name), short, SUBID))
    full = deeplink(network, settings(name), short + "x" * room, SUBID)
    assert len(full) == network.link.max_chars
    with pytest.raises(BadQuery, match="characters"):
        deeplink(network, settings(name), short + "x" * (room + 1), SUBID)


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("subid", ["", "a b", "a&b", "é", "a@b.example", "x" * 257, "a-b", "a\n"])
def test_only_a_click_id_goes_into_a_link(name: str, subid: str) -> None:
    with pytest.raises(BadQuery, match="not a click id"):
        deeplink(open_network(name), settings(name), "https://shop.example/p", subid)


@given(
    path=st.text(max_size=60),
    query=st.text(max_size=60),
    name=st.sampled_from(sorted(FRAMES)),
    subid=st.text(string.ascii_letters + string.digits, min_size=1, max_size=32),
)
def test_whatever_the_target_the_link_is_the_networks(
    path: str, query: str, name: str, subid: str
) -> None:
    """The host cannot be left, the header cannot be ended, the click id is there once."""
    network = open_network(name)
    try:
        link = deeplink(network, settings(name), f"https://shop.example/{path}?{query}", subid)
    except BadQuery:
        return
    frame = urlsplit(FRAMES[name][1])
    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc) == (frame.scheme, frame.netloc)
    assert link.isascii()
    assert link.isprintable()
    assert " " not in link
    if network.link.style == "query":
        told = parse_qsl(parts.query, keep_blank_values=True)
        assert [value for _, value in told].count(subid) >= 1
        inner = next(value for _, value in told if value.startswith("https://shop.example/"))
    else:
        mark = "/destination:" if network.link.style == "path" else "/url="
        inner = unquote(parts.path.partition(mark)[2])
    assert canonical(inner, DOMAINS) == inner  # decoded once it is the page, and stays it
    assert deeplink(network, settings(name), inner, subid) == link


EBAY = {"rotation": "711-53200-19255-0", "campaign": "5338000001"}
PIECES = st.text(
    st.sampled_from("aZ0-._~é你Ж%&=+/?:;@!$'()*, #") | st.characters(exclude_categories=["C", "Z"]),
    max_size=12,
)
CODED = st.sampled_from(
    ["%26", "%3D", "%2F", "%25", "%23", "%3F", "%2526", "%D0%B0", "%20", "%C3%A9", "%"]
)


@st.composite
def pages(draw: st.DrawFn) -> str:
    """A page of the store as a feed may write it: query, fragment, letters of all scripts, percent signs
    that code something and such that do not."""
    part = st.lists(PIECES | CODED, max_size=4).map("".join)
    path = draw(part).replace("?", "").replace("#", "")
    query = draw(st.none() | part.map(lambda text: text.replace("#", "")))
    fragment = draw(st.none() | part)
    url = f"https://shop.example/{path}"
    url += "" if query is None else f"?{query}"
    return url if fragment is None else f"{url}#{fragment}"


def page_in(name: str, link: str) -> str:
    """The page that a link leads to, read by other means than ours: coded once, wherever it stands."""
    if name == "ebay":
        page, _, ours = link.partition("mkevt=1&")
        assert ours.startswith("mkcid=1&mkrid=")
        assert ours.endswith(f"&customid={SUBID}")
        return page[:-1]
    found = re.findall(r"(?<![0-9A-Za-z])https?%3A%2F%2F[0-9A-Za-z%._~-]*", link)
    assert len(found) == 1, link
    return unquote(found[0])


@given(name=st.sampled_from([*sorted(FRAMES), "ebay"]), page=pages())
def test_a_page_survives_its_link_and_the_way_back(name: str, page: str) -> None:
    """Of every network: what was the page is the page, once the link is made and once it is made of a link
    that is tracked already."""
    network = open_network(name)
    ours = LinkSettings(domains=DOMAINS, ids=EBAY) if name == "ebay" else settings(name)
    same = canonical(page, DOMAINS)
    if name == "ebay":  # its fragment would swallow what is put behind it
        same = same.partition("#")[0].replace(";", "%3B")
    link = deeplink(network, ours, page, SUBID)
    assert page_in(name, link) == same
    if name == "ebay":
        return  # its links lie at the store's own address
    old = deeplink(network, ours, page, "OLD0")
    again = deeplink(network, ours, old, SUBID)
    assert page_in(name, again) == same
    assert (again.count(SUBID), "OLD0" in again.replace(same, "")) == (1, False)


RAW = {
    "partnerize": "https://prf.hn/click/camref:{camref}/pubref:old/destination:",
    "actionpay": "https://n.actionpay.ru/click/5d6f/153512/old/url=",
}
RAW_PAGES = [
    "https://shop.example/p?a=1&b=2",
    "https://shop.example/p/?a=1#top",
    "https://shop.example/p%20q?a=%26&b=%2526#%23",
    "https://shop.example/a/b/#x?y",
    "https://shop.example/p?next=/a/b/&to=c",
]


@pytest.mark.parametrize("page", RAW_PAGES)
@pytest.mark.parametrize("whose", ["ours", "666"])
@pytest.mark.parametrize("name", RAW)
def test_a_page_written_as_it_is_keeps_its_query(name: str, whose: str, page: str) -> None:
    """Whether the link is kept, or made anew because it is a stranger's."""
    head = RAW[name].format(camref="1100l3AbC" if whose == "ours" else "666abc")
    head = head if whose == "ours" else head.replace("5d6f", "6666")
    link = deeplink(open_network(name), settings(name), head + page, SUBID)
    assert link.count(SUBID) == 1
    assert "666" not in link
    mark = {"partnerize": "/destination:", "actionpay": "/url="}[name]
    found = link.partition(mark)[2]
    assert (found if "://" in found else unquote(found)) == canonical(page, DOMAINS)


# ---- links that are tracked already

TRACKED = [
    (
        "awin",
        "https://www.awin1.com/pclick.php?p=555&a=45628&m=1001",
        f"https://www.awin1.com/pclick.php?p=555&a=45628&m=1001&clickref={S}",
    ),
    (
        "awin",
        "https://www.awin1.com/cread.php?awinmid=1001&awinaffid=45628&clickref=old&ued=https%3A%2F%2Fshop.example%2Fp&clickref=twice",
        f"https://www.awin1.com/cread.php?awinmid=1001&awinaffid=45628&clickref={S}&ued=https%3A%2F%2Fshop.example%2Fp",
    ),
    (
        "admitad",
        "https://rzekl.com/g/abc123def/?i=5&ulp=https%3A%2F%2Fshop.example%2F%25D0%25B0%3Futm_source%3Dx",
        f"https://rzekl.com/g/abc123def/?i=5&subid={S}&ulp=https%3A%2F%2Fshop.example%2F%25D0%25B0%3Futm_source%3Dx",
    ),
    (
        "tradedoubler",
        "https://clk.tradedoubler.com/click?p=99&a=3000001&url=https://shop.example/p?a=1",
        f"https://clk.tradedoubler.com/click?p=99&a=3000001&epi={S}&url=https://shop.example/p?a=1",
    ),
    (
        "partnerize",
        "https://prf.hn/click/camref:1100l3AbC/destination:https%3A%2F%2Fshop.example%2Fp",
        f"https://prf.hn/click/camref:1100l3AbC/pubref:{S}/destination:https%3A%2F%2Fshop.example%2Fp",
    ),
    (
        "partnerize",
        "https://prf.hn/click/camref:1100l3AbC/pubref:old/destination:https://shop.example/p?a=1",
        f"https://prf.hn/click/camref:1100l3AbC/pubref:{S}/destination:https://shop.example/p?a=1",
    ),
    (
        "impact",
        "https://brand.pxf.io/c/123456/789/4321?u=https%3A%2F%2Fshop.example%2Fp",
        f"https://brand.pxf.io/c/123456/789/4321?subId1={S}&u=https%3A%2F%2Fshop.example%2Fp",
    ),
    (
        "generic",
        "https://track.example/c/a%2Fb?to=https%3A%2F%2Fshop.example%2Fp",
        f"https://track.example/c/a%2Fb?s={S}&to=https%3A%2F%2Fshop.example%2Fp",
    ),
]


@pytest.mark.parametrize(("name", "url", "link"), TRACKED)
def test_a_tracked_address_only_gets_the_click_id(name: str, url: str, link: str) -> None:
    network = open_network(name)
    assert deeplink(network, settings(name), url, SUBID) == link
    assert deeplink(network, settings(name), link, SUBID) == link  # once


@pytest.mark.parametrize(
    ("name", "url", "reason"),
    [
        (
            "awin",
            "https://www.awin1.com/pclick.php?p=555&a=666&m=1001",
            "another publisher",
        ),
        (
            "partnerize",
            "https://prf.hn/click/camref:other",
            "another publisher",
        ),
        (
            "awin",
            "https://www.awin1.com/cread.php?awinmid=1001&awinaffid=45628&ued=https%3A%2F%2Fevil.example",
            "not a domain",
        ),
        (
            "partnerize",
            "https://prf.hn/click/camref:1100l3AbC/destination:https://evil.example/",
            "not a domain",
        ),
        ("admitad", "https://clk.tradedoubler.com/click?p=1&a=2", "not a domain"),
        ("awin", "https://u@www.awin1.com/pclick.php?p=1", "names a user"),
    ],
)
def test_a_tracked_address_of_somebody_else(name: str, url: str, reason: str) -> None:
    with pytest.raises(BadQuery, match=reason):
        deeplink(open_network(name), settings(name), url, SUBID)


FOREIGN_LINKS = [
    ("admitad", "https://ad.admitad.com/g/theirs/?ulp={u}"),
    ("admitad", "https://ad.admitad.com/goto/theirs/?ulp={u}&subid=x"),
    (
        "aliexpress",
        "https://s.click.aliexpress.com/deep_link.htm?aff_short_key=theirs&dl_target_url={u}",
    ),
    ("aliexpress", "https://s.click.aliexpress.com/e/_theirs?dl_target_url={u}"),
    ("awin", "https://www.awin1.com/cread.php?awinmid=1001&%61winaffid=666&ued={u}"),
    ("awin", "https://www.awin1.com/cread.php?awinmid=1001&awinaffid=45628;awinaffid=666&ued={u}"),
    ("awin", "https://www.awin1.com/cread.php?awinmid=1001&awinaffid=45628&AWINAFFID=666&ued={u}"),
    ("awin", "https://www.awin1.com/cread.php?awinmid=666&awinaffid=45628&ued={u}"),
    ("awin", "https://www.awin1.com/a/b/666?ued={u}"),
    ("awin", "https://www.awin1.com/awclick.php?id=666&mid=1001&awinaffid=45628&ued={u}"),
    ("cj", "https://www.anrdoezrs.net/click-666-12345678?url={u}"),
    ("cj", "https://www.jdoqocy.com/click-7777777-666?url={u}"),
    ("cj", "https://www.dpbolvw.net/links/666/type/dlg/?url={u}"),
    ("daisycon", "https://ds1.nl/c/?si=365&li=20757&wi=666&dl={u}"),
    ("daisycon", "https://ds1.nl/c/?si=666&li=20757&wi=420902&dl={u}"),
    ("epn", "https://shopnow.pub/redirect/cpa/o/theirs/?to={u}"),
    ("flexoffers", "https://track.flexlinkspro.com/a.ashx?foid=6.6&trid=3.4&url={u}"),
    ("impact", "https://brand.pxf.io/c/666/789/4321?u={u}"),
    ("lomadee", "https://redir.lomadee.com/v2/deeplink?sourceId=666&url={u}"),
    ("partnerize", "https://prf.hn/click/camref:theirs/destination:{u}"),
    ("rakuten", "https://click.linksynergy.com/deeplink?id=theirs00000&mid=42000&murl={u}"),
    ("skimlinks", "https://go.skimresources.com/?id=666X5678&xs=1&url={u}"),
    ("sovrn", "https://redirect.viglink.com/?key=6666666666666666&u={u}"),
    ("tradedoubler", "https://clk.tradedoubler.com/click?p(99)a(666)g(1)url({u})&url={u}"),
    ("tradedoubler", "https://clk.tradedoubler.com/click?p=99&a=666&url={u}"),
    ("tradetracker", "https://tc.tradetracker.net/?c=1&m=2&a=666&u={u}"),
    (
        "webgains",
        "https://track.webgains.com/click.html?wgcampaignid=666&wgprogramid=22&wgtarget={u}",
    ),
]


@pytest.mark.parametrize(("name", "url"), FOREIGN_LINKS)
def test_a_link_that_pays_a_stranger_becomes_ours(name: str, url: str) -> None:
    page, quoted = "https://shop.example/p/1", "https%3A%2F%2Fshop.example%2Fp%2F1"
    made = deeplink(open_network(name), settings(name), url.format(u=quoted), SUBID)
    assert made == deeplink(open_network(name), settings(name), page, SUBID)
    assert "666" not in made
    assert "theirs" not in made
    # Without the page that it leads to it is nobody's, or at least not ours.
    bare = re.sub(r"[?&/]?(\w+[=:])?\{u\}", "", url.replace("url({u})", ""))
    with pytest.raises(BadQuery):
        deeplink(open_network(name), settings(name), bare, SUBID)


def spellings(name: str) -> st.SearchStrategy[str]:
    """A parameter's name as somebody might write it so that one reader sees it and another does not."""
    coded = "".join(f"%{ord(c):02x}" for c in name)
    first = f"%{ord(name[0]):02x}{name[1:]}"
    twice = first.replace("%", "%25")
    odd = [name, name.upper(), first, coded, twice, f"{name}[]", f"+{name}", f"{name}%00"]
    return st.sampled_from(odd)


@st.composite
def tracked_links(draw: st.DrawFn) -> tuple[str, str]:
    """A link at a network's host, put together from our parts and a stranger's."""
    name = draw(st.sampled_from(sorted(FRAMES)))
    form = open_network(name).link
    ours = deeplink(open_network(name), settings(name), "https://shop.example/p", "x" * 22)
    host, path = urlsplit(ours).netloc, urlsplit(ours).path
    path = draw(
        st.sampled_from([path, path.upper(), "/g/666/", "/c/666/1/2", "/click-666-1", "/e/_666"])
    )
    known = [*form.own, *form.target, form.subid, *form.more_subids]
    known += [key for key, _ in parse_qsl(urlsplit(ours).query)]
    values = [value for _, value in parse_qsl(urlsplit(ours).query)]
    page = "https%3A%2F%2Fshop.example%2Fp"
    value = st.sampled_from([*values, "666", page, "https%3A%2F%2Fevil.example%2F"])
    names = st.sampled_from(sorted({key for key in known if key})).flatmap(spellings)
    pairs = draw(st.lists(st.tuples(names, value, st.sampled_from("&;")), max_size=6))
    query = "".join(f"{mark}{key}={value}" for key, value, mark in pairs)[1:]
    if draw(st.booleans()):
        query = f"{urlsplit(ours).query}{draw(st.sampled_from('&;'))}{query}"
    return name, f"https://{host}{path}?{query}"


@pytest.mark.parametrize("name", [n for n in FRAMES if open_network(n).link.style == "query"])
def test_a_parameter_that_is_there_twice_never_stays_so(name: str) -> None:
    """Which of the two a server reads nobody can know: the link is made anew, or there is none."""
    network, said = open_network(name), settings(name)
    link = deeplink(network, said, "https://shop.example/p", SUBID)
    known = known_parameters(network.link, said)
    assert known >= {key.lower() for key, _ in parse_qsl(urlsplit(link).query)}
    made = {}
    for key in known:
        with contextlib.suppress(BadQuery):
            made[key] = deeplink(network, said, f"{link}&{key}=666&{key}=666", "y" * 22)
    assert set(made.values()) == {link.replace(SUBID, "y" * 22)}
    target = {key for key, value in parse_qsl(urlsplit(link).query) if "shop.example" in value}
    assert known - set(made) == {key.lower() for key in (*network.link.target, *target)} & known


@given(tracked_links())
def test_no_link_pays_anybody_else(made: tuple[str, str]) -> None:
    """Read as generously as any server might, a link names our publisher, our advertiser, this store and
    our click: or there is none."""
    name, url = made
    network = open_network(name)
    try:
        link = deeplink(network, settings(name), url, SUBID)
    except BadQuery:
        return
    ours = deeplink(network, settings(name), "https://shop.example/p", SUBID)
    assert "666" not in link, link
    assert "evil" not in link, link
    said = dict(parse_qsl(urlsplit(ours).query))
    form = network.link
    owners = {key.lower() for key in form.own} | {form.subid.lower()} - {""}
    for piece in re.split("[&;]", urlsplit(link).query):
        key, _, value = piece.partition("=")
        plain = unquote(unquote(key)).strip("+ \0").partition("[")[0].lower()
        if plain in owners:
            wanted = {v for k, v in said.items() if k.lower() == plain} or set(
                settings(name).ids.values()
            )
            assert unquote(value) in wanted, (link, piece)
    assert link.count(SUBID) == 1, link


def test_the_stores_own_page_is_used_where_the_tracked_one_is_somebody_elses() -> None:
    program = parse(
        {"network": "awin", "domains": ["shop.example"], "share": 1, "link": FRAMES["awin"][0]}
    )
    offer = Offer(
        external_id="1",
        title="Hat",
        url="https://www.awin1.com/pclick.php?p=555&a=666&m=1001",
        price=Money(100, "EUR"),
        target_url="https://shop.example/hat",
        tracked=True,
    )
    link = offer_deeplink(open_network("awin"), program, offer, SUBID)
    assert link == FRAMES["awin"][1] + "https%3A%2F%2Fshop.example%2Fhat"


# ---- rules of a program


def test_deep_links_denied() -> None:
    awin, denied = open_network("awin"), settings("awin", deny_deeplinks=True)
    link = f"https://www.awin1.com/cread.php?awinmid=1001&awinaffid=45628&clickref={S}"
    assert deeplink(awin, denied, "https://shop.example/p", SUBID) == link
    start = settings("awin", deny_deeplinks=True, landing="https://shop.example/")
    assert (
        deeplink(awin, start, "https://shop.example/p", SUBID)
        == f"{link}&ued=https%3A%2F%2Fshop.example%2F"
    )
    with pytest.raises(BadQuery, match="forbids deep links"):
        deeplink(
            open_network("skimlinks"),
            settings("skimlinks", deny_deeplinks=True),
            "https://shop.example/p",
            SUBID,
        )


def test_the_advertising_token_travels() -> None:
    token = "2VtzqwABCDEF"
    assert erid_of(f"Реклама. ООО «Лавка». ERID: {token}") == token
    assert erid_of("Periderm care") == ""
    there = deeplink(
        open_network("admitad"), settings("admitad", erid=token), "https://shop.example/p", SUBID
    )
    assert there == (
        f"https://ad.admitad.com/g/abc123def/?erid={token}&ulp=https%3A%2F%2Fshop.example%2Fp&subid={S}"
    )
    inside = deeplink(
        open_network("awin"), settings("awin", erid=token), "https://shop.example/p?a=1", SUBID
    )
    assert inside.endswith(f"ued=https%3A%2F%2Fshop.example%2Fp%3Fa%3D1%26erid%3D{token}")


def test_a_base_with_a_query_of_its_own() -> None:
    base = {"base": "https://ad.admitad.com/g/abc123def/?i=5"}
    link = deeplink(
        open_network("admitad"), settings("admitad", ids=base), "https://shop.example/p", SUBID
    )
    assert (
        link
        == f"https://ad.admitad.com/g/abc123def/?i=5&ulp=https%3A%2F%2Fshop.example%2Fp&subid={S}"
    )


@pytest.mark.parametrize(
    ("name", "change", "key"),
    [
        ("awin", {"ids": {"advertiser": "1"}}, "'link.publisher'.* is missing"),
        ("awin", {"ids": {"advertiser": "x", "publisher": "1"}}, "'link.advertiser'.*'x'"),
        ("awin", {"ids": {**FRAMES["awin"][0], "more": "1"}}, "'link.more'.* not known"),
        ("admitad", {"ids": {"base": "javascript:alert(1)"}}, "'link.base'"),
        ("admitad", {"ids": {"base": "https://u@x.example/g/a/"}}, "'link.base'.*user"),
        ("generic", {"ids": {}}, "'link.template'"),
        ("generic", {"ids": {"template": "https://x.example/{url}"}}, "'link.template'"),
        ("generic", {"ids": {"template": "https://x.example/{url}{subid}{x}"}}, "'link.x'"),
        ("awin", {"domains": ("a b",)}, "'domains'"),
        ("awin", {"tracking_hosts": ("a/b",)}, "'tracking_hosts'"),
        ("awin", {"landing": "https://evil.example"}, "'landing'"),
        ("awin", {"erid": "a b"}, "'erid'"),
        ("skimlinks", {"deny_deeplinks": True}, "'landing' is missing"),
    ],
)
def test_settings_that_are_wrong_name_their_key(
    name: str, change: dict[str, object], key: str
) -> None:
    with pytest.raises(ConfigError, match=key):
        check_settings(open_network(name), settings(name, **change))


# ---- files


def test_unknown_networks_list_the_known() -> None:
    for name in ("nowhere", "../awin", "AWIN", ""):
        with pytest.raises(UnknownName) as refused:
            open_network(name)
        assert "tradetracker" in refused.value.hint


def test_a_workspace_adds_a_network_and_changes_one(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'title = "Mine"\n[link]\nsubid = "s"\nhosts = ["go.example"]\n'
        'template = "https://go.example/{id}?s={subid}&u={url}"\n[link.settings]\nid = "[a-z]+"\n'
        '[statuses]\nopen = "pending"\n'
    )
    (tmp_path / "gdeslon.toml").write_text(
        'checked = ["poll.window_days"]\n[link]\nmax_chars = 2000\n'
    )
    mine = open_network("mine", tmp_path)
    link = deeplink(mine, settings("awin", ids={"id": "abc"}), "https://shop.example/p", SUBID)
    assert link == f"https://go.example/abc?s={S}&u=https%3A%2F%2Fshop.example%2Fp"
    assert not mine.builtin
    changed, shipped = open_network("gdeslon", tmp_path), open_network("gdeslon")
    assert (changed.link.max_chars, shipped.link.max_chars) == (2000, 4000)
    assert changed.link.subid == shipped.link.subid
    assert {"poll.window_days", "link.max_chars"} & set(changed.unchecked) == set()
    assert {"poll.window_days", "link.max_chars"} < set(shipped.unchecked)
    assert {"mine", "gdeslon", "awin"} < {network.name for network in list_networks(tmp_path)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("title = ", "not valid TOML"),
        ('title = "x"', "link"),
        ('title = "x"\nlink = {template="", subid=""}\nstatuses={}\nmore=1', "more"),
        ('title = "x"\nlink = {template="", subid=""}\nstatuses={a="maybe"}', "statuses.a"),
        ('title = "x"\nlink = {template="", subid=""}\nstatuses={A="paid"}', "lower case"),
        ('title = "x"\nlink = {template="https://x/{url}", subid="s"}\nstatuses={}', "subid"),
        (
            'title = "x"\nlink = {template="https://x/{url}{subid}{a}", subid="s"}\nstatuses={}',
            "link.settings",
        ),
        (
            'title = "x"\nlink = {template="", subid="", settings={a="("}}\nstatuses={}',
            "link.settings.a",
        ),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        open_network("x", tmp_path)


# ---- postbacks


def news(name: str, **fields: str) -> Callable[[], object]:
    return lambda: read_postback(open_network(name), fields)


def test_an_admitad_postback() -> None:
    told = read_postback(
        open_network("admitad"),
        {
            "admitad_id": "501",
            "program": "22",
            "subid": SUBID,
            "status": "approved",
            "commission": "120.509",
            "order_value": "1500",
            "currency": "RUR",
            "order": "A-17",
            "time": "23.11.2026 10:00:00",
            "ready": "0",
        },
    )
    assert (told.network, told.external_id, told.status) == ("admitad", "501", "approved")
    assert (told.commission, told.order_value) == (Money(12050, "RUB"), Money(150000, "RUB"))
    assert (told.subid, told.order_id, told.ordered_at) == (SUBID, "A-17", 1795417200)


STATUSES = [
    (network.name, theirs, ours)
    for network in list_networks()
    for theirs, ours in network.statuses.items()
    if not {f"statuses.{theirs}", "statuses"} & set(network.unchecked)
]


@pytest.mark.parametrize(("name", "theirs", "ours"), STATUSES)
def test_every_checked_status(name: str, theirs: str, ours: str) -> None:
    network = open_network(name)
    fields = {field: "1" for spec in [network.postback.fields] for field in first_names(spec)}
    status = network.postback.fields.get("status", "status")
    currency = network.postback.fields.get("currency", "currency")
    fields |= {first(status): theirs.upper(), first(currency): "EUR", "external_id": "1"}
    for field in ("ordered_at", "changed_at"):
        fields[first(network.postback.fields.get(field, field))] = "1795428000"
    told = read_postback(network, {k: v for k, v in fields.items() if k})
    assert (told.status, told.network) == (ours, name)


def first(spec: str | tuple[str, ...]) -> str:
    return (spec if isinstance(spec, str) else spec[0]).split("+")[0]


def first_names(fields: object) -> list[str]:
    assert isinstance(fields, dict)
    return [first(spec) for spec in fields.values()]


def test_a_status_that_nobody_checked_is_refused_until_somebody_does(tmp_path: Path) -> None:
    fields = {"external_id": "1", "status": "CONFIRMED"}
    with pytest.raises(PostbackError, match="not checked") as refused:
        read_postback(open_network("lomadee"), fields)
    assert 'checked = ["statuses.confirmed"]' in refused.value.hint
    (tmp_path / "lomadee.toml").write_text('checked = ["statuses.confirmed"]\n')
    told = read_postback(open_network("lomadee", tmp_path), fields)
    assert told
    assert told.status == "approved"


@pytest.mark.parametrize("state", ["4", "payed", "Payed"])
def test_what_is_paid_there_is_money_of_ours_only_where_that_was_checked(
    tmp_path: Path, state: str
) -> None:
    fields = {"gs_order_id": "1", "state": state}
    told = read_postback(open_network("gdeslon"), fields)
    assert told
    assert told.status == "approved"
    (tmp_path / "gdeslon.toml").write_text('checked = ["postback.paid_when"]\n')
    told = read_postback(open_network("gdeslon", tmp_path), fields)
    assert told
    assert told.status == "paid"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "paid"}, "which sale"),
        ({"external_id": "[[[order_id]]]", "status": "paid"}, "which sale"),
        ({"external_id": "1"}, "no status ''"),
        ({"external_id": "1", "status": "maybe"}, "no status 'maybe'"),
        ({"external_id": "1\n2", "status": "paid"}, "plain text"),
        ({"external_id": "x" * 201, "status": "paid"}, "plain text"),
        ({"external_id": "1", "status": "paid", "commission": "5"}, "no currency"),
        ({"external_id": "1", "status": "paid", "commission": "5", "currency": "E€"}, "currency"),
        *(
            (
                {"external_id": "1", "status": "paid", "commission": amount, "currency": "EUR"},
                reason,
            )
            for amount, reason in (
                ("1,5", "no amount"),
                ("NaN", "no amount"),
                ("Infinity", "no amount"),
                ("1e99", "too large"),
                ("9" * 16, "no amount"),
                ("9" * 15, "too large"),
                ("0x10", "no amount"),
                ("١٢", "no amount"),
            )
        ),
        ({"external_id": "1", "status": "paid", "ordered_at": "yesterday"}, "no time"),
        ({"external_id": "1", "status": "paid", "ordered_at": "31.02.2026 10:00:00"}, "no time"),
        ({"external_id": "1", "status": "paid", "ordered_at": "9999-12-31T23:59:59Z"}, "no time"),
        ({"external_id": "1", "status": "paid", "changed_at": "99999999999"}, "no time"),
        ({"external_id": "1", "status": "paid", "changed_at": "1815-12-10"}, "no time"),
    ],
)
def test_postbacks_that_make_no_sense(fields: dict[str, str], reason: str) -> None:
    with pytest.raises(PostbackError, match=reason):
        read_postback(open_network("generic"), fields)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00", "0000-00-00 00:00:00", "0000-00-00", ""])
def test_a_day_that_was_never_set_is_not_told(text: str) -> None:
    fields = {"external_id": "1", "status": "paid", "ordered_at": text, "changed_at": "1760000000"}
    told = read_postback(open_network("generic"), fields)
    assert (told.ordered_at, told.changed_at) == (None, 1_760_000_000)


def test_amounts_are_rounded_down_and_may_be_negative() -> None:
    for amount, currency, minor in (
        ("10.019", "EUR", 1001),
        ("-10.019", "EUR", -1002),
        ("10.9", "JPY", 10),
        ("1.2345", "KWD", 1234),
        ("0", "EUR", 0),
    ):
        fields = {
            "external_id": "1",
            "status": "approved",
            "commission": amount,
            "currency": currency,
        }
        told = read_postback(open_network("generic"), fields)
        assert told.commission == Money(minor, currency)
    untold = read_postback(open_network("generic"), {"external_id": "1", "status": "declined"})
    assert (untold.commission, untold.order_value, untold.ordered_at) == (None, None, None)


def test_a_reason_is_kept_short_and_on_one_line() -> None:
    fields = {"external_id": "1", "status": "declined", "reason": "returned\r\nX: y" + "z" * 900}
    told = read_postback(open_network("generic"), fields)
    assert told.reason.startswith("returned  X: y")
    assert len(told.reason) == 500


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=30), max_size=8))
def test_any_call_is_read_or_refused(fields: dict[str, str]) -> None:
    for name in ("admitad", "generic"):
        try:
            told = read_postback(open_network(name), {"external_id": "1", **fields})
        except PostbackError:
            continue
        assert told.status in STATUSES_OF_OURS
        assert len(told.reason) <= 500


def test_every_unsure_fact_is_told() -> None:
    networks: list[Network] = [n for n in list_networks() if n.name != "generic"]
    assert all(network.unchecked and network.sources for network in networks)


def test_the_page_is_as_the_files_say() -> None:
    page = (Path(__file__).parents[1] / "docs" / "networks.md").read_text("utf-8")
    assert networks_page.current(page) == page, "python tools/networks_page.py --write"
    for network in list_networks():
        assert f"| `{network.name}` | {network.title} |" in page
        for key, why in {**network.facts, **network.unchecked}.items():
            assert f"`{key}` | {why} |" in page
