"""AESDD, the Acted Emotional Speech Dynamic Database (Greek).

Actors say 19 sentences, and one that they make up, in five emotions (no neutral): 605
utterances, 44.1 kHz mono. Five actors (three women, two men) recorded the first
version, about 500 utterances; the names hold a sixth.

Paper: Vryzas et al., "Speech emotion recognition for performance interaction", Journal
of the Audio Engineering Society 66(6), 2018. Licence: CC BY 4.0 according to a mirror
(not verified: the home page states none). Home page:
http://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition/

Layout: ``anger/a01 (1).wav``: emotion (a anger, d disgust, f fear, h happiness, s
sadness), sentence (01-20), speaker in brackets. A second take has a letter behind it:
``a06 (5)b.wav``.

Quirks: speaker 1 is also written ``(01)``. ``s05 (3).wav`` is known not to decode.
Which speakers are women is not documented, so gender stays empty.

The listing of another toolkit lacks ``s05 (3).wav``, counts five speakers and takes
``(01)`` for another than ``(1)``.

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
    "s": "sadness",
}


@named(r"([adfhs])(\d\d) ?\((\d+)\)([a-z]?)")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    letter, sentence, speaker, take = match.groups()
    return Utterance(
        id=f"{letter}{sentence}_{int(speaker)}{take}".lower(),
        path=path,
        speaker=str(int(speaker)),
        emotion=EMOTIONS[letter.lower()],
    )


CORPUS = Corpus(
    name="aesdd",
    title="AESDD",
    language="el",
    licence="CC BY 4.0 (not verified)",
    homepage="http://m3c.web.auth.gr/research/aesdd-speech-emotion-recognition/",
    layout="anger/a01 (1).wav, ... in the folders anger, disgust, fear, happiness and "
    "sadness",
    emotions={
        "anger": "angry",
        "disgust": "disgust",
        "fear": "fear",
        "happiness": "happy",
        "sadness": "sad",
    },
    utterances=utterances,
    expected={"happy": 119, "angry": 121, "sad": 123, "fear": 120, "disgust": 122},
    size=605,
    speakers=6,
    hours=0.69,
    unusable={"s05_3": "known not to decode"},
    steps="Follow the link to the mega.nz folder on the home page and unpack the "
    "archive.",
)
