"""Recipes: pieces, flat overrides, and no silent typo."""

from pathlib import Path

import pytest
from small import RECIPE, ROOT

from data_prep.errors import UserError
from xser_brain.hparams import load, parse_overrides, resolve

RECIPES = sorted(ROOT.glob("recipes/*/hparams/*.yaml"))


def settings(recipe, **overrides) -> dict:
    return load(resolve(recipe, overrides))


@pytest.fixture
def recipe(tmp_path):
    """A recipe of one's own, beside pieces of its own."""

    def write(text: str, **pieces: str) -> Path:
        for name, content in {"run": "seed: 1\nsystem: proposed\n", **pieces}.items():
            (tmp_path / f"{name}.yaml").write_text(content)
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    return write


# --- The recipes that come with the project


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
@pytest.mark.parametrize("demo", [False, True])
def test_every_recipe_builds(path, demo):
    values = settings(path, demo=demo)
    assert {"target", "encoder", "run", "training", "objectives", "model"} <= set(
        values
    )
    assert values["run"]["demo"] is demo


def test_paper_values():
    """What section 2 states."""
    values = settings(RECIPE)
    objectives, training = values["objectives"], values["training"]
    assert (objectives["alpha"], objectives["beta"]) == (1.0, 0.3)
    assert objectives["supcon"].language_weight == 2.5
    batch = ("languages_per_batch", "emotions_per_batch", "utterances_per_cell")
    assert [training[key] for key in batch] == [3, 4, 3]


# --- Overrides


def test_flat_override_of_a_nested_key():
    values = settings(RECIPE, temperature=0.2, learning_rate=0.5, seed=7, steps=9)
    assert values["objectives"]["temperature"] == 0.2
    assert values["objectives"]["supcon"].temperature == 0.2  # by reference
    assert values["training"]["optimizer"].keywords["lr"] == 0.5
    assert values["run"]["seed"] == 7
    assert values["training"]["steps"] == 9
    assert values["training"]["validate_every"] == 100  # the rest stays


def test_override_of_a_top_level_key():
    assert settings(RECIPE, target="cafe")["target"] == "cafe"
    assert settings(RECIPE, non_target=["esd"])["non_target"] == ["esd"]


def test_indented_override_of_a_piece(recipe):
    path = recipe("run: !include:run.yaml\n  seed: 5\n")
    assert settings(path)["run"] == {"seed": 5, "system": "proposed"}
    assert settings(path, seed=6)["run"]["seed"] == 6


def test_include_by_the_value_of_a_key():
    assert "channels" in settings(RECIPE)["model"]
    whisper = settings(RECIPE, encoder="whisper")["model"]
    assert whisper["encoder_source"] == "openai/whisper-base"
    assert "channels" not in whisper


def test_a_key_of_ones_own_may_be_referred_to(recipe):
    path = recipe("mine: 4\nrun: !include:run.yaml\n  seed: !ref <mine>\n")
    assert settings(path)["run"]["seed"] == 4
    assert settings(path, mine=5)["run"]["seed"] == 5


def test_reference_into_a_piece(recipe):
    path = recipe("run: !include:run.yaml\n  seed: 3\nsource: !ref <run[system]>\n")
    assert settings(path)["source"] == "proposed"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("seed: 3", {"seed": 3}),
        (
            "demo: True\nnon_target: [esd, cafe]",
            {"demo": True, "non_target": ["esd", "cafe"]},
        ),
        ("results: /a b/c", {"results": "/a b/c"}),
    ],
)
def test_parse_overrides(text, values):
    assert parse_overrides(text) == values


@pytest.mark.parametrize("text", ["seed", "a: [1", "- 1", "a: b: c"])
def test_parse_overrides_refuses(text):
    with pytest.raises(UserError, match="use --key=value") as error:
        parse_overrides(text)
    assert "\n" not in str(error.value)


# --- Demo


def test_demo_overlay():
    values = settings(RECIPE, demo=True)
    assert values["run"]["results"] == "results/demo"
    assert values["run"]["splits"] == "speaker"
    assert values["model"]["width"] < settings(RECIPE)["model"]["width"]
    assert values["training"]["steps"] < settings(RECIPE)["training"]["steps"]


def test_the_command_line_outdoes_the_demo():
    values = settings(RECIPE, demo=True, steps=3, width=11, results="here")
    assert values["training"]["steps"] == 3
    assert values["model"]["width"] == 11
    assert values["run"]["results"] == "here"


def test_demo_of_another_encoder_has_no_key_of_ecapa():
    values = settings(RECIPE, demo=True, encoder="whisper")
    assert values["encoder"] == "whisper"
    assert "channels" not in values["model"]
    assert (
        values["training"]["steps"] == settings(RECIPE, demo=True)["training"]["steps"]
    )


# --- Typos


def refused(match, path, **overrides) -> str:
    with pytest.raises(UserError, match=match) as error:
        resolve(path, overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_unknown_key_on_the_command_line():
    refused("'sede'.*did you mean seed", RECIPE, sede=1)
    refused("'tagret'.*did you mean target", RECIPE, tagret="emodb")
    refused("'learning_rat'.*did you mean learning_rate", RECIPE, learning_rat=1)
    refused("'xyzzy'.*known keys: .*seed", RECIPE, xyzzy=1)


def test_key_of_another_encoder_is_unknown():
    refused("'channels'", RECIPE, encoder="whisper", channels=4)


@pytest.mark.parametrize("base", ["", "seed: 2", "sede: 3"])
def test_unknown_key_under_a_piece(recipe, base):
    path = recipe(f"run: !include:run.yaml\n  {base}\n  systme: x\n")
    message = refused("unknown key", path)
    assert "did you mean" in message
    assert "run.yaml" in message


@pytest.mark.parametrize(
    ("line", "wrong", "meant"),
    [
        ("sorce: ravdess", "sorce", "source"),
        ("non_taget: [esd]", "non_taget", "non_target"),
        ("sytem: baseline1", "sytem", "system"),
        ("steps_: 5", "steps_", "steps"),
        ("traning: !include:../../common/training.yaml", "traning", "training"),
    ],
)
def test_unknown_top_level_key(line, wrong, meant, tmp_path):
    folder = tmp_path / "recipes/mine/hparams"
    folder.mkdir(parents=True)
    (tmp_path / "recipes/common").symlink_to(ROOT / "recipes/common")
    path = folder / "mine.yaml"
    path.write_text(RECIPE.read_text() + "\n" + line + "\n")
    message = refused(f"'{wrong}'.*did you mean {meant}", path)
    assert str(path) in message


def test_key_of_a_piece_that_is_not_indented(recipe):
    message = refused(
        "'seed' is a key of run", recipe("run: !include:run.yaml\nseed: 2\n")
    )
    assert "indent it below `run:`" in message


def test_ambiguous_key(recipe):
    text = "run: !include:run.yaml\ntraining: !include:training.yaml\n"
    path = recipe(text, training="seed: 2\n")
    message = refused("--seed is ambiguous", path, seed=3)
    assert "run" in message
    assert "training" in message
    assert settings(path)["training"]["seed"] == 2


# --- Broken recipes


def test_no_recipe(tmp_path):
    refused("no recipe", tmp_path / "none.yaml")
    refused("no recipe", tmp_path)


def test_missing_piece(recipe):
    refused("no piece .*nothing.yaml", recipe("run: !include:nothing.yaml\n"))


def test_unknown_encoder_names_the_known():
    message = refused("unknown encoder 'ecappa'", RECIPE, encoder="ecappa")
    for name in ("ecapa", "wav2vec2", "whisper"):
        assert name in message


@pytest.mark.parametrize(
    "text",
    [
        "source: [a\n",
        "a: b: c\n",
        "\tsource: a\n",
        "source: a\nsource: b\n",
        "source: \x00\n",
    ],
)
def test_unsound_yaml(recipe, text):
    refused("not sound YAML", recipe(text))


def test_unsound_piece(recipe):
    message = refused("not sound", recipe("run: !include:run.yaml\n", run="a: [1\n"))
    assert "run.yaml" in message


def test_not_utf8(recipe):
    path = recipe("")
    path.write_bytes(b"source: \xff\xfe\n")
    refused("not sound YAML", path)


@pytest.mark.parametrize("text", ["", "- a\n", "word\n"])
def test_no_keys(recipe, text):
    refused("no `key: value` lines", recipe(text))


def test_dangling_reference(recipe):
    refused("nowhere", recipe("run: !include:run.yaml\n  seed: !ref <nowhere>\n"))


@pytest.mark.parametrize(
    "line",
    [
        "optimizer: !new:no.such.Thing",
        "optimizer: !new:torch.optim.NoSuch",
        "optimizer: !new:xser_brain.model.EmbeddingHead {wrong: 1}",
    ],
)
def test_what_cannot_be_built_is_a_users_error(recipe, line):
    text = resolve(recipe("training: !include:training.yaml\n", training=line + "\n"))
    with pytest.raises(UserError, match="cannot be built") as error:
        load(text)
    assert "\n" not in str(error.value)
