"""How this program was installed, and so the command that adds a package to it.

`pip install` alone is wrong more often than right: in another environment than this one, in one of
pipx or uv, which have no pip, and for a program that no index knows because it came from a folder.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PROGRAM = "lensback"


def line_that_adds(package: str, extra: str = "") -> str:
    """The command that installs what an extra asks for into the environment that runs this; without
    an extra the package alone, which the program cannot do without."""
    names = [shlex.quote(name) for name in _asked(package, extra)]
    prefix = Path(sys.prefix)
    if (prefix / "pipx_metadata.json").is_file():
        return " ".join(["pipx inject", shlex.quote(prefix.name), *names])
    receipt = prefix / "uv-receipt.toml"
    if receipt.is_file():
        return " ".join(["uv tool install", *_received(receipt), *(f"--with {n}" for n in names)])
    return " ".join([_pip_install(prefix), *names])


def _asked(package: str, extra: str) -> list[str]:
    """As the program's own description asks for them; by plain name where it has none."""
    try:
        lines = requires(PROGRAM) or []
    except PackageNotFoundError:  # run from a folder of sources
        lines = []
    found = []
    for line in lines:
        wanted, _, marker = line.partition(";")
        of = re.search(r"""extra\s*==\s*['"]([\w.-]+)['"]""", marker)
        name = re.match(r"[\w.-]+", wanted)
        if (of[1] if of else "") == extra and (extra or (name and name[0] == package)):
            found.append(wanted.replace(" ", ""))
    return found or [package]


def _pip_install(prefix: Path) -> str:
    """By the pip of this environment, named plainly where the shell would find that very one; uv
    makes environments without one."""
    python = shlex.quote(sys.executable)
    if find_spec("pip") is None:
        return f"uv pip install --python {python}"
    found = shutil.which("pip")
    ours = found is not None and Path(found).parent == prefix / "bin"
    return f"{'pip' if ours else f'{python} -m pip'} install"


def _received(receipt: Path) -> list[str]:
    """What `uv tool install` was told before: it forgets what is not said again."""
    kept = tomllib.loads(receipt.read_text("utf-8"))["tool"]["requirements"]
    said: list[str] = []
    for one in kept:
        source = _source(one)
        if one["name"] == PROGRAM:
            said.insert(0, f"{'--editable ' if one.get('editable') else ''}{shlex.quote(source)}")
        else:
            said.append(f"--with {shlex.quote(source)}")
    return said


def _source(one: Mapping[str, Any]) -> str:
    """A requirement of uv's receipt as its command line takes it."""
    extras = f"[{','.join(one['extras'])}]" if one.get("extras") else ""
    for kind, scheme in (
        ("directory", ""),
        ("editable", ""),
        ("path", ""),
        ("url", ""),
        ("git", "git+"),
    ):
        if place := one.get(kind):
            return f"{scheme}{place}{extras}"
    return f"{one['name']}{extras}{one.get('specifier', '')}"
