"""The recipes of the package: found from anywhere, listed, and handed out."""

import shutil
from pathlib import Path

import pytest
from small import RECIPE, ROOT

from data_prep.errors import UserError
from xser_brain import recipes
from xser_brain.cli import main
from xser_brain.grids import grid
from xser_brain.training.hparams import resolve

NAME = "en_de/hparams/iemocap_to_emodb.yaml"


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """An empty folder, in which one stands."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def own(empty) -> Path:
    """A recipe of one's own, with no pieces beside it."""
    path = empty / NAME
    path.parent.mkdir(parents=True)
    shutil.copy(RECIPE, path)
    return path


# --- Finding


@pytest.mark.parametrize("name", [NAME, NAME.removesuffix(".yaml"), RECIPE])
def test_found_from_an_empty_folder(empty, name):
    assert recipes.find(name) == RECIPE


def test_ones_own_comes_first(own):
    assert recipes.find(NAME) == Path(NAME)
    assert recipes.find(NAME).samefile(own)


@pytest.mark.parametrize("name", ["paper.yaml", "leave_one_out/grid.yaml", "tuning"])
def test_grids_are_found_too(empty, name):
    chosen = grid.read(recipes.find(name))
    assert all(path.is_relative_to(ROOT / "recipes") for path, _ in chosen.recipes)


def test_a_grid_of_ones_own_names_recipes_of_the_package(empty):
    path = empty / "grids/mine.yaml"
    path.parent.mkdir()
    path.write_text(f"recipes: [{NAME}]\n")
    assert grid.read(path).recipes == ((RECIPE, {}),)
    (empty / "grids" / NAME).parent.mkdir(parents=True)
    shutil.copy(RECIPE, empty / "grids" / NAME)
    assert grid.read(path).recipes == ((empty / "grids" / NAME, {}),)


# --- Pieces


@pytest.mark.parametrize("changes", [{}, {"demo": True}, {"encoder": "whisper"}])
def test_missing_pieces_are_those_of_the_package(own, changes):
    assert resolve(own, changes) == resolve(RECIPE, changes)


def test_a_piece_of_ones_own_outdoes_the_packages(own, empty):
    for name in ("run", "encoders/ecapa"):
        piece = empty / f"common/{name}.yaml"
        piece.parent.mkdir(parents=True, exist_ok=True)
        text = (ROOT / f"recipes/common/{name}.yaml").read_text()
        piece.write_text(text.replace("seed: 1", "seed: 77"))
    (empty / "common/encoders/ecapa.yaml").rename(empty / "common/encoders/mine.yaml")
    assert "seed: 77" in resolve(own)
    with pytest.raises(
        UserError, match="unknown encoder 'my', there are: .*mine.*xlsr"
    ):
        resolve(own, {"encoder": "my"})
    assert "channels" in resolve(own, {"encoder": "mine"})


# --- Listing and handing out


def test_list(capsys):
    assert main(["recipes", "list"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    for path in (ROOT / "recipes").glob("*/hparams/*.yaml"):
        assert path.relative_to(ROOT / "recipes").as_posix() in lines
    assert lines[NAME] == ["iemocap", "emodb", "ecapa"]
    grids = out.split("grids: ")[1].splitlines()[0].split(", ")
    assert grids == [
        "cameo.yaml",
        "leave_one_out/ablation.yaml",
        "leave_one_out/adapted.yaml",
        "leave_one_out/grid.yaml",
        "leave_one_out/robust.yaml",
        "paper.yaml",
        "tuning.yaml",
    ]


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_copy_all(empty, capsys):
    assert main(["recipes", "copy", "mine"]) == 0
    copied = files(empty / "mine")
    assert copied.items() <= files(ROOT / "recipes").items()
    assert {NAME, "paper.yaml", "README.md", "common/encoders/ecapa.yaml"} <= set(
        copied
    )
    assert {Path(name).suffix for name in copied} == {".yaml", ".py", ".md", ".sh"}
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"{len(copied)} files written")
    assert "xser train mine/" in last


def test_copy_some(empty, capsys):
    call = ["recipes", "copy", ".", NAME.removesuffix(".yaml"), "common/encoders"]
    assert main(call) == 0
    encoders = {path.name for path in (ROOT / "recipes/common/encoders").iterdir()}
    assert set(files(empty)) == {
        NAME, "en_de/train.py", "en_de/README.md",
        *(f"common/encoders/{name}" for name in encoders),
    }  # fmt: skip
    assert f"xser train {NAME} " in capsys.readouterr().out.splitlines()[-1]
    # What is there as it was is no obstacle; what was changed is.
    assert main([*call, "en_de/hparams/meld_to_emodb.yaml"]) == 0
    (empty / "en_de/train.py").write_text("mine")
    before = files(empty)
    assert main([*call, "en_de/hparams/iemocap_to_emodb.yaml"]) == 2
    assert "en_de/train.py is there already" in capsys.readouterr().err
    assert files(empty) == before


@pytest.mark.parametrize("name", ["en_de/hparams/nothing.yaml", "../setup.py", "/etc"])
def test_copy_refuses_what_is_no_recipe(empty, capsys, name):
    assert main(["recipes", "copy", "mine", name]) == 2
    assert f"no recipe {name}" in capsys.readouterr().err
    assert not files(empty)
