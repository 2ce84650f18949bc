"""Emotions in Polish speech recordings (Gdańsk University of Technology).

Five men, 21 to 23 years old, say six short words five times each in anger, in fear and
neutrally: 450 recordings of about a second, 44.1 kHz mono.

Paper: Mięsikowska and Świsulski, "Emotions in Polish speech recordings", data set,
Gdańsk University of Technology, 2020, doi:10.34808/h46c-hb44. Licence: not verified.
Home page: https://doi.org/10.34808/h46c-hb44

Layout: ``m1.a_nie_2.wav``: speaker, emotion (a anger, s fear, n neutral), word,
repetition.

Quirks: s is fear (strach), not sadness, so that of the four emotions there are two.

Split: none in the paper.
"""

import re

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named

EMOTIONS = {"a": "anger", "s": "fear", "n": "neutral"}


@named(r"(m\d)\.([ans])_(\w+)_(\d)")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    speaker, letter, word, _ = match.groups()
    return Utterance(
        id=match.string.lower(),
        path=path,
        speaker=speaker.lower(),
        emotion=EMOTIONS[letter.lower()],
        gender="male",
        text=word,
    )


CORPUS = Corpus(
    name="polish",
    title="Emotions in Polish speech recordings",
    language="pl",
    licence="not verified",
    homepage="https://doi.org/10.34808/h46c-hb44",
    layout="m1.a_nie_2.wav, ... of the speakers m1 to m5",
    emotions={"anger": "angry", "fear": "fear", "neutral": "neutral"},
    utterances=utterances,
    expected={"neutral": 150, "angry": 150, "fear": 150},
    size=450,
    speakers=5,
    hours=0.11,
    steps="Download Speech_emotions.zip from the home page (MOST Wiedzy, Gdańsk) and "
    "unpack it.",
)
