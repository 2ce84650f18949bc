"""KazEmoTTS, emotional speech of three narrators (Kazakh).

A woman and two men read sentences in six emotions: 54,760 utterances, recorded for
speech synthesis.

Paper: Abilbekov et al., "KazEmoTTS: a dataset for Kazakh emotional text-to-speech
synthesis", LREC-COLING 2024. Licence: by form. Home page:
https://github.com/IS2AI/KazEmoTTS

Layout: ``1263201035/train/1263201035_surprise_47861.wav``: narrator, emotion (neutral,
angry, happy, sad, fear, surprise), number; the folders ``train`` and ``eval`` divide each
narrator's. The sentence is in a .txt of the same name, and is not read.

Quirks: the paper calls fear scared. Which number is the woman is not said, so there are
no genders. The counts per narrator are 24,656, 19,802 and 10,302.

Split: none in the paper; ``train`` and ``eval`` share all speakers and are not used.
"""

import re

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named


@named(r"(\d+)_([a-z]+)_\d+")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    return Utterance(
        id=match.string,
        path=path,
        speaker=match[1],
        emotion=match[2].lower(),
    )


CORPUS = Corpus(
    name="kazemotts",
    title="KazEmoTTS",
    language="kk",
    licence="by form",
    homepage="https://github.com/IS2AI/KazEmoTTS",
    layout="1263201035/train/1263201035_surprise_47861.wav, ...",
    emotions={
        "neutral": "neutral",
        "happy": "happy",
        "angry": "angry",
        "sad": "sad",
        "fear": "fear",
        "surprise": "surprise",
    },
    utterances=utterances,
    expected={
        "neutral": 9385,
        "happy": 9059,
        "angry": 9059,
        "sad": 8980,
        "fear": 9098,
        "surprise": 9179,
    },
    size=54760,
    speakers=3,
    hours=74.9,
    steps="Fill in the form that the home page links to.",
)
