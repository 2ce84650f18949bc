"""IndoWaveSentiment (Indonesian).

Five men and five women say one sentence three times in five emotions at two intensities:
300 utterances, 16 kHz mono.

Paper: Bustamin et al., "IndoWaveSentiment: Indonesian audio dataset for emotion
classification", Data in Brief 57, 2024. Licence: CC BY 4.0. Home page:
https://data.mendeley.com/datasets/j9ytfdzy27/1

Layout: ``IndoWaveSentiment/.../07-03-02-03.wav``: actor (odd: male, even: female),
emotion (01 neutral, 02 happy, 03 surprise, 04 disgust, 05 disappointed), intensity (01
normal, 02 strong), repetition.

Quirks: neither anger nor sadness is acted. Disappointment is none of the wide
vocabulary. The folders between were not verified against a copy.

Split: none in the paper.
"""

import re

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named

EMOTIONS = {
    "01": "neutral",
    "02": "happy",
    "03": "surprise",
    "04": "disgust",
    "05": "disappointed",
}


@named(r"(\d\d)-(\d\d)-(0[12])-\d\d")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    actor, code, intensity = match.groups()
    return Utterance(
        id=match.string,
        path=path,
        speaker=actor,
        emotion=EMOTIONS.get(code, code),
        gender="male" if int(actor) % 2 else "female",
        intensity="strong" if intensity == "02" else "normal",
    )


CORPUS = Corpus(
    name="indowave",
    title="IndoWaveSentiment",
    language="id",
    licence="CC BY 4.0",
    homepage="https://data.mendeley.com/datasets/j9ytfdzy27/1",
    layout="IndoWaveSentiment/.../07-03-02-03.wav, ...",
    emotions={
        "neutral": "neutral",
        "happy": "happy",
        "surprise": "surprise",
        "disgust": "disgust",
        "disappointed": "other",
    },
    utterances=utterances,
    expected={"neutral": 60, "happy": 60, "surprise": 60, "disgust": 60, "other": 60},
    size=300,
    speakers=10,
    steps="Press `Download All` at the home page and extract the archive in it.",
)
