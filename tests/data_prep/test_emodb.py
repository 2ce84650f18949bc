"""EMO-DB: the real corpus, and the copies that are not it."""

import shutil
from importlib import resources

import pytest

from data_prep import corpus, manifest, prepare
from data_prep.errors import UserError

EMODB = corpus.get("emodb")
ORIGINAL = (
    resources.files("data_prep.corpora").joinpath("emodb.txt").read_text().split()
)


def prepared(folder, out, **kwargs):
    path = prepare.prepare(EMODB, folder, out, **kwargs)
    return manifest.read(path), manifest.read_sidecar(path)


@pytest.fixture()
def tree(tmp_path, blank):
    """The 535 names, with seconds as wished."""

    def write(seconds=lambda i: 1 + i / 100, extra=()):
        for i, name in enumerate([*ORIGINAL, *extra]):
            blank(tmp_path / f"emodb/wav/{name}.wav", seconds(i))
        return tmp_path / "emodb"

    return write


def test_the_split_of_the_paper(restored, tmp_path):
    rows, sidecar = prepared(restored / "emodb", tmp_path, decode=True)
    assert len(rows) == 535
    assert sidecar["rejected"] == []
    four = [row for row in rows if row.emotion]
    parts = {
        part: [row for row in four if row.split == part] for part in manifest.SPLITS
    }
    assert [len(part) for part in parts.values()] == [266, 35, 38]
    speakers = {name: {row.speaker for row in part} for name, part in parts.items()}
    assert len(speakers["train"]) == 8
    assert not speakers["train"] & (speakers["valid"] | speakers["test"])
    assert speakers["valid"] == speakers["test"] == {"emodb-15", "emodb-16"}


def test_labels(restored, tmp_path):
    rows, _ = prepared(restored / "emodb", tmp_path)
    by_id = {row.ID: row for row in rows}
    row = by_id["emodb-03a01Fa"]
    assert (row.emotion, row.native_emotion, row.gender) == (
        "happy",
        "happiness",
        "male",
    )
    assert (row.language, row.speaker) == ("de", "emodb-03")
    assert (row.sentence, row.text) == ("a01", "")
    assert row.duration == pytest.approx(1.898, abs=1e-3)
    assert row.path(restored) == str(restored / "emodb/wav/03a01Fa.wav")
    assert by_id["emodb-16b10Wb"].native_emotion == "anger"
    assert {row.speaker for row in rows if row.gender == "female"} == {
        f"emodb-{speaker}" for speaker in ("08", "09", "13", "14", "16")
    }


def test_mutilated_copy(tree, tmp_path):
    with pytest.raises(UserError, match=r"2\.00 s .* mutilated"):
        prepared(tree(lambda i: 2.0), tmp_path)
    assert not (tmp_path / "emodb.csv").exists()


def test_later_release(tree, tmp_path):
    extra = [f"{n:02}c{i:02}Wa" for n in range(20, 31) for i in range(26)][:281]
    folder = tree(extra=[name.replace("c", "a") for name in extra])
    rows, sidecar = prepared(folder, tmp_path)
    assert {row.ID for row in rows} == {f"emodb-{name}" for name in ORIGINAL}
    assert len(sidecar["rejected"]) == 816 - 535
    assert {entry["reason"] for entry in sidecar["rejected"]} == {
        "not among the 535 utterances of the original release"
    }


def test_unknown_code(tree, tmp_path, blank):
    folder = tree()
    shutil.move(folder / "wav/03a01Fa.wav", folder / "wav/03a01Xa.wav")
    rows, sidecar = prepared(folder, tmp_path, policy="speaker")
    assert len(rows) == 534
    (entry,) = sidecar["rejected"]
    assert entry["path"] == "wav/03a01Xa.wav"
    assert "unknown emotion 'X'" in entry["reason"]
    with pytest.raises(UserError, match="splits=speaker"):
        prepared(folder, tmp_path, policy="paper")


def test_a_damaged_file_moves_no_other(tree, tmp_path):
    folder = tree()
    before, _ = prepared(folder, tmp_path / "before")
    (folder / "wav/15a01Fb.wav").write_bytes(b"")
    after, sidecar = prepared(folder, tmp_path / "after")
    assert sidecar["rejected"] == [{"path": "wav/15a01Fb.wav", "reason": "empty file"}]
    splits = {row.ID: row.split for row in before}
    assert splits.pop("emodb-15a01Fb") in ("valid", "test")
    assert {row.ID: row.split for row in after} == splits
