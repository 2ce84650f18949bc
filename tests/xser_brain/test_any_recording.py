"""Recordings of phones, browsers and cameras, whole folders of them, and lists."""

import io
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from models import exported, noise

from data_prep import ffmpeg
from data_prep.audio import SAMPLE_RATE
from data_prep.manifest import NOT_UTF8
from xser_brain.cli import main
from xser_brain.inference import Classifier, recordings
from xser_brain.inference.recordings import find_audio

FORMATS = ("m4a", "mp4", "webm", "opus", "aac", "amr", "3gp", "wma", "mov", "avi")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("small") / "model")[0]


@pytest.fixture(scope="module")
def classifier(small):
    return Classifier.from_pretrained(small, device="cpu")


@pytest.fixture
def xser(small, capsys):
    """Run ``xser COMMAND MODEL ...``; the exit code, stdout and stderr."""

    def call(command, *args):
        args = [command, str(small), "--noprogressbar", *map(str, args)]
        return main(args), *capsys.readouterr()

    return call


def rate_of(ending: str) -> dict:
    narrow = ending in ("amr", "3gp")  # which take 8 kHz mono only
    return {"rate": 8000, "layout": "mono"} if narrow else {"rate": 48000}


@pytest.mark.parametrize("ending", FORMATS)
def test_formats_say_what_a_wav_says(ending, classifier, video, tmp_path):
    options = rate_of(ending)
    samples = noise(2.0, 1, options["rate"])
    path = video(tmp_path / f"a.{ending}", samples=samples, **options)
    soundfile.write(tmp_path / "a.wav", samples, options["rate"])
    found, plain = classifier(path), classifier(tmp_path / "a.wav")
    assert found.error == ""
    assert found.end == pytest.approx(2.0, abs=0.15)  # codecs pad
    difference = np.subtract(
        [*found.probabilities.values()], [*plain.probabilities.values()]
    )
    # Noise is what such codecs keep least of.
    assert np.abs(difference).max() < (0.5 if ending in ("amr", "3gp") else 0.25)
    assert (classifier.embed(path).vector is None) is False


def test_a_lossless_one_says_the_same(classifier, video, tmp_path):
    samples = noise(2.0, 1)
    video(tmp_path / "a.mkv", samples=samples, rate=16000, layout="mono")
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    found, plain = (classifier(tmp_path / name) for name in ("a.mkv", "a.wav"))
    np.testing.assert_allclose(
        [*found.probabilities.values()], [*plain.probabilities.values()], atol=1e-3
    )


def test_a_long_video_is_read_block_by_block(classifier, video, tmp_path, monkeypatch):
    """As a FLAC is; its processes are used again, and end."""
    samples = noise(95.0, 2)
    video(tmp_path / "a.mkv", samples=samples, rate=16000, layout="mono")
    video(tmp_path / "b.mkv", samples=samples, rate=16000, layout="mono")
    soundfile.write(tmp_path / "a.flac", samples, 16000)
    pools, sizes = [], []
    enter, blocks = ffmpeg.FFmpeg.__enter__, ffmpeg.FFmpeg.blocks
    monkeypatch.setattr(
        ffmpeg.FFmpeg, "__enter__", lambda pool: pools.append(pool) or enter(pool)
    )

    def watched(pool, path, longest):
        for block in blocks(pool, path, longest):
            sizes.append(len(block))
            yield block

    monkeypatch.setattr(ffmpeg.FFmpeg, "blocks", watched)
    found = list(classifier([tmp_path / "a.mkv", tmp_path / "b.mkv"]))
    plain = classifier(tmp_path / "a.flac")
    for result in found:
        assert [(w.start, w.end) for w in result.timeline] == [
            (w.start, pytest.approx(w.end, abs=0.001)) for w in plain.timeline
        ]
        np.testing.assert_allclose(
            [*result.probabilities.values()],
            [*plain.probabilities.values()],
            atol=1e-3,
        )
    assert max(sizes) <= 11 * SAMPLE_RATE
    assert sum(sizes) == pytest.approx(2 * len(samples), abs=10)
    processes = [process for pool in pools for process in pool._all]
    assert 1 <= len(processes) <= 2
    assert all(process.poll() is not None for process in processes)


def test_a_file_that_its_reader_leaves_is_no_answer_to_the_next(video, tmp_path):
    samples = noise(40.0, 2)
    video(tmp_path / "a.mkv", samples=samples, rate=16000, layout="mono")
    video(tmp_path / "b.m4a", seconds=1.0)
    with ffmpeg.FFmpeg() as decoder:
        left = decoder.blocks(str(tmp_path / "a.mkv"))
        next(left)
        left.close()
        assert len(decoder.decode(str(tmp_path / "b.m4a")).samples) < 2 * SAMPLE_RATE
        part = decoder.decode(str(tmp_path / "a.mkv"), 30.0)
        assert (len(part.samples), part.more) == (30 * SAMPLE_RATE, True)
        header = decoder.probe(str(tmp_path / "a.mkv"))
        assert header.duration == pytest.approx(40.0, abs=0.1)
        assert (header.sample_rate, header.channels) == (16000, 1)
        with pytest.raises(ffmpeg.AudioError, match="over 20 s long"):
            list(decoder.blocks(str(tmp_path / "a.mkv"), 20.0))


@pytest.mark.slow
def test_time_of_whoever_reads_is_not_the_file_s(video, tmp_path, monkeypatch):
    """What is classified between two blocks may take longer than decoding may."""
    monkeypatch.setattr(ffmpeg, "SECONDS", 5.0)
    video(tmp_path / "a.mkv", samples=noise(60.0, 2), rate=16000, layout="mono")
    with ffmpeg.FFmpeg() as decoder:
        decoder.decode(str(tmp_path / "a.mkv"))  # started
        taken = decoder.blocks(str(tmp_path / "a.mkv"))
        total = len(next(taken))
        time.sleep(6.0)
        total += sum(map(len, taken))
    assert total == pytest.approx(60 * SAMPLE_RATE, abs=10)


def damaged(folder, video):
    """Files that cannot be classified, and a word of the reason."""
    video(folder / "cut.m4a", samples=noise(5.0, 1))
    video(folder / "cut.webm", samples=noise(5.0, 1))
    video(folder / "mute.mp4", sound=False)
    for name in ("cut.m4a", "cut.webm"):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 4])
    (folder / "text.mp4").write_text("This is a text.\n" * 99)
    (folder / "empty.amr").touch()
    (folder / "list.m4a").write_text("#EXTM3U\n#EXTINF:1,\nmute.mp4\n#EXT-X-ENDLIST\n")
    return {
        "cut.m4a": "not an audio file",
        "mute.mp4": "has no audio stream",
        "text.mp4": "not an audio file",
        "empty.amr": "empty file",
        "list.m4a": "not an audio file",
    }


def test_what_is_damaged_is_told_and_stops_nothing(classifier, video, tmp_path):
    reasons = damaged(tmp_path, video)
    soundfile.write(tmp_path / "good.wav", noise(1.0), SAMPLE_RATE)
    results = {os.path.basename(r.path): r for r in classifier(tmp_path)}
    assert results["good.wav"].error == ""
    for name, reason in reasons.items():
        assert reason in results[name].error, name
    assert len(results) == len(reasons) + 2  # a webm that was cut is a shorter one


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{0}'\n",
        "[Reference]\nRef1={0}\n",
    ],
)
def test_a_playlist_for_a_recording_opens_nothing(text, classifier, video, tmp_path):
    private = video(tmp_path / "private.m4a", samples=noise(1.0, 1))
    path = tmp_path / "a.wma"
    path.write_text(text.format(private))
    assert "not an audio file" in classifier(path).error


def test_what_crashes_ffmpeg_costs_one_recording(
    classifier, video, tmp_path, monkeypatch
):
    for name in "ab":
        video(tmp_path / f"{name}.m4a", samples=noise(1.0, 1))
    monkeypatch.setattr(ffmpeg, "SECONDS", 0.0)
    found = list(classifier(tmp_path))
    assert all("takes over 0 s" in result.error for result in found)
    monkeypatch.undo()
    assert [r.error for r in classifier(tmp_path)] == ["", ""]


def test_a_recording_that_may_not_last_as_long(classifier, video, tmp_path):
    """Whatever its header says: some say nothing."""
    path = video(tmp_path / "a.aac", samples=noise(40.0, 1, 48000))
    [result] = classifier.classify([path], longest=35.0)
    assert "over 35 s long" in result.error
    [result] = classifier.classify([path], longest=45.0)
    assert result.error == ""


# --- Folders


@pytest.fixture
def folder(tmp_path, video):
    """A phone's folder: five recordings, and other things."""
    home = tmp_path / "phone"
    for name in ("a.wav", "b/c.flac"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(home / name, noise(1.0), SAMPLE_RATE)
    for name in ("d.m4a", "b/e.MP4"):
        path = video(home / name.lower(), samples=noise(1.0))
        path.rename(home / name)
    video(home / "f.webm", samples=noise(1.0))
    (home / "notes.txt").write_text("x")
    (home / "b/._c.flac").write_text("what a Mac leaves")
    (home / ".hidden").mkdir()
    soundfile.write(home / ".hidden/x.wav", noise(1.0), SAMPLE_RATE)
    (home / "linked").symlink_to(home / "b")
    return home


LEFT = {"notes.txt", "b/._c.flac", ".hidden/", "linked/"}


def test_what_is_not_taken_is_named_and_counted(folder, small):
    command = [sys.executable, "-m", "xser_brain", "predict", small, folder]
    command += ["--format=json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    paths = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    found = {os.path.relpath(path, folder) for path in paths}
    assert found == {"a.wav", "b/c.flac", "d.m4a", "b/e.MP4", "f.webm"}
    assert "5 of 5 recordings classified" in done.stderr
    [line] = [line for line in done.stderr.splitlines() if "not taken" in line]
    assert line.startswith(f"{folder}: 4 not taken, ")
    assert set(line.rsplit(": ", 1)[1].split(", ")) == LEFT
    assert "5/5" not in done.stderr  # no bar where there is no terminal


def test_thousands_are_counted(tmp_path, caplog):
    for number in range(1234):
        (tmp_path / f"{number:04}.txt").touch()
    assert list(find_audio([tmp_path])) == []
    [line] = caplog.messages
    assert "1,234 not taken, " in line
    assert line.endswith("0009.txt and 1,224 more")


def test_every_ending_is_one(tmp_path):
    assert len(set(recordings.EXTENSIONS)) == len(recordings.EXTENSIONS)
    assert {f".{ending}" for ending in FORMATS} <= set(recordings.EXTENSIONS)


# --- Lists


@pytest.mark.parametrize(
    "text",
    [
        "b/c.flac\na.wav\n",
        "b/c.flac\r\n\r\na.wav",
        "path\nb/c.flac\na.wav\n",
        "\ufeffemotion,path\nsad,b/c.flac\nangry,a.wav\n",
        'path,note\r\nb/c.flac,"one, two"\r\na.wav,\r\n',
    ],
)
def test_a_list(text, folder, xser):
    (folder / "list.csv").write_text(text, encoding="utf-8", newline="")
    code, out, _ = xser("predict", f"--list={folder}/list.csv", "--format=json")
    assert code == 0
    paths = [json.loads(line)["path"] for line in out.splitlines()]
    assert paths == [str(folder / "b/c.flac"), str(folder / "a.wav")]


def test_standard_input(folder, small):
    command = [sys.executable, "-m", "xser_brain", "predict", small, "--list=-"]
    done = subprocess.run(
        [*command, "--noprogressbar", "--format=json"],
        input=b"d.m4a\nno\xe9.wav\n",
        capture_output=True,
        cwd=folder,
    )
    first, second = map(json.loads, done.stdout.decode(errors=NOT_UTF8).splitlines())
    assert (done.returncode, first["path"]) == (1, "d.m4a")
    assert "No such file" in second["error"]
    assert b"1 of 2 recordings classified" in done.stderr


def test_a_list_and_files(folder, xser, tmp_path):
    (folder / "list.txt").write_text("a.wav\n")
    output = tmp_path / "x.npz"
    code, _, err = xser(
        "embed", folder / "d.m4a", "--list", folder / "list.txt", "-o", output
    )
    assert code == 0
    with np.load(output) as arrays:
        assert list(arrays["path"]) == [str(folder / "d.m4a"), str(folder / "a.wav")]


def test_a_line_that_is_no_csv_is_a_path(folder, xser):
    (folder / "list.txt").write_bytes(b"a\rb.wav\na.wav\n")
    code, out, _ = xser("predict", f"--list={folder}/list.txt", "--format=json")
    assert code == 1
    assert ["error" in json.loads(line) for line in out.splitlines()] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "a list of recordings, cannot be read"),
        (b"", "names no recording"),
        (b"path\n", "names no recording"),
        (b"path,x\na.wav\n", "line 2: 1 values for 2 columns"),
        ("path\na.wav\n".encode("utf-16"), "is no text in UTF-8"),
    ],
)
def test_mistakes_in_lists_are_one_line(data, said, xser, tmp_path):
    if data is not None:
        (tmp_path / "list").write_bytes(data)
    code, out, err = xser("predict", "--list", tmp_path / "list")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert "one path a line, or a CSV file with a column path" in err


def test_no_recording_at_all(xser, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert "standard input names no recording" in xser("predict", "--list=-")[2]
    assert "name files or folders, or pass --list" in xser("predict")[2]
