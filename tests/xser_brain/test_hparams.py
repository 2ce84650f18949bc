"""Recipes: pieces, flat overrides, and no silent typo."""

import shutil
import sys
import time
from pathlib import Path

import pytest
import torch
from small import RECIPE, ROOT

from data_prep.errors import UserError
from xser_brain.training.hparams import (
    load,
    parse_arguments,
    parse_overrides,
    resolve,
)

RECIPES = sorted(ROOT.glob("recipes/*/hparams/*.yaml"))


def settings(recipe, **overrides) -> dict:
    return load(resolve(recipe, overrides))


@pytest.fixture
def recipe(tmp_path):
    """A recipe of one's own, beside pieces of its own and the file of a system."""
    system = tmp_path / "system.yaml"
    system.write_text("trains_on: all\nobjectives: {}\n")

    def write(text: str, **pieces: str) -> Path:
        for name, content in {"run": f"seed: 1\nsystem: {system}\n", **pieces}.items():
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


# Beside the paper's nine settings, defaults follow what recipes/RESULTS.md measures.
BEST_KNOWN = ["en_de/hparams/ravdess_to_emodb", "leave_one_out/hparams/leave_one_out"]


@pytest.mark.parametrize("name", BEST_KNOWN)
def test_best_known_by_default(name):
    values = settings(ROOT / f"recipes/{name}.yaml")
    assert (values["encoder"], values["run"]["system"]) == ("whisper", "robust")


@pytest.mark.parametrize("name", BEST_KNOWN)
def test_the_demo_downloads_nothing(name):
    values = settings(ROOT / f"recipes/{name}.yaml", demo=True)
    assert (values["encoder"], values["run"]["system"]) == ("ecapa", "proposed")


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
    assert settings(path)["run"] == {"seed": 5, "system": "system"}
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
    path = recipe("run: !include:run.yaml\n  seed: 3\nsource: !ref <run[seed]>\n")
    assert settings(path)["source"] == 3


# --- Objects in place of others


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A Python file that recipes and systems may name, for this test alone."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "beside_recipes.py").write_text(
        """
import torch
from xser_brain.objectives import LanguageAwareSupCon, Objective
from xser_brain.training.selection import Selection

class MySupCon(LanguageAwareSupCon):
    pass

class Spread(Objective):
    def __init__(self, power=1, **options):
        super().__init__(**options)
        self.power = power

class Best(Selection):
    pass
"""
    )
    yield "beside_recipes"
    sys.modules.pop("beside_recipes", None)


@pytest.fixture
def edited(tmp_path):
    """The recipe, with lines indented below its `!include:` of a block."""

    def write(more: str = "", **below: str) -> Path:
        lines = RECIPE.read_text().splitlines()
        for block, text in below.items():
            place = next(i for i, line in enumerate(lines) if line.startswith(block))
            lines[place + 1 : place + 1] = ["  " + line for line in text.splitlines()]
        path = tmp_path / "edited.yaml"
        path.write_text("\n".join([*lines, more, ""]))
        return path

    return write


def test_a_class_of_ones_own_takes_the_place_of_ours(edited, beside):
    path = edited(objectives=f"supcon: !new:{beside}.MySupCon\n  temperature: 0.3")
    values = settings(path)
    supcon = values["system"]["objectives"]["supcon"].loss
    assert type(supcon).__name__ == "MySupCon"
    assert supcon.temperature == 0.3
    assert supcon.language_weight == 2.5  # by its own default: nothing of ours is left
    assert values["objectives"]["supcon"] is supcon
    path = edited(objectives=f"supcon: !new:{beside}.MySupCon")
    assert type(settings(path)["objectives"]["supcon"]).__name__ == "MySupCon"
    assert settings(path)["objectives"]["supcon"].temperature == 0.07


def test_another_optimiser_takes_the_place_of_ours(edited):
    path = edited(training="optimizer: !name:torch.optim.SGD\n  lr: 0.5")
    optimizer = settings(path)["training"]["optimizer"]
    assert optimizer.func is torch.optim.SGD
    assert optimizer.keywords == {"lr": 0.5}
    path = edited(
        training="optimizer: !name:torch.optim.SGD\n  lr: !ref <learning_rate>"
    )
    assert settings(path, learning_rate=0.2)["training"]["optimizer"].keywords == {
        "lr": 0.2
    }
    path = edited(training="optimizer: !name:torch.optim.SGD")
    assert settings(path)["training"]["optimizer"] is torch.optim.SGD


def test_arguments_of_an_object_are_replaced_without_its_class(edited):
    path = edited(training="optimizer:\n  weight_decay: 0.5")
    optimizer = settings(path)["training"]["optimizer"]
    assert optimizer.func is torch.optim.AdamW
    assert optimizer.keywords == {"lr": 0.001, "weight_decay": 0.5}
    path = edited(objectives="emotion:\n  label_smoothing: 0.1")  # it has none there
    emotion = settings(path)["system"]["objectives"]["emotion"]
    assert (type(emotion).__name__, emotion.label_smoothing) == ("CrossEntropy", 0.1)


def given(*args: str) -> dict:
    """Overrides as a command line gives them."""
    return parse_arguments([str(RECIPE), *args])[2]


def test_run_options_are_told_from_overrides():
    recipe, run_opts, overrides = parse_arguments(
        ["--device=cpu", "x.yaml", "--seed", "3", "--precision", "fp16", "--overwrite",
         "--noprogressbar", "--results=/a=b c", "--prec=1", "--steps=4"]
    )  # fmt: skip
    assert recipe == "x.yaml"
    assert (run_opts["device"], run_opts["precision"]) == ("cpu", "fp16")
    assert run_opts["noprogressbar"] is True
    assert run_opts["optimizer_step_limit"] is None
    assert overrides == {
        "seed": 3, "overwrite": None, "results": "/a=b c", "prec": 1, "steps": 4
    }  # fmt: skip


def test_tagged_overrides(beside):
    values = settings(
        RECIPE,
        **given(
            "--optimizer=!name:torch.optim.SGD",
            f"--objectives.supcon=!new:{beside}.MySupCon",
            f"--selection=!new:{beside}.Best",
        ),
    )
    assert values["training"]["optimizer"] is torch.optim.SGD
    supcon = values["system"]["objectives"]["supcon"].loss
    assert type(supcon).__name__ == "MySupCon"
    assert type(values["training"]["selection"]).__name__ == "Best"
    values = settings(RECIPE, **given("--optimizer=!name:torch.optim.SGD {lr: 0.5}"))
    assert values["training"]["optimizer"].keywords == {"lr": 0.5}


# --- Overrides with dots


def test_dotted_overrides():
    values = settings(
        RECIPE,
        **given(
            "--objectives.supcon.temperature=0.2",
            "--training.optimizer.weight_decay=0.3",
            "--run.seed=7",
            "--model.width=11",
        ),
    )
    assert values["objectives"]["supcon"].temperature == 0.2
    assert values["system"]["objectives"]["supcon"].loss.temperature == 0.2
    assert values["objectives"]["temperature"] == 0.07  # which it no longer refers to
    assert values["training"]["optimizer"].keywords["weight_decay"] == 0.3
    assert values["training"]["weight_decay"] == 0.01
    assert values["run"]["seed"] == 7
    assert values["model"]["width"] == 11


def test_dotted_override_of_an_argument_that_is_left_to_its_default():
    values = settings(RECIPE, **{"objectives.speaker.projection": 8})
    assert values["system"]["objectives"]["speaker"].projection == 8
    # Also of an object without any argument in the recipe.
    values = settings(RECIPE, **{"objectives.emotion.label_smoothing": 0.1})
    assert values["system"]["objectives"]["emotion"].label_smoothing == 0.1


def test_dotted_overrides_into_a_system(recipe, beside, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "trains_on: all\nsampler: random\nobjectives:\n"
        f"  spread: !new:{beside}.Spread\n    weight: 0.1\n  bare: !new:{beside}.Spread\n"
    )
    mine = str(tmp_path / "mine.yaml")
    for name in ("system.objectives.spread.weight", "objectives.spread.weight"):
        values = settings(RECIPE, system=mine, **{name: 0.5})
        assert values["system"]["objectives"]["spread"].weight == 0.5
    values = settings(RECIPE, system=mine, **{"system.objectives.bare.power": 3})
    assert values["system"]["objectives"]["bare"].power == 3
    values = settings(RECIPE, system=mine, **{"system.sampler": "hierarchical"})
    assert values["system"]["sampler"] == "hierarchical"


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("objectives.supcn.temperature", "objectives.supcon.temperature"),
        ("training.optimzer.lr", "training.optimizer.lr"),
        ("rum.seed", "run.seed"),
        ("run.sede", "seed"),
        ("system.objectives.spredd.weight", "system.objectives.speaker"),
    ],
)
def test_unknown_path_names_the_nearest(key, near):
    refused(f"unknown key '{key.split('.')[-1] if near == 'seed' else key}'.*"
            f"did you mean {near}", RECIPE, **{key: 1})  # fmt: skip


def test_an_argument_that_a_class_does_not_take():
    text = resolve(RECIPE, {"objectives.supcon.temprature": 0.2})
    with pytest.raises(UserError, match="cannot be built.*temprature") as error:
        load(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "keys",
    [
        ("seed", "seed"),
        ("seed", "run.seed"),
        ("objectives.alpha", "alpha"),
        ("system", "run.system"),
    ],
)
def test_an_option_given_twice(keys):
    with pytest.raises(UserError, match="is given twice.*: give it once") as error:
        resolve(RECIPE, given(f"--{keys[0]}=1", f"--{keys[1]}=2"))
    assert f"--{keys[1]}" in str(error.value)
    assert "\n" not in str(error.value)


# --- Blocks of one's own, and where pieces lie


def test_a_block_of_ones_own(edited):
    path = edited("mine:\n  rate: 0.25\n", training="learning_rate: !ref <mine[rate]>")
    assert settings(path)["training"]["optimizer"].keywords["lr"] == 0.25
    assert settings(path, rate=0.5)["training"]["learning_rate"] == 0.5
    assert settings(path, **{"mine.rate": 0.5})["mine"] == {"rate": 0.5}


def test_a_block_of_ones_own_from_a_file(edited, tmp_path):
    (tmp_path / "block.yaml").write_text("rate: 0.25\ndouble: !ref <rate> * 2\n")
    rate = "learning_rate: !ref <mine[double]>"
    path = edited("mine: !include:block.yaml", training=rate)
    assert settings(path)["training"]["learning_rate"] == 0.5
    assert settings(path, rate=1.0)["training"]["learning_rate"] == 2.0


def test_a_system_refers_to_blocks(edited, tmp_path):
    """At any depth, and to what an override makes of them."""
    (tmp_path / "mine.yaml").write_text(
        """
trains_on: all
objectives:
  emotion: !ref <objectives[emotion]>
  both: !new:xser_brain.objectives.Memory
    loss: !new:xser_brain.objectives.LanguageAwareSupCon
      temperature: !ref <objectives[temperature]>
      weight: !ref <mine[weight]>
    size: !ref <training[batch_size]> * 2
"""
    )
    path = edited("mine:\n  weight: 0.4\n")
    values = settings(path, system=str(tmp_path / "mine.yaml"), temperature=0.3)
    both = values["system"]["objectives"]["both"]
    assert (both.loss.temperature, both.weight, both.size) == (0.3, 0.4, 72)
    assert values["system"]["objectives"]["emotion"] is values["objectives"]["emotion"]


def test_pieces_of_the_installed_recipes(edited, tmp_path):
    """A recipe beside which there is no common/ has that of the installation."""
    assert not (tmp_path / "../../common").resolve().exists()
    values, ours = settings(edited(), demo=True), settings(RECIPE, demo=True)
    assert values["training"]["steps"] == ours["training"]["steps"]
    assert values["system"]["objectives"].keys() == ours["system"]["objectives"].keys()
    assert values["model"]["width"] == ours["model"]["width"]


def test_an_own_common_comes_first(tmp_path):
    folder = tmp_path / "recipes/x/hparams"
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "recipes/common", tmp_path / "recipes/common")
    systems = tmp_path / "recipes/common/systems"
    (systems / "mine.yaml").write_text((systems / "baseline1.yaml").read_text())
    shutil.copy(RECIPE, folder)
    values = settings(folder / RECIPE.name, system="mine")
    assert values["system"]["trains_on"] == "source"
    refused("unknown system 'mine': use one of baseline1", RECIPE, system="mine")


def test_resolved_text_is_plain_hyperpyyaml():
    from hyperpyyaml import load_hyperpyyaml

    text = resolve(RECIPE, {"demo": True, "system": "proposed"})
    assert load_hyperpyyaml(text)["system"]["objectives"]["supcon"].size == 0


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


@pytest.mark.parametrize(
    "text", ["seed", "a: [1", "- 1", "a: b: c", f"a: {'9' * 5000}"]
)
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


def test_ambiguous_path(recipe):
    blocks = "one:\n  opt: {x: 1}\ntwo:\n  opt: {x: 2}\n"
    path = recipe("run: !include:run.yaml\n" + blocks)
    message = refused(r"--opt\.x is ambiguous", path, **{"opt.x": 3})
    assert "--one.opt.x or --two.opt.x" in message
    values = settings(path, **{"two.opt.x": 3})
    assert (values["one"]["opt"]["x"], values["two"]["opt"]["x"]) == (1, 3)


# --- Broken recipes


def test_no_recipe(tmp_path):
    refused("no recipe", tmp_path / "none.yaml")
    refused("no recipe", tmp_path)


def test_missing_piece(recipe):
    refused("no piece .*nothing.yaml", recipe("run: !include:nothing.yaml\n"))


def test_a_folder_of_pieces_whose_name_is_too_long(recipe):
    text = f"encoder: a\nmodel: !include:{'x' * 300}/$encoder.yaml\n"
    refused("unknown encoder 'a'", recipe(text))


@pytest.mark.parametrize("text", ["[" * 4000, "a: " + "[" * 4000, '{"a":' * 4000])
def test_too_deep_a_recipe_takes_no_time(recipe, text):
    start = time.process_time()
    refused("too deep", recipe(text))
    assert time.process_time() - start < 1


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
        "optimizer: !new:xser_brain.head.EmbeddingHead {wrong: 1}",
    ],
)
def test_what_cannot_be_built_is_a_users_error(recipe, line):
    text = resolve(recipe("training: !include:training.yaml\n", training=line + "\n"))
    with pytest.raises(UserError, match="cannot be built") as error:
        load(text)
    assert "\n" not in str(error.value)


def test_a_checkout_may_lie_anywhere(tmp_path):
    folder = tmp_path / "a copy of Jörg's, #2"
    shutil.copytree(ROOT / "recipes", folder, ignore=shutil.ignore_patterns("results"))
    moved = folder / RECIPE.relative_to(ROOT / "recipes")
    assert resolve(moved, {"demo": True}) == resolve(RECIPE, {"demo": True})
