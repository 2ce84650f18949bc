"""SUBESCO, the SUST Bangla Emotional Speech Corpus.

Twenty actors say ten sentences five times in seven emotions: 7000 utterances, 44.1 or
48 kHz mono, each evaluated by listeners.

Paper: Sultana et al., "SUST Bangla Emotional Speech Corpus (SUBESCO): an audio-only
emotional speech corpus for Bangla", PLoS ONE 16(4), 2021. Licence: CC BY 4.0. Home page:
https://zenodo.org/records/4526477

Layout: ``SUBESCO/F_01_OISHI_S_10_ANGRY_1.wav``: gender, number and name of the speaker,
sentence (1-10), emotion, take (1-5). Men and women are both numbered from 01.

Quirks: one file is called ``F_02_MONIKA_S_2_SURPRISE_3].wav``.

Split: none in the paper. The download was not tried against the host.
"""

import re

from data_prep.corpus import Corpus, Download, Utterance
from data_prep.layouts import named

NAME = r"(([FM])_\d\d)_[a-z]+_S_(\d\d?)_([a-z]+)_\d\]?"


@named(NAME)
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    speaker, gender, sentence, emotion = (part.upper() for part in match.groups())
    return Utterance(
        id=match.string.upper().rstrip("]"),
        path=path,
        speaker=speaker,
        emotion=emotion,
        gender="male" if gender == "M" else "female",
        sentence=f"S_{sentence}",
    )


CORPUS = Corpus(
    name="subesco",
    title="SUBESCO",
    language="bn",
    licence="CC BY 4.0",
    homepage="https://zenodo.org/records/4526477",
    layout="SUBESCO/F_01_OISHI_S_10_ANGRY_1.wav, ...",
    emotions={
        "NEUTRAL": "neutral",
        "HAPPY": "happy",
        "ANGRY": "angry",
        "SAD": "sad",
        "DISGUST": "disgust",
        "FEAR": "fear",
        "SURPRISE": "surprise",
    },
    utterances=utterances,
    expected=dict.fromkeys(
        ("neutral", "happy", "angry", "sad", "disgust", "fear", "surprise"), 1000
    ),
    size=7000,
    speakers=20,
    hours=7.7,
    downloads=(
        Download(
            "https://zenodo.org/records/4526477/files/SUBESCO.zip",
            "md5:13d702cf944bf54d70d66bffc036ed7a",
            "Zenodo record 4526477 (file name and MD5 as others quote them)",
        ),
    ),
)
