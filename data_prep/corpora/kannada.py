"""Kannada emotional speech dataset.

Four men and nine women say six sentences in six emotions: 468 utterances.

Paper: Agrawal, "Kannada emotional speech dataset", Zenodo, 2022. Licence: CC BY 4.0.
Home page: https://zenodo.org/records/6345107

Layout: ``01-01-01.wav``: speaker (01-13), emotion (01 anger, 02 sadness, 03 surprise, 04
happiness, 05 fear, 06 neutral), sentence.

Quirks: men are the speakers 04, 06, 12 and 13; two of the women are girls of twelve.

Split: none in the paper. The download was not tried against the host.
"""

import re

from data_prep.corpus import Corpus, Download, Utterance
from data_prep.layouts import named

EMOTIONS = {
    "01": "anger",
    "02": "sadness",
    "03": "surprise",
    "04": "happiness",
    "05": "fear",
    "06": "neutral",
}
MALE = {"04", "06", "12", "13"}


@named(r"(\d\d)-(\d\d)-(\d\d)")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    speaker, code, sentence = match.groups()
    return Utterance(
        id=match.string,
        path=path,
        speaker=speaker,
        emotion=EMOTIONS.get(code, code),
        gender="male" if speaker in MALE else "female",
        sentence=sentence,
    )


CORPUS = Corpus(
    name="kannada",
    title="Kannada emotional speech dataset",
    language="kn",
    licence="CC BY 4.0",
    homepage="https://zenodo.org/records/6345107",
    layout="01-01-01.wav, ...",
    emotions={
        "neutral": "neutral",
        "happiness": "happy",
        "anger": "angry",
        "sadness": "sad",
        "fear": "fear",
        "surprise": "surprise",
    },
    utterances=utterances,
    expected=dict.fromkeys(
        ("neutral", "happy", "angry", "sad", "fear", "surprise"), 78
    ),
    size=468,
    speakers=13,
    downloads=(
        Download(
            "https://zenodo.org/api/records/6345107/files-archive",
            source="audEERING, datasets/kannada/1.0.0/download.py; the host makes the "
            "archive anew each time, so it has no hash",
        ),
    ),
)
