"""VERBO, the Voice Emotion Recognition dataBase in Brazilian Portuguese.

Six actresses and six actors say 14 sentences in seven emotions: the 1167 utterances that
were kept.

Paper: Torres Neto et al., "VERBO: Voice Emotion Recognition dataBase in Portuguese
language", Journal of Computer Science 14(11), 2018. Licence: research, on request by
e-mail. Home page: https://doi.org/10.3844/jcssp.2018.1420.1430

Layout: ``Audios/f1/rai-f1-l3.wav``: emotion (ale joy, des disgust, med fear, neu neutral,
rai anger, sur surprise, tri sadness), speaker (f1-f6, m1-m6), sentence.

Quirks: the design is EMOVO's. The layout was put together from programs that read it,
not from a copy; speakers may be numbered 1 or 01, sentences by any letter.

Split: none in the paper.
"""

import re

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named


@named(r"([a-z]{3})-([fm])(\d+)-([a-z]\d+)")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    emotion, gender, number, sentence = (part.lower() for part in match.groups())
    return Utterance(
        id=match.string.lower(),
        path=path,
        speaker=f"{gender}{int(number)}",
        emotion=emotion,
        gender="male" if gender == "m" else "female",
        sentence=sentence,
    )


CORPUS = Corpus(
    name="verbo",
    title="VERBO",
    language="pt",
    licence="research, on request",
    homepage="https://doi.org/10.3844/jcssp.2018.1420.1430",
    layout="Audios/f1/rai-f1-l3.wav, ... for the speakers f1 to f6 and m1 to m6",
    emotions={
        "neu": "neutral",
        "ale": "happy",
        "rai": "angry",
        "tri": "sad",
        "des": "disgust",
        "med": "fear",
        "sur": "surprise",
    },
    utterances=utterances,
    size=1167,
    speakers=12,
    steps="Write to the authors, of the University of São Paulo; see the paper.",
)
