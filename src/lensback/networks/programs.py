"""The programs that an account is connected to, as the network tells them -> terms as we write them.

What they say is `[programs]` of the network's file. Nothing is guessed: a value that cannot be read is
told as a problem of its program, and a rate whose condition the network only names is a rule with that
name as its condition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from lensback.errors import ConfigError, FetchFailed, PostbackError
from lensback.net import Fetcher
from lensback.networks.answers import Row
from lensback.networks.asking import Asking, check_account
from lensback.networks.news import number_of, picked, picked_all
from lensback.networks.oauth import filled
from lensback.networks.shape import Network, PollForm, ProgramForm, RateForm

_HOLE = re.compile(r"\[+\w*\]+|[%$#]?\{\w*\}|!!!\w*!!!|%\w+%")
"""A macro that a program's link brings along for others to fill."""
_CURRENCY = re.compile(r"[A-Z]{3}")
MAX_NAME = 200


@dataclass(slots=True)
class OfferedProgram:
    """A program as its network tells it."""

    id: str
    name: str
    terms: dict[str, Any]
    """What the network decides: all of a program's TOML but the share and what only we know."""
    problems: list[str] = field(default_factory=list)
    """What could not be read, in words."""


def read_programs(
    network: Network, account: Mapping[str, str], fetcher: Fetcher, *, keep: Path | None = None
) -> Iterator[OfferedProgram]:
    """The programs of an account, one by one, each once.

    Raises ConfigError where the network gives none or a key is missing, PostbackError for an
    answer that is not what it should be, FetchError where the network does not answer.
    """
    form, poll = network.programs, network.poll
    if form is None or poll is None:
        raise ConfigError(
            f"{network.title} gives no list of programs that is known here",
            hint="write the program by hand: docs/programs.md",
        )
    asked = _question(form, poll)
    check_account(network, asked, account)
    asking = Asking(network, asked, account, fetcher, keep)
    seen: set[str] = set()
    for listed in asking.listed():
        key = _text(listed, form.fields["id"])
        if not key or key in seen:
            continue
        seen.add(key)
        pays = _pays(form, listed)
        problems: list[str] = []
        row = {**listed, **_details(asking, form, key, problems)} if pays else listed
        yield _program(network, form, account, row, key, problems, pays=pays)


def _question(form: ProgramForm, poll: PollForm) -> PollForm:
    """The list of programs as a question of the network's own client."""
    token = replace(poll.token, fields={**poll.token.fields, **form.token}) if poll.token else None
    return replace(
        poll,
        api=form.api or poll.api,
        path=form.path,
        client="pages",
        graphql="",
        answer=form.answer or poll.answer,
        account=(*poll.account, *form.account),
        query=form.query,
        queries=form.queries,
        items=form.items,
        each="",
        currency_at="",
        paging=form.paging,
        page=form.page,
        token=token,
    )


def _details(asking: Asking, form: ProgramForm, key: str, problems: list[str]) -> Row:
    """The answers to the questions about one program. One that is refused is a problem of its own."""
    answers: dict[str, Any] = {}
    for name, path in form.details.items():
        try:
            answers[name] = asking.one(path, {"id": key})
        except FetchFailed as error:
            if error.status not in {400, 403, 404}:
                raise
            problems.append(f"the network does not tell its {name} ({error.status})")
    return answers


def _pays(form: ProgramForm, row: Row) -> bool:
    return all(_text(row, path).lower() in values for path, values in form.pays_when.items())


def _program(
    network: Network,
    form: ProgramForm,
    account: Mapping[str, str],
    row: Row,
    key: str,
    problems: list[str],
    *,
    pays: bool,
) -> OfferedProgram:
    name = _text(row, form.fields.get("name", ""))[:MAX_NAME]
    domains = _domains(form, row)
    if not domains:
        problems.append("the network names no site of the store")
    terms: dict[str, Any] = {
        "network": network.name,
        "program": key,
        "paused": not pays,
        "domains": domains,
        "link": _link(network, form, account, row, problems),
    }
    if currency := _currency(_text(row, form.fields.get("currency", ""))):
        terms["currency"] = currency
    if "deeplinks" in form.fields:
        told = picked(row, str(form.fields["deeplinks"]))
        terms["deny_deeplinks"] = str(told).lower() in {"false", "0", "no"}
    if (days := _days(_text(row, form.fields.get("hold_days", "")))) is not None:
        terms["hold_days"] = days
    if pays and form.rates is not None:
        rules = _rules(form.rates, row, currency, problems)
        if rules is not None:
            terms["rates"] = rules
    return OfferedProgram(key, name, terms, problems)


def _text(row: Row, paths: str | tuple[str, ...]) -> str:
    """The first value that is told, as text; "" where none is."""
    for path in (paths,) if isinstance(paths, str) else paths:
        value = picked(row, path) if path else None
        if value is not None and not isinstance(value, Mapping | list) and str(value).strip():
            return str(value).strip()
    return ""


def _domains(form: ProgramForm, row: Row) -> list[str]:
    """Hosts of the store's pages, without `www.`, each once."""
    paths = form.fields.get("domains", ())
    sites = [_text(row, form.fields["site"])]
    for path in (paths,) if isinstance(paths, str) else paths:
        sites += [value for value in picked_all(row, path) if isinstance(value, str)]
    hosts = []
    for site in sites:
        text = site if "//" in site else f"//{site}"
        try:
            host = urlsplit(text).hostname or ""
        except ValueError:
            continue
        host = host.strip("*.").removeprefix("www.")
        if "." in host:
            hosts.append(host)
    return list(dict.fromkeys(hosts))


def _link(
    network: Network,
    form: ProgramForm,
    account: Mapping[str, str],
    row: Row,
    problems: list[str],
) -> dict[str, str]:
    settings = {}
    for name, path in form.link.items():
        value = filled(path, account) if "{" in path else _text(row, path)
        value = _without_holes(value) if name == "base" else value
        pattern = network.link.settings.get(name, "")
        if value and re.fullmatch(pattern, value):
            settings[name] = value
        else:
            problems.append(f"no link: {name} is {value[:60]!r}")
    return settings


def _without_holes(url: str) -> str:
    """An address without the parameters that somebody else was to fill."""
    try:
        parts = urlsplit(url)
        kept = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True)]
    except ValueError:
        return ""
    kept = [(k, v) for k, v in kept if v and not _HOLE.fullmatch(v)]
    return urlunsplit(parts._replace(query=urlencode(kept), fragment=""))


def _currency(text: str) -> str:
    code = text.upper()
    code = "RUB" if code == "RUR" else code
    return code if _CURRENCY.fullmatch(code) else ""


def _days(text: str) -> int | None:
    """Days, whole ones upwards; None where none are told."""
    found = re.match(r"\d{1,4}(\.\d+)?", text)
    days = -(-Decimal(found[0]) // 1) if found else Decimal(0)
    return int(days) if 0 < days <= 1000 else None


def _levels(row: Row, levels: tuple[str, ...]) -> Iterator[Row]:
    """The rows of the innermost list, each with the row that it stands in as `up`."""
    items = picked(row, levels[0])
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, Mapping):
            continue
        inner = {**item, "up": row}
        if levels[1:]:
            yield from _levels(inner, levels[1:])
        else:
            yield inner


def _is(row: Row, when: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether one of these paths has one of its values."""
    return any(str(picked(row, path)).strip().casefold() in values for path, values in when.items())


def _rules(
    form: RateForm, row: Row, currency: str, problems: list[str]
) -> list[dict[str, Any]] | None:
    """Our rules of the network's rates, the special ones first; None where it tells none."""
    rates = [each for each in _levels(row, form.levels) if not form.only or _is(each, form.only)]
    rules: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    for rate in rates:
        name = _text(rate, form.name)[:MAX_NAME]
        try:
            rule = _rule(form, rate, currency)
        except PostbackError as error:
            problems.append(f"rate {name!r}: {error.message}")
            continue
        usual = _is(rate, form.usual) or (len({_text(one, form.name) for one in rates}) == 1)
        if not usual and name:
            rule["when"] = name
        if rule not in [known for _, known in rules]:
            rules.append((_place(rule), rule))
    rules.sort(key=lambda each: each[0])
    return [rule for _, rule in rules] if rates else None


def _place(rule: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where a rule stands: the first that holds pays, so the special ones go first, of the same
    kind the one for dearer orders, then the newer one."""
    since = date.fromisoformat(rule["since"]).toordinal() if "since" in rule else 0
    return (
        "when" not in rule,
        "region" not in rule,
        -Decimal(rule.get("from_price", "0")),
        -since,
    )


def _rule(form: RateForm, rate: Row, currency: str) -> dict[str, Any]:
    """One rule. Raises PostbackError for what cannot be read."""
    rule: dict[str, Any] = {}
    percent, fixed = (_amount(rate, path) for path in (form.percent, form.fixed))
    if form.percent_when or form.fixed_when:
        percent = percent if _is(rate, form.percent_when) else None
        fixed = fixed if _is(rate, form.fixed_when) else None
    if percent is not None and percent > 100:
        raise PostbackError(f"{percent} is no per cent")
    if percent is None and fixed is None:
        raise PostbackError("neither per cent nor an amount")
    if percent is not None:
        rule["percent"] = _plain(percent)
    else:
        rule["fixed"] = _plain(fixed or Decimal(0))
    for name in ("min", "max", "from_price"):
        amount = _amount(rate, getattr(form, name))
        if amount:
            rule[name] = _plain(amount)
    own = _currency(_text(rate, form.currency))
    if own and own != currency and {"fixed", "min", "max", "from_price"} & set(rule):
        rule["currency"] = own
    if region := _text(rate, form.region):
        rule["region"] = region[:MAX_NAME]
    if since := re.match(r"\d{4}-\d\d-\d\d", _text(rate, form.since)):
        rule["since"] = since[0]
    return rule


def _amount(rate: Row, path: str) -> Decimal | None:
    text = _text(rate, path).removesuffix("%").strip()
    if not text:
        return None
    value = number_of(text, path)
    if value < 0:
        raise PostbackError(f"{path} is below 0: {text[:30]!r}")
    return value


def _plain(value: Decimal) -> str:
    """A number as text, without noughts at its end."""
    return f"{value.normalize():f}"
