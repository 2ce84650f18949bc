"""The model that comes with the package, and how it is made again."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from models import noise

from data_prep.errors import UserError
from xser_brain import starter
from xser_brain.cli import main as xser
from xser_brain.cli.train import main
from xser_brain.inference import Classifier
from xser_brain.serve.page import trust
from xser_brain.starter.__main__ import main as make

RUN = "ravdess_to_emodb/{}/wav2vec2/1"


@pytest.fixture(scope="module")
def encoder(small_encoder, tmp_path_factory):
    """A copy of an encoder in half precision, as a trial may have used."""
    folder = tmp_path_factory.mktemp("half") / "encoder"
    shutil.copytree(small_encoder("wav2vec2"), folder)
    weights = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(weights)
    halves = {name: tensor.half() for name, tensor in tensors.items()}
    safetensors.torch.save_file(halves, weights, {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def made(argv, encoder, tmp_path_factory):
    """A starter of small runs."""
    results = tmp_path_factory.mktemp("runs")
    options = {"encoder": "wav2vec2", "encoder_source": encoder}
    for system in ("robust", "robust_everything"):
        assert main(argv(results, system=system, **options)) == 0
    run, folder = results / RUN.format("robust_everything"), results / "starter"
    command = [str(run), str(results), f"--out={folder}", "--encoder=owner/name"]
    assert make(command) == 0
    return folder, results


def test_it_has_heard_everything(made, record):
    folder, results = made
    config = json.loads((folder / "config.json").read_text())
    assert config["training"]["corpora"] == ["emodb", "esd", "ravdess", "urdu"]
    assert config["result"]["protocol"] == "trained on the target"
    assert config["encoder"]["source"] == "owner/name"
    strict = record(results / RUN.format("robust"))
    (figure,) = config["left_out"]
    assert figure["uar"] == pytest.approx(strict["target_all"]["uar"], abs=0.01)
    assert (figure["target"], figure["language"]) == ("emodb", "de")
    card = (folder / "README.md").read_text()
    assert f"| emodb | German | 32 | {figure['uar']:.1f} |" in card
    # What it gets where it was trained is no promise to those who only look at the head.
    assert "model-index" not in card
    assert config["result"]["protocol"] not in trust(config, 0.5)
    assert f"German {figure['uar']:.0f} %" in trust(config, 0.5)


def test_weights_of_more_digits_will_do(made, small_encoder, encoder):
    """Those of the hub are in single precision, of which these are the halves."""
    folder, _ = made
    said = []
    for source in (small_encoder("wav2vec2"), encoder):
        classifier = Classifier.from_pretrained(folder, encoder_source=str(source))
        found = classifier(noise(1.0, 0), 16000)
        said.append([*found.probabilities.values()])
    np.testing.assert_allclose(*said, atol=0.02)


def test_other_weights_will_not(made, small_encoder, capsys):
    folder, _ = made
    other = small_encoder("wav2vec2-layer-norm")
    command = ["predict", str(folder), "x.wav", f"--encoder_source={other}"]
    assert xser(command) == 2
    assert "error: " in capsys.readouterr().err


def test_without_runs_of_languages_left_out(made, tmp_path, capsys):
    _, results = made
    only = tmp_path / RUN.format("robust_everything")
    shutil.copytree(results / RUN.format("robust_everything"), only)
    assert make([str(only), str(tmp_path), f"--out={tmp_path / 'out'}"]) == 2
    assert "holds no runs of robust" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_it_has_no_revisions():
    with pytest.raises(UserError, match="leave --revision out"):
        Classifier.from_pretrained("starter", revision="abc")


# --- The one that comes with the package


def test_its_card_says_what_it_is():
    config = json.loads((starter.FOLDER / "config.json").read_text())
    card = (starter.FOLDER / "README.md").read_text()
    assert config["encoder"]["source"] == "openai/whisper-base"
    assert not config["training"]["standin"]
    assert len(config["left_out"]) == len(config["training"]["corpora"]) == 5
    for name in config["training"]["corpora"]:
        assert f"| {name} " in card or name in card
    assert "What to expect of another" in card and "model-index" not in card
    assert sum(path.stat().st_size for path in starter.FOLDER.iterdir()) < 1_000_000


def test_without_the_hub_it_says_what_to_pass(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="pass --encoder_source=DIR with a copy"):
        Classifier.from_pretrained("starter")


@pytest.mark.slow
def test_it_works_as_it_is(shared, restored, tmp_path, capsys):
    """Of utterances that it was trained on it knows most, by the commands of the README."""
    source = f"--encoder_source={shared / 'models/whisper-base-encoder'}"
    folder = next(restored.glob("emodb/**/*.wav")).parent
    clips = sorted(folder.glob("*.wav"))[::10]
    out = tmp_path / "said.csv"
    command = ["predict", "starter", *map(str, clips), source, f"--output={out}"]
    assert xser([*command, "--noprogressbar", "--format=csv"]) == 0
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    letters = {"N": "neutral", "F": "happy", "W": "angry", "T": "sad"}
    right = [
        row["emotion"] == letters[name[5]]
        for row in rows
        for name in [Path(row["path"]).name]
        if name[5] in letters
    ]
    assert len(right) > 10
    assert np.mean(right) > 0.8
