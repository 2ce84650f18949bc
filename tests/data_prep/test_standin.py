"""Stand-in corpora: layouts, labels, reproducibility, and prosody by the rules."""

import csv
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep import standin
from data_prep.errors import UserError

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None,
    reason="espeakng-loader is not installed (extra demo)",
)

# How the corpora's own documentation names their files, and their sample rates.
OFFICIAL = {
    "meld": (
        r"(train_splits|dev_splits_complete|output_repeated_splits_test)"
        r"/dia\d+_utt\d+\.wav",
        16000,
    ),
    "esd": (r"(00\d\d)/(Angry|Happy|Neutral|Sad|Surprise)/\1_\d{6}\.wav", 16000),
    "emodb": (r"wav/(0[389]|1[0-6])[ab]\d\d[WLEAFTN][a-f]\.wav", 16000),
    "cafe": (
        r"(Neutre/\d\d-N-1-[1-6]"
        r"|(Colère|Dégoût|Joie|Peur|Surprise|Tristesse)"
        r"/(Faible/\d\d-[CDJPST]-1|Fort/\d\d-[CDJPST]-2)-[1-6])\.wav",
        48000,
    ),
    "urdu": (r"(Angry|Happy|Neutral|Sad)/S[MF]\d+_F\d+_[AHNS]0\d+\.wav", 44100),
    "iemocap": (
        r"Session([1-5])/sentences/wav/(Ses0\1[FM]_(impro\d\d|script\d\d_\d))"
        r"/\2_[FM]\d{3}\.wav",
        16000,
    ),
    "ravdess": (
        r"Actor_(\d\d)/03-01-0[1-8]-0[12]-0[12]-0[12]-\1\.wav",
        48000,
    ),
    "nemo": (
        r"samples/[A-Z]{2}0_(anger|fear|happiness|neutral|sadness|surprised)"
        r"_\d+\.wav",
        24000,
    ),
    "casia": (
        r"(liuchanhg|wangzhe|zhaoquanyin|ZhaoZuoxiang)"
        r"/(angry|fear|happy|neutral|sad|surprise)/2\d\d\.wav",
        16000,
    ),
}


def below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Every corpus, with two speakers and two sentences."""
    root = tmp_path_factory.mktemp("standins")
    for corpus in standin.CORPORA:
        # 09 has a breathy voice: espeak-ng draws random numbers for it
        speakers = ["03", "09"] if corpus == "emodb" else 2
        standin.write(
            corpus, root / corpus, speakers=speakers, sentences=2, progress=False
        )
    return root


@needs_espeak
@pytest.mark.parametrize("corpus", OFFICIAL)
def test_official_names(root, corpus):
    pattern, sample_rate = OFFICIAL[corpus]
    files = sorted((root / corpus).rglob("*.wav"))
    assert len(files) == 2 * 4 * 2
    for file in files:
        name = file.relative_to(root / corpus).as_posix()
        assert re.fullmatch(pattern, name), name
        info = soundfile.info(file)
        assert (info.samplerate, info.channels, info.subtype) == (
            sample_rate,
            1,
            "PCM_16",
        )
        assert 0.5 < info.duration < 6


@needs_espeak
def test_every_corpus_is_covered(root):
    assert set(standin.CORPORA) == set(OFFICIAL)


@needs_espeak
@pytest.mark.parametrize(
    ("corpus", "pattern", "codes"),
    [
        ("emodb", r"wav/...\d\d(.)a", "NFWT"),
        ("cafe", r"\d\d-(.)-", "NJCT"),
        ("urdu", r"_(.)0\d+\.wav", "NHAS"),
        ("ravdess", r"03-01-(\d\d)", ["01", "03", "05", "04"]),
        ("nemo", r"_([a-z]+)_", ["neutral", "happiness", "anger", "sadness"]),
        ("casia", r"/([a-z]+)/", ["neutral", "happy", "angry", "sad"]),
        ("esd", r"/([A-Z][a-z]+)/", ["Neutral", "Happy", "Angry", "Sad"]),
    ],
)
def test_emotions_in_names_are_balanced(root, corpus, pattern, codes):
    names = [n for n in below(root / corpus) if n.endswith(".wav")]
    found = Counter(re.search(pattern, name)[1] for name in names)
    assert found == dict.fromkeys(codes, 4)


@needs_espeak
def test_iemocap_labels(root):
    folder = root / "iemocap"
    turns, codes = {}, Counter()
    for file in folder.glob("Session*/dialog/EmoEvaluation/*.txt"):
        lines = file.read_text("utf-8").splitlines()
        assert lines[0] == "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]"
        assert lines[1] == ""
        for line in lines:
            if line.startswith("["):
                times, turn, code, values = line.split("\t")
                start, end = map(float, times.strip("[]").split(" - "))
                turns[turn] = end - start
                codes[code] += 1
                assert re.fullmatch(r"\[(\d\.\d{4}(, )?){3}\]", values)
    wavs = {p.stem: p for p in folder.rglob("*.wav")}
    assert turns.keys() == wavs.keys()
    for turn, path in wavs.items():
        assert soundfile.info(path).duration == pytest.approx(turns[turn], abs=1e-3)
    assert codes == {"neu": 4, "hap": 2, "exc": 2, "ang": 4, "sad": 4}
    texts = "".join(
        p.read_text("utf-8") for p in folder.glob("Session*/dialog/transcriptions/*")
    )
    lines = re.findall(r"^(\w+) \[\d{3}\.\d{4}-\d{3}\.\d{4}\]: \w.+$", texts, re.M)
    assert set(lines) == set(wavs)


@needs_espeak
def test_esd_labels(root):
    words = {
        "0001": {"Neutral": "Neutral", "Sad": "Sad"},
        "0002": {"Neutral": "中立", "Sad": "伤心"},
    }
    first = {"Neutral": 1, "Angry": 351, "Happy": 701, "Sad": 1051}
    for speaker, names in words.items():
        file = root / "esd" / speaker / f"{speaker}.txt"
        rows = [line.split("\t") for line in file.read_text("utf-8").splitlines()]
        label = {name: emotion for name, _, emotion in rows}
        paths = list((root / "esd" / speaker).rglob("*.wav"))
        assert label.keys() == {path.stem for path in paths}
        for path in paths:
            emotion, number = path.parent.name, int(path.stem[-6:])
            assert number - first[emotion] in (0, 1)
            assert label[path.stem] == names.get(emotion, label[path.stem])


@needs_espeak
def test_nemo_labels(root):
    text = (root / "nemo/data.tsv").read_bytes().decode()
    header, *rows = [
        line.split("\t") for line in text.removesuffix("\r\n").split("\r\n")
    ]
    assert header == (
        ["file_id", "emotion", "raw_text", "normalized_text", "speaker_id"]
        + ["gender", "age"]
    )
    assert {row[0] for row in rows} == {p.name for p in root.glob("nemo/samples/*")}
    for name, emotion, raw, _, speaker, gender, _ in rows:
        assert name.split("_")[:2] == [speaker.strip(), emotion]
        assert speaker != speaker.strip()  # as in the corpus
        assert raw and gender == "female"  # EB0 and IC0


@needs_espeak
def test_meld_labels(tmp_path):
    standin.write("meld", tmp_path / "m", speakers=["Joey", "Paul"], sentences=3)
    sentiments = {"neutral": "neutral", "joy": "positive"}
    parts = Counter()
    for part, clips in (
        ("train", "train_splits"),
        ("dev", "dev_splits_complete"),
        ("test", "output_repeated_splits_test"),
    ):
        with open(tmp_path / f"m/{part}_sent_emo.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert ",".join(rows[0]) == (
            "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,"
            "Season,Episode,StartTime,EndTime"
        )
        names = {f"dia{r['Dialogue_ID']}_utt{r['Utterance_ID']}.wav" for r in rows}
        assert names == {p.name for p in (tmp_path / "m" / clips).iterdir()}
        for row in rows:
            assert row["Sentiment"] == sentiments.get(row["Emotion"], "negative")
            assert re.fullmatch(r"00:\d\d:\d\d,\d{3}", row["EndTime"])
            parts[part, row["Speaker"], row["Emotion"]] += 1
    emotions = ("neutral", "joy", "anger", "sadness")
    cast = {(p, "Joey", e): 1 for p in ("train", "dev", "test") for e in emotions}
    assert parts == cast | {("test", "Paul", e): 3 for e in emotions}


@pytest.mark.parametrize("corpus", OFFICIAL)
def test_greatest_plan_has_unique_official_names(corpus):
    layout = standin._LAYOUTS[corpus]
    clips = standin._plan(layout, list(layout.speakers), layout.limit)
    assert len({clip.path for clip in clips}) == len(clips)
    for clip in clips:
        assert re.fullmatch(OFFICIAL[corpus][0], clip.path), clip.path
    texts = {clip.text for clip in clips}
    assert len(texts) == (2 if corpus == "ravdess" else layout.limit)


@pytest.mark.parametrize("corpus", OFFICIAL)
def test_default_size_suits_a_demo(corpus):
    layout = standin._LAYOUTS[corpus]
    clips = standin._plan(layout, list(layout.speakers), layout.sentences)
    assert 150 <= len(clips) <= 450
    each = Counter((clip.speaker, clip.emotion) for clip in clips)
    assert set(each.values()) == {layout.sentences}


@needs_espeak
def test_same_bytes_in_another_process(root, tmp_path):
    script = (
        "import sys; from data_prep import standin\n"
        "standin.write('emodb', sys.argv[1], speakers=['03', '09'], sentences=2)\n"
        "assert 'torch' not in sys.modules"
    )
    again = tmp_path / "again"
    subprocess.run(
        [sys.executable, "-c", script, again],
        cwd=Path(standin.__file__).parents[1],
        check=True,
    )
    assert below(again) == below(root / "emodb")


@needs_espeak
def test_a_clip_does_not_depend_on_the_others(root, tmp_path):
    standin.write("emodb", tmp_path / "one", speakers=["09"], sentences=1)
    alone = below(tmp_path / "one")
    assert alone.pop(standin.MARKER)
    among = below(root / "emodb")
    assert len(alone) == 4
    assert all(among[name] == content for name, content in alone.items())


@needs_espeak
def test_second_call_writes_nothing_unless_asked_for_others(tmp_path, monkeypatch):
    folder = tmp_path / "emodb"
    small = {"speakers": 1, "sentences": 1, "progress": False}
    assert standin.write("emodb", folder, **small) == 4
    first = below(folder)
    with monkeypatch.context() as patch:
        patch.setattr(standin, "render", lambda *_: pytest.fail("rendered again"))
        assert standin.write("emodb", folder, **small) == 4
    assert standin.write("emodb", folder, seed=2, **small) == 4
    second = below(folder)
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)
    assert standin.write("emodb", folder, **small | {"sentences": 2}) == 8
    assert standin.write("emodb", folder, **small) == 4
    assert below(folder) == first

    (folder / "wav/03a01Fa.wav").unlink()
    standin.write("emodb", folder, **small)
    assert below(folder) == first


@needs_espeak
def test_interrupted_write_is_redone(tmp_path, monkeypatch):
    folder = tmp_path / "esd"
    small = {"speakers": 1, "sentences": 1, "progress": False}

    def interrupted(clips, progress, render=standin.render):
        render(clips[:2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(standin, "render", interrupted)
        with pytest.raises(KeyboardInterrupt):
            standin.write("esd", folder, **small)
    assert not standin.is_standin(folder)
    assert not folder.exists()
    standin.write("esd", folder, **small)
    assert standin.is_standin(folder)
    assert len(list(folder.rglob("*.wav"))) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["esd"]


@needs_espeak
def test_marker(root):
    marker = json.loads((root / "cafe" / standin.MARKER).read_text("utf-8"))
    assert marker["standin"] is True
    assert marker["complete"] is True
    assert marker["speakers"] == ["01", "02"]
    assert re.fullmatch(r"\d+\.\d+.*", marker["espeak"])
    assert standin.is_standin(root / "cafe")


def test_a_real_corpus_is_left_alone(tmp_path):
    (tmp_path / "wav").mkdir()
    assert not standin.is_standin(tmp_path)
    with pytest.raises(UserError, match="no stand-in"):
        standin.write("emodb", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["wav"]


def test_without_espeak(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match=r'pip install "xser-brain\[demo\]"'):
        standin.write("emodb", tmp_path / "emodb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("corpus", "parameters", "message"),
    [
        ("emo-db", {}, "no stand-in for 'emo-db': there are meld, esd, emodb"),
        ("casia", {"speakers": 5}, "take 1 to 4"),
        ("casia", {"speakers": 0}, "take 1 to 4"),
        ("casia", {"speakers": ["wangzhe", "x"]}, r"speakers=\['x'\]"),
        ("cafe", {"sentences": 7}, "take 1 to 6"),
        ("cafe", {"sentences": 0}, "take 1 to 6"),
    ],
)
def test_wrong_parameters(tmp_path, corpus, parameters, message):
    with pytest.raises(UserError, match=message):
        standin.write(corpus, tmp_path / "x", **parameters)


def f0(audio: np.ndarray, rate: int) -> float:
    """Median F0 in Hz of voiced frames, by autocorrelation."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, rate // 20)[:: rate // 100]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(rate // 20), rate // 10)) ** 2
    correlation = np.fft.irfft(spectrum)[:, : rate // 60]
    loud = correlation[:, 0] > 0.3 * np.median(correlation[:, 0])
    lags = rate // 400 + correlation[:, rate // 400 :].argmax(axis=1)
    peaks = correlation[np.arange(len(lags)), lags] / correlation[:, 0]
    return float(np.median(rate / lags[loud & (peaks > 0.4)]))


@needs_espeak
@pytest.mark.parametrize("corpus", ["emodb", "esd", "urdu"])
def test_emotions_sound_as_the_rules_say(tmp_path, corpus):
    standin.write(corpus, tmp_path / "x", speakers=4, sentences=3, progress=False)
    layout = standin._LAYOUTS[corpus]
    measured = {}
    for clip in standin._plan(layout, list(layout.speakers)[:4], 3):
        audio, rate = soundfile.read(tmp_path / "x" / clip.path)
        power = np.abs(np.fft.rfft(audio)) ** 2
        split = round(1000 * len(audio) / rate)
        measured.setdefault(clip.emotion, []).append(
            (
                np.log(len(audio) / rate),
                np.log(f0(audio, rate)),
                np.log(np.mean(audio**2)),
                np.log(power[split:].sum() / power[:split].sum()),
            )
        )
    mean = {emotion: np.mean(rows, axis=0) for emotion, rows in measured.items()}
    duration, pitch, level, brightness = (
        {emotion: values[i] for emotion, values in mean.items()} for i in range(4)
    )
    assert duration["sad"] > duration["neutral"] + 0.15
    assert duration["neutral"] > max(duration["happy"], duration["angry"])
    assert pitch["happy"] > pitch["neutral"] + 0.1
    assert pitch["happy"] > pitch["angry"] > pitch["sad"]
    assert level["angry"] > level["neutral"] > level["sad"]
    assert brightness["angry"] > brightness["neutral"] > brightness["sad"]


@needs_espeak
def test_speakers_differ(root):
    audio = [
        soundfile.read(root / f"emodb/wav/{speaker}a01Na.wav")[0]
        for speaker in ("03", "09")  # a man, a woman
    ]
    assert f0(audio[0], 16000) < 0.8 * f0(audio[1], 16000)


@pytest.mark.parametrize("text", ["[]", "null", "[" * 9000, '"x"', "1"])
def test_a_marker_of_another_kind(tmp_path, text):
    (tmp_path / standin.MARKER).write_text(text)
    assert not standin.is_standin(tmp_path)


@needs_espeak
def test_a_kill_leaves_no_temporary_file(tmp_path):
    code = "import sys; from pathlib import Path; from data_prep import standin\n"
    code += "standin.write('emodb', Path(sys.argv[1]), progress=False)"
    temporary, clips = tmp_path / "tmp", tmp_path / "emodb"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", code, clips],
        env={**os.environ, "TMPDIR": str(temporary)},
        start_new_session=True,
    )
    while not list(tmp_path.rglob("*.wav")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(temporary.iterdir())
