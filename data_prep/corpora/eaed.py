"""EAED, the Egyptian-Arabic emotional dataset.

Utterances of 37 men and 42 women from five Egyptian TV series, six emotions labelled by
four annotators and a fifth on ties: 3614 utterances, 44.1 kHz.

Paper: Safwat, Salem and Sharaf, "Building an Egyptian-Arabic speech corpus for emotion
analysis using deep learning", PRICAI 2023. Licence: by IEEE DataPort. Home page:
https://ieee-dataport.org/documents/egyptian-arabic-emotional-dataset-eaed

Layout: a folder for each series, in it one for each actor, in it
``NellyKarim_happy_ 01.wav``: actor, emotion, number.

Quirks: the names spell emotions in more than one way (surprised and surprise, fearful
and fear), with capitals or without, and the number with blanks or brackets. They do not
give the gender. The layout was taken from the corpus' description, not from a copy.

Split: none in the paper.
"""

import re
from pathlib import PurePosixPath

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named


@named(r"(.+)_([a-z]+)_[\s(]*(\d+)[\s)]*")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name; an actor's numbers restart in each series."""
    actor, emotion, number = match.groups()
    series = PurePosixPath(path).parts[:-2][-1:]
    return Utterance(
        id="_".join((*series, actor, emotion.lower(), number)),
        path=path,
        speaker=actor,
        emotion=emotion.lower(),
        session="".join(series),
    )


CORPUS = Corpus(
    name="eaed",
    title="EAED",
    language="ar",
    licence="by IEEE DataPort",
    homepage="https://ieee-dataport.org/documents/egyptian-arabic-emotional-dataset-eaed",
    layout="<series>/<actor>/NellyKarim_happy_ 01.wav, ...",
    emotions={
        "neutral": "neutral",
        "happy": "happy",
        "angry": "angry",
        "sad": "sad",
        "fearful": "fear",
        "fear": "fear",
        "surprised": "surprise",
        "surprise": "surprise",
    },
    utterances=utterances,
    size=3614,
    speakers=79,
    steps="Log in at the home page, download its 27 parts, and extract the first.",
)
