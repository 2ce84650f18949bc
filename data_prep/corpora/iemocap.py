"""IEMOCAP, the Interactive Emotional Dyadic Motion Capture database (English).

Five sessions of a woman and a man who improvise and play scripts: 10,039 utterances,
16 kHz mono, each labelled by at least three annotators.

Paper: Busso et al., "IEMOCAP: Interactive emotional dyadic motion capture database",
Language Resources and Evaluation 42, 2008. Licence: research, by signed agreement. Home
page: https://sail.usc.edu/iemocap/

Layout: ``Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav``; labels are
the summary lines of ``Session1/dialog/EmoEvaluation/Ses01F_impro01.txt``, text is in
``Session1/dialog/transcriptions``. The letter before the number is the speaker; that
after the session only says who wore the markers.

Valence, activation and dominance are means of the annotators' 1 to 5.

Quirks: excited (exc) is merged into happy, as the field does for four classes: 1708
neutral, 1636 happy, 1103 angry, 1084 sad. Utterances without a majority (xxx) count as
other. Recordings of whole dialogues
(``dialog/wav``) and the single annotators' files are passed over.

Split: none in the paper; by whole sessions, so that no dialogue is cut apart.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import (
    Corpus,
    Rejected,
    Utterance,
    audio_files,
    by_name,
    files,
    read_text,
)

LABEL = re.compile(
    r"^\[[\d. ]+-[\d. ]+\]\s+((Ses\d\d)[FM]_\w+_([FM])\w+)\s+(\w+)"
    r"(?:\s+\[([\d.]+), *([\d.]+), *([\d.]+)\])?",
    re.M,
)
TEXT = re.compile(r"^(Ses\w+) \[[^\]]*\]:[ \t]*(.*?)\s*$", re.M)
DIALOGUE = re.compile(r"Ses\d\d[FM]_(impro|script)\d\d[a-z]?(_\d[a-z]?)?")


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read the label files; find the audio by its name."""
    single = (file for file in audio_files(folder) if not DIALOGUE.fullmatch(file[1]))
    audio = by_name(single)
    for path, _ in files(folder, (".txt",)):
        labels = folder / path
        if labels.parent.name != "EmoEvaluation":
            continue
        home = labels.parents[2]
        transcript = home / "dialog/transcriptions" / labels.name
        text = read_text(transcript, "cp1252") if transcript.is_file() else ""
        texts = dict(TEXT.findall(text))
        for name, session, letter, emotion, *scales in LABEL.findall(
            read_text(labels, "cp1252")
        ):
            valence, arousal, dominance = scales
            dialogue = name.rpartition("_")[0]
            official = home / f"sentences/wav/{dialogue}/{name}.wav"
            yield Utterance(
                id=name,
                path=audio.pop(name, official.relative_to(folder).as_posix()),
                speaker=session + letter,
                emotion=emotion,
                gender="male" if letter == "M" else "female",
                text=texts.get(name, ""),
                session=session,
                arousal=arousal,
                valence=valence,
                dominance=dominance,
            )
    for path in audio.values():
        yield Rejected(path, "not in the label files of dialog/EmoEvaluation")


CORPUS = Corpus(
    name="iemocap",
    title="IEMOCAP",
    language="en",
    licence="research, by agreement",
    homepage="https://sail.usc.edu/iemocap/",
    layout="Session1/dialog/EmoEvaluation/Ses01F_impro01.txt, ... and "
    "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav, ...",
    emotions={
        "neu": "neutral",
        "hap": "happy",
        "exc": "excitement",
        "ang": "angry",
        "sad": "sad",
        "fru": "frustration",
        "fea": "fear",
        "sur": "surprise",
        "dis": "disgust",
        "oth": "other",
        "xxx": "other",
    },
    utterances=utterances,
    merge={"excitement": "happy"},
    expected={
        "neutral": 1708,
        "happy": 595,
        "angry": 1103,
        "sad": 1084,
        "excitement": 1041,
        "frustration": 1849,
        "fear": 40,
        "surprise": 107,
        "disgust": 2,
        "other": 2510,
    },
    size=10039,
    speakers=10,
    hours=12.4,
    steps="Fill in the release form of the home page.",
    split_by="session",
)
