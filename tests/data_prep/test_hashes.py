"""Recordings are known by their samples, hashed once while their file stays as it is."""

import json
import os
import time

import numpy as np
import pytest
import soundfile
from test_audio import UNKNOWN

from data_prep import hashes
from data_prep.hashes import MEMORY, AudioHashes, hash_audio, twins

NOISE = np.random.default_rng(0).integers(-9999, 9999, (3, 4000), dtype=np.int16)


@pytest.fixture
def paths(tmp_path):
    for number, samples in enumerate(NOISE):
        soundfile.write(tmp_path / f"{number}.wav", samples, 16000)
    return [str(tmp_path / f"{number}.wav") for number in range(3)]


@pytest.fixture
def hashed(monkeypatch):
    """Paths that are decoded to be hashed."""
    seen, original = [], hashes.hash_audio
    monkeypatch.setattr(hashes, "hash_audio", lambda p: seen.append(p) or original(p))
    return seen


@pytest.mark.parametrize(
    "options",
    [
        {"format": "FLAC"},
        {"format": "WAV", "subtype": "PCM_24"},
        {"format": "WAV", "subtype": "FLOAT"},
        {"format": "AIFF"},
        {"format": "WAVEX"},
    ],
    ids=str,
)
def test_a_copy_in_another_file_is_the_same(options, paths, tmp_path):
    other = tmp_path / "other.bin"
    soundfile.write(other, NOISE[0] / 2**15, 16000, **options)
    one, two = hash_audio(str(other)), hash_audio(paths[0])
    assert one.samples == two.samples
    assert one.file != two.file


def test_other_samples_rates_and_channels_differ(paths, tmp_path):
    others = [
        (NOISE[0][:-1], 16000),
        (NOISE[0] + np.eye(1, 4000, 7, dtype=np.int16)[0], 16000),
        (NOISE[0], 8000),
        (NOISE[0].reshape(-1, 2), 16000),
        (np.zeros(4000, np.int16), 16000),
    ]
    found = {hash_audio(paths[0]).samples}
    for samples, rate in others:
        soundfile.write(tmp_path / "other.wav", samples, rate)
        found.add(hash_audio(str(tmp_path / "other.wav")).samples)
    assert len(found) == 6


def test_long_recordings_are_hashed_in_pieces(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", NOISE[0], 16000)
    whole = hash_audio(str(tmp_path / "a.wav")).samples
    monkeypatch.setattr(hashes, "BLOCK", 777)
    assert hash_audio(str(tmp_path / "a.wav")).samples == whole


def test_what_does_not_decode_has_none(paths, tmp_path):
    (tmp_path / "1.wav").write_bytes(b"no audio")
    (tmp_path / "2.wav").unlink()
    found = AudioHashes(tmp_path).of(paths)
    assert [bool(found[path].samples) for path in paths] == [True, False, False]
    assert [bool(found[path].file) for path in paths] == [True, True, False]


def test_limits_are_those_of_all_audio(tmp_path):
    """A length that no header tells is counted; what is no speech has no samples."""
    for kind, write in UNKNOWN.items():
        write(tmp_path / "a.wav")
        assert hash_audio(str(tmp_path / "a.wav")).samples, kind
    soundfile.write(tmp_path / "a.wav", NOISE[0], 1)
    file, samples = hash_audio(str(tmp_path / "a.wav"))
    assert file and not samples
    os.mkfifo(tmp_path / "pipe.wav")  # which would be waited for
    assert hash_audio(str(tmp_path / "pipe.wav")) == ("", "")


def test_audio_is_hashed_once_while_it_stays(paths, tmp_path, hashed, monkeypatch):
    monkeypatch.setattr(hashes, "SETTLED", 0)
    first = AudioHashes(tmp_path / "f").of(paths)
    assert AudioHashes(tmp_path / "f").of(paths) == first
    assert sorted(hashed) == sorted(paths)
    # Of the same size, and its time of change set back.
    stat = os.stat(paths[1])
    data = bytearray((tmp_path / "1.wav").read_bytes())
    data[-1] ^= 1
    time.sleep(0.02)
    (tmp_path / "1.wav").write_bytes(data)
    os.utime(paths[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    changed = AudioHashes(tmp_path / "f").of(paths)
    assert hashed[3:] == [paths[1]]
    assert changed[paths[1]].file != first[paths[1]].file
    assert changed[paths[1]].samples != first[paths[1]].samples


def test_fresh_audio_is_not_trusted(paths, tmp_path, hashed):
    """It could change again within one tick of the disk's clock."""
    AudioHashes(tmp_path / "f").of(paths)
    AudioHashes(tmp_path / "f").of(paths)
    assert len(hashed) == 6


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"a": 1}'])
def test_damaged_memory_is_made_anew(text, paths, tmp_path, monkeypatch):
    monkeypatch.setattr(hashes, "SETTLED", 0)
    first = AudioHashes(tmp_path / "f").of(paths)
    (tmp_path / "f" / MEMORY).write_text(text)
    assert AudioHashes(tmp_path / "f").of(paths) == first
    assert len(json.loads((tmp_path / "f" / MEMORY).read_text())) >= 3


def test_without_a_folder_nothing_is_remembered(paths, tmp_path):
    before = sorted(tmp_path.iterdir())
    AudioHashes().of(paths)
    assert sorted(tmp_path.iterdir()) == before


def test_twins_are_named_the_worst_first():
    found = list(
        twins(
            [
                ("1", "a", "sad", "train"), ("1", "b", "sad", "train"),
                ("2", "c", "sad", "train"), ("2", "d", "sad", "test"),
                ("3", "e", "sad", "train"), ("3", "f", "happy", "test"),
                ("", "g", "sad", "train"), ("", "h", "happy", "test"),
                ("4", "i", "sad", "train"),
            ]
        )
    )  # fmt: skip
    assert found == [
        "e and f are one recording, under two emotions (happy, sad) and under two splits "
        "(test, train)",
        "c and d are one recording, under two splits (test, train)",
        "a and b are one recording, under two names",
    ]


def test_many_twins_are_counted():
    many = [(str(n), f"{n}{x}", "sad", "") for n in range(1009) for x in "ab"]
    assert list(twins(many))[-1] == "  and 1,004 more recordings under two names"
    assert len(list(twins(many, None))) == 1009
