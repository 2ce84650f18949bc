"""The repository's own promises: thin recipes, documents that are up to date."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import ruamel.yaml

from data_prep import __version__, corpus
from tests.fuzz import readers
from xser_brain.models.card import BIBTEX, PAPER
from xser_brain.protocol import PAPER_SETTINGS
from xser_brain.training.hparams import load, resolve
from xser_brain.training.spec import settle

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*/hparams/*.yaml"))
ENCODERS = sorted(p.stem for p in (ROOT / "recipes/common/encoders").glob("*.yaml"))


def test_corpora_table_of_the_readme_is_up_to_date():
    command = [sys.executable, "-m", "data_prep", "list", "--format=markdown"]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_paper_setting_has_its_recipe():
    found = {}
    for path in RECIPES:
        setting = settle(ruamel.yaml.YAML(typ="rt").load(path.read_text()))
        source, target = path.parts[-3].split("_")[0], path.parts[-3].split("_")[-1]
        if "leave" not in path.parts[-3]:
            assert corpus.get(setting.source[0]).language == source
            assert corpus.get(setting.target).language == target
            assert path.stem == setting.name
        found[setting.name] = setting
    for setting in PAPER_SETTINGS.values():
        assert found[setting.name] == setting


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_recipe_is_thin_and_loads_as_a_demo(path):
    assert len(path.read_text().splitlines()) <= 60
    train = path.parents[1] / "train.py"
    assert len(train.read_text().splitlines()) <= 20
    assert (path.parents[1] / "README.md").is_file()
    hparams = load(resolve(path, {"demo": True}))
    assert hparams["encoder"] == "ecapa"
    assert hparams["run"]["splits"] == "speaker"


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_piece_loads(encoder):
    path = ROOT / "recipes/en_de/hparams/meld_to_emodb.yaml"
    changes = {"encoder": encoder}
    if encoder == "ecapa":
        changes["adaptation"] = "frozen"
    hparams = load(resolve(path, changes))
    assert hparams["adapt"]["adaptation"] == changes.get("adaptation", "paper")
    assert "build" in hparams["model"] or "encoder_source" in hparams["model"]


# --- Security


def test_flaws_are_looked_up_each_week_and_by_hand():
    text = (ROOT / ".github/workflows/audit.yml").read_text(encoding="utf-8")
    workflow = ruamel.yaml.YAML(typ="safe").load(text)
    assert set(workflow["on"]) == {"schedule", "workflow_dispatch"}
    (when,) = workflow["on"]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", when["cron"])
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make audit"]
    assert workflow["permissions"] == {"contents": "read"}
    done = subprocess.run(
        ["make", "-n", "audit"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert re.search(r"bandit .*-r data_prep xser_brain$", done.stdout, re.M)
    assert re.search(r"pip-audit .*-r constraints\.txt$", done.stdout, re.M)


def test_damaged_inputs_of_all_readers_are_in_the_document():
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    assert "python -m tests.fuzz --inputs=50000 --seed=0" in text
    row = re.compile(r"^\| (.+?) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| 0 \|", re.M)
    *rows, total = row.findall(text)
    assert [name for name, *_ in rows] == [reader.name for reader in readers()]
    assert total[:2] == ("**all**", "50,000")
    found = [[int(cell.replace(",", "")) for cell in cells] for _, *cells in rows]
    assert [f"{sum(column):,}" for column in zip(*found, strict=True)] == [*total[1:]]
    assert all(inputs == sum(ended) for inputs, *ended in found)


def test_every_attack_in_the_document_is_a_test():
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)`: ((?:`\w+`(?:, )?)+)", text)
    assert len(named) > 20
    for path, tests in named:
        code = (ROOT / "tests" / path).read_text(encoding="utf-8")
        for test in re.findall(r"\w+", tests):
            assert f"\ndef {test}(" in code, f"{path}: {test}"


# --- Citing


def test_all_that_cites_the_paper_cites_the_same():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    citation = ruamel.yaml.YAML(typ="safe").load(text)
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    (paper,) = citation["references"]
    names = [author["family-names"] for author in paper["authors"]]
    values = dict(re.findall(r"^  (\w+) += \{(.*)\},$", BIBTEX, re.MULTILINE))
    assert values["title"] == paper["title"]
    assert values["author"] == " and ".join(names)
    assert values["year"] == str(paper["year"])
    assert paper["url"] == PAPER
    assert PAPER.endswith(values["eprint"])
    assert f'"Paper": "{PAPER}"' in (ROOT / "setup.py").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "[CITATION.cff](CITATION.cff)" in readme
    assert paper["title"] in " ".join(readme.split())


def test_the_changelog_knows_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "\n## Unreleased\n" in text
    assert re.search(rf"^## {re.escape(__version__)} - \d{{4}}-\d\d-\d\d$", text, re.M)
