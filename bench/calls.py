"""Function calls of one answer, for programs and as a page: `python bench/calls.py [--workspace DIR]`.

Two of the real stores, each with a program that pays cashback, are synced with the encoder that needs
no model; photos of their own things are asked. Counted is every call of a function, Python's and C's:
`search` from the photo's bytes to the answer, `api` and `page` what the application adds from the
request's bytes to the body's (client of the test and rendering included). Calls say what
milliseconds on a shared machine cannot: whether the code does less. `--workspace` is kept and used
again; `--names 20` lists the functions that are called most.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from lensback.catalogue import stores
from lensback.db import tables as t
from lensback.demo import serve_folder
from lensback.search import Query, search
from lensback.settings import Settings
from lensback.sync import sync
from lensback.web import create_app
from lensback.workspace import Workspace, init
from rig import DATA, STORES, arguments, write

SOLD = ("luma", "outlet")
PHOTOS = 5
LINK = {"template": "https://network.example/click?to={url}&subid={subid}"}


class Calls:
    """Counts calls in this thread, and in those that start while it is on."""

    def __init__(self) -> None:
        self.python: Counter[str] = Counter()
        self.native = 0

    def __enter__(self) -> Calls:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: Any, event: str, _: Any) -> None:
        if event == "call":
            code = frame.f_code
            self.python[f"{Path(code.co_filename).name}:{code.co_qualname}"] += 1
        elif event == "c_call":
            self.native += 1


def published(folder: Path, base: str) -> Workspace:
    init(folder)
    chosen = Settings(
        allow_hosts=("127.0.0.1",),
        encoder="pixels",
        detector="whole",
        photo_memory_s=0,
        rate_limit=0,
    )
    workspace = Workspace(folder, chosen)
    for name in SOLD:
        program = {
            "network": "generic",
            "domains": [f"{name}.example"],
            "share": 0.6,
            "link": LINK,
            "rates": [{"customer": "new", "percent": 8}, {"percent": 5}],
        }
        stores.add(workspace.db, name, f"{base}/{name}/{STORES[name]}", base=base, program=program)
    sync(workspace)
    return workspace


def photos(workspace: Workspace) -> list[bytes]:
    u = t.image_urls.c
    with workspace.db.read() as c:
        hashes = list(
            c.scalars(select(u.image_hash).where(u.status == "ok").order_by(u.image_hash))
        )
    return [workspace.images.read(h) for h in hashes[:: len(hashes) // PHOTOS][:PHOTOS]]


def counted(ask: Callable[[bytes], Any], asked: list[bytes]) -> tuple[dict[str, Any], Counter[str]]:
    """The median over photos, after one pass that warms what is cached."""
    python, native, names = [], [], Counter[str]()
    for photo in asked:
        ask(photo)
    for photo in asked:
        with Calls() as calls:
            ask(photo)
        python.append(calls.python.total())
        native.append(calls.native)
        names += calls.python
    both = [a + b for a, b in zip(python, native, strict=True)]
    return {
        "python": round(statistics.median(python)),
        "c": round(statistics.median(native)),
        "all": round(statistics.median(both)),
    }, names


def main() -> None:
    options = arguments(__doc__, workspace=None, names=0).parse_args()
    with tempfile.TemporaryDirectory() as temporary, serve_folder(DATA / "shops") as base:
        folder = options.workspace or Path(temporary) / "workspace"
        with published(folder, base) as workspace:
            app = create_app(workspace)
            asked = photos(workspace)
            tools = workspace.tools()
            shown = [search(photo, Query(), tools) for photo in asked]
            figures: dict[str, Any] = {"photos": len(asked)}

            def posted(path: str) -> Callable[[bytes], Any]:
                transport = httpx.ASGITransport(app)

                async def ask(photo: bytes) -> None:
                    async with httpx.AsyncClient(transport=transport, base_url="http://x") as c:
                        response = await c.post(path, files={"photo": photo})
                        response.raise_for_status()

                return lambda photo: asyncio.run(ask(photo))

            asks = {
                "search": lambda photo: search(photo, Query(), tools),
                "api": posted("/api/search"),
                "page": posted("/"),
            }
            for name, ask in asks.items():
                figures[name], names = counted(ask, asked)
                for function, n in names.most_common(options.names):
                    print(f"{n / len(asked):8.1f} {function}", file=sys.stderr)
            for face in ("api", "page"):
                figures[f"{face}_answer"] = {
                    kind: figures["search"][kind] + figures[face][kind] for kind in figures[face]
                }
            figures["offers"] = [sum(len(hit.offers) for hit in one.hits) for one in shown]
    write("calls", figures, options.out)


if __name__ == "__main__":
    main()
