"""ShEMO, the Sharif Emotional Speech Database (Persian).

Utterances of 87 speakers (31 women, 56 men) cut from radio plays, in six emotions voted
by twelve annotators: 3000, most of them 44.1 kHz mono, some 22.05 kHz.

Paper: Mohamad Nezami, Jamshid Lou and Karami, "ShEMO: a large-scale validated database
for Persian speech emotion detection", Language Resources and Evaluation 53, 2019.
Licence: Apache 2.0 on the authors' page at Hugging Face; the paper says free for
academic purposes. Home page:
https://github.com/pariajm/sharif-emotional-speech-database

Layout: ``female/F03S02.wav``: speaker (F female, M male, number), emotion (A anger, F
fear, H happiness, N neutral, S sadness, W surprise), number. ``shemo.json`` holds
transcripts.

Quirks: many transcripts bear the name of another recording (Yazdani and Shekofteh's
ShEMO-Modification found 347), so texts are not read; and it holds the labels of 163
recordings for wrong. Here the published labels, those of the file names, are used.

The listing of another toolkit has the 2838 recordings whose name a transcript shares,
and lacks the other 162. The counts per emotion of the whole are those commonly cited
from the paper (not verified; they add up to 3000).

Split: none in the paper.
"""

import re

from data_prep.corpus import Corpus, Utterance
from data_prep.layouts import named

EMOTIONS = {
    "A": "anger",
    "F": "fear",
    "H": "happiness",
    "N": "neutral",
    "S": "sadness",
    "W": "surprise",
}


@named(r"(([FM])\d\d)([AFHNSW])\d\d+")
def utterances(path: str, match: re.Match) -> Utterance:
    """Read everything off the file name."""
    speaker, gender, letter = (part.upper() for part in match.groups())
    return Utterance(
        id=match.string.upper(),
        path=path,
        speaker=speaker,
        emotion=EMOTIONS[letter],
        gender="female" if gender == "F" else "male",
    )


CORPUS = Corpus(
    name="shemo",
    title="ShEMO",
    language="fa",
    licence="Apache 2.0, or free for academic purposes",
    homepage="https://github.com/pariajm/sharif-emotional-speech-database",
    layout="female/F03S02.wav, ... and male/M02F01.wav, ...",
    emotions={
        "neutral": "neutral",
        "happiness": "happy",
        "anger": "angry",
        "sadness": "sad",
        "fear": "fear",
        "surprise": "surprise",
    },
    utterances=utterances,
    expected={
        "neutral": 1028,
        "happy": 201,
        "angry": 1059,
        "sad": 449,
        "fear": 38,
        "surprise": 225,
    },
    size=3000,
    speakers=87,
    hours=3.42,
    steps="Follow the links to female.zip and male.zip on the home page (Dropbox; those "
    "in the repository are reported as damaged) and unpack both.",
)
