"""THAI SER, Thai speech emotion recognition.

A hundred sessions of two actors who play scripts and improvise, 80 in studios and 20 by
video call: 27,854 utterances of 200 actors, 44.1 kHz, each labelled by a crowd.

Paper: none; VISTEC-depa AI Research Institute of Thailand, 2021. Licence: CC BY-SA 4.0.
Home page: https://github.com/vistec-AI/dataset-releases/releases/tag/v1

Layout: ``studio1-10/studio001/con/s001_con_actor001_script1_1_1a.flac`` (and ``zoom1-10/
zoom001/mic/z001_mic_...``): session, microphone, actor, script or impro.
``emotion_label.json``: by file, a list of one: ``assigned_emo``, ``majority_emo`` (None
without majority), ``agreement``, ``annotated``. ``actor_demography.json``: ``data``, by
``Actor's ID``, with ``Sex``.

Quirks: the label is what most annotators heard (``majority_emo``), not what the actor
was told. Labels name the condenser microphone (con) of the studios and the one (mic) of
the calls; what other microphones recorded at the same time is passed over.

Split: none in the paper; by whole sessions, so that no dialogue is cut apart. The
download was not tried against the host.
"""

import re
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
)
from data_prep.labels import read_json

NAME = re.compile(r"([sz]\d+)_([a-z]+)_actor(\d+)_(?:script|impro)\w*", re.IGNORECASE)
LABELLED = ("con", "mic")
RELEASE = "https://github.com/vistec-AI/dataset-releases/releases/download/v1/"
ARCHIVES = (
    *(f"studio{n}1-{n + 1}0" if n else "studio1-10" for n in range(8)),
    "zoom1-10",
    "zoom11-20",
)


def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
    """Read the label file; find the audio by its name."""
    audio = by_name(audio_files(folder))
    genders = {}
    for actors in find(folder, "actor_demography*.json")[:1]:
        with read_json(actors) as demography:
            for actor in demography["data"]:
                genders[str(actor["Actor's ID"])] = str(actor["Sex"]).lower()
    for labels in find(folder, "emotion_label*.json")[:1]:
        with read_json(labels) as entries:
            for file, (entry, *_) in entries.items():
                stem = PurePosixPath(file).stem
                path = audio.pop(stem, f"{stem}.flac")
                match = NAME.fullmatch(stem)
                if not match:
                    yield Rejected(path, "name does not fit the corpus")
                    continue
                session, _, actor = match.groups()
                gender = genders.get(actor, "")
                yield Utterance(
                    id=stem,
                    path=path,
                    speaker=actor,
                    emotion=str(entry["majority_emo"]),
                    gender=gender if gender in ("male", "female") else "",
                    session=session,
                )
    for stem, path in audio.items():
        match = NAME.fullmatch(stem)
        if not match or match[2].lower() in LABELLED:
            yield Rejected(path, "not in emotion_label.json")


CORPUS = Corpus(
    name="thai_ser",
    title="THAI SER",
    language="th",
    licence="CC BY-SA 4.0",
    homepage="https://github.com/vistec-AI/dataset-releases/releases/tag/v1",
    layout="emotion_label.json, actor_demography.json and "
    "studio1-10/studio001/con/s001_con_actor001_script1_1_1a.flac, ...",
    emotions={
        "Neutral": "neutral",
        "Happy": "happy",
        "Angry": "angry",
        "Sad": "sad",
        "Frustrated": "frustration",
        "Other": "other",
        "None": "other",
    },
    utterances=utterances,
    size=27854,
    speakers=200,
    hours=41.6,
    split_by="session",
    downloads=tuple(
        Download(RELEASE + file, source="SEACrowd, thai_ser.py; no hash is published")
        for file in (
            "emotion_label.json",
            "actor_demography.json",
            *(f"{archive}.zip" for archive in ARCHIVES),
        )
    ),
)
