"""What ``check`` says of a copy: every file, the counts, and a layout that differs."""

import shutil

import pytest

from data_prep import check, corpus
from data_prep.__main__ import main
from data_prep.corpus import Rejected


def run(capsys, name, folder, *args) -> tuple[int, list[str], str]:
    code = main(["check", name, f"--data_folder={folder}", *args])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err.splitlines()[-1] if err else ""


@pytest.fixture()
def urdu(tmp_path, tone):
    one = tone(tmp_path / "one.wav")
    for emotion in ("Angry", "Happy", "Neutral", "Sad"):
        (tmp_path / "urdu" / emotion).mkdir(parents=True)
        for number in range(10):
            name = f"{emotion}/SM{number}_F1_{emotion[0]}001.wav"
            shutil.copy(one, tmp_path / "urdu" / name)
    return tmp_path / "urdu"


def test_repeated_reasons_are_grouped(urdu, capsys):
    for path in sorted((urdu / "Sad").iterdir())[:7]:
        path.write_bytes(b"")
    whole = (urdu / "Angry/SM0_F1_A001.wav").read_bytes()
    for number in range(6):
        path = urdu / f"Angry/SM{number}_F1_A001.wav"
        path.write_bytes(whole[: 8000 + number])
    code, lines, error = run(capsys, "urdu", urdu)
    assert code == 2
    assert "13 file(s) cannot be used" in error
    assert sum(line.endswith(": empty file") for line in lines) == 5 + 1
    assert "  and 2 more: empty file" in lines
    truncated = [line for line in lines if "truncated: " in line]
    assert len(truncated) == 5 + 1  # though each lacks another number of bytes
    assert truncated[-1].startswith("  and 1 more: ")
    _, lines, _ = run(capsys, "urdu", urdu, "--verbose")
    assert sum(line.endswith(".wav: empty file") for line in lines) == 7
    assert not any("more" in line for line in lines)


def test_large_numbers_are_readable():
    many = [Rejected(f"{i}.wav", "silent") for i in range(1209)]
    assert list(check.problems(many))[-1] == "  and 1,204 more: silent"


def test_counts_that_differ_are_marked(urdu, capsys):
    code, lines, _ = run(capsys, "urdu", urdu)
    assert code == 2
    (marked,) = [line for line in lines if line.startswith("angry")]
    assert marked.split() == ["angry", "100", "10", "10", "differs"]
    assert any("the copy is incomplete" in line for line in lines)


def test_wide_labels_and_hours(restored, capsys):
    code, lines, _ = run(capsys, "emodb", restored / "emodb")
    table = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert code == 0
    assert table["boredom"] == ["81"] * 3
    assert table["fear"] == ["69"] * 3
    assert table["hours"] == ["0.41"] * 2
    assert not any("differs" in line for line in lines)


def test_merged_labels_have_a_line(tmp_path, blank, capsys):
    labels = tmp_path / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    labels.parent.mkdir(parents=True)
    turns = [("F000", "exc"), ("F001", "hap"), ("M000", "fru")]
    labels.write_text(
        "".join(
            f"[6.2901 - 8.2357]\tSes01F_impro01_{turn}\t{label}\t[2.5, 2.5, 2.5]\n"
            for turn, label in turns
        )
    )
    _, lines, error = run(capsys, "iemocap", tmp_path)
    assert "3 file(s)" in error
    rows = {line[:16].strip(): line[16:].split() for line in lines}
    assert rows["happy, merged"] == ["1636", "2", "0", "differs"]
    assert rows["happy"][:2] == ["595", "1"]
    assert rows["frustration"][:2] == ["1849", "1"]


def test_a_missing_file_is_shown_beside_its_likeness(tmp_path, capsys):
    folder = tmp_path / "nemo"
    (folder / "wavs").mkdir(parents=True)
    header = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"
    row = "EB0_anger_1.wav\tanger\tTak.\ttak\tEB0\tfemale\t24"
    (folder / "data.tsv").write_text(f"{header}\n{row}\n")
    (folder / "wavs/eb0_ANGER_1.mp3").touch()
    code, lines, _ = run(capsys, "nemo", folder)
    assert code == 2
    assert "samples/EB0_anger_1.wav: not on disk" in lines
    assert "expected samples/EB0_anger_1.wav, found wavs/eb0_ANGER_1.mp3" in lines


def test_where_nothing_fits_the_folder_is_described(tmp_path, capsys):
    folder = tmp_path / "ravdess"
    for number in range(12):
        place = folder / f"part{number:02}"
        place.mkdir(parents=True)
        for take in range(3):
            (place / f"happy{take}.mp3").touch()
    (folder / "Audio_Speech_Actors_01-24.zip").touch()
    (folder / "caf\udce9.txt").touch()
    code, lines, error = run(capsys, "ravdess", folder)
    assert code == 2
    assert "does not look like RAVDESS" in error
    assert lines[0] == "expected Actor_01/03-01-05-02-01-01-01.wav, ..."
    assert lines[1] == f"found    {folder} with 38 files: 36 .mp3, 1 .zip, 1 .txt"
    assert "caf\\udce9.txt" in "".join(lines)
    assert "part00/ with 3 files, as part00/happy0.mp3" in "".join(lines)
    assert lines[-2].strip() == "and 6 more"
    assert lines[-1].strip() == "there are archives: unpack them"


def test_a_pointer_of_git_lfs_is_known(urdu, capsys):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    (urdu / "Sad/SM0_F1_S001.wav").write_text(pointer)
    _, lines, _ = run(capsys, "urdu", urdu)
    assert any("git lfs pull" in line for line in lines)


def test_a_finished_corpus_has_nothing_to_do():
    assert [
        line for item in corpus.registry().values() for line in check.unfinished(item)
    ] == []
