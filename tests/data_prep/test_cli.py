"""``python -m data_prep``: what it prints, and one line for every mistake."""

import csv
import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from test_audio import UNKNOWN

from data_prep import __main__ as command_line
from data_prep import corpus, manifest
from data_prep.__main__ import main


def run(*args, prefix=(), **options) -> subprocess.CompletedProcess:
    command = [*prefix, sys.executable, "-m", "data_prep", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, **options)


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


SMALL = "--allow_incomplete"  # a few files stand for a corpus here


def prepare(folder, out, *args, name="urdu") -> int:
    where = (f"--data_folder={folder}", f"--save_folder={out}")
    return main(["prepare", name, *where, *args])


def test_prepare_says_where_the_result_lies(urdu, tmp_path):
    done = run(
        *("prepare", "urdu", f"--data_folder={urdu}", f"--save_folder={tmp_path}/out"),
        *("--splits=speaker", SMALL),
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
        *(("--splits=speaker", SMALL) if kind == "unwritable" else ()),
    )
    assert done.returncode == 2
    assert_one_line(done.stderr, *named)
    assert not (tmp_path / "out").exists()


def test_full_disk(urdu, tmp_path):
    """A file size limit of 1 KiB stops the write half-way."""
    done = run(
        *("prepare", "urdu", f"--data_folder={urdu}", f"--save_folder={tmp_path}/out"),
        *("--splits=speaker", SMALL),
        prefix=("bash", "-c", 'ulimit -f 1; exec "$@"', "_"),
    )
    assert done.returncode == 2
    assert_one_line(done.stderr, "cannot write", "File too large")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


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
    assert list(rows[0])[:2] == ["corpus", "language"]
    by_name = {row["corpus"]: row for row in rows}
    assert by_name["emodb"]["angry"] == "127"
    assert by_name["emodb"]["splits"] == "paper, speaker, none"
    assert by_name["meld"]["splits"] == "paper, speaker, official, none"
    assert by_name["resd"]["splits"] == "official, none"
    assert by_name["resd"]["speakers"] == ""
    assert by_name["emodb"]["others"] == str(535 - 339)
    assert by_name["emodb"]["access"] == "download"
    assert by_name["iemocap"]["access"] == "form"
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


def test_list_imports_nothing_slow():
    """It answers in under half a second: no audio library, no array library."""
    code = "from data_prep.__main__ import main; main(['list']); import sys; "
    code += (
        "print([m for m in ('numpy', 'soundfile', 'soxr', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture()
def root(urdu, tone):
    """A good corpus, one that lacks its files, one with a defect, and a stranger."""
    tone(urdu.parent / "emodb/wav/03a01Fa.wav")
    tone(urdu.parent / "emodb/wav/08a01Fa.wav")
    tone(urdu.parent / "emodb/wav/09a01Na.wav")
    (urdu.parent / "nemo").mkdir()
    (urdu.parent / "holidays").mkdir()
    return urdu.parent


def test_prepare_all(root, tmp_path, capsys, monkeypatch):
    def defect(folder):
        raise KeyError("nobody thought of this")

    out = tmp_path / "out"
    where = (f"--data_root={root}", f"--save_folder={out}", "--splits=speaker", SMALL)
    assert main(["prepare", "--all", *where]) == 2
    captured = capsys.readouterr()
    lines = dict(line.split(": ", 1) for line in captured.out.splitlines())
    assert set(lines) == {"emodb", "nemo", "urdu"}
    assert lines["urdu"] == f"ok: {out}/urdu.csv"
    assert lines["emodb"] == f"ok: {out}/emodb.csv"
    assert lines["nemo"].startswith("failed: ")
    assert_one_line(captured.err, "1 of 3 corpora failed (nemo)")
    assert len(manifest.read(out / "urdu.csv")) == 12

    emodb = dataclasses.replace(corpus.get("emodb"), utterances=defect)
    registry = {**corpus.registry(), "emodb": emodb}
    monkeypatch.setattr(corpus, "registry", lambda: registry)
    (root / "nemo").rmdir()
    assert main(["prepare", "--all", *where]) == 2
    out_lines = capsys.readouterr().out.splitlines()
    assert any("emodb: failed: KeyError" in line for line in out_lines)
    assert any(line.startswith("urdu: ok") for line in out_lines)


def test_prepare_below_a_data_root(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = ("urdu", f"--data_root={root}", "--splits=none", SMALL)
    assert main(["prepare", *args]) == 0
    rows = manifest.read(tmp_path / "manifests/urdu.csv")
    assert {row.split for row in rows} == {"train"}
    assert rows[0].wav.startswith("$data_root/urdu/")


def test_prepare_all_of_nothing(tmp_path, capsys):
    assert main(["prepare", "--all", f"--data_root={tmp_path}"]) == 2
    assert_one_line(capsys.readouterr().err, "holds no corpus")


@pytest.mark.parametrize(
    "args",
    [
        ("prepare", "--all", "--data_folder=x"),
        ("prepare", "urdu", "--all", "--data_root=x"),
        ("prepare", "urdu", "--data_root=x", "--data_folder=x"),
        ("prepare", "--data_root=x"),
        ("check", "urdu"),
        ("prepare", "urdu", "--data_root=x", "--splits=random"),
    ],
)
def test_options_that_do_not_go_together(args, capsys):
    with pytest.raises(SystemExit) as caught:
        main(list(args))
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_no_merge(tmp_path, capsys):
    labels = tmp_path / "iemocap/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    labels.parent.mkdir(parents=True)
    labels.write_text("[1.0 - 2.0]\tSes01F_impro01_F000\texc\t[2.5, 2.5, 2.5]\n")
    folder = tmp_path / "iemocap"
    assert prepare(folder, tmp_path, SMALL, name="iemocap") == 0
    assert [row.emotion for row in manifest.read(tmp_path / "iemocap.csv")] == ["happy"]
    assert prepare(folder, tmp_path, "--no_merge", SMALL, name="iemocap") == 0
    (row,) = manifest.read(tmp_path / "iemocap.csv")
    assert (row.emotion, row.category) == ("", "excitement")


def test_download_of_what_needs_a_form_tells_how(tmp_path, capsys):
    assert main(["download", "iemocap", f"--data_root={tmp_path}"]) == 0
    assert "release form" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_export_and_import(urdu, tmp_path, capsys):
    pytest.importorskip("lhotse", reason="lhotse is not installed (extra `exchange`)")
    assert prepare(urdu, tmp_path, "--splits=speaker", SMALL) == 0
    where = (f"--data_root={tmp_path}", f"--save_folder={tmp_path}/lhotse")
    assert main(["export", "lhotse", f"{tmp_path}/urdu.csv", *where]) == 0
    where = (f"--data_folder={urdu}", f"--save_folder={tmp_path}/back")
    args = ("--name=mine", *where, "--splits=none", "--labels=Angry=contempt")
    assert main(["import", "lhotse", f"{tmp_path}/lhotse", *args]) == 0
    rows = manifest.read(tmp_path / "back/mine.csv")
    assert len(rows) == 12
    assert {row.category for row in rows} == {"contempt", "happy", "neutral", "sad"}
    assert main(["import", "lhotse", f"{tmp_path}/lhotse", *args, "--labels=x"]) == 2
    assert_one_line(capsys.readouterr().err)


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


def test_recordings_of_odd_lengths_stop_no_command(urdu, tmp_path, capsys):
    """No header tells how long they are, or it promises a second for each sample."""
    for number, write in enumerate(UNKNOWN.values(), 2):
        write(urdu / f"Sad/SM1_F{number}_S001.wav")
    soundfile.write(urdu / "Sad/SM2_F2_S001.wav", np.tile([0.1, -0.1], 50_000), 1)
    assert main(["check", "urdu", f"--data_folder={urdu}"]) == 2
    out, err = capsys.readouterr()
    assert "Sad/SM2_F2_S001.wav: no speech in it: 1 samples a second" in out
    assert_one_line(err, "1 file(s)")
    assert prepare(urdu, tmp_path / "out", "--decode", "--splits=speaker", SMALL) == 0
    seconds = [row.duration for row in manifest.read(tmp_path / "out/urdu.csv")]
    assert len(seconds) == 12 + len(UNKNOWN)
    assert sum(duration == pytest.approx(2, abs=0.02) for duration in seconds) == 4


def test_names_move_no_terminal(urdu, tmp_path, blank):
    """Neither in what is printed, nor in what is logged, nor in an error."""
    evil = "\x1b[2J\x1b]0;evil\x07\nerror: all is well\u202e"
    blank(urdu / f"Sad/{evil}.wav")
    for command in (["check"], ["prepare", "--splits=speaker", SMALL]):
        done = run(*command, "urdu", f"--data_folder={urdu}", cwd=tmp_path)
        said = done.stdout + done.stderr
        assert r"\x1b[2J\x1b]0;evil\x07\nerror: all is well\u202e" in said
        assert not set("\x1b\x07\u202e") & set(said)
        assert "\nerror: all is well" not in said
    (tmp_path / evil).mkdir()
    done = run("check", "urdu", f"--data_folder={tmp_path / evil}")
    assert_one_line(done.stderr, r"\x1b[2J")
    assert "\x1b" not in done.stderr + done.stdout


def test_the_mend_fits_what_is_wrong(urdu, tmp_path, blank, capsys):
    """A strange name is passed over by `prepare` anyway, whatever is decoded."""
    blank(urdu / "Sad/notes.wav")
    assert main(["check", "urdu", f"--data_folder={urdu}"]) == 2
    error = capsys.readouterr().err
    assert_one_line(error, "1 file(s) cannot be used")
    assert "no file of the corpus (`prepare` passes over it)" in error
    assert "--decode" not in error
    (urdu / "Sad/notes.wav").unlink()
    next(urdu.glob("Sad/SM*.wav")).write_bytes(b"RIFF")
    assert main(["check", "urdu", f"--data_folder={urdu}"]) == 2
    error = capsys.readouterr().err
    assert (
        "get anew what does not decode (or leave it out by `prepare --decode`)" in error
    )
    assert "passes over" not in error


def test_a_folder_too_high(urdu, tmp_path, capsys):
    import shutil

    both = tmp_path / "both"
    for name in ("one", "two"):
        shutil.copytree(urdu, both / name)
    assert prepare(both, tmp_path, SMALL) == 2
    assert_one_line(capsys.readouterr().err, "point --data_folder at one or two in it")


def test_the_table_of_corpora_is_written_in_place(tmp_path, capsys):
    begin, end = command_line.TABLE
    readme = tmp_path / "README.md"
    readme.write_text(f"# Mine é\n\n{begin}\nold\n{end}\nafter\n", encoding="utf-8")
    assert main(["list", f"--update={readme}"]) == 0
    assert f"written into {readme}" in capsys.readouterr().out
    before, _, rest = readme.read_text(encoding="utf-8").partition(begin)
    table, _, after = rest.partition(end)
    assert (before, after) == ("# Mine é\n\n", "\nafter\n")
    assert main(["list", "--format=markdown"]) == 0
    assert table == f"\n{capsys.readouterr().out}"
    readme.write_text("no table")
    assert main(["list", f"--update={readme}"]) == 2
    assert_one_line(capsys.readouterr().err, "has no lines <!-- corpora")


def test_no_formula_in_a_table_for_people(capsys, monkeypatch):
    row = {"corpus": "x", "title": '=HYPERLINK("http://x")', "hours": -1.5}
    monkeypatch.setattr(command_line, "corpus_table", lambda *_: [row])
    assert main(["list", "--format=csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["title"] == '\'=HYPERLINK("http://x")' and row["hours"] == "-1.5"


def test_check_knows_the_mutilated_emodb(tmp_path, capsys):
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 44100)
    for name in ("03a01Fa", "08a01Fd"):
        path = tmp_path / f"emodb/wav/{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise, 22050)
    assert main(["check", "emodb", f"--data_folder={tmp_path}/emodb"]) == 2
    assert_one_line(capsys.readouterr().err, "2.00 s", "mutilated")
