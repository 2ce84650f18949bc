"""Videos and long recordings: decoded once, whole, and no further than needed."""

import os
import re
import struct
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep import audio, corpus, ffmpeg, manifest, media, prepare
from data_prep.audio import AudioError
from data_prep.corpus import Utterance
from data_prep.errors import UserError
from data_prep.ffmpeg import Decoded, FFmpeg


def clip(path: str, source: str, **times) -> Utterance:
    return Utterance(path, path, "s", "joy", media=source, **times)


def frequency(samples: np.ndarray, rate: int = 16000) -> float:
    """Where most of the energy is, in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * rate / len(samples)


def tones(path, *hertz, seconds=1.0, rate=16000, **kwargs):
    """A recording of one tone after another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * rate)) / rate
    samples = np.concatenate([0.3 * np.sin(2 * np.pi * f * times) for f in hertz])
    soundfile.write(path, samples, rate, **kwargs)
    return path


@pytest.mark.parametrize(
    "name, kwargs",
    [
        ("a.mp4", {"rate": 44100}),
        ("a.mp4", {"layout": "5.1"}),
        ("a.mp4", {"layout": "mono"}),
        ("a.avi", {"rate": 44100}),
        ("a.webm", {}),
        ("a.mkv", {"rate": 22050}),
        ("a.m4a", {}),
    ],
)
def test_any_format_becomes_16_khz_mono(tmp_path, video, name, kwargs):
    video(tmp_path / name, **kwargs)
    assert media.decode("x", tmp_path, [clip("a.wav", name)]) == {}
    header = audio.check(str(tmp_path / "a.wav"))
    assert (header.sample_rate, header.channels) == (16000, 1)
    assert header.duration == pytest.approx(1.0, abs=0.07)  # codecs pad
    assert soundfile.info(str(tmp_path / "a.wav")).subtype == "PCM_16"
    samples = audio.load(str(tmp_path / "a.wav"))
    assert frequency(samples) == pytest.approx(440, abs=2)
    assert samples.std() == pytest.approx(0.3 / 2**0.5, rel=0.1)


def test_what_is_there_is_not_done_again(tmp_path, video, monkeypatch):
    for name in "abc":
        video(tmp_path / f"{name}.mp4", 0.3)
    clips = [clip(f"{name}.wav", f"{name}.mp4") for name in "abc"]
    media.decode("x", tmp_path, clips)
    (tmp_path / "b.wav").unlink()
    os.utime(tmp_path / "c.mp4", (2e9, 2e9))  # newer than what was made of it
    done, decode = [], FFmpeg.decode

    def watch(self, path):
        done.append(os.path.basename(path))
        return decode(self, path)

    monkeypatch.setattr(FFmpeg, "decode", watch)
    media.decode("x", tmp_path, clips)
    assert sorted(done) == ["b.mp4", "c.mp4"]
    (tmp_path / "a.mp4").unlink()  # a copy without the videos is as good
    assert media.decode("x", tmp_path, clips[:2]) == {}


def test_an_interrupted_run_leaves_whole_files_only(tmp_path, video, monkeypatch):
    names = [f"{i}" for i in range(6)]
    for name in names:
        video(tmp_path / f"{name}.mp4", 0.3)
    clips = [clip(f"{name}.wav", f"{name}.mp4") for name in names]
    replace, calls = os.replace, []

    def interrupt(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        replace(*args)

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        media.decode("x", tmp_path, clips)
    monkeypatch.undo()
    assert not list(tmp_path.glob(".*"))
    made = sorted(path.name for path in tmp_path.glob("*.wav"))
    assert 2 <= len(made) < 6
    for name in made:
        audio.check(str(tmp_path / name))
    assert media.decode("x", tmp_path, clips) == {}
    assert len(list(tmp_path.glob("*.wav"))) == 6


def damaged(path, video, kind):
    if kind == "text":
        path.write_text("<html>404 not found</html>")
    elif kind == "empty":
        path.touch()
    elif kind == "mute":
        video(path, sound=False)
    elif kind == "cut":
        data = video(path.with_suffix(".avi"), 3.0).read_bytes()
        (path.parent / "a.avi").rename(path)
        path.write_bytes(data[: len(data) // 3])
    elif kind == "zeros":
        data = bytearray(video(path, 3.0).read_bytes())
        start = data.index(b"mdat") + 4
        data[start : start + (len(data) - start) // 2] = bytes((len(data) - start) // 2)
        path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "kind, reason",
    [
        ("text", "does not decode: Invalid data"),
        ("empty", "empty file"),
        ("mute", "no audio stream"),
        ("cut", "only .* decode"),
        ("zeros", "decode"),
    ],
)
def test_damaged_clips_say_why(tmp_path, video, kind, reason):
    damaged(tmp_path / "a.mp4", video, kind)
    video(tmp_path / "b.mp4", 0.3)
    clips = [clip("a.wav", "a.mp4"), clip("b.wav", "b.mp4")]
    failed = media.decode("x", tmp_path, clips)
    assert list(failed) == ["a.wav"]
    assert re.search(reason, failed["a.wav"]), failed
    assert sorted(path.name for path in tmp_path.glob("*.wav")) == ["b.wav"]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from([".mp4", ".avi", ".webm"]), st.randoms(use_true_random=False))
def test_any_damage_is_a_reason(tmp_path, video, suffix, random):
    whole = tmp_path / f"whole{suffix}"
    data = bytearray((whole if whole.exists() else video(whole, 0.3)).read_bytes())
    for _ in range(random.choice([1, 20, 300])):
        data[random.randrange(len(data))] = random.randrange(256)
    (tmp_path / "a.mp4").write_bytes(data[: random.choice([len(data), len(data) // 2])])
    failed = media.decode("x", tmp_path, [clip("a.wav", "a.mp4")])
    assert bool(failed) != (tmp_path / "a.wav").exists()
    (tmp_path / "a.wav").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["long.wav", "long.flac", "long.mkv"])
def test_a_long_recording_is_opened_once_and_cut(tmp_path, video, monkeypatch, name):
    hertz = (300, 600, 900, 1200)
    path = tones(tmp_path / name.replace("mkv", "wav"), *hertz, rate=48000)
    if name.endswith("mkv"):
        samples, _ = soundfile.read(path)
        path.unlink()
        video(tmp_path / name, samples=samples, layout="mono")
    clips = [
        clip(f"long/{i}.wav", name, start=i + 0.25, stop=i + 0.75) for i in range(3)
    ]
    clips.append(clip("long/end.wav", name, start=3.5))
    opened, job = [], media._open
    monkeypatch.setattr(media, "_open", lambda *p: opened.append(p) or job(*p))
    assert media.decode("x", tmp_path, clips) == {}
    assert len(opened) == 1
    for item, wanted in zip(clips, hertz, strict=True):
        samples = audio.load(str(tmp_path / item.path))
        assert len(samples) == pytest.approx(8000, abs=1)
        assert frequency(samples) == pytest.approx(wanted, abs=3)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n",
    "hls, a protocol": "#EXTM3U\n#EXTINF:1,\nconcat:{0}|{0}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{0}'\n",
    "dash": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="audio/wav">'
    '<Representation id="1" bandwidth="9"><BaseURL>{0}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=audio 5004 RTP/AVP 0\n",
    "metadata": ";FFMETADATA1\ntitle={0}\n",
    "asf reference": "[Reference]\nRef1={0}\n",
}


@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "webm"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_opens_nothing(tmp_path, video, kind, suffix):
    """Neither a recording of somebody's, nor a pipe that it would wait for."""
    private = tones(tmp_path / "private/a.mp3", 440)
    os.mkfifo(tmp_path / "private/pipe.mp3")
    corpus_folder = tmp_path / "corpus"
    corpus_folder.mkdir()
    clips = []
    for name, target in (("a", private), ("b", tmp_path / "private/pipe.mp3")):
        text = PLAYLISTS[kind].format(target)
        (corpus_folder / f"{name}.{suffix}").write_text(text)
        clips.append(clip(f"{name}.wav", f"{name}.{suffix}"))
    failed = media.decode("x", corpus_folder, clips)
    assert set(failed) == {"a.wav", "b.wav"}
    assert not list(corpus_folder.glob("*.wav"))


def test_a_file_that_takes_too_long_is_given_up(tmp_path, video, monkeypatch):
    for name in "ab":
        video(tmp_path / f"{name}.mp4", 0.3)
    with FFmpeg() as decoder:
        with monkeypatch.context() as patch:
            patch.setattr(ffmpeg, "SECONDS", 0.0)
            with pytest.raises(AudioError, match="takes over 0 s"):
                decoder.decode(str(tmp_path / "a.mp4"))
        assert len(decoder.decode(str(tmp_path / "b.mp4")).samples)
        (process,) = decoder._idle
        process.kill()  # as a crash would
        process.wait()  # so that the request stays in the pipe, to be flushed at the end
        with pytest.raises(AudioError, match="FFmpeg crashes"):
            decoder.decode(str(tmp_path / "a.mp4"))
        assert len(decoder.decode(str(tmp_path / "a.mp4")).samples)
    assert all(process.poll() is not None for process in decoder._all)


@pytest.mark.slow
def test_a_recording_too_long_to_be_held(tmp_path, video):
    seconds = audio.HELD / 16000 + 60
    samples = np.zeros(round(seconds * 8000), np.float32)
    video(tmp_path / "a.mkv", rate=8000, layout="mono", samples=samples)
    failed = media.decode("x", tmp_path, [clip("a.wav", "a.mkv")])
    assert "over 16777 s long" in failed["a.wav"]


def test_a_long_recording_of_unknown_length_is_cut(tmp_path):
    path = tones(tmp_path / "long.flac", 300, 600, 900)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    clips = [
        clip("b.wav", path.name, start=1.25, stop=1.75),
        clip("all.wav", path.name),
    ]
    assert media.decode("x", tmp_path, clips) == {}
    assert frequency(audio.load(str(tmp_path / "b.wav"))) == pytest.approx(600, abs=3)
    assert audio.check(str(tmp_path / "all.wav")).duration == 3.0


@pytest.mark.parametrize(
    "times", [(np.nan, 1.0), (0.0, np.inf), (0.5, np.nan), (-1, 1)]
)
def test_times_that_are_none(tmp_path, times):
    tones(tmp_path / "long.wav", 440, seconds=2.0)
    start, stop = times
    clips = [clip("a.wav", "long.wav", start=start, stop=stop)]
    assert "cannot be cut" in media.decode("x", tmp_path, clips)["a.wav"]


def test_a_cut_beyond_the_end_is_refused(tmp_path):
    tones(tmp_path / "long.wav", 440, seconds=2.0)
    clips = [
        clip("in.wav", "long.wav", start=1.0, stop=2.05),  # a label file rounds
        clip("half.wav", "long.wav", start=1.5, stop=3.0),
        clip("out.wav", "long.wav", start=5.0, stop=6.0),
        clip("after.wav", "long.wav", start=5.0),
        clip("back.wav", "long.wav", start=1.5, stop=1.0),
    ]
    failed = media.decode("x", tmp_path, clips)
    assert sorted(failed) == ["after.wav", "back.wav", "half.wav", "out.wav"]
    assert "5.00 s to 6.00 s: the recording is 2.00 s long" in failed["out.wav"]
    assert soundfile.info(str(tmp_path / "in.wav")).duration == 1.0


def test_late_sound_is_cut_by_the_clock_of_the_recording(tmp_path, video, monkeypatch):
    """In a video whose sound begins half a second in, a cut falls where it should."""
    samples = np.concatenate([np.zeros(8000), 0.5 * np.ones(8000)]) * 32767
    found = Decoded(samples.astype(np.int16), 0.5, 1.0)
    monkeypatch.setattr(FFmpeg, "decode", lambda self, path: found)
    (tmp_path / "a.mp4").write_text("a video")
    clips = [clip("b.wav", "a.mp4", start=0.8, stop=1.2)]
    assert media.decode("x", tmp_path, clips) == {}
    silent_then_loud = audio.load(str(tmp_path / "b.wav"))
    assert len(silent_then_loud) == 6400
    assert not silent_then_loud[:3200].any()
    assert (silent_then_loud[3200:] > 0.4).all()


def test_without_pyav_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    tones(tmp_path / "long.wav", 440)
    assert media.decode("x", tmp_path, [clip("a.wav", "long.wav")]) == {}
    (tmp_path / "b.mp4").write_text("a video")
    with pytest.raises(UserError, match=r"b\.mp4 .*pip install av"):
        media.decode("x", tmp_path, [clip("b.wav", "b.mp4")])


@pytest.mark.parametrize("place", ["a.txt/b.wav", "dir.wav"])
def test_a_folder_that_cannot_be_written_is_one_error(tmp_path, place):
    """Root may write anywhere, but not below a file, nor over a folder."""
    tones(tmp_path / "long.wav", 440)
    (tmp_path / "a.txt").touch()
    (tmp_path / "dir.wav").mkdir()
    os.utime(tmp_path / "dir.wav", (0, 0))
    with pytest.raises(UserError, match="make the corpus' folder writable"):
        media.decode("x", tmp_path, [clip(place, "long.wav")])
    assert not list(tmp_path.glob(".*"))


# --- in prepare

MELD = """Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID
1,Oh.,Ross,joy,positive,{0},{1}
"""


@pytest.fixture()
def meld(tmp_path, video):
    """One usable video, one corrupt, one without sound, one known to be mis-cut."""
    folder = tmp_path / "meld"
    homes = ("train_splits", "dev_splits_complete", "output_repeated_splits_test")
    for home in homes:
        (folder / home).mkdir(parents=True)
    lines = MELD.splitlines()
    numbers = {"train": (0, 1, 2), "dev": (0,), "test": ((38, 4),)}
    for part, ids in numbers.items():
        pairs = [i if isinstance(i, tuple) else (i, 0) for i in ids]
        rows = [lines[1].format(*pair) for pair in pairs]
        (folder / f"{part}_sent_emo.csv").write_text("\n".join([lines[0], *rows]))
    video(folder / homes[0] / "dia0_utt0.mp4")
    (folder / homes[0] / "dia1_utt0.mp4").write_bytes(b"corrupt")
    video(folder / homes[0] / "dia2_utt0.mp4", sound=False)
    video(folder / homes[2] / "dia38_utt4.mp4")
    return folder


def test_prepare_decodes_and_rejects(meld, tmp_path):
    path = prepare.prepare(corpus.get("meld"), meld, tmp_path, "official")
    (row, absent) = manifest.read(path)
    assert row.wav == "$data_root/meld/train_splits/dia0_utt0.wav"
    assert (row.sample_rate, row.duration) == (16000, pytest.approx(1.0, abs=0.07))
    assert (absent.ID, absent.has_audio) == ("meld-dev_dia0_utt0", False)
    sidecar = manifest.read_sidecar(path)
    assert sidecar["missing"] == ["dev_splits_complete/dia0_utt0.wav"]
    reasons = {entry["path"]: entry["reason"] for entry in sidecar["rejected"]}
    assert len(reasons) == 3
    assert "does not decode" in reasons["train_splits/dia1_utt0.mp4"]
    assert reasons["train_splits/dia2_utt0.mp4"] == "has no audio stream"
    assert "mis-cut" in reasons["output_repeated_splits_test/dia38_utt4.mp4"]
    assert not (meld / "output_repeated_splits_test/dia38_utt4.wav").exists()


def test_a_second_prepare_decodes_nothing(meld, tmp_path, video, monkeypatch):
    def run():
        path = prepare.prepare(corpus.get("meld"), meld, tmp_path, "official")
        return manifest.read(path)

    before = run()
    with monkeypatch.context() as patch:
        patch.setattr(media, "decode", None)
        assert run() == before
    video(meld / "train_splits/dia1_utt0.mp4")
    assert len(run()) == len(before) + 1
    (meld / "train_splits/dia0_utt0.wav").unlink()
    assert len(run()) == len(before) + 1
    assert (meld / "train_splits/dia0_utt0.wav").exists()


def test_an_avi_is_no_truncated_wav(tmp_path, video):
    """Both begin with RIFF and a size."""
    path = video(tmp_path / "a.avi")
    assert path.read_bytes()[:4] == b"RIFF"
    size = struct.unpack("<I", path.read_bytes()[4:8])[0]
    path.write_bytes(path.read_bytes()[: size - 100])
    assert media.decode("x", tmp_path, [clip("a.wav", "a.avi")]) == {}
