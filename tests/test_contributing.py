"""The guides of CONTRIBUTING.md, followed to the letter."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_, CORPUS, OBJECTIVE, *_ = (
    (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## ")
)
PLACES = {
    "CORPUS = Corpus(": "data_prep/corpora/studio.py",
    "def test_names": "tests/data_prep/test_studio.py",
    "class Spread": "spread.py",
    "trains_on: all": "spread.yaml",
}


def blocks(guide: str) -> list[tuple[str, str]]:
    """A guide's blocks of code: language and text."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)


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


@pytest.fixture
def follow(checkout):
    """Carry out a guide's blocks; what its commands printed."""
    pytest.importorskip("espeakng_loader", reason="stand-ins need the extra demo")
    bin_folder = checkout / "bin"
    bin_folder.mkdir()
    for name, module in (("python", ""), ("xser", "-m xser_brain")):
        script = bin_folder / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        script.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(checkout),
        "OMP_NUM_THREADS": "1",
    }

    def run(guide: str) -> str:
        printed = ""
        for language, text in blocks(guide):
            if language != "bash":
                (place,) = [PLACES[mark] for mark in PLACES if mark in text]
                written_by_new = place.startswith(("data_prep", "tests"))
                assert (checkout / place).is_file() == written_by_new
                (checkout / place).write_text(text)
                continue
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=checkout, env=environment, capture_output=True, text=True,
                timeout=400,
            )  # fmt: skip
            assert done.returncode == 0, (
                text + done.stdout[-3000:] + done.stderr[-3000:]
            )
            printed += done.stdout
        return printed

    return run


@pytest.mark.slow
def test_a_corpus_of_ones_own(checkout, follow):
    printed = follow(CORPUS)
    assert "TODO" not in printed.split("studio.py")[-1]
    assert "1 passed" in printed
    assert "emodb never heard in training" in printed
    assert "| studio |" in (checkout / "README.md").read_text(encoding="utf-8")
    assert list(checkout.glob("recipes/**/studio_to_emodb/proposed/ecapa/1/run.json"))


@pytest.mark.slow
def test_an_objective_of_ones_own(checkout, follow):
    printed = follow(OBJECTIVE)
    run = checkout / "results/demo/iemocap_to_emodb/spread/ecapa/1"
    record = json.loads((run / "run.json").read_text("utf-8"))
    assert record["objectives"] == ["emotion", "spread"]
    assert "train spread: " in (run / "train_log.txt").read_text("utf-8")
    assert "margin: 0.8" in (run / "hyperparams.yaml").read_text("utf-8")
    table = printed[printed.index("# ") :] if "# " in printed else printed
    assert "| Spread " in table and "| Baseline 2 " in table
    assert "03a01" in printed
