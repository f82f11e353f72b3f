"""The pages as a static site with search: `python tools/docs_site.py FOLDER`, or `make docs`.

`docs/index.md` is the one list of pages; the site's menu is made from it. What a page links to outside
of `docs/` (a script, a test, the README) becomes an address in the repository, because the site has
no such file. Afterwards every link of every page that was built is followed: a page or a heading that
is not there ends this with 1.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import tomli_w
from lxml import html

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REPOSITORY = "https://github.com/lensback/lensback"
KINDS = ("Learn", "Do", "Look up", "Understand")
"""Tutorials, how-to guides, reference, explanation; the headings of `docs/index.md`."""
FENCE = re.compile(r"(^```.*?^```[^\n]*$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(\[[^\]]*\]\()([^)\s]+)(\))")
ENTRY = re.compile(r"^- \[([^\]]+)\]\(([^)\s]+)\)", re.MULTILINE)


def menu(index: str) -> dict[str, list[tuple[str, str]]]:
    """Kind -> (title, page or folder), as the index lists them."""
    parts = re.split(r"^## (.+)\n", index, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {kind: ENTRY.findall(found[kind]) for kind in KINDS}


def linked(text: str, page: Path) -> str:
    """The text of a page (a path below `docs/`), with links out of `docs/` into the repository."""
    folder = (DOCS / page).parent

    def instead(found: re.Match[str]) -> str:
        target = found[2]
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        path, _, anchor = target.partition("#")
        there = (folder / path).resolve()
        if there.is_relative_to(DOCS):
            inside = path if not there.is_dir() else f"{path.rstrip('/')}/index.md"
            return f"{found[1]}{inside}{f'#{anchor}' if anchor else ''}{found[3]}"
        kind = "tree" if there.is_dir() else "blob"
        address = f"{REPOSITORY}/{kind}/main/{there.relative_to(ROOT)}"
        return f"{found[1]}{address}{f'#{anchor}' if anchor else ''}{found[3]}"

    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(instead, part) for part in parts[::2]]
    return "".join(parts)


def staged(folder: Path) -> None:
    """The pages as the generator takes them, and its configuration, in a folder of their own."""
    docs = folder / "docs"
    for path in sorted(DOCS.rglob("*")):
        there = docs / path.relative_to(DOCS)
        if path.is_dir():
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            there.write_text(linked(path.read_text("utf-8"), path.relative_to(DOCS)), "utf-8")
        else:
            shutil.copy(path, there)
    decisions = sorted((docs / "decisions").glob("*.md"))
    titles = [(heading(path), path.name) for path in decisions]
    lines = [f"- [{title}]({name})" for title, name in titles]
    (docs / "decisions" / "index.md").write_text(
        "# Decisions\n\n" + "\n".join(lines) + "\n", "utf-8"
    )
    (folder / "zensical.toml").write_text(tomli_w.dumps(configuration(titles)), "utf-8")


def heading(path: Path) -> str:
    """The title of a page."""
    found = re.search(r"^# (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return found[1] if found else path.stem


def configuration(decisions: list[tuple[str, str]]) -> dict[str, object]:
    """What the generator is told: the menu, search, nothing from anybody else's server."""
    nav: list[dict[str, object]] = [{"Home": "index.md"}]
    for kind, entries in menu((DOCS / "index.md").read_text("utf-8")).items():
        pages: list[object] = []
        for title, target in entries:
            plain = title.replace("`", "")
            if target == "decisions/":
                pages.append({plain: ["decisions/index.md", *({t: f"decisions/{n}"} for t, n in decisions)]})  # fmt: skip
            else:
                pages.append({plain: target})
        nav.append({kind: pages})
    return {
        "project": {
            "site_name": "Lensback",
            "site_description": "Find the thing in a photo among the offers of many stores.",
            "repo_url": REPOSITORY,
            "docs_dir": "docs",
            "site_dir": "site",
            "use_directory_urls": False,  # so that it can be read from a folder, too, but for the search
            "nav": nav,
            "theme": {
                "font": False,
                "features": ["navigation.tabs", "navigation.top", "search.highlight", "content.code.copy"],
                "palette": [
                    {"media": "(prefers-color-scheme: light)", "scheme": "default"},
                    {"media": "(prefers-color-scheme: dark)", "scheme": "slate"},
                ],
            },
            "plugins": {"search": {}},
        }
    }  # fmt: skip


def broken(site: Path) -> list[str]:
    """`page: link` for each link of a built page that leads to no page, file or heading of the site, and
    `page: loads link` for what comes from another server."""
    trees = {path: html.parse(str(path)) for path in sorted(site.rglob("*.html"))}
    ids = {path: set(tree.xpath("//@id | //a/@name")) for path, tree in trees.items()}
    found = []
    for path, tree in trees.items():
        if path.name == "404.html":
            continue
        loaded = tree.xpath("//script/@src | //link[@rel='stylesheet']/@href | //img/@src")
        found += [f"{path.relative_to(site)}: loads {link}" for link in loaded if "//" in link]
        for link in tree.xpath(
            "//a/@href | //img/@src | //link[@rel='stylesheet']/@href | //script/@src"
        ):
            parts = urlsplit(str(link))
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            there = there / "index.html" if there.is_dir() else there
            if not there.exists() or (
                parts.fragment and there in ids and unquote(parts.fragment) not in ids[there]
            ):
                found.append(f"{path.relative_to(site)}: {link}")
    return found


def build(out: Path) -> list[str]:
    """Builds the site into a folder, which is made anew; returns what is broken in it. Raises
    SystemExit with the generator's words where it fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        staged(folder)
        generator = Path(sys.executable).with_name("zensical")
        command = [str(generator), "build", "--clean", "--strict"]
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "CI": "true"},
        )
        if done.returncode:
            raise SystemExit(f"the generator failed:\n{done.stdout}{done.stderr}")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(folder / "site", out)
    return broken(out)


if __name__ == "__main__":
    into = Path(sys.argv[1] if len(sys.argv) > 1 else "build/docs")
    faults = build(into)
    print("\n".join(faults) or f"{len(list(into.rglob('*.html')))} pages -> {into / 'index.html'}")
    sys.exit(bool(faults))
