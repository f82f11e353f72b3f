"""What use teaches: votes, purchases and clicks of members, whom nobody bends, and what is forgotten again."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select, text, update
from typer.testing import CliRunner

from lensback import grants, ledger, lessons, people
from lensback.catalogue import offers, pictures, products, stores
from lensback.catalogue.pictures import Downloaded
from lensback.cli import app
from lensback.db import Database, sqlite_url
from lensback.db import tables as t
from lensback.errors import DataError, Error
from lensback.group import group
from lensback.journal import Record
from lensback.lessons import fair
from lensback.questions import Outcome
from lensback.rank import Calibration
from lensback.settings import Settings
from lensback.tokens import digest
from lensback.train import corrected as correcting
from lensback.train import from_use
from lensback.train.corrected import corrected
from lensback.train.from_use import leading_first, learnt_map, train_from_use
from lensback.types import Conversion, ImageInfo, Money, Offer, Vectors
from lensback.vectors import VectorStore
from lensback.web import create_app, users
from lensback.workspace import Workspace, init
from published import publish
from revisions import database_at
from servers import Postgres

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

NOW, DAY = 1_760_000_000, 86_400
PRINT, DIM, THINGS, LIGHTS = "e" * 16, 48, 40, 6
HOST_KEY = "k" * 40


def unit(rows: Any) -> Vectors:
    found = np.asarray(rows, np.float32)
    return found / np.linalg.norm(found, axis=-1, keepdims=True)


@dataclass
class Shop:
    """A catalogue of THINGS products with two pictures each, and what members did with answers. How photos
    differ from pictures: by light, which lies in LIGHTS directions, or in every direction alike."""

    db: Database
    folder: Path
    store: VectorStore
    products: list[str] = field(default_factory=list)
    centres: Vectors = field(default_factory=lambda: np.zeros((0, DIM), np.float32))
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    count: int = 0
    waiting: list[Record] = field(default_factory=list)

    def photo(self, thing: int, *, lit: bool = True) -> Vectors:
        light = np.zeros(DIM)
        if lit:
            light[:LIGHTS] = self.random.normal(0, 1.1, LIGHTS)
        return unit(self.centres[thing] + light + self.random.normal(0, 0.06, DIM))[None]

    def answer(self, vectors: Vectors, shown: list[str], **filters: str) -> str:
        """An answer that showed these products, its vectors kept."""
        self.count += 1
        search_id = f"{self.count:016x}"
        body = {
            "search_id": search_id, "at": NOW, "source": "page", "encoder": PRINT, "snapshot": "s", "verdict": "similar",
            "probability": 0.5, "similarity": 0.5, "latency_ms": 5.0, "shown": len(shown),
            "hits": [[one, [f"o{one[1:]}"], n, 0.5] for n, one in enumerate(shown, 1)],
            "filters": filters, "photo": {}, "variant": "",
        }  # fmt: skip
        seen = ledger.vectors_body(search_id, NOW, PRINT, vectors)
        self.waiting += [Record("search", body), Record("vectors", seen)]
        return search_id

    def vote(self, search_id: str, product: str, who: str, vote: int = 1) -> None:
        voter = grants.owner_of(self.folder, who) if who else ""
        body = ledger.feedback_body(search_id, product, vote, NOW + self.count, voter)
        self.waiting.append(Record("feedback", body))

    def click(self, search_id: str, product: str, who: str, status: str = "") -> None:
        click_id = f"c{self.count}{product[:6]}"
        body = {
            "click_id": click_id, "at": NOW, "source": "go", "offer_id": f"o{product[1:]}", "product_id": product,
            "store": "s", "search_id": search_id, "network": "generic", "program_id": "",
            "terms": {"share": "0.5", "currency": "EUR"}, "price_minor": 1000, "currency": "EUR",
            "estimate_minor": 50, "user_token": who,
        }  # fmt: skip
        records = [Record("click", body)]
        if status:
            news = Conversion(
                network="generic", external_id=click_id, status=status, subid=click_id,  # type: ignore[arg-type]
                commission=Money(100, "EUR"), changed_at=NOW,
            )  # fmt: skip
            records.append(Record("news", ledger.news_body(news, at=NOW, source="postback")))
        self.waiting += records

    def written(self) -> None:
        """Brings what was done into the database."""
        ledger.apply(self.db, self.waiting)
        self.waiting.clear()

    def taught(self) -> lessons.Lessons:
        self.written()
        return lessons.lessons(self.db, self.folder, PRINT)

    def learnt(self, members: int = 30, each: int = 5, *, lit: bool = True) -> None:
        """Every member votes on answers to photos of some things."""
        for member in range(members):
            for n in range(each):
                thing = (member * 7 + n * 3) % THINGS
                product = self.products[thing]
                self.vote(
                    self.answer(self.photo(thing, lit=lit), [product]),
                    product,
                    f"member-{member:04d}",
                )


def made(folder: Path, url: str = "") -> Shop:
    """The shop in a workspace's folder."""
    init(folder)
    db = Database(url or sqlite_url(folder / "catalogue.db"))
    db.migrate()
    key = stores.add(db, "s", "https://s.example").id
    rows = [
        Offer(
            f"{n}",
            title=f"Thing {n}",
            url="https://s.example/x",
            price=Money(1000, "EUR"),
            image_urls=tuple(f"https://s.example/{2 * n + view + 1:064x}" for view in (0, 1)),
        )
        for n in range(THINGS)
    ]
    with db.write() as c:
        offers.write_batch(db, c, key, "s", rows, offers.SeenIds())
    todo = list(pictures.to_download(db))
    infos = [ImageInfo(url.url.split("/")[-1], 9, 9, 9, "image/png", 0) for url in todo]
    pictures.record_downloads(db, [Downloaded(*pair) for pair in zip(todo, infos, strict=True)])
    pictures.record_embeddings(db, PRINT, {info.hash: "" for info in infos})
    group(db)
    shop = Shop(db, folder, VectorStore(folder / "vectors"))
    shop.centres = unit(shop.random.normal(0, 1, (THINGS, DIM)))
    with db.read() as c:
        views = products.views(c, PRINT)
    of = {hashes[0]: name for name, hashes in views.items()}
    shop.products = [of[f"{2 * n + 1:064x}"] for n in range(THINGS)]
    hashes = [f"{2 * n + view + 1:064x}" for n in range(THINGS) for view in (0, 1)]
    near = shop.centres.repeat(2, axis=0) + shop.random.normal(0, 0.02, (2 * THINGS, DIM))
    shop.store.append(PRINT, hashes, unit(near))
    return shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    found = made(tmp_path / "workspace")
    yield found
    found.db.close()


# ---- what is a lesson


def test_what_members_did_with_an_answer_is_a_lesson_and_nobody_else_s(shop: Shop) -> None:
    a, b, c, d = shop.products[:4]
    seen = shop.answer(shop.photo(0), [a, b, c, d])
    shop.vote(seen, a, "member-0001")
    shop.vote(seen, b, "member-0001", -1)
    shop.click(seen, c, "member-0002")
    shop.click(seen, d, "member-0003", "approved")
    stranger = shop.answer(shop.photo(1), [b])
    shop.vote(stranger, b, "")  # a browser without a pass
    shop.click(stranger, b, "")
    # Of three members none has less than a twentieth: nothing may be learnt of them.
    assert shop.taught().taught == ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lessons, "SHARE", 1.0)
        found = {(x.product, x.by, x.right) for x in shop.taught().taught}
    assert found == {(a, "vote", True), (b, "vote", False), (c, "click", True), (d, "purchase", True)}  # fmt: skip


@pytest.fixture
def loose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few members may teach."""
    monkeypatch.setattr(lessons, "SHARE", 1.0)


@pytest.mark.usefixtures("loose")
@pytest.mark.parametrize(
    ("status", "by"),
    [("pending", "click"), ("approved", "purchase"), ("paid", "purchase"), ("declined", "click")],
)
def test_only_a_sale_that_the_store_confirmed_is_a_purchase(
    shop: Shop, status: str, by: str
) -> None:
    product = shop.products[0]
    shop.click(shop.answer(shop.photo(0), [product]), product, "member-0001", status)
    assert [x.by for x in shop.taught().taught] == [by]


@pytest.mark.usefixtures("loose")
def test_what_contradicts_itself_teaches_nothing(shop: Shop) -> None:
    product = shop.products[0]
    seen = shop.answer(shop.photo(0), [product])
    shop.vote(seen, product, "member-0001", -1)
    shop.click(seen, product, "member-0002")
    assert shop.taught() == lessons.Lessons((), {"contradicted": 1})


@pytest.mark.usefixtures("loose")
def test_who_says_no_and_looks_all_the_same_said_no(shop: Shop) -> None:
    product = shop.products[0]
    seen = shop.answer(shop.photo(0), [product])
    shop.click(seen, product, "member-0001")
    shop.vote(seen, product, "member-0001", -1)
    assert [(x.by, x.right) for x in shop.taught().taught] == [("vote", False)]


@pytest.mark.usefixtures("loose")
@pytest.mark.parametrize(("filters", "count"), [({"color": "green"}, 0), ({"words": "Nike"}, 0), ({"price_max": "9"}, 1)])  # fmt: skip
def test_an_answer_to_something_else_teaches_nothing(
    shop: Shop, filters: Mapping[str, str], count: int
) -> None:
    product = shop.products[0]
    shop.vote(shop.answer(shop.photo(0), [product], **filters), product, "member-0001")
    assert len(shop.taught().taught) == count


@pytest.mark.usefixtures("loose")
def test_one_member_says_one_thing_of_one_product(shop: Shop) -> None:
    product = shop.products[0]
    for _ in range(3):
        shop.vote(shop.answer(shop.photo(0), [product]), product, "member-0001")
    known = shop.taught()
    assert (len(known.taught), known.left_out) == (1, {"again": 2})
    assert known.taught[0].search_id == f"{shop.count:016x}", "the newest"


@pytest.mark.usefixtures("loose")
def test_vectors_of_another_encoder_are_no_lesson(shop: Shop) -> None:
    product = shop.products[0]
    shop.vote(shop.answer(shop.photo(0), [product]), product, "member-0001")
    shop.written()
    assert lessons.lessons(shop.db, shop.folder, "f" * 16).taught == ()


def test_vectors_come_back_as_they_were(shop: Shop) -> None:
    shop.learnt(members=20, each=1)
    photo = shop.photo(3)
    two = np.concatenate([photo, -photo])
    product = shop.products[3]
    shop.vote(shop.answer(two, [product]), product, "member-9999")
    found = next(x for x in shop.taught().taught if len(x.vectors) == 2)
    assert np.allclose(found.vectors, two, atol=1e-3)


# ---- nobody bends it


@pytest.mark.parametrize("mine", [1, 20, 400])
def test_no_member_and_no_product_is_more_than_a_twentieth(mine: int) -> None:
    rows = [("attacker", f"p{n}") for n in range(mine)]
    rows += [(f"gang-{n}", "p0") for n in range(mine)]
    rows += [(f"member-{n % 50}", f"q{n % 37}") for n in range(200)]
    kept = fair(rows, lambda one: one, lessons.SHARE)
    for place in (0, 1):
        most = max(Counter(one[place] for one in kept).values())
        assert most <= lessons.SHARE * len(kept)
    assert len(kept) > 150, "the others are still heard"


def test_too_few_members_leave_nothing() -> None:
    assert (
        fair([(f"member-{n % 19}", f"p{n}") for n in range(500)], lambda one: one, lessons.SHARE)
        == []
    )


def test_a_member_who_floods_pushes_nobody_out(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "MOST", 130)
    monkeypatch.setattr(lessons, "MOST_OF_ONE", 10)
    shop.learnt(members=24)
    for n in range(THINGS):
        for _ in range(4):
            shop.vote(shop.answer(shop.photo(n), [shop.products[n]]), shop.products[n], "attacker")
    people_of = Counter(one.person for one in shop.taught().taught)
    assert len(people_of) == 25


def test_an_attacker_s_votes_move_the_map_by_little(shop: Shop) -> None:
    """One member says of three hundred photos of one thing that they show others."""
    shop.learnt()
    honest = shop.taught()
    shown = from_use._shown(shop.store, PRINT, _views(shop), [x.product for x in honest.taught], 0)
    before = learnt_map(honest.taught, shown)
    for n in range(300):
        wrong = shop.products[1 + n % (THINGS - 1)]
        shop.vote(shop.answer(shop.photo(0), [wrong]), wrong, "attacker")
    bent = shop.taught()
    own = grants.owner_of(shop.folder, "attacker")
    assert 0 < sum(x.person == own for x in bent.taught) <= lessons.SHARE * len(bent.taught)
    after = learnt_map(bent.taught, shown)
    assert np.linalg.norm(after - before) < 0.05 * np.linalg.norm(before)
    photos = np.concatenate([shop.photo(0) for _ in range(40)])

    def found(turn: Vectors) -> float:
        best = from_use._mapped(shown.gallery, turn).best(from_use._turned(photos, turn))
        return float(np.mean(best.argmax(axis=1) == shown.gallery.products.index(shop.products[0])))

    assert found(after) >= found(before) - 0.05


def test_clicks_of_many_leave_no_room_for_one_member_s_votes(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is learnt from is fewer than all lessons: the map takes no vote against, and clicks by a fifth."""
    monkeypatch.setattr(from_use, "_write", lambda *args: None)
    for member in range(60):
        for n in range(15):
            thing = (member * 7 + n * 3) % THINGS
            product = shop.products[thing]
            shop.click(shop.answer(shop.photo(thing), [product]), product, f"member-{member:04d}")
    for member in range(60, 100):
        product = shop.products[member % THINGS]
        seen = shop.answer(shop.photo(member % THINGS), [product])
        shop.vote(seen, product, f"member-{member:04d}", 1 if member < 85 else -1)
    for n, wrong in enumerate(shop.products):
        shop.vote(shop.answer(shop.photo((n + 1) % THINGS), [wrong]), wrong, "attacker")
    taught = shop.taught().taught
    own = grants.owner_of(shop.folder, "attacker")
    said = [one for one in taught if one.by == "vote"]
    assert 0 < sum(one.person == own for one in said) <= lessons.SHARE * len(said)
    done = train_from_use(shop.db, shop.store, Path("eye"), PRINT, taught, shop.folder / "out")
    # 25 members said yes: one more vote is a twentieth of that, and all clicks are worth 180.
    assert lessons.PEOPLE < done.by["vote"] <= 26
    assert done.by["click"] > 500


def test_one_member_s_votes_do_not_move_the_probability() -> None:
    honest = votes(200, 0.15)
    flood = [Outcome(similarity=0.42, margin=0.02, first_right=True, first=f"p{n}", cluster="attacker") for n in range(200)]  # fmt: skip
    plain, bent = corrected(MADE, honest, 0.95), corrected(MADE, [*flood, *honest], 0.95)
    assert plain.gained
    assert bent.votes - plain.votes <= lessons.SHARE * bent.votes
    free = correcting._moved(MADE, [*flood, *honest])
    before, after, worst = (one.probability(0.42, 0.02) for one in (plain.calibration, bent.calibration, free))  # fmt: skip
    assert after - before < (worst - before) / 3


@pytest.mark.usefixtures("loose")
def test_a_product_that_is_not_on_sale_any_more_is_no_evidence_against(shop: Shop) -> None:
    """A product is named by one of its offers: where that one ends the same thing has another name."""
    for thing in (0, 1):
        product = shop.products[thing]
        shop.vote(shop.answer(shop.photo(thing), [product]), product, "member-0001")
    taught = shop.taught().taught

    def judged() -> set[str]:
        return {one.product for one in lessons.outcomes(shop.db, shop.store, PRINT, taught)}

    assert judged() == set(shop.products[:2])
    ended = update(t.offers).where(t.offers.c.product_id == shop.products[0]).values(active=False)
    with shop.db.write() as c:
        c.execute(ended)
    assert judged() == {shop.products[1]}


def test_clicks_alone_teach_nothing_as_nothing_could_be_judged(shop: Shop) -> None:
    for member in range(40):
        for n in range(5):
            product = shop.products[(member + n) % THINGS]
            shop.click(shop.answer(shop.photo((member + n) % THINGS), [product]), product, f"member-{member:04d}")  # fmt: skip
    taught = shop.taught().taught
    assert len(taught) == 200
    with pytest.raises(DataError, match=r"200 lessons of 40 members.* 0 votes and purchases"):
        train_from_use(shop.db, shop.store, Path("eye"), PRINT, taught, shop.folder / "out")


def _views(shop: Shop) -> dict[str, list[str]]:
    with shop.db.read() as c:
        return products.views(c, PRINT)


# ---- learning


def test_what_photos_have_in_common_is_learnt(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    monkeypatch.setattr(from_use, "_write", lambda *args: written.append(args))
    shop.learnt()
    done = train_from_use(shop.db, shop.store, Path("eye"), PRINT, shop.taught().taught, shop.folder / "out")  # fmt: skip
    assert done.gained
    assert done.after > done.before + 0.1
    assert done.difference[1] > 0
    assert (done.lessons, done.people, done.asked) == (150, 30, 150)
    assert len(written) == 1


def test_where_there_is_nothing_to_learn_nothing_is_written(shop: Shop) -> None:
    shop.learnt(lit=False)
    done = train_from_use(shop.db, shop.store, Path("eye"), PRINT, shop.taught().taught, shop.folder / "out")  # fmt: skip
    assert not done.gained
    assert not (shop.folder / "out").exists()


def test_what_makes_the_catalogue_s_own_views_worse_is_no_gain(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.learnt()
    monkeypatch.setattr(from_use, "_views", lambda asked, hidden, shown, turn: [float(turn is None)] * len(asked))  # fmt: skip
    done = train_from_use(shop.db, shop.store, Path("eye"), PRINT, shop.taught().taught, shop.folder / "out")  # fmt: skip
    assert (done.difference[1] > 0, done.gained) == (True, False)


@pytest.mark.parametrize(("learning", "hint"), [(True, "wait"), (False, "learn_from_use = true")])
def test_too_few_lessons_are_refused_and_told(shop: Shop, learning: bool, hint: str) -> None:
    shop.learnt(members=21, each=2)
    with pytest.raises(DataError, match="42 lessons of 21 members") as told:
        train_from_use(shop.db, shop.store, Path("eye"), PRINT, shop.taught().taught, shop.folder / "out", learning=learning)  # fmt: skip
    assert hint in told.value.hint


def test_no_member_and_no_thing_is_on_both_sides() -> None:
    random = np.random.default_rng(0)
    who = [f"m{random.integers(25)}" for _ in range(600)]
    what = [f"p{random.integers(15)}" for _ in range(600)]
    judged: list[int] = []
    for learn, held in lessons.folds(who, what):
        judged += held
        assert len(learn) > 300, "many lessons of few things leave enough to learn from"
        for names in (who, what):
            assert not {names[n] for n in learn} & {names[n] for n in held}
    assert sorted(judged) == list(range(600))


def test_the_first_numbers_are_a_vector_too_and_no_similarity_changes(shop: Shop) -> None:
    shop.learnt(members=20, each=3)
    taught = shop.taught().taught
    shown = from_use._shown(shop.store, PRINT, _views(shop), [x.product for x in taught], 0)
    turn = learnt_map(taught, shown)
    plain, ordered = shown.gallery.vectors @ turn, shown.gallery.vectors @ leading_first(turn, shown.gallery.vectors)  # fmt: skip
    assert np.allclose(plain @ plain.T, ordered @ ordered.T, atol=1e-4)
    weight = (ordered**2).sum(axis=0)
    assert (np.diff(weight) <= 1e-3).all()


# ---- the match probability


MADE = Calibration("f", bias=-12.0, similarity_weight=20.0, margin_weight=5.0, none_below=0.3, kind="other views")  # fmt: skip


def votes(count: int, shift: float, seed: int = 0) -> list[Outcome]:
    """Votes of 40 members on first hits; the truth is as likely as MADE says at a similarity higher by `shift`."""
    random = np.random.default_rng(seed)
    found = []
    for n in range(count):
        similarity = float(random.uniform(0.4, 0.9))
        right = bool(random.random() < MADE.probability(similarity + shift, 0.02))
        found.append(Outcome(similarity=similarity, margin=0.02, first_right=right, first=f"p{n % 60}", cluster=f"m{n % 40}"))  # fmt: skip
    return found


@pytest.mark.parametrize("shift", [-0.15, 0.15])
def test_votes_set_a_probability_right_that_is_wrong(shift: float) -> None:
    done = corrected(MADE, votes(600, shift), 0.95)
    assert done.gained
    assert done.difference[2] < 0
    at = 0.6
    truth, before = MADE.probability(at + shift, 0.02), MADE.probability(at, 0.02)
    assert abs(done.calibration.probability(at, 0.02) - truth) < abs(before - truth) / 3
    assert done.calibration.kind == "other views and votes"
    assert done.calibration.none_below == MADE.none_below


def test_votes_that_say_nothing_new_change_nothing() -> None:
    done = corrected(MADE, votes(400, 0.0), 0.95)
    assert (done.gained, done.calibration) == (False, MADE)


@pytest.mark.parametrize(
    ("right", "wrong", "members"), [(100, 9, 40), (9, 100, 40), (100, 100, 19)]
)
def test_too_few_votes_of_either_kind_are_refused(right: int, wrong: int, members: int) -> None:
    told = [Outcome(similarity=0.6, first_right=n < right, first=f"p{n}", cluster=f"m{n % members}") for n in range(right + wrong)]  # fmt: skip
    with pytest.raises(DataError, match="too few votes"):
        corrected(MADE, told, 0.95)


def test_nearer_is_never_less_likely_whatever_is_voted() -> None:
    told = [replace(one, first_right=not one.first_right) for one in votes(400, 0.0)]
    moved = correcting._moved(MADE, told)
    assert moved.probability(0.9, 0.02) >= moved.probability(0.5, 0.02)


# ---- from the web into the workspace, and out again


@contextmanager
def served(folder: Path, **chosen: Any) -> Iterator[tuple[Workspace, TestClient]]:
    settings = Settings(rate_limit=0, host_key_hash=digest(HOST_KEY), **chosen)
    with Workspace(folder, settings) as workspace:
        yield workspace, TestClient(create_app(workspace), follow_redirects=False)


def rows(db: Database, statement: Any) -> list[Any]:
    with db.read() as c:
        return [tuple(row) for row in c.execute(statement)]


@pytest.mark.parametrize("learning", [False, True])
def test_only_who_wants_to_learn_keeps_vectors_and_voters(tmp_path: Path, learning: bool) -> None:
    folder, photo = publish(tmp_path)
    kept = select(t.searched_vectors.c.dim, func.length(t.searched_vectors.c.halves))
    with served(folder, learn_from_use=learning) as (workspace, client):
        answer = client.post("/api/search", files={"photo": ("p.jpg", photo.read_bytes())}).json()
        hits = answer["hits"]
        own = grants.give_pass(workspace.db, folder, "member-0001", int(time.time()))
        vote = {"search_id": answer["search_id"], "vote": "up"}
        client.post("/api/feedback", data={**vote, "product_id": hits[1]["product_id"]})
        client.cookies.set(users.COOKIE, own)
        client.post("/api/feedback", data={**vote, "product_id": hits[0]["product_id"]})
        workspace.drain()
        voted = dict(rows(workspace.db, select(t.feedback.c.product_id, t.feedback.c.voter)))
        member = grants.owner_of(folder, "member-0001")
        assert voted[hits[1]["product_id"]] == ""
        assert voted[hits[0]["product_id"]] == (member if learning else "")
        found = rows(workspace.db, kept)
        assert len(found) == int(learning)
        for dim, size in found:
            assert size % (2 * dim) == 0, "half precision"
        if learning:
            assert member not in str(people.data_of(workspace.db, folder, "member-0002", NOW))
            data = people.data_of(workspace.db, folder, "member-0001", NOW)
            assert data["vectors"] == [answer["search_id"]]
            assert {row["product_id"] for row in data["votes"]} == {hit["product_id"] for hit in hits[:2]}  # fmt: skip
            erased = people.erase(workspace.db, folder, "member-0001", int(time.time()), workspace.drain)  # fmt: skip
            assert (erased.vectors, erased.votes, erased.searches) == (1, 2, 1)
            assert rows(workspace.db, kept) == []
            assert rows(workspace.db, select(t.feedback.c.voter)) == []


def test_vectors_that_nothing_came_of_go_after_a_day_and_the_others_with_their_search(
    shop: Shop,
) -> None:
    product = shop.products[0]
    seen = [shop.answer(shop.photo(0), [product]) for _ in range(4)]
    shop.vote(seen[0], product, "member-0001")
    shop.click(seen[1], product, "member-0001")
    shop.vote(seen[2], product, "")
    shop.written()
    kept = select(t.searched_vectors.c.search_id).order_by(t.searched_vectors.c.search_id)
    gone = people.let_go(shop.db, NOW + DAY - 9, search_days=180, click_days=400)
    assert gone.vectors == 0
    gone = people.let_go(shop.db, NOW + DAY + 9, search_days=180, click_days=400)
    assert gone.vectors == 2
    assert [row[0] for row in rows(shop.db, kept)] == seen[:2]
    people.let_go(shop.db, NOW + 181 * DAY, search_days=180, click_days=400)
    assert rows(shop.db, kept) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_votes_of_before_are_nobody_s_and_vectors_are_kept_from_now_on(
    kind: str, tmp_path: Path, postgres: Postgres
) -> None:
    url = sqlite_url(tmp_path / "old.db") if kind == "sqlite" else postgres.url(postgres.database())
    database = database_at("0018", url)
    try:
        with database.write() as c:
            c.execute(text("INSERT INTO feedback (search_id, product_id, vote, at) VALUES ('s', 'p', 1, 5)"))  # fmt: skip
        database.migrate()
        assert rows(database, select(t.feedback)) == [("s", "p", 1, 5, "")]
        many = [
            Record(
                "vectors",
                ledger.vectors_body(f"{n:016x}", NOW, PRINT, np.full((2, 4), n, np.float32)),
            )
            for n in range(120)  # PostgreSQL takes so many by COPY
        ]
        ledger.apply(database, many)
        ledger.apply(database, many)
        kept = dict(
            rows(database, select(t.searched_vectors.c.search_id, t.searched_vectors.c.halves))
        )
        assert len(kept) == 120
        assert np.frombuffer(kept[f"{7:016x}"], "<f2").tolist() == [7.0] * 8
    finally:
        database.close()


def test_commands_refuse_what_use_has_not_taught(tmp_path: Path) -> None:
    folder, _ = publish(tmp_path)

    def refused(*words: str) -> tuple[str, str]:
        error = CliRunner().invoke(app, [*words, "--workspace", str(folder)]).exception
        assert isinstance(error, Error)
        return error.message, error.hint

    message, hint = refused("train", "--from-use", "--out", str(tmp_path / "model"))
    assert "too few to learn from: 0 lessons" in message
    assert "learn_from_use = true" in hint
    message, hint = refused("evaluate", "--from-use")
    assert message == "use has taught nothing yet"
    assert "learn_from_use = true" in hint
    message, hint = refused("evaluate")
    assert "--from-use" in hint
