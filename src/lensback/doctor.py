"""Checks a workspace part by part and says what to do."""

from __future__ import annotations

import random
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

from lensback import backup, conversions, exchange, keys, networks, tokens
from lensback.cashback import NAMED, check_program, strange_hosts, widened
from lensback.catalogue import health as store_health
from lensback.catalogue import offers, pictures, products, publications, stores
from lensback.catalogue.findable import findable
from lensback.counted import age_s, counted
from lensback.db import copying
from lensback.errors import Error, MissingExtra, NotFound
from lensback.images import texts
from lensback.indexes import health
from lensback.ingest.write import UNSEEN
from lensback.ledger import pulls
from lensback.promise import fewest
from lensback.publish import LossGuard, foretold, read_rows, searched
from lensback.questions import COPIES
from lensback.types import Snapshot
from lensback.workspace import Workspace

LOW_DISK_BYTES = 1 << 30
SAMPLE = 200
"""Pictures, or offers, that are looked at where not all are."""
PAGE = 2000
FEW_FOUND = 0.5
"""Share of a store's offers below which it is told that they cannot be found."""
PRIVATE = ("lensback.toml", "networks.toml", "keys.json", "secret.key",
           "catalogue.db*", "journal", "tokens", "photos", "refused_postbacks.*")  # fmt: skip
"""What nobody else has to read, in the workspace's folder."""
STALE_S = 3 * 86_400


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. `state` is ok, warn or fail."""

    part: str
    state: str
    message: str
    hint: str = ""

    def as_json(self) -> dict[str, str]:
        """The check as `doctor --json` prints it."""
        return asdict(self)


def examine(workspace: Workspace, *, deep: bool = False) -> list[Check]:
    """Every check, in the order in which to mend things. Never raises one of our errors. `deep`:
    every picture file and vector is looked at, not a sample. What one part says is not said again
    by those that lean on it."""
    eyes = (_encoder, _detector, _words)
    sight = (_pictures, partial(_files, deep=deep), *eyes, _index_server, _index)
    checks = (
        _disk,
        _folder,
        _rights,
        _database,
        _stores,
        *sight,
        _calibration,
        _findable,
        _next_index,
    )
    lines: list[Check] = []
    for check in (*checks, _programs, _kept_files, _networks, _journal, _backup):
        told = {line.message for line in lines if line.state == "fail"}
        lines += [line for line in _guarded(check, workspace) if line.message not in told]
    return lines


def _guarded(check: Callable[[Workspace], Iterator[Check]], workspace: Workspace) -> list[Check]:
    try:
        return list(check(workspace))
    except Error as error:
        name = getattr(check, "func", check).__name__.strip("_").replace("_", " ")
        return [Check(name, "fail", error.message, error.hint)]


def _disk(workspace: Workspace) -> Iterator[Check]:
    free = shutil.disk_usage(workspace.path).free
    text = f"{free / 2**30:.1f} GiB free at {workspace.path}"
    if free < LOW_DISK_BYTES:
        yield Check("disk", "fail", text, "run: lensback prune; if that is not enough, make room")
    else:
        yield Check("disk", "ok", text)


def _folder(workspace: Workspace) -> Iterator[Check]:
    """What a sync writes to."""
    names = ("", "images", "vectors", "index", "journal", "spool", "calibration")
    folders = [workspace.path / name for name in names if (workspace.path / name).exists()]
    closed = [str(folder) for folder in folders if not _writable(folder)]
    if closed:
        hint = "give this user the right to write there: chmod u+rwx, or chown"
        yield Check("folder", "fail", f"cannot be written: {', '.join(closed)}", hint)
    else:
        yield Check("folder", "ok", f"{workspace.path} can be written")


def _writable(folder: Path) -> bool:
    try:
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _rights(workspace: Workspace) -> Iterator[Check]:
    """Whether others on this machine can read what holds secrets or people's data."""
    found = (path for name in PRIVATE for path in sorted(workspace.path.glob(name)))
    for path in found:
        if not path.stat().st_mode & 0o077:
            continue
        mode = "700" if path.is_dir() else "600"
        yield Check(
            "rights",
            "warn",
            f"others can read {path}",
            f"run: chmod {mode} {shlex.quote(str(path))}",
        )


def _database(workspace: Workspace) -> Iterator[Check]:
    if behind := publications.behind(workspace.db, searched(workspace.index)):
        yield Check("database", "fail", behind, publications.OLDER)
        return
    total = sum(offers.counts(workspace.db).values())
    text = f"revision {workspace.db.revision()}, {counted(total, 'offer')}, {counted(products.count(workspace.db), 'product')}"
    yield Check("database", "ok", text)
    if not workspace.db.folds():
        hint = "make it anew with LOCALE 'C.UTF-8', or with an ICU locale"
        yield Check("database", "warn", "its lower() knows ASCII letters only", hint)
    if careless := workspace.db.careless():
        hint = "ALTER DATABASE … SET synchronous_commit = on: a power cut may take answered sales"
        yield Check("database", "warn", careless, hint)


def _stores(workspace: Workspace) -> Iterator[Check]:
    states = stores.overview(workspace.db)
    refused, share = store_health.rejected(workspace.db), workspace.settings.reject_guard
    if not states:
        yield Check("stores", "warn", "none connected", "run: lensback store add NAME --feed URL")
    for state in states:
        part = f"store {state.name}"
        if state.status in {"failed", "truncated", "shrank"}:
            yield Check(part, "fail", f"{state.status}: {state.message}", "look at the feed")
        elif state.last_sync is None:
            yield Check(part, "warn", state.status, f"run: lensback sync {state.name}")
        elif age_s(state.last_sync) > STALE_S:
            days = age_s(state.last_sync) // 86_400
            yield Check(
                part,
                "warn",
                f"synced {counted(days, 'day')} ago",
                f"run: lensback sync {state.name}",
            )
        elif many := store_health.too_many(*refused.get(state.name, _NONE), share):
            hint = f"lensback store show {state.name} shows examples of each reason"
            yield Check(part, "warn", f"{counted(state.offers, 'offer')}; {many}", hint)
        elif state.offers and not state.images:
            text = f"{counted(state.offers, 'offer')}, no image"
            yield Check(part, "warn", text, UNSEEN.format(store=state.name))
        elif state.unknown_stock:
            text = f"{state.unknown_stock} of {counted(state.offers, 'offer')} with words of stock that we do not know"
            hint = f"lensback store show {state.name} lists the words; tell what they mean under [stock] in a column map"
            yield Check(part, "warn", text, hint)
        else:
            yield Check(part, "ok", f"{counted(state.offers, 'offer')}, {_of(state)}")


_NONE = (0, Counter[str]())


def _of(state: stores.StoreState) -> str:
    here = state.images - state.images_failed
    return f"{here} of " * bool(state.images_failed) + counted(state.images, "image")


_LISTED = "lensback store show NAME lists them with their addresses"
_MISSING_HINTS = {
    "private address": "if those hosts are yours, add them to allow_hosts",
    "forbids it": "ask those stores for leave, then add their hosts to robots_exempt",
    "not a web address": "the feed gives no whole addresses: tell the store, or set its --base",
    "not a host name": "the feed's addresses are wrong: tell the store",
}
"""What to do where most pictures are missing for one reason, by words of it."""


def _pictures(workspace: Workspace) -> Iterator[Check]:
    counts = pictures.counts(workspace.db)
    waiting, failed = counts.get("new", 0), counts.get("failed", 0)
    if waiting:
        yield Check("images", "warn", f"{waiting} not fetched yet", "run: lensback sync")
    if failed:
        reasons = sorted(pictures.failures(workspace.db).items(), key=lambda pair: -pair[1])[:3]
        text = "; ".join(f"{n} × {reason}" for reason, n in reasons)
        why = reasons[0][0]
        mine = [state.name for state in stores.overview(workspace.db) if state.images_failed]
        listed = _LISTED.replace("NAME", mine[0]) if len(mine) == 1 else _LISTED
        hint = next((hint for part, hint in _MISSING_HINTS.items() if part in why), listed)
        yield Check("images", "warn", f"{failed} could not be had: {text}", hint)
    if not waiting and not failed:
        empty = pictures.placeholders(workspace.db)
        told = f", {empty} of them placeholders that are not searched" if empty else ""
        yield Check("images", "ok", f"{counted(counts['images'], 'image')}{told}")


def _files(workspace: Workspace, *, deep: bool) -> Iterator[Check]:
    """Whether the files of pictures and the vectors are there that the catalogue names."""
    count, lost = 0, list[str]()
    for name, size in _on_disk(workspace, deep):
        count += 1
        if not (_readable(workspace, name) if deep else workspace.images.whole(name, size)):
            lost.append(name)
    if deep:  # one among millions: a sync looks for it only by chance
        pictures.fetch_again(workspace.db, lost)
    looked = counted(count, "picture") + ("" if deep else " of a sample")
    if lost:
        text = f"gone from the disk, or damaged: {len(lost)} of {looked}"
        yield Check("files", "warn", text, "run: lensback sync")
    fingerprint = workspace.encoder().fingerprint
    vectors = workspace.vectors
    there = vectors.check(fingerprint, anew=True) if deep else vectors.count(fingerprint)
    gone = pictures.count_embedded(workspace.db, fingerprint) - there
    if gone > 0:
        yield Check("files", "warn", f"lost: {counted(gone, 'vector')}", "run: lensback sync")
    if not lost and gone <= 0:
        yield Check("files", "ok", f"there: {looked}, {counted(there, 'vector')}")


def _on_disk(workspace: Workspace, deep: bool) -> Iterator[tuple[str, int]]:
    if not deep:
        start = f"{random.randrange(1 << 16):04x}"  # noqa: S311 - no secret
        first = pictures.on_disk(workspace.db, start, SAMPLE)
        yield from [*first, *pictures.on_disk(workspace.db, "", SAMPLE - len(first), start)]
        return
    start = ""
    while part := pictures.on_disk(workspace.db, start, PAGE):
        yield from part
        start = f"{part[-1][0]}0"


def _readable(workspace: Workspace, name: str) -> bool:
    try:
        return bool(workspace.images.read(name))
    except (NotFound, OSError):
        return False


def _findable(workspace: Workspace) -> Iterator[Check]:
    """Each store: how many of its offers a photo can lead to."""
    snapshot = searched(workspace.index)
    if snapshot is None:
        return
    rows = read_rows(workspace.rows_path)
    known = findable(workspace.db, snapshot.fingerprint)
    for store, (found, sold) in known.items():
        part = f"search of {store}"
        if rows.snapshot == snapshot.id and found and not rows.rows.get(store):
            yield Check(part, "warn", "none of its offers is in the index", "run: lensback sync")
        elif found < FEW_FOUND * sold:
            text = f"{found} of {counted(sold, 'offer')} can be found: no picture, or no vector, of the rest"
            yield Check(part, "warn", text, f"lensback store show {store} lists missing pictures")
        else:
            yield Check(part, "ok", f"{found} of {counted(sold, 'offer')} can be found")


def _next_index(workspace: Workspace) -> Iterator[Check]:
    """Whether the next sync would rather keep the index that is searched."""
    guard = LossGuard(workspace.rows_path, workspace.settings.max_drop)
    if text := foretold(workspace.db, workspace.index, guard):
        hint = "find out where they went; if it is meant so: lensback sync --force"
        yield Check("next index", "warn", text, hint)


def _encoder(workspace: Workspace) -> Iterator[Check]:
    encoder = workspace.encoder()
    undone = pictures.count_to_embed(workspace.db, encoder.fingerprint)
    text = f"{encoder.name}, {encoder.dim} numbers, fingerprint {encoder.fingerprint}"
    if undone:
        yield Check(
            "encoder",
            "warn",
            f"{text}; {counted(undone, 'image')} without a vector",
            "run: lensback sync",
        )
    else:
        yield Check("encoder", "ok", text)


def _detector(workspace: Workspace) -> Iterator[Check]:
    detector = workspace.detector
    yield Check("detector", "ok", f"{detector.name}, fingerprint {detector.fingerprint}")


def _words(workspace: Workspace) -> Iterator[Check]:
    """Whether words in photos are read."""
    if texts.wanted(workspace.settings.ocr):
        yield Check("words", "ok", "of photos are read: Latin letters and digits, no Cyrillic ones")
    elif workspace.settings.ocr == "off":
        yield Check("words", "ok", "of photos are not read: `ocr` is off")
    else:
        adds = MissingExtra(texts.PACKAGE, texts.EXTRA).hint.removeprefix("run: ")
        yield Check("words", "ok", f"of photos are not read; {adds} adds what reads them")


def _index_server(workspace: Workspace) -> Iterator[Check]:
    text, whole = health(workspace.index)
    if text:
        hint = "" if whole else "start the query nodes that are missing"
        yield Check("index server", "ok" if whole else "warn", text, hint)


def _index(workspace: Workspace) -> Iterator[Check]:
    snapshot = workspace.index.snapshot
    if snapshot is None:
        yield Check("index", "warn", "nothing published yet", "run: lensback sync")
        return
    text = f"snapshot {snapshot.id}, {counted(snapshot.rows, 'row')}, recall {snapshot.recall:.3f}"
    if workspace.encoder(snapshot.encoder).fingerprint != snapshot.fingerprint:
        yield Check(
            "index", "fail", f"{text}; made by another {snapshot.encoder}", "run: lensback sync"
        )
    elif not snapshot.rows:
        yield Check(
            "index", "warn", f"{text}: nothing can be found", "mend what is above, then sync"
        )
    elif snapshot.encoder != workspace.settings.encoder:
        yield Check("index", "warn", f"{text}; still of {snapshot.encoder}", "run: lensback sync")
    else:
        yield Check("index", "ok", text)


def _came_with_encoder(workspace: Workspace, snapshot: Snapshot) -> bool:
    try:
        encoder = workspace.encoder(snapshot.encoder)
    except Error:  # told of by _encoder
        return False
    return workspace.calibration_of(encoder) is not None


def _calibration(workspace: Workspace) -> Iterator[Check]:
    """That of the index that is searched; where there is none, as after a restore, of the encoder
    that the next sync takes: the sync fits what is missing, and `calibrate` has nothing to ask."""
    snapshot = workspace.index.snapshot
    fingerprint = snapshot.fingerprint if snapshot else workspace.encoder().fingerprint
    calibration = workspace.calibration(fingerprint)
    hint = f"run: lensback {'calibrate' if snapshot else 'sync'}"
    if calibration is None and snapshot and _came_with_encoder(workspace, snapshot):
        text = "came with the encoder, fitted on its training's images"
        yield Check("calibration", "warn", text, hint)
    elif calibration is None:
        yield Check("calibration", "warn", "none: no answer is called exact", hint)
    elif calibration.kind == COPIES:
        text = f"fitted on {calibration.kind}: its probabilities are optimistic"
        # Each thing is asked once: fewer could not show it, were every answer right.
        least = fewest(1 - workspace.settings.exact_precision)
        if (things := products.count(workspace.db)) < least:
            text += f"; {counted(things, 'thing')} are few, {least} at least can show how sure it is: exact is seldom said, even of a store's own picture"
        yield Check("calibration", "warn", text, "connect stores with several images a product")
    else:
        yield Check(
            "calibration", "ok", f"{counted(calibration.cases, 'case')} of {calibration.kind}"
        )


def _programs(workspace: Workspace) -> Iterator[Check]:
    """Each store's program and its network's account: a wrong one costs the cashback, silently."""
    known = stores.programs(workspace.db, stores.names(workspace.db))
    for program in (each for found in known.values() for each in found):
        part = f"program {program.store}"
        try:
            paused = check_program(program.terms, workspace.networks).paused
            account = conversions.account_of(workspace.path, program.network)
        except Error as error:
            yield Check(part, "fail", error.message, error.hint)
            continue
        if paused:
            text = f"{program.network} pays nothing at the moment: paused"
            yield Check(part, "warn", text, "its shoppers see no cashback; add a second program")
            continue
        pages = offers.pages(workspace.db, program.store)
        if strange := strange_hosts(pages, [program.terms]):
            text = f"offers lead to {strange[0]}, none of the program's domains: their links lead nowhere"
            line = widened([program.terms], strange[:NAMED])
            yield Check(part, "warn", text, f"if it is the store's, write into the program: {line}")
            continue
        if {"postback_secret", "postback_hmac", "token", "client_id", "auth_token"} & set(account):
            yield Check(part, "ok", f"through {program.network}")
        else:
            hint = f"put [{program.network}] into networks.toml, see docs/cashback.md"
            yield Check(part, "warn", f"{program.network} has no way to tell of sales", hint)


def _kept_files(workspace: Workspace) -> Iterator[Check]:
    """What an operator or a command wrote beside the database, each read as whoever needs it reads
    it: a file that no program, page or sync needs today is wrong all the same."""
    root, snapshot = workspace.path, workspace.index.snapshot
    reads: dict[str, Callable[[], object]] = {
        "keys": partial(keys.load, workspace.keys_path),
        "accounts of networks": partial(conversions.account_of, root, ""),
        "exchange rates": partial(exchange.load, workspace.rates_path),
    }
    if snapshot is not None:
        reads["promise"] = partial(workspace.promise, snapshot)
    if (root / tokens.KEY_FILE).exists():
        reads["key of passes"] = partial(tokens.own_key, root)
    for path in sorted(workspace.networks.glob("*.toml")):
        reads[f"file of network {path.stem}"] = partial(
            networks.open_network, path.stem, workspace.networks
        )
    for part, read in reads.items():
        try:
            read()
        except Error as error:
            yield Check(part, "fail", error.message, error.hint)


def _networks(workspace: Workspace) -> Iterator[Check]:
    """Each network's money: when it was asked last, what it told that nobody could read, what waits."""
    calls = conversions.RefusedCalls(workspace.path / "refused_postbacks.log").counts()
    for state in pulls.states(workspace.db):
        part = f"network {state.network}"
        hint = f"run: lensback conversions pull {state.network}"
        if state.error:
            yield Check(part, "fail", f"the last pull ended with: {state.error}", hint)
        elif state.good_at is not None and int(time.time()) - state.good_at > STALE_S:
            days = (int(time.time()) - state.good_at) // 86_400
            yield Check(part, "warn", f"asked {counted(days, 'day')} ago", hint)
        elif state.good_at is not None:
            yield Check(part, "ok", f"asked {state.good}")
        for reason, count in state.refused.most_common(3):
            text = f"{counted(count, 'row')} refused: {reason}"
            yield Check(part, "warn", text, "lensback conversions refused shows them")
        mine = {k: n for k, n in calls.items() if k.startswith(f"{state.network}: ")}
        if mine:
            most = max(mine, key=mine.__getitem__).partition(": ")[2]
            text = f"{counted(sum(mine.values()), 'postback')} refused, most: {most}"
            yield Check(part, "warn", text, "lensback conversions refused shows them")
        if state.aside:
            text = f"{counted(state.aside, 'sale')} without a click: that commission waits aside"
            yield Check(part, "warn", text, "look for the click ids in the network's report")
        if state.review:
            text = f"{counted(state.review, 'sale')} under review: nothing is paid for now"
            yield Check(part, "warn", text, "lensback ledger review lists them")


def _journal(workspace: Workspace) -> Iterator[Check]:
    waiting = workspace.journal.waiting_bytes
    if waiting > workspace.settings.journal_max_bytes / 2:
        text = f"{waiting >> 20} MiB of clicks and postbacks wait for the database"
        yield Check("journal", "warn", text, "run: lensback ledger audit, which brings them in")
    refused = workspace.journal.refused
    if refused.is_file():
        text = f"sales that networks told of and the database refused are kept in {refused}"
        yield Check(
            "journal", "warn", text, "pull the networks' reports anew, then move that file away"
        )


def _backup(workspace: Workspace) -> Iterator[Check]:
    """Whether there is a second copy of what cannot be made again."""
    last = backup.last(workspace.path)
    if last is None:
        if copying.filled_tables(workspace.db, ("clicks", "conversions")):
            text = "none: clicks, sales and money are on this disk only"
            yield Check("backup", "warn", text, "run: lensback backup TO")
        return
    days = age_s(last.at) // 86_400
    old = age_s(last.at) > STALE_S
    text = f"{last.id}, {counted(days, 'day')} ago -> {last.place}"
    yield Check("backup", "warn" if old else "ok", text, "run: lensback backup" if old else "")
