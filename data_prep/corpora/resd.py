"""RESD, Russian Emotional Speech Dialogs.

Actors play 50 dialogues, each between two emotions out of seven: 1396 utterances, half
16 kHz, half 44.1 kHz.

Paper: Amentes, Lubenets and Davidchuk, on the library Aniemore, 2022 (in Russian; not
verified). Licence: MIT. Home page: https://huggingface.co/datasets/Aniemore/resd

Layout: ``train/anger_fear_42/42_anger_fear_a_180.wav`` and ``test/...``: dialogue, its
two emotions, the letter of this utterance's (a anger, d disgust, e enthusiasm, f fear,
h happiness, n neutral, s sadness), position; or ``01_happiness_anger a_010`` with a
blank.

Quirks: the corpus does not say who speaks. Third parties report 240 actors, and
recordings with more than one of them. Another toolkit's "200 speakers" are file names.
The edition on Hugging Face holds the audio in tables: it must be written to files
first, under the split and the column ``path``.

Split: the official train and test parts, which share all 50 dialogues and so most
likely every actor; there is no valid part. A dialogue is given as the session.
"""

import re

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "e": "enthusiasm",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "s": "sadness",
}
PATH = (
    r"(?:.*/)?(train|test)/(?:.*/)?"
    r"((\d\d)_[a-z]+_[a-z]+[ _]([adefhns])_\d+)\.\w+"
)


@named(PATH, on="path")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the path."""
    split, name, dialogue, letter = match.groups()
    return Utterance(
        id=name.replace(" ", "_").lower(),
        path=path,
        speaker="",
        emotion=EMOTIONS[letter.lower()],
        split=split.lower(),
        session=dialogue,
    )


CORPUS = Corpus(
    name="resd",
    title="RESD",
    language="ru",
    licence="MIT",
    homepage="https://huggingface.co/datasets/Aniemore/resd",
    layout="train/anger_fear_42/42_anger_fear_a_180.wav, ... and test/...",
    emotions={
        "neutral": "neutral",
        "happiness": "happy",
        "anger": "angry",
        "sadness": "sad",
        "disgust": "disgust",
        "enthusiasm": "enthusiasm",
        "fear": "fear",
    },
    utterances=utterances,
    expected={
        "neutral": 191,
        "happy": 218,
        "angry": 219,
        "sad": 162,
        "disgust": 185,
        "enthusiasm": 198,
        "fear": 223,
    },
    size=1396,
    speakers=0,
    hours=2.34,
    parts=True,
    steps="Load Aniemore/resd with the library datasets and write each row's audio to "
    "<split>/<path>, where <path> is its column.",
)
