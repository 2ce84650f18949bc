"""The files of 21 corpora as another toolkit listed them, and as each is documented.

A listing becomes a tree of the same names: hard links to one short file, but for a
sample that has the listed length and rate. Videos are placeholders: the walk opens none.
"""

import os
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath

import pytest
import soundfile

from data_prep import audio, corpus, manifest, prepare
from data_prep.errors import UserError

SAMPLE = 25
VIDEO = (".avi", ".webm", ".mp4")

# What a listed label means, as a label of the wide vocabulary.
LABELS = {
    "aesdd": {
        "a": "angry",
        "d": "disgust",
        "f": "fear",
        "h": "happy",
        "s": "sad",
    },
    # Another toolkit makes a sixth label, S, of a file name in capitals.
    "ased": {
        "n": "neutral",
        "f": "fear",
        "h": "happy",
        "s": "sad",
        "S": "sad",
        "a": "angry",
    },
    "asvpesd": {
        "01": "boredom",
        "02": "neutral",
        "03": "happy",
        "04": "sad",
        "05": "angry",
        "06": "fear",
        "07": "disgust",
        "08": "surprise",
        "09": "excitement",
        "10": "other",
        "11": "pain",
        "12": "other",
    },
    "cafe": {
        "c": "angry",
        "d": "disgust",
        "j": "happy",
        "n": "neutral",
        "p": "fear",
        "s": "surprise",
        "t": "sad",
    },
    "cremad": {
        "ANG": "angry",
        "DIS": "disgust",
        "FEA": "fear",
        "HAP": "happy",
        "NEU": "neutral",
        "SAD": "sad",
    },
    "emns": {
        "Angry": "angry",
        "Disgust": "disgust",
        "Excited": "excitement",
        "Happy": "happy",
        "Neutral": "neutral",
        "Sad": "sad",
        "Sarcastic": "sarcasm",
        "Surprise": "surprise",
    },
    "emodb": {
        "anger": "angry",
        "boredem": "boredom",
        "disgust": "disgust",
        "fear": "fear",
        "happy": "happy",
        "neutral": "neutral",
        "sad": "sad",
    },
    "emovdb": {
        "Amused": "amusement",
        "Angry": "angry",
        "Disgust": "disgust",
        "Neutral": "neutral",
        "Sleepy": "sleepiness",
    },
    "emozionalmente": {
        "anger": "angry",
        "disgust": "disgust",
        "fear": "fear",
        "joy": "happy",
        "neutrality": "neutral",
        "sadness": "sad",
        "surprise": "surprise",
    },
    "enterface": {
        "an": "angry",
        "di": "disgust",
        "fe": "fear",
        "ha": "happy",
        "sa": "sad",
        "su": "surprise",
    },
    "iemocap": {
        "ang": "angry",
        "exc": "excitement",
        "hap": "happy",
        "neu": "neutral",
        "sad": "sad",
    },
    "jlcorpus": {
        "angry": "angry",
        "anxious": "anxiety",
        "apologetic": "other",
        "assertive": "other",
        "concerned": "other",
        "encouraging": "other",
        "excited": "excitement",
        "happy": "happy",
        "neutral": "neutral",
        "sad": "sad",
    },
    "meld": {
        "anger": "angry",
        "disgust": "disgust",
        "fear": "fear",
        "joy": "happy",
        "neutral": "neutral",
        "sadness": "sad",
        "surprise": "surprise",
    },
    "oreau": {
        "C": "angry",
        "D": "disgust",
        "J": "happy",
        "N": "neutral",
        "P": "fear",
        "S": "surprise",
        "T": "sad",
    },
    "pavoque": {
        "angry": "angry",
        "happy": "happy",
        "neutral": "neutral",
        "poker": "other",
        "sad": "sad",
    },
    "polish": {"a": "angry", "n": "neutral", "s": "fear"},
    "ravdess": {
        "Angry": "angry",
        "Calm": "calm",
        "Disgust": "disgust",
        "Fearful": "fear",
        "Happy": "happy",
        "Neutral": "neutral",
        "Sad": "sad",
        "Surprised": "surprise",
    },
    "resd": {
        "anger": "angry",
        "disgust": "disgust",
        "enthusiasm": "enthusiasm",
        "fear": "fear",
        "happiness": "happy",
        "neutral": "neutral",
        "sadness": "sad",
    },
    "shemo": {
        "angry": "angry",
        "fearful": "fear",
        "happy": "happy",
        "neutral": "neutral",
        "sad": "sad",
        "surprised": "surprise",
    },
    "turevdb": {"Angry": "angry", "Calm": "calm", "Happy": "happy", "Sad": "sad"},
    "urdu": {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"},
}

# Listed files that are no utterances here, by the reason given.
UNUSED = {
    "asvpesd": {
        "no speech": 8824,
        "a language that the name does not tell": 871,
        "unknown emotion '17'": 1,
    },
    "enterface": {"not cut into sentences": 6},
}

# Declared, and not in the listing (less than nothing: listed, and not declared); why is
# said in each corpus' docstring.
UNLISTED = {
    "aesdd": {"sad": 1},  # s05 (3).wav, which does not decode
    # Subject 12, whose file names are subject 11's too.
    "enterface": dict.fromkeys(
        ("angry", "happy", "sad", "disgust", "fear", "surprise"), 5
    ),
    # Only the five labels of the usual four-class task are listed.
    "iemocap": {
        "frustration": 1849,
        "fear": 40,
        "surprise": 107,
        "disgust": 2,
        "other": 2510,
    },
    # Takes that the makers did not keep, and the listing has.
    "pavoque": {
        "neutral": -1218,
        "happy": -162,
        "angry": -123,
        "sad": -145,
        "other": -244,
    },
    # Recordings that share their name with no transcript.
    "shemo": {
        "neutral": 10,
        "happy": 3,
        "angry": 25,
        "sad": 89,
        "fear": 9,
        "surprise": 26,
    },
}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def meld_labels(rows, folder, shared):
    for path in (shared / "corpora/meld_csv").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())


def iemocap_labels(rows, folder, shared):
    lines = defaultdict(str)
    for row in rows:
        path = PurePosixPath(row["path"])
        lines[path.parts[1], path.parent.name] += (
            f"[6.2901 - 8.2357]\t{path.stem}\t{row['label']}\t[2.5, 2.5, 2.5000]\n"
            "C-E2:\tNeutral;\t()\nA-E3:\tval 3; act 2; dom  2;\t()\n\n"
        )
    for (session, dialogue), text in lines.items():
        write(
            folder / session / f"dialog/EmoEvaluation/{dialogue}.txt",
            "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n" + text,
        )


def cremad_labels(rows, folder, shared):
    lines = [f'{n},30,"{"Male" if n % 2 else "Female"}","x","y"' for n in CREMAD]
    head = '"ActorID","Age","Sex","Race","Ethnicity"'
    write(folder / "VideoDemographics.csv", "\n".join([head, *lines, ""]))


def emns_labels(rows, folder, shared):
    write(folder / "metadata.csv", emns_table(rows))


def emns_table(rows):
    lines = [
        "id|utterance|description|emotion|date_created|status|gender|age|level|"
        "audio_recording|user_id"
    ]
    for number, row in enumerate(rows):
        emotion = row["label"].replace("Surprise", "Surprised")
        name = PurePosixPath(row["path"]).name
        lines.append(
            f"{number}|Well.|A {{user_id}} says|{emotion}|2022-09-01|Complete|Female|"
            f"20|7|wavs/{name}|3"
        )
    return "\n".join([*lines, ""])


def emozionalmente_labels(rows, folder, shared):
    samples = ["timestamp,file_name,actor,sentence,emotion_expressed"]
    samples += [
        f"2021,{PurePosixPath(row['path']).name},user{number % 431},Ciao.,{row['label']}"
        for number, row in enumerate(rows)
    ]
    users = ["username,gender,age,mother_tongue"]
    users += [f"user{n},{('female', 'male')[n % 2]},30,italian" for n in range(431)]
    write(folder / "metadata/samples.csv", "\n".join([*samples, ""]))
    write(folder / "metadata/users.csv", "\n".join([*users, ""]))


def pavoque_labels(rows, folder, shared):
    """The format of the published label files, with two segments an entry."""
    entries, ends = defaultdict(list), Counter()
    for number, row in enumerate(rows):
        path = PurePosixPath(row["path"])
        start = ends[path]
        ends[path] = start + float(row["seconds"])
        entries[path].append(
            f"- prompt: a{number:05}\n  text: 'Er sagte: «gut».'\n"
            f"  style: {row['label']}\n  start: {start:.4f}\n  end: {ends[path]:.4f}\n"
            "  segments:\n  - lab: _\n    end: 0.1\n  - lab: aI\n    end: 0.2\n"
        )
    for path, items in entries.items():
        write(folder / f"{path.stem}.yaml", "".join(items))


CREMAD = range(1001, 1092)
LABEL_FILES = {
    "cremad": cremad_labels,
    "emns": emns_labels,
    "emozionalmente": emozionalmente_labels,
    "iemocap": iemocap_labels,
    "meld": meld_labels,
    "pavoque": pavoque_labels,
}


def walk(name, folder):
    utterances, rejected = prepare.walk(corpus.get(name), folder)
    return {item.id: item for item in utterances}, rejected


@pytest.fixture()
def grown(tmp_path, blank, shared, listing):
    """The tree of a listing: its folder, its rows, and which files have their length."""
    short = blank(tmp_path / "short.wav")
    video = tmp_path / "video"
    video.touch()

    def grow(name):
        rows = listing(name)
        for path in {(tmp_path / row["path"]).parent for row in rows}:
            path.mkdir(parents=True)
        for path in {row["path"] for row in rows}:
            os.link(video if path.endswith(VIDEO) else short, tmp_path / path)
        sample = rows[:: len(rows) // SAMPLE] if name != "pavoque" else []
        for row in sample:
            path = (tmp_path / row["path"]).with_suffix(".wav")
            path.unlink(missing_ok=True)
            blank(path, float(row["seconds"]), int(row["sample_rate"]))
        if name in LABEL_FILES:
            LABEL_FILES[name](rows, tmp_path / name, shared)
        return tmp_path / name, rows, set(keys(name, sample))

    return grow


def keys(name, rows):
    """What tells an utterance in a listing: its path; where all share one, its id."""
    if name != "pavoque":
        return [row["path"].partition("/")[2] for row in rows]
    return [
        f"a{number:05}-{row['label']}" + "-outtake" * ("outtakes" in row["path"])
        for number, row in enumerate(rows)
    ]


@pytest.mark.parametrize("name", sorted(LABELS))
def test_listing(name, grown):
    folder, rows, sample = grown(name)
    found, reasons = {}, {}
    corpora = [c for c in corpus.registry().values() if c.locate("") == Path(name)]
    for item in corpora:
        utterances, rejected = prepare.walk(item, folder)
        reasons.update((r.path, r.reason.partition(" (")[0]) for r in rejected)
        for one in utterances:
            found[one.id if name == "pavoque" else one.media or one.path] = item, one

        labels = Counter(item.emotions[one.emotion] for one in utterances)
        lacking = {w: n - labels[w] for w, n in item.expected.items() if n != labels[w]}
        assert lacking == UNLISTED.get(name, {})
        speakers = {one.speaker for one in utterances} - {""}
        assert len(speakers) == item.speakers - (name == "enterface")  # subject 12
        if set(item.expected) == set(item.emotions.values()):
            assert len(utterances) == item.size - sum(lacking.values())

    listed = dict(zip(keys(name, rows), rows, strict=True))
    assert len(listed) == len(rows)
    unused = listed.keys() - found.keys()
    assert Counter(reasons[key] for key in unused) == UNUSED.get(name, {})
    assert reasons.keys() <= unused
    # MELD's label files tell of two clips more than are there.
    assert len(found.keys() - listed.keys()) == (2 if name == "meld" else 0)
    for key in listed.keys() & found.keys():
        item, one = found[key]
        assert item.emotions[one.emotion] == LABELS[name][listed[key]["label"]], key
        if name == "pavoque":
            seconds = float(listed[key]["seconds"])
            assert one.stop - one.start == pytest.approx(seconds, abs=2e-4)
            assert one.media == listed[key]["path"].partition("/")[2]
    for key in sample & found.keys():
        header = audio.probe(str(folder / found[key][1].path))
        assert header.duration == pytest.approx(float(listed[key]["seconds"]), abs=2e-3)
        assert header.sample_rate == int(listed[key]["sample_rate"])


# --- the documented layouts, and what circulates

# Corpus, documented path, and of its row: speaker, category, gender, split.
DOCUMENTED = [
    ("aesdd", "anger/a01 (1).wav", "1", "angry", "", "train"),
    ("ased", "05Angry/a5-03-01-02-50.wav", "50", "angry", "male", "train"),
    (
        "asvpesd",
        "ASVP-ESD-Update/Audio/actor_12/03-01-06-01-02-12-02-01-01-16.wav",
        "12",
        "fear",
        "male",
        "train",
    ),
    ("cremad", "AudioWAV/1001_DFA_ANG_XX.wav", "1001", "angry", "", "train"),
    (
        "emovdb",
        "EmoV-DB_sorted/bea/Amused/amused_1-15_0001.wav",
        "bea",
        "amusement",
        "female",
        "train",
    ),
    ("enterface", "subject 1/anger/sentence 1/s1_an_1.wav", "1", "angry", "", "train"),
    (
        "jlcorpus",
        "Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/male1_anxious_10a_1.wav",
        "male1",
        "anxiety",
        "male",
        "train",
    ),
    ("oreau", "OréauFR_02/m/sessc/07a02Ca.wav", "07", "angry", "male", "train"),
    ("polish", "m1.a_nie_2.wav", "m1", "angry", "male", "train"),
    ("resd", "test/anger_fear_42/42_anger_fear_f_020.wav", "", "fear", "", "test"),
    ("shemo", "female/F03S02.wav", "F03", "sad", "female", "train"),
    ("turevdb", "Sound Source/Angry/1157_kz_acik.wav", "1157", "angry", "", "train"),
]


@pytest.mark.parametrize("name, path, speaker, category, gender, split", DOCUMENTED)
@pytest.mark.parametrize("above", ["", "archive/a folder more/"])
def test_documented(
    tmp_path, blank, name, path, speaker, category, gender, split, above
):
    blank(tmp_path / name / above / path)
    blank(tmp_path / name / above / PurePosixPath(path).with_name("._x.wav"))
    item = corpus.get(name)
    written = prepare.prepare(item, tmp_path / name, tmp_path)
    (row,) = manifest.read(written)
    assert manifest.read_sidecar(written)["rejected"] == []
    assert row.wav.endswith(above + path)
    assert row.language == item.language
    assert row.speaker == (f"{name}-{speaker}" if speaker else "")
    assert (row.category, row.gender, row.split) == (category, gender, split)
    assert row.emotion == item.four(category)


def reasons(rejected):
    """How often each reason is given."""
    return Counter(item.reason for item in rejected)


def test_aesdd_takes_and_the_broken_file(tmp_path, blank):
    for name in ("d03 (01)", "d03 (1)b", "D04 (6)", "s05 (3)"):
        blank(tmp_path / f"aesdd/disgust/{name}.WAV")
    found, _ = walk("aesdd", tmp_path / "aesdd")
    assert {key: item.speaker for key, item in found.items()} == {
        "d03_1": "1",
        "d03_1b": "1",
        "d04_6": "6",
        "s05_3": "3",
    }
    path = prepare.prepare(corpus.get("aesdd"), tmp_path / "aesdd", tmp_path)
    (entry,) = manifest.read_sidecar(path)["rejected"]
    assert entry["reason"] == "known not to decode"


def test_ased_capitals(tmp_path, blank):
    blank(tmp_path / "04Sad/S4-04-02-01-29.wav")
    (item,) = walk("ased", tmp_path)[0].values()
    assert (item.emotion, item.speaker, item.gender) == ("sad", "29", "female")


def test_asvpesd_languages(tmp_path, blank):
    for name in (
        "actor_28/03-01-03-02-01-28-02-02-02-13",
        "actor_28/03-01-03-02-01-28-02-02-04-13 -01",
        "actor_28/03-01-03-02-01-28-02-02-02-13-66",
        "actor_0/03-01-03-02-01-00-02-02-02",
        "actor_28/03-01-03-02-01-28-02-02",
        "actor_28/03-01-03-02-01-28-02-02-05-02",
        "actor_28/03-02-03-02-01-28-02-02-02-13",
        "actor_28/03-01-17-02-01-28-02-02-02-13",
        "actor_28/03-01-03-02-01-28-02",
    ):
        blank(tmp_path / f"Audio/{name}.wav")
    french, rejected = walk("asvpesd_fr", tmp_path)
    assert list(french) == ["actor_28_03-01-03-02-01-28-02-02-04-13-01"]
    english, rejected = walk("asvpesd_en", tmp_path)
    assert [item.speaker for item in english.values()] == ["", "", "28"]
    assert {item.gender for item in english.values()} == {"", "male"}
    unknown = reasons(rejected)
    assert unknown.pop("no speech") == 1
    assert unknown.pop("a language that the name does not tell") == 2
    assert unknown.pop("name does not fit the corpus") == 1
    assert [reason[:21] for reason in unknown] == ["unknown emotion '17' "]
    with pytest.raises(UserError, match="does not look like ASVP-ESD, Chinese"):
        walk("asvpesd", tmp_path)


def test_cremad_demographics_and_other_files(tmp_path, blank):
    for name in (
        "AudioWAV/1001_IEO_HAP_HI.wav",
        "AudioWAV/1040_ITH_SAD_X.wav",
        "AudioMP3/1001_IEO_HAP_HI.mp3",
        "VideoFlash/1001_IEO_HAP_HI.flv",
    ):
        blank(tmp_path / f"CREMA-D-master/{name}")
    cremad_labels([], tmp_path / "CREMA-D-master", None)
    found, rejected = walk("cremad", tmp_path)
    assert rejected == []
    high, single = found.values()
    assert (high.gender, high.intensity) == ("male", "high")
    assert high.text == "It's eleven o'clock"
    assert (single.gender, single.intensity) == ("female", "")


def test_emns_cleaned_before_raw(tmp_path, blank):
    rows = [
        {"path": f"recorded_audio_{key}.webm", "label": label}
        for key, label in (("a", "Surprise"), ("b", "Sad"))
    ]
    for name in ("cleaned_webm/recorded_audio_a", "raw_webm/recorded_audio_a"):
        blank(tmp_path / f"{name}.webm")
    blank(tmp_path / "cleaned_webm/recorded_audio_a.wav")
    blank(tmp_path / "cleaned_webm/recorded_audio_zz.webm")
    write(tmp_path / "metadata.csv", emns_table(rows))
    found, rejected = walk("emns", tmp_path)
    first, second = found.values()
    assert first.path == "cleaned_webm/recorded_audio_a.wav"
    assert first.media == "cleaned_webm/recorded_audio_a.webm"
    assert (first.emotion, first.speaker) == ("Surprised", "3")
    assert (first.gender, first.intensity) == ("female", "7")
    assert (second.path, second.media) == ("cleaned_webm/recorded_audio_b.wav", "")
    assert {item.path: item.reason for item in rejected} == {
        "raw_webm/recorded_audio_a.webm": "a second clip beside "
        "cleaned_webm/recorded_audio_a.wav",
        "cleaned_webm/recorded_audio_zz.webm": "not in metadata.csv",
    }
    write(tmp_path / "metadata.csv", "id|utterance\n1|x\n")
    with pytest.raises(UserError, match="lacks the columns emotion"):
        walk("emns", tmp_path)


def test_emovdb_ranges_keep_a_sentence_apart(tmp_path, blank):
    for name in ("anger_1-28_0011", "anger_29-56_0011", "Anger_57_84_0060"):
        blank(tmp_path / f"josh_Angry/josh_Angry/{name}.wav")
    blank(tmp_path / "paul_Angry/anger_1-28_0001.wav")
    found, rejected = walk("emovdb", tmp_path)
    assert {item.speaker for item in found.values()} == {"josh"}
    assert sorted(found) == [
        "josh_anger_1-28_0011",
        "josh_anger_29-56_0011",
        "josh_anger_57_84_0060",
    ]
    assert reasons(rejected) == {"name does not fit the corpus": 1}


def test_emozionalmente_tables(tmp_path, blank):
    home = tmp_path / "emozionalmente"
    for name in ("1", "2", "9"):
        blank(home / f"audio/{name}.wav")
    blank(tmp_path / "__MACOSX/emozionalmente/audio/._1.wav")
    write(
        home / "metadata/samples.csv",
        "file_name,actor,sentence,emotion_expressed\n1.wav,ana,Una frase.,joy\n"
        "2.wav,bob,Altra.,fear\n3.wav,ugo,Altra.,anger\n",
    )
    write(home / "metadata/users.csv", "username,gender,age\nana,Female,30\nbob,x,4\n")
    found, rejected = walk("emozionalmente", tmp_path)
    assert [(i.speaker, i.gender, i.text) for i in found.values()] == [
        ("ana", "female", "Una frase."),
        ("bob", "", "Altra."),
        ("ugo", "", "Altra."),
    ]
    assert found["3"].path == "emozionalmente/audio/3.wav"
    assert reasons(rejected) == {"not in samples.csv": 1}


def test_enterface_misnamed_files(tmp_path, blank):
    for name in (
        "subject 11/anger/sentence 1/s12_an_1.avi",
        "subject 12/anger/sentence 1/s12_an_1.avi",
        "subject 12/anger/sentence 1/s12_an_1.wav",
        "subject 3/fear/sentence 5/s_3_fe_5.avi",
        "Subject_16/Surprise/sentence 3/s16_su_3avi.avi",
        "subject 2/anger/sentence 1/s2_an_2.avi",
        "subject 6/anger/s6_an.avi",
        "subject 2/anger/Thumbs.avi",
    ):
        blank(tmp_path / "enterface database" / name)
    found, rejected = walk("enterface", tmp_path)
    assert sorted(found) == [
        "s11_anger_1",
        "s12_anger_1",
        "s16_surprise_3",
        "s2_anger_2",
        "s3_fear_5",
    ]
    assert all(item.media == item.path[:-4] + ".avi" for item in found.values())
    assert reasons(rejected) == {
        "not cut into sentences": 1,
        "name does not fit the corpus": 1,
    }


def test_jlcorpus_second_copies(tmp_path, blank):
    upload = "Raw JL corpus (unchecked and unannotated)/JL(wav+txt)"
    for home in (upload, upload.lower(), "Perception test"):
        blank(tmp_path / f"{home}/female1_angry_10a_1.wav")
    found, rejected = walk("jlcorpus", tmp_path)
    assert len(found) == 1
    assert len(rejected) == 2
    assert all("a second copy of " in item.reason for item in rejected)


def test_oreau_versions(tmp_path, blank):
    first, second = "Ore\u0301auFR_01/Ore\u0301auFR_01", "OréauFR_02"
    for name in ("07a02Ca", "07z03Sa"):
        blank(tmp_path / f"{first}/m/sess{name[-2].lower()}/{name}.wav")
    found, rejected = walk("oreau", tmp_path)
    assert [item.emotion for item in found.values()] == ["colère", "surprise"]
    blank(tmp_path / f"{second}/m/sessc/07a02Ca.wav")
    found, rejected = walk("oreau", tmp_path)
    assert [item.path for item in found.values()] == [f"{second}/m/sessc/07a02Ca.wav"]
    assert len(rejected) == 2


def test_pavoque_is_cut_up(tmp_path):
    folder = tmp_path / "pavoque"
    folder.mkdir()
    soundfile.write(folder / "pavoque-sad.flac", [0.1, -0.1] * 8000, 8000)
    write(
        folder / "pavoque-data-master/pavoque-sad.yaml",
        "- prompt: m0001\n  file: ./x.wav\n  style: sad\n  text: 'Man sagt: ''gut''.'\n"
        "  start: 0.0\n  end: 0.5\n  segments:\n  - lab: _\n    end: 0.1\n"
        "- prompt: m0002\n  style: sad\n  start: 0.5\n  end: 2.0\n  text: Ja.\n",
    )
    for _ in range(2):  # the second time, what was cut lies in the folder
        path = prepare.prepare(corpus.get("pavoque"), folder, tmp_path)
        first, second = manifest.read(path)
        assert manifest.read_sidecar(path)["rejected"] == []
    assert (first.duration, second.duration) == (0.5, 1.5)
    assert first.text == "Man sagt: 'gut'."
    assert first.wav.endswith("pavoque-sad/m0001-sad.wav")
    assert {row.split for row in (first, second)} == {"train"}


def test_pavoque_outtakes_and_early_label_files(tmp_path):
    entry = "- prompt: a1\n  style: {}\n  start: 1\n  end: 2\n"
    write(tmp_path / "pavoque-neutral.yaml", entry.format("neutral"))
    outtakes = entry.format("neutral") + entry.format("sad")
    write(tmp_path / "pavoque-outtakes.yaml", outtakes)
    write(tmp_path / "pavoque-all.yaml", entry.format("neutral"))
    assert list(walk("pavoque", tmp_path)[0]) == ["a1-neutral"]
    (tmp_path / "pavoque-outtakes.flac").touch()
    found, _ = walk("pavoque", tmp_path)
    assert {key: item.session for key, item in found.items()} == {
        "a1-neutral": "",
        "a1-neutral-outtake": "outtakes",
        "a1-sad-outtake": "outtakes",
    }
    assert found["a1-neutral"].media == "pavoque-neutral.flac"
    sad = entry.format("sad")
    for bad in (
        "- prompt: a1\n  style: sad\n",
        "- a\n",
        sad.replace("start: 1", "start: one"),
        sad.replace("end: 2", "end: inf"),
        sad.replace("end: 2", "end: 1"),
        sad.replace("a1", "../../a1"),
    ):
        write(tmp_path / "pavoque-sad.yaml", bad)
        with pytest.raises(UserError, match="an entry lacks .* get the file anew"):
            walk("pavoque", tmp_path)


def test_resd_has_parts_and_no_speakers(tmp_path, blank):
    for name in (
        "train/01_happiness_anger/01_happiness_anger a_010",
        "train/01_happiness_anger/01_happiness_anger h_020",
        "test/anger_fear_42/42_anger_fear_a_180",
        "anger_fear_42/42_anger_fear_a_190",
    ):
        blank(tmp_path / f"resd/{name}.wav")
    item = corpus.get("resd")
    assert item.default_splits == "official"
    path = prepare.prepare(item, tmp_path / "resd", tmp_path)
    rows = manifest.read(path)
    assert [(row.split, row.native_emotion, row.session) for row in rows] == [
        ("test", "anger", "42"),
        ("train", "anger", "01"),
        ("train", "happiness", "01"),
    ]
    assert len(manifest.read_sidecar(path)["rejected"]) == 1
    with pytest.raises(UserError, match="does not tell who speaks"):
        prepare.prepare(item, tmp_path / "resd", tmp_path, "speaker")


def test_turevdb_first_of_a_name(tmp_path, blank):
    for home in ("Sound Source/Calm", "Train and Test Sets/Calm"):
        blank(tmp_path / f"TurEV-DB-master/{home}/1234_sk_acik.wav")
    found, rejected = walk("turevdb", tmp_path)
    (item,) = found.values()
    assert (item.path.split("/")[1], item.emotion, item.sentence) == (
        "Sound Source",
        "calm",
        "acik",
    )
    assert len(rejected) == 1
