"""Several runs as one model: it says the mean of what they say."""

import json
import shutil

import numpy as np
import pytest
from models import noise
from sklearn.metrics import balanced_accuracy_score

from data_prep import manifest
from data_prep.errors import UserError
from xser_brain.cli import main as xser
from xser_brain.cli.train import main
from xser_brain.inference import Classifier
from xser_brain.inference.calibration import temper
from xser_brain.models.ensemble import join

RUN = "ravdess_to_emodb/{}/wav2vec2/{}"


@pytest.fixture(scope="module")
def runs(argv, small_encoder, tmp_path_factory):
    """Finished runs: two seeds of a trained system, and two that are solved."""
    results = tmp_path_factory.mktemp("runs")
    options = {"encoder": "wav2vec2", "encoder_source": small_encoder("wav2vec2")}
    asked = [("baseline2", 1), ("baseline2", 2), ("robust", 1), ("robust_ridge", 1)]
    for system, seed in asked:
        assert main(argv(results, system=system, seed=seed, **options)) == 0
    return [results / RUN.format(system, seed) for system, seed in asked]


@pytest.mark.parametrize(
    "which",
    [slice(0, 2), slice(2, 4), slice(1, 3)],
    ids=["trained", "solved", "both"],
)
def test_it_says_the_mean(which, runs, tmp_path, standins, capsys):
    chosen = [str(run) for run in runs[which]]
    assert xser(["ensemble", *chosen, f"--out={tmp_path / 'both'}"]) == 0
    assert "emodb, whole corpus, n = 32: UAR" in capsys.readouterr().out
    both = Classifier.from_pretrained(tmp_path / "both")
    members = [Classifier.from_pretrained(run / "model") for run in runs[which]]
    config = json.loads((tmp_path / "both/config.json").read_text())
    rows = manifest.read(runs[0].parents[3] / "manifests/emodb.csv")
    said = {}
    for row in rows:
        path = row.path(str(standins))
        said[row.ID] = [*both(path).probabilities.values()]
        shares = [[*member(path).probabilities.values()] for member in members]
        mean = np.exp(np.log(shares).mean(0))
        temperature = config["calibration"]["temperature"]
        expected = temper(mean / mean.sum(), temperature)
        np.testing.assert_allclose(said[row.ID], expected, atol=1e-4)
    true = [config["labels"].index(row.emotion) for row in rows]
    uar = balanced_accuracy_score(true, [np.argmax(said[row.ID]) for row in rows])
    assert config["result"]["all"]["uar"] == pytest.approx(100 * uar)
    assert config["training"]["languages"] == ["en", "ur", "zh"]


def test_it_is_a_model_as_any(runs, tmp_path):
    join(runs[:2], tmp_path / "both", whole=True)
    shutil.copytree(tmp_path / "both", tmp_path / "elsewhere")
    text = (tmp_path / "elsewhere/README.md").read_text()
    assert "system ensemble" in text
    classifier = Classifier.from_pretrained(tmp_path / "elsewhere")
    assert classifier(noise(1.0, 0), 16000).emotion


def test_what_does_not_belong_together(runs, finished, tmp_path):
    for chosen, message in (
        (runs[:1], "at least two"),
        ([finished, finished], "has an encoder that was trained"),
        ([runs[0], tmp_path], "no finished run"),
    ):
        with pytest.raises(UserError, match=message):
            join(chosen, tmp_path / "out")
    assert not (tmp_path / "out").exists()
