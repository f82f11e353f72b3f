"""The live path, end to end: `python bench/live_path.py [--encoder NAME] [--model DIR] [--folder DIR]`.

Luma and its outlet are connected. The further views of 150 products are taken out of the catalogue,
at both stores, and become the photos of shoppers; street photos (another world: whole outfits) and
pictures of 40 products taken out as a whole (the hard case: siblings stay) become the photos of
things that nobody sells. Then every photo goes through the service as it is.

Two set-ups: `all` hides every further view of the 150, so that the calibration has too few views
left; `one` hides one view a product, as in a catalogue where calibration has views to learn from.
Truth is what luma's MPN and the outlet's vendorCode say, not our grouping. In `one` the promise of
"exact" is certified before. `--kinds 0` leaves the rule of kinds out, `--street 250` asks so many street
photos, drawn by a fixed seed; `--model` links an ONNX model folder under its own name. The report of each: `lensback report --workspace DIR/SET-UP/split/workspace`.
"""

from __future__ import annotations

import csv
import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from lensback import metrics
from lensback.db import Database
from lensback.db import tables as t
from lensback.demo import serve_folder
from lensback.evaluate import runs
from lensback.evaluate.holdout import Wish, hold_out
from lensback.evaluate.live import evaluate_live
from lensback.evaluate.promise import certify
from lensback.search import Query, search
from lensback.settings import Settings
from lensback.sync import sync
from lensback.wire import Hit
from lensback.workspace import Workspace
from rig import DATA, arguments, by_rule, compared, connected, share, shelve, write

SEEN, FROM_ONE = "trained_on_these", "studio_views"
"""Codes of notes that the report has words for."""


def source_of(folder: Path, encoder: str, model: Path | None = None) -> Workspace:
    """A synced workspace of the two stores; made once."""
    if not (folder / "lensback.toml").exists():
        with (
            serve_folder(DATA / "shops") as base,
            connected(folder, base, ["luma", "outlet"], encoder=encoder) as workspace,
        ):
            shelve(workspace, model)
            sync(workspace)
    return Workspace(folder, Settings(encoder=encoder))


def true_offers(db: Database) -> dict[str, list[str]]:
    """Offer -> every offer of the very same colourway at either store, by MPN (without the size)."""
    o = t.offers.c
    groups: dict[str, list[str]] = defaultdict(list)
    with db.read() as c:
        for row in c.execute(select(o.offer_id, o.mpn).where(o.active, o.mpn != "")):
            parts = row.mpn.lower().split("-")
            model = [parts[0], *parts[2:]] if len(parts) > 2 else parts  # style-SIZE-colour
            groups["-".join(model)].append(row.offer_id)
    return {offer: members for members in groups.values() for offer in members}


def with_truth(queries: Path, db: Database, street: int) -> Path:
    """The queries with the stores' own truth, and street photos that nobody sells."""
    same = true_offers(db)
    rows = list(csv.reader(queries.open(newline="", encoding="utf-8")))
    path = queries.with_name("asked.csv")
    with path.open("w", newline="", encoding="utf-8") as lines:
        out = csv.writer(lines)
        out.writerow(rows[0])
        for photo, offers, box, kind in rows[1:]:
            right = {o for offer in offers.split(";") if offer for o in same.get(offer, [offer])}
            out.writerow([photo, ";".join(sorted(right)), box, kind])
        photos = sorted((DATA / "street" / "photos").iterdir())
        for photo_path in sorted(random.Random(7).sample(photos, min(street, len(photos)))):
            out.writerow([photo_path, "", "", "street"])
    return path


def measured(source: Workspace, out: Path, wish: Wish, notes: list[str], street: int) -> runs.Run:
    """One set-up: hold out, certify, ask, write the run. A split that is there is used again."""
    split = out / "split"
    if not (split / "asked.csv").exists():
        shutil.rmtree(out, ignore_errors=True)
        made = hold_out(source, split, wish)
        with_truth(made.queries, source.db, street)
    with Workspace(split / "workspace", Settings(encoder=source.settings.encoder)) as workspace:
        if wish.one_view:
            certify(workspace)
        results = workspace.path / "evaluation"
        run = evaluate_live(
            workspace,
            split / "asked.csv",
            results,
            name="luma, outlet",
            machine_hour="0.04 USD",
            notes=notes,
        )
        runs.write(run, results)
    return run


def by_common_line(split: Path, run: runs.Run, encoder: str) -> dict[str, Any]:
    """Told `none` by the lines of each kind, and by the common line alone, on the same photos."""
    with Workspace(split / "workspace", Settings(encoder=encoder)) as workspace:
        tools = workspace.tools()
        lines = tools.calibration
        assert lines is not None
        common = replace(tools, calibration=replace(lines, none_below_of={}))
        highest = max([lines.none_below, *lines.none_below_of.values()])
        told: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
        for one in run.outcomes:
            none = one.verdict == "none"
            # What is nearer than every line is shown by each of them.
            near = not none and min(hit.similarity for hit in one.hits) >= highest
            photo = Path(one.photo).read_bytes() if not near else b""
            other = not near and search(photo, Query(limit=1), common).verdict == "none"
            told["sold" if one.present else one.slices.get("kind", "")].append((none, other))
    return {
        "lines": {"common": lines.none_below, **lines.none_below_of},
        "told none": {
            name: {
                "by kind": share(sum(mine for mine, _ in pairs), len(pairs)),
                "common line": share(sum(other for _, other in pairs), len(pairs)),
                "only by kind": sum(mine and not other for mine, other in pairs),
                "only by the common line": sum(other and not mine for mine, other in pairs),
                "p": metrics.mcnemar([a for a, _ in pairs], [b for _, b in pairs]).p,
            }
            for name, pairs in sorted(told.items())
        },
    }


def other_kinds(split: Path, encoder: str) -> dict[str, Any]:
    """The photos of sold things, with and without the rule that hits of another kind are left out."""
    with (split / "asked.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["offer_id"]]
    photos = [(split / row["photo"]).read_bytes() for row in rows]
    with Workspace(split / "workspace", Settings(encoder=encoder)) as workspace:
        found = by_rule(photos, workspace.tools())
    right = [set(row["offer_id"].split(";")) for row in rows]
    places = {
        rule: [_place(hits, those) for hits, those in zip(each, right, strict=True)]
        for rule, each in found.items()
    }
    return compared(places, [min(those) for those in right])


def _place(hits: Sequence[Hit], right: set[str]) -> int:
    """0-based, of the first product with one of the offers; 12 where there is none."""
    found = (n for n, hit in enumerate(hits) if right & {offer.offer_id for offer in hit.offers})
    return next(found, 12)


def summary(run: runs.Run) -> dict[str, Any]:
    figures = {
        f.name: [None if v is None else round(v, 4) for v in (f.value, f.low, f.high)] + [f.n]
        for f in run.figures
    }
    promise = run.as_json()["promise"]
    return {
        "queries": run.queries,
        "gallery": {k: v for k, v in run.gallery.items() if k != "workspace"},
        "figures": figures,
        "errors": run.errors,
        "verdicts": run.verdicts,
        "calibration": run.calibration,
        "promise": promise,
        "cost": run.cost,
        "notes": run.notes,
    }


def main() -> None:
    asked = arguments(
        __doc__,
        encoder="eye",
        model=None,
        folder=Path("live_path"),
        street=502,
        products=148,
        kinds=1,
    ).parse_args()
    notes = [FROM_ONE, *([SEEN] if asked.encoder.startswith("eye") else [])]
    folder = asked.folder.resolve()
    found = {}
    with source_of(folder / "source", asked.encoder, asked.model) as source:
        for name, one in (("all", False), ("one", True)):
            wish = Wish(asked.products, absent=40, one_view=one, stores=("luma",))
            run, split = (
                measured(source, folder / name, wish, notes, asked.street),
                folder / name / "split",
            )
            found[name] = summary(run)
            found[name]["by_common_line"] = by_common_line(split, run, asked.encoder)
            if asked.kinds:
                found[name]["other_kinds"] = other_kinds(split, asked.encoder)
    suffix = "" if asked.encoder == "eye" else f"_{asked.encoder.split('*')[0].split('+')[0]}"
    write(f"live_path{suffix}", {"encoder": asked.encoder, "set_ups": found}, asked.out)


if __name__ == "__main__":
    main()
