"""Tables are made of artefacts: figures are recomputed from predictions.csv."""

import csv
import json

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS
from xser_brain.cli import main
from xser_brain.reports.tables import BEGIN, END, find_runs, results_table


def write_run(folder, system="proposed", seed=1, accuracy=0.8, protocol="p"):
    """A run of 60 made-up predictions of six speakers; gives labels and predictions."""
    rng = np.random.default_rng(seed)
    truth = np.arange(60) % 4
    guess = np.where(rng.random(60) < accuracy, truth, rng.integers(0, 4, 60))
    folder.mkdir(parents=True)
    with (folder / "predictions.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["ID", "language", "speaker", "emotion", "predicted", "subset"])
        for i, (t, p) in enumerate(zip(truth, guess, strict=True)):
            subset = "test" if i < 20 else "rest"
            writer.writerow([i, "de", f"s{i % 6}", EMOTIONS[t], EMOTIONS[p], subset])
    record = {
        "setting": {"source": ["a"], "non_target": ["b", "c"], "target": "d"},
        "system": system,
        "seed": seed,
        "encoder": {"name": "ecapa"},
        "standin": False,
        "protocol_sha256": protocol,
        "hparams_sha256": "h",
        "target_test": {"n": 20},
        "target_all": {"n": 60},
    }
    (folder / "run.json").write_text(json.dumps(record))
    return truth, guess


def test_table_means_over_seeds(tmp_path):
    pairs = [write_run(tmp_path / str(s), seed=s) for s in (1, 2, 3)]
    uars = [100 * recall_score(t, p, average="macro") for t, p in pairs]
    f1s = [100 * f1_score(t, p, average="macro") for t, p in pairs]
    row = next(x for x in results_table(tmp_path).splitlines() if "proposed" in x)
    whole = row.split("|")[5]
    assert f"{np.mean(uars):.1f} ± {np.std(uars, ddof=1):.1f} [" in whole
    assert whole.strip().endswith(f"/ {np.mean(f1s):.1f}")
    low, high = map(float, whole.split("[")[1].split("]")[0].split(","))
    assert low < np.mean(uars) < high
    assert row.split("|")[2].strip() == "3"


def test_test_part_counts_its_utterances_only(tmp_path):
    truth, guess = write_run(tmp_path / "1")
    expected = 100 * recall_score(truth[:20], guess[:20], average="macro")
    row = next(x for x in results_table(tmp_path).splitlines() if "proposed" in x)
    assert row.split("|")[3].strip().startswith(f"{expected:.1f} [")


def test_systems_stand_in_the_papers_order(tmp_path):
    for system in ("upper_bound", "proposed", "baseline1"):
        write_run(tmp_path / system, system=system)
    lines = results_table(tmp_path).splitlines()
    names = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    assert names == ["system", "---", "baseline1", "proposed", "upper_bound"]


def test_runs_of_other_plans_are_refused(tmp_path):
    write_run(tmp_path / "1", seed=1)
    write_run(tmp_path / "2", seed=2, protocol="q")
    with pytest.raises(UserError, match="different plans"):
        results_table(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"seed": 1}'], ids=["empty", "cut", "list", "part"]
)
def test_damaged_run_is_one_line(tmp_path, text, capsys):
    (tmp_path / "run.json").write_text(text)
    assert main(["tables", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "run.json" in message


def test_empty_folder_is_one_line(tmp_path, capsys):
    assert main(["tables", str(tmp_path)]) == 2
    assert "no finished run" in capsys.readouterr().err


def test_missing_predictions_are_one_line(tmp_path, capsys):
    write_run(tmp_path / "1")
    (tmp_path / "1/predictions.csv").unlink()
    assert main(["tables", str(tmp_path)]) == 2
    assert "predictions.csv is missing" in capsys.readouterr().err


def test_update_replaces_what_stands_between_the_marks(tmp_path, capsys):
    write_run(tmp_path / "runs/1")
    document = tmp_path / "README.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    command = ["tables", str(tmp_path / "runs"), f"--update={document}"]
    assert main(command) == 0
    text = document.read_text()
    assert text.startswith(f"before\n{BEGIN}\n**a (+ b, c) → d, ecapa**")
    assert text.endswith(f"{END}\nafter\n") and "old" not in text
    assert main(command) == 0
    assert document.read_text() == text
    document.write_text("no marks")
    assert main(command) == 2


def test_find_runs_searches_all_through(tmp_path):
    for name in ("x/1", "y/z/2"):
        write_run(tmp_path / name)
    assert len(find_runs(tmp_path)) == 2
