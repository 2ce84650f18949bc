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


def test_how_an_encoder_trains():
    """Checkpointing changes no result; compiling may, and not to compile is as before."""

    def values(**overrides):
        return decisive_values(resolve(RECIPE, {"encoder": "whisper", **overrides}))

    plain = values()
    assert values(gradient_checkpointing=True) == plain
    assert not [name for name in plain if name.endswith("compile_encoder")]
    assert values(compile_encoder=False) == plain
    compiled = values(compile_encoder=True)
    assert compiled["adapt.compile_encoder"] is True
    assert {name: compiled[name] for name in plain} == plain


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
