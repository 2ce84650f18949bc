"""The tested set: one place of fixed versions, that setup.py's ranges admit."""

import re
import runpy
import subprocess
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
]


@pytest.fixture
def admitted(monkeypatch):
    """What setup.py asks for, with all extras."""
    given = {}
    monkeypatch.setattr(setuptools, "setup", lambda **kwargs: given.update(kwargs))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    extras = [line for extra in given["extras_require"].values() for line in extra]
    return [Requirement(line) for line in [*given["install_requires"], *extras]]


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize(
    ("system", "machine"),
    [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")],
)
def test_tested_set_is_whole_and_admitted(admitted, python, system, machine):
    there = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": system,
        "platform_system": system.capitalize(),
        "platform_machine": machine,
    }
    pinned = {}
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate(there):
            assert pinned.setdefault(canonicalize_name(pin.name), pin) is pin
    for needed in admitted:
        (fixed,) = pinned[canonicalize_name(needed.name)].specifier
        assert fixed.operator == "=="
        assert needed.specifier.contains(fixed.version), f"{needed}: make constraints"
    assert {"setuptools", "uv"} <= set(pinned)  # what builds and what resolves


def test_versions_are_fixed_in_one_place_only():
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "constraints.txt" in tracked
    where = [
        name
        for name in tracked
        if Path(name).suffix in (".py", ".md", ".toml", ".txt", ".cfg", "")
        and re.search(
            r"\b[a-z][\w.\[\]-]*==\d", (ROOT / name).read_text(encoding="utf-8")
        )
    ]
    assert where == ["constraints.txt"]
