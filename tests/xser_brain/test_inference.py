"""The Classifier: any audio in, the same scores whatever the batch, results out."""

import csv
import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import exported, noise, probabilities

from data_prep import audio
from data_prep.audio import SAMPLE_RATE
from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS
from xser_brain.cli import main
from xser_brain.inference import Classifier, recordings
from xser_brain.inference.calibration import (
    expected_calibration_error,
    fit_temperature,
    temper,
)
from xser_brain.inference.recordings import Windows, as_recording, find_audio, resampled


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder of twelve clips in two folders, of many lengths, and other files."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(12):
        path = folder / "ab"[number % 2] / f"{number:02}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, noise(0.4 + 0.3 * number, number), SAMPLE_RATE)
    (folder / "a/notes.txt").write_text("no audio")
    (folder / "a/._00.wav").write_bytes(b"what a Mac leaves")
    return folder


def rows_of(results):
    return np.array([list(result.probabilities.values()) for result in results])


# --- What can be classified


def test_a_file(classifier, small, clips):
    result = classifier(clips / "a/02.wav")
    samples = audio.load(clips / "a/02.wav")
    [expected] = probabilities(small[1], [samples])
    np.testing.assert_allclose(list(result.probabilities.values()), expected, atol=1e-6)
    assert tuple(result.probabilities) == classifier.labels == EMOTIONS
    assert result.predicted == EMOTIONS[expected.argmax()]
    assert (result.start, result.end) == (0.0, len(samples) / SAMPLE_RATE)
    assert (result.error, result.timeline) == ("", ())
    assert result.protocol == "zero-shot"


def test_a_folder_is_searched_all_through(classifier, clips):
    found = [result.path for result in classifier(clips)]
    assert found == [str(p) for p in sorted(clips.rglob("[0-9]*.wav"))]


def test_an_iterable_of_anything_keeps_its_order(classifier, clips):
    samples = noise(0.7)
    sources = [str(clips / "b/03.wav"), (samples, SAMPLE_RATE), clips / "a"]
    paths = [result.path for result in classifier(iter(sources))]
    assert paths[:2] == [sources[0], "array"]
    assert paths[2:] == [str(p) for p in sorted((clips / "a").glob("[0-9]*.wav"))]


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize(
    "form", ["mono", "stereo", "channels first", "tensor", "int16"]
)
def test_arrays_say_what_files_say(classifier, rate, form, tmp_path):
    samples = np.stack([noise(1.2, 1, rate), noise(1.2, 2, rate)], axis=1)
    if form == "mono":
        samples = samples[:, 0]
    given = {
        "channels first": samples.T,
        "tensor": torch.from_numpy(samples),
        "int16": np.round(samples * 32767).astype(np.int16),
    }.get(form, samples)
    path = tmp_path / "a.wav"
    stored = given if form == "int16" else samples
    soundfile.write(path, stored, rate, "PCM_16" if form == "int16" else "FLOAT")
    np.testing.assert_allclose(
        rows_of([classifier(given, sample_rate=rate)]),
        rows_of([classifier(path)]),
        atol=1e-6,
    )


def test_unsigned_bytes_have_their_middle_at_128():
    samples = as_recording(np.array([0, 128, 192], np.uint8), 8000).samples
    assert samples[:, 0].tolist() == [-1.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("item", "rate", "said"),
    [
        (7, None, "int is not a recording"),
        (np.zeros((2, 2, 2)), 16000, "ndarray is not a recording"),
        (np.zeros(0), 16000, "ndarray is not a recording"),
        (np.array(["a"]), 16000, "ndarray is not a recording"),
        (np.ones(99), None, "sample_rate is None"),
        (np.ones(99), -1, "sample_rate is -1"),
    ],
)
def test_what_is_no_recording_is_refused(item, rate, said):
    with pytest.raises(UserError, match=said):
        as_recording(item, rate)


def damaged(folder):
    """Files that cannot be classified, and a word of the reason."""
    good = folder / "good.wav"
    soundfile.write(good, noise(1.0), SAMPLE_RATE)
    data = good.read_bytes()
    contents = {
        "text.wav": (b"this is no audio", "not an audio file"),
        "empty.wav": (b"", "empty file"),
        "cut.wav": (data[:9000], "truncated"),
        "missing.wav": (None, "cannot be read"),
    }
    for name, (content, _) in contents.items():
        if content is not None:
            (folder / name).write_bytes(content)
    reasons = {name: reason for name, (_, reason) in contents.items()}
    for name, samples, reason in (
        ("short.wav", noise(0.01), "no speech in it"),
        ("silent.wav", np.zeros(16000, np.float32), "silent"),
        ("nan.wav", np.full(16000, np.nan, np.float32), "NaN"),
    ):
        soundfile.write(folder / name, samples, SAMPLE_RATE, "FLOAT")
        reasons[name] = reason
    soundfile.write(folder / "hertz.wav", np.tile([0.1, -0.1], 50_000), 1)
    reasons["hertz.wav"] = "1 samples a second"
    return good, reasons


def test_what_cannot_be_read_is_told_and_stops_nothing(classifier, tmp_path):
    good, reasons = damaged(tmp_path)
    sources = [good, *(tmp_path / name for name in reasons), good]
    results = list(classifier(sources))
    assert len(results) == len(sources)
    for result, reason in zip(results[1:-1], reasons.values(), strict=True):
        assert reason in result.error
        assert (result.emotion, result.probabilities) == ("", {})
    assert results[0].error == results[-1].error == ""
    assert classifier(tmp_path / "text.wav").error


# --- Batches


def test_scores_do_not_depend_on_the_batch(small, clips):
    model, rows = small[1], {}
    for seconds in (0.1, 3, 60):
        found = Classifier.from_pretrained(small[0], batch_seconds=seconds)(clips)
        rows[seconds] = rows_of(found)
    alone = probabilities(model, [audio.load(p) for p in find_audio([clips])])
    for found in rows.values():
        np.testing.assert_allclose(found, alone, atol=1e-5)


def test_batches_hold_no_more_than_they_may(small, clips, monkeypatch):
    classifier = Classifier.from_pretrained(small[0], batch_seconds=4)
    sizes, forward = [], classifier._forward

    def watched(waveforms):
        sizes.append((len(waveforms), max(map(len, waveforms))))
        return forward(waveforms)

    monkeypatch.setattr(classifier, "_forward", watched)
    assert len(list(classifier(clips))) == 12
    assert sum(count for count, _ in sizes) == 12
    assert any(count > 1 for count, _ in sizes)
    assert all(n == 1 or n * longest <= 4 * SAMPLE_RATE for n, longest in sizes)


def test_files_are_read_as_they_are_needed(small):
    """Memory is flat in the number of recordings: only so many are held."""
    classifier = Classifier.from_pretrained(small[0], batch_seconds=1)
    asked = 0

    def endless():
        nonlocal asked
        while True:
            asked += 1
            yield noise(0.5, asked), SAMPLE_RATE

    results = classifier(endless())
    for done in range(1, 101):
        next(results)
        assert asked - done < 80


def test_bf16_is_close(small, clips):
    exact, rough = (
        rows_of(Classifier.from_pretrained(small[0], "cpu", precision)(clips))
        for precision in ("fp32", "bf16")
    )
    assert 0 < np.abs(exact - rough).max() < 0.05


# --- Long recordings


@given(
    total=st.integers(1, 12000),
    cuts=st.lists(st.integers(1, 2800), min_size=1, max_size=9),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
)
def test_windows_cover_the_stream_whatever_its_blocks(total, cuts, overlap):
    samples, size = np.arange(total, dtype=np.float32), 1600
    edges = np.cumsum(cuts)
    found = list(Windows(0.1, overlap).cut(np.split(samples, edges[edges < total])))
    hop = round(size * (1 - overlap))
    starts = list(range(0, total - size + 1, hop))  # whole windows
    if not starts or starts[-1] + size < total:
        starts.append(max(0, total - size))  # and one that ends with the stream
    assert [start for start, _ in found] == starts
    for start, window in found:
        np.testing.assert_array_equal(window, samples[start : start + size])


def test_long_recordings_are_windowed(classifier, small, tmp_path):
    path = tmp_path / "long.wav"
    samples = np.concatenate([noise(4.7, seed) for seed in range(8)])  # 37.6 s
    soundfile.write(path, samples, SAMPLE_RATE, "FLOAT")
    result = classifier(path)
    starts = [*range(0, 31, 3), 31.6]
    assert [part.start for part in result.timeline] == pytest.approx(starts)
    windows = [samples[round(s * 16000) :][: 6 * 16000] for s in starts]
    expected = probabilities(small[1], windows)
    np.testing.assert_allclose(rows_of(result.timeline), expected, atol=1e-5)
    np.testing.assert_allclose(rows_of([result])[0], expected.mean(0), atol=1e-5)
    assert (result.start, result.end) == pytest.approx((0.0, 37.6))
    np.testing.assert_allclose(
        rows_of([classifier(samples, SAMPLE_RATE)]), rows_of([result]), atol=1e-6
    )


def test_a_time_line_of_a_short_recording_leaves_its_result(classifier, clips):
    path = clips / "b/11.wav"  # 3.7 s
    whole = classifier(path)
    fine = Classifier(
        classifier.model, classifier.config, "cpu", windows=Windows(2.0, 0.5)
    )(path, timeline=True)
    assert fine.probabilities == pytest.approx(whole.probabilities, abs=1e-6)
    starts = [part.start for part in fine.timeline]
    assert starts == pytest.approx([0.0, 1.0, 1.7])
    alone = classifier(path, timeline=True)  # shorter than a window
    assert [part.probabilities for part in alone.timeline] == [alone.probabilities]


def test_long_files_are_never_held_as_a_whole(classifier, tmp_path, monkeypatch):
    rate = 44100
    path = tmp_path / "long.flac"
    soundfile.write(path, np.tile(noise(5.0, 1, rate), 16), rate)
    monkeypatch.setattr(audio, "load", None)  # decodes all of a file
    sizes = []
    read = soundfile.SoundFile.read

    def watched(self, *args, **kwargs):
        block = read(self, *args, **kwargs)
        sizes.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", watched)
    result = classifier(path)
    assert sum(sizes) == 80 * rate
    assert max(sizes) <= recordings.BLOCK * rate
    assert result.end == pytest.approx(80.0, abs=0.01)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_resampling_block_by_block_is_resampling(rate):
    samples = noise(3.0, 1, rate)[:, None]
    blocks = np.split(samples, [1000, 1001, 50000])
    streamed = np.concatenate(list(resampled(blocks, rate)))
    whole = soxr.resample(samples[:, 0], rate, SAMPLE_RATE)
    assert abs(len(streamed) - len(whole)) <= 1
    size = min(len(streamed), len(whole))
    np.testing.assert_allclose(streamed[:size], whole[:size], atol=1e-4)


def test_silent_windows_are_left_out(classifier):
    pause = np.zeros(20 * SAMPLE_RATE, np.float32)
    samples = np.concatenate([noise(10.0), pause, noise(10.0, 1)])
    result = classifier(samples, SAMPLE_RATE)
    ends = [(part.start, part.end) for part in result.timeline]
    assert (12.0, 18.0) not in ends
    assert ends[0] == (0.0, 6.0)
    assert ends[-1] == (34.0, 40.0)
    assert classifier(np.zeros(50 * SAMPLE_RATE), SAMPLE_RATE).error == "silent"


def test_a_stream_is_classified_as_it_comes_in(classifier):
    samples = noise(10.0, 4, 8000)
    heard = 0

    def blocks():
        nonlocal heard
        for block in np.split(samples, range(400, len(samples), 400)):
            heard += len(block)
            yield block

    results = classifier.stream(blocks(), 8000)
    first = next(results)
    assert heard < 7 * 8000
    assert (first.start, first.end) == (0.0, 6.0)
    rest = list(results)
    assert [part.start for part in rest] == pytest.approx([3.0, 4.0], abs=0.01)
    longer = classifier(np.tile(samples, 4), 8000)
    np.testing.assert_allclose(
        rows_of([first]), rows_of(longer.timeline[:1]), atol=1e-3
    )


def test_windows_that_make_no_sense_are_refused():
    for seconds, overlap in ((0.0, 0.5), (31.0, 0.5), (6.0, 1.0), (6.0, -0.1)):
        with pytest.raises(UserError, match="use 0.1 to 30 s and 0 to 0.95"):
            Windows(seconds, overlap)


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_five_minutes(small, python, tmp_path):
    code = """
import resource, sys
from xser_brain.inference import Classifier
classifier = Classifier.from_pretrained(sys.argv[1], device="cpu")
classifier(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = classifier(sys.argv[3])
print(len(result.timeline), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    for name, minutes in (("short", 5), ("long", 60)):
        with soundfile.SoundFile(tmp_path / f"{name}.wav", "w", SAMPLE_RATE, 1) as file:
            for minute in range(minutes):
                file.write(noise(60.0, minute))
    done = python(
        code, str(small[0]), *(str(tmp_path / f"{n}.wav") for n in ("short", "long"))
    )
    assert done.returncode == 0, done.stderr
    windows, grown = map(int, done.stdout.split())
    assert windows == 1199
    assert grown < 30_000  # kB; an hour of samples alone is 230 MB


# --- How sure


def test_what_is_below_the_threshold_is_unsure(small, clips):
    sure, unsure, some = (
        list(Classifier.from_pretrained(small[0], threshold=threshold)(clips))
        for threshold in (0.0, 1.0, None)
    )
    assert [result.emotion for result in sure] == [r.predicted for r in sure]
    assert {result.emotion for result in unsure} == {"unsure"}
    for result in some:  # the model's own is 0.5
        best = max(result.probabilities.values())
        assert result.emotion == (result.predicted if best >= 0.5 else "unsure")


def slow_calibration_error(probabilities, true):
    """Guo et al. 2017, equations 2 and 3, as they stand."""
    total = 0.0
    for low in range(15):
        inside = [
            (p.max(), p.argmax() == y)
            for p, y in zip(probabilities, true, strict=True)
            if low / 15 < p.max() <= (low + 1) / 15
        ]
        if inside:
            confidence, right = np.mean(inside, axis=0)
            total += len(inside) / len(true) * abs(right - confidence)
    return 100 * total


@pytest.fixture
def overconfident():
    """Probabilities whose logits are three times what they should be, and labels."""
    rng = np.random.default_rng(0)
    logits = 1.5 * rng.standard_normal((4000, 4))
    honest = torch.from_numpy(logits).softmax(-1).numpy()
    true = np.array([rng.choice(4, p=p) for p in honest])
    return torch.from_numpy(3 * logits).softmax(-1).numpy(), true, honest


def test_calibration_error_is_that_of_the_paper(overconfident):
    probabilities, true, honest = overconfident
    for each in (probabilities, honest, np.eye(4)[true]):
        assert expected_calibration_error(each, true) == pytest.approx(
            slow_calibration_error(each, true), abs=1e-9
        )


def test_the_temperature_is_found_and_changes_no_label(overconfident):
    probabilities, true, honest = overconfident
    temperature = fit_temperature(probabilities, true)
    assert temperature == pytest.approx(3.0, rel=0.05)
    grid = np.linspace(1, 6, 2001)
    logs = np.log(probabilities)
    losses = [
        torch.nn.functional.cross_entropy(
            torch.from_numpy(logs / t), torch.from_numpy(true)
        )
        for t in grid
    ]
    assert temperature == pytest.approx(grid[np.argmin(losses)], abs=0.005)
    tempered = temper(probabilities, temperature)
    assert (tempered.argmax(-1) == probabilities.argmax(-1)).all()
    np.testing.assert_allclose(tempered, honest, atol=0.03)
    assert expected_calibration_error(tempered, true) < 3
    assert expected_calibration_error(probabilities, true) > 10


def test_a_probability_of_zero_can_be_tempered():
    tempered = temper(np.array([[1.0, 0.0, 0.0, 0.0]], np.float32), 2.0)
    assert np.isfinite(tempered).all()
    assert fit_temperature(np.eye(4), np.arange(4)) < 1


def test_a_run_says_how_well_it_is_calibrated(finished, record):
    calibration = record(finished)["calibration"]
    assert set(calibration) == {
        "temperature", "threshold", "ece_valid_before", "ece_valid_after",
        "ece_target_before", "ece_target_after",
    }  # fmt: skip
    with (finished / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = np.array([[float(row[f"p_{e}"]) for e in EMOTIONS] for row in rows])
    true = [EMOTIONS.index(row["emotion"]) for row in rows]
    assert calibration["ece_target_after"] == pytest.approx(
        slow_calibration_error(found, true), abs=0.01
    )


# --- The command


@pytest.fixture
def predict(small, capsys):
    """Run ``xser predict``; the exit code, and what it wrote on stdout and stderr."""

    def call(*args):
        code = main(["predict", str(small[0]), *map(str, args)])
        return code, *capsys.readouterr()

    return call


def test_csv(predict, classifier, clips):
    code, out, err = predict(clips, "--format=csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    results = list(classifier(clips))
    assert code == 0
    assert "12 of 12 recordings classified" in err
    for row, result in zip(rows, results, strict=True):
        assert row["path"] == result.path
        assert (row["part"], row["protocol"], row["error"]) == (
            "recording", "zero-shot", "",
        )  # fmt: skip
        assert (row["emotion"], row["predicted"]) == (result.emotion, result.predicted)
        for emotion, p in result.probabilities.items():
            assert float(row[f"p_{emotion}"]) == pytest.approx(p, abs=1e-6)


def test_json_and_the_time_line(predict, clips):
    code, out, _ = predict(
        clips / "b/11.wav", "--format=json", "--timeline", "--window=2",
        "--noprogressbar",
    )  # fmt: skip
    [result] = map(json.loads, out.splitlines())
    assert code == 0
    assert set(result) == {
        "path", "start", "end", "emotion", "predicted", "probabilities", "timeline",
        "protocol",
    }  # fmt: skip
    assert [part["start"] for part in result["timeline"]] == [0.0, 1.0, 1.7]
    assert sum(result["timeline"][0]["probabilities"].values()) == pytest.approx(1)


def test_text_and_a_bad_file(predict, tmp_path):
    good, reasons = damaged(tmp_path)
    code, out, err = predict(good, tmp_path / "text.wav", "--noprogressbar")
    first, second = out.splitlines()
    assert code == 1
    assert "1 of 2 recordings classified" in err
    assert first.startswith(f"{good}: ")
    assert " %" in first
    assert "error: not an audio file" in second


def test_output_appears_when_it_is_whole(predict, clips, tmp_path, monkeypatch):
    path = tmp_path / "new/out.csv"
    assert predict(clips, "--format=csv", f"--output={path}")[0] == 0
    assert len(path.read_text().splitlines()) == 13

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Classifier, "_result", fail)
    assert predict(clips, f"--output={tmp_path / 'other.csv'}")[0] == 130
    assert not (tmp_path / "other.csv").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere.wav"], "no file or folder nowhere.wav"),
        ([".", "--threshold=2"], "threshold is 2.0"),
        ([".", "--batch_seconds=0"], "batch_seconds is 0.0"),
        ([".", "--window=99"], "windows of 99 s"),
        ([".", "--device=cuda:77"], "cannot use device 'cuda:77'"),
        ([".", "--device=abacus"], "cannot use device 'abacus'"),
        ([".", "--speakers=x"], "--speakers is for --adapt=speaker"),
        ([".", "--normalise=speaker", "--speakers=("], "is not a pattern"),
        ([".", "--normalise=speaker", "--speakers=x"], "has no group"),
        (
            [".", "--normalise=speaker", "--speakers=no.csv"],
            "a table of speakers, cannot be read",
        ),
        (["."], "no recordings in ."),
    ],
)
def test_mistakes_are_named(predict, args, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = predict(*args)
    assert (code, out) == (2, "")
    assert re.match(f"error: .*{re.escape(said)}", err.splitlines()[-1])


def test_a_reader_that_has_read_enough_ends_it(small, clips):
    command = [sys.executable, "-m", "xser_brain", "predict", small[0]]
    command += [*[clips] * 3, "--noprogressbar"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
    assert process.returncode == 0, error
    assert "Traceback" not in error


def test_names_that_are_no_utf8_keep_their_bytes(small, clips, tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    with open(path, "wb") as stream:
        stream.write((clips / "a/00.wav").read_bytes())
    out = tmp_path / "out.csv"
    args = [str(small[0]), str(tmp_path), "--format=csv", f"--output={out}"]
    assert main(["predict", *args]) == 0
    assert b"caf\xe9.wav" in out.read_bytes()


def test_the_command_says_where_the_encoder_comes_from(
    small_encoder, python, clips, tmp_path
):
    source = small_encoder("wav2vec2")
    folder, _ = exported(tmp_path / "m", source)
    code = "import sys; from xser_brain.cli import main; sys.exit(main())"
    done = python(code, "predict", str(folder), str(clips / "a/02.wav"))
    assert f"pretrained encoder: {source}" in done.stderr
