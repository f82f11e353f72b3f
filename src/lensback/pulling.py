"""`conversions pull`: one network or all of them, once or as a service.

What is asked for follows from the ledger: the oldest sale that may still change, what the network
answers, and the last good pull. So a service that was killed goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from threading import Event

from lensback import conversions, ledger, log, networks
from lensback.conversions import Pulled
from lensback.errors import Error, NotFound, PostbackError, Stopped
from lensback.ledger import pulls
from lensback.networks import Network
from lensback.schedule import Schedule
from lensback.types import Conversion, Progress
from lensback.workspace import Workspace

ROUND_S = 60.0
"""Between two looks at what is due."""
TOKENS = "tokens"
"""Folder of the workspace for tokens that outlive a process."""


@dataclass(frozen=True, slots=True)
class NetworkPull:
    """What became of one network in a round: a count, or the error that ended it."""

    network: str
    done: Pulled | None = None
    error: Error | None = None


Tell = Callable[[NetworkPull], None]
Refuse = Callable[[PostbackError, Mapping[str, object]], None]


def ready(workspace: Workspace) -> list[Network]:
    """The networks that have a report and all keys of an account, by name."""
    found = []
    for network in networks.list_networks(workspace.networks):
        if network.poll is None:
            continue
        account = conversions.account_of(workspace.path, network.name)
        if account.get("token") or (
            network.poll.account and all(account.get(key) for key in network.poll.account)
        ):
            found.append(network)
    return found


def pull_network(
    workspace: Workspace,
    network: Network,
    *,
    since: int | None = None,
    now: int,
    fresh_s: int = conversions.FRESH_S,
    progress: Progress = lambda _done, _total: None,
) -> Pulled:
    """Asks one network; `since` is found in the ledger where it is None. Rows that cannot be read
    are kept (`pulls.refused_rows`). Raises NotFound where there is no report, and what the network
    answers with; how it ended is remembered either way."""
    form = network.poll
    if form is None:
        raise NotFound(f"{network.title} has no report to read", hint="let it call /postback")
    account = conversions.account_of(workspace.path, network.name)
    odd: list[tuple[str, str]] = []

    def refuse(error: PostbackError, row: Mapping[str, object]) -> None:
        one = (error.message, json.dumps(row, default=str, ensure_ascii=False))
        if one not in odd:  # two stretches may bring it
            odd.append(one)

    def ask(begin: int, end: int) -> list[Conversion]:
        keep = workspace.path / TOKENS
        told = networks.poll(
            network, account, workspace.fetcher, begin, end, reject=refuse, keep=keep
        )
        return _believed(told, now, refuse)

    if since is None:
        since = pulls.ask_from(workspace.db, network.name, now, form.window_days, form.reach_days)
    try:
        done = conversions.pull(
            workspace.db,
            network.name,
            ask,
            since=since,
            now=now,
            window_days=form.window_days,
            fresh_s=fresh_s,
            progress=progress,
            rates=workspace.known_rates,
        )
    except Stopped:  # by us: no failure of the network's
        raise
    except Error as error:
        pulls.keep_refused(workspace.db, network.name, odd, now)
        pulls.mark_tried(workspace.db, network.name, now, error.message or type(error).__name__)
        raise
    pulls.keep_refused(workspace.db, network.name, odd, now)
    pulls.mark_tried(workspace.db, network.name, now)
    ledger.remember(workspace.db, workspace.path)
    for message, _ in odd:
        done.rejected[message] += 1
    return done


def _believed(news: Iterable[Conversion], now: int, refuse: Refuse) -> list[Conversion]:
    """The news that the ledger will take; `refuse` gets the others."""
    good = []
    for one in news:
        try:
            good.append(ledger.checked(one, at=now))
        except PostbackError as error:
            refuse(error, asdict(one))
    return good


def serve(
    workspace: Workspace, usual: Schedule, stop: Event, tell: Tell, *, round_s: float = ROUND_S
) -> None:
    """Pulls every network that is ready when it is due, until `stop` is set; an error of one network
    ends its pull only. Networks that get an account meanwhile are asked from the next round on."""
    while not stop.is_set():
        try:
            workspace.drain()
            pull_due(workspace, usual, stop, tell)
        except Stopped:
            break
        except Error as error:
            tell(NetworkPull("", error=error))
        stop.wait(round_s)
    log.event("pull service stopped")


def pull_due(
    workspace: Workspace,
    usual: Schedule | None,
    stop: Event,
    tell: Tell,
    *,
    around: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> None:
    """One round: every network whose time has come, or all where there is no schedule. `around` is
    entered with a network's name while that one is asked."""
    tried = {state.network: state.tried_at for state in pulls.states(workspace.db)}
    for network in ready(workspace):
        now = int(time.time())
        if stop.is_set():
            return
        if usual and usual.due_at(tried.get(network.name), now) > now:
            continue
        try:
            with around(network.name):
                done = pull_network(workspace, network, now=now, fresh_s=0)
            tell(NetworkPull(network.name, done))
        except Stopped:
            raise
        except Error as error:
            tell(NetworkPull(network.name, error=error))
