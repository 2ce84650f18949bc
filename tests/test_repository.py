"""The repository's own promises: thin recipes, documents that are up to date."""

import subprocess
import sys
from pathlib import Path

import pytest
import ruamel.yaml

from data_prep import corpus
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
