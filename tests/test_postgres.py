"""What only a server that several processes share can do wrong: tried on a real PostgreSQL."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import func, insert, select, update

from lensback import doctor
from lensback.catalogue import pictures, stores
from lensback.db import HEAD, PARTS, Database
from lensback.db import tables as t
from lensback.errors import Away, BadQuery, Busy, ConfigError, StateError
from lensback.retry import retried
from lensback.settings import Settings
from lensback.workspace import Workspace
from servers import Postgres, free_port


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.url(postgres.database("migrated"))


@pytest.fixture
def shared(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def own() -> Iterator[Postgres]:
    """A server of this test alone, to be stopped and killed."""
    server = Postgres()
    server.start()
    yield server
    server.close()


def store(name: str) -> dict[str, object]:
    return {"name": name, "title": "", "base": "", "created_at": 0}


def test_both_ways_of_writing_the_url(url: str) -> None:
    database = Database(url.replace("postgresql+psycopg:", "postgresql:"))
    assert database.shared
    assert database.revision() == HEAD
    database.close()
    with pytest.raises(ConfigError):
        Database(url.replace("+psycopg", "+nonsense"))


def test_several_migrate_at_once(postgres: Postgres) -> None:
    url = postgres.url(postgres.database())
    program = f"from lensback.db import Database; Database({url!r}).migrate()"
    started = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait(240) for process in started] == [0, 0, 0]
    database = Database(url)
    assert database.revision() == HEAD
    database.close()


@pytest.mark.parametrize("count", [3, 3000])
def test_upsert_of_few_and_of_many(shared: Database, count: int) -> None:
    """Few go as statements, many by COPY: the outcome is the same."""
    rows = [store(f"s{n}") | {"title": 'tab\t, "quoted", \\N, Тест'} for n in range(count)]
    with shared.write() as c:
        shared.upsert(c, t.stores, rows, ["name"])
        shared.upsert(c, t.stores, [row | {"title": "kept"} for row in rows], ["name"])
        known = set(c.scalars(select(t.stores.c.title)))
        assert known == {'tab\t, "quoted", \\N, Тест'}
        shared.upsert(c, t.stores, [row | {"title": "new"} for row in rows], ["name"], ["title"])
        assert set(c.scalars(select(t.stores.c.title))) == {"new"}
        twice = [*rows, rows[0] | {"title": "last"}]
        shared.upsert(c, t.stores, twice, ["name"], ["title"])
        first = select(t.stores.c.title).where(t.stores.c.name == "s0")
        assert c.execute(first).scalar_one() == "last"
        assert c.execute(select(func.count()).select_from(t.stores)).scalar_one() == count


def test_copy_fills_in_defaults_and_writes_json(shared: Database) -> None:
    with shared.write() as c:
        urls = [{"url": f"https://s.example/{n}"} for n in range(200)]
        shared.upsert(c, t.image_urls, urls, ["url"])
        u = t.image_urls.c
        assert set(c.execute(select(u.status, u.attempts, u.image_hash))) == {("new", 0, None)}
        c.execute(insert(t.stores), [store("s")])
        key = c.execute(select(t.stores.c.id)).scalar_one()
        terms = {"rate": 0.5, "names": ["ä", None]}
        rows = [
            {"id": n, "store_id": key, "network": "", "terms": terms, "created_at": n}
            for n in range(150)
        ]
        shared.upsert(c, t.programs, rows, ["id"], ["terms"])
        assert c.execute(select(t.programs.c.terms).limit(1)).scalar_one() == terms


def test_a_value_the_server_cannot_hold_is_the_callers_fault(shared: Database) -> None:
    for name in ("nul\0", "x" * 81):
        with pytest.raises(BadQuery), shared.write() as c:
            c.execute(insert(t.stores), [store(name)])
    with shared.read() as c:
        assert c.execute(select(t.stores)).all() == []


def test_a_read_sees_one_state_and_writes_nothing(shared: Database) -> None:
    count = select(func.count()).select_from(t.stores)
    with shared.read() as c:
        assert c.execute(count).scalar_one() == 0
        with shared.write() as other:
            other.execute(insert(t.stores), [store("late")])
        assert c.execute(count).scalar_one() == 0
    with shared.read() as c:
        assert c.execute(count).scalar_one() == 1
    with pytest.raises(StateError), shared.read() as c:
        c.execute(insert(t.stores), [store("x")])


def test_folding_knows_more_than_ascii(shared: Database, postgres: Postgres) -> None:
    assert shared.folds()
    plain = Database(postgres.url(postgres.database(options="LOCALE 'C'")))
    assert not plain.folds()
    plain.close()


@pytest.mark.parametrize(
    ("setting", "told"),
    [("on", ""), ("remote_apply", ""), ("off", "synchronous_commit = off"),
     ("local", "synchronous_commit = local")],
)  # fmt: skip
def test_a_server_that_answers_before_its_disk_is_told(
    postgres: Postgres, tmp_path: Path, setting: str, told: str
) -> None:
    name = postgres.database("migrated")
    postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = {setting}")
    with Workspace(tmp_path, Settings(database=postgres.url(name))) as workspace:
        assert workspace.db.careless() == told
        warned = [c for c in doctor._database(workspace) if c.state == "warn"]
        assert [check.message for check in warned] == ([told] if told else [])
        assert all("ALTER DATABASE" in check.hint for check in warned)


# --- claims ---


def test_a_name_is_held_once(shared: Database, url: str) -> None:
    other = Database(url)
    with shared.claims() as mine:
        assert mine.take("a")
        with other.claims() as theirs:
            assert not theirs.take("a")
            assert theirs.take("b")
        assert mine.take("b")
    with other.claims() as theirs:
        assert theirs.take("a")
    other.close()


def test_a_killed_process_holds_nothing(shared: Database, url: str) -> None:
    program = (
        f"import time; from lensback.db import Database\n"
        f"with Database({url!r}).claim('a'):\n    print('held', flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    assert child.stdout.readline() == "held\n"
    with shared.claims() as mine:
        assert not mine.take("a")
    child.kill()
    child.wait()
    child.stdout.close()
    with shared.claim("a"):
        pass


def test_parts_are_shared_out_and_what_was_taken_comes_later(shared: Database, url: str) -> None:
    other = Database(url)
    with other.claims() as theirs:
        assert theirs.take("stage 3")
        assert theirs.take("stage 7")
        rounds = shared.rounds("stage")
        first = sorted(part.number for part in next(rounds))
        assert first == [n for n in range(PARTS) if n not in {3, 7}]
    later = [[part.number for part in parts] for parts in rounds]
    assert later == [[3], [7]]
    other.close()


def test_two_processes_share_a_to_do_and_do_nothing_twice(shared: Database, url: str) -> None:
    with shared.write() as c:
        key = stores.add(shared, "s", "x").id
        urls = [{"url": f"https://s.example/{n}"} for n in range(500)]
        shared.upsert(c, t.image_urls, urls, ["url"])
        offer = {column.name: "" for column in t.offers.c if isinstance(column.type, t.Text)}
        offer |= {"offer_id": "o", "store_id": key, "price_minor": 1, "currency": "USD",
                  "availability": "in_stock", "content_hash": "", "created_at": 0, "updated_at": 0,
                  "gtin": "", "gender": "", "age_group": "", "condition": "new"}  # fmt: skip
        c.execute(insert(t.offers).values(**offer))
        offer_key = c.execute(select(t.offers.c.id)).scalar_one()
        keys = list(c.scalars(select(t.image_urls.c.id)))
        shown = [
            {"offer_id": offer_key, "position": n, "image_url_id": k} for n, k in enumerate(keys)
        ]
        c.execute(insert(t.offer_images), shown)
    done: list[list[int]] = [[], []]
    both = threading.Barrier(2)

    def work(number: int) -> None:
        database = Database(url)
        for parts in database.rounds("download"):
            for part in parts:
                if not done[number]:
                    both.wait(120)  # neither is done before the other begins
                for item in pictures.to_download(database, (), part):
                    done[number].append(item.id)
                    with database.write() as c:
                        c.execute(update(t.image_urls).where(t.image_urls.c.id == item.id)
                                  .values(status="ok"))  # fmt: skip
        database.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done[0] + done[1]) == sorted(keys)
    assert all(done), "both had something to do"


# --- the server goes away ---


def test_nobody_there() -> None:
    database = Database(f"postgresql+psycopg://x@127.0.0.1:{free_port()}/x")
    with pytest.raises(Away) as caught:
        database.migrate()
    assert caught.value.hint
    assert "127.0.0.1" not in caught.value.message


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
def test_a_restart_costs_what_was_under_way_and_nothing_else(
    own: Postgres, how: signal.Signals
) -> None:
    database = Database(own.url("postgres"))
    database.migrate()
    with pytest.raises(Away), database.write() as c:  # noqa: PT012 - one transaction
        c.execute(insert(t.stores), [store("lost")])
        own.stop(how)
        c.execute(insert(t.stores), [store("too late")])
    with pytest.raises(Away):
        stores.names(database)
    with pytest.raises(Away), database.claims():
        pass
    later = threading.Timer(1.0, own.start)
    later.start()
    assert retried(lambda: stores.names(database), for_s=240) == []
    later.join()
    stores.add(database, "kept", "x")
    own.stop(how)
    own.start()
    assert stores.names(database) == ["kept"], "idle connections are tried before they are used"
    database.close()


def test_claims_end_quietly_when_the_server_is_gone(own: Postgres) -> None:
    database = Database(own.url("postgres"))
    with database.claims() as mine:
        assert mine.take("a")
        own.stop()
    database.close()


def test_waiting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now, tries = [0.0], []

    def fail() -> None:
        tries.append(now[0])
        raise Away("gone")

    def wait(seconds: float) -> None:
        now[0] += seconds

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=wait)
    monkeypatch.setattr("lensback.retry.time", clock)

    with pytest.raises(Away):
        retried(fail, for_s=0.5)
    assert tries == pytest.approx([0.0, 0.1, 0.3])
    with pytest.raises(Busy):
        retried(lambda: (_ for _ in ()).throw(Busy("no")), for_s=0.5)


def test_a_deadlock_is_away_and_the_next_try_succeeds(shared: Database, url: str) -> None:
    stores.add(shared, "a", "x")
    stores.add(shared, "b", "x")
    meet = threading.Barrier(2)

    def change(first: str, second: str) -> None:
        mine, tries = Database(url), []

        def work() -> None:
            tries.append(1)
            with mine.write() as c:
                for name in (first, second):
                    c.execute(update(t.stores).where(t.stores.c.name == name).values(title=first))
                    if len(tries) == 1 and name == first:
                        meet.wait(120)

        retried(work, for_s=240)
        mine.close()
        counts.append(len(tries))

    counts: list[int] = []
    threads = [threading.Thread(target=change, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert sorted(counts) == [1, 2], "one of the two was given up and tried again"
