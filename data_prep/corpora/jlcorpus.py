"""JL-Corpus, emotional speech in New Zealand English.

Two women and two men, trained actors, say 15 sentences four times (a and b, 1 and 2) in
five primary and five secondary emotions: 2400 utterances, 44.1 kHz mono.

Paper: James, Tian and Watson, "An open source emotional speech corpus for human robot
interaction applications", Interspeech 2018. Licence: CC0. Home page:
https://www.kaggle.com/datasets/tli725/jl-corpus

Layout:
``Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/female1_angry_10a_1.wav``:
speaker, emotion, sentence with a or b, repetition; beside each its text as .txt.

Quirks: the upload also holds part of the corpus a second time, in a folder of small
letters, and clips of the listening test: the first file of a name counts, others are
rejected. Excitement counts as happiness, as in SpeechBrain's emotion diarization
recipe; it is one of the five primary emotions (with happy, angry, sad and neutral).

Split: none in the paper.
"""

import re

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named


@named(r"((female|male)\d)_([a-z]+)_(\d+[ab])_(\d)", copies=True)
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    speaker, gender, emotion, _, _ = match.groups()
    return Utterance(
        id=match.string.lower(),
        path=path,
        speaker=speaker.lower(),
        emotion=emotion.lower(),
        gender=gender.lower(),
    )


CORPUS = Corpus(
    name="jlcorpus",
    title="JL-Corpus",
    language="en",
    licence="CC0",
    homepage="https://www.kaggle.com/datasets/tli725/jl-corpus",
    layout="female1_angry_10a_1.wav, ... of female1, female2, male1 and male2",
    emotions={
        "neutral": "neutral",
        "happy": "happy",
        "angry": "angry",
        "sad": "sad",
        "excited": "excitement",
        "anxious": "anxiety",
        **dict.fromkeys(
            ("apologetic", "assertive", "concerned", "encouraging"), "other"
        ),
    },
    utterances=utterances,
    merge={"excitement": "happy"},
    expected={
        **dict.fromkeys(("neutral", "happy", "angry", "sad"), 240),
        "excitement": 240,
        "anxiety": 240,
        "other": 960,
    },
    size=2400,
    speakers=4,
    hours=1.41,
    steps="Download it from Kaggle (an account is needed): kaggle datasets download -d "
    "tli725/jl-corpus, and unpack it.",
)
