"""Settings -> opened things: the only wiring. One directory is the whole service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING

from lensback import log
from lensback import settings as settings_module
from lensback.db import Database, presence, sqlite_url
from lensback.durable import (
    lock_file,
    make_private,
    make_private_folder,
    replace_file,
    what_mends,
)
from lensback.encoders import Encoder, open_encoder
from lensback.encoders.shelf import CALIBRATION_FILE, SHELF
from lensback.errors import ConfigError, Error, StateError
from lensback.images import ImageStore, shared, texts
from lensback.indexes import Index, open_index
from lensback.journal import Drained, Journal
from lensback.livefile import LiveFile, file_of
from lensback.net import Fetcher
from lensback.once import opened_once
from lensback.publish import ROWS_FILE
from lensback.rank import Calibration
from lensback.retry import retried
from lensback.settings import FILE_NAME, Settings
from lensback.types import Snapshot
from lensback.vectors import VectorStore

if TYPE_CHECKING:  # who only syncs loads nothing that searches
    from lensback.detectors import Detector
    from lensback.exchange import Rates
    from lensback.promise import Promise
    from lensback.search import CashbackBasis, Looks, Tools


class Workspace:
    """Opens what is asked for, once, and closes it all. Safe to share between threads."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.settings = settings
        self._encoders: dict[str, Encoder] = {}
        # One for each file: encoders are few.
        self._calibration_at = lru_cache(64)(_calibration_at)
        self._promise_at = lru_cache(64)(_promise_at)
        self._promises: dict[tuple[object, ...], tuple[Promise | None, str]] = {}
        self._lock, self._booked = Lock(), False

    @property
    def db_url(self) -> str:
        """The address of the database: that of the settings, else of an SQLite file in this folder."""
        return self.settings.database or sqlite_url(self.path / "catalogue.db")

    def begin_anew(self) -> None:
        """Makes an empty database where the last one was lost for good, or was left behind on
        purpose. Raises StateError where there is one with anything in it."""
        db = Database(self.db_url)
        try:
            if db.revision():
                raise StateError(
                    f"there is a database: {presence.place(self.db_url)}",
                    hint="lensback doctor looks at it",
                )
            db.migrate()
            presence.mark(self.db_url, self.path)
        finally:
            db.close()

    @opened_once
    def db(self) -> Database:
        """The database, opened and migrated when it is first asked for. Raises StateError where the
        workspace had one and it is lost."""
        url = self.db_url
        presence.check_there(url, self.path)
        if not self.settings.database and self.path.is_dir():
            make_private(self.path / "catalogue.db")  # SQLite gives its other files the same rights
        db = Database(url)
        try:
            if not (revision := db.revision()):
                presence.check_filled(url, self.path, revision)
            db.migrate()
            presence.mark(url, self.path)
        except BaseException:
            db.close()
            raise
        return db

    @opened_once
    def images(self) -> ImageStore:
        """The pictures of stores, kept in the workspace's folder."""
        return ImageStore(
            self.path / "images",
            max_bytes=self.settings.max_image_bytes,
            max_pixels=self.settings.max_image_pixels,
            by=shared(),
        )

    @opened_once
    def vectors(self) -> VectorStore:
        """The vectors of all pictures, by encoder."""
        return VectorStore(self.settings.vectors or self.path / "vectors")

    @opened_once
    def journal(self) -> Journal:
        """Where clicks, searches and postbacks wait for the database."""
        return Journal(self.path / "journal", self.settings.journal_max_bytes)

    def drain(self) -> Drained:
        """Brings the database to what the journal and the rules say. Raises Busy where it is locked."""
        from lensback import ledger

        renewed = 0 if self._booked else ledger.renew(self.db, at=int(time.time()))
        self._booked = True
        aside, rates = self.journal.set_aside, self.known_rates
        done = self.journal.drain(lambda records: ledger.apply(self.db, records, aside, rates))
        if done.records or renewed:
            ledger.remember(self.db, self.path)
        return done

    @opened_once
    def fetcher(self) -> Fetcher:
        """The only way out to the network, with the settings' limits."""
        s = self.settings
        return Fetcher(
            allow_hosts=s.allow_hosts,
            user_agent=s.user_agent,
            timeout_s=s.timeout_s,
            retries=s.retries,
            min_rate=s.min_rate,
        )

    @opened_once
    def photo_fetcher(self) -> Fetcher:
        """The way to pictures whose addresses shoppers give: shorter, once, into no network of ours."""
        s = self.settings
        return Fetcher(
            allow_hosts=s.photo_hosts,
            user_agent=s.user_agent,
            timeout_s=min(5.0, s.timeout_s),
            retries=0,
            max_redirects=3,
            min_rate=s.min_rate,
        )

    @opened_once
    def detector(self) -> Detector:
        """The detector that the settings name. Raises ConfigError where it cannot be opened."""
        from lensback.detectors import open_detector

        return open_detector(self.settings.detector, self.detectors, threads=self.settings.threads)

    @opened_once
    def detector_of_many(self) -> Detector:
        """The detector of the settings, for as many photos at once as there are processors: each is looked at on one
        thread, which takes less of all processors than one photo after another on every thread. OpenVINO's threads
        are those of all photos together: there it is the one of a search."""
        from lensback.detectors import open_detector
        from lensback.session.compiled import PREFIX

        name = self.settings.detector
        if name.startswith(PREFIX):
            return self.detector
        return open_detector(name, self.detectors, threads=1)

    @opened_once
    def looks(self) -> Looks:
        """Photos searched just now."""
        from lensback.search import Looks

        return Looks(self.settings.photo_memory_s)

    @opened_once
    def index(self) -> Index:
        """The published index, for reading."""
        return open_index(self.settings.index, self.path / "index")

    @property
    def models(self) -> Path:
        """Folder of the encoders added here."""
        return self.path / "models"

    @property
    def detectors(self) -> Path:
        """Folder of the detectors added here."""
        return self.path / "detectors"

    @property
    def networks(self) -> Path:
        """Folder of the networks added or changed here."""
        return self.path / "networks"

    @property
    def rows_path(self) -> Path:
        """File of how many rows each store has in the published index."""
        return self.path / ROWS_FILE

    @property
    def rates_path(self) -> Path:
        """File of the exchange rates that the last sync read."""
        return self.path / "rates.json"

    @property
    def rates(self) -> Rates | None:
        """Exchange rates that are fresh enough to estimate money by."""
        from lensback.exchange import usable

        return usable(self.known_rates, self.settings.rates_max_age_days)

    @property
    def known_rates(self) -> Rates | None:
        """The rates of the last sync, of whatever day: they tell when an amount is far too large."""
        from lensback import exchange

        try:
            return exchange.load(self.rates_path)
        except Error as error:  # then amounts of other currencies are not estimated
            log.event("no rates", 30, message=error.message)
            return None

    @property
    def cashback(self) -> CashbackBasis:
        """What cashback is estimated from: the workspace's networks, and today's exchange rates."""
        from lensback.search import CashbackBasis

        return CashbackBasis(self.networks, self.rates)

    @property
    def keys_path(self) -> Path:
        """File of the API keys' hashes."""
        return self.path / "keys.json"

    @property
    def spool(self) -> Path:
        """Folder of feeds on their way in; safe to delete while no sync runs."""
        return self.path / "spool"

    def staging(self, encoder: Encoder) -> Index:
        """The index to write, for vectors of this encoder."""
        return open_index(
            self.settings.index,
            self.path / "index",
            fingerprint=encoder.fingerprint,
            dim=encoder.dim,
            min_recall=self.settings.min_recall,
        )

    def encoder(self, name: str = "", *, deferred: bool = False) -> Encoder:
        """An encoder by name, the one of the settings by default; opened once. `deferred`: its model is
        loaded only when a picture comes."""
        name = name or self.settings.encoder
        with self._lock:
            if name not in self._encoders:
                threads = self.settings.threads
                self._encoders[name] = open_encoder(
                    name, self.models, threads=threads, deferred=deferred
                )
            return self._encoders[name]

    def _encoder_of(self, snapshot: Snapshot) -> Encoder:
        """The snapshot's encoder; opened anew where another one has taken its name since."""
        encoder = self.encoder(snapshot.encoder)
        if encoder.fingerprint != snapshot.fingerprint:
            with self._lock:
                self._encoders.pop(snapshot.encoder, None)
            encoder = self.encoder(snapshot.encoder)
        return encoder

    def calibration(self, fingerprint: str) -> Calibration | None:
        """The calibration fitted for an encoder on this catalogue, if there is one."""
        return self._calibration_at(self.calibration_path(fingerprint)).get()

    def calibration_of(self, encoder: Encoder) -> Calibration | None:
        """The one fitted on this catalogue, else the one that came with the encoder: that is of
        its training's pictures, and better than none while there are few here."""
        own = self.calibration(encoder.fingerprint)
        path = SHELF.beside_model(encoder.name, self.models, CALIBRATION_FILE)
        came = self._calibration_at(path).get() if path and not own else None
        return came if came and came.fingerprint == encoder.fingerprint else own

    def calibration_path(self, fingerprint: str) -> Path:
        """File of the calibration that belongs to this encoder."""
        return self.path / "calibration" / f"{fingerprint}.json"

    def promise_path(self, fingerprint: str) -> Path:
        """File of the promise that was certified for this encoder."""
        return self.path / "calibration" / f"{fingerprint}.promise.json"

    def promise(self, snapshot: Snapshot) -> tuple[Promise | None, str]:
        """The promise of "exact" that holds for a snapshot, or None and why there is none."""
        promise = self._promise_at(self.promise_path(snapshot.fingerprint)).get()
        if promise is None:
            return None, "nothing was promised yet"
        calibration = self.calibration(snapshot.fingerprint)
        key = (snapshot.id, promise, calibration)
        if key not in self._promises:
            self._promises = {key: self._checked_promise(promise, snapshot, calibration)}
        return self._promises[key]

    def _checked_promise(
        self, promise: Promise, snapshot: Snapshot, calibration: Calibration | None
    ) -> tuple[Promise | None, str]:
        from lensback.catalogue.sketch import smallest_images
        from lensback.promise import SKETCH, check

        try:
            check(
                promise,
                fingerprint=snapshot.fingerprint,
                calibration=calibration.digest if calibration else "",
                catalogue=smallest_images(self.db, snapshot.fingerprint, SKETCH),
            )
        except StateError as error:
            return None, error.message
        return promise, ""

    def tools(self) -> Tools:
        """What one search needs, for the snapshot that is published now.

        The snapshot names its encoder: after `encoder use`, searches go on with the old one
        until the new index is there.
        """
        from lensback.search import Tools

        snapshot = self.index.snapshot
        if snapshot is None:
            raise StateError("nothing is published yet", hint="run: lensback sync")
        if not snapshot.rows:
            raise StateError("the index is empty", hint="run: lensback doctor")
        s = self.settings
        promise, no_promise = self.promise(snapshot)
        encoder = self._encoder_of(snapshot)
        return Tools(
            db=self.db,
            index=self.index,
            snapshot=snapshot,
            encoder=encoder,
            detector=self.detector,
            calibration=self.calibration_of(encoder),
            exact_precision=s.exact_precision,
            candidates=s.candidates,
            currency=s.currency,
            max_bytes=s.max_image_bytes,
            max_pixels=s.max_image_pixels,
            promise=promise,
            no_promise=no_promise,
            cashback=self.cashback,
            looks=self.looks,
            decode=shared(),
            codes=shared().codes if s.codes else None,
            texts=shared().texts if texts.wanted(s.ocr) else None,
            text_wait_s=s.ocr_wait_ms / 1000,
        )

    @opened_once
    def trial(self) -> Workspace | None:
        """The workspace whose encoder is on trial, if one is."""
        folder = self.settings.trial_workspace
        return open_workspace(Path(folder)) if folder else None

    def trial_tools(self) -> Tools:
        """What a search on trial needs: the other workspace's encoder, index and calibration, our
        offers and cashback. Raises ConfigError, StateError where that one is not ready."""
        if self.trial is None:
            raise StateError("no encoder is on trial", hint="set trial_workspace")
        own = self.tools()
        return replace(self.trial.tools(), db=own.db, currency=own.currency, cashback=own.cashback)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One sync at a time. The lock goes with the process, however it ends.

        On PostgreSQL several work at once, and each claims what it works on. Waits for one that is
        just now starting.
        """
        if retried(lambda: self.db).shared:
            yield
            return
        try:
            file = (self.path / ".lock").open("a+")
        except OSError as error:
            raise StateError(
                f"cannot write {self.path}: {error.strerror}", hint=what_mends(error)
            ) from error
        with lock_file(
            file, "another sync works on this workspace", "wait for it to end, or stop it"
        ):
            yield

    def close(self) -> None:
        """Closes everything that was opened, the encoder on trial included."""
        opened = vars(self)
        for name in ("trial", "journal", "fetcher", "photo_fetcher", "db"):
            if opened.get(name) is not None:
                opened[name].close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def init(path: Path) -> bool:
    """Makes a workspace with a commented `lensback.toml`; False where there was one."""
    file = path / FILE_NAME
    if file.exists():
        return False
    try:
        make_private_folder(path)
        text = settings_module.template()
        replace_file(file, lambda partial: partial.write_text(text, "utf-8"), private=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}", hint=what_mends(error, "use another folder")
        ) from error
    return True


def open_workspace(path: Path) -> Workspace:
    """Opens a workspace. Raises ConfigError where there is none, or its settings are wrong."""
    if not (path / FILE_NAME).exists():
        raise settings_module.none_at(path)
    return Workspace(path, settings_module.load(path))


def write_atomically(path: Path, text: str, *, private: bool = False) -> None:
    """The old file or the new one, never half of it, whatever happens; `private`: for its owner alone."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda partial: partial.write_text(text, "utf-8"), private=private)
    except OSError as error:
        raise StateError(
            f"cannot write {path}: {error.strerror}", hint=what_mends(error)
        ) from error


def save_calibration(workspace: Workspace, calibration: Calibration) -> Path:
    """Keeps a calibration for its encoder."""
    return _save(workspace.calibration_path(calibration.fingerprint), calibration)


def save_promise(workspace: Workspace, promise: Promise) -> Path:
    """Keeps a promise beside the calibration whose probabilities it is about."""
    return _save(workspace.promise_path(promise.fingerprint), promise)


def _save(path: Path, fitted: Calibration | Promise) -> Path:
    write_atomically(path, json.dumps(fitted.as_json(), indent=2) + "\n")
    return path


def _promise_at(path: Path) -> LiveFile[Promise | None]:
    from lensback.promise import Promise

    return file_of(Promise, path, "run: lensback promise")


def _calibration_at(path: Path) -> LiveFile[Calibration | None]:
    return file_of(Calibration, path, "run: lensback calibrate")


def set_setting(path: Path, name: str, value: str) -> None:
    """Writes one string setting into `lensback.toml`, keeping the rest of the file."""
    file = path / FILE_NAME
    lines = file.read_text("utf-8").splitlines()
    line = f"{name} = {json.dumps(value, ensure_ascii=False)}"
    at = [i for i, text in enumerate(lines) if text.split("=")[0].strip(" #") == name]
    at.sort(key=lambda i: lines[i].startswith("#"))  # the line that counts, before a comment
    if at:
        lines[at[0]] = line
    else:
        lines.append(line)
    write_atomically(file, "\n".join(lines) + "\n", private=True)
