"""Every real feed and what the readers make of it: `python bench/feed_table.py`.

Writes bench/results/feed_table.json and docs/feeds-measured.md. Beside the readers' count stands one
made by other means: row tags found by a regular expression in the raw bytes, or rows of `csv.reader`
after the lines that are comments.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

from lensback.errors import FeedError
from lensback.ingest.dry_run import try_feed
from rig import DATA, REPOSITORY, RESULTS, arguments, write

PAGE = REPOSITORY / "docs" / "feeds-measured.md"
ROW_TAGS = re.compile(rb"<(?:\w+:)?(?:offer|item|entry|product|produkt)[\s>]")
COMMENTS = re.compile(rb"<!--.*?-->", re.DOTALL)
HEAD = """# Real feeds, and what becomes of them

Made by `python bench/feed_table.py` from the collected feeds of `data/feeds` (with `{BASE}` unset). *Rows* is a count by
other means than the readers: row tags in the raw bytes without comments, or rows of `csv.reader`. Offers and
rejects add up to it everywhere. What a reason means: [feeds](feeds.md).

| file | found to be | rows | offers | rejected | seconds |
|---|---|---|---|---|---|
"""
NOTES = """
Looked at in the files themselves:

- `yml_chris1man.yml`: all 35 bouquets cost `<price>1</price>`: no prices. `yml_marvelsrp_price.yml` has 26 artificial
  flowers at 1 UAH among 361 offers: real prices, kept. So 1 is refused only where most of a feed costs that.
- `yml_byline.xml`: one offer has `<price>-</price>`. `yml_autopriwos.xml` has `<title>` for `<name>` and no price at all;
  `xml_codingbiro_test1.xml` has `<saleprice>` and `<price_old>` and names no currency anywhere.
- `yml_nvprint_*`: no offer has an address. `yml_ozon_rudimka_feed.xml` and `kaspi_bekzat_price.xml` are prices and stock
  without titles or addresses: nothing in them could be shown.
- `xml_codingbiro_iso.xml` and `xml_codingbiro_isofeed.xml` are in a dialect of their own (`<produkter>`): read by the
  proposed column map, refused for want of a currency, which an operator adds in one line.
"""


def rows_of(path: Path) -> int:
    data = path.read_bytes()
    if path.suffix in (".csv", ".tsv"):
        text = data.decode("utf-8-sig", "replace")
        lines = [line for line in text.splitlines(keepends=True) if not line.startswith("#")]
        delimiter = "\t" if path.suffix == ".tsv" else ","
        return sum(1 for row in csv.reader(lines, delimiter=delimiter) if any(row)) - 1
    return len(ROW_TAGS.findall(COMMENTS.sub(b"", data)))


def tried(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        try:
            read = try_feed(stream)
        except FeedError as error:
            return {"file": path.name, "refused": error.message}
    seems = read.seems
    parts = [seems["format"], seems["dialect"] if seems["dialect"] != seems["format"] else ""]
    parts += [seems["compression"], seems["encoding"], "by a guessed map" if read.guessed else ""]
    return {
        "file": path.name,
        "seems": ", ".join(part for part in parts if part),
        "rows": rows_of(path),
        "offers": read.offers + read.deleted,
        "rejected": {reason: r.count for reason, r in sorted(read.refused.items())},
        "truncated": bool(read.truncated),
        "seconds": round(read.seconds, 3),
    }


def as_row(found: dict[str, Any]) -> str:
    if "refused" in found:
        return f"| `{found['file']}` | refused: {found['refused']} | | | | |"
    rejected = ", ".join(f"{count} {reason}" for reason, count in found["rejected"].items())
    seconds = f"{found['seconds']:.2f}"
    cells = (found["seems"], found["rows"], found["offers"], rejected, seconds)
    return f"| `{found['file']}` | {' | '.join(map(str, cells))} |"


def fuzzed() -> str:
    path = RESULTS / "fuzz_feeds.json"
    if not path.is_file():
        return ""
    told = json.loads(path.read_text("utf-8"))
    outcomes = ", ".join(f"{n:,} {name}" for name, n in told["outcomes"].items())
    return f"""
## Fuzzing
`python bench/fuzz_feeds.py --seconds {told["seconds"]}`: {told["executions"]:,} mutated feeds in {told["seconds"]} s, seed {told["seed"]}:
{outcomes}; no other exception, slowest {told["slowest_s"]} s, memory {told["memory_mb_after_5000"]} MB after 5,000 feeds and
{told["memory_mb_at_the_end"]} MB at the end. Findings of the first runs, mended since: paths of deeply nested elements took time
that grew with the square of the depth. `--atheris FOLDER` runs the same target under atheris, led by coverage.
"""


def main() -> None:
    asked = arguments(__doc__, page=PAGE).parse_args()
    names = sorted(p for p in (DATA / "feeds").iterdir() if p.suffix != ".md")
    found = [tried(path) for path in names]
    for row in found:
        if "rows" in row and row["rows"] != row["offers"] + sum(row["rejected"].values()):
            raise SystemExit(f"{row['file']}: the counts do not add up: {row}")
    asked.page.write_text(HEAD + "\n".join(map(as_row, found)) + "\n" + NOTES + fuzzed(), "utf-8")
    write("feed_table", {"files": found}, asked.out)


if __name__ == "__main__":
    main()
