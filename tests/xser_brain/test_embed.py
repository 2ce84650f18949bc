"""Embeddings of recordings: from Python, and as a file."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from models import noise

from data_prep import audio
from data_prep.audio import SAMPLE_RATE
from xser_brain.cli import main


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three short recordings, and one of 36 s: eleven windows."""
    folder = tmp_path_factory.mktemp("clips")
    for number, seconds in enumerate((0.5, 1.7, 1.1, 36.0)):
        path = folder / f"{number}.wav"
        soundfile.write(path, noise(seconds, number), SAMPLE_RATE)
    return folder


def by_hand(model, path):
    samples = torch.from_numpy(audio.load(str(path)))[None]
    with torch.no_grad():
        return model.embed(samples, torch.tensor([samples.shape[1]]))[0].numpy()


def test_a_file_and_its_samples(classifier, small, clips):
    found = classifier.embed(clips / "1.wav")
    assert (found.path, found.start, found.error) == (str(clips / "1.wav"), 0.0, "")
    assert found.end == pytest.approx(1.7)
    assert found.vector.dtype == np.float32
    np.testing.assert_allclose(
        found.vector, by_hand(small[1], clips / "1.wav"), rtol=1e-4, atol=1e-5
    )
    samples = audio.load(str(clips / "1.wav"))
    again = classifier.embed(samples, SAMPLE_RATE)
    np.testing.assert_allclose(again.vector, found.vector, rtol=1e-5)


def test_a_folder_in_its_order(classifier, clips, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    found = list(classifier.embed([clips, bad]))
    assert [item.path for item in found] == [
        *map(str, sorted(clips.iterdir())),
        str(bad),
    ]
    assert [len(item.timeline) for item in found] == [0, 0, 0, 11, 0]
    assert "not an audio file" in found[-1].error
    assert found[-1].vector is None
    long = found[3]
    np.testing.assert_allclose(
        long.vector, np.mean([part.vector for part in long.timeline], 0), rtol=1e-5
    )
    windows = [(part.start, part.end) for part in long.timeline]
    assert windows == [(3.0 * n, 3.0 * n + 6) for n in range(11)]


def test_what_is_embedded_is_what_is_classified(classifier, clips):
    """The classifier's last layer on the embedding gives the probabilities."""
    path = clips / "2.wav"
    vector = torch.from_numpy(classifier.embed(path).vector)
    with torch.no_grad():
        expected = classifier.model.classify(vector).exp().numpy()
    found = [*classifier(path).probabilities.values()]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.fixture
def embed(small, capsys):
    """Run ``xser embed``; the exit code, and what it wrote on stderr."""

    def call(*args):
        code = main(["embed", str(small[0]), "--noprogressbar", *map(str, args)])
        return code, capsys.readouterr().err

    return call


def read(path):
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow")
    table = parquet.read_table(path)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    columns["embedding"] = np.array(columns["embedding"], np.float32)
    return {**columns, "model": table.schema.metadata[b"model"].decode()}


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_one_row_a_recording_or_a_window(ending, embed, classifier, clips, tmp_path):
    output = tmp_path / f"new/x{ending}"
    code, err = embed(clips, "-o", output)
    assert code == 0
    assert "4 of 4 recordings embedded, 14 rows of 8" in err
    assert str(output) in err
    found = read(output)
    expected = []
    for item in classifier.embed(clips):
        expected += item.timeline or [item]
    assert list(found["path"]) == [item.path for item in expected]
    assert list(found["start"]) == [item.start for item in expected]
    assert list(found["end"]) == [item.end for item in expected]
    vectors = np.stack([item.vector for item in expected])
    assert found["embedding"].dtype == np.float32
    np.testing.assert_allclose(found["embedding"], vectors, rtol=1e-5)
    assert str(found["model"]).endswith("model")


def test_windows_are_as_asked_for(embed, clips, tmp_path):
    assert embed(clips, "-o", tmp_path / "x.npz", "--window=12", "--overlap=0")[0] == 0
    assert len(read(tmp_path / "x.npz")["path"]) == 3 + 3


def test_what_cannot_be_read_is_named(embed, clips, tmp_path):
    bad = tmp_path / "bad\x1b.wav"
    bad.write_bytes(b"no audio")
    code, err = embed(bad, clips / "0.wav", "-o", tmp_path / "x.npz")
    assert code == 1
    assert "bad\\x1b.wav: error: not an audio file" in err
    assert "1 of 2 recordings embedded, 1 rows" in err
    assert len(read(tmp_path / "x.npz")["path"]) == 1
    code, err = embed(bad, "-o", tmp_path / "y.npz")
    assert code == 2
    assert "no recording of 1 could be embedded" in err
    assert not (tmp_path / "y.npz").exists()


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_names_that_are_no_utf8(ending, embed, clips, tmp_path):
    path = tmp_path / "a\udcff.wav"
    path.write_bytes((clips / "0.wav").read_bytes())
    assert embed(path, "-o", tmp_path / f"x{ending}")[0] == 0
    [name] = read(tmp_path / f"x{ending}")["path"]
    assert name.endswith("a\udcff.wav" if ending == ".npz" else "a\\udcff.wav")


def test_mistakes_are_named(embed, clips, tmp_path, monkeypatch):
    code, err = embed(clips, "-o", tmp_path / "x.txt")
    assert (code, err.count("\n")) == (2, 1)
    assert "x.txt ends in neither .npz nor .parquet" in err
    code, err = embed(tmp_path / "none.wav", "-o", tmp_path / "x.npz")
    assert (code, err.count("\n")) == (2, 1)
    assert "no file or folder" in err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, err = embed(clips, "-o", tmp_path / "x.parquet")
    assert code == 2
    assert "xser-brain[parquet]" in err


@pytest.mark.slow
def test_an_unwritable_place_is_one_line(small, clips, tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "xser_brain", "embed", small[0], clips / "0.wav"]
        + ["-o", tmp_path / "file/x.npz", "--noprogressbar"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "cannot write" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
