"""Methods of one's own, each a file of code and one of YAML at most: trained and used."""

import shutil
from pathlib import Path

import pytest

from xser_brain import cli
from xser_brain.cli.train import main
from xser_brain.inference import Classifier
from xser_brain.reports.names import system_name

LAB = Path(__file__).parent / "lab"
SYSTEMS = ["language_adversary", "coral", "mixup", "alternate", "worst"]


@pytest.fixture(scope="module")
def baseline(argv, tmp_path_factory):
    """Results of a run of baseline2, to stand beside the others in a table."""
    results = tmp_path_factory.mktemp("baseline2")
    assert main(argv(results, system="baseline2")) == 0
    return results


@pytest.fixture
def results(baseline, tmp_path):
    return shutil.copytree(baseline, tmp_path / "results")


def tabulated(results, capsys) -> str:
    capsys.readouterr()
    assert cli.main(["tables", str(results)]) == 0
    return capsys.readouterr().out


def classified(run, standins) -> str:
    clip = next((standins / "emodb").rglob("*.wav"))
    return Classifier.from_pretrained(run)(clip).predicted


@pytest.mark.parametrize("name", SYSTEMS)
def test_system(name, argv, results, standins, record, capsys):
    assert main(argv(results, system=LAB / f"{name}.yaml")) == 0
    run = results / f"ravdess_to_emodb/{name}/ecapa/1"
    told = record(run)
    assert told["system"] == name and told["zero_shot"]
    log = (run / "train_log.txt").read_text("utf-8")
    for objective in told["objectives"]:
        assert f"train {objective}: " in log
    assert f"| {system_name(name)} " in tabulated(results, capsys)
    assert classified(run, standins) in told["labels"]


def test_selection_scores_by_itself(argv, tmp_path, record):
    assert main(argv(tmp_path, system=LAB / "worst.yaml")) == 0
    valid = record(tmp_path / "ravdess_to_emodb/worst/ecapa/1")["valid"]
    assert valid["score"] == min(valid["uar"].values())
    assert valid["selection"] == "lowest UAR over training languages"


def test_metric(argv, tmp_path, record, capsys, monkeypatch):
    monkeypatch.chdir(LAB)
    options = {"system": "baseline2", "metrics.weakest": "!name:weakest.weakest"}
    assert main(argv(tmp_path, **options)) == 0
    told = record(tmp_path / "ravdess_to_emodb/baseline2/ecapa/1")
    assert told["metrics"] == {"weakest": "weakest.weakest"}
    for part in ("target_test", "target_all"):
        recall = told[part]["recall"]
        assert told[part]["weakest"] == pytest.approx(min(recall.values()))
    assert "weakest" in tabulated(tmp_path, capsys)


def test_encoder(argv, tmp_path, standins, record, capsys):
    changes = {"system": "baseline2", "encoder": LAB / "tiny.yaml"}
    assert main(argv(tmp_path, **changes)) == 0
    run = tmp_path / "ravdess_to_emodb/baseline2/tiny/1"
    told = record(run)
    assert told["encoder"]["name"] == "tiny"
    assert "tiny" in tabulated(tmp_path, capsys)
    assert classified(run, standins) in told["labels"]
