"""SAVEE, Surrey Audio-Visual Expressed Emotion (British English).

Four men say 15 sentences in each of six emotions and 30 neutrally: 480 utterances,
44.1 kHz mono.

Paper: Haq and Jackson, "Speaker-dependent audio-visual emotion recognition", AVSP 2009.
Licence: research only, by registration. Home page:
http://kahlan.eps.surrey.ac.uk/savee/

Layout: ``AudioData/DC/a01.wav``: speaker (DC, JE, JK, KL), emotion (a anger, d disgust,
f fear, h happiness, n neutral, sa sadness, su surprise), sentence. The copy on Kaggle
has all in one folder, as ``ALL/DC_a01.wav``; both are read.

Quirks: the videos, ``AudioVisualClip/DC/a01.avi``, are passed over.

Split: none in the paper.
"""

import re

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
PATH = r"(?:.*/)?(DC|JE|JK|KL)[/_]([a-z]{1,2})(\d\d)\.\w+"


@named(PATH, on="path")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the folder and file name."""
    speaker, letters, sentence = match.groups()
    letters = letters.lower()
    return Utterance(
        id=f"{speaker.upper()}_{letters}{sentence}",
        path=path,
        speaker=speaker.upper(),
        emotion=EMOTIONS.get(letters, letters),
        gender="male",
        sentence=sentence,
    )


CORPUS = Corpus(
    name="savee",
    title="SAVEE",
    language="en",
    licence="research only, by registration",
    homepage="http://kahlan.eps.surrey.ac.uk/savee/",
    layout="AudioData/DC/a01.wav, ... or ALL/DC_a01.wav, ... for the speakers DC, JE, "
    "JK and KL",
    emotions={
        "neutral": "neutral",
        "happiness": "happy",
        "anger": "angry",
        "sadness": "sad",
        "disgust": "disgust",
        "fear": "fear",
        "surprise": "surprise",
    },
    utterances=utterances,
    expected={
        "neutral": 120,
        **dict.fromkeys(("happy", "angry", "sad", "disgust", "fear", "surprise"), 60),
    },
    size=480,
    speakers=4,
    hours=0.5,
    steps="Register at the home page and extract AudioData.zip.",
)
