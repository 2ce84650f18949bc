"""Every other corpus: real data, published listings, official shapes and quirks."""

import csv
import os
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from data_prep import corpus, manifest, prepare
from data_prep.corpus import Rejected
from data_prep.errors import UserError


def prepared(name, folder, out, **kwargs):
    path = prepare.prepare(corpus.get(name), folder, out, **kwargs)
    return manifest.read(path), manifest.read_sidecar(path)


def parts(rows):
    """Four-class utterances and speakers of each split."""
    four = [row for row in rows if row.emotion]
    counts = Counter(row.split for row in four)
    speakers = defaultdict(set)
    for row in four:
        speakers[row.split].add(row.speaker)
    return [counts[part] for part in manifest.SPLITS], speakers


def walk(name, folder):
    utterances, rejected = prepare.walk(corpus.get(name), folder)
    return {item.id: item for item in utterances}, rejected


# What another toolkit's labels mean, each of which that toolkit's own map explains.
LISTED = {
    "emodb": {"anger": "angry", "happy": "happy", "sad": "sad", "neutral": "neutral"},
    "cafe": {"c": "angry", "j": "happy", "t": "sad", "n": "neutral"},
    "iemocap": {
        "ang": "angry",
        "hap": "happy",
        "exc": "happy",
        "sad": "sad",
        "neu": "neutral",
    },
    "ravdess": {"Angry": "angry", "Happy": "happy", "Sad": "sad", "Neutral": "neutral"},
    "urdu": {"A": "angry", "H": "happy", "S": "sad", "N": "neutral"},
    "meld": {"anger": "angry", "joy": "happy", "sadness": "sad", "neutral": "neutral"},
}


def label_files(name, rows, folder, shared):
    """The label files that the listings lack."""
    if name == "meld":
        for path in (shared / "corpora/meld_csv").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    if name == "iemocap":
        lines = defaultdict(str)
        for row in rows:
            path = Path(row["path"])
            session, dialogue = path.parts[1], path.parent.name
            lines[session, dialogue] += (
                f"[6.2901 - 8.2357]\t{path.stem}\t{row['label']}\t[2.5, 2.5, 2.5000]\n"
                "C-E2:\tNeutral;\t()\nA-E3:\tval 3; act 2; dom  2;\t()\n\n"
            )
        for (session, dialogue), text in lines.items():
            path = folder / session / f"dialog/EmoEvaluation/{dialogue}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            header = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
            path.write_text(header + text)


@pytest.mark.parametrize("name", LISTED)
def test_listing(name, listing, shared, tmp_path, blank):
    """Files, labels and durations as somebody else saw them."""
    seen = listing(name)
    for row in seen:
        path = (tmp_path / row["path"]).with_suffix(".wav")
        blank(path, float(row["seconds"]), int(row["sample_rate"]))
    label_files(name, seen, tmp_path / name, shared)
    rows, sidecar = prepared(name, tmp_path / name, tmp_path / "out")
    found = {row.path(tmp_path): row for row in rows if row.has_audio}
    unusable = {entry["path"] for entry in sidecar["rejected"]}
    assert len(found) + len(unusable) == len(seen)
    assert len(unusable) == (2 if name == "meld" else 0)
    for row in seen:
        path = Path(row["path"]).with_suffix(".wav")
        if Path(*path.parts[1:]).as_posix() in unusable:
            continue
        mine = found[str(tmp_path / path)]
        assert mine.emotion == LISTED[name].get(row["label"], ""), path
        assert mine.duration == pytest.approx(float(row["seconds"]), abs=2e-3), path
        assert mine.sample_rate == int(row["sample_rate"])
    declared = corpus.get(name)
    assert len({row.speaker for row in rows}) == declared.speakers
    if name != "meld":  # two of whose clips are rejected
        counts = Counter(row.emotion for row in rows if row.emotion)
        assert counts == declared.declared
        categories = Counter(row.category for row in rows)
        assert categories.keys() <= declared.expected.keys()
        for wide, number in categories.items():
            assert number == declared.expected[wide], wide


# --- CaFE


def test_cafe_paper_split(listing, tmp_path, blank):
    for row in listing("cafe"):
        blank(tmp_path / row["path"])
    counts, speakers = parts(prepared("cafe", tmp_path / "cafe", tmp_path)[0])
    assert counts == [420, 42, 42]
    assert len(speakers["train"]) == 10
    assert speakers["valid"] == {"cafe-11"}
    assert speakers["test"] == {"cafe-12"}


@pytest.mark.parametrize(
    "folder",
    [
        "Colère/Fort",
        "Cole\u0300re/Fort",
        "CaFE_192k/ColŠre/fort",
        "x y",
        "Joie",
        "Col\udc8are",
    ],
)
def test_cafe_trusts_the_file_name(tmp_path, blank, folder):
    blank(tmp_path / "cafe" / folder / "01-C-2-1.WAV")
    rows, sidecar = prepared("cafe", tmp_path / "cafe", tmp_path, policy="speaker")
    (row,) = rows
    assert (row.ID, row.emotion, row.native_emotion) == (
        "cafe-01-C-2-1",
        "angry",
        "colère",
    )
    assert (row.gender, row.intensity, row.speaker) == ("male", "strong", "cafe-01")
    assert os.path.isfile(row.path(tmp_path))
    assert sidecar["rejected"] == []


def test_cafe_aiff_edition(tmp_path, tone):
    tone(tmp_path / "cafe/Neutre/02-N-1-6.aiff", rate=192000, subtype="PCM_24")
    (row,), _ = prepared(
        "cafe", tmp_path / "cafe", tmp_path, policy="speaker", decode=True
    )
    assert (row.emotion, row.gender, row.intensity) == ("neutral", "female", "")
    assert row.sample_rate == 192000


# --- ESD


@pytest.fixture(scope="module")
def esd(tmp_path_factory, blank):
    """All 35,000 names of the official shape, one file behind them."""
    root = tmp_path_factory.mktemp("esd root")
    one = blank(root / "one.wav", 0.5)
    top = root / "esd/Emotional Speech Dataset (ESD)/Emotion Speech Dataset"
    for speaker in [f"{i:04}" for i in range(1, 21)]:
        for e, emotion in enumerate(("Neutral", "Angry", "Happy", "Sad", "Surprise")):
            folder = top / speaker / emotion
            folder.mkdir(parents=True)
            for i in range(e * 350 + 1, (e + 1) * 350 + 1):
                os.link(one, folder / f"{speaker}_{i:06}.wav")
    (top / "0001/0001.txt").write_text(
        "0001_000001\t打远一看，\t中立\n0001_000351\t打远一看，\t生气\n", "gb18030"
    )
    (top / "0002/0002.txt").write_text("0002_000001\t打远一看，\tNeutral\n", "utf-16")
    (top / "0011/0011.txt").write_text("0011_000001\tThe nine the eggs.\tNeutral\n")
    return root / "esd"


def test_esd_paper_split(esd, tmp_path):
    rows, sidecar = prepared("esd", esd, tmp_path)
    counts, speakers = parts(rows)
    assert counts == [11200, 1400, 1400]
    assert len(speakers["train"]) == 8
    assert speakers["valid"] == {"esd-0009"}
    assert speakers["test"] == {"esd-0010"}
    assert len(rows) == 17500
    assert {row.language for row in rows} == {"zh"}
    assert (sidecar["rejected"], sidecar["missing"]) == ([], [])
    by_id = {row.ID: row for row in rows}
    assert by_id["esd-0001_000351"].text == "打远一看，"
    assert by_id["esd-0001_000351"].emotion == "angry"
    assert by_id["esd-0002_000001"].text == "打远一看，"
    assert by_id["esd-0003_000001"].text == ""
    assert by_id["esd-0003_001750"].native_emotion == "Surprise"
    assert by_id["esd-0003_001750"].emotion == ""


def test_esd_english_is_another_corpus(esd):
    declared = corpus.get("esd_en")
    assert declared.locate(esd.parent) == esd
    found, rejected = walk("esd_en", esd)
    assert len(found) == 17500
    assert rejected == []
    assert {item.speaker for item in found.values()} == {
        f"{i:04}" for i in range(11, 21)
    }
    assert found["0011_000001"].text == "The nine the eggs."
    assert Counter(item.gender for item in found.values()) == {
        "male": 8750,
        "female": 8750,
    }


def test_esd_with_official_parts_and_strays(tmp_path, blank):
    for path in (
        "0001/Angry/train/0001_000371.wav",
        "0001/angry/evaluation/0001_000351.wav",
        "0001/Surprise/test/0001_001431.wav",
        "0001/Furious/0001_000352.wav",  # no emotion of ESD
        "0001/Angry/0002_000351.wav",  # two speakers
        "0001/0001_000353.wav",  # no emotion
        "0011/Angry/0011_000351.wav",  # English
    ):
        blank(tmp_path / "ESD" / path)
    found, rejected = walk("esd", tmp_path)
    assert sorted(found) == ["0001_000351", "0001_000371", "0001_001431"]
    assert found["0001_000351"].emotion == "Angry"
    reasons = {Path(item.path).name: item.reason for item in rejected}
    assert set(reasons) == {"0001_000352.wav", "0002_000351.wav", "0001_000353.wav"}
    assert "unknown emotion 'Furious'" in reasons["0001_000352.wav"]


# --- URDU


def test_urdu_paper_split(restored, tmp_path):
    rows, sidecar = prepared("urdu", restored / "urdu", tmp_path, decode=True)
    counts, speakers = parts(rows)
    assert counts == [300, 20, 80]
    assert len(speakers["train"]) == 21
    assert not speakers["train"] & (speakers["valid"] | speakers["test"])
    assert not speakers["valid"] & speakers["test"]
    assert len(speakers["valid"] | speakers["test"]) == 8
    assert sidecar["rejected"] == []
    for part in ("valid", "test"):
        emotions = {row.emotion for row in rows if row.split == part}
        assert emotions == set(manifest.EMOTIONS)
    women = {row.speaker for row in rows if row.gender == "female"}
    assert women == {s for s in set().union(*speakers.values()) if "SF" in s}


def test_urdu_folder_and_name_must_agree(tmp_path, blank):
    for path in (
        "Angry/SM1_F1_A010",
        "sad/sf2_f3_s001",
        "Happy/SM1_F2_A011",
        "SM1_F3_A012",
    ):
        blank(tmp_path / f"URDU-Dataset-master/{path}.wav")
    blank(tmp_path / "Angry/notes.wav")
    found, rejected = walk("urdu", tmp_path)
    assert {item.emotion for item in found.values()} == {"Angry", "Sad"}
    assert found["sf2_f3_s001"].speaker == "SF2"
    assert found["sf2_f3_s001"].gender == "female"
    assert len(rejected) == 3
    assert any("folder says Happy, the file name A" in item.reason for item in rejected)


# --- MELD


@pytest.fixture()
def meld_csv(shared) -> Path:
    return shared / "corpora/meld_csv"


def test_meld_from_label_files_alone(meld_csv, tmp_path, caplog):
    rows, sidecar = prepared("meld", meld_csv, tmp_path)
    counts, speakers = parts(rows)
    assert counts == [8245, 897, 2211]
    assert len(speakers["train"]) == 249
    assert len(rows) == corpus.get("meld").size == len(sidecar["missing"])
    assert len({row.speaker for row in rows}) == corpus.get("meld").speakers
    assert sidecar["speaker_disjoint"] is False
    assert not any(row.has_audio for row in rows)
    assert "meld-Richard’s Date" in speakers["train"]
    row = rows[0]
    assert row.ID == "meld-train_dia0_utt0"
    assert row.wav == "$data_root/meld_csv/train_splits/dia0_utt0.wav"
    assert row.text.startswith("also I was the point person on my company’s transition")
    assert any("dev_splits_complete" in r.getMessage() for r in caplog.records)


def test_meld_by_speaker_is_disjoint(meld_csv, tmp_path):
    rows, sidecar = prepared("meld", meld_csv, tmp_path, policy="speaker")
    counts, speakers = parts(rows)
    assert sidecar["speaker_disjoint"] is True
    assert not speakers["train"] & (speakers["valid"] | speakers["test"])
    assert not speakers["valid"] & speakers["test"]
    shares = [count / sum(counts) for count in counts]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.06)


MELD = """Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season
1,"Oh, it\x92s you.",Richard\x92s Date,joy,positive,38,4,3
2,What?, Ross ,anger,negative,125,3,3
"""


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-8-sig"])
def test_meld_quotes(tmp_path, encoding):
    (tmp_path / "MELD.Raw").mkdir()
    (tmp_path / "MELD.Raw/dev_sent_emo.csv").write_text(MELD, encoding)
    found, _ = walk("meld", tmp_path)
    item = found["dev_dia38_utt4"]
    assert (item.speaker, item.text) == ("Richard’s Date", "Oh, it’s you.")
    assert (item.split, item.emotion) == ("valid", "joy")
    assert found["dev_dia125_utt3"].speaker == "Ross"


def test_meld_finds_clips_wherever_they_lie(tmp_path, tone, video):
    folder = tmp_path / "meld"
    (folder / "data").mkdir(parents=True)
    for part in ("train", "dev", "test"):
        (folder / f"data/{part}_sent_emo.csv").write_text(MELD, "utf-8")
    for path in (
        "train/train_splits/dia38_utt4.wav",
        "train/train_splits/._dia38_utt4.wav",
        "MELD.Raw/train/train_splits/dia125_utt3.wav",
        "dev_splits_complete/dia38_utt4.WAV",
        "output_repeated_splits_test/dia38_utt4.wav",
        "output_repeated_splits_test/dia125_utt3.wav",
        "output_repeated_splits_test/final_videos_testdia125_utt3.wav",
        "output_repeated_splits_test/dia999_utt0.wav",
    ):
        tone(folder / path, format="WAV")
    (folder / "MELD.Raw/train/train_splits/dia125_utt3.wav").write_bytes(b"corrupt")
    video(folder / "MELD.Raw/dev/dev_splits_complete/dia125_utt3.mp4")
    rows, sidecar = prepared("meld", folder, tmp_path, policy="speaker")
    audio = {row.ID: row.wav.split("/", 2)[2] for row in rows if row.has_audio}
    assert audio == {
        "meld-train_dia38_utt4": "train/train_splits/dia38_utt4.wav",
        "meld-dev_dia38_utt4": "dev_splits_complete/dia38_utt4.WAV",
        "meld-dev_dia125_utt3": "MELD.Raw/dev/dev_splits_complete/dia125_utt3.wav",
        "meld-test_dia125_utt3": "output_repeated_splits_test/dia125_utt3.wav",
    }
    assert sidecar["missing"] == []
    reasons = {
        entry["path"].split("/")[-1]: entry["reason"] for entry in sidecar["rejected"]
    }
    assert len(reasons) == len(sidecar["rejected"]) == 4
    assert "mis-cut" in reasons["dia38_utt4.wav"]
    assert "corrupt" in reasons["dia125_utt3.wav"]
    assert "no row" in reasons["final_videos_testdia125_utt3.wav"]
    assert "no row" in reasons["dia999_utt0.wav"]


def test_meld_part_missing(meld_csv, tmp_path):
    for part in ("train", "test"):
        text = (meld_csv / f"{part}_sent_emo.csv").read_bytes()
        (tmp_path / f"{part}_sent_emo.csv").write_bytes(text)
    with pytest.raises(UserError, match="8245/897/2211"):
        prepared("meld", tmp_path, tmp_path / "out")


def test_meld_label_file_of_another_shape(tmp_path):
    (tmp_path / "train_sent_emo.csv").write_text("text,label\na,joy\n")
    with pytest.raises(UserError, match="lacks the columns .*Speaker"):
        walk("meld", tmp_path)


# --- IEMOCAP

EVALUATION = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5, 2.6, 2.7]
C-E2:\tNeutral;\t()
A-M:\tval 3; act 2; dom  2;\t()

[10.0100 - 11.3925]\tSes01F_impro01_M000\texc\t[2.5000, 2.5000, 2.5000]
[12.0100 - 13.3925]\tSes01F_impro01_M001\txxx\t[2.5000, 2.5000, 2.5000]
[14.0100 - 15.3925]\tSes01F_impro01_M002\tfru\t[2.5000, 2.5000, 2.5000]
"""


def test_iemocap(tmp_path, blank):
    session = tmp_path / "IEMOCAP_full_release/Session1"
    dialog, wav = session / "dialog", session / "sentences/wav/Ses01F_impro01"
    for folder in ("EmoEvaluation/Categorical", "transcriptions"):
        (dialog / folder).mkdir(parents=True)
    (dialog / "EmoEvaluation/Ses01F_impro01.txt").write_text(EVALUATION)
    (dialog / "EmoEvaluation/._Ses01F_impro01.txt").write_bytes(b"\x00\x05\x16\x07")
    (dialog / "EmoEvaluation/Categorical/Ses01F_impro01_e1_cat.txt").write_text(
        "Ses01F_impro01_F000 :Anger; ()\n"
    )
    (dialog / "transcriptions/Ses01F_impro01.txt").write_text(
        "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\n"
        "Ses01F_impro01_M000 [010.0100-011.3925]: Do you have your forms?\n"
    )
    for name in ("F000", "M000", "M001", "F009"):
        blank(wav / f"Ses01F_impro01_{name}.wav")
    blank(wav / "._Ses01F_impro01_F000.wav")
    blank(dialog / "wav/Ses01F_impro01.wav", 100)
    rows, sidecar = prepared("iemocap", tmp_path, tmp_path / "out")
    by_id = {row.ID.removeprefix("iemocap-Ses01F_impro01_"): row for row in rows}
    assert {key: row.emotion for key, row in by_id.items()} == {
        "F000": "neutral",
        "M000": "happy",
        "M001": "",
        "M002": "",
    }
    assert by_id["M000"].native_emotion == "exc"
    assert by_id["M000"].text == "Do you have your forms?"
    first = by_id["F000"]
    assert (first.valence, first.arousal, first.dominance) == ("2.5", "2.6", "2.7")
    assert {key: row.category for key, row in by_id.items()} == {
        "F000": "neutral",
        "M000": "excitement",
        "M001": "other",
        "M002": "frustration",
    }
    assert sidecar["options"]["merged"] == {"excitement": "happy"}
    assert (by_id["M000"].speaker, by_id["M000"].gender) == ("iemocap-Ses01M", "male")
    assert (by_id["F000"].speaker, by_id["F000"].session) == ("iemocap-Ses01F", "Ses01")
    (entry,) = sidecar["rejected"]
    assert "F009" in entry["path"]
    assert "label files" in entry["reason"]
    (missing,) = sidecar["missing"]
    assert missing.endswith(
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M002.wav"
    )


def test_iemocap_without_merging(tmp_path):
    labels = tmp_path / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    labels.parent.mkdir(parents=True)
    labels.write_text(EVALUATION)
    for merge, excited in ((True, "happy"), (False, ""), (True, "happy")):
        rows, sidecar = prepared("iemocap", tmp_path, tmp_path / "out", merge=merge)
        assert {r.emotion for r in rows if r.native_emotion == "exc"} == {excited}
        assert bool(sidecar["options"]["merged"]) == merge


# --- RAVDESS


def test_ravdess_real(restored, tmp_path):
    rows, sidecar = prepared("ravdess", restored / "ravdess", tmp_path, decode=True)
    assert Counter(row.emotion for row in rows) == corpus.get("ravdess").declared
    assert len({row.speaker for row in rows}) == 24
    assert sidecar["rejected"] == []
    assert Counter(row.gender for row in rows) == {"male": 336, "female": 336}
    counts, speakers = parts(rows)
    assert counts == [560, 56, 56]
    assert not speakers["train"] & (speakers["valid"] | speakers["test"])


def test_ravdess_speech_only(tmp_path, blank, tone):
    tone(tmp_path / "r/Actor_01/03-01-05-02-01-01-01.wav", rate=48000, channels=2)
    for path in (
        "Audio_Speech_Actors_01-24/Actor_02/03-01-02-01-02-01-02",
        "Audio_Song_Actors_01-24/Actor_02/03-02-05-01-02-01-02",
        "Actor_02/03-01-09-01-02-01-02",
        "Actor_02/01-01-05-01-02-01-02",
        "Actor_02/take 1",
    ):
        blank(tmp_path / f"r/{path}.wav")
    rows, sidecar = prepared("ravdess", tmp_path / "r", tmp_path)
    angry, calm = rows
    assert (angry.emotion, angry.intensity, angry.gender) == ("angry", "strong", "male")
    assert (calm.emotion, calm.native_emotion, calm.gender) == ("", "calm", "female")
    assert calm.text == "Dogs are sitting by the door"
    assert sidecar["stereo"] == 1
    reasons = [entry["reason"] for entry in sidecar["rejected"]]
    assert len(reasons) == 4
    assert "song" in reasons
    assert any("unknown emotion '09'" in reason for reason in reasons)


def test_ravdess_twice_in_one_folder(tmp_path, blank):
    name = "Actor_01/03-01-05-02-01-01-01.wav"
    blank(tmp_path / name)
    blank(tmp_path / "audio_speech_actors_01-24" / name)
    with pytest.raises(UserError, match="two files with one ID .* remove one"):
        walk("ravdess", tmp_path)


# --- nEMO


def test_nemo_real(restored, tmp_path):
    rows, sidecar = prepared("nemo", restored / "nemo", tmp_path, decode=True)
    assert (len(rows), sidecar["rejected"], sidecar["missing"]) == (616, [], [])
    assert Counter(row.emotion for row in rows) == {
        "neutral": 162,
        "sad": 154,
        "angry": 150,
        "happy": 150,
    }
    assert len({row.speaker for row in rows}) == 9
    assert all(
        row.speaker == f"nemo-{row.ID.split('-')[1].split('_')[0]}" for row in rows
    )
    assert rows[0].text == "Lubię czytać przed snem."
    assert {row.gender for row in rows} == {"female", "male"}
    _, speakers = parts(rows)
    assert not speakers["train"] & (speakers["valid"] | speakers["test"])


def test_nemo_table_and_audio_differ(tmp_path, blank):
    for name in ("EB0_anger_1", "EB0_surprise_2"):
        blank(tmp_path / f"nEMO/samples/{name}.wav")
    columns = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"
    lines = [
        'EB0_anger_1.wav\tanger\t"Tak", mówi.\ttak\t        EB0\tfemale\t27',
        "EB0_fear_3.wav\tfear\tNie.\tnie\t        EB0\tfemale\t27",
    ]
    (tmp_path / "nEMO/data.tsv").write_text("\r\n".join([columns, *lines, ""]), "utf-8")
    found, rejected = walk("nemo", tmp_path)
    assert found["EB0_anger_1"].speaker == "EB0"
    assert found["EB0_anger_1"].text == '"Tak", mówi.'
    assert found["EB0_fear_3"].path == "nEMO/samples/EB0_fear_3.wav"
    assert rejected == [Rejected("nEMO/samples/EB0_surprise_2.wav", "not in data.tsv")]


# --- CASIA


@pytest.mark.parametrize(
    "speakers",
    [
        ("liuchanhong", "wangzhe", "zhaoquanyin", "ZhaoZuoxiang"),
        ("Liuchanhg", "WangZhe", "ZHAOQUANYIN", "zhaozuoxiang"),
    ],
)
def test_casia(tmp_path, blank, speakers):
    emotions = ("Angry", "fear", "happy", "neutral", "SAD", "surprise")
    for speaker in speakers:
        for emotion in emotions:
            for number in range(201, 251):
                blank(tmp_path / f"CASIA database/{speaker}/{emotion}/{number}.wav")
    (tmp_path / "CASIA database/text.txt").write_text("201 就是下雨也去\n", "gb18030")
    found, rejected = walk("casia", tmp_path)
    assert len(found) == corpus.get("casia").size
    assert rejected == []
    labels = Counter(corpus.get("casia").emotions[i.emotion] for i in found.values())
    assert labels == corpus.get("casia").expected
    genders = Counter(item.gender for item in found.values())
    assert genders == {"male": 600, "female": 600}
    assert found["zhaozuoxiang_angry_201"].text == "就是下雨也去"
    assert {item.speaker for item in found.values()} == {
        "liuchanhg",
        "wangzhe",
        "zhaoquanyin",
        "zhaozuoxiang",
    }


def test_casia_without_speakers_is_refused(tmp_path, blank):
    blank(tmp_path / "CASIA database/angry/201.wav")
    with pytest.raises(UserError, match="liuchanhg/angry/201.wav"):
        walk("casia", tmp_path)


# --- all


@pytest.mark.parametrize("name", sorted(corpus.registry()))
@pytest.mark.parametrize(
    "other",
    [
        "emodb/wav/03a01Fa.wav",
        "ravdess/Actor_01/03-01-05-02-01-01-01.wav",
        "urdu/Angry/SM1_F1_A010.wav",
        "cafe/Colère/Fort/01-C-2-1.wav",
        "esd/0001/Angry/0001_000351.wav",
        "casia/liuchanhg/angry/201.wav",
        "empty/readme.txt",
    ],
)
def test_a_folder_of_another_corpus(tmp_path, blank, name, other):
    own = other.split("/")[0]
    alike = {"ravdess": ["banglaser"]}  # BanglaSER names its files as RAVDESS does
    if name in (own, *alike.get(own, ())):
        return
    blank(tmp_path / other)
    folder = tmp_path / other.split("/")[0]
    with pytest.raises(UserError) as caught:
        walk(name, folder)
    message = str(caught.value)
    assert "\n" not in message
    assert f"{folder} does not look like {corpus.get(name).title}" in message
    assert corpus.get(name).layout in message


def test_names_are_normalised_nowhere(tmp_path, blank):
    """A folder in either Unicode form is opened as it lies on disk."""
    for form, number in (("NFC", 1), ("NFD", 2)):
        folder = unicodedata.normalize(form, "Dégoût")
        blank(tmp_path / f"cafe/{form}/{folder}/01-D-2-{number}.wav")
    path = prepare.prepare(corpus.get("cafe"), tmp_path / "cafe", tmp_path, "speaker")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert all(
        os.path.isfile(row["wav"].replace("$data_root", str(tmp_path))) for row in rows
    )
