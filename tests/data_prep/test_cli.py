"""``python -m data_prep``: what it prints, and one line for every mistake."""

import csv
import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from data_prep import corpus, manifest
from data_prep.__main__ import main


def run(*args, prefix=()) -> subprocess.CompletedProcess:
    command = [*prefix, sys.executable, "-m", "data_prep", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True)


def assert_one_line(error: str, *named: str) -> None:
    """Standard error holds one line that starts with 'error: ', and no traceback."""
    assert "Traceback" not in error
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    for name in named:
        assert str(name) in line


@pytest.fixture()
def urdu(tmp_path, tone):
    for speaker in ("SM1", "SM2", "SF3"):
        for emotion in ("Angry", "Happy", "Neutral", "Sad"):
            tone(tmp_path / f"urdu/{emotion}/{speaker}_F1_{emotion[0]}001.wav")
    return tmp_path / "urdu"


def prepare(folder, out, *args, name="urdu") -> int:
    where = (f"--data_folder={folder}", f"--save_folder={out}")
    return main(["prepare", name, *where, *args])


def test_prepare_says_where_the_result_lies(urdu, tmp_path):
    done = run(
        *("prepare", "urdu", f"--data_folder={urdu}", f"--save_folder={tmp_path}/out"),
        "--splits=speaker",
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert f"{tmp_path}/out/urdu.csv" in done.stdout
    assert f"{tmp_path}/out/urdu.json" in done.stdout
    assert len(manifest.read(tmp_path / "out/urdu.csv")) == 12


@pytest.mark.parametrize("kind", ["missing", "unknown", "other", "unwritable"])
def test_mistakes_end_in_one_line_and_2(urdu, tmp_path, kind):
    name, folder, out = "urdu", urdu, tmp_path / "out"
    named = {
        "missing": ("no folder", tmp_path / "nowhere", "siddiquelatif"),
        "unknown": ("unknown corpus 'urd'", "did you mean urdu?"),
        "other": (urdu, "does not look like EMO-DB", "wav/03a01Fa.wav"),
        "unwritable": ("cannot write", "choose another folder"),
    }[kind]
    if kind == "missing":
        folder = tmp_path / "nowhere"
    elif kind == "unknown":
        name = "urd"
    elif kind == "other":
        name = "emodb"
    elif kind == "unwritable":  # below a file; root may write anywhere else
        out = urdu / "Angry/SM1_F1_A001.wav"
    done = run(
        *("prepare", name, f"--data_folder={folder}", f"--save_folder={out}"),
        *(("--splits=speaker",) if kind == "unwritable" else ()),
    )
    assert done.returncode == 2
    assert_one_line(done.stderr, *named)
    assert not (tmp_path / "out").exists()


def test_full_disk(urdu, tmp_path):
    """A file size limit of 1 KiB stops the write half-way."""
    done = run(
        *("prepare", "urdu", f"--data_folder={urdu}", f"--save_folder={tmp_path}/out"),
        "--splits=speaker",
        prefix=("bash", "-c", 'ulimit -f 1; exec "$@"', "_"),
    )
    assert done.returncode == 2
    assert_one_line(done.stderr, "cannot write", "File too large")
    assert list((tmp_path / "out").iterdir()) == []


def test_incomplete_corpus(urdu, tmp_path, capsys):
    assert prepare(urdu, tmp_path) == 2
    assert_one_line(capsys.readouterr().err, "300/20/80", "12", "--splits=speaker")


def test_paper_split_of_a_corpus_without(restored, tmp_path, capsys):
    out = tmp_path / "out"
    assert prepare(restored / "nemo", out, "--splits=paper", name="nemo") == 2
    assert_one_line(capsys.readouterr().err, "nemo", "--splits=speaker")
    assert not out.exists()


def test_a_file_instead_of_a_folder(tmp_path, capsys):
    (tmp_path / "urdu.zip").touch()
    assert prepare(tmp_path / "urdu.zip", tmp_path) == 2
    assert_one_line(capsys.readouterr().err, "urdu.zip")


def test_two_files_with_one_id(urdu, tmp_path, tone, capsys):
    tone(urdu / "copy/Angry/SM1_F1_A001.wav")
    assert prepare(urdu, tmp_path, "--splits=speaker") == 2
    named = ("urdu-SM1_F1_A001", "copy/Angry/SM1_F1_A001.wav", "remove one")
    assert_one_line(capsys.readouterr().err, *named)


@pytest.mark.parametrize("args", [(), ("prepare",), ("prepare", "urdu"), ("nonsense",)])
def test_usage(args, capsys):
    with pytest.raises(SystemExit) as caught:
        main(list(args))
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_list(capsys, tmp_path):
    (tmp_path / "esd").mkdir()
    assert main(["list", "--format=csv", f"--data_root={tmp_path}"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["corpus"] for row in rows] == list(corpus.registry())
    by_name = {row["corpus"]: row for row in rows}
    assert by_name["emodb"]["angry"] == "127"
    assert by_name["emodb"]["splits"] == "paper, speaker"
    assert by_name["nemo"]["splits"] == "speaker"
    assert by_name["esd"]["on_disk"] == by_name["esd_en"]["on_disk"] == "yes"
    assert by_name["emodb"]["on_disk"] == "no"


@pytest.mark.parametrize("style", ["text", "markdown"])
def test_list_is_aligned(capsys, style):
    assert main(["list", f"--format={style}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(corpus.registry()) + (2 if style == "markdown" else 1)
    assert len({line.index("language") for line in lines if "language" in line}) == 1
    if style == "markdown":
        assert {line.count("|") for line in lines} == {lines[0].count("|")}


def test_check_a_sound_corpus(restored, capsys):
    assert main(["check", "urdu", f"--data_folder={restored}/urdu"]) == 0
    out = capsys.readouterr().out
    assert "all 400 files decode" in out
    table = {
        line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()
    }
    assert table["utterances"] == ["400", "400", "400"]
    assert table["speakers"] == ["29", "29"]
    assert table["angry"] == ["100", "100", "100"]


def test_check_names_every_bad_file(urdu, blank, capsys):
    blank(urdu / "Sad/SM1_F1_S001.wav", 1.0)
    (urdu / "Sad/SM2_F1_S001.wav").write_bytes(b"RIFF")
    blank(urdu / "Sad/b\udcfcro.wav")
    assert main(["check", "urdu", f"--data_folder={urdu}"]) == 2
    out, err = capsys.readouterr()
    assert "Sad/SM1_F1_S001.wav: silent" in out
    assert "Sad/SM2_F1_S001.wav: not an audio file" in out
    assert "Sad/b\\udcfcro.wav" in out
    assert_one_line(err, "3 file(s)")


def test_check_knows_the_mutilated_emodb(tmp_path, capsys):
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 44100)
    for name in ("03a01Fa", "08a01Fd"):
        path = tmp_path / f"emodb/wav/{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise, 22050)
    assert main(["check", "emodb", f"--data_folder={tmp_path}/emodb"]) == 2
    assert_one_line(capsys.readouterr().err, "2.00 s", "mutilated")
