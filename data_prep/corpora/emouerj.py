"""emoUERJ, an emotional speech database in Brazilian Portuguese.

Four men and four women say sentences of their choice among ten in four emotions: 377
utterances.

Paper: Bastos Germano et al., "emoUERJ: an emotional speech database in Portuguese",
Zenodo, 2021. Licence: CC BY 4.0. Home page: https://zenodo.org/records/5427549

Layout: ``emoUERJ/w04a11.wav``: gender (m man, w woman) and number (01-04) of the
speaker, emotion (h happiness, a anger, s sadness, n neutral), recording.

Quirks: the names do not give the sentence.

Split: none in the paper. The download was not tried against the host.
"""

import re

from data_prep.corpus import Corpus, Download, Utterance
from data_prep.layouts import named

EMOTIONS = {"h": "happiness", "a": "anger", "s": "sadness", "n": "neutral"}


@named(r"([mw]\d\d)([a-z])\d\d")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    speaker, letter = (part.lower() for part in match.groups())
    return Utterance(
        id=match.string.lower(),
        path=path,
        speaker=speaker,
        emotion=EMOTIONS.get(letter, letter),
        gender="male" if speaker[0] == "m" else "female",
    )


CORPUS = Corpus(
    name="emouerj",
    title="emoUERJ",
    language="pt",
    licence="CC BY 4.0",
    homepage="https://zenodo.org/records/5427549",
    layout="emoUERJ/w04a11.wav, ...",
    emotions={
        "neutral": "neutral",
        "happiness": "happy",
        "anger": "angry",
        "sadness": "sad",
    },
    utterances=utterances,
    expected={"neutral": 92, "happy": 91, "angry": 94, "sad": 100},
    size=377,
    speakers=8,
    downloads=(
        Download(
            "https://zenodo.org/records/5427549/files/emoUERJ.zip",
            source="audEERING, datasets/emouerj/1.0.0/download.py; the hash is on "
            "Zenodo's page alone",
        ),
    ),
)
