"""EmoV-DB, the Emotional Voices Database (English).

Two women and two men say sentences of CMU Arctic in five styles, made for synthesis:
6887 utterances, 16 kHz mono (Bea: 44.1 kHz).

Paper: Adigwe et al., "The emotional voices database: Towards controlling the emotion
dimension in voice generation systems", arXiv:1806.09514, 2018. Licence: its own,
non-commercial. Home page: https://github.com/numediart/EmoV-DB

Layout: ``bea_Amused/amused_1-15_0001.wav`` (OpenSLR 115) or ``bea/Amused/...`` (the
sorted edition): speaker and style; style, range of an annotation file, sentence.

Quirks: Josh has no anger and no disgust; a fifth speaker of the paper, a French man, is
not published (not verified). Amusement is amused speech, laughter among it, and counts
as happiness, as in SpeechBrain's emotion diarization recipe. The authors' page counts
7000 files, among them 27 more of Jenie's anger; the edition that another toolkit lists
has 6887, and so does this declaration.

Split: none in the paper.
"""

import re

from data_prep.corpus import Corpus, Download, Utterance
from data_prep.layouts import named

STYLES = ("Amused", "Angry", "Disgusted", "Neutral", "Sleepy")
GENDERS = {"bea": "female", "jenie": "female", "josh": "male", "sam": "male"}
ARCHIVES = [
    f"{speaker}_{style}"
    for speaker in GENDERS
    for style in STYLES
    if (speaker, style) not in (("josh", "Angry"), ("josh", "Disgusted"))
]
PATH = (
    rf"(?:.*/)?({'|'.join(GENDERS)})[_/]({'|'.join(STYLES)})/"
    r"(?:.*/)?([a-z]+_[\d_-]+)\.\w+"
)


@named(PATH, on="path")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the path."""
    speaker, style, name = match[1].lower(), match[2].capitalize(), match[3].lower()
    return Utterance(
        id=f"{speaker}_{name}",
        path=path,
        speaker=speaker,
        emotion=style,
        gender=GENDERS[speaker],
    )


CORPUS = Corpus(
    name="emovdb",
    title="EmoV-DB",
    language="en",
    licence="its own, non-commercial",
    homepage="https://github.com/numediart/EmoV-DB",
    layout="bea_Amused/amused_1-15_0001.wav, ... of bea, jenie, josh and sam",
    emotions={
        "Neutral": "neutral",
        "Angry": "angry",
        "Amused": "amusement",
        "Disgusted": "disgust",
        "Sleepy": "sleepiness",
    },
    utterances=utterances,
    merge={"amusement": "happy"},
    expected={
        "neutral": 1566,
        "angry": 1267,
        "amusement": 1315,
        "disgust": 1019,
        "sleepiness": 1720,
    },
    size=6887,
    speakers=4,
    hours=9.48,
    downloads=tuple(
        Download(
            f"https://www.openslr.org/resources/115/{name}.tar.gz",
            source="the resource's page on OpenSLR, which gives no hash; not tried "
            "against the host",
        )
        for name in ARCHIVES
    ),
)
