"""The guide for a new corpus, followed to the letter."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## ")[1]
PLACES = {"CORPUS = Corpus(": "data_prep/corpora/studio.py",
          "def test_names": "tests/data_prep/test_studio.py"}  # fmt: skip


def blocks() -> list[tuple[str, str]]:
    """The guide's blocks of code: language and text."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def checkout(tmp_path):
    """A copy of the project in which the guide may write."""
    for name in ("data_prep", "xser_brain", "recipes", "tests"):
        shutil.copytree(
            ROOT / name,
            tmp_path / name,
            ignore=shutil.ignore_patterns("results", "__pycache__"),
        )
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.slow
def test_the_guide(checkout):
    pytest.importorskip("espeakng_loader", reason="stand-ins need the extra demo")
    bin_folder = checkout / "bin"
    bin_folder.mkdir()
    for name, module in (("python", ""), ("xser", "-m xser_brain.cli")):
        script = bin_folder / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(checkout),
        "OMP_NUM_THREADS": "1",
    }
    printed = ""
    for language, text in blocks():
        if language == "python":
            (place,) = [PLACES[mark] for mark in PLACES if mark in text]
            assert (checkout / place).is_file(), "`new` had not written it"
            (checkout / place).write_text(text)
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=checkout, env=environment, capture_output=True, text=True, timeout=400,
        )  # fmt: skip
        assert done.returncode == 0, text + done.stdout[-3000:] + done.stderr[-3000:]
        printed += done.stdout
    assert "TODO" not in printed.split("studio.py")[-1]
    assert "1 passed" in printed
    assert "emodb never heard in training" in printed
    assert "studio" in printed.splitlines()[-45:][0] or "| studio" in printed
    assert list(checkout.glob("recipes/**/studio_to_emodb/proposed/ecapa/1/run.json"))
