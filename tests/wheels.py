"""The wheel of this program, and an environment with it and what it asks for, and nothing else.

No index is asked: the packages are those that run the tests, linked one by one. What the wheel does
not ask for cannot be imported there, although it is on this machine.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def build_wheel(folder: Path) -> Path:
    """The wheel of the working tree."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def files_in(wheel: Path) -> set[str]:
    """Paths of the package's files in a wheel, as they lie below `lensback`."""
    with ZipFile(wheel) as packed:
        names = [name for name in packed.namelist() if name.startswith("lensback/")]
    return {name.removeprefix("lensback/") for name in names}


def asked_for(wheel: Path) -> dict[str, Distribution]:
    """What a wheel asks for without any extra, and what that asks for in turn."""
    with ZipFile(wheel) as packed:
        (at,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        lines = packed.read(at).decode().splitlines()
    prefix = "Requires-Dist: "
    to_do = [(line.removeprefix(prefix), "") for line in lines if line.startswith(prefix)]
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    while to_do:
        line, extra = to_do.pop()
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        found[name] = distribution(name)
        for more in {"", *wanted.extras}:
            if (name, more) not in seen:
                seen.add((name, more))
                to_do += [(each, more) for each in found[name].requires or ()]
    return found


def environment(folder: Path, wheel: Path) -> Path:
    """A new environment with a wheel and what it asks for; the folder of its programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    alone = ["install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([*pip, *alone], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    _link(asked_for(wheel), site)
    return folder / "bin"


def _link(wanted: dict[str, Distribution], site: Path) -> None:
    """Makes packages importable in a folder: whole folders by one link, those that they share with a
    package that is not wanted file by file."""
    owners: dict[str, set[str]] = defaultdict(set)
    for each in distributions():
        for top in _tops(each):
            owners[top].add(canonicalize_name(each.name))
    for package in wanted.values():
        for top, below in _tops(package).items():
            whole = owners[top] <= set(wanted)
            for name in [top] if whole else below:
                link = site / name
                if not link.is_symlink():
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(package.locate_file(name))


def _tops(package: Distribution) -> dict[str, list[str]]:
    """First folder or file of a package -> its files there."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in package.files or ():
        if path.parts[0] not in {"..", "__pycache__"}:
            found[path.parts[0]].append(str(path))
    return found
