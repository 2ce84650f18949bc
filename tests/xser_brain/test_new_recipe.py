"""A new recipe is one that runs."""

import shutil

import pytest
from small import ROOT

from xser_brain.cli import main
from xser_brain.cli.train import main as train
from xser_brain.training import spec


@pytest.fixture
def recipes(tmp_path):
    """A folder of recipes that holds the common pieces and one pair."""
    for name in ("common", "en_de"):
        shutil.copytree(ROOT / "recipes" / name, tmp_path / "recipes" / name)
    return tmp_path / "recipes"


def new(recipes, source, non_target, target, *more):
    return main(
        ["new", f"--recipes={recipes}", "--source", *source.split(),
         "--non_target", *non_target.split(), f"--target={target}", *more]
    )  # fmt: skip


def test_a_new_recipe_runs(recipes, argv, tmp_path, capsys):
    assert new(recipes, "urdu", "esd ravdess", "emodb", "--encoder=ecapa") == 0
    path = recipes / "ur_de/hparams/urdu_to_emodb.yaml"
    assert str(path) in capsys.readouterr().out
    setting = spec.describe(path, {}).setting
    assert setting.source == ("urdu",)
    assert setting.non_target == ("esd", "ravdess")
    assert setting.target == "emodb"
    options = argv(tmp_path / "results", source=None, non_target=None, steps=3)[1:]
    assert train([str(path), *options]) == 0
    same = (ROOT / "recipes/en_de/train.py").read_text()
    assert (recipes / "ur_de/train.py").read_text() == same
    assert "urdu_to_emodb.yaml" in (recipes / "ur_de/README.md").read_text()


def test_a_folder_that_is_there_keeps_its_files(recipes):
    before = (recipes / "en_de/README.md").read_text()
    assert new(recipes, "cremad savee", "urdu", "emodb") == 0
    path = recipes / "en_de/hparams/cremad+savee_to_emodb.yaml"
    assert spec.describe(path, {}).setting.source == ("cremad", "savee")
    assert (recipes / "en_de/README.md").read_text() == before


def test_in_an_empty_folder(tmp_path, monkeypatch, capsys):
    """Pieces that are not beside it are those of the package."""
    monkeypatch.chdir(tmp_path)
    assert new(".", "urdu", "esd", "emodb") == 0
    path = tmp_path / "ur_de/hparams/urdu_to_emodb.yaml"
    assert spec.describe(path, {"demo": True}).hparams["training"]["steps"] == 300
    assert new(".", "urdu", "esd", "cafe", "--encoder=mine") == 2
    assert "ecapa, hubert" in capsys.readouterr().err
    piece = tmp_path / "common/encoders/mine.yaml"
    piece.parent.mkdir(parents=True)
    piece.write_text((ROOT / "recipes/common/encoders/ecapa.yaml").read_text())
    assert new(".", "urdu", "esd", "cafe", "--encoder=mine") == 0
    path = tmp_path / "ur_fr/hparams/urdu_to_cafe.yaml"
    assert "build" in spec.describe(path, {}).hparams["model"]


@pytest.mark.parametrize(
    ("parts", "more", "message"),
    [
        (("ravdess", "urdu", "emodb"), (), "is there already"),
        (("ravdess", "casai", "emodb"), (), "did you mean casia"),
        (("ravdess", "urdu", "cremad"), (), "of the target's language"),
        (("urdu", "urdu", "emodb"), (), "named twice"),
        (("urdu", "esd", "emodb"), ("--encoder=bert",), "unknown encoder 'bert'"),
    ],
)
def test_mistakes(recipes, capsys, parts, more, message):
    files = sorted(recipes.rglob("*"))
    assert new(recipes, *parts, *more) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(recipes.rglob("*")) == files
