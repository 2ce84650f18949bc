"""Audio files: sound ones of any format load alike, bad ones say what is wrong."""

import os
import struct

import numpy as np
import pytest
import soundfile
import soxr

from data_prep import audio
from data_prep.audio import AudioError
from tests.fuzz import ogg_checksum

FORMATS = {
    "plain.wav": {},
    "stereo.wav": {"channels": 2},
    "48k.wav": {"rate": 48000},
    "22k.wav": {"rate": 22050},
    "24bit.wav": {"subtype": "PCM_24"},
    "float.wav": {"subtype": "FLOAT"},
    "8bit.wav": {"subtype": "PCM_U8"},
    "a.flac": {},
    "a.aiff": {"rate": 192000, "subtype": "PCM_24"},
    "everything.wav": {"rate": 48000, "channels": 6, "subtype": "PCM_24"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_any_format_becomes_16_khz_mono(tmp_path, tone, name):
    path = str(tone(tmp_path / name, **FORMATS[name]))
    header = audio.check(path)
    assert header.duration == pytest.approx(0.5, abs=1e-3)
    assert header.sample_rate == FORMATS[name].get("rate", 16000)
    assert header.channels == FORMATS[name].get("channels", 1)
    samples = audio.load(path)
    assert samples.dtype == np.float32
    assert samples.shape == (8000,)
    oracle = 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)
    assert np.abs(samples - oracle)[500:-500].max() < 0.01  # 8 bits are this coarse


def test_channels_are_averaged(tmp_path):
    left, right = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 1000))
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([left, right], 1), 16000, subtype="FLOAT")
    np.testing.assert_allclose(audio.load(str(path)), (left + right) / 2, atol=1e-6)


def nan(path):
    soundfile.write(path, np.array([0.1, np.nan] * 800), 16000, subtype="FLOAT")


def infinite(path):
    soundfile.write(path, np.array([0.1, np.inf] * 800), 16000, subtype="FLOAT")


BAD = {  # what it is: (the reason, whether the header alone tells)
    "missing": ("cannot be read", True),
    "empty": ("empty", True),
    "text": ("not an audio file", True),
    "header_only": ("not an audio file|no speech|truncated", True),
    "truncated": ("truncated: 8000 of", True),
    "truncated_flac": ("decode|stops", False),
    "too_short": ("no speech", True),
    "no_samples": ("no speech", True),
    "silent": ("silent", False),
    "nan": ("NaN", False),
    "infinite": ("NaN or inf", False),
    "one_hertz": ("1 samples a second", True),
    "too_long": ("3601 s long, and at most 3600 s", True),
    "too_wide": ("65 channels", True),
    "folder": ("no file", True),
    "pipe": ("no file", True),
}


def make(kind, folder, tone, blank):
    path = folder / "a.wav"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("<html>404 not found</html>" * 100)
    elif kind == "header_only":
        path.write_bytes(tone(path).read_bytes()[:30])
    elif kind == "truncated":
        path.write_bytes(tone(path).read_bytes()[:-8000])
    elif kind == "truncated_flac":
        path.write_bytes(tone(folder / "b.flac").read_bytes()[:-2000])
    elif kind == "too_short":
        blank(path, 0.01)
    elif kind == "no_samples":
        blank(path, 0)
    elif kind == "silent":
        blank(path, 1)
    elif kind == "one_hertz":
        soundfile.write(path, np.tile([0.1, -0.1], 50_000), 1)
    elif kind == "too_long":
        blank(path, 3601, rate=1000)
    elif kind == "too_wide":
        tone(path, channels=65)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind in ("nan", "infinite"):
        {"nan": nan, "infinite": infinite}[kind](path)
    return str(path)


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_say_what_is_wrong(tmp_path, tone, blank, kind):
    reason, header_tells = BAD[kind]
    path = make(kind, tmp_path, tone, blank)
    with pytest.raises(AudioError, match=reason):
        audio.check(path)
    if header_tells:
        with pytest.raises(AudioError, match=reason):
            audio.probe(path)
    else:
        audio.probe(path)


def test_an_unpadded_or_streamed_wav_is_not_truncated(tmp_path, tone):
    path = tone(tmp_path / "a.wav", subtype="PCM_U8")
    data = bytearray(path.read_bytes())
    data[4:8] = (len(data) - 8 + 1).to_bytes(4, "little")
    path.write_bytes(data)
    audio.check(str(path))
    data[4:8] = data[40:44] = b"\xff" * 4
    path.write_bytes(data)
    audio.check(str(path))


def streamed_flac(path, seconds=2):
    """As an encoder writes it that does not know the length beforehand."""
    soundfile.write(path, sound(seconds), 16000, format="FLAC")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)


def boundless_ogg(path, subtype, granule):
    """The last page claims a time far away."""
    soundfile.write(path, sound(2), 16000, format="OGG", subtype=subtype)
    data = bytearray(path.read_bytes())
    last = data.rindex(b"OggS")
    data[last + 6 : last + 14] = struct.pack("<Q", granule)
    data[last + 22 : last + 26] = bytes(4)
    data[last + 22 : last + 26] = ogg_checksum(data[last:])
    path.write_bytes(data)


def sound(seconds):
    return np.random.default_rng(0).uniform(-0.3, 0.3, round(seconds * 16000))


UNKNOWN = {
    "flac": streamed_flac,
    "vorbis": lambda path: boundless_ogg(path, "VORBIS", 2**62),
    "vorbis, the end": lambda path: boundless_ogg(path, "VORBIS", 2**63 - 1),
    "opus": lambda path: boundless_ogg(path, "OPUS", 2**40),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_length_that_no_header_tells_is_counted(tmp_path, kind):
    path = tmp_path / "a.wav"
    UNKNOWN[kind](path)
    header = audio.check(str(path))
    assert header.duration == pytest.approx(2, abs=0.02)
    assert audio.probe(str(path)) == header
    samples = audio.load(str(path))
    assert len(samples) == pytest.approx(32000, abs=200)
    if kind == "flac":
        np.testing.assert_allclose(samples, sound(2), atol=1e-4)
    with pytest.raises(AudioError, match="over 1 s long"):
        audio.probe(str(path), 1)


def test_counting_ends(tmp_path, monkeypatch):
    streamed_flac(tmp_path / "a.flac")
    monkeypatch.setattr(audio, "COUNTED", 16000)
    with pytest.raises(AudioError, match="over 1 s long"):
        audio.check(str(tmp_path / "a.flac"))


def test_blocks_are_the_whole(tmp_path):
    """To the last bit, whatever the blocks."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (1_000_000, 6))
    soundfile.write(tmp_path / "a.wav", samples, 48000, subtype="PCM_24")
    whole, rate = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
    assert whole.size > audio.BLOCK
    loaded = audio.load(str(tmp_path / "a.wav"))
    assert np.array_equal(loaded, soxr.resample(whole.mean(axis=1), rate, 16000))


def test_too_many_samples_to_hold(tmp_path, tone, monkeypatch):
    monkeypatch.setattr(audio, "HELD", 7999)
    with pytest.raises(AudioError, match="8,000 samples, and at most 7,999"):
        audio.load(str(tone(tmp_path / "a.wav")))


def test_for_all_keeps_the_order(tmp_path, blank):
    paths = [str(blank(tmp_path / f"{i}.wav", 0.1 * (i + 1))) for i in range(20)]
    (tmp_path / "7.wav").write_bytes(b"")
    results = audio.for_all(audio.probe, paths, "test")
    assert isinstance(results.pop(7), AudioError)
    expected = [0.1 * (i + 1) for i in range(20) if i != 7]
    assert [result.duration for result in results] == pytest.approx(expected)
