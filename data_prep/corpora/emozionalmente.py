"""Emozionalmente, a crowd-sourced corpus of acted emotional speech in Italian.

431 amateurs say 18 sentences in seven emotions before microphones of their own: 6902
utterances, 16 kHz mono (150 of them 44.1 kHz).

Paper: Catania, Wilke and Garzotto, "Emozionalmente: A crowdsourced corpus of simulated
emotional speech in Italian", IEEE Transactions on Audio, Speech and Language Processing
33, 2025. Licence: CC BY 4.0. Home page: https://zenodo.org/records/6569824

Layout: ``audio/1612871026347.wav``; ``metadata/samples.csv`` (file_name, actor,
sentence, emotion_expressed, ...) and ``metadata/users.csv`` (username, gender, age,
mother_tongue, ...). ``metadata/evaluations.csv`` holds five listeners' votes on each.

Quirks: the emotion is the one that was acted; listeners heard it in 66 %. File names
say nothing, so nothing is used without the tables. An actor whose gender is neither
female nor male, or not given, has none here.

Split: none in use. Version 1.1 adds a speaker-independent train, dev and test split;
how its files are named and written is not verified, so it is not read.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data_prep.corpus import (
    Corpus,
    Download,
    Rejected,
    Utterance,
    audio_files,
    by_name,
    find,
    read_table,
)

COLUMNS = ("file_name", "actor", "emotion_expressed")


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read the tables; find the audio by its name."""
    audio = by_name(audio_files(folder))
    genders = {
        row["username"]: row["gender"].lower()
        for table in find(folder, "users.csv")[:1]
        for row in read_table(table, ("username", "gender"))
    }
    for table in find(folder, "samples.csv")[:1]:
        home = PurePosixPath(table.parent.parent.relative_to(folder).as_posix())
        for row in read_table(table, COLUMNS):
            name = PurePosixPath(row["file_name"]).stem
            gender = genders.get(row["actor"], "")
            yield Utterance(
                id=name,
                path=audio.pop(name, str(home / f"audio/{name}.wav")),
                speaker=row["actor"],
                emotion=row["emotion_expressed"],
                gender=gender if gender in ("female", "male") else "",
                text=row.get("sentence", ""),
            )
    for path in audio.values():
        yield Rejected(path, "not in samples.csv")


CORPUS = Corpus(
    name="emozionalmente",
    title="Emozionalmente",
    language="it",
    licence="CC BY 4.0",
    homepage="https://zenodo.org/records/6569824",
    layout="audio/1612871026347.wav, ... with metadata/samples.csv and "
    "metadata/users.csv",
    emotions={
        "neutrality": "neutral",
        "joy": "happy",
        "anger": "angry",
        "sadness": "sad",
        "disgust": "disgust",
        "fear": "fear",
        "surprise": "surprise",
    },
    utterances=utterances,
    expected=dict.fromkeys(
        ("neutral", "happy", "angry", "sad", "disgust", "fear", "surprise"), 986
    ),
    size=6902,
    speakers=431,
    hours=6.3,
    downloads=(
        Download(
            "https://zenodo.org/records/12616095/files/emozionalmente.zip",
            "md5:398c6502dd2b0e1e810f927c12897547",
            source="https://zenodo.org/records/6569824/latest (version 1.1); not tried "
            "against the host",
        ),
    ),
)
