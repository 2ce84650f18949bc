"""Finished models are scored as a run scores its own target, and beside each other."""

import csv
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from models import exported, noise, probabilities
from sklearn import metrics

from data_prep import audio, manifest
from data_prep.audio import SAMPLE_RATE
from xser_brain.cli import main
from xser_brain.evaluation.material import Material, of_table
from xser_brain.evaluation.scoring import Heard
from xser_brain.inference import Classifier
from xser_brain.inference.calibration import expected_calibration_error

SHARED_KEYS = ("n", "uar", "macro_f1", "accuracy", "recall", "confusion", "labels",
               "absent", "ci95", "ci95_speaker")  # fmt: skip


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """Another model, of random weights."""
    return exported(tmp_path_factory.mktemp("other") / "model")[0]


@pytest.fixture
def evaluate(capsys, tmp_path):
    """Run ``xser evaluate``; what is in its evaluation.json, and what it printed."""

    def call(*args, code=0):
        out = tmp_path / "out"
        given = ["evaluate", *args, "--noprogressbar", f"--out={out}", "--device=cpu"]
        assert main([str(arg) for arg in given]) == code
        printed = capsys.readouterr()
        found = json.loads((out / "evaluation.json").read_text())
        return found, printed.out, printed.err

    return call


@pytest.fixture
def refused(capsys):
    """Run ``xser evaluate`` in vain; its one line on stderr."""

    def call(*args):
        assert main(["evaluate", *map(str, args), "--noprogressbar"]) == 2
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (out, len(lines)) == ("", 1), err
        assert "Traceback" not in err
        return lines[0]

    return call


@pytest.fixture(scope="module")
def target(finished):
    """The rows of the target's manifest that were scored."""
    rows = manifest.read(finished.parents[3] / "manifests/emodb.csv")
    return [row for row in rows if row.emotion]


@pytest.fixture
def table(target, standins, tmp_path):
    """The same utterances as a table, in another order."""

    def write(
        name="own.csv", columns=("path", "emotion", "speaker", "language", "gender")
    ):
        path = tmp_path / name
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, columns, extrasaction="ignore")
            writer.writeheader()
            for row in target[::-1]:
                wav = Path(row.path(standins)).relative_to(standins)
                writer.writerow({**asdict(row), "path": wav})
        return path

    return write


def same(found: dict, expected: dict) -> None:
    for key in SHARED_KEYS:
        assert found[key] == expected[key], key


# --- The same figures as in run.json


def test_on_its_target_a_run_has_the_figures_of_its_record(
    evaluate, finished, standins, record
):
    found, out, _ = evaluate(
        finished, "--corpus", "emodb", f"--data_root={standins}", "--splits=speaker"
    )
    [score] = found["scores"]
    run = record(finished)
    same(score["test"], run["target_test"])
    same(score["all"], run["target_all"])
    assert score["all"]["calibration_error"] == pytest.approx(
        run["calibration"]["ece_target_after"], abs=1e-3
    )
    assert score["compared"] == "all"
    assert f"{run['target_all']['uar']:.1f}" in out
    assert score["heard"] == {"corpus": False, "languages": [], "never": ["de"]}
    assert "nothing of its language (de)" in out
    assert "synthetic" in out


def test_folders_may_be_named_from_the_current_one(
    evaluate, other, standins, monkeypatch
):
    monkeypatch.chdir(standins.parent)
    found, *_ = evaluate(
        other, "--corpus", "urdu", f"--data_root={standins.name}", "--splits=speaker"
    )
    assert found["scores"][0]["all"]["n"] == 32


def test_of_a_table_too(evaluate, finished, standins, record, table):
    found, *_ = evaluate(finished, "--table", table(), f"--data_root={standins}")
    [score] = found["scores"]
    run = record(finished)
    same(score["test"], run["target_all"])
    assert (score["all"], score["compared"]) == (None, "test")


def test_long_utterances_are_scored_whole(evaluate, other, tmp_path):
    """As a run scores them; predict would cut them."""
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", noise(31.0, number), SAMPLE_RATE)
    (tmp_path / "t.csv").write_text(
        "path,emotion\n"
        + "".join(f"{n}.wav,{'sad' if n % 2 else 'angry'}\n" for n in range(4))
    )
    found, *_ = evaluate(other, "--table", tmp_path / "t.csv")
    model = Classifier.from_pretrained(other).model
    shares = probabilities(model, [audio.load(tmp_path / f"{n}.wav") for n in range(4)])
    true = np.array([2, 3, 2, 3])
    figures = found["scores"][0]["test"]
    assert figures["calibration_error"] == pytest.approx(
        expected_calibration_error(shares, true), abs=1e-3
    )
    assert figures["accuracy"] == 100 * np.mean(shares.argmax(1) == true)


# --- Broken down


def test_by_speaker_sex_and_length(evaluate, finished, standins, target, table):
    path = table()
    found, out, _ = evaluate(finished, "--table", path, f"--data_root={standins}")
    [score] = found["scores"]
    labels = score["labels"]
    rows = {str(row.path(standins)): row for row in target}
    results = list(Classifier.from_pretrained(finished)(sorted(rows)))
    for attribute, key in (("speaker", "by_speaker"), ("gender", "by_sex")):
        groups = score[key]
        assert set(groups) == {getattr(row, attribute) for row in target}
        for name, figures in groups.items():
            own = [r for r in results if getattr(rows[r.path], attribute) == name]
            true = [rows[r.path].emotion for r in own]
            said = [r.predicted for r in own]
            assert figures["n"] == len(own)
            present = [label for label in labels if label in true]
            recall = metrics.recall_score(
                true, said, labels=present, average="macro", zero_division=0
            )
            assert figures["uar"] == pytest.approx(100 * recall)
        assert sum(figures["n"] for figures in groups.values()) == len(target)
    lengths = score["by_length"]
    assert sum(figures["n"] for figures in lengths.values()) == len(target)
    shorter = sum(r.end < 2 for r in results)
    assert lengths.get("under 2 s", {"n": 0})["n"] == shorter
    for title in ("Confusion.", "By speaker.", "By sex.", "By length."):
        assert title in out


# --- Several


def test_models_and_corpora_make_one_leaderboard(
    evaluate, finished, other, standins, table, tmp_path
):
    found, out, _ = evaluate(
        finished, other, "--corpus", "emodb", "urdu", "--table", table("mine.csv"),
        f"--data_root={standins}", "--splits=speaker",
    )  # fmt: skip
    assert [(s["model"], s["on"]) for s in found["scores"]] == [
        (str(model), name)
        for model in (finished, other)
        for name in ("emodb", "urdu", "mine")
    ]
    scores = {(s["model"], s["on"]): s for s in found["scores"]}
    # The run was trained on urdu, the other model was not: both on its test part.
    assert scores[str(finished), "urdu"]["heard"]["corpus"] is True
    assert scores[str(finished), "urdu"]["all"] is None
    assert scores[str(other), "urdu"]["compared"] == "test"
    assert (
        scores[str(other), "urdu"]["all"]["n"] > scores[str(other), "urdu"]["test"]["n"]
    )
    single = [t for t in found["tests"] if t["unit"] != "settings"]
    assert [t["setting"] for t in single] == ["emodb", "urdu", "mine"]
    for test in single:
        pair = [scores[test[side], test["setting"]] for side in ("better", "worse")]
        uars = [s[s["compared"]]["uar"] for s in pair]
        assert test["difference"] >= 0
        assert test["difference"] == pytest.approx(uars[0] - uars[1])
        assert test["p"] <= test["p_holm"] <= 1
    assert [t["n"] for t in found["tests"] if t["unit"] == "settings"] == [2]
    text = (tmp_path / "out/evaluation.md").read_text()
    assert out.strip().startswith("**Leaderboard**")
    assert "Paired tests" in out
    test = next(t for t in single if t["setting"] == "emodb")
    assert f"| {test['better']} > {test['worse']} | emodb |" in out
    assert "Confusion." in text
    assert "Confusion." not in out
    [row] = [line for line in out.splitlines() if line.startswith(f"| {finished} |")][
        :1
    ]
    assert row.count("¶") == 1
    rows = list(csv.DictReader((tmp_path / "out/evaluation.csv").open()))
    assert len(rows) == 6
    assert float(rows[0]["uar"]) == scores[str(finished), "emodb"]["all"]["uar"]


def test_models_of_other_labels_are_not_compared(
    evaluate, finished, standins, tmp_path
):
    two, _ = exported(tmp_path / "two", labels=("happy", "sad"))
    found, out, _ = evaluate(
        finished,
        two,
        "--corpus",
        "emodb",
        f"--data_root={standins}",
        "--splits=speaker",
    )
    assert found["tests"] == []
    assert "Leaderboard" not in out
    assert [len(score["labels"]) for score in found["scores"]] == [4, 2]
    assert any("other emotions left out" in line for line in found["remarks"])


def test_what_a_model_has_heard():
    config = {"training": {"corpora": ["esd"], "languages": ["zh"], "standin": False}}

    def of(corpus, *languages):
        rows = [
            manifest.Row("a", 1.0, "", 1, corpus, code, "", "", "", "test")
            for code in languages
        ]
        return str(Heard.of(config, Material("x", rows, {}, corpus)))

    assert of("esd", "zh") == "this corpus"
    assert of("casia", "zh") == "other corpora of its language (zh)"
    assert of("emodb", "de") == "nothing of its language (de)"
    assert of("", "ZH", "de") == "corpora of its language (ZH); never de"
    assert of("", "") == "its language is not told"


# --- Tables


def test_words_of_a_table(tmp_path):
    (tmp_path / "t.csv").write_text(
        "path,emotion,sex\na.wav,Happy,f\nb.wav,SAD,\nc.wav,boredom,m\nd.wav,good,m\n"
    )
    (tmp_path / "a.wav").touch()
    material = of_table(tmp_path / "t.csv")
    rows = material.labelled(("happy", "sad"))
    assert [(row.ID, row.emotion) for row in rows] == [
        ("a.wav", "happy"),
        ("b.wav", "sad"),
    ]
    assert material.rows[0].gender == "f"
    assert material.others(("happy", "sad")) == (
        "2 utterances of other emotions left out (boredom 1, good 1)"
    )
    own = material.labelled(("good", "bad"))
    assert [(row.ID, row.emotion) for row in own] == [("d.wav", "good")]
    merged = material.labelled(("positive", "negative"))
    assert [(row.ID, row.emotion) for row in merged] == [
        ("a.wav", "positive"),
        ("b.wav", "negative"),
    ]


def test_a_table_is_what_import_takes_it_for(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.wav").touch()
    text = "\ufeffFile Name;Label;Actor;Language\nclips\\a.wav;sad;anna;German\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    material = of_table(tmp_path / "t.csv")
    [row] = material.rows
    assert (row.native_emotion, row.speaker, row.language) == ("sad", "anna", "de")
    assert material.paths[row.ID] == str(tmp_path / "clips/a.wav")


def test_recordings_that_cannot_be_read_are_named(evaluate, other, tmp_path):
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", noise(1.0, number), SAMPLE_RATE)
    (tmp_path / "5.wav").write_bytes(b"no audio")
    (tmp_path / "t.csv").write_text(
        "path,emotion\n" + "".join(f"{n}.wav,sad\n" for n in range(7))
    )
    found, out, err = evaluate(other, "--table", tmp_path / "t.csv", code=1)
    assert found["scores"][0]["test"]["n"] == 5
    assert "5.wav: error: not an audio file" in err
    assert "6.wav: error: cannot be read" in err
    assert "2 recordings could not be scored" in out
    assert "over 1 classes, for no utterance is neutral or happy or angry" in out


def test_mistakes_are_one_line(refused, other, standins, tmp_path):
    good = tmp_path / "t.csv"
    good.write_text("path,emotion\na.wav,sad\n")
    (tmp_path / "twice.csv").write_text("path,emotion\na.wav,sad\na.wav,sad\n")
    (tmp_path / "out.csv").write_text("path,emotion\n/etc/passwd,sad\n")
    (tmp_path / "no.csv").write_text("x,emotion\na.wav,sad\n")
    for args, said in (
        ((), "pass --corpus=NAME or --table=FILE"),
        (("--corpus", "emodb"), "--corpus needs --data_root"),
        (("--corpus", "nix", f"--data_root={standins}"), "unknown corpus"),
        (
            ("--corpus", "emodb", f"--data_root={standins}", "--splits=x"),
            "unknown splits",
        ),
        (("--corpus", "emodb", f"--data_root={tmp_path}/no"), "no folder"),
        (("--table", tmp_path / "none.csv"), "cannot be read"),
        (("--table", tmp_path / "no.csv"), "hold the path: call it path; there are x"),
        (("--table", tmp_path / "twice.csv"), "names 'a.wav' twice"),
        (("--table", tmp_path / "out.csv"), "pass --data_root=DIR, below which"),
        (("--table", good), "none of the 1 recordings"),
        (("--table", good, good), "given twice"),
    ):
        assert said in refused(other, *args), said
    soundfile.write(tmp_path / "a.wav", noise(1.0), SAMPLE_RATE)
    good.write_text("path,emotion\na.wav,glad\n")
    assert "no utterance of t is" in refused(other, "--table", good)
    assert "is given twice" in refused(other, other, "--table", good)


def test_nothing_of_a_name_is_run_or_moves_a_terminal(evaluate, other, tmp_path):
    folder = tmp_path / "=m\x1b[2J"
    shutil.copytree(other, folder)
    soundfile.write(tmp_path / "a.wav", noise(1.0), SAMPLE_RATE)
    (tmp_path / "t.csv").write_text("path,emotion,speaker\na.wav,sad,<img src=x>\x1b\n")
    _, out, _ = evaluate(folder, "--table", tmp_path / "t.csv")
    text = (tmp_path / "out/evaluation.md").read_text()
    assert "\x1b" not in out + text
    assert "<img" not in text.replace("\\<img", "")
