"""Data are what they were, whole, and on one side only."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep import manifest
from data_prep.standin import MARKER
from xser_brain.cli import main as xser
from xser_brain.cli.train import main
from xser_brain.protocol import Setting, System, make_plan
from xser_brain.reports import tables
from xser_brain.reports.figures.scores import draw_uar, uar_rows

RUN = Path("ravdess_to_emodb/proposed/ecapa/1")
QUICK = {"steps": 2, "validate_every": 2}


@pytest.fixture
def corpora(standins, tmp_path):
    shutil.copytree(standins, tmp_path / "corpora")
    return tmp_path / "corpora"


def silence(path: Path) -> None:
    about = soundfile.info(path)
    soundfile.write(path, np.zeros(about.frames, np.int16), about.samplerate)


# --- Changed since


@pytest.mark.parametrize("corpus", ["emodb", "urdu"])
def test_a_run_whose_recordings_changed_is_not_finished(
    corpus, corpora, argv, complaint, tmp_path
):
    args = argv(tmp_path / "r", data_root=corpora, **QUICK)
    assert main(args) == 0
    before = (tmp_path / "r" / RUN / "run.json").read_bytes()
    for path in (corpora / corpus).rglob("*.wav"):
        size = path.stat().st_size
        silence(path)
        assert path.stat().st_size == size
    line = complaint(args)
    assert f"the recordings of {corpus} changed since" in line
    assert (tmp_path / "r" / RUN / "run.json").read_bytes() == before


def test_dates_that_are_kept_hide_nothing(corpora, argv, complaint, tmp_path):
    args = argv(tmp_path / "r", data_root=corpora, **QUICK)
    assert main(args) == 0
    path = next((corpora / "emodb").rglob("*.wav"))
    stat = path.stat()
    silence(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert "the recordings of emodb changed since" in complaint(args)


def test_an_earlier_run_is_still_finished(corpora, argv, complaint, tmp_path):
    """It wrote no hashes down, and its manifests hold none."""
    args = argv(tmp_path / "r", data_root=corpora, **QUICK)
    assert main(args) == 0
    path = tmp_path / "r" / RUN / "identity.json"
    identity = json.loads(path.read_text())
    for key in ("audio", "seed", "processes"):
        del identity[key]
    path.write_text(json.dumps(identity))
    assert main(args) == 0
    assert "steps" in complaint(argv(tmp_path / "r", data_root=corpora, steps=3))


def test_a_manifest_of_an_earlier_version(
    write_manifests, tiny_corpora, tmp_path, caplog
):
    """It holds no hashes: that is said, and it is used."""
    corpora = tiny_corpora(x="en", y="ur", z="de")
    setting = Setting(("x",), ("y",), "z")
    system = System("mine", "all", {"emotion": None})
    plan = make_plan(setting, system, write_manifests(corpora), tmp_path)
    assert plan.train
    assert sum("holds no hashes" in line for line in caplog.messages) == 3


# --- On both sides


@pytest.mark.parametrize("how", ["copied", "as FLAC"])
def test_copies_of_the_target_are_not_trained_on(
    how, corpora, argv, complaint, tmp_path
):
    """Of another name, corpus and language."""
    target = sorted((corpora / "emodb").rglob("*.wav"))[0]
    heard = sorted((corpora / "urdu").rglob("*.wav"))
    for path in heard:  # whichever split they are in
        if how == "copied":
            shutil.copyfile(target, path)
        else:
            samples, rate = soundfile.read(target, dtype="int16")
            path.unlink()
            soundfile.write(path.with_suffix(".flac"), samples, rate)
    line = complaint(argv(tmp_path / "r", data_root=corpora))
    assert "not zero-shot" in line
    assert str(target) in line
    assert "urdu-" in line
    assert not list(tmp_path.rglob("save"))


def test_one_recording_twice_is_said(corpora, argv, tmp_path, caplog):
    first, second = sorted((corpora / "urdu/Sad").glob("*.wav"))[:2]
    shutil.copyfile(first, second)
    assert main(argv(tmp_path / "r", data_root=corpora, **QUICK)) == 0
    (line,) = [text for text in caplog.messages if "are one recording" in text]
    assert line.count("urdu-") == 2
    rows = manifest.read(tmp_path / "r/manifests/urdu.csv")
    hashes = [row.audio_sha256 for row in rows]
    assert len(hashes) == len(set(hashes)) + 1


# --- Whole


@pytest.fixture
def incomplete(corpora):
    """A real copy, as it seems, of which one emotion is missing."""
    (corpora / "emodb" / MARKER).unlink()
    for path in (corpora / "emodb").rglob("*N?.wav"):
        path.unlink()
    return corpora


def test_an_incomplete_target_is_refused(incomplete, argv, complaint, tmp_path):
    line = complaint(argv(tmp_path, data_root=incomplete))
    assert "emodb is incomplete, it lacks neutral (79 declared)" in line
    assert "--allow_incomplete=True" in line
    assert not list(tmp_path.rglob("identity.json"))


def test_an_incomplete_target_is_told_everywhere(
    incomplete, argv, tmp_path, record, capsys
):
    results = tmp_path / "results"
    for system in ("baseline1", "baseline2"):
        changes = {"allow_incomplete": True, "system": system, **QUICK}
        assert main(argv(results, data_root=incomplete, **changes)) == 0
    printed = capsys.readouterr().out
    assert "emodb lacks neutral (79 declared) and " in printed
    assert "without neutral" in printed
    run = record(results / "ravdess_to_emodb/baseline1/ecapa/1")
    assert run["incomplete"].keys() == {"emodb"}
    assert run["target_all"]["absent"] == ["neutral"]

    report = tables.gather(results)
    (score, *_) = report.scores
    assert (score.classes, score.absent) == (3, "neutral")
    text = tables.as_markdown(report)
    assert "§" in text
    assert (
        "over 3 classes (chance 33.3 %), for no utterance of neutral was tested" in text
    )
    assert "Incomplete copies of corpora: EMO-DB lacks neutral" in text
    systems = next(t for t in report.tables if t.title.startswith("Table 2"))
    assert {row[-1] for row in systems.rows} == {""}  # no average
    (row, *_) = list(csv.DictReader(tables.as_csv(report.scores).splitlines()))
    assert row["absent"] == "neutral"
    assert "EMO-DB lacks" in row["incomplete"]

    assert "EMO-DB lacks" in report.groups[0].title
    rows = uar_rows(report.scores)
    assert {round(r["chance"], 1) for r in rows} == {33.3}
    figure = draw_uar(rows, report.groups[0].title)
    assert "33.33 %" in figure._supxlabel.get_text().replace("\n", " ")
    assert xser(["figures", str(results), f"--out={tmp_path}/figures"]) == 0


def test_settings_of_fewer_classes_have_their_own_chance_and_no_average():
    common = {"system": "a", "zero_shot": True, "low": None, "high": None,
              "unit": "speakers", "n": 9}  # fmt: skip
    rows = [
        {**common, "setting": "x", "uar": 50.0, "chance": 25.0},
        {**common, "setting": "y", "uar": 60.0, "chance": 100 / 3},
    ]
    figure = draw_uar(rows, "title")
    text = figure._supxlabel.get_text().replace("\n", " ")
    assert "chance (25 %, y: 33.33 %)" in text
    levels = [panel.lines[0].get_xdata()[0] for panel in figure.axes]
    assert levels == [25.0, 100 / 3]
