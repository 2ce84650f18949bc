"""What a recipe comes to."""

import json

import pytest
from small import RECIPE

from data_prep.errors import UserError
from xser_brain.training.hparams import resolve
from xser_brain.training.spec import decisive_values, hparams_sha256, settle


def test_hparams_hash_passes_over_places():
    def digest(**overrides):
        return hparams_sha256(resolve(RECIPE, overrides))

    same = digest()
    assert digest(data_root="/x", results="y", num_workers=3, overwrite=True) == same
    assert digest(steps=7) != same
    assert digest(temperature=0.5) != same


def values(**overrides):
    return decisive_values(resolve(RECIPE, {"encoder": "whisper", **overrides}))


def test_checkpointing_changes_no_result():
    assert values(gradient_checkpointing=True) == values()


@pytest.mark.parametrize(
    ("name", "before", "other"),
    [
        ("adapt.compile_encoder", False, True),
        ("adapt.pooling", "mean", "loud"),
        ("training.hidden", 0, 32),
    ],
)
def test_keys_that_came_later(name, before, other):
    """Runs from before there was the key did what its default says: they are the same."""
    key = name.partition(".")[2]
    plain = values()
    assert not {name, f"model.build.{key}", f"training.head.{key}"} & {*plain}
    assert values(**{key: before}) == plain
    changed = values(**{key: other})
    assert changed[name] == other
    assert {known: changed[known] for known in plain} == plain


def test_options_of_ones_own_classes_decide():
    """Whose defaults may be others, whatever ours are called."""
    text = "model:\n  build: !name:mine.Encoder\n    pooling: mean\n    hidden: 0\n"
    found = decisive_values(text)
    assert (found["model.build.pooling"], found["model.build.hidden"]) == ("mean", 0)


def test_hparams_hash_passes_over_comments(tmp_path):
    text = resolve(RECIPE)
    assert "# not stated in the paper" in text
    bare = "".join(line.split(" #")[0] + "\n" for line in text.splitlines())
    assert hparams_sha256(bare) == hparams_sha256(text)


def test_decisive_values():
    values = decisive_values(resolve(RECIPE, {"steps": 7, "encoder": "whisper"}))
    assert values["training.steps"] == 7
    assert values["objectives.supcon.language_weight"] == 2.5
    assert values["objectives.supcon.!"] == (
        "!new:xser_brain.objectives.LanguageAwareSupCon"
    )
    assert values["target"] == "emodb"
    assert not {"run.seed", "run.results", "run.data_root"} & set(values)
    json.dumps(values)


def test_settle():
    parts = {"source": "ravdess", "non_target": "esd, urdu", "target": "emodb"}
    setting = settle(parts)
    assert setting.source == ("ravdess",)
    assert setting.non_target == ("esd", "urdu")
    assert settle({**parts, "non_target": ["esd"]}).non_target == ("esd",)
    assert settle({**parts, "non_target": None}).non_target == ()
    assert settle(
        {**parts, "source": ["ravdess", "iemocap"], "non_target": ""}
    ).name == ("ravdess+iemocap_to_emodb")


def test_leave_one_language_out():
    names = ["ravdess", "iemocap", "urdu", "nemo", "emodb"]
    setting = settle({"corpora": names, "target": "ravdess", "source": None})
    assert setting.source == ("urdu",)  # neither of the English ones
    assert setting.non_target == ("nemo", "emodb")
    setting = settle({"corpora": names, "target": "urdu", "source": "nemo"})
    assert setting.source == ("nemo",)
    assert setting.non_target == ("ravdess", "iemocap", "emodb")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "emodbb"}, "unknown corpus 'emodbb': did you mean emodb"),
        ({"source": "ravdes"}, "did you mean ravdess"),
        ({"non_target": "esd,urd"}, "did you mean urdu"),
        ({"source": None}, "no source"),
    ],
)
def test_settle_refuses(changes, message):
    parts = {"source": "ravdess", "non_target": "esd", "target": "emodb", **changes}
    with pytest.raises(UserError, match=message):
        settle(parts)
