"""The image gets all that the package is made of, and nothing else."""

import fnmatch
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COPIED = [
    name
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    for name in line.split()[:-1]
]
MOUNTED = re.findall(r"--mount=type=bind,source=([^,]+)", DOCKERFILE)


def test_all_that_is_copied_is_there():
    assert len(COPIED) > 5
    for name in [*COPIED, *MOUNTED]:
        assert (ROOT / name).exists(), name


def test_dockerignore_lets_through_what_is_copied_and_no_more():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    let_through = {rule[1:] for rule in rules if rule.startswith("!")}
    assert let_through == {*COPIED, *MOUNTED}


def test_it_runs_the_tested_set_as_no_one_special():
    installs = re.findall(r"pip install (?:[^\\\n]|\\\n)+", DOCKERFILE)
    assert installs
    for install in installs:
        assert "constraints.txt" in install
    *_, stage = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
    assert re.search(r"^USER [1-9]\d*$", stage, re.MULTILINE)
    [entry] = re.findall(r"^ENTRYPOINT (.+)$", stage, re.MULTILINE)
    assert json.loads(entry) == ["xser"]
    assert '"xser = xser_brain.cli:main"' in (ROOT / "setup.py").read_text()


@pytest.mark.slow
def test_the_wheel_of_what_is_copied_is_whole(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__", "results")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, tmp_path)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps",
         "--no-build-isolation", "-w", "wheel", "."],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for folder, home in (("data_prep", "data_prep"), ("xser_brain", "xser_brain"),
                         ("recipes", "xser_brain/recipes_data")):  # fmt: skip
        for path in (tmp_path / folder).rglob("*"):
            if path.is_file():
                assert f"{home}/{path.relative_to(tmp_path / folder)}" in names
    assert fnmatch.filter(names, "*.dist-info/licenses/LICENSE")
