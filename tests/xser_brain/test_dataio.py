"""Batches: labels, cropping, shapes, and the order of evaluation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS, Row
from xser_brain.data.batches import (
    UNKNOWN,
    Loader,
    Utterances,
    by_duration,
    read_waveform,
)
from xser_brain.protocol import Labels

LABELS = Labels(emotions=EMOTIONS)


def row(name, duration=1.0, language="de", speaker="x-a", emotion="sad", **kwargs):
    wav = f"$data_root/x/{name}.wav"
    values = (name, duration, wav, 16000, "x", language, speaker, emotion, emotion)
    return Row(*values, "train", **kwargs)


ROWS = [
    row("0", language="de", speaker="x-a", emotion="sad"),
    row("1", language="en", speaker="x-b", emotion="neutral"),
    row("2", language="ur", speaker="", emotion="angry"),
    row("3", language="en", speaker="x-c", emotion="happy"),
]


def ramp(item: Row) -> np.ndarray:
    """A waveform that says who and where: utterance number + place / 1e6."""
    samples = 4000 * (1 + int(item.ID))
    return int(item.ID) + np.arange(samples, dtype=np.float32) / 1e6


# --- Labels


def test_labels_follow_the_given_order():
    labels = Labels(
        EMOTIONS, ("ur", "en", "de"), ("x-c", "x-a", "x-b"), ("y", "x"), ("m", "f")
    )
    rows = [*ROWS[:3], replace(ROWS[3], corpus="y", gender="f")]
    data = Utterances(rows, ramp, labels)
    batch = data[[0, 1, 3]]
    assert batch.ids == ["0", "1", "3"]
    assert batch.emotions.tolist() == [3, 0, 1]
    assert [EMOTIONS[i] for i in batch.emotions] == ["sad", "neutral", "happy"]
    assert batch.languages.tolist() == [2, 1, 1]
    assert batch.speakers.tolist() == [1, 2, 0]
    assert batch.corpora.tolist() == [1, 1, 0]
    assert batch.genders.tolist() == [UNKNOWN, UNKNOWN, 1]


def test_labels_of_another_set():
    labels = Labels(emotions=("angry", "fear", "sad"))
    rows = [ROWS[0], ROWS[2], replace(ROWS[3], emotion="fear")]
    assert Utterances(rows, ramp, labels)[[0, 1, 2]].emotions.tolist() == [2, 0, 1]


def test_labels_outside_training_are_unknown():
    labels = Labels(EMOTIONS, languages=("en",), speakers=("x-b",))
    batch = Utterances(ROWS, ramp, labels)[[0, 1, 2]]
    assert batch.languages.tolist() == [UNKNOWN, 0, UNKNOWN]
    assert batch.speakers.tolist() == [UNKNOWN, 0, UNKNOWN]
    batch = Utterances(ROWS, ramp, LABELS)[[0, 1, 2, 3]]
    for attribute in ("languages", "speakers", "corpora", "genders"):
        assert set(getattr(batch, attribute).tolist()) == {UNKNOWN}


# --- Waveforms


def test_waveforms_are_padded_at_the_end():
    batch = Utterances(ROWS, ramp, LABELS)[[1, 0, 3]]
    assert batch.waveforms.shape == (3, 16000)
    assert batch.waveforms.dtype == torch.float32
    assert batch.lengths.tolist() == [8000, 4000, 16000]
    assert batch.features is None
    for item, length, name in zip(batch.waveforms, batch.lengths, "103", strict=True):
        expected = torch.from_numpy(ramp(ROWS[int(name)]))
        assert torch.equal(item[:length], expected)
        assert not item[length:].any()


def test_crop_is_a_random_piece_of_the_longer():
    data = Utterances(ROWS, ramp, LABELS, crop=0.5)
    starts = set()
    for _ in range(30):
        batch = data[[0, 3]]
        assert batch.lengths.tolist() == [4000, 8000]  # the shorter stays whole
        piece = batch.waveforms[1]
        steps = (piece - 3) * 1e6
        np.testing.assert_allclose(np.diff(steps.numpy()), 1, atol=0.5)
        starts.add(round(float(steps[0])))
    assert len(starts) > 20
    assert min(starts) >= 0
    assert max(starts) <= 8000


def test_crop_reaches_both_ends():
    short = [row("0")]
    data = Utterances(
        short, lambda _: np.arange(5, dtype=np.float32), LABELS, crop=3 / 16000
    )
    starts = {float(data[[0]].waveforms[0, 0]) for _ in range(100)}
    assert starts == {0.0, 1.0, 2.0}


def test_no_crop_is_whole():
    assert Utterances(ROWS, ramp, LABELS, crop=0.0)[[3]].lengths.tolist() == [16000]


def test_features_are_stacked():
    data = Utterances(ROWS, lambda item: torch.full((3, 5), float(item.ID)), LABELS)
    batch = data[[2, 0]]
    assert batch.features.shape == (2, 3, 5)
    assert batch.features[:, 0, 0].tolist() == [2.0, 0.0]
    assert batch.waveforms is None
    assert batch.lengths is None


def test_batch_moves_whole_but_for_lengths():
    """Those Python reads, and a GPU would have to be waited for."""
    batch = Utterances(ROWS, ramp, LABELS)[[0, 1]].to("meta")
    assert batch.lengths.device.type == "cpu"
    moved = {**vars(batch), "lengths": None}
    tensors = [value for value in moved.values() if torch.is_tensor(value)]
    assert len(tensors) == 6
    assert all(value.device.type == "meta" for value in tensors)
    assert batch.ids == ["0", "1"]


# --- Loading


@pytest.mark.parametrize("threads", [0, 2])
def test_loader_gives_the_batches_of_the_sampler(threads):
    batches = [[3, 1], [0], [2, 2, 2]]
    read = Loader(Utterances(ROWS, ramp, LABELS), batches, threads)
    for _ in range(2):
        assert [batch.ids for batch in read] == [["3", "1"], ["0"], ["2"] * 3]


@pytest.mark.parametrize("threads", [0, 2])
def test_batches_for_a_gpu_are_pinned(threads, monkeypatch):
    """The same batches in the same order; lengths, which stay, are not copied."""
    pinned = []

    def pin_memory(tensor):
        pinned.append(tensor.clone())
        return pinned[-1]

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    batches = [[3, 1], [0], [2, 2, 2]]
    data = Utterances(ROWS, ramp, LABELS)
    plain = [*Loader(data, batches, threads)]
    assert not pinned
    for batch, expected in zip(
        Loader(data, batches, threads, pinned=True), plain, strict=True
    ):
        assert batch.ids == expected.ids
        held = {id(tensor) for tensor in pinned}
        for name, value in vars(expected).items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(getattr(batch, name), value)
                assert (id(getattr(batch, name)) in held) == (name != "lengths")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pinned_memory():
    [batch] = Loader(Utterances(ROWS, ramp, LABELS), [[3, 1]], pinned=True)
    assert batch.waveforms.is_pinned()
    assert not batch.lengths.is_pinned()
    assert torch.equal(batch.to("cuda").waveforms.cpu(), batch.waveforms)


def test_read_waveform_is_16_khz_mono(tmp_path):
    time = np.arange(22050) / 22050
    left = np.sin(2 * np.pi * 440 * time)
    (tmp_path / "x").mkdir()
    soundfile.write(tmp_path / "x/a.wav", np.stack([left, 0 * left], 1), 22050)
    samples = read_waveform(row("a"), str(tmp_path))
    assert samples.shape == (16000,)
    assert samples.dtype == np.float32
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    np.testing.assert_allclose(samples[100:-100], expected[100:-100], atol=1e-3)


def nan_wav(path: Path):
    soundfile.write(path, np.array([0.1, np.nan] * 800), 16000, subtype="FLOAT")


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (nan_wav, "NaN"),
        (lambda path: path.write_bytes(b"RIFFnothing"), "not an audio file"),
        (lambda path: None, "cannot be read"),
    ],
)
def test_bad_audio_names_file_and_mend(write, reason, tmp_path):
    path = tmp_path / "x/bad.wav"
    path.parent.mkdir()
    write(path)
    with pytest.raises(UserError, match=reason) as error:
        read_waveform(row("bad"), str(tmp_path))
    assert str(path) in str(error.value)
    assert "prepare x" in str(error.value)
    assert "\n" not in str(error.value)


# --- Evaluation


def test_by_duration_covers_everything_once_in_order_of_length():
    rows = [row(str(i), duration=d) for i, d in enumerate([3.0, 1.0, 2.0, 1.0, 0.5])]
    batches = by_duration(rows, 2)
    assert [len(batch) for batch in batches] == [2, 2, 1]
    order = [i for batch in batches for i in batch]
    assert order == [4, 1, 3, 2, 0]  # equal lengths by ID


def test_by_duration_does_not_depend_on_the_rows_order():
    rows = [row(str(i), duration=i % 3) for i in range(10)]

    def names(rows):
        return [[rows[i].ID for i in batch] for batch in by_duration(rows, 4)]

    assert names(rows) == names(rows[::-1])
