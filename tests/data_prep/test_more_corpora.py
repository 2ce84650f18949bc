"""Corpora known by their published layouts: every name and label file is made up."""

import itertools
import json
import re
from collections import Counter

import numpy as np
import pytest
import soundfile

from data_prep import corpus, manifest, prepare
from data_prep.errors import UserError
from data_prep.vocabulary import WIDE

SEVEN = ("neutral", "happy", "angry", "sad", "disgust", "fear", "surprise")


def walk(name, folder):
    found, rejected = prepare.walk(corpus.get(name), folder)
    return {item.id: item for item in found}, {r.path: r.reason for r in rejected}


def touch(folder, names):
    made = set()
    for name in names:
        path = folder / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.touch()


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding)


def every(pattern, **values):
    """The pattern with every combination of values."""
    for chosen in itertools.product(*values.values()):
        yield pattern.format(**dict(zip(values, chosen, strict=True)))


def numbers(last, first=1, width=2):
    return [f"{i:0{width}}" for i in range(first, last + 1)]


# --- Everything in the file name, and all names known


def savee(pattern):
    for emotion in ("a", "d", "f", "h", "n", "sa", "su"):
        yield from every(
            pattern,
            speaker=("DC", "JE", "JK", "KL"),
            emotion=[emotion],
            sentence=numbers(30 if emotion == "n" else 15),
        )


def tess():
    words = [f"{a}{b}" for a in "bcdfghjklm" for b in "aeiouaeiouaeiouaeiou"]
    words = [f"{word}{'xyzw'[i // 5 % 4]}" for i, word in enumerate(words)]
    words[0] = "bite"
    emotions = ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad")
    for name in every("{s}_{e}/{s}_{w}_{e}.wav", s=("OAF", "YAF"), e=emotions, w=words):
        yield name.replace("OAF_bite_neutral", "OA_bite_neutral")


def subesco():
    emotions = ("NEUTRAL", "HAPPY", "ANGRY", "SAD", "DISGUST", "FEAR", "SURPRISE")
    for name in every(
        "SUBESCO/{s}_S_{n}_{e}_{t}.wav",
        s=[
            f"{gender}_{i}_{'MONIKA' if gender + i == 'F02' else 'NAME'}"
            for gender in "FM"
            for i in numbers(10)
        ],
        n=range(1, 11),
        e=emotions,
        t=range(1, 6),
    ):
        yield name.replace(
            "F_02_MONIKA_S_2_SURPRISE_3.wav", "F_02_MONIKA_S_2_SURPRISE_3].wav"
        )


def mesd():
    """24 words of each kind for each voice and emotion, but for two."""
    emotions = ("Anger", "Disgust", "Fear", "Happiness", "Neutral", "Sadness")
    lost = {"Anger_F_A_w24.wav", "Neutral_C_B_por favor24.wav"}
    for e, voice, kind in itertools.product(emotions, "FMC", "AB"):
        for i in numbers(24):
            name = f"{e}_{voice}_{kind}_{'w' if kind == 'A' else 'por favor'}{i}.wav"
            if name not in lost:
                yield f"Mexican Emotional Speech Database (MESD)/{name}"


def banglaser():
    for actor in numbers(34):
        for emotion in numbers(5 if int(actor) <= 27 else 4):
            yield from every(
                f"BanglaSER/Actor_{actor}/03-01-{emotion}-01-{{s}}-{{r}}-{actor}.wav",
                s=numbers(3),
                r=numbers(3),
            )


def emouerj():
    for letter, total in {"h": 91, "a": 94, "s": 100, "n": 92}.items():
        speakers = [f"{gender}{i}" for gender in "mw" for i in numbers(4)]
        for i in range(total):
            yield f"emoUERJ/{speakers[i % 8]}{letter}{i // 8 + 1:02}.wav"


WHOLE = {  # name: file names, size, speakers, women's files, and its smallest emotion
    "savee": (savee("AudioData/{speaker}/{emotion}{sentence}.wav"), 480, 4, 0, 60),
    "tess": (tess(), 2800, 2, 2800, 400),
    "emovo": (
        every(
            "EMOVO/{s}/{e}-{s}-{t}.wav",
            s=("f1", "f2", "f3", "m1", "m2", "m3"),
            e=("dis", "gio", "neu", "pau", "rab", "sor", "tri"),
            t=[
                f"{kind}{i}"
                for kind, last in zip("blnd", (3, 4, 5, 2), strict=True)
                for i in range(1, last + 1)
            ],
        ),
        588,
        6,
        294,
        84,
    ),
    "subesco": (subesco(), 7000, 20, 3500, 1000),
    "mesd": (mesd(), 862, 0, 287, 143),
    "banglaser": (banglaser(), 1467, 34, 17 * 36 + 13 * 9, 243),
    "emouerj": (emouerj(), 377, 8, None, 91),
    "jtes": (
        every(
            "jtes_v1.1/wav/{s}/{e}/{s}_{e}_{i}.wav",
            s=[f"{gender}{i}" for gender in "fm" for i in numbers(50)],
            e=("ang", "joy", "neu", "sad"),
            i=numbers(50),
        ),
        20000,
        100,
        10000,
        5000,
    ),
    "indowave": (
        every(
            "IndoWaveSentiment/Actor_{a}/{a}-{e}-{i}-{r}.wav",
            a=numbers(10),
            e=numbers(5),
            i=numbers(2),
            r=numbers(3),
        ),
        300,
        10,
        150,
        60,
    ),
    "kannada": (
        every("{s}-{e}-{t}.wav", s=numbers(13), e=numbers(6), t=numbers(6)),
        468,
        13,
        9 * 36,
        78,
    ),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n == "jtes" else ()) for n in WHOLE],
)
def test_whole_corpus(name, tmp_path):
    """Every file that the documentation implies, and the counts it gives."""
    names, size, speakers, women, fewest = WHOLE[name]
    touch(tmp_path, names)
    found, rejected = walk(name, tmp_path)
    declared = corpus.get(name)
    assert rejected == {}
    assert len(found) == size == declared.size
    assert len({item.speaker for item in found.values()} - {""}) == speakers
    assert declared.speakers == speakers
    counts = Counter(declared.emotions[item.emotion] for item in found.values())
    assert min(counts.values()) == fewest
    assert counts == declared.expected
    assert {item.emotion for item in found.values()} == set(declared.emotions)
    if women is not None:
        genders = Counter(item.gender for item in found.values())
        assert genders["female"] == women


def test_savee_flat(tmp_path):
    touch(tmp_path, savee("ALL/{speaker}_{emotion}{sentence}.wav"))
    found, rejected = walk("savee", tmp_path)
    assert (len(found), rejected) == (480, {})
    assert found["KL_su03"].emotion == "surprise"


def test_tess_of_kaggle_holds_all_twice(tmp_path):
    top = "TESS Toronto emotional speech set data"
    names = list(tess())
    touch(tmp_path, [f"{top}/{name}" for name in names])
    touch(tmp_path, [f"{top}/{top}/{name}" for name in names])
    found, rejected = walk("tess", tmp_path)
    assert (len(found), len(rejected)) == (2800, 2800)
    assert all(reason.startswith("a second copy of") for reason in rejected.values())
    assert found["OA_bite_neutral"].speaker == "OAF"


# --- Everything in the file name: what is read off it

NAMED = [  # corpus, file, native and wide emotion, and further columns
    ("savee", "DC/sa07.wav", "sadness", "sad", {"speaker": "DC", "gender": "male"}),
    ("savee", "x/je/SU15.WAV", "surprise", "surprise", {"id": "JE_su15"}),
    (
        "savee",
        "ALL/JK_n30.flac",
        "neutral",
        "neutral",
        {"id": "JK_n30", "sentence": "30", "text": ""},
    ),
    (
        "tess",
        "YAF_pleasant_surprised/YAF_back_ps.wav",
        "ps",
        "surprise",
        {"speaker": "YAF", "text": "Say the word back", "gender": "female"},
    ),
    ("tess", "oaf_bean_Fear.wav", "fear", "fear", {"speaker": "OAF"}),
    (
        "emovo",
        "EMOVO/m2/gio-m2-d1.wav",
        "gio",
        "happy",
        {
            "speaker": "m2",
            "gender": "male",
            "sentence": "d1",
            "text": "",
            "media": "EMOVO/m2/gio-m2-d1.wav",
            "channel": 0,
        },
    ),
    (
        "mesd",
        "Fear_C_B_buenos días.wav",
        "Fear",
        "fear",
        {"speaker": "", "gender": "", "text": "buenos días"},
    ),
    (
        "subesco",
        "M_07_NAHID_S_10_HAPPY_5.wav",
        "HAPPY",
        "happy",
        {"speaker": "M_07", "gender": "male", "sentence": "S_10", "text": ""},
    ),
    (
        "subesco",
        "F_02_MONIKA_S_2_SURPRISE_3].wav",
        "SURPRISE",
        "surprise",
        {"id": "F_02_MONIKA_S_2_SURPRISE_3"},
    ),
    (
        "banglaser",
        "03-01-02-02-03-01-34.wav",
        "sad",
        "sad",
        {
            "speaker": "34",
            "gender": "female",
            "intensity": "strong",
            "sentence": "03",
            "text": "",
        },
    ),
    (
        "jtes",
        "wav/m50/joy/m50_joy_07.wav",
        "joy",
        "happy",
        {"speaker": "m50", "gender": "male", "sentence": "joy_07", "text": ""},
    ),
    (
        "jvnv",
        "jvnv_v1/F2/disgust/regular/F2_disgust_regular_05.wav",
        "disgust",
        "disgust",
        {"speaker": "F2", "gender": "female", "text": ""},
    ),
    (
        "emouerj",
        "w04a11.wav",
        "anger",
        "angry",
        {"speaker": "w04", "gender": "female", "text": ""},
    ),
    (
        "verbo",
        "Audios/m3/ale-m3-l2.wav",
        "ale",
        "happy",
        {"speaker": "m3", "gender": "male", "sentence": "l2", "text": ""},
    ),
    ("verbo", "med-f01-d1.wav", "med", "fear", {"speaker": "f1", "gender": "female"}),
    (
        "mead",
        "MEAD/W009/audio/disgusted/level_2/017.m4a",
        "disgusted",
        "disgust",
        {
            "id": "W009_disgusted_2_017",
            "path": "MEAD/W009/audio/disgusted/level_2/017.wav",
            "media": "MEAD/W009/audio/disgusted/level_2/017.m4a",
            "gender": "female",
            "intensity": "2",
        },
    ),
    (
        "mead",
        "M003/audio/contempt/level_3/001.wav",
        "contempt",
        "contempt",
        {"speaker": "M003", "gender": "male", "media": ""},
    ),
    (
        "kazemotts",
        "EmoKaz/1263201035/train/1263201035_surprise_47861.wav",
        "surprise",
        "surprise",
        {"speaker": "1263201035", "gender": ""},
    ),
    (
        "indowave",
        "Actor_07/07-05-02-03.wav",
        "disappointed",
        "other",
        {"speaker": "07", "gender": "male", "intensity": "strong"},
    ),
    ("kannada", "13-04-06.wav", "happiness", "happy", {"gender": "male"}),
    (
        "eaed",
        "EAED/Grand Hotel/Amina Khalil/AminaKhalil_Surprised_ 01.wav",
        "surprised",
        "surprise",
        {"speaker": "AminaKhalil", "session": "Grand Hotel", "gender": ""},
    ),
    (
        "eaed",
        "Grand Hotel/NellyKarim/NellyKarim_fear_ (12).wav",
        "fear",
        "fear",
        {"id": "Grand Hotel_NellyKarim_fear_12"},
    ),
]


@pytest.mark.parametrize("name, file, native, wide, further", NAMED)
def test_file_name(name, file, native, wide, further, tmp_path):
    """The same below further folders; files of macOS and other kinds are no audio."""
    above, _, base = f"copy of it/data/{file}".rpartition("/")
    mac = f"__MACOSX/{above}/._{base}"
    touch(tmp_path, [f"{above}/{base}", mac, f"{above}/.DS_Store", "readme.txt"])
    found, rejected = walk(name, tmp_path)
    (item,) = found.values()
    assert rejected == {}
    assert item.emotion == native
    assert corpus.get(name).emotions[native] == wide
    for column, value in further.items():
        seen = getattr(item, column)
        if column in ("path", "media"):
            seen = seen.removeprefix("copy of it/data/")
        assert seen == value, column


@pytest.mark.parametrize("name, file", [entry[:2] for entry in NAMED])
def test_a_text_is_no_code_and_tells_no_emotion(name, file, tmp_path):
    """Other tools take it for a transcript."""
    touch(tmp_path, [file])
    (item,) = walk(name, tmp_path)[0].values()
    assert not re.search(r"\d", item.text)
    words = {*re.findall(r"\w+", item.text.lower())}
    assert not words & {label.lower() for label in corpus.get(name).emotions}


def test_emovo_takes_one_of_its_two_microphones(tmp_path, caplog):
    """Whose mean would cancel a sound that reaches them at odds."""
    caplog.set_level("INFO")
    sound = 0.3 * np.sin(np.arange(16000) / 6)
    for speaker in ("f1", "m1"):
        file = tmp_path / f"emovo/{speaker}/gio-{speaker}-d1.wav"
        file.parent.mkdir(parents=True)
        soundfile.write(file, np.stack([sound, -sound], 1), 16000, subtype="PCM_16")
    for _ in range(2):
        item = corpus.get("emovo")
        path = prepare.prepare(item, tmp_path / "emovo", tmp_path / "m")
        rows = manifest.read(path)
        assert [row.ID for row in rows] == ["emovo-gio-f1-d1", "emovo-gio-m1-d1"]
        assert not manifest.read_sidecar(path)["rejected"]
        for row in rows:
            samples, rate = soundfile.read(row.path(tmp_path))
            assert rate == 16000 and samples.shape == (16000,)
            assert np.abs(samples - sound).max() < 1e-4
    assert "emovo: of its recordings, channel 1 is taken" in caplog.text
    assert "is up to date" in caplog.text


UNKNOWN = {  # a name with an emotion that is none of the corpus'
    "savee": "DC/x01.wav",
    "tess": "OAF_back_bored.wav",
    "emovo": "noi-f1-b1.wav",
    "mesd": "Surprise_F_A_tarde.wav",
    "subesco": "F_01_OISHI_S_10_BORED_1.wav",
    "banglaser": "03-01-06-01-01-01-01.wav",
    "jtes": "f01_dis_01.wav",
    "jvnv": "F1_neutral_free_01.wav",
    "emouerj": "w04x11.wav",
    "verbo": "noi-f1-l3.wav",
    "mead": "M003/audio/bored/level_1/001.wav",
    "kazemotts": "1263201035_bored_47861.wav",
    "indowave": "07-06-02-03.wav",
    "kannada": "01-07-01.wav",
    "eaed": "S/A/A_bored_ 01.wav",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_rejected(name, tmp_path):
    known = next(file for corpus_name, file, *_ in NAMED if corpus_name == name)
    touch(tmp_path, [known, UNKNOWN[name], "stray take 2.wav"])
    found, rejected = walk(name, tmp_path)
    assert len(found) == 1
    assert set(rejected) == {UNKNOWN[name], "stray take 2.wav"}
    assert rejected[UNKNOWN[name]].startswith("unknown emotion ")
    assert rejected["stray take 2.wav"] == "name does not fit the corpus"


@pytest.mark.parametrize("name", sorted(set(UNKNOWN) - {"tess"}))
def test_two_copies_are_a_mistake(name, tmp_path):
    known = next(file for corpus_name, file, *_ in NAMED if corpus_name == name)
    if name == "eaed":  # whose IDs hold the folder
        known = known.removeprefix("EAED/")
    touch(tmp_path, [f"a/{known}", f"b/{known}"])
    with pytest.raises(UserError, match="two files with one ID"):
        walk(name, tmp_path)


# --- MEAD


def test_mead_of_one_actor(tmp_path):
    """The audio as .m4a, partly decoded already; videos are passed over."""
    loud = ("angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")
    rest = {"e": loud, "n": (1, 2, 3), "i": numbers(30, width=3)}
    names = [
        *every("audio/neutral/level_1/{i}.m4a", i=numbers(40, width=3)),
        *every("audio/{e}/level_{n}/{i}.m4a", **rest),
        *every("video/front/{e}/level_{n}/{i}.mp4", **rest),
        *every("audio/neutral/level_1/{i}.wav", i=numbers(9, width=3)),
    ]
    touch(tmp_path / "W011", names)
    found, rejected = walk("mead", tmp_path)
    assert (len(found), rejected) == (40 + 7 * 3 * 30, {})
    assert all(item.media.endswith(".m4a") for item in found.values())
    assert all(item.path.endswith(".wav") for item in found.values())


# --- JVNV


@pytest.mark.parametrize("encoding", ["utf-8", "cp932"])
def test_jvnv_text(tmp_path, encoding):
    names = every(
        "jvnv_v1/{s}/{e}/{k}/{s}_{e}_{k}_{i}.wav",
        s=("F1", "F2", "M1", "M2"),
        e=("anger", "disgust", "fear", "happy", "sad", "surprise"),
        k=("free", "regular"),
        i=numbers(2),
    )
    touch(tmp_path, names)
    lines = (
        "anger_free_01|うわあ|うわあ、やめて。\nsad_regular_02|うう|うう、|悲しい。\n"
    )
    write(tmp_path / "jvnv_v1/transcription.csv", lines, encoding)
    write(tmp_path / "jvnv_v1/nv_label/F1_anger_free_01.txt", "0.1\t0.5\n")
    found, rejected = walk("jvnv", tmp_path)
    assert (len(found), rejected) == (4 * 6 * 2 * 2, {})
    assert found["M2_anger_free_01"].text == "うわあ、やめて。"
    assert found["M2_anger_free_02"].text == ""
    assert found["F1_surprise_free_01"].gender == "female"


# --- Hi, KIA


def hi_kia(folder):
    header = "fname,angry,happy,neutral,sad\n"
    rows = {
        "F5": ["F5_p_1_1_a,1,0,0,0", "F5_p_1_2_h,0,1,0,0", "F5_p_1_3_n,0,0,0,0"],
        "M2": ["M2_p_1_1_s.wav,0,0,0,1.0", "M2_p_1_2_n,0,0,1,0", "M2_p_1_9_n,0,0,1,0"],
    }
    for speaker, lines in rows.items():
        write(folder / f"hi_kia/split/{speaker}_eval.csv", header + "\n".join(lines))
        write(folder / f"hi_kia/split/{speaker}_train.csv", header + "F9_x,1,0,0,0\n")
    touch(folder, ["hi_kia/wav/F5_p_1_1_a.wav", "hi_kia/wav/F5_p_1_2_h.wav"])
    touch(folder, ["hi_kia/wav/F5_p_1_3_n.wav", "hi_kia/wav/M2_p_1_1_s.wav"])
    touch(folder, ["hi_kia/wav/M2_p_1_2_n.wav", "hi_kia/wav/M2_stray.wav"])


def test_hi_kia(tmp_path):
    hi_kia(tmp_path)
    found, rejected = walk("hi_kia", tmp_path)
    emotions = {item.id: item.emotion for item in found.values()}
    assert emotions == {
        "F5_p_1_1_a": "angry",
        "F5_p_1_2_h": "happy",
        "M2_p_1_1_s": "sad",
        "M2_p_1_2_n": "neutral",
        "M2_p_1_9_n": "neutral",
    }
    assert found["M2_p_1_9_n"].path == "hi_kia/wav/M2_p_1_9_n.wav"  # not on disk
    assert (found["M2_p_1_1_s"].speaker, found["M2_p_1_1_s"].gender) == ("M2", "male")
    assert set(rejected) == {"hi_kia/wav/F5_p_1_3_n.wav", "hi_kia/wav/M2_stray.wav"}
    assert rejected["hi_kia/wav/F5_p_1_3_n.wav"].startswith("0 emotions")


# --- EESC

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 2.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "{first}"
        xmin = 0
        xmax = 2.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 2.5
            text = "{label}"
    item [2]:
        class = "IntervalTier"
        name = "sentence"
        xmin = 0
        xmax = 2.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 2.5
            text = "Ta ütles: ""ei""."
"""
SHORT = """File type = "ooTextFile short"
"TextGrid"

0
2.5
<exists>
2
"IntervalTier"
"sentence"
0
2.5
1
0
2.5
"Ta ütles: ""ei""."
"IntervalTier"
"{first}"
0
2.5
1
0
2.5
"{label}"
"""


@pytest.mark.parametrize("grid", [LONG, SHORT], ids=["long", "short"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_eesc(tmp_path, grid, encoding):
    for stem, label in {"1": "anger", "2": "joy", "3": "igavus"}.items():
        touch(tmp_path, [f"ekorpus/{stem}.wav"])
        text = grid.format(first="emotion", label=label)
        write(tmp_path / f"ekorpus/{stem}.TextGrid", text, encoding)
    touch(tmp_path, ["ekorpus/4.wav", "ekorpus/5.wav", "ekorpus/6.wav"])
    write(tmp_path / "ekorpus/5.TextGrid", grid.format(first="phonemes", label="joy"))
    write(
        tmp_path / "ekorpus/6.textgrid", grid.format(first="emotion", label="sadness")
    )
    found, rejected = walk("eesc", tmp_path)
    emotions = {item.id: item.emotion for item in found.values()}
    assert emotions == {"1": "anger", "2": "joy", "6": "sadness"}
    assert {item.text for item in found.values()} == {'Ta ütles: "ei".'}
    assert {item.speaker for item in found.values()} == {""}
    assert rejected["ekorpus/3.wav"].startswith("unknown emotion 'igavus'")
    for stem in "45":
        assert "no TextGrid" in rejected[f"ekorpus/{stem}.wav"]


# --- MSP-IMPROV

IMPROV = """UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.000000; V:3.500000; D:2.800000 ; N:4.2;
WORKER00000001; Neutral; Neutral; A:3.000000; V:4.000000; D:3.000000 ; N:5.000000;

UTD-IMPROV-S01A-M01-R-MF02.avi; H; A:NaN; V:4.000000; D:NaN ; N:NaN;
UTD-IMPROV-S20H-F06-T-FF11.avi; X; A:1.500000; V:2.000000; D:2.000000 ; N:3.000000;
UTD-IMPROV-S20H-M06-S-FM03.avi; Q; A:1.500000; V:2.000000; D:2.000000 ; N:3.000000;
"""


@pytest.mark.parametrize("file", ["Evalution.txt", "labels/Evaluation.txt"])
def test_msp_improv(tmp_path, file):
    write(tmp_path / file, IMPROV.replace("\n", "\r\n"))
    audio = [
        "session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav",
        "session1/S01A/R/MSP-IMPROV-S01A-M01-R-MF02.wav",
        "session6/S20H/T/MSP-IMPROV-S20H-F06-T-FF11.wav",
        "session6/S20H/S/MSP-IMPROV-S20H-M06-S-FM03.wav",
        "session6/S20H/S/MSP-IMPROV-S20H-M06-S-FM99.wav",
    ]
    touch(tmp_path, audio)
    found, rejected = walk("msp_improv", tmp_path)
    assert list(found) == [path.split("/")[-1][:-4] for path in audio[:3]]
    neutral, happy, unagreed = found.values()
    assert (neutral.path, neutral.emotion) == (audio[0], "N")
    assert (neutral.arousal, neutral.valence, neutral.dominance) == (
        "3.000000",
        "3.500000",
        "2.800000",
    )
    assert (happy.arousal, happy.valence, happy.dominance) == ("", "4.000000", "")
    assert (happy.speaker, happy.gender, happy.session) == ("M01", "male", "01")
    assert corpus.get("msp_improv").emotions[unagreed.emotion] == "other"
    assert rejected[audio[3]].startswith("unknown emotion 'Q'")
    assert rejected[audio[4]] == "not in Evalution.txt"


# --- MSP-Podcast

PODCAST = """FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
MSP-PODCAST_0001_0008.wav,N,2.2,4.0,4.0,127,Male,Test1
MSP-PODCAST_0001_0019.wav,A,5.4,2.2,5.0,127,Male,Test2
MSP-PODCAST_0002_0033.wav,C,3.6,4.2,4.6,128,Female,Development
MSP-PODCAST_0003_0001.wav,X,4.0,4.0,4.0,Unknown,Unknown,Train
MSP-PODCAST_0003_0002.wav,H,6.0,6.0,5.0,129,Female,Train
MSP-PODCAST_0003_0003.wav,Z,6.0,6.0,5.0,129,Female,Train
MSP-PODCAST_0003_0004.wav,H,6.0,6.0,5.0,129,Female,Test9
"""


@pytest.mark.parametrize(
    "labels, audio, development",
    [
        ("Labels/labels_consensus.csv", "Audios", "Development"),
        ("labels/labels_concensus.csv", "Audio", "Validation"),
        (
            "MSP-Podcast/Labels/labels_consensus.csv",
            "MSP-Podcast/Audios",
            "development",
        ),
    ],
)
def test_msp_podcast(tmp_path, blank, labels, audio, development):
    text = PODCAST.replace("Development", development)
    write(tmp_path / "msp_podcast" / labels, text)
    for line in [*text.splitlines()[1:], "MSP-PODCAST_TEST3_0001.wav"]:
        blank(tmp_path / "msp_podcast" / audio / line.split(",")[0])
    declared = corpus.get("msp_podcast")
    folder = tmp_path / "msp_podcast"
    path = prepare.prepare(declared, folder, tmp_path, policy="official")
    rows = {row.ID[-9:]: row for row in manifest.read(path)}
    assert {ID: (row.split, row.session) for ID, row in rows.items()} == {
        "0001_0008": ("test", "Test1"),
        "0001_0019": ("test", "Test2"),
        "0002_0033": ("valid", development),
        "0003_0001": ("train", "Train"),
        "0003_0002": ("train", "Train"),
    }
    angry, unknown = rows["0001_0019"], rows["0003_0001"]
    assert (angry.speaker, angry.gender) == ("msp_podcast-127", "male")
    assert (angry.arousal, angry.valence, angry.dominance) == ("5.4", "2.2", "5.0")
    assert (angry.emotion, angry.category) == ("angry", "angry")
    assert (unknown.speaker, unknown.gender, unknown.emotion) == ("", "", "")
    assert (unknown.native_emotion, unknown.category) == ("X", "other")
    rejected = {
        entry["path"][-18:-4]: entry["reason"]
        for entry in manifest.read_sidecar(path)["rejected"]
    }
    assert rejected["CAST_0003_0003"].startswith("unknown emotion 'Z'")
    assert rejected["CAST_0003_0004"].startswith("unknown part 'Test9'")
    assert rejected["AST_TEST3_0001"] == "not in labels_consensus.csv"


# --- M3ED


def said(speaker, emotion, text="好的"):
    return {
        "StartTime": "00:00:01:00",
        "EndTime": "00:00:02:00",
        "Text": text,
        "Speaker": speaker,
        "EmoAnnotation": {"EmoAnnotator1": emotion, "final_main_emo": emotion},
    }


ANNOTATION = {
    series: {
        f"{series}_1": {
            "SpeakerInfo": {
                "A": {"Name": "安明", "Age": "adult", "Gender": "male"},
                "B": {"Name": "姚澜", "Age": "adult", "Gender": "Female"},
            },
            "Dialog": {
                f"{series}_1_1": said("A", "Anger", "你听，我说"),
                f"{series}_1_2": said("B", "Neutral"),
                f"{series}_1_3": said("A", "Bored"),
            },
        }
    }
    for series in ("anjia", "shaonianpai", "qingchunpai")
}


def m3ed(folder):
    text = json.dumps(ANNOTATION, ensure_ascii=False)
    write(folder / "M3ED/annotation.json", text)
    for part, series in zip(("train", "val", "test"), ANNOTATION, strict=True):
        write(folder / f"M3ED/splitInfo/movie_list_{part}.txt", series + "\n")
        names = ("A_{s}_1_1.wav", "B_{s}_1_2.wav", "A_{s}_1_3.wav")
        for name in names:
            touch(folder, [f"M3ED/modality_speech/{name.format(s=series)}"])


def test_m3ed(tmp_path):
    m3ed(tmp_path)
    touch(tmp_path, ["M3ED/modality_speech/A_anjia_9_9.wav"])
    (tmp_path / "M3ED/modality_speech/B_shaonianpai_1_2.wav").unlink()
    found, rejected = walk("m3ed", tmp_path)
    assert len(found) == 6
    angry = found["anjia_1_1"]
    assert angry.path == "M3ED/modality_speech/A_anjia_1_1.wav"
    assert (angry.emotion, angry.text) == ("Anger", "你听，我说")
    assert (angry.speaker, angry.gender) == ("anjia_安明", "male")
    missing = found["shaonianpai_1_2"]
    assert missing.path == "M3ED/modality_speech/B_shaonianpai_1_2.wav"
    assert (missing.split, missing.gender) == ("valid", "female")
    assert found["qingchunpai_1_2"].split == "test"
    assert {item.split for item in found.values()} == {"train", "valid", "test"}
    assert rejected["M3ED/modality_speech/A_anjia_9_9.wav"] == "not in annotation.json"
    bored = rejected["M3ED/modality_speech/A_anjia_1_3.wav"]
    assert bored.startswith("unknown emotion 'Bored'")


# --- THAI SER

THAI = {
    "s001_con_actor001_script1_1_1a.wav": "Angry",
    "s001_con_actor002_impro1_1.wav": "None",
    "s001_con_actor002_impro1_2.flac": "Frustrated",
    "z001_mic_actor180_script1_1_1b.flac": "Neutral",
    "s001_con_actor002_impro1_3.flac": "Sleepy",
}


def thai_ser(folder):
    entries = {
        file: [
            {
                "annotated": [[1.0, 0.0, 0.0, 0.0, 0.0]],
                "agreement": 0.71,
                "majority_emo": emotion,
                "assigned_emo": "Happy",
            }
        ]
        for file, emotion in THAI.items()
    }
    write(folder / "emotion_label.json", json.dumps(entries))
    actors = [
        {"Actor's ID": "001", "Age": "24", "Sex": "Male"},
        {"Actor's ID": "002", "Age": "30", "Sex": "Female"},
    ]
    write(folder / "actor_demography.json", json.dumps({"data": actors}))
    for file in THAI:
        stem = file.partition(".")[0]
        session, microphone = stem.split("_")[:2]
        parent = "studio1-10/studio001" if session[0] == "s" else "zoom1-10/zoom001"
        touch(folder, [f"{parent}/{microphone}/{stem}.flac"])
    touch(folder, ["studio1-10/studio001/clip/s001_clip_actor001_script1_1_1a.flac"])
    touch(folder, ["studio1-10/studio001/con/s001_con_actor009_script9_9_9a.flac"])


def test_thai_ser(tmp_path):
    thai_ser(tmp_path)
    found, rejected = walk("thai_ser", tmp_path)
    wide = corpus.get("thai_ser").emotions
    assert {
        item.id: (wide[item.emotion], item.gender, item.speaker, item.session)
        for item in found.values()
    } == {
        "s001_con_actor001_script1_1_1a": ("angry", "male", "001", "s001"),
        "s001_con_actor002_impro1_1": ("other", "female", "002", "s001"),
        "s001_con_actor002_impro1_2": ("frustration", "female", "002", "s001"),
        "z001_mic_actor180_script1_1_1b": ("neutral", "", "180", "z001"),
    }
    path = "studio1-10/studio001/con/s001_con_actor001_script1_1_1a.flac"
    assert found["s001_con_actor001_script1_1_1a"].path == path
    assert sorted(reason[:20] for reason in rejected.values()) == [
        "not in emotion_label",
        "unknown emotion 'Sle",
    ]


# --- Dusha


def dusha(folder):
    votes = {  # what the annotators said, and the golden label
        "train": {"a1": ("angry angry sad", None), "a2": ("positive sad", None)},
        "test": {"b1": ("neutral", None), "b2": ("sad sad", "sad"), "b3": ("x", None)},
    }
    for part, recordings in votes.items():
        rows = [
            {
                "hash_id": name,
                "audio_path": f"wavs/{name}.wav",
                "duration": 2.1,
                "annotator_emo": emotion,
                "golden_emo": float("nan") if golden is None else golden,
                "speaker_text": "афина включи музыку",
                "speaker_emo": "angry",
                "source_id": f"speaker of {name}",
                "annotator_id": f"annotator {i}",
            }
            for name, (emotions, golden) in recordings.items()
            for i, emotion in enumerate(emotions.split())
        ]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write(folder / f"crowd/crowd_{part}/raw_crowd_{part}.jsonl", lines)
        write(folder / f"crowd/crowd_{part}/raw_crowd_{part}.tsv", "not read\n")
        touch(folder, [f"crowd/crowd_{part}/wavs/{name}.wav" for name in recordings])
    touch(folder, ["crowd/crowd_train/wavs/stray.wav"])


def test_dusha(tmp_path):
    dusha(tmp_path)
    found, rejected = walk("dusha", tmp_path)
    assert {
        item.id: (item.emotion, item.split, item.speaker) for item in found.values()
    } == {
        "a1": ("angry", "train", "speaker of a1"),
        "a2": ("no majority", "train", "speaker of a2"),
        "b1": ("neutral", "test", "speaker of b1"),
    }
    assert found["a1"].path == "crowd/crowd_train/wavs/a1.wav"
    assert found["a1"].text == "афина включи музыку"
    assert corpus.get("dusha").emotions["no majority"] == "other"
    assert {path: reason.split()[0] for path, reason in rejected.items()} == {
        "crowd/crowd_test/wavs/b2.wav": "a",  # recording that checked the annotators
        "crowd/crowd_test/wavs/b3.wav": "unknown",  # emotion
        "crowd/crowd_train/wavs/stray.wav": "in",  # neither label file
    }


# --- Damaged label files


def podcast(folder):
    write(folder / "Labels/labels_consensus.csv", PODCAST)


DAMAGE = [  # corpus, its tree, file, what is replaced, by what, and the complaint
    ("hi_kia", hi_kia, "hi_kia/split/F5_eval.csv", "happy", "joy", "columns happy"),
    ("hi_kia", hi_kia, "hi_kia/split/F5_eval.csv", None, "", "lacks the columns fname"),
    (
        "msp_podcast",
        podcast,
        "Labels/labels_consensus.csv",
        "SpkrID",
        "Speaker",
        "lacks the columns SpkrID",
    ),
    ("m3ed", m3ed, "M3ED/annotation.json", "Dialog", "Talk", "KeyError"),
    ("m3ed", m3ed, "M3ED/annotation.json", '"Speaker": "A"', '"Speaker": "C"', "'C'"),
    ("m3ed", m3ed, "M3ED/annotation.json", "}}}", "}", "is damaged"),
    ("m3ed", m3ed, "M3ED/annotation.json", None, "[]", "is damaged"),
    ("m3ed", m3ed, "M3ED/annotation.json", None, "", "is damaged"),
    ("thai_ser", thai_ser, "emotion_label.json", "majority", "most", "majority_emo"),
    ("thai_ser", thai_ser, "emotion_label.json", "[{", "{", "is damaged"),
    ("thai_ser", thai_ser, "actor_demography.json", '"Sex"', '"Gender"', "'Sex'"),
    (
        "dusha",
        dusha,
        "crowd/crowd_test/raw_crowd_test.jsonl",
        "annotator_emo",
        "emotion",
        "annotator_emo",
    ),
    ("dusha", dusha, "crowd/crowd_test/raw_crowd_test.jsonl", "}", "", "is damaged"),
    ("dusha", dusha, "crowd/crowd_test/raw_crowd_test.jsonl", None, "7\n", "damaged"),
]


@pytest.mark.parametrize("name, tree, file, old, new, complaint", DAMAGE)
def test_damaged_label_file(tmp_path, name, tree, file, old, new, complaint):
    tree(tmp_path)
    path = tmp_path / file
    text = path.read_text("utf-8")
    assert old is None or old in text
    write(path, new if old is None else text.replace(old, new))
    with pytest.raises(UserError, match=complaint) as caught:
        walk(name, tmp_path)
    assert path.name in str(caught.value)


LABELLED = {
    "hi_kia": "F5_p_1_1_a.wav",
    "eesc": "1.wav",
    "msp_improv": "session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav",
    "msp_podcast": "Audios/MSP-PODCAST_0001_0008.wav",
    "m3ed": "modality_speech/A_anjia_1_1.wav",
    "thai_ser": "studio1-10/studio001/con/s001_con_actor001_script1_1_1a.flac",
    "dusha": "crowd_train/wavs/a1.wav",
}


@pytest.mark.parametrize("name", LABELLED)
def test_audio_without_label_file(tmp_path, name):
    touch(tmp_path, [LABELLED[name]])
    with pytest.raises(UserError, match="does not look like"):
        walk(name, tmp_path)


# --- All of them


@pytest.mark.parametrize("name", sorted(set(UNKNOWN) | set(LABELLED)))
def test_declaration(name):
    declared = corpus.get(name)
    assert set(declared.emotions.values()) <= set(WIDE)
    assert set(declared.expected) <= set(declared.emotions.values())
    if declared.expected:
        assert sum(declared.expected.values()) == declared.size
    assert bool(declared.downloads) != bool(declared.steps)
    assert all(item.source for item in declared.downloads)
