"""Prose is executed: what is undocumented, or documented and not so, fails here."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
from PIL import Image
from tools import docs_site

from garments import draw, items
from lensback import cli, errors, settings
from lensback.client import Client
from lensback.web import create_app
from lensback.workspace import init, open_workspace
from servers import free_port
from world import World

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted(DOCS.glob("*.md"))
FENCE = re.compile(r"^```[^\n]*\n.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
HOUSE = ("/" + "work/", "bash" + "_jobs", "." + "library")
"""Words of one machine, which mean nothing on another."""


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def rows(text: str) -> list[list[str]]:
    """Cells of the table rows whose first cell names something in code."""
    lines = [line for line in text.splitlines() if re.match(r"\| (— )*`", line)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


# ---- settings, errors, commands, routes


def test_every_setting_has_a_row_with_its_default() -> None:
    table = page("settings.md").split("Not settings")[0]
    documented = {cells[0]: tuple(cells[1:]) for cells in rows(table)}
    assert documented == {
        f"`{name}`": (f"`{settings._toml(info.default)}`", info.description)
        for name, info in settings.Settings.model_fields.items()
    }


def test_every_error_has_a_row_with_its_exit_code_and_status() -> None:
    def tree(kind: type[errors.Error], depth: int = 0) -> Iterator[tuple[str, str, str]]:
        yield "— " * depth + f"`{kind.__name__}`", str(kind.exit_code), str(kind.http_status)
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                yield from tree(child, depth + 1)

    documented = [tuple(cells[:3]) for cells in rows(page("errors.md"))]
    assert documented == list(tree(errors.Error))


def commands(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(path), command
        return
    if path and command.invoke_without_command:
        yield " ".join(path), command
    for name, child in children.items():
        yield from commands(child, *path, name)


LENSBACK = typer.main.get_command(cli.app)
COMMANDS = dict(commands(LENSBACK))


def sections(name: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)\n", page(name), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_command_has_a_section() -> None:
    assert set(sections("cli.md")) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_row_and_every_row_an_option(name: str) -> None:
    documented = {
        option
        for cells in rows(sections("cli.md")[name])
        for option in re.findall(r"--[a-z-]+", cells[0])
    }
    options = {
        option
        for parameter in COMMANDS[name].params
        if parameter.param_type_name == "option" and parameter.name != "workspace"
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--") and option != "--help"
    }
    assert documented == options
    assert "`--workspace`" in page("cli.md").split("\n## ")[0]


def routes(found: Any) -> Iterator[tuple[str, str]]:
    for route in found:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from routes(inner.routes)
        for method in getattr(route, "methods", None) or ():
            if method != "HEAD":
                yield method, route.path


def test_every_route_is_documented(tmp_path: Path) -> None:
    init(tmp_path)
    with open_workspace(tmp_path) as workspace:
        known = set(routes(create_app(workspace).routes))
    assert len(known) > 8
    text = page("api.md")
    assert [f"{m} {p}" for m, p in sorted(known) if f"`{m} {p}`" not in text] == []
    documented = set(re.findall(r"`(GET|POST) (/[^`?\s]*)`", text))
    assert documented <= known


# ---- links and pages


def slug(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize("path", [README, *sorted(DOCS.rglob("*.md"))], ids=lambda p: p.name)
def test_every_relative_link_resolves(path: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", path.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or not target.is_relative_to(ROOT):
            broken.append(link)
        elif anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            broken += [] if anchor in map(slug, headings) else [link]
    assert broken == []


def test_the_index_lists_every_page() -> None:
    links = set(LINK.findall(page("index.md")))
    assert sorted({p.name for p in PAGES} - {"index.md"} - links) == []
    folders = {p.parent.relative_to(DOCS).parts[0] for p in DOCS.glob("*/**/*.md")}
    assert [f for f in sorted(folders) if not any(link.startswith(f"{f}/") for link in links)] == []


def test_each_page_is_of_one_kind() -> None:
    """Learn, do, look up, understand: a page in two lists has two readers and serves neither."""
    listed = [
        target for entries in docs_site.menu(page("index.md")).values() for _, target in entries
    ]
    assert len(set(listed)) == len(listed)
    assert set(listed) == {p.name for p in PAGES} - {"index.md"} | {"decisions/"}


def test_the_figures_of_the_readme_are_measured() -> None:
    """Each "N of M" and each share in brackets of its table stands in the page that it links to."""
    table = README.read_text("utf-8").split("## How good is it?")[1].split("\n## ")[0]
    measured = page("measured.md")
    said = re.findall(r"\b(\d+) of (\d+)\b(?! times)|\b(\d+) of (\d+) times", table)
    counts = {(a or c, b or d) for a, b, c, d in said} - {(n, "100") for n in map(str, range(101))}
    assert len(counts) >= 2
    for right, n in counts:
        assert f"{right} of {n}" in measured, f"{right} of {n}"
    for link in re.findall(r"docs/measured\.md#([\w-]+)", table):
        assert link in map(slug, re.findall(r"^#+ (.+)$", measured, re.MULTILINE))


FIGURE = re.compile(
    r"\bn = \d"  # how many were counted
    r"|[(\[][+−-]?[01]?\.\d+(?:,| to) [+−-]?[01]?\.\d+"  # an interval of shares
    r"|\(\d[\d.]* to \d[\d.]*(?: %| of 100)?\)"
    r"|\.\d{2,3}\*{0,2} / \*{0,2}[01]?\.\d{2,3}"  # R@1 / R@5
    r"|(?<![\w.])\.\d{3}\b"
    r"|\b\d+(?:\.\d+)? (?:/ \d+(?:\.\d+)? )?ms\b"  # a time
    r"|\b\d+(?:\.\d+)? (?:times|%) (?:faster|slower|fewer)"
    r"|\*\*\d+ of \d+\*\*"
)
"""What only a measurement says."""
FIGURES = {"measured.md", "measured-history.md", "feeds-measured.md"}
"""The page of figures, the one of those before, and one that a script writes whole. Decisions keep theirs: they are history."""


def figures(text: str) -> list[str]:
    """What in a page is a measured figure. Code blocks and what stands in backticks are examples."""
    return FIGURE.findall(re.sub(r"`[^`\n]*`", "", FENCE.sub("", text)))


@pytest.mark.parametrize("path", [p for p in PAGES if p.name not in FIGURES], ids=lambda p: p.name)
def test_figures_stand_in_one_page(path: Path) -> None:
    assert figures(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("said", "is_figure"),
    [
        ("R@1 .735 / .864", True), ("found (.703 to .998)", True), ("17 to 19 ms of one core", True), ("40 of 41 (91 to 100)", True),
        ("gain +.020 [-0.005, +0.045]", True), ("luma, n = 403", True), ("AUROC .807", True), ("took 52 / 60 ms", True), ("3 times faster", True),
        ("at most 20 MB", False), ("IoU 0.65", False), ("20 to 30 seconds", False), ("`.735 / .864`", False), ("cosine 0.8", False), ("version 2.3.5", False),
        ("12 a second", False), ("1.299.00", False), ("a rate of 0.003", False),
    ],
)  # fmt: skip
def test_a_figure_is_seen(said: str, is_figure: bool) -> None:
    assert bool(figures(said)) == is_figure


def test_the_site_is_built_without_a_broken_link(tmp_path: Path) -> None:
    """By the generator in strict mode, and once more by following every link of what it built."""
    if not Path(sys.executable).with_name("zensical").exists():
        pytest.skip("the site's generator is not installed: pip install '.[docs]'")
    assert docs_site.build(tmp_path / "site") == []
    built = {
        p.relative_to(tmp_path / "site").as_posix() for p in (tmp_path / "site").rglob("*.html")
    }
    assert {
        p.relative_to(DOCS).with_suffix(".html").as_posix() for p in DOCS.rglob("*.md")
    } <= built
    index = next((tmp_path / "site").rglob("search*.js*")).read_text("utf-8")
    assert "Reverse proxy" in index or list((tmp_path / "site").rglob("search*"))


def test_a_broken_link_of_the_site_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<h1 id="x">a</h1><a href="b.html#y">b</a><a href="#x">x</a>')
    script = '<script src="https://example.org/x.js"></script>'
    (tmp_path / "b.html").write_text(
        f'<a href="c.html">c</a><a href="https://example.org">o</a>{script}'
    )
    assert sorted(docs_site.broken(tmp_path)) == [
        "a.html: b.html#y",
        "b.html: c.html",
        "b.html: loads https://example.org/x.js",
    ]


# ---- what is named is there


def spoken(text: str) -> Iterator[str]:
    """Lines of code blocks, and what stands in backticks."""
    for block in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if block[1] in {"", "bash", "sh"}:
            yield from block[2].replace("\\\n", " ").splitlines()
    prose = FENCE.sub("", text)
    yield from re.findall(r"^    (.+)$", prose, re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", prose)


def wrong_words(line: str) -> list[str]:
    """Commands and options of a `lensback …` that it does not have."""
    found = re.match(r"(?:[A-Z_]+=\S+ )?(?:\S*/)?lensback (.+)", line.strip())
    if not found or found[1].split()[0] in {"COMMAND", "--version", "--install-completion"}:
        return []
    said = re.split(r"\s#\s|;|&&|\s\|\s", found[1])[0]
    words = shlex.split(re.sub(r"[\[\]]", "", said.replace("…", "x")))
    command: Any = LENSBACK
    while words and getattr(command, "commands", None):
        wrong = [word for word in words[0].split("|") if word not in command.commands]
        if wrong:
            return wrong
        command = command.commands[words.pop(0).split("|")[0]]
    if getattr(command, "commands", None):
        return []
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    options = [word.split("=")[0] for word in words if word.startswith("--")]
    return [o for option in options for o in option.split("|") if o not in known]


@pytest.mark.parametrize("path", [README, *sorted(DOCS.rglob("*.md"))], ids=lambda p: p.name)
def test_commands_files_and_variables_that_a_page_names_are_there(path: Path) -> None:
    text = path.read_text("utf-8")
    missing = [(line, wrong) for line in spoken(text) if (wrong := wrong_words(line))]
    files = re.findall(r"`((?:tests|bench|tools|src|deploy)/[\w./-]+?)(?:::\w+)?`", text)
    files += re.findall(r"python ((?:bench|tools)/\S+\.py)", text)
    missing += [(name, []) for name in files if "ROOM" not in name and not (ROOT / name).exists()]
    named = {f"LENSBACK_{name.upper()}" for name in settings.Settings.model_fields}
    named |= {f"LENSBACK_{name}" for name in ("WORKSPACE", "SECRETS", "BOT_TOKEN", "DATA")}
    for variable in re.findall(r"\bLENSBACK_[A-Z_]+", text):
        if variable not in named and not variable.startswith("LENSBACK_NETWORK_"):
            missing.append((variable, []))
    assert missing == []


def test_a_wrong_word_is_seen() -> None:
    assert wrong_words("lensback sync NAME --force") == []
    assert wrong_words("lensback ledger due|pay --minimum") == []
    assert wrong_words("lensback sink") == ["sink"]
    assert wrong_words("lensback ledger due|bay") == ["bay"]
    assert wrong_words("lensback sync --fast --only embed") == ["--fast"]


def test_the_client_takes_what_its_page_says() -> None:
    for name, said in re.findall(r"`(\w+)\(([^)`]*)\)`", page("client.md")):
        parameters = inspect.signature(getattr(Client, name)).parameters
        documented = [word.strip().rstrip("=") for word in said.split(",") if word.strip()]
        assert documented == [p for p in parameters if p != "self"], name


def test_every_field_of_a_search_is_documented(tmp_path: Path) -> None:
    init(tmp_path)
    with open_workspace(tmp_path) as workspace:
        spec = create_app(workspace).openapi()
    body = spec["paths"]["/api/search"]["post"]["requestBody"]["content"]["multipart/form-data"]
    schema = body["schema"]
    if "$ref" in schema:
        schema = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    table = page("api.md").split("## Search\n")[1].split("\n## ")[0].split("\n### ")[0]
    documented = {name for cells in rows(table) for name in re.findall(r"`(\w+)`", cells[0])}
    assert documented == set(schema["properties"])


def repository_files() -> list[Path]:
    """Files that are in the repository or would be with the next commit."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    if shutil.which("git") and (ROOT / ".git").exists():
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return [ROOT / name for name in done.stdout.split("\0") if name]
    places = ("src", "tests", "docs", "bench")
    return [path for place in places for path in (ROOT / place).rglob("*")] + [README]


def test_no_file_speaks_of_one_machine() -> None:
    found = []
    for path in repository_files():
        if path.is_file():
            text = path.read_bytes().decode("utf-8", "replace")
            found += [(str(path.relative_to(ROOT)), word) for word in HOUSE if word in text]
    assert found == []


# ---- what is shown runs

PYTHON = re.compile(r"^```python[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
BASH = re.compile(r"<!-- run -->\s*^```(?:bash|sh)[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
SKIPPED = re.compile(r"^\s*(make\b|lensback serve\b)")


@pytest.mark.parametrize(
    "path",
    [p for p in (README, *PAGES) if PYTHON.search(p.read_text("utf-8"))],
    ids=lambda p: p.name,
)
def test_python_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One page is one program, from top to bottom; `python no-run` stays out."""
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((200, 260), 60).convert("RGB").save("shirt.jpg")
    text = path.read_text("utf-8")
    names: dict[str, Any] = {"__name__": "docs"}
    for block in PYTHON.finditer(text):
        # Blank lines before it, so that a traceback names the line of the page.
        source = "\n" * text.count("\n", 0, block.start(1)) + block[1]
        exec(compile(source, str(path), "exec"), names)


def script(block: str, url: str) -> str:
    """A block of the README as a script against a store of ours."""
    joined = block.replace("\\\n", " ")
    kept = [line for line in joined.splitlines() if not SKIPPED.match(line)]
    return "\n".join(kept).replace("https://your.shop/feed.xml", url) + "\n"


def test_a_block_becomes_a_script() -> None:
    block = (
        "make demo\nlensback store add x \\\n  --feed https://your.shop/feed.xml\nlensback serve\n"
    )
    assert script(block, "http://a/f.xml").split() == [
        "lensback",
        "store",
        "add",
        "x",
        "--feed",
        "http://a/f.xml",
    ]


def run_block(text: str, folder: Path, environment: Mapping[str, str]) -> str:
    """What a block prints."""
    command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def from_here() -> dict[str, str]:
    """An environment in which `lensback` is ours."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src")}


@pytest.mark.slow
def test_a_sale_by_hand(tmp_path: Path) -> None:
    """Click, postback and payout with curl, as docs/cashback.md shows them."""
    (block,) = BASH.findall(page("cashback.md"))
    said = run_block(block.replace("8000", str(free_port())), tmp_path, from_here())
    assert "401 for a guess" in said
    assert '"state":"payable","cashback":{"amount":"6.00","currency":"EUR"}' in said.replace(
        " ", ""
    )
    assert "6.00 EUR of 1 sale marked as paid" in said
    assert "proven: every balance follows" in said


@pytest.mark.slow
def test_bash_blocks_of_the_readme_run(tmp_path: Path) -> None:
    blocks = BASH.findall(README.read_text("utf-8"))
    assert blocks, "the first steps of the README are marked with <!-- run -->"
    things = items(12)
    environment = {**from_here(), "LENSBACK_ALLOW_HOSTS": '["127.0.0.1"]'}
    folder = tmp_path / "home"
    folder.mkdir()
    draw(things[0], side_px=240).save(folder / "photo.jpg")
    with World(tmp_path / "world") as world:
        store = world.store("your", "google", things)
        for block in blocks:
            run_block(script(block, store.feed_url), folder, environment)
