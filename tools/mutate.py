"""Mutation testing: how many small mistakes in the core the tests notice.

    python tools/mutate.py                      every module of tools/mutate.toml
    python tools/mutate.py rank ledger.sale     some
    python tools/mutate.py --sample 300         a random sample of all, with its interval

A mutant (tools/mutants.py) is killed where a test fails. Each is tried in a fork, by those tests only
that ran the changed line before, the fastest first. In the first fork the tests are collected and one
function has the changed code; what survives that, or is no function's body, is tried once more in a
fork that loads the changed module from its beginning. What a run found is kept in build/mutation, so that the next one goes on there:
a mutant is tried again where its function, or a test file of its module, has changed. Mutants that
no test can kill are argued in tools/mutants_argued.toml, each with a reason; they are counted apart.
Writes bench/results/mutation.json.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import hashlib
import importlib
import importlib.abc
import importlib.util
import inspect
import json
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
import tomllib
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "lensback"
KEPT = ROOT / "build" / "mutation"
ARGUED = ROOT / "tools" / "mutants_argued.toml"
THREADED = (
    "lancedb",
    "lance",
    "onnxruntime",
    "openvino",
    "torch",
    "ray",
    "grpc",
    "pymilvus",
    "cv2",
)
"""Libraries that start threads: never loaded before a fork."""
OWN = (
    "lensback",
    "tests",
    "conftest",
    "test_",
    "world",
    "tiny",
    "shown",
    "servers",
    "milvus_server",
    "bench",
)
SETTINGS = "_hypothesis_internal_use_settings"
"""Where hypothesis keeps the settings of a test."""
EXAMPLES = 40
"""Most examples of one property: a mutant that only rarer ones find shall count as alive."""

sys.path[:0] = [str(ROOT / name) for name in ("", "src", "tests", "bench", "tools")]

from mutants import Mutant, mutants_of  # noqa: E402


@dataclass(frozen=True)
class Target:
    """A module and the test files that stand for it."""

    name: str
    path: Path
    tests: tuple[str, ...]
    keyword: str
    functions: tuple[str, ...] = ()
    """Only these are changed; empty: all."""

    @property
    def module(self) -> str:
        return f"lensback.{self.name}"


@dataclass(frozen=True)
class Covering:
    """One test: how long it takes, and the lines of the module that it runs."""

    test: str
    seconds: float
    lines: frozenset[int]


def targets() -> list[Target]:
    """The table of tools/mutate.toml."""
    table = tomllib.loads((ROOT / "tools" / "mutate.toml").read_text("utf-8"))
    made = []
    for name, row in table["modules"].items():
        path = SRC / (name.replace(".", "/") + ".py")
        tests = tuple(f"tests/test_{test}.py" for test in row["tests"])
        functions = tuple(row.get("functions", ()))
        made.append(Target(name, path, tests, row.get("keyword", table["keyword"]), functions))
    return made


def changes(target: Target) -> list[Mutant]:
    """All mutants of a module, in its order."""
    found = mutants_of(target.name, target.path)
    return [one for one in found if not target.functions or one.function in target.functions]


# ---- one run of pytest, in a fork


class _Source(importlib.abc.SourceLoader):
    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text

    def get_filename(self, _fullname: str) -> str:
        return str(self._path)

    def get_data(self, path: str | bytes) -> bytes:
        if str(path) != str(self._path):
            raise OSError(path)  # no compiled file is read or written
        return self._text.encode()


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module in a text instead of its file."""

    def __init__(self, target: Target, text: str) -> None:
        self._name, self._loader = target.module, _Source(target.path, text)

    def find_spec(self, fullname: str, _path: Any = None, _target: Any = None) -> Any:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self._loader)


class _Plugin:
    """Chooses and orders the tests, and tells which failed and how long each took.

    `on_failure` is called at once with the test's name: a killed mutant needs no tidy end."""

    def __init__(
        self, wanted: Sequence[str] | None, on_failure: Callable[[str], None] | None = None
    ) -> None:
        self._on_failure = on_failure
        self.wanted = {name: n for n, name in enumerate(wanted)} if wanted is not None else None
        self.failed = ""
        self.seconds: dict[str, float] = defaultdict(float)
        self.test = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        from hypothesis import Phase, settings

        if (wanted := self.wanted) is not None:
            chosen = [item for item in items if item.nodeid in wanted]
            items[:] = sorted(chosen, key=lambda item: wanted[item.nodeid])
        for item in items:
            test = getattr(item, "function", None)
            if not hasattr(test, "hypothesis"):
                continue
            given: Any = getattr(test, SETTINGS, None) or settings.default
            fast = settings(
                given,
                max_examples=min(given.max_examples, EXAMPLES),
                deadline=None,
                derandomize=True,
                database=None,
                phases=(Phase.explicit, Phase.generate),
            )
            setattr(test, SETTINGS, fast)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.test = nodeid

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed and not self.failed:
            self.failed = report.nodeid
            if self._on_failure:
                self._on_failure(report.nodeid)


def _pytest(target: Target, plugin: _Plugin, scratch: Path) -> int:
    import pytest

    names = plugin.wanted
    # A function with many cases is collected once, and the cases are chosen by the plugin.
    ids = target.tests if names is None else dict.fromkeys(name.split("[")[0] for name in names)
    options = ["-x", "-q", "--capture=sys", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no"]
    options += ["-p", "no:unraisableexception", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    if target.keyword:
        options += ["-k", target.keyword]
    return int(pytest.main([*options, f"--basetemp={scratch / 'tmp'}", *ids], plugins=[plugin]))


def _forked(work: Callable[[], Any], scratch: Path, cpu_s: float, wall_s: float) -> Any:
    """What `work` returns, done in a child; None where it ran out of time or died."""
    answer = scratch / "answer.json"
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        code = 1
        try:
            with (scratch / "output").open("w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_s) + 1, int(cpu_s) + 2))
            answer.write_text(json.dumps(work()), "utf-8")
            code = 0
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    until = time.monotonic() + wall_s
    done = 0
    while not done and time.monotonic() < until:
        done, _ = os.waitpid(child, os.WNOHANG)
        if not done:
            time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not done:
        os.waitpid(child, 0)
    return json.loads(answer.read_text("utf-8")) if answer.exists() else None


# ---- the tests of a module: which lines each runs


def _traced(target: Target, scratch: Path) -> dict[str, Any]:
    """Runs all its tests once, taking down the lines of the module that each runs."""
    plugin = _Plugin(None)
    lines: dict[str, set[int]] = defaultdict(set)
    own = str(target.path)

    def local(frame: FrameType, event: str, _arg: Any) -> Any:
        if event == "line":
            lines[plugin.test].add(frame.f_lineno)
        return local

    def trace(frame: FrameType, _event: str, _arg: Any) -> Any:
        return local if frame.f_code.co_filename == own else None

    sys.meta_path.insert(0, _Finder(target, target.path.read_text("utf-8")))
    threading.settrace(trace)
    sys.settrace(trace)
    code = _pytest(target, plugin, scratch)
    sys.settrace(None)
    found = [[test, plugin.seconds[test], sorted(lines[test])] for test in plugin.seconds]
    return {"code": code, "failed": plugin.failed, "tests": found, "modules": sorted(sys.modules)}


def _covering(target: Target, scratch: Path) -> tuple[list[Covering], list[str]]:
    """The module's tests, and every module that they load."""
    kept = KEPT / f"{target.name}.tests.json"
    stamp = _digest(
        target.path, *(ROOT / test for test in target.tests), ROOT / "tests/conftest.py"
    )
    found = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    if found.get("stamp") != stamp:
        found = _forked(lambda: _traced(target, scratch), scratch, 600, 1800) or {"code": -1}
        if found["code"] != 0:
            sys.exit(f"{target.name}: its tests do not pass: {found}\n{_output(scratch)}")
        kept.write_text(json.dumps(found | {"stamp": stamp}), "utf-8")
    tests = [Covering(test, s, frozenset(lines)) for test, s, lines in found["tests"]]
    return tests, found["modules"]


def _output(scratch: Path) -> str:
    return (scratch / "output").read_text("utf-8", "replace")[-3000:]


def _digest(*paths: Path) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()


# ---- what is loaded before the forks


def _preload(target: Target, names: Iterable[str]) -> None:
    """Loads what the tests need, but what depends on the changed module, or starts threads."""
    names = _load_others(names)
    mine = [name for name in names if name.startswith("lensback")]
    changed = _dependent(target.module, mine)
    for name in mine:
        if name not in changed:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    loaded_by_chance = [name for name in sys.modules if name in changed]
    for name in loaded_by_chance:
        package, _, tail = name.rpartition(".")
        if package in sys.modules and hasattr(sys.modules[package], tail):
            delattr(sys.modules[package], tail)
        del sys.modules[name]


def _load_others(names: Iterable[str]) -> list[str]:
    """Loads what is neither ours nor starts threads. Those of the names that start none."""
    names = [name for name in names if name.split(".")[0] not in THREADED]
    for name in names:
        if not name.startswith((*OWN, "_pytest")):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    return names


def _dependent(module: str, names: Sequence[str]) -> set[str]:
    """The module, the packages above it, and all that import one of them, also through others."""
    imports = {name: _imports(name) for name in names}
    found = {module}
    while True:
        more = {
            name
            for name in names
            if name not in found
            and (
                imports[name] & found
                or any(one.startswith(f"{name}.") for one in found if name != "lensback")
            )
        }
        if not more:
            return found
        found |= more


def _imports(name: str) -> set[str]:
    path = SRC.parent / name.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.exists():
        return set()
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


# ---- the trial of one mutant


class _Collected(_Plugin):
    """Collects the tests once, and then runs some of them for each mutant, each time in a fork."""

    def __init__(self, target: Target, scratch: Path) -> None:
        super().__init__(None)
        self._target, self._scratch = target, scratch
        self._items: dict[str, Any] = {}
        self.trials: Callable[[], None] = lambda: None

    def pytest_runtestloop(self, session: Any) -> bool:
        self._items = {item.nodeid: item for item in session.items}
        gc.freeze()
        self.trials()
        return True

    def tried(self, mutant: Any, tests: Sequence[Covering]) -> dict[str, Any]:
        def work(wanted: Sequence[str], on_failure: Callable[[str], None]) -> dict[str, Any]:
            self._on_failure = on_failure
            if isinstance(mutant, _Unchanged) or _swapped(self._target, mutant):
                items = [self._items[name] for name in wanted]
                for item, following in zip(items, [*items[1:], None], strict=True):
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            return {"code": 0, "by": ""}

        return _tried(mutant, tests, self._scratch, work)


def _swapped(target: Target, mutant: Any) -> bool:
    """Gives the function the changed code. False where that cannot be done."""
    *path, name = mutant.function.split(".")
    code = compile(mutant.source(), str(target.path), "exec", dont_inherit=True)
    place: Any = sys.modules[target.module]
    try:
        for part in (*path, name):
            (code,) = (c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == part)
        for part in path:
            place = vars(place)[part]
        _plain(vars(place)[name]).__code__ = code
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    for module in [m for name, m in sys.modules.items() if name.startswith("lensback")]:
        for value in list(vars(module).values()):
            # What was computed while the tests were collected came from the code as it is.
            getattr(value, "cache_clear", lambda: None)()
    return True


def _plain(value: Any) -> Any:
    """The function behind a property, a class method or a wrapper."""
    for name in ("fget", "__func__", "func", "wrapped"):
        value = getattr(value, name, None) or value
    return inspect.unwrap(value)


def _imported(target: Target, mutant: Any, scratch: Path) -> Callable[..., dict[str, Any]]:
    """Runs tests with the module loaded from the changed text."""
    source = mutant.source()

    def work(wanted: Sequence[str], on_failure: Callable[[str], None]) -> dict[str, Any]:
        plugin = _Plugin(wanted, on_failure)
        sys.meta_path.insert(0, _Finder(target, source))
        return {"code": _pytest(target, plugin, scratch), "by": plugin.failed}

    return work


def _tried(
    mutant: Any, tests: Sequence[Covering], scratch: Path, work: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    """killed, survived or timeout; by which test."""
    first, last = mutant.ran
    lines = set(range(first, last + 1))
    chosen = [one for one in tests if last == 0 or lines & one.lines]
    if not chosen:
        return {"state": "survived", "by": "no test runs it"}
    wanted = [one.test for one in sorted(chosen, key=lambda one: one.seconds)]

    def killed(by: str) -> None:
        (scratch / "answer.json").write_text(json.dumps({"code": 1, "by": by}), "utf-8")
        os._exit(0)

    seconds = sum(one.seconds for one in chosen)
    done = _forked(lambda: work(wanted, killed), scratch, 15 + 5 * seconds, 120 + 20 * seconds)
    if done is None:
        return {"state": "timeout", "by": ""}
    if done["code"] == 0:
        return {"state": "survived", "by": ""}
    if done["code"] == 5:
        raise RuntimeError(f"no test was collected: {mutant.key}\n{_output(scratch)}")
    return {"state": "killed", "by": done["by"] or "import"}


@dataclass(frozen=True)
class _Unchanged:
    """The module as it is, which every test has to leave alive."""

    ran = (0, 0)
    key = "unchanged"
    path: Path

    def source(self) -> str:
        return self.path.read_text("utf-8")


def run(target: Target, wanted: set[str] | None, *, afresh: bool = False) -> None:
    """Tries the mutants of a module (those with these keys) and keeps what came out."""
    mutants = changes(target)
    stamp = _digest(*(ROOT / test for test in target.tests))
    found = {} if afresh else _kept(target)
    todo = [one for one in mutants if wanted is None or one.key in wanted]
    todo = [one for one in todo if not _known(found.get(one.key), stamp)]
    if not todo:
        return
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        tests, modules = _covering(target, scratch)
        os.environ["MIGRATED_SQLITE"] = str(KEPT / "migrated.db")
        plugin = _Collected(target, scratch)

        def in_bodies() -> None:
            _check_unchanged(target, plugin.tried(_Unchanged(target.path), tests), scratch)
            _try_all(target, [one for one in todo if one.in_body], stamp, found,
                     lambda one: plugin.tried(one, tests))  # fmt: skip

        plugin.trials = in_bodies
        child = os.fork()
        if child == 0:
            _load_others(modules)
            _exit_with(lambda: _pytest(target, plugin, scratch))
        if os.waitpid(child, 0)[1]:
            sys.exit(f"{target.name} could not be tried")
        found = _kept(target)
        rest = [
            one for one in todo if found.get(one.key, {}).get("state", "survived") == "survived"
        ]
        rest = [one for one in rest if found.get(one.key, {}).get("by") != "no test runs it"]
        if not rest:
            return
        _preload(target, modules)
        gc.freeze()  # what is loaded need not be looked at by every child

        def imported(one: Any) -> dict[str, Any]:
            return _tried(one, tests, scratch, _imported(target, one, scratch))

        _check_unchanged(target, imported(_Unchanged(target.path)), scratch)
        _try_all(target, rest, stamp, found, imported)


def _try_all(
    target: Target,
    mutants: Sequence[Any],
    stamp: str,
    found: dict[str, Any],
    tried: Callable[[Any], dict[str, Any]],
) -> None:
    for n, one in enumerate(mutants, 1):
        found[one.key] = {**tried(one), "stamp": stamp}
        if n % 50 == 0 or n == len(mutants):
            partial = KEPT / f"{target.name}.tmp"
            partial.write_text(json.dumps(found, ensure_ascii=False, indent=0), "utf-8")
            partial.replace(KEPT / f"{target.name}.json")
            alive = sum(found[each.key]["state"] == "survived" for each in mutants[:n])
            _say(f"{target.name}: {n} of {len(mutants)}, {alive} alive")


def _check_unchanged(target: Target, done: dict[str, Any], scratch: Path) -> None:
    if done["state"] != "survived":
        sys.exit(f"{target.name}: fails unchanged: {done}\n{_output(scratch)}")


def _kept(target: Target) -> dict[str, Any]:
    kept = KEPT / f"{target.name}.json"
    return json.loads(kept.read_text("utf-8")) if kept.exists() else {}


def _exit_with(work: Callable[[], Any]) -> None:
    """Ends this process, which is a fork, when the work is done."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as error:
        print(error, file=sys.stderr)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _known(found: dict[str, Any] | None, stamp: str) -> bool:
    """A kill stays one until asked afresh; a survivor is tried again when the tests changed."""
    return found is not None and (found["state"] != "survived" or found["stamp"] == stamp)


def _say(text: str) -> None:
    print(text, file=sys.__stdout__, flush=True)


# ---- the figure


def argued() -> dict[str, str]:
    """Key of a mutant -> why no test can kill it."""
    if not ARGUED.exists():
        return {}
    rows = tomllib.loads(ARGUED.read_text("utf-8")).get("mutant", [])
    found = {}
    for row in rows:
        for after in [row["after"]] if isinstance(row["after"], str) else row["after"]:
            key = f"{row['module']} {row['function']}: {row['before']} -> {after}"
            found[key] = row["reason"]
    return found


def report(chosen: Sequence[Target], wanted: set[str] | None) -> dict[str, Any]:
    """Counts by module, and over all of them."""
    from rig import share

    reasons = argued()
    modules: dict[str, Any] = {}
    total: Counter[str] = Counter()
    stale = {key for key in reasons if key.split(" ")[0] in {one.name for one in chosen}}
    for target in chosen:
        found = _kept(target)
        count: Counter[str] = Counter()
        for one in changes(target):
            stale.discard(one.key)
            if (wanted is not None and one.key not in wanted) or one.key not in found:
                continue
            state = found[one.key]["state"]
            state = "argued" if state == "survived" and one.key in reasons else state
            count[state] += 1
        modules[target.name] = _row(count)
        total += count
    killed = total["killed"] + total["timeout"]
    all_ = {**_row(total), "interval95": share(killed, total.total())["interval95"]}
    return {"all": all_, "modules": modules, "stale_arguments": sorted(stale)}


def _row(count: Counter[str]) -> dict[str, Any]:
    names = ("killed", "timeout", "survived", "argued")
    n = count.total()
    killed = count["killed"] + count["timeout"]
    return {"mutants": n, **{name: count[name] for name in names}} | {
        "killed_share": round(killed / n, 4) if n else None
    }


def _sample(chosen: Sequence[Target], size: int, seed: int) -> set[str]:
    keys = [one.key for target in chosen for one in changes(target)]
    return set(random.Random(seed).sample(keys, min(size, len(keys))))


def _template() -> None:
    """An empty catalogue to copy, so that no mutant has to wait for the migrations."""
    from lensback.db import Database, sqlite_url

    path = KEPT / "migrated.db"
    path.unlink(missing_ok=True)
    database = Database(sqlite_url(path))
    database.migrate()
    database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*", help="e.g. rank ledger.sale; ledger: all below it")
    parser.add_argument("--sample", type=int, default=0, help="so many, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--afresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--list", action="store_true", help="only list the known survivors")
    options = parser.parse_args()
    os.chdir(ROOT)
    KEPT.mkdir(parents=True, exist_ok=True)
    names = options.modules
    chosen = [
        one
        for one in targets()
        if not names or any(one.name == n or one.name.startswith(f"{n}.") for n in names)
    ]
    if not chosen:
        sys.exit(f"no such module in tools/mutate.toml: {' '.join(names)}")
    wanted = _sample(chosen, options.sample, options.seed) if options.sample else None
    if not options.list:
        os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
        child = os.fork()
        if child == 0:
            _exit_with(_template)
        os.waitpid(child, 0)
        for target in chosen:
            # A process for each module: what one has loaded, another may have to change.
            child = os.fork()
            if child == 0:
                _exit_with(partial(run, target, wanted, afresh=options.afresh))
            if os.waitpid(child, 0)[1]:
                sys.exit(f"{target.name} could not be tried")
    _survivors(chosen, wanted)
    figures = report(chosen, wanted)
    if not names and not options.list:
        from rig import write

        write("mutation", {"sample": options.sample, "seed": options.seed, **figures})
    else:
        print(json.dumps(figures, indent=1))


def _survivors(chosen: Sequence[Target], wanted: set[str] | None) -> None:
    reasons = argued()
    for target in chosen:
        found = _kept(target)
        for one in changes(target):
            state = found.get(one.key, {}).get("state")
            if state == "survived" and one.key not in reasons and (not wanted or one.key in wanted):
                place = f"{target.path.relative_to(ROOT)}:{one.line} {one.function}"
                print(f"{place}\n  - {one.before}\n  + {one.after}")


if __name__ == "__main__":
    main()
