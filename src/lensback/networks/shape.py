"""What a network's file says, as frozen dataclasses; read and checked by `open_network`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator

from lensback.checked import CLOSED, wrong
from lensback.networks.targets import MAX_CHARS
from lensback.types import STATUSES

Status = Literal["pending", "approved", "declined", "paid"]
OURS = frozenset(STATUSES)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"no time zone: {name[:40]!r}") from error
    return name


Zone = Annotated[str, AfterValidator(_zone)]
"""Name of a time zone, as the tz database has it."""


@dataclass(frozen=True, slots=True)
class LinkForm:
    """How a tracked link is written.

    In `template` `{url}` stands for the target, percent-encoded once, `{subid}` for our click id,
    every other name for one of the program's `[link]` settings; `{base}` is put in as it is, and so
    is `{page}`, the target itself where it is the link.
    Empty: the program brings its own template.
    """

    __pydantic_config__ = CLOSED

    template: str
    subid: str
    """Parameter that carries the click id."""
    subid_max: Annotated[int, Field(ge=22, le=1000)] = 32
    """Most characters of it; our click ids have 22."""
    more_subids: tuple[str, ...] = ()
    """Further sub-id parameters the network knows; not used."""
    keep: tuple[str, ...] = ()
    """Further parameters that a tracked link may bring, such as the number of an ad. Whatever else
    it brings is taken out: a network may know more names for whom a link pays than we do."""
    target: tuple[str, ...] = ()
    """Parameters that may hold the target in a link that is tracked already."""
    style: Literal["query", "path", "tail"] = "query"
    """`path`: parameters are path segments `name:value`. `tail`: click id and target are the end of
    the path, so a link that is tracked already is made anew."""
    paths: tuple[str, ...] = ()
    """Paths of the network's links besides the template's, with `{setting}` where one stands."""
    hosts: tuple[str, ...] = ()
    """Hosts of the network's links, subdomains included."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """The program's settings that the template needs, each with the pattern of a valid value."""
    own: Mapping[str, str] = field(default_factory=dict)
    """Parameter -> setting it has to equal, or a text with `{setting}`: a tracked link of somebody
    else pays somebody else. Of the parameters of one setting at least one has to be there."""
    landing: str = ""
    """Template without `{url}`: the store's start page, for programs that forbid deep links."""
    erid: str = ""
    """Parameter of the link for the advertising token. Empty: it goes into the target."""
    max_chars: Annotated[int, Field(ge=200, le=MAX_CHARS)] = 4000
    """Longest link."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        names = set(re.findall(r"{(\w+)}", self.template))
        if self.template and not ("subid" in names and {"url", "page"} & names):
            raise wrong("template", "needs {url} and {subid}")
        if missing := names - {"url", "page", "subid"} - set(self.settings):
            raise wrong(
                "settings", f"no pattern of {', '.join(sorted(missing))}, which template uses"
            )
        for name, pattern in self.settings.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise wrong(f"settings.{name}", f"no pattern: {error}") from error
        return self


@dataclass(frozen=True, slots=True)
class NewsForm:
    """How a call or a row of the network tells of a sale.

    `fields`: our name of a field -> theirs; `a+b` joins two, a list is tried in order,
    dots walk into nested values. Beside the fields of a `Conversion` there is `part`: the id of
    one row of several that add up to the sale, a correction among them.
    """

    __pydantic_config__ = CLOSED

    fields: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    default: Mapping[str, str] = field(default_factory=dict)
    """Our field -> its value where the network tells none (a status that is always the same)."""
    inside: str = ""
    """A field of a call that holds all others as JSON."""
    query: str = ""
    """What the operator writes behind the postback address at the network."""
    note: str = ""
    currency: str = ""
    """Currency of amounts that come without one."""
    approved_when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Field -> values that turn a pending sale into an approved one; `*` is any value."""
    paid_when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same, from approved to paid."""
    declined_when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same, from anything to declined."""
    skip_when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same: what tells of no sale at all."""
    divisor: Annotated[int, Field(ge=1)] = 1
    """Amounts are divided by this (100 where they come in cents)."""
    time_zone: Zone = "UTC"
    """Of times that name no zone."""


@dataclass(frozen=True, slots=True)
class TokenForm:
    """How a token is asked for: OAuth 2 (RFC 6749), and what networks add to it."""

    __pydantic_config__ = CLOSED

    url: str
    at: str = "access_token"
    """Where the token stands in the answer."""
    param: str = ""
    """Parameter of each question that holds the token, where no header does."""
    auth: Literal["basic", "bearer", "body", "json"] = "basic"
    """Where the client's secret goes: HTTP Basic, the same pair as Bearer, a form, a JSON body."""
    grant: str = "client_credentials"
    """Empty: only `fields` are sent."""
    fields: Mapping[str, str | bool] = field(default_factory=dict)
    """Further fields of the request; `{name}` is a key of the account or found by `first`."""
    body: str = ""
    """XML that opens a session (SOAP), with `{keys}` of the account. The session's cookies are what `{token}`
    stands for then; it is opened anew each time that sales are asked for, for nothing says when it ends."""
    headers: Mapping[str, str] = field(default_factory=dict)
    first: Mapping[str, str] = field(default_factory=dict)
    """A question before it: `url`, and what is taken from its answer: name -> dotted path."""
    refresh_url: str = ""
    """Where a refresh token buys a new pair; empty: `url`."""
    refresh_at: str = ""
    """Where the refresh token stands in the answer; empty: there is none."""
    refresh_fields: Mapping[str, str | bool] = field(default_factory=dict)
    oauth: str = ""
    """Address that `{oauth}` stands for; a key `oauth` of the account replaces it."""
    keep: bool = False
    """Tokens are kept on disk: where a network gives out few of them."""


@dataclass(frozen=True, slots=True)
class SignForm:
    """How a request is signed: its sorted parameters as text, and a secret of the account."""

    __pydantic_config__ = CLOSED

    key: str
    """The account's key that holds the secret."""
    param: str = "sign"
    """The parameter, or with `header` the header, that carries the signature."""
    header: bool = False
    method: Literal["md5", "hmac-md5", "hmac-sha1", "hmac-sha256"] = "hmac-sha256"
    """`md5` is of secret + text + secret."""
    text: Literal["pairs", "query"] = "pairs"
    """`pairs`: name and value after one another, `query`: URL-encoded with & and =."""
    upper: bool = True
    """Whether the hexadecimal digits are large ones."""


@dataclass(frozen=True, slots=True)
class PollForm:
    """How sales are asked for. `client` names the function that speaks the network's dialect."""

    __pydantic_config__ = CLOSED

    api: str
    path: str
    client: Literal["pages", "graphql"] = "pages"
    answer: Literal["json", "xml"] = "json"
    account: tuple[str, ...] = ()
    """Keys of the account (ids and secrets) that a request needs."""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    """`{since}` and `{until}` are filled with times as `time_format` writes them, `{now}` too;
    `{days}` is how many days back `{since}` lies, `{span}` how many days the question is of."""
    queries: tuple[Mapping[str, str], ...] = ()
    """Parameters that differ where one stretch takes several questions (two kinds of date)."""
    time_format: str = "%Y-%m-%dT%H:%M:%S"
    """As in `strftime`; `epoch` and `epoch_ms` are seconds and milliseconds since 1970."""
    now_format: str = ""
    """How `{now}` is written; empty: as `time_format`."""
    time_zone: Zone = "UTC"
    """Zone of the times that we send."""
    inclusive: bool = False
    """Whether `{until}` names a last day that counts, so that windows must not share one."""
    window_days: Annotated[int, Field(ge=1, le=400)] = 30
    """Longest stretch of one question."""
    reach_days: Annotated[int, Field(ge=0)] = 0
    """How far back the network answers; 0: not limited."""
    items: str = ""
    """Where the rows are; empty: the body is the list."""
    each: str = ""
    """Where a row holds a list of items that are told of one by one, as `each` of the row."""
    currency_at: str = ""
    """Where the answer names the currency of all its rows."""
    error_at: str = ""
    """Where an answer with status 200 says what is wrong."""
    paging: Literal["none", "offset", "page", "next", "cursor"] = "none"
    page: Mapping[str, str | int] = field(default_factory=dict)
    """Names of the paging parameters, see docs/networks.md."""
    per_minute: Annotated[int, Field(ge=0)] = 0
    """Requests a minute that the network allows; 0: not told."""
    body: str = ""
    """What is posted, as JSON or XML like the answer. `query`, `queries` and the parameters of pages fill its
    `{names}` then, and are not in the address. Empty: the question is a GET."""
    token: TokenForm | None = None
    sign: SignForm | None = None
    basic: tuple[str, ...] = ()
    """Two account keys sent as HTTP Basic user and password."""
    graphql: str = ""
    """The GraphQL document, for `client = "graphql"`."""
    news: NewsForm = field(default_factory=NewsForm)


@dataclass(frozen=True, slots=True)
class RateForm:
    """How a network writes what a program pays.

    A rate is a row of the last of `levels`, lists within one another; its `up` is the row that it
    stands in, `up.up` the one around that. Every value is a dotted path in it.
    """

    __pydantic_config__ = CLOSED

    levels: Annotated[tuple[str, ...], Field(min_length=1)]
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Path -> values of the rates that are for purchases; others (registrations) are left out."""
    percent: str = ""
    fixed: str = ""
    percent_when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Where both are at one path: which values say that it is per cent."""
    fixed_when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Which values say that it is an amount; a rate that is neither is left out, and told."""
    currency: str = ""
    """Of the amounts, where it is not the program's."""
    name: str = ""
    """What the network calls it. It becomes the condition, unless it is the usual rate."""
    usual: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Path -> values of the rate that holds where no other does."""
    region: str = ""
    from_price: str = ""
    min: str = ""
    max: str = ""
    since: str = ""


@dataclass(frozen=True, slots=True)
class ProgramForm:
    """How a network is asked for the programs that we are connected to. What it does not say is as
    in `[poll]`: host, token, headers, signature."""

    __pydantic_config__ = CLOSED

    path: str
    api: str = ""
    answer: Literal["", "json", "xml"] = ""
    account: tuple[str, ...] = ()
    """Keys that it needs beside those of `[poll]`."""
    query: Mapping[str, str] = field(default_factory=dict)
    queries: tuple[Mapping[str, str], ...] = ()
    """Parameters of several questions; a row holds those that it came by as `asked`."""
    token: Mapping[str, str | bool] = field(default_factory=dict)
    """Fields of the token's request that differ (another scope)."""
    items: str = ""
    paging: Literal["none", "offset", "page", "next", "cursor"] = "none"
    page: Mapping[str, str | int] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
    """Name -> path of a further question for each program that pays, with `{id}`; its answer stands
    in the row under the name."""
    fields: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Ours -> theirs: `id`, `name`, `site`, `domains`, `currency`, `deeplinks`, `hold_days`."""
    pays_when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Path -> values, in lower case, which all have to hold: otherwise the program is paused."""
    link: Mapping[str, str] = field(default_factory=dict)
    """The program's link settings -> their path in the row, or `{key}` of the account."""
    rates: RateForm | None = None
    """None where the network does not tell: then the operator writes them."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        if missing := {"id", "site"} - set(self.fields):
            raise wrong("fields", f"must name {', '.join(sorted(missing))}")
        return self


@dataclass(frozen=True, slots=True)
class ClaimForm:
    """Where the network takes a claim for a lost order, and what it asks for."""

    __pydantic_config__ = CLOSED

    where: str
    """The place, in words or as an address."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The network's name of a field -> its value, with `{order}`, `{day}`, `{amount}`, `{currency}`,
    `{click}`, `{clicked}`, `{note}`, `{store}`, `{program}`, a link setting or a key of the account."""


@dataclass(frozen=True, slots=True)
class Network:
    """An affiliate network as its file tells it."""

    __pydantic_config__ = CLOSED

    name: str
    title: str
    link: LinkForm
    statuses: Mapping[str, Status]
    """Theirs, in lower case -> ours. Two of ours for one of theirs is not possible."""
    postback: NewsForm = field(default_factory=NewsForm)
    poll: PollForm | None = None
    programs: ProgramForm | None = None
    claim: ClaimForm | None = None
    sources: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """Dotted key -> the documentation that says it."""
    unchecked: Mapping[str, str] = field(default_factory=dict)
    """Dotted key -> why it is not sure. An unchecked status is refused until somebody checks it."""
    builtin: bool = True

    @model_validator(mode="after")
    def _lowered(self) -> Self:
        if upper := [status for status in self.statuses if status != status.lower()]:
            raise wrong(f"statuses.{upper[0]}", "must be in lower case")
        return self

    def as_json(self) -> dict[str, Any]:
        """The whole description by name, as `network show --json` prints it."""
        from dataclasses import asdict

        return asdict(self)


class Program(Protocol):
    """The part of a program's terms that links need."""

    @property
    def domains(self) -> tuple[str, ...]:
        """Domains of the store's pages, in ASCII."""

    @property
    def link(self) -> Mapping[str, str]:
        """Values that the network's link template needs, by name."""

    @property
    def deny_deeplinks(self) -> bool:
        """Whether the program allows links to its landing page only."""

    @property
    def landing(self) -> str:
        """Address of that landing page, or empty."""

    @property
    def tracking_hosts(self) -> tuple[str, ...]:
        """Hosts of tracked links that the program names besides the network's own."""

    @property
    def erid(self) -> str:
        """The token of the advertising register that its links carry, or empty."""


class Linked(Protocol):
    """The part of an offer that links need."""

    @property
    def url(self) -> str:
        """Address that the feed gives for the offer; perhaps a tracked one already."""

    @property
    def target_url(self) -> str:
        """The store's own page where the feed names it too, or empty."""

    @property
    def disclosure(self) -> str:
        """Text about the advertiser that must stand beside the link, or empty."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """What a program brings to its links."""

    domains: tuple[str, ...]
    """Where targets may lie: the domain or below it; `shop.example:8443` names a port."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """The program's `[link]`: base, publisher, advertiser ... as the network's file asks."""
    deny_deeplinks: bool = False
    landing: str = ""
    """The store's page to send everybody to where deep links are denied."""
    tracking_hosts: tuple[str, ...] = ()
    """Further hosts that the network uses for this program's links."""
    erid: str = ""
    """Token of the advertising register; travels with every link."""
