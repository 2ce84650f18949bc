"""Do the installed packages fit each other? Said in one line, before any is imported.

pip keeps what each package asks for, unless it is overruled, or a package does not say:
torchaudio from 2.11 on names no torch, and refuses the wrong one only when imported.
"""

import ast
import contextlib
import functools
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

OURS = "xser-brain"
TESTED = Path(__file__).resolve().parents[1] / "constraints.txt"


def require() -> None:
    """End with code 2 if packages do not fit, and say on stderr how to mend it."""
    if misfit := next(misfits(), None):
        print(f"error: {misfit}", file=sys.stderr)
        raise SystemExit(2)


def misfits() -> Iterator[str]:
    """What does not fit: our requirements, what these ask of each other, and CUDA.

    Yields one line for each pair. Packages that are not installed are passed over: not
    everyone needs all.
    """
    ours = _installed(OURS)
    direct = {_name(line): line for line in ours.requires} if ours else {}
    there = {name: found for name in direct if (found := _installed(name))}
    for package in filter(None, [ours, *there.values()]):
        for line in package.requires:
            if not (found := there.get(_name(line))):
                continue
            needed = Requirement(line)
            if needed.marker and not needed.marker.evaluate():
                continue
            if found.name == "torch" and package is ours:
                # Its cap stands for CUDA, on which the builds themselves are asked.
                needed.specifier = SpecifierSet(
                    ",".join(str(s) for s in needed.specifier if "<" not in s.operator)
                )
            if not needed.specifier.contains(found.version, prereleases=True):
                pair = {package.name, found.name}
                yield (
                    f"{found.name} {found.version} does not fit {package.name} "
                    f"{package.version}, which needs {found.name}{needed.specifier}: "
                    + _command("--upgrade", [direct[n] for n in direct if n in pair])
                )
    yield from _cuda_misfit(direct)


def _cuda_misfit(direct: dict[str, str]) -> Iterator[str]:
    """Torch and torchaudio of different CUDA versions: torchaudio's own rule.

    It compares the version that its library was built for, if that is there, with
    torch's: up to 2.11.0 with the minor version, later releases the major one alone. A
    library built for CUDA does not load at all beside a torch without it.
    """
    torch, torchaudio = _build("torch"), _build("torchaudio")
    built_for = re.search(r"\+cu(\d+)(\d)$", torchaudio.get("__version__", ""))
    if "cuda" not in torch or not built_for:
        return
    parts = 1 if Version(torchaudio["__version__"]).release > (2, 11, 0) else 2
    cuda = torch["cuda"] or ""
    if cuda.split(".")[:parts] != list(built_for.groups())[:parts]:
        both = [direct.get(name, name) for name in ("torch", "torchaudio")]
        yield (
            f"torch {torch['__version__']} ({f'CUDA {cuda}' if cuda else 'no CUDA'}) does "
            f"not fit torchaudio {torchaudio['__version__']} (CUDA "
            f"{'.'.join(built_for.groups())}): {_command('--force-reinstall', both)}"
        )


def _build(name: str) -> dict[str, str | None]:
    """What a package's version.py says, without importing it; empty if it is not there."""
    package = _installed(name)
    folder = package and package.folder / name
    if not folder or not (folder / "version.py").is_file():
        return {}
    if name == "torchaudio" and not any((folder / "lib").glob("_torchaudio.*")):
        return {}
    assigned = re.findall(
        r"^(\w+)(?::[^=]+)? = (None|'.*')$", (folder / "version.py").read_text(), re.M
    )
    return {key: ast.literal_eval(value) for key, value in assigned}


class _Package(NamedTuple):
    """An installed package; requires: the lines of its metadata, without its extras."""

    name: str
    version: str
    requires: list[str]
    folder: Path


def _installed(name: str) -> _Package | None:
    """Read what is installed under a name, as importlib.metadata does.

    That takes longer to import than all of this module, which every command pays for.
    """
    metadata = _metadata().get(name)
    if not metadata:
        return None
    header = metadata.read_text(encoding="utf-8").partition("\n\n")[0]
    fields = re.findall(r"^(Version|Requires-Dist): (.*)$", header, re.M)
    requires = [value for key, value in fields if key == "Requires-Dist"]
    return _Package(
        name,
        dict(fields)["Version"],
        [line for line in requires if not re.search(r"\bextra\b", line)],
        metadata.parents[1],
    )


@functools.cache
def _metadata() -> dict[str, Path]:
    """The metadata file of every package that can be imported, by normalised name."""
    found = {}
    for folder in map(Path, sys.path):
        entries = []
        with contextlib.suppress(OSError):  # no folder, or none that may be read
            entries = os.listdir(folder)
        for entry in entries:
            if match := re.fullmatch(r"([\w.]+)(?:-.*)?\.(dist|egg)-info", entry):
                file = "METADATA" if match[2] == "dist" else "PKG-INFO"
                if (folder / entry / file).is_file():
                    found.setdefault(_name(match[1]), folder / entry / file)
    return found


def _name(requirement: str) -> str:
    """The normalised name of what is required."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def _command(option: str, packages: list[str]) -> str:
    """The pip command that mends it, with the tested versions in a checkout."""
    tested = ["-c", str(TESTED)] if TESTED.is_file() else []
    return shlex.join(["pip", "install", option, *tested, *packages])
