"""MESD, the Mexican Emotional Speech Database (Spanish).

Three women, two men and six children, no professional actors, say single words in six
emotions: 862 utterances, 48 kHz mono.

Paper: Duville, Alonso-Valerdi and Ibarra-Zarate, "The Mexican Emotional Speech Database
(MESD): elaboration and assessment based on machine learning", EMBC 2021. Licence:
CC BY 4.0. Home page: https://data.mendeley.com/datasets/cy34mh68j9/5

Layout: ``Mexican Emotional Speech Database (MESD)/Anger_F_A_tarde.wav``: emotion, voice
(F female, M male, C child), word corpus (A: 24 words for all emotions, B: 24 words for
each), word.

Quirks: the names give the kind of voice, not which of the eleven speaks, so the corpus
has no speakers here. A child's gender is not given. Anger and neutral lack one word
each.

Split: none in the paper; by default all is train.
"""

import re

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named

GENDERS = {"F": "female", "M": "male", "C": ""}


@named(r"([a-z]+)_([FMC])_[AB]_(.+)")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    emotion, voice, word = match.groups()
    return Utterance(
        id=match.string,
        path=path,
        speaker="",
        emotion=emotion.capitalize(),
        gender=GENDERS[voice.upper()],
        text=word.replace("_", " "),
    )


CORPUS = Corpus(
    name="mesd",
    title="MESD",
    language="es",
    licence="CC BY 4.0",
    homepage="https://data.mendeley.com/datasets/cy34mh68j9/5",
    layout="Mexican Emotional Speech Database (MESD)/Anger_F_A_tarde.wav, ...",
    emotions={
        "Neutral": "neutral",
        "Happiness": "happy",
        "Anger": "angry",
        "Sadness": "sad",
        "Disgust": "disgust",
        "Fear": "fear",
    },
    utterances=utterances,
    expected={
        "neutral": 143,
        "happy": 144,
        "angry": 143,
        "sad": 144,
        "disgust": 144,
        "fear": 144,
    },
    size=862,
    hours=0.2,
    steps="Press `Download All` at the home page and extract the archive in it.",
)
