"""A run ends at the first number that is none, names the utterances, and keeps nothing."""

from pathlib import Path

import pytest
import torch
from transformers import Wav2Vec2Model

from data_prep import manifest

SYSTEM = """
trains_on: all
sampler: hierarchical
objectives:
  emotion: !new:xser_brain.objectives.CrossEntropy
  spoilt: !new:spoilt.Spoilt
    how: {how}
"""


@pytest.fixture
def system(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).with_name("lab"))

    def write(how):
        path = tmp_path / "spoilt.yaml"
        path.write_text(SYSTEM.format(how=how))
        return path

    return write


@pytest.fixture(params=["at once", "later"])
def looked(request, monkeypatch):
    """Numbers are looked at in each step, or as on a GPU before something is kept."""
    if request.param == "later":
        monkeypatch.setattr("xser_brain.waiting.at_once", lambda device: False)


def named(line: str, results) -> list[str]:
    """The utterances of a message, which must be ones that are trained on."""
    ids = line.split(", of ")[1].split(" and ")[0].split(":")[0].split(", ")
    rows = {
        row.ID: row
        for path in (results / "manifests").glob("*.csv")
        for row in manifest.read(path)
    }
    assert ids
    assert all(rows[i].split != "test" for i in ids)
    return ids


@pytest.mark.usefixtures("looked")
@pytest.mark.parametrize(
    ("how", "what"),
    [(".nan", "the loss"), (".inf", "the loss"), ("gradient", "a gradi")],
)
def test_first_step_that_is_no_number(how, what, system, argv, complaint, tmp_path):
    results = tmp_path / "results"
    line = complaint(argv(results, system=system(how)))
    assert f"step 8: {what}" in line
    assert "and 33 more" in line  # of the batch of 36
    assert "--learning_rate" in line
    named(line, results)
    folder = results / "ravdess_to_emodb/spoilt/ecapa/1"
    assert not (folder / "run.json").exists()
    for path in (folder / "save").rglob("*.ckpt"):
        if path.stem in ("encoder", "classifier", "head"):
            weights = torch.load(path, weights_only=True)
            assert all(
                torch.isfinite(value.float()).all() for value in weights.values()
            )
    steps = (folder / "train_log.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in steps] == ["step: 3", "step: 6"]


@pytest.mark.usefixtures("looked")
def test_nothing_is_saved_between_validations(system, argv, complaint, tmp_path):
    args = argv(tmp_path, system=system(".nan"), validate_every=12)
    line = complaint([*args, "--ckpt_interval_steps=2"])
    assert "step 8: the loss" in line
    [saved] = tmp_path.rglob("CKPT.yaml")
    assert "step: 6" in saved.read_text()


def test_whatever_else_it_led_to(system, argv, complaint, tmp_path, monkeypatch):
    """As on a GPU, a later step may fail in another way before anybody looks."""
    monkeypatch.setattr("xser_brain.waiting.at_once", lambda device: False)
    args = argv(tmp_path, system=system("then an error"), validate_every=12)
    assert "step 8: the loss is NaN" in complaint(args)


def test_all_batches_of_an_accumulated_step_are_named(
    system, argv, complaint, tmp_path
):
    args = argv(tmp_path, system=system(".nan"))
    line = complaint([*args, "--grad_accumulation_factor=2"])
    assert "step 8: the loss" in line
    assert "and 69 more" in line


@pytest.mark.usefixtures("looked")
@pytest.mark.parametrize("every", [1, 12])
def test_a_learning_rate_of_a_million(every, argv, complaint, tmp_path):
    changes = {"learning_rate": 1e6, "warmup": 0, "validate_every": every}
    line = complaint(argv(tmp_path, system="baseline1", **changes))
    assert "NaN or infinite" in line
    named(line, tmp_path)
    assert not list(tmp_path.rglob("run.json"))
    assert not list(tmp_path.rglob("CKPT.yaml"))


def test_validation_that_cannot_be_computed(argv, complaint, tmp_path):
    """The step itself was sound; what it left is not."""
    changes = {"learning_rate": 1e30, "warmup": 0, "steps": 1, "validate_every": 1}
    line = complaint(argv(tmp_path, system="baseline1", **changes))
    assert "step 1, validation" in line
    named(line, tmp_path)
    assert not list(tmp_path.rglob("CKPT.yaml"))


@pytest.mark.parametrize("adaptation", ["frozen", "lora"])
def test_features_that_are_no_numbers(
    adaptation, argv, complaint, small_encoder, tmp_path
):
    folder = tmp_path / "encoder"
    model = Wav2Vec2Model.from_pretrained(small_encoder("wav2vec2"))
    with torch.no_grad():
        model.feature_extractor.conv_layers[0].conv.weight[:] = torch.nan
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_bytes(
        (small_encoder("wav2vec2") / "preprocessor_config.json").read_bytes()
    )
    changes = {"encoder": "wav2vec2", "encoder_source": folder, "projection": 8}
    line = complaint(argv(tmp_path / "r", **changes, adaptation=adaptation))
    assert "NaN or infinite" in line
    assert any(name in line for name in ("ravdess-", "esd-", "urdu-"))
    assert not list(tmp_path.rglob("*.shard"))
    assert not list(tmp_path.rglob("run.json"))


def test_a_sound_run_says_so(finished, record):
    assert record(finished)["steps_left_out"] == 0
