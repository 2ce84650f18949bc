"""MSP-Podcast, naturalistic emotional speech from podcasts (English).

Speaking turns of 3 to 11 s, cut from podcasts with permissive licences and labelled by a
crowd, 16 kHz mono; it grows from release to release (2.0: over 400 hours).

Paper: Lotfian and Busso, "Building naturalistic emotionally balanced speech corpus by
retrieving emotional speech from existing podcast recordings", IEEE Transactions on
Affective Computing 10(4), 2019. Licence: research, by signed agreement. Home page:
https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html

Layout: ``Audios/MSP-PODCAST_0001_0008.wav`` (or ``Audio``), and
``Labels/labels_consensus.csv`` (older releases: ``labels_concensus.csv``): FileName,
EmoClass (A anger, H happiness, S sadness, N neutral, U surprise, F fear, D disgust, C
contempt, O other, X no agreement), EmoAct, EmoVal, EmoDom (1 to 7), SpkrID, Gender,
Split_Set. Text is in ``Transcripts/MSP-PODCAST_0001_0008.txt`` and is not read.

Quirks: a speaker ``Unknown`` is none. Test1 and Test2 (which was not collected by
retrieval) are both test here, told apart by the column ``session``. The labels of Test3
are not published: its files are rejected. The declared counts are those of EmoBox's copy
(73,042 turns, 113.6 hours); a later release has more.

Split: none in the paper; official parts are Train, Development (earlier Validation) and
the tests, and share no known speaker.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_prep.corpus import (
    Corpus,
    Rejected,
    Utterance,
    audio_files,
    by_name,
    find,
    read_table,
)

COLUMNS = (
    "FileName",
    "EmoClass",
    "EmoAct",
    "EmoVal",
    "EmoDom",
    "SpkrID",
    "Gender",
    "Split_Set",
)
PARTS = {
    "train": "train",
    "development": "valid",
    "validation": "valid",
    "test1": "test",
    "test2": "test",
}


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read the table; find the audio by its name."""
    audio = by_name(audio_files(folder))
    for table in find(folder, "labels_con[sc]ensus.csv")[:1]:
        for row in read_table(table, COLUMNS):
            name = PurePosixPath(row["FileName"]).stem
            path = audio.pop(name, f"Audios/{name}.wav")
            part = row["Split_Set"]
            if part.lower() not in PARTS:
                yield Rejected(path, f"unknown part {part!r} in {table.name}")
                continue
            known = row["SpkrID"].lower() not in ("unknown", "")
            gender = row["Gender"].lower()
            yield Utterance(
                id=name,
                path=path,
                speaker=row["SpkrID"] if known else "",
                emotion=row["EmoClass"],
                split=PARTS[part.lower()],
                gender=gender if gender in ("male", "female") else "",
                session=part,
                arousal=row["EmoAct"],
                valence=row["EmoVal"],
                dominance=row["EmoDom"],
            )
    for path in audio.values():
        yield Rejected(path, "not in labels_consensus.csv")


CORPUS = Corpus(
    name="msp_podcast",
    title="MSP-Podcast",
    language="en",
    licence="research, by agreement",
    homepage="https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
    layout="Labels/labels_consensus.csv, and Audios/MSP-PODCAST_0001_0008.wav, ...",
    emotions={
        "N": "neutral",
        "H": "happy",
        "A": "angry",
        "S": "sad",
        "U": "surprise",
        "F": "fear",
        "D": "disgust",
        "C": "contempt",
        "O": "other",
        "X": "other",
    },
    utterances=utterances,
    expected={
        "neutral": 26009,
        "happy": 14285,
        "angry": 3218,
        "sad": 2649,
        "surprise": 4084,
        "fear": 1544,
        "disgust": 2593,
        "contempt": 3644,
        "other": 15016,
    },
    size=73042,
    speakers=1273,
    hours=113.6,
    parts=True,
    steps="Have the agreement of the home page signed by your institution.",
)
