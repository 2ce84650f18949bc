"""What `python -m build` makes of the repository is the whole product."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import setuptools  # noqa: F401  (it brings the distutils that run_setup is of)
import soundfile

from data_prep import __version__

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[[^\]]*\]\((?!https?://)[^)]*\)")
DEMO = ("--demo=True", "--steps=4", "--validate_every=2", "--results=results/demo")


@pytest.fixture(scope="module")
def metadata():
    """What setup.py declares."""
    from distutils.core import run_setup

    before = Path.cwd()
    os.chdir(ROOT)
    try:
        yield run_setup("setup.py", stop_after="init").metadata
    finally:
        os.chdir(before)


def test_the_description_has_no_link_that_leads_nowhere(metadata):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(LINK.findall(readme)) >= 5
    text = metadata.long_description
    assert not LINK.findall(text)
    for link in LINK.findall(readme):
        path = re.search(r"\(([^)#]*)", link)[1]
        assert (ROOT / path).exists()
        assert f"`{path}`" in text
    kept = re.findall(r"\]\(https?://[^)]*\)", readme)
    assert re.findall(r"\]\(https?://[^)]*\)", text) == kept


def test_the_description_is_rendered_without_a_relative_link(metadata):
    markdown = pytest.importorskip(
        "readme_renderer.markdown", reason="readme_renderer is not installed"
    )
    page = markdown.render(metadata.long_description)
    assert page is not None
    targets = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert targets
    assert all(target.startswith(("http", "#")) for target in targets)


def test_metadata(metadata):
    assert metadata.version == __version__
    assert metadata.author == "XSER contributors"
    assert metadata.license_files == ["LICENSE"]
    assert "Programming Language :: Python :: 3.14" in metadata.classifiers
    assert metadata.project_urls["Paper"] == "https://arxiv.org/abs/2606.06200"


# --- Built and installed


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A source distribution of a checkout, and the wheel that it makes."""
    folder = tmp_path_factory.mktemp("built")
    checkout = folder / "checkout"
    ignored = shutil.ignore_patterns(
        ".git", ".venv*", "__pycache__", "results", "*.egg-info", "build", "shared"
    )
    shutil.copytree(ROOT, checkout, ignore=ignored)
    for name in ("results/report.yaml", "en_de/results/a/hparams/x.yaml"):
        path = checkout / "recipes" / name
        path.parent.mkdir(parents=True)
        path.touch()
    code = "from setuptools.build_meta import build_sdist as b; b('..')"
    subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, check=True, capture_output=True
    )
    (sdist,) = folder.glob("*.tar.gz")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps",
         "--no-build-isolation", "-w", folder, sdist],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def shipped(*folders: str) -> set[str]:
    """Files of the repository below some folders, but for what runs have left."""
    return {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and not {"results", "__pycache__"} & {*path.parts}
    }


@pytest.mark.slow
def test_all_files_are_in_it(built):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    found = {name for name in names if ".dist-info/" not in name}
    wanted = shipped("data_prep", "xser_brain", "recipes")
    data = "xser_brain/recipes_data/"
    assert found == {re.sub("^recipes/", data, name) for name in wanted}
    assert {Path(name).name for name in names - found} >= {"LICENSE", "METADATA"}
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted |= shipped("tests", "docs", "benchmarks")
    assert wanted | {"LICENSE", "CONTRIBUTING.md", "Makefile"} <= names
    assert not [name for name in names if "results/" in name]


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """Run commands of the installed wheel in an empty folder."""
    pytest.importorskip("espeakng_loader", reason="stand-ins need the extra demo")
    (wheel,) = built.glob("*.whl")
    site = built / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site,
         wheel],
        check=True,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("empty")
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "PATH": f"{site / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "XSER_CORPORA": str(folder / "corpora"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }

    def run(*command) -> str:
        program, *args = map(str, command)
        command = [sys.executable, *args] if program == "python" else [program, *args]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    run.folder, run.site = folder, site
    demo = run("xser", "train", "en_de/hparams/iemocap_to_emodb.yaml", *DEMO)
    run.demo = demo
    return run


@pytest.mark.slow
def test_it_is_the_wheel_that_runs(installed):
    code = (
        "import xser_brain, data_prep; print(xser_brain.__file__, data_prep.__file__)"
    )
    assert installed("python", "-c", code).count(str(installed.site)) == 2
    assert f"in {installed.site}/xser_brain/recipes_data" in installed(
        "xser", "recipes", "list"
    )


@pytest.mark.slow
def test_demo_and_predict(installed):
    run = Path("results/demo/iemocap_to_emodb/proposed/ecapa/1")
    assert "emodb never heard in training" in installed.demo
    assert f"everything written to {installed.folder / run}" in installed.demo
    clip = min(installed.folder.glob("results/demo/standins/emodb/**/*.wav"))
    text = installed("xser", "predict", run, clip, "--format=csv", "--noprogressbar")
    (row,) = csv.DictReader(text.splitlines())
    shares = [float(row[key]) for key in row if key.startswith("p_")]
    assert sum(shares) == pytest.approx(1, abs=1e-4)
    assert row["path"] == str(clip)


@pytest.mark.slow
def test_grid(installed):
    grid = installed.folder / "grid.yaml"
    grid.write_text(
        "recipes: [en_de/hparams/iemocap_to_emodb]\nsystems: [baseline1, baseline2]\n"
    )
    out = installed("xser", "grid", grid, "--jobs=1", *DEMO)
    assert "2 runs done, 0 were finished before, 0 failed" in out
    for system in ("baseline1", "baseline2"):
        path = f"results/demo/iemocap_to_emodb/{system}/ecapa/1/run.json"
        assert (installed.folder / path).is_file()


@pytest.mark.slow
def test_a_new_recipe_and_a_new_corpus(installed):
    out = installed("python", "-m", "data_prep", "new", "mine", "--language=sw")
    assert f"corpus: {installed.folder}/corpora/mine.py" in out
    test = installed.folder / "corpora/test_mine.py"
    assert "2 passed" in installed("python", "-m", "pytest", "-q", test)
    assert "\nmine " in installed("python", "-m", "data_prep", "list")
    standins = installed.folder / "results/demo/standins"
    # Recordings of the new corpus: those of another, backwards and under its names.
    labels = {"N": "neutral", "F": "happiness", "W": "anger", "T": "sadness"}
    for path in sorted((standins / "emodb").rglob("*.wav")):
        speaker, label = path.stem[:2], labels.get(path.stem[5])
        if label:
            number = len(list(standins.glob(f"mine/*/s{speaker}_{label}_*")))
            copy = standins / f"mine/s{speaker}/s{speaker}_{label}_{number:02}.wav"
            copy.parent.mkdir(parents=True, exist_ok=True)
            samples, rate = soundfile.read(path)
            soundfile.write(copy, samples[::-1], rate)
    out = installed(
        "xser", "new", "--source", "esd", "--non_target", "mine", "--target", "emodb"
    )
    recipe = installed.folder / "zh_de/hparams/esd_to_emodb.yaml"
    assert out.startswith("zh_de/") and recipe.is_file()
    # As a grid, whose processes must know the corpus too.
    corpus = installed.folder / "corpora/mine.py"
    corpus.write_text(corpus.read_text().replace("speakers=0", "speakers=10"))
    grid = installed.folder / "mine.yaml"
    grid.write_text(f"recipes: [{recipe}]\nsystems: [baseline2]\n")
    out = installed(
        "xser", "grid", grid, "--jobs=1", f"--data_root={standins}",
        "--splits=speaker", *DEMO[1:], "--width=16", "--channels=16",
    )  # fmt: skip
    assert "1 runs done" in out
    run = installed.folder / "results/demo/esd_to_emodb/baseline2/ecapa/1"
    assert "mine" in json.loads((run / "run.json").read_text())["manifest_sha256"]
