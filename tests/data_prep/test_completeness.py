"""Copies that are not whole say so wherever they are used, or are refused."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from data_prep import completeness, corpus, manifest, standin
from data_prep.__main__ import main

SPEAKERS = ("f1", "f2", "f3", "m1", "m2", "m3")
EMOTIONS = ("dis", "gio", "neu", "pau", "rab", "sor", "tri")
SENTENCES = [f"{kind}{number}" for kind in "bl" for number in range(1, 5)] + [
    "n1", "n2", "n3", "n4", "d1", "d2",
]  # fmt: skip


@pytest.fixture(scope="module")
def emovo(tmp_path_factory):
    """Its whole layout, each file another noise."""
    root = tmp_path_factory.mktemp("emovo")
    rng = np.random.default_rng(0)
    for speaker in SPEAKERS:
        (root / "EMOVO" / speaker).mkdir(parents=True)
        for emotion in EMOTIONS:
            for sentence in SENTENCES:
                noise = rng.integers(-999, 999, 3061, dtype=np.int16)
                name = f"{emotion}-{speaker}-{sentence}.wav"
                soundfile.write(root / "EMOVO" / speaker / name, noise, 1000)
    return root


@pytest.fixture
def lacking(emovo, tmp_path):
    """A copy without some of its files."""

    def build(pattern):
        shutil.copytree(emovo, tmp_path / "corpora")
        for path in (tmp_path / "corpora").rglob(pattern):
            path.unlink()
        return tmp_path / "corpora"

    return build


def call(*args) -> int:
    return main([str(arg) for arg in args])


def prepare(root, out, *more):
    return call(
        "prepare", "emovo", f"--data_root={root}", f"--save_folder={out}", *more
    )


def test_a_whole_copy_says_nothing(emovo, tmp_path, capsys, caplog):
    assert prepare(emovo, tmp_path) == 0
    assert "declared" not in caplog.text
    assert call("check", "emovo", f"--data_root={emovo}") == 0
    sidecar = json.loads((tmp_path / "emovo.json").read_text())
    assert sidecar["census"]["utterances"] == [588, 588]
    rows = manifest.read(tmp_path / "emovo.csv")
    assert len({row.audio_sha256 for row in rows}) == 588


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("neu-*", ["neutral (84 declared)", "84 of 336 utterances"]),
        ("*-f2-*", ["56 of 336 utterances"]),
    ],
)
def test_an_incomplete_copy_is_refused(
    pattern, parts, lacking, tmp_path, capsys, caplog
):
    root = lacking(pattern)
    assert prepare(root, tmp_path / "out") == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "error: " in x]
    for part in parts:
        assert part in line
    assert "--allow_incomplete" in line
    assert not (tmp_path / "out/emovo.csv").exists()
    assert call("check", "emovo", f"--data_root={root}") == 2
    # Allowed, it says so each time.
    for _ in range(2):
        caplog.clear()
        assert prepare(root, tmp_path / "out", "--allow_incomplete") == 0
        assert "emovo: not what is declared: " in caplog.text
    assert prepare(root, tmp_path / "out") == 2  # nor is the manifest a way round


def test_a_few_that_are_missing_are_said(lacking, tmp_path, capsys, caplog):
    root = lacking("neu-f1-b*")
    assert prepare(root, tmp_path / "out") == 0
    assert "584 of 588 utterances, 80 of 84 neutral" in caplog.text
    assert call("check", "emovo", f"--data_root={root}") == 2
    assert "not what emovo is declared" in capsys.readouterr().err


def test_a_standin_is_small_by_nature(tmp_path, caplog, capsys):
    standin.write("urdu", tmp_path / "urdu", speakers=2, sentences=1, progress=False)
    out = (f"--save_folder={tmp_path}/m", "--splits=none")
    assert call("prepare", "urdu", f"--data_root={tmp_path}", *out) == 0
    assert "declared" not in caplog.text
    assert call("check", "urdu", f"--data_root={tmp_path}") == 0


def test_a_recording_under_two_emotions(emovo, tmp_path, capsys):
    shutil.copytree(emovo, tmp_path / "corpora")
    home = tmp_path / "corpora/EMOVO/f1"
    shutil.copy(home / "neu-f1-b1.wav", home / "rab-f1-b2.wav")
    assert call("check", "emovo", f"--data_root={tmp_path}/corpora") == 2
    out, err = capsys.readouterr()
    assert "one recording, under two emotions (neu, rab)" in out
    assert "EMOVO/f1/neu-f1-b1.wav" in out or "f1/neu-f1-b1.wav" in out
    assert "recordings are there twice" in err


def test_only_labels_of_the_set_matter():
    about = {"utterances": [100, 52], "emotions": {"sad": [50, 50], "fear": [50, 2]}}
    assert completeness.lacking(about) == ""
    assert completeness.lacking(about, ["sad", "fear"]) == "48 of 100 utterances"
    assert completeness.lacking(about, ["fear"]) == "48 of 50 utterances"
    assert completeness.lacking({}) == ""  # a table that was taken in


def test_every_declaration_can_be_compared():
    for item in corpus.registry().values():
        assert completeness.lacking(completeness.census(item, [])) or not item.size


# --- The names of folders


@pytest.mark.parametrize("name", ["Urdu", "URDU", "urdu_", "U.R.D.U"])
def test_folders_are_found_without_case_and_punctuation(name, tmp_path, capsys):
    standin.write(
        "urdu", tmp_path / "c" / name, speakers=2, sentences=1, progress=False
    )
    out = tmp_path / "m"
    args = (f"--data_root={tmp_path}/c", f"--save_folder={out}", "--splits=none")
    assert call("prepare", "--all", *args) == 0
    rows = manifest.read(out / "urdu.csv")
    assert rows[0].path(tmp_path / "c").startswith(str(tmp_path / "c" / name))


def test_the_exact_name_comes_first_and_doubts_are_told(tmp_path, capsys):
    for name in ("emo-db", "EMODB"):
        (tmp_path / name).mkdir()
    assert call("check", "emodb", f"--data_root={tmp_path}") == 2
    line = capsys.readouterr().err
    assert "emo-db" in line
    assert "EMODB" in line
    assert "rename one" in line
    (tmp_path / "emodb").mkdir()
    assert corpus.get("emodb").locate(tmp_path) == tmp_path / "emodb"


def test_a_folder_that_is_passed_over_is_named(tmp_path, caplog):
    standin.write("urdu", tmp_path / "urdu", speakers=2, sentences=1, progress=False)
    (tmp_path / "emodb2").mkdir()
    (tmp_path / "holidays").mkdir()
    args = (f"--data_root={tmp_path}", f"--save_folder={tmp_path}/m", "--splits=none")
    assert call("prepare", "--all", *args) == 0
    said = [line for line in caplog.messages if "passed over" in line]
    assert any("emodb2" in line and "rename it emodb" in line for line in said)
    assert any("holidays" in line for line in said)
