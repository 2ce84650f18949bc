"""TESS, the Toronto emotional speech set (Canadian English).

Two actresses, aged 26 and 64, say 200 words in the carrier phrase "Say the word ..." in
seven emotions: 2800 utterances, 24,414 Hz mono.

Paper: Dupuis and Pichora-Fuller, "Recognition of emotional speech for younger and older
talkers", Canadian Acoustics 39(3), 2011; data: doi 10.5683/SP2/E8H2MF. Licence:
CC BY-NC 4.0. Home page: https://tspace.library.utoronto.ca/handle/1807/24487

Layout: ``OAF_angry/OAF_back_angry.wav``: speaker (OAF the older, YAF the younger), word,
emotion (ps: pleasant surprise). Everything is read off the file names; folders may lack.

Quirks: one file is called ``OA_bite_neutral.wav``. The copy on Kaggle holds the set
twice, one within the other's folder: the second copy of a file is rejected.

Split: none in the paper.
"""

import re

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named


@named(r"([OY])AF?_([a-z]+)_([a-z]+)", copies=True)
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    letter, word, emotion = match.groups()
    return Utterance(
        id=match.string,
        path=path,
        speaker=f"{letter.upper()}AF",
        emotion=emotion.lower(),
        gender="female",
        text=f"Say the word {word}",
    )


CORPUS = Corpus(
    name="tess",
    title="TESS",
    language="en",
    licence="CC BY-NC 4.0",
    homepage="https://tspace.library.utoronto.ca/handle/1807/24487",
    layout="OAF_angry/OAF_back_angry.wav, ...",
    emotions={
        "neutral": "neutral",
        "happy": "happy",
        "angry": "angry",
        "sad": "sad",
        "disgust": "disgust",
        "fear": "fear",
        "ps": "surprise",
    },
    utterances=utterances,
    expected=dict.fromkeys(
        ("neutral", "happy", "angry", "sad", "disgust", "fear", "surprise"), 400
    ),
    size=2800,
    speakers=2,
    hours=1.6,
    steps="Download the files from the home page, or all as one .zip from "
    "https://doi.org/10.5683/SP2/E8H2MF; no form is asked for.",
)
