"""M3ED, the Multi-modal Multi-scene Multi-label Emotional Dialogue database (Mandarin).

Dialogues of two, cut from 56 Chinese TV series: 24,449 utterances, 16 kHz mono, seven
emotions voted by three annotators.

Paper: Zhao et al., "M3ED: Multi-modal multi-scene multi-label emotional dialogue
database", ACL 2022. Licence: research, by agreement. Home page:
https://github.com/AIM3-RUC/RUCM3ED

Layout: ``annotation.json``: series, dialogue, ``SpeakerInfo`` (A and B, with ``Name``)
and ``Dialog`` (by utterance, as ``shaonianpai_1_1``: ``Speaker``, ``Text``,
``EmoAnnotation`` with ``final_main_emo``). Audio is ``modality_speech/A_shaonianpai_1_1
.wav``: speaker, utterance. ``splitInfo/movie_list_{train,val,test}.txt`` name the series
of each part.

Quirks: twelve files (7, 2 and 3 of the parts) hold no samples and are rejected. The main
emotion is taken, not the further ones of ``final_mul_emo``. A speaker is a name within a
series. That ``SpeakerInfo`` has a ``Gender`` was not verified against a copy.

Split: none in the paper; by whole series, so that no dialogue is cut apart. The official
parts share no series either.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.corpus import (
    Corpus,
    Rejected,
    Utterance,
    audio_files,
    by_name,
    find,
    read_text,
)
from data_prep.labels import read_json

PARTS = {"train": "train", "val": "valid", "test": "test"}


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read the annotation; find the audio by its name."""
    audio = by_name(audio_files(folder))
    part_of = {
        series: split
        for part, split in PARTS.items()
        for listed in find(folder, f"movie_list_{part}.txt")[:1]
        for series in read_text(listed, "gb18030").split()
    }
    for labels in find(folder, "annotation.json")[:1]:
        home = labels.parent.relative_to(folder) / "modality_speech"
        with read_json(labels) as annotation:
            dialogues = [
                (series, dialogue)
                for series, dialogues in annotation.items()
                for dialogue in dialogues.values()
            ]
            for series, dialogue in dialogues:
                for name, said in dialogue["Dialog"].items():
                    person = dialogue["SpeakerInfo"][said["Speaker"]]
                    gender = str(person.get("Gender", "")).lower()
                    stem = f"{said['Speaker']}_{name}"
                    yield Utterance(
                        id=name,
                        path=audio.pop(stem, (home / f"{stem}.wav").as_posix()),
                        speaker=f"{series}_{person['Name']}",
                        emotion=str(said["EmoAnnotation"]["final_main_emo"]),
                        split=part_of.get(series, ""),
                        gender=gender if gender in ("male", "female") else "",
                        text=str(said["Text"]),
                        session=series,
                    )
    for path in audio.values():
        yield Rejected(path, "not in annotation.json")


CORPUS = Corpus(
    name="m3ed",
    title="M3ED",
    language="zh",
    licence="research, by agreement",
    homepage="https://github.com/AIM3-RUC/RUCM3ED",
    layout="annotation.json, splitInfo/movie_list_train.txt, ... and "
    "modality_speech/A_shaonianpai_1_1.wav, ...",
    emotions={
        "Neutral": "neutral",
        "Happy": "happy",
        "Anger": "angry",
        "Sad": "sad",
        "Surprise": "surprise",
        "Disgust": "disgust",
        "Fear": "fear",
    },
    utterances=utterances,
    expected={
        "neutral": 10028,
        "happy": 2287,
        "angry": 5234,
        "sad": 3957,
        "surprise": 1051,
        "disgust": 1497,
        "fear": 395,
    },
    size=24449,
    speakers=626,
    hours=9.8,
    parts=True,
    split_by="session",
    steps="Fill in the form that the home page links to.",
)
